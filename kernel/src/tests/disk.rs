//! Extents of the disk, and pages that move between them and frames.
#![forbid(unsafe_code)]

use super::fake::{BLOCK_WORDS, DISK_BLOCKS};
use super::world::*;
use core::sync::atomic::Ordering::Relaxed;
use std::vec::Vec;
use tranche_abi::layout::{HANDLE_MACHINE, HANDLE_SELF, MAX_EXTENTS, PAGE_BLOCKS};
use tranche_abi::{Capability, Direction, DiskFault, Error, Frame, Handle, Kind, Progress, Rights};

const READ: u64 = Direction::Read as u64;
const WRITE: u64 = Direction::Write as u64;
const BOTH: Rights = Rights::READ.with(Rights::WRITE);
/// Ticks after which a transfer is overdue: two seconds of the fake machine's.
const OVERDUE: u64 = 2_000_000;

impl World {
    /// A handle of whoever runs on core 0 to an extent that it owns.
    #[track_caller]
    fn bound(&mut self, index: u64, rights: Rights) -> u64 {
        let capability = self.grant(0, Kind::Extent, index, rights);
        self.lend(0, capability).0
    }

    /// An extent of so many blocks from this one on, narrowed from the whole disk, for the environment behind a handle.
    #[track_caller]
    fn narrow(&mut self, first: u64, count: u64, to: Handle) -> u64 {
        self.ok(0, "extent_narrow", &[object(Kind::Extent, 0), first, count, to.0])[0]
    }

    fn step(&mut self, handle: u64, frame: u64) -> Progress {
        let [progress, fault, ..] = self.ok(0, "disk_step", &[handle, frame]);
        Progress::from_values([progress, fault]).expect("one of those that there are")
    }

    /// Steps until it is over; how it ended, and how many steps said something else.
    fn finish(&mut self, handle: u64, frame: u64) -> (Progress, u64) {
        for steps in 0.. {
            match self.step(handle, frame) {
                Progress::Again | Progress::Wait => {}
                over => return (over, steps),
            }
        }
        unreachable!()
    }

    /// The number of the block that each block of a frame was read from.
    fn blocks_in(&self, frame: u64) -> Vec<u64> {
        let words = self.fake.memory(Frame(frame)).iter().step_by(BLOCK_WORDS / 2);
        words.map(|word| word.load(Relaxed) & 0xffff_ffff).collect()
    }
}

#[test]
fn the_first_environment_owns_the_whole_disk_and_reads_it_page_by_page() {
    let mut world = World::boot();
    assert_eq!(world.kernel.public.disk_blocks.load(Relaxed), DISK_BLOCKS);
    let (disk, frame) = (world.bound(0, Rights::READ), world.frames(1));
    for page in [0, 3, DISK_BLOCKS / PAGE_BLOCKS - 1] {
        world.ok(0, "disk_begin", &[disk, page, READ]);
        assert_eq!(world.finish(disk, frame), (Progress::Done, PAGE_BLOCKS));
        assert_eq!(world.blocks_in(frame), Vec::from_iter(page * PAGE_BLOCKS..(page + 1) * PAGE_BLOCKS));
    }
}

#[test]
fn a_page_that_is_written_is_in_its_extents_blocks_and_in_no_other() {
    let mut world = World::boot();
    let extent = world.narrow(13, 20, HANDLE_SELF);
    let (handle, frame) = (world.bound(extent & 0xff, BOTH), world.frames(1));
    world.fake.memory(Frame(frame)).iter().for_each(|word| word.store(7 << 32 | 7, Relaxed));
    world.ok(0, "disk_begin", &[handle, 1, WRITE]);
    assert_eq!(world.finish(handle, frame).0, Progress::Done);
    let disk = world.fake.disk.borrow();
    for (number, block) in disk.blocks.iter().enumerate() {
        let written = (21..29).contains(&number);
        assert_eq!(*block, [if written { 7 } else { number as u32 }; BLOCK_WORDS], "block {number}");
    }
}

