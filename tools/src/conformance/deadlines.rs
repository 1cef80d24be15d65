//! EDF, rate-monotonic and deadline-monotonic priorities: response times, what is schedulable, and what slots supply.

use super::measures::{clients_late, miss_ratio, misses, taken_on, worst_response};
use super::setting::{Client, Setting, Work};
use super::{Expectation, Experiment};
use crate::taskset::{self, Kind};
use libos_core::chance;
use libos_core::scenario::{Admission, Policy};

const LIU_LAYLAND: &str = "Liu and Layland, JACM 20(1), 1973";
const RESPONSES: &str = "response-time analysis (Joseph and Pandya, 1986), and SimSo 0.8.5 for EDF";
const SUPPLY: &str =
    "Shin and Lee, Periodic resource model, RTSS 2003: the supply bound function, exact for known slots";
const DHALL: &str =
    "Dhall and Liu, Operations Research 26(1), 1978; with tasks fixed to cores, computed with SimSo 0.8.5";
const BUTTAZZO: &str =
    "Buttazzo, Rate Monotonic vs. EDF: Judgment Day, Real-Time Systems 29, 2005: permanent overload";
const SHORT_DEADLINES: &str = "Leung and Whitehead, Performance Evaluation 2(4), 1982; responses by the analysis of Audsley et al., 1993";
pub(super) const NONE: &str = "none: deadlines are met or missed";
const ROOM: &str = "jobs use some percent less than published, which leaves room for switches; the broker's slots come on top";
/// Length of the papers' unit of time.
pub(super) const UNIT_US: u32 = 10_000;
/// What jobs use of the published time, in percent.
const USED: u32 = 95;
/// Start-up, until jobs begin.
const BEGIN_MS: u32 = 600;

/// A published set.
type Set = &'static [(u32, u32)];

const FIRST: Set = &[(1, 4), (1, 5), (3, 9), (3, 18)];
const SECOND: Set = &[(1, 4), (2, 6), (3, 8)];
const HARMONIC: Set = &[(1, 2), (1, 4), (2, 8)];
/// Utilisation 1.25.
const OVERLOAD: Set = &[(4, 8), (4, 16), (8, 16)];

/// All of them.
pub fn experiments() -> Vec<Experiment> {
    let mut all = vec![
        responses("rate-monotonic-responses", Policy::RateMonotonic, (FIRST, USED, 180), &[1, 2, 7, 18]),
        responses("edf-responses", Policy::Edf, (FIRST, USED, 180), &[2, 3, 7, 12]),
        responses("edf-responses-2", Policy::Edf, (SECOND, USED, 24), &[3, 4, 6]),
        harmonic(),
        miss(),
        refusal(),
        bound("rate-monotonic-at-the-bound", Policy::RateMonotonic, 96, 0.0),
        bound("rate-monotonic-above-the-bound", Policy::RateMonotonic, 104, 1.0),
        bound("edf-above-that-bound", Policy::Edf, 104, 0.0),
        overload("edf-overload", Policy::Edf, 3.0),
        overload("rate-monotonic-overload", Policy::RateMonotonic, 1.0),
        short_deadline("rate-monotonic-early-due", Policy::RateMonotonic, (6.0, 1.0)),
        short_deadline("deadline-monotonic-early-due", Policy::DeadlineMonotonic, (3.0, 0.0)),
        responses(
            "deadline-monotonic-responses",
            Policy::DeadlineMonotonic,
            (FIRST, USED, 180),
            &[1, 2, 7, 18],
        ),
        dhall(),
        half_a_core(),
        blackout("edf-supply-refuses", 2000, 1.0),
        blackout("edf-supply-accepts", 3000, 2.0),
    ];
    all.extend([11, 12, 13].map(random_set));
    all
}

/// Clients of a published set that use so many percent of its time.
pub fn tasks(set: &[(u32, u32)], percent: u32) -> Vec<Client> {
    let task = |(number, (work, period)): (usize, &(u32, u32))| {
        Client::periodic(&format!("t{}", number + 1), work * UNIT_US / 100 * percent, period * UNIT_US)
    };
    set.iter().enumerate().map(task).collect()
}

/// All deadlines are met.
pub fn no_miss() -> Expectation {
    Expectation::near("deadlines missed", (0.0, 0.0), NONE, misses)
}

