//! What a client does: its jobs, each for exactly the CPU time that it declares by Linux's own account of this process; or
//! nothing but compute, until the run is over.
//!
//! Between two looks at its account a client watches the machine's counter, for as long as it would take if nobody
//! interrupted it. Whoever was interrupted has used less and goes on; so nobody uses more than it should.

use crate::clients::{HEAD, JOB, Planned};
use crate::shared;
use core::sync::atomic::Ordering::Relaxed;
use linux_guest::call::{self, Tick};
use linux_guest::calls;
use linux_guest::plan::{After, Job};
use linux_raw_sys::general as linux;

/// Looks at the account before the run, of which the cheapest counts.
const LOOKS: usize = 8;

/// What a look at one's account costs, and how to watch the counter.
pub struct Meter {
    /// CPU time from one look to the next, in nanoseconds.
    look: u64,
    /// Ticks of the counter in a second.
    frequency: u64,
}

/// A look at the account and the clock, in nanoseconds.
struct Look {
    used: u64,
    now: u64,
}

fn look() -> Look {
    Look { used: calls::clock(linux::CLOCK_THREAD_CPUTIME_ID), now: calls::clock(linux::CLOCK_MONOTONIC) }
}

impl Meter {
    /// With the costs as they are here.
    pub fn calibrated() -> Self {
        let once = |_| {
            let before = look();
            look().used - before.used
        };
        Self { look: (0..LOOKS).map(once).min().unwrap_or(0), frequency: call::frequency() }
    }

    /// Computes until this account or this time is reached, whichever is first.
    fn compute(&self, account: u64, end: u64) -> Look {
        loop {
            let seen = look();
            let left = account.saturating_sub(seen.used).min(end.saturating_sub(seen.now));
            // The next look costs something itself.
            if left <= self.look / 2 {
                return seen;
            }
            let ticks = left.saturating_sub(self.look) as u128 * self.frequency as u128 / 1_000_000_000;
            let begin = Tick::now();
            while u128::from(Tick::now().since(begin)) < ticks {}
        }
    }
}

/// Does everything that a client has to do between these times.
pub fn work(planned: &Planned, meter: &Meter, [begin, end]: [u64; 2]) {
    if planned.client.jobs == 0 {
        meter.compute(u64::MAX, end);
        return;
    }
    // What starting up has cost is nobody's job.
    let mut account = look().used;
    let mut declared = account;
    let (mut released, mut completed) = (begin, begin);
    let jobs = planned.jobs.chunks_exact(JOB).filter_map(|words| Job::decode(&mut words.iter().copied()));
    for (number, job) in jobs.enumerate() {
        released = job.gap + if job.after == After::Release { released } else { completed };
        if released >= end {
            return;
        }
        if look().now < released {
            calls::sleep_until(released);
        }
        declared += job.demand;
        let seen = meter.compute(declared, end);
        let is_done = seen.used + meter.look / 2 >= declared;
        note(planned, number, [released, if is_done { seen.now } else { 0 }, seen.used - account]);
        if !is_done {
            return;
        }
        (account, completed) = (seen.used, seen.now);
    }
}

/// Writes down what became of a job.
fn note(planned: &Planned, number: usize, words: [u64; JOB]) {
    let first = planned.record + HEAD + number * JOB;
    words.into_iter().enumerate().for_each(|(place, word)| shared::record(first + place).store(word, Relaxed));
    shared::record(planned.record + 1).store(number as u64 + 1, Relaxed);
}
