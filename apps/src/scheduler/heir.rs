//! Clients whose scheduler is dead: they go on under another, which was declared before.
//!
//! A scheduler that has an heir entrusts its clients to its creator as soon as they are made: by capabilities, with which whoever
//! holds them can run a client and read what it counts. When the scheduler is dead, its creator makes the heir and passes them on. The clients
//! notice nothing; they had the CPU until it died, and have it again when the heir gives it to them. Nothing that the dead scheduler had in its
//! memory is looked at: whatever killed it may have been there.
//!
//! Not here: who finds out that it is dead, and what becomes of its slots (`broker::succession`).
#![forbid(unsafe_code)]

use super::client_id;
use super::crew::{self, Crew, Member};
use crate::assignment::{Assignment, Inheritance};
use libos_core::adopt::{Deed, adopt};
use libos_core::frames::Frames;
use libos_core::public::view;
use libos_core::report::{Entrusted, Record, Succession};
use libos_core::start::StartInfo;
use libos_core::trace::{self, Service};
use libos_core::{calls, jobs, output, page, say};
use libos_rt::roll::Criticality;
use tranche_abi::{Error, Tick};

/// Tells the creator what an heir needs of each client.
pub fn entrust(crew: &Crew) {
    for member in &crew.members {
        let Some(child) = &member.child else { continue };
        match Deed::of(child) {
            Ok(deed) => output::report(&Record::Entrusted(Entrusted {
                core: crew.core,
                client: member.client as u64,
                name: member.name.clone(),
                begin: crew.begin.0,
                deed,
            })),
            Err(error) => say!("client {} cannot be entrusted to anybody: {error:?}", member.name),
        }
    }
}

/// Takes over the clients of this core.
pub fn inherit(assignment: &Assignment, inheritance: &Inheritance, info: &StartInfo) -> Crew {
    let (core, arrived) = (assignment.core(), page::now());
    let here = || inheritance.clients.iter().filter(|one| one.core == core);
    let begin = here().map(|one| one.begin).max().unwrap_or(0);
    let mut crew = crew::nobody(assignment, (arrived, Tick(begin)));
    let mut frames = Frames::new(crew::own_frames(assignment, info.owned_frames(), core));
    for one in here() {
        match member(assignment, one, (&mut frames, crew.members.len())) {
            Ok(member) => crew.members.push(member),
            Err(error) => say!("client {} cannot be taken over: {error:?}", one.name),
        }
    }
    let to = assignment.libos.policy;
    trace::service(Service::Swapped { policy: to });
    output::report(&Record::Succession(Succession {
        libos: assignment.libos.name.clone(),
        core,
        from: inheritance.from,
        to,
        clients: crew.members.len() as u64,
        began: inheritance.found,
        done: page::now().0,
    }));
    crew
}

/// A client that is taken over, as number `number`.
fn member(
    assignment: &Assignment,
    one: &Entrusted,
    (frames, number): (&mut Frames, usize),
) -> Result<Member, Error> {
    let client = assignment.libos.clients.get(one.client as usize).ok_or(Error::BadArgument)?;
    let id = client_id(number);
    let manager = (calls::own_target(page::index()), u64::from(id.0));
    let adopted = adopt(&one.deed, frames, manager)?;
    let frequency = view().frequency();
    let demand = jobs::demand(client, assignment.libos.policy, Tick(one.begin), frequency);
    Ok(Member {
        id,
        name: one.name.clone(),
        demand: demand.resumed(page::now()),
        client: one.client as usize,
        criticality: Criticality(client.criticality),
        jobs: client.jobs.map(|jobs| jobs::Spec::new(&jobs, &assignment.traces, frequency)),
        // Its tickets do not change, nor does it come or go: a scenario has such clients only where there is no heir.
        inflated: None,
        joins: None,
        donates: client.locking.is_some() && assignment.libos.donates(),
        target: adopted.target,
        stats: adopted.stats,
        child: None,
        relay: None,
    })
}
