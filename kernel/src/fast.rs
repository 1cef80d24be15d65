//! The common cases of switching, in few instructions: `yield_to` a target that is ready, `yield_now` to a caller, the end
//! of a directed yield's time, and of a slot.
//!
//! Not here: any other case. Each function is an optimisation of one case of [`handle`](crate::kernel::Kernel::handle):
//! unless everything is as it expects it does nothing and says so, and the general way does it all; otherwise it leaves
//! what that would have left, which a test compares word for word. The same invariants and locks; the core's own lock is
//! represented by the caller's exclusive access.
//!
//! What keeps them short: whatever a switch needs of an activation is in its block or its link; no bound is checked that a
//! mask makes certain; what was read is kept in variables, because an atomic operation makes the compiler forget what it
//! knows of memory; and nothing that is seldom is called in between, because values would have to outlive the call. So each
//! way is there twice: with [`Plain`], and with [`Rare`] for who used FP/SIMD, and while there is recording.
#![forbid(unsafe_code)]

use crate::activation::{Saved, State, Tag, has_ready, increment};
use crate::block::{Block, BlockAddress, Body};
use crate::environment::FIRST;
use crate::kernel::Kernel;
use crate::machine::Machine;
use crate::slice::{Core, Link, Phase};
use crate::vector::{Revolution, Slot};
use crate::word;
use core::sync::atomic::Ordering::{Relaxed, SeqCst};
use tranche_abi::layout::{MAX_ACTIVATIONS, MAX_CHAIN, MAX_CORES, MAX_ENVS, MAX_HANDLES};
use tranche_abi::page::ActivationPage;
use tranche_abi::{Frame, Identity, Kind, Reason, Rights, Tick, YIELD_EVENTS};

/// A core about to switch. `None` from a way: nothing was changed, take the general one.
pub struct Fast<'a, M> {
    /// The kernel.
    pub kernel: &'a Kernel,
    /// The machine as this core sees it.
    pub machine: &'a M,
    /// This core's time.
    pub core: &'a mut Core,
}

/// Whom a way leads to: the block of who runs now.
pub type Next = Option<BlockAddress>;

