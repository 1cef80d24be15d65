//! Hierarchical stride scheduling (Waldspurger & Weihl, MIT/LCS/TM-528, 1995, §4): clients are the leaves of a binary tree, and
//! stride decides at every node which half comes next. Plain stride lets a client with many tickets run ahead of many with
//! few; here the error against the total is at most a quantum for each level of the tree, so O(log n).
//!
//! The tree is balanced, over the numbers of the clients. A client that waits for another lends it its tickets, and may change those
//! of its own. For one core. Not here: the tree itself ([`crate::tree`]).
#![forbid(unsafe_code)]

use crate::tree::{Ready, Tree};
use libos_core::sched::funds::Funds;
use libos_core::sched::roster::{After, Roster};
use libos_core::sched::{ClientId, Decision, Demand, Policy, Refusal, Tick, TurnEnd};

/// The policy.
#[derive(Clone, Debug)]
pub struct HierarchicalStride {
    quantum: Tick,
    clients: Roster<()>,
    /// Tickets and transfers.
    funds: Funds,
    tree: Tree,
}

impl HierarchicalStride {
    /// A policy without clients. A client runs for at most `quantum` (not 0) at a time.
    pub fn new(quantum: Tick) -> Self {
        let (clients, funds, tree) = (Roster::new(), Funds::new(), Tree::default());
        Self { quantum: Tick(quantum.0.max(1)), clients, funds, tree }
    }

    /// Tickets that a client competes with: its own, and those that are lent to it.
    pub fn tickets(&self, client: ClientId) -> u64 {
        self.funds.of(client)
    }

    /// A client that waited competes from now on, with all of its tickets.
    fn admit(&mut self, id: ClientId) {
        if let Some(changed) = self.funds.end(id) {
            self.refit(changed);
        }
        self.clients.admit(id, ());
        self.tree.compete(id, self.funds.of(id));
        self.tree.ready(id, Ready::Yes);
    }

    /// A client has other funds. One that waits competes with them when its wait is over.
    fn refit(&mut self, id: ClientId) {
        if self.clients.competes(id) {
            self.tree.compete(id, self.funds.of(id));
        }
    }

    /// A client is here no longer.
    fn forget(&mut self, id: ClientId) {
        self.dismiss(id);
        if let Some(changed) = self.funds.remove(id) {
            self.refit(changed);
        }
    }

    /// A client does not compete any more.
    fn dismiss(&mut self, id: ClientId) {
        self.tree.compete(id, 0);
        self.tree.ready(id, Ready::No);
    }
}

impl Policy for HierarchicalStride {
    fn join(&mut self, id: ClientId, demand: Demand, now: Tick) -> Result<(), Refusal> {
        let Demand::Share { tickets } = demand else { return Err(Refusal::WrongDemand) };
        if tickets == 0 {
            return Err(Refusal::BadDemand);
        }
        if self.clients.contains(id) {
            return Err(Refusal::AlreadyHere);
        }
        self.clients.insert(id, (), now);
        self.funds.insert(id, tickets);
        self.tree.join(id);
        self.admit(id);
        Ok(())
    }

    fn leave(&mut self, id: ClientId, _now: Tick) {
        if self.clients.remove(id).is_some() {
            self.forget(id);
        }
    }

    fn pick(&mut self, now: Tick) -> Option<Decision> {
        while let Some(id) = self.clients.due(now) {
            self.admit(id);
        }
        let client = self.tree.next(self.quantum)?;
        self.clients.begin_turn(client);
        self.tree.ready(client, Ready::No);
        Some(Decision { client, until: now.saturating_add(self.quantum) })
    }

    fn charge(&mut self, id: ClientId, ran: Tick, end: TurnEnd, _now: Tick) {
        if !self.clients.runs(id) {
            return;
        }
        self.tree.charge(id, ran);
        match self.clients.end_turn(id, end) {
            Some(After::Ready(()) | After::Yielded) => {
                self.clients.admit(id, ());
                self.tree.ready(id, Ready::Yes);
            }
            Some(After::Waiting) => self.dismiss(id),
            Some(After::Gone) => self.forget(id),
            None => {}
        }
    }

    fn wake(&mut self, id: ClientId, _now: Tick) {
        if self.clients.wake(id) {
            self.admit(id);
        }
    }

    fn set_tickets(&mut self, id: ClientId, tickets: u32, _now: Tick) {
        if tickets > 0
            && let Some(changed) = self.funds.set(id, tickets)
        {
            self.refit(changed);
        }
    }

    fn lend(&mut self, from: ClientId, to: ClientId, _now: Tick) {
        if !self.clients.competes(from)
            && let Some(changed) = self.funds.lend(from, to)
        {
            self.refit(changed);
        }
    }

    fn next_event(&self) -> Tick {
        self.clients.next_event()
    }

    fn contends(&self, id: ClientId) -> bool {
        self.clients.competes(id)
    }
}
