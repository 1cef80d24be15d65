//! Directed yields: why they end, what they say, and how deep they nest.
//!
//! Not here: the end of a slice ([`super::slices`]).
#![forbid(unsafe_code)]

use super::world::*;
use core::sync::atomic::Ordering::Relaxed;
use std::vec::Vec;
use tranche_abi::layout::MAX_CHAIN;
use tranche_abi::{Error, Kind, Outcome, Reason, Rights, Tick, YIELD_EVENTS};

fn world_with_child() -> (World, Child) {
    let mut world = World::boot();
    let child = world.spawn(0, 0, 3);
    world.advance_to(100);
    (world, child)
}

/// What the first environment's `yield_to` on core 0 came back with.
#[track_caller]
fn came_back(world: &World, reason: Reason, ran: u64, detail: u64) {
    assert_eq!(world.who(0), Some((0, 0)));
    let expected = Outcome { reason, ran: Tick(ran), detail, now: Tick(world.now()) };
    assert_eq!(world.outcome(0), expected);
}

#[test]
fn it_ends_at_its_time() {
    let (mut world, child) = world_with_child();
    let until = world.now() + 50;
    world.enter(0, child.target(0), until, 0);
    world.advance(49);
    assert_eq!(world.who(0), Some((child.index, 0)));
    world.advance(1);
    came_back(&world, Reason::Expired, 50, 0);
}

#[test]
fn it_ends_when_the_target_yields() {
    let (mut world, child) = world_with_child();
    world.enter(0, child.target(0), u64::MAX, 0);
    world.advance(20);
    world.call(0, "yield_now", &[]);
    came_back(&world, Reason::Yielded, 20, 0);
}

#[test]
fn it_ends_when_the_target_waits_and_says_until_when() {
    let (mut world, child) = world_with_child();
    world.enter(0, child.target(0), u64::MAX, 0);
    let until = world.now() + 500;
    world.call(0, "wait", &[until]);
    came_back(&world, Reason::Waiting, 0, until);
    world.call(0, "yield_to", &[child.target(0), u64::MAX, 0]);
    came_back(&world, Reason::Busy, 0, until);
    world.advance(500);
    world.enter(0, child.target(0), u64::MAX, 0);
    assert_eq!(world.reply(0)[..2], [0, until], "the wait returns the time");
}

#[test]
fn it_ends_when_the_target_faults() {
    let (mut world, child) = world_with_child();
    world.enter(0, child.target(0), u64::MAX, 0);
    world.event(0, crate::machine::Cause::Fault { esr: 0x9200_0006, far: 0 });
    came_back(&world, Reason::Faulted, 0, 0x9200_0006);
    world.call(0, "yield_to", &[child.target(0), u64::MAX, 0]);
    came_back(&world, Reason::Faulted, 0, 0x9200_0006);
}

#[test]
fn it_ends_when_the_target_is_destroyed_from_another_core() {
    let (mut world, child) = world_with_child();
    world.enter(0, child.target(0), u64::MAX, 0);
    world.advance(7);
    world.ok(1, "env_destroy", &[child.handle.0]);
    world.deliver();
    came_back(&world, Reason::Gone, 7, 0);
    world.call(0, "yield_to", &[child.target(0), u64::MAX, 0]);
    came_back(&world, Reason::Gone, 0, 0);
}

#[test]
fn an_activation_that_does_not_exist_or_was_not_started_is_gone() {
    let (mut world, child) = world_with_child();
    let page = world.frames(1);
    world.ok(0, "activation_create", &[child.target(1), page]);
    for activation in [1, 2] {
        world.call(0, "yield_to", &[child.target(activation), u64::MAX, 0]);
        came_back(&world, Reason::Gone, 0, 0);
    }
    world.refused(0, "yield_to", &[child.target(8), u64::MAX, 0], Error::BadArgument);
}

#[test]
fn a_target_on_another_chain_is_busy() {
    let (mut world, child) = world_with_child();
    world.enter(1, child.target(0), u64::MAX, 0);
    world.call(0, "yield_to", &[child.target(0), u64::MAX, 0]);
    came_back(&world, Reason::Busy, 0, 0);
    world.call(0, "yield_to", &[0, u64::MAX, 0]);
    came_back(&world, Reason::Busy, 0, 0);
}

#[test]
fn a_time_that_has_come_runs_nobody() {
    let (mut world, child) = world_with_child();
    let now = world.now();
    world.call(0, "yield_to", &[child.target(0), now, 0]);
    came_back(&world, Reason::Expired, 0, 0);
}

