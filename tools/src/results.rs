//! The figures of a run in the units that people read: `results.json`, as `docs/results.md` explains it. Not here: what
//! they should be (`verdict`), nor how they look on a terminal (`tables`).
//!
//! Invariant: made of the guest's exact integers only, so that the same run gives the same bytes: no wall time, no path.

use crate::outcome::{Check, Outcome, ledger_sum};
use crate::parts;
use crate::qemu::Machine;
use crate::trace::Recorded;
use crate::verdict::Verdict;
use libos_core::report::{self, Decisions, Figures, FuzzAccount, Ledger, Measure, Standing, Start};
use libos_core::scenario::{self, Scenario};
use serde::Serialize;
use std::collections::BTreeMap;

mod jobs;
pub mod machine;
mod origin;
mod simulated;
mod succession;
mod trace;

pub use jobs::JobResult;
pub use machine::{DisplayResults, MachineResults};
pub use origin::Origin;
pub use succession::Succession;
pub use trace::TraceResults;

/// Version of the file's schema; grows with every change of it.
pub const VERSION: u32 = 7;

/// The whole file.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Results {
    /// [`VERSION`].
    pub version: u32,
    /// Who says so: `kernel`, by its reports, or `simulator`.
    pub source: &'static str,
    /// The scenario's name.
    pub scenario: String,
    /// The scenario's seed.
    pub seed: u64,
    /// The board: `virt` or `rpi4`; of a simulation `none`.
    pub board: &'static str,
    /// Version of the interrupt controller.
    pub gic: u32,
    /// Cores.
    pub cores: u32,
    /// Whose clock: `instructions` (repeatable), `host`, `board` (a real one's), or `simulated`.
    pub clock: &'static str,
    /// Ticks per second.
    pub frequency_hz: u64,
    /// Length of a slot.
    pub quantum_us: u32,
    /// Slots of each core in a revolution.
    pub slots: u32,
    /// Length of the run, from the first slot to the last ledger.
    pub elapsed_us: u64,
    /// How the machine was, if its firmware says so.
    pub machine: Option<MachineResults>,
    /// What the display did, if there was one.
    pub display: Option<DisplayResults>,
    /// Whether everything was as it should be.
    pub passed: bool,
    /// What was expected and seen, in order.
    pub verdict: Vec<Verdict>,
    /// LibOSes, in the scenario's order, and after them schedulers that are clients, as if they were libOSes without slots.
    pub libos: Vec<LibOs>,
    /// Policies that took over from others, in the order of time.
    pub successions: Vec<Succession>,
    /// Cores, in order.
    pub ledger: Vec<CoreLedger>,
    /// The hostile environments together.
    pub hostile: Hostile,
    /// Call fuzzers.
    pub fuzz: Vec<Fuzz>,
    /// Self-tests, in the order in which they ran.
    pub checks: Vec<Check>,
    /// What operations cost, in the order in which they were measured.
    pub measures: Vec<Measure>,
    /// What decisions cost, in the order in which they were measured.
    pub decisions: Vec<Decisions>,
    /// What was recorded; `null` of a run that recorded nothing.
    pub trace: Option<TraceResults>,
}

/// A libOS.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LibOs {
    /// Its name.
    pub name: String,
    /// Its policy.
    pub policy: &'static str,
    /// From its arrival to its leaving.
    pub present_us: u64,
    /// Decisions of its policy.
    pub decisions: u64,
    /// CPU time of its clients.
    pub clients_ran_us: u64,
    /// CPU time of its own.
    pub own_us: u64,
    /// Slots that it owned in a revolution, over all cores, on average.
    pub slots_owned_avg: f64,
    /// Slots that it owned and did not get.
    pub slots_missed: u64,
    /// Slots that it was given.
    pub slots_won: u64,
    /// Slots that went to who bid more.
    pub slots_lost: u64,
    /// Slots that it gave back when asked.
    pub slots_given_back: u64,
    /// Slots that were taken from it by force.
    pub slots_repossessed: u64,
    /// Its clients.
    pub clients: Vec<Client>,
}

