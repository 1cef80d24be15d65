//! What a decision costs with few clients and with many: counted by the kernel's cores to 1 000 clients, by this host's clock
//! to 10 000; and whether it grows no faster than the logarithm of their number.
//!
//! Not here: what measures on the kernel (`apps::bench::decisions`) and on the host ([`host`]); how it is shown.

pub mod host;

use crate::qemu::{Board, Clock, Machine};
use crate::run::{Debugger, Exports, Plan};
use crate::scenario::Changes;
use crate::screen::Screen;
use libos_core::report::Decisions;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The guest that measures.
pub const SCENARIO: &str = "scenarios/decisions.toml";
/// How long it may take, by the host's clock.
const PATIENCE: Duration = Duration::from_secs(300);

/// What was measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Quantity {
    /// The policy's instructions in a turn on the kernel.
    Policy,
    /// All instructions of a turn on the kernel: loop, policy, kernel, and a client that waits at once.
    Turn,
    /// The policy's nanoseconds in a turn on this host, by the wall clock.
    Host,
}

impl Quantity {
    /// How it is called on a terminal.
    pub fn title(self) -> &'static str {
        match self {
            Self::Policy => "decision, instructions",
            Self::Turn => "whole turn, instructions",
            Self::Host => "decision on this host, ns",
        }
    }

    /// What a cost may rise beside the logarithm, as a part of the least: instructions are counted, nanoseconds are noise.
    fn slack(self) -> f64 {
        match self {
            Self::Policy | Self::Turn => 0.1,
            Self::Host => 1.0,
        }
    }
}

/// The cost with so many clients.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Point {
    /// Clients of one scheduler.
    pub clients: u64,
    /// The mean over turns; of the host's, the median of repetitions.
    pub cost: f64,
    /// The least and the greatest of turns; of the host's, between which the middle half of repetitions is.
    pub range: (f64, f64),
}

/// A cost as `one + doubling · log₂ clients`, by least squares.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Fit {
    /// With one client.
    pub one: f64,
    /// What twice as many add.
    pub doubling: f64,
}

/// A policy's cost against the number of its clients.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Curve {
    /// The policy's word.
    pub policy: String,
    /// What was measured.
    pub quantity: Quantity,
    /// In the order of clients.
    pub points: Vec<Point>,
    /// The line through them.
    pub fit: Fit,
    /// Whether it grows no faster than the logarithm.
    pub logarithmic: bool,
}

impl Curve {
    /// What points say.
    pub fn new(policy: String, quantity: Quantity, mut points: Vec<Point>) -> Self {
        points.sort_by_key(|point| point.clients);
        let logarithmic = is_logarithmic(&points, quantity.slack());
        Self { policy, quantity, fit: fit(&points), logarithmic, points }
    }

    /// Whether it is as it should be. Of nanoseconds nothing is demanded: they are the host's, and whatever else it does.
    pub fn is_in_order(&self) -> bool {
        self.logarithmic || self.quantity == Quantity::Host
    }
}

/// From ten clients on, no step from one point to the next rises, for each tenfold of clients, by more than half as much again as
/// any step before, and the slack. So a cost that grows with a power of the number is found as soon as it matters.
fn is_logarithmic(points: &[Point], slack: f64) -> bool {
    let slack = points.iter().map(|point| point.cost).fold(f64::INFINITY, f64::min) * slack;
    let mut most: Option<f64> = None;
    let many: Vec<_> = points.iter().filter(|point| point.clients >= 10).collect();
    for pair in many.windows(2) {
        let tenfolds = (pair[1].clients as f64 / pair[0].clients.max(1) as f64).log10();
        let rise = (pair[1].cost - pair[0].cost) / tenfolds;
        if most.is_some_and(|most| rise > most * 1.5 + slack) {
            return false;
        }
        most = Some(most.unwrap_or(0.0).max(rise));
    }
    many.len() > 2
}

fn fit(points: &[Point]) -> Fit {
    let count = points.len().max(1) as f64;
    let along = |point: &Point| (point.clients.max(1) as f64).log2();
    let mean_x = points.iter().map(along).sum::<f64>() / count;
    let mean_y = points.iter().map(|point| point.cost).sum::<f64>() / count;
    let covariance: f64 = points.iter().map(|point| (along(point) - mean_x) * (point.cost - mean_y)).sum();
    let variance: f64 = points.iter().map(|point| (along(point) - mean_x).powi(2)).sum();
    let doubling = if variance > 0.0 { covariance / variance } else { 0.0 };
    Fit { one: mean_y - doubling * mean_x, doubling }
}

