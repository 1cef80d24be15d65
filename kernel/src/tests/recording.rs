//! What the kernel records: each kind where it should be, nothing while recording is off, and who may read and mark.
//!
//! Not here: that the fast ways record the same ([`super::twins`]).
#![forbid(unsafe_code)]

use super::world::*;
use crate::machine::Cause;
use core::sync::atomic::Ordering::Relaxed;
use std::vec::Vec;
use tranche_abi::layout::HANDLE_MACHINE;
use tranche_abi::trace::{FIRST_MARK, RING_PAGES, RING_RECORDS, Record, kind};
use tranche_abi::{Error, Kind, Reason, Rights, Tick};

/// Records of a core's ring from the `from`th on.
pub fn records(world: &World, core: usize, from: u64) -> Vec<Record> {
    let ring = world.kernel.cores[core].lock().ring.expect("the world has rings");
    let written = ring.written.load(Relaxed);
    let record = |number: u64| {
        let word = |i: usize| ring.records[number as usize % RING_RECORDS][i].load(Relaxed);
        Record { time: word(0), head: word(1), words: core::array::from_fn(|i| word(i + 2)) }
    };
    (from.max(written.saturating_sub(RING_RECORDS as u64))..written).map(record).collect()
}

/// Records written on all cores.
pub fn written(world: &World) -> u64 {
    let rings = world.kernel.cores.iter().filter_map(|core| core.lock().ring);
    rings.map(|ring| ring.written.load(Relaxed)).sum()
}

/// A booted world that records.
fn recording() -> World {
    let mut world = World::boot();
    world.ok(0, "trace_switch", &[HANDLE_MACHINE.0, 1]);
    world
}

/// The only record of a kind on a core: environment, detail, words.
#[track_caller]
fn only(world: &World, core: usize, wanted: u8) -> (u16, u32, [u64; 6]) {
    let all: Vec<Record> =
        records(world, core, 0).into_iter().filter(|record| record.kind() == wanted).collect();
    assert_eq!(all.len(), 1, "{all:x?}");
    assert_eq!(usize::from(all[0].core()), core);
    (all[0].env(), all[0].detail(), all[0].words)
}

fn kinds(world: &World, core: usize) -> Vec<u8> {
    records(world, core, 0).iter().map(Record::kind).collect()
}

#[test]
fn nothing_is_recorded_before_it_is_switched_on_and_after_it_is_switched_off() {
    let mut world = World::boot();
    world.advance(3 * QUANTUM);
    assert_eq!(kinds(&world, 0), []);
    world.ok(0, "trace_switch", &[HANDLE_MACHINE.0, 1]);
    world.advance(QUANTUM);
    let count = kinds(&world, 0).len();
    assert!(count > 0 && world.kernel.public.tracing.load(Relaxed) == 1);
    world.ok(0, "trace_switch", &[HANDLE_MACHINE.0, 0]);
    world.advance(3 * QUANTUM);
    assert_eq!(kinds(&world, 0).len(), count);
    world.refused(0, "trace_switch", &[HANDLE_MACHINE.0, 2], Error::BadArgument);
}

#[test]
fn every_slot_is_recorded_on_every_core_and_each_revolution_with_the_ledger() {
    let mut world = recording();
    world.advance_to(0);
    let from = records(&world, 2, 0).len() as u64;
    world.advance(2 * SLOTS * QUANTUM);
    let all = records(&world, 2, from);
    let slices: Vec<_> = all.iter().filter(|record| record.kind() == kind::SLICE).collect();
    assert_eq!(slices.len() as u64, 2 * SLOTS);
    let epoch = world.kernel.public.epoch.load(Relaxed);
    for slice in slices {
        assert_eq!((slice.env(), slice.detail()), (0, 2));
        assert_eq!(slice.words[1], epoch + (slice.words[0] + 1) * QUANTUM);
        assert!(slice.time >= slice.words[1] - QUANTUM && slice.time < slice.words[1]);
    }
    assert_eq!(all.iter().filter(|record| record.kind() == kind::LEDGER).count(), 2);
}

#[test]
fn a_directed_yield_is_recorded_when_it_is_over_with_all_that_its_maker_was_told() {
    let mut world = recording();
    world.advance_to(100);
    let child = world.spawn(0, 0, 1);
    let (began, until) = (world.now(), world.now() + 500);
    world.enter(0, child.target(0), until, 0);
    world.advance(77);
    world.call(0, "yield_now", &[]);
    let target = child.index.into();
    assert_eq!(only(&world, 0, kind::YIELD), (0, Reason::Yielded as u32, [target, began, until, 77, 0, 0]));
}

