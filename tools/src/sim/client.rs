//! A client as the simulator sees it: it computes without end, or does jobs, each for exactly the CPU time that it declares.
//!
//! Between its acts nothing happens but that it uses CPU time, so whoever runs it needs to know only how long it has until
//! the next one. Not here: who gives it the CPU, and when.

use crate::recording;
use apps::{monte_carlo, work};
use libos_core::jobs::{Job, JobSource};
use libos_core::sched::Tick;
use std::collections::VecDeque;
use tranche_abi::Reason;

/// What a client does.
#[derive(Clone, Debug)]
pub enum Work {
    /// Uses CPU time, and nothing else.
    Endless,
    /// The jobs of a scenario.
    Jobs(JobSource),
    /// Jobs that were recorded: released and due when they were, whatever their client does.
    Recorded(VecDeque<Job>),
}

impl Work {
    /// Whether the job of this number comes after a time that is drawn.
    fn draws(&self, number: u64) -> bool {
        matches!(self, Self::Jobs(source) if source.draws(number))
    }

    fn next(&mut self, completed: u64) -> Option<Job> {
        match self {
            Self::Endless => None,
            Self::Jobs(source) => Some(source.next(Tick(completed))),
            Self::Recorded(jobs) => jobs.pop_front(),
        }
    }
}

/// What happens when a client has used the CPU time that it needs until its next act.
#[derive(Clone, Copy, Debug)]
enum Next {
    /// It has started up, and looks for its first job.
    Begin,
    /// Its job is done.
    End(Job),
    /// It notes that.
    Note(Job),
    /// It has noted that; it waits for its next job, or yields if that has come already.
    Part(Job),
    /// There are no more jobs.
    Stop,
    /// Nothing.
    Never,
}

/// How a client gives the CPU up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parting {
    /// Why its turn ends.
    pub reason: Reason,
    /// If it waits: until when.
    pub until: u64,
}

/// A client.
#[derive(Clone, Debug)]
pub struct Client {
    /// Its place in [`recording::Recording::clients`].
    pub index: usize,
    work: Work,
    next: Next,
    /// CPU time until then.
    left: u64,
    waits_until: u64,
    job_end: JobEnd,
    account: Account,
    /// If it gives itself tickets as a Monte-Carlo integration: CPU time so far without its start, negative before that, and ticks per
    /// second.
    inflates: Option<(i64, u64)>,
    /// When it left.
    ended: Option<u64>,
}

/// How a client counts its CPU time, which it sees in steps where its core's turns are interrupted by others' (`apps::work`).
#[derive(Clone, Copy, Debug, Default)]
struct Account {
    /// CPU time since its last job had used what it was to use.
    since: u64,
    /// By how much its jobs so far have used too much.
    over: i64,
    /// By how much its job is to use less, therefore.
    lead: u64,
    /// CPU time since it last saw its account.
    unseen: u64,
    /// The longest that that lately was.
    step: u64,
}

/// What the end of a job costs its client: part of its next job.
#[derive(Clone, Copy, Debug, Default)]
pub struct JobEnd {
    /// From when it has used what the job declares until the job counts as done.
    pub done: u64,
    /// If it counts as done before that: how much. The time that a client reckons with begins when it begins to look for its
    /// first job.
    pub early: u64,
    /// From there until it waits.
    pub noted: u64,
    /// More of that if the next job's release is left to chance.
    pub draw: u64,
    /// By how much a job may use more or less than it declares.
    pub tolerance: u64,
}

impl Client {
    /// A client that starts up for so much CPU time.
    pub fn new(index: usize, work: Work, start: u64, job_end: JobEnd) -> Self {
        let start = if work.draws(0) { start + job_end.draw } else { start };
        let next = if matches!(work, Work::Endless) { Next::Never } else { Next::Begin };
        Self {
            index,
            work,
            next,
            left: start,
            waits_until: 0,
            job_end,
            account: Account::default(),
            inflates: None,
            ended: None,
        }
    }

    /// The same client, which gives itself tickets as a Monte-Carlo integration, by a clock of so many ticks per second.
    pub fn inflating(self, frequency: u64) -> Self {
        Self { inflates: Some((-(self.left as i64), frequency)), ..self }
    }

