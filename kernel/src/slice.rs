//! Time: a core's slots, the chain of directed yields in the present slot, and what ends them.
//!
//! Not here: who owns which slot ([`crate::slots`]) and contexts ([`crate::activation`]). Per-core state only, under the
//! core's own lock. Invariants: every link's state is `Running` on this core; only the last link runs; the links before
//! it are callers of `yield_to`. A slot's position is its time: an empty or forfeited slot is not skipped.
#![forbid(unsafe_code)]

use crate::activation::{Saved, State, Tag, Unclaimed, checked_activation, has_events, has_ready, increment};
use crate::block::{BlockAddress, Body, identity};
use crate::calls::{Done, values};
use crate::environment::{EnvId, FIRST};
use crate::kernel::Entry;
use crate::machine::{CpuId, Machine};
use crate::vector::Revolution;
use core::sync::atomic::Ordering::Relaxed;
use tranche_abi::layout::MAX_CHAIN;
use tranche_abi::public::Ledger;
use tranche_abi::trace::{Ring, kind};
use tranche_abi::{Error, Outcome, Reason, Rights, Target, Tick, YIELD_EVENTS, YieldMode};

/// What a core is doing with its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Nobody runs. A chain of one is a root that waits.
    Asleep,
    /// The last link runs.
    Running,
    /// The last link runs past the end of its slice, at the price of excess time.
    Grace,
}

/// One activation on a chain: who got the CPU, and who runs in its place while it is in a call.
///
/// Its size is a power of two, so that a link's place in the chain is one shift.
#[derive(Clone, Copy, Debug)]
#[repr(align(128))]
pub struct Link {
    /// The activation itself, which is charged, and in whose page its account is.
    pub own: Body,
    /// Who runs: the activation itself, or whoever serves its call.
    pub body: Body,
    /// As a caller: whether readiness of a client ends its `yield_to`.
    pub events: bool,
    /// Whether the link before it sent it a message, and so does not wait for an outcome.
    pub sent: bool,
    /// When it joined the chain.
    pub began: Tick,
    /// When control returns to the link before.
    pub until: Tick,
    /// When it has to be preempted, for its own or an earlier link's sake.
    pub(crate) due: Tick,
    /// What the core had charged to links when this one joined the chain.
    pub(crate) charged_before: u64,
}

impl Link {
    /// Nobody.
    pub const NONE: Self = Self {
        own: Body::NONE,
        body: Body::NONE,
        events: false,
        sent: false,
        began: Tick(0),
        until: Tick::NEVER,
        due: Tick::NEVER,
        charged_before: 0,
    };

    /// For an activation in whose place `body` runs.
    pub const fn new(own: Body, body: Body) -> Self {
        Self { own, body, ..Self::NONE }
    }

    /// For an activation to which the link before sends a message.
    pub const fn sent(own: Body) -> Self {
        Self { sent: true, ..Self::new(own, own) }
    }

    /// Becomes that of an activation that runs itself from now on: until when, when it is due, and what was charged before.
    #[inline(always)]
    pub fn begin(&mut self, own: Body, (until, due, charged_before): (Tick, Tick, u64), now: Tick) {
        let body = own;
        *self = Self { own, body, events: false, sent: false, began: now, until, due, charged_before };
    }

    /// For an activation that does not run, and so has no more than a name.
    pub const fn named(env: EnvId, activation: u8) -> Self {
        Self { own: Body { who: identity(env, activation), ..Body::NONE }, ..Self::NONE }
    }

    /// Its environment.
    pub const fn env(&self) -> EnvId {
        self.own.env()
    }

    /// Which of the environment's activations.
    pub const fn activation(&self) -> u8 {
        self.own.activation()
    }

    /// The activation's own block.
    pub const fn own(&self) -> BlockAddress {
        self.own.block
    }
}

