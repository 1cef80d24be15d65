//! Protected control transfer: what call, send and return do to registers, slices and accounts, and why they are refused.
//!
//! Not here: what happens when somebody in a call ends ([`super::broken`]).
#![forbid(unsafe_code)]

use super::transfers::{ENTRY, RESUME, Way};
use super::world::*;
use crate::activation::{Tag, page_address};
use crate::block::Word;
use crate::machine::{Cause, Resume};
use core::sync::atomic::Ordering::Relaxed;
use tranche_abi::layout::{MAX_CHAIN, MAX_GATES};
use tranche_abi::{Error, Kind, Reason, Rights, Tick, YIELD_EVENTS};

const BOTH: [Way; 2] = [Way::Fast, Way::Slow];

/// A server that waits for calls, and a gate of the first environment's to it; it is 100 ticks into a slot.
fn world_with_server() -> (World, Child, u64) {
    let mut world = World::boot();
    let server = world.server(3);
    let gate = world.gate(0, server.target(0));
    world.advance_to(100);
    (world, server, gate)
}

/// The first environment's number in `x17`.
fn identity(world: &World, env: u16, activation: u64) -> u64 {
    (world.id(env).generation as u64) << 32 | (env as u64) << 16 | activation
}

fn tag(world: &World, env: u16) -> Option<Tag> {
    world.kernel.state(env, 0).map(|state| state.tag)
}

#[test]
fn a_call_and_its_return_pass_all_registers_but_three() {
    for (there, back) in [(Way::Fast, Way::Slow), (Way::Slow, Way::Fast)] {
        let (mut world, server, gate) = world_with_server();
        let message: [u64; 16] = core::array::from_fn(|i| 100 + i as u64);
        world.registers[0].x[..16].copy_from_slice(&message);
        (world.registers[0].sp, world.registers[0].pstate, world.registers[0].x[30]) =
            (0x7000, 0x6 << 28, 30);
        world.call_gate(0, gate, there);
        assert_eq!((world.who(0), world.body(0)), (Some((0, 0)), Some((server.index, 0))));
        let entered = world.registers[0];
        let entry = ENTRY + server.index as u64;
        assert_eq!((&entered.x[..16], entered.x[30]), (&message[..], 30));
        assert_eq!((entered.sp, entered.pstate, entered.pc), (0x7000, 0x6 << 28, entry));
        assert_eq!(entered.x[16..19], [entry, identity(&world, 0, 0), page_address(0)]);
        world.registers[0].x[..16].fill(9);
        (world.registers[0].sp, world.registers[0].pstate) = (0x8000, 0x9 << 28);
        world.transfer(0, "pct_return", back);
        assert_eq!(world.body(0), Some((0, 0)));
        let returned = world.registers[0];
        assert_eq!((&returned.x[..16], returned.x[30]), (&[9; 16][..], 30));
        assert_eq!((returned.sp, returned.pstate, returned.pc), (0x8000, 0x9 << 28, RESUME));
        assert_eq!(returned.x[16..19], [RESUME, 0, page_address(0)]);
        assert_eq!(tag(&world, server.index), Some(Tag::Idle));
        world.call_gate(0, gate, there);
    }
}

#[test]
fn a_call_to_who_does_not_wait_for_one_is_refused() {
    for way in BOTH {
        let (mut world, server, gate) = world_with_server();
        world.call_refused(0, gate + 1, way, Error::BadHandle);
        let [client, stopped] = [world.spawn(0, 0, 4), world.spawn_empty(0)];
        let [ready, absent, own] =
            [client.target(0), stopped.target(0), 0].map(|target| world.gate(0, target));
        world.call_refused(0, ready, way, Error::Busy);
        world.call_refused(0, absent, way, Error::Absent);
        world.call_refused(0, own, way, Error::Busy);
        let page = world.frames(1);
        world.ok(0, "activation_create", &[stopped.target(0), page]);
        world.call_refused(0, absent, way, Error::Absent);
        world.enter(0, client.target(0), u64::MAX, 0);
        world.event(0, Cause::Fault { esr: 0x9200_0006, far: 0 });
        world.call_refused(0, ready, way, Error::Absent);
        let other = world.gate(1, server.target(0));
        world.call_gate(1, other, way);
        world.call_refused(0, gate, way, Error::Busy);
        world.ok(0, "env_destroy", &[server.handle.0]);
        world.call_refused(0, gate, way, Error::Stale);
    }
}

