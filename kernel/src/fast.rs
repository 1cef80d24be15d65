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
//! way is there twice: with `Plain`, and, to be tried after it, with `Rare` for who used FP/SIMD and while there is
//! recording.
#![forbid(unsafe_code)]

mod besides;

use crate::activation::{Saved, State, Tag, has_ready, increment};
use crate::block::{Block, BlockAddress, Body};
use crate::environment::FIRST;
use crate::kernel::Kernel;
use crate::ledger::add;
use crate::machine::Machine;
use crate::slice::{Core, Link, Phase};
use crate::vector::{Revolution, Slot};
use crate::word;
use besides::{Besides, Plain, Rare};
use core::sync::atomic::Ordering::{Relaxed, SeqCst};
use tranche_abi::layout::{MAX_ACTIVATIONS, MAX_CHAIN, MAX_CORES, MAX_ENVS, MAX_HANDLES};
use tranche_abi::page::ActivationPage;
use tranche_abi::public::Ledger;
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

/// Who made the call, or was interrupted.
#[derive(Clone, Copy)]
pub struct Current<'b> {
    /// Its block's address.
    pub address: BlockAddress,
    /// Its block.
    pub block: &'b Block,
}

/// What is to be known of the last link and of its caller when the link goes.
struct Leaving {
    own: Body,
    charged_before: u64,
    depth: usize,
    parent: Body,
    parent_due: Tick,
}

impl<'a, M: Machine> Fast<'a, M> {
    /// `yield_to`, by `current`.
    #[inline(always)]
    pub fn yield_to(mut self, current: Current<'_>, arguments: [u64; 3]) -> Next {
        if self.core.fp_live { None } else { self.try_yield_to::<Plain>(current, arguments) }
    }

    /// The same where there is more to it.
    pub fn yield_to_and_more(mut self, current: Current<'_>) -> Next {
        if self.is_plain() {
            return None;
        }
        let x = &self.machine.page(self.link(1).body.page).registers.x;
        let arguments = core::array::from_fn(|i| x[i].load(Relaxed));
        self.try_yield_to::<Rare>(current, arguments)
    }

    /// `yield_now`, by `current`, in a directed yield.
    #[inline(always)]
    pub fn yield_now(mut self, current: Current<'_>) -> Next {
        if self.is_plain() { self.try_yield_now::<Plain>(current) } else { None }
    }

    /// The same where there is more to it.
    pub fn yield_now_and_more(mut self, current: Current<'_>) -> Next {
        if self.is_plain() { None } else { self.try_yield_now::<Rare>(current) }
    }

    /// The timer, which has just been silenced: the end of the last link's time, or of the slot.
    #[inline(always)]
    pub fn timer(mut self, current: Current<'_>) -> Next {
        if self.is_plain() { self.try_timer::<Plain>(current) } else { None }
    }

    /// The same where there is more to it.
    pub fn timer_and_more(mut self, current: Current<'_>) -> Next {
        if self.is_plain() { None } else { self.try_timer::<Rare>(current) }
    }

    /// Whether no FP/SIMD registers are in use, and nothing is to be recorded.
    #[inline(always)]
    fn is_plain(&self) -> bool {
        !self.core.fp_live && !self.kernel.is_tracing()
    }

    #[inline(always)]
    fn try_yield_to<B: Besides>(&mut self, current: Current<'_>, [target, until, mode]: [u64; 3]) -> Next {
        let (now, ledger) = (self.machine.now(), self.core.ledger?);
        let span = now.0.checked_sub(self.core.charged_until.0)?;
        let depth = self.core.depth;
        let Link { own, body, due, .. } = *self.link(1);
        let page = self.machine.page(body.page);
        if body.block != current.address
            || now >= due
            || until <= now.0
            || depth >= MAX_CHAIN
            || mode & YIELD_EVENTS != 0 && has_ready(page)
        {
            return None;
        }
        let (block, generation) = self.bound_to_run(current.block, target)?;
        let (next, saved) = self.claim(block, generation)?;
        self.core.chain[depth.wrapping_sub(1) % MAX_CHAIN].events = mode & YIELD_EVENTS != 0;
        current.block.saved.store(Saved::YieldTo as u32, Relaxed);
        B::save_fp(self, page);
        let charged = now.0.wrapping_sub(self.core.charged_to_others);
        self.core.charged_until = now;
        ledger.until.store(now.0, Relaxed);
        charge(self.machine, ledger, &own, (span, now));
        let until = Tick(until);
        let due = due.min(until);
        self.core.chain[depth % MAX_CHAIN].begin(next, (until, due, charged), now);
        self.core.depth = depth + 1;
        let page = self.machine.page(next.page);
        self.tell_time(page, saved, now);
        page.since.store(now.0, Relaxed);
        self.enter(page, self.core.slot_end, due);
        Some(next.block)
    }

