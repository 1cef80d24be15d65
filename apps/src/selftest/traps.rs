//! Checks of traps, upcalls and save areas.

use super::peer::Role;
use super::registers::{self, Pattern};
use super::{Bench, Check, Found, ensure, must, run_for, settle};
use crate::probe::{self, class};
use alloc::format;
use core::sync::atomic::Ordering::Relaxed;
use libos_core::spawn::Child;
use libos_core::upcall::{Fault, Slices};
use libos_core::{calls, layout, page, upcall};
use tranche_abi::Reason;

/// In the order of telling.
pub const CHECKS: &[Check] = &[
    ("a call that does nothing changes no register but its reply", null_call),
    ("an unknown call is reflected to its caller with its number", unknown_call),
    ("a fault upcall has the syndrome and the address, and returns", fault_upcalls),
    ("a fault leaves every FP/SIMD register as it was", fault_keeps_fp),
    ("a fault that nobody handles stops one activation and is told to its parent", unhandled_fault),
    ("every register survives thousands of preemptions", preemption),
    ("every register but x18 survives when slices are resumed at EL0", preemption_by_upcall),
    ("FP/SIMD registers never leak into another environment", fp_leak),
    ("upcalls at both ends of a slice come back to where it was interrupted", own_slices),
];

fn null_call(_: &mut Bench) -> Found {
    let pattern = Pattern(0x1111_2222_3333_4444);
    for _ in 0..100 {
        let dump = registers::hold(&pattern, 0);
        let places: alloc::vec::Vec<_> = dump.differences(&pattern).collect();
        let wrong = places.len();
        ensure(wrong == 0, || format!("{wrong} registers changed {places:?}"))?;
    }
    must("null", calls::null())?;
    Ok("100 calls".into())
}

fn unknown_call(_: &mut Bench) -> Found {
    let cases: [(fn(u64), u16); 3] =
        [(probe::unknown_call, 1234), (probe::foreign_call, 0), (probe::missing_call, 511)];
    for (call, number) in cases {
        let fault = probe::catch(|| call(0));
        let right = fault.is_some_and(|f| f.class() == class::SVC && f.immediate() == number);
        ensure(right, || format!("svc #{number}: {fault:x?}"))?;
    }
    Ok("svc #1234, svc #0, svc #511".into())
}

/// What to provoke, where, and the exception class to expect.
type Case = (fn(u64), u64, u64);

fn fault_upcalls(_: &mut Bench) -> Found {
    let cases: [Case; 6] = [
        (probe::read, 0x18, class::DATA_ABORT),
        (probe::write, layout::IMAGE_BASE, class::DATA_ABORT),
        (probe::call, 0x2000, class::INSTRUCTION_ABORT),
        (probe::breakpoint, 0, class::BREAK),
        (probe::undefined, 0, class::UNKNOWN),
        (probe::kernel_register, 0, class::TRAPPED),
    ];
    for (action, address, expected) in cases {
        let fault = probe::catch(|| action(address));
        let has_address = matches!(expected, class::DATA_ABORT | class::INSTRUCTION_ABORT);
        let right = |f: &Fault| {
            // What EL0 may not execute is undefined to it in some implementations.
            let class = f.class() == expected || expected == class::TRAPPED && f.class() == class::UNKNOWN;
            class && (!has_address || f.address.0 == address)
        };
        ensure(fault.as_ref().is_some_and(right), || format!("class {expected:#x}: {fault:x?}"))?;
    }
    let write = probe::catch(|| probe::write(0x18));
    ensure(write.is_some_and(Fault::was_write), || format!("a write: {write:x?}"))?;
    Ok("read, write, jump, breakpoint, undefined, kernel's register".into())
}

fn fault_keeps_fp(_: &mut Bench) -> Found {
    let mut sum = 0.0f64;
    for i in 0..100 {
        let before = f64::from(i) * 0.5;
        let fault = probe::catch(|| probe::read(0x18));
        ensure(fault.is_some(), || "no fault".into())?;
        sum += core::hint::black_box(before);
    }
    ensure(sum == 2475.0, || format!("sum {sum}"))?;
    Ok("100 faults".into())
}

