//! Whether a simulated scheduler decides as the kernel's did, one decision after the other, on one core.
//!
//! The two runs are compared while the simulation goes on. Where it decides otherwise, one of two things is the case. Either the
//! decision hangs by a thread: there is a turn, not long ago, from which on the simulation decides as the kernel did if that
//! turn costs a few ticks more or less, no more than [`RESOLUTION`]. Then the table of costs cannot know better; this is
//! counted as a near-tie, and the simulation goes on from there, with the turn as it must have been. Or there is no such turn: then the
//! simulator is wrong, and that is the divergence that is reported.
//!
//! A simulated scheduler asks its policy for the first time when the kernel's did: what starting up takes is no prediction. Not here: runs
//! of the kernel (`guests`), response times (`responses`).

use crate::Failure;
use crate::recording::{Recording, Scheduler};
use crate::sim::Machine;
use crate::sim::activation::Nudge;
use crate::sim::costs::Costs;
use libos_core::scenario::Scenario;
use libos_core::sched::ClientId;
use libos_core::sched::steps::Step;
use std::collections::VecDeque;

/// By how many ticks one turn may cost more or less than the table says, at most: 2 microseconds at 62.5 MHz.
pub const RESOLUTION: i64 = 128;
/// How many slots back a turn is looked for that may have cost more or less.
const SLOTS_BACK: usize = 24;
/// Steps that are shown before a divergence.
const CONTEXT: usize = 6;

/// A decision that hung by a thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tie {
    /// Which decision of its scheduler, from 0.
    pub decision: usize,
    /// What a turn before it must have cost more than the table says, in ticks.
    pub margin: i64,
}

/// What a comparison found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sequence {
    /// Decisions that were compared.
    pub decisions: usize,
    /// Those that hung by a thread.
    pub ties: Vec<Tie>,
    /// The first that is simply wrong, with what led to it.
    pub divergence: Option<String>,
}

/// Compares a simulation with the kernel's run of the same scenario on one core.
///
/// # Errors
/// If the scenario is not simulated.
pub fn compare(scenario: &Scenario, costs: &Costs, kernel: &Recording) -> Result<Sequence, Failure> {
    let wanted: Vec<Vec<ClientId>> =
        kernel.schedulers.iter().map(|scheduler| decided(&scheduler.steps).collect()).collect();
    let mut machine = Machine::new(scenario, costs)?;
    for (activation, scheduler) in machine.cores[0].activations.iter_mut().zip(&kernel.schedulers) {
        // How long starting up takes depends on the size of programs, which a scenario does not say.
        let asked = scheduler.steps.iter().find(|step| matches!(step, Step::Decided { .. } | Step::Idle { .. }));
        activation.ready_at = asked.map_or(0, |step| step.now().0.saturating_sub(kernel.epoch));
    }
    let mut found = Sequence::default();
    let mut past: VecDeque<Machine> = VecDeque::new();
    loop {
        past.push_back(machine.clone());
        if past.len() > SLOTS_BACK {
            past.pop_front();
        }
        let limit = machine.cores[0].now + kernel.quantum;
        let end = machine.advance(limit)?;
        if let Some(first) = first_difference(&machine, &wanted) {
            let Some((again, nudged)) = explained(&past, first, limit, &wanted) else {
                found.divergence = Some(described(&machine, kernel, first));
                return Ok(found);
            };
            found.ties.push(Tie { decision: first.1, margin: nudged.1.by });
            // From here on once more, with that turn as it must have been.
            past.truncate(again);
            machine = nudged.0;
            continue;
        }
        if end.is_some() {
            let both = |(place, wanted): (usize, &Vec<_>)| made(&machine, place).count().min(wanted.len());
            found.decisions = wanted.iter().enumerate().map(both).sum();
            return Ok(found);
        }
    }
}

