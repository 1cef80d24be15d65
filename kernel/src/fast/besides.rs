//! What seldom has to be done in a switch by the fast ways: FP/SIMD registers are saved, something is recorded.
//!
//! Not here: the switches. One version of each does none of this and so calls nothing, which keeps it short; the other does.
#![forbid(unsafe_code)]

use super::Fast;
use crate::machine::Machine;
use tranche_abi::page::ActivationPage;
use tranche_abi::{Reason, Tick};

/// What seldom has to be done in a switch besides. One way or the other, the same is left.
pub(super) trait Besides {
    /// Saves the FP/SIMD registers of who leaves, if they are in use.
    fn save_fp<M: Machine>(fast: &mut Fast<'_, M>, page: &ActivationPage);
    /// Records that the directed yield is over whose link was at `depth`.
    fn yield_is_over<M: Machine>(fast: &mut Fast<'_, M>, depth: usize, reason: Reason, now: Tick);
    /// Records that the root's slot begins.
    fn slot_begins<M: Machine>(fast: &mut Fast<'_, M>, now: Tick);
}

/// Nothing.
pub(super) enum Plain {}
/// Whatever is to be done.
pub(super) enum Rare {}

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
            // The account that is recorded once a revolution is complete up to now.
            if let Some(ledger) = fast.core.ledger {
                fast.core.charge_others(ledger, &ledger.kernel, now);
            }
            fast.kernel.record_roots_slot(fast.core, now);
        }
    }
}
