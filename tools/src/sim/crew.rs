//! A libOS's clients on one core, before they are there: what they ask of their policy, and which jobs they will have.
//!
//! Follows `apps::scheduler::crew`. Not here: what they do then (`client`).

use super::activation::Change;
use super::client::{Client, Work};
use super::costs;
use super::policy::{Any, Terms};
use crate::recording::Recording;
use apps::scheduler::crew::{first_revolution_of_jobs, making_us};
use libos_core::jobs::{self, JobSource, Spec};
use libos_core::scenario::{self, Arrivals, Inflation, LibOs, Scenario, Trace};
use libos_core::sched::{ClientId, Demand, Policy, Tick};

/// The clients to be made.
#[derive(Clone, Debug)]
pub struct Crew {
    members: Vec<(usize, scenario::Client)>,
    policy: scenario::Policy,
    terms: Terms,
    revolution: u64,
    /// Time in which they are made.
    making: Tick,
    costs: costs::LibOs,
    /// Lists of their jobs' releases.
    traces: Vec<Trace>,
    /// When their jobs begin, if that is known.
    pub begin: Option<u64>,
}

impl Crew {
    /// The clients of a libOS on a core. `first` is the place of the libOS's first client in the recording's list.
    pub fn new(
        scenario: &Scenario,
        libos: &LibOs,
        (first, terms): (usize, Terms),
        costs: costs::LibOs,
    ) -> Self {
        let copies = libos
            .clients
            .iter()
            .flat_map(|client| client.copies(scenario.cores).map(move |(core, _)| (core, client)));
        let here = copies.enumerate().filter(|(_, (core, _))| *core == terms.core);
        let members: Vec<_> = here.map(|(place, (_, client))| (first + place, client.clone())).collect();
        let revolution = terms.quantum * u64::from(scenario.slots);
        let making_us = making_us(libos, scenario.slots, members.len());
        let making = Tick(making_us * terms.frequency / 1_000_000);
        let (policy, traces) = (libos.policy, scenario.traces.clone());
        Self { members, policy, terms, revolution, making, costs, traces, begin: None }
    }

    /// The fewest slots of the core, evenly spread, from which everybody's deadlines are guaranteed; as many as the libOS
    /// has use for if those are not enough.
    pub fn needs(&self, libos: &LibOs, slots: u32) -> u32 {
        apps::scheduler::deadlines::least_slots(libos, slots, |pattern| {
            let Some(mut policy) = Any::new(self.policy, self.terms.clone()) else { return false };
            policy.set_supply(pattern);
            let demand = |client| jobs::demand(client, self.policy, Tick(0), self.terms.frequency);
            let mut members = self.members.iter().enumerate();
            members.all(|(id, (_, client))| policy.join(ClientId(id as u16), demand(client), Tick(0)).is_ok())
        })
    }

    /// Whether any of them asks for a share.
    pub fn has_background(&self) -> bool {
        let demand = |client| jobs::demand(client, self.policy, Tick(0), self.terms.frequency);
        self.members.iter().any(|(_, client)| matches!(demand(client), Demand::Share { .. }))
    }

    /// Their jobs begin when they did in a run that was recorded, as far as that is to be seen from their first releases.
    pub fn begin_as(&mut self, recording: &Recording) {
        let mut from_the_beginning = self.members.iter().filter(|(_, client)| client.joins_ms == 0);
        self.begin = from_the_beginning.find_map(|(index, client)| {
            let offset_us = match client.jobs?.arrivals {
                Arrivals::Periodic { offset_us, .. } => offset_us,
                Arrivals::Bursty { .. } | Arrivals::Interactive { .. } => return None,
                Arrivals::Trace { list, .. } => self.traces.get(usize::from(list))?.releases.first()?.at_us,
            };
            let first = recording.jobs.iter().find(|job| job.client == *index && job.number == 0)?;
            (first.released - recording.epoch).checked_sub(jobs::ticks(offset_us, recording.frequency))
        });
    }

    /// CPU time for making them.
    pub fn cost(&self) -> u64 {
        self.members.len() as u64 * self.costs.make_client
    }

    /// The clients, of a libOS that begins to make them now, and when they join and leave, in the order of time.
    pub fn make(&self, now: u64) -> (Vec<Client>, Vec<(u64, Change)>) {
        let first = first_revolution_of_jobs(now / self.revolution, self.making, Tick(self.revolution));
        let usual = || first * self.revolution;
        let begin = Tick(self.begin.unwrap_or_else(usual));
        let mut changes = Vec::new();
        let make = |(id, (index, client)): (usize, &(usize, scenario::Client))| {
            let id = ClientId(id as u16);
            let joins = jobs::joins(client, Tick(0), self.terms.frequency).unwrap_or(Tick(0));
            let revolution = (Tick(0), Tick(self.revolution));
            let begin = begin.max(jobs::not_before(client, revolution, self.terms.frequency));
            let demand = jobs::demand(client, self.policy, begin, self.terms.frequency);
            let leaves = jobs::leaves(client, Tick(0), self.terms.frequency);
            changes.push((joins.0, Change::Join(id, demand)));
            changes.extend(leaves.map(|leaves| (leaves.0, Change::Leave(id))));
            let seed = jobs::seed(self.terms.seed, &client.name, self.terms.core);
            let source =
                |jobs| JobSource::new(Spec::new(&jobs, &self.traces, self.terms.frequency), begin, seed);
            let work = client.jobs.map_or(Work::Endless, |jobs| Work::Jobs(source(jobs)));
            let made =
                Client::new(*index, work, self.costs.client_start, self.costs.job_end(self.terms.frequency));
            if inflates(client) { made.inflating(self.terms.frequency) } else { made }
        };
        let clients = self.members.iter().enumerate().map(make).collect();
        changes.sort_by_key(|(at, _)| *at);
        (clients, changes)
    }
}

/// Whether a client gives itself tickets: of the programs that a scenario may let do so, one does.
fn inflates(client: &scenario::Client) -> bool {
    client.inflation == Inflation::Own && client.program == "monte-carlo"
}
