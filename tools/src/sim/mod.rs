//! The simulator: a scenario's run without a machine, around the policies' own code and the kernel's slice vector.
//!
//! * [`commons`]: what activations of several cores have in common under a global policy.
//! * [`core`]: one core, event by event. [`slots`]: whose its slots are. [`activation`]: a scheduler on it. [`client`]: a
//!   client. [`broker`]: who gets which slots. [`policy`]: every policy by name. [`costs`]: what takes how long.
//!   [`crew`]: a libOS's clients before they are there. [`locks`]: what they wait for one another for.
//! * [`report`]: a simulated run as `results.json` has it.
//!
//! Here: a scenario becomes cores, and what happened on them a recording. `docs/simulator.md` says what is simulated and what
//! is not. Deterministic: between two acts of the broker cores are independent of each other, unless they share a policy, and nothing
//! depends on the host.

pub mod activation;
pub mod broker;
pub mod client;
pub mod commons;
pub mod contest;
pub mod core;
pub mod costs;
pub mod crew;
pub mod locks;
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
use activation::{Activation, Heir, Taken};
use apps::scheduler::deadlines::first_slots;
use apps::scheduler::warden::Warden;
use broker::Broker;
use core::{Core, Progress};
use costs::Costs;
use crew::Crew;
use libos_core::scenario::{Admission, LibOs, Policy, Scenario};
use libos_core::sched::steps::Step;
use libos_core::sched::{ClientId, Tick};
use libos_rt::roll::Roll;
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
            // Whoever has clients without deadlines has use for all that it can get; and whoever does without some for a while.
            let takes_all = |core: &Core| {
                let crew = core.activations[place].crew.as_ref();
                crew.is_some_and(|crew| crew.has_background() || crew.roll(Tick(0)).has_levels())
            };
            if needs > 0 && !cores.iter().any(takes_all) { needs } else { libos.want.into() }
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
        self.together.close(&mut self.cores);
        gather(&mut recording, &policies, &mut self.cores);
        let global = policies.iter().enumerate().filter(|(_, (_, policy))| policy.is_global());
        for (place, _) in global {
            // The first core's activation has all steps.
            let first = &mut recording.schedulers[place * self.cores.len()];
            first.step_cores = self.together.step_cores(place).into();
            first.step_cores.resize(first.steps.len(), 0);
        }
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
    let nested = scenario.schedulers().into_iter().filter(|one| one.core.is_some()).map(|one| {
        format!("scheduler {}: schedulers within schedulers are not simulated yet", one.libos.name)
    });
    let problems: Vec<String> = hostile.chain(programs).chain(failing).chain(nested).collect();
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
        let crew = Crew::new(scenario, libos, (first, terms.clone()), costs.libos);
        if libos.policy.can_guarantee() && libos.admission == Admission::Required {
            let need = crew.needs(libos, scenario.slots);
            activation.needs = need.max(libos.minimum).into();
            activation.awaits = first_slots(libos, need, &crew.roll(Tick(0))).into();
        }
        activation.warden = Warden::new(Roll::new([]), libos.spacing);
        activation.crew = Some(crew);
        if let Some(swap) = libos.swap {
            let (policy, turning) = (Some(named(swap.to, terms)?), costs.turning(swap.to));
            activation.heir = Some(Heir { name: swap.to, policy, turning, taken: None });
        }
        activation.shares = libos.policy.is_global() && scenario.cores > 1;
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

/// Policies that took over come after all that were there first, with the steps from then on.
fn take_over(recording: &mut Recording, schedulers: &[(String, Policy)], cores: &[Core]) {
    let all = (0..schedulers.len()).flat_map(|place| cores.iter().map(move |core| &core.activations[place]));
    let begun = all.enumerate().filter_map(|(place, one)| {
        let heir = one.heir.as_ref()?;
        Some((heir.taken?, place, heir.name))
    });
    let mut begun: Vec<_> = begun.collect();
    begun.sort_unstable_by_key(|(taken, place, _)| (taken.began, *place));
    for (Taken { steps, .. }, place, policy) in begun {
        let first = &mut recording.schedulers[place];
        let steps = first.steps.split_off(steps);
        let heir = recording::Scheduler { policy, steps, own: 0, ..first.clone() };
        recording.schedulers.push(heir);
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
                admission: activation.scheduler.policy.admission(),
                clients: activation.clients.iter().map(|client| client.index).collect(),
                currencies: activation.scheduler.policy.currencies().clone(),
                steps: std::mem::take(&mut activation.scheduler.observer.0),
                step_cores: Vec::new(),
                own: activation.own,
            });
        }
    }
    take_over(recording, schedulers, cores);
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
            let until = activation.stopped.unwrap_or(end);
            for (number, client) in (0..).zip(&activation.clients) {
                // Whoever is shed, or has left, has no jobs from then on.
                let account = activation.warden.roll.account(ClientId(number)).unwrap_or_default();
                let shed_at = account.shed_at.filter(|_| !account.is_admitted).map(|shed_at| shed_at.0);
                let until = shed_at.into_iter().chain(client.ended()).fold(until, u64::min);
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
