//! Slots and sleeping: whose slot it is, what wakes its owner, and who is charged.
//!
//! Not here: directed yields ([`super::chain`]) and the end of a slice ([`super::slices`]).
#![forbid(unsafe_code)]

use super::fake::CORES;
use super::world::*;
use core::sync::atomic::Ordering::Relaxed;
use std::vec::Vec;
use tranche_abi::{Error, Tick};

/// Who runs on core 0 in the middle of each slot of the revolution that begins next.
fn revolution(world: &mut World) -> Vec<Option<u16>> {
    world.advance_to(QUANTUM / 2);
    while world.next_slot() != 1 {
        world.advance(QUANTUM);
    }
    (0..SLOTS)
        .map(|_| {
            let who = world.who(0).map(|(env, _)| env);
            world.advance(QUANTUM);
            who
        })
        .collect()
}

#[test]
fn slots_run_their_owners_in_order() {
    let mut world = World::boot();
    let [a, b] = [world.spawn(0, 0, 0), world.spawn(0, 0, 1)];
    world.give_slots(0, 0, [3, 7], a.target(0));
    world.give_slots(0, 0, [4], b.target(0));
    let (a, b) = (Some(a.index), Some(b.index));
    let expected = [0, 0, 0, 1, 2, 0, 0, 1, 0, 0].map(|who| [Some(0), a, b][who]);
    assert_eq!(revolution(&mut world), expected);
    assert_eq!(revolution(&mut world), expected, "and so in every revolution");
}

#[test]
fn a_slot_whose_owner_cannot_run_is_not_skipped() {
    let mut world = World::boot();
    world.ok(0, "slot_aim", &[0, 4, 7]); // activation 7 does not exist
    let expected: Vec<_> = (0..SLOTS).map(|slot| (slot != 4).then_some(0)).collect();
    assert_eq!(revolution(&mut world), expected);
}

#[test]
fn yielding_at_the_root_gives_up_the_rest_of_the_slice_only() {
    let mut world = World::boot();
    world.advance_to(300);
    world.call(0, "yield_now", &[]);
    assert_eq!(world.who(0), None);
    world.advance(QUANTUM - 301);
    assert_eq!(world.who(0), None);
    world.advance(1);
    assert_eq!(world.who(0), Some((0, 0)));
}

#[test]
fn a_waiting_root_wakes_at_its_time() {
    let mut world = World::boot();
    world.advance_to(100);
    let until = world.now() + 300;
    world.call(0, "wait", &[until]);
    world.advance(299);
    assert_eq!(world.who(0), None);
    world.advance(1);
    assert_eq!((world.who(0), world.reply(0)[..2].to_vec()), (Some((0, 0)), [0, until].to_vec()));
}

#[test]
fn a_waiting_root_waits_on_in_its_next_slot() {
    let mut world = World::boot();
    world.advance_to(100);
    let until = world.now() + QUANTUM + 300;
    world.call(0, "wait", &[until]);
    world.advance(QUANTUM + 299);
    assert_eq!(world.who(0), None);
    world.advance(1);
    assert_eq!(world.who(0), Some((0, 0)));
}

#[test]
fn an_event_from_another_core_wakes_a_waiting_root() {
    let mut world = World::boot();
    world.call(0, "wait", &[Tick::NEVER.0]);
    assert_eq!(world.who(0), None);
    world.ok(1, "notify", &[0, 4]);
    assert_eq!(world.who(0), None, "the other core does not know yet");
    world.deliver();
    assert_eq!(world.who(0), Some((0, 0)));
    assert_eq!(world.page(0, 0).events.load(Relaxed), 4);
}

#[test]
fn an_event_is_not_lost_when_the_slot_ends_before_the_kick_arrives() {
    let mut world = World::boot();
    world.advance_to(QUANTUM - 1);
    world.call(0, "wait", &[Tick::NEVER.0]);
    world.ok(1, "notify", &[0, 4]);
    world.pass(1);
    world.event(0, crate::machine::Cause::Timer);
    assert_eq!(world.who(0), Some((0, 0)));
    world.deliver();
    assert_eq!(world.who(0), Some((0, 0)));
}

