//! The running activation's own page, and the clocks and counters that EL0 may read.
//!
//! Not here: upcalls (`upcall`) and critical sections (`critical`), which also live in the page.
//! On the host there is one page of zeros and no clock, so that the same code builds and its logic can be tested.

use core::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed};
use tranche_abi::Tick;
use tranche_abi::page::ActivationPage;

/// The stack pointer.
#[cfg(target_os = "none")]
#[inline(always)]
pub(crate) fn stack_pointer() -> u64 {
    let stack_pointer: u64;
    // SAFETY: Reads a register.
    unsafe {
        core::arch::asm!("mov {}, sp", out(reg) stack_pointer, options(nomem, nostack, preserves_flags))
    };
    stack_pointer
}

/// On the host, nobody's stack.
#[cfg(not(target_os = "none"))]
pub(crate) fn stack_pointer() -> u64 {
    0
}

/// The page of the activation that runs this code. A thread that is not pinned may be carried by another one right after.
#[cfg(target_os = "none")]
#[inline(always)]
pub fn own() -> &'static ActivationPage {
    let stack_pointer = stack_pointer();
    let activation = match crate::layout::activation_of_stack(stack_pointer) {
        Some(activation) => activation,
        None => crate::threads::carrier::of_stack(stack_pointer),
    };
    // SAFETY: The activation runs this code, so it exists, and the kernel keeps its page mapped at this address for
    // as long. Every field is atomic. An environment whose stack is elsewhere has activation 0 at least.
    unsafe { &*(crate::layout::page_address(activation) as *const ActivationPage) }
}

/// A page of zeros that nobody interrupts.
#[cfg(all(not(target_os = "none"), not(test)))]
pub fn own() -> &'static ActivationPage {
    // SAFETY: Atomics and arrays of them; all zero is a value of each.
    static HOST: ActivationPage = unsafe { core::mem::MaybeUninit::zeroed().assume_init() };
    &HOST
}

/// A page of zeros for each thread, because tests run at once.
#[cfg(all(not(target_os = "none"), test))]
pub fn own() -> &'static ActivationPage {
    std::thread_local! {
        static PAGE: &'static ActivationPage = {
            let page = alloc::boxed::Box::<ActivationPage>::new_zeroed();
            // SAFETY: Atomics and arrays of them; all zero is a value of each.
            alloc::boxed::Box::leak(unsafe { page.assume_init() })
        };
    }
    PAGE.with(|page| *page)
}

#[cfg(target_os = "none")]
macro_rules! read_register {
    ($before:literal, $name:literal) => {{
        let value: u64;
        // SAFETY: Reads a register that the kernel opened to EL0.
        unsafe {
            core::arch::asm!(concat!($before, "mrs {}, ", $name), out(reg) value, options(nostack, preserves_flags))
        };
        value
    }};
}

#[cfg(not(target_os = "none"))]
macro_rules! read_register {
    ($before:literal, $name:literal) => {
        0
    };
}

/// The time: the generic timer's virtual counter, not read ahead of what came before.
#[inline(always)]
pub fn now() -> Tick {
    Tick(read_register!("isb\n", "cntvct_el0"))
}

/// Ticks per second.
pub fn frequency() -> u64 {
    read_register!("", "cntfrq_el0")
}

/// The core's cycle counter.
#[inline(always)]
pub fn cycles() -> u64 {
    read_register!("isb\n", "pmccntr_el0")
}

/// The core's counter of retired instructions.
#[inline(always)]
pub fn instructions() -> u64 {
    read_register!("isb\n", "pmevcntr0_el0")
}

/// This activation's index within its environment.
pub fn index() -> u64 {
    u64::from(own().identity.load(Relaxed) & 0xffff)
}

/// This environment's index.
pub fn env() -> u64 {
    u64::from(own().identity.load(Relaxed) >> 16)
}

/// CPU time that a page's activation, which must be running, was charged so far: what the kernel charged, and the
/// time since it last gave the CPU.
pub fn cpu_time_of(page: &ActivationPage, now: impl Fn() -> Tick) -> Tick {
    loop {
        let (ran, since) = (page.ran.load(Acquire), page.since.load(Acquire));
        let time = now();
        // If the CPU was taken away in between, the three do not belong together.
        if (ran, since) == (page.ran.load(Acquire), page.since.load(Acquire)) {
            return Tick(ran).saturating_add(time.since(Tick(since)));
        }
    }
}

/// CPU time that this activation was charged so far.
pub fn cpu_time() -> Tick {
    cpu_time_of(own(), now)
}

/// Takes the posted events: their bits, which are cleared.
pub fn take_events() -> u64 {
    own().events.swap(0, AcqRel)
}

/// Takes the clients that became ready since the last time: bit `n` of word `n / 64` is client `n`.
pub fn take_ready() -> [u64; 4] {
    own().ready.each_ref().map(|word| word.swap(0, AcqRel))
}

/// Waits until a time, for a program that no event concerns: it drops those that come.
pub fn sleep_until(time: Tick) {
    while now() < time {
        take_events();
        take_ready();
        if crate::calls::wait(time).is_err() {
            // Only where there is no kernel, and no clock that would move.
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::cell::Cell;

    #[test]
    fn cpu_time_is_read_again_when_the_cpu_was_taken_away_in_between() {
        let page = own();
        page.ran.store(100, Relaxed);
        page.since.store(1_000, Relaxed);
        let reads = Cell::new(0);
        let clock = || {
            reads.set(reads.get() + 1);
            if reads.get() == 1 {
                // Interrupted after 7 ticks, back at 5 000.
                page.ran.store(107, Relaxed);
                page.since.store(5_000, Relaxed);
            }
            Tick(5_010)
        };
        assert_eq!(cpu_time_of(page, clock), Tick(117));
        assert_eq!(reads.get(), 2);
    }
}
