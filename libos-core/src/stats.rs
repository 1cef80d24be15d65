//! What a program counts while it works, where its creator can watch.
//!
//! Not here: what the figures are judged by. The block is at the beginning of a mailbox; its creator reads it, so
//! whatever it says is the program's own claim.
#![forbid(unsafe_code)]

use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};

/// Counters of a program, and words to and from it. All start at zero and, where nothing else is said, only grow.
#[derive(Debug, Default)]
#[repr(C)]
pub struct WorkStats {
    /// Units of work done.
    pub work_units: AtomicU64,
    /// Results that were right.
    pub checks_passed: AtomicU64,
    /// Results that were wrong.
    pub checks_failed: AtomicU64,
    /// Jobs of a program that has any that were finished.
    pub jobs: AtomicU64,
    /// Jobs that were finished after their deadline.
    pub misses: AtomicU64,
    /// Longest time from release to completion of a job, in ticks.
    pub max_response_ticks: AtomicU64,
    /// Jobs that used more or less CPU time than they declared, by more than is allowed.
    pub wrong_demands: AtomicU64,
    /// Tickets that it gives itself, if its scheduler lets it; 0: those that it has. Not a counter.
    pub tickets: AtomicU64,
    /// Jobs that were dropped: they came while its scheduler did not serve it.
    pub dropped: AtomicU64,
    /// From its creator: jobs that were released before this time are to be dropped.
    pub resumes_at: AtomicU64,
    /// Faults that a program of ill will provoked in itself and handled.
    pub faults: AtomicU64,
    /// Calls that it made with a capability that it made up or changed.
    pub forged: AtomicU64,
    /// Of these, the calls that were refused.
    pub forged_refused: AtomicU64,
    /// Calls that do not exist, and were reflected to it.
    pub unknown_calls: AtomicU64,
    /// Calls other than forgeries that should have been refused and were not.
    pub breaches: AtomicU64,
    /// What a scheduler that fails on purpose did of it: faults, calls, yields, overwritten words, as the failure has it.
    pub failures: AtomicU64,
    /// For whom it waits: one more than that one's number among the clients of its scheduler; 0: for nobody. Not a counter.
    pub waits_for: AtomicU64,
    /// Slots of each core that a libOS has use for: its bid in the market.
    pub wanted: AtomicU64,
    /// Activations that have written their final report.
    pub reported: AtomicU64,
    /// Activations that have written to a card what they have for it, or could not.
    pub stored: AtomicU64,
    /// Bytes that the last of them wrote there; [`WorkStats::NOT_STORED`] if it could not.
    pub stored_bytes: AtomicU64,
}

impl WorkStats {
    /// What was to be written to a card is not there.
    pub const NOT_STORED: u64 = u64::MAX;

    /// Nothing done yet.
    pub const fn new() -> Self {
        Self {
            work_units: AtomicU64::new(0),
            checks_passed: AtomicU64::new(0),
            checks_failed: AtomicU64::new(0),
            jobs: AtomicU64::new(0),
            misses: AtomicU64::new(0),
            max_response_ticks: AtomicU64::new(0),
            wrong_demands: AtomicU64::new(0),
            tickets: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
            resumes_at: AtomicU64::new(0),
            faults: AtomicU64::new(0),
            forged: AtomicU64::new(0),
            forged_refused: AtomicU64::new(0),
            unknown_calls: AtomicU64::new(0),
            breaches: AtomicU64::new(0),
            failures: AtomicU64::new(0),
            waits_for: AtomicU64::new(0),
            wanted: AtomicU64::new(0),
            reported: AtomicU64::new(0),
            stored: AtomicU64::new(0),
            stored_bytes: AtomicU64::new(0),
        }
    }

    /// Counts one unit of work, the result of which was right or wrong.
    pub fn count(&self, right: bool) {
        self.work_units.fetch_add(1, Relaxed);
        let check = if right { &self.checks_passed } else { &self.checks_failed };
        check.fetch_add(1, Relaxed);
    }

    /// Counts calls with something made up, of which so many were refused. Those first: whoever is stopped in between has refused more than it
    /// made, and [`WorkStats::forgeries`] knows of that; the other way round it would look as if some had been accepted.
    pub fn count_forgeries(&self, made: u64, refused: u64) {
        self.forged_refused.fetch_add(refused, Relaxed);
        self.forged.fetch_add(made, Release);
    }

    /// Calls with something made up, and how many of them were refused.
    pub fn forgeries(&self) -> (u64, u64) {
        let made = self.forged.load(Acquire);
        (made, self.forged_refused.load(Relaxed).min(made))
    }

    /// Counts one job that took `response` ticks from its release, of `deadline` allowed, if there is one.
    pub fn count_job(&self, response: u64, deadline: Option<u64>) {
        self.jobs.fetch_add(1, Relaxed);
        self.max_response_ticks.fetch_max(response, Relaxed);
        if deadline.is_some_and(|deadline| response > deadline) {
            self.misses.fetch_add(1, Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_at_its_deadline_is_no_miss_and_one_past_it_is() {
        let stats = WorkStats::default();
        stats.count_job(10, Some(10));
        stats.count_job(11, Some(10));
        stats.count_job(3, Some(10));
        stats.count_job(5, None);
        let seen = [&stats.jobs, &stats.misses, &stats.max_response_ticks].map(|field| field.load(Relaxed));
        assert_eq!(seen, [4, 1, 11]);
    }

    #[test]
    fn who_is_stopped_while_it_counts_forgeries_has_not_had_any_accepted() {
        let stats = WorkStats::default();
        stats.count_forgeries(4, 4);
        stats.forged_refused.fetch_add(4, Relaxed);
        assert_eq!(stats.forgeries(), (4, 4));
        stats.forged.fetch_add(4, Relaxed);
        stats.count_forgeries(4, 3);
        assert_eq!(stats.forgeries(), (12, 11));
    }
}
