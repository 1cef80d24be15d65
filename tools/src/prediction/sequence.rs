//! Whether a simulated scheduler decides as the kernel's did, one decision after the other, on one core.
//!
//! The two runs are compared while the simulation goes on. Where it decides otherwise, one of two things is the case. Either the
//! decision is a near-tie: there is a time not long ago from which on the simulation decides as the kernel did if every turn of one
//! of the two clients that the decision is between (of both, or of all), or the way to each question whom to run, costs a few ticks
//! more or less, no more than [`RESOLUTION`]. Then the table of costs, which knows means, cannot know better; this is counted as a
//! correction, and the simulation goes on from there, with those turns as they must have been. Or there is no such time: then the
//! simulator is wrong, and that is the divergence that is reported.
//!
//! A simulated scheduler asks its policy for the first time when the kernel's did: what starting up takes is no prediction. Not
//! here: runs of the kernel (`guests`), response times (`responses`).

use crate::Failure;
use crate::recording::{Recording, Scheduler};
use crate::sim::Machine;
use crate::sim::costs::Costs;
use libos_core::scenario::Scenario;
use libos_core::sched::ClientId;
use libos_core::sched::steps::Step;

/// By how many ticks turns may cost more or less than the table says, at most: about two microseconds at 62.5 MHz.
pub const RESOLUTION: i64 = 128;
/// The least correction that is tried; each further one is twice as much.
const LEAST: i64 = 4;
/// So many of the last slots are all returned to; of those before, a few for each doubling of the distance.
const ALL_OF_THE_LAST: usize = 4;
/// Steps that are shown before a divergence.
const CONTEXT: usize = 6;

/// What must have been otherwise than the table says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Correction {
    /// The decision that shows it, from 0.
    pub decision: usize,
    /// What turns cost more or less, in ticks: the most of any client's.
    pub ticks: i64,
    /// For how many slots before the decision.
    pub slots: usize,
}

/// What a comparison found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sequence {
    /// Decisions that were compared.
    pub decisions: usize,
    /// What had to be corrected for them to be the same.
    pub corrections: Vec<Correction>,
    /// The first that is simply wrong, with what led to it.
    pub divergence: Option<String>,
}

/// A simulation, and where it was before.
struct Past {
    /// The machine at the beginnings of some slots, by their numbers, which ascend.
    kept: Vec<(usize, Machine)>,
}

impl Past {
    fn keep(&mut self, slot: usize, machine: &Machine) {
        self.kept.push((slot, machine.clone()));
        self.kept.retain(|(kept, _)| {
            let distance = slot - kept;
            distance < ALL_OF_THE_LAST || kept.is_multiple_of(1 << (distance.ilog2() - 1))
        });
    }
}

/// A decision that differs.
#[derive(Clone, Copy)]
struct Difference {
    /// Whose: the scheduler's place.
    place: usize,
    decision: usize,
    /// Whom the kernel's picked, and whom the simulated one did.
    clients: [ClientId; 2],
}