    /// The tickets that it gives itself, if it does, and has begun.
    pub fn tickets(&self) -> Option<u32> {
        let (cpu_time, frequency) = self.inflates?;
        let cpu_time = u64::try_from(cpu_time).ok()?;
        Some(monte_carlo::tickets_after(cpu_time, frequency))
    }

    /// When it can be given the CPU; a time in the past: now. `None`: never again.
    pub fn ready_at(&self) -> Option<u64> {
        self.ended.is_none().then_some(self.waits_until)
    }

    /// It leaves.
    pub fn end(&mut self, now: u64) {
        self.ended = Some(now);
    }

    /// When it left.
    pub fn ended(&self) -> Option<u64> {
        self.ended
    }

    /// CPU time until its next act.
    pub fn left(&self) -> u64 {
        if matches!(self.next, Next::Never) { u64::MAX } else { self.left }
    }

    /// It uses CPU time: at most [`Client::left`].
    pub fn run(&mut self, span: u64) {
        self.left = self.left.saturating_sub(span);
        self.use_up(span);
        self.account.step = self.account.step.max(std::mem::take(&mut self.account.unseen));
    }

    /// CPU time for which it makes no difference whether it is used or only charged.
    pub fn quiet_for(&self) -> u64 {
        match self.next {
            Next::End(_) | Next::Never => self.left(),
            Next::Begin | Next::Note(_) | Next::Part(_) | Next::Stop => 0,
        }
    }

    /// It uses CPU time, in steps as those that it has just seen.
    pub fn skip(&mut self, span: u64) {
        self.left = self.left.saturating_sub(span);
        self.use_up(span);
    }

    fn use_up(&mut self, span: u64) {
        self.account.since += span;
        if let Some((cpu_time, _)) = &mut self.inflates {
            *cpu_time += span as i64;
        }
    }

    /// CPU time is charged to it in which it does nothing. To a job that is as good as work.
    pub fn stand_still(&mut self, span: u64) {
        self.use_up(span);
        if matches!(self.next, Next::End(_)) {
            self.account.unseen += span;
            self.account.over += span.saturating_sub(self.left) as i64;
            self.left = self.left.saturating_sub(span);
        }
    }

    /// Its next act, for which the time has come. A job that ends with it goes to `done`. `None`: it goes on.
    pub fn act(&mut self, now: u64, done: &mut impl FnMut(recording::Job)) -> Option<Parting> {
        match self.next {
            Next::Begin => {
                let job = self.work.next(now);
                self.account.since = self.job_end.early;
                self.take(job);
                // Its first job may have come already; then it begins without telling anybody.
                (self.waits_until > now)
                    .then_some(Parting { reason: Reason::Waiting, until: self.waits_until })
            }
            Next::End(job) => {
                let Account { over, lead, step, .. } = self.account;
                let over = over - lead as i64;
                self.account = Account { over, step: step - step / work::STEP_MEMORY, ..Account::default() };
                (self.next, self.left) = (Next::Note(job), self.job_end.done);
                None
            }
            Next::Note(job) => {
                done(self.recorded(&job, Some(now)));
                self.left = self.noting(job.number + 1);
                self.next = self.work.next(now).map_or(Next::Stop, Next::Part);
                None
            }
            Next::Part(job) => {
                self.take(Some(job));
                let waits = self.waits_until > now;
                let reason = if waits { Reason::Waiting } else { Reason::Yielded };
                Some(Parting { reason, until: self.waits_until })
            }
            Next::Stop => {
                self.waits_until = u64::MAX;
                Some(Parting { reason: Reason::Waiting, until: u64::MAX })
            }
            Next::Never => None,
        }
    }

    /// What it costs to note a job's end and find the next one.
    fn noting(&self, next: u64) -> u64 {
        self.job_end.noted + if self.work.draws(next) { self.job_end.draw } else { 0 }
    }

