//! Calls whose caller, callee, or somebody in between ends: by a fault, or with its environment.
//!
//! Not here: calls that come back as they should ([`super::transfer`]).
#![forbid(unsafe_code)]

use super::transfers::{LOST, RESUME, Way};
use super::world::*;
use crate::activation::{Tag, page_address};
use crate::machine::Cause;
use core::sync::atomic::Ordering::Relaxed;
use tranche_abi::{Error, Kind, Reason, Rights};

const BOTH: [Way; 2] = [Way::Fast, Way::Slow];
const FAULT: Cause = Cause::Fault { esr: 0x9200_0006, far: 0 };

/// Whoever runs on core 0 reclaims all of a destroyed environment.
pub fn reclaim(world: &mut World, handle: u64) {
    for _ in 0..64 {
        world.deliver();
        if world.call(0, "env_reclaim", &[handle])[0] != Error::Again as u64 {
            return world.refused(0, "env_reclaim", &[handle], Error::BadHandle);
        }
    }
    panic!("reclaiming does not end")
}

/// A client that runs on core 1, a server that it calls, and a second server that the first has a gate to.
struct Three {
    world: World,
    client: Child,
    first: Child,
    second: Child,
    /// The client's gate to the first, and the first's to the second.
    gates: [u64; 2],
}

/// The client runs on core 1, and has not called yet.
fn three() -> Three {
    let mut world = World::boot();
    let client = world.spawn(0, 0, 1);
    let [first, second] = [world.spawn(0, 0, 2), world.server(3)];
    let inner = world.child_gate(first, second);
    world.serve(first, 0);
    let outer = world.child_gate(client, first);
    world.advance_to(100);
    world.clear_events(0, 0);
    world.enter(1, client.target(0), u64::MAX, 0);
    Three { world, client, first, second, gates: [outer, inner] }
}

/// The client is in a call of the first server.
fn in_call(way: Way) -> Three {
    let mut three = three();
    three.world.call_gate(1, three.gates[0], way);
    three
}

/// The first server, in that call, is in a call of the second.
fn in_nested_call(way: Way) -> Three {
    let mut three = in_call(way);
    three.world.call_gate(1, three.gates[1], way);
    three
}

/// The activation that runs on a core has just learnt that its call did not return.
#[track_caller]
fn is_broken(world: &World, core: usize, env: u16) {
    assert_eq!(world.body(core), Some((env, 0)));
    let registers = world.registers[core];
    let pc = RESUME + env as u64;
    assert_eq!(registers.x[16..19], [pc, Error::Broken as u64, page_address(0)]);
    assert_eq!((registers.pc, registers.sp, registers.pstate), (pc, 0, 0));
    assert_eq!(registers.x[..16], [0; 16]);
}

fn tag(world: &World, env: u16) -> Option<Tag> {
    world.kernel.state(env, 0).map(|state| state.tag)
}

fn is_ready_told(world: &World, client: u64) -> bool {
    world.page(0, 0).ready[0].load(Relaxed) & 1 << client != 0
}

#[test]
fn a_callee_that_faults_stops_and_its_caller_and_manager_are_told() {
    for way in BOTH {
        let Three { mut world, client, first, .. } = in_call(way);
        world.event(1, FAULT);
        is_broken(&world, 1, client.index);
        assert_eq!(tag(&world, first.index), Some(Tag::Faulted));
        assert!(is_ready_told(&world, 2));
        world.ok(0, "activation_start", &[first.target(0), DATA, 0, 0]);
    }
}

#[test]
fn a_callee_that_handles_its_fault_goes_on() {
    for way in BOTH {
        let Three { mut world, first, .. } = in_call(way);
        world.page(first.index, 0).fault.entry.store(0x4000, Relaxed);
        world.event(1, FAULT);
        assert_eq!((world.body(1), world.registers[1].pc), (Some((first.index, 0)), 0x4000));
    }
}

#[test]
fn a_callee_that_is_destroyed_leaves_its_caller_with_broken() {
    for way in BOTH {
        let Three { mut world, client, first, .. } = in_call(way);
        world.ok(0, "env_destroy", &[first.handle.0]);
        world.deliver();
        is_broken(&world, 1, client.index);
        reclaim(&mut world, first.handle.0);
        world.ok(1, "null", &[]);
    }
}

