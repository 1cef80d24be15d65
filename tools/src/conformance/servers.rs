//! Constant-bandwidth servers: what a client takes from others, and what it gets itself.

use super::deadlines::tasks;
use super::measures::{miss_ratio, time_part, time_ratio};
use super::setting::{Client, Setting, Work};
use super::{Expectation, Experiment};
use libos_core::scenario::Policy;

const CBS: &str =
    "Abeni and Buttazzo, Integrating Multimedia Applications in Hard Real-Time Systems, RTSS 1998";
const LEFT: &str = "the broker's slots, and what switches cost, come off the whole";
const OWED: &str = "a turn ends some microseconds after its budget, and the next budget pays; the last budget may lie outside the run";
/// Start-up, until jobs begin.
const BEGIN_MS: u32 = 600;

/// All of them.
pub fn experiments() -> Vec<Experiment> {
    vec![
        isolation("cbs-isolates", Policy::Cbs, (0.446, (0.40, 0.446)), LEFT),
        isolation("cbs-hard-isolates", Policy::CbsHard, (0.3, (0.29, 0.31)), OWED),
        proportion(),
        budgets(),
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