#[test]
fn a_page_outside_its_extent_is_refused() {
    let mut world = World::boot();
    let extent = world.narrow(13, 20, HANDLE_SELF);
    let handle = world.bound(extent & 0xff, BOTH);
    for page in [2, 3, u64::MAX / PAGE_BLOCKS, u64::MAX] {
        world.refused(0, "disk_begin", &[handle, page, READ], Error::BadArgument);
    }
    world.refused(0, "disk_begin", &[handle, 0, 2], Error::BadArgument);
    assert_eq!(world.fake.disk.borrow().moving, None);
    for (first, count) in [(0, 0), (0, 21), (20, 1), (u64::MAX, 2), (1, u64::MAX)] {
        world.refused(0, "extent_narrow", &[extent, first, count, 0], Error::BadArgument);
    }
    let narrower = world.ok(0, "extent_narrow", &[extent, 4, 16, 0])[0];
    let (handle, frame) = (world.bound(narrower & 0xff, BOTH), world.frames(1));
    world.ok(0, "disk_begin", &[handle, 1, READ]);
    world.finish(handle, frame);
    assert_eq!(world.blocks_in(frame)[0], 13 + 4 + 8);
}

#[test]
fn what_is_no_extent_is_refused() {
    let mut world = World::boot();
    let frame = world.frames(1);
    for name in [object(Kind::Extent, 5), object(Kind::Extent, 64), object(Kind::Extent, 0xfff_ffff)] {
        world.refused(0, "grant", &[name, 3], Error::BadArgument);
        world.refused(0, "void", &[name], Error::BadArgument);
        world.refused(0, "extent_narrow", &[name, 0, 1, 0], Error::BadArgument);
        world.refused(0, "extent_drop", &[name], Error::BadArgument);
    }
    world.refused(0, "extent_narrow", &[object(Kind::Frame, frame), 0, 1, 0], Error::BadArgument);
    world.refused(0, "extent_drop", &[object(Kind::Extent, 0)], Error::BadArgument);
    for handle in [HANDLE_SELF.0, HANDLE_MACHINE.0, 77, u64::MAX] {
        world.refused(0, "disk_begin", &[handle, 0, READ], Error::BadHandle);
        world.refused(0, "disk_step", &[handle, frame], Error::BadHandle);
    }
    let disk = world.bound(0, BOTH);
    world.refused(0, "extent_narrow", &[object(Kind::Extent, 0), 0, 1, disk], Error::BadHandle);
    world.refused(0, "disk_step", &[disk, frame], Error::Absent);
    let capability = world.grant(0, Kind::Env, 0, Rights::NOTIFY);
    let handle = world.lend(0, capability).0;
    world.refused(0, "extent_narrow", &[object(Kind::Extent, 0), 0, 1, handle], Error::NoRight);
}

#[test]
fn a_forged_capability_to_an_extent_binds_nothing() {
    let mut world = World::boot();
    let true_one = world.grant(0, Kind::Extent, 0, Rights::READ);
    for bit in 0..64 {
        world.refused(0, "bind", &[true_one.body ^ 1 << bit, true_one.mac], Error::Forged);
    }
    let more = Capability { body: true_one.body | u64::from(Rights::WRITE.0) << 32, ..true_one };
    world.refused(0, "bind", &[more.body, more.mac], Error::Forged);
}

#[test]
fn a_right_to_read_does_not_write_and_a_right_to_write_does_not_read() {
    let mut world = World::boot();
    let frame = world.frames(1);
    let (read, write, none) =
        (world.bound(0, Rights::READ), world.bound(0, Rights::WRITE), world.bound(0, Rights(0)));
    world.refused(0, "disk_begin", &[read, 0, WRITE], Error::NoRight);
    world.refused(0, "disk_begin", &[write, 0, READ], Error::NoRight);
    world.refused(0, "disk_begin", &[none, 0, READ], Error::NoRight);
    world.ok(0, "disk_begin", &[write, 0, WRITE]);
    world.refused(0, "disk_step", &[read, frame], Error::NoRight);
    assert_eq!(world.finish(write, frame).0, Progress::Done);
}

