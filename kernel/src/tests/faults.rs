//! Faults, reflected calls, and the FP/SIMD registers.
//!
//! Not here: what a caller's `yield_to` says of a fault in general ([`super::chain`]).
#![forbid(unsafe_code)]

use super::world::*;
use crate::machine::{Cause, Resume};
use core::sync::atomic::Ordering::Relaxed;
use tranche_abi::page::Registers;
use tranche_abi::{Error, Reason};

const HANDLER: u64 = 0x4000;
const FAULT: Cause = Cause::Fault { esr: 0x9200_0047, far: 0x1234_5000 };

/// A child that runs on core 0 by a directed yield and handles faults.
fn world_with_handler() -> (World, Child) {
    let mut world = World::boot();
    let child = world.spawn(0, 0, 5);
    world.page(child.index, 0).fault.entry.store(HANDLER, Relaxed);
    world.enter(0, child.target(0), u64::MAX, 0);
    world.registers[0].pc = 0x1234;
    (world, child)
}

/// The same without a handler.
fn world_without_handler() -> (World, Child) {
    let (world, child) = world_with_handler();
    world.page(child.index, 0).fault.entry.store(0, Relaxed);
    (world, child)
}

#[test]
fn fp_that_is_off_is_an_exception_to_a_handler_and_on_by_itself_for_others() {
    let (mut world, child) = world_with_handler();
    world.event(0, FP_USE);
    assert_eq!(world.registers[0].pc, HANDLER);
    assert!(matches!(world.resume[0], Resume::User { fp: false, .. }));
    world.event(0, FP_USE); // in the handler, which has none
    assert!(matches!(world.resume[0], Resume::User { fp: true, .. }));
    world.call(0, "yield_now", &[]);
    world.enter(0, child.target(0), u64::MAX, 0);
    world.ok(0, "fp_on", &[]);
    assert!(matches!(world.resume[0], Resume::User { fp: true, .. }));
}

#[test]
fn a_fault_enters_the_applications_handler() {
    let (mut world, child) = world_with_handler();
    let registers = &mut world.registers[0];
    (registers.sp, registers.pstate, registers.x[7], registers.x[18]) = (0x9000, 0x6 << 28, 77, 18);
    registers.x[..2].copy_from_slice(&[10, 11]);
    let before = world.registers[0];
    world.event(0, FAULT);
    let entered = world.registers[0];
    let mut expected = Registers { pc: HANDLER, ..before };
    expected.x[..2].copy_from_slice(&[0x9200_0047, 0x1234_5000]);
    expected.x[18] = crate::activation::page_address(0);
    assert_eq!(entered, expected, "only what the handler is told has changed");
    let fault = &world.page(child.index, 0).fault;
    let kept = [&fault.entry, &fault.x[0], &fault.x[1], &fault.x18, &fault.pc, &fault.pstate];
    assert_eq!(kept.map(|field| field.load(Relaxed)), [0, 10, 11, 18, 0x1234, 0x6 << 28]);
}

#[test]
fn a_fault_inside_the_handler_stops_the_activation_and_tells_its_parent() {
    let (mut world, child) = world_with_handler();
    world.event(0, FAULT);
    world.event(0, FAULT);
    assert_eq!(world.who(0), Some((0, 0)));
    let outcome = world.outcome(0);
    assert_eq!((outcome.reason, outcome.detail), (Reason::Faulted, 0x9200_0047));
    assert_eq!(world.page(0, 0).ready[0].load(Relaxed), 1 << 5);
    world.ok(0, "activation_start", &[child.target(0), 0x7000, 0, 9]);
    world.enter(0, child.target(0), u64::MAX, 0);
    assert_eq!((world.registers[0].pc, world.registers[0].x[0]), (0x7000, 9));
    world.call(0, "yield_now", &[]);
    world.refused(0, "activation_start", &[child.target(0), 0, 0, 0], Error::Busy);
}

#[test]
fn a_fault_at_the_root_leaves_the_core_idle_until_the_next_slot() {
    let mut world = World::boot();
    world.advance_to(100);
    world.event(1, FAULT);
    assert_eq!((world.who(1), world.resume[1]), (None, Resume::Idle));
    world.advance(SLOTS * QUANTUM);
    assert_eq!(world.who(1), None, "a faulted activation does not run");
    world.ok(0, "activation_start", &[1 << 16, DATA, 0, 0]);
    world.advance(QUANTUM);
    assert_eq!(world.who(1), Some((0, 1)));
}

#[test]
fn unknown_calls_are_reflected_to_the_application() {
    for number in [0, 6, 0x1ff, 0x81ff, 0xfeff] {
        let (mut world, _) = world_with_handler();
        world.registers[0].x[8] = 64; // where a foreign program puts its call's number
        world.event(0, Cause::Call(number));
        let entered = world.registers[0];
        assert_eq!((entered.pc, entered.x[8]), (HANDLER, 64));
        assert_eq!(entered.x[..2], [0x5600_0000 | number as u64, 0]);
    }
}

#[test]
fn fp_registers_are_loaded_at_first_use_and_saved_on_leaving() {
    let (mut world, child) = world_without_handler();
    assert!(matches!(world.resume[0], Resume::User { fp: false, .. }));
    world.use_fp(0, 11);
    assert!(matches!(world.resume[0], Resume::User { fp: true, .. }));
    world.ok(0, "null", &[]);
    assert!(matches!(world.resume[0], Resume::User { fp: true, .. }), "a call does not cost them");
    world.call(0, "yield_now", &[]);
    assert!(matches!(world.resume[0], Resume::User { fp: false, .. }));
    let saved = &world.page(child.index, 0).fp;
    assert_eq!([&saved.v[0], &saved.v[63], &saved.fpcr, &saved.fpsr].map(|v| v.load(Relaxed)), [11; 4]);
    world.use_fp(0, 22);
    world.enter(0, child.target(0), u64::MAX, 0);
    world.event(0, FP_USE); // the world compares with what the child left
    assert_eq!(*world.fake.fp[0].borrow(), [11; 66]);
}

#[test]
fn who_never_used_fp_finds_zeros() {
    let (mut world, _) = world_without_handler();
    world.use_fp(0, 11);
    world.call(0, "yield_now", &[]);
    let other = world.spawn(0, 0, 6);
    world.enter(0, other.target(0), u64::MAX, 0);
    world.event(0, FP_USE);
    assert_eq!(*world.fake.fp[0].borrow(), [0; 66]);
}

#[test]
fn fp_registers_follow_an_activation_to_another_core() {
    let (mut world, child) = world_without_handler();
    world.use_fp(0, 11);
    world.call(0, "yield_now", &[]);
    world.enter(1, child.target(0), u64::MAX, 0);
    world.event(1, FP_USE);
    assert_eq!(*world.fake.fp[1].borrow(), [11; 66]);
}
