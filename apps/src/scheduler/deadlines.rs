//! The scheduler libOSes that can guarantee deadlines, `edf`, `rate-monotonic`, `deadline-monotonic`, `cbs` and `cbs-hard`: from the
//! slots that they really own; or that guarantee none. Not here: the policies (`libos-rt`), and what all scheduler libOSes do (`super`).
#![forbid(unsafe_code)]

use super::crew::{self, Crew, Member};
use super::serve::{self, serve};
use super::tally::Tally;
use super::{join, recorded};
use crate::assignment::Assignment;
use crate::broker::market;
use alloc::vec::Vec;
use core::sync::atomic::Ordering::Relaxed;
use libos_core::public::view;
use libos_core::report::Figures;
use libos_core::scenario::{Admission, LibOs};
use libos_core::sched::dispatch::Scheduler;
use libos_core::sched::{Demand, Tick};
use libos_core::start::StartInfo;
use libos_core::{output, page, say};
use libos_rt::cbs::{ConstantBandwidth, Kind};
use libos_rt::deadline_monotonic::ShortestDeadline;
use libos_rt::deadlines::{Deadlines, Order};
use libos_rt::edf::EarliestDeadline;
use libos_rt::guarantee::Guarantees;
use libos_rt::rate_monotonic::ShortestPeriod;
use libos_rt::supply::Supply;
use libos_rt::watch::JobWatch;

/// What a slot's start costs at most: interrupt, switch and first turn. With several cores under QEMU's `-icount`, an
/// instruction takes some 16 ns of virtual time (4 ns, shared by four cores).
pub const SLOT_OVERHEAD_US: u64 = 40;
/// What a further turn costs at most.
pub const TURN_COST_US: u64 = 30;

/// Earliest deadline first.
pub fn edf(info: StartInfo) {
    serve_deadlines(&info, jobs::<EarliestDeadline>);
}

/// Rate-monotonic fixed priorities.
pub fn rate_monotonic(info: StartInfo) {
    serve_deadlines(&info, jobs::<ShortestPeriod>);
}

/// Deadline-monotonic fixed priorities.
pub fn deadline_monotonic(info: StartInfo) {
    serve_deadlines(&info, jobs::<ShortestDeadline>);
}

/// Constant-bandwidth servers, soft.
pub fn cbs(info: StartInfo) {
    serve_deadlines(&info, |supply, terms| servers(Kind::Soft, supply, terms));
}

/// Constant-bandwidth servers, hard.
pub fn cbs_hard(info: StartInfo) {
    serve_deadlines(&info, |supply, terms| servers(Kind::Hard, supply, terms));
}

/// What a policy for deadlines is made from besides what it guarantees from.
#[derive(Clone, Copy, Debug)]
pub struct Terms {
    /// What a turn costs at most.
    pub turn_cost: Tick,
    /// Length of a slot, and of a turn at most where there is no other limit.
    pub quantum: Tick,
}

/// A policy for jobs, in an order, with guarantees from a supply or without any.
pub fn jobs<O: Order>(supply: Option<Supply>, terms: Terms) -> Deadlines<O> {
    let Terms { turn_cost, quantum } = terms;
    match supply {
        Some(supply) => Deadlines::new(supply, turn_cost, quantum),
        None => Deadlines::without_admission(turn_cost, quantum),
    }
}

/// Servers, with guarantees from a supply or without any.
pub fn servers(kind: Kind, supply: Option<Supply>, terms: Terms) -> ConstantBandwidth {
    let Terms { turn_cost, quantum } = terms;
    match supply {
        Some(supply) => ConstantBandwidth::with_guarantees(kind, supply, turn_cost, quantum),
        None => ConstantBandwidth::new(kind, quantum),
    }
}

