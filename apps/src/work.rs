//! What all workloads share: what they are told, and how they repeat it: without end, or as jobs with deadlines.
//!
//! Not here: the work. A job uses exactly the CPU time that it declares, by the activation's own account; what waking
//! and waiting cost is part of it, so the sum over jobs does not drift.
#![forbid(unsafe_code)]

use core::sync::atomic::Ordering::Relaxed;
use libos_core::start::StartInfo;
use libos_core::stats::WorkStats;
use libos_core::{output, page, trace};
use serde::{Deserialize, Serialize};
use tranche_abi::Tick;

/// Jobs with deadlines, in ticks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Jobs {
    /// When the first is released, absolute.
    pub first_release: u64,
    /// Time between releases.
    pub period: u64,
    /// Time from a release to its deadline.
    pub deadline: u64,
    /// CPU time that each uses.
    pub work: u64,
}

/// What a workload is told in its start page.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkArguments {
    /// Jobs to do; `None` to work without end.
    pub jobs: Option<Jobs>,
}

/// What a workload sees of the activation that it runs on.
pub trait Clock {
    /// The time.
    fn now(&mut self) -> Tick;
    /// CPU time charged so far.
    fn cpu_time(&mut self) -> Tick;
    /// Gives the CPU back until then.
    fn sleep_until(&mut self, time: Tick);
}

/// The running activation.
pub struct Own;

impl Clock for Own {
    fn now(&mut self) -> Tick {
        page::now()
    }
    fn cpu_time(&mut self) -> Tick {
        page::cpu_time()
    }
    fn sleep_until(&mut self, time: Tick) {
        page::sleep_until(time);
    }
}

/// Does units of work as the start page says. A unit says whether its result was right.
pub fn run(info: &StartInfo, mut unit: impl FnMut() -> bool) {
    let stats = output::stats();
    match arguments(info).jobs {
        None => loop {
            stats.count(unit());
        },
        Some(jobs) => {
            let mut state = JobState::new(jobs, &mut Own);
            loop {
                state.next(&mut Own, stats, &mut unit);
            }
        }
    }
}

/// Bytes that are no arguments are from a creator of another version: then it works without end.
fn arguments(info: &StartInfo) -> WorkArguments {
    info.arguments().unwrap_or_default()
}

/// Where a program with jobs is.
#[derive(Clone, Copy, Debug)]
pub struct JobState {
    jobs: Jobs,
    release: u64,
    /// The present job's number.
    number: u64,
    /// The account when the present job began, what waking for it costs included.
    began_at: u64,
    /// The account at which the present job is done.
    done_at: u64,
}

impl JobState {
    /// Before the first job.
    pub fn new(jobs: Jobs, clock: &mut impl Clock) -> Self {
        // What starting up has cost is nobody's job.
        let account = clock.cpu_time().0;
        Self { jobs, release: jobs.first_release, number: 0, began_at: account, done_at: account }
    }

    /// Waits for the next release and does its job: units until the declared CPU time is used, one at least.
    pub fn next(&mut self, clock: &mut impl Clock, stats: &WorkStats, unit: &mut impl FnMut() -> bool) {
        clock.sleep_until(Tick(self.release));
        self.done_at += self.jobs.work;
        let mut right = true;
        let account = loop {
            right &= unit();
            stats.work_units.fetch_add(1, Relaxed);
            let account = clock.cpu_time().0;
            if account >= self.done_at {
                break account;
            }
        };
        let check = if right { &stats.checks_passed } else { &stats.checks_failed };
        check.fetch_add(1, Relaxed);
        trace::job(&trace::Job {
            number: self.number,
            released: self.release,
            due: Some(self.release + self.jobs.deadline),
            demand: self.jobs.work,
            used: account - self.began_at,
        });
        (self.number, self.began_at) = (self.number + 1, account);
        stats.count_job(clock.now().since(Tick(self.release)).0, self.jobs.deadline);
        self.release += self.jobs.period;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A CPU of its own on which a unit takes 7 ticks and waking 3.
    struct Fake {
        now: u64,
        cpu: u64,
    }

    impl Fake {
        fn use_cpu(&mut self, ticks: u64) {
            self.now += ticks;
            self.cpu += ticks;
        }
    }

    impl Clock for &core::cell::RefCell<Fake> {
        fn now(&mut self) -> Tick {
            Tick(self.borrow().now)
        }
        fn cpu_time(&mut self) -> Tick {
            Tick(self.borrow().cpu)
        }
        fn sleep_until(&mut self, time: Tick) {
            let mut fake = self.borrow_mut();
            fake.now = fake.now.max(time.0);
            fake.use_cpu(3);
        }
    }

    #[test]
    fn jobs_use_the_declared_cpu_time_on_average_without_drift() {
        let fake = core::cell::RefCell::new(Fake { now: 0, cpu: 0 });
        let stats = WorkStats::default();
        let jobs = Jobs { first_release: 1_000, period: 1_000, deadline: 500, work: 100 };
        let mut state = JobState::new(jobs, &mut &fake);
        let mut unit = || {
            fake.borrow_mut().use_cpu(7);
            true
        };
        (0..50).for_each(|_| state.next(&mut &fake, &stats, &mut unit));
        let used = fake.borrow().cpu;
        assert!((5_000..5_007).contains(&used), "{used}");
        let seen = [&stats.jobs, &stats.misses, &stats.checks_passed, &stats.checks_failed];
        assert_eq!(seen.map(|field| field.load(Relaxed)), [50, 0, 50, 0]);
        assert!(stats.max_response_ticks.load(Relaxed) <= 107);
    }

    #[test]
    fn a_late_job_is_a_miss_and_the_next_is_released_in_its_time_all_the_same() {
        let fake = core::cell::RefCell::new(Fake { now: 0, cpu: 0 });
        let stats = WorkStats::default();
        let jobs = Jobs { first_release: 0, period: 50, deadline: 50, work: 60 };
        let mut state = JobState::new(jobs, &mut &fake);
        let mut wrong = || {
            fake.borrow_mut().use_cpu(7);
            false
        };
        (0..3).for_each(|_| state.next(&mut &fake, &stats, &mut wrong));
        assert_eq!(stats.misses.load(Relaxed), 3);
        assert_eq!(state.release, 150);
        assert_eq!(stats.checks_failed.load(Relaxed), 3);
    }

    #[test]
    fn arguments_of_another_version_mean_no_jobs() {
        let info = StartInfo { arguments: alloc::vec![1], ..StartInfo::default() };
        assert_eq!(arguments(&info), WorkArguments { jobs: None });
    }
}
