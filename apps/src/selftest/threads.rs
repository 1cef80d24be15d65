//! Checks of user-level threads on upcalls: no core is lost to a thread that blocks, and none to an activation that was
//! deprived of its CPU in the middle of one.
//!
//! A peer does work that takes thousands of preemptions, and checks every register and sum itself. It is driven in two
//! ways: by directed yields, which end without notice, and by slots of its own, whose end is announced.
#![forbid(unsafe_code)]

use super::peer::Role;
use super::{Bench, Check, Found, ensure, microseconds, must};
use crate::threads::Plan;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::sync::atomic::Ordering::{Acquire, Relaxed};
use libos_core::calls::{self, Claim, Events};
use libos_core::public::EnvState;
use libos_core::spawn::{Child, SpawnPlan, spawn};
use libos_core::start::encode_arguments;
use libos_core::{page, public};
use tranche_abi::{Core, Reason, SlotIndex, Tick};

/// In the order of telling.
pub const CHECKS: &[Check] = &[
    (
        "threads survive thousands of preemptions, and the loss of an activation in the middle of one",
        deprived_of_turns,
    ),
    ("threads of an activation that lost its slots run on the others, which are not idle", deprived_of_slots),
];

/// Frames for the stacks of all threads of a peer, and for page tables.
const THREAD_FRAMES: u64 = 160;
/// Turns of a peer after which it should have been done long ago.
const MAX_TURNS: u64 = 40_000;

fn peer(bench: &mut Bench, plan: Plan, activations: u64) -> Result<Child, String> {
    let plan = SpawnPlan {
        name: super::PEER,
        activations,
        heap_pages: 32,
        frames: THREAD_FRAMES,
        arguments: encode_arguments(&Role::Threads(plan)).map_err(|error| format!("{error}"))?,
        ..SpawnPlan::new("selftest")
    };
    spawn(&mut bench.frames, &bench.archive, &plan).map_err(|error| format!("no peer: {error:?}"))
}

fn done(peer: &Child) -> u64 {
    peer.mailbox().stats().work_units.load(Relaxed)
}

fn is_over(peer: &Child) -> bool {
    peer.mailbox().stats().jobs.load(Acquire) > 0
}

/// What the peer says of itself, if all its results are right.
fn verdict(peer: &mut Child, plan: Plan) -> Result<String, String> {
    let stats = peer.mailbox().stats();
    let [right, wrong] = [&stats.checks_passed, &stats.checks_failed].map(|count| count.load(Relaxed));
    let mut bytes = Vec::new();
    peer.reader.read(&mut bytes);
    let said = String::from_utf8_lossy(&bytes).trim_end().into();
    // Two sums besides the rounds.
    let all = plan.workers * plan.rounds + 2;
    ensure((right, wrong) == (all, 0), || format!("{right} of {all} results right, {wrong} wrong; {said}"))?;
    Ok(said)
}

/// How a peer was driven.
#[derive(Default)]
struct Turns {
    /// CPU time that it was charged.
    ran: u64,
    /// Turns that ended because their time was over.
    expired: u64,
    /// Turns in which it said that it has nothing to do.
    waited: u64,
}

impl Turns {
    /// Gives one activation of the peer a turn of at most `span` ticks.
    fn give(&mut self, peer: &Child, activation: u64, span: u64) -> Result<Reason, String> {
        let until = page::now().saturating_add(Tick(span));
        let outcome = must("yield_to", calls::yield_to(peer.target(activation), until, Events::Ignore))?;
        self.ran += outcome.ran.0;
        self.expired += u64::from(outcome.reason == Reason::Expired);
        self.waited += u64::from(outcome.reason == Reason::Waiting);
        match outcome.reason {
            Reason::Faulted | Reason::Gone => Err(format!("a peer with threads: {outcome:x?}")),
            reason => Ok(reason),
        }
    }
}

/// On one core: two activations take turns of uneven length; then one gets none any more.
fn deprived_of_turns(bench: &mut Bench) -> Found {
    let plan = Plan { workers: 6, rounds: 2_500, nap_after: 0 };
    let mut peer = peer(bench, plan, 2)?;
    let result = drive_by_turns(&mut peer, plan);
    bench.end(peer)?;
    result
}