/// A client environment. What its kind of demand does not have is `null`.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Client {
    /// Its name.
    pub name: String,
    /// Its core; `None` of one that ran on any, under a policy that the cores shared.
    pub core: Option<u64>,
    /// CPU time that it was charged.
    pub ran_us: u64,
    /// Turns that it was given.
    pub turns: u64,
    /// When it joined its scheduler's policy, in ms after the start, if that was later than it was made.
    pub joins_ms: Option<u32>,
    /// When it left it, if that was before its libOS went.
    pub leaves_ms: Option<u32>,
    /// Tickets.
    pub tickets: Option<u64>,
    /// What its tickets are of all on its core, or worth of what all are worth; `None` where clients come and go.
    pub share_expected: Option<f64>,
    /// Its CPU time of all clients' on its core.
    pub share_got: Option<f64>,
    /// The largest pairwise relative error, in quanta.
    pub max_pairwise_error_quanta: Option<f64>,
    /// Pieces of work finished.
    pub work_units: u64,
    /// Pieces with a right result.
    pub checks_passed: u64,
    /// Pieces with a wrong result.
    pub checks_failed: u64,
    /// Jobs finished.
    pub jobs: u64,
    /// Deadlines missed.
    pub misses: u64,
    /// Longest time from a release to its job's end.
    pub max_response_us: Option<f64>,
    /// What the analysis allows.
    pub response_bound_us: Option<f64>,
    /// Relative deadline.
    pub deadline_us: Option<f64>,
    /// How its guarantee fared, if that was ever in question.
    pub guarantee: Option<Guarantee>,
    /// Jobs that used more or less CPU time than they declared.
    pub wrong_demands: u64,
    /// Every job: those that were done in the order in which they ended, then the others; empty if nothing was recorded.
    pub job_list: Vec<JobResult>,
}

/// How the guarantee of a client fared whose libOS won and lost slots. Jobs and misses beside it are those that were guaranteed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Guarantee {
    /// The higher, the longer it is kept.
    pub criticality: u64,
    /// How often the client was shed.
    pub shed: u64,
    /// When it last was, after the start.
    pub shed_us: Option<u64>,
    /// When it last came back, after the start.
    pub back_us: Option<u64>,
    /// Whether it has the guarantee at the end.
    pub at_end: bool,
    /// Jobs that were dropped meanwhile.
    pub dropped: u64,
}

/// A call fuzzer, as its supervisor saw it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Fuzz {
    /// The libOS.
    pub name: String,
    /// Calls made.
    pub made: u64,
    /// Calls by name; `unknown` is for numbers that are not in the table.
    pub calls: BTreeMap<String, FuzzCall>,
    /// Refused calls, by the error.
    pub refused: BTreeMap<String, u64>,
    /// Calls that came back to their caller's fault upcall.
    pub reflected: u64,
    /// Faults that the callers' own handlers saw.
    pub faults: u64,
    /// Environments that made calls.
    pub environments: u64,
    /// Times that one of their activations was started.
    pub starts: u64,
    /// Environments that were ended because they made no more calls.
    pub silent: u64,
    /// Environments whose count was garbled, and is in no figure.
    pub garbled: u64,
    /// Times that something of the supervisor's was not as it should be.
    pub wrong: u64,
    /// What there was before the first of them.
    pub before: FuzzAccount,
    /// What there was after the last.
    pub after: FuzzAccount,
}

/// How often a call was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct FuzzCall {
    /// Times that it was made.
    pub made: u64,
    /// Of these, the calls that were accepted.
    pub accepted: u64,
}

/// Where a core's time went.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CoreLedger {
    /// The core.
    pub core: u64,
    /// Time by bucket: `kernel`, `idle`, `excess`, `gone`, and every environment by name. Rounded so that they add up.
    pub buckets: BTreeMap<String, u64>,
    /// All buckets together.
    pub sum_us: u64,
    /// Time that passed.
    pub elapsed_us: u64,
    /// All buckets together, exactly.
    pub sum_ticks: u64,
    /// Time that passed, exactly.
    pub elapsed_ticks: u64,
}

/// What became of the hostile environments, and of libOSes that fail on purpose.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Hostile {
    /// Faults.
    pub faults: u64,
    /// Slices kept past the grace time.
    pub excess_slices: u64,
    /// Slots that were asked back.
    pub asked: u64,
    /// Slots taken by force.
    pub repossessions: u64,
    /// How many were destroyed.
    pub destroyed: u64,
    /// Calls with forged capabilities.
    pub forged: u64,
    /// Of these, refused.
    pub forged_refused: u64,
    /// Calls that do not exist.
    pub unknown_calls: u64,
    /// What libOSes that fail on purpose did of it.
    pub failures: u64,
}

