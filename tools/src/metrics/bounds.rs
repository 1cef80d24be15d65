//! What theory allows beside what was measured. A measured value outside its bound is a bug, in the run or in the theory
//! here: never chance, for where chance plays a part the bound is exceeded once in a million runs.
//!
//! * stride: any pair of clients is within one quantum at every switch (TM-528 §3);
//! * hierarchical stride, where the same clients compete all the time: each is within a quantum a level of the tree of its part;
//! * lottery: the wins of each client stay within Freedman's inequality for its stakes;
//! * EDF, rate-monotonic and deadline-monotonic, where every client is periodic with a deadline and the analysis says that all deadlines are
//!   met from the slots that the scheduler always had: responses within the analysed ones, and no tardiness.
//!
//! Not here: bounds for schedulers with aperiodic clients, nor for sets that the analysis cannot accept.

use super::competition::{Event, walk};
use super::shares::Errors;
use crate::recording::{Recording, Scheduler, Source};
use apps::scheduler::deadlines::{SLOT_OVERHEAD_US, TURN_COST_US};
use libos_core::sched::measure::Fraction;
use libos_core::sched::steps::Step;
use libos_core::sched::{ClientId, Tick};
use libos_rt::admission::{Task, schedulable};
use libos_rt::deadlines::TURNS_PER_JOB;
use libos_rt::response::response_bound;
use libos_rt::supply::Supply;
use libos_stride::currency::Bank;
use serde::{Deserialize, Serialize};

/// The chance that a right lottery is outside its bound: 2 in 2 · 10⁶, as its natural logarithm ln (2 / 10⁻⁶).
const LOG_ODDS: f64 = 14.508_657_738_524_219;
/// A stake of one ticket, and the most that compensation multiplies it by: the lottery's own (`libos-stride`).
const STAKES_PER_TICKET: u64 = 1 << 16;
const MAX_COMPENSATION: u64 = 100;

/// A bound and what was measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Bound {
    /// What is bounded.
    pub quantity: String,
    /// The client; empty if it is about all of them.
    pub client: String,
    /// The unit of the numbers.
    pub unit: String,
    /// What was measured.
    pub measured: f64,
    /// The least that is allowed; `None` if only the most is bounded.
    pub least: Option<f64>,
    /// The most that is allowed.
    pub most: f64,
    /// The 95 % band of a chance quantity, for the eye; `None` of what does not depend on chance.
    pub band: Option<(f64, f64)>,
    /// Where the bound comes from.
    pub source: String,
    /// Whether it held.
    pub holds: bool,
}

/// The bounds that apply to the recording's scheduler of this index.
pub fn check(recording: &Recording, index: usize) -> Vec<Bound> {
    let scheduler = &recording.schedulers[index];
    match super::policy_of(recording, scheduler) {
        "stride" => stride(recording, scheduler).into_iter().collect(),
        "hierarchical-stride" => hierarchical_stride(recording, scheduler).into_iter().collect(),
        "lottery" => lottery(recording, scheduler),
        "edf" | "rate-monotonic" | "deadline-monotonic" => deadlines(recording, index),
        _ => Vec::new(),
    }
}

fn stride(recording: &Recording, scheduler: &Scheduler) -> Option<Bound> {
    let mut errors = Errors::default();
    let mut begun = 0;
    walk(&scheduler.steps, |_, event| {
        begun += u32::from(matches!(event, Event::Begins(..)));
        errors.note(event, &|client| recording.tickets(scheduler, client));
    });
    let (worst, quantum) = (errors.pairwise.worst(), Tick(recording.quantum));
    (begun > 1).then(|| Bound {
        quantity: "pairwise error".into(),
        client: String::new(),
        unit: "quanta".into(),
        measured: worst.milliquanta(quantum) as f64 / 1000.0,
        least: None,
        most: 1.0,
        band: None,
        source: "stride: one quantum (Waldspurger and Weihl, TM-528, 1995)".into(),
        holds: worst <= Fraction::new(quantum.0.into(), 1),
    })
}

