//! Policies that took over from others under running clients. Not here: how they did it (`apps::scheduler::swap`).

use super::{fine_us, us};
use crate::outcome::Outcome;
use libos_core::report::Start;
use serde::Serialize;

/// A policy took over on a core.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Succession {
    /// The libOS.
    pub libos: String,
    /// The core.
    pub core: u64,
    /// The policy that was.
    pub from: &'static str,
    /// The policy that is.
    pub to: &'static str,
    /// Clients that it took over.
    pub clients: u64,
    /// When, from the first slot on.
    pub at_us: u64,
    /// For how long nobody scheduled them.
    pub gap_us: f64,
}

/// All of a run.
pub fn all(outcome: &Outcome, start: &Start) -> Vec<Succession> {
    let mut all: Vec<_> = outcome.successions.iter().collect();
    all.sort_by_key(|one| (one.began, one.core));
    let result = |one: &libos_core::report::Succession| Succession {
        libos: one.libos.clone(),
        core: one.core,
        from: one.from.word(),
        to: one.to.word(),
        clients: one.clients,
        at_us: us(one.began.saturating_sub(start.epoch), start.frequency),
        gap_us: fine_us(one.done.saturating_sub(one.began), start.frequency),
    };
    all.into_iter().map(result).collect()
}
