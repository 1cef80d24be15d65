//! The counters that everything here is measured with: stamps of them, one measured call, and series of measurements.
//!
//! Not here: which operations there are. A stamp reads both counters behind a barrier; what two stamps cost when nothing
//! is between them is measured, too, and subtracted everywhere.

use alloc::vec::Vec;
use libos_core::report::Spread;

/// Both counters at one moment, or the difference of two moments.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stamp {
    /// Instructions retired: the low 32 bits, which is what the counter has.
    pub instructions: u64,
    /// Cycles.
    pub cycles: u64,
}

impl Stamp {
    /// What passed since an earlier stamp.
    pub fn since(self, earlier: Stamp) -> Stamp {
        let instructions = (self.instructions as u32).wrapping_sub(earlier.instructions as u32);
        Stamp { instructions: instructions.into(), cycles: self.cycles.wrapping_sub(earlier.cycles) }
    }

    /// Without what the measuring cost. Cycles of an out-of-order core may vary by more than that: never below 0.
    pub fn without(self, overhead: Stamp) -> Stamp {
        Stamp {
            instructions: self.instructions.saturating_sub(overhead.instructions),
            cycles: self.cycles.saturating_sub(overhead.cycles),
        }
    }

    /// Both together.
    pub fn plus(self, other: Stamp) -> Stamp {
        Stamp { instructions: self.instructions + other.instructions, cycles: self.cycles + other.cycles }
    }

    /// Whether this moment is between two others, of which the earlier is less than 2^31 instructions back.
    pub fn is_between(self, begin: Stamp, end: Stamp) -> bool {
        self.since(begin).instructions <= end.since(begin).instructions
    }
}

/// One call, measured from before its `svc` to the instruction after it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Shot {
    /// Before.
    pub begin: Stamp,
    /// After.
    pub end: Stamp,
    /// `x0` to `x4`: 0 or an error's number, and the values.
    pub reply: [u64; 5],
}

impl Shot {
    /// What it cost, both stamps included.
    pub fn cost(&self) -> Stamp {
        self.end.since(self.begin)
    }
}

/// The instructions of a stamp before what is measured. Instructions are read last, cycles behind the barrier.
#[cfg(target_os = "none")]
macro_rules! stamp_before {
    ($instructions:literal, $cycles:literal) => {
        concat!("isb\n mrs ", $cycles, ", pmccntr_el0\n mrs ", $instructions, ", pmevcntr0_el0\n")
    };
}

/// The instructions of a stamp after what is measured. Instructions are read first.
#[cfg(target_os = "none")]
macro_rules! stamp_after {
    ($instructions:literal, $cycles:literal) => {
        concat!("isb\n mrs ", $instructions, ", pmevcntr0_el0\n mrs ", $cycles, ", pmccntr_el0\n")
    };
}

#[cfg(target_os = "none")]
pub(super) use {stamp_after, stamp_before};

/// Makes call `NUMBER`, which must be one that the kernel has or whose fault the registered handler steps over, and
/// measures it.
#[cfg(target_os = "none")]
#[inline(never)]
pub fn call<const NUMBER: u16>(arguments: [u64; 8]) -> Shot {
    let [mut x0, mut x1, mut x2, mut x3, mut x4, x5, x6, x7] = arguments;
    let (mut begin, mut end) = (Stamp::default(), Stamp::default());
    // SAFETY: As in `libos_core::sys`: the kernel changes no register but x0 to x4. The counters are readable at EL0.
    unsafe {
        core::arch::asm!(
            stamp_before!("{i1}", "{c1}"),
            "svc #{immediate}",
            stamp_after!("{i2}", "{c2}"),
            immediate = const tranche_abi::calls::immediate(NUMBER),
            i1 = out(reg) begin.instructions, c1 = out(reg) begin.cycles,
            i2 = out(reg) end.instructions, c2 = out(reg) end.cycles,
            inout("x0") x0, inout("x1") x1, inout("x2") x2, inout("x3") x3, inout("x4") x4,
            in("x5") x5, in("x6") x6, in("x7") x7,
            options(nostack),
        );
    }
    Shot { begin, end, reply: [x0, x1, x2, x3, x4] }
}

