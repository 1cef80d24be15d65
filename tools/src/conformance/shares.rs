//! Proportional shares: stride, plain and hierarchical, lottery; and round robin, whose shares are equal in turns.

use super::measures::{absolute_error, pairwise_error, ratio, time_ratio, turns};
use super::setting::{Client, Setting, Work};
use super::{Expectation, Experiment};
use libos_core::scenario::Policy;

const STRIDE: &str = "Waldspurger and Weihl, Stride Scheduling, MIT/LCS/TM-528, 1995";
pub(super) const LOTTERY: &str = "Waldspurger and Weihl, Lottery Scheduling, OSDI 1994";
pub(super) const BINOMIAL: &str = "wins are binomial: three standard deviations on either side";
const TICKS: &str = "a turn is a slot less what its beginning costs, which differs by ticks; where passes are equal, they decide";
/// Start-up, until the last client is there, and the broker's slots.
const BEGIN_MS: u32 = 250;

/// All of them.
pub fn experiments() -> Vec<Experiment> {
    let mut all = vec![three_two_one(), seven_three(), many_small(), many_small_in_a_tree(), halves(), ten()];
    all.extend((1..=10).map(|tickets| lottery(tickets, 600)));
    all.extend([
        lottery(20, 1800),
        two_to_one(),
        compensation(),
        fractions(),
        uncompensated(),
        equal_turns(),
    ]);
    all
}

fn clients(tickets: &[(&str, u32)]) -> Vec<Client> {
    tickets.iter().map(|(name, tickets)| Client::endless(name, *tickets)).collect()
}

fn three() -> Vec<Client> {
    clients(&[("a", 3), ("b", 2), ("c", 1)])
}

fn three_two_one() -> Experiment {
    let expected = [("a", 300.0), ("b", 200.0), ("c", 100.0)];
    let count = |(client, (name, expected)): (usize, (&str, f64))| {
        let quantity = format!("turns of {name} in the first 600");
        Expectation::near(quantity, (expected, 1.0), TICKS, move |run| turns(run, client, 600))
    };
    let mut expectations: Vec<_> = expected.into_iter().enumerate().map(count).collect();
    expectations.push(Expectation::within(
        "largest pairwise error, quanta",
        (0.75, (0.6, 1.0)),
        TICKS,
        pairwise_error,
    ));
    expectations.push(Expectation::within(
        "largest absolute error, quanta",
        (1.0, (0.6, 1.2)),
        TICKS,
        absolute_error,
    ));
    Experiment {
        name: "stride-3-2-1".into(),
        source: STRIDE,
        setting: Setting::core(Policy::Stride, 650 + BEGIN_MS, three()),
        expectations,
    }
}

fn seven_three() -> Experiment {
    Experiment {
        name: "stride-7-3".into(),
        source: STRIDE,
        setting: Setting::core(Policy::Stride, 650 + BEGIN_MS, clients(&[("a", 7), ("b", 3)])),
        expectations: vec![
            Expectation::near("turns of a in the first 600", (420.0, 1.0), TICKS, |run| turns(run, 0, 600)),
            Expectation::within("largest pairwise error, quanta", (0.7, (0.6, 0.75)), TICKS, pairwise_error),
            Expectation::within("largest absolute error, quanta", (0.7, (0.6, 0.75)), TICKS, absolute_error),
        ],
    }
}

fn big_and_small() -> Vec<Client> {
    let mut clients = clients(&[("big", 100)]);
    clients.extend((0..100).map(|number| Client::endless(&format!("small-{number}"), 1)));
    clients
}