fn serve_deadlines<P: Guarantees>(info: &StartInfo, make: impl Fn(Option<Supply>, Terms) -> P) {
    let Some((assignment, mut crew)) = crew::begin(info) else { return };
    let terms = Terms { turn_cost: turn_cost(), quantum: view().quantum() };
    let make = |supply| make(supply, terms);
    let mut policy = match assignment.libos.admission {
        Admission::Required => with_guarantees(&assignment, &mut crew, |supply| make(Some(supply))),
        Admission::Off => {
            output::stats().wanted.store(assignment.libos.want.into(), Relaxed);
            make(None)
        }
    };
    for member in &crew.members {
        if let Err(refusal) = join(&mut policy, member) {
            say!("client {} is not admitted: {refusal:?}", member.name);
        }
    }
    let bounds: Vec<_> = crew.members.iter().map(|member| policy.response_bound(member.id)).collect();
    let mut scheduler = recorded(policy, (JobWatch::default(), Tally::default()));
    serve(&mut crew, &mut scheduler, redo_admission);
    let Scheduler { policy, observer: (_, (watch, tally)) } = &scheduler;
    serve::report(&assignment, &crew, tally, |member| {
        let bound = bounds[usize::from(member.id.0)];
        bound.map_or(Figures::Unpromised, |bound| job_figures(member, policy, watch, bound))
    });
}

/// A policy that guarantees what fits into the slots that it waits for.
fn with_guarantees<P: Guarantees>(assignment: &Assignment, crew: &mut Crew, make: impl Fn(Supply) -> P) -> P {
    let need = need(assignment, crew, &make);
    let background = crew.members.iter().any(|member| matches!(member.demand, Demand::Share { .. }));
    let wanted = if background { assignment.libos.want } else { need };
    output::stats().wanted.fetch_max(wanted.into(), Relaxed);
    crew.keep = crew::await_slots(crew.core, need.max(assignment.libos.minimum));
    make(supply(&crew.keep))
}

/// The fewest slots of a core from which all its tasks are guaranteed, if its `want` is enough for that.
fn need<P: Guarantees>(assignment: &Assignment, crew: &Crew, make: impl Fn(Supply) -> P) -> u32 {
    least_slots(&assignment.libos, assignment.slots, |pattern| {
        let mut policy = make(supply(pattern));
        crew.members.iter().all(|member| policy.join(member.id, member.demand, Tick(0)).is_ok())
    })
}

/// The fewest slots of a revolution of so many, spaced as it has them, that are enough for a libOS, not below its minimum; its
/// `want` if none are. `fits` says whether a pattern is enough.
pub fn least_slots(libos: &LibOs, slots: u32, mut fits: impl FnMut(&[bool]) -> bool) -> u32 {
    let fits = |&count: &u32| {
        let mut pattern = alloc::vec![false; slots as usize];
        let free = alloc::vec![true; pattern.len()];
        let places = market::give(libos.spacing, &free, &pattern, (count, count));
        places.into_iter().for_each(|place| pattern[place] = true);
        fits(&pattern)
    };
    (libos.minimum.max(1)..=libos.want).find(fits).unwrap_or(libos.want)
}

/// The same in ticks of this machine.
pub fn turn_cost() -> Tick {
    crew::ticks(TURN_COST_US)
}

fn supply(owned: &[bool]) -> Supply {
    // Whoever has the slot before may keep the CPU for the grace time, in every revolution.
    Supply::beside_others(owned, view().quantum(), crew::ticks(SLOT_OVERHEAD_US), view().grace())
}

/// Slots came or went: the guarantees are those of the slots that are there now.
fn redo_admission(policy: &mut impl Guarantees) {
    let supply = supply(&crew::owned_pattern(page::own().core.load(Relaxed)));
    let fits = policy.fits(&supply);
    policy.set_supply(supply);
    if !fits {
        say!("the slots that are left no longer guarantee every deadline");
    }
}

/// A client's jobs as its scheduler saw them.
fn job_figures(member: &Member, policy: &impl Guarantees, watch: &JobWatch, bound: Tick) -> Figures {
    let Demand::Periodic { budget, period, deadline, .. } = member.demand else { return Figures::Unpromised };
    let responses = watch.responses(member.id);
    let late = u64::from(JobWatch::is_late(policy, member.id, page::now()));
    Figures::Periodic {
        budget: budget.0,
        period: period.0,
        deadline: deadline.0,
        jobs: responses.jobs,
        misses: responses.misses + late,
        max_response: responses.max_response.0,
        response_bound: bound.0,
    }
}
