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
    pub fn of_the_programs() -> Self {
        Self { slot_us: SLOT_OVERHEAD_US, turn_us: TURN_COST_US }
    }
}

impl Costs {
    /// The table that comes with the tool, for a machine of so many cores: an instruction takes so many times as long.
    pub fn table(cores: u32) -> Result<Self, Failure> {
        let mut costs: Self = toml::from_str(TABLE).map_err(Failure::with("costs.toml"))?;
        let Kernel { slot_switch, slot_asleep, expiry, wake } = &mut costs.kernel;
        let LibOs { broker_start, broker_make, broker_work, start, make_client, client_start, job_end } =
            &mut costs.libos;
        let kernel = [slot_switch, slot_asleep, expiry, wake];
        let libos = [broker_start, broker_make, broker_work, start, make_client, client_start, job_end];
        let turning = costs.policy.values_mut().flat_map(|turning| [&mut turning.back, &mut turning.decide]);
        let all = kernel.into_iter().chain(libos).chain(turning);
        all.for_each(|cost| *cost *= u64::from(cores));
        Ok(costs)
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
        let costs = Costs::table(1).unwrap();
        for (word, policy) in POLICIES {
            assert_eq!(costs.turning(policy) != Turning::default(), policy != Policy::None, "{word}");
        }
    }

    #[test]
    fn on_four_cores_everything_takes_four_times_as_long() {
        let [one, four] = [1, 4].map(|cores| Costs::table(cores).unwrap());
        assert_eq!(four.kernel.slot_switch, 4 * one.kernel.slot_switch);
        assert_eq!(four.libos.job_end, 4 * one.libos.job_end);
        let decide = |costs: &Costs| costs.turning(Policy::Edf).decide;
        assert_eq!(decide(&four), 4 * decide(&one));
        assert_eq!(four.frequency_hz, one.frequency_hz);
    }
}
