//! Ticket inflation: Monte-Carlo integrations that give themselves tickets by the square of their relative error.
//!
//! What comes out follows from the rule. With tickets in proportion to 1/n, n being what a task has computed, n · dn/dt is the same for
//! all that run, so the differences of their n² stay as they are. Three tasks begin at 0, 1 and 2 units of time, and at 5 it is over.
//! At 1 the first has n = 1. From there on n₁² − n₂² = 1, and at 2, when n₁ + n₂ = 2, they have 5/4 and 3/4. From there on
//! n₁² − n₃² = 25/16 and n₂² − n₃² = 9/16, and at 5, when the sum is 5, they have 1.915, 1.634 and 1.451. With equal tickets
//! they would have 2.5, 1.5 and 1.

use super::setting::{Client, Setting, Work};
use super::shares::LOTTERY;
use super::{Expectation, Experiment};
use crate::recording::Recording;
use libos_core::scenario::Policy;

/// What each task has computed in the end, in units of time.
const COMPUTED: [f64; 3] = [1.915, 1.634, 1.451];
/// When the first begins: by then everybody is made.
const BEGIN_MS: u32 = 300;
/// A unit of time.
const UNIT_MS: u32 = 500;
/// When it is over; the run goes on to the end of its last revolution.
const END_MS: u32 = BEGIN_MS + 5 * UNIT_MS;
const RULE: &str = "tickets follow the error that a task sees, which is its own estimate; in its first millisecond it has the most that there are";
const DRAWS: &str = "the same, and draws are chance: some 800 of each task, corrected by those that follow, so three standard deviations \
                     of the ratio are less than a tenth";

/// All of them.
pub fn experiments() -> Vec<Experiment> {
    let all = [
        ("stride-monte-carlo", Policy::Stride, (0.03, RULE)),
        ("hierarchical-monte-carlo", Policy::HierarchicalStride, (0.03, RULE)),
        ("lottery-monte-carlo", Policy::Lottery, (0.1, DRAWS)),
    ];
    all.map(|(name, policy, tolerance)| three_tasks(name, policy, tolerance)).into()
}

fn three_tasks(name: &str, policy: Policy, tolerance: (f64, &'static str)) -> Experiment {
    let task = |number: u32| Client {
        joins_ms: BEGIN_MS + number * UNIT_MS,
        work: Work::MonteCarlo,
        ..Client::endless(&format!("t{}", number + 1), 1_000_000)
    };
    Experiment {
        name: name.into(),
        source: LOTTERY,
        setting: Setting::core(policy, END_MS, (0..3).map(task).collect()),
        expectations: vec![ratio((0, 2), tolerance), ratio((1, 2), tolerance)],
    }
}

/// What one task has computed for each unit of another's.
fn ratio((one, other): (usize, usize), (tolerance, reason): (f64, &'static str)) -> Expectation {
    let expected = COMPUTED[one] / COMPUTED[other];
    let quantity = format!("CPU time of t{} for each unit of t{}'s", one + 1, other + 1);
    Expectation::near(quantity, (expected, tolerance), reason, move |run: &Recording| {
        let end = run.epoch + u64::from(END_MS) * run.frequency / 1000;
        let turns = |client| run.turns_of(client).filter(|turn| turn.begin < end);
        let ran = |client| turns(client).map(|turn| turn.ran).sum::<u64>() as f64;
        (ran(other) > 0.0).then(|| ran(one) / ran(other))
    })
}
