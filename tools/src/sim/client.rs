//! A client as the simulator sees it: it computes without end, or does jobs, each for exactly the CPU time that it declares, the first
//! part of it under a lock, if the client has one. Who does the work, the client or a server in its time, makes no difference here.
//!
//! Between its acts nothing happens but that it uses CPU time, so whoever runs it needs to know only how long it has until
//! the next one. Not here: who gives it the CPU, and when.

use super::locks::{Locks, Section};
use crate::recording;
use apps::{monte_carlo, work};
use libos_core::jobs::{Job, JobSource};
use libos_core::sched::{ClientId, Tick};
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
    section: Option<Section>,
    /// Its job has not come to its lock yet.
    enters: bool,
    /// CPU time until it leaves its lock, while it has it or waits for it.
    inside: Option<u64>,
    /// For whom it waits.
    pub waits_for: Option<ClientId>,
    /// Jobs released before this are dropped, and how many were.
    resumes_at: u64,
    dropped: u64,
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
            section: None,
            enters: false,
            inside: None,
            waits_for: None,
            resumes_at: 0,
            dropped: 0,
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

    /// The same, with jobs that need a lock.
    pub fn with_lock(self, section: Option<Section>) -> Self {
        Self { section, ..self }
    }

    /// It has the lock for which it waited.
    pub fn wake(&mut self) {
        (self.waits_until, self.waits_for) = (0, None);
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

    /// It is there again, if it had left.
    pub fn come_back(&mut self) {
        self.ended = None;
    }

    /// Its scheduler serves it again: jobs that were released before this are dropped.
    pub fn resume_at(&mut self, time: u64) {
        self.resumes_at = time;
    }

    /// Jobs that were dropped.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Its next job, if the last was done at this time.
    fn next_job(&mut self, completed: u64) -> Option<Job> {
        let mut job = self.work.next(completed);
        while job.is_some_and(|job| job.released.0 < self.resumes_at) {
            self.dropped += 1;
            job = self.work.next(completed);
        }
        job
    }

    /// CPU time until its next act.
    pub fn left(&self) -> u64 {
        match self.next {
            Next::Never => u64::MAX,
            Next::End(_) if self.enters => 0,
            _ => self.left.min(self.inside.unwrap_or(u64::MAX)),
        }
    }

    /// It has used CPU time for its next act.
    fn spend(&mut self, span: u64) {
        self.left = self.left.saturating_sub(span);
        self.inside = self.inside.map(|inside| inside.saturating_sub(span));
    }

    /// It uses CPU time: at most [`Client::left`].
    pub fn run(&mut self, span: u64) {
        self.spend(span);
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
        self.spend(span);
        self.use_up(span);
    }

    /// CPU time is charged to it.
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
            self.spend(span);
        }
    }

    /// Its next act, for which the time has come. A job that ends with it goes to `done`. `None`: it goes on.
    pub fn act(
        &mut self,
        now: u64,
        locks: &mut Locks,
        done: &mut impl FnMut(recording::Job),
    ) -> Option<Parting> {
        match (self.section, self.inside) {
            (Some(section), None) if std::mem::take(&mut self.enters) => return self.enter(section, locks),
            (Some(section), Some(0)) => {
                self.inside = None;
                return locks.leave(section).then_some(Parting { reason: Reason::Event, until: 0 });
            }
            _ => {}
        }
        match self.next {
            Next::Begin => {
                let job = self.next_job(now);
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
                self.next = self.next_job(now).map_or(Next::Stop, Next::Part);
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

    /// Its job begins, with the lock, or waits for it.
    fn enter(&mut self, section: Section, locks: &mut Locks) -> Option<Parting> {
        // It leaves at the latest when the job is done.
        self.inside = Some(section.held.saturating_sub(self.account.since).min(self.left));
        self.waits_for = Some(locks.enter(section)?);
        self.waits_until = u64::MAX;
        Some(Parting { reason: Reason::Waiting, until: u64::MAX })
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
                self.enters = self.section.is_some();
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
            Next::Begin => self.next_job(end),
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
mod tests;
