//! A core's service: the dispatch loop, and what a libOS does between turns: answer demands for slots, notice slots that
//! come and go, and at the end tell how it went.

use super::changes::Change;
use super::crew::{Crew, Member, owned_pattern};
use super::failure::{self, Failing};
use super::join;
use super::tally::Tally;
use crate::assignment::{Assignment, EVENT_FAIL, EVENT_MEND, EVENT_REPORT};
use core::ops::ControlFlow;
use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed};
use libos_core::processor::Own;
use libos_core::report::{self, Figures, Record};
use libos_core::scenario::MOST_TICKETS;
use libos_core::sched::dispatch::{Observer, Scheduler, dispatch};
use libos_core::sched::{ClientId, Policy};
use libos_core::trace::{self, Service};
use libos_core::{calls, output, page};
use tranche_abi::layout::HANDLE_PARENT;
use tranche_abi::{ActivationIndex, Core, EVENT_GIVEN, EVENT_REPOSSESSED, EVENT_REVOKE, SlotIndex, Target};

/// What a policy for deadlines must hear of between turns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum News {
    /// Slots came or went.
    Slots,
    /// A client is about to leave.
    Leaving,
}

/// Serves a core's clients until the broker wants the report. `tell` is called with news.
pub fn serve<P: Policy, O: Observer<P>>(
    crew: &mut Crew,
    scheduler: &mut Scheduler<P, O>,
    mut tell: impl FnMut(&mut P, News),
) {
    let mut own = Own::default();
    for member in &crew.members {
        own.set_client(member.id, Some(member.child.target(0)));
    }
    let mut failing = Failing::No;
    own.set_alarm(crew.changes.next());
    let inflate = crew.members.iter().any(|member| member.inflated.is_some());
    dispatch(&mut own, scheduler, |own: &mut Own, scheduler| {
        let mut events = own.take_events();
        if events & EVENT_FAIL != 0 {
            failing = failure::begin(crew);
            // No client runs before what came meanwhile is seen to.
            events |= own.take_events();
        }
        if events & EVENT_MEND != 0 {
            failing = failure::end();
        }
        if events & EVENT_REPORT != 0 {
            return ControlFlow::Break(());
        }
        // What was asked for meanwhile is still asked for when the failure ends.
        if events & (EVENT_REVOKE | EVENT_MEND) != 0 && failing == Failing::No {
            give_back(crew);
        }
        if events & (EVENT_REVOKE | EVENT_GIVEN | EVENT_REPOSSESSED) != 0 {
            tell(&mut scheduler.policy, News::Slots);
        }
        if inflate && let Some(client) = own.take_last() {
            hear_tickets(crew, scheduler, client);
        }
        if crew.changes.next().is_some() {
            come_and_go(crew, scheduler, &mut tell);
            own.set_alarm(crew.changes.next());
        }
        ControlFlow::Continue(())
    });
    trace::service(Service::Over);
}

/// The client that had the CPU may have changed its tickets. How many it says is its own claim: as a scenario allows them.
fn hear_tickets<P: Policy, O: Observer<P>>(
    crew: &mut Crew,
    scheduler: &mut Scheduler<P, O>,
    client: ClientId,
) {
    let Some(member) = crew.members.get_mut(usize::from(client.0)) else { return };
    let Some(inflated) = &mut member.inflated else { return };
    let wanted = member.child.mailbox().stats().tickets.load(Relaxed).min(MOST_TICKETS.into()) as u32;
    if wanted != 0 && wanted != *inflated {
        *inflated = wanted;
        scheduler.set_tickets(client, wanted, page::now());
    }
}

/// Clients join and leave whose time has come.
fn come_and_go<P: Policy, O: Observer<P>>(
    crew: &mut Crew,
    scheduler: &mut Scheduler<P, O>,
    tell: &mut impl FnMut(&mut P, News),
) {
    while let Some(change) = crew.changes.take(page::now()) {
        match change {
            Change::Joins(id) => join(&mut scheduler.policy, &crew.members[usize::from(id.0)]),
            Change::Leaves(id) => {
                tell(&mut scheduler.policy, News::Leaving);
                scheduler.leave(id, page::now());
            }
        }
    }
}

/// Gives as many slots of this core back as are asked for: those that are not kept, the last in the revolution first.
/// What is kept is not given; then it is taken by force, which the broker does only to those above their minimum.
fn give_back(crew: &Crew) {
    let asked = page::own().slot_demand[crew.core as usize].count.load(Relaxed);
    let owned = owned_pattern(crew.core);
    let kept = |place: &usize| crew.keep.get(*place).copied().unwrap_or(false);
    let spare = (0..owned.len()).rev().filter(|place| owned[*place] && !kept(place));
    let parent = Target::new(HANDLE_PARENT, ActivationIndex(crew.core));
    for place in spare.take(asked as usize) {
        // Refused only if the slot was taken from us this instant.
        let _ = calls::slot_give(Core(crew.core), SlotIndex(place as u64), parent);
    }
}

/// Sums over the activations, for the libOS's own record.
static DECISIONS: AtomicU64 = AtomicU64::new(0);
static CLIENTS_RAN: AtomicU64 = AtomicU64::new(0);
static OWN: AtomicU64 = AtomicU64::new(0);
static REPORTED: AtomicU64 = AtomicU64::new(0);

/// Reports this core's clients; the last activation reports the libOS.
pub fn report(assignment: &Assignment, crew: &Crew, tally: &Tally, figures: impl Fn(&Member) -> Figures) {
    for member in &crew.members {
        output::report(&Record::Client(client(assignment, crew, tally, member, figures(member))));
    }
    DECISIONS.fetch_add(tally.decisions, Relaxed);
    let ran = crew.members.iter().map(|member| tally.ran(member.id).0).sum();
    CLIENTS_RAN.fetch_add(ran, Relaxed);
    OWN.fetch_add(page::cpu_time().0, Relaxed);
    if REPORTED.fetch_add(1, AcqRel) + 1 == u64::from(assignment.cores) {
        output::report(&Record::LibOs(report::LibOs {
            name: assignment.libos.name.clone(),
            policy: assignment.libos.policy,
            arrived: crew.arrived.0,
            left: page::now().0,
            decisions: DECISIONS.load(Acquire),
            clients_ran: CLIENTS_RAN.load(Acquire),
            own: OWN.load(Acquire),
        }));
    }
    output::stats().reported.fetch_add(1, AcqRel);
}

fn client(
    assignment: &Assignment,
    crew: &Crew,
    tally: &Tally,
    member: &Member,
    demand: Figures,
) -> report::Client {
    let stats = member.child.mailbox().stats();
    report::Client {
        libos: assignment.libos.name.clone(),
        name: member.name.clone(),
        core: crew.core,
        ran: tally.ran(member.id).0,
        turns: tally.turns(member.id),
        work_units: stats.work_units.load(Relaxed),
        checks_passed: stats.checks_passed.load(Relaxed),
        checks_failed: stats.checks_failed.load(Relaxed),
        demand,
        jobs: member.jobs.as_ref().map(|spec| report::Jobs {
            deadline: spec.deadline,
            jobs: stats.jobs.load(Relaxed),
            misses: stats.misses.load(Relaxed),
            max_response: stats.max_response_ticks.load(Relaxed),
            wrong_demands: stats.wrong_demands.load(Relaxed),
        }),
    }
}
