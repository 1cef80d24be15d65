//! A core's clients: made by the activation that schedules them, from its part of the libOS's frames; or inherited (`heir`).

use super::changes::{Change, Changes};
use super::together::Together;
use super::{client_id, heir, nested};
use crate::assignment::Assignment;
use crate::relay::Relay;
use crate::work::{Jobs, WorkArguments};
use alloc::string::String;
use alloc::vec::Vec;
use core::sync::atomic::Ordering::Relaxed;
use libos_core::archive::{self, Archive};
use libos_core::frames::{Frames, Run};
use libos_core::public::view;
use libos_core::report::Record;
use libos_core::scenario::{Client, Failure, Inflation, LibOs};
use libos_core::sched::{ClientId, Demand, Tick};
use libos_core::spawn::{Child, Manager, SpawnError, SpawnPlan, spawn};
use libos_core::start::{StartInfo, encode_arguments};
use libos_core::stats::WorkStats;
use libos_core::trace::{self, Service};
use libos_core::{calls, jobs, output, page, say};
use libos_rt::roll::Criticality;
use tranche_abi::{Core, Frame, Target};

/// Revolutions from a libOS's start to when its clients' jobs begin, at least: by then its slots are there.
const REVOLUTIONS_TO_FIRST_JOB: u64 = 6;
/// CPU time in which a client is made, or the libOS itself begins, at most: four cores in QEMU, an instruction takes 16 ns. If
/// jobs began before their clients were there, those would be late for ever.
const MAKING_US: u64 = 15_000;
/// Of a client's frames, those that hold its image, stacks, tables and mailbox. The rest is its heap.
pub const IMAGE_AND_STACKS: u64 = 160;
/// Pages of a client's stack: compression builds its tables there before they move to the heap.
pub const STACK_PAGES: u64 = 80;

/// A client environment.
pub struct Member {
    /// Its number in the policy and in the ready set.
    pub id: ClientId,
    /// Its name, unique in the libOS.
    pub name: String,
    /// What it asks for, in ticks.
    pub demand: Demand,
    /// Its place among the libOS's clients in the scenario.
    pub client: usize,
    /// How critical it is.
    pub criticality: Criticality,
    /// Its jobs, if it has any.
    pub jobs: Option<jobs::Spec>,
    /// The tickets that it gave itself last, if it may; 0: none yet.
    pub inflated: Option<u32>,
    /// When it joins the policy, if that is later than it is made.
    pub joins: Option<Tick>,
    /// Whether it lends what it is scheduled by, where it waits for another.
    pub donates: bool,
    /// Its activation.
    pub target: Target,
    /// What it counts.
    pub stats: &'static WorkStats,
    /// The environment, if it was made here.
    pub child: Option<Child>,
    /// What it says is passed on, if it is a scheduler itself.
    pub relay: Option<Relay>,
}

/// The clients of one core.
pub struct Crew {
    /// The core, and the libOS's activation that serves it.
    pub core: u64,
    /// When the libOS began.
    pub arrived: Tick,
    /// When its clients' jobs begin.
    pub begin: Tick,
    /// The clients; a client's number is its place.
    pub members: Vec<Member>,
    /// Who comes later than it is made, or goes before the libOS.
    pub changes: Changes,
    /// How it fails when it is told to.
    pub failure: Option<Failure>,
}

/// What this activation is to do: its assignment and its core's clients, which it makes. `None` if there is nothing that
/// it can do.
pub fn begin(info: &StartInfo) -> Option<(Assignment, Crew)> {
    let assignment: Assignment = match info.arguments() {
        Ok(assignment) => assignment,
        Err(error) => {
            say!("the start page is not for this program: {error}");
            return None;
        }
    };
    let Some(archive) = archive::boot() else {
        say!("there is no boot archive to take programs from");
        return None;
    };
    let crew = match &assignment.inherits {
        Some(inheritance) => heir::inherit(&assignment, inheritance, info),
        None => make(&assignment, &archive, info),
    };
    Some((assignment, crew))
}

/// Nobody yet, on the core that this activation serves; jobs begin then.
pub fn nobody(assignment: &Assignment, (arrived, begin): (Tick, Tick)) -> Crew {
    let failure = assignment.libos.fails.map(|fails| fails.how);
    let (members, changes) = (Vec::new(), Changes::default());
    Crew { core: assignment.core(), arrived, begin, members, changes, failure }
}

