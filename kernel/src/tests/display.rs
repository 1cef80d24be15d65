//! What the display shows is owned, given, mapped and taken like other frames, and only its owner can map it; and who may ask how
//! the machine is.
#![forbid(unsafe_code)]

use super::world::*;
use crate::machine::Answer;
use crate::paging;
use core::sync::atomic::Ordering::Relaxed;
use tranche_abi::layout::{ACTIVATION_BASE, HANDLE_MACHINE, HANDLE_SELF, PAGE_SIZE};
use tranche_abi::{Error, Frame, Kind, MachineState, Protection, Rights, Tick, throttled};

const BAND: u64 = SHOWN.start;
const WRITE: u64 = Protection::ReadWrite as u64;

/// A page's descriptor in an environment's tables.
fn page(world: &World, env: u16, address: u64) -> paging::Descriptor {
    let machine = world.fake.core(0);
    let place = paging::place(&machine, world.kernel.space(&machine, env).root, address);
    place.map_or(paging::Descriptor::NONE, paging::Descriptor::load)
}

#[test]
fn the_first_environment_owns_what_is_shown_and_finds_its_geometry_in_the_public_region() {
    let mut world = World::boot();
    let public = world.kernel.public;
    let said = [&public.display_first, &public.display_frames, &public.display_width, &public.display_stride]
        .map(|field| field.load(Relaxed));
    assert_eq!(said, [SHOWN.start, 4, 64, 256]);
    world.ok(0, "map", &[HANDLE_SELF.0, DATA + PAGE_SIZE, SHOWN.start, 4, WRITE]);
    let mapped = page(&world, 0, DATA + PAGE_SIZE);
    assert_eq!((mapped.frame(), mapped.0 >> 2 & 7), (Frame(SHOWN.start), 2));
}

#[test]
fn a_band_of_rows_that_was_given_away_is_its_new_owners_alone() {
    let mut world = World::boot();
    let child = world.spawn(0, 0, 1);
    let place = DATA + PAGE_SIZE;
    world.ok(0, "map", &[HANDLE_SELF.0, place, BAND, 1, WRITE]);
    let old = world.grant(0, Kind::Frame, BAND, Rights::READ);
    world.ok(0, "frame_give", &[BAND, 1, child.handle.0]);
    assert!(!page(&world, 0, place).is_valid(), "the giver's mapping went with it");
    world.refused(0, "map", &[HANDLE_SELF.0, place, BAND, 1, WRITE], Error::NotOwner);
    world.refused(0, "map_shared", &[old.body, old.mac, place, 0], Error::Stale);
    world.refused(0, "frame_give", &[BAND, 1, child.handle.0], Error::NotOwner);
    // The next band is the first environment's still.
    world.ok(0, "map", &[HANDLE_SELF.0, place, BAND + 1, 1, WRITE]);
}

/// A band that its new owner has mapped; that runs.
fn mapped_by_its_new_owner() -> (World, Child) {
    let mut world = World::boot();
    let child = world.spawn(0, 0, 1);
    world.add_tables(0, child.handle.0);
    world.ok(0, "frame_give", &[BAND, 1, child.handle.0]);
    let until = world.now() + QUANTUM;
    world.enter(0, child.target(0), until, 0);
    world.ok(0, "map", &[HANDLE_SELF.0, DATA, BAND, 1, WRITE]);
    (world, child)
}

#[test]
fn its_new_owner_maps_it_past_the_caches_and_may_let_others_see_it() {
    let (mut world, child) = mapped_by_its_new_owner();
    world.refused(0, "map", &[HANDLE_SELF.0, DATA + PAGE_SIZE, BAND + 1, 1, WRITE], Error::NotOwner);
    let capability = world.grant(0, Kind::Frame, BAND, Rights::READ);
    world.call(0, "yield_now", &[]);
    let place = DATA + PAGE_SIZE;
    world.ok(0, "map_shared", &[capability.body, capability.mac, place, Protection::Read as u64]);
    for mapped in [page(&world, child.index, DATA), page(&world, 0, place)] {
        assert_eq!((mapped.frame(), mapped.0 >> 2 & 7), (Frame(BAND), 2));
    }
}

#[test]
fn revoked_by_force_it_is_mapped_nowhere_and_cleared() {
    let (mut world, child) = mapped_by_its_new_owner();
    world.call(0, "yield_now", &[]);
    let deadline = world.now() + 1;
    world.ok(0, "ask", &[child.target(0), 1, 0, 1, deadline]);
    world.refused(0, "seize_frame", &[child.handle.0, BAND], Error::TooEarly);
    world.advance(2);
    world.ok(0, "seize_frame", &[child.handle.0, BAND]);
    assert!(!page(&world, child.index, DATA).is_valid());
    world.ok(0, "map", &[HANDLE_SELF.0, DATA + PAGE_SIZE, BAND, 1, WRITE]);
}

#[test]
fn nothing_of_the_kernels_is_made_of_what_is_shown() {
    let mut world = World::boot();
    let child = world.spawn_empty(0);
    world.refused(0, "env_create", &[BAND], Error::Busy);
    world.refused(0, "env_create", &[SHOWN.start - 2], Error::Busy);
    world.refused(0, "table", &[child.handle.0, DATA, BAND], Error::Busy);
    world.refused(0, "activation_create", &[child.target(0), BAND], Error::Busy);
    world.refused(0, "table", &[child.handle.0, ACTIVATION_BASE + PAGE_SIZE, BAND], Error::Busy);
}

#[test]
fn who_may_not_is_not_told_how_the_machine_is_and_nobody_waits_for_it() {
    let mut world = World::boot();
    world.refused(0, "machine_state", &[HANDLE_SELF.0], Error::BadHandle);
    world.fake.state.set(Answer::Absent);
    world.refused(0, "machine_state", &[HANDLE_MACHINE.0], Error::Absent);
    let little = world.grant(0, Kind::Machine, 0, Rights(!Rights::STATE.0));
    let handle = world.lend(0, little);
    world.refused(0, "machine_state", &[handle.0], Error::NoRight);
    world.fake.state.set(Answer::Pending);
    world.refused(0, "machine_state", &[HANDLE_MACHINE.0], Error::Again);
    let state = MachineState {
        temperature: Some(61_000),
        throttled: Some(throttled::THROTTLED << throttled::SINCE_START),
        clock: None,
        asked: Tick(3),
    };
    world.fake.state.set(Answer::State(state));
    let values = world.ok(0, "machine_state", &[HANDLE_MACHINE.0]);
    assert_eq!(values, [61_000, 1 << 18, u64::MAX, 3]);
    assert_eq!(MachineState::from_values(values), state);
}
