//! What the kernel and the libOSes cost: the table `costs.toml`, or nothing at all.
//!
//! All in ticks. Not here: who is charged when (`core`), and where the figures come from (`docs/simulator.md`).

use crate::Failure;
use crate::scenario::policy_word;
use apps::scheduler::deadlines::{SLOT_OVERHEAD_US, TURN_COST_US};
use libos_core::scenario::Policy;
use serde::Deserialize;
use std::collections::BTreeMap;

/// The table that comes with the tool.
const TABLE: &str = include_str!("costs.toml");

/// What everything costs.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Costs {
    /// Ticks per second.
    pub frequency_hz: u64,
    /// The kernel.
    pub kernel: Kernel,
    /// The broker and the libOSes, besides turns.
    pub libos: LibOs,
    /// Turns, by the policy's word.
    pub policy: BTreeMap<String, Turning>,
    /// What deadline policies reckon with.
    #[serde(skip, default = "Overhead::of_the_programs")]
    pub overhead: Overhead,
}

/// What the kernel costs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Kernel {
    /// From a slot's beginning until its owner runs.
    pub slot_switch: u64,
    /// The same, if nobody runs in it.
    pub slot_asleep: u64,
    /// From the end of a directed yield's time until the scheduler runs.
    pub expiry: u64,
    /// From the end of a root's wait until it runs.
    pub wake: u64,
}

/// What programs cost once in a while.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LibOs {
    /// The broker's, from the first slot until it has read its scenario.
    pub broker_start: u64,
    /// The broker's, for a libOS that it makes.
    pub broker_make: u64,
    /// The broker's, in a revolution.
    pub broker_work: u64,
    /// A libOS's, on each core.
    pub start: u64,
    /// A libOS's, for each client.
    pub make_client: u64,
    /// A client's with jobs, before the first.
    pub client_start: u64,
    /// A client's, for noting a job's end; part of its next job.
    pub job_end: u64,
}

/// What a scheduler costs in each turn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Turning {
    /// From its having the CPU again until it asks its policy.
    pub back: u64,
    /// From there until its client begins, or it waits.
    pub decide: u64,
}

/// What deadline policies reckon with when they guarantee deadlines. In microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Overhead {
    /// A slot's beginning, at most.
    pub slot_us: u64,
    /// A further turn, at most.
    pub turn_us: u64,
}

impl Overhead {
    /// What the programs reckon with on the kernel.
    fn of_the_programs() -> Self {
        Self { slot_us: SLOT_OVERHEAD_US, turn_us: TURN_COST_US }
    }
}

impl Costs {
    /// The table that comes with the tool.
    pub fn table() -> Result<Self, Failure> {
        toml::from_str(TABLE).map_err(Failure::with("costs.toml"))
    }

    /// Nothing costs anything: what textbooks assume.
    pub fn nothing(frequency_hz: u64) -> Self {
        Self {
            frequency_hz,
            kernel: Kernel::default(),
            libos: LibOs::default(),
            policy: BTreeMap::new(),
            overhead: Overhead::default(),
        }
    }

    /// What a turn costs under a policy: nothing if it is not in the table.
    pub fn turning(&self, policy: Policy) -> Turning {
        self.policy.get(policy_word(policy)).copied().unwrap_or_default()
    }

    /// Microseconds in ticks.
    pub fn ticks(&self, microseconds: u64) -> u64 {
        (u128::from(microseconds) * u128::from(self.frequency_hz) / 1_000_000) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::POLICIES;

    #[test]
    fn the_table_has_every_policy_with_clients() {
        let costs = Costs::table().unwrap();
        for (word, policy) in POLICIES {
            assert_eq!(costs.turning(policy) != Turning::default(), policy != Policy::None, "{word}");
        }
    }
}
