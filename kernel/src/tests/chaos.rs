//! Programs that do anything: plausible and hostile calls, faults, FP/SIMD, and time that passes.
//!
//! Not here: whole scripts ([`super::scripts`]) and what must hold ([`super::invariants`]). Chance is a seeded generator; nothing else decides.
#![forbid(unsafe_code)]

use super::fake::CORES;
use super::transfers::LOST;
use super::world::*;
use crate::activation::stored_frame;
use crate::frames::Role;
use crate::machine::Cause;
use std::collections::BTreeMap;
use std::vec::Vec;
use tranche_abi::layout::{
    ACTIVATION_BASE, HANDLE_MACHINE, MAX_BATCH, MAX_EXTENTS, MAX_SLOTS, PUBLIC_BASE, USER_END,
};
use tranche_abi::{Capability, Frame, Kind};

/// A storm's state.
pub struct Chaos {
    pub world: World,
    seed: u64,
    state: u64,
    capabilities: Vec<Capability>,
    /// How often each call succeeded.
    pub successes: BTreeMap<&'static str, u64>,
    /// How often `yield_to` came back with each reason.
    pub reasons: [u64; 7],
}

/// What an argument is like.
#[derive(Clone, Copy)]
pub enum Like {
    Target,
    Handle,
    Until,
    Small,
    Bits,
    Object,
    Capability,
    Rights,
    Core,
    Slot,
    Activation,
    Frame,
    Machine,
    Device,
    Count,
    Address,
    Protection,
}

use Like::{Activation, Address, Bits, Core, Count, Handle, Protection, Slot, Small, Target, Until};

/// Every call that programs make at random: weight, name, arguments.
pub const CALLS: &[(u64, &str, &[Like])] = &[
    (1, "null", &[]),
    (6, "yield_now", &[]),
    (24, "yield_to", &[Target, Until, Small]),
    (8, "wait", &[Until]),
    (2, "resume", &[]),
    (9, "notify", &[Target, Bits]),
    (5, "grant", &[Like::Object, Like::Rights]),
    (3, "derive", &[Like::Capability, Like::Rights]),
    (4, "bind", &[Like::Capability]),
    (2, "unbind", &[Handle]),
    (1, "void", &[Like::Object]),
    (6, "gate_open", &[Target]),
    (1, "gate_close", &[Small]),
    (5, "slot_give", &[Core, Slot, Target]),
    (4, "slot_take", &[Like::Capability, Activation]),
    (3, "slot_aim", &[Core, Slot, Activation]),
    (4, "ask", &[Target, Small, Core, Small, Until]),
    (3, "seize_slot", &[Handle, Core, Slot]),
    (3, "seize_frame", &[Handle, Like::Frame]),
    (3, "frame_give", &[Like::Frame, Count, Handle]),
    (3, "table", &[Handle, Address, Like::Frame]),
    (9, "map", &[Handle, Address, Like::Frame, Count, Protection]),
    (8, "map_shared", &[Like::Capability, Address, Protection]),
    (6, "unmap", &[Handle, Address, Count]),
    (6, "protect", &[Handle, Address, Count, Protection]),
    (1, "env_create", &[Like::Frame]),
    (2, "activation_create", &[Target, Like::Frame]),
    (5, "activation_start", &[Target, Address, Address, Bits]),
    (3, "set_manager", &[Target, Target, Bits]),
    (1, "env_destroy", &[Handle]),
    (3, "env_reclaim", &[Handle]),
    (1, "machine_state", &[Like::Machine]),
    (2, "console_write", &[Like::Machine, Count, Bits]),
    (2, "power_off", &[Like::Machine, Small]),
    (2, "trace_switch", &[Like::Machine, Small]),
    (1, "trace_map", &[Like::Machine, Core, Small, Count, Address]),
    (4, "trace_mark", &[Like::Machine, Like::Rights, Bits]),
    (1, "device_map", &[Like::Machine, Like::Device, Count, Address]),
    (2, "extent_narrow", &[Like::Object, Small, Small, Handle]),
    (1, "extent_drop", &[Like::Object]),
    (1, "disk_begin", &[Handle, Small, Small]),
    (1, "disk_step", &[Handle, Like::Frame]),
];

/// Numbers that programs should not pass.
const HOSTILE: [u64; 8] = [u64::MAX, 1 << 63, 1 << 32, u64::MAX - 4095, 0xffff, 4097, 1 << 28, 0xffff_ffff];

/// The slots of each core that the first environment keeps.
const KEPT: [u64; 2] = [0, 5];

impl Drop for Chaos {
    fn drop(&mut self) {
        if std::thread::panicking() {
            std::eprintln!("seed {} failed at event {}; the last ones:", self.seed, self.world.events);
        }
    }
}

impl Chaos {
    /// A booted world and a seed.
    pub fn new(seed: u64) -> Self {
        Self {
            world: World::boot(),
            seed,
            state: seed,
            capabilities: Vec::new(),
            successes: BTreeMap::new(),
            reasons: [0; 7],
        }
    }

