//! A seeded storm of transfers: a few servers that call each other without end, fault, are destroyed and made anew.
//!
//! Not here: all the other calls ([`super::storm`]). Each server has two activations and a gate to every activation of
//! every server, itself included; the first environment's activations call, too.
#![forbid(unsafe_code)]

use super::chaos::Chaos;
use super::fake::CORES;
use super::storm::clean_up;
use super::transfers::{ENTRY, LOST, Way};
use super::world::*;
use crate::activation::{State, Tag, stored_frame};
use crate::machine::Cause;
use core::sync::atomic::Ordering::Relaxed;
use std::vec::Vec;
use tranche_abi::Error;
use tranche_abi::public::env_state;

const EVENTS: u64 = 100_000;
const SERVERS: usize = 5;
const ACTIVATIONS: u64 = 2;

/// A server, and the frames that it is made of again and again: five consecutive ones, then its activations' pages.
struct Server {
    child: Child,
    frames: u64,
}

pub struct Traffic {
    pub chaos: Chaos,
    servers: Vec<Server>,
    /// How often a call was made, a message sent, a core lost, a call broken, a server made anew.
    counts: [u64; 5],
}

const CALLED: usize = 0;
const SENT: usize = 1;
const LOST_CORES: usize = 2;
const BROKEN: usize = 3;
const REMADE: usize = 4;

impl Traffic {
    pub fn new(seed: u64) -> Self {
        let chaos = Chaos::new(seed);
        let mut traffic = Self { chaos, servers: Vec::new(), counts: [0; 5] };
        for _ in 0..SERVERS {
            let frames = traffic.chaos.world.frames(5 + ACTIVATIONS);
            let child = traffic.make(0, frames);
            traffic.servers.push(Server { child, frames });
        }
        traffic.connect();
        traffic
    }

    /// The first environment, on a core, makes a server.
    fn make(&mut self, core: usize, frames: u64) -> Child {
        let world = &mut self.chaos.world;
        let child = world.spawn_from(core, frames);
        for activation in 0..ACTIVATIONS {
            world.ok(core, "activation_create", &[child.target(activation), frames + 5 + activation]);
            world.page(child.index, activation as u8).transfer.entry.store(ENTRY, Relaxed);
            world.ok(core, "activation_start", &[child.target(activation), DATA, 0, 0]);
            world.ok(core, "set_manager", &[child.target(activation), 0, activation]);
        }
        let slot = 1 + child.index as u64 % 4;
        world.call(core, "slot_give", &[core as u64, slot, child.target(0)]); // if it is free
        child
    }

    /// Everybody has a gate to everybody: what `gate_open` does, without anybody having to run for it.
    fn connect(&self) {
        let world = &self.chaos.world;
        let is_alive = |server: &&Server| self.is(server.child, env_state::ALIVE);
        for from in self.servers.iter().filter(is_alive).map(|server| server.child.index).chain([0]) {
            let gates = world.fake.handles(stored_frame(&world.env(from).handles)).gates();
            world.env(from).transfers.store(1, Relaxed);
            for (number, server) in self.servers.iter().enumerate().filter(|(_, server)| is_alive(server)) {
                for activation in 0..ACTIVATIONS {
                    let gate = &gates[number * ACTIVATIONS as usize + activation as usize];
                    let generation = world.id(server.child.index).generation;
                    let idle = State { tag: Tag::Idle, core: State::NO_CORE, generation };
                    gate.idle.store(idle.to_bits(), Relaxed);
                    let block = world.kernel.block_address(server.child.index, activation as u8);
                    gate.block.store(block.0, Relaxed);
                }
            }
        }
    }

    fn is(&self, child: Child, state: u32) -> bool {
        self.chaos.world.kernel.public.env_state[child.index as usize].load(Relaxed) == state
    }

