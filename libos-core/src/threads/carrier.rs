//! Which activation carries which thread, and whether it has to go on doing so.
//!
//! Not here: moving a thread. Who looks at the page of "its" activation must not be moved between looking and using: it is
//! *pinned*. A thread's pins are counted in a word of its own, which its stack pointer leads to, so that pinning itself
//! may be interrupted, and continued by another activation, anywhere.
#![forbid(unsafe_code)]

use crate::layout::{self, MAX_THREADS};
use crate::page;
use core::sync::atomic::AtomicU32;
use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};

/// The activation that runs each thread, while one does.
static CARRIERS: [AtomicU32; MAX_THREADS] = [const { AtomicU32::new(0) }; MAX_THREADS];
/// How often each thread is pinned. Only the thread itself writes it.
static PINS: [AtomicU32; MAX_THREADS] = [const { AtomicU32::new(0) }; MAX_THREADS];

/// The thread that runs this code, by its number; `None` on an activation's own stacks.
#[inline(always)]
pub fn current() -> Option<usize> {
    layout::thread_of_stack(page::stack_pointer())
}

/// The activation that carries the thread with this stack pointer; 0 if it is no thread's.
pub fn of_stack(stack_pointer: u64) -> u64 {
    layout::thread_of_stack(stack_pointer).map_or(0, |thread| CARRIERS[thread].load(Relaxed).into())
}

/// From now on, this activation carries the thread. Only for one that does not run.
pub fn set(thread: usize, activation: u64) {
    CARRIERS[thread].store(activation as u32, Relaxed);
}

/// Pins the thread that runs this code, if one does. Pins nest.
#[inline(always)]
pub fn pin() {
    if let Some(thread) = current() {
        PINS[thread].store(PINS[thread].load(Relaxed) + 1, Release);
    }
}

/// Takes one pin away. Whether this is a thread, and free to be moved now.
#[inline(always)]
pub fn unpin() -> bool {
    let Some(thread) = current() else { return false };
    let pins = PINS[thread].load(Relaxed) - 1;
    PINS[thread].store(pins, Release);
    pins == 0
}

/// Whether a thread that was interrupted has to stay where it is.
pub fn is_pinned(thread: usize) -> bool {
    PINS[thread].load(Acquire) != 0
}

/// The thread begins anew, and is not pinned.
pub fn reset(thread: usize) {
    PINS[thread].store(0, Relaxed);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_threads_stack_leads_to_the_activation_that_carries_it() {
        set(5, 3);
        assert_eq!(of_stack(layout::thread_stack_top(5) - 64), 3);
        assert_eq!(of_stack(layout::stack_top(2)), 0);
    }

    #[test]
    fn code_on_no_threads_stack_has_nothing_to_pin() {
        pin();
        assert!(!unpin());
        assert_eq!(current(), None);
    }
}
