//! Checks of capabilities and bindings.
#![forbid(unsafe_code)]

use super::peer::Role;
use super::{Bench, Check, Found, ensure, must, must_refuse, run_until_it_stops};
use crate::probe;
use alloc::format;
use alloc::string::String;
use core::sync::atomic::Ordering::Relaxed;
use libos_core::frames::Run;
use libos_core::mapping::{self, Space};
use libos_core::{calls, page};
use tranche_abi::layout::{HANDLE_SELF, MAX_HANDLES};
use tranche_abi::{
    ActivationIndex, Address, Capability, Error, Frame, Handle, Kind, Object, Protection, Rights, Target,
};

/// In the order of telling.
pub const CHECKS: &[Check] = &[
    ("a capability changed in any of its 128 bits is refused", altered),
    ("a derived capability has the rights that it was left with", derived),
    ("a voided capability is stale, and so is a handle bound from it", voided),
    ("a page is shared by passing a capability as bytes", shared),
    ("a frame's capability is stale once the frame was given away", stale_frame),
    ("handles are bound, freed, and run out without harm", handles),
];

/// Where frames are mapped by capability.
const BASE: Address = Address(0x9000_0000);

fn frame_object(run: Run) -> Object {
    Object { kind: Kind::Frame, index: run.first.0 as u32 }
}

fn own_env() -> Object {
    Object { kind: Kind::Env, index: page::env() as u32 }
}

fn with_frame<R>(
    bench: &mut Bench,
    action: impl FnOnce(&mut Bench, Run) -> Result<R, String>,
) -> Result<R, String> {
    let run = bench.frames.take(1).ok_or("no frames")?;
    let frames = &mut bench.frames;
    must("fill", mapping::fill(run, &[], &mut || frames.take(1).map(|run| run.first)))?;
    let result = action(bench, run);
    bench.frames.put(run);
    result
}

/// Maps a frame by capability, with the page tables that this takes.
fn map_shared(bench: &mut Bench, from: Capability, protection: Protection) -> Result<(), Error> {
    let frames = &mut bench.frames;
    let mut table = || frames.take(1).map(|run| run.first);
    let mut space = Space { env: HANDLE_SELF, table: &mut table };
    space.with_tables(BASE, || calls::map_shared(from, BASE, protection))
}

fn altered(bench: &mut Bench) -> Found {
    with_frame(bench, |bench, run| {
        let genuine = must("grant", calls::grant(frame_object(run), Rights::ALL))?;
        must("map_shared", map_shared(bench, genuine, Protection::Read))?;
        must("unmap", calls::unmap(HANDLE_SELF, BASE, 1))?;
        let env = must("grant", calls::grant(own_env(), Rights::ALL))?;
        for bit in 0..128u32 {
            let flip = |from: Capability| Capability {
                body: from.body ^ 1u64.checked_shl(bit).unwrap_or(0),
                mac: from.mac ^ 1u64.checked_shl(bit.wrapping_sub(64)).unwrap_or(0),
            };
            must_refuse(
                "map_shared",
                calls::map_shared(flip(genuine), BASE, Protection::Read),
                Error::Forged,
            )?;
            must_refuse("derive", calls::derive(flip(genuine), Rights::READ), Error::Forged)?;
            must_refuse("bind", calls::bind(flip(env)), Error::Forged)?;
            must_refuse("slot_take", calls::slot_take(flip(genuine), ActivationIndex(0)), Error::Forged)?;
        }
        must_refuse("bind of nothing", calls::bind(Capability::default()), Error::Forged)?;
        Ok("512 forgeries".into())
    })
}

fn derived(bench: &mut Bench) -> Found {
    with_frame(bench, |bench, run| {
        let all = must("grant", calls::grant(frame_object(run), Rights::ALL))?;
        let read = must("derive", calls::derive(all, Rights::READ))?;
        let write = map_shared(bench, read, Protection::ReadWrite);
        must_refuse("mapping it writable", write, Error::NoRight)?;
        let execute = map_shared(bench, read, Protection::ReadExecute);
        must_refuse("mapping it executable", execute, Error::NoRight)?;
        must("map_shared", map_shared(bench, read, Protection::Read))?;
        must("unmap", calls::unmap(HANDLE_SELF, BASE, 1))?;
        let more = calls::derive(read, Rights::ALL);
        ensure(more.is_err(), || "rights grew".into())?;
        let notify = must("grant", calls::grant(own_env(), Rights::NOTIFY))?;
        let handle = must("bind", calls::bind(notify))?;
        let target = Target::new(handle, ActivationIndex(0));
        must_refuse(
            "ask",
            calls::ask(target, calls::Claim::Frames, 1, tranche_abi::Tick(0)),
            Error::NoRight,
        )?;
        must_refuse("destroy", calls::env_destroy(handle), Error::NoRight)?;
        must("notify", calls::notify(target, 1 << 20))?;
        ensure(page::take_events() & 1 << 20 != 0, || "the notice did not arrive".into())?;
        must("unbind", calls::unbind(handle))?;
        Ok("frame and environment".into())
    })
}

