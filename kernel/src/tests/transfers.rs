//! Transfers in a [`World`]: gates, servers, and what the fast paths of `arch` do, on the fake machine.
//!
//! Not here: what must come of them ([`super::transfer`]). A fast path changes the callee's state word and who is current,
//! and nothing else: the kernel learns of it with the next event, and the registers in the pages are old.
#![forbid(unsafe_code)]

use super::world::*;
use crate::block::{ADDRESS, BlockAddress, DETOUR};
use crate::machine::Cause;
use core::sync::atomic::{Ordering::Relaxed, Ordering::SeqCst};
use tranche_abi::layout::MAX_GATES;
use tranche_abi::{Error, Kind, Rights};

/// Where servers are entered.
pub const ENTRY: u64 = 0x5000;
/// Where callers come back.
pub const RESUME: u64 = 0x6000;

/// What an instruction of nowhere does.
pub const LOST: Cause = Cause::Fault { esr: 0x8200_0004, far: 0 };

/// By which way a transfer is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// As `arch` does it where nothing stands against it.
    Fast,
    /// Through `handle`.
    Slow,
}

impl World {
    /// A transfer by whoever runs on a core.
    pub fn transfer(&mut self, core: usize, name: &str, way: Way) {
        let done = way == Way::Fast
            && match name {
                "pct_call" => self.fast_call(core),
                "pct_return" => self.fast_return(core),
                _ => false,
            };
        if !done {
            self.event(core, Cause::Call(immediate(name)));
        }
    }

    /// What a program does before a transfer: its marks are no message.
    pub(super) fn prepare_transfer(&mut self, core: usize) {
        self.registers[core].x[MARKED].fill(0);
        self.forget_fp(core);
        let Some((env, activation)) = self.body(core) else { return };
        let caller = self.kernel.block(env, activation).state.load(Relaxed);
        let other = if caller & ADDRESS != 0 { caller & !DETOUR } else { 0 };
        let gate = self.registers[core].x[16] as usize % MAX_GATES;
        let handles = self.fake.handles(crate::activation::stored_frame(&self.env(env).handles));
        for block in
            [other, handles.gates()[gate].block.load(Relaxed)].into_iter().filter(|block| *block != 0)
        {
            let (env, activation) = self.kernel.block_at(BlockAddress(block));
            let generation = (self.kernel.block(env, activation).identity.load(Relaxed) >> 32) as u32;
            self.fp.insert((env, generation, activation), None);
        }
    }

    /// Whoever runs on a core has others' FP/SIMD registers from now on.
    fn forget_fp(&mut self, core: usize) {
        if let Some((env, activation)) = self.body(core).filter(|_| !self.is_lost(core)) {
            self.fp.insert((env, self.id(env).generation, activation), None);
        }
    }

    /// `pct_call` as the fast path does it. False if it leaves that to the kernel.
    fn fast_call(&mut self, core: usize) -> bool {
        let Some((env, activation)) = self.body(core) else { return false };
        let gate = self.registers[core].x[16] as usize % MAX_GATES;
        let handles = self.fake.handles(crate::activation::stored_frame(&self.env(env).handles));
        let gate = &handles.gates()[gate];
        let (callee, idle) = (gate.block.load(Relaxed), gate.idle.load(Relaxed));
        if callee == 0 {
            return false;
        }
        let (index, server) = self.kernel.block_at(BlockAddress(callee));
        let caller = self.fake.current[core].get();
        let word = &self.kernel.block(index, server).state;
        if word.compare_exchange(idle, caller.0, SeqCst, SeqCst).is_err() {
            return false;
        }
        let identity = self.kernel.block(env, activation).identity.load(Relaxed);
        self.arrive(core, BlockAddress(callee), identity);
        true
    }

    /// `pct_return` as the fast path does it. False if it leaves that to the kernel.
    fn fast_return(&mut self, core: usize) -> bool {
        let Some((env, activation)) = self.body(core) else { return false };
        let block = self.kernel.block(env, activation);
        let caller = block.state.load(SeqCst);
        if caller & ADDRESS == 0 || caller & DETOUR != 0 {
            return false;
        }
        block.state.store(block.idle.load(Relaxed), SeqCst);
        self.arrive(core, BlockAddress(caller), 0);
        true
    }

    /// The core continues in another environment, at its entry if somebody called, otherwise where its call returns.
    fn arrive(&mut self, core: usize, block: BlockAddress, caller: u64) {
        self.prepare_transfer(core);
        self.go_to(core, block);
        self.forget_fp(core);
        if !self.is_lost(core) {
            let (env, activation) = self.kernel.block_at(block);
            let page = self.page(env, activation);
            let place = if caller != 0 { &page.transfer.entry } else { &page.transfer.resume };
            let (pc, address) = (place.load(Relaxed), page.address.load(Relaxed));
            let registers = &mut self.registers[core];
            (registers.pc, registers.x[16], registers.x[17], registers.x[18]) = (pc, pc, caller, address);
        }
    }

    /// Whoever runs on `core` with `handle` to an environment opens a gate to its activation.
    #[track_caller]
    pub fn gate(&mut self, core: usize, target: u64) -> u64 {
        self.ok(core, "gate_open", &[target])[0]
    }

    /// A child of core 0's activation, whose activation 0 waits for calls; its time is client `client`'s.
    #[track_caller]
    pub fn server(&mut self, client: u64) -> Child {
        let child = self.spawn(0, 0, client);
        self.serve(child, 0);
        child
    }

    /// Lets a child's activation, run by core 0, wait for calls.
    #[track_caller]
    pub fn serve(&mut self, child: Child, activation: u64) {
        self.page(child.index, activation as u8).transfer.entry.store(ENTRY + child.index as u64, Relaxed);
        self.enter(0, child.target(activation), u64::MAX, 0);
        self.transfer(0, "pct_return", Way::Slow);
        assert_eq!(self.who(0), Some((0, 0)), "it waits");
    }

    /// A gate of a child's, run by core 0, to another child.
    #[track_caller]
    pub fn child_gate(&mut self, child: Child, other: Child) -> u64 {
        let capability = self.grant(0, Kind::Env, other.index as u64, Rights::ALL);
        self.enter(0, child.target(0), u64::MAX, 0);
        let handle = self.lend(0, capability);
        let gate = self.gate(0, handle.0);
        self.call(0, "yield_now", &[]);
        assert_eq!(self.who(0), Some((0, 0)));
        gate
    }

    /// Whoever runs on a core calls through a gate, and the callee runs.
    #[track_caller]
    pub fn call_gate(&mut self, core: usize, gate: u64, way: Way) {
        let before = self.body(core);
        let (env, activation) = before.expect("somebody calls");
        self.page(env, activation).transfer.resume.store(RESUME + env as u64, Relaxed);
        self.registers[core].x[16] = gate;
        self.transfer(core, "pct_call", way);
        assert_ne!(self.body(core), before, "{:?}", Error::from_register(self.registers[core].x[17]));
    }

    /// Whoever runs on a core cannot call through a gate, for this reason.
    #[track_caller]
    pub fn call_refused(&mut self, core: usize, gate: u64, way: Way, error: Error) {
        let before = self.body(core);
        let (sent, pc) = (self.registers[core].x, self.registers[core].pc);
        self.registers[core].x[16] = gate;
        self.transfer(core, "pct_call", way);
        let registers = &self.registers[core];
        assert_eq!((self.body(core), registers.pc), (before, pc));
        assert_eq!((&registers.x[..16], registers.x[16]), (&sent[..16], gate));
        assert_eq!(Error::from_register(registers.x[17]), Some(error));
    }
}
