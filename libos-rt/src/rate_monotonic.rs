//! Rate-monotonic fixed priorities (Liu & Layland, JACM 20(1), 1973): of all jobs that are ready, the one of the task with
//! the shortest period runs; of the same period, the one with the lowest client number.
//!
//! Not here: the analysis of fixed priorities ([`crate::priorities`]), and what any policy for deadlines does besides
//! ([`crate::deadlines`]).
#![forbid(unsafe_code)]

use crate::admission::Task;
use crate::deadlines::{Deadlines, Order, Rank};
use crate::priorities;
use crate::supply::Supply;
use libos_core::sched::Tick;

/// The policy.
pub type RateMonotonic = Deadlines<ShortestPeriod>;

/// Its order.
#[derive(Clone, Copy, Debug)]
pub struct ShortestPeriod;

impl Order for ShortestPeriod {
    fn rank(task: &Task, _begin: Tick, _due: Tick) -> Rank {
        (Tick(task.period), Tick(0))
    }

    fn schedulable(tasks: &[Task], supply: &Supply) -> bool {
        priorities::schedulable(tasks, supply, period)
    }

    fn response_bound(tasks: &[Task], index: usize, supply: &Supply) -> Tick {
        Tick(priorities::response(tasks, index, supply, period))
    }
}

fn period(task: &Task) -> u64 {
    task.period
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    fn responses(tasks: &[(u64, u64)], supply: &Supply) -> Vec<Option<u64>> {
        let task =
            |(budget, period): &(u64, u64)| Task { budget: *budget, period: *period, deadline: *period };
        let tasks: Vec<Task> = tasks.iter().map(task).collect();
        let response = |index| {
            Some(priorities::response(&tasks, index, supply, period)).filter(|response| *response < u64::MAX)
        };
        (0..tasks.len()).map(response).collect()
    }

    #[test]
    fn the_published_set_responds_within_1_2_7_18_and_the_other_ones_third_task_misses() {
        let core = Supply::whole_core();
        let first = responses(&[(1, 4), (1, 5), (3, 9), (3, 18)], &core);
        assert_eq!(first, [1, 2, 7, 18].map(Some));
        assert_eq!(responses(&[(1, 4), (2, 6), (3, 8)], &core), [Some(1), Some(3), None]);
    }

    #[test]
    fn the_bound_of_liu_and_layland_and_the_hyperbolic_one_are_sufficient() {
        let core = Supply::whole_core();
        // Two tasks at 0.8284 and three harmonic ones at 1.
        assert_eq!(responses(&[(4142, 10_000), (5858, 14_142)], &core), [Some(4142), Some(10_000)]);
        assert_eq!(responses(&[(1, 2), (1, 4), (2, 8)], &core), [Some(1), Some(2), Some(8)]);
    }

    #[test]
    fn a_task_alone_in_a_slot_waits_for_it_first() {
        assert_eq!(responses(&[(3, 40)], &Supply::new(&[true, false], Tick(10), Tick(1))), [Some(14)]);
    }
}
