//! What a storm's programs do in several steps: children, revocation, the end of others, and writes to their own pages.
//!
//! Not here: single calls with random arguments ([`super::chaos`]).
#![forbid(unsafe_code)]

use super::chaos::Chaos;
use super::fake::CORES;
use super::transfers::Way;
use super::world::*;
use crate::activation::stored_frame;
use crate::protect::protect_own;
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};
use tranche_abi::layout::ACTIVATION_BASE;
use tranche_abi::{Kind, ProtectionBits, Rights};

impl Chaos {
    /// A child, complete: tables, an activation, perhaps slots, frames and a capability for everybody.
    pub fn spawn(&mut self, core: usize) -> Option<()> {
        let (_, me) = self.world.body(core)?;
        let first = self.own_frames(core, 3)?;
        let [handle, index, ..] = self.call(core, "env_create", &[first])?;
        for address in [ACTIVATION_BASE, ACTIVATION_BASE, DATA, DATA] {
            let frame = self.own_frames(core, 1)?;
            self.call(core, "table", &[handle, address, frame]);
        }
        for activation in 0..1 + self.below(2) {
            let (target, page) = (handle | activation << 16, self.own_frames(core, 1)?);
            self.call(core, "activation_create", &[target, page])?;
            self.world.page(index as u16, activation as u8).fault.entry.store(0x4000, Relaxed);
            self.call(core, "activation_start", &[target, DATA, 0, 0])?;
            let client = self.below(256);
            self.call(core, "set_manager", &[target, (me as u64) << 16, client])?;
        }
        for _ in 0..self.below(4) {
            let arguments = [self.below(CORES as u64), self.below(SLOTS), handle];
            if !self.would_end_the_first(core, "slot_give", &arguments) {
                self.call(core, "slot_give", &arguments);
            }
        }
        for _ in 0..self.below(14) {
            let frame = self.own_frames(core, 1)?;
            self.call(core, "frame_give", &[frame, 1, handle]);
        }
        self.call(core, "grant", &[object(Kind::Env, index), Rights::ALL.0 as u64])?;
        if self.one_in(2) { self.employ(core, handle) } else { Some(()) }
    }

    /// A page of an extent of its own is moved, or a part of one: it may be that nobody ever goes on with it.
    pub fn move_page(&mut self, core: usize) -> Option<()> {
        let mut extent = object(Kind::Extent, self.extent(core));
        if self.one_in(3) {
            let (first, handle) = (self.below(20), self.handle(core));
            self.call(core, "extent_narrow", &[extent, first, 30, handle]);
            [extent, ..] = self.call(core, "extent_narrow", &[extent, first, 16, 0])?;
        }
        let rights = 1 + self.below(3);
        let [body, mac, ..] = self.call(core, "grant", &[extent, rights])?;
        let [handle, ..] = self.call(core, "bind", &[body, mac])?;
        let (page, direction) = (self.below(3), self.below(2));
        if self.call(core, "disk_begin", &[handle, page, direction]).is_some() {
            for _ in 0..self.below(20) {
                let frame = self.own_frames(core, 1)?;
                self.call(core, "disk_step", &[handle, frame])?;
            }
        }
        self.call(core, "unbind", &[handle])?;
        if self.one_in(3) {
            self.call(core, "extent_drop", &[extent]);
        }
        Some(())
    }

    /// A child becomes a server, with gates of its own to whomever it finds, and its creator gets a gate to it.
    fn employ(&mut self, core: usize, handle: u64) -> Option<()> {
        let creator = self.world.body(core);
        self.call(core, "gate_open", &[handle]);
        self.call(core, "yield_to", &[handle, u64::MAX, 0]);
        if self.world.body(core) == creator {
            return None;
        }
        for _ in 0..4 {
            let capability = self.capability();
            if let Some([handle, ..]) = self.call(core, "bind", &[capability.body, capability.mac]) {
                self.call(core, "gate_open", &[handle]);
            }
        }
        let (env, _) = self.world.body(core)?;
        if env != 0 {
            self.world.transfer(core, "pct_return", Way::Slow);
        }
        Some(())
    }

