//! `./just replay`: a recorded run under another policy. Which decision would have been the first to differ, and what would
//! have become of every client.
//!
//! The first question is answered exactly: the recorded steps are told to the other policy until it decides otherwise
//! ([`steps::replay`]). From there on its world is another one, so the second question is answered by the simulator, with the
//! recorded slots, arrivals and demands. Not here: the figures ([`figures`]).

pub mod figures;
#[cfg(test)]
mod tests;

use crate::Failure;
use crate::qemu::Pace;
use crate::recording::{Recording, Scheduler, Slice};
use crate::sim::activation::{Activation, Change, Doing, Next};
use crate::sim::client::{Client, Work};
use crate::sim::core::{Core, Progress};
use crate::sim::costs::Costs;
use crate::sim::policy::Terms;
use crate::sim::slots::{BROKER, Begun, Slots};
use crate::sim::together::Together;
use crate::sim::{gather, named, stuck};
use figures::Figures;
use libos_core::jobs::Job;
use libos_core::scenario::Policy;
use libos_core::sched::steps::{self, Divergence, Step};
use libos_core::sched::{ClientId, Demand, Tick};
use std::fmt;

/// Steps that are shown before the first decision that differs.
const STEPS_BEFORE: usize = 6;

/// A run and what another policy would have made of it.
#[derive(Debug)]
pub struct Replay {
    /// The run under the other policy.
    pub recording: Recording,
    /// The first decision of each scheduler that differs, with its place in [`Recording::schedulers`].
    pub divergences: Vec<(usize, Divergence)>,
    /// Decisions that were told before that, over all schedulers.
    pub same: u64,
    old: Vec<Figures>,
    lines: Vec<String>,
}

/// Tells a recording to a policy, and simulates the rest.
///
/// # Errors
/// If the policy schedules no clients, there is something in the run that is not simulated, or it would have no end.
pub fn replay(recording: &Recording, policy: Policy) -> Result<Replay, Failure> {
    let costs = Costs { frequency_hz: recording.frequency, ..Costs::table()? };
    replay_with(recording, policy, &costs)
}

/// As [`replay`], with costs of one's own.
pub fn replay_with(recording: &Recording, policy: Policy, costs: &Costs) -> Result<Replay, Failure> {
    can_be_told(recording, policy)?;
    let mut divergences = Vec::new();
    let mut same = 0;
    for (place, scheduler) in recording.schedulers.iter().enumerate() {
        let terms = match policy == scheduler.policy {
            true => Terms::again(recording, scheduler, costs.overhead),
            false => Terms::of(recording, scheduler, costs.overhead),
        };
        let mut told = named(policy, terms)?;
        let asked = scheduler.steps.iter().map(|step| asked(recording, scheduler, policy, *step));
        match steps::replay(&mut told, asked) {
            Ok(decisions) => same += decisions,
            Err(divergence) => {
                let before = &scheduler.steps[..divergence.step];
                same += before.iter().filter(|step| matches!(step, Step::Decided { .. })).count() as u64;
                divergences.push((place, divergence));
            }
        }
    }
    let simulated = simulate(recording, policy, costs)?;
    let first = divergences.iter().min_by_key(|(place, divergence)| (divergence.recorded.now(), *place));
    let lines = first.map_or_else(Vec::new, |first| context(recording, first));
    Ok(Replay { recording: simulated, divergences, same, old: figures::of(recording), lines })
}

/// Whether what happened in a run is all known here.
fn can_be_told(recording: &Recording, policy: Policy) -> Result<(), Failure> {
    let Recording { scenario, lost, schedulers, .. } = recording;
    let not = |why: String| Err(Failure(format!("{scenario} cannot be told to another policy: {why}")));
    if *lost > 0 {
        return not(format!("{lost} of its records are missing, and what they said is not known"));
    }
    if schedulers.is_empty() {
        return not("no libOS in it schedules clients".into());
    }
    let shared =
        schedulers.iter().map(|scheduler| scheduler.policy).chain([policy]).find(|one| one.is_global());
    if let Some(shared) = shared.filter(|_| recording.cores > 1) {
        let why = "all cores share one policy, and the run's other steps are those of a core; simulate the scenario: ./just sim";
        return not(format!("under {} {why}", shared.word()));
    }
    for scheduler in schedulers {
        let woken = scheduler.steps.iter().find(|step| matches!(step, Step::Woken { .. }));
        if let Some(step) = woken {
            let what = in_words(recording, scheduler, step);
            return not(format!("clients that other programs wake are not simulated, and at {what}"));
        }
    }
    Ok(())
}

