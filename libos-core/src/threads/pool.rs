//! Which threads are ready, which sleep until when, and which activations have nothing to run.
//!
//! Not here: the lock that all activations share it under, contexts, calls. It is one structure, so that "nothing is ready,
//! I wait" and "this is ready, who waits?" cannot miss each other. Nothing here allocates after `begin`: it has room for
//! every thread.
#![forbid(unsafe_code)]

use crate::layout::MAX_THREADS;
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use tranche_abi::Tick;

/// A set of activations, by index.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Activations(u64);

impl Activations {
    /// Its members.
    pub fn iter(self) -> impl Iterator<Item = u64> {
        (0..64).filter(move |index| self.0 >> index & 1 == 1)
    }

    fn insert(&mut self, index: u64) {
        self.0 |= 1 << index;
    }

    fn remove(&mut self, index: u64) {
        self.0 &= !(1 << index);
    }
}

/// What an activation is to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Run this thread.
    Run(usize),
    /// Wake this thread: its time has come.
    Wake(usize),
    /// Nothing is ready. From now on, whoever readies a thread tells this activation. Until then, at the latest.
    Wait(Tick),
    /// All threads are over.
    Over,
}

/// The threads that do not run.
#[derive(Debug, Default)]
pub struct Pool {
    ready: VecDeque<usize>,
    /// Threads that sleep, with the time at which each is to be woken.
    sleeping: Vec<(Tick, usize)>,
    /// Numbers that no thread has.
    free: Vec<usize>,
    waiting: Activations,
    begun: bool,
}

impl Pool {
    /// Before `begin`: no thread can be made, and whoever asks waits.
    pub const fn new() -> Self {
        Self {
            ready: VecDeque::new(),
            sleeping: Vec::new(),
            free: Vec::new(),
            waiting: Activations(0),
            begun: false,
        }
    }

    /// Makes room for all threads.
    pub fn begin(&mut self) {
        self.ready = VecDeque::with_capacity(MAX_THREADS);
        self.sleeping = Vec::with_capacity(MAX_THREADS);
        self.free = (0..MAX_THREADS).rev().collect();
    }

    /// A number for a new thread; `None` if there are too many.
    pub fn take_number(&mut self) -> Option<usize> {
        let number = self.free.pop();
        self.begun |= number.is_some();
        number
    }

    /// A thread is over. Who is to be told that there is none any more.
    pub fn end(&mut self, thread: usize) -> Activations {
        self.sleeping.retain(|(_, sleeper)| *sleeper != thread);
        self.free.push(thread);
        if self.is_over() { core::mem::take(&mut self.waiting) } else { Activations(0) }
    }

    fn is_over(&self) -> bool {
        self.begun && self.free.len() == MAX_THREADS
    }

    /// A thread is ready. Who is to be told: everybody who waits, because one of them may have no CPU.
    pub fn put(&mut self, thread: usize) -> Activations {
        self.put_back(thread);
        core::mem::take(&mut self.waiting)
    }

    /// A thread is ready, and nobody is told: whoever waits looks by itself.
    pub fn put_back(&mut self, thread: usize) {
        self.ready.push_back(thread);
    }

    /// A thread, which is about to park, is to be woken then.
    pub fn sleep(&mut self, thread: usize, until: Tick) {
        self.sleeping.retain(|(_, sleeper)| *sleeper != thread);
        self.sleeping.push((until, thread));
    }

    /// What an activation is to do.
    pub fn next(&mut self, activation: u64, now: Tick) -> Next {
        self.waiting.remove(activation);
        if let Some(due) = self.sleeping.iter().position(|(until, _)| *until <= now) {
            return Next::Wake(self.sleeping.swap_remove(due).1);
        }
        if let Some(thread) = self.ready.pop_front() {
            return Next::Run(thread);
        }
        if self.is_over() {
            return Next::Over;
        }
        self.waiting.insert(activation);
        Next::Wait(self.sleeping.iter().map(|(until, _)| *until).min().unwrap_or(Tick::NEVER))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pool() -> Pool {
        let mut pool = Pool::new();
        pool.begin();
        pool
    }

    #[test]
    fn threads_run_in_the_order_in_which_they_became_ready() {
        let mut pool = pool();
        let threads = [(); 3].map(|()| pool.take_number().unwrap());
        for thread in threads {
            pool.put(thread);
        }
        for thread in threads {
            assert_eq!(pool.next(0, Tick(0)), Next::Run(thread));
        }
    }

    #[test]
    fn everybody_who_waits_is_told_once_of_a_ready_thread() {
        let mut pool = pool();
        let thread = pool.take_number().unwrap();
        assert_eq!(pool.next(1, Tick(0)), Next::Wait(Tick::NEVER));
        assert_eq!(pool.next(3, Tick(0)), Next::Wait(Tick::NEVER));
        assert_eq!(pool.put(thread).iter().collect::<Vec<_>>(), [1, 3]);
        assert_eq!(pool.put(thread).iter().count(), 0);
    }

    #[test]
    fn a_thread_put_back_is_there_for_whoever_looks_and_the_next_one_is_told_of() {
        let mut pool = pool();
        let thread = pool.take_number().unwrap();
        pool.next(2, Tick(0));
        pool.put_back(thread);
        assert_eq!(pool.next(0, Tick(0)), Next::Run(thread));
        assert_eq!(pool.put(thread).iter().collect::<Vec<_>>(), [2]);
    }

    #[test]
    fn who_came_back_by_itself_is_not_told() {
        let mut pool = pool();
        let thread = pool.take_number().unwrap();
        pool.next(2, Tick(0));
        pool.put(thread);
        assert_eq!(pool.next(2, Tick(0)), Next::Run(thread));
        assert_eq!(pool.put(thread).iter().count(), 0);
    }

    #[test]
    fn a_sleeper_is_woken_at_its_time_and_nobody_waits_longer_than_that() {
        let mut pool = pool();
        let [early, late] = [(); 2].map(|()| pool.take_number().unwrap());
        pool.sleep(late, Tick(90));
        pool.sleep(early, Tick(50));
        assert_eq!(pool.next(0, Tick(49)), Next::Wait(Tick(50)));
        assert_eq!(pool.next(0, Tick(50)), Next::Wake(early));
        assert_eq!(pool.next(0, Tick(50)), Next::Wait(Tick(90)));
    }

    #[test]
    fn it_is_over_when_the_last_thread_ended_and_not_before_the_first_began() {
        let mut pool = pool();
        assert_eq!(pool.next(1, Tick(0)), Next::Wait(Tick::NEVER));
        let [a, b] = [(); 2].map(|()| pool.take_number().unwrap());
        assert_eq!(pool.end(a).iter().count(), 0);
        assert_eq!(pool.end(b).iter().collect::<Vec<_>>(), [1]);
        assert_eq!(pool.next(0, Tick(0)), Next::Over);
    }

    #[test]
    fn there_are_so_many_threads_and_not_more() {
        let mut pool = pool();
        (0..MAX_THREADS).for_each(|_| assert!(pool.take_number().is_some()));
        assert_eq!(pool.take_number(), None);
        pool.end(7);
        assert_eq!(pool.take_number(), Some(7));
    }
}
