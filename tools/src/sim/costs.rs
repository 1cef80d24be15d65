//! What the kernel and the libOSes cost: the table `costs.toml`, or nothing at all.
//!
//! All in ticks. Not here: who is charged when (`core`), and where the figures come from (`docs/simulator.md`).

use super::client::JobEnd;
use super::contest::{Contest, Newcomers};
use crate::Failure;
use apps::scheduler::deadlines::{SLOT_OVERHEAD_US, TURN_COST_US};
use libos_core::jobs;
use libos_core::scenario::Policy;
use libos_core::sched::ClientId;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The table that comes with the tool.
const TABLE: &str = include_str!("costs.toml");

/// What everything costs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
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
    /// How several cores have them.
    #[serde(skip)]
    pub cores: Cores,
}

/// How several cores execute instructions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Cores {
    /// In turns, as QEMU has them.
    #[default]
    TakeTurns,
    /// All at the same time.
    AreParallel,
}

/// What the kernel costs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
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
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
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
    /// A libOS's whose policy another takes over from, on each core.
    pub swap: u64,
    /// The same, for each client.
    pub swap_client: u64,
    /// A client's with jobs, before the first.
    pub client_start: u64,
    /// A client's, from when it has used what a job declares until it waits for the next, of which that is a part.
    pub job_end: u64,
    /// The last part of that: since the job counts as done.
    pub job_noted: u64,
    /// A client's, for drawing when its next job comes, where that is left to chance.
    pub draw: u64,
}

impl LibOs {
    /// What the end of a job costs, and by how much it may be wrong; `frequency` in ticks per second.
    pub fn job_end(&self, frequency: u64) -> JobEnd {
        let tolerance = jobs::ticks(jobs::DEMAND_TOLERANCE_US, frequency);
        let (done, early) =
            (self.job_end.saturating_sub(self.job_noted), self.job_noted.saturating_sub(self.job_end));
        JobEnd { done, early, noted: self.job_noted, draw: self.draw, tolerance }
    }
}

/// How a scheduler came to have the CPU again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Way {
    /// A slot of its begins, at whose beginning its client was cut off by the end of the last one.
    Slot,
    /// A slot of its begins, after others', and its client was cut off before them.
    Regained,
    /// Its client's time is over.
    Expired,
    /// Its client waits.
    Waiting,
    /// Its client yielded, or did not run at all.
    Yielded,
    /// It waited itself, in a slot of its own.
    Woken,
    /// A slot of its begins, and its own wait is over.
    Late,
}

/// A figure that grows with the number of clients: what it is without any, what each adds that competes, each that waits, and
/// each whose number is below that of the client that the turn is about, because clients are looked up by their numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Cost(pub f64, pub f64, pub f64, pub f64);

impl Cost {
    /// With so many of them, in whole ticks.
    pub fn with(self, contest: &Contest, client: ClientId) -> u64 {
        let each = self.1 * contest.competing as f64 + self.2 * contest.waiting() as f64;
        (self.0 + each + self.3 * f64::from(client.0)).round().max(0.0) as u64
    }
}

/// How long a scheduler's turn takes, the kernel's part of it included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Turning {
    /// In each [`Way`], from when the last came to an end, by the timer's time or by a call, until the scheduler reads the
    /// clock, before it asks its policy.
    pub slot: Cost,
    /// The same.
    pub regained: Cost,
    /// The same.
    pub expired: Cost,
    /// The same.
    pub waiting: Cost,
    /// The same.
    pub yielded: Cost,
    /// The same.
    pub woken: Cost,
    /// The same.
    pub late: Cost,
    /// From there until its client begins, or it waits.
    pub decide: Cost,
    /// More of that for each client whose wait is over.
    pub admit: f64,
    /// More of that for each client that has joined.
    pub join: f64,
}

impl Turning {
    fn times(self, factor: f64) -> Self {
        let cost = |Cost(a, b, c, d): Cost| Cost(a * factor, b * factor, c * factor, d * factor);
        Self {
            slot: cost(self.slot),
            regained: cost(self.regained),
            expired: cost(self.expired),
            waiting: cost(self.waiting),
            yielded: cost(self.yielded),
            woken: cost(self.woken),
            late: cost(self.late),
            decide: cost(self.decide),
            admit: self.admit * factor,
            join: self.join * factor,
        }
    }

    /// From its having asked its policy, after which so many compete, some of them newly, until its client begins.
    pub fn decide(&self, contest: &Contest, (newcomers, client): (Newcomers, ClientId)) -> u64 {
        let Newcomers { admitted, joined } = newcomers;
        let Cost(base, competing, waiting, place) = self.decide;
        let more = self.admit * admitted as f64 + self.join * joined as f64;
        Cost(base + more, competing, waiting, place).with(contest, client)
    }

    /// From the scheduler's having the CPU again until it asks its policy.
    pub fn back(&self, way: Way) -> Cost {
        match way {
            Way::Slot => self.slot,
            Way::Regained => self.regained,
            Way::Expired => self.expired,
            Way::Waiting => self.waiting,
            Way::Yielded => self.yielded,
            Way::Woken => self.woken,
            Way::Late => self.late,
        }
    }
}

