//! The simulator: a scenario's run without a machine, around the policies' own code and the kernel's slice vector.
//!
//! * [`core`]: one core, event by event. [`slots`]: whose its slots are. [`activation`]: a scheduler on it. [`client`]: a
//!   client. [`broker`]: who gets which slots. [`policy`]: every policy by name. [`costs`]: what takes how long.
//!   [`crew`]: a libOS's clients before they are there.
//! * [`report`]: a simulated run as `results.json` has it.
//!
//! Here: a scenario becomes cores, and what happened on them a recording. `docs/simulator.md` says what is simulated and what
//! is not. Deterministic: cores are independent of each other between two acts of the broker, and nothing depends
//! on the host.

pub mod activation;
pub mod broker;
pub mod client;
pub mod contest;
pub mod core;
pub mod costs;
pub mod crew;
pub mod policy;
pub mod report;
pub mod slots;
#[cfg(test)]
pub(crate) mod tests;
pub mod together;
pub mod turns;

use crate::Failure;
use crate::qemu::Pace;
use crate::recording::{self, Recording, Source};
use activation::Activation;
use broker::Broker;
use core::{Core, Progress};
use costs::Costs;
use crew::Crew;
use libos_core::scenario::{Admission, LibOs, Policy, Scenario};
use libos_core::sched::steps::Step;
use libos_stride::currency::Currencies;
use policy::{Any, Terms};
use slots::{Slots, Vector};
use together::Together;

/// A run that was simulated.
#[derive(Debug)]
pub struct Run {
    /// What happened.
    pub recording: Recording,
    /// The cores as they were at the end.
    pub cores: Vec<Core>,
    /// The broker and its accounts.
    pub broker: Broker,
}

/// Simulates a scenario.
///
/// # Errors
/// Names what in it is not simulated; or a policy that turns on the spot.
pub fn simulate(scenario: &Scenario, costs: &Costs) -> Result<Run, Failure> {
    let mut machine = Machine::new(scenario, costs)?;
    let end = machine.advance(u64::MAX)?;
    Ok(machine.into_run(scenario, costs, end.unwrap_or(u64::MAX)))
}

/// Simulates a scenario as the kernel has run it: with the same beginning.
///
/// # Errors
/// As [`simulate`].
pub fn simulate_as(kernel: &Recording, scenario: &Scenario, costs: &Costs) -> Result<Run, Failure> {
    let mut machine = Machine::new(scenario, costs)?.begun_as(kernel, (scenario, costs));
    let end = machine.advance(u64::MAX)?;
    Ok(machine.into_run(scenario, costs, end.unwrap_or(u64::MAX)))
}

/// A scenario's run as far as it has come.
#[derive(Clone, Debug)]
pub struct Machine {
    /// Its cores.
    pub cores: Vec<Core>,
    broker: Broker,
    together: Together,
}

impl Machine {
    /// A run at its beginning.
    ///
    /// # Errors
    /// Names what in the scenario is not simulated.
    pub fn new(scenario: &Scenario, costs: &Costs) -> Result<Self, Failure> {
        is_simulated(scenario)?;
        let pace = Pace::of(scenario);
        let costs = &costs.at(pace.shift(scenario.cores));
        let mut cores = Vec::new();
        for number in 0..scenario.cores {
            let vector = Vector::new(costs.ticks(scenario.quantum_us.into()), scenario.slots.into());
            let activations = activations(scenario, costs, number)?;
            cores.push(Core::new(number, Slots::Vector(vector), activations, costs.kernel));
        }
        let wanted = |(place, libos): (usize, &LibOs)| {
            let needs = cores.iter().map(|core| core.activations[place].needs).max().unwrap_or(0);
            // Whoever has clients without deadlines has use for all that it can get.
            let background =
                |core: &Core| core.activations[place].crew.as_ref().is_some_and(Crew::has_background);
            if needs > 0 && !cores.iter().any(background) { needs } else { libos.want.into() }
        };
        let wanted: Vec<u64> = scenario.libos.iter().enumerate().map(wanted).collect();
        let broker = Broker::new(scenario, &wanted, costs);
        cores[0].broker = Some(broker.first_work());
        let together = Together::new(&cores, (costs, pace), 0);
        Ok(Self { cores, broker, together })
    }

