//! Checks of directed yields, waits and events: every reason for which control comes back.
#![forbid(unsafe_code)]

use super::peer::Role;
use super::{
    Bench, Check, EVENT_HELP, EVENT_PING, EVENT_PONG, Found, HELPED, ensure, microseconds, must, must_refuse,
    run_for, run_until_it_stops, settle,
};
use alloc::format;
use alloc::string::String;
use core::sync::atomic::Ordering::{Relaxed, Release};
use libos_core::calls::{self, Events};
use libos_core::{page, public};
use tranche_abi::{Capability, Error, Handle, Kind, Object, Reason, Rights, Target, Tick};

/// In the order of telling.
pub const CHECKS: &[Check] = &[
    ("a target that yields comes back at once as Yielded", yielded),
    ("a target that uses its time comes back as Expired when it is over", expired),
    ("a target that waits comes back with its time, and is Busy until then", waiting),
    ("a notice readies a waiting target and tells its manager", notified),
    ("a client's readiness ends a yield with Event, if that was asked for", event),
    ("a target that is no more is Gone", gone),
    ("an activation runs on one core at a time", busy_elsewhere),
    ("a notice reaches an activation on another core, and so does its answer", across_cores),
    ("a wait ends at its time, and not before", own_wait),
    ("CPU time is the clock's time while nobody else runs", own_account),
];

fn yielded(bench: &mut Bench) -> Found {
    bench.with_peer(Role::Yield, |_, peer| {
        let limit = microseconds(5_000);
        for _ in 0..100 {
            let outcome = run_for(peer.target(0), limit)?;
            let quick = outcome.reason == Reason::Yielded && outcome.ran.0 < limit;
            ensure(quick || outcome.reason == Reason::Expired, || format!("{outcome:x?}"))?;
        }
        let yields = peer.mailbox().stats().work_units.load(Relaxed);
        ensure(yields >= 90, || format!("{yields} yields"))?;
        Ok(format!("{yields} yields"))
    })
}

fn expired(bench: &mut Bench) -> Found {
    bench.with_peer(Role::Spin, |_, peer| {
        let span = microseconds(100);
        let mut latest = 0;
        for _ in 0..50 {
            settle();
            let begin = page::now();
            let until = begin.saturating_add(Tick(span));
            let outcome = must("yield_to", calls::yield_to(peer.target(0), until, Events::Ignore))?;
            ensure(outcome.reason == Reason::Expired && outcome.now >= until, || format!("{outcome:x?}"))?;
            let elapsed = outcome.now.since(begin).0;
            ensure(outcome.ran.0 > 0 && outcome.ran.0 <= elapsed, || format!("{outcome:x?} in {elapsed}"))?;
            latest = latest.max(outcome.now.since(until).0);
        }
        let past = must("yield_to", calls::yield_to(peer.target(0), page::now(), Events::Ignore))?;
        ensure((past.reason, past.ran.0) == (Reason::Expired, 0), || format!("in the past: {past:x?}"))?;
        Ok(format!("back at most {latest} ticks late"))
    })
}

fn waiting(bench: &mut Bench) -> Found {
    let nap = microseconds(3_000);
    bench.with_peer(Role::Sleep { ticks: nap }, |_, peer| {
        // The first wait ends at once: its frames were a given event.
        let outcome = run_until_it_stops(peer.target(0))?;
        ensure(outcome.reason == Reason::Waiting, || format!("{outcome:x?}"))?;
        let due = Tick(outcome.detail);
        ensure(due > outcome.now && due.since(outcome.now).0 <= nap, || format!("{outcome:x?}"))?;
        let early = run_for(peer.target(0), 1000)?;
        ensure((early.reason, early.detail) == (Reason::Busy, due.0), || format!("early: {early:x?}"))?;
        page::sleep_until(due);
        let again = run_until_it_stops(peer.target(0))?;
        let later = again.reason == Reason::Waiting && again.detail > due.0;
        ensure(later, || format!("again: {again:x?}"))?;
        Ok(format!("due {} ticks ahead", due.since(outcome.now).0))
    })
}

fn is_ready(client: u64) -> bool {
    page::own().ready[client as usize / 64].load(Relaxed) >> (client % 64) & 1 == 1
}

fn notified(bench: &mut Bench) -> Found {
    let peer = bench.peer(Role::AwaitEvents, 77)?;
    let result = (|| {
        let outcome = run_until_it_stops(peer.target(0))?;
        let for_ever = (Reason::Waiting, u64::MAX);
        ensure((outcome.reason, outcome.detail) == for_ever, || format!("{outcome:x?}"))?;
        page::take_ready();
        must("notify", calls::notify(peer.target(0), 0b1011))?;
        ensure(is_ready(77), || "its manager was not told".into())?;
        ensure(page::take_ready() == [0, 1 << 13, 0, 0], || "somebody else is ready too".into())?;
        let outcome = run_until_it_stops(peer.target(0))?;
        ensure(outcome.reason == Reason::Waiting, || format!("after the notice: {outcome:x?}"))?;
        let counted = peer.mailbox().stats().work_units.load(Relaxed);
        ensure(counted == 3, || format!("{counted} event bits arrived"))?;
        for kernels_own in 61..64 {
            let forged = calls::notify(peer.target(0), 1 << kernels_own);
            must_refuse("an event of the kernel's", forged, Error::BadArgument)?;
        }
        Ok("3 bits, client 77".into())
    })();
    bench.end(peer)?;
    page::take_ready();
    result
}