    /// Destroys somebody and takes back what it owned. The first environment takes any child of its own, through a new
    /// handle, so that there are never too many.
    pub fn reap(&mut self, core: usize) -> Option<()> {
        let mut handle = self.handle(core);
        if self.world.body(core)?.0 == 0 {
            let index = self.below(40);
            let [body, mac, ..] =
                self.call(core, "grant", &[object(Kind::Env, index), Rights::ALL.0 as u64])?;
            [handle, ..] = self.call(core, "bind", &[body, mac])?;
        } else if handle == 0 || !self.one_in(4) {
            return None;
        }
        self.call(core, "env_destroy", &[handle]);
        let prompt = self.one_in(2);
        for _ in 0..1 + self.below(4) {
            if prompt {
                self.world.deliver();
            }
            self.call(core, "env_reclaim", &[handle]);
        }
        self.call(core, "unbind", &[handle]);
        Some(())
    }

    /// Whoever runs on a core protects pages without the ownership lock, and makes a call, after which all is checked.
    pub fn protect_own(&mut self, core: usize) -> Option<()> {
        let (env, _) = self.world.body(core)?;
        let (address, count) = (self.address(), 1 + self.below(3));
        let protection = ProtectionBits(self.below(2));
        let machine = self.world.fake.core(core);
        let space = self.world.kernel.space(&machine, env);
        let done = protect_own(&machine, space, (address, count), protection);
        self.call(core, "protect", &[0, DATA, 0, 0]);
        *self.successes.entry("protect_own").or_default() += u64::from(done);
        Some(())
    }

    /// Asks for something, lets the deadline pass or not, and takes it.
    pub fn revoke(&mut self, core: usize) -> Option<()> {
        let (handle, of, count) = (self.handle(core), self.below(CORES as u64), 1 + self.below(4));
        let resource = self.below(2);
        let deadline = self.world.now() + self.below(4);
        self.call(core, "ask", &[handle, resource, of, count, deadline])?;
        self.world.pass(2);
        for _ in 0..4 {
            let slot = self.below(SLOTS);
            let frame = FIRST_FRAME + self.below(FRAMES as u64);
            match resource {
                0 => self.call(core, "seize_slot", &[handle, of, slot]),
                _ => self.call(core, "seize_frame", &[handle, frame]),
            };
        }
        Some(())
    }

    /// A program calls a server, sends it a message, returns, or begins to wait for calls; by a fast path if it can.
    pub fn transfer(&mut self, core: usize, env: u16) -> Option<()> {
        let way = if self.one_in(2) { Way::Fast } else { Way::Slow };
        let name = match self.below(10) {
            0..5 => "pct_call",
            5 => "pct_send",
            _ if env == 0 => return None, // it stays able to run
            _ => "pct_return",
        };
        let before = self.world.body(core);
        let start = self.below(64) as usize;
        let gates = self.world.fake.handles(stored_frame(&self.world.env(env).handles)).gates();
        let open = (start..start + 64).find(|gate| gates[gate % 64].block.load(Relaxed) != 0);
        self.world.registers[core].x[16] = open.unwrap_or(start) as u64;
        self.world.transfer(core, name, way);
        if self.world.body(core) != before {
            *self.successes.entry(name).or_default() += 1;
        }
        Some(())
    }

    /// A program writes to its own page.
    pub fn write_page(&mut self, env: u16, activation: u8) {
        let chosen = self.below(18);
        let frame = FIRST_FRAME + self.below(FRAMES as u64);
        let word = |page: &AtomicU64, value| page.store(value, Relaxed);
        let [value, bit, small] = [self.below(u64::MAX), self.below(2), self.below(8)];
        let page = self.world.page(env, activation);
        match chosen {
            0 => word(&page.upcalls.run, bit * 0x2000),
            1 => word(&page.upcalls.slice_end, bit * 0x3000),
            2 => word(&page.fault.entry, bit * 0x4000),
            3 => word(&page.upcalls.critical_begin, 0x1000 + 4 * small),
            4 => word(&page.upcalls.critical_end, 0x1000 + 8 * small),
            5 | 6 => page.disabled.store(bit as u32, Relaxed),
            7 => page.in_critical.store((value % 16 == 0) as u32, Relaxed),
            8 => page.in_critical.store(0, Relaxed),
            9 => word(&page.events, 0),
            10 => page.ready.iter().for_each(|ready| word(ready, 0)),
            11 => word(&page.ready[small as usize % 4], value & 1 << small),
            12 => word(&page.repossessed, value | u64::MAX << 8),
            13 => word(&page.enabled_area.x[small as usize], value),
            14 => word(&page.fault.pc, value),
            15 => word(&page.reserve[small as usize], frame),
            16 => page.save_to.iter().for_each(|place| word(place, frame)),
            _ => word(&page.enabled_area.pstate, value),
        }
    }
}
