//! The scheduler libOSes that can guarantee deadlines, `edf`, `rate-monotonic`, `deadline-monotonic`, `cbs` and `cbs-hard`: from the
//! slots that they really own; or that guarantee none. Not here: the policies (`libos-rt`), and what all scheduler libOSes do (`super`).
#![forbid(unsafe_code)]

use super::changes::Change as Comes;
use super::crew::{self, Crew, Member};
use super::recorded;
use super::serve::{self, News, serve};
use super::tally::Tally;
use super::warden::{Scene, Warden};
use crate::assignment::Assignment;
use crate::broker::market;
use alloc::vec::Vec;
use core::sync::atomic::Ordering::Relaxed;
use libos_core::public::view;
use libos_core::report::{Figures, Standing};
use libos_core::scenario::{Admission, LibOs};
use libos_core::sched::dispatch::Scheduler;
use libos_core::sched::steps::Step;
use libos_core::sched::{ClientId, Demand, Tick};
use libos_core::start::StartInfo;
use libos_core::{output, page, say, trace};
use libos_rt::cbs::{ConstantBandwidth, Kind};
use libos_rt::deadline_monotonic::ShortestDeadline;
use libos_rt::deadlines::{Deadlines, Order};
use libos_rt::edf::EarliestDeadline;
use libos_rt::guarantee::Guarantees;
use libos_rt::rate_monotonic::ShortestPeriod;
use libos_rt::roll::{Applicant, Change, Roll};
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
    let mut warden = Warden::new(roll(&crew), assignment.libos.spacing);
    let (mut policy, keep) = match assignment.libos.admission {
        Admission::Required => {
            with_guarantees(&assignment, &crew, &warden.roll, |supply| make(Some(supply), terms))
        }
        Admission::Off => {
            output::stats().wanted.store(assignment.libos.want.into(), Relaxed);
            (make(None, terms), Vec::new())
        }
    };
    let owned = crew::owned_pattern(crew.core);
    let scene = scene(&owned);
    let changes = warden.begin(&mut policy, keep, &scene);
    note(&crew, &changes, scene.now);
    let bounds: Vec<_> = crew.members.iter().map(|member| policy.response_bound(member.id)).collect();
    let mut scheduler = recorded(policy, (JobWatch::default(), Tally::default()));
    serve(&mut crew, &mut scheduler, |crew, policy, news| tend(&mut warden, crew, policy, news));
    let Scheduler { policy, observer: (_, (watch, tally)) } = &scheduler;
    serve::report(&assignment, &crew, tally, |member| {
        let figures = |bound| job_figures(member, policy, watch, (bound, &warden.roll));
        let analysed = bounds[usize::from(member.id.0)];
        bound(&warden.roll, (member.id, member.demand), analysed).map_or(Figures::Unpromised, figures)
    });
}

/// What is promised to a client of its responses: what the analysis found at the beginning; where slots or clients have changed since, its
/// deadline. `None` if nothing was.
pub fn bound(roll: &Roll, (client, demand): (ClientId, Demand), analysed: Option<Tick>) -> Option<Tick> {
    let was_admitted = || roll.account(client).is_some_and(|account| account.was_admitted);
    match demand {
        Demand::Periodic { deadline, .. } if !roll.is_steady() => was_admitted().then_some(deadline),
        _ => analysed,
    }
}

/// A core's clients as those who ask: those that do not come later.
fn roll(crew: &Crew) -> Roll {
    Roll::new(crew.members.iter().filter(|member| member.joins.is_none()).map(applicant))
}

fn applicant(member: &Member) -> Applicant {
    Applicant { client: member.id, demand: member.demand, criticality: member.criticality }
}

/// The slots of this core as they are.
fn scene(owned: &[bool]) -> Scene<'_, fn(&[bool]) -> Supply> {
    Scene { now: page::now(), owned, supply }
}

/// A policy that guarantees what fits into the slots that it waits for, and those slots.
fn with_guarantees<P: Guarantees>(
    assignment: &Assignment,
    crew: &Crew,
    roll: &Roll,
    make: impl Fn(Supply) -> P,
) -> (P, Vec<bool>) {
    let need = need(assignment, crew, &make);
    let background = crew.members.iter().any(|member| matches!(member.demand, Demand::Share { .. }));
    // Whoever does without some for a while takes what it can get, which need not be where it would be best.
    let wanted = if background || roll.has_levels() { assignment.libos.want } else { need };
    output::stats().wanted.fetch_max(wanted.into(), Relaxed);
    let keep = crew::await_slots(crew.core, first_slots(&assignment.libos, need, roll));
    (make(supply(&keep)), keep)
}

/// How many slots of a core a libOS waits for before its clients begin, of so many that all of them need: those who are less critical do
/// not keep the others waiting.
pub fn first_slots(libos: &LibOs, need: u32, roll: &Roll) -> u32 {
    if roll.has_levels() { libos.minimum.max(1) } else { need.max(libos.minimum) }
}

/// What is to be done about slots, and about who comes and goes, before a turn.
fn tend<P: Guarantees>(warden: &mut Warden, crew: &Crew, policy: &mut P, news: News) {
    match news.change {
        Some(Comes::Joins(id)) => warden.roll.add(applicant(&crew.members[usize::from(id.0)])),
        Some(Comes::Leaves(id)) => warden.roll.withdraw(id),
        None if news.asked || news.changed || warden.is_awaited(policy) => {}
        None => return,
    }
    serve::give_back(crew, warden.let_go(policy).into_iter().take(serve::asked_for(crew) as usize));
    let owned = crew::owned_pattern(crew.core);
    let scene = scene(&owned);
    let changes = if news.asked {
        let (spare, changes) = warden.asked(policy, serve::asked_for(crew), &scene);
        serve::give_back(crew, spare);
        changes
    } else {
        warden.changed(policy, &scene)
    };
    note(crew, &changes, scene.now);
}

/// Tells of changes: the recording, who is concerned, and whoever reads along.
fn note(crew: &Crew, changes: &[Change], now: Tick) {
    let member = |client: ClientId| &crew.members[usize::from(client.0)];
    for change in changes {
        match *change {
            Change::Admitted { client, demand, resumes_at } => {
                trace::step(Step::Join { client, demand, now });
                let Some(resumes_at) = resumes_at else { continue };
                member(client).stats.resumes_at.store(resumes_at.0, Relaxed);
                say!("client {} is admitted: the slots guarantee its deadlines now", member(client).name);
            }
            Change::Shed { client } => {
                trace::step(Step::Leave { client, now });
                say!(
                    "client {} is shed: the slots that are left do not guarantee its deadlines",
                    member(client).name
                );
            }
            Change::Refused { client, refusal } => {
                say!("client {} is not admitted: {refusal:?}", member(client).name);
            }
        }
    }
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

/// A client's jobs as its scheduler saw them.
fn job_figures(
    member: &Member,
    policy: &impl Guarantees,
    watch: &JobWatch,
    (bound, roll): (Tick, &Roll),
) -> Figures {
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
        standing: standing(roll, member.id, member.stats.dropped.load(Relaxed)),
    }
}

/// How a client's guarantee fared, as it is reported.
pub fn standing(roll: &Roll, client: ClientId, dropped: u64) -> Standing {
    let account = roll.account(client).unwrap_or_default();
    let absolute = |time: Option<Tick>| time.map_or(0, |time| time.0);
    Standing {
        criticality: account.criticality.0.into(),
        shed: account.shed,
        shed_at: absolute(account.shed_at),
        back_at: absolute(account.back_at),
        is_guaranteed: account.is_admitted,
        dropped,
    }
}
