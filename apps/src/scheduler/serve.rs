//! A core's service: the dispatch loop, and what a libOS does between turns: answer demands for slots, notice slots that
//! come and go, and at the end tell how it went.

use super::changes::Change;
use super::crew::{self, Crew, Member};
use super::failure::{self, Failing};
use super::nested;
use super::tally::Tally;
use crate::assignment::{Assignment, EVENT_FAIL, EVENT_MEND, EVENT_REPORT, EVENT_SWAP};
use core::ops::ControlFlow;
use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed};
use libos_core::processor::Own;
use libos_core::report::{self, Figures, Record};
use libos_core::scenario::MOST_TICKETS;
use libos_core::sched::dispatch::{Access, Observer, Scheduler, dispatch};
use libos_core::sched::{ClientId, Policy};
use libos_core::trace::{self, Service};
use libos_core::{calls, output, page};
use tranche_abi::layout::HANDLE_PARENT;
use tranche_abi::{ActivationIndex, Core, EVENT_GIVEN, EVENT_REPOSSESSED, EVENT_REVOKE, SlotIndex, Target};

/// What there is to know before a turn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct News {
    /// The broker wants slots back, or no longer.
    pub asked: bool,
    /// Some have come, or were taken.
    pub changed: bool,
    /// Another policy is to take over.
    pub swap: bool,
    /// This client had the CPU since the last news.
    pub ran: Option<ClientId>,
    /// A client comes, or has left the policy.
    pub change: Option<Change>,
}

/// Serves a core's clients until the broker wants the report. `tend` is called before each turn, and once more for each client that comes
/// or goes: what it gives back of slots is its affair, and who comes.
pub fn serve<P: Policy, O: Observer<P>>(
    crew: &mut Crew,
    scheduler: &mut Scheduler<P, O>,
    mut tend: impl FnMut(&Crew, &mut P, News),
) {
    let mut own = Own::default();
    for member in &crew.members {
        own.set_client(member.id, Some(member.target));
        if member.donates {
            own.ask(member.id, &member.stats.waits_for);
        }
    }
    let inflate = crew.members.iter().any(|member| member.inflated.is_some());
    attend(crew, &mut own, scheduler, |crew, scheduler, news| {
        tend(crew, &mut scheduler.policy, news);
        if inflate && let Some(client) = news.ran {
            hear_tickets(crew, scheduler, client);
        }
        while let Some(change) = crew.changes.take(page::now) {
            if let Change::Leaves(id) = change {
                scheduler.leave(id, page::now());
            }
            tend(crew, &mut scheduler.policy, News { change: Some(change), ..News::default() });
        }
    });
}

/// The client that had the CPU may have changed its tickets. How many it says is its own claim: as a scenario allows them.
fn hear_tickets<P: Policy, O: Observer<P>>(
    crew: &mut Crew,
    scheduler: &mut Scheduler<P, O>,
    client: ClientId,
) {
    let Some(member) = crew.members.get_mut(usize::from(client.0)) else { return };
    let Some(inflated) = &mut member.inflated else { return };
    let wanted = member.stats.tickets.load(Relaxed).min(MOST_TICKETS.into()) as u32;
    if wanted != 0 && wanted != *inflated {
        *inflated = wanted;
        scheduler.set_tickets(client, wanted, page::now());
    }
}

/// The same, of clients that the processor knows, by a policy that others may share.
pub fn attend<P: Policy, O: Observer<P>, A: Access<P, O>>(
    crew: &mut Crew,
    own: &mut Own,
    access: &mut A,
    mut tend: impl FnMut(&mut Crew, &mut A, News),
) {
    let mut failing = Failing::No;
    own.set_alarm(crew.changes.next());
    dispatch(own, access, |own: &mut Own, access| {
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
        let asked = events & (EVENT_REVOKE | EVENT_MEND) != 0 && failing == Failing::No;
        let changed = events & (EVENT_GIVEN | EVENT_REPOSSESSED) != 0;
        let (swap, ran) = (events & EVENT_SWAP != 0, own.take_last());
        tend(crew, access, News { asked, changed, swap, ran, change: None });
        own.set_alarm(crew.changes.next());
        ControlFlow::Continue(())
    });
    trace::service(Service::Over);
    nested::conclude(crew);
}

/// How many slots of this core are asked for and not given back yet.
pub fn asked_for(crew: &Crew) -> u64 {
    page::own().slot_demand[crew.core as usize].count.load(Relaxed)
}

/// Gives back as many slots as are asked for, if any are, the last in the revolution first: of a libOS that guarantees nothing.
pub fn answer(crew: &Crew, news: News) {
    if news.asked {
        let owned = crew::owned_pattern(crew.core);
        let last_first = (0..owned.len()).rev().filter(|place| owned[*place]);
        give_back(crew, last_first.take(asked_for(crew) as usize));
    }
}

/// Gives slots of this core back. What is asked for and not given is taken by force, which the broker does only to those above their
/// minimum.
pub fn give_back(crew: &Crew, places: impl IntoIterator<Item = usize>) {
    let parent = Target::new(HANDLE_PARENT, ActivationIndex(crew.core));
    for place in places {
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
    if REPORTED.fetch_add(1, AcqRel) + 1 == u64::from(assignment.activations()) {
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
    let stats = member.stats;
    report::Client {
        libos: assignment.libos.name.clone(),
        name: member.name.clone(),
        core: (!assignment.runs_anywhere()).then_some(crew.core),
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