#[test]
fn a_void_makes_capabilities_handles_and_the_page_on_its_way_stale() {
    let mut world = World::boot();
    let extent = world.narrow(0, 16, HANDLE_SELF);
    let capability = world.grant(0, Kind::Extent, extent & 0xff, BOTH);
    let (handle, frame) = (world.lend(0, capability).0, world.frames(1));
    world.ok(0, "disk_begin", &[handle, 0, READ]);
    world.step(handle, frame);
    world.ok(0, "void", &[extent]);
    world.refused(0, "disk_step", &[handle, frame], Error::Stale);
    world.refused(0, "disk_begin", &[handle, 0, READ], Error::Stale);
    world.refused(0, "bind", &[capability.body, capability.mac], Error::Stale);
    let again = world.bound(extent & 0xff, BOTH);
    world.refused(0, "disk_step", &[again, frame], Error::Absent);
    world.ok(0, "disk_begin", &[again, 0, READ]);
    assert_eq!(world.finish(again, frame).0, Progress::Done);
}

#[test]
fn an_extent_that_was_dropped_is_stale_and_its_name_is_free_again() {
    let mut world = World::boot();
    let extent = world.narrow(0, 16, HANDLE_SELF);
    let handle = world.bound(extent & 0xff, BOTH);
    let inner = world.ok(0, "extent_narrow", &[extent, 8, 8, 0])[0];
    world.ok(0, "extent_drop", &[extent]);
    world.refused(0, "disk_begin", &[handle, 0, READ], Error::Stale);
    world.refused(0, "extent_drop", &[extent], Error::BadArgument);
    assert_eq!(world.narrow(40, 8, HANDLE_SELF), extent);
    world.refused(0, "disk_begin", &[handle, 0, READ], Error::Stale);
    let inner = world.bound(inner & 0xff, BOTH);
    world.ok(0, "disk_begin", &[inner, 0, READ]);
}

#[test]
fn a_full_table_of_extents_refuses_and_changes_nothing() {
    let mut world = World::boot();
    let last = (1..MAX_EXTENTS).map(|_| world.narrow(0, 8, HANDLE_SELF)).last().unwrap();
    let whole = object(Kind::Extent, 0);
    world.refused(0, "extent_narrow", &[whole, 0, 8, 0], Error::Full);
    world.ok(0, "extent_drop", &[last]);
    assert_eq!(world.narrow(0, 8, HANDLE_SELF), last);
}

#[test]
fn only_the_owner_of_a_frame_moves_a_page_with_it_and_a_refused_step_changes_nothing() {
    let mut world = World::boot();
    let (disk, frame) = (world.bound(0, Rights::READ), world.frames(2));
    let child = world.spawn(0, 0, 0);
    world.ok(0, "disk_begin", &[disk, 1, READ]);
    assert_eq!(world.step(disk, frame), Progress::Again);
    world.ok(0, "frame_give", &[frame, 1, child.handle.0]);
    world.refused(0, "disk_step", &[disk, frame], Error::NotOwner);
    world.refused(0, "disk_step", &[disk, RESERVED.0], Error::NotOwner);
    world.refused(0, "disk_step", &[disk, FIRST_FRAME - 1], Error::BadArgument);
    let page = crate::activation::stored_frame(&world.env(0).activations[0].page);
    world.refused(0, "disk_step", &[disk, page.0], Error::Busy);
    assert_eq!(world.finish(disk, frame + 1), (Progress::Done, PAGE_BLOCKS - 1));
    assert_eq!(world.blocks_in(frame + 1)[1..], Vec::from_iter(9..16)[..]);
    assert_eq!(world.fake.memory(Frame(frame))[BLOCK_WORDS].load(Relaxed), 0xdead_beef_dead_beef);
}

#[test]
fn another_environment_neither_steps_nor_begins_while_a_page_is_on_its_way() {
    let mut world = World::boot();
    let (disk, frame) = (world.bound(0, BOTH), world.frames(1));
    let capability = world.grant(0, Kind::Extent, 0, BOTH);
    let child = world.spawn(0, 0, 0);
    let theirs = world.frames(1);
    world.ok(0, "frame_give", &[theirs, 1, child.handle.0]);
    world.ok(0, "disk_begin", &[disk, 0, READ]);
    world.enter(0, child.target(0), u64::MAX, 0);
    world.refused(0, "grant", &[object(Kind::Extent, 0), 3], Error::NotOwner);
    world.refused(0, "extent_narrow", &[object(Kind::Extent, 0), 0, 8, 0], Error::NotOwner);
    let handle = world.lend(0, capability).0;
    world.refused(0, "disk_step", &[handle, theirs], Error::Absent);
    world.refused(0, "disk_begin", &[handle, 1, READ], Error::Busy);
    world.ok(0, "yield_now", &[]);
    assert_eq!(world.finish(disk, frame).0, Progress::Done);
    world.enter(0, child.target(0), u64::MAX, 0);
    world.ok(0, "disk_begin", &[handle, 1, READ]);
    assert_eq!(world.finish(handle, theirs).0, Progress::Done);
}