fn unhandled_fault(bench: &mut Bench) -> Found {
    bench.with_peer(Role::Break, |_, peer| {
        let first = super::run_until_it_stops(peer.target(0))?;
        let fault = Fault { syndrome: first.detail, address: tranche_abi::Address(0) };
        let right =
            first.reason == Reason::Faulted && fault.class() == class::BREAK && fault.immediate() == 7;
        ensure(right, || format!("{first:x?}"))?;
        let again = run_for(peer.target(0), 1000)?;
        ensure((again.reason, again.detail) == (Reason::Faulted, first.detail), || {
            format!("again {again:x?}")
        })?;
        Ok(())
    })?;
    bench.with_peer(Role::BreakInHandler, |_, peer| {
        let outcome = super::run_until_it_stops(peer.target(0))?;
        let fault = Fault { syndrome: outcome.detail, address: tranche_abi::Address(0) };
        let right = outcome.reason == Reason::Faulted && fault.immediate() == 8;
        ensure(right, || format!("in its handler: {outcome:x?}"))?;
        Ok("without a handler, and in the handler itself".into())
    })
}

fn preemption(bench: &mut Bench) -> Found {
    interleave(bench, false)
}

fn preemption_by_upcall(bench: &mut Bench) -> Found {
    interleave(bench, true)
}

/// Turns that each of the two peers is given.
const TURNS: u64 = 2_000;

/// Two peers with different patterns take short turns of changing length, so that they are interrupted everywhere.
fn interleave(bench: &mut Bench, by_upcall: bool) -> Found {
    let role = |pattern| Role::Registers { pattern, by_upcall };
    let one = bench.peer(role(0x1234_5678_9abc_de05), 0)?;
    let other = match bench.peer(role(0xfedc_ba98_7654_321a), 1) {
        Ok(other) => other,
        Err(error) => return bench.end(one).and(Err(error)),
    };
    let result = take_turns([&one, &other]);
    bench.end(one)?;
    bench.end(other)?;
    result
}

fn take_turns(peers: [&Child; 2]) -> Found {
    let mut expired = 0;
    for turn in 0..2 * TURNS {
        let peer = peers[(turn % 2) as usize];
        // From 200 to 713 ticks; 513 and 37 have no common factor.
        let outcome = run_for(peer.target(0), 200 + turn * 37 % 513)?;
        ensure(outcome.reason == Reason::Expired, || format!("turn {turn}: {outcome:x?}"))?;
        expired += 1;
    }
    let mut looks = 0;
    for peer in peers {
        let stats = peer.mailbox().stats();
        let (passed, failed) = (stats.checks_passed.load(Relaxed), stats.checks_failed.load(Relaxed));
        ensure(failed == 0 && passed > 0, || format!("{failed} of {} looks differ", passed + failed))?;
        looks += passed;
    }
    Ok(format!("{expired} preemptions, {looks} looks at 65 registers"))
}

fn fp_leak(bench: &mut Bench) -> Found {
    const SECRET: u64 = 0x5ec2_e75e_c2e7_0000;
    bench.with_peer(Role::Registers { pattern: SECRET, by_upcall: false }, |bench, holder| {
        for _ in 0..20 {
            run_for(holder.target(0), 2_000)?;
            bench.with_peer(Role::LookForLeak { pattern: SECRET }, |_, looker| {
                super::run_until_it_stops(looker.target(0))?;
                let stats = looker.mailbox().stats();
                let seen = (stats.checks_passed.load(Relaxed), stats.checks_failed.load(Relaxed));
                ensure(seen == (1, 0), || format!("passed, failed: {seen:?}"))
            })?;
            ensure(!registers::holds_any_of(&Pattern(SECRET)), || "leaked to its creator".into())?;
        }
        Ok("20 looks by fresh environments".into())
    })
}

/// The self-test's own slices, for some of them resumed by itself.
fn own_slices(_: &mut Bench) -> Found {
    probe::begin(Slices::ByUpcall);
    let pattern = Pattern(0x0f0f_1e1e_2d2d_3c3c);
    settle();
    let mut wrong = 0;
    let begin = page::now();
    let mut slices = 0;
    let mut slot_end = page::own().slot_end.load(Relaxed);
    for _ in 0..10_000 {
        let dump = registers::hold(&pattern, 2_000);
        wrong += dump.differences(&pattern).filter(|place| *place != 18).count();
        let end = page::own().slot_end.load(Relaxed);
        slices += u64::from(core::mem::replace(&mut slot_end, end) != end);
        if slices == 20 {
            break;
        }
    }
    upcall::register(Slices::ByKernel, None);
    probe::begin(Slices::ByKernel);
    ensure(wrong == 0, || format!("{wrong} registers changed"))?;
    ensure(slices == 20, || format!("only {slices} slices in {:?}", page::now().since(begin)))?;
    Ok("20 slices".into())
}
