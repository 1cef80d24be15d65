//! Round robin, and first come, first served: clients wait in a line, and the first of it runs. The policy that
//! `docs/policies.md` walks through.

use super::roster::{After, Roster};
use super::{ClientId, Decision, Demand, Policy, Refusal, Tick, TurnEnd};

/// Clients in a line, whatever they ask for. A client's key is how many had lined up when it did.
#[derive(Clone, Debug)]
pub struct Line {
    /// For how long the first runs before it goes to the end; `None`: until it waits or gives its turn away.
    quantum: Option<Tick>,
    line: Roster<u64>,
    lined_up: u64,
}

impl Line {
    /// Round robin: everybody in turn, for at most `quantum` (not 0) at a time.
    pub fn round_robin(quantum: Tick) -> Self {
        Self { quantum: Some(Tick(quantum.0.max(1))), ..Self::first_come() }
    }

    /// First come, first served: nobody is interrupted for anybody. A slot's end interrupts, but its client stays the
    /// first. So who never waits keeps everybody else from running, as POSIX's `SCHED_FIFO` does at one priority.
    pub fn first_come() -> Self {
        Self { quantum: None, line: Roster::new(), lined_up: 0 }
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

impl Policy for Line {
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
        let until = self.quantum.map_or(Tick::NEVER, |quantum| now.saturating_add(quantum));
        Some(Decision { client, until })
    }

    fn charge(&mut self, client: ClientId, _ran: Tick, end: TurnEnd, _now: Tick) {
        match self.line.end_turn(client, end) {
            Some(After::Ready(place)) if self.quantum.is_none() => self.line.admit(client, place),
            Some(After::Ready(_) | After::Yielded) => self.line_up(client),
            Some(After::Waiting | After::Gone) | None => {}
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

#[cfg(test)]
mod tests;