/// What seldom has to be done in a switch besides. One way or the other, the same is left.
trait Besides {
    /// Saves the FP/SIMD registers of who leaves, if they are in use.
    fn save_fp<M: Machine>(fast: &mut Fast<'_, M>, page: &ActivationPage);
    /// Records that the directed yield is over whose link was at `depth`.
    fn yield_is_over<M: Machine>(fast: &mut Fast<'_, M>, depth: usize, reason: Reason, now: Tick);
    /// Records that the root's slot begins.
    fn slot_begins<M: Machine>(fast: &mut Fast<'_, M>, now: Tick);
}

/// Nothing.
enum Plain {}
/// Whatever is to be done.
enum Rare {}

impl Besides for Plain {
    #[inline(always)]
    fn save_fp<M: Machine>(_: &mut Fast<'_, M>, _: &ActivationPage) {}
    #[inline(always)]
    fn yield_is_over<M: Machine>(_: &mut Fast<'_, M>, _: usize, _: Reason, _: Tick) {}
    #[inline(always)]
    fn slot_begins<M: Machine>(_: &mut Fast<'_, M>, _: Tick) {}
}

impl Besides for Rare {
    fn save_fp<M: Machine>(fast: &mut Fast<'_, M>, page: &ActivationPage) {
        if core::mem::take(&mut fast.core.fp_live) {
            fast.machine.save_fp(&page.fp);
        }
    }

    fn yield_is_over<M: Machine>(fast: &mut Fast<'_, M>, depth: usize, reason: Reason, now: Tick) {
        if fast.kernel.is_tracing() {
            fast.core.record_fast_yield(depth, reason, now);
        }
    }

    fn slot_begins<M: Machine>(fast: &mut Fast<'_, M>, now: Tick) {
        if fast.kernel.is_tracing() {
            fast.kernel.record_roots_slot(fast.core, now);
        }
    }
}

impl<'a, M: Machine> Fast<'a, M> {
    /// `yield_to`, by `current`; `go` goes on with whom it leads to.
    #[inline(always)]
    pub fn yield_to<R>(mut self, current: &Block, arguments: [u64; 3], go: impl FnOnce(Next) -> R) -> R {
        if self.core.fp_live {
            return self.yield_to_and_more(current, go);
        }
        go(self.try_yield_to::<Plain>(current, arguments))
    }

    #[cold]
    #[inline(never)]
    fn yield_to_and_more<R>(mut self, current: &Block, go: impl FnOnce(Next) -> R) -> R {
        let x = &self.machine.page(self.link(1).body.page).registers.x;
        let arguments = core::array::from_fn(|i| x[i].load(Relaxed));
        go(self.try_yield_to::<Rare>(current, arguments))
    }

    /// `yield_now`, by `current`, in a directed yield.
    #[inline(always)]
    pub fn yield_now<R>(mut self, current: &Block, go: impl FnOnce(Next) -> R) -> R {
        if self.core.fp_live || self.kernel.is_tracing() {
            return self.yield_now_and_more(current, go);
        }
        go(self.try_yield_now::<Plain>(current))
    }

    #[cold]
    #[inline(never)]
    fn yield_now_and_more<R>(mut self, current: &Block, go: impl FnOnce(Next) -> R) -> R {
        go(self.try_yield_now::<Rare>(current))
    }

    /// The timer, which has just been silenced: the end of the last link's time, or of the slot.
    #[inline(always)]
    pub fn timer<R>(mut self, current: &Block, go: impl FnOnce(Next) -> R) -> R {
        if self.core.fp_live || self.kernel.is_tracing() {
            return self.timer_and_more(current, go);
        }
        go(self.try_timer::<Plain>(current))
    }

    #[cold]
    #[inline(never)]
    fn timer_and_more<R>(mut self, current: &Block, go: impl FnOnce(Next) -> R) -> R {
        go(self.try_timer::<Rare>(current))
    }

    #[inline(always)]
    fn try_yield_to<B: Besides>(&mut self, current: &Block, [target, until, mode]: [u64; 3]) -> Next {
        let now = self.machine.now();
        let (depth, me) = (self.core.depth, BlockAddress::of(current));
        let Link { own, body, due, .. } = *self.link(1);
        let page = self.machine.page(body.page);
        if body.block != me
            || now >= due
            || until <= now.0
            || depth >= MAX_CHAIN
            || mode & YIELD_EVENTS != 0 && has_ready(page)
        {
            return None;
        }
        let (block, generation) = self.bound_to_run(current, target)?;
        let (next, saved) = self.claim(block, generation)?;
        current.saved.store(Saved::YieldTo as u32, Relaxed);
        B::save_fp(self, page);
        self.charge(&own, now);
        self.core.chain[depth.wrapping_sub(1) % MAX_CHAIN].events = mode & YIELD_EVENTS != 0;
        let until = Tick(until);
        let (due, charged) = (due.min(until), self.core.charged_to_links());
        self.core.chain[depth % MAX_CHAIN].begin(next, (until, due, charged), now);
        self.core.depth = depth + 1;
        let page = self.machine.page(next.page);
        self.tell_time(page, saved, now);
        self.enter(page, due, now);
        Some(next.block)
    }

    #[inline(always)]
    fn try_yield_now<B: Besides>(&mut self, current: &Block) -> Next {
        let now = self.machine.now();
        let me = BlockAddress::of(current);
        let Link { own, body, due, sent, .. } = *self.link(1);
        if body.block != me || now >= due || own.block != me || sent || !self.parent_runs_itself() {
            return None;
        }
        let page = self.machine.page(own.page);
        page.registers.x[0].store(0, Relaxed);
        self.charge(&own, now);
        let next = self.leave::<B>(current, page, (Reason::Yielded, now));
        Some(next)
    }

    #[inline(always)]
    fn try_timer<B: Besides>(&mut self, current: &Block) -> Next {
        let now = self.machine.now();
        let me = BlockAddress::of(current);
        let Link { own, body, due, sent, .. } = *self.link(1);
        // It runs itself, and as far as is known here: it may be back from a call by a fast path.
        if self.core.phase != Phase::Running || own.block != me || body.block != me || now < due {
            return None;
        }
        let page = self.machine.page(own.page);
        // Whoever takes slice upcalls is told of its end, and finds its registers elsewhere.
        if page.upcalls.run.load(Relaxed) | page.upcalls.slice_end.load(Relaxed) != 0
            || page.in_critical.load(Relaxed) != 0
        {
            return None;
        }
        if now >= self.core.slot_end {
            return if self.core.depth == 1 { self.next_slot::<B>(current, page, now) } else { None };
        }
        if sent || !self.parent_runs_itself() || self.link(2).due <= now {
            return None;
        }
        self.core.armed = Tick::NEVER;
        self.charge(&own, due);
        page.since.store(now.0, Relaxed);
        let next = self.leave::<B>(current, page, (Reason::Expired, now));
        self.charge_kernel(self.link(1).own.page);
        Some(next)
    }

    /// The root's slot is over: the owner of the next one, if it is ready and owes no time.
    #[inline(always)]
    fn next_slot<B: Besides>(&mut self, current: &Block, page: &ActivationPage, now: Tick) -> Next {
        let public = self.kernel.public;
        let [epoch, quantum, slots] =
            [&public.epoch, &public.quantum, &public.slots].map(|field| field.load(Relaxed));
        let vector = &public.slot[self.core.cpu.0 % MAX_CORES];
        let Slot { word, end } = Revolution { epoch, quantum, slots }.find(vector, now)?;
        let owner = word.owner as usize % MAX_ENVS;
        if word.owner != FIRST && self.kernel.envs[owner].debt.load(Relaxed) >= quantum {
            return None; // there is something to settle with it first
        }
        let block = &self.kernel.blocks[owner][word.activation as usize % MAX_ACTIVATIONS];
        let own = self.link(1).own;
        // Before the present owner may be claimed by itself or by another core, it must be whole.
        let stays = core::ptr::eq(block, current);
        let (next, saved) = match stays {
            true => (block.frame.load(SeqCst) != 0).then_some((own, Saved::Exact as u32))?,
            false => self.claim(block, block.generation())?,
        };
        self.core.armed = Tick::NEVER;
        self.charge(&own, self.link(1).due);
        page.since.store(now.0, Relaxed);
        B::save_fp(self, page);
        current.saved.store(Saved::Exact as u32, Relaxed);
        if !stays {
            current.state.store(current.ready_word(), SeqCst);
        }
        (self.core.slot_end, self.core.wake_at) = (end, Tick::NEVER);
        let charged = self.core.charged_to_links();
        self.core.chain[0].begin(next, (Tick::NEVER, end, charged), now);
        if let Some(ledger) = self.core.ledger {
            increment(&ledger.slices[owner]);
        }
        let page = self.machine.page(next.page);
        self.tell_time(page, saved, now);
        self.enter(page, end, now);
        B::slot_begins(self, now);
        self.charge_kernel(next.page);
        Some(next.block)
    }

    /// The `nth` link from the end, which there is.
    #[inline(always)]
    fn link(&self, nth: usize) -> &Link {
        &self.core.chain[self.core.depth.wrapping_sub(nth) % MAX_CHAIN]
    }

    /// Whether the last link has a caller, and that runs itself: not somebody who serves it and might be no more.
    #[inline(always)]
    fn parent_runs_itself(&self) -> bool {
        let parent = self.link(2);
        self.core.depth >= 2 && parent.own.block == parent.body.block
    }

    /// The block behind a target that `current` may run, and which life of it is meant.
    #[inline(always)]
    fn bound_to_run(&self, current: &Block, target: u64) -> Option<(&'a Block, u32)> {
        /// Kind, right, and that the index is below `MAX_ENVS`.
        const WANTED: u64 = (Kind::Env as u64) << 28 | (Rights::RUN.0 as u64) << 32;
        const MASK: u64 = 0xffff_ffff & !(MAX_ENVS as u64 - 1) | (Rights::RUN.0 as u64) << 32;
        const TARGETS: u64 = (MAX_HANDLES as u64 - 1) | (MAX_ACTIVATIONS as u64 - 1) << 16;
        let handles = self.machine.handles(self.machine.frame_at(current.gates.load(Relaxed)));
        let bits = handles.bits(target as usize % MAX_HANDLES);
        let activation = (target >> 16) as usize % MAX_ACTIVATIONS;
        let block = &self.kernel.blocks[bits as usize % MAX_ENVS][activation];
        (target & !TARGETS == 0 && bits & MASK == WANTED).then_some((block, (bits >> 40) as u32))
    }

    /// Claims an activation that is ready, in this life, and runs itself; and where its context is.
    #[inline(always)]
    fn claim(&self, block: &Block, generation: u32) -> Option<(Body, u32)> {
        let ready = State { tag: Tag::Ready, core: State::NO_CORE, generation }.to_bits();
        let running = State { tag: Tag::Running, core: self.core.cpu.0 as u8, generation }.to_bits();
        let look = || {
            let (frame, saved) = (block.frame.load(SeqCst), block.saved.load(Relaxed));
            let is_simple = frame != 0 && block.body.load(Relaxed) == 0 && saved != Saved::Enabled as u32;
            if is_simple { Ok((frame, saved)) } else { Err(()) }
        };
        let (frame, saved) = word::claim(&block.state, (ready, running), look)?.ok()?;
        let who = Identity(block.identity.load(Relaxed));
        Some((Body { block: BlockAddress::of(block), who, page: Frame(frame as u64) }, saved))
    }

    /// The last link, whose account is closed, goes; its caller continues, as the one of a `yield_to`.
    #[inline(always)]
    fn leave<B: Besides>(
        &mut self,
        current: &Block,
        page: &ActivationPage,
        (reason, now): (Reason, Tick),
    ) -> BlockAddress {
        let ran = self.core.charged_to_links().wrapping_sub(self.link(1).charged_before);
        let Link { own, due, .. } = *self.link(2);
        let depth = self.core.depth - 1;
        current.saved.store(Saved::Exact as u32, Relaxed);
        B::save_fp(self, page);
        self.core.depth = depth;
        current.state.store(current.ready_word(), SeqCst);
        let page = self.machine.page(own.page);
        let x = &page.registers.x;
        x[0].store(0, Relaxed);
        x[1].store(reason as u64, Relaxed);
        x[2].store(ran, Relaxed);
        x[3].store(0, Relaxed);
        x[4].store(now.0, Relaxed);
        self.enter(page, due, now);
        B::yield_is_over(self, depth, reason, now);
        own.block
    }

    /// Tells an activation what the time is, if its call wants to know.
    #[inline(always)]
    fn tell_time(&self, page: &ActivationPage, saved: u32, now: Tick) {
        match saved {
            saved if saved == Saved::YieldTo as u32 => page.registers.x[4].store(now.0, Relaxed),
            saved if saved == Saved::Wait as u32 => page.registers.x[1].store(now.0, Relaxed),
            _ => {}
        }
    }

    /// The link with this page, now the last, runs until it is due.
    #[inline(always)]
    fn enter(&mut self, page: &ActivationPage, due: Tick, now: Tick) {
        page.since.store(now.0, Relaxed);
        page.slot_end.store(self.core.slot_end.0, Relaxed);
        page.core.store(self.core.cpu.0 as u64, Relaxed);
        if due != self.core.armed {
            self.core.armed = due;
            self.machine.set_timer(due);
        }
    }

    /// Charges a link up to `now`.
    #[inline(always)]
    fn charge(&mut self, own: &Body, now: Tick) {
        if let Some(ledger) = self.core.ledger {
            self.core.charge_link(self.machine, ledger, own, now);
        }
    }

    /// Charges what an interrupt took to the kernel, and lets the account in this page begin behind it.
    #[inline(always)]
    fn charge_kernel(&mut self, page: Frame) {
        let now = self.machine.now();
        if let Some(ledger) = self.core.ledger {
            self.core.charge_others(ledger, &ledger.kernel, now);
        }
        self.machine.page(page).since.store(now.0, Relaxed);
    }
}
