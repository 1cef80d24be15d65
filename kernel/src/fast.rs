//! The common cases of switching, in few instructions: `yield_to` a target that is ready, `yield_now` to a caller, the end
//! of a directed yield's time, and of a slot.
//!
//! Not here: any other case. Each function is an optimisation of one case of [`handle`](crate::kernel::Kernel::handle):
//! unless everything is as it expects it does nothing and says so, and the general way does it all; otherwise it leaves
//! what that would have left, which a test compares word for word. The same invariants and locks; the core's own lock is
//! represented by the caller's exclusive access.
#![forbid(unsafe_code)]

use crate::activation::{Saved, State, Tag, has_ready, increment};
use crate::block::{Block, BlockAddress, Body};
use crate::environment::{EnvId, FIRST};
use crate::kernel::Kernel;
use crate::machine::{CpuId, Machine};
use crate::slice::{Core, Link, Phase};
use crate::vector::{Revolution, Slot};
use core::sync::atomic::Ordering::{Relaxed, SeqCst};
use tranche_abi::layout::{MAX_ACTIVATIONS, MAX_CHAIN, MAX_ENVS, MAX_HANDLES};
use tranche_abi::page::ActivationPage;
use tranche_abi::public::{Ledger, env_state};
use tranche_abi::{Kind, Reason, Rights, Tick, YIELD_EVENTS};

/// A core about to switch. `None` from a method: nothing was changed, take the general way.
pub struct Fast<'a, M> {
    /// The kernel.
    pub kernel: &'a Kernel,
    /// The machine as this core sees it.
    pub machine: &'a M,
    /// This core.
    pub cpu: CpuId,
    /// Its time.
    pub core: &'a mut Core,
}

