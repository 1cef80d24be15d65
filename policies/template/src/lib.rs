//! The policy `template`: first come, first served. Who is first runs until it waits or gives its turn away.
//!
//! Not here: who runs it (`main.rs` on the kernel, `tools/src/sim/policy.rs` in the simulator), and the laws of every policy
//! (`docs/write-a-scheduler.md`).
#![no_std]
#![forbid(unsafe_code)]

use libos_core::sched::roster::{After, Roster};
use libos_core::sched::{ClientId, Decision, Demand, Policy, Refusal, Terms, Tick, TurnEnd};

/// The policy.
#[derive(Clone, Debug)]
pub struct Template {
    /// Who is ready, the least key first; who runs; who waits until when.
    clients: Roster<u64>,
    /// How many have lined up so far: the next one's key.
    lined_up: u64,
}

impl Template {
    /// A policy without clients.
    pub fn new(_terms: Terms) -> Self {
        Self { clients: Roster::new(), lined_up: 0 }
    }

    /// A client becomes ready.
    fn line_up(&mut self, client: ClientId) {
        self.lined_up += 1;
        self.clients.admit(client, self.lined_up);
    }
}

impl Policy for Template {
    fn join(&mut self, client: ClientId, _demand: Demand, now: Tick) -> Result<(), Refusal> {
        if self.clients.contains(client) {
            return Err(Refusal::AlreadyHere);
        }
        self.clients.insert(client, (), now);
        self.line_up(client);
        Ok(())
    }

    fn leave(&mut self, client: ClientId, _now: Tick) {
        self.clients.remove(client);
    }

    fn pick(&mut self, now: Tick) -> Option<Decision> {
        while let Some(client) = self.clients.due(now) {
            self.line_up(client);
        }
        let client = self.clients.first()?;
        self.clients.begin_turn(client);
        Some(Decision { client, until: Tick::NEVER })
    }

    fn charge(&mut self, client: ClientId, _ran: Tick, end: TurnEnd, _now: Tick) {
        match self.clients.end_turn(client, end) {
            // Its time was up, because a slot ended: it keeps its place.
            Some(After::Ready(place)) => self.clients.admit(client, place),
            // A job is done, and the next was released already.
            Some(After::Yielded) => self.line_up(client),
            Some(After::Waiting | After::Gone) | None => {}
        }
    }

    fn wake(&mut self, client: ClientId, _now: Tick) {
        if self.clients.wake(client) {
            self.line_up(client);
        }
    }

    fn next_event(&self) -> Tick {
        self.clients.next_event()
    }

    fn contends(&self, client: ClientId) -> bool {
        self.clients.competes(client)
    }
}