/// A step as the other policy is told it: a client asks for what that kind of policy gives.
fn asked(recording: &Recording, scheduler: &Scheduler, policy: Policy, step: Step) -> Step {
    let Step::Join { client, demand, now } = step else { return step };
    let index = scheduler.clients[usize::from(client.0)];
    let of = &recording.clients[index];
    let demand = match (demand, policy.is_for_deadlines()) {
        (Demand::Periodic { .. }, false) => Demand::Share { tickets: of.tickets.max(1) },
        (Demand::Share { .. }, true) => {
            let jobs = || recording.jobs.iter().filter(|job| job.client == index);
            let first_release = jobs().map(|job| job.released).min().unwrap_or(now.0);
            // What it declared was not recorded: the longest of its jobs.
            let budget = jobs().map(|job| job.demand).max();
            match (of.deadline, budget) {
                (Some(deadline), Some(budget)) => Demand::Periodic {
                    first_release: Tick(first_release),
                    budget: Tick(budget),
                    period: Tick(of.period.unwrap_or(deadline)),
                    deadline: Tick(deadline),
                },
                _ => demand,
            }
        }
        _ => demand,
    };
    Step::Join { client, demand, now }
}

/// The recorded slots, arrivals and demands under another policy.
fn simulate(recording: &Recording, policy: Policy, costs: &Costs) -> Result<Recording, Failure> {
    let costs = &costs.at(Pace::Coarse.shift(recording.cores));
    let mut cores = Vec::new();
    let mut schedulers = Vec::new();
    for number in 0..recording.cores {
        let here: Vec<(usize, &Scheduler)> = recording
            .schedulers
            .iter()
            .enumerate()
            .filter(|(_, scheduler)| scheduler.core == number)
            .collect();
        let slices = recording.slices.iter().filter(|slice| slice.core == number);
        let owner = |slice: &Slice| {
            let place = here.iter().position(|(place, _)| Some(*place) == slice.owner);
            let serves = |place: &usize| slice.begin < until(recording, here[*place].1);
            place.filter(serves).map_or(BROKER, |place| place as u16 + 1)
        };
        let slots = slices.map(|slice| Begun { begin: slice.begin, end: slice.end, owner: owner(slice) });
        let activations = here.iter().enumerate().map(|(n, scheduler)| {
            let policy_here = named(policy, Terms::of(recording, scheduler.1, costs.overhead))?;
            let activation = Activation::new(policy_here, costs.turning(policy), n as u16 + 1);
            Ok(peopled(activation, recording, scheduler.1, (policy, costs)))
        });
        let activations = activations.collect::<Result<Vec<_>, Failure>>()?;
        if number == 0 {
            schedulers = here.iter().map(|(_, scheduler)| (scheduler.libos.clone(), policy)).collect();
        }
        cores.push(Core::new(number, Slots::Recorded(slots.collect()), activations, costs.kernel));
    }
    // Recorded times are since the machine's start.
    let mut together = Together::new(&cores, (costs, Pace::Coarse), 0);
    if together.advance(&mut cores, recording.end) == Progress::Stuck {
        return Err(stuck());
    }
    let empty = Recording {
        schedulers: Vec::new(),
        slices: Vec::new(),
        turns: Vec::new(),
        jobs: Vec::new(),
        source: crate::recording::Source::Simulator,
        lost: 0,
        cost: None,
        ..recording.clone()
    };
    let mut simulated = empty;
    gather(&mut simulated, &schedulers, &mut cores);
    Ok(simulated)
}

/// Until when a scheduler served its clients.
fn until(recording: &Recording, scheduler: &Scheduler) -> u64 {
    let clients = scheduler.clients.iter().map(|client| recording.clients[*client].until);
    clients.max().unwrap_or(recording.end).min(recording.end)
}

