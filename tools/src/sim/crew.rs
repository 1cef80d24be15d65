//! A libOS's clients on one core, before they are there: what they ask of their policy, and which jobs they will have.
//!
//! Follows `apps::scheduler::crew`. Not here: what they do then (`client`).

use super::activation::Change;
use super::client::{Client, Work};
use super::costs;
use super::locks::Section;
use super::policy::{Any, Terms};
use crate::recording::Recording;
use apps::scheduler::crew::{environments, first_revolution_of_jobs, making_us};
use libos_core::jobs::{self, JobSource, Spec};
use libos_core::scenario::{self, Admission, Arrivals, LibOs, Scenario};
use libos_core::sched::{ClientId, Demand, Policy, Tick};
use libos_rt::guarantee::Guarantees;
use libos_rt::roll::{Applicant, Criticality, Roll};

/// The clients to be made.
#[derive(Clone, Debug)]
pub struct Crew {
    members: Vec<(usize, scenario::Client)>,
    /// Each one's lock.
    sections: Vec<Option<Section>>,
    locks: usize,
    donates: bool,
    /// Environments to be made for them.
    environments: usize,
    policy: scenario::Policy,
    terms: Terms,
    revolution: u64,
    /// Time in which they are made.
    making: Tick,
    costs: costs::LibOs,
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
        let environments = environments(libos, terms.core, scenario.cores);
        let making_us = making_us(libos, scenario.slots, environments);
        let (sections, locks) = sections(libos, terms, scenario.cores);
        let donates = libos.donates();
        let making = Tick(making_us * terms.frequency / 1_000_000);
        let policy = libos.policy;
        Self {
            members,
            sections,
            locks,
            donates,
            environments,
            policy,
            terms,
            revolution,
            making,
            costs,
            begin: None,
        }
    }

    /// How many locks they have.
    pub fn locks(&self) -> usize {
        self.locks
    }

    /// Whether who waits for another lends it what it is scheduled by.
    pub fn donates(&self) -> bool {
        self.donates
    }

    /// The fewest slots of the core, evenly spread, from which everybody's deadlines are guaranteed; as many as the libOS
    /// has use for if those are not enough.
    pub fn needs(&self, libos: &LibOs, slots: u32) -> u32 {
        apps::scheduler::deadlines::least_slots(libos, slots, |pattern| {
            let Some(mut policy) = Any::new(self.policy, self.terms) else { return false };
            policy.set_supply(policy.supply()(pattern));
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
        self.begin = self.members.iter().find_map(|(index, client)| {
            let offset_us = match client.jobs?.arrivals {
                Arrivals::Periodic { offset_us, .. } => offset_us,
                Arrivals::Bursty { .. } | Arrivals::Interactive { .. } => return None,
            };
            let first = recording.jobs.iter().find(|job| job.client == *index && job.number == 0)?;
            (first.released - recording.epoch).checked_sub(jobs::ticks(offset_us, recording.frequency))
        });
    }

    /// CPU time for making them.
    pub fn cost(&self) -> u64 {
        self.environments as u64 * self.costs.make_client
    }

    /// CPU time in which another policy takes them over.
    pub fn cost_of_swap(&self) -> u64 {
        self.costs.swap + self.members.len() as u64 * self.costs.swap_client
    }

    /// What each of them asks of another policy that takes over now.
    pub fn demands_of(&self, policy: scenario::Policy, now: u64) -> Vec<(ClientId, Demand)> {
        let begin = Tick(self.begin.unwrap_or(now));
        let demand = |(id, (_, client)): (usize, &(usize, scenario::Client))| {
            let demand = jobs::demand(client, policy, begin, self.terms.frequency);
            (ClientId(id as u16), demand.resumed(Tick(now)))
        };
        self.members.iter().enumerate().map(demand).collect()
    }

    /// Whether the libOS takes on only those whom it can guarantee their deadlines.
    fn guarantees(&self) -> bool {
        self.policy.can_guarantee() && self.terms.admission == Admission::Required
    }

    /// Who asks for what, if their jobs begin at a time.
    fn applicants(&self, begin: Tick) -> impl Iterator<Item = Applicant> {
        self.members.iter().enumerate().map(move |(id, (_, client))| Applicant {
            client: ClientId(id as u16),
            demand: jobs::demand(client, self.policy, begin, self.terms.frequency),
            criticality: Criticality(client.criticality),
        })
    }

    /// Those who ask for guarantees, if their jobs begin at a time: nobody, if there are none.
    pub fn roll(&self, begin: Tick) -> Roll {
        Roll::new(self.applicants(begin).filter(|_| self.guarantees()))
    }

    /// The clients of a libOS that begins to make them now, and who asks for guarantees, or how they join if there are none.
    pub fn make(&mut self, now: u64) -> (Vec<Client>, Roll, Vec<Change>) {
        let first = first_revolution_of_jobs(now / self.revolution, self.making, Tick(self.revolution));
        let begin = Tick(*self.begin.get_or_insert(first * self.revolution));
        let make = |(id, (index, client)): (usize, &(usize, scenario::Client))| {
            let seed = jobs::seed(self.terms.seed, &client.name, self.terms.core);
            let source = |jobs| JobSource::new(Spec::new(&jobs, self.terms.frequency), begin, seed);
            let work = client.jobs.map_or(Work::Endless, |jobs| Work::Jobs(source(jobs)));
            let client =
                Client::new(*index, work, self.costs.client_start, self.costs.job_end(self.terms.frequency));
            client.with_lock(self.sections.get(id).copied().flatten())
        };
        let clients = self.members.iter().enumerate().map(make).collect();
        let joins = self.applicants(begin).map(|one| Change::Join(one.client, one.demand));
        let changes = if self.guarantees() { Vec::new() } else { joins.collect() };
        (clients, self.roll(begin), changes)
    }
}

/// The lock of each of a core's clients, and how many locks there are.
fn sections(libos: &LibOs, terms: Terms, cores: u32) -> (Vec<Option<Section>>, usize) {
    let clients: Vec<_> = libos.on_core(terms.core, cores).collect();
    let mut sections = vec![None; clients.len()];
    let locks = libos.locks(terms.core, cores);
    for (lock, (_, members)) in locks.iter().enumerate() {
        for place in members {
            let held_us = clients[*place].locking.as_ref().map_or(0, |locking| locking.held_us);
            let (member, held) = (ClientId(*place as u16), jobs::ticks(held_us, terms.frequency));
            sections[*place] = Some(Section { lock, member, held });
        }
    }
    (sections, locks.len())
}