#[test]
fn opening_a_gate_needs_the_right_and_a_free_one() {
    let (mut world, server, gate) = world_with_server();
    world.refused(0, "gate_open", &[server.target(8)], Error::BadArgument);
    world.refused(0, "gate_open", &[99], Error::BadHandle);
    let capability = world.grant(0, Kind::Env, server.index as u64, Rights::RUN);
    let handle = world.lend(0, capability);
    world.refused(0, "gate_open", &[handle.0], Error::NoRight);
    for expected in gate + 1..MAX_GATES as u64 {
        assert_eq!(world.gate(0, server.target(0)), expected);
    }
    world.refused(0, "gate_open", &[server.target(0)], Error::Full);
    world.ok(0, "gate_close", &[7]);
    world.refused(0, "gate_close", &[7], Error::BadHandle);
    world.refused(0, "gate_close", &[MAX_GATES as u64], Error::BadArgument);
    assert_eq!(world.gate(0, server.target(0)), 7);
}

#[test]
fn a_closed_gate_leads_nowhere_and_the_others_stay_open() {
    for way in BOTH {
        let (mut world, server, gate) = world_with_server();
        let other = world.gate(0, server.target(0));
        world.ok(0, "gate_close", &[gate]);
        world.call_refused(0, gate, way, Error::BadHandle);
        world.call_gate(0, other, way);
    }
}

#[test]
fn only_six_bits_of_a_gates_number_count() {
    for way in BOTH {
        let (mut world, _, gate) = world_with_server();
        world.call_gate(0, gate + 3 * MAX_GATES as u64, way);
    }
}

#[test]
fn a_gate_does_not_open_for_the_next_environment_of_an_index() {
    for way in BOTH {
        let (mut world, server, gate) = world_with_server();
        world.ok(0, "env_destroy", &[server.handle.0]);
        super::broken::reclaim(&mut world, server.handle.0);
        let next = world.server(3);
        assert_eq!(next.index, server.index);
        world.call_refused(0, gate, way, Error::Stale);
        let gate = world.gate(0, next.target(0));
        world.call_gate(0, gate, way);
    }
}

#[test]
fn the_time_of_a_call_is_the_callers_and_excess_is_whose_it_is() {
    for way in BOTH {
        let (mut world, server, gate) = world_with_server();
        let ledger = &world.kernel.public.ledger[0];
        let accounts = |index: u16| ledger.env[index as usize].load(Relaxed);
        world.ok(0, "null", &[]);
        let before = [accounts(0), accounts(server.index)];
        world.call_gate(0, gate, way);
        world.pass(40);
        world.ok(0, "null", &[]);
        assert_eq!([accounts(0), accounts(server.index)], [before[0] + 40, before[1]]);
        world.page(server.index, 0).upcalls.slice_end.store(0x3000, Relaxed);
        world.advance_to(0);
        assert_eq!((world.registers[0].pc, world.body(0)), (0x3000, Some((server.index, 0))));
        world.advance(20);
        world.call(0, "yield_now", &[]);
        let debt = |index: u16| world.kernel.envs[index as usize].debt.load(Relaxed);
        assert_eq!([debt(0), debt(server.index)], [0, 20]);
    }
}

#[test]
fn a_call_goes_on_in_the_callers_next_slice_on_whatever_core() {
    for way in BOTH {
        let (mut world, server, gate) = world_with_server();
        let client = world.spawn(0, 0, 1);
        let to_server = world.child_gate(client, server);
        assert_eq!(to_server, gate, "each environment counts its own");
        world.enter(0, client.target(0), world.now() + 50, 0);
        world.call_gate(0, to_server, way);
        world.registers[0].x[7] = 77;
        world.registers[0].pc = 0x1234;
        world.advance(50);
        assert_eq!(world.outcome(0).reason, Reason::Expired);
        world.call_refused(0, gate, way, Error::Busy);
        world.call(0, "yield_to", &[server.target(0), u64::MAX, 0]);
        assert_eq!(world.outcome(0).reason, Reason::Busy);
        world.enter(2, client.target(0), u64::MAX, 0);
        assert_eq!((world.who(2), world.body(2)), (Some((client.index, 0)), Some((server.index, 0))));
        assert_eq!((world.registers[2].x[7], world.registers[2].pc), (77, 0x1234));
        world.transfer(2, "pct_return", way);
        assert_eq!(world.body(2), Some((client.index, 0)));
        world.call(2, "yield_now", &[]);
        assert_eq!(world.outcome(2).reason, Reason::Yielded);
    }
}

#[test]
fn a_callee_that_yields_yields_for_its_caller() {
    for way in BOTH {
        let (mut world, server, _) = world_with_server();
        let client = world.spawn(0, 0, 1);
        let gate = world.child_gate(client, server);
        world.enter(0, client.target(0), u64::MAX, 0);
        world.call_gate(0, gate, way);
        world.call(0, "yield_now", &[]);
        assert_eq!(world.outcome(0).reason, Reason::Yielded);
        world.enter(0, client.target(0), u64::MAX, 0);
        assert_eq!(world.body(0), Some((server.index, 0)));
        world.refused(0, "wait", &[Tick::NEVER.0], Error::Busy);
    }
}

