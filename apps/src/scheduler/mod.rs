//! The scheduler libOSes, one for each policy: each has an activation on every core, with clients of its own there.
//!
//! * [`run`]: the whole of one whose policy promises no deadlines, a new one's too. [`deadlines`]: those for deadlines.
//! * [`crew`]: making the clients; [`together`]: what they have together, locks and servers. [`changes`]: those that come later or go
//!   earlier. [`mod@serve`]: the dispatch loop with what a
//!   libOS does between turns. [`tally`]: what is counted meanwhile. [`failure`]: what it does instead when it is told to fail. [`swap`]: one
//!   that changes its policy while its clients run; [`every`]: all policies, by name. [`nested`]: clients that are schedulers
//!   themselves. [`heir`]: clients whose scheduler is dead.
//!
//! Not here: the policies (`libos-stride`, `libos-rt`) and the loop (`libos_core::sched::dispatch`). But under
//! [`global`] policies, scheduling is partitioned: a client stays on its core.
#![forbid(unsafe_code)]

pub mod changes;
pub mod crew;
pub mod deadlines;
pub mod every;
pub mod failure;
pub mod global;
pub mod heir;
pub mod nested;
pub mod serve;
pub mod swap;
pub mod tally;
pub mod together;
pub mod warden;

use crate::assignment::Assignment;
use changes::Change;
use core::sync::atomic::Ordering::Relaxed;
use crew::{Crew, Member};
use libos_core::output;
use libos_core::public::view;
use libos_core::report::Figures;
use libos_core::sched::dispatch::{Observer, Scheduler};
use libos_core::sched::line::Line;
use libos_core::sched::steps::{Step, Steps};
use libos_core::sched::watch::ShareWatch;
use libos_core::sched::{ClientId, Demand, Policy, Terms};
use libos_core::start::StartInfo;
use libos_core::{page, say, trace};
use libos_stride::currency::Currencies;
use libos_stride::hierarchical::HierarchicalStride;
use libos_stride::lottery::Lottery;
use libos_stride::stride::Stride;
use serve::serve;
use tally::Tally;

/// Stride scheduling.
pub fn stride(info: StartInfo) {
    run(&info, |terms| Stride::new(terms.quantum));
}

/// Hierarchical stride scheduling.
pub fn hierarchical_stride(info: StartInfo) {
    run(&info, |terms| HierarchicalStride::new(terms.quantum));
}

/// Lottery scheduling.
pub fn lottery(info: StartInfo) {
    run_assigned(&info, |terms, assignment| {
        let currencies = Currencies::of_core(&assignment.libos, assignment.cores, terms.core as u32);
        Lottery::new(terms.quantum, Lottery::seed(terms.seed, terms.core)).with_currencies(&currencies)
    });
}

/// Round robin.
pub fn round_robin(info: StartInfo) {
    run(&info, |terms| Line::round_robin(terms.quantum));
}

/// First come, first served.
pub fn fifo(info: StartInfo) {
    run(&info, |_| Line::first_come());
}

/// The whole of a scheduler program: makes its core's clients, serves them by a policy until the run is over, and reports. Of one
/// for shares, shares are measured.
pub fn run<P: Policy>(info: &StartInfo, policy: impl FnOnce(Terms) -> P) {
    run_assigned(info, |terms, _| policy(terms));
}

/// The same of a policy that is made from more of its assignment than the terms.
fn run_assigned<P: Policy>(info: &StartInfo, policy: impl FnOnce(Terms, &Assignment) -> P) {
    let Some((assignment, mut crew)) = crew::begin(info) else { return };
    let policy = policy(terms(&assignment, &crew), &assignment);
    // An heir has its clients for a part of the run only.
    let shares = assignment.libos.policy.is_for_shares() && assignment.inherits.is_none();
    // What is recorded is measured on the host: here that would cost more than the decisions do.
    let watch = (shares && !trace::is_on()).then(|| share_watch(&crew));
    let scheduler = serve_all(&assignment, &mut crew, (policy, (watch, Tally::default())), |_, _: &mut P| ());
    let (_, (watch, tally)) = &scheduler.observer;
    serve::report(&assignment, &crew, tally, |member| match shares {
        true => share_figures(&crew, member, watch.as_ref(), tally),
        false => Figures::Unpromised,
    });
}

/// What a policy of this core is made from.
fn terms(assignment: &Assignment, crew: &Crew) -> Terms {
    Terms { quantum: view().quantum(), seed: assignment.seed, core: crew.core }
}

fn share_watch(crew: &Crew) -> ShareWatch {
    let mut watch = ShareWatch::default();
    for member in &crew.members {
        if let Demand::Share { tickets } = member.demand {
            watch.join(member.id, tickets);
        }
    }
    watch
}

/// Lets every client join, and serves them from all the slots that there are. `swap` is called when another policy is to take over.
fn serve_all<P: Policy, O: Observer<P>>(
    assignment: &Assignment,
    crew: &mut Crew,
    (mut policy, observer): (P, O),
    mut swap: impl FnMut(&Crew, &mut P),
) -> Recorded<P, O> {
    join_all(&mut policy, crew);
    output::stats().wanted.store(assignment.libos.want.into(), Relaxed);
    let mut scheduler = recorded(policy, observer);
    serve(crew, &mut scheduler, |crew, policy, news| {
        serve::answer(crew, news);
        if let Some(Change::Joins(id)) = news.change {
            join(policy, &crew.members[usize::from(id.0)]);
        }
        if news.swap {
            swap(crew, policy);
        }
    });
    scheduler
}

/// A scheduler that marks its steps, beside what else observes it.
type Recorded<P, O> = Scheduler<P, (Steps<fn(Step)>, O)>;

/// A scheduler whose steps are recorded, if anything is.
fn recorded<P, O>(policy: P, observer: O) -> Recorded<P, O> {
    Scheduler { policy, observer: (Steps(trace::step), observer) }
}

/// All clients join that do not come later.
fn join_all<P: Policy>(policy: &mut P, crew: &Crew) {
    crew.members.iter().filter(|member| member.joins.is_none()).for_each(|member| join(policy, member));
}

/// A client joins; it is a step of the scheduler's if it is taken on.
fn join<P: Policy>(policy: &mut P, member: &Member) {
    let (client, demand, now) = (member.id, member.demand, page::now());
    match policy.join(client, demand, now) {
        Ok(()) => trace::step(Step::Join { client, demand, now }),
        Err(refusal) => say!("client {} is not taken on: {refusal:?}", member.name),
    }
}

fn share_figures(crew: &Crew, member: &Member, watch: Option<&ShareWatch>, tally: &Tally) -> Figures {
    let tickets_of = |member: &Member| match member.demand {
        Demand::Share { tickets } => u64::from(tickets),
        Demand::Periodic { .. } => 0,
    };
    let quantum = view().quantum().0.max(1);
    let pairwise = |watch: &ShareWatch| watch.pairwise.worst_of(member.id).ceiling().0 * 1_000_000 / quantum;
    Figures::Share {
        tickets: tickets_of(member),
        tickets_total: crew.members.iter().map(tickets_of).sum(),
        turns_total: crew.members.iter().map(|member| tally.turns(member.id)).sum(),
        ran_total: crew.members.iter().map(|member| tally.ran(member.id).0).sum(),
        pairwise_error_millionths: watch.map(pairwise),
    }
}

/// A client's number among those of its core.
pub(crate) fn client_id(place: usize) -> ClientId {
    ClientId(place as u16)
}
