//! Checks of protected control transfer between cores: callers everywhere, and the end of either side in the middle of a
//! call, brought about by somebody else on another core.
//!
//! Callers are peers with slots of their own. With one core all is the same but that they are interrupted in the middle.
//! Not here: calls that nobody disturbs ([`super::transfer`]).
#![forbid(unsafe_code)]

use super::peer::Role;
use super::transfer::{Duty, ask, capability_to, waits_for_calls, with_server};
use super::{Bench, Check, Found, ensure, microseconds, must, run_until_it_stops};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::sync::atomic::Ordering::Relaxed;
use libos_core::spawn::Child;
use libos_core::stats::WorkStats;
use libos_core::transfer;
use libos_core::{calls, page, public};
use tranche_abi::{Capability, Core, Error, Gate, SlotIndex, Tick};

/// In the order of telling.
pub const CHECKS: &[Check] = &[
    ("callers on every core share a server, and each gets its own replies", crowded),
    ("a server that is destroyed from another core in the middle of a call breaks it, once", server_ends),
    (
        "a server whose caller is destroyed from another core in the middle of a call serves the next",
        caller_ends,
    ),
];

/// Slots that each caller gets.
const SLOTS: usize = 16;
/// Replies that each caller must get.
const REPLIES: u64 = 100;
/// Lives that end in the middle of calls.
const LIVES: u64 = 8;
/// Client numbers, by which a peer tells us that it is ready.
const CALLER: u64 = 1;
const SERVER_READY: u64 = 1;

fn stats(peer: &Child) -> &'static WorkStats {
    peer.mailbox().stats()
}

/// Waits until something holds, for two seconds at most.
fn wait_until(what: &str, holds: impl Fn() -> bool) -> Result<(), String> {
    let patience = page::now().saturating_add(Tick(microseconds(2_000_000)));
    while !holds() {
        ensure(page::now() < patience, || format!("not within two seconds: {what}"))?;
        page::sleep_until(page::now().saturating_add(Tick(microseconds(300))));
    }
    Ok(())
}

/// A peer that calls a server in slots of its own on a core.
fn caller(bench: &mut Bench, server: Capability, core: Core) -> Result<Child, String> {
    let Capability { body, mac } = server;
    let caller = bench.peer(Role::Call { body, mac }, CALLER)?;
    let slots: Vec<SlotIndex> = public::view().owned_slots(core, page::env()).take(SLOTS).collect();
    for slot in slots {
        must("slot_give", calls::slot_give(core, slot, caller.target(0)))?;
    }
    Ok(caller)
}

/// Where callers run that are alone: on another core than this, if there is one.
fn elsewhere() -> Core {
    Core(public::view().cores() - 1)
}

fn crowded(bench: &mut Bench) -> Found {
    let cores = public::view().cores();
    with_server(bench, Duty::Answer, |bench, server, gate| {
        let capability = capability_to(server)?;
        let mut callers = Vec::new();
        // Two at least, so that one finds the server busy.
        let mut result = (0..cores.max(2)).try_for_each(|number| {
            caller(bench, capability, Core(number % cores)).map(|caller| callers.push(caller))
        });
        let told = result.and_then(|()| shared(&callers, server));
        result = callers.into_iter().try_for_each(|caller| bench.end(caller));
        page::take_ready();
        result.and(settled(server, gate)).and(told)
    })
}

/// Waits until every caller has its replies, all of which must be right, and some refusals.
fn shared(callers: &[Child], server: &Child) -> Found {
    let sum = |count: fn(&WorkStats) -> u64| callers.iter().map(|caller| count(stats(caller))).sum::<u64>();
    let refusals = || sum(|stats| stats.misses.load(Relaxed));
    wait_until("enough replies to everybody", || {
        let enough = |caller: &Child| stats(caller).checks_passed.load(Relaxed) > REPLIES;
        callers.iter().all(enough) && refusals() > 0
    })?;
    let wrong = sum(|stats| stats.checks_failed.load(Relaxed) + stats.faults.load(Relaxed));
    // In this order: what is not served yet when it is looked at has no reply either.
    let replies = sum(|stats| stats.checks_passed.load(Relaxed)) - callers.len() as u64;
    let served = stats(server).work_units.load(Relaxed);
    let right = wrong == 0 && served >= replies;
    ensure(right, || format!("{wrong} wrong replies, {replies} right ones, {served} calls served"))?;
    Ok(format!("{} callers, {replies} replies, {} refusals", callers.len(), refusals()))
}

