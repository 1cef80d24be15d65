//! What a recorded run tells of costs that come up once in a while: starting up, a job's end, the kernel's and the broker's
//! own time. Not here: turns (`samples`).

use super::samples::{Samples, What};
use crate::guests::Made;
use crate::recording::{Recording, Scheduler, Slice};
use crate::sim::costs::Way;
use libos_core::sched::TurnEnd;
use libos_core::sched::steps::Step;
use std::collections::BTreeMap;

/// Values, each a measurement.
#[derive(Clone, Debug, Default)]
pub struct Once {
    /// From a timer's time until the kernel reads the clock.
    pub entry: Vec<u64>,
    /// The same at a slot's end, where a client runs.
    pub slot_entry: Vec<u64>,
    /// A client with jobs, until it first waits.
    pub client_start: Vec<u64>,
    /// From when a job's declared time is used until its client waits.
    pub job_end: Vec<u64>,
    /// From a job's being noted until its client waits.
    pub job_noted: Vec<u64>,
    /// A libOS's own time until its clients have joined, with 1 and the number of its clients.
    pub start: Vec<(Vec<f64>, f64)>,
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
        self.timers(recording, scheduler);
        self.clients(recording, scheduler);
        self.start(recording, scheduler);
        self.ledger(made, scheduler, samples);
    }

    fn timers(&mut self, recording: &Recording, scheduler: &Scheduler) {
        let slices: Vec<&Slice> =
            recording.slices.iter().filter(|slice| slice.core == scheduler.core).collect();
        for pair in slices.windows(2) {
            if recording.turns.binary_search_by_key(&pair[1].begin, |turn| turn.end).is_ok() {
                self.slot_entry.push(pair[1].begin.saturating_sub(pair[0].end));
            }
        }
        for pair in scheduler.steps.windows(2) {
            if let [Step::Decided { decision, .. }, Step::Charged { end: TurnEnd::Ready, now, .. }] = *pair
                && slices.binary_search_by_key(&now.0, |slice| slice.begin).is_err()
                && now >= decision.until
            {
                self.entry.push(now.0 - decision.until.0);
            }
        }
    }

    fn clients(&mut self, recording: &Recording, scheduler: &Scheduler) {
        /// What a client has used, and was to use by now.
        #[derive(Default)]
        struct Account {
            ran: u64,
            started: Option<u64>,
            declared: u64,
            parted: u64,
        }
        let mut accounts: BTreeMap<u16, Account> = BTreeMap::new();
        for step in &scheduler.steps {
            let Step::Charged { client, ran, end, .. } = *step else { continue };
            let Some(index) = scheduler.clients.get(usize::from(client.0)) else { continue };
            let account = accounts.entry(client.0).or_default();
            account.ran += ran.0;
            let parts = matches!(end, TurnEnd::Waiting(_) | TurnEnd::Yielded);
            let Some(started) = account.started.filter(|_| parts) else {
                if parts {
                    account.started = Some(account.ran);
                    self.client_start.push(account.ran);
                }
                continue;
            };
            let number = account.parted;
            let Some(job) = recording.jobs.iter().find(|job| job.client == *index && job.number == number)
            else {
                continue;
            };
            account.parted += 1;
            account.declared += job.demand;
            self.job_end.extend((account.ran - started).checked_sub(account.declared));
        }
        for turn in &recording.turns {
            let within = |done: u64| turn.begin < done && done <= turn.end;
            let mut jobs = recording.jobs.iter().filter(|job| job.client == turn.client);
            let done = jobs.find_map(|job| job.completed.filter(|done| within(*done)));
            self.job_noted.extend(done.map(|done| turn.end - done).filter(|ticks| *ticks < recording.quantum / 60));
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
        let ticks = |bucket: &str| {
            ledger.buckets.get(bucket).map_or(0.0, |us| *us as f64 * frequency as f64 / 1e6)
        };
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
