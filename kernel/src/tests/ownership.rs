//! Authority: capabilities, environments that come and go, and slots that change hands.
//!
//! Not here: frames and mappings ([`super::mapping`]) and taking by force ([`super::revocation`]).
#![forbid(unsafe_code)]

use super::world::*;
use crate::machine::Cause;
use core::sync::atomic::Ordering::Relaxed;
use tranche_abi::layout::{HANDLE_MACHINE, MAX_HANDLES};
use tranche_abi::page::Registers;
use tranche_abi::public::env_state;
use tranche_abi::{Error, Kind, Rights};

#[test]
fn a_forged_capability_binds_nothing() {
    let mut world = World::boot();
    let capability = world.grant(0, Kind::Env, 0, Rights::RUN);
    for bit in 0..64 {
        world.refused(0, "bind", &[capability.body ^ 1 << bit, capability.mac], Error::Forged);
        world.refused(0, "slot_take", &[capability.body, capability.mac ^ 1 << bit, 0], Error::Forged);
        world.refused(0, "map_shared", &[capability.body ^ 1 << bit, capability.mac, DATA, 0], Error::Forged);
    }
}

#[test]
fn a_call_that_finds_ownership_in_other_hands_is_made_again_by_its_caller() {
    let mut world = World::boot();
    world.registers[0].x[..2].copy_from_slice(&[object(Kind::Env, 0), Rights::RUN.0 as u64]);
    world.registers[0].pc = DATA + 8;
    let before = world.registers[0];
    let another_core = world.kernel.ownership.lock();
    world.trap(0, Cause::Call(immediate("grant")));
    drop(another_core);
    assert_eq!(world.registers[0], Registers { pc: before.pc - 4, ..before });
    world.registers[0].pc = before.pc;
    world.event(0, Cause::Call(immediate("grant")));
    assert_eq!(world.reply(0)[0], 0);
}

#[test]
fn a_derived_capability_has_fewer_rights_and_never_more() {
    let mut world = World::boot();
    let child = world.spawn(0, 0, 0);
    let all = world.grant(0, Kind::Env, child.index as u64, Rights::RUN.with(Rights::NOTIFY));
    let [body, mac, ..] = world.ok(0, "derive", &[all.body, all.mac, Rights::NOTIFY.0 as u64]);
    let [handle, ..] = world.ok(0, "bind", &[body, mac]);
    world.ok(0, "notify", &[handle, 1]);
    world.refused(0, "yield_to", &[handle, u64::MAX, 0], Error::NoRight);
    world.refused(0, "env_destroy", &[handle], Error::NoRight);
    world.refused(0, "derive", &[body, mac, Rights::RUN.0 as u64], Error::NoRight);
    world.refused(0, "derive", &[body, mac, 0x100], Error::BadArgument);
}

#[test]
fn only_the_owner_grants() {
    let mut world = World::boot();
    let child = world.spawn(0, 0, 0);
    world.enter(0, child.target(0), u64::MAX, 0);
    let frame = world.frames(1);
    for object in
        [object(Kind::Frame, frame), object(Kind::Slot, 0), object(Kind::Env, 0), object(Kind::Machine, 0)]
    {
        world.refused(0, "grant", &[object, 1], Error::NotOwner);
    }
    world.refused(0, "grant", &[object(Kind::Slot, SLOTS), 1], Error::BadArgument);
    world.refused(0, "grant", &[0, 1], Error::BadArgument);
    world.ok(0, "grant", &[object(Kind::Env, child.index as u64), 1]);
}

#[test]
fn a_capability_to_an_environment_that_is_gone_is_stale() {
    let mut world = World::boot();
    let child = world.spawn(0, 0, 0);
    let capability = world.grant(0, Kind::Env, child.index as u64, Rights::ALL);
    let other = world.lend(0, capability);
    destroy(&mut world, child);
    world.refused(0, "bind", &[capability.body, capability.mac], Error::Stale);
    let again = world.spawn_empty(0);
    assert_eq!(again.index, child.index, "the index lives again");
    world.refused(0, "bind", &[capability.body, capability.mac], Error::Stale);
    world.refused(0, "notify", &[other.0, 1], Error::Stale);
    world.refused(0, "env_destroy", &[other.0], Error::Stale);
}

#[test]
fn a_slot_taken_by_capability_makes_older_capabilities_stale() {
    let mut world = World::boot();
    let child = world.spawn(0, 0, 0);
    let capability = world.grant(0, Kind::Slot, 4, Rights::TAKE);
    let useless = world.ok(0, "derive", &[capability.body, capability.mac, 0]);
    world.enter(0, child.target(0), u64::MAX, 0);
    world.refused(0, "slot_take", &[useless[0], useless[1], 0], Error::NoRight);
    world.refused(0, "slot_take", &[capability.body, capability.mac, 8], Error::BadArgument);
    world.ok(0, "slot_take", &[capability.body, capability.mac, 0]);
    assert_eq!(world.env(child.index).slots.load(Relaxed), 1);
    world.refused(0, "slot_take", &[capability.body, capability.mac, 0], Error::Stale);
    world.ok(0, "slot_aim", &[0, 4, 3]);
    world.refused(0, "slot_aim", &[0, 5, 3], Error::NotOwner);
}

