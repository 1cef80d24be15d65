//! The worst-case response time of a task under EDF on a supply: a bound that no job of an admitted set exceeds.
//!
//! Spuri's analysis of deadline busy periods (INRIA research report 2772, 1996), with the supply bound function in place of the
//! whole core. Take a job of task i released `a` after the start of a busy period in which only jobs due no later than it
//! run. It is done when the supply reaches their demand, at the latest at the least L with
//!
//! ```text
//! least_in(L) ≥ (⌊a/Tᵢ⌋ + 1) Cᵢ + Σⱼ min(⌈L/Tⱼ⌉, ⌊(a + Dᵢ − Dⱼ)/Tⱼ⌋ + 1) Cⱼ    over j ≠ i with Dⱼ ≤ a + Dᵢ
//! ```
//!
//! and the bound is the greatest L − a. L changes only at those `a` at which some job is due together with it, so these are
//! looked at, up to the longest busy period. The bound is safe, and not exact: the worst window of the supply need not
//! meet the worst releases. Where the walk would be too long the deadline is returned, which admission guarantees.
#![forbid(unsafe_code)]

use crate::admission::Task;
use crate::supply::Supply;
use libos_core::sched::Tick;

/// Rounds of a fixed-point iteration, and releases looked at, before the deadline itself is the answer.
const MAX_STEPS: u64 = 10_000;

/// The longest response of any job of `tasks[index]`. The set must be [`schedulable`](crate::admission::schedulable).
///
/// # Panics
/// If there is no such task.
pub fn response_bound(tasks: &[Task], index: usize, supply: &Supply) -> Tick {
    let deadline = tasks[index].deadline;
    Tick(analyse(tasks, index, supply).map_or(deadline, |bound| bound.min(deadline)))
}

fn analyse(tasks: &[Task], index: usize, supply: &Supply) -> Option<u64> {
    let task = &tasks[index];
    let released = |window| tasks.iter().map(|task| task.released_in(window)).sum();
    let busy = settle(supply, released)?;
    let looked_at: u64 = tasks.iter().map(|other| busy / other.period + 1).sum();
    if looked_at > MAX_STEPS {
        return None;
    }
    let mut bound = supply.window_for(Tick(task.budget)).0;
    for other in tasks {
        // The first release of `task` at or after 0 that is due together with a job of `other`.
        let rest = task.deadline.saturating_sub(other.deadline) % other.period;
        let first = if task.deadline >= other.deadline {
            (other.period - rest) % other.period
        } else {
            other.deadline - task.deadline
        };
        for after in (first..busy).step_by(other.period as usize).chain([0]) {
            let done = settle(supply, |window| competing(tasks, index, after, window))?;
            bound = bound.max(done.saturating_sub(after));
        }
    }
    Some(bound)
}

/// Demand of the jobs released within `window` that run before or are the one of `tasks[index]` released at `after`.
fn competing(tasks: &[Task], index: usize, after: u64, window: u64) -> u64 {
    let due = after + tasks[index].deadline;
    let others = tasks.iter().enumerate().filter(|(other, _)| *other != index);
    let others: u64 = others.map(|(_, other)| other.demand_in(due).min(other.released_in(window))).sum();
    tasks[index].demand_in(due) + others
}

/// The least window, not 0, in which the supply is sure to reach the demand of that window.
pub(crate) fn settle(supply: &Supply, demand: impl Fn(u64) -> u64) -> Option<u64> {
    let mut window = 1;
    for _ in 0..MAX_STEPS {
        let next = supply.window_for(Tick(demand(window))).0;
        if next == u64::MAX {
            return None;
        }
        if next <= window {
            return Some(window);
        }
        window = next;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    fn bounds(tasks: &[(u64, u64)], supply: &Supply) -> Vec<u64> {
        let task =
            |(budget, period): &(u64, u64)| Task { budget: *budget, period: *period, deadline: *period };
        let tasks: Vec<Task> = tasks.iter().map(task).collect();
        (0..tasks.len()).map(|index| response_bound(&tasks, index, supply).0).collect()
    }

    #[test]
    fn a_task_alone_on_a_core_responds_in_its_budget() {
        assert_eq!(bounds(&[(3, 10)], &Supply::whole_core()), [3]);
    }

    #[test]
    fn a_task_alone_in_a_slot_waits_for_it_first() {
        assert_eq!(bounds(&[(3, 40)], &Supply::new(&[true, false], Tick(10), Tick(1))), [14]);
    }

    #[test]
    fn of_two_tasks_the_one_due_first_can_still_find_the_other_due_before_it() {
        // Worked by hand: (2, 5) released 2 after (3, 7): both due at 7, the other may go first: 5 − 2 = 3.
        // (3, 7) due at 7 after a (2, 5) due at 5: 2 + 3 = 5.
        assert_eq!(bounds(&[(2, 5), (3, 7)], &Supply::whole_core()), [3, 5]);
    }

    #[test]
    fn full_utilisation_still_has_a_bound_within_the_deadline() {
        let bounds = bounds(&[(1, 2), (1, 3), (1, 6)], &Supply::whole_core());
        assert!(bounds[0] <= 2 && bounds[1] <= 3 && bounds[2] <= 6, "{bounds:?}");
    }
}