    /// The same, with a beginning as that of the kernel's run: how long machine and programs take to start is no prediction.
    pub fn begun_as(mut self, kernel: &Recording, (scenario, costs): (&Scenario, &Costs)) -> Self {
        self.together = Together::new(&self.cores, (costs, Pace::of(scenario)), kernel.epoch);
        for scheduler in &kernel.schedulers {
            let place = scenario.libos.iter().position(|libos| libos.name == scheduler.libos);
            let activation = place
                .and_then(|place| self.cores.get_mut(scheduler.core as usize)?.activations.get_mut(place));
            let Some(activation) = activation else { continue };
            let is_question = |step: &&Step| matches!(step, Step::Decided { .. } | Step::Idle { .. });
            let asked = scheduler.steps.iter().find(is_question);
            activation.ready_at = asked.map_or(0, |step| step.now().0.saturating_sub(kernel.epoch));
            if let Some(crew) = &mut activation.crew {
                crew.begin_as(kernel);
            }
        }
        self
    }

    /// Goes on to a time, or to the run's end if that is earlier: when it ended, if it did.
    ///
    /// # Errors
    /// If a policy turns on the spot.
    pub fn advance(&mut self, limit: u64) -> Result<Option<u64>, Failure> {
        loop {
            let end = self.broker.end().unwrap_or(u64::MAX);
            match self.together.advance(&mut self.cores, end.min(limit)) {
                Progress::Reached => return Ok((end <= limit).then_some(end)),
                Progress::BrokerActs => self.broker.act(self.cores[0].now, &mut self.cores),
                Progress::Stuck => return Err(stuck()),
            }
        }
    }

    /// What happened, of a run that ended.
    pub fn into_run(mut self, scenario: &Scenario, costs: &Costs, end: u64) -> Run {
        let mut recording = blank(scenario, costs, end);
        recording.clients = recording::Client::all(scenario, costs.frequency_hz);
        let policies: Vec<(String, Policy)> =
            scenario.libos.iter().map(|libos| (libos.name.clone(), libos.policy)).collect();
        gather(&mut recording, &policies, &mut self.cores);
        Run { recording, cores: self.cores, broker: self.broker }
    }
}

/// Whether there is nothing in a scenario that the simulator does not have.
fn is_simulated(scenario: &Scenario) -> Result<(), Failure> {
    let hostile = scenario.hostile.iter().map(|hostile| {
        format!("hostile environment {}: what breaks the kernel's rules needs the kernel", hostile.name)
    });
    let programs = scenario.libos.iter().filter(|libos| libos.policy == Policy::None).map(|libos| {
        format!("libOS {}: it has no clients, and what its program does is not known here", libos.name)
    });
    let failing = scenario.libos.iter().filter(|libos| libos.fails.is_some()).map(|libos| {
        format!("libOS {}: what becomes of a scheduler that fails is up to kernel and broker", libos.name)
    });
    let problems: Vec<String> = hostile.chain(programs).chain(failing).collect();
    match problems.is_empty() {
        true => Ok(()),
        false => Err(Failure(format!("{} is not simulated:\n  {}", scenario.name, problems.join("\n  ")))),
    }
}

