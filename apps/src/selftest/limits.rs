//! Checks of what a program meets at its limits, and of what others notice of it: nothing.

use super::peer::Role;
use super::{
    Bench, Check, EVENT_HELP, Found, HELPED, ensure, microseconds, must, run_for, run_until_it_stops,
};
use alloc::format;
use alloc::string::String;
use core::sync::atomic::Ordering::{Relaxed, Release};
use libos_core::calls::{self, Claim};
use libos_core::public::{EnvState, view};
use libos_core::spawn::Child;
use libos_core::{layout, mapping, page};
use tranche_abi::layout::PAGE_SIZE;
use tranche_abi::{Address, Core, Frame, Protection, Reason, SlotIndex, Tick};

/// In the order of telling.
pub const CHECKS: &[Check] = &[
    ("a stack that overflows faults at its guard page, and the handler has a stack of its own", overflow),
    ("a handler that never returns loses the CPU when its time is over, and goes on in its next turn", stuck),
    (
        "an end-of-slice handler that overruns loses the CPU after the grace time, and nobody else a slot",
        overrun,
    ),
    ("a page that was seized cannot be used on another core, from the call's return on", revoked_elsewhere),
];

fn overflow(bench: &mut Bench) -> Found {
    bench.with_peer(Role::Overflow, |_, peer| {
        let outcome = run_until_it_stops(peer.target(0))?;
        ensure(outcome.reason == Reason::Waiting, || format!("{outcome:x?}"))?;
        let stats = peer.mailbox().stats();
        let seen = (stats.checks_passed.load(Relaxed), stats.checks_failed.load(Relaxed));
        ensure(seen == (1, 0), || format!("right, wrong: {seen:?}"))?;
        Ok(format!("after {} calls", stats.work_units.load(Relaxed)))
    })
}

fn stuck(bench: &mut Bench) -> Found {
    bench.with_peer(Role::StuckInHandler, |_, peer| {
        let done = || peer.mailbox().stats().work_units.load(Relaxed);
        let mut before = 0;
        for turn in 0..8 {
            let outcome = run_for(peer.target(0), microseconds(200))?;
            ensure(outcome.reason == Reason::Expired, || format!("turn {turn}: {outcome:x?}"))?;
            let now = done();
            // It takes a turn or two until it is in the handler.
            ensure(turn < 4 || now > before, || format!("turn {turn}: it does not go on"))?;
            before = now;
        }
        Ok(format!("{before} rounds in 8 turns"))
    })
}

/// A slot of ours with another after it, on the last core, where no test runs if there are others.
fn spare() -> Result<(Core, SlotIndex), String> {
    let core = Core(view().cores() - 1);
    let is_ours = |slot: u64| view().owner(core, SlotIndex(slot)).is_some_and(|o| o.env == page::env());
    let found = (1..view().slots()).rev().find(|slot| is_ours(*slot) && is_ours(*slot - 1));
    found.map(|slot| (core, SlotIndex(slot - 1))).ok_or("no two slots of ours together".into())
}

fn overrun(bench: &mut Bench) -> Found {
    let (core, slot) = spare()?;
    let begun = |env| view().ledger(core).map_or(0, |ledger| ledger.slices(env));
    let result = bench.with_peer(Role::Overrun, |_, peer| {
        must("slot_give", calls::slot_give(core, slot, peer.target(0)))?;
        let revolution = view().revolution().0;
        // In its first slot it registers its handler.
        page::sleep_until(Tick(page::now().0 + revolution));
        let (before, first) = ((begun(page::env()), begun(peer.index)), page::now().0);
        page::sleep_until(Tick(first + 3 * revolution));
        let after = (begun(page::env()), begun(peer.index));
        let elapsed = page::now().0 - first;
        let own = view().owned_slots(core, page::env()).count() as u64;
        let excess = view().excess(peer.index);
        // Of two slots of the peer's it overruns one: still in its handler at the end of the other, it is not told.
        ensure((1..=8).contains(&excess), || format!("{excess} slices overrun in four revolutions"))?;
        ensure(view().env_state(peer.index) == EnvState::Alive, || "that was its end".into())?;
        ensure(after.1 - before.1 >= 2, || "it has lost a slot that it had not to pay with".into())?;
        // Both looks may be anywhere in a revolution.
        let wanted = own * (elapsed / revolution) - 1;
        let got = after.0 - before.0;
        ensure(got >= wanted, || format!("we began {got} slices of {wanted}"))?;
        Ok(format!("{excess} overruns, {got} slices of ours"))
    });
    ensure(view().owner(core, slot).is_some_and(|owner| owner.env == page::env()), || {
        "the slot did not come back".into()
    })?;
    result
}

/// Where the peer sees the page: under its stack, where there are page tables.
fn watched() -> u64 {
    layout::stack_top(0) - (64 << 12)
}

fn revoked_elsewhere(bench: &mut Bench) -> Found {
    if bench.activations < 2 {
        return Ok("one core only: nowhere else to use it".into());
    }
    let run = bench.frames.take(1).ok_or("no frames")?;
    let frames = &mut bench.frames;
    let words = super::peer::WATCHED.to_le_bytes().repeat(PAGE_SIZE as usize / 8);
    must("fill", mapping::fill(run, &words, &mut || frames.take(1).map(|run| run.first)))?;
    let result = bench.with_peer(Role::Watch { address: watched() }, |bench, peer| {
        let address = Address(watched());
        must("map", calls::map(peer.handle, address, run.first, 1, Protection::Read))?;
        must("frame_give", calls::frame_give(run.first, 1, peer.handle))?;
        must("ask", calls::ask(peer.target(0), Claim::Frames, 1, page::now()))?;
        seize_while_used(bench, peer, run.first)
    });
    bench.frames.put(run);
    result
}

/// Another core runs the peer, which reads the page without end; it is seized meanwhile, and gets another content.
fn seize_while_used(bench: &mut Bench, peer: &Child, frame: Frame) -> Found {
    let stats = peer.mailbox().stats();
    let reads = || stats.checks_passed.load(Relaxed);
    HELPED.store(peer.target(0).0, Release);
    let patience = page::now().0 + microseconds(500_000);
    let mut asked = 0;
    let begun = loop {
        if page::now().0 > asked {
            must("notify", calls::notify(calls::own_target(1), EVENT_HELP))?;
            asked = page::now().0 + microseconds(20_000);
        }
        if reads() > 20 {
            break reads();
        }
        ensure(page::now().0 < patience, || "the other core never ran it".into())?;
    };
    // It reads at this very moment.
    while reads() == begun {
        ensure(page::now().0 < patience, || "the other core does not run it".into())?;
    }
    must("seize_frame", calls::seize_frame(peer.handle, frame))?;
    let at_return = reads();
    let run = libos_core::frames::Run { first: frame, count: 1 };
    let frames = &mut bench.frames;
    must("fill", mapping::fill(run, &[], &mut || frames.take(1).map(|run| run.first)))?;
    while stats.faults.load(Relaxed) == 0 {
        ensure(page::now().0 < patience, || "it does not fault".into())?;
        // Should the other core not run it any more, this one does.
        run_for(peer.target(0), microseconds(20))?;
    }
    let (more, wrong) = (reads() - at_return, stats.checks_failed.load(Relaxed));
    // One read may have been done and not counted yet.
    ensure(wrong == 0 && more <= 1, || format!("after the return {more} reads, {wrong} of new contents"))?;
    Ok(format!("after {at_return} reads"))
}