/// The first `count` clients are those that were taken on, and keep their deadlines. Jobs of the others are not served.
fn no_miss_of(count: usize) -> Expectation {
    Expectation::near("deadlines missed by those taken on", (0.0, 0.0), NONE, move |run| {
        (0..count).map(|client| miss_ratio(run, client)).sum()
    })
}

/// The worst response of each task, over two hyperperiods.
fn responses(
    name: &str,
    policy: Policy,
    (set, used, hyperperiod): (Set, u32, u32),
    expected: &[u32],
) -> Experiment {
    let worst = |(client, expected): (usize, &u32)| {
        let expected = f64::from(*expected);
        let allowed = (expected - 0.3_f64.max(expected * 0.07), expected + 0.3);
        let quantity = format!("worst response of t{}, units", client + 1);
        Expectation::within(quantity, (expected, allowed), ROOM, move |run| {
            worst_response(run, client, f64::from(UNIT_US))
        })
    };
    let mut expectations: Vec<_> = expected.iter().enumerate().map(worst).collect();
    expectations.push(no_miss());
    Experiment {
        name: name.into(),
        source: RESPONSES,
        setting: Setting::core(policy, 2 * hyperperiod * UNIT_US / 1000 + BEGIN_MS, tasks(set, used)),
        expectations,
    }
}

/// Far above the bound for any three tasks, 0.780, and schedulable: each period is a multiple of those before.
fn harmonic() -> Experiment {
    Experiment {
        name: "rate-monotonic-harmonic".into(),
        source: LIU_LAYLAND,
        setting: Setting::core(Policy::RateMonotonic, 1500 + BEGIN_MS, tasks(HARMONIC, 94)),
        expectations: vec![no_miss()],
    }
}

fn miss() -> Experiment {
    Experiment {
        name: "rate-monotonic-misses".into(),
        source: RESPONSES,
        setting: Setting::core(
            Policy::RateMonotonic,
            4 * 24 * UNIT_US / 1000 + BEGIN_MS,
            tasks(SECOND, USED),
        ),
        expectations: vec![
            Expectation::near("clients that miss", (1.0, 0.0), NONE, clients_late),
            Expectation::within(
                "worst response of t3, due within 8, units",
                (10.0, (9.4, 10.4)),
                ROOM,
                |run| worst_response(run, 2, f64::from(UNIT_US)),
            ),
            Expectation::near(
                "deadlines that t3 misses of all",
                (0.333, 0.05),
                "one of three in each hyperperiod; the run's end cuts the last off",
                |run| miss_ratio(run, 2),
            ),
        ],
    }
}

/// 3 of 10, and 3 of 12 due within 5: by periods the latter responds within 6, by deadlines within 3.
fn short_deadline(name: &str, policy: Policy, (response, late): (f64, f64)) -> Experiment {
    let mut clients = tasks(&[(3, 10), (3, 12)], USED);
    if let Work::Periodic { deadline_us, .. } = &mut clients[1].work {
        *deadline_us = 5 * UNIT_US;
    }
    Experiment {
        name: name.into(),
        source: SHORT_DEADLINES,
        setting: Setting::core(policy, 2 * 60 * UNIT_US / 1000 + BEGIN_MS, clients),
        expectations: vec![
            Expectation::near("clients that miss", (late, 0.0), NONE, clients_late),
            Expectation::within(
                "worst response of t2, due within 5, units",
                (response, (response * 0.93, response + 0.3)),
                ROOM,
                |run| worst_response(run, 1, f64::from(UNIT_US)),
            ),
        ],
    }
}

fn refusal() -> Experiment {
    let guaranteed = Setting::core(Policy::RateMonotonic, 500 + BEGIN_MS, tasks(SECOND, USED));
    Experiment {
        name: "rate-monotonic-refuses".into(),
        source: RESPONSES,
        setting: Setting { admission: Admission::Required, ..guaranteed },
        expectations: vec![
            Expectation::near("clients taken on of 3", (2.0, 0.0), "none: it is decided once", taken_on),
            no_miss_of(2),
        ],
    }
}

