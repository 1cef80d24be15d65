//! Frames and mappings: whose they are, where they may be mapped, and that a refused batch changes nothing.
//!
//! Not here: frames taken by force ([`super::revocation`]).
#![forbid(unsafe_code)]

use super::world::*;
use crate::machine::Machine;
use crate::paging::{self, Descriptor};
use core::sync::atomic::Ordering::Relaxed;
use tranche_abi::layout::{ACTIVATION_BASE, MAX_BATCH, MAX_MAPPINGS, PUBLIC_BASE, USER_END};
use tranche_abi::{Error, Frame, Kind, Protection, Rights};

/// Where the first environment maps: an empty part of its space.
const PLACE: u64 = DATA + 0x10_0000;
const READ: u64 = Protection::Read as u64;
const WRITE: u64 = Protection::ReadWrite as u64;
const EXECUTE: u64 = Protection::ReadExecute as u64;

/// What is mapped at an address of an environment.
fn at(world: &World, env: u16, address: u64) -> Option<Frame> {
    let machine = world.fake.core(0);
    let root = world.kernel.space(&machine, env).root;
    let (table, index) = paging::leaf(&machine, root, address)?;
    let descriptor: Descriptor = machine.table(table).get(index);
    descriptor.is_valid().then(|| descriptor.frame())
}

#[test]
fn an_owner_maps_protects_and_unmaps_its_frames() {
    let mut world = World::boot();
    let frame = world.frames(2);
    world.ok(0, "map", &[0, PLACE, frame, 2, WRITE]);
    assert_eq!([0, 4096].map(|o| at(&world, 0, PLACE + o)), [Some(Frame(frame)), Some(Frame(frame + 1))]);
    for protection in [READ, EXECUTE, WRITE] {
        world.ok(0, "protect", &[0, PLACE, 2, protection]); // the invariants see to W^X and to the TLB
    }
    world.ok(0, "unmap", &[0, PLACE, MAX_BATCH]);
    assert_eq!(at(&world, 0, PLACE), None);
    world.refused(0, "protect", &[0, PLACE, 1, READ], Error::Absent);
}

#[test]
fn foreign_and_reserved_frames_are_refused() {
    let mut world = World::boot();
    let child = world.spawn(0, 0, 0);
    let frame = world.frames(1);
    world.ok(0, "frame_give", &[frame, 1, child.handle.0]);
    for foreign in [frame, RESERVED.0, FIRST_FRAME] {
        world.refused(0, "map", &[0, PLACE, foreign, 1, READ], Error::NotOwner);
        world.refused(0, "frame_give", &[foreign, 1, child.handle.0], Error::NotOwner);
        world.refused(0, "table", &[0, 2 << 30, foreign], Error::NotOwner);
        world.refused(0, "activation_create", &[child.target(1), foreign], Error::NotOwner);
        world.refused(0, "env_create", &[foreign], Error::NotOwner);
    }
    for none in [0, FIRST_FRAME + FRAMES as u64, u64::MAX] {
        world.refused(0, "map", &[0, PLACE, none, 1, READ], Error::BadArgument);
    }
}

#[test]
fn what_the_kernel_uses_is_neither_mapped_nor_given() {
    let mut world = World::boot();
    let first = world.frames(3);
    let [handle, ..] = world.ok(0, "env_create", &[first]);
    for own in first..first + 3 {
        world.refused(0, "map", &[0, PLACE, own, 1, WRITE], Error::NotOwner);
        world.refused(0, "frame_give", &[own, 1, handle], Error::NotOwner);
    }
    let page = world.env(0).activations[0].page.load(Relaxed).into();
    world.refused(0, "map", &[0, PLACE, page, 1, WRITE], Error::Busy);
}