/// On the host there is no kernel: every call is refused, and costs nothing.
#[cfg(not(target_os = "none"))]
pub fn call<const NUMBER: u16>(_arguments: [u64; 8]) -> Shot {
    let refused = tranche_abi::Error::NoKernel as u64;
    Shot { reply: [refused, 0, 0, 0, 0], ..Shot::default() }
}

/// Both counters now, as before something.
#[inline(always)]
pub fn before() -> Stamp {
    #[allow(unused_mut)] // Nothing is read on the host.
    let mut stamp = Stamp::default();
    #[cfg(target_os = "none")]
    // SAFETY: Reads registers that the kernel opened to EL0. Memory counts as clobbered, so that nothing moves past.
    unsafe {
        core::arch::asm!(stamp_before!("{i}", "{c}"), i = out(reg) stamp.instructions, c = out(reg) stamp.cycles,
            options(nostack, preserves_flags))
    };
    stamp
}

/// Both counters now, as after something.
#[inline(always)]
pub fn after() -> Stamp {
    #[allow(unused_mut)] // Nothing is read on the host.
    let mut stamp = Stamp::default();
    #[cfg(target_os = "none")]
    // SAFETY: As above.
    unsafe {
        core::arch::asm!(stamp_after!("{i}", "{c}"), i = out(reg) stamp.instructions, c = out(reg) stamp.cycles,
            options(nostack, preserves_flags))
    };
    stamp
}

/// Uses an FP/SIMD register, with stamps before and after.
#[inline(never)]
pub fn use_fp() -> (Stamp, Stamp) {
    let begin = before();
    #[cfg(target_os = "none")]
    // SAFETY: Changes a register that is declared.
    unsafe {
        core::arch::asm!("fmov d0, xzr", out("v0") _, options(nostack, preserves_flags))
    };
    (begin, after())
}

/// What two stamps cost with nothing between them: the least of some.
pub fn overhead() -> Stamp {
    let empty = || {
        let begin = before();
        after().since(begin)
    };
    let all: Vec<Stamp> = (0..16).map(|_| empty()).collect();
    let least = |field: fn(&Stamp) -> u64| all.iter().map(field).min().unwrap_or(0);
    Stamp { instructions: least(|s| s.instructions), cycles: least(|s| s.cycles) }
}

/// Least, median and greatest of some figures; all zero of none.
pub fn spread(figures: impl Iterator<Item = u64>) -> Spread {
    let mut sorted: Vec<u64> = figures.collect();
    sorted.sort_unstable();
    match (sorted.first(), sorted.last()) {
        (Some(&minimum), Some(&maximum)) => Spread { minimum, median: sorted[sorted.len() / 2], maximum },
        _ => Spread::default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(instructions: u64, cycles: u64) -> Stamp {
        Stamp { instructions, cycles }
    }

    #[test]
    fn a_counter_that_wrapped_in_between_counts_on() {
        assert_eq!(at(5, 100).since(at(0xffff_fff0, 40)), at(21, 60));
        assert!(at(2, 0).is_between(at(0xffff_fff0, 0), at(5, 0)));
        assert!(!at(6, 0).is_between(at(0xffff_fff0, 0), at(5, 0)));
    }

    #[test]
    fn the_spread_of_figures_in_any_order_is_least_median_greatest() {
        let figures = [9, 3, 7, 3, 100];
        assert_eq!(spread(figures.into_iter()), Spread { minimum: 3, median: 7, maximum: 100 });
        assert_eq!(spread([].into_iter()), Spread::default());
    }

    #[test]
    fn what_measuring_costs_never_makes_a_cost_negative() {
        assert_eq!(at(10, 3).without(at(2, 5)), at(8, 0));
    }
}