/// The activations of a core, one for each libOS.
fn activations(scenario: &Scenario, costs: &Costs, core: u32) -> Result<Vec<Activation>, Failure> {
    let quantum = costs.ticks(scenario.quantum_us.into());
    let (frequency, overhead) = (costs.frequency_hz, costs.overhead.with_grace(scenario.grace_us));
    let seed = scenario.seed;
    let mut first = 0;
    let mut all = Vec::new();
    for (place, libos) in scenario.libos.iter().enumerate() {
        let currencies = Currencies::of_core(libos, scenario.cores, core);
        let terms =
            Terms { quantum, frequency, seed, core, overhead, admission: libos.admission, currencies };
        let policy = named(libos.policy, terms.clone())?;
        let mut activation = Activation::new(policy, costs.turning(libos.policy), broker::owner(place));
        let crew = Crew::new(scenario, libos, (first, terms), costs.libos);
        if libos.policy.can_guarantee() && libos.admission == Admission::Required {
            activation.needs = crew.needs(libos, scenario.slots).max(libos.minimum).into();
        }
        activation.crew = Some(crew);
        all.push(activation);
        first += libos.clients.iter().map(|client| client.copies(scenario.cores).count()).sum::<usize>();
    }
    Ok(all)
}

/// A policy by its name.
pub fn named(policy: Policy, terms: Terms) -> Result<Any, Failure> {
    let word = policy.word();
    Any::new(policy, terms).ok_or_else(|| Failure(format!("{word} is not a policy that schedules clients")))
}

/// What to say of cores on which no time passes any more.
pub fn stuck() -> Failure {
    Failure("a policy decides again and again while no time passes: the run has no end".into())
}

/// A recording in which nothing has happened.
fn blank(scenario: &Scenario, costs: &Costs, end: u64) -> Recording {
    Recording {
        source: Source::Simulator,
        scenario: scenario.name.clone(),
        seed: scenario.seed,
        cores: scenario.cores,
        frequency: costs.frequency_hz,
        quantum: costs.ticks(scenario.quantum_us.into()),
        slots: scenario.slots.into(),
        epoch: 0,
        end,
        clients: Vec::new(),
        schedulers: Vec::new(),
        slices: Vec::new(),
        turns: Vec::new(),
        jobs: Vec::new(),
        lost: 0,
        cost: None,
    }
}

/// Puts what happened on the cores together. `schedulers` are the libOSes' names and policies, by place.
pub fn gather(recording: &mut Recording, schedulers: &[(String, Policy)], cores: &mut [Core]) {
    let end = recording.end;
    for (place, (libos, policy)) in schedulers.iter().enumerate() {
        for (number, core) in cores.iter_mut().enumerate() {
            let activation = &mut core.activations[place];
            recording.schedulers.push(recording::Scheduler {
                libos: libos.clone(),
                core: number as u32,
                policy: *policy,
                clients: activation.clients.iter().map(|client| client.index).collect(),
                currencies: activation.scheduler.policy.currencies().clone(),
                steps: std::mem::take(&mut activation.scheduler.observer.0),
                own: activation.own,
            });
        }
    }
    let mut unfinished = Vec::new();
    let count = cores.len();
    for (number, core) in cores.iter_mut().enumerate() {
        core.close();
        let slices = core.log.slices.drain(..);
        let owner = |place: Option<usize>| place.map(|place| place * count + number);
        recording.slices.extend(slices.map(|slice| recording::Slice { owner: owner(slice.owner), ..slice }));
        recording.turns.append(&mut core.log.turns);
        recording.jobs.append(&mut core.log.jobs);
        for activation in &core.activations {
            for client in &activation.clients {
                let until = activation.stopped.into_iter().chain(client.ended()).min().unwrap_or(end);
                recording.clients[client.index].until = until;
                client.clone().unfinished(until, &mut |job| unfinished.push(job));
            }
        }
    }
    recording.slices.sort_by_key(|slice| (slice.begin, slice.core));
    recording.turns.sort_by_key(|turn| (turn.begin, turn.core));
    recording.jobs.sort_by_key(|job| (job.completed, job.client));
    unfinished.sort_by_key(|job| (job.released, job.client));
    recording.jobs.append(&mut unfinished);
}
