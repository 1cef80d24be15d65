//! A program of many threads on all its activations: partial sums through a channel and under a mutex, in threads that
//! block, sleep and are interrupted anywhere, and that check every register and every sum.
//!
//! Not here: the threads themselves (`libos_core::threads`). The program owns slots on its cores and uses them itself:
//! policy `none` in a scenario.
#![forbid(unsafe_code)]

use crate::assignment::EVENT_REPORT;
use crate::assignment::without_clients;
use crate::selftest::registers::{self, Pattern};
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering::{AcqRel, Relaxed};
use libos_core::frames::Frames;
use libos_core::report::Record;
use libos_core::start::StartInfo;
use libos_core::threads::sync::{Channel, Mutex};
use libos_core::threads::{self, Counters};
use libos_core::{output, page, public, say};
use serde::{Deserialize, Serialize};
use tranche_abi::layout::MAX_ACTIVATIONS;
use tranche_abi::{Error, Tick};

/// How much work there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// Threads that work.
    pub workers: u64,
    /// Rounds of each. A round is a unit of work.
    pub rounds: u64,
    /// Rounds after which a worker sleeps for a tenth of a quantum; 0: never.
    pub nap_after: u64,
}

/// What the program does again and again: some milliseconds on four cores.
const PLAN: Plan = Plan { workers: 12, rounds: 40, nap_after: 16 };
/// Turns of the loop in which a worker looks after its registers.
const HOLD: u64 = 200;
/// Numbers that are summed up in one round.
const NUMBERS: u64 = 100;
/// Rounds of which one takes the mutex.
const MUTEX_EVERY: u64 = 4;
/// Items that the channel has room for: few, so that senders have to wait.
const ROOM: usize = 3;
/// `x18` in [`registers::Dump::differences`], which the way back at EL0 takes.
const X18: usize = 18;

/// Does the work until the creator wants the report.
pub fn main(info: StartInfo) {
    let arrived = page::now();
    carry(&info, || {
        while threads::take_events() & EVENT_REPORT == 0 {
            if let Err(error) = work(PLAN) {
                return say!("no more threads: {error:?}");
            }
        }
    });
    if page::index() == 0 {
        report_check();
        output::report(&Record::LibOs(without_clients(&info.name, arrived)));
    }
    output::stats().reported.fetch_add(1, AcqRel);
}

/// Does the work of a plan once, says what the dispatchers counted, and notes one job.
pub fn work_once(info: &StartInfo, plan: Plan) {
    carry(info, move || {
        if let Err(error) = work(plan) {
            say!("no more threads: {error:?}");
        }
    });
    if page::index() == 0 {
        say!("{}", counters());
        output::stats().jobs.fetch_add(1, AcqRel);
    }
}

/// Activation 0 begins the first thread; all carry.
fn carry(info: &StartInfo, first: impl FnOnce() + Send + 'static) {
    if page::index() > 0 {
        return threads::carry();
    }
    if let Err(error) = threads::run(Frames::new(info.owned_frames()), first) {
        say!("no threads: {error:?}");
    }
}

/// Whether all results were right.
fn report_check() {
    let stats = output::stats();
    let [right, wrong] = [&stats.checks_passed, &stats.checks_failed].map(|count| count.load(Relaxed));
    output::report(&Record::Check {
        name: "threads that block and are interrupted anywhere have every register and every sum right"
            .into(),
        passed: right > 0 && wrong == 0,
        detail: format!("{right} right, {wrong} wrong; {}", counters()),
    });
}

/// What the dispatchers of all activations counted, added up.
fn counters() -> String {
    let sum = |field: fn(&Counters) -> &AtomicU64| {
        (0..MAX_ACTIVATIONS as u64)
            .filter_map(threads::counters)
            .map(|counters| field(counters).load(Relaxed))
            .sum::<u64>()
    };
    format!(
        "{} slice ends, {} interruptions, {} blocked, {} rescued, {} waits",
        sum(|counters| &counters.slice_ends),
        sum(|counters| &counters.interruptions),
        sum(|counters| &counters.blocks),
        sum(|counters| &counters.rescues),
        sum(|counters| &counters.waits),
    )
}

/// What the workers share.
struct Shared {
    plan: Plan,
    parts: Channel<u64>,
    total: Mutex<u64>,
}

/// One piece of work, from a thread: begins the workers, waits for them, and counts the results. Errors: as of
/// [`threads::spawn`].
fn work(plan: Plan) -> Result<(), Error> {
    let shared = Arc::new(Shared { plan, parts: Channel::new(ROOM), total: Mutex::new(0) });
    let collector = threads::spawn({
        let shared = shared.clone();
        move || (0..plan.workers * plan.rounds).map(|_| shared.parts.receive()).sum::<u64>()
    })?;
    let begin = |worker| {
        let shared = shared.clone();
        threads::spawn(move || run_worker(worker, &shared))
    };
    let workers = (0..plan.workers).map(begin).collect::<Result<Vec<_>, Error>>()?;
    workers.into_iter().for_each(|worker| worker.join());
    let stats = output::stats();
    stats.count(collector.join() == expected(plan, 1));
    stats.count(*shared.total.lock() == expected(plan, MUTEX_EVERY));
    Ok(())
}

/// The sum over the rounds of all workers of which every `every`th counts.
fn expected(plan: Plan, every: u64) -> u64 {
    let rounds = (0..plan.workers)
        .flat_map(|worker| (0..plan.rounds).step_by(every as usize).map(move |round| (worker, round)));
    rounds
        .map(|(worker, round)| {
            let (first, count) = (first_number(plan, worker, round), NUMBERS);
            // Arithmetic series.
            count * first + count * (count - 1) / 2
        })
        .sum()
}

fn first_number(plan: Plan, worker: u64, round: u64) -> u64 {
    (worker * plan.rounds + round) * NUMBERS
}

fn run_worker(worker: u64, shared: &Shared) {
    let stats = output::stats();
    let plan = shared.plan;
    let nap = public::view().quantum().0 / 10;
    for round in 0..plan.rounds {
        let first = first_number(plan, worker, round);
        let pattern = Pattern(first.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let wrong =
            registers::hold(&pattern, HOLD).differences(&pattern).filter(|place| *place != X18).count();
        let part = (first..first + NUMBERS).fold(0, |sum, number| core::hint::black_box(sum + number));
        shared.parts.send(part);
        if round % MUTEX_EVERY == 0 {
            add_slowly(&shared.total, part);
        }
        if plan.nap_after > 0 && round % plan.nap_after == plan.nap_after - 1 {
            threads::sleep_until(page::now().saturating_add(Tick(nap)));
        }
        stats.count(wrong == 0);
    }
}

/// Lets others run between reading and writing: without the mutex, their additions would be lost.
fn add_slowly(total: &Mutex<u64>, part: u64) {
    let mut total = total.lock();
    let before = *total;
    threads::yield_now();
    *total = before + part;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_expected_sum_is_that_of_all_numbers() {
        let plan = Plan { workers: 3, rounds: 8, nap_after: 0 };
        assert_eq!(expected(plan, 1), (0..3 * 8 * NUMBERS).sum::<u64>());
        assert!(expected(plan, MUTEX_EVERY) < expected(plan, 1) / 2);
    }
}
