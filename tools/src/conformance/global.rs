//! Global scheduling: Dhall's effect, and what EDZL makes of it.

use super::deadlines::{NONE, UNIT_US, no_miss};
use super::measures::{clients_late, first_response, worst_response};
use super::setting::{Client, Setting, Work};
use super::{Expectation, Experiment};
use libos_core::scenario::Policy;

const DHALL: &str = "Dhall and Liu, Operations Research 26(1), 1978; responses computed with SimSo 0.8.5";
const EDZL: &str = "Cho, Lee, Han and Lin, IEICE E85-D(12), 2002: where global EDF meets deadlines, EDZL does, and elsewhere too";
/// One task that needs a core, and four short ones whose deadlines come first.
const LONG_AND_SHORT: &[(u32, u32)] = &[(10, 10), (1, 9), (1, 9), (1, 9), (1, 9)];
/// Three tasks of two thirds of a core, on two.
const TWO_THIRDS: &[(u32, u32)] = &[(2, 3), (2, 3), (2, 3)];
const SHORTER: &str = "jobs use some percent less than published, and are done so much earlier; switches and the broker's slots come on top";

/// All of them.
pub fn experiments() -> Vec<Experiment> {
    let late = |count: f64| Expectation::near("clients that are late", (count, 0.0), NONE, clients_late);
    let long = Expectation::within("worst response of t1, units", (11.0, (10.2, 11.3)), SHORTER, |run| {
        worst_response(run, 0, f64::from(UNIT_US))
    });
    let third =
        Expectation::within("response of the first job of t3, units", (4.0, (3.3, 4.0)), SHORTER, |run| {
            first_response(run, 2, f64::from(UNIT_US))
        });
    vec![
        long_and_short("global-edf-dhall", DHALL, (Policy::GlobalEdf, 95), vec![late(1.0), long]),
        long_and_short(
            "global-rate-monotonic-dhall",
            DHALL,
            (Policy::GlobalRateMonotonic, 95),
            vec![late(1.0)],
        ),
        long_and_short("edzl-dhall", EDZL, (Policy::Edzl, 90), vec![no_miss()]),
        two_thirds("global-edf-two-thirds", DHALL, Policy::GlobalEdf, vec![late(1.0), third]),
        two_thirds("edzl-two-thirds", EDZL, Policy::Edzl, vec![no_miss()]),
    ]
}

/// Clients of a published set that may use its time, and use so many percent of it: the rest is what switches cost. EDZL
/// reckons with what they may use.
fn tasks(set: &[(u32, u32)], percent: u32) -> Vec<Client> {
    let task = |(number, (budget, period)): (usize, &(u32, u32))| {
        let (budget_us, period_us) = (budget * UNIT_US, period * UNIT_US);
        let work_us = budget_us / 100 * percent;
        let work = Work::Periodic { work_us, budget_us, period_us, deadline_us: period_us, offset_us: 0 };
        Client { work, ..Client::periodic(&format!("t{}", number + 1), work_us, period_us) }
    };
    set.iter().enumerate().map(task).collect()
}

/// Two hyperperiods on four cores, of which jobs use so many percent, in slots so long that their beginnings do not cost much of the
/// rest.
fn long_and_short(
    name: &str,
    source: &'static str,
    (policy, percent): (Policy, u32),
    expectations: Vec<Expectation>,
) -> Experiment {
    let core = Setting::core(policy, 2500, tasks(LONG_AND_SHORT, percent));
    let setting = Setting { cores: 4, quantum_us: 2000, ..core };
    Experiment { name: name.into(), source, setting, expectations }
}

fn two_thirds(
    name: &str,
    source: &'static str,
    policy: Policy,
    expectations: Vec<Expectation>,
) -> Experiment {
    let setting = Setting { cores: 2, ..Setting::core(policy, 1500, tasks(TWO_THIRDS, 85)) };
    Experiment { name: name.into(), source, setting, expectations }
}
