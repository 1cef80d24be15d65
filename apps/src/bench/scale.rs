//! What does not depend on how many there are: the paths that are taken most, with few and with many environments, and
//! with one and with several cores at work.
//!
//! On several cores of the emulated machine the counter counts everybody's instructions; `docs/bench.md` says why the
//! figures are sound all the same.
#![forbid(unsafe_code)]

use super::counter::Stamp;
use super::peer::{self, Peer, Role};
use super::{Bench, Path, environments, life, refused, sleep, slices, take_events, transfer, turns};
use alloc::string::String;
use alloc::vec::Vec;
use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering::{Acquire, Release};
use libos_core::calls::{self, Events};
use libos_core::frames::Run;
use libos_core::page;
use libos_core::public::view;
use tranche_abi::layout::{MAX_CORES, MAX_ENVS};
use tranche_abi::{Capability, Core, Kind, Object, Rights, Target, Tick};

/// Environments in all, with which the paths are measured. The least there can be is the broker, this and a peer.
const CROWDS: [u64; 4] = [3, 16, 128, MAX_ENVS as u64];

/// Measures with more and more environments.
pub fn crowd(bench: &mut Bench) -> Result<(), String> {
    let mut others = Vec::new();
    let measured = CROWDS.iter().try_for_each(|&wanted| {
        // One is to be the peer.
        while environments() + 1 < wanted {
            others.push(bystander(bench)?);
        }
        paths(bench)
    });
    others.into_iter().try_for_each(|other| bury(bench, other))?;
    measured
}

/// An environment that only exists. We free its handle, because we have fewer handles than there are environments.
struct Bystander {
    capability: Capability,
    run: Run,
}

fn bystander(bench: &mut Bench) -> Result<Bystander, String> {
    let run = bench.frames.take(life::FRAMES).ok_or("no frames")?;
    let (handle, index) = life::create(run)?;
    let object = Object { kind: Kind::Env, index: index as u32 };
    let capability = calls::grant(object, Rights::ALL).map_err(refused("grant"))?;
    calls::unbind(handle).map_err(refused("unbind"))?;
    Ok(Bystander { capability, run })
}

fn bury(bench: &mut Bench, other: Bystander) -> Result<(), String> {
    life::destroy(calls::bind(other.capability).map_err(refused("bind"))?)?;
    bench.frames.put(other.run);
    Ok(())
}

/// The paths that must be flat.
fn paths(bench: &mut Bench) -> Result<(), String> {
    bench.with_peer(Role::Bounce, yields)?;
    bench.with_peer(Role::Enter, transfers)?;
    bench.with_peer(Role::Run, |bench, peer| {
        slices::alternate(peer, Core(0))?;
        switches(bench, peer)
    })
}

fn yields(bench: &mut Bench, peer: &Peer) -> Result<(), String> {
    let turns = turns::bounces(peer, |_| Ok(()))?;
    bench.record("scale_yield_to", &turns::there(bench, &turns), Path::Same)
}

fn transfers(bench: &mut Bench, peer: &Peer) -> Result<(), String> {
    let one_way: Vec<Stamp> = transfer::trips(bench, peer)?.iter().map(|trip| trip.0).collect();
    bench.record("scale_pct", &one_way, Path::Same)
}

/// All cores switch at the same time. The counter has the instructions of them all: one switch is a core's share.
fn switches(bench: &mut Bench, peer: &Peer) -> Result<(), String> {
    let cores = view().cores();
    let share = |all: &Stamp| Stamp {
        instructions: all.instructions.div_ceil(cores),
        cycles: all.cycles.div_ceil(cores),
    };
    let switches: Vec<Stamp> = slices::switches(peer).iter().map(share).collect();
    bench.record("scale_slice_switch", &switches, Path::Same)
}

/// What activations of other cores do meanwhile.
static MODE: AtomicU64 = AtomicU64::new(mode::WAIT);
/// Whom they yield to, by core.
static LOADS: [AtomicU64; MAX_CORES] = [const { AtomicU64::new(0) }; MAX_CORES];

/// Values of [`MODE`].
mod mode {
    /// Wait for a notice.
    pub const WAIT: u64 = 0;
    /// Yield to the load of their core without end.
    pub const YIELD: u64 = 1;
    /// Sleep from interrupt to interrupt, without leaving their slices.
    pub const DOZE: u64 = 2;
    /// Nothing any more.
    pub const END: u64 = 3;
}

/// Plays the activation of another core until the measurements are done.
pub fn be_load() {
    let load = &LOADS[page::index() as usize % MAX_CORES];
    loop {
        match MODE.load(Acquire) {
            mode::YIELD => _ = calls::yield_to(Target(load.load(Acquire)), Tick::NEVER, Events::Ignore),
            mode::DOZE => peer::doze(),
            mode::END => return,
            _ => {
                // Refused only where there is no kernel.
                if calls::wait(Tick::NEVER).is_err() {
                    return;
                }
            }
        }
        take_events();
    }
}

/// Lets every activation of another core do something, and waits until all do.
fn set_mode(mode: u64) -> Result<(), String> {
    MODE.store(mode, Release);
    (1..view().cores())
        .try_for_each(|core| calls::notify(calls::own_target(core), 1).map_err(refused("notify")))?;
    sleep(Tick(2 * view().revolution().0));
    Ok(())
}

/// Measures with all cores at work.
pub fn cores(bench: &mut Bench) -> Result<(), String> {
    with_peers(bench, Role::Load, |bench, loads| {
        (LOADS[1..].iter().zip(loads)).for_each(|(load, peer)| load.store(peer.target().0, Release));
        set_mode(mode::YIELD)?;
        let yields = bench.with_peer(Role::Bounce, yields);
        let measured = yields.and_then(|()| bench.with_peer(Role::Enter, transfers));
        set_mode(mode::DOZE)?;
        measured
    })?;
    with_peers(bench, Role::Doze, |bench, dozing| {
        (1..).zip(dozing).try_for_each(|(core, peer)| slices::alternate(peer, Core(core)))?;
        bench.with_peer(Role::Run, |bench, peer| {
            slices::alternate(peer, Core(0))?;
            switches(bench, peer)
        })
    })?;
    set_mode(mode::END)
}

/// Makes a peer for every other core, does something, and ends them.
fn with_peers(
    bench: &mut Bench,
    role: Role,
    action: impl FnOnce(&mut Bench, &[Peer]) -> Result<(), String>,
) -> Result<(), String> {
    let mut peers = Vec::new();
    for core in 1..view().cores() {
        peers.push(bench.peer(role, core)?);
    }
    let done = action(bench, &peers);
    peers.into_iter().try_for_each(|peer| bench.end(peer))?;
    done
}