#[test]
fn a_callee_that_takes_slice_upcalls_is_told_of_its_callers_next_slice() {
    for way in BOTH {
        let (mut world, server, _) = world_with_server();
        let client = world.spawn(0, 0, 1);
        let gate = world.child_gate(client, server);
        world.page(server.index, 0).upcalls.run.store(0x2000, Relaxed);
        world.enter(0, client.target(0), world.now() + 30, 0);
        world.call_gate(0, gate, way);
        world.registers[0].pc = 0x1234;
        world.advance(30);
        world.enter(0, client.target(0), u64::MAX, 0);
        assert_eq!((world.registers[0].pc, world.registers[0].x[0]), (0x2000, 0));
        world.call(0, "resume", &[]);
        assert_eq!(world.registers[0].pc, 0x1234);
    }
}

/// Three servers in a row: each has a gate to the next.
fn row(world: &mut World) -> [(Child, u64); 3] {
    let servers = [1, 2, 3].map(|client| world.server(client));
    let gates = [
        world.gate(0, servers[0].target(0)),
        gate_of_server(world, servers[0], servers[1]),
        gate_of_server(world, servers[1], servers[2]),
    ];
    core::array::from_fn(|i| (servers[i], gates[i]))
}

/// A server that waits gets a gate to another, while the first environment calls it.
fn gate_of_server(world: &mut World, server: Child, other: Child) -> u64 {
    let capability = world.grant(0, Kind::Env, other.index as u64, Rights::ALL);
    let gate = world.gate(0, server.target(0));
    world.call_gate(0, gate, Way::Slow);
    let handle = world.lend(0, capability);
    let opened = world.gate(0, handle.0);
    world.transfer(0, "pct_return", Way::Slow);
    world.ok(0, "gate_close", &[gate]);
    opened
}

#[test]
fn calls_nest_and_a_circle_is_refused() {
    for way in BOTH {
        let mut world = World::boot();
        let row = row(&mut world);
        let back = gate_of_server(&mut world, row[2].0, row[0].0);
        for (server, gate) in row {
            world.call_gate(0, gate, way);
            assert_eq!((world.who(0), world.body(0)), (Some((0, 0)), Some((server.index, 0))));
        }
        world.call_refused(0, back, way, Error::Busy);
        for expected in [row[1].0.index, row[0].0.index, 0] {
            world.transfer(0, "pct_return", way);
            assert_eq!(world.body(0), Some((expected, 0)));
        }
    }
}

#[test]
fn nested_calls_go_on_with_the_deepest_and_come_back_one_by_one() {
    for way in BOTH {
        let mut world = World::boot();
        let row = row(&mut world);
        row.iter().for_each(|(_, gate)| world.call_gate(0, *gate, way));
        world.advance_to(0);
        assert_eq!(world.body(0), Some((row[2].0.index, 0)), "the next slice");
        for expected in [row[1].0.index, row[0].0.index, 0] {
            world.transfer(0, "pct_return", way);
            assert_eq!((world.body(0), world.registers[0].x[17]), (Some((expected, 0)), 0));
        }
    }
}

#[test]
fn fp_registers_pass_where_they_are_live() {
    for way in BOTH {
        let (mut world, server, gate) = world_with_server();
        world.use_fp(0, 0x1111);
        world.call_gate(0, gate, way);
        assert!(matches!(world.resume[0], Resume::User { fp: true, .. }));
        assert_eq!(*world.fake.fp[0].borrow(), [0x1111; 66]);
        world.use_fp(0, 0x2222);
        world.advance_to(0);
        assert_eq!(world.page(server.index, 0).fp.v[5].load(Relaxed), 0x2222, "kept in the callee's page");
        world.use_fp(0, 0x3333);
        world.transfer(0, "pct_return", way);
        assert_eq!((world.body(0), *world.fake.fp[0].borrow()), (Some((0, 0)), [0x3333; 66]));
    }
}

#[test]
fn a_server_that_calls_in_a_yield_for_others_is_told_of_their_readiness() {
    for way in BOTH {
        let (mut world, server, gate) = world_with_server();
        let [sleeper, spinner] = [world.spawn(0, 0, 1), world.spawn(0, 0, 2)];
        let ours = world.grant(0, Kind::Env, spinner.index as u64, Rights::RUN);
        world.ok(0, "set_manager", &[sleeper.target(0), server.target(0), 9]);
        world.enter(0, sleeper.target(0), u64::MAX, 0);
        world.call(0, "wait", &[Tick::NEVER.0]);
        world.call_gate(0, gate, way);
        let spinner_of_server = world.lend(0, ours);
        world.enter(0, spinner_of_server.0, u64::MAX, YIELD_EVENTS);
        world.ok(1, "notify", &[sleeper.target(0), 1]);
        world.deliver();
        assert_eq!(world.body(0), Some((server.index, 0)));
        assert_eq!(world.outcome(0).reason, Reason::Event);
    }
}

