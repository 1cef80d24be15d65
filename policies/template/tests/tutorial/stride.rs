//! Step 4, stride: who has the least pass runs, and passes go on the slower the more tickets one has.
#![forbid(unsafe_code)]

use libos_core::sched::ranked::{Ranked, Rule, Since};
use libos_core::sched::{Demand, Refusal, Terms, Tick};

/// By how much a pass goes on for a tick with one ticket.
const STRIDE1: u64 = 1 << 16;

/// The rule.
#[derive(Clone, Debug)]
pub struct Mine {
    quantum: Tick,
}

/// A client.
#[derive(Clone, Debug)]
pub struct Holder {
    tickets: u64,
    pass: u64,
}

/// The policy, without clients.
pub fn policy(terms: Terms) -> Ranked<Mine> {
    Ranked::new(Mine { quantum: terms.quantum })
}

impl Rule for Mine {
    /// The pass.
    type Key = u64;
    type Client = Holder;

    fn join(&mut self, demand: Demand, now: Tick) -> Result<(Holder, Tick), Refusal> {
        let Demand::Share { tickets: tickets @ 1.. } = demand else { return Err(Refusal::WrongDemand) };
        let mut client = Holder { tickets: tickets.into(), pass: 0 };
        // As if it had run for a quantum just before.
        self.charge(&mut client, self.quantum);
        Ok((client, now))
    }

    fn key(&mut self, client: &mut Holder, since: Since<u64>, least: Option<u64>) -> u64 {
        if let Since::Waited(_) = since {
            // Who waited has saved nothing up.
            client.pass = client.pass.max(least.unwrap_or(0));
        }
        client.pass
    }

    fn turn(&self, _client: &Holder) -> Tick {
        self.quantum
    }

    fn charge(&mut self, client: &mut Holder, ran: Tick) {
        client.pass += ran.0 * STRIDE1 / client.tickets;
    }
}