/// Makes this core's clients.
fn make(assignment: &Assignment, archive: &Archive<'static>, info: &StartInfo) -> Crew {
    let (core, arrived) = (assignment.core(), page::now());
    let mut frames = Frames::new(match assignment.core {
        Some(_) => info.owned_frames(),
        None => share(assignment, info.owned_frames().first.0, core),
    });
    let environments = environments(&assignment.libos, core as u32, assignment.cores);
    let begin = begin_of_jobs(making_us(&assignment.libos, assignment.slots, environments));
    let mut crew = nobody(assignment, (arrived, begin));
    let mut maker = Maker { frames: &mut frames, archive, assignment, begin };
    let together = Together::make(&mut maker, assignment, core);
    for (place, client) in assignment.libos.clients.iter().enumerate() {
        for name in names(client, assignment, core) {
            let number = crew.members.len();
            match maker.make((place, client), &name, (core, number), &together) {
                Ok(member) => {
                    let id = member.id;
                    crew.changes.add(member.joins, Change::Joins(id));
                    crew.changes.add(leaves(client), Change::Leaves(id));
                    crew.members.push(member);
                }
                Err(error) => say!("client {name} cannot be made: {error:?}"),
            }
        }
    }
    together.introduce(&crew.members);
    if assignment.libos.heir.is_some() {
        heir::entrust(&crew);
    }
    trace::service(Service::Jobs { begin: begin.0 });
    crew
}

/// The copies of a client on a core, by name.
fn names(client: &Client, assignment: &Assignment, core: u64) -> impl Iterator<Item = String> {
    client.copies(assignment.cores).filter(move |(on, _)| u64::from(*on) == core).map(|(_, name)| name)
}

/// The part of the libOS's frames that the activation of a core makes its clients from: as many as the scenario has for
/// them, and its part of the libOS's own.
fn share(assignment: &Assignment, first: u64, core: u64) -> Run {
    let clients = |core: u64| {
        let of = |client: &Client| names(client, assignment, core).count() as u64 * client.total_frames();
        assignment.libos.clients.iter().map(of).sum::<u64>()
    };
    let count = |core| clients(core) + u64::from(assignment.libos.frames / assignment.cores.max(1));
    Run { first: Frame(first + (0..core).map(count).sum::<u64>()), count: count(core) }
}

/// The part of an heir's frames that an activation has: all are its own, for it makes nobody.
pub fn own_frames(assignment: &Assignment, all: Run, core: u64) -> Run {
    let count = all.count / u64::from(assignment.cores.max(1));
    Run { first: Frame(all.first.0 + core * count), count }
}

/// Environments that a libOS makes on a core, those within schedulers included.
pub fn environments(libos: &LibOs, core: u32, cores: u32) -> usize {
    let clients: u64 = libos.on_core(core, cores).map(Client::environments).sum();
    clients as usize + libos.servers(core, cores).len()
}

/// What clients are made from.
pub struct Maker<'a> {
    /// Free frames.
    pub frames: &'a mut Frames,
    /// Programs.
    pub archive: &'a Archive<'static>,
    assignment: &'a Assignment,
    /// When its clients' jobs begin.
    begin: Tick,
}