#[test]
fn only_the_applications_part_of_the_space_can_be_named() {
    let mut world = World::boot();
    let frame = world.frames(1);
    for address in [ACTIVATION_BASE, PUBLIC_BASE, USER_END, u64::MAX - 4095, PLACE + 1, u64::MAX] {
        world.refused(0, "map", &[0, address, frame, 1, READ], Error::BadArgument);
        world.refused(0, "unmap", &[0, address, 1], Error::BadArgument);
        world.refused(0, "protect", &[0, address, 1, READ], Error::BadArgument);
    }
    world.refused(0, "table", &[0, PUBLIC_BASE, frame], Error::BadArgument);
    world.refused(0, "map", &[0, ACTIVATION_BASE - 4096, frame, 2, READ], Error::BadArgument);
    world.refused(0, "map", &[0, PLACE, frame, MAX_BATCH + 1, READ], Error::BadArgument);
    world.refused(0, "map", &[0, PLACE, frame, u64::MAX, READ], Error::BadArgument);
    world.refused(0, "map", &[0, PLACE, frame, 1, 3], Error::BadArgument);
    world.refused(0, "map", &[0, 3 << 30, frame, 1, READ], Error::NoTable);
}

#[test]
fn a_batch_with_one_bad_entry_changes_nothing() {
    let mut world = World::boot();
    let frames = world.frames(4);
    let other = world.frames(1);
    world.ok(0, "map", &[0, PLACE + 2 * 4096, other, 1, READ]);
    world.refused(0, "map", &[0, PLACE, frames, 4, READ], Error::Busy);
    assert_eq!(at(&world, 0, PLACE), None);
    world.refused(0, "protect", &[0, PLACE + 2 * 4096, 2, EXECUTE], Error::Absent);
    let child = world.spawn(0, 0, 0);
    world.ok(0, "frame_give", &[frames + 3, 1, child.handle.0]);
    world.refused(0, "frame_give", &[frames, 4, child.handle.0], Error::NotOwner);
    world.refused(0, "map", &[0, PLACE + 0x10000, frames, 4, READ], Error::NotOwner);
    world.ok(0, "map", &[0, PLACE + 0x10000, frames, 3, READ]);
}

#[test]
fn giving_a_frame_breaks_everybody_elses_mappings() {
    let mut world = World::boot();
    let [giver, receiver] = [world.spawn(0, 0, 0), world.spawn(0, 0, 1)];
    for child in [giver, receiver] {
        world.add_tables(0, child.handle.0);
    }
    let frame = world.frames(1);
    world.ok(0, "map", &[0, PLACE, frame, 1, WRITE]);
    world.ok(0, "map", &[giver.handle.0, DATA, frame, 1, WRITE]);
    world.ok(0, "map", &[receiver.handle.0, DATA, frame, 1, READ]);
    let capability = world.grant(0, Kind::Frame, frame, Rights::READ);
    world.ok(0, "frame_give", &[frame, 1, receiver.handle.0]);
    let left =
        [0, giver.index, receiver.index].map(|env| at(&world, env, if env == 0 { PLACE } else { DATA }));
    assert_eq!(left, [None, None, Some(Frame(frame))]);
    world.refused(0, "map_shared", &[capability.body, capability.mac, PLACE, READ], Error::Stale);
}

#[test]
fn a_mapping_by_capability_has_the_rights_that_it_was_granted() {
    let mut world = World::boot();
    let child = world.spawn(0, 0, 0);
    world.add_tables(0, child.handle.0);
    let frame = world.frames(1);
    let readable = world.grant(0, Kind::Frame, frame, Rights::READ);
    world.enter(0, child.target(0), u64::MAX, 0);
    for protection in [WRITE, EXECUTE] {
        world.refused(0, "map_shared", &[readable.body, readable.mac, DATA, protection], Error::NoRight);
    }
    world.ok(0, "map_shared", &[readable.body, readable.mac, DATA, READ]);
    for protection in [WRITE, EXECUTE] {
        world.refused(0, "protect", &[0, DATA, 1, protection], Error::NoRight);
    }
    world.refused(0, "map_shared", &[readable.body, readable.mac, DATA, READ], Error::Busy);
}

