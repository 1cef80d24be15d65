//! The ends of a slice: the upcalls at its start and its end, the time of grace, and what keeping the CPU costs.
//!
//! Not here: whose slot it is ([`super::time`]).
#![forbid(unsafe_code)]

use super::world::*;
use crate::revoke::MAX_STRIKES;
use core::sync::atomic::Ordering::Relaxed;
use tranche_abi::{Reason, Tick};

const RUN: u64 = 0x2000;
const SLICE_END: u64 = 0x3000;
const STACK: u64 = 0x9000;

/// A child that owns slots 2 to 9 of core 0 and runs there, 100 ticks into a slot.
fn world_of_a_slice_owner() -> (World, Child) {
    let mut world = World::boot();
    let child = world.spawn(0, 0, 0);
    world.give_slots(0, 0, 2..10, child.target(0));
    while world.who(0) != Some((child.index, 0)) {
        world.advance(QUANTUM);
    }
    world.advance_to(100);
    world.page(child.index, 0).upcalls.stack.store(STACK, Relaxed);
    (world, child)
}

#[test]
fn an_interrupted_activation_is_told_of_its_next_slice() {
    let (mut world, child) = world_of_a_slice_owner();
    world.page(child.index, 0).upcalls.run.store(RUN, Relaxed);
    (world.registers[0].pc, world.registers[0].x[7]) = (0x1234, 77);
    world.advance_to(0);
    let entered = world.registers[0];
    assert_eq!((entered.pc, entered.sp, entered.x[0], entered.x[7]), (RUN, STACK, 0, 0));
    let page = world.page(child.index, 0);
    assert_eq!((page.disabled.load(Relaxed), page.enabled_area.pc.load(Relaxed)), (1, 0x1234));
    world.call(0, "resume", &[]);
    assert_eq!((world.registers[0].pc, world.registers[0].x[7]), (0x1234, 77));
    assert_eq!(world.page(child.index, 0).disabled.load(Relaxed), 0);
}

#[test]
fn a_disabled_activation_continues_exactly() {
    let (mut world, child) = world_of_a_slice_owner();
    world.page(child.index, 0).upcalls.run.store(RUN, Relaxed);
    world.page(child.index, 0).disabled.store(1, Relaxed);
    (world.registers[0].pc, world.registers[0].x[7]) = (0x1234, 77);
    world.advance_to(0);
    assert_eq!((world.registers[0].pc, world.registers[0].x[7]), (0x1234, 77));
}

#[test]
fn an_activation_that_resumes_itself_continues_exactly() {
    for (pc, upcall) in [(0x0ffc, true), (0x1000, false), (0x100c, false), (0x1010, true)] {
        let (mut world, child) = world_of_a_slice_owner();
        let upcalls = &world.page(child.index, 0).upcalls;
        upcalls.run.store(RUN, Relaxed);
        upcalls.critical_begin.store(0x1000, Relaxed);
        upcalls.critical_end.store(0x1010, Relaxed);
        world.registers[0].pc = pc;
        world.advance_to(0);
        assert_eq!(world.registers[0].pc, if upcall { RUN } else { pc });
    }
}

#[test]
fn the_end_of_a_slice_is_announced_and_the_grace_time_paid_for() {
    let (mut world, child) = world_of_a_slice_owner();
    world.page(child.index, 0).upcalls.slice_end.store(SLICE_END, Relaxed);
    world.registers[0].pc = 0x1234;
    world.advance_to(0);
    assert_eq!((world.registers[0].pc, world.registers[0].x[0]), (SLICE_END, 1));
    assert_eq!(world.page(child.index, 0).enabled_area.pc.load(Relaxed), 0x1234);
    world.advance(20);
    world.call(0, "yield_now", &[]);
    assert_eq!(world.who(0), Some((child.index, 0)), "its next slice");
    assert_eq!(world.kernel.public.ledger[0].excess.load(Relaxed), 20);
    assert_eq!(world.kernel.envs[child.index as usize].debt.load(Relaxed), 20);
    assert_eq!(world.page(child.index, 0).excess.load(Relaxed), 0, "it was in time");
    assert_eq!(world.page(child.index, 0).slot_end.load(Relaxed), world.now() - 20 + QUANTUM);
}