/// The server, whoever called it last, waits for calls again in the end and answers.
fn settled(server: &Child, gate: Gate) -> Result<(), String> {
    if transfer::call(gate, &mut [0; 8]) == Err(Error::Busy) {
        // It goes on by itself with what it was asked.
        waits_for_calls(run_until_it_stops(server.target(0))?)?;
    }
    ask(gate, 1)
}

/// What servers do whose calls end early: at uneven moments, or certainly in the middle.
fn duty(life: u64) -> Duty {
    if life.is_multiple_of(2) { Duty::Linger { ticks: microseconds(3_000) } } else { Duty::Answer }
}

/// Waits until a caller is in the middle of a call, or has made some.
fn under_way(server: &Child, life: u64) -> Result<(), String> {
    let stats = stats(server);
    wait_until("calls", || stats.jobs.load(Relaxed) > 0 || stats.work_units.load(Relaxed) > 7 * life)
}

/// Lives of peers, all of which leave as many frames as the second.
fn lives(
    bench: &mut Bench,
    mut life: impl FnMut(&mut Bench, u64) -> Result<(), String>,
) -> Result<(), String> {
    let mut before = bench.frames.free();
    for number in 0..LIVES {
        life(bench, number)?;
        let after = bench.frames.free();
        // The first may need page tables for mailboxes, which stay.
        ensure(number == 0 || after == before, || format!("{before} free frames, then {after}"))?;
        before = after;
    }
    Ok(())
}

fn server_ends(bench: &mut Bench) -> Found {
    let mut broken = 0;
    lives(bench, |bench, life| {
        let server = bench.peer(Role::Serve(duty(life)), 0)?;
        waits_for_calls(run_until_it_stops(server.target(0))?)?;
        let caller = caller(bench, capability_to(&server)?, elsewhere())?;
        under_way(&server, life)?;
        bench.end(server)?;
        let stats = stats(&caller);
        let found = wait_until("the caller's finding out", || stats.reported.load(Relaxed) > 0);
        let [wrong, faults] = [&stats.checks_failed, &stats.faults].map(|count| count.load(Relaxed));
        broken += faults;
        bench.end(caller)?;
        page::take_ready();
        found?;
        ensure(wrong == 0 && faults <= 1, || format!("{wrong} wrong replies, {faults} broken calls"))
    })?;
    ensure(broken >= LIVES / 2, || format!("only {broken} of {LIVES} ends were in the middle of a call"))?;
    Ok(format!("{broken} of {LIVES} ends were in the middle of a call"))
}

fn caller_ends(bench: &mut Bench) -> Found {
    let mut told = 0;
    lives(bench, |bench, life| {
        with_server(bench, duty(life), |bench, server, gate| {
            let caller = caller(bench, capability_to(server)?, elsewhere())?;
            under_way(server, life)?;
            page::take_ready();
            let failed = stats(&caller).checks_failed.load(Relaxed);
            bench.end(caller)?;
            let is_ready = page::take_ready()[0] & SERVER_READY != 0;
            told += u64::from(is_ready);
            ensure(failed == 0, || format!("{failed} wrong replies"))?;
            // Ready, and so not to be called, exactly if we were told.
            let next = transfer::call(gate, &mut [0; 8]);
            let expected = if is_ready { Err(Error::Busy) } else { Ok(()) };
            ensure(next == expected, || format!("called again: {next:?} instead of {expected:?}"))?;
            settled(server, gate)
        })
    })?;
    ensure(told >= LIVES / 2, || format!("only {told} of {LIVES} ends were in the middle of a call"))?;
    Ok(format!("{told} of {LIVES} ends were in the middle of a call"))
}
