//! What all workloads share: what they are told, and how they repeat it: without end, or as jobs with deadlines.
//!
//! Not here: the work; a lock that it needs, or a server that does it ([`crate::sharing`]). A job uses exactly the CPU time that it declares, by the activation's own account; what waking
//! and waiting cost is part of it, so the sum over jobs does not drift.
#![forbid(unsafe_code)]

use crate::sharing::{self, Guarded, Request, Section, Worker};
use core::sync::atomic::Ordering::Relaxed;
use libos_core::jobs::{Job, JobSource, Spec, is_wrong_demand};
use libos_core::lock::Page;
use libos_core::start::StartInfo;
use libos_core::stats::WorkStats;
use libos_core::{calls, output, page, say, trace};
use serde::{Deserialize, Serialize};
use tranche_abi::{Capability, Tick};

/// Jobs to do, in ticks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Jobs {
    /// Which.
    pub spec: Spec,
    /// When they begin, absolute.
    pub begin: u64,
    /// The seed of their chance.
    pub seed: u64,
    /// By how much a job may use more or less than it declares, unless a hundredth of that is more.
    pub tolerance: u64,
}

/// For about how many jobs a long step is remembered.
pub const STEP_MEMORY: u64 = 8;

/// What a workload is told in its start page.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkArguments {
    /// Jobs to do; `None` to work without end.
    pub jobs: Option<Jobs>,
    /// The lock that each job needs.
    pub section: Option<Section>,
    /// Who does the work.
    pub worker: Worker,
}

/// What jobs are made of.
pub trait Work {
    /// A piece of it, for about `left` of CPU time at most, where it can be cut: whether its result was right.
    fn unit(&mut self, left: Tick) -> bool;
    /// A job begins.
    fn begin(&mut self) {}
    /// A job has used so much CPU time of what it is to use.
    fn used(&mut self, _used: Tick) {}
    /// A job is done.
    fn end(&mut self) {}
}

impl<F: FnMut() -> bool> Work for F {
    fn unit(&mut self, _left: Tick) -> bool {
        self()
    }
}

/// What a workload sees of the activation that it runs on.
pub trait Clock {
    /// The time.
    fn now(&mut self) -> Tick;
    /// CPU time charged so far.
    fn cpu_time(&mut self) -> Tick;
    /// Gives the CPU back until then.
    fn sleep_until(&mut self, time: Tick);
    /// Gives the rest of the turn away.
    fn give_way(&mut self);
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
    fn give_way(&mut self) {
        // Not refused to a running activation.
        let _ = calls::yield_now();
    }
}

/// Does units of work as the start page says, or others' work, or lets a server do it. A unit says whether its result was right.
pub fn run(info: &StartInfo, unit: impl FnMut() -> bool + Send + 'static) {
    let arguments = arguments(info);
    match arguments.worker {
        Worker::Itself => guarded(info, arguments, unit),
        Worker::Server { body, mac, activation } => {
            match Request::new(Capability { body, mac }, activation) {
                Ok(request) => guarded(info, arguments, request),
                Err(error) => say!("there is no way to the server: {error:?}"),
            }
        }
        Worker::Others => sharing::serve(unit),
    }
}

/// Works, under the lock that the jobs need, if they need one.
fn guarded(info: &StartInfo, arguments: WorkArguments, work: impl Work) {
    match arguments.section.zip(Page::of(info)) {
        Some((section, page)) => repeat(arguments.jobs, Guarded::new(section, page, work)),
        None => repeat(arguments.jobs, work),
    }
}

fn repeat(jobs: Option<Jobs>, mut work: impl Work) {
    let stats = output::stats();
    match jobs {
        None => loop {
            stats.count(work.unit(Tick::NEVER));
        },
        Some(jobs) => {
            let mut state = JobState::new(jobs, &mut Own);
            loop {
                state.next(&mut Own, stats, &mut work);
            }
        }
    }
}

/// By how much a job may end before it has used its demand: by what those before it have used too much, so that the sum does
/// not drift; but by enough that the next step, if it is as long as this, would not be too late for it, and not by so much that
/// this one is too early.
pub fn lead(over: i64, step: u64, tolerance: u64) -> u64 {
    let least = step.saturating_sub(tolerance).min(tolerance);
    u64::try_from(over).unwrap_or(0).clamp(least, tolerance)
}

/// Bytes that are no arguments are from a creator of another version: then it works without end.
fn arguments(info: &StartInfo) -> WorkArguments {
    info.arguments().unwrap_or_default()
}

