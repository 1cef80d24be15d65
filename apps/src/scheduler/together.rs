//! What a core's clients have together, made by the activation that schedules them: locks, and servers.
//!
//! A lock is a page of the scheduler's own that it shares with its members. A server is an environment of the program that its callers
//! run, with an activation for each of them. Not here: how they use them ([`crate::sharing`]).

use super::crew::{Maker, Member, STACK_PAGES, heap_pages, ticks};
use crate::assignment::Assignment;
use crate::sharing::{Section, Worker};
use crate::work::WorkArguments;
use alloc::string::String;
use alloc::vec::Vec;
use libos_core::calls::{self, Events};
use libos_core::lock::{self, Page};
use libos_core::page;
use libos_core::report::Record;
use libos_core::scenario::Client;
use libos_core::spawn::{SpawnError, SpawnPlan, spawn};
use libos_core::start::encode_arguments;
use libos_core::{output, say};
use tranche_abi::{
    ActivationIndex, Capability, Error, Frame, Handle, Kind, Object, Reason, Rights, Target, Tick,
};

/// Times that a server gets the CPU until it waits for callers, at most.
const TURNS_TO_START: u32 = 10_000;

/// Locks and servers.
pub struct Together {
    locks: Vec<Lock>,
    servers: Vec<Server>,
}

struct Lock {
    frame: Frame,
    page: &'static Page,
    /// The places of its members among the core's clients, and for how long each holds it, in ticks.
    members: Vec<(usize, u64)>,
}

struct Server {
    capability: Capability,
    /// The places of its callers.
    callers: Vec<usize>,
}

impl Together {
    /// Makes all that the clients of a core name. What cannot be made is said, and nobody has it.
    pub fn make(maker: &mut Maker<'_>, assignment: &Assignment, core: u64) -> Self {
        let (libos, cores) = (&assignment.libos, assignment.cores);
        let clients: Vec<&Client> = libos.on_core(core as u32, cores).collect();
        let mut all = Self { locks: Vec::new(), servers: Vec::new() };
        for (number, (name, members)) in libos.locks(core as u32, cores).into_iter().enumerate() {
            let held = |place: usize| {
                let locking = clients.get(place).and_then(|client| client.locking.as_ref());
                (place, locking.map_or(0, |locking| ticks(locking.held_us.into()).0))
            };
            match lock::make(maker.frames, number as u64) {
                Ok((frame, page)) => {
                    all.locks.push(Lock { frame, page, members: members.into_iter().map(held).collect() });
                }
                Err(error) => say!("lock {name} cannot be made: {error:?}"),
            }
        }
        for (name, callers) in libos.servers(core as u32, cores) {
            let Some(client) = callers.first().and_then(|place| clients.get(*place)) else { continue };
            match server(maker, client, name, callers) {
                Ok(server) => all.servers.push(server),
                Err(error) => say!("server {name} cannot be made: {error:?}"),
            }
        }
        all
    }

    /// Tells the client at this place of its lock and its server; the frame that it shares, if it does.
    pub fn tell(&self, place: usize, arguments: &mut WorkArguments) -> Option<Frame> {
        for server in &self.servers {
            let activation = server.callers.iter().position(|caller| *caller == place);
            if let Some(activation) = activation {
                let Capability { body, mac } = server.capability;
                arguments.worker = Worker::Server { body, mac, activation: activation as u64 };
            }
        }
        self.locks.iter().find_map(|lock| {
            let member = lock.members.iter().position(|(member, _)| *member == place)?;
            arguments.section = Some(Section { member: member as u32, held: lock.members[member].1 });
            Some(lock.frame)
        })
    }

    /// Makes the members of each lock known to the others.
    pub fn introduce(&self, clients: &[Member]) {
        for lock in &self.locks {
            for (number, (place, _)) in lock.members.iter().enumerate() {
                let Some(client) = clients.get(*place) else { continue };
                let Some(child) = &client.child else { continue };
                match capability_to(child.index, Rights::NOTIFY) {
                    Ok(capability) => lock.page.introduce(number, capability, client.id.0.into()),
                    Err(error) => say!("client {} cannot be woken by others: {error:?}", client.name),
                }
            }
        }
    }
}

fn capability_to(env: u64, rights: Rights) -> Result<Capability, Error> {
    calls::grant(Object { kind: Kind::Env, index: env as u32 }, rights)
}

/// A server of a client's program, with an activation for each caller, that waits for them.
fn server(
    maker: &mut Maker<'_>,
    client: &Client,
    name: &str,
    callers: Vec<usize>,
) -> Result<Server, SpawnError> {
    let arguments = WorkArguments { worker: Worker::Others, ..WorkArguments::default() };
    let arguments = encode_arguments(&arguments).map_err(|_| SpawnError::BadPlan)?;
    let activations = callers.len() as u64;
    let plan = SpawnPlan {
        name,
        arguments,
        activations,
        stack_pages: STACK_PAGES,
        heap_pages: heap_pages(client) * activations,
        ..SpawnPlan::new(&client.program)
    };
    let child = spawn(maker.frames, maker.archive, &plan)?;
    output::report(&Record::Env { index: child.index, name: String::from(name) });
    (0..activations).for_each(|activation| start(child.handle, activation, name));
    let capability = capability_to(child.index, Rights::CALL)?;
    Ok(Server { capability, callers })
}

/// Gives a server's activation the CPU until it waits for callers.
fn start(server: Handle, activation: u64, name: &str) {
    let target = Target::new(server, ActivationIndex(activation));
    for _ in 0..TURNS_TO_START {
        let until = page::now().saturating_add(libos_core::public::view().quantum());
        match calls::yield_to(target, until, Events::Ignore) {
            Ok(outcome) if outcome.reason == Reason::Expired => {}
            Ok(outcome) if outcome.reason == Reason::Waiting && outcome.detail == Tick::NEVER.0 => return,
            other => return say!("server {name} does not wait for callers: {other:?}"),
        }
    }
    say!("server {name} has not come to wait for callers");
}
