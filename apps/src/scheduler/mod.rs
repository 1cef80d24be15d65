//! The scheduler libOSes `stride`, `lottery` and `edf`: each has an activation on every core, with clients of its own there.
//!
//! * [`crew`]: making the clients. [`mod@serve`]: the dispatch loop with what a libOS does between turns. [`tally`]: what is
//!   counted meanwhile. Here: which policy, measured how.
//!
//! Not here: the policies (`libos-stride`, `libos-rt`) and the loop (`libos_core::sched::dispatch`). Scheduling is
//! partitioned: a client stays on its core.
#![forbid(unsafe_code)]

pub mod crew;
pub mod serve;
pub mod tally;

use crate::assignment::Assignment;
use crate::broker::market;
use alloc::vec::Vec;
use core::sync::atomic::Ordering::Relaxed;
use crew::{Crew, Member};
use libos_core::output;
use libos_core::public::view;
use libos_core::report::Figures;
use libos_core::scenario::LibOs;
use libos_core::sched::dispatch::Scheduler;
use libos_core::sched::watch::ShareWatch;
use libos_core::sched::{ClientId, Demand, Policy, Tick};
use libos_core::start::StartInfo;
use libos_core::{page, say};
use libos_rt::edf::Edf;
use libos_rt::supply::Supply;
use libos_rt::watch::JobWatch;
use libos_stride::lottery::Lottery;
use libos_stride::stride::Stride;
use serve::serve;
use tally::Tally;

/// What a slot's start costs an EDF libOS at most: interrupt, switch and first turn. With several cores under QEMU's
/// `-icount`, an instruction takes some 16 ns of virtual time (4 ns, shared by four cores).
pub const SLOT_OVERHEAD_US: u64 = 40;
/// What a further turn costs at most.
pub const TURN_COST_US: u64 = 30;

/// Stride scheduling.
pub fn stride(info: StartInfo) {
    serve_shares(&info, |_, _| Stride::new(view().quantum()));
}

/// Lottery scheduling.
pub fn lottery(info: StartInfo) {
    serve_shares(&info, |seed, core| Lottery::new(view().quantum(), Lottery::seed(seed, core)));
}

/// Serves with a proportional-share policy, made from the run's seed for a core.
fn serve_shares<P: Policy>(info: &StartInfo, policy: impl FnOnce(u64, u64) -> P) {
    let Some((assignment, mut crew)) = crew::begin(info) else { return };
    let mut policy = policy(assignment.seed, crew.core);
    let mut watch = ShareWatch::default();
    for member in &crew.members {
        match (member.demand, policy.join(member.id, member.demand, page::now())) {
            (Demand::Share { tickets }, Ok(())) => watch.join(member.id, tickets),
            (_, result) => say!("client {} cannot join: {result:?}", member.name),
        }
    }
    output::stats().wanted.store(assignment.libos.want.into(), Relaxed);
    let mut scheduler = Scheduler { policy, observer: (watch, Tally::default()) };
    serve(&mut crew, &mut scheduler, |_| ());
    let (watch, tally) = &scheduler.observer;
    serve::report(&assignment, &crew, tally, |member| share_figures(&crew, member, watch, tally));
}

fn share_figures(crew: &Crew, member: &Member, watch: &ShareWatch, tally: &Tally) -> Figures {
    let tickets_of = |member: &Member| match member.demand {
        Demand::Share { tickets } => u64::from(tickets),
        Demand::Periodic { .. } => 0,
    };
    let quantum = view().quantum().0.max(1);
    let pairwise = watch.pairwise.worst_of(member.id).ceiling().0;
    Figures::Share {
        tickets: tickets_of(member),
        tickets_total: crew.members.iter().map(tickets_of).sum(),
        turns_total: crew.members.iter().map(|member| tally.turns(member.id)).sum(),
        ran_total: crew.members.iter().map(|member| tally.ran(member.id).0).sum(),
        pairwise_error_millionths: pairwise * 1_000_000 / quantum,
    }
}

/// Earliest deadline first, with guarantees from the slots that it really owns.
pub fn edf(info: StartInfo) {
    let Some((assignment, mut crew)) = crew::begin(&info) else { return };
    let need = need(&assignment, &crew);
    output::stats().wanted.fetch_max(need.into(), Relaxed);
    crew.keep = crew::await_slots(crew.core, need.max(assignment.libos.minimum));
    let mut policy = Edf::new(supply(&crew.keep), crew::ticks(TURN_COST_US), view().quantum());
    for member in &crew.members {
        if let Err(refusal) = policy.join(member.id, member.demand, page::now()) {
            say!("client {} is not admitted: {refusal:?}", member.name);
        }
    }
    let bounds: Vec<Tick> =
        crew.members.iter().map(|member| policy.response_bound(member.id).unwrap_or_default()).collect();
    let mut scheduler = Scheduler { policy, observer: (JobWatch::default(), Tally::default()) };
    serve(&mut crew, &mut scheduler, redo_admission);
    let Scheduler { policy, observer: (watch, tally) } = &scheduler;
    serve::report(&assignment, &crew, tally, |member| {
        job_figures(member, policy, watch, bounds[usize::from(member.id.0)])
    });
}

/// The fewest evenly spread slots of a core from which all its tasks are guaranteed, if its `want` is enough for that.
fn need(assignment: &Assignment, crew: &Crew) -> u32 {
    least_slots(&assignment.libos, assignment.slots, |pattern| {
        let mut policy = Edf::new(supply(pattern), crew::ticks(TURN_COST_US), view().quantum());
        crew.members.iter().all(|member| policy.join(member.id, member.demand, Tick(0)).is_ok())
    })
}

/// The fewest slots, evenly spread over a revolution of so many, that are enough for a libOS, not below its minimum; its
/// `want` if none are. `fits` says whether a pattern is enough.
pub fn least_slots(libos: &LibOs, slots: u32, mut fits: impl FnMut(&[bool]) -> bool) -> u32 {
    let fits = |&count: &u32| {
        let mut pattern = alloc::vec![false; slots as usize];
        let free = alloc::vec![true; pattern.len()];
        market::spread(&free, count).into_iter().for_each(|place| pattern[place] = true);
        fits(&pattern)
    };
    (libos.minimum.max(1)..=libos.want).find(fits).unwrap_or(libos.want)
}

fn supply(owned: &[bool]) -> Supply {
    Supply::new(owned, view().quantum(), crew::ticks(SLOT_OVERHEAD_US))
}

/// Slots came or went: the guarantees are those of the slots that are there now.
fn redo_admission(policy: &mut Edf) {
    let owned = crew::owned_pattern(page::own().core.load(Relaxed));
    if !policy.set_supply(supply(&owned)) {
        say!("the slots that are left no longer guarantee every deadline");
    }
}

fn job_figures(member: &Member, policy: &Edf, watch: &JobWatch, bound: Tick) -> Figures {
    let responses = watch.responses(member.id);
    let late = u64::from(JobWatch::is_late(policy, member.id, page::now()));
    let (budget, period, deadline) = match member.demand {
        Demand::Periodic { budget, period, deadline, .. } => (budget.0, period.0, deadline.0),
        Demand::Share { .. } => (0, 0, 0),
    };
    Figures::Periodic {
        budget,
        period,
        deadline,
        jobs: responses.jobs,
        misses: responses.misses + late,
        max_response: responses.max_response.0,
        response_bound: bound.0,
    }
}

/// A client's number among those of its core.
pub(crate) fn client_id(place: usize) -> ClientId {
    ClientId(place as u16)
}
