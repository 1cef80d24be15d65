//! Ticket currencies: what happens inside one is nothing to the others.

use super::measures::picks_around;
use super::setting::{Client, Setting};
use super::shares::{BINOMIAL, LOTTERY, ratio_band};
use super::{Expectation, Experiment};
use libos_core::scenario::Policy;

/// Draws that are counted before somebody joins, and as many after.
const DRAWS: usize = 600;
/// When the fifth client joins: everybody else was there for so many draws.
const JOINS_MS: u32 = 900;
/// The clients that hold tickets of each currency, by their numbers.
const A: [u16; 2] = [0, 1];
const B: [u16; 3] = [2, 3, 4];

/// All of them.
pub fn experiments() -> Vec<Experiment> {
    vec![insulation()]
}

/// A and B are funded alike; A1 and A2 hold 100 and 200 tickets of A, B1 and B2 of B; half way B3 joins with 300.
fn insulation() -> Experiment {
    let client = |name, tickets, currency, joins_ms| Client {
        currency: Some(currency),
        joins_ms,
        ..Client::endless(name, tickets)
    };
    let clients = vec![
        client("a1", 100, "a", 0),
        client("a2", 200, "a", 0),
        client("b1", 100, "b", 0),
        client("b2", 200, "b", 0),
        client("b3", 300, "b", JOINS_MS),
    ];
    let after_ms = DRAWS as u32 * 21 / 20;
    let setting = Setting::core(Policy::Lottery, JOINS_MS + after_ms, clients);
    let mut expectations = vec![of_each_other(0, "before b3 joins"), of_each_other(1, "after that")];
    let parts = [("a1", 1.0 / 6.0, 1.0 / 6.0), ("a2", 1.0 / 3.0, 1.0 / 3.0), ("b1", 1.0 / 6.0, 1.0 / 12.0)];
    expectations.extend((0..).zip(parts).flat_map(|(number, (name, before, after))| {
        [turns(number, (name, 0, "before"), before), turns(number, (name, 1, "after"), after)]
    }));
    expectations.push(turns(3, ("b2", 1, "after"), 1.0 / 6.0));
    expectations.push(turns(4, ("b3", 1, "after"), 1.0 / 4.0));
    Experiment {
        name: "lottery-currencies".into(),
        source: LOTTERY,
        setting: Setting { currencies: vec![("a", 1000), ("b", 1000)], ..setting },
        expectations,
    }
}

/// Turns of A's clients for each of B's, in one half of the run.
fn of_each_other(half: usize, when: &str) -> Expectation {
    let quantity = format!("turns of A for each of B, {when} (published: 1.00)");
    Expectation::within(quantity, (1.0, ratio_band(1.0, DRAWS as f64)), BINOMIAL, move |run| {
        let picks = &picks_around(run, B[2], DRAWS)?[half];
        let of = |clients: &[u16]| picks.iter().filter(|pick| clients.contains(pick)).count() as f64;
        (of(&B) > 0.0).then(|| of(&A) / of(&B))
    })
}

/// Turns of a client of all in one half of the run, of which this part is its own.
fn turns(number: u16, (name, half, when): (&str, usize, &str), part: f64) -> Expectation {
    let draws = DRAWS as f64;
    let deviation = 3.0 * (draws * part * (1.0 - part)).sqrt();
    let quantity = format!("turns of {name} of {DRAWS}, {when}");
    Expectation::near(quantity, (draws * part, deviation), BINOMIAL, move |run| {
        let picks = &picks_around(run, B[2], DRAWS)?[half];
        Some(picks.iter().filter(|pick| **pick == number).count() as f64)
    })
}