impl Maker<'_> {
    fn make(
        &mut self,
        (place, client): (usize, &Client),
        name: &str,
        (core, number): (u64, usize),
        together: &Together,
    ) -> Result<Member, SpawnError> {
        let id = client_id(number);
        let libos = &self.assignment.libos;
        let frequency = view().frequency();
        let begin =
            self.begin.max(jobs::not_before(client, (view().epoch(), view().revolution()), frequency));
        let demand = jobs::demand(client, libos.policy, begin, frequency);
        let jobs = client.jobs.map(|jobs| jobs::Spec::new(&jobs, &self.assignment.traces, frequency));
        let nested = nested::assignment(self.assignment, client, (core, name));
        let mut work = self.arguments(client, core, (jobs.clone(), begin));
        let shared = together.tell(number, &mut work);
        let arguments = match &nested {
            Some(assignment) => encode_arguments(assignment),
            None => encode_arguments(&work),
        };
        let plan = SpawnPlan {
            name,
            arguments: arguments.map_err(|_| SpawnError::BadPlan)?,
            shared,
            stack_pages: STACK_PAGES,
            heap_pages: heap_pages(client),
            manager: Some(Manager { target: calls::own_target(page::index()), client: u64::from(id.0) }),
            ..SpawnPlan::new(&client.program)
        };
        let plan = if nested.is_some() { nested::plan(plan, client) } else { plan };
        let child = spawn(self.frames, self.archive, &plan)?;
        output::report(&Record::Env { index: child.index, name: name.into() });
        let relay = nested.map(|_| Relay::default());
        let (target, stats) = (child.target(0), child.mailbox().stats());
        let (child, donates) = (Some(child), client.locking.is_some() && libos.donates());
        Ok(Member {
            id,
            name: name.into(),
            demand,
            client: place,
            criticality: Criticality(client.criticality),
            jobs,
            inflated: (client.inflation == Inflation::Own).then_some(0),
            joins: jobs::joins(client, view().epoch(), frequency),
            donates,
            target,
            stats,
            child,
            relay,
        })
    }

    fn arguments(
        &self,
        client: &Client,
        core: u64,
        (jobs, begin): (Option<jobs::Spec>, Tick),
    ) -> WorkArguments {
        let jobs = jobs.map(|spec| Jobs {
            spec,
            begin: begin.0,
            seed: jobs::seed(self.assignment.seed, &client.name, core as u32),
            tolerance: jobs::ticks(jobs::DEMAND_TOLERANCE_US, view().frequency()),
        });
        WorkArguments { jobs, ..WorkArguments::default() }
    }
}

fn leaves(client: &Client) -> Option<Tick> {
    jobs::leaves(client, view().epoch(), view().frequency())
}

/// Pages of a client's heap.
pub fn heap_pages(client: &Client) -> u64 {
    u64::from(client.frames).saturating_sub(IMAGE_AND_STACKS).max(1)
}

/// The beginning of a revolution by which everything is in place, if the clients are made in so many microseconds.
fn begin_of_jobs(making_us: u64) -> Tick {
    let view = view();
    let revolution = view.position(page::now()).map_or(0, |position| position.revolution);
    let first = first_revolution_of_jobs(revolution, ticks(making_us), view.revolution());
    Tick(view.epoch().0 + first * view.revolution().0)
}

/// Time in which a libOS makes so many clients on a core, from the part of its slots that it wants.
pub fn making_us(libos: &LibOs, slots: u32, clients: usize) -> u64 {
    MAKING_US * (clients as u64 + 1) * u64::from(slots) / u64::from(libos.want.clamp(1, slots.max(1)))
}

/// The revolution at whose beginning the jobs begin, of a libOS that starts in this one and makes its clients in such a time.
pub fn first_revolution_of_jobs(revolution: u64, making: Tick, length: Tick) -> u64 {
    revolution + REVOLUTIONS_TO_FIRST_JOB.max(making.0.div_ceil(length.0.max(1)))
}

/// Microseconds as ticks of this machine.
pub fn ticks(microseconds: u64) -> Tick {
    Tick(microseconds * view().frequency() / 1_000_000)
}

/// Which slots of a core this environment owns now.
pub fn owned_pattern(core: u64) -> Vec<bool> {
    let view = view();
    let mut pattern = alloc::vec![false; view.slots() as usize];
    view.owned_slots(Core(core), page::env()).for_each(|slot| pattern[slot.0 as usize] = true);
    pattern
}

/// Waits until this environment owns so many slots of a core: then, which.
pub fn await_slots(core: u64, count: u32) -> Vec<bool> {
    loop {
        let pattern = owned_pattern(core);
        if pattern.iter().filter(|owned| **owned).count() >= count as usize {
            return pattern;
        }
        page::take_events();
        let next_slot = Tick(page::own().slot_end.load(Relaxed));
        // Not refused to a running activation.
        let _ = calls::wait(next_slot);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jobs_begin_when_their_clients_are_made_however_short_revolutions_are() {
        let revolutions = |making, length| first_revolution_of_jobs(10, Tick(making), Tick(length)) - 10;
        assert_eq!([revolutions(90, 100), revolutions(601, 100), revolutions(90, 4)], [6, 7, 23]);
    }
}
