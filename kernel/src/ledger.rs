//! The time ledger: at every instant a core is charged to exactly one bucket.
//!
//! Not here: who reads it. Each core charges its own ledger only; a core's buckets always add up to the time from the
//! epoch to `until`, because every tick is added to one bucket and to `until` in the same step.
#![forbid(unsafe_code)]

use crate::kernel::{Entry, Kernel};
use crate::machine::Machine;
use crate::slice::Phase;
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};
use tranche_abi::Tick;
use tranche_abi::public::Ledger;

impl<M: Machine> Entry<'_, M> {
    /// Charges the time up to `now` to whoever had the core. What lies past the moment at which the kernel should have
    /// been entered is the interrupt's latency, and the kernel's.
    pub fn charge(&mut self, now: Tick) {
        let on_time = now.min(self.core.due());
        let span = self.take_time(on_time);
        let ledger = &self.kernel.public.ledger[self.cpu.0];
        match (self.core.phase, self.running().copied()) {
            (Phase::Running, Some(link)) => {
                add(&ledger.env[link.env.index as usize], span);
                self.core.charged_to_links += span;
                add(&self.machine.page(link.page).ran, span);
            }
            (Phase::Grace, Some(link)) => {
                add(&ledger.excess, span);
                // Several cores may add to it, and take from it, at once.
                self.kernel.envs[link.body.env.index as usize].debt.fetch_add(span, Relaxed);
            }
            _ => add(&ledger.idle, span),
        }
        self.charge_kernel(now);
    }

    /// Charges the time up to `now` to the kernel.
    pub fn charge_kernel(&mut self, now: Tick) {
        let span = self.take_time(now);
        add(&self.kernel.public.ledger[self.cpu.0].kernel, span);
        if let Some(link) = self.running() {
            self.machine.page(link.page).since.store(now.0, Relaxed);
        }
    }

    /// Advances the core's account to `now` and says by how much.
    fn take_time(&mut self, now: Tick) -> u64 {
        let span = now.since(self.core.charged_until).0;
        self.core.charged_until = self.core.charged_until.max(now);
        self.kernel.public.ledger[self.cpu.0].until.store(self.core.charged_until.0, Relaxed);
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
fn add(counter: &AtomicU64, span: u64) {
    counter.store(counter.load(Relaxed).wrapping_add(span), Relaxed);
}

/// The sum of a ledger's buckets.
pub fn sum(ledger: &Ledger) -> u64 {
    let fixed = [&ledger.kernel, &ledger.idle, &ledger.excess, &ledger.gone];
    fixed.into_iter().chain(&ledger.env).map(|bucket| bucket.load(Relaxed)).sum()
}