impl Results {
    /// The results of a run. None if the guest never said how fast its clock is.
    pub fn new(
        scenario: &Scenario,
        machine: &Machine,
        outcome: &Outcome,
        verdict: Vec<Verdict>,
    ) -> Option<Self> {
        let start = outcome.start.as_ref()?;
        let mut ledger: Vec<_> = outcome.ledger.iter().map(|ledger| core_ledger(ledger, start)).collect();
        ledger.sort_by_key(|ledger| ledger.core);
        let schedulers = scenario.schedulers();
        let libos = schedulers.iter().filter_map(|one| libos_results((scenario, &one.libos), outcome, start));
        Some(Self {
            version: VERSION,
            source: "kernel",
            scenario: scenario.name.clone(),
            seed: scenario.seed,
            board: machine.board.name(),
            gic: machine.gic,
            cores: machine.cores,
            clock: machine.clock.name(),
            frequency_hz: start.frequency,
            quantum_us: scenario.quantum_us,
            slots: scenario.slots,
            elapsed_us: ledger.iter().map(|ledger| ledger.elapsed_us).max().unwrap_or(0),
            machine: MachineResults::of(start.state, outcome.end_state),
            display: outcome.picture.map(|picture| DisplayResults::of(picture, start.frequency)),
            passed: verdict.iter().all(|line| line.passed),
            verdict,
            libos: libos.collect(),
            successions: succession::all(outcome, start),
            ledger,
            hostile: hostile(outcome),
            fuzz: outcome.fuzz.iter().map(fuzz).collect(),
            checks: outcome.checks.clone(),
            measures: outcome.measures.clone(),
            decisions: outcome.decisions.clone(),
            trace: None,
        })
    }

    /// The same with what a recording adds.
    pub fn with_trace(self, recorded: Option<&Recorded>) -> Self {
        recorded.map_or(self.clone(), |recorded| trace::add(self, recorded))
    }

    /// The file's bytes.
    pub fn to_json(&self) -> String {
        // The types are plain: writing them to memory cannot fail.
        serde_json::to_string_pretty(self).unwrap_or_default() + "\n"
    }
}

/// Ticks in whole microseconds, rounded down.
pub fn us(ticks: u64, frequency: u64) -> u64 {
    (u128::from(ticks) * 1_000_000).checked_div(frequency.into()).unwrap_or(0) as u64
}

/// Ticks in microseconds with three digits after the point.
fn fine_us(ticks: u64, frequency: u64) -> f64 {
    us(ticks.saturating_mul(1000), frequency) as f64 / 1000.0
}

/// A ratio with so many digits after the point; 0 of nothing.
fn ratio(part: u64, whole: u64, digits: i32) -> f64 {
    let scale = 10f64.powi(digits);
    if whole == 0 { 0.0 } else { (part as f64 / whole as f64 * scale).round() / scale }
}

fn libos_results(
    (scenario, declared): (&Scenario, &scenario::LibOs),
    outcome: &Outcome,
    start: &Start,
) -> Option<LibOs> {
    let name = declared.name.as_str();
    let libos = outcome.libos(name)?;
    let slots = outcome.slots_of(name).cloned().unwrap_or_default();
    let us = |ticks| us(ticks, start.frequency);
    Some(LibOs {
        name: name.into(),
        policy: libos.policy.word(),
        present_us: us(libos.left.saturating_sub(libos.arrived)),
        decisions: libos.decisions,
        clients_ran_us: us(libos.clients_ran),
        own_us: us(libos.own),
        slots_owned_avg: ratio(slots.owned, slots.revolutions, 4),
        slots_missed: slots.missed,
        slots_won: slots.won,
        slots_lost: slots.lost,
        slots_given_back: slots.given_back,
        slots_repossessed: slots.repossessed,
        clients: outcome
            .clients_of(name)
            .map(|client| meant((scenario, declared), client_results(client, start)))
            .collect(),
    })
}

/// A client's results with what the scenario means it to have, and when.
fn meant((scenario, libos): (&Scenario, &scenario::LibOs), client: Client) -> Client {
    let name = client.name.split('/').next();
    let declared = libos.clients.iter().find(|declared| Some(declared.name.as_str()) == name);
    let part = parts::part(libos, (scenario.cores, client.core.unwrap_or(0) as u32), &client.name);
    let ratio = |(part, whole)| ratio(part, whole, 6);
    Client {
        share_expected: client.share_expected.and(part).map(ratio),
        joins_ms: declared.map(|declared| declared.joins_ms).filter(|ms| *ms > 0),
        leaves_ms: declared.and_then(|declared| declared.leaves_ms),
        ..client
    }
}

