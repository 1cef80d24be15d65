//! Hierarchical stride scheduling (Waldspurger & Weihl, MIT/LCS/TM-528, 1995, §4): clients are the leaves of a binary tree, and
//! stride decides at every node which half comes next. Plain stride lets a client with many tickets run ahead of many with
//! few; here the error against the total is at most a quantum for each level of the tree, so O(log n).
//!
//! The tree is balanced, over the numbers of the clients. For one core. Not here: the tree itself ([`crate::tree`]).
#![forbid(unsafe_code)]

use crate::tree::{Ready, Tree};
use libos_core::sched::roster::{After, Roster};
use libos_core::sched::{ClientId, Decision, Demand, Policy, Refusal, Tick, TurnEnd};

/// The policy.
#[derive(Clone, Debug)]
pub struct HierarchicalStride {
    quantum: Tick,
    /// Each with its tickets.
    clients: Roster<(), u32>,
    tree: Tree,
}

impl HierarchicalStride {
    /// A policy without clients. A client runs for at most `quantum` (not 0) at a time.
    pub fn new(quantum: Tick) -> Self {
        Self { quantum: Tick(quantum.0.max(1)), clients: Roster::new(), tree: Tree::default() }
    }

    /// A client that waited competes from now on.
    fn admit(&mut self, id: ClientId) {
        let Some(&tickets) = self.clients.get(id) else { return };
        self.clients.admit(id, ());
        self.tree.compete(id, tickets);
        self.tree.ready(id, Ready::Yes);
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
        self.clients.insert(id, tickets, now);
        self.tree.join(id);
        self.admit(id);
        Ok(())
    }

    fn leave(&mut self, id: ClientId, _now: Tick) {
        if self.clients.remove(id).is_some() {
            self.dismiss(id);
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
            Some(After::Waiting | After::Gone) => self.dismiss(id),
            None => {}
        }
    }

    fn wake(&mut self, id: ClientId, _now: Tick) {
        if self.clients.wake(id) {
            self.admit(id);
        }
    }

    fn set_tickets(&mut self, id: ClientId, tickets: u32, _now: Tick) {
        let Some(known) = self.clients.get_mut(id).filter(|_| tickets > 0) else { return };
        *known = tickets;
        if self.clients.competes(id) {
            self.tree.compete(id, tickets);
        }
    }

    fn next_event(&self) -> Tick {
        self.clients.next_event()
    }

    fn contends(&self, id: ClientId) -> bool {
        self.clients.competes(id)
    }
}
