//! First come, first served, and round robin, with jobs that end.

use super::measures::first_response;
use super::setting::{Client, Setting, Work};
use super::{Expectation, Experiment};
use crate::recording::Recording;
use libos_core::scenario::Policy;

const TEXTBOOK: &str =
    "Silberschatz, Galvin and Gagne, Operating System Concepts, CPU scheduling: bursts of 24, 3 and 3";
const SHARING: &str =
    "Kleinrock, Time-shared Systems, JACM 14(2), 1967: round robin tends to processor sharing";
/// Length of the textbook's unit: long beside a slot.
const UNIT_US: u32 = 5000;
const COSTS: &str = "slots of others and what switches cost: some percent; bursts arrive a fiftieth of a unit after one another";

/// All of them.
pub fn experiments() -> Vec<Experiment> {
    vec![
        bursts("fifo-24-3-3", (Policy::Fifo, TEXTBOOK), [24, 3, 3], [24.0, 27.0, 30.0]),
        bursts("fifo-3-3-24", (Policy::Fifo, TEXTBOOK), [3, 3, 24], [3.0, 6.0, 30.0]),
        bursts("round-robin-24-3-3", (Policy::RoundRobin, SHARING), [24, 3, 3], [30.0, 9.0, 9.0]),
    ]
}

/// Three bursts that arrive in this order as good as together, and how long each takes until it is done.
fn bursts(
    name: &str,
    (policy, source): (Policy, &'static str),
    lengths: [u32; 3],
    turnarounds: [f64; 3],
) -> Experiment {
    let client = |(number, length): (usize, u32)| {
        let work_us = length * UNIT_US;
        let offset_us = number as u32 * UNIT_US / 50;
        let (period_us, budget_us) = (60 * UNIT_US, work_us + work_us / 10);
        let work = Work::Periodic { work_us, budget_us, period_us, deadline_us: period_us, offset_us };
        Client { work, ..Client::endless(&format!("p{}", number + 1), 1) }
    };
    let clients = lengths.into_iter().enumerate().map(client).collect();
    let unit = f64::from(UNIT_US);
    let done = move |run: &Recording, client| first_response(run, client, unit);
    let mean = move |run: &Recording| Some((done(run, 0)? + done(run, 1)? + done(run, 2)?) / 3.0);
    let about = |units: f64| (units, 0.2 + units * 0.04);
    let mut expectations: Vec<_> = turnarounds
        .into_iter()
        .enumerate()
        .map(|(client, expected)| {
            let quantity = format!("p{} is done after, units", client + 1);
            Expectation::near(quantity, about(expected), COSTS, move |run| done(run, client))
        })
        .collect();
    let expected = turnarounds.iter().sum::<f64>() / 3.0;
    expectations.push(Expectation::near("mean, units", about(expected), COSTS, mean));
    Experiment { name: name.into(), source, setting: Setting::core(policy, 1000, clients), expectations }
}
