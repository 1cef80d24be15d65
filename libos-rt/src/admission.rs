//! Admission: a task set is schedulable under EDF iff in every window its demand is at most the supply.
//!
//! Demand bound function: Baruah, Rosier and Howell (1990), for deadlines up to the period; jobs may come later than
//! periodically, never earlier. The windows are walked as in QPA (Zhang and Burns, IEEE TC 58(9), 2009), with the
//! inverse of the supply in place of the whole core's. Where an exact answer would take too long, the answer is no.
#![forbid(unsafe_code)]

use crate::supply::Supply;
use libos_core::sched::{Demand, Refusal, Tick};

/// A task, in ticks: a job of at most `budget` every `period`, done within `deadline`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Task {
    /// CPU time of a job at most.
    pub budget: u64,
    /// From a release to the next, at least.
    pub period: u64,
    /// From a release to when the job must be done.
    pub deadline: u64,
}

/// Periods are at most this, about five hours of a 62.5 MHz counter, so that sums stay far from overflow.
const LONGEST_PERIOD: u64 = 1 << 40;
/// Windows up to this length are looked at; a set that would need longer ones is refused.
const LONGEST_WINDOW: u64 = 1 << 56;
/// Windows looked at before a set is refused.
const MAX_WINDOWS: usize = 100_000;
/// Fixed point of utilisations.
const ONE: u128 = 1 << 48;

impl Task {
    /// The task that a client asks for, if it makes sense: 0 < budget ≤ deadline ≤ period.
    pub fn new(demand: Demand) -> Result<Self, Refusal> {
        let Demand::Periodic { budget, period, deadline, .. } = demand else {
            return Err(Refusal::WrongDemand);
        };
        let sensible = 0 < budget.0 && budget <= deadline && deadline <= period && period.0 <= LONGEST_PERIOD;
        let task = Self { budget: budget.0, period: period.0, deadline: deadline.0 };
        if sensible { Ok(task) } else { Err(Refusal::BadDemand) }
    }

    /// CPU time of its jobs that are both released and due in a window of this length, at most.
    pub(crate) fn demand_in(&self, window: u64) -> u64 {
        window.checked_sub(self.deadline).map_or(0, |rest| (rest / self.period + 1) * self.budget)
    }

    /// CPU time of its jobs that are released in a window of this length, at most.
    pub(crate) fn released_in(&self, window: u64) -> u64 {
        window.div_ceil(self.period) * self.budget
    }
}

/// Whether EDF meets every deadline of these tasks, whenever they are released.
pub fn schedulable(tasks: &[Task], supply: &Supply) -> bool {
    let Some(mut window) = longest_window(tasks, supply) else { return tasks.is_empty() };
    for _ in 0..MAX_WINDOWS {
        let demand = tasks.iter().map(|task| task.demand_in(window)).sum();
        if demand > supply.least_in(Tick(window)).0 {
            return false;
        }
        // Down to where the demand already has its supply, no window in between can fail: demand only shrinks there.
        let enough = supply.window_for(Tick(demand)).0;
        window = if enough < window { enough } else { deadline_before(tasks, window) };
        if window == 0 {
            return true;
        }
    }
    false
}

/// The longest window of which the last instant is a deadline and which is shorter than `window`; 0 if there is none.
fn deadline_before(tasks: &[Task], window: u64) -> u64 {
    let before = |task: &Task| {
        let rest = window.checked_sub(task.deadline + 1)?;
        Some(task.deadline + rest / task.period * task.period)
    };
    tasks.iter().filter_map(before).max().unwrap_or(0)
}

/// A length beyond which no window can fail unless a shorter one does. `None` if there is no task, if the long-run
/// demand is above the supply, or if the length is out of reach.
fn longest_window(tasks: &[Task], supply: &Supply) -> Option<u64> {
    let capacity = u128::from(supply.capacity().0);
    let supplied = capacity * ONE / u128::from(supply.revolution().0);
    let parts = tasks.iter().map(|task| (task, (u128::from(task.budget) * ONE).div_ceil(task.period.into())));
    let demanded: u128 = parts.clone().map(|(_, part)| part).sum();
    if tasks.is_empty() || demanded >= supplied {
        return hyperperiod(tasks, supply);
    }
    // Supply is at least `supplied · window − capacity`, demand at most `demanded · window + early`.
    let early: u128 = parts.map(|(task, part)| part * u128::from(task.period - task.deadline)).sum();
    let window = (capacity * ONE + early).div_ceil(supplied - demanded);
    let window = u64::try_from(window).ok().filter(|window| *window <= LONGEST_WINDOW);
    window.or_else(|| hyperperiod(tasks, supply))
}

/// The time after which periods and revolution repeat, if the supply in it is at least the demand.
fn hyperperiod(tasks: &[Task], supply: &Supply) -> Option<u64> {
    let mut common = supply.revolution().0;
    for task in tasks {
        common = common.checked_mul(task.period / greatest_common_divisor(common, task.period))?;
    }
    let supplied = u128::from(common / supply.revolution().0) * u128::from(supply.capacity().0);
    let demanded: u128 =
        tasks.iter().map(|task| u128::from(common / task.period) * u128::from(task.budget)).sum();
    (!tasks.is_empty() && common <= LONGEST_WINDOW && demanded <= supplied).then_some(common)
}

fn greatest_common_divisor(mut one: u64, mut other: u64) -> u64 {
    while other != 0 {
        (one, other) = (other, one % other);
    }
    one
}

#[cfg(test)]
mod tests;
