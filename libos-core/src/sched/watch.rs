//! The observer that measures shares while the dispatch loop runs: who got how much, and the errors at every switch.
//!
//! Works with any proportional-share policy and asks it only who competes. It looks at every client at every switch, which takes
//! longer than deciding: where the run is recorded, the host measures the same from the scheduler's steps instead.
#![forbid(unsafe_code)]

use super::dispatch::{Loan, Observer, Turn};
use super::funds::Funds;
use super::measure::{PairwiseError, ShareError};
use super::{ClientId, Decision, Policy, TurnEnd};
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use tranche_abi::Tick;

/// Measures the shares of clients that it was told of.
#[derive(Clone, Debug, Default)]
pub struct ShareWatch {
    /// Error of every pair, counted while both compete.
    pub pairwise: PairwiseError,
    /// Error against the total.
    pub absolute: ShareError,
    clients: BTreeMap<ClientId, Watched>,
    /// Their tickets, and transfers of them.
    funds: Funds,
}

#[derive(Clone, Copy, Debug)]
struct Watched {
    competes: bool,
}

impl ShareWatch {
    /// Measures a client from now on; it joins the policy with as many tickets.
    pub fn join(&mut self, client: ClientId, tickets: u32) {
        self.clients.insert(client, Watched { competes: false });
        self.funds.insert(client, tickets);
    }

    /// Measures a client no longer. What was measured stays.
    pub fn leave(&mut self, client: ClientId) {
        self.clients.remove(&client);
        self.end(client);
        let changed = self.funds.remove(client);
        self.refit(changed);
    }

    /// A client, if there is one, has other funds: what it gets is measured anew from now on.
    fn refit(&mut self, changed: Option<ClientId>) {
        let competes = |id: &ClientId| self.clients.get(id).is_some_and(|watched| watched.competes);
        if let Some(client) = changed.filter(competes) {
            self.begin(client);
        }
    }

    fn begin(&mut self, client: ClientId) {
        let tickets = self.funds.lent_to(client, 0);
        self.pairwise.begin(client, tickets);
        self.absolute.begin(client, tickets);
    }

    /// A client has so many tickets of its own from now on: pairs that it is in, or to whom it lends, start afresh.
    pub fn set_tickets(&mut self, client: ClientId, tickets: u32) {
        let changed = self.funds.set(client, tickets);
        self.refit(changed);
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
        let begins = |(id, watched): (&ClientId, &mut Watched)| {
            let begins = !watched.competes && policy.contends(*id);
            watched.competes |= begins;
            begins.then_some(*id)
        };
        let begun: Vec<ClientId> = self.clients.iter_mut().filter_map(begins).collect();
        for client in begun {
            let changed = self.funds.end(client);
            self.begin(client);
            self.refit(changed);
        }
    }

    fn lent(&mut self, policy: &P, loan: Loan, _now: Tick) {
        if !policy.contends(loan.from) {
            let changed = self.funds.lend(loan.from, loan.to);
            self.refit(changed);
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