    #[inline(always)]
    fn try_yield_now<B: Besides>(&mut self, current: Current<'_>) -> Next {
        let (now, ledger) = (self.machine.now(), self.core.ledger?);
        let span = now.0.checked_sub(self.core.charged_until.0)?;
        let Link { body, due, sent, .. } = *self.link(1);
        let leaving = self.leaving();
        let me = current.address;
        if body.block != me || now >= due || leaving.own.block != me || sent || !self.parent_runs_itself() {
            return None;
        }
        let page = self.machine.page(leaving.own.page);
        page.registers.x[0].store(0, Relaxed);
        let charged = now.0.wrapping_sub(self.core.charged_to_others);
        self.core.charged_until = now;
        ledger.until.store(now.0, Relaxed);
        charge(self.machine, ledger, &leaving.own, (span, now));
        let parent = self.leave::<B>(current.block, &leaving, (Reason::Yielded, charged), now);
        parent.since.store(now.0, Relaxed);
        B::yield_is_over(self, leaving.depth, Reason::Yielded, now);
        Some(leaving.parent.block)
    }

    #[inline(always)]
    fn try_timer<B: Besides>(&mut self, current: Current<'_>) -> Next {
        let (now, ledger) = (self.machine.now(), self.core.ledger?);
        let me = current.address;
        let Link { own, body, due, .. } = *self.link(1);
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
        match now < self.core.slot_end {
            true => self.expire::<B>(current.block, ledger, now),
            false if self.core.depth == 1 => self.next_slot::<B>(current.block, ledger, now),
            false => None,
        }
    }

    /// The last link's time is over, and its caller's is not.
    #[inline(always)]
    fn expire<B: Besides>(&mut self, current: &Block, ledger: &Ledger, now: Tick) -> Next {
        let Link { due, sent, .. } = *self.link(1);
        let leaving = self.leaving();
        if sent || !self.parent_runs_itself() || leaving.parent_due <= now {
            return None;
        }
        self.core.armed = Tick::NEVER;
        let charged = self.charge_late(ledger, &leaving.own, (due, now));
        let parent = self.leave::<B>(current, &leaving, (Reason::Expired, charged), now);
        B::yield_is_over(self, leaving.depth, Reason::Expired, now);
        self.charge_kernel(ledger, parent);
        Some(leaving.parent.block)
    }