#[test]
fn a_callee_that_destroys_itself_leaves_its_caller_with_broken() {
    for way in BOTH {
        let Three { mut world, client, .. } = in_call(way);
        world.call(1, "env_destroy", &[0]);
        is_broken(&world, 1, client.index);
    }
}

#[test]
fn a_caller_that_does_not_run_learns_in_its_next_slice_that_its_callee_is_gone() {
    for way in BOTH {
        for reclaimed in [false, true] {
            let Three { mut world, client, first, .. } = in_call(way);
            world.call(1, "yield_now", &[]);
            world.ok(0, "env_destroy", &[first.handle.0]);
            if reclaimed {
                reclaim(&mut world, first.handle.0);
            }
            world.enter(0, client.target(0), u64::MAX, 0);
            is_broken(&world, 0, client.index);
        }
    }
}

#[test]
fn a_callee_whose_caller_is_destroyed_loses_the_cpu_and_is_ready_once_that_is_reclaimed() {
    for way in BOTH {
        let Three { mut world, client, first, gates, .. } = in_call(way);
        world.registers[1].pc = 0x1234;
        world.ok(0, "env_destroy", &[client.handle.0]);
        world.deliver();
        assert_eq!((world.who(1), world.outcome(1).reason), (Some((0, 1)), Reason::Gone));
        assert_eq!(tag(&world, first.index), None, "it serves still");
        reclaim(&mut world, client.handle.0);
        assert_eq!((tag(&world, first.index), is_ready_told(&world, 2)), (Some(Tag::Ready), true));
        world.enter(0, first.target(0), u64::MAX, 0);
        assert_eq!(world.registers[0].pc, 0x1234);
        world.transfer(0, "pct_return", way);
        assert_eq!(world.outcome(0).reason, Reason::Waiting);
        assert_eq!((tag(&world, first.index), gates[0]), (Some(Tag::Idle), 0));
    }
}

#[test]
fn a_callee_goes_on_with_the_call_that_it_made_when_its_own_caller_is_reclaimed() {
    for way in BOTH {
        let Three { mut world, client, first, second, .. } = in_nested_call(way);
        world.ok(0, "env_destroy", &[client.handle.0]);
        reclaim(&mut world, client.handle.0);
        assert_eq!((tag(&world, first.index), tag(&world, second.index)), (Some(Tag::Ready), None));
        world.enter(0, first.target(0), u64::MAX, 0);
        assert_eq!(world.body(0), Some((second.index, 0)));
        world.transfer(0, "pct_return", way);
        assert_eq!((world.who(0), world.body(0)), (Some((first.index, 0)), Some((first.index, 0))));
    }
}

#[test]
fn whoever_called_an_environment_in_between_learns_of_its_end_when_the_one_that_it_called_returns() {
    for way in BOTH {
        for reclaimed in [false, true] {
            let Three { mut world, client, first, second, .. } = in_nested_call(way);
            world.ok(0, "env_destroy", &[first.handle.0]);
            world.deliver();
            assert_eq!(world.body(1), Some((second.index, 0)), "it goes on");
            if reclaimed {
                reclaim(&mut world, first.handle.0);
            }
            world.transfer(1, "pct_return", way);
            if world.is_lost(1) {
                world.event(1, LOST);
            }
            is_broken(&world, 1, client.index);
            assert_eq!(tag(&world, second.index), Some(Tag::Idle));
            if !reclaimed {
                reclaim(&mut world, first.handle.0);
            }
            world.ok(1, "null", &[]);
        }
    }
}

#[test]
fn of_two_that_end_in_a_nested_call_the_caller_learns_once() {
    for way in BOTH {
        for order in [[0, 1], [1, 0]] {
            let Three { mut world, client, first, second, .. } = in_nested_call(way);
            let both = [first, second];
            for which in order {
                world.ok(0, "env_destroy", &[both[which].handle.0]);
            }
            world.deliver();
            while world.is_lost(1) {
                world.event(1, LOST);
            }
            is_broken(&world, 1, client.index);
            for which in order {
                reclaim(&mut world, both[which].handle.0);
            }
            world.ok(1, "null", &[]);
        }
    }
}

