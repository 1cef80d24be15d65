//! The observer that counts turns and CPU time of every client, and tells of those that are lost.
#![forbid(unsafe_code)]

use alloc::vec::Vec;
use libos_core::say;
use libos_core::sched::dispatch::{Observer, Turn};
use libos_core::sched::{ClientId, Decision, Tick};
use tranche_abi::Reason;

/// Turns and time by client.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    clients: Vec<Counted>,
    /// Decisions of the policy.
    pub decisions: u64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Counted {
    turns: u64,
    ran: u64,
}

impl Tally {
    fn counted(&self, client: ClientId) -> Counted {
        self.clients.get(usize::from(client.0)).copied().unwrap_or_default()
    }

    /// Turns that a client had.
    pub fn turns(&self, client: ClientId) -> u64 {
        self.counted(client).turns
    }

    /// CPU time that a client was charged.
    pub fn ran(&self, client: ClientId) -> Tick {
        Tick(self.counted(client).ran)
    }
}

impl<P> Observer<P> for Tally {
    fn decided(&mut self, _policy: &P, _decision: Decision, _now: Tick) {
        self.decisions += 1;
    }

    fn charged(&mut self, _policy: &P, turn: &Turn) {
        let place = usize::from(turn.client.0);
        if place >= self.clients.len() {
            self.clients.resize(place + 1, Counted::default());
        }
        self.clients[place].turns += 1;
        self.clients[place].ran += turn.outcome.ran.0;
        if let Reason::Faulted | Reason::Gone = turn.outcome.reason {
            say!("client {place} is lost: {:?}, syndrome {:#x}", turn.outcome.reason, turn.outcome.detail);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use libos_core::sched::TurnEnd;
    use tranche_abi::Outcome;

    #[test]
    fn turns_and_time_are_counted_by_client() {
        let mut tally = Tally::default();
        for (client, ran) in [(2, 10), (0, 5), (2, 7)] {
            let outcome = Outcome { reason: Reason::Expired, ran: Tick(ran), detail: 0, now: Tick(0) };
            let turn = Turn { client: ClientId(client), outcome, end: TurnEnd::Ready };
            Observer::<()>::charged(&mut tally, &(), &turn);
        }
        assert_eq!([0, 1, 2].map(|c| tally.turns(ClientId(c))), [1, 0, 2]);
        assert_eq!(tally.ran(ClientId(2)), Tick(17));
    }
}
