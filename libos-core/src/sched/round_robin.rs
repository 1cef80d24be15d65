//! Round robin, the policy that `docs/policies.md` walks through: everybody in turn, for a quantum.

use super::roster::{After, Roster};
use super::{ClientId, Decision, Demand, Policy, Refusal, Tick, TurnEnd};

/// Everybody in turn, whatever they ask for. A client's key is how many had lined up when it did.
#[derive(Clone, Debug)]
pub struct RoundRobin {
    quantum: Tick,
    line: Roster<u64>,
    lined_up: u64,
}

impl RoundRobin {
    /// A policy without clients. A client runs for at most `quantum` (not 0) at a time.
    pub fn new(quantum: Tick) -> Self {
        Self { quantum: Tick(quantum.0.max(1)), line: Roster::new(), lined_up: 0 }
    }

    /// Whether a client has joined and not left.
    pub fn is_here(&self, client: ClientId) -> bool {
        self.line.contains(client)
    }

    /// A client goes to the end of the line.
    fn line_up(&mut self, client: ClientId) {
        self.lined_up += 1;
        self.line.admit(client, self.lined_up);
    }
}

impl Policy for RoundRobin {
    fn join(&mut self, client: ClientId, _demand: Demand, now: Tick) -> Result<(), Refusal> {
        if self.line.contains(client) {
            return Err(Refusal::AlreadyHere);
        }
        self.line.insert(client, (), now);
        self.line_up(client);
        Ok(())
    }

    fn leave(&mut self, client: ClientId, _now: Tick) {
        self.line.remove(client);
    }

    fn pick(&mut self, now: Tick) -> Option<Decision> {
        while let Some(client) = self.line.due(now) {
            self.line_up(client);
        }
        let client = self.line.first()?;
        self.line.begin_turn(client);
        Some(Decision { client, until: now.saturating_add(self.quantum) })
    }

    fn charge(&mut self, client: ClientId, _ran: Tick, end: TurnEnd, _now: Tick) {
        if let Some(After::Ready | After::Yielded) = self.line.end_turn(client, end) {
            self.line_up(client);
        }
    }

    fn wake(&mut self, client: ClientId, _now: Tick) {
        if self.line.wake(client) {
            self.line_up(client);
        }
    }

    fn next_event(&self) -> Tick {
        self.line.next_event()
    }

    fn contends(&self, client: ClientId) -> bool {
        self.line.competes(client)
    }
}
