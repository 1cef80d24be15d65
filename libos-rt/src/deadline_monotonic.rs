//! Deadline-monotonic fixed priorities (Leung and Whitehead, Performance Evaluation 2(4), 1982): of all jobs that are ready, the one
//! of the task that has the shortest time from release to deadline runs; of the same, the one with the lowest client number. Where
//! deadlines are periods that is rate-monotonic; where some are shorter no other fixed priorities meet deadlines that these miss.
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
pub type DeadlineMonotonic = Deadlines<ShortestDeadline>;

/// Its order.
#[derive(Clone, Copy, Debug)]
pub struct ShortestDeadline;

impl Order for ShortestDeadline {
    fn rank(task: &Task, _begin: Tick, _due: Tick) -> Rank {
        (Tick(task.deadline), Tick(0))
    }

    fn schedulable(tasks: &[Task], supply: &Supply) -> bool {
        priorities::schedulable(tasks, supply, deadline)
    }

    fn response_bound(tasks: &[Task], index: usize, supply: &Supply) -> Tick {
        Tick(priorities::response(tasks, index, supply, deadline))
    }
}

fn deadline(task: &Task) -> u64 {
    task.deadline
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rate_monotonic::ShortestPeriod;

    #[test]
    fn a_deadline_below_the_period_is_met_that_rate_monotonic_priorities_miss() {
        let task = |budget, period, deadline| Task { budget, period, deadline };
        // By hand: with the shorter period first, the second one responds in 6, due within 5.
        let tasks = [task(3, 10, 10), task(3, 12, 5)];
        let core = Supply::whole_core();
        assert!(!ShortestPeriod::schedulable(&tasks, &core));
        assert!(ShortestDeadline::schedulable(&tasks, &core));
        let responses = [0, 1].map(|index| ShortestDeadline::response_bound(&tasks, index, &core).0);
        assert_eq!(responses, [6, 3]);
    }
}