/// An activation with the clients that a scheduler had, coming and going as they did.
fn peopled(
    mut activation: Activation,
    recording: &Recording,
    scheduler: &Scheduler,
    (policy, costs): (Policy, &Costs),
) -> Activation {
    let client = |index: &usize| {
        let mut jobs: Vec<_> = recording.jobs.iter().filter(|job| job.client == *index).collect();
        jobs.sort_by_key(|job| job.number);
        let has_jobs = !jobs.is_empty() || recording.clients[*index].deadline.is_some();
        let jobs = jobs.into_iter().map(|job| Job {
            number: job.number,
            released: Tick(job.released),
            due: job.due.map(Tick),
            demand: Tick(job.demand),
        });
        let work = if has_jobs { Work::Recorded(jobs.collect()) } else { Work::Endless };
        Client::new(*index, work, costs.libos.client_start, costs.libos.job_end(costs.frequency_hz))
    };
    activation.clients = scheduler.clients.iter().map(client).collect();
    let changes =
        scheduler.steps.iter().filter_map(|step| match asked(recording, scheduler, policy, *step) {
            Step::Join { client, demand, now } => Some((now.0, Change::Join(client, demand))),
            Step::Leave { client, now } => Some((now.0, Change::Leave(client))),
            Step::Tickets { client, tickets, now } => Some((now.0, Change::Tickets(client, tickets))),
            _ => None,
        });
    activation.changes = changes.collect();
    activation.stopped = Some(until(recording, scheduler));
    activation.doing = Doing::Own(0, Next::Look);
    activation
}

/// The first decision that differs, with what came before it, in words.
fn context(recording: &Recording, (place, divergence): &(usize, Divergence)) -> Vec<String> {
    let scheduler = &recording.schedulers[*place];
    let from = divergence.step.saturating_sub(STEPS_BEFORE);
    let told = &scheduler.steps[from..divergence.step];
    let words = |step: &Step| in_words(recording, scheduler, step);
    let mut lines = vec![format!(
        "The first decision that differs is step {} of {} on core {}, at {:.3} ms:",
        divergence.step,
        scheduler.libos,
        scheduler.core,
        ms(recording, divergence.recorded.now().0.saturating_sub(recording.epoch)),
    )];
    lines.extend(told.iter().map(|step| format!("    {}", words(step))));
    lines.push(format!("  - {}", words(&divergence.recorded)));
    let instead = divergence.instead.as_ref();
    lines.push(format!("  + {}", instead.map_or_else(|| "it does not take the client on".into(), words)));
    lines
}

fn ms(recording: &Recording, ticks: u64) -> f64 {
    ticks as f64 * 1e3 / recording.frequency.max(1) as f64
}

fn in_words(recording: &Recording, scheduler: &Scheduler, step: &Step) -> String {
    let at = |time: Tick| match time {
        Tick::NEVER => "for ever".to_string(),
        time => format!("{:.3} ms", ms(recording, time.0.saturating_sub(recording.epoch))),
    };
    let name = |client: ClientId| match scheduler.clients.get(usize::from(client.0)) {
        Some(index) => recording.clients[*index].name.as_str(),
        None => "nobody",
    };
    let now = at(step.now());
    match *step {
        Step::Join { client, demand, .. } => format!("{now}: {} joins, {demand:?}", name(client)),
        Step::Leave { client, .. } => format!("{now}: {} leaves", name(client)),
        Step::Woken { client, .. } => format!("{now}: {} is woken", name(client)),
        Step::Tickets { client, tickets, .. } => format!("{now}: {} has {tickets} tickets", name(client)),
        Step::Decided { decision, .. } => {
            format!("{now}: decides for {} until {}", name(decision.client), at(decision.until))
        }
        Step::Lent { loan, .. } => {
            format!("{now}: {} waits for {}, and lends to it", name(loan.from), name(loan.to))
        }
        Step::Idle { until, .. } => format!("{now}: nobody is ready until {}", at(until)),
        Step::Charged { client, ran, end, .. } => {
            let ran = ms(recording, ran.0);
            let how = match end {
                libos_core::sched::TurnEnd::Waiting(until) => format!("waits until {}", at(until)),
                other => format!("{other:?}").to_lowercase(),
            };
            format!("{now}: {} ran {ran:.3} ms, {how}", name(client))
        }
    }
}

impl fmt::Display for Replay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let policy = self.recording.schedulers.first().map_or("none", |one| one.policy.word());
        match self.lines.is_empty() {
            true => writeln!(f, "{policy}: all {} decisions are the recorded ones.", self.same)?,
            false => {
                writeln!(
                    f,
                    "{policy}: {} decisions are the recorded ones until each scheduler's first that is not.",
                    self.same
                )?;
                self.lines.iter().try_for_each(|line| writeln!(f, "{line}"))?;
            }
        }
        writeln!(f, "\nEvery client, as recorded and as simulated under {policy}")?;
        f.write_str(&figures::table(&self.recording, &self.old, &figures::of(&self.recording)))
    }
}