/// A core's time.
pub struct Core {
    pub(crate) chain: [Link; MAX_CHAIN],
    pub(crate) depth: usize,
    pub(crate) phase: Phase,
    /// When the present slot ends; before the epoch, when the first one begins.
    pub(crate) slot_end: Tick,
    /// When a waiting root wants to run.
    pub(crate) wake_at: Tick,
    /// When grace ends.
    pub(crate) grace_end: Tick,
    pub(crate) charged_until: Tick,
    /// All time charged to others than links so far: the kernel, nobody, excess.
    pub(crate) charged_to_others: u64,
    /// What the timer is programmed for.
    pub(crate) armed: Tick,
    /// Whether the FP/SIMD registers of whoever runs are in the hardware.
    pub(crate) fp_live: bool,
    /// Something changed that the chain must be checked against. Not so while EL0 runs: it is done before.
    pub(crate) attend: bool,
    /// Which core this is.
    pub(crate) cpu: CpuId,
    /// Its account.
    pub(crate) ledger: Option<&'static Ledger>,
    /// Where what happens here is recorded.
    pub(crate) ring: Option<&'static Ring>,
}

impl Core {
    /// Before boot.
    pub const NEW: Self = Self {
        chain: [Link::NONE; MAX_CHAIN],
        depth: 0,
        phase: Phase::Asleep,
        slot_end: Tick(0),
        wake_at: Tick::NEVER,
        grace_end: Tick(0),
        charged_until: Tick(0),
        charged_to_others: 0,
        armed: Tick::NEVER,
        fp_live: false,
        attend: false,
        cpu: CpuId(0),
        ledger: None,
        ring: None,
    };

    /// The activation that has the CPU.
    pub fn running(&self) -> Option<&Link> {
        if self.phase == Phase::Asleep { None } else { self.links().last() }
    }

    /// The link of whoever made the present call.
    pub fn caller(&self) -> &Link {
        self.running().expect("a call comes from a running activation")
    }

    /// The chain's links, the root first.
    pub fn links(&self) -> core::slice::Iter<'_, Link> {
        self.chain[..self.depth.min(MAX_CHAIN)].iter()
    }

    /// The links that wait for the outcome of their `yield_to`.
    fn callers(&self) -> core::slice::Iter<'_, Link> {
        self.chain[..self.depth.saturating_sub(1).min(MAX_CHAIN)].iter()
    }

    /// Whether no link can be added.
    pub fn is_full(&self) -> bool {
        self.depth >= MAX_CHAIN
    }

    /// Somebody else runs in the last link's place.
    pub fn set_body(&mut self, body: Body) {
        if let Some(last) = self.depth.checked_sub(1).and_then(|last| self.chain.get_mut(last)) {
            last.body = body;
        }
    }

    /// The time at which the kernel has to act at the latest.
    pub fn due(&self) -> Tick {
        match self.phase {
            Phase::Running => self.links().last().map_or(self.slot_end, |last| last.due),
            Phase::Asleep => self.slot_end.min(self.wake_at),
            Phase::Grace => self.grace_end,
        }
    }
}

