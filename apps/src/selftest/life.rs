//! Checks of creating and destroying environments.
#![forbid(unsafe_code)]

use super::peer::Role;
use super::{Bench, Check, Found, ensure, must, must_refuse, run_for};
use alloc::format;
use alloc::string::String;
use libos_core::frames::Run;
use libos_core::mapping::Space;
use libos_core::public::EnvState;
use libos_core::{calls, layout, page, public};
use tranche_abi::layout::ENV_FRAMES;
use tranche_abi::{ActivationIndex, Address, Error, Kind, Object, Protection, Rights, Target};

/// In the order of telling.
pub const CHECKS: &[Check] = &[
    ("a thousand environments are made and destroyed, and every frame comes back", thousand),
    ("programs are started, run and destroyed, and every frame comes back", programs),
    ("an environment that lives cannot be reclaimed", reclaim_alive),
];

/// Environments to make and destroy.
const MANY: u64 = 1_000;

fn is_ours(run: Run) -> Result<(), String> {
    for frame in run.first.0..run.end() {
        let object = Object { kind: Kind::Frame, index: frame as u32 };
        must("a frame that came back", calls::grant(object, Rights::READ))?;
    }
    Ok(())
}

fn thousand(bench: &mut Bench) -> Found {
    let run = bench.frames.take(ENV_FRAMES + 5).ok_or("no frames")?;
    let result = (0..MANY).try_for_each(|_| one_life(run));
    bench.frames.put(run);
    result.map(|()| format!("{MANY} times the same {} frames", run.count))
}

/// An environment of three frames, with an activation, page tables and a page, from birth to the last frame.
fn one_life(run: Run) -> Result<(), String> {
    let (handle, index) = must("env_create", calls::env_create(run.first))?;
    let mut next = run.first.0 + ENV_FRAMES;
    let mut take = || {
        next += 1;
        tranche_abi::Frame(next - 1)
    };
    let page_frame = take();
    let (address, target) = (Address(layout::page_address(0)), Target::new(handle, ActivationIndex(0)));
    let mut tables = 0;
    let mut table = || {
        tables += 1;
        (tables <= 2).then(&mut take)
    };
    let create = || calls::activation_create(target, page_frame);
    must("activation", Space { env: handle, table: &mut table }.with_tables(address, create))?;
    let shared = take();
    must("frame_give", calls::frame_give(shared, 1, handle))?;
    ensure(public::view().env_state(index) == EnvState::Alive, || "it does not live".into())?;
    must("env_destroy", calls::env_destroy(handle))?;
    let mut steps = 0;
    while let Err(error) = calls::env_reclaim(handle) {
        steps += 1;
        ensure(error == Error::Again && steps < 100, || format!("reclaim: {error:?}, step {steps}"))?;
    }
    ensure(public::view().env_state(index) == EnvState::Free, || "its index is not free".into())?;
    is_ours(run)
}

fn programs(bench: &mut Bench) -> Found {
    const TIMES: u64 = 20;
    let mut before = bench.frames.free();
    for time in 0..TIMES {
        bench.with_peer(Role::Spin, |_, peer| run_for(peer.target(0), 5_000).map(drop))?;
        let after = bench.frames.free();
        // The first may need a page table for its mailbox, which stays.
        ensure(time == 0 || after == before, || format!("{before} free frames, then {after}"))?;
        before = after;
    }
    Ok(format!("{TIMES} times, {before} frames free"))
}

fn reclaim_alive(bench: &mut Bench) -> Found {
    bench.with_peer(Role::Spin, |_, peer| {
        must_refuse("env_reclaim", calls::env_reclaim(peer.handle), Error::Busy)?;
        let own =
            calls::map(peer.handle, Address(layout::START_BASE), tranche_abi::Frame(0), 1, Protection::Read);
        ensure(own.is_err(), || "frame 0 was mapped".into())?;
        ensure(page::env() != peer.index, || "the peer has our index".into())?;
        Ok("refused".into())
    })
}