#[test]
fn void_makes_capabilities_stale() {
    let mut world = World::boot();
    let frame = world.frames(1);
    let slot = world.grant(0, Kind::Slot, 4, Rights::TAKE);
    let shared = world.grant(0, Kind::Frame, frame, Rights::READ);
    world.ok(0, "void", &[object(Kind::Slot, 4)]);
    world.ok(0, "void", &[object(Kind::Frame, frame)]);
    world.refused(0, "slot_take", &[slot.body, slot.mac, 0], Error::Stale);
    world.refused(0, "map_shared", &[shared.body, shared.mac, DATA + 4096, 0], Error::Stale);
    world.refused(0, "void", &[object(Kind::Env, 0)], Error::BadArgument);
}

#[test]
fn a_full_handle_table_refuses_and_changes_nothing() {
    let mut world = World::boot();
    let capability = world.grant(0, Kind::Env, 0, Rights::NOTIFY);
    for _ in 2..MAX_HANDLES {
        world.lend(0, capability);
    }
    world.refused(0, "bind", &[capability.body, capability.mac], Error::Full);
    let first = world.frames(3);
    world.refused(0, "env_create", &[first], Error::Full);
    world.ok(0, "unbind", &[77]);
    assert_eq!(world.ok(0, "env_create", &[first])[0], 77);
    world.refused(0, "unbind", &[0], Error::BadArgument);
    world.refused(0, "unbind", &[u64::MAX], Error::BadHandle);
}

#[test]
fn only_who_holds_the_machine_uses_it() {
    let mut world = World::boot();
    let child = world.spawn(0, 0, 0);
    let text = u64::from_le_bytes(*b"tranche!");
    assert_eq!(world.ok(0, "console_write", &[HANDLE_MACHINE.0, 7, text])[0], 7);
    world.refused(0, "console_write", &[HANDLE_MACHINE.0, 49], Error::BadArgument);
    world.refused(0, "console_write", &[0, 1], Error::BadHandle);
    world.enter(0, child.target(0), u64::MAX, 0);
    world.refused(0, "power_off", &[1, 0], Error::BadHandle);
    assert_eq!((world.fake.console.borrow().as_slice(), world.fake.power.get()), (&b"tranche"[..], None));
    world.ok(1, "power_off", &[HANDLE_MACHINE.0, 3]);
    assert_eq!(world.fake.power.get(), Some(3));
}

#[test]
fn the_first_environment_cannot_be_destroyed() {
    let mut world = World::boot();
    world.refused(0, "env_destroy", &[0], Error::BadArgument);
    world.refused(0, "env_reclaim", &[0], Error::Busy);
}

#[test]
fn a_destroyed_environments_slots_frames_and_children_go_to_who_reclaims_it() {
    let mut world = World::boot();
    let child = world.spawn(0, 0, 0);
    world.give_slots(0, 1, [3, 4], child.target(0));
    let frames = world.frames(3);
    world.ok(0, "frame_give", &[frames, 3, child.handle.0]);
    world.enter(0, child.target(0), u64::MAX, 0);
    let [_, grandchild, ..] = world.ok(0, "env_create", &[frames]);
    world.call(0, "yield_now", &[]);
    assert_eq!(world.who(0), Some((0, 0)));
    world.refused(0, "env_reclaim", &[child.handle.0], Error::Busy);
    destroy(&mut world, child);
    for index in [child.index as usize, grandchild as usize] {
        assert_eq!(world.kernel.public.env_state[index].load(Relaxed), env_state::FREE);
    }
    assert_eq!(world.env(0).slots.load(Relaxed) as u64, 4 * SLOTS);
    assert_eq!(world.kernel.ownership.lock().frames.count(0) as usize, FRAMES - 2);
}

#[test]
fn an_environment_that_runs_elsewhere_is_reclaimed_once_that_core_saw_its_end() {
    let mut world = World::boot();
    let child = world.spawn(0, 0, 0);
    world.enter(1, child.target(0), u64::MAX, 0);
    world.ok(0, "env_destroy", &[child.handle.0]);
    world.refused(0, "env_reclaim", &[child.handle.0], Error::Again);
    world.deliver();
    world.ok(0, "env_reclaim", &[child.handle.0]);
    world.refused(0, "env_reclaim", &[child.handle.0], Error::BadHandle);
}

#[test]
fn a_million_environments_come_and_go_and_nothing_is_lost() {
    let mut world = World::boot();
    let [first, page] = [world.frames(5), world.frames(1)];
    let counts = |world: &World| {
        (
            world.kernel.ownership.lock().frames.count(0),
            world.env(0).slots.load(Relaxed),
            world.env(0).children.load(Relaxed),
        )
    };
    let before = counts(&world);
    world.checker.every(1000); // invariants after each thousandth event: it is the counts that matter here
    for _ in 0..1_000_000 {
        let child = world.spawn_from(0, first);
        world.ok(0, "activation_create", &[child.target(0), page]);
        world.ok(0, "slot_give", &[0, 4, child.target(0)]);
        world.ok(0, "env_destroy", &[child.handle.0]);
        world.ok(0, "env_reclaim", &[child.handle.0]);
        assert_eq!(child.index, 1);
    }
    world.checker.every(1);
    world.ok(0, "null", &[]);
    assert_eq!(counts(&world), before);
}

/// Destroys a child of whoever runs on core 0 and reclaims all of it.
fn destroy(world: &mut World, child: Child) {
    world.ok(0, "env_destroy", &[child.handle.0]);
    while world.call(0, "env_reclaim", &[child.handle.0])[0] == Error::Again as u64 {}
    world.refused(0, "env_reclaim", &[child.handle.0], Error::BadHandle);
}
