//! What Linux has recorded, told as of our own schedulers: each switch to a client is a decision and begins a turn, each switch
//! away from it ends the turn. Not here: reading it (`handed`, `ring`).
//!
//! A client that is switched away from while it could go on stays ready; one that could not waits for its next job's
//! release. Until when Linux meant to let a client run, and whom it thinks of as ready, it does not say.

use super::handed::{Begun, Handed, Process};
use super::plan::Planned;
use super::ring::Switch;
use crate::recording::{Client, Job, LinuxPolicy, Recording, Scheduler, Source, Turn};
use libos_core::scenario::{Admission, Policy, Scenario};
use libos_core::sched::steps::Step;
use libos_core::sched::{ClientId, Decision, Demand, Tick, TurnEnd};
use libos_stride::currency::Currencies;
use linux_guest::plan::{self, After};

/// A run on Linux.
pub struct Ran<'a> {
    /// What was run, with every change made.
    pub scenario: &'a Scenario,
    /// How Linux scheduled.
    pub policy: LinuxPolicy,
    /// What it was told to do.
    pub planned: &'a Planned,
    /// What it did.
    pub handed: &'a Handed,
}

impl Ran<'_> {
    /// The run as a recording.
    pub fn recording(&self) -> Recording {
        let Self { scenario, handed, .. } = self;
        let frequency = handed.frequency;
        // Everybody is served to the end.
        let until = self.ticks(self.end());
        let clients = Client::all(scenario, frequency).into_iter().map(|client| Client { until, ..client });
        let mut recording = Recording {
            source: Source::Linux(self.policy),
            scenario: scenario.name.clone(),
            seed: scenario.seed,
            cores: scenario.cores,
            frequency,
            quantum: u64::from(scenario.quantum_us) * frequency / 1_000_000,
            slots: scenario.slots.into(),
            epoch: self.ticks(handed.begin),
            end: until,
            clients: clients.collect(),
            schedulers: Vec::new(),
            slices: Vec::new(),
            turns: Vec::new(),
            jobs: Vec::new(),
            lost: handed.lost,
            // What Linux's tracing costs is in everybody's time, and is not told apart.
            cost: None,
        };
        for libos in &scenario.libos {
            for core in 0..scenario.cores {
                let scheduler = self.scheduler(&libos.name, core, &mut recording);
                recording.schedulers.push(scheduler);
            }
        }
        recording.turns.sort_by_key(|turn| turn.begin);
        recording.jobs = self.jobs(&recording.clients);
        recording
    }

    fn ticks(&self, nanoseconds: u64) -> u64 {
        (u128::from(nanoseconds) * u128::from(self.handed.frequency) / 1_000_000_000) as u64
    }

    fn end(&self) -> u64 {
        self.handed.begin + u64::from(self.scenario.duration_ms) * 1_000_000
    }

    /// What happened on a core, for the clients that a libOS has there. Its turns go into the recording.
    fn scheduler(&self, libos: &str, core: u32, recording: &mut Recording) -> Scheduler {
        let is_here = |index: &usize| {
            let client = &recording.clients[*index];
            client.libos == libos && client.core == Some(core)
        };
        let clients: Vec<usize> = (0..recording.clients.len()).filter(is_here).collect();
        let now = Tick(recording.epoch);
        let join = |(number, index): (usize, &usize)| {
            let demand = Demand::Share { tickets: recording.clients[*index].tickets };
            Step::Join { client: ClientId(number as u16), demand, now }
        };
        let steps = clients.iter().enumerate().map(join).collect();
        let mut core_told = CoreTold { ran: self, core, clients: &clients, current: None, steps };
        let switches = self.handed.cores.get(core as usize).map_or(&[][..], |switches| switches);
        let inside = |switch: &&Switch| (self.handed.begin..self.end()).contains(&switch.at);
        for switch in switches.iter().filter(inside) {
            core_told.note(switch, &mut recording.turns);
        }
        // Whoever runs at the end has run until then.
        core_told.close((self.end(), true), &mut recording.turns);
        let steps = core_told.steps;
        Scheduler {
            libos: libos.into(),
            core,
            policy: Policy::None,
            admission: Admission::Off,
            clients,
            currencies: Currencies::default(),
            steps,
            step_cores: Vec::new(),
            own: 0,
        }
    }

    /// Every job that was released, as those of our own machine: in the order in which they ended, and then the others.
    fn jobs(&self, clients: &[Client]) -> Vec<Job> {
        let mut all = Vec::new();
        for (index, client) in clients.iter().enumerate() {
            let mut before = Begun { released: self.handed.begin, completed: self.handed.begin, used: 0 };
            for (number, planned) in self.planned.jobs[index].iter().enumerate() {
                let begun = self.handed.clients[index].jobs.get(number);
                let Some(job) = self.fate(planned, begun, before) else { break };
                all.push(self.job((index, client, number as u64), planned, job));
                before = job;
            }
        }
        all.sort_by_key(|job| (job.completed.unwrap_or(u64::MAX), job.released, job.client));
        all
    }

    /// What became of a planned job, after the one before; `None` if it was not released.
    fn fate(&self, planned: &plan::Job, begun: Option<&Begun>, before: Begun) -> Option<Begun> {
        let released = match planned.after {
            After::Release => before.released + planned.gap,
            // Whoever waits for a job's end does not release the next one meanwhile.
            After::Completion if before.completed == 0 => return None,
            After::Completion => before.completed + planned.gap,
        };
        let unbegun = Begun { released, completed: 0, used: 0 };
        let job = begun.copied().unwrap_or(unbegun);
        // A client that does not have the CPU at the end may find out later that its job was done.
        let completed = if job.completed > self.end() { 0 } else { job.completed };
        (released < self.end()).then_some(Begun { completed, ..job })
    }

    fn job(&self, (index, client, number): (usize, &Client, u64), planned: &plan::Job, job: Begun) -> Job {
        let released = self.ticks(job.released);
        Job {
            client: index,
            number,
            released,
            due: client.deadline.map(|deadline| released + deadline),
            completed: (job.completed > 0).then(|| self.ticks(job.completed)),
            demand: self.ticks(planned.demand),
            used: self.ticks(job.used),
        }
    }
}

