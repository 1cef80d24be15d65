//! Step 6, constant-bandwidth servers: nobody takes more than a budget in each period from the others.
#![forbid(unsafe_code)]

use libos_core::sched::ranked::{Ranked, Rule, Since};
use libos_core::sched::{Demand, Refusal, Terms, Tick};

/// The period of who has no deadlines, in ticks: hours.
const LONG: u64 = 1 << 40;

/// The rule.
#[derive(Clone, Debug)]
pub struct Mine {
    quantum: Tick,
}

/// A client's server.
#[derive(Clone, Debug)]
pub struct Server {
    budget: i128,
    period: i128,
    /// What is left of the present budget.
    left: i128,
    deadline: i128,
}

/// The policy, without clients.
pub fn policy(terms: Terms) -> Ranked<Mine> {
    Ranked::new(Mine { quantum: terms.quantum })
}

impl Rule for Mine {
    /// The deadline of a client's server.
    type Key = i128;
    type Client = Server;
    /// A server that comes may be due before the one that runs.
    const INTERRUPTS: bool = true;

    fn join(&mut self, demand: Demand, now: Tick) -> Result<(Server, Tick), Refusal> {
        let (first, budget, period) = match demand {
            Demand::Periodic { budget: Tick(0), .. } => return Err(Refusal::BadDemand),
            Demand::Periodic { first_release, budget, period, .. } => (first_release, budget.0, period.0),
            Demand::Share { .. } => (now, self.quantum.0, LONG),
        };
        Ok((Server { budget: budget.into(), period: period.into(), left: 0, deadline: 0 }, first))
    }

    fn key(&mut self, client: &mut Server, since: Since<i128>, _least: Option<i128>) -> i128 {
        if let Since::Waited(until) = since {
            let until = i128::from(until.0);
            // Would what is left of the budget be more than its part of the time until the deadline?
            if client.left * client.period >= (client.deadline - until) * client.budget {
                (client.left, client.deadline) = (client.budget, until + client.period);
            }
        }
        client.deadline
    }

    fn turn(&self, client: &Server) -> Tick {
        // Of a shorter turn the switch to the client would leave nothing.
        let shortest = self.quantum.0.div_ceil(32);
        Tick(u64::try_from(client.left).unwrap_or(0).clamp(shortest, self.quantum.0))
    }

    fn charge(&mut self, client: &mut Server, ran: Tick) {
        client.left -= i128::from(ran.0);
        // It is used up: the next one, which is due a period later.
        while client.left <= 0 {
            client.left += client.budget;
            client.deadline += client.period;
        }
    }
}