impl<M: Machine> Entry<'_, M> {
    /// The core's first step: nothing until the epoch.
    pub fn wait_for_epoch(&mut self) {
        let epoch = Tick(self.kernel.public.epoch.load(Relaxed));
        (self.core.slot_end, self.core.charged_until) = (epoch, epoch);
    }

    /// Does the one thing that is due first.
    pub fn expire(&mut self) {
        if self.core.phase == Phase::Asleep && self.now < self.core.slot_end {
            return self.wake_root();
        }
        let late = self.core.links().position(|link| link.until <= self.now);
        match (self.core.phase, late) {
            (Phase::Running, Some(late)) if self.now < self.core.slot_end => return self.preempt(late),
            (Phase::Running, _) if self.begin_grace() => return,
            (Phase::Grace, _) => self.strike(),
            _ => {}
        }
        self.preempt(0);
        self.begin_slot();
    }

    /// Takes the CPU from the running activation and from its callers down to link `keep`; the caller before that, if
    /// any, sees `Expired`.
    fn preempt(&mut self, keep: usize) {
        if let Some(link) = self.running() {
            self.save_interrupted(&link.body);
            self.unwind(keep, Tag::Ready, Reason::Expired, 0);
        } else if self.core.depth > 0 {
            // A waiting root goes on waiting, but no longer on this core.
            let root = self.core.chain[0];
            let asleep =
                State { tag: Tag::Waiting, core: self.cpu.0 as u8, generation: root.env().generation };
            let elsewhere = State { core: State::NO_CORE, ..asleep };
            self.kernel.change(root.env().index, root.activation(), asleep, elsewhere);
            self.core.depth = 0;
        }
    }

    /// The next slot: its owner runs, or waits, or nobody does.
    fn begin_slot(&mut self) {
        let public = self.kernel.public;
        let [epoch, quantum, slots] =
            [&public.epoch, &public.quantum, &public.slots].map(|field| field.load(Relaxed));
        let slot = Revolution { epoch, quantum, slots }.slot(&public.slot[self.cpu.0], self.now);
        self.core.slot_end = slot.end;
        (self.core.phase, self.core.depth, self.core.wake_at) = (Phase::Asleep, 0, Tick::NEVER);
        let (mut owner, mut activation) = (slot.word.owner, slot.word.activation);
        if self.forfeits(owner, quantum) {
            (owner, activation) = (FIRST, self.cpu.0 as u8); // unsold slots are the first environment's
        }
        let Some(env) = self.kernel.env_id(owner) else { return };
        if self.kernel.is_tracing() {
            self.kernel.record_slot(self.core, self.cpu, (owner, activation), self.now);
        }
        match self.claim(env, activation) {
            Ok(link) => self.start(link),
            Err(Unclaimed::Waiting(wake_at)) => self.sleep(env, activation, wake_at),
            Err(Unclaimed::Idle) => {} // whoever calls it brings a slice of its own
            Err(_) => return,
        }
        increment(&public.ledger[self.cpu.0].slices[owner as usize]);
    }

    /// Whether an owner pays for its excess time with this slot.
    fn forfeits(&mut self, owner: u16, quantum: u64) -> bool {
        if owner == FIRST || self.kernel.env_id(owner).is_none() {
            return false;
        }
        let debt = &self.kernel.envs[owner as usize].debt;
        let owed = debt.load(Relaxed);
        owed >= quantum && debt.compare_exchange(owed, owed - quantum, Relaxed, Relaxed).is_ok()
    }

    /// Puts a claimed activation at the end of the chain and lets it run.
    pub fn start(&mut self, link: Link) {
        let core = &mut *self.core;
        let before = core.chain[..core.depth].last().map_or(core.slot_end, |last| last.due);
        let due = before.min(link.until);
        let joined = Link { charged_before: core.charged_to_links(), due, began: self.now, ..link };
        core.chain[core.depth] = joined;
        core.depth += 1;
        self.continue_last();
    }

    /// Lets the last link run: its registers, its FP/SIMD off until it uses it, its account.
    fn continue_last(&mut self) {
        self.core.phase = Phase::Running;
        let Some(&link) = self.running() else { return };
        let body = self.living_body(&link);
        self.core.set_body(body);
        self.prepare_registers(&body);
        let page = self.machine.page(link.own.page);
        page.since.store(self.now.0, Relaxed);
        page.slot_end.store(self.core.slot_end.0, Relaxed);
        page.core.store(self.cpu.0 as u64, Relaxed);
    }

    /// The slot's owner waits: the core sleeps for it. Where another core does so already, that one sees its events, and
    /// this one its time only.
    fn sleep(&mut self, env: EnvId, activation: u8, wake_at: Tick) {
        let waiting = State { tag: Tag::Waiting, core: State::NO_CORE, generation: env.generation };
        let here = State { core: self.cpu.0 as u8, ..waiting };
        let state = self.kernel.state(env.index, activation);
        let has_core = state.is_some_and(|state| {
            state == State { core: state.core, ..waiting } && state.core != State::NO_CORE
        });
        if !has_core && !self.kernel.change(env.index, activation, waiting, here) {
            self.core.attend = true; // it was readied this instant
        }
        self.core.chain[0] = Link::named(env, activation);
        self.core.depth = 1;
        (self.core.phase, self.core.wake_at) = (Phase::Asleep, wake_at);
        self.record((kind::IDLE, env.index, activation.into(), &[wake_at.0]));
    }

    /// A waiting root may have become ready, by time or by event.
    fn wake_root(&mut self) {
        self.core.wake_at = Tick::NEVER;
        if core::mem::take(&mut self.core.depth) == 0 {
            return;
        }
        let root = self.core.chain[0];
        match self.claim(root.env(), root.activation()) {
            Ok(link) => self.start(link),
            Err(Unclaimed::Waiting(wake_at)) => self.sleep(root.env(), root.activation(), wake_at),
            Err(_) => {}
        }
    }

    /// Takes the links from `keep` on off the chain. The last one, already saved, gets the state `tag`; callers between
    /// see `Expired`; the caller before `keep`, if any, continues with `reason` and `detail`.
    fn unwind(&mut self, keep: usize, tag: Tag, reason: Reason, detail: u64) {
        self.store_fp();
        let mut tag = tag;
        while self.core.depth > keep {
            self.core.depth -= 1;
            let mut link = self.core.chain[self.core.depth];
            link.body = self.living_body(&link);
            self.kernel.keep_body(&link);
            self.kernel.set_state(
                link.env().index,
                link.activation(),
                State { tag, core: State::NO_CORE, generation: link.env().generation },
            );
            let was = core::mem::replace(&mut tag, Tag::Ready);
            let (reason, detail) =
                if self.core.depth == keep { (reason, detail) } else { (Reason::Expired, 0) };
            if link.sent {
                self.after_send(&link, was);
            } else if let Some(parent) = self.core.links().last() {
                // Before the parent is released: another core may run it at once.
                let ran = Tick(self.core.charged_to_links() - link.charged_before);
                let outcome = Outcome { reason, ran, detail, now: self.now };
                self.tell_outcome(&parent.body, outcome);
                self.record_yield(parent, &link, outcome);
            }
        }
        self.core.phase = Phase::Asleep;
        if self.core.depth > 0 {
            self.continue_last();
        }
    }

    /// Whoever was sent a message and was interrupted before it was done has nobody who waits for it but its manager.
    fn after_send(&mut self, link: &Link, tag: Tag) {
        if tag == Tag::Ready {
            let own = self.kernel.ownership.lock();
            if self.kernel.env_id(link.env().index) == Some(link.env()) {
                self.tell_manager(&own, link.env().index, link.activation());
            }
        }
    }

    /// Saves the FP/SIMD registers of whoever runs, if it used them.
    pub fn store_fp(&mut self) {
        if core::mem::take(&mut self.core.fp_live)
            && let Some(last) = self.running()
        {
            self.machine.save_fp(&self.page(&last.body).fp);
        }
    }

    /// The running activation, already saved, leaves the chain.
    pub fn leave(&mut self, tag: Tag, reason: Reason, detail: u64) {
        let keep = if self.core.phase == Phase::Grace { 0 } else { self.core.depth - 1 };
        self.unwind(keep, tag, reason, detail);
    }

    /// The slice ended: whether the running activation wanted to know, and so has until the end of the grace time.
    fn begin_grace(&mut self) -> bool {
        let grace_end = Tick(self.core.slot_end.0 + self.kernel.public.grace.load(Relaxed));
        let Some(link) = self.running() else { return false };
        if self.now >= grace_end || !self.notice_slice_end(&link.body) {
            return false;
        }
        (self.core.phase, self.core.grace_end) = (Phase::Grace, grace_end);
        true
    }

    /// Checks the chain against what changed: environments that ended, clients that became ready, a root that may wake.
    pub fn attend(&mut self) {
        if self.core.phase == Phase::Asleep {
            return self.wake_root();
        }
        let Some(last) = self.running() else { return };
        let body = last.body;
        let is_over = |env| !self.kernel.is_alive(env);
        let ended = self.core.links().position(|link| is_over(link.env()));
        let left = self.core.callers().position(|link| is_over(link.body.env()));
        let wanted =
            self.core.callers().position(|link| link.events && has_ready(self.machine.page(link.body.page)));
        let wanted = wanted.filter(|_| self.core.phase == Phase::Running);
        let ends =
            [(ended, Reason::Gone), (left.map(after), Reason::Gone), (wanted.map(after), Reason::Event)];
        let first = ends.into_iter().filter_map(|(keep, reason)| Some((keep?, reason)));
        let Some((keep, reason)) = first.min_by_key(|(keep, _)| *keep) else {
            return self.leave_the_dead();
        };
        let keep = if self.core.phase == Phase::Grace { 0 } else { keep };
        self.save_interrupted(&body);
        self.unwind(keep, Tag::Ready, reason, 0);
    }

    /// Nobody of a dead environment runs in the last link's place.
    fn leave_the_dead(&mut self) {
        let Some(&link) = self.running() else { return };
        let body = self.living_body(&link);
        if body != link.body {
            self.core.fp_live = false; // what is in them was the callee's
            self.core.set_body(body);
        }
    }

    /// `yield_now`.
    pub fn yield_now(&mut self) -> Result<Done, Error> {
        let caller = self.core.caller().body;
        self.page(&caller).registers.x[0].store(0, Relaxed);
        self.save(&caller, Saved::Exact);
        self.leave(Tag::Ready, Reason::Yielded, 0);
        Ok(Done::Elsewhere)
    }

    /// `yield_to`: the target runs as the chain's new last link, or the outcome says why not.
    pub fn yield_to(&mut self, target: Target, until: Tick, mode: YieldMode) -> Result<Done, Error> {
        let activation = checked_activation(target.activation())?;
        let events = mode.0 & YIELD_EVENTS != 0;
        let env = match self.env_behind_any(target.handle(), Rights::RUN) {
            Err(Error::Stale) => return self.not_run(&Link { until, ..Link::NONE }, Reason::Gone, 0),
            env => env?,
        };
        // As far as it is known who it is to be.
        let nobody = Link { until, ..Link::named(env, activation) };
        if !self.kernel.is_alive(env) {
            return self.not_run(&nobody, Reason::Gone, 0);
        }
        if self.core.is_full() {
            return Err(Error::Full);
        }
        if until <= self.now || self.core.phase == Phase::Grace {
            return self.not_run(&nobody, Reason::Expired, 0);
        }
        if events && has_ready(self.my_page()) {
            return self.not_run(&nobody, Reason::Event, 0);
        }
        match self.claim(env, activation) {
            Err(Unclaimed::Gone) => self.not_run(&nobody, Reason::Gone, 0),
            Err(Unclaimed::Busy) => self.not_run(&nobody, Reason::Busy, 0),
            Err(Unclaimed::Idle) => self.not_run(&nobody, Reason::Busy, Tick::NEVER.0),
            Err(Unclaimed::Waiting(wake_at)) => self.not_run(&nobody, Reason::Busy, wake_at.0),
            Err(Unclaimed::Faulted(syndrome)) => self.not_run(&nobody, Reason::Faulted, syndrome),
            Ok(link) => {
                self.save(&self.core.caller().body, Saved::YieldTo);
                self.store_fp();
                self.core.chain[self.core.depth - 1].events = events;
                self.start(Link { until, ..link });
                Ok(Done::Elsewhere)
            }
        }
    }

    fn not_run(&self, link: &Link, reason: Reason, detail: u64) -> Result<Done, Error> {
        let link = Link { began: self.now, ..*link };
        let outcome = Outcome { reason, ran: Tick(0), detail, now: self.now };
        self.record_yield(self.core.caller(), &link, outcome);
        values([reason as u64, 0, detail, self.now.0])
    }

    /// A directed yield of `parent`'s is over, or did not begin.
    fn record_yield(&self, parent: &Link, link: &Link, outcome: Outcome) {
        if self.kernel.is_tracing() {
            self.core.record_yield(self.cpu, (parent, link), outcome);
        }
    }

    /// `wait`.
    pub fn wait(&mut self, until: Tick) -> Result<Done, Error> {
        let caller = *self.core.caller();
        if caller.body.block != caller.own() {
            return Err(Error::Busy); // events of whoever serves a call do not wake whom it serves
        }
        if until <= self.now || has_events(self.my_page()) {
            return values([self.now.0, 0, 0, 0]);
        }
        self.activation(caller.env(), caller.activation()).wake_at.store(until.0, Relaxed);
        self.my_page().registers.x[0].store(0, Relaxed);
        self.save(&caller.body, Saved::Wait);
        if self.core.depth == 1 && self.core.phase == Phase::Running {
            self.leave(Tag::Waiting, Reason::Waiting, until.0);
            self.sleep(caller.env(), caller.activation(), until);
        } else {
            self.leave(Tag::Waiting, Reason::Waiting, until.0);
        }
        if has_events(self.machine.page(caller.own.page)) {
            // Posted while the caller still ran: nobody else will ready it.
            self.ready_late(&caller);
        }
        Ok(Done::Elsewhere)
    }
}

/// The link that a caller on a chain gave the CPU to.
fn after(caller: usize) -> usize {
    caller + 1
}