#[test]
fn a_ready_client_ends_a_yield_that_asked_for_events() {
    let (mut world, child) = world_with_child();
    let sleeper = world.spawn(0, 0, 200);
    world.enter(0, sleeper.target(0), u64::MAX, 0);
    world.call(0, "wait", &[Tick::NEVER.0]);
    world.enter(0, child.target(0), u64::MAX, YIELD_EVENTS);
    world.advance(30);
    world.ok(1, "notify", &[sleeper.target(0), 2]);
    assert_eq!(world.who(0), Some((child.index, 0)), "the kick is on its way");
    world.deliver();
    came_back(&world, Reason::Event, 30, 0);
    assert_eq!(world.page(0, 0).ready[3].load(Relaxed), 1 << (200 - 192));
    world.call(0, "yield_to", &[child.target(0), u64::MAX, YIELD_EVENTS]);
    came_back(&world, Reason::Event, 0, 0);
    world.clear_events(0, 0);
    world.enter(0, child.target(0), u64::MAX, YIELD_EVENTS);
}

#[test]
fn a_ready_client_does_not_end_a_yield_that_did_not_ask() {
    let (mut world, child) = world_with_child();
    let sleeper = world.spawn(0, 0, 200);
    world.enter(0, sleeper.target(0), u64::MAX, 0);
    world.call(0, "wait", &[Tick::NEVER.0]);
    world.enter(0, child.target(0), u64::MAX, 0);
    world.ok(1, "notify", &[sleeper.target(0), 2]);
    world.deliver();
    assert_eq!(world.who(0), Some((child.index, 0)));
}

#[test]
fn an_event_is_seen_though_a_deeper_link_ended_at_the_same_moment() {
    let (mut world, child) = world_with_child();
    let [sleeper, deep] = [world.spawn(0, 0, 1), world.spawn(0, 0, 2)];
    world.enter(0, sleeper.target(0), u64::MAX, 0);
    world.call(0, "wait", &[Tick::NEVER.0]);
    let capability = world.grant(0, Kind::Env, deep.index as u64, Rights::RUN);
    world.enter(0, child.target(0), u64::MAX, YIELD_EVENTS);
    let handle = world.lend(0, capability);
    world.enter(0, handle.0, u64::MAX, 0);
    assert_eq!(world.who(0), Some((deep.index, 0)));
    world.ok(1, "env_destroy", &[deep.handle.0]);
    world.ok(1, "notify", &[sleeper.target(0), 1]);
    world.deliver();
    came_back(&world, Reason::Event, 0, 0);
}

/// A chain on core 0 as deep as it may be; its environments from the root on, and a handle for one more.
fn deep_chain(world: &mut World) -> (Vec<u16>, u64) {
    let children: Vec<_> = (0..MAX_CHAIN as u64).map(|client| world.spawn(0, 0, client)).collect();
    let grant = |child: &Child| world.grant(0, Kind::Env, child.index as u64, Rights::RUN);
    let capabilities: Vec<_> = children.iter().map(grant).collect();
    world.advance_to(100);
    let mut chain = Vec::from([0]);
    for (child, capability) in children.iter().zip(capabilities) {
        let handle = world.lend(0, capability).0;
        if chain.len() == MAX_CHAIN {
            return (chain, handle);
        }
        world.enter(0, handle, u64::MAX, 0);
        chain.push(child.index);
    }
    unreachable!("there are more children than links")
}

#[test]
fn yields_nest_to_the_full_depth_and_not_beyond() {
    let mut world = World::boot();
    let (_, one_more) = deep_chain(&mut world);
    world.refused(0, "yield_to", &[one_more, u64::MAX, 0], Error::Full);
}

#[test]
fn at_the_end_of_the_slot_every_link_sees_expired() {
    let mut world = World::boot();
    let (chain, _) = deep_chain(&mut world);
    world.advance_to(0);
    came_back(&world, Reason::Expired, QUANTUM - 100, 0);
    // Each caller finds its own outcome when it runs next; the last one was interrupted.
    for pair in chain[1..].windows(2) {
        let saved = &world.page(pair[0], 0).registers.x;
        let saved: [u64; 3] = core::array::from_fn(|i| saved[i].load(Relaxed));
        assert_eq!(saved, [0, Reason::Expired as u64, QUANTUM - 100]);
    }
}

#[test]
fn the_first_time_that_comes_unwinds_all_above_it() {
    let (mut world, child) = world_with_child();
    let deep = world.spawn(0, 0, 2);
    let capability = world.grant(0, Kind::Env, deep.index as u64, Rights::RUN);
    let start = world.now();
    world.enter(0, child.target(0), start + 50, 0);
    let handle = world.lend(0, capability);
    world.pass(10);
    world.enter(0, handle.0, start + 80, 0);
    world.advance(40);
    came_back(&world, Reason::Expired, 50, 0);
    world.enter(0, child.target(0), u64::MAX, 0);
    let Outcome { reason, ran, now, .. } = world.outcome(0);
    assert_eq!((reason, ran, now), (Reason::Expired, Tick(40), Tick(world.now())));
}

#[test]
fn an_environment_that_ends_itself_returns_to_its_caller() {
    let (mut world, child) = world_with_child();
    world.enter(0, child.target(0), u64::MAX, 0);
    world.call(0, "env_destroy", &[0]);
    came_back(&world, Reason::Gone, 0, 0);
}