fn drive_by_turns(peer: &mut Child, plan: Plan) -> Found {
    let all = plan.workers * plan.rounds;
    let mut both = Turns::default();
    for turn in 0..MAX_TURNS {
        let span = microseconds(25 + turn * 7 % 61);
        let reason = both.give(peer, turn % 2, span)?;
        // The other one is left in the middle of a thread, not just begun.
        if turn % 2 == 1 && reason == Reason::Expired && done(peer) >= all / 2 {
            break;
        }
    }
    let half = done(peer);
    ensure(half >= all / 2 && half < all, || format!("{half} rounds with two activations"))?;
    let mut one = Turns::default();
    for _ in 0..MAX_TURNS {
        one.give(peer, 0, microseconds(70))?;
        if is_over(peer) {
            break;
        }
    }
    let said = verdict(peer, plan)?;
    // What is left costs one activation as much as it would have cost both. The bound leaves room for a quarter more.
    let (expected, most) = (both.ran * (all - half) / half, 5 * both.ran * (all - half) / (4 * half));
    ensure(one.ran <= most + microseconds(2_000), || format!("{} ticks for what costs {expected}", one.ran))?;
    ensure(one.waited <= 1, || format!("idle {} times with work to do; {said}", one.waited))?;
    let preemptions = both.expired + one.expired;
    ensure(preemptions >= 2_000, || format!("only {preemptions} preemptions"))?;
    Ok(format!("{preemptions} preemptions, {half} + {} rounds; {said}", all - half))
}

/// Slots of each core that the peer gets.
const SLOTS: usize = 30;

/// On several cores: an activation on each of up to four, with slots of its own; then one loses them.
fn deprived_of_slots(bench: &mut Bench) -> Found {
    let cores = bench.activations.min(4);
    if cores < 2 {
        return Ok("one core only: no other to go on".into());
    }
    let plan = Plan { workers: 10, rounds: 700, nap_after: 0 };
    let mut peer = peer(bench, plan, cores)?;
    let result = drive_by_slots(&mut peer, plan, cores);
    bench.end(peer)?;
    result
}

fn drive_by_slots(peer: &mut Child, plan: Plan, cores: u64) -> Found {
    let all = plan.workers * plan.rounds;
    let mut lost = Vec::new();
    for core in (0..cores).map(Core) {
        let slots: Vec<SlotIndex> = public::view().owned_slots(core, page::env()).take(SLOTS).collect();
        for slot in &slots {
            must("slot_give", calls::slot_give(core, *slot, peer.target(core.0)))?;
        }
        if core.0 == 1 {
            lost = slots;
        }
    }
    await_rounds(peer, all / 4)?;
    seize(peer, Core(1), &lost)?;
    let others = || (0..cores).filter(|core| *core != 1).map(|core| time_of(peer, core));
    let (at_loss, before) = (done(peer), others().collect::<Vec<_>>());
    ensure(at_loss < all / 2, || format!("{at_loss} rounds were done when it lost its slots"))?;
    await_rounds(peer, at_loss + (all - at_loss) / 2)?;
    let used = others().zip(&before).map(|(now, before)| (now.0 - before.0, now.1 - before.1));
    let (ran, offered) = used.fold((0, 0), |sum, used| (sum.0 + used.0, sum.1 + used.1));
    // A slice that is running may be counted and not charged yet, or the other way round.
    let slack = cores * public::view().quantum().0;
    ensure(ran + slack >= offered * 95 / 100, || format!("used {ran} of {offered} ticks of its slots"))?;
    await_rounds(peer, all + 2)?;
    while !is_over(peer) {
        page::sleep_until(page::now().saturating_add(Tick(microseconds(1_000))));
    }
    let said = verdict(peer, plan)?;
    let strikes = public::view().excess(peer.index);
    Ok(format!(
        "{} rounds after the loss, used {ran} of {offered} ticks, {strikes} slices too long; {said}",
        all - at_loss
    ))
}

/// Time charged to the peer on a core, and time of slices that began as its own.
fn time_of(peer: &Child, core: u64) -> (u64, u64) {
    let quantum = public::view().quantum().0;
    public::view()
        .ledger(Core(core))
        .map_or((0, 0), |ledger| (ledger.env(peer.index).0, ledger.slices(peer.index) * quantum))
}

fn await_rounds(peer: &Child, rounds: u64) -> Result<(), String> {
    let patience = page::now().saturating_add(Tick(microseconds(2_000_000)));
    while done(peer) < rounds {
        ensure(public::view().env_state(peer.index) == EnvState::Alive, || {
            "the kernel ended the peer".into()
        })?;
        ensure(page::now() < patience, || format!("{} of {rounds} rounds in two seconds", done(peer)))?;
        page::sleep_until(page::now().saturating_add(Tick(microseconds(1_000))));
    }
    Ok(())
}

/// Takes all these slots by force: nobody asks the activation what it is in the middle of.
fn seize(peer: &Child, core: Core, slots: &[SlotIndex]) -> Result<(), String> {
    let deadline = page::now().saturating_add(Tick(microseconds(500)));
    must("ask", calls::ask(peer.target(core.0), Claim::Slots(core), slots.len() as u64, deadline))?;
    page::sleep_until(deadline);
    slots.iter().try_for_each(|slot| must("seize_slot", calls::seize_slot(peer.handle, core, *slot)))
}
