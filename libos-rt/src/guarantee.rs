//! What every policy that guarantees deadlines from its slots can be told and asked.
//!
//! Not here: the policies ([`crate::deadlines`], [`crate::cbs`]), nor whether a set fits ([`crate::admission`]).
#![forbid(unsafe_code)]

use crate::supply::Supply;
use libos_core::sched::{ClientId, Demand, Policy, Tick};

/// When a job was released and is to be done, absolute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JobTimes {
    /// When it was released.
    pub released: Tick,
    /// When it is to be done.
    pub due: Tick,
}

/// A policy that guarantees deadlines, if it was made to.
pub trait Guarantees: Policy {
    /// The slots have changed: guarantees, if there are any, come from `supply` from now on. Whether they still hold for all clients
    /// is another question ([`Guarantees::fits`]); for jobs that are under way, only if they held before and no slot was lost.
    fn set_supply(&mut self, supply: Supply);
    /// Whether the deadlines of all clients would be met from `supply`; true if nothing is guaranteed.
    fn fits(&self, supply: &Supply) -> bool;
    /// Whether clients with these demands, and nobody else, would all be guaranteed theirs from the present supply.
    fn carries(&self, demands: &[Demand]) -> bool;
    /// Whether somebody has left who may still delay others: what it ran before can be why their jobs are not done yet.
    fn has_departed(&self) -> bool;
    /// Whether no job with a deadline is under way, as of the last [`Policy::pick`].
    fn is_at_rest(&self) -> bool;
    /// A client's longest response that is possible from the present supply, for a set that fits. `None` for a client
    /// without deadlines or guarantees.
    fn response_bound(&self, client: ClientId) -> Option<Tick>;
    /// A client's job that is to be done in time, from its release until the client waits.
    fn job(&self, client: ClientId) -> Option<JobTimes>;
}
