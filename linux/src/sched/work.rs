//! What a client does: its jobs, each for exactly the CPU time that it declares by Linux's own account of this process; or
//! nothing but compute, until the run is over.
//!
//! A look at the account is a system call, and the account goes on during it. So a client looks when there is little left to
//! do, and then watches the machine's counter: as long as the counter makes no leap, nobody else has had the core, and the account
//! goes with it. If it does leap, the client looks again.
//!
//! QEMU's cores take turns, each for up to 25 us in all: leaps as short as that are the emulator's, and are in the account, as are
//! interrupts. A thread of Linux's own that had the core for so short a time goes unnoticed until the next job, which makes up
//! for it.

use crate::clients::{HEAD, JOB, Planned};
use crate::shared;
use core::sync::atomic::Ordering::Relaxed;
use linux_guest::call::{self, Tick};
use linux_guest::calls;
use linux_guest::plan::{After, Job};
use linux_raw_sys::general as linux;

/// Attempts at a look during which nothing else happens.
const LOOKS: usize = 16;
/// How much is left to do after the last look, at most, in nanoseconds.
const LAST: u64 = 200_000;
/// The longest leap of the counter that is the emulator's, in nanoseconds.
const LEAP: u64 = 30_000;
/// In a second.
const NANOSECONDS: u64 = 1_000_000_000;

/// What a look at one's account costs, and how the counter goes with the clocks.
pub struct Meter {
    /// Ticks that the shortest look takes.
    look: u64,
    /// Ticks of the counter in a second.
    frequency: u64,
    /// `CLOCK_MONOTONIC` less the counter, both in nanoseconds.
    offset: u64,
}

/// An account in nanoseconds, and when that was seen.
#[derive(Clone, Copy)]
struct Look {
    used: u64,
    at: Tick,
}

/// What a clock said, and the counter before and after.
fn stamped(clock: u32) -> (u64, [Tick; 2]) {
    let before = Tick::now();
    let said = calls::clock(clock);
    (said, [before, Tick::now()])
}

impl Meter {
    /// With the costs as they are here.
    pub fn calibrated() -> Self {
        let frequency = call::frequency();
        let looks = (0..LOOKS).map(|_| stamped(linux::CLOCK_THREAD_CPUTIME_ID).1);
        let look = looks.map(|[before, after]| after.since(before)).min().unwrap_or(0);
        let nothing = Self { look, frequency, offset: 0 };
        // Each difference lacks the time from the clock's reading to the call's end: the greatest is nearest to the truth.
        let offsets = (0..LOOKS).map(|_| {
            let (time, [_, after]) = stamped(linux::CLOCK_MONOTONIC);
            time - nothing.time(after)
        });
        let offset = offsets.max().unwrap_or(0);
        Self { offset, ..nothing }
    }

    /// Ticks in nanoseconds.
    fn span(&self, ticks: u64) -> u64 {
        (u128::from(ticks) * u128::from(NANOSECONDS) / u128::from(self.frequency)) as u64
    }

    /// Nanoseconds in ticks.
    fn ticks(&self, span: u64) -> u64 {
        (u128::from(span) * u128::from(self.frequency) / u128::from(NANOSECONDS)) as u64
    }

    /// What `CLOCK_MONOTONIC` said when the counter was there.
    fn time(&self, at: Tick) -> u64 {
        self.offset + self.span(at.0)
    }

    /// A look at the account: if it can be, one that nothing has interrupted.
    fn look(&self) -> Look {
        let mut attempts = (0..LOOKS).map(|_| stamped(linux::CLOCK_THREAD_CPUTIME_ID));
        let is_short = |(_, [before, after]): &(u64, [Tick; 2])| after.since(*before) <= 2 * self.look;
        let (used, [before, after]) =
            attempts.find(is_short).unwrap_or_else(|| stamped(linux::CLOCK_THREAD_CPUTIME_ID));
        Look { used, at: Tick(before.0 + after.since(before) / 2) }
    }

    /// Computes until this account or this time is reached, whichever is first.
    fn compute(&self, account: u64, end: u64) -> Look {
        loop {
            let seen = self.look();
            let left = account.saturating_sub(seen.used).min(end.saturating_sub(self.time(seen.at)));
            if left == 0 {
                return seen;
            }
            let stretch = if left > LAST { left - LAST / 2 } else { left };
            let (watched, at) = self.watch(seen.at, stretch);
            if left <= LAST && watched == Watched::Whole {
                return Look { used: seen.used + self.span(at.since(seen.at)), at };
            }
        }
    }

    /// Watches the counter go on from `begin` for so many nanoseconds.
    fn watch(&self, begin: Tick, nanoseconds: u64) -> (Watched, Tick) {
        let (end, leap) = (Tick(begin.0 + self.ticks(nanoseconds)), self.ticks(LEAP));
        let (mut last, mut watched) = (begin, Watched::Whole);
        while last < end {
            let now = Tick::now();
            if now.since(last) > leap {
                watched = Watched::WithGaps;
            }
            last = now;
        }
        (watched, last)
    }
}

/// Whether somebody else has had the core meanwhile.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Watched {
    Whole,
    WithGaps,
}

/// Does everything that a client has to do between these times.
pub fn work(planned: &Planned, meter: &Meter, [begin, end]: [u64; 2]) {
    if planned.client.jobs == 0 {
        meter.compute(u64::MAX, end);
        return;
    }
    // What starting up has cost is nobody's job.
    let mut account = meter.look().used;
    let mut declared = account;
    let (mut released, mut completed) = (begin, begin);
    let jobs = planned.jobs.chunks_exact(JOB).filter_map(|words| Job::decode(&mut words.iter().copied()));
    for (number, job) in jobs.enumerate() {
        released = job.gap + if job.after == After::Release { released } else { completed };
        if released >= end {
            return;
        }
        if meter.time(Tick::now()) < released {
            calls::sleep_until(released);
        }
        declared += job.demand;
        let seen = meter.compute(declared, end);
        let is_done = seen.used >= declared;
        completed = meter.time(seen.at);
        note(planned, number, [released, if is_done { completed } else { 0 }, seen.used - account]);
        if !is_done {
            return;
        }
        account = seen.used;
    }
}

/// Writes down what became of a job.
fn note(planned: &Planned, number: usize, words: [u64; JOB]) {
    let first = planned.record + HEAD + number * JOB;
    words
        .into_iter()
        .enumerate()
        .for_each(|(place, word)| shared::record(first + place).store(word, Relaxed));
    shared::record(planned.record + 1).store(number as u64 + 1, Relaxed);
}
