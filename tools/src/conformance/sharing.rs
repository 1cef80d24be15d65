//! What clients have together: a server that works in their time, and a lock, with and without transfers of tickets.

use super::measures::{part_of_clients, turnaround_ms, worst_response};
use super::setting::{Client, Setting, Together, Work};
use super::{Expectation, Experiment};
use crate::recording::Recording;
use libos_core::scenario::{Donation, Policy};

const SERVER: &str = "Waldspurger and Weihl, Lottery Scheduling, OSDI 1994, client-server computation: clients 8:3:1 of a server without tickets";
const TRANSFERS: &str =
    "by definition of transfers (Waldspurger and Weihl, Lottery Scheduling, OSDI 1994, sections 3 and 6.1)";
const JOBS: &str = "a job is ten turns, and the last may lie outside the run";
const BANDS: &str = "wins are binomial: three standard deviations of the fewer one's wins on either side, and a job at the end";
const SLOTS: &str =
    "a turn is a slot less what its beginning costs, and who is woken waits for the end of a turn";
const LOST: &str =
    "3 of the 4 tickets that do not wait, less what the waiters have between two jobs of the holder";
const MOMENTS: &str = "the lock is found taken at any moment of 20 ms; the broker's slots and a turn of the other client's come on top";
const INHERITANCE: &str =
    "Sha, Rajkumar and Lehoczky, Priority Inheritance Protocols, IEEE Transactions on Computers 39(9), 1990";
const KEPT: &str = "the broker's slots and what switches cost: some percent";
/// Start-up, until jobs begin.
const BEGIN_MS: u32 = 600;
/// CPU time for which the holder has the lock.
const HELD_US: u32 = 20_000;

/// All of them.
pub fn experiments() -> Vec<Experiment> {
    vec![
        server("lottery-server-8-3-1", Policy::Lottery, (0.26, BANDS)),
        server("stride-server-8-3-1", Policy::Stride, (0.06, JOBS)),
        shares("stride-lock-donated", (Policy::Stride, Donation::On), (0.25, (0.24, 0.26)), SLOTS),
        shares("lottery-lock-donated", (Policy::Lottery, Donation::On), (0.25, (0.22, 0.28)), BANDS),
        shares("stride-lock-not-donated", (Policy::Stride, Donation::Off), (0.75, (0.6, 0.76)), LOST),
        inversion("stride-inversion-donated", Donation::On, (28.0, (20.0, 33.0))),
        inversion("stride-inversion-not-donated", Donation::Off, (81.4, (60.0, 90.0))),
        priorities("rate-monotonic-inheritance", Donation::On, 18.0),
        priorities("rate-monotonic-inversion", Donation::Off, 54.0),
    ]
}

/// One that always has more jobs.
fn busy(name: &str, tickets: u32, (work_us, together): (u32, Together)) -> Client {
    Client { work: Work::Backlog { work_us, deadline_us: None }, together, ..Client::endless(name, tickets) }
}

fn server(name: &str, policy: Policy, (tolerance, reason): (f64, &'static str)) -> Experiment {
    let client = |(name, tickets)| busy(name, tickets, (10_000, Together::Server));
    let clients = [("a", 8), ("b", 3), ("c", 1)].map(client).into();
    let speed = |client: usize, expected: f64| {
        let quantity = format!("answers to {} for one to c, by response times", ["a", "b"][client]);
        let times = move |run: &Recording| Some(turnaround_ms(run, 2)? / turnaround_ms(run, client)?);
        Expectation::near(quantity, (expected, expected * tolerance), reason, times)
    };
    Experiment {
        name: name.into(),
        source: SERVER,
        setting: Setting::core(policy, 3000 + BEGIN_MS, clients),
        expectations: vec![speed(0, 8.0), speed(1, 3.0)],
    }
}

/// Nine tickets of three clients that need one lock, and three of a client that computes.
fn shares(
    name: &str,
    (policy, donation): (Policy, Donation),
    part: (f64, (f64, f64)),
    reason: &'static str,
) -> Experiment {
    let locked = |held_us| (held_us, Together::Lock { held_us });
    let clients = vec![
        busy("holder", 1, locked(HELD_US)),
        busy("waiter", 3, locked(1000)),
        busy("another", 5, locked(1000)),
        Client::endless("computes", 3),
    ];
    let quantity = "part of who computes, with 3 of 12 tickets";
    Experiment {
        name: name.into(),
        source: TRANSFERS,
        setting: Setting { donation, ..Setting::core(policy, 3000 + BEGIN_MS, clients) },
        expectations: vec![Expectation::within(quantity, part, reason, |run| part_of_clients(run, 3))],
    }
}

/// A waiter with eight tickets that comes now and then, and finds the lock taken by a holder with one.
fn inversion(name: &str, donation: Donation, response_ms: (f64, (f64, f64))) -> Experiment {
    let work = Work::Interactive { work_us: 1000, think_us: 100_000 };
    let together = Together::Lock { held_us: 1000 };
    let clients = vec![
        busy("holder", 1, (HELD_US, Together::Lock { held_us: HELD_US })),
        Client { work, together, ..Client::endless("waiter", 8) },
        Client::endless("computes", 3),
    ];
    let worst = |run: &Recording| worst_response(run, 1, 1000.0);
    let quantity = "worst response of the waiter, ms";
    Experiment {
        name: name.into(),
        source: TRANSFERS,
        setting: Setting { donation, ..Setting::core(Policy::Stride, 5000 + BEGIN_MS, clients) },
        expectations: vec![Expectation::within(quantity, response_ms, MOMENTS, worst)],
    }
}

/// The classic inversion. The task with the longest period has the lock for 18 ms, from 0 on; at 6 ms the one with the shortest comes for
/// it, at 9 ms one in between that needs no lock, for 36 ms. With inheritance the lock is free after the 18 ms; else after 36 more.
fn priorities(name: &str, donation: Donation, response_ms: f64) -> Experiment {
    let task = |name: &str, (work_ms, period_ms): (u32, u32), offset_ms: u32, held_ms: u32| {
        let (work_us, period_us) = (work_ms * 1000, period_ms * 1000);
        let budget_us = work_us + work_us / 20 + 100;
        let work = Work::Periodic {
            work_us,
            budget_us,
            period_us,
            deadline_us: period_us,
            offset_us: offset_ms * 1000,
        };
        let together = match held_ms {
            0 => Together::Nothing,
            held_ms => Together::Lock { held_us: held_ms * 1000 },
        };
        Client { work, together, ..Client::endless(name, 1) }
    };
    let clients =
        vec![task("low", (24, 480), 0, 18), task("high", (6, 120), 6, 6), task("middle", (36, 240), 9, 0)];
    let worst = |run: &Recording| worst_response(run, 1, 1000.0);
    let quantity = "worst response of the highest, ms";
    let expected = (response_ms, 1.5 + response_ms * 0.06);
    Experiment {
        name: name.into(),
        source: INHERITANCE,
        setting: Setting { donation, ..Setting::core(Policy::RateMonotonic, 2000 + BEGIN_MS, clients) },
        expectations: vec![Expectation::near(quantity, expected, KEPT, worst)],
    }
}