#[test]
fn the_cpu_is_taken_at_the_end_of_the_grace_time() {
    let (mut world, child) = world_of_a_slice_owner();
    world.page(child.index, 0).upcalls.slice_end.store(SLICE_END, Relaxed);
    world.advance_to(0);
    world.advance(GRACE);
    assert_eq!(world.page(child.index, 0).excess.load(Relaxed), 1);
    assert_eq!(world.kernel.public.env_excess[child.index as usize].load(Relaxed), 1);
    assert_eq!(world.kernel.public.ledger[0].excess.load(Relaxed), GRACE);
    assert_eq!(world.registers[0].pc, SLICE_END, "it goes on in its handler, in its next slice");
}

#[test]
fn a_critical_section_defers_the_end_of_the_slice() {
    let (mut world, child) = world_of_a_slice_owner();
    let page = world.page(child.index, 0);
    page.in_critical.store(1, Relaxed);
    page.disabled.store(1, Relaxed);
    world.registers[0].pc = 0x1234;
    world.advance_to(0);
    world.advance(GRACE - 1);
    assert_eq!((world.registers[0].pc, world.page(child.index, 0).slice_ended.load(Relaxed)), (0x1234, 1));
    assert_eq!(world.page(child.index, 0).excess.load(Relaxed), 0);
    world.advance(1);
    assert_eq!(world.page(child.index, 0).excess.load(Relaxed), 1);
}

#[test]
fn in_the_grace_time_nobody_can_be_yielded_to() {
    let (mut world, child) = world_of_a_slice_owner();
    world.page(child.index, 0).upcalls.slice_end.store(SLICE_END, Relaxed);
    world.advance_to(0);
    world.call(0, "yield_to", &[0, u64::MAX, 0]);
    assert_eq!(world.outcome(0).reason, Reason::Expired);
}

#[test]
fn waiting_in_the_grace_time_ends_it() {
    let (mut world, child) = world_of_a_slice_owner();
    world.page(child.index, 0).upcalls.slice_end.store(SLICE_END, Relaxed);
    world.clear_events(child.index, 0);
    world.advance_to(0);
    let until = world.now() + 300;
    world.call(0, "wait", &[until]);
    assert_eq!(world.who(0), None);
    world.advance(300);
    assert_eq!(world.who(0), Some((child.index, 0)));
}

#[test]
fn excess_time_is_paid_with_a_later_slot() {
    let (mut world, child) = world_of_a_slice_owner();
    world.kernel.envs[child.index as usize].debt.store(QUANTUM - GRACE, Relaxed);
    world.page(child.index, 0).upcalls.slice_end.store(SLICE_END, Relaxed);
    world.advance_to(0);
    world.advance(GRACE);
    assert_eq!(world.who(0), Some((0, 0)), "the slot falls to the first environment");
    assert_eq!(world.kernel.envs[child.index as usize].debt.load(Relaxed), 0);
    world.advance_to(0);
    assert_eq!(world.who(0), Some((child.index, 0)), "and one slot is enough");
}

#[test]
fn who_overstays_too_often_is_destroyed_and_others_keep_their_slots() {
    let (mut world, child) = world_of_a_slice_owner();
    let other = world.kernel.public.ledger[0].env[0].load(Relaxed);
    let start = world.now();
    while world.kernel.is_alive(world.id(child.index)) {
        // A program that announces that it is in a critical section and never leaves it.
        world.page(child.index, 0).in_critical.store(1, Relaxed);
        world.advance(QUANTUM);
        assert!(world.now() - start < 1000 * QUANTUM);
    }
    assert_eq!(world.kernel.public.env_excess[child.index as usize].load(Relaxed), MAX_STRIKES);
    let revolutions = (world.now() - start) / (SLOTS * QUANTUM);
    let got = world.kernel.public.ledger[0].env[0].load(Relaxed) - other;
    assert!(got >= revolutions * (2 * QUANTUM - 2 * GRACE), "{got} in {revolutions} revolutions");
    world.advance(SLOTS * QUANTUM);
    assert_ne!(world.who(0), Some((child.index, 0)));
}

#[test]
fn a_client_of_a_chain_gets_the_announcement_and_its_caller_sees_expired() {
    let mut world = World::boot();
    let child = world.spawn(0, 0, 0);
    world.page(child.index, 0).upcalls.slice_end.store(SLICE_END, Relaxed);
    world.advance_to(100);
    world.enter(0, child.target(0), u64::MAX, 0);
    world.advance_to(0);
    assert_eq!((world.who(0), world.registers[0].pc), (Some((child.index, 0)), SLICE_END));
    world.advance(5);
    world.call(0, "yield_now", &[]);
    let outcome = world.outcome(0);
    assert_eq!(
        (world.who(0), outcome.reason, outcome.ran),
        (Some((0, 0)), Reason::Expired, Tick(QUANTUM - 100))
    );
}