#[test]
fn a_message_is_sent_with_the_rest_of_the_slice() {
    let (mut world, server, gate) = world_with_server();
    let (sent, before) = ([5; 16], world.kernel.public.ledger[0].env[server.index as usize].load(Relaxed));
    world.registers[0].x[..16].copy_from_slice(&sent);
    (world.registers[0].x[16], world.registers[0].pc) = (gate, 0x1234);
    world.transfer(0, "pct_send", Way::Slow);
    assert_eq!(world.who(0), Some((server.index, 0)), "a link of its own");
    assert_eq!(world.registers[0].x[..16], sent);
    assert_eq!(world.registers[0].x[17..19], [identity(&world, 0, 0), page_address(0)]);
    world.pass(30);
    world.transfer(0, "pct_return", Way::Fast);
    assert_eq!((world.who(0), tag(&world, server.index)), (Some((0, 0)), Some(Tag::Idle)));
    let registers = world.registers[0];
    assert_eq!(
        (&registers.x[..16], registers.x[16..18].to_vec(), registers.pc),
        (&sent[..], [gate, 0].to_vec(), 0x1234)
    );
    let ran = world.kernel.public.ledger[0].env[server.index as usize].load(Relaxed) - before;
    assert_eq!(ran, 30, "on its own account");
}

#[test]
fn who_is_interrupted_in_what_it_was_sent_is_ready_and_its_manager_told() {
    let (mut world, server, gate) = world_with_server();
    world.clear_events(0, 0);
    world.registers[0].x[16] = gate;
    world.transfer(0, "pct_send", Way::Slow);
    world.registers[0].pc = 0x1234;
    world.advance_to(0);
    assert_eq!((world.who(0), world.registers[0].x[17]), (Some((0, 0)), 0));
    assert_eq!(
        (tag(&world, server.index), world.page(0, 0).ready[0].load(Relaxed)),
        (Some(Tag::Ready), 1 << 3)
    );
    world.call_refused(0, gate, Way::Slow, Error::Busy);
    world.enter(0, server.target(0), u64::MAX, 0);
    assert_eq!(world.registers[0].pc, 0x1234);
    world.transfer(0, "pct_return", Way::Fast);
    assert_eq!((world.outcome(0).reason, world.outcome(0).detail), (Reason::Waiting, Tick::NEVER.0));
}

#[test]
fn a_message_is_not_sent_beyond_the_full_depth_or_through_a_closed_gate() {
    let (mut world, _, _) = world_with_server();
    let servers: std::vec::Vec<_> = (0..MAX_CHAIN as u64).map(|client| world.server(client)).collect();
    world.advance_to(100);
    world.registers[0].x[16] = 63;
    world.transfer(0, "pct_send", Way::Slow);
    assert_eq!(Error::from_register(world.registers[0].x[17]), Some(Error::BadHandle));
    let capabilities: std::vec::Vec<_> =
        servers.iter().map(|server| world.grant(0, Kind::Env, server.index as u64, Rights::CALL)).collect();
    for (depth, (server, capability)) in servers.iter().zip(capabilities).enumerate() {
        let handle = world.lend(0, capability);
        world.registers[0].x[16] = world.gate(0, handle.0);
        world.transfer(0, "pct_send", Way::Slow);
        if depth + 1 < MAX_CHAIN {
            assert_eq!(world.who(0), Some((server.index, 0)));
        }
    }
    assert_eq!(Error::from_register(world.registers[0].x[17]), Some(Error::Full));
    assert_eq!(tag(&world, servers[MAX_CHAIN - 1].index), Some(Tag::Idle), "nothing was done");
}

#[test]
fn a_server_that_owns_slots_leaves_them_idle_while_it_waits_for_calls() {
    let (mut world, server, _) = world_with_server();
    world.give_slots(0, 0, 2..10, server.target(0));
    world.advance(20 * QUANTUM);
    let idle = world.kernel.public.ledger[0].idle.load(Relaxed);
    world.advance(SLOTS * QUANTUM);
    assert_eq!(world.kernel.public.ledger[0].idle.load(Relaxed) - idle, 8 * QUANTUM);
    let gate = world.gate(1, server.target(0));
    world.call_gate(1, gate, Way::Slow);
    assert!(matches!(world.kernel.word(server.index, 0), Word::Serving { .. }));
    world.advance(SLOTS * QUANTUM);
    world.transfer(1, "pct_return", Way::Slow);
}
