//! Checks of protected control transfer, with servers that are peers.
//!
//! Not here: calls on several cores at once ([`super::crossing`]).
#![forbid(unsafe_code)]

use super::peer::Role;
use super::{Bench, Check, Found, ensure, must, run_for, run_until_it_stops, settle};
use alloc::format;
use alloc::string::String;
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};
use libos_core::spawn::Child;
use libos_core::transfer::{self, Message};
use libos_core::{calls, output, page};
use serde::{Deserialize, Serialize};
use tranche_abi::layout::HANDLE_SELF;
use tranche_abi::{
    ActivationIndex, Capability, Error, Gate, Identity, Kind, Object, Outcome, Reason, Rights, Target, Tick,
};

/// In the order of telling.
pub const CHECKS: &[Check] = &[
    ("a call brings the server's reply, and through a closed gate none", replies),
    ("a call that a server makes for another's comes back through both", nested),
    ("a message is sent with the rest of the slice, and its sender goes on", sent),
    ("whoever called a server that faults or ends learns that it did not return", broken),
    ("a caller and its server are interrupted everywhere, and every reply is right", interrupted),
];

/// What a server does with a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Duty {
    /// Answer with `reply`.
    Answer,
    /// Answer with `reply` after this many ticks; `jobs` counts the beginnings.
    Linger {
        /// How long it takes.
        ticks: u64,
    },
    /// Call the next server, and pass its answer on.
    Relay {
        /// A capability to it.
        body: u64,
        /// Its proof.
        mac: u64,
    },
    /// Execute `brk #7`.
    Break,
    /// Destroy its own environment.
    End,
}

/// The gate of a peer to the server that it calls.
static NEXT: AtomicU64 = AtomicU64::new(0);
/// How long a server takes that lingers.
static LINGER: AtomicU64 = AtomicU64::new(0);
/// Calls that each check makes at least.
const CALLS: u64 = 1_000;
/// Turns of a caller that is interrupted.
const TURNS: u64 = 2_000;

/// What a server answers: every word depends on every word.
fn reply(message: &Message) -> Message {
    let sum = message.iter().fold(0u64, |sum, word| sum.rotate_left(7).wrapping_mul(31).wrapping_add(*word));
    core::array::from_fn(|i| message[i] ^ sum.rotate_right(i as u32))
}

fn question(number: u64) -> Message {
    core::array::from_fn(|i| number.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(i as u32 * 5))
}

/// A peer's part: serves for ever.
pub fn serve(duty: Duty) {
    if let Duty::Relay { body, mac } = duty {
        output::stats().count(open(Capability { body, mac }).is_ok());
    }
    transfer::serve(match duty {
        Duty::Answer => answer,
        Duty::Linger { ticks } => {
            LINGER.store(ticks, Relaxed);
            linger
        }
        Duty::Relay { .. } => relay,
        Duty::Break => |_, _| crate::probe::breakpoint(0),
        Duty::End => end,
    });
}

/// A peer's part: calls until the server is no more. Replies are its checks; `misses` counts refusals because the server
/// has another caller, `faults` calls that did not come back, and in the end something is `reported`.
pub fn call(server: Capability) {
    let stats = output::stats();
    stats.count(open(server).is_ok());
    for number in page::env() << 32.. {
        let mut message = question(number);
        match transfer::call(Gate(NEXT.load(Relaxed)), &mut message) {
            Ok(()) => stats.count(message == reply(&question(number))),
            Err(Error::Broken) => _ = stats.faults.fetch_add(1, Relaxed),
            Err(Error::Busy) if message == question(number) => {
                stats.misses.fetch_add(1, Relaxed);
                (0..50).for_each(|_| core::hint::spin_loop());
            }
            Err(Error::Stale) if message == question(number) => break,
            Err(_) => stats.count(false),
        }
    }
    stats.reported.fetch_add(1, Relaxed);
    super::peer::rest();
}

fn open(server: Capability) -> Result<(), Error> {
    let gate = calls::gate_open(Target::new(calls::bind(server)?, ActivationIndex(0)))?;
    NEXT.store(gate.0, Relaxed);
    Ok(())
}

fn answer(message: &mut Message, _: Identity) {
    output::stats().work_units.fetch_add(1, Relaxed);
    *message = reply(message);
}

fn linger(message: &mut Message, caller: Identity) {
    output::stats().jobs.fetch_add(1, Relaxed);
    let until = page::now().saturating_add(Tick(LINGER.load(Relaxed)));
    while page::now() < until {
        core::hint::spin_loop();
    }
    answer(message, caller);
}

fn relay(message: &mut Message, _: Identity) {
    output::stats().count(transfer::call(Gate(NEXT.load(Relaxed)), message).is_ok());
    message[0] = !message[0];
}

fn end(_: &mut Message, _: Identity) {
    // Refused only where there is no kernel.
    let _ = calls::env_destroy(HANDLE_SELF);
}