fn event(bench: &mut Bench) -> Found {
    let sleeper = bench.peer(Role::AwaitEvents, 5)?;
    let result = wake_by_peer(bench, sleeper.index, sleeper.target(0));
    bench.end(sleeper)?;
    page::take_ready();
    result
}

/// One peer notifies the other while it runs; each time its own creator, who yields to it, is told at once.
fn wake_by_peer(bench: &mut Bench, index: u64, sleeper: Target) -> Found {
    let object = Object { kind: Kind::Env, index: index as u32 };
    let Capability { body, mac } = must("grant", calls::grant(object, Rights::NOTIFY))?;
    for events in [Events::Return, Events::Ignore] {
        run_until_it_stops(sleeper)?;
        page::take_ready();
        bench.with_peer(Role::Notify { body, mac }, |_, peer| {
            page::take_ready();
            let mut seen = None;
            for _ in 0..32 {
                settle();
                let until = page::now().saturating_add(Tick(public::view().quantum().0 / 3));
                let outcome = must("yield_to", calls::yield_to(peer.target(0), until, events))?;
                seen = Some(outcome.reason);
                if outcome.reason != Reason::Expired || is_ready(5) {
                    break;
                }
            }
            let expected = if events == Events::Return { Reason::Event } else { Reason::Expired };
            ensure(seen == Some(expected) && is_ready(5), || format!("{seen:?} instead of {expected:?}"))
        })?;
    }
    Ok("with and without".into())
}

fn gone(bench: &mut Bench) -> Found {
    let peer = bench.peer(Role::Spin, 0)?;
    let handle = peer.handle;
    must("env_destroy", calls::env_destroy(handle))?;
    let dying = run_for(peer.target(0), 1000);
    let missing = run_for(Target::new(handle, tranche_abi::ActivationIndex(7)), 1000);
    bench.end(peer)?;
    for outcome in [dying, missing] {
        let is_gone = matches!(&outcome, Ok(outcome) if outcome.reason == Reason::Gone) || outcome.is_err();
        ensure(is_gone, || format!("{outcome:x?}"))?;
    }
    let unbound = calls::yield_to(Target::new(Handle(200), Default::default()), Tick::NEVER, Events::Ignore);
    must_refuse("a handle that is not bound", unbound, Error::BadHandle)?;
    Ok("destroyed, never made, not bound".into())
}

fn busy_elsewhere(bench: &mut Bench) -> Found {
    if bench.activations < 2 {
        return Ok("one core only: nowhere else to run".into());
    }
    bench.with_peer(Role::Spin, |_, peer| {
        HELPED.store(peer.target(0).0, Release);
        must("notify", calls::notify(calls::own_target(1), EVENT_HELP))?;
        let patience = page::now().saturating_add(Tick(microseconds(500_000)));
        let mut ran = 0;
        while page::now() < patience {
            let outcome = run_for(peer.target(0), microseconds(20))?;
            match outcome.reason {
                Reason::Busy => return Ok(format!("Busy after {ran} turns")),
                Reason::Expired => ran += 1,
                _ => return Err(format!("{outcome:x?}")),
            }
        }
        Err("the other core never ran it".into())
    })
}

fn across_cores(bench: &mut Bench) -> Found {
    for sibling in 1..bench.activations {
        page::take_events();
        must("notify", calls::notify(calls::own_target(sibling), EVENT_PING))?;
        let patience = page::now().saturating_add(Tick(microseconds(500_000)));
        loop {
            page::take_ready();
            if page::take_events() & EVENT_PONG != 0 {
                break;
            }
            let now = must("wait", calls::wait(patience))?;
            ensure(now < patience, || format!("activation {sibling} does not answer"))?;
        }
    }
    Ok(format!("{} other cores", bench.activations - 1))
}

fn own_wait(_: &mut Bench) -> Found {
    let mut latest = 0;
    for span in [1, 200, 1_000, 5_000] {
        page::take_events();
        page::take_ready();
        let until = page::now().saturating_add(Tick(microseconds(span)));
        let now = must("wait", calls::wait(until))?;
        ensure(now >= until, || format!("{} ticks early", until.since(now).0))?;
        latest = latest.max(now.since(until).0);
    }
    page::take_events();
    must("notify", calls::notify(calls::own_target(0), 1))?;
    let now = must("wait", calls::wait(Tick::NEVER))?;
    page::take_events();
    ensure(now < Tick::NEVER, || "it waited although an event was posted".into())?;
    Ok(format!("at most {latest} ticks late"))
}

fn own_account(_: &mut Bench) -> Found {
    settle();
    let (begin, cpu_begin) = (page::now(), page::cpu_time());
    while page::now().since(begin).0 < microseconds(100) {}
    let (elapsed, used) = (page::now().since(begin).0, page::cpu_time().since(cpu_begin).0);
    let apart = elapsed.abs_diff(used);
    let close: Result<(), String> =
        ensure(apart <= microseconds(20), || format!("{elapsed} ticks passed, {used} were charged"));
    close.map(|()| format!("{apart} ticks apart after {elapsed}"))
}
