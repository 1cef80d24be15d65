//! Round robin, the policy that `docs/policies.md` walks through: everybody in turn, for a quantum.

use crate::sched::{ClientId, Decision, Demand, Policy, Refusal, Tick, TurnEnd};
use alloc::vec::Vec;

/// Everybody in turn. `ready` is in the order of the turns to come.
pub struct RoundRobin {
    pub quantum: Tick,
    pub ready: Vec<ClientId>,
    pub running: Vec<ClientId>,
    pub waiting: Vec<(Tick, ClientId)>,
}

impl Policy for RoundRobin {
    fn join(&mut self, client: ClientId, demand: Demand, _now: Tick) -> Result<(), Refusal> {
        let Demand::Share { .. } = demand else { return Err(Refusal::WrongDemand) };
        if self.contends(client) || self.waiting.iter().any(|(_, other)| *other == client) {
            return Err(Refusal::AlreadyHere);
        }
        self.ready.push(client);
        Ok(())
    }

    fn leave(&mut self, client: ClientId, _now: Tick) {
        self.ready.retain(|other| *other != client);
        self.running.retain(|other| *other != client);
        self.waiting.retain(|(_, other)| *other != client);
    }

    fn pick(&mut self, now: Tick) -> Option<Decision> {
        let due: Vec<_> = self.waiting.extract_if(.., |(until, _)| *until <= now).collect();
        self.ready.extend(due.into_iter().map(|(_, client)| client));
        let client = *self.ready.first()?;
        self.ready.remove(0);
        self.running.push(client);
        Some(Decision { client, until: now.saturating_add(self.quantum) })
    }

    fn charge(&mut self, client: ClientId, _ran: Tick, end: TurnEnd, _now: Tick) {
        let Some(index) = self.running.iter().position(|other| *other == client) else { return };
        self.running.swap_remove(index);
        match end {
            TurnEnd::Ready | TurnEnd::Yielded => self.ready.push(client),
            TurnEnd::Waiting(until) => self.waiting.push((until, client)),
            TurnEnd::Gone => {}
        }
    }

    fn wake(&mut self, client: ClientId, now: Tick) {
        let waits = self.waiting.iter_mut().filter(|(_, other)| *other == client);
        waits.for_each(|(until, _)| *until = now);
    }

    fn next_event(&self) -> Tick {
        self.waiting.iter().map(|(until, _)| *until).min().unwrap_or(Tick::NEVER)
    }

    fn contends(&self, client: ClientId) -> bool {
        self.ready.contains(&client) || self.running.contains(&client)
    }
}