#[test]
fn waiting_with_an_event_pending_or_for_the_past_returns_at_once() {
    let mut world = World::boot();
    let now = world.now();
    assert_eq!(world.ok(0, "wait", &[now])[0], now);
    world.ok(0, "notify", &[0, 1]);
    assert_eq!(world.ok(0, "wait", &[Tick::NEVER.0])[0], now);
    assert_eq!(world.who(0), Some((0, 0)));
}

#[test]
fn the_kernels_events_cannot_be_notified() {
    let mut world = World::boot();
    for bit in 61..64 {
        world.refused(0, "notify", &[0, 1 << bit], Error::BadArgument);
    }
    world.ok(0, "notify", &[0, 1 << 60]);
}

#[test]
fn every_tick_is_in_one_bucket() {
    let mut world = World::boot();
    world.advance_to(0);
    let buckets = |world: &World| {
        let ledger = &world.kernel.public.ledger[0];
        [&ledger.env[0], &ledger.idle, &ledger.kernel, &ledger.excess].map(|bucket| bucket.load(Relaxed))
    };
    world.ok(0, "null", &[]);
    let before = buckets(&world);
    world.pass(120);
    let until = world.now() + 300;
    world.call(0, "wait", &[until]);
    world.pass(307); // the interrupt is 7 ticks late
    world.event(0, crate::machine::Cause::Timer);
    world.pass(11);
    world.ok(0, "null", &[]);
    let after = buckets(&world);
    let spent = core::array::from_fn(|i| after[i] - before[i]);
    assert_eq!(spent, [120 + 11, 300, 7, 0]);
}

#[test]
fn the_time_of_an_environment_that_is_gone_stays_in_the_ledger() {
    let mut world = World::boot();
    let child = world.spawn(0, 0, 0);
    let until = world.now() + 200;
    world.enter(0, child.target(0), until, 0);
    world.advance(200);
    world.ok(0, "env_destroy", &[child.handle.0]);
    while world.call(0, "env_reclaim", &[child.handle.0])[0] == Error::Again as u64 {}
    let ledger = &world.kernel.public.ledger[0];
    assert_eq!((ledger.env[child.index as usize].load(Relaxed), ledger.gone.load(Relaxed)), (0, 200));
}

#[test]
fn two_cores_may_sleep_for_the_same_activation() {
    let mut world = World::boot();
    let child = world.spawn(0, 0, 0);
    (0..2).for_each(|core| world.give_slots(0, core, 2..9, child.target(0)));
    while world.who(0) != Some((child.index, 0)) {
        world.advance(QUANTUM);
    }
    world.clear_events(child.index, 0);
    let wake_at = world.now() + 3 * QUANTUM / 2;
    world.call(0, "wait", &[wake_at]);
    world.advance(QUANTUM); // both cores begin a slot of the child's
    assert_eq!((world.who(0), world.who(1)), (None, None));
    world.advance(QUANTUM / 2);
    let runs = [0, 1].map(|core| world.who(core) == Some((child.index, 0)));
    assert!(runs == [true, false] || runs == [false, true], "it runs on one of them: {runs:?}");
}

#[test]
fn a_late_interrupt_loses_no_later_slot() {
    let mut world = World::boot();
    let child = world.spawn(0, 0, 0);
    world.give_slots(0, 0, [0, 2, 4, 6, 8], child.target(0));
    world.advance(SLOTS * QUANTUM);
    world.advance_to(0);
    let slot = world.next_slot();
    world.pass(2 * QUANTUM + 10);
    (0..CORES).for_each(|core| world.event(core, crate::machine::Cause::Timer));
    assert_eq!(world.next_slot(), (slot + 2) % SLOTS);
    let owner = if world.next_slot() % 2 == 1 { child.index } else { 0 };
    assert_eq!(world.who(0).map(|(env, _)| env), Some(owner), "the slot that it is now");
}
