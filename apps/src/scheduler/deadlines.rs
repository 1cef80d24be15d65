//! The scheduler libOSes for deadlines, `edf`, `rate-monotonic` and `deadline-monotonic`: with guarantees from the slots that they
//! really own, or without any. Not here: the policies (`libos-rt`), and what all scheduler libOSes do (`super`).
#![forbid(unsafe_code)]

use super::crew::{self, Crew, Member};
use super::serve::{self, News, serve};
use super::tally::Tally;
use super::{client_id, join_all, recorded};
use crate::assignment::Assignment;
use crate::broker::market;
use alloc::vec::Vec;
use core::sync::atomic::Ordering::Relaxed;
use libos_core::public::view;
use libos_core::report::Figures;
use libos_core::scenario::{Admission, LibOs};
use libos_core::sched::dispatch::Scheduler;
use libos_core::sched::{Demand, Policy, Tick};
use libos_core::start::StartInfo;
use libos_core::{output, page, say};
use libos_rt::deadline_monotonic::ShortestDeadline;
use libos_rt::deadlines::{Deadlines, Order};
use libos_rt::edf::EarliestDeadline;
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
    serve_deadlines::<EarliestDeadline>(&info);
}

/// Rate-monotonic fixed priorities.
pub fn rate_monotonic(info: StartInfo) {
    serve_deadlines::<ShortestPeriod>(&info);
}

/// Deadline-monotonic fixed priorities.
pub fn deadline_monotonic(info: StartInfo) {
    serve_deadlines::<ShortestDeadline>(&info);
}

fn serve_deadlines<O: Order>(info: &StartInfo) {
    let Some((assignment, mut crew)) = crew::begin(info) else { return };
    let mut policy = match assignment.libos.admission {
        Admission::Required => with_guarantees::<O>(&assignment, &mut crew),
        Admission::Off => {
            output::stats().wanted.store(assignment.libos.want.into(), Relaxed);
            Deadlines::without_admission(turn_cost(), view().quantum())
        }
    };
    join_all(&mut policy, &crew);
    let mut bounds = Bounds::default();
    bounds.raise(&policy, crew.members.len());
    let (clients, comes_and_goes) = (crew.members.len(), crew.changes.next().is_some());
    let mut scheduler = recorded(policy, (JobWatch::default(), Tally::default()));
    serve(&mut crew, &mut scheduler, |policy, news| match news {
        News::Slots => redo_admission(policy),
        News::Leaving => bounds.raise(policy, clients),
    });
    let Scheduler { policy, observer: (_, (watch, tally)) } = &scheduler;
    if comes_and_goes {
        bounds.raise(policy, clients);
    }
    serve::report(&assignment, &crew, tally, |member| {
        let bound = bounds.0.get(usize::from(member.id.0)).copied().flatten();
        bound.map_or(Figures::Unpromised, |bound| job_figures(member, policy, watch, bound))
    });
}

/// The longest response of each client that was possible while it was there, by its number. Each that joins may make the others'
/// longer, so what counts is what it is before somebody leaves.
#[derive(Clone, Debug, Default)]
struct Bounds(Vec<Option<Tick>>);

impl Bounds {
    /// Takes note of those that are possible now, of so many clients.
    fn raise<O: Order>(&mut self, policy: &Deadlines<O>, clients: usize) {
        let now = |place| policy.response_bound(client_id(place));
        self.0.resize(clients, None);
        self.0.iter_mut().enumerate().for_each(|(place, bound)| *bound = (*bound).max(now(place)));
    }
}

/// A policy that guarantees what fits into the slots that it waits for.
fn with_guarantees<O: Order>(assignment: &Assignment, crew: &mut Crew) -> Deadlines<O> {
    let need = need::<O>(assignment, crew);
    let background = crew.members.iter().any(|member| matches!(member.demand, Demand::Share { .. }));
    let wanted = if background { assignment.libos.want } else { need };
    output::stats().wanted.fetch_max(wanted.into(), Relaxed);
    crew.keep = crew::await_slots(crew.core, need.max(assignment.libos.minimum));
    Deadlines::new(supply(&crew.keep), turn_cost(), view().quantum())
}

/// The fewest slots of a core from which all its tasks are guaranteed, if its `want` is enough for that.
fn need<O: Order>(assignment: &Assignment, crew: &Crew) -> u32 {
    least_slots(&assignment.libos, assignment.slots, |pattern| {
        let mut policy = Deadlines::<O>::new(supply(pattern), turn_cost(), view().quantum());
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
fn redo_admission<O: Order>(policy: &mut Deadlines<O>) {
    let owned = crew::owned_pattern(page::own().core.load(Relaxed));
    if !policy.set_supply(supply(&owned)) {
        say!("the slots that are left no longer guarantee every deadline");
    }
}

/// A client's jobs as its scheduler saw them.
fn job_figures<O: Order>(member: &Member, policy: &Deadlines<O>, watch: &JobWatch, bound: Tick) -> Figures {
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
