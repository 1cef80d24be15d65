//! Earliest deadline first (Liu & Layland, JACM 20(1), 1973): of all jobs that are ready, the one that is due first runs;
//! of those due together the one released first, then the one with the lowest client number.
//!
//! Not here: what any policy for deadlines does besides ([`crate::deadlines`]).
#![forbid(unsafe_code)]

use crate::admission::{self, Task};
use crate::deadlines::{Deadlines, Order, Rank};
use crate::response;
use crate::supply::Supply;
use libos_core::sched::Tick;

/// The policy.
pub type Edf = Deadlines<EarliestDeadline>;

/// Its order.
#[derive(Clone, Copy, Debug)]
pub struct EarliestDeadline;

impl Order for EarliestDeadline {
    fn rank(_task: &Task, begin: Tick, due: Tick) -> Rank {
        (due, begin)
    }

    fn schedulable(tasks: &[Task], supply: &Supply) -> bool {
        admission::schedulable(tasks, supply)
    }

    fn response_bound(tasks: &[Task], index: usize, supply: &Supply) -> Tick {
        response::response_bound(tasks, index, supply)
    }
}