/// Whether the kernel, and everybody asked, says that an activation waits for calls.
pub(super) fn waits_for_calls(outcome: Outcome) -> Result<(), String> {
    let waits = outcome.reason == Reason::Waiting && outcome.detail == Tick::NEVER.0;
    ensure(waits, || format!("it does not wait for calls: {outcome:?}"))
}

/// Calls a server, which must answer.
pub(super) fn ask(gate: Gate, number: u64) -> Result<(), String> {
    let mut message = question(number);
    must("call", transfer::call(gate, &mut message))?;
    ensure(message == reply(&question(number)), || format!("call {number}: {message:x?}"))
}

/// Lets a server begin to wait for calls, opens a gate to it, and closes that at the end.
pub(super) fn with_server<R>(
    bench: &mut Bench,
    duty: Duty,
    action: impl FnOnce(&mut Bench, &Child, Gate) -> Result<R, String>,
) -> Result<R, String> {
    bench.with_peer(Role::Serve(duty), |bench, server| {
        waits_for_calls(run_until_it_stops(server.target(0))?)?;
        let gate = must("gate_open", calls::gate_open(server.target(0)))?;
        let result = action(bench, server, gate);
        must("gate_close", calls::gate_close(gate))?;
        let closed = transfer::call(gate, &mut [0; 8]);
        ensure(closed == Err(Error::BadHandle), || format!("through a closed gate: {closed:?}"))?;
        result
    })
}

pub(super) fn capability_to(child: &Child) -> Result<Capability, String> {
    let object = Object { kind: Kind::Env, index: child.index as u32 };
    must("grant", calls::grant(object, Rights::CALL))
}

fn replies(bench: &mut Bench) -> Found {
    with_server(bench, Duty::Answer, |_, server, gate| {
        (0..CALLS).try_for_each(|number| ask(gate, number))?;
        let served = server.mailbox().stats().work_units.load(Relaxed);
        ensure(served == CALLS, || format!("{served} calls arrived"))?;
        Ok(format!("{CALLS} calls"))
    })
}

fn nested(bench: &mut Bench) -> Found {
    with_server(bench, Duty::Answer, |bench, last, _| {
        let Capability { body, mac } = capability_to(last)?;
        with_server(bench, Duty::Relay { body, mac }, |bench, middle, _| {
            let Capability { body, mac } = capability_to(middle)?;
            with_server(bench, Duty::Relay { body, mac }, |_, _, gate| {
                // Both on the way turned the first word.
                (0..CALLS).try_for_each(|number| ask(gate, number))?;
                Ok(format!("{CALLS} calls across four environments"))
            })
        })
    })
}

fn sent(bench: &mut Bench) -> Found {
    with_server(bench, Duty::Answer, |_, server, gate| {
        for number in 0..CALLS {
            settle();
            must("send", transfer::send(gate, &question(number)))?;
        }
        let served = server.mailbox().stats().work_units.load(Relaxed);
        ensure(served == CALLS, || format!("{served} messages arrived"))?;
        Ok(format!("{CALLS} messages"))
    })
}

fn broken(bench: &mut Bench) -> Found {
    for duty in [Duty::Break, Duty::End] {
        with_server(bench, duty, |_, _, gate| {
            let first = transfer::call(gate, &mut [0; 8]);
            ensure(first == Err(Error::Broken), || format!("{duty:?}: {first:?}"))?;
            let next = transfer::call(gate, &mut [0; 8]);
            let expected = if duty == Duty::End { Error::Stale } else { Error::Absent };
            ensure(next == Err(expected), || format!("{duty:?}, called again: {next:?}"))
        })?;
    }
    Ok("by a fault, by its end".into())
}

fn interrupted(bench: &mut Bench) -> Found {
    with_server(bench, Duty::Answer, |bench, server, _| {
        let Capability { body, mac } = capability_to(server)?;
        bench.with_peer(Role::Call { body, mac }, |_, caller| {
            for turn in 0..TURNS {
                // From 200 to 713 ticks; 513 and 37 have no common factor.
                let outcome = run_for(caller.target(0), 200 + turn * 37 % 513)?;
                ensure(outcome.reason == Reason::Expired, || format!("turn {turn}: {outcome:x?}"))?;
            }
            let stats = caller.mailbox().stats();
            let (passed, failed) = (stats.checks_passed.load(Relaxed), stats.checks_failed.load(Relaxed));
            let refused = stats.misses.load(Relaxed) + stats.faults.load(Relaxed);
            let right = failed == 0 && refused == 0 && passed > CALLS;
            ensure(right, || {
                format!("{failed} of {} replies are wrong, {refused} refusals", passed + failed)
            })?;
            page::take_ready();
            Ok(format!("{TURNS} interruptions, {passed} replies"))
        })
    })
}
