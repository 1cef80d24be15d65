//! Protected control transfer: entering another environment's activation at its agreed address, and coming back.
//!
//! Not here: the fast paths (`arch`), which do `pct_call` and `pct_return` in the common case; what is here is their slow
//! twin and everything else. The callee runs in its caller's place on the chain, on the caller's account, until it
//! returns: whoever claims the caller gets the callee. The registers are the message, so none are saved for anybody: the
//! caller's program keeps what it needs. Invariant: an activation whose state word is an address serves the activation
//! there, and runs nowhere but in its place.
#![forbid(unsafe_code)]

use crate::activation::{Saved, State, Tag, copy, set};
use crate::block::{ADDRESS, BlockAddress, Body, DETOUR, Word};
use crate::calls::{Done, nothing, retry, values};
use crate::environment::EnvId;
use crate::kernel::{Entry, Kernel, Ownership};
use crate::machine::Machine;
use crate::slice::Link;
use crate::trace::name;
use crate::word::{claim, end_service, leave_service, retire_if_over};
use core::sync::atomic::Ordering::{Relaxed, SeqCst};
use tranche_abi::layout::{MAX_ACTIVATIONS, MAX_ENVS, MAX_GATES};
use tranche_abi::page::Registers;
use tranche_abi::public::env_state;
use tranche_abi::trace::kind;
use tranche_abi::{Error, Gate, Reason, Rights, Target, Tick};

/// The register that holds the gate in a call, and the callee's or caller's entry address after it.
const X_GATE: usize = 16;
/// The register that says who called, or whether the callee returned.
const X_WHO: usize = 17;
/// The register that holds the page's address after an entry.
const X_PAGE: usize = 18;
/// A recorded transfer's detail: the caller waits for the reply.
const CALLED: u32 = 0;
/// A recorded transfer's detail: it does not.
const SENT: u32 = 1;