#[test]
fn a_directed_yield_that_did_not_begin_is_recorded_too() {
    let mut world = recording();
    world.advance_to(100);
    let child = world.spawn(0, 0, 1);
    let now = world.now();
    world.call(0, "yield_to", &[child.target(1), u64::MAX, 0]);
    let target = u64::from(child.index) | 1 << 16;
    assert_eq!(only(&world, 0, kind::YIELD), (0, Reason::Gone as u32, [target, now, u64::MAX, 0, 0, 0]));
}

#[test]
fn waiting_and_being_woken_are_recorded() {
    let mut world = recording();
    world.advance_to(100);
    let wake_at = world.now() + 5 * QUANTUM;
    world.call(1, "wait", &[wake_at]);
    assert_eq!(only(&world, 1, kind::IDLE), (0, 1, [wake_at, 0, 0, 0, 0, 0]));
    world.ok(0, "notify", &[1 << 16, 4]);
    assert_eq!(only(&world, 0, kind::READY), (0, 1, [0; 6]));
}

#[test]
fn a_fault_is_recorded_with_syndrome_and_address_and_so_is_the_life_of_an_environment() {
    let mut world = recording();
    world.advance_to(100);
    let child = world.spawn(0, 0, 1);
    assert_eq!(only(&world, 0, kind::LIFE), (child.index, 0, [0; 6]));
    world.enter(0, child.target(0), u64::MAX, 0);
    world.event(0, Cause::Fault { esr: 0x9200_0047, far: 0x1234 });
    assert_eq!(only(&world, 0, kind::FAULT), (child.index, 0, [0x9200_0047, 0x1234, 0, 0, 0, 0]));
    world.ok(0, "env_destroy", &[child.handle.0]);
    let ends: Vec<_> = records(&world, 0, 0).into_iter().filter(|r| r.kind() == kind::LIFE).collect();
    assert_eq!((ends.len(), ends[1].env(), ends[1].detail()), (2, child.index, 1));
}

#[test]
fn demands_and_what_is_taken_by_force_are_recorded() {
    let mut world = recording();
    let child = world.spawn(0, 0, 1);
    let slot = (world.next_slot() + 3) % SLOTS;
    world.give_slots(0, 1, [slot], child.target(0));
    let deadline = world.now() + 10;
    world.ok(0, "ask", &[child.target(0), 0, 1, 1, deadline]);
    assert_eq!(only(&world, 0, kind::ASKED), (child.index, 0, [0, 1, 1, deadline, 0, 0]));
    world.advance(20);
    world.ok(0, "seize_slot", &[child.handle.0, 1, slot]);
    let object = object(Kind::Slot, tranche_abi::layout::MAX_SLOTS as u64 + slot);
    assert_eq!(only(&world, 0, kind::SEIZED), (child.index, 0, [object, 0, 0, 0, 0, 0]));
}

#[test]
fn a_slice_that_is_kept_to_the_end_of_the_grace_time_is_recorded_with_what_is_owed() {
    let mut world = recording();
    world.advance_to(100);
    world.page(0, 3).in_critical.store(1, Relaxed);
    world.advance_to(0);
    world.advance(GRACE + 10);
    let (env, detail, words) = only(&world, 3, kind::EXCESS);
    assert_eq!((env, detail, words[0]), (0, 3, GRACE));
}

#[test]
fn a_transfer_by_the_general_way_is_recorded() {
    let mut world = recording();
    world.advance_to(100);
    let child = world.spawn(0, 0, 1);
    world.enter(0, child.target(0), u64::MAX, 0);
    world.call(0, "pct_return", &[]);
    let [gate, ..] = world.ok(0, "gate_open", &[child.target(0)]);
    world.registers[0].x[16] = gate;
    world.event(0, Cause::Call(immediate("pct_call")));
    assert_eq!(only(&world, 0, kind::TRANSFER), (0, 0, [child.index.into(), 0, 0, 0, 0, 0]));
}

#[test]
fn a_mark_is_stamped_by_the_kernel_whatever_its_maker_says() {
    let mut world = recording();
    let lie = u64::from(FIRST_MARK + 3) | 0xffff_ff00 | 0xabcd << 32;
    world.ok(2, "trace_mark", &[HANDLE_MACHINE.0, lie, 1, 2, 3, 4, 5, 6]);
    let record = *records(&world, 2, 0).last().expect("it is there");
    assert_eq!((record.kind(), record.core(), record.env()), (FIRST_MARK + 3, 2, 0));
    assert_eq!((record.detail(), record.words, record.time), (0xabcd, [1, 2, 3, 4, 5, 6], world.now()));
}