    /// Its next job, of which it has used some CPU time already.
    fn take(&mut self, job: Option<Job>) {
        match job {
            Some(job) => {
                self.waits_until = job.released.0;
                let Account { since, over, step, .. } = self.account;
                let tolerance = self.job_end.tolerance.max(job.demand.0 / 100);
                self.account.lead = work::lead(over, step, tolerance);
                let left = job.demand.0.saturating_sub(since + self.account.lead);
                (self.next, self.left) = (Next::End(job), left);
            }
            None => (self.next, self.left, self.waits_until) = (Next::Stop, 0, u64::MAX),
        }
    }

    /// The jobs that were released by `end` and are not done, in their order.
    pub fn unfinished(mut self, end: u64, jobs: &mut impl FnMut(recording::Job)) {
        let used = match self.next {
            Next::End(job) => job.demand.0 - self.left.min(job.demand.0),
            Next::Note(job) => job.demand.0,
            _ => 0,
        };
        let begun = match self.next {
            Next::End(job) | Next::Note(job) | Next::Part(job) => Some(job),
            Next::Begin => self.work.next(end),
            Next::Stop | Next::Never => None,
        };
        // Whoever waits for a job's end does not release the next one meanwhile.
        let mut job = begun.filter(|job| job.released.0 < end);
        let mut first = Some(used);
        while let Some(late) = job {
            let mut late = self.recorded(&late, None);
            late.used = first.take().unwrap_or(0);
            jobs(late);
            job = self.work.next(u64::MAX).filter(|job| job.released.0 < end);
        }
    }

    fn recorded(&self, job: &Job, completed: Option<u64>) -> recording::Job {
        let Job { number, released, due, demand } = *job;
        recording::Job {
            client: self.index,
            number,
            released: released.0,
            due: due.map(|due| due.0),
            completed,
            demand: demand.0,
            used: if completed.is_some() { demand.0 } else { 0 },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use libos_core::jobs::Spec;
    use libos_core::scenario::{Arrivals, Jobs};

    /// A client with jobs of 2000 ticks, of a microsecond each, which may be off by 20, at the first of them.
    fn client() -> Client {
        let arrivals = Arrivals::Periodic { period_us: 10_000, offset_us: 0 };
        let (work_min_us, work_us) = (2000, 2000);
        let jobs = Jobs { arrivals, budget_us: 2000, deadline_us: Some(10_000), work_min_us, work_us };
        let source = JobSource::new(Spec::new(&jobs, &[], 1_000_000), Tick(100), 1);
        let job_end = JobEnd { noted: 10, tolerance: 5, ..JobEnd::default() };
        let mut client = Client::new(0, Work::Jobs(source), 0, job_end);
        assert!(client.act(0, &mut |_| ()).is_some_and(|parting| parting.until == 100));
        client
    }

    /// The client acts until it gives the CPU up, and has used what it needs for that.
    fn end_job(client: &mut Client) {
        let mut done = 0;
        while client.act(0, &mut |_| done += 1).is_none() {
            client.run(client.left());
        }
        assert_eq!(done, 1);
    }

    #[test]
    fn a_job_that_saw_too_late_that_it_was_done_is_made_up_for_by_the_next() {
        let mut client = client();
        client.run(1995);
        client.stand_still(12);
        assert_eq!(client.left(), 0);
        end_job(&mut client);
        // Noting the end of the job is part of the next.
        assert_eq!(client.left(), 2000 - 10 - 7);
    }

    #[test]
    fn time_that_passes_while_a_client_notes_its_jobs_end_is_its_next_jobs() {
        let mut client = client();
        client.run(2000);
        assert!(client.act(0, &mut |_| ()).is_none() && client.act(0, &mut |_| ()).is_none());
        client.stand_still(30);
        assert_eq!(client.left(), 10);
        client.run(10);
        assert!(client.act(0, &mut |_| ()).is_some());
        assert_eq!(client.left(), 2000 - 10 - 30);
    }

    #[test]
    fn who_sees_its_account_in_long_steps_ends_a_job_by_the_last_one_that_is_not_too_late() {
        let mut client = client();
        client.stand_still(32);
        client.run(1968);
        end_job(&mut client);
        // A step of 32, of which the memory has lost an eighth: by 8 more than it may be wrong.
        assert_eq!(client.left(), 2000 - 10 - 8);
    }
}