/// Where a program with jobs is.
#[derive(Clone, Debug)]
pub struct JobState {
    source: JobSource,
    deadline: Option<u64>,
    tolerance: u64,
    /// When the last job was done; the account then, and what it should have been.
    completed: Tick,
    account: u64,
    planned: u64,
    /// The longest step in which it lately saw its account grow.
    step: u64,
}

impl JobState {
    /// Before the first job.
    pub fn new(jobs: Jobs, clock: &mut impl Clock) -> Self {
        let deadline = jobs.spec.deadline;
        let source = JobSource::new(jobs.spec, Tick(jobs.begin), jobs.seed);
        // What starting up has cost is nobody's job.
        let account = clock.cpu_time().0;
        Self {
            source,
            deadline,
            tolerance: jobs.tolerance,
            completed: Tick(jobs.begin),
            account,
            planned: account,
            step: 0,
        }
    }

    /// Waits for the next release and does its job: units until the declared CPU time is used, one at least. An emulator
    /// whose cores take turns shows each of them the time in steps; a job ends at the step that keeps it within its tolerance.
    pub fn next(&mut self, clock: &mut impl Clock, stats: &WorkStats, work: &mut impl Work) {
        let mut job = self.source.next(self.completed);
        while job.released.0 < stats.resumes_at.load(Relaxed) {
            // It came while the scheduler did not serve this client, and would make those late that come now.
            stats.dropped.fetch_add(1, Relaxed);
            job = self.source.next(self.completed);
        }
        if clock.now() < job.released {
            clock.sleep_until(job.released);
        } else if job.number > 0 {
            // Its time has come already; the scheduler learns all the same that the last one is done.
            clock.give_way();
        }
        work.begin();
        let (mut right, mut seen) = (true, None);
        let until = self.account + job.demand.0;
        let used = loop {
            right &= work.unit(Tick(until.saturating_sub(seen.unwrap_or(self.account))));
            stats.work_units.fetch_add(1, Relaxed);
            let used = clock.cpu_time().0;
            self.step = self.step.max(used - seen.unwrap_or(used));
            if used + self.lead(job.demand.0) >= until {
                break used;
            }
            work.used(Tick(used.saturating_sub(self.account)));
            seen = Some(used);
        };
        work.end();
        let check = if right { &stats.checks_passed } else { &stats.checks_failed };
        check.fetch_add(1, Relaxed);
        self.end(job, used, clock.now(), stats);
    }

    /// By how much a job may end before it has used its demand.
    fn lead(&self, demand: u64) -> u64 {
        let over = self.account.cast_signed().wrapping_sub(self.planned.cast_signed());
        lead(over, self.step, self.tolerance.max(demand / 100))
    }

