//! What threads block on: a mutex and a channel. Whoever has to wait gives its activation to another thread.
//!
//! Not here: parking itself. Waiters are listed under a lock that is held in critical sections only; a waiter that was
//! woken takes itself off the list before it looks again, so no entry stands for somebody who does not wait.
#![forbid(unsafe_code)]

use super::{Thread, current, park};
use crate::critical::Lock;
use alloc::collections::VecDeque;
use alloc::sync::Arc;
use core::ops::{Deref, DerefMut};

/// Threads that wait, the longest waiting first.
#[derive(Debug)]
struct Waiters(VecDeque<Thread>);

impl Waiters {
    const fn new() -> Self {
        Self(VecDeque::new())
    }

    fn remove(&mut self, thread: Option<Thread>) {
        self.0.retain(|waiter| Some(*waiter) != thread);
    }

    fn add(&mut self, thread: Option<Thread>) {
        self.0.extend(thread);
    }

    fn take(&mut self) -> Option<Thread> {
        self.0.pop_front()
    }
}

/// A value that one thread has at a time. It may be held across anything that blocks.
#[derive(Debug)]
pub struct Mutex<T> {
    value: spin::Mutex<T>,
    waiters: Lock<Waiters>,
}

/// The locked value.
pub struct Guard<'a, T> {
    // Unlocks before it wakes the next: fields are dropped in order.
    value: spin::MutexGuard<'a, T>,
    _wake: WakeNext<'a>,
}

/// When dropped, wakes the thread that has waited longest.
struct WakeNext<'a>(&'a Lock<Waiters>);

impl Drop for WakeNext<'_> {
    fn drop(&mut self) {
        let next = self.0.lock().take();
        next.into_iter().for_each(Thread::wake);
    }
}

impl<T> Mutex<T> {
    /// An unlocked value.
    pub const fn new(value: T) -> Self {
        Self { value: spin::Mutex::new(value), waiters: Lock::new(Waiters::new()) }
    }

    /// Waits for the value and takes it. An activation that runs no thread waits without giving way.
    pub fn lock(&self) -> Guard<'_, T> {
        loop {
            let me = current();
            let mut waiters = self.waiters.lock();
            waiters.remove(me);
            if let Some(value) = self.value.try_lock() {
                return Guard { value, _wake: WakeNext(&self.waiters) };
            }
            waiters.add(me);
            drop(waiters);
            park();
        }
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

/// A queue of bounded length between threads.
pub struct Channel<T>(Arc<Lock<Queue<T>>>);

struct Queue<T> {
    items: VecDeque<T>,
    capacity: usize,
    senders: Waiters,
    receivers: Waiters,
}

impl<T> Clone for Channel<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T> Channel<T> {
    /// An empty queue with room for `capacity` items, one at least.
    pub fn new(capacity: usize) -> Self {
        let capacity = capacity.max(1);
        let items = VecDeque::with_capacity(capacity);
        Self(Arc::new(Lock::new(Queue {
            items,
            capacity,
            senders: Waiters::new(),
            receivers: Waiters::new(),
        })))
    }

    /// Waits for room and puts an item into the queue.
    pub fn send(&self, item: T) {
        let mut item = Some(item);
        loop {
            let me = current();
            let mut queue = self.0.lock();
            queue.senders.remove(me);
            if queue.items.len() < queue.capacity {
                queue.items.extend(item.take());
                let receiver = queue.receivers.take();
                drop(queue);
                return receiver.into_iter().for_each(Thread::wake);
            }
            queue.senders.add(me);
            drop(queue);
            park();
        }
    }

    /// Waits for an item and takes it.
    pub fn receive(&self) -> T {
        loop {
            let me = current();
            let mut queue = self.0.lock();
            queue.receivers.remove(me);
            if let Some(item) = queue.items.pop_front() {
                let sender = queue.senders.take();
                drop(queue);
                sender.into_iter().for_each(Thread::wake);
                return item;
            }
            queue.receivers.add(me);
            drop(queue);
            park();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;
    use std::vec::Vec;

    #[test]
    fn a_channel_brings_every_item_once_and_in_order() {
        let channel = Channel::new(2);
        let sender = channel.clone();
        let sending = thread::spawn(move || (0..1_000).for_each(|item| sender.send(item)));
        let received: Vec<u32> = (0..1_000).map(|_| channel.receive()).collect();
        sending.join().unwrap();
        assert_eq!(received, (0..1_000).collect::<Vec<_>>());
    }

    #[test]
    fn a_mutex_is_held_by_one_at_a_time() {
        let total = Arc::new(Mutex::new(0));
        let adding = [(); 4].map(|()| {
            let total = total.clone();
            thread::spawn(move || {
                (0..500).for_each(|_| {
                    let mut total = total.lock();
                    let before = *total;
                    thread::yield_now();
                    *total = before + 1;
                })
            })
        });
        adding.into_iter().for_each(|thread| thread.join().unwrap());
        assert_eq!(*total.lock(), 2_000);
    }

    #[test]
    fn a_waiter_is_listed_once_and_leaves_the_list_when_it_looks_again() {
        let mut waiters = Waiters::new();
        let [a, b] = [Some(Thread(1)), Some(Thread(2))];
        for thread in [a, b, a] {
            waiters.remove(thread);
            waiters.add(thread);
        }
        assert_eq!([waiters.take(), waiters.take(), waiters.take()], [b, a, None]);
    }
}