fn many_small_in_a_tree() -> Experiment {
    Experiment {
        name: "hierarchical-100-and-100-of-1".into(),
        source: STRIDE,
        setting: Setting::core(Policy::HierarchicalStride, 1500, big_and_small()),
        expectations: vec![
            Expectation::near(
                "turns of big in the first 100",
                (50.0, 5.0),
                "as far from its half as the absolute error",
                |run| turns(run, 0, 100),
            ),
            Expectation::near(
                "largest absolute error, quanta",
                (4.0, 1.0),
                "4.0, 4.5 or 5.0, by how 101 leaves are halved and which is the big client's; plain stride errs by 50",
                absolute_error,
            ),
        ],
    }
}

/// Worked by hand: of six quanta the root gives five to the half of a and b, where 3 : 2 is ABAAB; then C.
fn halves() -> Experiment {
    let setting = Setting::core(Policy::HierarchicalStride, 650 + BEGIN_MS, three());
    let errs = Expectation::within(
        "largest absolute error, quanta",
        (1.0, (0.5, 2.0)),
        "the bound is a quantum for each of two levels",
        absolute_error,
    );
    let mut expectations = vec![errs];
    expectations.extend([("a", 300.0), ("b", 200.0), ("c", 100.0)].into_iter().enumerate().map(
        |(client, (name, expected))| {
            let quantity = format!("turns of {name} in the first 600");
            Expectation::near(quantity, (expected, 1.0), TICKS, move |run| turns(run, client, 600))
        },
    ));
    Experiment { name: "hierarchical-3-2-1".into(), source: STRIDE, setting, expectations }
}

fn many_small() -> Experiment {
    Experiment {
        name: "stride-100-and-100-of-1".into(),
        source: STRIDE,
        setting: Setting::core(Policy::Stride, 1500, big_and_small()),
        expectations: vec![
            Expectation::near("turns of big in the first 100", (100.0, 1.0), TICKS, |run| turns(run, 0, 100)),
            Expectation::near("largest absolute error, quanta", (50.0, 1.5), TICKS, absolute_error),
            Expectation::within(
                "largest pairwise error, quanta",
                (1.0, (0.0, 1.0)),
                "the bound is at most one quantum, whatever the number of clients",
                pairwise_error,
            ),
        ],
    }
}

fn ten() -> Experiment {
    let clients = (1..=10).map(|tickets| Client::endless(&format!("c{tickets}"), tickets)).collect();
    Experiment {
        name: "stride-1-to-10".into(),
        source: STRIDE,
        setting: Setting::core(Policy::Stride, 1100 + BEGIN_MS, clients),
        expectations: vec![
            Expectation::near("turns of c10 in the first 1100", (200.0, 1.0), TICKS, |run| {
                turns(run, 9, 1100)
            }),
            Expectation::within(
                "largest pairwise error, quanta",
                (1.0, (0.0, 1.0)),
                "the bound is at most one quantum",
                pairwise_error,
            ),
        ],
    }
}

/// So many tickets to one, so many draws.
fn lottery(tickets: u32, draws: usize) -> Experiment {
    Experiment {
        name: format!("lottery-{tickets}-1"),
        source: LOTTERY,
        setting: Setting::core(
            Policy::Lottery,
            draws as u32 * 21 / 20 + BEGIN_MS,
            clients(&[("a", tickets), ("b", 1)]),
        ),
        expectations: vec![Expectation::within(
            format!("turns of a for each of b, of {draws}"),
            (f64::from(tickets), ratio_band(tickets.into(), draws as f64)),
            BINOMIAL,
            move |run| ratio(run, draws),
        )],
    }
}

/// Between which ratios a ratio of so many to one is in so many draws, but for one time in 370.
pub(super) fn ratio_band(ratio: f64, draws: f64) -> (f64, f64) {
    let chance = ratio / (ratio + 1.0);
    let deviation = 3.0 * (draws * chance * (1.0 - chance)).sqrt();
    let at = |wins: f64| wins / (draws - wins).max(1.0);
    (at(draws * chance - deviation), at(draws * chance + deviation))
}

