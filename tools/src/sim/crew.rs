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
use libos_core::scenario::{self, Admission, Arrivals, Inflation, LibOs, Scenario, Trace};
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
        let environments = environments(libos, terms.core, scenario.cores);
        let making_us = making_us(libos, scenario.slots, environments);
        let (sections, locks) = sections(libos, &terms, scenario.cores);
        let donates = libos.donates();
        let making = Tick(making_us * terms.frequency / 1_000_000);
        let (policy, traces) = (libos.policy, scenario.traces.clone());
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
            traces,
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
            let Some(mut policy) = Any::new(self.policy, self.terms.clone()) else { return false };
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

    /// When a client's jobs begin, if the others' do at a time.
    fn begin_of(&self, client: &scenario::Client, begin: Tick) -> Tick {
        begin.max(jobs::not_before(client, (Tick(0), Tick(self.revolution)), self.terms.frequency))
    }

    /// Who asks for what, if their jobs begin at a time.
    fn applicants(&self, begin: Tick) -> impl Iterator<Item = (Applicant, &scenario::Client)> {
        self.members.iter().enumerate().map(move |(id, (_, client))| {
            let begin = self.begin_of(client, begin);
            let applicant = Applicant {
                client: ClientId(id as u16),
                demand: jobs::demand(client, self.policy, begin, self.terms.frequency),
                criticality: Criticality(client.criticality),
            };
            (applicant, client)
        })
    }

    /// Those who ask for guarantees from the beginning, if their jobs begin at a time: nobody, if there are none.
    pub fn roll(&self, begin: Tick) -> Roll {
        let ask = self.applicants(begin).filter(|(_, client)| self.guarantees() && client.joins_ms == 0);
        Roll::new(ask.map(|(applicant, _)| applicant))
    }

    /// Who comes and goes, if their jobs begin at a time, in the order of time; not those who ask for guarantees from the beginning.
    fn changes(&self, begin: Tick) -> Vec<(u64, Change)> {
        let mut all = Vec::new();
        for (applicant, client) in self.applicants(begin) {
            let joins = jobs::joins(client, Tick(0), self.terms.frequency);
            match joins {
                None if self.guarantees() => {}
                Some(at) if self.guarantees() => all.push((at.0, Change::Ask(applicant))),
                _ => all.push((joins.map_or(0, |at| at.0), Change::Join(applicant.client, applicant.demand))),
            }
            let leaves = jobs::leaves(client, Tick(0), self.terms.frequency);
            all.extend(leaves.map(|at| (at.0, Change::Leave(applicant.client))));
        }
        all.sort_by_key(|(at, _)| *at);
        all
    }

    /// The clients of a libOS that begins to make them now, who asks for guarantees, and who comes and goes.
    pub fn make(&mut self, now: u64) -> (Vec<Client>, Roll, Vec<(u64, Change)>) {
        let first = first_revolution_of_jobs(now / self.revolution, self.making, Tick(self.revolution));
        let begin = Tick(*self.begin.get_or_insert(first * self.revolution));
        let make = |(id, (index, client)): (usize, &(usize, scenario::Client))| {
            let begin = self.begin_of(client, begin);
            let seed = jobs::seed(self.terms.seed, &client.name, self.terms.core);
            let source =
                |jobs| JobSource::new(Spec::new(&jobs, &self.traces, self.terms.frequency), begin, seed);
            let work = client.jobs.map_or(Work::Endless, |jobs| Work::Jobs(source(jobs)));
            let made =
                Client::new(*index, work, self.costs.client_start, self.costs.job_end(self.terms.frequency));
            let made = if inflates(client) { made.inflating(self.terms.frequency) } else { made };
            made.with_lock(self.sections.get(id).copied().flatten())
        };
        let clients = self.members.iter().enumerate().map(make).collect();
        (clients, self.roll(begin), self.changes(begin))
    }
}

/// Whether a client gives itself tickets: of the programs that a scenario may let do so, one does.
fn inflates(client: &scenario::Client) -> bool {
    client.inflation == Inflation::Own && client.program == "monte-carlo"
}

/// The lock of each of a core's clients, and how many locks there are.
fn sections(libos: &LibOs, terms: &Terms, cores: u32) -> (Vec<Option<Section>>, usize) {
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
