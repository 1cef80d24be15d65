//! A policy from a rule: clients have keys, and of those that are ready the one with the least key runs. The rule says what the keys
//! are; all else that a policy has to do is done here.
//!
//! Not here: policies that stop clients, or look at more than one order at once; they use a [`Roster`] themselves.
#![forbid(unsafe_code)]

use super::roster::{After, Roster};
use super::{ClientId, Decision, Demand, Policy, Refusal, Tick, TurnEnd};
use core::fmt::Debug;

/// What makes one policy differ from another.
pub trait Rule {
    /// By what clients are ordered.
    type Key: Ord + Copy + Debug;
    /// What is kept of each client.
    type Client: Clone + Debug;
    /// Whether the end of a wait interrupts whoever runs then.
    const INTERRUPTS: bool = false;

    /// Takes a client on: what is kept of it, and when it is ready for the first time.
    ///
    /// # Errors
    /// If it asks for what the rule does not give.
    fn join(&mut self, demand: Demand, now: Tick) -> Result<(Self::Client, Tick), Refusal>;

    /// The key of a client that is ready from now on. `least` is the least key of the others that compete, if there are any.
    fn key(
        &mut self,
        client: &mut Self::Client,
        since: Since<Self::Key>,
        least: Option<Self::Key>,
    ) -> Self::Key;

    /// For how long a client may run at most; not 0.
    fn turn(&self, client: &Self::Client) -> Tick;

    /// A client used so much CPU time in its turn.
    fn charge(&mut self, _client: &mut Self::Client, _ran: Tick) {}

    /// Whom to run: by default the ready client with the least key, of several the one with the lowest number.
    fn choose(&mut self, clients: &Roster<Self::Key, Self::Client>) -> Option<ClientId> {
        clients.first()
    }
}

/// Since when, or why, a client is ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Since<K> {
    /// It waited until then.
    Waited(Tick),
    /// It gave the rest of its turn away; if it has jobs, one is done and the next was released already.
    Yielded,
    /// Its turn was over; it had this key.
    Expired(K),
}

/// The policy of a rule.
#[derive(Clone, Debug)]
pub struct Ranked<R: Rule> {
    rule: R,
    clients: Roster<R::Key, R::Client>,
}

impl<R: Rule> Ranked<R> {
    /// Without clients.
    pub fn new(rule: R) -> Self {
        Self { rule, clients: Roster::new() }
    }

    fn admit(&mut self, id: ClientId, since: Since<R::Key>) {
        let least = self.clients.least_key();
        let Some(client) = self.clients.get_mut(id) else { return };
        let key = self.rule.key(client, since, least);
        self.clients.admit(id, key);
    }

    /// Lets all compete whose wait is over.
    fn admit_due(&mut self, now: Tick) {
        while let Some(id) = self.clients.due(now) {
            // The first whose wait is over is the first to end its wait.
            self.admit(id, Since::Waited(self.clients.next_event()));
        }
    }
}

impl<R: Rule> Policy for Ranked<R> {
    fn join(&mut self, id: ClientId, demand: Demand, now: Tick) -> Result<(), Refusal> {
        if self.clients.contains(id) {
            return Err(Refusal::AlreadyHere);
        }
        let (client, first) = self.rule.join(demand, now)?;
        self.clients.insert(id, client, first);
        self.admit_due(now);
        Ok(())
    }

    fn leave(&mut self, id: ClientId, _now: Tick) {
        self.clients.remove(id);
    }

    fn pick(&mut self, now: Tick) -> Option<Decision> {
        self.admit_due(now);
        let client = self.rule.choose(&self.clients)?;
        self.clients.begin_turn(client);
        let turn = self.clients.get(client).map_or(Tick(1), |client| self.rule.turn(client));
        let until = now.saturating_add(turn);
        Some(Decision { client, until: if R::INTERRUPTS { until.min(self.next_event()) } else { until } })
    }

    fn charge(&mut self, id: ClientId, ran: Tick, end: TurnEnd, _now: Tick) {
        if !self.clients.runs(id) {
            return;
        }
        if let Some(client) = self.clients.get_mut(id) {
            self.rule.charge(client, ran);
        }
        match self.clients.end_turn(id, end) {
            Some(After::Ready(key)) => self.admit(id, Since::Expired(key)),
            Some(After::Yielded) => self.admit(id, Since::Yielded),
            Some(After::Waiting | After::Gone) | None => {}
        }
    }

    fn wake(&mut self, id: ClientId, now: Tick) {
        if self.clients.wake(id) {
            self.admit(id, Since::Waited(now));
        }
    }

    fn next_event(&self) -> Tick {
        self.clients.next_event()
    }

    fn contends(&self, id: ClientId) -> bool {
        self.clients.competes(id)
    }
}