    /// Something happens.
    pub fn step(&mut self) {
        if !self.chaos.one_in(3) {
            self.chaos.world.deliver();
        }
        let core = self.chaos.below(CORES as u64) as usize;
        let ticks = 1 + self.chaos.below(200);
        let Some((env, _)) = self.chaos.world.body(core) else { return self.chaos.world.advance(ticks) };
        if self.chaos.world.is_lost(core) {
            self.counts[LOST_CORES] += 1;
            let cause = if self.chaos.one_in(3) { Cause::Timer } else { LOST };
            return self.chaos.world.event(core, cause);
        }
        let chosen = self.chaos.below(24);
        let world = &mut self.chaos.world;
        match chosen {
            0 => world.advance(ticks),
            1 => world.pass(ticks),
            2 => world.event(core, Cause::Timer),
            3 if env != 0 && ticks < 50 => world.event(core, Cause::Fault { esr: 0x9200_0006, far: 0 }),
            4 => self.call(core, "yield_now", &[]),
            5 => self.chaos.world.use_fp(core, ticks),
            6 if env != 0 => self.call(core, "wait", &[self.chaos.world.now() + ticks]),
            7..10 if env == 0 => self.run(core),
            10 if env == 0 && ticks < 40 => self.end(core),
            11..14 if env == 0 => self.reclaim(core),
            14 if env == 0 => self.restart(core),
            15 if env != 0 && ticks < 8 => self.call(core, "env_destroy", &[0]),
            _ => self.transfer(core, env),
        }
    }

    /// A call of which nobody wants the reply.
    fn call(&mut self, core: usize, name: &str, arguments: &[u64]) {
        self.chaos.world.call(core, name, arguments);
    }

    fn target(&mut self) -> (Child, u64) {
        let server = self.chaos.below(SERVERS as u64) as usize;
        (self.servers[server].child, self.chaos.below(ACTIVATIONS))
    }

    fn run(&mut self, core: usize) {
        let ((child, activation), until) = (self.target(), self.chaos.below(400));
        let until = self.chaos.world.now() + until;
        self.chaos.world.call(core, "yield_to", &[child.target(activation), until, until % 2]);
    }

    fn end(&mut self, core: usize) {
        let (child, _) = self.target();
        self.chaos.world.call(core, "env_destroy", &[child.handle.0]);
    }

    fn restart(&mut self, core: usize) {
        let (child, activation) = self.target();
        self.chaos.world.call(core, "activation_start", &[child.target(activation), DATA, 0, 0]);
    }

    /// Some steps; once it is gone, there is a new one.
    fn reclaim(&mut self, core: usize) {
        let chosen = self.chaos.below(SERVERS as u64) as usize;
        let Server { child: Child { handle, .. }, frames } = self.servers[chosen];
        for _ in 0..self.chaos.below(8) {
            let [refused, ..] = self.chaos.world.call(core, "env_reclaim", &[handle.0]);
            if self.chaos.world.body(core).is_none_or(|(env, _)| env != 0) {
                return;
            }
            if refused == 0 {
                self.counts[REMADE] += 1;
                self.servers[chosen].child = self.make(core, frames);
                return self.connect();
            }
            if self.chaos.one_in(2) {
                self.chaos.world.deliver();
            }
            if self.chaos.world.body(core).is_none_or(|(env, _)| env != 0) {
                return;
            }
        }
    }

    fn transfer(&mut self, core: usize, env: u16) {
        let way = if self.chaos.one_in(2) { Way::Fast } else { Way::Slow };
        let (name, count) = match self.chaos.below(8) {
            0..4 => ("pct_call", CALLED),
            4 => ("pct_send", SENT),
            _ if env == 0 => return, // it waits for nobody's calls
            _ => ("pct_return", BROKEN),
        };
        let before = self.chaos.world.body(core);
        let gate = self.chaos.below(SERVERS as u64 * ACTIVATIONS);
        let world = &mut self.chaos.world;
        world.registers[core].x[16] = gate;
        world.transfer(core, name, way);
        let broken = world.registers[core].x[17] == Error::Broken as u64;
        self.counts[count] += u64::from(world.body(core) != before && (count != BROKEN || broken));
    }
}

fn storm(seed: u64) {
    std::eprintln!("traffic with seed {seed}");
    let mut traffic = Traffic::new(seed);
    traffic.chaos.world.quick = seed.is_multiple_of(2);
    while traffic.chaos.world.events < EVENTS {
        traffic.step();
    }
    assert!(traffic.counts.iter().all(|count| *count >= 10), "{:?}", traffic.counts);
    clean_up(&mut traffic.chaos);
}

#[test]
fn servers_that_call_each_other_and_end_at_any_time_break_no_invariant_first() {
    storm(11);
}

#[test]
fn servers_that_call_each_other_and_end_at_any_time_break_no_invariant_second() {
    storm(12);
}
