//! What a client has to do, and when. Not here: the jobs themselves, one after the other ([`crate::jobs`]).
#![forbid(unsafe_code)]

use serde::{Deserialize, Serialize};

/// The jobs of a client. [`crate::jobs`] says when each comes and what it needs. All times in microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Jobs {
    /// When they are released.
    pub arrivals: Arrivals,
    /// CPU time that one may need at most.
    pub budget_us: u32,
    /// Time from release to deadline; `None`: there is no hurry.
    pub deadline_us: Option<u32>,
    /// CPU time that one of the synthetic workload `spin` really uses, at least.
    pub work_min_us: u32,
    /// The same, at most; if both are the same, every job uses it.
    pub work_us: u32,
}

/// When jobs are released. All times in microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Arrivals {
    /// One every period.
    Periodic {
        /// Time between releases.
        period_us: u32,
        /// The first release, after the client's start.
        offset_us: u32,
    },
    /// Several at once, then none for a time that varies, whether they are done or not.
    Bursty {
        /// Jobs that are released together.
        burst: u32,
        /// Time between bursts, in the mean.
        gap_us: u32,
    },
    /// One at a time: the next is released when its user, who has seen the last one's result, has thought about it.
    Interactive {
        /// Time from a job's end to the next release, in the mean.
        think_us: u32,
    },
    /// As they were recorded, whether they are done or not.
    Trace {
        /// The number of the list in the scenario.
        list: u16,
        /// After which time the list begins again; `None`: it does not.
        repeat_us: Option<u32>,
    },
}

impl Jobs {
    /// The time between releases that a scheduler may rely on: the period, or what stands in for it where releases have
    /// none, the deadline.
    pub fn least_period_us(&self) -> u32 {
        match self.arrivals {
            Arrivals::Periodic { period_us, .. } => period_us,
            Arrivals::Bursty { .. } | Arrivals::Interactive { .. } | Arrivals::Trace { .. } => {
                self.deadline_us.unwrap_or(self.budget_us)
            }
        }
    }
}