    /// Counts a job that is done, at an account of `used`.
    fn end(&mut self, job: Job, used: u64, now: Tick, stats: &WorkStats) {
        stats.count_job(now.since(job.released).0, self.deadline);
        trace::job(&trace::Job {
            number: job.number,
            released: job.released.0,
            due: job.due.map(|due| due.0),
            demand: job.demand.0,
            used: used - self.account,
            completed: now.0,
        });
        if is_wrong_demand(used - self.account, job.demand.0, self.tolerance) {
            stats.wrong_demands.fetch_add(1, Relaxed);
        }
        self.planned += job.demand.0;
        // Steps become shorter, too.
        self.step -= self.step / STEP_MEMORY;
        (self.account, self.completed) = (used, now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use libos_core::jobs::Arrivals;

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
        fn give_way(&mut self) {
            self.borrow_mut().use_cpu(3);
        }
    }

    fn jobs(period: u64, deadline: u64, work: u64) -> Jobs {
        let arrivals = Arrivals::Periodic { period, offset: 0 };
        let spec = Spec { arrivals, deadline: Some(deadline), work_min: work, work_max: work };
        Jobs { spec, begin: 1_000, seed: 1, tolerance: 10 }
    }

    #[test]
    fn jobs_use_the_declared_cpu_time_on_average_without_drift() {
        let fake = core::cell::RefCell::new(Fake { now: 0, cpu: 0 });
        let stats = WorkStats::default();
        let mut state = JobState::new(jobs(1_000, 500, 100), &mut &fake);
        let mut unit = || {
            fake.borrow_mut().use_cpu(7);
            true
        };
        (0..50).for_each(|_| state.next(&mut &fake, &stats, &mut unit));
        let used = fake.borrow().cpu;
        assert!((5_000..5_007).contains(&used), "{used}");
        let seen =
            [&stats.jobs, &stats.misses, &stats.checks_passed, &stats.checks_failed, &stats.wrong_demands];
        assert_eq!(seen.map(|field| field.load(Relaxed)), [50, 0, 50, 0, 0]);
        assert!(stats.max_response_ticks.load(Relaxed) <= 107);
    }

    #[test]
    fn where_time_is_seen_in_steps_every_job_ends_within_its_tolerance_and_the_sum_does_not_drift() {
        for (step, tolerance) in [(15, 10), (19, 10), (11, 10), (20, 10)] {
            let fake = core::cell::RefCell::new(Fake { now: 0, cpu: 0 });
            let stats = WorkStats::default();
            let mut jobs = Jobs { tolerance, ..jobs(1_000, 500, 120) };
            jobs.spec.work_min = 80;
            let mut state = JobState::new(jobs, &mut &fake);
            // The time stands still for three units, then the others have their turns.
            let mut units = 0;
            let mut unit = || {
                units += 1;
                fake.borrow_mut().use_cpu(if units % 4 == 0 { step } else { 0 });
                true
            };
            (0..200).for_each(|_| state.next(&mut &fake, &stats, &mut unit));
            assert_eq!(stats.wrong_demands.load(Relaxed), 0, "steps of {step}");
            let drift = state.account.abs_diff(state.planned);
            assert!(drift < 300, "{drift} in 200 jobs, in steps of {step}");
        }
    }

    #[test]
    fn a_late_job_is_a_miss_and_the_next_is_released_in_its_time_all_the_same() {
        let fake = core::cell::RefCell::new(Fake { now: 0, cpu: 0 });
        let stats = WorkStats::default();
        let mut state = JobState::new(jobs(50, 50, 60), &mut &fake);
        let mut wrong = || {
            fake.borrow_mut().use_cpu(7);
            false
        };
        (0..3).for_each(|_| state.next(&mut &fake, &stats, &mut wrong));
        assert_eq!(stats.misses.load(Relaxed), 3);
        let response = fake.borrow().now - 1_100;
        assert_eq!(stats.max_response_ticks.load(Relaxed), response, "the third is released at 1100");
        assert_eq!(stats.checks_failed.load(Relaxed), 3);
    }

    #[test]
    fn jobs_that_came_while_nobody_served_the_client_are_dropped() {
        let fake = core::cell::RefCell::new(Fake { now: 5_000, cpu: 0 });
        let stats = WorkStats::default();
        let mut state = JobState::new(jobs(1_000, 500, 100), &mut &fake);
        let mut unit = || {
            fake.borrow_mut().use_cpu(100);
            true
        };
        stats.resumes_at.store(7_000, Relaxed);
        state.next(&mut &fake, &stats, &mut unit);
        let seen = [&stats.jobs, &stats.misses, &stats.dropped].map(|field| field.load(Relaxed));
        assert_eq!((seen, fake.borrow().now), ([1, 0, 6], 7_103), "those of 1000 to 6000 are dropped");
    }

    #[test]
    fn only_a_job_after_another_begins_with_a_yield_if_its_time_has_come() {
        let fake = core::cell::RefCell::new(Fake { now: 5_000, cpu: 0 });
        let stats = WorkStats::default();
        let mut state = JobState::new(jobs(1_000, 500, 100), &mut &fake);
        let mut unit = || {
            fake.borrow_mut().use_cpu(100);
            true
        };
        state.next(&mut &fake, &stats, &mut unit);
        assert_eq!(fake.borrow().cpu, 100);
        state.next(&mut &fake, &stats, &mut unit);
        assert_eq!(fake.borrow().cpu, 203, "giving way takes 3");
    }

    #[test]
    fn a_job_of_units_too_long_for_it_has_its_demand_wrong() {
        let fake = core::cell::RefCell::new(Fake { now: 0, cpu: 0 });
        let stats = WorkStats::default();
        let mut state = JobState::new(jobs(1_000, 500, 100), &mut &fake);
        let mut unit = || {
            fake.borrow_mut().use_cpu(111);
            true
        };
        state.next(&mut &fake, &stats, &mut unit);
        assert_eq!(stats.wrong_demands.load(Relaxed), 1);
    }

    #[test]
    fn arguments_of_another_version_mean_no_jobs() {
        let info = StartInfo { arguments: alloc::vec![1], ..StartInfo::default() };
        assert_eq!(arguments(&info), WorkArguments::default());
    }
}