fn voided(bench: &mut Bench) -> Found {
    with_frame(bench, |bench, run| {
        let before = must("grant", calls::grant(frame_object(run), Rights::ALL))?;
        must("void", calls::void(frame_object(run)))?;
        must_refuse("map_shared", map_shared(bench, before, Protection::Read), Error::Stale)?;
        let after = must("grant", calls::grant(frame_object(run), Rights::ALL))?;
        ensure(after.body != before.body, || "the same capability again".into())?;
        must("map_shared", map_shared(bench, after, Protection::Read))?;
        must("unmap", calls::unmap(HANDLE_SELF, BASE, 1))
    })?;
    let peer = bench.peer(Role::Yield, 0)?;
    let object = Object { kind: Kind::Env, index: peer.index as u32 };
    let granted = calls::grant(object, Rights::NOTIFY);
    let bound = granted.and_then(calls::bind);
    bench.end(peer)?;
    page::take_ready();
    let target = Target::new(must("bind", bound)?, ActivationIndex(0));
    must_refuse("a handle to an environment that is no more", calls::notify(target, 1), Error::Stale)?;
    must_refuse("a capability to it", calls::bind(must("grant", granted)?), Error::Stale)?;
    must("unbind", calls::unbind(target.handle()))?;
    Ok("frame and environment".into())
}

fn shared(bench: &mut Bench) -> Found {
    const VALUE: u64 = 0x5a5a_0001_0203_0405;
    with_frame(bench, |bench, run| {
        let Capability { body, mac } = must("grant", calls::grant(frame_object(run), Rights::ALL))?;
        must("map_shared", map_shared(bench, Capability { body, mac }, Protection::Read))?;
        // The stack's page tables serve for the peer's mapping as well: it has no frames for another.
        let address = libos_core::layout::stack_top(0) - (64 << 12);
        let seen = bench.with_peer(Role::WriteShared { body, mac, address, value: VALUE }, |_, peer| {
            run_until_it_stops(peer.target(0))?;
            let mapped = peer.mailbox().stats().checks_passed.load(Relaxed);
            ensure(mapped == 1, || "the peer could not map it".into())?;
            Ok(probe::value_at(BASE.0))
        });
        must("unmap", calls::unmap(HANDLE_SELF, BASE, 1))?;
        ensure(seen? == Some(VALUE), || "its value did not arrive".into())?;
        Ok("a peer's value arrived".into())
    })
}

fn stale_frame(bench: &mut Bench) -> Found {
    let run = bench.frames.take(1).ok_or("no frames")?;
    let result = bench.with_peer(Role::Spin, |bench, peer| {
        let genuine = must("grant", calls::grant(frame_object(run), Rights::ALL))?;
        must("map_shared", map_shared(bench, genuine, Protection::Read))?;
        must("frame_give", calls::frame_give(run.first, 1, peer.handle))?;
        let broken = probe::value_at(BASE.0).is_none();
        ensure(broken, || "the giver's mapping is still there".into())?;
        must_refuse("map_shared", map_shared(bench, genuine, Protection::Read), Error::Stale)?;
        must_refuse("grant", calls::grant(frame_object(run), Rights::READ), Error::NotOwner)
    });
    bench.frames.put(run);
    result.map(|()| "mapping and capability".into())
}

fn handles(_: &mut Bench) -> Found {
    let capability = must("grant", calls::grant(own_env(), Rights::NOTIFY))?;
    let mut bound = 0u64;
    let mut handles = alloc::vec::Vec::new();
    let full = loop {
        match calls::bind(capability) {
            Ok(handle) if bound < MAX_HANDLES as u64 => {
                bound += 1;
                handles.push(handle);
            }
            Ok(_) => break Err(String::from("more handles than there are")),
            Err(error) => break Ok(error),
        }
    };
    for handle in &handles {
        must("unbind", calls::unbind(*handle))?;
    }
    let full = full?;
    ensure(full == Error::Full, || format!("{full:?} instead of Full"))?;
    must_refuse("a freed handle", calls::unbind(handles[0]), Error::BadHandle)?;
    for odd in [255, 256, 1 << 32, u64::MAX] {
        let refused = calls::frame_give(Frame(0), 0, Handle(odd));
        ensure(refused.is_err(), || format!("handle {odd:#x} is something"))?;
    }
    Ok(format!("{bound} at once"))
}