impl Kernel {
    /// Its own part of a scheduler's way back to the CPU.
    pub fn part(&self, way: Way) -> u64 {
        match way {
            Way::Slot | Way::Regained | Way::Late => self.slot_switch,
            Way::Expired => self.expiry,
            Way::Woken => self.wake,
            // What a call costs is charged to whoever runs after it.
            Way::Waiting | Way::Yielded => 0,
        }
    }
}

/// What deadline policies reckon with when they guarantee deadlines. In microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Overhead {
    /// A slot's beginning, at most.
    pub slot_us: u64,
    /// A further turn, at most.
    pub turn_us: u64,
    /// How late a slot may begin that follows somebody else's, at most: the grace time.
    pub grace_us: u64,
}

impl Overhead {
    /// What the programs reckon with on the kernel, but the grace time, which is the scenario's.
    pub fn of_the_programs() -> Self {
        Self { slot_us: SLOT_OVERHEAD_US, turn_us: TURN_COST_US, grace_us: 0 }
    }

    /// The same with a grace time. Where nothing costs anything nobody is late either.
    pub fn with_grace(self, grace_us: u32) -> Self {
        let is_free = self == Self::default();
        Self { grace_us: if is_free { 0 } else { grace_us.into() }, ..self }
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
            cores: Cores::AreParallel,
        }
    }

    /// The same where an instruction takes 2^shift ns. The table is for 4.
    pub fn at(&self, shift: u32) -> Self {
        let mut costs = self.clone();
        let factor = f64::from(1 << shift) / 4.0;
        let scale = |ticks: &mut u64| *ticks = (*ticks as f64 * factor).round() as u64;
        let Kernel { slot_switch, slot_asleep, expiry, wake } = &mut costs.kernel;
        [slot_switch, slot_asleep, expiry, wake].into_iter().for_each(scale);
        let LibOs { broker_start, broker_make, broker_work, start, make_client, .. } = &mut costs.libos;
        [broker_start, broker_make, broker_work, start, make_client].into_iter().for_each(scale);
        let LibOs { swap, swap_client, client_start, job_end, job_noted, draw, .. } = &mut costs.libos;
        [swap, swap_client, client_start, job_end, job_noted, draw].into_iter().for_each(scale);
        costs.policy.values_mut().for_each(|turning| *turning = turning.times(factor));
        costs
    }

    /// What a turn costs under a policy. One that has not been measured, as it is new, is taken to cost what round robin does;
    /// nothing, if the table is empty.
    pub fn turning(&self, policy: Policy) -> Turning {
        let stand_in = (policy != Policy::None).then_some(Policy::RoundRobin);
        let known =
            [Some(policy), stand_in].into_iter().flatten().find_map(|known| self.policy.get(known.word()));
        known.copied().unwrap_or_default()
    }

    /// Microseconds in ticks.
    pub fn ticks(&self, microseconds: u64) -> u64 {
        (u128::from(microseconds) * u128::from(self.frequency_hz) / 1_000_000) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_has_every_policy_that_comes_with_the_project_and_nothing_else() {
        let costs = Costs::table().unwrap();
        let own = |word: &str| {
            let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../policies");
            std::path::Path::new(folder).join(word).exists()
        };
        let all: Vec<_> = Policy::ALL.map(Policy::word).into_iter().filter(|word| !own(word)).collect();
        assert!(all.iter().all(|word| costs.policy.contains_key(*word)), "{all:?}");
        assert!(costs.policy.keys().all(|word| Policy::ALL.iter().any(|policy| policy.word() == word)));
    }

    #[test]
    fn a_policy_that_is_not_in_the_table_costs_what_round_robin_does_and_nothing_where_nothing_costs() {
        let mut costs = Costs::table().unwrap();
        costs.policy.remove("lottery");
        assert_eq!(costs.turning(Policy::Lottery), costs.turning(Policy::RoundRobin));
        assert_eq!(costs.turning(Policy::None), Turning::default());
        assert_eq!(Costs::nothing(1_000_000).turning(Policy::Lottery), Turning::default());
    }

    #[test]
    fn where_instructions_come_faster_everything_costs_less() {
        let table = Costs::table().unwrap();
        assert_eq!(table.at(2), table);
        let fast = table.at(0);
        assert_eq!(fast.kernel.slot_switch, (table.kernel.slot_switch as f64 / 4.0).round() as u64);
        let turning = |costs: &Costs| costs.turning(Policy::Edf);
        assert_eq!(turning(&fast).slot.0 * 4.0, turning(&table).slot.0);
    }

    #[test]
    fn a_figure_grows_with_the_number_of_clients() {
        let contest = |competing| {
            let mut contest = Contest::default();
            contest.competing = competing;
            contest
        };
        let with = |competing| Cost(10.0, 2.6, 0.0, 0.5).with(&contest(competing), ClientId(0));
        assert_eq!([0, 1, 4].map(with), [10, 13, 20]);
        assert_eq!(Cost(10.0, 0.0, 0.0, 0.5).with(&Contest::of(4), ClientId(6)), 13);
        assert_eq!(Cost(-3.0, 1.0, 1.0, 0.0).with(&Contest::of(1), ClientId(0)), 0);
    }
}