    /// The root's slot is over: the owner of the next one, if it is ready and owes no time.
    #[inline(always)]
    fn next_slot<B: Besides>(&mut self, current: &Block, ledger: &Ledger, now: Tick) -> Next {
        let Link { own, due, .. } = *self.link(1);
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
        // Before the present owner may be claimed by itself or by another core, it must be whole.
        let stays = core::ptr::eq(block, current);
        let (next, saved) = match stays {
            true => (block.frame.load(SeqCst) != 0).then_some((own, Saved::Exact as u32))?,
            false => self.claim(block, block.generation())?,
        };
        self.core.armed = Tick::NEVER;
        let charged = self.charge_late(ledger, &own, (due, now));
        B::save_fp(self, self.machine.page(own.page));
        current.saved.store(Saved::Exact as u32, Relaxed);
        if !stays {
            current.state.store(current.ready_word(), SeqCst);
        }
        (self.core.slot_end, self.core.wake_at) = (end, Tick::NEVER);
        self.core.chain[0].begin(next, (Tick::NEVER, end, charged), now);
        increment(&ledger.slices[owner]);
        let page = self.machine.page(next.page);
        self.tell_time(page, saved, now);
        self.enter(page, end, end);
        B::slot_begins(self, now);
        self.charge_kernel(ledger, page);
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

    #[inline(always)]
    fn leaving(&self) -> Leaving {
        let (last, parent) = (self.link(1), self.link(2));
        Leaving {
            own: last.own,
            charged_before: last.charged_before,
            depth: self.core.depth.wrapping_sub(1),
            parent: parent.own,
            parent_due: parent.due,
        }
    }

    /// The block behind a target that `current` may run, and which life of it is meant.
    #[inline(always)]
    fn bound_to_run(&self, current: &Block, target: u64) -> Option<(&'a Block, u32)> {
        // Next to each other in a handle's entry, whose index is below `MAX_ENVS` where the kind is that of environments.
        const WANTED: u64 = Kind::Env as u64 | (Rights::RUN.0 as u64) << 4;
        const MASK: u64 = 0xf | (Rights::RUN.0 as u64) << 4;
        const TARGETS: u64 = (MAX_HANDLES as u64 - 1) | (MAX_ACTIVATIONS as u64 - 1) << 16;
        let handles = self.machine.handles(self.machine.frame_at(current.gates.load(Relaxed)));
        let bits = handles.bits(target as usize % MAX_HANDLES);
        let activation = (target >> 16) as usize % MAX_ACTIVATIONS;
        let block = &self.kernel.blocks[bits as usize % MAX_ENVS][activation];
        let is_it = target & !TARGETS == 0 && bits >> 28 & MASK == WANTED;
        is_it.then_some((block, (bits >> 40) as u32))
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

    /// The last link, to whose account links have been charged so much in all, goes; its caller continues, as the one of a
    /// `yield_to`. The caller's page.
    #[inline(always)]
    fn leave<B: Besides>(
        &mut self,
        current: &Block,
        leaving: &Leaving,
        (reason, charged): (Reason, u64),
        now: Tick,
    ) -> &'a ActivationPage {
        let slot_end = self.core.slot_end;
        current.saved.store(Saved::Exact as u32, Relaxed);
        B::save_fp(self, self.machine.page(leaving.own.page));
        self.core.depth = leaving.depth;
        let page = self.machine.page(leaving.parent.page);
        self.enter(page, slot_end, leaving.parent_due);
        current.state.store(current.ready_word(), SeqCst);
        let x = &page.registers.x;
        x[0].store(0, Relaxed);
        x[1].store(reason as u64, Relaxed);
        x[2].store(charged.wrapping_sub(leaving.charged_before), Relaxed);
        x[3].store(0, Relaxed);
        x[4].store(now.0, Relaxed);
        page
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

    /// The link with this page, now the last, runs in a slot until it is due.
    #[inline(always)]
    fn enter(&mut self, page: &ActivationPage, slot_end: Tick, due: Tick) {
        let (armed, cpu) = (self.core.armed, self.core.cpu);
        page.slot_end.store(slot_end.0, Relaxed);
        page.core.store(cpu.0 as u64, Relaxed);
        if due != armed {
            self.core.armed = due;
            self.machine.set_timer(due);
        }
    }

    /// Charges a link up to when it was `due`, and the kernel for what has passed since. What has been charged to links in
    /// all.
    #[inline(always)]
    fn charge_late(&mut self, ledger: &Ledger, own: &Body, (due, now): (Tick, Tick)) -> u64 {
        // It may be past that: the last interrupt's own work may have gone on beyond what was due next.
        let on_time = due.max(self.core.charged_until);
        let span = on_time.since(self.core.charged_until).0;
        let charged = on_time.0.wrapping_sub(self.core.charged_to_others);
        self.core.charged_until = on_time;
        charge(self.machine, ledger, own, (span, now));
        charged
    }

    /// Charges what an interrupt took to the kernel, and lets the account in this page begin behind it.
    #[inline(always)]
    fn charge_kernel(&mut self, ledger: &Ledger, page: &ActivationPage) {
        let now = self.machine.now();
        self.core.charge_others(ledger, &ledger.kernel, now);
        page.since.store(now.0, Relaxed);
    }
}

/// Adds a span to a link's accounts, which are complete now.
#[inline(always)]
fn charge<M: Machine>(machine: &M, ledger: &Ledger, own: &Body, (span, now): (u64, Tick)) {
    let page = machine.page(own.page);
    add(&ledger.env[own.env().index as usize % MAX_ENVS], span);
    add(&page.ran, span);
    page.since.store(now.0, Relaxed);
}