/// The curves of what a guest reported: of each policy one for its own part, and one for the whole turn.
pub fn of_kernel(reported: &[Decisions]) -> Vec<Curve> {
    let mut policies: Vec<&str> = Vec::new();
    for policy in reported.iter().map(|one| one.policy.word()) {
        if !policies.contains(&policy) {
            policies.push(policy);
        }
    }
    let mut curves = Vec::new();
    for quantity in [Quantity::Policy, Quantity::Turn] {
        for policy in &policies {
            let mine = reported.iter().filter(|one| one.policy.word() == *policy);
            let points = mine.map(|one| point(one, quantity)).collect();
            curves.push(Curve::new((*policy).into(), quantity, points));
        }
    }
    curves
}

fn point(one: &Decisions, quantity: Quantity) -> Point {
    let (sum, spread) = match quantity {
        Quantity::Turn => (one.turn_sum, one.turn_instructions),
        Quantity::Policy | Quantity::Host => (one.policy_sum, one.policy_instructions),
    };
    let mean = sum as f64 / one.turns.max(1) as f64;
    Point {
        clients: one.clients,
        cost: (mean * 10.0).round() / 10.0,
        range: (spread.minimum as f64, spread.maximum as f64),
    }
}

/// The run of the guest that measures, with what it leaves behind in `out`.
pub fn plan(kernel: &Path, apps: &Path, out: PathBuf) -> Plan {
    Plan {
        machine: Machine { board: Board::Virt, cores: 1, gic: 2, clock: Clock::Instructions },
        scenario: SCENARIO.into(),
        changes: Changes::default(),
        kernel: kernel.into(),
        apps: apps.into(),
        out,
        patience: PATIENCE,
        debugger: Debugger::Absent,
        card: None,
        exports: Exports::None,
        screen: Screen::None,
    }
}

/// A line for people: the cost at each number of clients, and what the verdict is.
pub fn line(curve: &Curve) -> String {
    let points: Vec<_> =
        curve.points.iter().map(|point| format!("{}: {:.0}", point.clients, point.cost)).collect();
    let verdict = if curve.is_in_order() { "pass" } else { "FAIL" };
    let Fit { one, doubling } = curve.fit;
    format!(
        "  {verdict}  {:<15} {:<25}  {}  (about {one:.0} + {doubling:.1} log2 n)\n",
        curve.policy,
        curve.quantity.title(),
        points.join("  ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use libos_core::report::Spread;
    use libos_core::scenario::Policy;

    fn points(cost: impl Fn(f64) -> f64) -> Vec<Point> {
        let of = |clients: u64| Point { clients, cost: cost(clients as f64), range: (0.0, 0.0) };
        [1, 10, 100, 1000].map(of).into()
    }

    #[test]
    fn what_does_not_grow_or_grows_with_the_logarithm_passes() {
        let costs: [fn(f64) -> f64; 3] =
            [|_| 100.0, |n| 100.0 + 40.0 * n.log2(), |n| 300.0 - 20.0 * n.log10()];
        for cost in costs {
            assert!(is_logarithmic(&points(cost), 0.1));
        }
    }

    #[test]
    fn what_grows_with_any_power_of_the_number_does_not() {
        let costs: [fn(f64) -> f64; 4] =
            [|n| 100.0 + n, |n| 100.0 + 10.0 * n.sqrt(), |n| 100.0 * n.powf(0.3), |n| 500.0 + 0.2 * n];
        for cost in costs {
            assert!(!is_logarithmic(&points(cost), 0.1), "{:?}", points(cost));
        }
    }

    #[test]
    fn two_points_say_nothing_of_growth() {
        assert!(!is_logarithmic(&points(|_| 1.0)[..3], 0.1), "one with a single client is not counted");
    }

    #[test]
    fn a_line_in_the_logarithm_is_found_again() {
        let Fit { one, doubling } = fit(&points(|n| 250.0 + 12.0 * n.log2()));
        assert!((one - 250.0).abs() < 1e-6 && (doubling - 12.0).abs() < 1e-6);
        assert_eq!(fit(&[]), Fit::default());
    }

    #[test]
    fn a_guests_reports_become_two_curves_for_each_policy() {
        let reported = |policy, clients, sum| Decisions {
            policy,
            clients,
            turns: 10,
            policy_instructions: Spread { minimum: 90, median: 100, maximum: 140 },
            policy_sum: sum,
            turn_instructions: Spread::default(),
            turn_sum: 5 * sum,
        };
        let all = [(Policy::Edf, 100, 1_205), (Policy::Edf, 1, 1_000), (Policy::Fifo, 1, 7)];
        let curves = of_kernel(&all.map(|(policy, clients, sum)| reported(policy, clients, sum)));
        let found: Vec<_> = curves.iter().map(|curve| (curve.policy.as_str(), curve.quantity)).collect();
        assert_eq!(
            found,
            [
                ("edf", Quantity::Policy),
                ("fifo", Quantity::Policy),
                ("edf", Quantity::Turn),
                ("fifo", Quantity::Turn)
            ]
        );
        let expected = Point { clients: 100, cost: 120.5, range: (90.0, 140.0) };
        assert_eq!((curves[0].points[1], curves[2].points[0].cost), (expected, 500.0));
    }
}
