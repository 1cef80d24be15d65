//! Critical sections: code whose slice should not end in the middle of it, and a lock that is only held in one.
//!
//! Not here: what the kernel does with the time kept past the end of a slice (excess time). Sections are to be short:
//! tens of microseconds.
#![forbid(unsafe_code)]

use crate::threads::{self, carrier};
use crate::{calls, page};
use core::ops::{Deref, DerefMut};
use core::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};

/// While it lives, the activation is in a critical section. Sections nest. Dropping the outermost yields, if the slice
/// ended meanwhile. A thread in one stays with its activation.
#[derive(Debug)]
pub struct Section(());

impl Section {
    /// Begins a critical section.
    #[inline(always)]
    pub fn begin() -> Self {
        carrier::pin();
        let depth = &page::own().in_critical;
        // Nobody else writes the field, and a handler that interrupts leaves it as it found it.
        depth.store(depth.load(Relaxed) + 1, Release);
        Self(())
    }
}

impl Drop for Section {
    #[inline(always)]
    fn drop(&mut self) {
        let page = page::own();
        let depth = page.in_critical.load(Relaxed) - 1;
        page.in_critical.store(depth, Release);
        let ended =
            depth == 0 && page.slice_ended.load(Acquire) != 0 && page.slice_ended.swap(0, AcqRel) != 0;
        let may_leave = carrier::unpin();
        if ended && may_leave {
            // Others of the program go on with the thread while this activation has no CPU.
            threads::end_slice();
        } else if ended {
            // Refused only where there is no kernel.
            let _ = calls::yield_now();
        }
    }
}

/// Turns of waiting for a lock before a waiting activation of a program with threads gives its own time to its siblings:
/// longer than any holder needs that runs.
const PATIENCE: u32 = 200;

/// A lock between the activations of an environment, held only within critical sections, so that a holder is not
/// interrupted for long. A fault handler must not take a lock that the code it interrupts may hold.
#[derive(Debug, Default)]
pub struct Lock<T>(spin::Mutex<T>);

/// The locked value.
pub struct Guard<'a, T> {
    // Unlocks before it leaves the section: fields are dropped in order.
    value: spin::MutexGuard<'a, T>,
    _section: Section,
}

impl<T> Lock<T> {
    /// An unlocked value.
    pub const fn new(value: T) -> Self {
        Self(spin::Mutex::new(value))
    }

    /// Waits for the lock, outside of a critical section, and takes it.
    pub fn lock(&self) -> Guard<'_, T> {
        for turn in 1u32.. {
            let section = Section::begin();
            if let Some(value) = self.0.try_lock() {
                return Guard { value, _section: section };
            }
            drop(section);
            if turn % PATIENCE == 0 {
                // The holder may be a sibling whose directed yield ended in the middle: let it go on.
                threads::help_siblings();
            }
            core::hint::spin_loop();
        }
        unreachable!("a range without an end")
    }
}

impl<T> Deref for Guard<'_, T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T> DerefMut for Guard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sections_nest_and_the_outermost_clears_the_mark_of_an_ended_slice() {
        let page = page::own();
        let outer = Section::begin();
        let inner = Section::begin();
        assert_eq!(page.in_critical.load(Relaxed), 2);
        page.slice_ended.store(1, Relaxed);
        drop(inner);
        assert_eq!((page.in_critical.load(Relaxed), page.slice_ended.load(Relaxed)), (1, 1));
        drop(outer);
        assert_eq!((page.in_critical.load(Relaxed), page.slice_ended.load(Relaxed)), (0, 0));
    }
}
