//! Step 3, lottery: each turn goes to the holder of a ticket that is drawn.
#![forbid(unsafe_code)]

use libos_core::chance;
use libos_core::sched::ranked::{Ranked, Rule, Since};
use libos_core::sched::roster::Roster;
use libos_core::sched::{ClientId, Demand, Refusal, Terms, Tick};

/// Of a ticket, in a draw: so that a fraction of it can take part.
const PARTS: u64 = 1000;

/// The rule.
#[derive(Clone, Debug)]
pub struct Mine {
    quantum: Tick,
    chance: u64,
}

/// A client.
#[derive(Clone, Debug)]
pub struct Holder {
    tickets: u64,
    /// With how many parts of a ticket it takes part in a draw.
    stake: u64,
}

/// The policy, without clients.
pub fn policy(terms: Terms) -> Ranked<Mine> {
    Ranked::new(Mine { quantum: terms.quantum, chance: chance::seed(&[terms.seed, terms.core]) })
}

impl Rule for Mine {
    /// Nobody is before anybody.
    type Key = ();
    type Client = Holder;

    fn join(&mut self, demand: Demand, now: Tick) -> Result<(Holder, Tick), Refusal> {
        let Demand::Share { tickets: tickets @ 1.. } = demand else { return Err(Refusal::WrongDemand) };
        let tickets = u64::from(tickets);
        Ok((Holder { tickets, stake: tickets * PARTS }, now))
    }

    fn key(&mut self, _client: &mut Holder, _since: Since<()>, _least: Option<()>) {}

    fn turn(&self, _client: &Holder) -> Tick {
        self.quantum
    }

    fn charge(&mut self, client: &mut Holder, ran: Tick) {
        // Who used a fifth of its turn has five times the tickets until it wins again.
        let used = ran.0.clamp(self.quantum.0.div_ceil(100), self.quantum.0);
        client.stake = client.tickets * PARTS * self.quantum.0 / used;
    }

    fn choose(&mut self, clients: &Roster<(), Holder>) -> Option<ClientId> {
        let pot: u64 = clients.ready().map(|(_, holder)| holder.stake).sum();
        let drawn = chance::draw(&mut self.chance).checked_rem(pot)?;
        let mut before = 0;
        let mut holders = clients.ready().map(|(client, holder)| {
            before += holder.stake;
            (client, before)
        });
        holders.find(|(_, last)| drawn < *last).map(|(client, _)| client)
    }
}