fn client_results(client: &libos_core::report::Client, start: &Start) -> Client {
    let fine = |ticks| fine_us(ticks, start.frequency);
    let own = client.jobs.unwrap_or_default();
    let common = Client {
        jobs: own.jobs,
        misses: own.misses,
        max_response_us: client.jobs.map(|jobs| fine(jobs.max_response)),
        deadline_us: own.deadline.map(fine),
        wrong_demands: own.wrong_demands,
        name: client.name.clone(),
        core: client.core,
        ran_us: us(client.ran, start.frequency),
        turns: client.turns,
        work_units: client.work_units,
        checks_passed: client.checks_passed,
        checks_failed: client.checks_failed,
        ..Client::default()
    };
    match client.demand {
        Figures::Share { tickets, tickets_total, ran_total, pairwise_error_millionths, .. } => Client {
            tickets: Some(tickets),
            share_expected: Some(ratio(tickets, tickets_total, 6)),
            share_got: Some(ratio(client.ran, ran_total, 6)),
            max_pairwise_error_quanta: pairwise_error_millionths.map(|error| ratio(error, 1_000_000, 6)),
            ..common
        },
        Figures::Periodic { deadline, jobs, misses, max_response, response_bound, standing, .. } => Client {
            guarantee: guarantee(standing, start),
            jobs,
            misses,
            max_response_us: Some(fine(max_response)),
            response_bound_us: Some(fine(response_bound)),
            deadline_us: Some(fine(deadline)),
            ..common
        },
        Figures::Unpromised => common,
    }
}

fn guarantee(standing: Standing, start: &Start) -> Option<Guarantee> {
    let Standing { criticality, shed, shed_at, back_at, is_guaranteed, dropped } = standing;
    let at = |time: u64| (time > 0).then(|| us(time.saturating_sub(start.epoch), start.frequency));
    let all = Guarantee {
        criticality,
        shed,
        shed_us: at(shed_at),
        back_us: at(back_at),
        at_end: is_guaranteed,
        dropped,
    };
    (all != Guarantee { at_end: true, ..Guarantee::default() }).then_some(all)
}

/// Each bucket is what it adds to the sum so far, in whole microseconds: so they add up, and none is off by one.
fn core_ledger(ledger: &Ledger, start: &Start) -> CoreLedger {
    let own =
        [("kernel", ledger.kernel), ("idle", ledger.idle), ("excess", ledger.excess), ("gone", ledger.gone)];
    let environments = ledger.environments.iter().map(|(name, ticks)| (name.as_str(), *ticks));
    let mut buckets = BTreeMap::new();
    let mut sum: u64 = 0;
    for (name, ticks) in own.into_iter().chain(environments) {
        let before = us(sum, start.frequency);
        sum = sum.saturating_add(ticks);
        *buckets.entry(name.to_string()).or_default() += us(sum, start.frequency) - before;
    }
    CoreLedger {
        core: ledger.core,
        buckets,
        sum_us: us(sum, start.frequency),
        elapsed_us: us(ledger.elapsed, start.frequency),
        sum_ticks: ledger_sum(ledger).unwrap_or(u64::MAX),
        elapsed_ticks: ledger.elapsed,
    }
}

fn fuzz(heard: &report::Fuzz) -> Fuzz {
    let row = |row: &report::FuzzCall| {
        let counts = FuzzCall { made: row.made, accepted: row.accepted };
        (row.name.clone(), counts)
    };
    Fuzz {
        name: heard.name.clone(),
        made: heard.calls.iter().map(|row| row.made).sum(),
        calls: heard.calls.iter().map(row).collect(),
        refused: heard.refused.iter().cloned().collect(),
        reflected: heard.reflected,
        faults: heard.faults,
        environments: heard.environments,
        starts: heard.starts,
        silent: heard.silent,
        garbled: heard.garbled,
        wrong: heard.wrong,
        before: heard.before,
        after: heard.after,
    }
}

fn hostile(outcome: &Outcome) -> Hostile {
    let mut all = Hostile::default();
    for one in &outcome.hostile {
        all.faults += one.faults;
        all.excess_slices += one.excess_slices;
        all.asked += one.asked;
        all.repossessions += one.repossessions;
        all.destroyed += u64::from(one.destroyed);
        all.forged += one.forged;
        all.forged_refused += one.forged_refused;
        all.unknown_calls += one.unknown_calls;
        all.failures += one.failures;
    }
    all
}
