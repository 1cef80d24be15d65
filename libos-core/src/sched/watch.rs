//! The observer that measures shares while the dispatch loop runs: who got how much, and the errors at every switch.
//!
//! Works with any proportional-share policy and asks it only who competes. It looks at every client at every switch, which takes
//! longer than deciding: where the run is recorded, the host measures the same from the scheduler's steps instead.
#![forbid(unsafe_code)]

use super::dispatch::{Observer, Turn};
use super::measure::{PairwiseError, ShareError};
use super::{ClientId, Decision, Policy, TurnEnd};
use alloc::collections::BTreeMap;
use tranche_abi::Tick;

/// Measures the shares of clients that it was told of.
#[derive(Clone, Debug, Default)]
pub struct ShareWatch {
    /// Error of every pair, counted while both compete.
    pub pairwise: PairwiseError,
    /// Error against the total.
    pub absolute: ShareError,
    clients: BTreeMap<ClientId, Watched>,
}

#[derive(Clone, Copy, Debug)]
struct Watched {
    tickets: u32,
    competes: bool,
}

impl ShareWatch {
    /// Measures a client from now on; it joins the policy with as many tickets.
    pub fn join(&mut self, client: ClientId, tickets: u32) {
        self.clients.insert(client, Watched { tickets, competes: false });
    }

    /// Measures a client no longer. What was measured stays.
    pub fn leave(&mut self, client: ClientId) {
        self.clients.remove(&client);
        self.end(client);
    }

    /// A client has so many tickets from now on: pairs that it is in start afresh.
    pub fn set_tickets(&mut self, client: ClientId, tickets: u32) {
        let Some(watched) = self.clients.get_mut(&client) else { return };
        watched.tickets = tickets;
        if watched.competes {
            self.pairwise.begin(client, tickets);
            self.absolute.begin(client, tickets);
        }
    }

    fn end(&mut self, client: ClientId) {
        if let Some(watched) = self.clients.get_mut(&client) {
            watched.competes = false;
        }
        self.pairwise.end(client);
        self.absolute.end(client);
    }
}

impl<P: Policy> Observer<P> for ShareWatch {
    fn left(&mut self, _policy: &P, client: ClientId, _now: Tick) {
        self.leave(client);
    }

    fn inflated(&mut self, _policy: &P, client: ClientId, tickets: u32, _now: Tick) {
        self.set_tickets(client, tickets);
    }

    fn decided(&mut self, policy: &P, _decision: Decision, _now: Tick) {
        for (client, watched) in &mut self.clients {
            if !watched.competes && policy.contends(*client) {
                watched.competes = true;
                self.pairwise.begin(*client, watched.tickets);
                self.absolute.begin(*client, watched.tickets);
            }
        }
    }

    fn charged(&mut self, _policy: &P, turn: &Turn) {
        self.pairwise.charge(turn.client, turn.outcome.ran);
        self.absolute.charge(turn.client, turn.outcome.ran);
        if matches!(turn.end, TurnEnd::Waiting(_) | TurnEnd::Gone) {
            self.end(turn.client);
        }
    }
}
