//! Visible revocation: please, then by a deadline, then by force.
//!
//! Not here: excess time, which is paid without anybody asking ([`super::slices`]).
#![forbid(unsafe_code)]

use super::world::*;
use core::sync::atomic::Ordering::Relaxed;
use tranche_abi::page::REPOSSESSIONS;
use tranche_abi::{EVENT_REPOSSESSED, EVENT_REVOKE, Error, Kind, Resource, Rights, Tick};

const SLOT: u64 = Resource::Slots as u64;
const FRAME: u64 = Resource::Frames as u64;

/// A child with slots 2 to 9 of core 0, and `frames` consecutive frames; the first frame's number.
fn world_with_owner(frames: u64) -> (World, Child, u64) {
    let mut world = World::boot();
    let child = world.spawn(0, 0, 0);
    world.give_slots(0, 0, 2..10, child.target(0));
    let first = world.frames(frames);
    world.ok(0, "frame_give", &[first, frames, child.handle.0]);
    world.clear_events(child.index, 0);
    (world, child, first)
}

#[test]
fn a_plea_is_shown_and_never_followed_by_force() {
    let (mut world, child, _) = world_with_owner(1);
    world.ok(0, "ask", &[child.target(0), SLOT, 0, 2, Tick::NEVER.0]);
    let page = world.page(child.index, 0);
    assert_eq!(page.events.load(Relaxed), EVENT_REVOKE);
    let demand = &page.slot_demand[0];
    assert_eq!((demand.count.load(Relaxed), demand.deadline.load(Relaxed)), (2, u64::MAX));
    world.advance(100 * QUANTUM);
    while world.who(0) != Some((0, 0)) {
        world.advance(QUANTUM);
    }
    world.refused(0, "seize_slot", &[child.handle.0, 0, 2], Error::TooEarly);
}

#[test]
fn force_comes_after_the_deadline_and_no_sooner() {
    let (mut world, child, _) = world_with_owner(1);
    world.refused(0, "seize_slot", &[child.handle.0, 0, 2], Error::TooEarly);
    let deadline = world.now() + 10;
    world.ok(0, "ask", &[child.target(0), SLOT, 0, 1, deadline]);
    world.advance(9);
    world.refused(0, "seize_slot", &[child.handle.0, 0, 2], Error::TooEarly);
    world.advance(1);
    world.refused(0, "seize_slot", &[child.handle.0, 1, 2], Error::TooEarly);
    world.refused(0, "seize_slot", &[child.handle.0, 0, 0], Error::NotOwner);
    world.ok(0, "seize_slot", &[child.handle.0, 0, 2]);
    assert_eq!(world.env(child.index).slots.load(Relaxed), 7);
    world.refused(0, "seize_slot", &[child.handle.0, 0, 3], Error::TooEarly);
}

#[test]
fn what_was_taken_stands_in_the_repossession_vector() {
    let (mut world, child, first) = world_with_owner(REPOSSESSIONS as u64 + 2);
    let deadline = world.now();
    world.ok(0, "ask", &[child.target(0), SLOT, 0, 1, deadline]);
    world.ok(0, "ask", &[child.target(0), FRAME, 0, 99, deadline]);
    world.ok(0, "seize_slot", &[child.handle.0, 0, 7]);
    let page = world.page(child.index, 0);
    assert_eq!(page.repossessed.load(Relaxed), 1);
    assert_eq!(page.repossessions[0].object.load(Relaxed), object(Kind::Slot, 7));
    assert_eq!(page.repossessions[0].time.load(Relaxed), deadline);
    assert_eq!(page.events.load(Relaxed), EVENT_REVOKE | EVENT_REPOSSESSED);
    for frame in first..first + REPOSSESSIONS as u64 {
        world.ok(0, "seize_frame", &[child.handle.0, frame]);
    }
    let page = world.page(child.index, 0);
    assert_eq!(page.repossessed.load(Relaxed), REPOSSESSIONS as u64 + 1);
    let newest = object(Kind::Frame, first + REPOSSESSIONS as u64 - 1);
    assert_eq!(page.repossessions[0].object.load(Relaxed), newest, "the oldest entry makes room");
    assert_eq!(page.frame_demand.count.load(Relaxed), 99 - REPOSSESSIONS as u64);
}