#[test]
fn who_begins_and_never_goes_on_keeps_others_waiting_for_two_seconds_and_no_longer() {
    let mut world = World::boot();
    let (disk, frame) = (world.bound(0, BOTH), world.frames(1));
    world.ok(0, "disk_begin", &[disk, 0, WRITE]);
    let begun = world.now();
    world.step(disk, frame);
    world.advance(OVERDUE - QUANTUM - (world.now() - begun));
    world.refused(0, "disk_begin", &[disk, 1, READ], Error::Busy);
    world.advance(QUANTUM);
    assert_eq!(
        world.step(disk, frame),
        Progress::Again,
        "it may go on as long as nobody else wants the disk"
    );
    world.ok(0, "disk_begin", &[disk, 2, READ]);
    assert_eq!(world.finish(disk, frame).0, Progress::Done);
    assert_eq!(world.blocks_in(frame)[0], 2 * PAGE_BLOCKS);
    let disk = world.fake.disk.borrow();
    assert_eq!(disk.blocks[2], [2; BLOCK_WORDS], "what was broken off is not written");
}

#[test]
fn a_page_of_an_environment_that_ended_keeps_nobody_waiting_and_its_extents_come_back() {
    let mut world = World::boot();
    let child = world.spawn(0, 0, 0);
    let extent = world.narrow(24, 16, child.handle);
    world.refused(0, "grant", &[extent, 3], Error::NotOwner);
    world.enter(0, child.target(0), u64::MAX, 0);
    let handle = world.bound(extent & 0xff, BOTH);
    let inner = world.ok(0, "extent_narrow", &[extent, 8, 8, 0])[0];
    world.ok(0, "disk_begin", &[handle, 0, READ]);
    world.ok(0, "yield_now", &[]);
    world.ok(0, "env_destroy", &[child.handle.0]);
    let disk = world.bound(0, BOTH);
    world.ok(0, "disk_begin", &[disk, 0, READ]);
    while world.call(0, "env_reclaim", &[child.handle.0])[0] == Error::Again as u64 {}
    for gone in [extent, inner] {
        world.refused(0, "extent_drop", &[gone], Error::BadArgument);
    }
    assert_eq!(world.narrow(0, 8, HANDLE_SELF), extent);
}

#[test]
fn who_named_an_extent_takes_it_back_from_whom_it_was_named_for() {
    let mut world = World::boot();
    let child = world.spawn(0, 0, 0);
    let (kept, taken) = (world.narrow(0, 8, HANDLE_SELF), world.narrow(24, 16, child.handle));
    world.enter(0, child.target(0), u64::MAX, 0);
    world.refused(0, "extent_drop", &[kept], Error::NotOwner);
    let handle = world.bound(taken & 0xff, BOTH);
    world.ok(0, "yield_now", &[]);
    world.ok(0, "extent_drop", &[taken]);
    world.enter(0, child.target(0), u64::MAX, 0);
    world.refused(0, "disk_begin", &[handle, 0, READ], Error::Stale);
}

#[test]
fn a_disk_that_is_slow_or_fails_says_so_to_whoever_steps() {
    let mut world = World::boot();
    let (disk, frame) = (world.bound(0, BOTH), world.frames(1));
    world.fake.disk.borrow_mut().slow = 2;
    world.fake.disk.borrow_mut().fault = Some(DiskFault::Checksum);
    world.ok(0, "disk_begin", &[disk, 0, READ]);
    assert_eq!(world.step(disk, frame), Progress::Wait);
    let (over, steps) = world.finish(disk, frame);
    assert_eq!((over, steps), (Progress::Failed(DiskFault::Checksum), 3 * (PAGE_BLOCKS + 1) - 2));
    world.refused(0, "disk_step", &[disk, frame], Error::Absent);
    world.ok(0, "disk_begin", &[disk, 0, READ]);
    assert_eq!(world.finish(disk, frame).0, Progress::Done);
}
