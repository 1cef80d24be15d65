//! Visible revocation: please, then by a deadline, then by force.
//!
//! Not here: excess time, which is paid without anybody asking ([`super::slices`]).
#![forbid(unsafe_code)]

use super::world::*;
use crate::machine::Machine;
use core::sync::atomic::Ordering::Relaxed;
use tranche_abi::page::{MAX_RESERVE, REPOSSESSIONS};
use tranche_abi::{EVENT_REPOSSESSED, EVENT_REVOKE, Error, Frame, Kind, Resource, Rights, Tick};

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
fn slots_of_a_destroyed_environment_are_taken_without_asking_and_can_be_somebody_elses_while_it_is_still_there()
 {
    let (mut world, child, _) = world_with_owner(1);
    world.ok(0, "env_destroy", &[child.handle.0]);
    world.refused(0, "seize_slot", &[child.handle.0, 0, 0], Error::NotOwner);
    for slot in 2..10 {
        world.ok(0, "seize_slot", &[child.handle.0, 0, slot]);
    }
    world.refused(0, "seize_slot", &[child.handle.0, 0, 2], Error::NotOwner);
    assert_eq!(world.env(child.index).slots.load(Relaxed), 0);
    let heir = world.spawn(0, 0, 0);
    world.give_slots(0, 0, 2..10, heir.target(0));
    assert_eq!(world.env(heir.index).slots.load(Relaxed), 8);
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

/// Fills a frame with a word.
fn fill(world: &World, frame: u64, word: u64) {
    let machine = world.fake.core(0);
    machine.table(Frame(frame)).0.iter().for_each(|place| place.store(word, Relaxed));
}

fn is_full_of(world: &World, frame: u64, word: u64) -> bool {
    Machine::table(&world.fake.core(0), Frame(frame)).0.iter().all(|place| place.load(Relaxed) == word)
}

/// The first environment asks a child for many frames, at once.
fn ask_now(world: &mut World, child: Child) {
    let now = world.now();
    world.ok(0, "ask", &[child.target(0), FRAME, 0, 99, now]);
}

#[test]
fn a_reserve_is_never_taken_by_force() {
    let (mut world, child, first) = world_with_owner(MAX_RESERVE as u64 + 3);
    let reserve = first + 1..first + 1 + MAX_RESERVE as u64;
    for (place, frame) in world.page(child.index, 0).reserve.iter().zip(reserve.clone()) {
        place.store(frame, Relaxed);
    }
    ask_now(&mut world, child);
    for frame in reserve.clone() {
        world.refused(0, "seize_frame", &[child.handle.0, frame], Error::Busy);
    }
    for frame in [first, reserve.end, reserve.end + 1] {
        world.ok(0, "seize_frame", &[child.handle.0, frame]);
    }
    // It is the holder's to give, as any frame.
    world.enter(0, child.target(0), u64::MAX, 0);
    world.ok(0, "frame_give", &[reserve.start, 1, 1]);
}

#[test]
fn a_reserve_named_after_the_demand_protects_nothing() {
    let (mut world, child, first) = world_with_owner(12);
    ask_now(&mut world, child);
    for frame in first..first + 12 {
        // A hostile holder guesses, each time, which frame is next.
        world.page(child.index, 0).reserve.iter().for_each(|place| place.store(frame, Relaxed));
        world.ok(0, "seize_frame", &[child.handle.0, frame]);
    }
}

#[test]
fn one_demand_spares_eight_frames_at_most_whatever_the_holder_writes() {
    let (mut world, child, first) = world_with_owner(20);
    for round in 0..4 {
        let page = world.page(child.index, 0);
        page.reserve.iter().zip(first + round..).for_each(|(place, frame)| place.store(frame, Relaxed));
        if round == 0 {
            ask_now(&mut world, child);
        }
    }
    let mut seize = |frame| world.call(0, "seize_frame", &[child.handle.0, frame])[0] == 0;
    let taken = (first..first + 20).map(|frame| u64::from(seize(frame))).sum::<u64>();
    assert_eq!(taken, 20 - MAX_RESERVE as u64);
}

#[test]
fn a_frame_taken_by_force_is_saved_to_the_place_that_its_holder_provided() {
    let (mut world, child, first) = world_with_owner(4);
    let [taken, lost, place, _] = [0, 1, 2, 3].map(|offset| first + offset);
    fill(&world, taken, 0x1111);
    fill(&world, lost, 0x2222);
    world.page(child.index, 0).reserve[0].store(place, Relaxed);
    world.page(child.index, 0).save_to[0].store(place, Relaxed);
    ask_now(&mut world, child);
    world.ok(0, "seize_frame", &[child.handle.0, taken]);
    world.ok(0, "seize_frame", &[child.handle.0, lost]);
    assert!(is_full_of(&world, place, 0x1111), "the first has a place, and nothing else is written there");
    assert!(is_full_of(&world, taken, 0) && is_full_of(&world, lost, 0), "the asker reads nothing of it");
    let page = world.page(child.index, 0);
    let entry = |n: usize| (page.repossessions[n].object.load(Relaxed), page.save_to[n].load(Relaxed));
    assert_eq!(entry(0), (object(Kind::Frame, taken), place));
    assert_eq!(entry(1), (object(Kind::Frame, lost), 0));
}

#[test]
fn a_place_to_save_to_that_is_not_the_holders_is_not_written() {
    let (mut world, child, first) = world_with_owner(6);
    let foreign = world.frames(1);
    fill(&world, foreign, 0x3333);
    let table = world.frames(1);
    world.ok(0, "table", &[child.handle.0, 5 << 30, table]);
    let page_frame = world.env(child.index).activations[0].page.load(Relaxed).into();
    let root = world.env(child.index).root.load(Relaxed).into();
    ask_now(&mut world, child);
    let bad = [foreign, first + 1, table, page_frame, root, u64::MAX];
    for (n, (claim, frame)) in bad.into_iter().zip(first..).enumerate() {
        fill(&world, frame, 0x4444);
        world.page(child.index, 0).save_to[n].store(claim, Relaxed);
        world.ok(0, "seize_frame", &[child.handle.0, frame]);
        assert_eq!(world.page(child.index, 0).save_to[n].load(Relaxed), 0, "{claim:x}");
    }
    assert!(is_full_of(&world, foreign, 0x3333));
}

#[test]
fn a_slot_taken_by_force_is_saved_nowhere() {
    let (mut world, child, first) = world_with_owner(1);
    fill(&world, first, 0x5555);
    world.page(child.index, 0).save_to[0].store(first, Relaxed);
    let now = world.now();
    world.ok(0, "ask", &[child.target(0), SLOT, 0, 1, now]);
    world.ok(0, "seize_slot", &[child.handle.0, 0, 7]);
    assert_eq!(world.page(child.index, 0).save_to[0].load(Relaxed), 0);
    assert!(is_full_of(&world, first, 0x5555));
}