/// The decisions among steps: for whom.
fn decided(steps: &[Step]) -> impl Iterator<Item = ClientId> {
    steps.iter().filter_map(|step| match step {
        Step::Decided { decision, .. } => Some(decision.client),
        _ => None,
    })
}

/// The decisions of a simulated scheduler so far.
fn made(machine: &Machine, place: usize) -> impl Iterator<Item = ClientId> {
    decided(&machine.cores[0].activations[place].scheduler.observer.0)
}

/// The first decision that differs: whose, and which. One run may go on for longer than the other.
fn first_difference(machine: &Machine, wanted: &[Vec<ClientId>]) -> Option<(usize, usize)> {
    wanted.iter().enumerate().find_map(|(place, wanted)| {
        let decision = made(machine, place).zip(wanted).position(|(made, wanted)| made != *wanted)?;
        Some((place, decision))
    })
}

/// The snapshot from which on, and the change of a turn by which, the simulation makes this decision as the kernel did: the
/// least change that there is, the latest turn.
fn explained(
    past: &VecDeque<Machine>,
    (place, decision): (usize, usize),
    limit: u64,
    wanted: &[Vec<ClientId>],
) -> Option<(usize, (Machine, Nudge))> {
    let mut by = 1;
    while by <= RESOLUTION {
        for back in (0..past.len()).rev() {
            let made_then = made(&past[back], place).count();
            let made_next = past.get(back + 1).map_or(decision + 1, |next| made(next, place).count());
            for after in 0..=(made_next - made_then.min(made_next)) as u32 {
                for by in [by, -by] {
                    let nudge = Nudge { after, by };
                    let mut nudged = past[back].clone();
                    nudged.cores[0].activations[place].nudge = nudge;
                    let mut trial = nudged.clone();
                    if trial.advance(limit).is_err() {
                        continue;
                    }
                    let first = first_difference(&trial, wanted);
                    if first.is_none_or(|(other, later)| other == place && later > decision) {
                        return Some((back, (nudged, nudge)));
                    }
                }
            }
        }
        by *= 2;
    }
    None
}

/// The decision that differs, with what led to it, here and there.
fn described(machine: &Machine, kernel: &Recording, (place, decision): (usize, usize)) -> String {
    let scheduler = &kernel.schedulers[place];
    let ours = &machine.cores[0].activations[place].scheduler.observer.0;
    let lines = |what: &str, steps: &[Step], epoch: u64| -> String {
        let is_decision = |step: &&Step| matches!(step, Step::Decided { .. });
        let places = steps.iter().enumerate().filter(|(_, step)| is_decision(step)).map(|(place, _)| place);
        let at = places.clone().nth(decision).unwrap_or(steps.len().saturating_sub(1));
        let shown = steps.iter().take(at + 1).skip(at.saturating_sub(CONTEXT));
        shown.map(|step| format!("\n  {what} {}", in_words(kernel, scheduler, step, epoch))).collect()
    };
    format!(
        "decision {decision} of {} differs, by no less than {RESOLUTION} ticks of any turn of the last {SLOTS_BACK} slots:{}{}",
        scheduler.libos,
        lines("kernel:   ", &scheduler.steps, kernel.epoch),
        lines("simulator:", ours, 0),
    )
}

fn in_words(kernel: &Recording, scheduler: &Scheduler, step: &Step, epoch: u64) -> String {
    let at = step.now().0.saturating_sub(epoch);
    let name = |client: ClientId| match scheduler.clients.get(usize::from(client.0)) {
        Some(index) => kernel.clients[*index].name.as_str(),
        None => "nobody",
    };
    match *step {
        Step::Decided { decision, .. } => format!("{at}: decides for {}", name(decision.client)),
        Step::Charged { client, ran, end, .. } => format!("{at}: {} ran {} ticks, {end:?}", name(client), ran.0),
        Step::Idle { until, .. } => format!("{at}: nobody is ready until {}", until.0.saturating_sub(epoch)),
        other => format!("{at}: {other:?}"),
    }
}
