//! A core's clients: made by the activation that schedules them, from its part of the libOS's frames.

use super::changes::{Change, Changes};
use super::client_id;
use crate::assignment::Assignment;
use crate::work::{Jobs, WorkArguments};
use alloc::string::String;
use alloc::vec::Vec;
use core::sync::atomic::Ordering::Relaxed;
use libos_core::archive::{self, Archive};
use libos_core::frames::{Frames, Run};
use libos_core::public::view;
use libos_core::report::Record;
use libos_core::scenario::{Client, Failure, Inflation, LibOs, Policy, Trace};
use libos_core::sched::{ClientId, Demand, Tick};
use libos_core::spawn::{Child, Manager, SpawnError, SpawnPlan, spawn};
use libos_core::start::{StartInfo, encode_arguments};
use libos_core::trace::{self, Service};
use libos_core::{calls, jobs, output, page, say};
use tranche_abi::{Core, Frame};

/// Revolutions from a libOS's start to when its clients' jobs begin, at least: by then its slots are there.
const REVOLUTIONS_TO_FIRST_JOB: u64 = 6;
/// CPU time in which a client is made, or the libOS itself begins, at most: four cores in QEMU, an instruction takes 16 ns. If
/// jobs began before their clients were there, those would be late for ever.
const MAKING_US: u64 = 15_000;
/// Of a client's frames, those that hold its image, stacks, tables and mailbox. The rest is its heap.
pub const IMAGE_AND_STACKS: u64 = 160;
/// Pages of a client's stack: compression builds its tables there before they move to the heap.
const STACK_PAGES: u64 = 80;

/// A client environment.
pub struct Member {
    /// Its number in the policy and in the ready set.
    pub id: ClientId,
    /// Its name, unique in the libOS.
    pub name: String,
    /// What it asks for, in ticks.
    pub demand: Demand,
    /// Its jobs, if it has any.
    pub jobs: Option<jobs::Spec>,
    /// The tickets that it gave itself last, if it may; 0: none yet.
    pub inflated: Option<u32>,
    /// When it joins the policy, if that is later than it is made.
    pub joins: Option<Tick>,
    /// The environment.
    pub child: Child,
}

/// The clients of one core.
pub struct Crew {
    /// The core, and the libOS's activation that serves it.
    pub core: u64,
    /// When the libOS began.
    pub arrived: Tick,
    /// The clients; a client's number is its place.
    pub members: Vec<Member>,
    /// Who comes later than it is made, or goes before the libOS.
    pub changes: Changes,
    /// Slots that are not given back when others can be: empty for none.
    pub keep: Vec<bool>,
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
    let core = page::index();
    let failure = assignment.libos.fails.map(|fails| fails.how);
    let (members, keep, changes) = (Vec::new(), Vec::new(), Changes::default());
    let mut crew = Crew { core, arrived: page::now(), members, changes, keep, failure };
    let mut frames = Frames::new(share(&assignment, info.owned_frames().first.0, core));
    let (policy, seed) = (assignment.libos.policy, assignment.seed);
    let clients =
        assignment.libos.clients.iter().map(|client| names(client, &assignment, core).count()).sum();
    let begin = begin_of_jobs(making_us(&assignment.libos, assignment.slots, clients));
    let mut maker =
        Maker { frames: &mut frames, archive: &archive, policy, seed, begin, traces: &assignment.traces };
    for client in &assignment.libos.clients {
        for name in names(client, &assignment, core) {
            match maker.make(client, &name, core, crew.members.len()) {
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
    trace::service(Service::Jobs { begin: begin.0 });
    Some((assignment, crew))
}

/// The copies of a client on a core, by name.
fn names(client: &Client, assignment: &Assignment, core: u64) -> impl Iterator<Item = String> {
    client.copies(assignment.cores).filter(move |(on, _)| u64::from(*on) == core).map(|(_, name)| name)
}

/// The part of the libOS's frames that the activation of a core makes its clients from: as many as the scenario has for
/// them, and its part of the libOS's own.
fn share(assignment: &Assignment, first: u64, core: u64) -> Run {
    let clients = |core: u64| {
        let of = |client: &Client| names(client, assignment, core).count() as u64 * u64::from(client.frames);
        assignment.libos.clients.iter().map(of).sum::<u64>()
    };
    let count = |core| clients(core) + u64::from(assignment.libos.frames / assignment.cores.max(1));
    Run { first: Frame(first + (0..core).map(count).sum::<u64>()), count: count(core) }
}

/// What clients are made from.
struct Maker<'a> {
    frames: &'a mut Frames,
    archive: &'a Archive<'static>,
    policy: Policy,
    /// Of all chance in the run.
    seed: u64,
    /// When its clients' jobs begin.
    begin: Tick,
    /// Lists of jobs' releases.
    traces: &'a [Trace],
}

impl Maker<'_> {
    fn make(&mut self, client: &Client, name: &str, core: u64, place: usize) -> Result<Member, SpawnError> {
        let id = client_id(place);
        let joins = jobs::joins(client, view().epoch(), view().frequency());
        let revolution = (view().epoch(), view().revolution());
        let begin = self.begin.max(jobs::not_before(client, revolution, view().frequency()));
        let demand = jobs::demand(client, self.policy, begin, view().frequency());
        let jobs = client.jobs.map(|jobs| jobs::Spec::new(&jobs, self.traces, view().frequency()));
        let arguments = encode_arguments(&self.arguments(client, core, (jobs.clone(), begin)))
            .map_err(|_| SpawnError::BadPlan)?;
        let plan = SpawnPlan {
            name,
            arguments,
            stack_pages: STACK_PAGES,
            heap_pages: u64::from(client.frames).saturating_sub(IMAGE_AND_STACKS).max(1),
            manager: Some(Manager { target: calls::own_target(core), client: u64::from(id.0) }),
            ..SpawnPlan::new(&client.program)
        };
        let child = spawn(self.frames, self.archive, &plan)?;
        output::report(&Record::Env { index: child.index, name: name.into() });
        let inflated = (client.inflation == Inflation::Own).then_some(0);
        Ok(Member { id, name: name.into(), demand, jobs, inflated, joins, child })
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
            seed: jobs::seed(self.seed, &client.name, core as u32),
            tolerance: jobs::ticks(jobs::DEMAND_TOLERANCE_US, view().frequency()),
        });
        WorkArguments { jobs }
    }
}

fn leaves(client: &Client) -> Option<Tick> {
    jobs::leaves(client, view().epoch(), view().frequency())
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