/// Where the same clients compete all the time: each node of the tree adds at most a quantum's error.
fn hierarchical_stride(recording: &Recording, scheduler: &Scheduler) -> Option<Bound> {
    let mut errors = Errors::default();
    let (mut clients, mut has_begun, mut is_steady) = (0usize, false, true);
    walk(&scheduler.steps, |_, event| {
        match event {
            Event::Begins(..) => (clients, is_steady) = (clients + 1, is_steady && !has_begun),
            Event::Charged(..) => has_begun = true,
            Event::Ends(_) => is_steady = false,
            Event::Picked(..) => {}
        }
        errors.note(event, &|client| recording.tickets(scheduler, client));
    });
    let all = (0..scheduler.clients.len()).map(|client| ClientId(client as u16));
    let worst = all.map(|client| errors.absolute.worst_of(client)).max()?;
    let (levels, quantum) = (scheduler.clients.len().next_power_of_two().ilog2(), Tick(recording.quantum));
    (clients > 1 && is_steady).then(|| Bound {
        quantity: "absolute error".into(),
        client: String::new(),
        unit: "quanta".into(),
        measured: worst.milliquanta(quantum) as f64 / 1000.0,
        least: None,
        most: levels.into(),
        band: None,
        source: "hierarchical stride: a quantum a level of the tree (Waldspurger and Weihl, TM-528, 1995)"
            .into(),
        holds: worst <= Fraction::new(u128::from(levels) * u128::from(quantum.0), 1),
    })
}

/// What a client may have won. Chances are in 2⁻³², so sums are exact.
#[derive(Clone, Copy)]
struct Draws {
    stake: u64,
    /// What its tickets and those that are lent to it are worth.
    tickets: u64,
    /// What it used when it last won, and of how much.
    used: (u64, u64),
    /// Whether it competes.
    present: bool,
    draws: u64,
    wins: u64,
    expected: u128,
    variance: u128,
}

fn lottery(recording: &Recording, scheduler: &Scheduler) -> Vec<Bound> {
    let declared = |client: ClientId| recording.tickets(scheduler, client);
    let plain = |tickets: u32| u64::from(tickets) * STAKES_PER_TICKET;
    let mut bank = Bank::new(&scheduler.currencies);
    let mut all: Vec<Draws> = (0..scheduler.clients.len())
        .map(|index| Draws::new(plain(declared(ClientId(index as u16)))))
        .collect();
    let mut turn = Tick(1);
    walk(&scheduler.steps, |_, event| match event {
        Event::Begins(client, tickets) => {
            let draws = &mut all[usize::from(client.0)];
            draws.present = true;
            draws.hold(plain(tickets.of(declared(client))), draws.used);
            bank.set(client, draws.tickets, draws.stake);
        }
        Event::Ends(client) => {
            all[usize::from(client.0)].present = false;
            bank.set(client, 0, 0);
        }
        Event::Picked(client, length) => {
            turn = Tick(length.0.max(1));
            draw(&mut all, &bank, usize::from(client.0));
        }
        Event::Charged(client, ran) => {
            let used = ran.0.clamp(turn.0.div_ceil(MAX_COMPENSATION), turn.0);
            let draws = &mut all[usize::from(client.0)];
            draws.hold(draws.tickets, (used, turn.0));
            bank.set(client, draws.tickets, draws.stake);
        }
    });
    let bound = |(number, draws): (usize, Draws)| {
        lottery_bound(draws, &recording.clients[scheduler.clients[number]].name)
    };
    all.into_iter().enumerate().filter(|(_, draws)| draws.variance > 0).map(bound).collect()
}

impl Draws {
    fn new(tickets: u64) -> Self {
        Self {
            stake: tickets,
            tickets,
            used: (1, 1),
            present: false,
            draws: 0,
            wins: 0,
            expected: 0,
            variance: 0,
        }
    }

    /// What it takes part with from now on.
    fn hold(&mut self, tickets: u64, (used, of): (u64, u64)) {
        (self.tickets, self.used) = (tickets, (used, of));
        self.stake = (u128::from(tickets) * u128::from(of) / u128::from(used)) as u64;
    }
}

fn draw(all: &mut [Draws], bank: &Bank, winner: usize) {
    let pot = bank.total().max(1);
    for (index, client) in all.iter_mut().enumerate().filter(|(_, client)| client.present) {
        let chance = (u128::from(bank.worth(ClientId(index as u16))) << 32) / u128::from(pot);
        client.draws += 1;
        client.wins += u64::from(index == winner);
        client.expected += chance;
        client.variance += (chance * ((1 << 32) - chance)) >> 32;
    }
}