impl<M: Machine> Entry<'_, M> {
    /// `gate_open`.
    pub fn gate_open(&mut self, target: Target) -> Result<Done, Error> {
        let Some(_own) = self.kernel.ownership.try_lock() else { return retry() };
        let (env, activation) = self.target(target, Rights::CALL)?;
        let gates = self.my_handles().gates();
        let free = gates.iter().position(|gate| gate.block.load(Relaxed) == 0).ok_or(Error::Full)?;
        let idle = State { tag: Tag::Idle, core: State::NO_CORE, generation: env.generation };
        gates[free].idle.store(idle.to_bits(), Relaxed);
        gates[free].block.store(self.kernel.block_address(env.index, activation).0, Relaxed);
        self.kernel.env(self.machine, self.me().index).transfers.store(1, Relaxed);
        values([free as u64, 0, 0, 0])
    }

    /// `gate_close`.
    pub fn gate_close(&mut self, gate: Gate) -> Result<Done, Error> {
        let Some(_own) = self.kernel.ownership.try_lock() else { return retry() };
        let gate = self.my_handles().gates().get(gate.0 as usize).ok_or(Error::BadArgument)?;
        match gate.block.swap(0, Relaxed) {
            0 => Err(Error::BadHandle),
            _ => nothing(),
        }
    }

    /// `pct_call`: the slow twin. An error is told in `x17`, and no other register changes.
    pub fn pct_call(&mut self) -> Result<Done, Error> {
        let caller = self.core.caller().body;
        match self.enter_callee(caller.block.0) {
            Ok(callee) => {
                self.record_transfer(&caller, &callee, CALLED);
                self.core.set_body(callee);
            }
            Err(error) => self.page(&caller).registers.x[X_WHO].store(error as u64, Relaxed),
        }
        Ok(Done::Elsewhere)
    }

    /// `pct_send`: the callee is a link of its own, above the caller's.
    pub fn pct_send(&mut self) -> Result<Done, Error> {
        let sender = self.core.caller().body;
        let running = State { tag: Tag::Running, core: self.cpu.0 as u8, generation: 0 };
        let entered =
            if self.core.is_full() { Err(Error::Full) } else { self.enter_callee(running.to_bits()) };
        let page = self.machine.page(sender.page);
        page.registers.x[X_WHO].store(entered.err().map_or(0, |error| error as u64), Relaxed);
        if let Ok(callee) = entered {
            self.record_transfer(&sender, &callee, SENT);
            self.save(&sender, Saved::Exact);
            self.save(&callee, Saved::Exact);
            self.store_fp();
            self.start(Link::sent(callee));
        }
        Ok(Done::Elsewhere)
    }

    fn record_transfer(&self, from: &Body, to: &Body, how: u32) {
        self.record((kind::TRANSFER, from.env().index, how, &[name(to.env().index, to.activation())]));
    }

    /// The activation behind the gate in `x16` gets this state word (a state's generation is filled in), the caller's
    /// registers, and its own entry address.
    fn enter_callee(&mut self, word: u64) -> Result<Body, Error> {
        let caller = self.core.caller().body;
        let registers = &self.machine.page(caller.page).registers;
        let number = registers.x[X_GATE].load(Relaxed) as usize % MAX_GATES; // the fast path looks at no other bits
        let gate = &self.my_handles().gates()[number];
        let (address, idle) = (gate.block.load(Relaxed), gate.idle.load(Relaxed));
        if address == 0 {
            return Err(Error::BadHandle);
        }
        let (index, activation) = self.kernel.block_at(BlockAddress(address));
        let block = self.kernel.block(index, activation);
        let generation = State::from_bits(idle).generation;
        let word =
            if word & ADDRESS == 0 { State { generation, ..State::from_bits(word) }.to_bits() } else { word };
        if let Err(present) = block.state.compare_exchange(idle, word, SeqCst, SeqCst) {
            return Err(self.why_not(EnvId { index, generation }, present));
        }
        let callee = self.kernel.body_at(self.machine, BlockAddress(address));
        let identity = self.kernel.block(caller.env().index, caller.activation()).identity.load(Relaxed);
        self.pass_registers(&caller, &callee, (self.page(&callee).transfer.entry.load(Relaxed), identity));
        Ok(callee)
    }

    /// Why an activation could not be entered that has this state word.
    fn why_not(&self, env: EnvId, present: u64) -> Error {
        if !self.kernel.is_alive(env) {
            return Error::Stale;
        }
        match Word::from_bits(present) {
            Word::State(State { tag: Tag::Absent | Tag::Stopped | Tag::Faulted, .. }) => Error::Absent,
            _ => Error::Busy,
        }
    }

    /// The registers of one become those of the other, who continues at an agreed address.
    fn pass_registers(&self, from: &Body, to: &Body, (pc, who): (u64, u64)) {
        let page = self.page(to);
        copy(&self.page(from).registers, &page.registers);
        page.registers.x[X_GATE].store(pc, Relaxed);
        page.registers.x[X_WHO].store(who, Relaxed);
        page.registers.x[X_PAGE].store(page.address.load(Relaxed), Relaxed);
        page.registers.pc.store(pc, Relaxed);
    }

    /// `pct_return`: the slow twin. Without a caller, the activation waits for one.
    pub fn pct_return(&mut self) -> Result<Done, Error> {
        let body = self.core.caller().body;
        match self.kernel.word(body.env().index, body.activation()) {
            Word::Serving { detour: true, .. } => self.break_off(Tag::Idle),
            Word::Serving { caller, detour: false } => {
                let serving = caller.0;
                let caller = self.kernel.body_at(self.machine, caller);
                let pc = self.page(&caller).transfer.resume.load(Relaxed);
                let idle = State { tag: Tag::Idle, core: State::NO_CORE, generation: body.env().generation };
                let state = &self.kernel.block(body.env().index, body.activation()).state;
                let pass = || self.pass_registers(&body, &caller, (pc, 0));
                match end_service(state, (serving, idle.to_bits()), pass) {
                    Some(()) => self.core.set_body(caller),
                    None => self.break_off(Tag::Idle), // the caller was just taken out of the call
                }
            }
            Word::State(_) => {
                self.kernel.env(self.machine, body.env().index).transfers.store(1, Relaxed);
                self.leave(Tag::Idle, Reason::Waiting, Tick::NEVER.0);
                let generation = body.env().generation;
                let bits = |tag| State { tag, core: State::NO_CORE, generation }.to_bits();
                let words = (bits(Tag::Idle), bits(Tag::Stopped));
                let state = &self.kernel.block(body.env().index, body.activation()).state;
                retire_if_over(state, words, || !self.kernel.is_alive(body.env()));
            }
        }
        Ok(Done::Elsewhere)
    }

    fn end_service(&self, body: &Body, tag: Tag) {
        let state = State { tag, core: State::NO_CORE, generation: body.env().generation };
        self.kernel.set_state(body.env().index, body.activation(), state);
    }

    /// Whoever runs serves a call and cannot go on: it gets the state `tag`, and its caller continues with `Broken`.
    pub fn break_off(&mut self, tag: Tag) {
        let body = self.core.caller().body;
        if let Some(caller) = self.broken(&body, tag) {
            self.core.fp_live = false; // what is in them was the callee's
            self.core.set_body(caller);
        }
    }

    /// Ends the service of who cannot go on. Its caller, which is told.
    fn broken(&self, body: &Body, tag: Tag) -> Option<Body> {
        let Word::Serving { caller, .. } = self.kernel.word(body.env().index, body.activation()) else {
            return None;
        };
        self.end_service(body, tag);
        let caller = self.kernel.body_at(self.machine, caller);
        self.tell_broken(&caller);
        Some(caller)
    }

    /// Who is to run in a link's place: its body, or, where that one's environment was destroyed, who called it.
    pub fn living_body(&self, link: &Link) -> Body {
        let mut body = link.body;
        while body.block != link.own() && !self.kernel.is_alive(body.env()) {
            let Some(caller) = self.broken(&body, Tag::Stopped) else { break };
            body = caller;
        }
        body
    }

    /// Who runs when this activation, just claimed, gets the CPU: itself, or whoever serves its call.
    pub fn resumed_body(&self, own: Body) -> Body {
        let body = &self.kernel.block(own.env().index, own.activation()).body;
        match body.load(Relaxed) {
            0 => own,
            address => {
                body.store(0, Relaxed);
                self.kernel.body_at(self.machine, BlockAddress(address))
            }
        }
    }

    /// The activation's call did not return: it continues where it would have, and learns so.
    fn tell_broken(&self, caller: &Body) {
        let page = self.page(caller);
        let mut registers = Registers { pc: page.transfer.resume.load(Relaxed), ..Registers::ZERO };
        registers.x[X_GATE] = registers.pc;
        registers.x[X_WHO] = Error::Broken as u64;
        registers.x[X_PAGE] = page.address.load(Relaxed);
        set(&page.registers, &registers);
        self.save(caller, Saved::Exact);
    }

    /// An activation of a dead environment is taken out of everybody's call: who serves it goes on by itself, whom it
    /// serves learns so. False if some core still has to take notice. One pass over the blocks of all environments that are
    /// there. Whoever is just coming back to it still finds its state word.
    pub fn leave_calls(&mut self, own: &Ownership, (index, activation): (u16, u8)) -> bool {
        let gone = self.kernel.block_address(index, activation);
        match self.kernel.state(index, activation) {
            Some(State { tag: Tag::Running, core, .. }) => {
                self.look_again(core);
                return false;
            }
            Some(idle @ State { tag: Tag::Idle, .. }) => {
                let stopped = State { tag: Tag::Stopped, ..idle };
                if !self.kernel.change(index, activation, idle, stopped) {
                    return false; // it was entered this instant
                }
            }
            _ => {}
        }
        let caller = match self.kernel.word(index, activation) {
            Word::Serving { caller, .. } => Some(caller),
            Word::State(_) => None,
        };
        let deepest = BlockAddress(self.kernel.block(index, activation).body.swap(0, Relaxed));
        let called = self.called_by(gone, deepest);
        for (index, activation) in self.kernel.present_activations() {
            let block = self.kernel.block(index, activation);
            if block.body.load(Relaxed) == gone.0
                && let Some(caller) = caller
                && !self.go_on_without((index, activation), gone, caller)
            {
                return false;
            }
            let present = block.state.load(SeqCst);
            if present & !DETOUR == gone.0 {
                let next = match caller {
                    Some(caller) => caller.0 | DETOUR,
                    None => block.ready_word(),
                };
                if caller.is_none() {
                    let own = self.kernel.block_address(index, activation);
                    let goes_on = own == called && own != deepest;
                    block.body.store(if goes_on { deepest.0 } else { 0 }, Relaxed);
                }
                // It may have returned this instant; then its core finds that there is nobody.
                let changed = leave_service(&block.state, present, next);
                if changed && caller.is_none() {
                    self.tell_manager(own, index, activation);
                }
            }
        }
        true
    }

    /// Whom the activation `caller` called, if `deepest` runs in its place. Others may have been called by it once, and be
    /// of dead environments now.
    fn called_by(&self, caller: BlockAddress, deepest: BlockAddress) -> BlockAddress {
        let mut called = deepest;
        while called != BlockAddress::NONE {
            let (env, activation) = self.kernel.block_at(called);
            match self.kernel.word(env, activation) {
                Word::Serving { caller: next, .. } if next != caller => called = next,
                _ => break,
            }
        }
        called
    }

    /// The deepest callee of this activation's call is no more: that one's caller goes on in its place. False if another
    /// core is just claiming the activation.
    fn go_on_without(
        &self,
        (index, activation): (u16, u8),
        gone: BlockAddress,
        caller: BlockAddress,
    ) -> bool {
        let Some(state) = self.kernel.state(index, activation) else { return false };
        if state.tag == Tag::Running {
            return false;
        }
        let held = State { tag: Tag::Running, core: self.cpu.0 as u8, ..state };
        let block = self.kernel.block(index, activation);
        let claimed = claim(&block.state, (state.to_bits(), held.to_bits()), || {
            if block.body.load(Relaxed) == gone.0 {
                let own = self.kernel.block_address(index, activation);
                block.body.store(if caller == own { 0 } else { caller.0 }, Relaxed);
                self.tell_broken(&self.kernel.body_at(self.machine, caller));
            }
            Err::<(), ()>(()) // it goes back as it was
        });
        claimed.is_some()
    }
}

impl Kernel {
    /// The activations, made or not, of all environments that are there. Those of others are in no call.
    fn present_activations(&self) -> impl Iterator<Item = (u16, u8)> {
        let is_present = |env: &u16| self.public.env_state[*env as usize].load(Relaxed) != env_state::FREE;
        let of = |env| (0..MAX_ACTIVATIONS as u8).map(move |activation| (env, activation));
        (0..MAX_ENVS as u16).filter(is_present).flat_map(of)
    }

    /// Notes who is to run when an activation that leaves its chain gets the CPU again.
    pub fn keep_body(&self, link: &Link) {
        let body = if link.body.block == link.own() { BlockAddress::NONE } else { link.body.block };
        self.block(link.env().index, link.activation()).body.store(body.0, Relaxed);
    }
}