#[test]
fn a_seized_frame_is_mapped_nowhere_and_its_capabilities_are_stale() {
    let (mut world, child, frame) = world_with_owner(1);
    world.add_tables(0, child.handle.0);
    world.enter(0, child.target(0), u64::MAX, 0);
    world.ok(0, "map", &[0, DATA, frame, 1, 1]);
    let capability = world.grant(0, Kind::Frame, frame, Rights::ALL);
    world.call(0, "yield_now", &[]);
    world.ok(0, "map_shared", &[capability.body, capability.mac, DATA + 4096, 1]);
    let now = world.now();
    world.ok(0, "ask", &[child.target(0), FRAME, 0, 1, now]);
    world.ok(0, "seize_frame", &[child.handle.0, frame]);
    // The invariants saw that no translation is left in tables or TLBs.
    assert!(
        !world.kernel.ownership.lock().frames.get(tranche_abi::Frame(frame)).is_ok_and(|e| e.is_mapped())
    );
    world.refused(0, "map_shared", &[capability.body, capability.mac, DATA + 8192, 1], Error::Stale);
    world.refused(0, "seize_frame", &[child.handle.0, frame], Error::TooEarly);
}

#[test]
fn pages_that_hold_an_environment_up_cannot_be_seized() {
    let (mut world, child, _) = world_with_owner(1);
    let now = world.now();
    world.ok(0, "ask", &[child.target(0), FRAME, 0, 9, now]);
    let env = world.env(child.index);
    let page = env.activations[0].page.load(Relaxed).into();
    let parts = [page, env.root.load(Relaxed).into(), env.handles.load(Relaxed).into()];
    parts.iter().for_each(|part| world.refused(0, "seize_frame", &[child.handle.0, *part], Error::Busy));
}

#[test]
fn giving_back_fulfils_a_demand() {
    let (mut world, child, frame) = world_with_owner(3);
    let now = world.now();
    world.ok(0, "ask", &[child.target(0), SLOT, 0, 2, now]);
    world.ok(0, "ask", &[child.target(0), FRAME, 0, 2, now]);
    world.enter(0, child.target(0), u64::MAX, 0);
    world.ok(0, "slot_give", &[0, 9, 1]); // handle 1: its creator
    assert_eq!(world.page(child.index, 0).slot_demand[0].count.load(Relaxed), 1);
    world.ok(0, "slot_give", &[0, 8, 1]);
    world.ok(0, "frame_give", &[frame, 3, 1]);
    assert_eq!(world.page(child.index, 0).frame_demand.count.load(Relaxed), 0);
    world.call(0, "yield_now", &[]);
    world.refused(0, "seize_slot", &[child.handle.0, 0, 7], Error::TooEarly);
    world.refused(0, "seize_frame", &[child.handle.0, frame], Error::TooEarly);
}

#[test]
fn a_demand_can_be_withdrawn() {
    let (mut world, child, _) = world_with_owner(1);
    let now = world.now();
    world.ok(0, "ask", &[child.target(0), SLOT, 0, 2, now]);
    world.ok(0, "ask", &[child.target(0), SLOT, 0, 0, now]);
    world.refused(0, "seize_slot", &[child.handle.0, 0, 7], Error::TooEarly);
}

#[test]
fn only_who_may_revoke_asks() {
    let (mut world, child, _) = world_with_owner(1);
    world.enter(0, child.target(0), u64::MAX, 0);
    world.refused(0, "ask", &[1, SLOT, 0, 1, 0], Error::NoRight);
    world.call(0, "yield_now", &[]);
    world.refused(0, "ask", &[child.target(0), 2, 0, 1, 0], Error::BadArgument);
    world.refused(0, "ask", &[child.target(0), SLOT, 8, 1, 0], Error::BadArgument);
    world.refused(0, "ask", &[child.target(0), SLOT, 0, u64::MAX, 0], Error::BadArgument);
    world.refused(0, "ask", &[child.target(1), SLOT, 0, 1, 0], Error::Absent);
}

#[test]
fn a_repossessed_waiting_activation_is_told_at_once() {
    let (mut world, child, _) = world_with_owner(1);
    world.enter(0, child.target(0), u64::MAX, 0);
    world.call(0, "wait", &[Tick::NEVER.0]);
    world.clear_events(0, 0);
    let now = world.now();
    world.ok(0, "ask", &[child.target(0), SLOT, 0, 1, now]);
    assert_eq!(world.page(0, 0).ready[0].load(Relaxed), 1, "its manager knows that it is ready");
    world.enter(0, child.target(0), u64::MAX, 0);
}