fn two_to_one() -> Experiment {
    const WINDOW: usize = 80;
    const WINDOWS: usize = 25;
    let worst = |run: &crate::recording::Recording| {
        let picks = super::measures::picks(run);
        let windows = picks.get(..WINDOW * WINDOWS)?.chunks(WINDOW);
        let wins = windows.map(|window| window.iter().filter(|pick| **pick == 0).count());
        wins.min().map(|wins| wins as f64)
    };
    Experiment {
        name: "lottery-2-1-in-windows".into(),
        source: LOTTERY,
        setting: Setting::core(Policy::Lottery, 2100 + BEGIN_MS, clients(&[("a", 2), ("b", 1)])),
        expectations: vec![
            Expectation::within(
                "turns of a for each of b, of 2000 (published: 2.01)",
                (2.0, ratio_band(2.0, 2000.0)),
                BINOMIAL,
                |run| ratio(run, WINDOW * WINDOWS),
            ),
            Expectation::within(
                "turns of a in the worst of 25 windows of 80",
                (53.33, (36.0, 53.33)),
                "binomial: four standard deviations below the mean, because it is the worst of 25",
                worst,
            ),
        ],
    }
}

/// One client uses its whole turns, one a fifth of each; both have the same tickets.
fn a_fifth(policy: Policy) -> Setting {
    let fifth = Client { work: Work::Backlog { work_us: 200, deadline_us: None }, ..Client::endless("b", 1) };
    Setting::core(policy, 1500 + BEGIN_MS, vec![Client::endless("a", 1), fifth])
}

fn compensation() -> Experiment {
    Experiment {
        name: "lottery-compensation".into(),
        source: LOTTERY,
        setting: a_fifth(Policy::Lottery),
        expectations: vec![Expectation::near(
            "CPU time of a for each unit of b's",
            (1.0, 0.15),
            "who used a fifth of its turn has five times the tickets until it wins again: about 1500 draws in all, so three \
             standard deviations of the ratio are a tenth; and a slot's end cuts turns short",
            time_ratio,
        )],
    }
}

fn fractions() -> Experiment {
    Experiment {
        name: "stride-fractional-quanta".into(),
        source: STRIDE,
        setting: a_fifth(Policy::Stride),
        expectations: vec![Expectation::near(
            "CPU time of a for each unit of b's",
            (1.0, 0.02),
            "a pass advances by what was used; what b needs for its first job comes on top",
            time_ratio,
        )],
    }
}

fn uncompensated() -> Experiment {
    Experiment {
        name: "round-robin-uncompensated".into(),
        source: "Waldspurger and Weihl, Lottery Scheduling, OSDI 1994: why compensation is needed",
        setting: a_fifth(Policy::RoundRobin),
        expectations: vec![Expectation::near(
            "CPU time of a for each unit of b's",
            (4.0, 0.25),
            "a turn each, one of a fifth of a slot, the other of what is left of it, less what beginning both costs",
            time_ratio,
        )],
    }
}

fn equal_turns() -> Experiment {
    let clients = ["a", "b", "c", "d", "e"].map(|name| Client::endless(name, 1)).into();
    let apart = |run: &crate::recording::Recording| {
        let picks = super::measures::picks(run);
        let in_turn =
            |window: &&[usize]| (1..5).all(|other| window[0] != window[other]) && window[0] == window[5];
        Some(picks.get(..500)?.windows(6).filter(in_turn).count() as f64)
    };
    Experiment {
        name: "round-robin-5".into(),
        source: "by definition: everybody in turn",
        setting: Setting::core(Policy::RoundRobin, 550 + BEGIN_MS, clients),
        expectations: vec![
            Expectation::near("turns of a in the first 500", (100.0, 0.0), "none: it is exact", |run| {
                turns(run, 0, 500)
            }),
            Expectation::near(
                "of 495 turns, those whose client is next five turns later",
                (495.0, 0.0),
                "none: it is exact",
                apart,
            ),
        ],
    }
}
