//! Two processes that take turns: by pipes, by shared memory, by giving the CPU up. And a process's whole life.

use crate::{measure, report, shared};
use core::sync::atomic::Ordering::{Acquire, Release};
use linux_guest::call::Tick;
use linux_guest::calls::{self, Process};
use linux_raw_sys::general as linux;

/// Round trips in a batch.
const TURNS: u64 = 200;

/// The other process. It works until [`Peer::end`].
#[derive(Debug)]
pub struct Peer(pub Process);

impl Peer {
    /// A copy of this process that does one thing for ever.
    pub fn start(mut turn: impl FnMut()) -> Self {
        match calls::fork() {
            Some(process) => Self(process),
            None => loop {
                turn();
            },
        }
    }

    /// Ends it.
    pub fn end(self) {
        calls::kill(self.0, linux::SIGKILL).must();
        calls::wait4(self.0).must();
    }
}

/// Measures all of them.
pub fn measure() {
    report::figure("pipe_round", &pipe());
    calls::set_priority(1);
    report::figure(
        "shm_round",
        &shared_counter(
            |_| {
                calls::sched_yield().must();
            },
            || {},
        ),
    );
    report::figure("yield_round", &yielding());
    calls::set_priority(0);
    report::figure(
        "shm_futex_round",
        &shared_counter(
            |seen| calls::futex_wait(shared::COUNTER, seen),
            || calls::futex_wake(shared::COUNTER, 1),
        ),
    );
    let [life] = measure::singly(measure::many(100_000), || [whole_life()]);
    report::figure("process_create", &life);
}

/// One word there and back through two pipes.
fn pipe() -> measure::Batches {
    let (there, back) = (calls::pipe(), calls::pipe());
    let peer = Peer::start(|| {
        let word = calls::read_word(there.0);
        calls::write(back.1, &word.to_ne_bytes());
    });
    let mut word = 1u64;
    let batches = measure::together(TURNS, 0, |times| {
        for _ in 0..times {
            calls::write(there.1, &word.to_ne_bytes());
            if calls::read_word(back.0) != word {
                report::wrong("pipe: the word that came back is another");
            }
            word += 1;
        }
    });
    peer.end();
    batches
}

/// A counter that this process increments when it is even, and the other when it is odd; `wait` is called with the value
/// seen while it is the other's turn, `wake` after each increment.
fn shared_counter(wait: impl Fn(u32) + Copy, wake: impl Fn() + Copy) -> measure::Batches {
    let turn = move |mine: u32| {
        let mut seen = shared::counter().load(Acquire);
        while seen % 2 != mine {
            wait(seen);
            seen = shared::counter().load(Acquire);
        }
        shared::counter().store(seen.wrapping_add(1), Release);
        wake();
    };
    shared::counter().store(0, Release);
    let peer = Peer::start(|| turn(1));
    let batches = measure::together(TURNS, 0, |times| (0..times).for_each(|_| turn(0)));
    peer.end();
    batches
}

/// Two processes that do nothing but yield: there and back.
fn yielding() -> measure::Batches {
    const FOR_EVER: u64 = u64::MAX;
    let peer = Peer::start(|| calls::sched_yield().repeat(FOR_EVER));
    // Each of the two has a loop of two instructions around the call.
    let batches = measure::together(TURNS, 2 + 2, |times| calls::sched_yield().repeat(times));
    peer.end();
    batches
}

/// Forks a process that ends at once, and waits for its end.
fn whole_life() -> u64 {
    let before = Tick::now();
    match calls::fork() {
        None => calls::exit(),
        Some(child) => calls::wait4(child).must(),
    };
    Tick::now().since(before)
}