    /// The next random number below `limit` (splitmix64).
    pub fn below(&mut self, limit: u64) -> u64 {
        self.random() % limit
    }

    /// The next random number.
    pub fn random(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    pub fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    /// Something happens.
    pub fn step(&mut self) {
        if !self.one_in(4) {
            self.world.deliver();
        }
        let first = self.below(CORES as u64) as usize;
        let core =
            (0..CORES).map(|core| (first + core) % CORES).find(|core| self.world.body(*core).is_some());
        let core = core.unwrap_or(first);
        let Some((env, activation)) = self.world.body(core) else { return self.time() };
        if self.world.is_lost(core) {
            return self.world.event(core, LOST);
        }
        self.world.registers[core].pc = 0x1000 + 4 * self.below(8);
        self.world.registers[core].pstate = self.below(16) << 28;
        match self.below(100) {
            0..10 => self.time(),
            10..20 => self.write_page(env, activation),
            30..33 => self.spawn(core).unwrap_or_default(),
            33..37 => self.reap(core).unwrap_or_default(),
            37..40 => self.revoke(core).unwrap_or_default(),
            28..30 => self.move_page(core).unwrap_or_default(),
            20..28 => self.run_somebody(core),
            40 if env != 0 => self.world.event(core, Cause::Fault { esr: 0x9200_0047, far: 0x1234 }),
            41 => self.protect_own(core).unwrap_or_default(),
            43..48 => {
                let value = self.below(u64::MAX);
                self.world.use_fp(core, value);
            }
            48 => self.world.event(core, Cause::Timer),
            49 if env != 0 => {
                self.world.event(core, Cause::Call([0, 6, 0x1ff, 0x81ff][self.state as usize % 4]))
            }
            50..70 => self.transfer(core, env).unwrap_or_default(),
            _ => self.random_call(core),
        }
    }

    fn time(&mut self) {
        match self.below(4) {
            0 => {
                let late = 1 + self.below(80);
                self.world.pass(late);
            }
            1 => {
                let next = (0..CORES).map(|core| self.world.fake.timers[core].get().0).min().unwrap_or(0);
                self.world.advance(next.saturating_sub(self.world.now()));
            }
            _ => {
                let ticks = 1 + self.below(250);
                self.world.advance(ticks);
            }
        }
    }

    fn random_call(&mut self, core: usize) {
        let total = CALLS.iter().map(|(weight, ..)| weight).sum();
        let mut at = self.below(total);
        let chosen = CALLS.iter().find(|(weight, ..)| {
            let here = at < *weight;
            at = at.saturating_sub(*weight);
            here
        });
        let Some((_, name, likes)) = chosen else { return };
        let mut arguments = Vec::new();
        for like in *likes {
            self.argument(core, *like, &mut arguments);
        }
        if !self.would_end_the_first(core, name, &arguments) {
            self.call(core, name, &arguments);
        }
    }

    /// The first environment stays able to run: it keeps some slots and the machine, and waits for a bounded time.
    pub fn would_end_the_first(&self, core: usize, name: &str, arguments: &[u64]) -> bool {
        let is_kept = |slot: u64| KEPT.contains(&slot);
        self.world.body(core).is_some_and(|(env, _)| env == 0)
            && match name {
                "slot_give" | "slot_aim" => is_kept(arguments[1]),
                "unbind" => arguments[0] == HANDLE_MACHINE.0,
                "wait" => arguments[0] > self.world.now() + 3 * QUANTUM,
                "grant" => {
                    arguments[0] == object(Kind::Env, 0)
                        || (0..CORES as u64 * MAX_SLOTS as u64).any(|slot| {
                            is_kept(slot % MAX_SLOTS as u64) && arguments[0] == object(Kind::Slot, slot)
                        })
                }
                _ => false,
            }
    }

    /// Why a `yield_to` came back, if one just did. Values that only look like an outcome do no harm here.
    fn count_reason(&mut self, core: usize) {
        let [error, reason, .., now] = self.world.reply(core);
        let came_back = self.world.body(core).is_some() && error == 0 && now == self.world.now();
        if let Some(count) = self.reasons.get_mut(reason as usize).filter(|_| came_back) {
            *count += 1;
        }
    }

    /// A call; `None` if it was refused, or somebody else runs now.
    pub fn call(&mut self, core: usize, name: &'static str, arguments: &[u64]) -> Option<[u64; 4]> {
        let who = self.world.body(core)?;
        let [refused, values @ ..] = self.world.call(core, name, arguments);
        self.count_reason(core);
        if self.world.body(core) != Some(who) || refused != 0 {
            return None;
        }
        *self.successes.entry(name).or_default() += 1;
        match name {
            "grant" | "derive" => self.keep(Capability { body: values[0], mac: values[1] }),
            _ => {}
        }
        Some(values)
    }

    fn keep(&mut self, capability: Capability) {
        if self.capabilities.len() < 64 {
            return self.capabilities.push(capability);
        }
        let place = self.below(64) as usize;
        self.capabilities[place] = capability;
    }

    /// Adds an argument of a kind, mostly a plausible one.
    fn argument(&mut self, core: usize, like: Like, arguments: &mut Vec<u64>) {
        if let Like::Capability = like {
            let capability = self.capability();
            return arguments.extend([capability.body, capability.mac]);
        }
        if self.one_in(40) {
            return arguments.push(HOSTILE[self.state as usize % HOSTILE.len()]);
        }
        let value = match like {
            Target => self.handle(core) | [0, 0, 0, 1, 2, 9][self.below(6) as usize] << 16,
            Handle => self.handle(core),
            Until => self.world.now() + [0, 50, 300, 1500, 5000, 50_000][self.below(6) as usize],
            Small => self.below(3),
            Bits => 1 << self.below(63),
            Like::Object => self.object(core),
            Like::Rights => [0xff, 1, 3, 7, 0x7f, 0x100][self.below(6) as usize],
            Core => self.below(CORES as u64 + 1),
            Slot => self.below(SLOTS + 1),
            Activation => self.below(5),
            Like::Frame => self.frame(core),
            Like::Machine if self.one_in(3) => self.handle(core),
            Like::Machine => HANDLE_MACHINE.0,
            Like::Device => DEVICES.start + self.below(5),
            Count => [0, 1, 1, 1, 2, 5, MAX_BATCH + 1][self.below(7) as usize],
            Address => self.address(),
            Protection => self.below(4),
            Like::Capability => 0,
        };
        arguments.push(value);
    }

    /// Yields to the first activation of somebody for long, so that chains grow.
    fn run_somebody(&mut self, core: usize) {
        let (handle, mode) = (self.handle(core), self.below(2));
        self.call(core, "yield_to", &[handle, u64::MAX, mode]);
    }

    /// A handle, mostly one that is bound.
    pub fn handle(&mut self, core: usize) -> u64 {
        let start = self.below(24);
        let Some((env, _)) = self.world.body(core) else { return start };
        let table = stored_frame(&self.world.env(env).handles);
        let is_bound =
            |handle: &u64| self.world.fake.handles(table).get(tranche_abi::Handle(*handle)).is_ok();
        (start..start + 24).map(|handle| handle % 24).find(is_bound).unwrap_or(start)
    }

    pub fn capability(&mut self) -> Capability {
        let place = self.below(64) as usize;
        let mut capability = self.capabilities.get(place).copied().unwrap_or_default();
        if self.one_in(10) {
            capability.body ^= 1 << self.below(64);
        }
        capability
    }

    fn object(&mut self, core: usize) -> u64 {
        match self.below(8) {
            0..3 => object(Kind::Frame, self.frame(core)),
            3..6 => object(Kind::Slot, self.below(CORES as u64) * MAX_SLOTS as u64 + self.below(SLOTS)),
            6 => object(Kind::Env, self.below(20)),
            _ if self.one_in(2) => object(Kind::Extent, self.extent(core)),
            _ => object(Kind::Machine, 0),
        }
    }

    /// An extent, mostly one that the running environment owns.
    pub fn extent(&mut self, core: usize) -> u64 {
        let start = self.below(MAX_EXTENTS as u64);
        let me = self.world.body(core).map_or(0, |(env, _)| env);
        let own = self.world.kernel.ownership.lock();
        let is_mine =
            |index: &u64| own.disk.extent(*index as u32).is_some_and(|extent| extent.owner.index == me);
        let all = (0..MAX_EXTENTS as u64).map(|offset| (start + offset) % MAX_EXTENTS as u64);
        all.into_iter().find(is_mine).unwrap_or(start)
    }

    pub fn address(&mut self) -> u64 {
        match self.below(12) {
            0 => [ACTIVATION_BASE, PUBLIC_BASE, USER_END, ACTIVATION_BASE - 4096, DATA + 1, u64::MAX - 4095]
                [self.below(6) as usize],
            1 => self.below(4) << 30,
            _ => DATA + 4096 * self.below(12),
        }
    }

    /// A frame, mostly one that the running environment may use.
    fn frame(&mut self, core: usize) -> u64 {
        self.own_frames(core, 1).unwrap_or(FIRST_FRAME)
    }

    /// The first of `count` consecutive frames of whoever runs on a core, or of anybody's now and then.
    pub fn own_frames(&mut self, core: usize, count: u64) -> Option<u64> {
        let start = self.below(FRAMES as u64 - count);
        let anybody = self.one_in(8);
        let (me, _) = self.world.body(core)?;
        let own = self.world.kernel.ownership.lock();
        let is_mine = |number: u64| {
            let entry = own.frames.get(Frame(FIRST_FRAME + number));
            entry.is_ok_and(|entry| {
                entry.role == Role::Plain && entry.owner == me && (count == 1 || !entry.is_mapped())
            })
        };
        let last = FRAMES as u64 - count;
        let candidates = (0..last).map(|offset| (start + offset) % last);
        let fits = |first: &u64| anybody || (*first..*first + count).all(is_mine);
        candidates.into_iter().find(fits).map(|first| FIRST_FRAME + first)
    }
}