/// Two tasks with periods of 1 and √2 that use the core just so far that rate-monotonic priorities barely hold at 100 %.
fn bound(name: &str, policy: Policy, percent: u32, late: f64) -> Experiment {
    let task = |name, work: u32, period| Client::periodic(name, work / 100 * percent, period);
    let clients = vec![task("t1", 41_400, 100_000), task("t2", 58_600, 141_400)];
    Experiment {
        name: name.into(),
        source: LIU_LAYLAND,
        setting: Setting::core(policy, 1500 + BEGIN_MS, clients),
        expectations: vec![Expectation::near("clients that miss", (late, 0.0), NONE, clients_late)],
    }
}

fn overload(name: &str, policy: Policy, late: f64) -> Experiment {
    Experiment {
        name: name.into(),
        source: BUTTAZZO,
        setting: Setting::core(policy, 1600 + BEGIN_MS, tasks(OVERLOAD, USED)),
        expectations: vec![Expectation::near("clients that miss, of 3", (late, 0.0), NONE, clients_late)],
    }
}

/// One task as long as its period, and four that are short: each on a core, the fourth beside the first's.
fn dhall() -> Experiment {
    let mut clients = vec![Client::periodic("heavy", 90_000, 100_000)];
    let light = |number: u32| {
        let core = 1 + number % 3;
        Client { core, ..Client::periodic(&format!("light-{number}"), 9_000, 90_000) }
    };
    clients.extend((0..4).map(light));
    Experiment {
        name: "edf-partitioned-dhall".into(),
        source: DHALL,
        setting: Setting { cores: 4, ..Setting::core(Policy::Edf, 900 + BEGIN_MS, clients) },
        expectations: vec![no_miss()],
    }
}

/// Every other slot: a job of two slots and a half that comes when a slot just ended.
fn half_a_core() -> Experiment {
    const QUANTUM_US: u32 = 2000;
    // A slot's 32nd part after the same place each time: in 64 jobs every place comes up.
    let client = Client::periodic("t1", QUANTUM_US * 5 / 2, 12 * QUANTUM_US + QUANTUM_US / 32);
    let core = Setting::core(Policy::Edf, 1700 + BEGIN_MS, vec![client]);
    Experiment {
        name: "edf-every-other-slot".into(),
        source: SUPPLY,
        setting: Setting { quantum_us: QUANTUM_US, slots: 4, kept: 2, ..core },
        expectations: vec![
            Expectation::within(
                "worst response, quanta",
                (5.5, (5.4, 5.8)),
                "releases come every 32nd part of a slot; what three slots cost at their beginning comes on top",
                |run| worst_response(run, 0, f64::from(QUANTUM_US)),
            ),
            no_miss(),
        ],
    }
}

/// Every other slot, and a task that is due soon, beside one that has time.
fn blackout(name: &str, deadline_us: u32, admitted: f64) -> Experiment {
    const QUANTUM_US: u32 = 2000;
    let soon = Work::Periodic { work_us: 300, budget_us: 500, period_us: 40_000, deadline_us, offset_us: 0 };
    let clients = vec![
        Client::periodic("t1", QUANTUM_US, 20 * QUANTUM_US),
        Client { work: soon, ..Client::periodic("t2", 1, 1) },
    ];
    let setting = Setting::every_other_slot(Policy::Edf, QUANTUM_US, 500 + BEGIN_MS, clients);
    Experiment {
        name: name.into(),
        source: SUPPLY,
        setting,
        expectations: vec![
            Expectation::near("clients taken on of 2", (admitted, 0.0), "none: it is decided once", taken_on),
            no_miss_of(admitted as usize),
        ],
    }
}

/// A random set of nine tenths of a core.
fn random_set(seed: u64) -> Experiment {
    let kind = Kind { count: 5, utilisation: 0.9, most_each: 0.6, periods_us: (10_000, 100_000) };
    let set = taskset::draw(&kind, &mut chance::seed(&[seed])).unwrap_or_default();
    let task = |(number, task): (usize, &taskset::Task)| {
        Client::periodic(&format!("t{}", number + 1), task.work_us, task.period_us)
    };
    Experiment {
        name: format!("edf-random-{seed}"),
        source: LIU_LAYLAND,
        setting: Setting {
            seed,
            ..Setting::core(Policy::Edf, 1500 + BEGIN_MS, set.iter().enumerate().map(task).collect())
        },
        expectations: vec![no_miss()],
    }
}