impl<M: Machine> Fast<'_, M> {
    /// `yield_to`, by `current`, whose registers hold the arguments: the target's block, which runs now.
    pub fn yield_to(&mut self, current: BlockAddress) -> Option<BlockAddress> {
        let now = self.machine.now();
        let last = self.last_running(current, now)?;
        let (body, due) = (last.body, last.due);
        let page = self.machine.page(body.page);
        let [target, until, mode] = [0, 1, 2].map(|i| page.registers.x[i].load(Relaxed));
        let depth = self.core.depth;
        if until <= now.0 || depth >= MAX_CHAIN || mode & YIELD_EVENTS != 0 && has_ready(page) {
            return None;
        }
        let (env, activation) = self.bound_to_run(body.env, target)?;
        let next = self.claim(env, activation)?;
        self.own_block(&body).saved.store(Saved::YieldTo as u64, Relaxed);
        self.store_fp(page);
        self.charge_on_time(now);
        self.core.chain[depth - 1].events = mode & YIELD_EVENTS != 0;
        let charged_before = self.core.charged_to_links;
        let link = &mut self.core.chain[depth];
        link.begin(next, (Tick(until), due.min(Tick(until)), charged_before), now);
        self.core.depth = depth + 1;
        self.resume(depth, now)
    }

    /// `yield_now`, by `current`, in a directed yield: its caller's block, which runs now.
    pub fn yield_now(&mut self, current: BlockAddress) -> Option<BlockAddress> {
        let now = self.machine.now();
        let last = self.last_running(current, now)?;
        if self.core.depth < 2 || last.sent || last.own() != current || !self.parent_runs_itself() {
            return None;
        }
        let page = self.machine.page(last.page);
        let depth = self.core.depth - 1;
        self.charge_on_time(now);
        page.registers.x[0].store(0, Relaxed);
        self.leave(depth, page, (Reason::Yielded, now))
    }

    /// The timer, which has just been silenced: the next to run, after the end of the last link's time or of the slot.
    pub fn timer(&mut self, current: BlockAddress) -> Option<BlockAddress> {
        let now = self.machine.now();
        let depth = self.core.depth.checked_sub(1)?;
        let last = self.core.chain.get(depth)?;
        let due = last.due;
        // It runs itself, and as far as is known here: it may be back from a call by a fast path.
        let runs_itself = last.own() == current && last.body.block == current;
        if self.core.phase != Phase::Running || self.core.attend || !runs_itself || now < due {
            return None;
        }
        let page = self.machine.page(last.body.page);
        // Whoever takes slice upcalls is told of its end, and finds its registers elsewhere.
        if page.upcalls.run.load(Relaxed) | page.upcalls.slice_end.load(Relaxed) != 0
            || page.in_critical.load(Relaxed) != 0
        {
            return None;
        }
        if now < self.core.slot_end {
            let is_last_alone = depth > 0 && !last.sent && self.core.chain[depth - 1].due > now;
            if !is_last_alone || !self.parent_runs_itself() {
                return None;
            }
            self.core.armed = Tick::NEVER;
            self.charge(due, now);
            let next = self.leave(depth, page, (Reason::Expired, now));
            self.charge_kernel();
            return next;
        }
        if depth > 0 {
            return None;
        }
        self.next_slot(page, now)
    }

    /// The root's slot is over: the owner of the next one, if it is ready and owes no time.
    fn next_slot(&mut self, page: &ActivationPage, now: Tick) -> Option<BlockAddress> {
        let public = self.kernel.public;
        let quantum = public.quantum.load(Relaxed);
        let epoch = public.epoch.load(Relaxed);
        let slots = public.slots.load(Relaxed);
        let Slot { word: slot, end: slot_end } =
            Revolution { epoch, quantum, slots }.slot(&public.slot[self.cpu.0], now);
        let generation = self.owner_that_owes_nothing(slot.owner, quantum)?;
        let old = self.core.chain[0].body;
        // Before the present owner may be claimed by itself or by another core, it must be whole.
        let next = match (slot.owner, slot.activation) == (old.env.index, old.activation) {
            true => self.is_alive(old.env.index).then_some(old)?,
            false => self.claim(EnvId { index: slot.owner, generation }, slot.activation)?,
        };
        self.core.armed = Tick::NEVER;
        self.charge(self.core.chain[0].due, now);
        self.store_fp(page);
        self.own_block(&old).saved.store(Saved::Exact as u64, Relaxed);
        if next.block != old.block {
            self.release(&old);
        }
        self.core.slot_end = slot_end;
        self.core.wake_at = Tick::NEVER;
        let charged_before = self.core.charged_to_links;
        self.core.chain[0].begin(next, (Tick::NEVER, slot_end, charged_before), now);
        increment(&self.ledger().slices[slot.owner as usize]);
        let next = self.resume(0, now);
        // Here the fewest values have to outlive the call.
        if self.kernel.is_tracing() {
            self.kernel.record_roots_slot(self.core, self.cpu, now);
        }
        self.charge_kernel();
        next
    }

    /// The generation of a slot's owner, if there is nothing to settle with it first.
    fn owner_that_owes_nothing(&self, owner: u16, quantum: u64) -> Option<u32> {
        let slot = self.kernel.envs.get(owner as usize)?;
        let owes = owner != FIRST && slot.debt.load(Relaxed) >= quantum;
        (!owes).then(|| slot.generation.load(SeqCst))
    }

    /// The last link, if it runs as far as is known here, and nothing else is due.
    #[inline(always)]
    fn last_running(&self, current: BlockAddress, now: Tick) -> Option<&Link> {
        let last = self.core.chain.get(self.core.depth.wrapping_sub(1))?;
        let runs = self.core.phase == Phase::Running && last.body.block == current && now < last.due;
        (runs && !self.core.attend).then_some(last)
    }

    /// Whether the last link's caller runs, not somebody who serves it and might be no more.
    #[inline(always)]
    fn parent_runs_itself(&self) -> bool {
        let parent = self.core.depth.checked_sub(2).and_then(|parent| self.core.chain.get(parent));
        parent.is_some_and(|parent| parent.own() == parent.body.block)
    }

    /// The environment and activation behind a target that `me` may run.
    #[inline(always)]
    fn bound_to_run(&self, me: EnvId, target: u64) -> Option<(EnvId, u8)> {
        const WANTED: u64 = (Kind::Env as u64) << 28 | (Rights::RUN.0 as u64) << 32;
        const MASK: u64 = 0xf << 28 | (Rights::RUN.0 as u64) << 32;
        let (handle, activation) = (target & 0xffff, target >> 16);
        if handle >= MAX_HANDLES as u64 || activation >= MAX_ACTIVATIONS as u64 {
            return None;
        }
        let handles = self.kernel.env(self.machine, me.index).handles.load(Relaxed);
        let bits = self.machine.handles(tranche_abi::Frame(handles as u64)).bits(handle as usize);
        let index = bits & 0xfff_ffff;
        let is_it = bits & MASK == WANTED && index < MAX_ENVS as u64;
        is_it.then_some((EnvId { index: index as u16, generation: (bits >> 40) as u32 }, activation as u8))
    }

    /// Claims an activation that is ready and runs itself.
    #[inline(always)]
    fn claim(&self, env: EnvId, activation: u8) -> Option<Body> {
        let block = self.kernel.blocks.get(env.index as usize)?.get(activation as usize)?;
        let generation = env.generation;
        let ready = State { tag: Tag::Ready, core: State::NO_CORE, generation }.to_bits();
        let running = State { tag: Tag::Running, core: self.cpu.0 as u8, generation }.to_bits();
        if block.body.load(Relaxed) != 0 || block.saved.load(Relaxed) == Saved::Enabled as u64 {
            return None;
        }
        block.state.compare_exchange(ready, running, SeqCst, SeqCst).ok()?;
        let alive = self.is_alive(env.index);
        // What was looked at before the claim may have changed until then.
        if !alive || block.body.load(Relaxed) != 0 || block.saved.load(Relaxed) == Saved::Enabled as u64 {
            block.state.store(ready, SeqCst);
            return None;
        }
        let page = &self.kernel.env(self.machine, env.index).activations[activation as usize].page;
        let block = self.kernel.block_address(env.index, activation);
        Some(Body { block, env, activation, page: tranche_abi::Frame(page.load(Relaxed) as u64) })
    }

    #[inline(always)]
    fn is_alive(&self, env: u16) -> bool {
        self.kernel.public.env_state[env as usize % MAX_ENVS].load(SeqCst) == env_state::ALIVE
    }

    /// The last link, at `depth`, goes; its caller continues.
    #[inline(always)]
    fn leave(
        &mut self,
        depth: usize,
        page: &ActivationPage,
        (reason, now): (Reason, Tick),
    ) -> Option<BlockAddress> {
        let (body, before) = (self.core.chain[depth].body, self.core.chain[depth].charged_before);
        self.own_block(&body).saved.store(Saved::Exact as u64, Relaxed);
        self.store_fp(page);
        self.core.depth = depth;
        self.release(&body);
        let x = &self.machine.page(self.core.chain[depth - 1].body.page).registers.x;
        x[0].store(0, Relaxed);
        x[1].store(reason as u64, Relaxed);
        x[2].store(self.core.charged_to_links - before, Relaxed);
        x[3].store(0, Relaxed);
        x[4].store(now.0, Relaxed);
        let next = self.resume(depth - 1, now);
        if self.kernel.is_tracing() {
            self.core.record_fast_yield(self.cpu, depth, reason, now);
        }
        next
    }

    /// An activation that ran is ready.
    #[inline(always)]
    fn release(&self, body: &Body) {
        let ready = State { tag: Tag::Ready, core: State::NO_CORE, generation: body.env.generation };
        self.kernel.set_state(body.env.index, body.activation, ready);
    }

    /// The link at `depth`, now the last, runs.
    #[inline(always)]
    fn resume(&mut self, depth: usize, now: Tick) -> Option<BlockAddress> {
        let link = &self.core.chain[depth];
        let registers = &self.machine.page(link.body.page).registers;
        match self.own_block(&link.body).saved.load(Relaxed) {
            saved if saved == Saved::YieldTo as u64 => registers.x[4].store(now.0, Relaxed),
            saved if saved == Saved::Wait as u64 => registers.x[1].store(now.0, Relaxed),
            _ => {}
        }
        let page = self.machine.page(link.page);
        page.since.store(now.0, Relaxed);
        page.slot_end.store(self.core.slot_end.0, Relaxed);
        page.core.store(self.cpu.0 as u64, Relaxed);
        let (due, next) = (link.due, link.body.block);
        if due != self.core.armed {
            self.core.armed = due;
            self.machine.set_timer(due);
        }
        Some(next)
    }

    #[inline(always)]
    fn own_block(&self, body: &Body) -> &Block {
        self.kernel.block(body.env.index, body.activation)
    }

    #[inline(always)]
    fn store_fp(&mut self, page: &ActivationPage) {
        if core::mem::take(&mut self.core.fp_live) {
            self.machine.save_fp(&page.fp);
        }
    }

    #[inline(always)]
    fn ledger(&self) -> &'static Ledger {
        &self.kernel.public.ledger[self.cpu.0]
    }

    /// Charges the last link up to `now`, when it made a call.
    #[inline(always)]
    fn charge_on_time(&mut self, now: Tick) {
        let ledger = self.ledger();
        self.core.charge_last(self.machine, ledger, now);
    }

    /// Charges the last link up to `on_time`, and the kernel from then on.
    #[inline(always)]
    fn charge(&mut self, on_time: Tick, now: Tick) {
        let ledger = self.ledger();
        self.core.charge_last(self.machine, ledger, on_time);
        self.core.charge_kernel(self.machine, ledger, now);
    }

    /// Charges what an interrupt took to the kernel.
    #[inline(always)]
    fn charge_kernel(&mut self) {
        let (ledger, now) = (self.ledger(), self.machine.now());
        self.core.charge_kernel(self.machine, ledger, now);
    }
}
