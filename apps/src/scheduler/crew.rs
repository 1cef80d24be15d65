//! A core's clients: made by activation 0 for all cores, each then scheduled by the activation of its core.

use super::client_id;
use crate::assignment::Assignment;
use crate::work::{Jobs, WorkArguments};
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;
use core::sync::atomic::Ordering::Relaxed;
use libos_core::archive::{self, Archive};
use libos_core::critical::Lock;
use libos_core::frames::Frames;
use libos_core::public::view;
use libos_core::report::Record;
use libos_core::scenario::{self, Client};
use libos_core::sched::{ClientId, Demand, Tick};
use libos_core::spawn::{Child, Manager, SpawnError, SpawnPlan, spawn};
use libos_core::start::{StartInfo, encode_arguments};
use libos_core::{calls, output, page, say};
use tranche_abi::Core;

/// Revolutions from a libOS's start to its first release: by then its clients are made and its slots are there.
const REVOLUTIONS_TO_FIRST_RELEASE: u64 = 6;
/// Of a client's frames, those that hold its image, stacks, tables and mailbox. The rest is its heap.
const IMAGE_AND_STACKS: u64 = 160;
/// Pages of a client's stack: compression builds its tables there before they move to the heap.
const STACK_PAGES: u64 = 80;
/// Event bit with which activation 0 tells the others that their crews are ready.
const EVENT_CREWS: u64 = 1 << 9;

/// A client environment.
pub struct Member {
    /// Its number in the policy and in the ready set.
    pub id: ClientId,
    /// Its name, unique in the libOS.
    pub name: String,
    /// What it asks for, in ticks.
    pub demand: Demand,
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
    /// Slots that are not given back when others can be: empty for none.
    pub keep: Vec<bool>,
}

/// Crews that were made and not yet fetched by their activations.
static CREWS: Lock<BTreeMap<u64, Crew>> = Lock::new(BTreeMap::new());

/// What this activation is to do: its assignment and its core's clients. `None` if there is nothing it can do.
pub fn begin(info: &StartInfo) -> Option<(Assignment, Crew)> {
    let assignment: Assignment = match info.arguments() {
        Ok(assignment) => assignment,
        Err(error) => {
            say!("the start page is not for this program: {error}");
            return None;
        }
    };
    let core = page::index();
    if core == 0 {
        make_all(info, &assignment);
    }
    loop {
        if let Some(crew) = CREWS.lock().remove(&core) {
            return Some((assignment, crew));
        }
        page::take_events();
        // Not refused to a running activation.
        let _ = calls::wait(Tick::NEVER);
    }
}

/// Makes everybody's clients, and wakes the other activations.
fn make_all(info: &StartInfo, assignment: &Assignment) {
    let arrived = page::now();
    let mut frames = Frames::new(info.owned_frames());
    let Some(archive) = archive::boot() else {
        return say!("there is no boot archive to take programs from");
    };
    let mut maker = Maker { frames: &mut frames, archive: &archive, first_release: first_release() };
    for core in 0..u64::from(assignment.cores) {
        let mut crew = Crew { core, arrived, members: Vec::new(), keep: Vec::new() };
        let here = |(client, (on, name))| (u64::from(on) == core).then_some((client, name));
        let copies = assignment
            .libos
            .clients
            .iter()
            .flat_map(|client| client.copies(assignment.cores).map(move |copy| (client, copy)));
        for (client, name) in copies.filter_map(here) {
            match maker.make(client, &name, core, crew.members.len()) {
                Ok(member) => crew.members.push(member),
                Err(error) => say!("client {name} cannot be made: {error:?}"),
            }
        }
        CREWS.lock().insert(core, crew);
        // Refused only to one that does not exist.
        let _ = calls::notify(calls::own_target(core), EVENT_CREWS);
    }
}

/// What clients are made from.
struct Maker<'a> {
    frames: &'a mut Frames,
    archive: &'a Archive<'static>,
    first_release: Tick,
}

impl Maker<'_> {
    fn make(&mut self, client: &Client, name: &str, core: u64, place: usize) -> Result<Member, SpawnError> {
        let id = client_id(place);
        let demand = self.demand(client);
        let arguments = encode_arguments(&self.arguments(client)).map_err(|_| SpawnError::BadPlan)?;
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
        Ok(Member { id, name: name.into(), demand, child })
    }

    fn demand(&self, client: &Client) -> Demand {
        match client.demand {
            scenario::Demand::Share { tickets } => Demand::Share { tickets },
            scenario::Demand::Periodic { budget_us, period_us, deadline_us, .. } => Demand::Periodic {
                first_release: self.first_release,
                budget: ticks(budget_us.into()),
                period: ticks(period_us.into()),
                deadline: ticks(deadline_us.into()),
            },
        }
    }

    fn arguments(&self, client: &Client) -> WorkArguments {
        let jobs = match client.demand {
            scenario::Demand::Share { .. } => None,
            scenario::Demand::Periodic { period_us, deadline_us, work_us, .. } => Some(Jobs {
                first_release: self.first_release.0,
                period: ticks(period_us.into()).0,
                deadline: ticks(deadline_us.into()).0,
                work: ticks(work_us.into()).0,
            }),
        };
        WorkArguments { jobs }
    }
}

/// The beginning of a revolution by which everything is in place.
fn first_release() -> Tick {
    let view = view();
    let revolution = view.position(page::now()).map_or(0, |position| position.revolution);
    let number = revolution + REVOLUTIONS_TO_FIRST_RELEASE;
    Tick(view.epoch().0 + number * view.slots() * view.quantum().0)
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
