//! What a thread is doing, as one atomic word: who may run it next follows from who changed it last.
//!
//! Not here: contexts, queues. A thread blocks in two steps: it leaves its activation, which then, with the context saved,
//! [`settle`](Word::settle)s whether it stays blocked. A wake-up before that is not lost: it is noted in the word.
#![forbid(unsafe_code)]

use core::sync::atomic::AtomicU32;
use core::sync::atomic::Ordering::{AcqRel, Acquire, Release};

/// No thread.
const FREE: u32 = 0;
/// In the pool, or about to be: whoever takes it out of there may run it.
const READY: u32 = 1;
/// An activation has it, running or interrupted.
const RUNNING: u32 = 2;
/// It waits to be woken.
const PARKED: u32 = 3;
/// Woken while it did not wait yet.
const WOKEN: u32 = 4;

/// A thread's word.
#[derive(Debug, Default)]
pub struct Word(AtomicU32);

impl Word {
    /// No thread.
    pub const fn new() -> Self {
        Self(AtomicU32::new(FREE))
    }

    /// Begins a thread, which is ready.
    pub fn begin(&self) {
        self.0.store(READY, Release);
    }

    /// The activation that took it out of the pool runs it.
    pub fn run(&self) {
        self.change(|word| Some(word & WOKEN | RUNNING));
    }

    /// It was interrupted, or yields: it goes back to the pool.
    pub fn ready(&self) {
        self.change(|word| Some(word & WOKEN | READY));
    }

    /// It wants to wait, and its context is saved. False if it was woken in between: then it is ready.
    pub fn settle(&self) -> bool {
        let before = self.change(|word| Some(if word & WOKEN == 0 { PARKED } else { READY }));
        before & WOKEN == 0
    }

    /// Wakes it. True if it waited: then it is ready, and the caller puts it into the pool.
    pub fn wake(&self) -> bool {
        let before = self.change(|word| match word {
            FREE => None,
            PARKED => Some(READY),
            word => Some(word | WOKEN),
        });
        before == PARKED
    }

    /// It is over.
    pub fn end(&self) {
        self.change(|_| Some(FREE));
    }

    /// Changes the word; what it was.
    fn change(&self, step: impl Fn(u32) -> Option<u32>) -> u32 {
        self.0.fetch_update(AcqRel, Acquire, step).unwrap_or_else(|unchanged| unchanged)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::thread;

    fn running() -> Word {
        let word = Word::new();
        word.begin();
        word.run();
        word
    }

    #[test]
    fn a_thread_that_waits_is_woken_once() {
        let word = running();
        assert!(word.settle());
        assert!(word.wake());
        assert!(!word.wake(), "it was ready already");
    }

    #[test]
    fn a_wake_up_before_the_context_is_saved_is_not_lost() {
        let word = running();
        assert!(!word.wake(), "nobody but its activation may put it into the pool");
        assert!(!word.settle(), "it goes on");
        word.run();
        assert!(word.settle(), "the wake-up was used");
    }

    #[test]
    fn an_interruption_keeps_a_wake_up_for_later() {
        let word = running();
        word.wake();
        word.ready();
        word.run();
        assert!(!word.settle());
    }

    #[test]
    fn a_thread_that_is_over_is_not_woken() {
        let word = running();
        word.end();
        assert!(!word.wake());
    }

    #[test]
    fn of_a_waker_and_a_settling_activation_exactly_one_gets_the_thread() {
        for _ in 0..2_000 {
            let word = Arc::new(running());
            let waker = thread::spawn({
                let word = word.clone();
                move || word.wake()
            });
            let stays_blocked = word.settle();
            assert_eq!(waker.join().unwrap(), stays_blocked);
        }
    }
}