#[test]
fn who_does_not_own_a_frame_raises_its_protection_to_the_mappers_limit_only() {
    let mut world = World::boot();
    let child = world.spawn(0, 0, 0);
    world.add_tables(0, child.handle.0);
    let frame = world.frames(1);
    world.ok(0, "map", &[child.handle.0, DATA, frame, 1, WRITE]);
    world.enter(0, child.target(0), u64::MAX, 0);
    world.ok(0, "protect", &[0, DATA, 1, READ]);
    world.ok(0, "protect", &[0, DATA, 1, WRITE]);
    world.refused(0, "protect", &[0, DATA, 1, EXECUTE], Error::NoRight);
}

#[test]
fn a_frame_is_mapped_in_four_places_and_not_in_a_fifth() {
    let mut world = World::boot();
    let frame = world.frames(1);
    for place in 0..MAX_MAPPINGS as u64 {
        world.ok(0, "map", &[0, PLACE + place * 4096, frame, 1, READ]);
    }
    world.refused(0, "map", &[0, PLACE + 0x8000, frame, 1, READ], Error::Full);
    world.ok(0, "unmap", &[0, PLACE, 1]);
    world.ok(0, "map", &[0, PLACE + 0x8000, frame, 1, READ]);
    world.ok(0, "void", &[object(Kind::Frame, frame)]);
    assert_eq!(at(&world, 0, PLACE + 0x8000), Some(Frame(frame)), "the owner's own mappings stay");
}

#[test]
fn tables_are_installed_from_the_top_and_once() {
    let mut world = World::boot();
    let frames = world.frames(3);
    assert_eq!(world.ok(0, "table", &[0, 3 << 30, frames])[0], 2);
    assert_eq!(world.ok(0, "table", &[0, 3 << 30, frames + 1])[0], 3);
    world.refused(0, "table", &[0, 3 << 30, frames + 2], Error::Busy);
    world.refused(0, "map", &[0, 3 << 30, frames + 1, 1, WRITE], Error::Busy);
    assert_eq!(world.ok(0, "table", &[0, (3 << 30) + (2 << 20), frames + 2])[0], 3);
}

#[test]
fn a_mapped_frame_becomes_neither_table_nor_page_nor_environment() {
    let mut world = World::boot();
    let child = world.spawn_empty(0);
    let frames = world.frames(3);
    world.ok(0, "map", &[0, PLACE, frames + 1, 1, WRITE]);
    world.refused(0, "table", &[0, 3 << 30, frames + 1], Error::Busy);
    world.refused(0, "activation_create", &[child.target(0), frames + 1], Error::Busy);
    world.refused(0, "env_create", &[frames], Error::Busy);
}

/// The frames of an environment's tables for an address: the root, the directory, the table of pages.
fn tables(world: &World, env: u16, address: u64) -> [u64; 3] {
    let machine = world.fake.core(0);
    let root = world.kernel.space(&machine, env).root;
    let table = |level| paging::table_at(&machine, root, address, level).expect("the table is there").0;
    [1, 2, 3].map(table)
}

#[test]
fn an_environment_sees_its_own_page_tables() {
    let mut world = World::boot();
    let child = world.spawn(0, 0, 0);
    world.add_tables(0, child.handle.0);
    let [root, directory, table] = tables(&world, child.index, DATA);
    world.enter(0, child.target(0), u64::MAX, 0);
    assert_eq!(world.page(child.index, 0).root.load(Relaxed), root, "its page says where to begin");
    for (page, frame) in [root, directory, table].into_iter().enumerate() {
        let address = DATA + page as u64 * 4096;
        for protection in [WRITE, EXECUTE] {
            world.refused(0, "map", &[0, address, frame, 1, protection], Error::Busy);
        }
        world.ok(0, "map", &[0, address, frame, 1, READ]);
        for protection in [WRITE, EXECUTE] {
            world.refused(0, "protect", &[0, address, 1, protection], Error::NoRight);
        }
        world.ok(0, "protect", &[0, address, 1, READ]);
    }
    // What it sees there is true: the root points to the directory, that to the table, and that to all three.
    let seen = |frame: u64, at: usize| Machine::table(&world.fake.core(0), Frame(frame)).get(at).frame().0;
    assert_eq!([seen(root, 0), seen(directory, 2)], [directory, table]);
    assert_eq!([0, 1, 2].map(|at| seen(table, at)), [root, directory, table]);
    world.ok(0, "unmap", &[0, DATA, 3]);
    assert_eq!(at(&world, child.index, DATA), None);
}