/// Compares a simulation with the kernel's run of the same scenario on one core.
///
/// # Errors
/// If the scenario is not simulated.
pub fn compare(scenario: &Scenario, costs: &Costs, kernel: &Recording) -> Result<Sequence, Failure> {
    let wanted: Vec<Vec<ClientId>> =
        kernel.schedulers.iter().map(|scheduler| decided(&scheduler.steps).collect()).collect();
    let mut machine = Machine::new(scenario, costs)?.begun_as(kernel, (scenario, costs));
    let mut found = Sequence::default();
    let mut past = Past { kept: Vec::new() };
    let mut slot = 0;
    loop {
        past.keep(slot, &machine);
        let end = machine.advance((slot as u64 + 1) * kernel.quantum)?;
        if let Some(first) = first_difference(&machine, &wanted) {
            let Some((again, corrected, correction)) = explained(&past, first, slot, &wanted) else {
                found.divergence = Some(described(&machine, kernel, first));
                return Ok(found);
            };
            found.corrections.push(correction);
            // From there once more, with those turns as they must have been.
            past.kept.retain(|(kept, _)| *kept < again);
            (slot, machine) = (again, corrected);
            continue;
        }
        slot += 1;
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

/// The first decision that differs. One run may go on for longer than the other.
fn first_difference(machine: &Machine, wanted: &[Vec<ClientId>]) -> Option<Difference> {
    wanted.iter().enumerate().find_map(|(place, wanted)| {
        let pairs = made(machine, place).zip(wanted).enumerate();
        let mut differing = pairs.filter(|(_, (made, wanted))| made != *wanted);
        let (decision, (made, wanted)) = differing.next()?;
        Some(Difference { place, decision, clients: [*wanted, made] })
    })
}

/// What may have cost more, or less.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    /// The turns of a client.
    Turns(ClientId),
    /// Those of all.
    AllTurns,
    /// The way to the question whom to run: who asks later hears of more that has happened.
    Asking,
}

/// What is to cost more, and by how many ticks.
type Changes = Vec<(What, i64)>;

/// The changes that are tried, the least first: of one client, of all, or of asking; then of two at once.
fn candidates(clients: [ClientId; 2]) -> Vec<Changes> {
    let magnitudes = std::iter::successors(Some(LEAST), |ticks| Some(ticks * 2));
    let all: Vec<i64> =
        magnitudes.take_while(|ticks| *ticks <= RESOLUTION).flat_map(|ticks| [ticks, -ticks]).collect();
    let [one, other] = clients.map(What::Turns);
    let each = |ticks| [one, other, What::AllTurns, What::Asking].map(|what| vec![(what, ticks)]);
    let single = all.iter().flat_map(|ticks| each(*ticks));
    let pairs = [(one, other), (What::Asking, one), (What::Asking, other)];
    let two = |(what, more): (What, What)| {
        let all = &all;
        all.iter().flat_map(move |ticks| all.iter().map(move |other| vec![(what, *ticks), (more, *other)]))
    };
    let mut both: Vec<Changes> = pairs.into_iter().flat_map(two).collect();
    both.sort_by_key(|changes| largest(changes));
    single.chain(both).collect()
}

/// The largest of some changes, in ticks.
fn largest(changes: &[(What, i64)]) -> i64 {
    changes.iter().map(|(_, ticks)| ticks.abs()).max().unwrap_or(0)
}

/// The slot from which on, the machine at its beginning and the correction with which the simulation makes this decision as the
/// kernel did: the least correction that there is, for as few slots as will do.
fn explained(
    past: &Past,
    first: Difference,
    slot: usize,
    wanted: &[Vec<ClientId>],
) -> Option<(usize, Machine, Correction)> {
    for changes in candidates(first.clients) {
        for (kept, machine) in past.kept.iter().rev() {
            let corrections =
                [Base::Before, Base::Table].map(|base| corrected(machine, first.place, (base, &changes)));
            for corrected in corrections.into_iter().flatten() {
                let mut trial = corrected.clone();
                let quantum = trial.cores[0].slots.quantum();
                if trial.advance((slot as u64 + 1) * quantum).is_err() {
                    continue;
                }
                let is_later =
                    |other: Difference| other.place == first.place && other.decision > first.decision;
                if first_difference(&trial, wanted).is_none_or(is_later) {
                    let (decision, ticks, slots) = (first.decision, largest(&changes), slot + 1 - kept);
                    return Some((*kept, corrected, Correction { decision, ticks, slots }));
                }
            }
        }
    }
    None
}

/// What changes are added to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Base {
    /// What was corrected before.
    Before,
    /// What the table says. What was corrected before may have been of a few turns only.
    Table,
}

/// A machine in which turns cost more; `None` if that is more than the resolution.
fn corrected(machine: &Machine, place: usize, (base, changes): (Base, &[(What, i64)])) -> Option<Machine> {
    let activation = &machine.cores[0].activations[place];
    let (mut nudges, mut asking) = match base {
        Base::Before => (activation.nudges.clone(), activation.asking),
        Base::Table => (Vec::new(), 0),
    };
    nudges.resize(activation.clients.len(), 0);
    for (what, ticks) in changes {
        match what {
            What::Turns(client) => *nudges.get_mut(usize::from(client.0))? += ticks,
            What::AllTurns => nudges.iter_mut().for_each(|nudge| *nudge += ticks),
            What::Asking => asking += ticks,
        }
    }
    if nudges.iter().chain([&asking]).any(|nudge| nudge.abs() > RESOLUTION) {
        return None;
    }
    let mut machine = machine.clone();
    let activation = &mut machine.cores[0].activations[place];
    (activation.nudges, activation.asking) = (nudges, asking);
    Some(machine)
}

/// The decision that differs, with what led to it, here and there.
fn described(
    machine: &Machine,
    kernel: &Recording,
    Difference { place, decision, .. }: Difference,
) -> String {
    let scheduler = &kernel.schedulers[place];
    let ours = &machine.cores[0].activations[place].scheduler.observer.0;
    let lines = |what: &str, steps: &[Step], epoch: u64| -> String {
        let is_decision = |(_, step): &(usize, &Step)| matches!(step, Step::Decided { .. });
        let nth = steps.iter().enumerate().filter(is_decision).nth(decision);
        let at = nth.map_or(steps.len().saturating_sub(1), |(at, _)| at);
        let shown = steps.iter().take(at + 1).skip(at.saturating_sub(CONTEXT));
        shown.map(|step| format!("\n  {what} {}", in_words(kernel, scheduler, step, epoch))).collect()
    };
    format!(
        "decision {decision} of {} differs, and would if turns cost up to {RESOLUTION} ticks more or less:{}{}",
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
        Step::Charged { client, ran, end, .. } => {
            format!("{at}: {} ran {} ticks, {end:?}", name(client), ran.0)
        }
        Step::Idle { until, .. } => format!("{at}: nobody is ready until {}", until.0.saturating_sub(epoch)),
        other => format!("{at}: {other:?}"),
    }
}

#[cfg(test)]
mod tests;
