//! Response-time analysis of fixed priorities (Joseph and Pandya, Computer Journal 29(5), 1986; for deadlines below the period
//! Audsley et al., Software Engineering Journal 8(5), 1993): a job is done at the latest at the least L with
//!
//! ```text
//! least_in(L) ≥ Cᵢ + Σⱼ ⌈L/Tⱼ⌉ Cⱼ    over the j of higher priority
//! ```
//!
//! with the supply bound function in place of the whole core. On a whole core that is exact, for deadlines up to the
//! period; but of two tasks of the same priority each is taken to wait for the other.
//!
//! Not here: which priorities ([`crate::rate_monotonic`], [`crate::deadline_monotonic`]).
#![forbid(unsafe_code)]

use crate::admission::Task;
use crate::response::settle;
use crate::supply::Supply;

/// Whether every task meets its deadlines, if the one with the lower number goes first.
pub fn schedulable(tasks: &[Task], supply: &Supply, number: impl Fn(&Task) -> u64) -> bool {
    (0..tasks.len()).all(|index| response(tasks, index, supply, &number) <= tasks[index].deadline)
}

/// The longest response of `tasks[index]`, if the one with the lower number goes first; without end if it is above the deadline.
///
/// # Panics
/// If there is no such task.
pub fn response(tasks: &[Task], index: usize, supply: &Supply, number: impl Fn(&Task) -> u64) -> u64 {
    let task = tasks[index];
    let higher = |other: usize| other != index && number(&tasks[other]) <= number(&task);
    let demand = |window: u64| {
        if window > task.deadline {
            return u64::MAX; // It is late: no need to know by how much.
        }
        let others = (0..tasks.len()).filter(|other| higher(*other));
        task.budget + others.map(|other| tasks[other].released_in(window)).sum::<u64>()
    };
    settle(supply, demand).unwrap_or(u64::MAX)
}