/// A core whose switches are being told.
struct CoreTold<'a> {
    ran: &'a Ran<'a>,
    core: u32,
    /// Of the libOS, in the policy's numbering.
    clients: &'a [usize],
    /// Who has the core, and since when.
    current: Option<(usize, u64)>,
    steps: Vec<Step>,
}

impl CoreTold<'_> {
    fn note(&mut self, switch: &Switch, turns: &mut Vec<Turn>) {
        self.close((switch.at, switch.ready), turns);
        let now = Tick(self.ran.ticks(switch.at));
        let processes = &self.ran.handed.clients;
        let number = self.clients.iter().position(|index| processes[*index].id == switch.to);
        if let Some(number) = number {
            let decision = Decision { client: ClientId(number as u16), until: Tick::NEVER };
            self.steps.push(Step::Decided { now, decision });
            self.current = Some((number, switch.at));
        } else if switch.to == 0 {
            self.steps.push(Step::Idle { now, until: Tick::NEVER });
        }
    }

    /// Ends the turn that is under way, if there is one.
    fn close(&mut self, (at, ready): (u64, bool), turns: &mut Vec<Turn>) {
        let Some((number, since)) = self.current.take() else { return };
        let client = self.clients[number];
        let [begin, now] = [since, at].map(|time| self.ran.ticks(time));
        let process = &self.ran.handed.clients[client];
        let waits =
            || self.ran.next_release(process, at).map_or(Tick::NEVER, |time| Tick(self.ran.ticks(time)));
        let end = if ready { TurnEnd::Ready } else { TurnEnd::Waiting(waits()) };
        let ran = Tick(now - begin);
        self.steps.push(Step::Charged { client: ClientId(number as u16), ran, end, now: Tick(now) });
        turns.push(Turn { client, core: self.core, begin, end: now, ran: ran.0 });
    }
}

impl Ran<'_> {
    /// When a client's first job is released that was not done at a time.
    fn next_release(&self, process: &Process, at: u64) -> Option<u64> {
        let is_done = |job: &Begun| job.completed > 0 && job.completed <= at;
        process.jobs.get(process.jobs.partition_point(is_done)).map(|job| job.released)
    }
}

#[cfg(test)]
mod tests;