/// Freedman's inequality (Annals of Probability 3(1), 1975): a sum of draws whose chances may depend on what happened
/// before is more than t from its expectation with a chance of at most 2 exp(−t² / 2(V + t/3)).
fn lottery_bound(draws: Draws, client: &str) -> Bound {
    let unit = f64::from(u32::MAX) + 1.0;
    let (expected, variance) = (draws.expected as f64 / unit, draws.variance as f64 / unit);
    let distance = LOG_ODDS / 3.0 + (LOG_ODDS * LOG_ODDS / 9.0 + 2.0 * LOG_ODDS * variance).sqrt();
    let band = 1.96 * variance.sqrt();
    let wins = draws.wins as f64;
    Bound {
        quantity: "draws won".into(),
        client: client.into(),
        unit: format!("of {} draws", draws.draws),
        measured: wins,
        least: Some((expected - distance).max(0.0)),
        most: (expected + distance).min(draws.draws as f64),
        band: Some((expected - band, expected + band)),
        source: "lottery: binomial; outside once in a million runs (Freedman, 1975)".into(),
        holds: (wins - expected).abs() <= distance,
    }
}

/// The clients that a policy took on. Whom it refused gets nothing, and is promised nothing.
fn taken_on(scheduler: &Scheduler) -> Vec<usize> {
    let joined = |number: &usize| {
        let joins =
            |step: &Step| matches!(step, Step::Join { client, .. } if usize::from(client.0) == *number);
        scheduler.steps.iter().any(joins)
    };
    (0..scheduler.clients.len()).filter(joined).map(|number| scheduler.clients[number]).collect()
}

/// The tasks of a scheduler's clients if all of them are periodic with deadlines, as the recorded jobs demand, with the
/// cost of their turns; `None` if another client is among them.
fn tasks(recording: &Recording, scheduler: &Scheduler) -> Option<Vec<Task>> {
    let cost = TURNS_PER_JOB * TURN_COST_US * recording.frequency / 1_000_000;
    let task = |index: &usize| {
        let client = &recording.clients[*index];
        let demand = recording.jobs.iter().filter(|job| job.client == *index).map(|job| job.demand).max()?;
        Some(Task { budget: demand + cost, period: client.period?, deadline: client.deadline? })
    };
    taken_on(scheduler).iter().map(task).collect::<Option<Vec<_>>>().filter(|tasks| !tasks.is_empty())
}

/// What the slots supply that the scheduler had in every whole revolution between its first slot and its last.
fn supply(recording: &Recording, index: usize) -> Option<Supply> {
    let place = |begin: u64| begin.checked_sub(recording.epoch).map(|since| since / recording.quantum);
    let slots = recording.slots.max(1) as usize;
    let mine = recording.slices.iter().filter(|slice| slice.owner == Some(index));
    let mut places: Vec<u64> = mine.filter_map(|slice| place(slice.begin)).collect();
    places.dedup();
    let (first, last) = (places.first()? / slots as u64, places.last()? / slots as u64);
    // The first revolution and the last may be cut off; where there are no others, they are all there is.
    let whole = |revolution: u64| last - first < 2 || (revolution > first && revolution < last);
    let (mut counts, revolutions) =
        (vec![0u64; slots], if last - first < 2 { last - first + 1 } else { last - first - 1 });
    for place in places.into_iter().filter(|place| whole(place / slots as u64)) {
        counts[place as usize % slots] += 1;
    }
    let owned: Vec<bool> = counts.into_iter().map(|count| count >= revolutions).collect();
    let overhead = Tick(SLOT_OVERHEAD_US * recording.frequency / 1_000_000);
    Some(Supply::new(&owned, Tick(recording.quantum), overhead)).filter(|supply| supply.capacity().0 > 0)
}

