//! The observer that measures response times while the dispatch loop runs.
//!
//! A job ends when its client waits or yields; that it ends is the client's word, when is the kernel's.
#![forbid(unsafe_code)]

use crate::guarantee::Guarantees;
use libos_core::sched::dispatch::{Observer, Turn};
use libos_core::sched::measure::Responses;
use libos_core::sched::table::Table;
use libos_core::sched::{ClientId, Tick};
use tranche_abi::Reason;

/// Measures the jobs of every client that ends one.
#[derive(Clone, Debug, Default)]
pub struct JobWatch {
    clients: Table<Responses>,
}

impl JobWatch {
    /// What was measured of a client.
    pub fn responses(&self, client: ClientId) -> Responses {
        self.clients.get(client).copied().unwrap_or_default()
    }

    /// Whether a client's job is late already, though it has not ended: to be counted when measuring stops.
    pub fn is_late(policy: &impl Guarantees, client: ClientId, now: Tick) -> bool {
        policy.job(client).is_some_and(|job| job.due < now)
    }
}

impl<P: Guarantees> Observer<P> for JobWatch {
    fn charged(&mut self, policy: &P, turn: &Turn) {
        // `Busy` ends a turn in waiting too, but then no job has begun.
        if matches!(turn.outcome.reason, Reason::Waiting | Reason::Yielded)
            && let Some(job) = policy.job(turn.client)
        {
            let mut responses = self.responses(turn.client);
            responses.record(job.released, job.due, turn.outcome.now);
            self.clients.insert(turn.client, responses);
        }
    }
}
