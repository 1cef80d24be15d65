//! What a recorded run tells of costs that come up once in a while: starting up, a job's end, the kernel's and the broker's
//! own time. Not here: turns (`samples`).

use super::samples::{Samples, What};
use crate::guests::Made;
use crate::recording::{Job, Recording, Scheduler};
use crate::sim::costs::Way;
use libos_core::jobs::{JobSource, Spec};
use libos_core::sched::steps::Step;
use libos_core::sched::{Tick, TurnEnd};

/// Values, each a measurement.
#[derive(Clone, Debug, Default)]
pub struct Once {
    /// A client with jobs, of which the first is not drawn, until it first waits: for that one, unless its scheduler goes by deadlines
    /// and lets nobody run before it is released.
    pub client_start: Vec<u64>,
    /// From when a job's declared time is used until its client waits.
    pub job_end: Vec<u64>,
    /// From a job's being noted until its client waits, with 1 and whether it draws when its next job comes.
    pub job_noted: Vec<(Vec<f64>, f64)>,
    /// A libOS's own time until its clients have joined, with 1 and the number of its clients.
    pub start: Vec<(Vec<f64>, f64)>,
    /// A libOS's time in which another policy took over, with 1 and the number of its clients.
    pub swap: Vec<(Vec<f64>, f64)>,
    /// The kernel's time, with how many slots began with somebody to run, how many without, how many turns ran out of time
    /// and how many waits ended.
    pub kernel: Vec<(Vec<f64>, f64)>,
    /// The broker's time, with 1 and the number of revolutions.
    pub broker: Vec<(Vec<f64>, f64)>,
}

impl Once {
    /// Adds what a run tells, whose scheduler has these samples.
    pub fn add(&mut self, made: &Made, scheduler: &Scheduler, samples: &Samples) {
        let recording = &made.recording;
        self.clients(made, scheduler);
        self.start(recording, scheduler);
        self.ledger(made, scheduler, samples);
    }

    /// Adds what a run tells in which other policies took over.
    pub fn swaps(&mut self, made: &Made) {
        for one in &made.results.successions {
            let ticks = one.gap_us * made.recording.frequency as f64 / 1e6;
            self.swap.push((vec![1.0, one.clients as f64], ticks));
        }
    }

    fn clients(&mut self, made: &Made, scheduler: &Scheduler) {
        let recording = &made.recording;
        for (number, index) in scheduler.clients.iter().enumerate() {
            let Some(source) = source(made, *index) else { continue };
            let draws = |number| vec![1.0, f64::from(u8::from(source.draws(number)))];
            let mut jobs: Vec<&Job> = recording.jobs.iter().filter(|job| job.client == *index).collect();
            jobs.sort_by_key(|job| job.number);
            let partings = partings(scheduler, number);
            let Some(started) = partings.first() else { continue };
            let waits_first = !source.draws(0) && !scheduler.policy.is_for_deadlines();
            if waits_first {
                self.client_start.push(*started);
            }
            let mut declared = 0;
            for (job, parted) in jobs.iter().zip(&partings[1..]) {
                declared += job.demand;
                // Where the next release is not drawn, as the first was not.
                if waits_first {
                    self.job_end.extend((parted - started).checked_sub(declared));
                }
            }
            for job in jobs {
                let done = job.completed.unwrap_or(0);
                let turn = recording.turns_of(*index).find(|turn| turn.begin < done && done <= turn.end);
                let ticks = turn.map(|turn| turn.end - done).filter(|ticks| *ticks < recording.quantum / 60);
                self.job_noted.extend(ticks.map(|ticks| (draws(job.number + 1), ticks as f64)));
            }
        }
    }

    fn start(&mut self, recording: &Recording, scheduler: &Scheduler) {
        let own = recording.schedulers.iter().position(|one| std::ptr::eq(one, scheduler));
        let joined = scheduler.steps.iter().find_map(|step| match step {
            Step::Join { now, .. } => Some(now.0),
            _ => None,
        });
        let Some(joined) = joined else { return };
        let before = recording.slices.iter().filter(|slice| slice.owner == own && slice.begin < joined);
        let ticks: u64 = before.map(|slice| slice.end.min(joined) - slice.begin).sum();
        self.start.push((vec![1.0, scheduler.clients.len() as f64], ticks as f64));
    }

    fn ledger(&mut self, made: &Made, scheduler: &Scheduler, samples: &Samples) {
        let Recording { frequency, quantum, slots, epoch, end, .. } = made.recording;
        let Some(ledger) = made.results.ledger.first() else { return };
        let ticks =
            |bucket: &str| ledger.buckets.get(bucket).map_or(0.0, |us| *us as f64 * frequency as f64 / 1e6);
        let own = made.recording.schedulers.iter().position(|one| std::ptr::eq(one, scheduler));
        let mine = made.recording.slices.iter().filter(|slice| slice.owner == own).count() as f64;
        let all = ledger.elapsed_ticks as f64 / quantum as f64;
        let count = |way| samples.get(&What::Back(way)).map_or(0, Vec::len) as f64;
        let kernel = vec![mine, all - mine, count(Way::Expired), count(Way::Woken)];
        self.kernel.push((kernel, ticks("kernel")));
        let revolutions = (end - epoch) as f64 / (quantum * slots) as f64;
        self.broker.push((vec![1.0, revolutions.floor()], ticks("broker")));
    }
}

/// Where a client's jobs come from, if it has any.
fn source(made: &Made, index: usize) -> Option<JobSource> {
    let clients = made.scenario.libos.iter().flat_map(|libos| &libos.clients);
    let mut copies = clients.flat_map(|client| client.copies(made.scenario.cores).map(move |_| client));
    let spec = Spec::new(&copies.nth(index)?.jobs?, &made.scenario.traces, made.recording.frequency);
    Some(JobSource::new(spec, Tick(0), 1))
}

/// What a client had used in all, each time that it waited or yielded.
fn partings(scheduler: &Scheduler, number: usize) -> Vec<u64> {
    let mut all = Vec::new();
    let mut used = 0;
    for step in &scheduler.steps {
        if let Step::Charged { client, ran, end, .. } = *step
            && usize::from(client.0) == number
        {
            used += ran.0;
            if matches!(end, TurnEnd::Waiting(_) | TurnEnd::Yielded) {
                all.push(used);
            }
        }
    }
    all
}