#[test]
fn nobody_maps_a_table_of_another_or_for_another() {
    let mut world = World::boot();
    let child = world.spawn(0, 0, 0);
    world.add_tables(0, child.handle.0);
    for theirs in tables(&world, child.index, DATA) {
        world.refused(0, "map", &[0, PLACE, theirs, 1, READ], Error::NotOwner);
        world.refused(0, "map", &[child.handle.0, DATA, theirs, 1, READ], Error::NotOwner);
    }
    for mine in tables(&world, 0, DATA) {
        world.refused(0, "map", &[child.handle.0, DATA, mine, 1, READ], Error::Busy);
        world.refused(0, "grant", &[object(Kind::Frame, mine), 1], Error::Busy);
    }
    let env = world.env(0);
    let [state, handles] =
        [&world.kernel.envs[0].frame, &env.handles].map(|frame| frame.load(Relaxed).into());
    for other in [state, handles] {
        world.refused(0, "map", &[0, PLACE, other, 1, READ], Error::Busy);
    }
}

#[test]
fn a_table_is_mapped_in_three_places_besides_the_one_it_serves() {
    let mut world = World::boot();
    let [root, directory, _] = tables(&world, 0, DATA);
    for (frame, places) in [(root, MAX_MAPPINGS as u64), (directory, MAX_MAPPINGS as u64 - 1)] {
        for place in 0..places {
            world.ok(0, "map", &[0, PLACE + place * 4096, frame, 1, READ]);
        }
        world.refused(0, "map", &[0, PLACE + places * 4096, frame, 1, READ], Error::Full);
        world.ok(0, "unmap", &[0, PLACE, places]);
    }
}

#[test]
fn a_table_that_is_seen_is_reclaimed_with_its_environment() {
    let mut world = World::boot();
    let before = world.kernel.ownership.lock().frames.count(0);
    let child = world.spawn(0, 0, 0);
    world.add_tables(0, child.handle.0);
    let [root, directory, table] = tables(&world, child.index, DATA);
    world.enter(0, child.target(0), u64::MAX, 0);
    // The table even where it begins to serve: seen there, it is its own page.
    for (page, frame) in [(0, table), (1, directory), (2, root), (9, table)] {
        world.ok(0, "map", &[0, DATA + page * 4096, frame, 1, READ]);
    }
    world.call(0, "yield_now", &[]);
    world.ok(0, "env_destroy", &[child.handle.0]);
    while world.call(0, "env_reclaim", &[child.handle.0])[0] == Error::Again as u64 {}
    let own = world.kernel.ownership.lock();
    assert_eq!(own.frames.count(0), before);
    for frame in [root, directory, table] {
        assert!(own.frames.get(Frame(frame)).is_ok_and(|entry| !entry.is_mapped()), "{frame}");
    }
}

#[test]
fn a_full_batch_is_mapped_protected_and_unmapped_across_the_border_of_two_tables() {
    let mut world = World::boot();
    let tables = world.frames(3);
    for (address, frame) in [(3 << 30, tables), (3 << 30, tables + 1), ((3 << 30) + (2 << 20), tables + 2)] {
        world.ok(0, "table", &[0, address, frame]);
    }
    let (first, frames) = ((3 << 30) + (2 << 20) - 100 * 4096, world.frames(MAX_BATCH));
    world.ok(0, "map", &[0, first, frames, MAX_BATCH, WRITE]);
    world.ok(0, "protect", &[0, first, MAX_BATCH, READ]);
    for page in 0..MAX_BATCH {
        assert_eq!(at(&world, 0, first + page * 4096), Some(Frame(frames + page)));
    }
    world.refused(0, "unmap", &[0, first, MAX_BATCH + 1], Error::BadArgument);
    world.ok(0, "unmap", &[0, first, MAX_BATCH]);
    assert!((0..MAX_BATCH).all(|page| at(&world, 0, first + page * 4096).is_none()));
}
