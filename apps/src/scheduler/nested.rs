//! Clients that are schedulers themselves: each an ordinary scheduler program, with one activation on its scheduler's core and
//! with turns in place of slots.
//!
//! Directed yields nest, so nothing is different for who is inside: its time comes in pieces that end without its doing, as slots
//! do; when nobody of its clients is ready it waits, which gives the CPU back to its own scheduler. What its clients use is charged to
//! it as well. Not here: whom it schedules and by which policy (the scenario), how many can be one in the other (the host checks it).
#![forbid(unsafe_code)]

use super::crew::Crew;
use crate::assignment::{Assignment, EVENT_REPORT};
use crate::relay::News;
use core::sync::atomic::Ordering::Acquire;
use libos_core::calls::{self, Events};
use libos_core::public::view;
use libos_core::report::Record;
use libos_core::scenario::Client;
use libos_core::spawn::SpawnPlan;
use libos_core::{output, page, say};
use tranche_abi::{Reason, Tick};

/// Pages of its stack: it makes environments.
const STACK_PAGES: u64 = 16;
/// Bytes that it writes before it is listened to, at the end: reports of itself and its clients.
const MAILBOX_BYTES: u64 = 24 * 1024;
/// Revolutions in which it has to report: several may be one in the other.
const REPORT_REVOLUTIONS: u64 = 12;

/// What a client's copy is told, if it is a scheduler.
pub fn assignment(outer: &Assignment, client: &Client, (core, name): (u64, &str)) -> Option<Assignment> {
    let core = core as u32;
    let libos = outer.libos.nested(client, (core, name.into()), outer.cores)?;
    Some(Assignment { libos, core: Some(core), ..outer.clone() })
}

/// The plan of its environment, from what any client's is.
pub fn plan<'a>(plan: SpawnPlan<'a>, client: &Client) -> SpawnPlan<'a> {
    SpawnPlan {
        stack_pages: STACK_PAGES,
        mailbox_bytes: MAILBOX_BYTES,
        frames: client.nested_frames(),
        ..plan
    }
}

/// Has every scheduler among the clients report, and passes it on. They need the CPU for that.
pub fn conclude(crew: &mut Crew) {
    let until = Tick(page::now().0 + REPORT_REVOLUTIONS * view().revolution().0);
    for member in &mut crew.members {
        let (Some(relay), Some(child)) = (&mut member.relay, &mut member.child) else { continue };
        let (target, stats) = (member.target, member.stats);
        // Refused only if it is no more.
        let _ = calls::notify(target, EVENT_REPORT);
        while stats.reported.load(Acquire) == 0 && page::now() < until {
            let outcome = calls::yield_to(target, until, Events::Ignore);
            if outcome.is_ok_and(|outcome| matches!(outcome.reason, Reason::Faulted | Reason::Gone)) {
                break;
            }
        }
        if stats.reported.load(Acquire) == 0 {
            say!("scheduler {} did not report in time", member.name);
        }
        relay.listen(&member.name, child, |news| match news {
            News::Env { index, name } => output::report(&Record::Env { index, name }),
            News::Entrusted(_) => {} // it has no heir
        });
    }
}