#[test]
fn a_handler_of_a_destroyed_environment_is_not_entered() {
    let Three { mut world, client, first, .. } = in_nested_call(Way::Fast);
    world.page(first.index, 0).fault.entry.store(0x4000, Relaxed);
    world.ok(0, "env_destroy", &[first.handle.0]);
    world.deliver();
    world.transfer(1, "pct_return", Way::Fast);
    assert!(world.is_lost(1));
    world.event(1, LOST);
    is_broken(&world, 1, client.index);
}

#[test]
fn a_server_destroyed_while_it_waits_for_a_client_of_its_own_is_not_come_back_to() {
    for way in BOTH {
        let mut three = three();
        let Three { world, client, first, gates, .. } = &mut three;
        let spinner = world.spawn(0, 0, 5);
        let capability = world.grant(0, Kind::Env, spinner.index as u64, Rights::RUN);
        world.call_gate(1, gates[0], way);
        let handle = world.lend(1, capability);
        world.enter(1, handle.0, u64::MAX, 0);
        world.ok(0, "env_destroy", &[first.handle.0]);
        reclaim(world, first.handle.0);
        if world.who(1) == Some((spinner.index, 0)) {
            world.call(1, "yield_now", &[]);
        }
        is_broken(world, 1, client.index);
    }
}

#[test]
fn a_callee_does_not_run_twice_while_its_callers_end_is_on_its_way() {
    for way in BOTH {
        let Three { mut world, client, first, .. } = in_call(way);
        world.ok(0, "env_destroy", &[client.handle.0]);
        // The kicks take their time.
        (1..4).for_each(|core| world.event(core, Cause::Timer));
        for _ in 0..24 {
            world.call(0, "env_reclaim", &[client.handle.0]);
            (1..4).for_each(|core| world.event(core, Cause::Timer));
        }
        assert_eq!(world.body(1), Some((first.index, 0)), "no kick came yet");
        world.call(0, "yield_to", &[first.target(0), u64::MAX, 0]);
        assert_eq!(world.outcome(0).reason, Reason::Busy);
        reclaim(&mut world, client.handle.0);
        assert_eq!(tag(&world, first.index), Some(Tag::Ready));
    }
}

#[test]
fn a_caller_interrupted_before_it_learns_of_its_callees_end_learns_later() {
    for way in BOTH {
        let Three { mut world, client, first, .. } = in_call(way);
        world.ok(0, "env_destroy", &[first.handle.0]);
        world.pass(QUANTUM); // the slice ends before the kick comes
        world.event(1, Cause::Timer);
        reclaim(&mut world, first.handle.0);
        world.enter(0, client.target(0), u64::MAX, 0);
        is_broken(&world, 0, client.index);
    }
}

#[test]
fn a_server_destroyed_on_its_way_to_wait_for_calls_is_not_entered() {
    for way in BOTH {
        let mut world = World::boot();
        let server = world.spawn(0, 0, 2);
        let gate = world.gate(0, server.target(0));
        world.enter(1, server.target(0), u64::MAX, 0);
        world.ok(0, "env_destroy", &[server.handle.0]);
        world.transfer(1, "pct_return", Way::Slow);
        world.call_refused(0, gate, way, Error::Stale);
        reclaim(&mut world, server.handle.0);
    }
}

#[test]
fn a_message_to_who_then_ends_or_whose_sender_ends_leaves_the_other_alone() {
    for end_sender in [false, true] {
        let Three { mut world, client, first, gates, .. } = three();
        world.registers[1].x[16] = gates[0];
        world.transfer(1, "pct_send", Way::Slow);
        assert_eq!(world.who(1), Some((first.index, 0)));
        let ended = if end_sender { client } else { first };
        world.ok(0, "env_destroy", &[ended.handle.0]);
        world.deliver();
        let expected = if end_sender { (0, 1) } else { (client.index, 0) };
        assert_eq!(world.who(1), Some(expected));
        if end_sender {
            assert_eq!((world.outcome(1).reason, tag(&world, first.index)), (Reason::Gone, Some(Tag::Ready)));
            assert!(is_ready_told(&world, 2));
        } else {
            assert_eq!(world.registers[1].x[17], 0);
        }
        reclaim(&mut world, ended.handle.0);
        world.ok(1, "null", &[]);
    }
}
