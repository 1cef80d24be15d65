//! The time ledger: at every instant a core is charged to exactly one bucket.
//!
//! Not here: who reads it. Each core charges its own ledger only; a core's buckets always add up to the time from the
//! epoch to `until`, because every tick is added to one bucket and to `until` in the same step.
#![forbid(unsafe_code)]

use crate::block::Body;
use crate::kernel::{Entry, Kernel};
use crate::machine::Machine;
use crate::slice::{Core, Phase};
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};
use tranche_abi::Tick;
use tranche_abi::layout::MAX_ENVS;
use tranche_abi::public::Ledger;

impl<M: Machine> Entry<'_, M> {
    /// Charges the time up to `now` to whoever had the core. What lies past the moment at which the kernel should have
    /// been entered is the interrupt's latency, and the kernel's.
    pub fn charge(&mut self, now: Tick) {
        let on_time = now.min(self.core.due());
        let ledger = &self.kernel.public.ledger[self.cpu.0];
        match (self.core.phase, self.running().map(|link| (link.own, link.body.env()))) {
            (Phase::Running, Some((own, _))) => {
                self.core.charge_link(self.machine, ledger, &own, on_time);
            }
            (Phase::Grace, Some((_, who))) => {
                let span = self.core.charge_others(ledger, &ledger.excess, on_time);
                // Several cores may add to it, and take from it, at once.
                self.kernel.envs[who.index as usize].debt.fetch_add(span, Relaxed);
            }
            _ => _ = self.core.charge_others(ledger, &ledger.idle, on_time),
        }
        self.charge_kernel(now);
    }

    /// Charges the time up to `now` to the kernel.
    pub fn charge_kernel(&mut self, now: Tick) {
        self.core.charge_kernel(self.machine, &self.kernel.public.ledger[self.cpu.0], now);
    }
}

/// What both ways of switching, `handle` and [`crate::fast`], have their accounts kept by. `ledger` is this core's.
impl Core {
    /// All time charged to links, from some beginning: what was not charged to others.
    #[inline(always)]
    pub fn charged_to_links(&self) -> u64 {
        self.charged_until.0.wrapping_sub(self.charged_to_others)
    }

    /// Charges the time up to `now` to the last link, the activation `own`.
    #[inline(always)]
    pub fn charge_link<M: Machine>(&mut self, machine: &M, ledger: &Ledger, own: &Body, now: Tick) {
        let span = self.take_time(ledger, now);
        let page = machine.page(own.page);
        add(&ledger.env[own.env().index as usize % MAX_ENVS], span);
        add(&page.ran, span);
        page.since.store(self.charged_until.0, Relaxed);
    }

    /// Charges the time up to `now` to the kernel.
    #[inline(always)]
    pub fn charge_kernel<M: Machine>(&mut self, machine: &M, ledger: &Ledger, now: Tick) {
        self.charge_others(ledger, &ledger.kernel, now);
        if let Some(link) = self.running() {
            machine.page(link.own.page).since.store(now.0, Relaxed);
        }
    }

    /// Charges the time up to `now` to another bucket than a link's, and says how much it was.
    #[inline(always)]
    pub fn charge_others(&mut self, ledger: &Ledger, bucket: &AtomicU64, now: Tick) -> u64 {
        let span = self.take_time(ledger, now);
        self.charged_to_others += span;
        add(bucket, span);
        span
    }

    /// Advances the core's account to `now` and says by how much. It may be past that: the last interrupt's own work may
    /// have gone on beyond what was due next.
    #[inline(always)]
    fn take_time(&mut self, ledger: &Ledger, now: Tick) -> u64 {
        let span = now.since(self.charged_until).0;
        self.charged_until = self.charged_until.max(now);
        ledger.until.store(self.charged_until.0, Relaxed);
        span
    }
}

impl Kernel {
    /// Moves a dead environment's time on every core to `gone`. Under the ownership lock; none of it runs any more.
    pub fn fold_ledgers(&self, env: u16) {
        for ledger in &self.public.ledger {
            let time = ledger.env[env as usize].swap(0, Relaxed);
            add(&ledger.gone, time);
            ledger.slices[env as usize].store(0, Relaxed);
        }
    }
}

/// Each counter has one writer at a time.
pub fn add(counter: &AtomicU64, span: u64) {
    counter.store(counter.load(Relaxed).wrapping_add(span), Relaxed);
}

/// The sum of a ledger's buckets.
pub fn sum(ledger: &Ledger) -> u64 {
    let fixed = [&ledger.kernel, &ledger.idle, &ledger.excess, &ledger.gone];
    fixed.into_iter().chain(&ledger.env).map(|bucket| bucket.load(Relaxed)).sum()
}