/// CPU time that periodic clients demand of what the slots supply, costs included on both sides; on Linux, of the whole
/// core. `None` if there are other clients, or no slots.
pub fn utilisation(recording: &Recording, sharing: &[usize]) -> Option<f64> {
    let tasks = tasks(recording, &recording.schedulers[*sharing.first()?])?;
    let demanded: f64 = tasks.iter().map(|task| task.budget as f64 / task.period as f64).sum();
    if matches!(recording.source, Source::Linux(_)) {
        return Some(demanded);
    }
    let supplies = sharing.iter().map(|index| supply(recording, *index)).collect::<Option<Vec<_>>>()?;
    let parts = supplies.iter().map(|supply| supply.capacity().0 as f64 / supply.revolution().0 as f64);
    Some(demanded / parts.sum::<f64>())
}

fn deadlines(recording: &Recording, index: usize) -> Vec<Bound> {
    let scheduler = &recording.schedulers[index];
    let (Some(tasks), Some(supply)) = (tasks(recording, scheduler), supply(recording, index)) else {
        return Vec::new();
    };
    let Some((analysed, source)) = analyse(scheduler.policy.word(), &tasks, &supply) else {
        return Vec::new();
    };
    let mut all = Vec::new();
    for (client, bound) in taken_on(scheduler).iter().zip(analysed) {
        let jobs = recording.jobs.iter().filter(|job| job.client == *client);
        let ended = |job: &crate::recording::Job| job.completed.unwrap_or(recording.horizon(job));
        let worst = jobs.clone().map(|job| ended(job).saturating_sub(job.released)).max().unwrap_or(0);
        let tardy = jobs.filter_map(|job| Some(ended(job).saturating_sub(job.due?))).max().unwrap_or(0);
        let one = |quantity: &str, (measured, most): (u64, u64), source: String| Bound {
            quantity: quantity.into(),
            client: recording.clients[*client].name.clone(),
            unit: "us".into(),
            measured: recording.us(measured),
            least: None,
            most: recording.us(most),
            band: None,
            source,
            holds: measured <= most,
        };
        all.push(one("response", (worst, bound), source.into()));
        all.push(one("tardiness", (tardy, 0), "demand is within the supply of the slots: none".into()));
    }
    all
}

/// The longest responses under this policy; `None` if some deadline may be missed.
fn analyse(policy: &str, tasks: &[Task], supply: &Supply) -> Option<(Vec<u64>, &'static str)> {
    if policy == "edf" {
        let bounds = (0..tasks.len()).map(|task| response_bound(tasks, task, supply).0);
        return schedulable(tasks, supply).then(|| {
            (bounds.collect(), "EDF: response-time analysis over the slots (Spuri, 1996; Shin and Lee, 2003)")
        });
    }
    let (number, source): (fn(&Task) -> u64, _) = match policy {
        "rate-monotonic" => (
            |task| task.period,
            "RM: response-time analysis over the slots (Joseph and Pandya, 1986; Shin and Lee, 2003)",
        ),
        _ => (
            |task| task.deadline,
            "DM: response-time analysis over the slots (Audsley et al., 1993; Shin and Lee, 2003)",
        ),
    };
    let bound = |task| fixed_priority(tasks, task, supply, number);
    Some(((0..tasks.len()).map(bound).collect::<Option<Vec<_>>>()?, source))
}

/// The longest response of a task under fixed priorities, the lower the number the higher, if it is within the deadline: the
/// least L in which the slots are sure to supply Cᵢ + Σ ⌈L/Tⱼ⌉ Cⱼ, over j with a number that is not greater. Deadlines are at
/// most periods, so the first job of a busy period is the worst, and of equal numbers each may be first.
fn fixed_priority(tasks: &[Task], index: usize, supply: &Supply, number: fn(&Task) -> u64) -> Option<u64> {
    let task = &tasks[index];
    let others = || {
        let higher =
            |(other, candidate): &(usize, &Task)| *other != index && number(candidate) <= number(task);
        tasks.iter().enumerate().filter(higher).map(|(_, other)| other)
    };
    let mut window = supply.window_for(Tick(task.budget)).0;
    while window <= task.deadline {
        let demand: u64 = others().map(|other| window.div_ceil(other.period) * other.budget).sum();
        let next = supply.window_for(Tick(task.budget + demand)).0;
        if next <= window {
            return Some(window);
        }
        window = next;
    }
    None
}

#[cfg(test)]
mod tests;
