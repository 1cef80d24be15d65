//! A seeded storm: a million random events on four cores, every invariant checked after each.
//!
//! Not here: what the programs do ([`super::chaos`]). The first environment keeps two slots of each core and does not
//! fault, so that somebody can clean up: at the end it destroys everybody and owns everything again. A failure prints the
//! seed and the last events; the same seed gives the same events.
#![forbid(unsafe_code)]

use super::chaos::{CALLS, Chaos};
use super::fake::CORES;
use super::transfers::{LOST, Way};
use super::world::{SLOTS, object};
use crate::activation::{State, Tag};
use crate::block::ADDRESS;
use crate::frames::Role;
use crate::slots::SlotWord;
use core::sync::atomic::Ordering::Relaxed;
use tranche_abi::layout::MAX_EXTENTS;
use tranche_abi::public::env_state;
use tranche_abi::{Error, Kind, Rights};

/// Events of each of the four storms.
const EVENTS: u64 = 250_000;

fn storm(seed: u64) {
    std::eprintln!("storm with seed {seed}");
    let mut chaos = Chaos::new(seed);
    chaos.world.quick = seed.is_multiple_of(2);
    while chaos.world.events < EVENTS {
        chaos.step();
    }
    clean_up(&mut chaos);
    require_variety(&chaos);
}

/// A storm in which something never happened proves nothing about it.
fn require_variety(chaos: &Chaos) {
    let transfers = ["pct_call", "pct_send", "pct_return"];
    for name in CALLS.iter().map(|(_, name, _)| name).chain(&transfers) {
        let count = chaos.successes.get(name).copied().unwrap_or(0);
        let without_reply = ["yield_now", "wait", "resume"];
        assert!(count >= 5 || without_reply.contains(name), "{name} succeeded {count} times only");
    }
    assert!(chaos.successes.get("protect_own").is_some_and(|count| *count >= 5), "no page was protected so");
    assert!(chaos.reasons.iter().all(|count| *count >= 5), "yield_to came back with {:?}", chaos.reasons);
}

/// The first environment destroys its children and with them all that they made.
pub fn clean_up(chaos: &mut Chaos) {
    for handle in 2..256 {
        on_first(chaos, "unbind", &[handle]);
    }
    for index in 1..1024 {
        let [refused, body, mac, ..] =
            on_first(chaos, "grant", &[object(Kind::Env, index), Rights::ALL.0 as u64]);
        if refused != 0 {
            continue; // no child of the first environment's
        }
        let [_, handle, ..] = on_first(chaos, "bind", &[body, mac]);
        on_first(chaos, "env_destroy", &[handle]);
        while on_first(chaos, "env_reclaim", &[handle])[0] == Error::Again as u64 {
            chaos.world.advance(10);
        }
    }
    for index in 1..MAX_EXTENTS as u64 {
        on_first(chaos, "extent_drop", &[object(Kind::Extent, index)]);
    }
    everything_is_back(chaos);
}

fn everything_is_back(chaos: &Chaos) {
    let kernel = chaos.world.kernel;
    let left = kernel.public.env_state.iter().filter(|state| state.load(Relaxed) != env_state::FREE).count();
    assert_eq!(left, 1, "an environment is left");
    for (index, block) in kernel
        .blocks
        .iter()
        .enumerate()
        .skip(1)
        .flat_map(|(index, all)| all.iter().map(move |block| (index, block)))
    {
        let (state, body) = (block.state.load(Relaxed), block.body.load(Relaxed));
        assert_eq!(
            (State::from_bits(state).tag, state & ADDRESS, body),
            (Tag::Absent, 0, 0),
            "environment {index}"
        );
    }
    let own = kernel.ownership.lock();
    assert!(own.frames.iter().all(|(_, entry)| entry.role == Role::Reserved || entry.owner == 0));
    let extents = (1..MAX_EXTENTS as u32).filter(|index| own.disk.extent(*index).is_some());
    assert_eq!(extents.count(), 0, "an extent is left");
    for word in kernel.public.slot[..CORES].iter().flat_map(|vector| &vector[..SLOTS as usize]) {
        assert_eq!(SlotWord::load(word).owner, 0);
    }
}

/// A call by the first environment's activation 0, as soon as it runs somewhere.
fn on_first(chaos: &mut Chaos, name: &str, arguments: &[u64]) -> [u64; 5] {
    for _ in 0..10_000 {
        let core = (0..CORES).find(|core| chaos.world.who(*core) == Some((0, 0)));
        match core {
            Some(core) if chaos.world.is_lost(core) => chaos.world.event(core, LOST),
            Some(core) if chaos.world.body(core) == Some((0, 0)) => {
                return chaos.world.call(core, name, arguments);
            }
            Some(core) => chaos.world.transfer(core, "pct_return", Way::Fast),
            None => chaos.world.advance(100),
        }
    }
    panic!("the first environment lost its slots")
}

#[test]
fn a_storm_of_random_events_breaks_no_invariant_first() {
    storm(1);
}

#[test]
fn a_storm_of_random_events_breaks_no_invariant_second() {
    storm(2);
}

#[test]
fn a_storm_of_random_events_breaks_no_invariant_third() {
    storm(3);
}

#[test]
fn a_storm_of_random_events_breaks_no_invariant_fourth() {
    storm(4);
}
