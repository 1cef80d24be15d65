//! Constant-bandwidth servers: what a client takes from others, and what it gets itself.

use super::deadlines::tasks;
use super::measures::{miss_ratio, taken_on, time_part, time_ratio};
use super::setting::{Client, Setting, Work};
use super::{Expectation, Experiment};
use apps::scheduler::deadlines::{SLOT_OVERHEAD_US, TURN_COST_US};
use libos_core::scenario::Policy;
use libos_rt::deadlines::TURNS_PER_JOB;

const CBS: &str =
    "Abeni and Buttazzo, Integrating Multimedia Applications in Hard Real-Time Systems, RTSS 1998";
const SUPPLY: &str = "Abeni and Buttazzo, RTSS 1998, over slots: the demand of servers against the supply bound function (Shin and Lee, RTSS 2003)";
const LEFT: &str = "the broker's slots, and what switches cost, come off the whole";
const OWED: &str = "a turn ends some microseconds after its budget, and the next budget pays; the last budget may lie outside the run";
/// Start-up, until jobs begin.
const BEGIN_MS: u32 = 600;

/// Every other slot of 2 ms: two of four.
const QUANTUM_US: u32 = 2000;
const REVOLUTION_US: u32 = 4 * QUANTUM_US;
/// Of a slot, what counts in the worst case: without its beginning, and the grace time of whoever had the slot before.
const SLOT_SUPPLY_US: u32 = QUANTUM_US - SLOT_OVERHEAD_US as u32 - GRACE_US;
const GRACE_US: u32 = 50;
/// Both servers' period, in which there is so much.
const PERIOD_US: u32 = 5 * REVOLUTION_US;
const PERIOD_SUPPLY_US: u32 = 5 * 2 * SLOT_SUPPLY_US;
/// What a budget costs besides.
const TURNS_US: u32 = TURNS_PER_JOB as u32 * TURN_COST_US as u32;
/// The one server's budget, and the most that is left for the other.
const GREEDY_US: u32 = 10_000;
const JUST_FITS_US: u32 = PERIOD_SUPPLY_US - GREEDY_US - 2 * TURNS_US;

/// All of them.
pub fn experiments() -> Vec<Experiment> {
    vec![
        isolation("cbs-isolates", Policy::Cbs, (0.446, (0.40, 0.446)), LEFT),
        isolation("cbs-hard-isolates", Policy::CbsHard, (0.3, (0.29, 0.31)), OWED),
        proportion(),
        budgets(),
        boundary("cbs-admits", Policy::Cbs, (JUST_FITS_US, 2)),
        boundary("cbs-refuses", Policy::Cbs, (JUST_FITS_US + 10, 1)),
        boundary("cbs-hard-admits", Policy::CbsHard, (JUST_FITS_US, 2)),
        boundary("cbs-hard-refuses", Policy::CbsHard, (JUST_FITS_US + 10, 1)),
    ]
}

/// One that always has more jobs than it can do, with a server of so much CPU time in each period.
fn greedy(name: &str, budget_us: u32, period_us: u32) -> Client {
    let work = Work::Backlog { work_us: budget_us, deadline_us: Some(period_us) };
    Client { work, ..Client::endless(name, 1) }
}

/// Two periodic tasks, and a greedy client whose server is 0.3 of the core: demand is far above 1.
fn isolation(name: &str, policy: Policy, part: (f64, (f64, f64)), reason: &'static str) -> Experiment {
    let mut clients = tasks(&[(2, 6), (1, 4)], 95);
    clients.push(greedy("greedy", 30_000, 100_000));
    Experiment {
        name: name.into(),
        source: CBS,
        setting: Setting::core(policy, 2400 + BEGIN_MS, clients),
        expectations: vec![
            Expectation::near(
                "deadlines missed by t1 and t2",
                (0.0, 0.0),
                "none: deadlines are met or missed",
                |run| Some(miss_ratio(run, 0)? + miss_ratio(run, 1)?),
            ),
            Expectation::within("the greedy one's part of all time", part, reason, |run| time_part(run, 2)),
        ],
    }
}

fn proportion() -> Experiment {
    let clients = vec![greedy("a", 10_000, 100_000), greedy("b", 40_000, 200_000)];
    Experiment {
        name: "cbs-soft-proportion".into(),
        source: CBS,
        setting: Setting::core(Policy::Cbs, 3000 + BEGIN_MS, clients),
        expectations: vec![
            Expectation::near(
                "CPU time of a for each unit of b's",
                (0.5, 0.02),
                "deadlines move on by a period for each budget, so the rest goes by bandwidths; to a budget at the end",
                time_ratio,
            ),
            Expectation::within("time that both had", (1.0, (0.95, 1.0)), LEFT, |run| {
                Some(time_part(run, 0)? + time_part(run, 1)?)
            }),
        ],
    }
}

fn budgets() -> Experiment {
    let clients = vec![greedy("a", 10_000, 100_000), greedy("b", 40_000, 200_000)];
    let part = |client: usize, expected: f64| {
        let quantity = format!("part of all time of {}", ["a", "b"][client]);
        Expectation::near(quantity, (expected, expected * 0.04), OWED, move |run| time_part(run, client))
    };
    Experiment {
        name: "cbs-hard-budgets".into(),
        source: CBS,
        setting: Setting::core(Policy::CbsHard, 4000 + BEGIN_MS, clients),
        expectations: vec![part(0, 0.1), part(1, 0.2)],
    }
}

/// A server that always has jobs, and one with a job each period, of slots whose supply they use up to the last microsecond or exceed.
fn boundary(name: &str, policy: Policy, (budget_us, taken): (u32, usize)) -> Experiment {
    let (period_us, deadline_us) = (PERIOD_US, PERIOD_US);
    // A job's own end costs some microseconds more than it declares.
    let work =
        Work::Periodic { work_us: budget_us / 100 * 98, budget_us, period_us, deadline_us, offset_us: 0 };
    let clients = vec![greedy("greedy", GREEDY_US, PERIOD_US), Client { work, ..Client::endless("t1", 1) }];
    let setting = Setting::every_other_slot(policy, QUANTUM_US, 3000 + BEGIN_MS, clients);
    let mut expectations = vec![Expectation::near(
        "clients taken on of 2",
        (taken as f64, 0.0),
        "none: it is decided once",
        taken_on,
    )];
    if taken == 2 {
        let missed = "deadlines missed by t1";
        expectations.push(Expectation::near(
            missed,
            (0.0, 0.0),
            "none: deadlines are met or missed",
            |run| miss_ratio(run, 1),
        ));
    }
    Experiment { name: name.into(), source: SUPPLY, setting, expectations }
}
