//! Twins of `pct_call` and `pct_return`, with a server that notes every register and fills every register.
#![forbid(unsafe_code)]

use super::{Left, Part, both, charged, name, plain, ways, with_part};
use crate::selftest::peer::Role;
use crate::selftest::raw::{self, Make, Record, Registers, SP, WORDS, Way};
use crate::selftest::{Bench, Found, ensure, must, run_for, run_until_it_stops};
use alloc::format;
use alloc::string::String;
use libos_core::spawn::Child;
use libos_core::{calls, page};
use tranche_abi::calls::{CALLS, immediate};
use tranche_abi::layout::MAX_GATES;
use tranche_abi::{ActivationIndex, Error, Gate, Identity, Reason, Target, Tick};

/// The registers that say how a transfer went.
const X_GATE: usize = 16;
const X_WHO: usize = 17;
const X_PAGE: usize = 18;
/// Calls of each kind.
const TIMES: u64 = 20;

/// A gate that is closed at the end.
fn with_gate<R>(target: Target, action: impl FnOnce(Gate) -> Result<R, String>) -> Result<R, String> {
    let gate = must("gate_open", calls::gate_open(target))?;
    let result = action(gate);
    must("gate_close", calls::gate_close(gate))?;
    result
}

/// A server that waits for calls since a `pct_return` in this way.
fn with_server<R>(
    bench: &mut Bench,
    wait: Way,
    action: impl FnOnce(&Child, &'static Record, Gate) -> Result<R, String>,
) -> Result<R, String> {
    with_part(bench, Part::Serve(wait), |server, record| {
        let outcome = run_until_it_stops(server.target(0))?;
        let waits = outcome.reason == Reason::Waiting && outcome.detail == Tick::NEVER.0;
        ensure(waits, || format!("it does not wait for calls: {outcome:?}"))?;
        with_gate(server.target(0), |gate| action(server, record, gate))
    })
}

/// The registers of a caller. Only six bits of `x16` are the gate.
fn question(number: u64, gate: Gate) -> Registers {
    let mut registers = raw::filled(number);
    registers[X_GATE] = registers[X_GATE] & !(MAX_GATES as u64 - 1) | gate.0;
    registers
}

fn answer(number: u64) -> Registers {
    let mut registers = raw::filled(number + 1_000);
    registers[SP] &= !15;
    registers
}

/// A call that is answered: what the caller finds, and as effects what the server found.
fn answered(
    make: Make,
    (server, record): (&Child, &Record),
    sent: Registers,
    reply: Registers,
) -> Result<Left, String> {
    let (calls, time) = (record.calls(), charged(server));
    let mut registers = sent;
    make(&mut registers);
    let seen = record.seen();
    let own = core::ptr::from_ref(page::own()).expose_provenance() as u64;
    let mut expected = reply;
    (expected[X_GATE], expected[X_WHO], expected[X_PAGE]) = (registers[X_GATE], 0, own);
    same(&registers, &expected).map_err(|wrong| format!("the caller: {wrong}"))?;
    let mut expected = sent;
    (expected[X_GATE], expected[X_WHO]) = (seen[X_GATE], seen[X_WHO]);
    (expected[X_PAGE], expected[SP]) = (own, seen[SP]); // every activation 0 sees its page there
    same(&seen, &expected).map_err(|wrong| format!("the server: {wrong}"))?;
    let caller = Identity(seen[X_WHO]);
    let known = caller.env() == page::env() && caller.activation() == page::index();
    ensure(known, || format!("the caller is said to be {caller:x?}"))?;
    let mut effects = alloc::vec![
        ("calls that arrived", record.calls() - calls),
        ("what the server was charged", charged(server) - time),
    ];
    effects.extend(seen.map(|word| ("a register of the server's", word)));
    Ok(Left { registers, effects })
}

fn same(registers: &Registers, expected: &Registers) -> Result<(), String> {
    match (0..WORDS).find(|n| registers[*n] != expected[*n]) {
        Some(n) => Err(format!("{} is {:#x}, not {:#x}", name(n), registers[n], expected[n])),
        None => Ok(()),
    }
}

pub(super) fn pct_call(bench: &mut Bench) -> Found {
    with_server(bench, Way::General, |server, record, gate| {
        for number in 0..TIMES {
            record.prepare(&answer(number), Way::General);
            let (sent, reply) = (question(number, gate), answer(number));
            let left = both("a call", ways!(61), |make| answered(make, (server, record), sent, reply))?;
            let one = [("calls that arrived", 1), ("what the server was charged", 0)];
            ensure(left.effects[..2] == one, || format!("{:?}", &left.effects[..2]))?;
        }
        Ok(())
    })?;
    both("a server that faults", ways!(61), |make| {
        with_server(bench, Way::General, |_, record, gate| {
            record.prepare(&answer(0), Way::Fault);
            let mut registers = question(0, gate);
            make(&mut registers);
            let own = core::ptr::from_ref(page::own()).expose_provenance() as u64;
            let mut expected = [0; WORDS];
            (expected[X_GATE], expected[X_WHO]) = (registers[X_GATE], Error::Broken as u64);
            expected[X_PAGE] = own;
            same(&registers, &expected)?;
            plain(registers)
        })
    })?;
    refusals(bench)?;
    Ok(format!("{TIMES} calls, one that was broken off, 5 refusals"))
}

/// Both ways refuse to enter what is behind a gate.
fn refused(what: &str, gate: Gate, reason: Error) -> Result<(), String> {
    both(what, ways!(61), |make| {
        let sent = question(7, gate);
        let mut registers = sent;
        make(&mut registers);
        let mut expected = sent;
        (expected[X_WHO], expected[SP]) = (reason as u64, registers[SP]);
        registers[X_PAGE] = expected[X_PAGE]; // free
        same(&registers, &expected)?;
        plain(registers)
    })
    .map(drop)
}

fn refusals(bench: &mut Bench) -> Result<(), String> {
    let closed = with_server(bench, Way::Fast, |_, _, gate| Ok(gate))?;
    refused("a closed gate", closed, Error::BadHandle)?;
    refused("a gate that was never open", Gate(MAX_GATES as u64 - 1), Error::BadHandle)?;
    bench.with_peer(Role::Spin, |_, peer| {
        run_for(peer.target(0), 1_000)?;
        with_gate(peer.target(0), |gate| refused("who does not wait for calls", gate, Error::Busy))?;
        let missing = Target::new(peer.handle, ActivationIndex(7));
        with_gate(missing, |gate| refused("who was not made", gate, Error::Absent))
    })?;
    let peer = bench.peer(Role::Spin, 0)?;
    let result = with_gate(peer.target(0), |gate| {
        must("env_destroy", calls::env_destroy(peer.handle))?;
        refused("who is no more", gate, Error::Stale)
    });
    bench.end(peer)?;
    result
}

pub(super) fn pct_return(bench: &mut Bench) -> Found {
    for wait in [Way::Fast, Way::General] {
        with_server(bench, wait, |server, record, gate| {
            for (number, call) in (0..TIMES).flat_map(|number| ways!(61).map(|call| (number, call))) {
                let (sent, reply) = (question(number, gate), answer(number));
                both("a return", [Way::Fast, Way::General], |way| {
                    record.prepare(&reply, way);
                    answered(call, (server, record), sent, reply)
                })?;
            }
            Ok(())
        })?;
    }
    Ok(format!("{} returns, after waits by either way", 8 * TIMES))
}