#[test]
fn a_mark_of_a_kind_that_is_the_kernels_is_refused() {
    let mut world = recording();
    world.refused(0, "trace_mark", &[HANDLE_MACHINE.0, u64::from(kind::SLICE)], Error::BadArgument);
}

#[test]
fn each_call_wants_its_own_right_to_the_machine() {
    let mut world = recording();
    world.advance_to(100);
    let child = world.spawn(0, 0, 1);
    let lent = world.grant(0, Kind::Machine, 0, Rights::MARK);
    world.enter(0, child.target(0), u64::MAX, 0);
    let handle = world.lend(0, lent).0;
    let mark = u64::from(FIRST_MARK);
    world.ok(0, "trace_mark", &[handle, mark]);
    assert_eq!(records(&world, 0, 0).last().map(Record::env), Some(child.index));
    world.refused(0, "trace_switch", &[handle, 0], Error::NoRight);
    world.refused(0, "trace_map", &[handle, 0, 0, 1, DATA], Error::NoRight);
    world.refused(0, "device_map", &[handle, DEVICES.start, 1, DATA], Error::NoRight);
    for (name, arguments) in
        [("trace_switch", [0, 1]), ("trace_map", [0, 0]), ("trace_mark", [0, mark]), ("device_map", [0, 0])]
    {
        world.refused(0, name, &arguments, Error::BadHandle);
    }
}

#[test]
fn a_ring_that_is_full_is_overwritten_from_its_beginning() {
    let mut world = recording();
    let ring = world.kernel.cores[1].lock().ring.expect("the world has rings");
    let before = ring.written.load(Relaxed);
    for number in 0..RING_RECORDS as u64 + 5 {
        world.kernel.cores[1].lock().record(
            crate::machine::CpuId(1),
            Tick(number),
            (FIRST_MARK, 7, 0, &[number]),
        );
    }
    assert_eq!(ring.written.load(Relaxed), before + RING_RECORDS as u64 + 5);
    let all = records(&world, 1, 0);
    assert_eq!((all.len(), all[0].words[0]), (RING_RECORDS, 5));
    assert_eq!(all.last().map(|record| record.words[0]), Some(RING_RECORDS as u64 + 4));
    world.advance(1);
}

#[test]
fn a_ring_is_mapped_for_reading_only_and_page_by_page() {
    let mut world = recording();
    world.advance_to(100);
    let place = DATA + (4 << 21);
    world.refused(0, "trace_map", &[HANDLE_MACHINE.0, 1, 0, 2, place], Error::NoTable);
    let table = world.frames(1);
    world.ok(0, "table", &[0, place, table]);
    world.ok(0, "trace_map", &[HANDLE_MACHINE.0, 1, 3, 2, place]);
    world.refused(0, "trace_map", &[HANDLE_MACHINE.0, 1, 3, 2, place], Error::Busy);
    for (page, offset) in [(0, 3), (1, 4)] {
        let descriptor = crate::paging::Descriptor::load(
            crate::paging::place(
                &world.fake.core(0),
                world.kernel.space(&world.fake.core(0), 0).root,
                place + page * 4096,
            )
            .expect("there is a table"),
        );
        assert_eq!(descriptor.frame().0, FIRST_RING + RING_PAGES + offset);
        assert_eq!(descriptor.limit(), tranche_abi::Protection::Read);
    }
    world.refused(0, "protect", &[0, place, 2, 1], Error::NoRight);
    world.refused(0, "trace_map", &[HANDLE_MACHINE.0, 4, 0, 1, place + 0x8000], Error::BadArgument);
    world.refused(0, "trace_map", &[HANDLE_MACHINE.0, 1, RING_PAGES, 1, place + 0x8000], Error::BadArgument);
    world.refused(0, "trace_map", &[HANDLE_MACHINE.0, 1, u64::MAX, 1, place + 0x8000], Error::BadArgument);
    world.ok(0, "unmap", &[0, place, 2]);
}

#[test]
fn only_the_registers_of_devices_that_nobody_drives_are_mapped() {
    let mut world = recording();
    let place = DATA + (4 << 21);
    let table = world.frames(1);
    world.ok(0, "table", &[0, place, table]);
    for (first, count) in [(DEVICES.start - 1, 1), (DEVICES.end, 1), (DEVICES.start, 5), (u64::MAX, 2)] {
        world.refused(0, "device_map", &[HANDLE_MACHINE.0, first, count, place], Error::BadArgument);
    }
    world.ok(0, "device_map", &[HANDLE_MACHINE.0, DEVICES.start, 4, place]);
    world.refused(0, "protect", &[0, place, 1, 2], Error::NoRight);
    world.ok(0, "unmap", &[0, place, 4]);
}
