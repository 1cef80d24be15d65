//! Any system call of arm64 Linux: made, or made with the counter read right before and right after it. Not here: which
//! calls there are (`calls`).

use crate::report;
use core::arch::asm;

/// A reading of the machine's counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Tick(pub u64);

impl Tick {
    /// Now.
    pub fn now() -> Self {
        let now;
        // SAFETY: Linux lets every process read the counter.
        unsafe { asm!("mrs {}, cntvct_el0", out(reg) now, options(nomem, nostack, preserves_flags)) };
        Self(now)
    }

    /// Ticks since an earlier reading.
    pub fn since(self, earlier: Self) -> u64 {
        self.0 - earlier.0
    }
}

/// Ticks in a second.
pub fn frequency() -> u64 {
    let frequency;
    // SAFETY: Linux lets every process read it.
    unsafe { asm!("mrs {}, cntfrq_el0", out(reg) frequency, options(nomem, nostack, preserves_flags)) };
    frequency
}

/// Why Linux refused a call: one of its error numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Errno(pub u32);

/// Results from here on are negated error numbers (Linux, `include/linux/err.h`, `MAX_ERRNO`).
const FIRST_ERROR: usize = (-4095isize) as usize;

/// A system call, ready to be made.
#[derive(Clone, Copy, Debug)]
pub struct Call {
    name: &'static str,
    number: u32,
    arguments: [usize; 6],
}

/// What came of a call, and when.
#[derive(Clone, Copy, Debug)]
pub struct Timed {
    /// Right before the `svc`.
    pub before: Tick,
    /// Right after it.
    pub after: Tick,
}

impl Call {
    /// A call by Linux's name and number for it.
    ///
    /// # Safety
    /// For as long as it may be made, what Linux does to the memory that the arguments name is nothing that Rust must
    /// know of.
    pub const unsafe fn new(name: &'static str, number: u32, arguments: &[usize]) -> Self {
        let mut all = [0; 6];
        let (used, _) = all.split_at_mut(arguments.len());
        used.copy_from_slice(arguments);
        Self { name, number, arguments: all }
    }

    /// Makes it.
    #[inline(always)]
    pub fn make(&self) -> Result<usize, Errno> {
        let [a, b, c, d, e, f] = self.arguments;
        let result: usize;
        // SAFETY: Linux changes no register but x0; for memory, who made the call has answered.
        unsafe {
            asm!("svc #0", inlateout("x0") a => result, in("x1") b, in("x2") c, in("x3") d, in("x4") e, in("x5") f,
                in("x8") self.number as usize, options(nostack))
        };
        if result >= FIRST_ERROR { Err(Errno(result.wrapping_neg() as u32)) } else { Ok(result) }
    }

    /// Makes it; if Linux refuses, the run ends, saying so.
    #[inline(always)]
    pub fn must(&self) -> usize {
        self.make().unwrap_or_else(|errno| report::failed(self.name, errno))
    }

    /// Makes it with the counter read right before and after; if Linux refuses, the run ends, saying so.
    pub fn timed(&self) -> Timed {
        let [a, b, c, d, e, f] = self.arguments;
        let (result, before, after): (usize, _, _);
        // SAFETY: As in `make`.
        unsafe {
            asm!("mrs {before}, cntvct_el0", "svc #0", "mrs {after}, cntvct_el0",
                before = out(reg) before, after = lateout(reg) after,
                inlateout("x0") a => result, in("x1") b, in("x2") c, in("x3") d, in("x4") e, in("x5") f,
                in("x8") self.number as usize, options(nostack))
        };
        if result >= FIRST_ERROR {
            report::failed(self.name, Errno(result.wrapping_neg() as u32));
        }
        Timed { before: Tick(before), after: Tick(after) }
    }

    /// Makes it as many times as said, in a loop of two further instructions.
    ///
    /// For calls that Linux never refuses: results are not looked at.
    pub fn repeat(&self, times: u64) {
        // SAFETY: As in `make`.
        unsafe {
            asm!("2:", "svc #0", "subs {left}, {left}, #1", "b.ne 2b",
                left = inout(reg) times => _, inlateout("x0") self.arguments[0] => _, in("x8") self.number as usize,
                options(nostack))
        };
    }
}

impl Timed {
    /// Ticks from before to after.
    pub fn ticks(self) -> u64 {
        self.after.since(self.before)
    }
}
