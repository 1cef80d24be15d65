//! Step 2, round robin: everybody in turn, a quantum each.
#![forbid(unsafe_code)]

use libos_core::sched::ranked::{Ranked, Rule, Since};
use libos_core::sched::{Demand, Refusal, Terms, Tick};

/// The rule.
#[derive(Clone, Debug)]
pub struct Mine {
    quantum: Tick,
    /// How many have lined up so far.
    lined_up: u64,
}

/// The policy, without clients.
pub fn policy(terms: Terms) -> Ranked<Mine> {
    Ranked::new(Mine { quantum: terms.quantum, lined_up: 0 })
}

impl Rule for Mine {
    /// A client's place in the line.
    type Key = u64;
    type Client = ();

    fn join(&mut self, _demand: Demand, now: Tick) -> Result<((), Tick), Refusal> {
        Ok(((), now))
    }

    fn key(&mut self, _client: &mut (), _since: Since<u64>, _least: Option<u64>) -> u64 {
        self.lined_up += 1;
        self.lined_up
    }

    fn turn(&self, _client: &()) -> Tick {
        self.quantum
    }
}
