//! The policy `template`: first come, first served. Who is first runs until it waits or gives its turn away.
//!
//! Not here: what every policy does (`libos_core::sched::ranked`), and who runs it (`main.rs`, and the simulator).
#![no_std]
#![forbid(unsafe_code)]

use libos_core::sched::ranked::{Ranked, Rule, Since};
use libos_core::sched::{Demand, Refusal, Terms, Tick};

/// The rule.
#[derive(Clone, Debug)]
pub struct Template {
    /// How many have lined up so far.
    lined_up: u64,
}

/// The policy, without clients.
pub fn policy(_terms: Terms) -> Ranked<Template> {
    Ranked::new(Template { lined_up: 0 })
}

impl Rule for Template {
    /// A client's place in the line.
    type Key = u64;
    type Client = ();

    fn join(&mut self, _demand: Demand, now: Tick) -> Result<((), Tick), Refusal> {
        Ok(((), now))
    }

    fn key(&mut self, _client: &mut (), since: Since<u64>, _least: Option<u64>) -> u64 {
        if let Since::Expired(place) = since {
            return place;
        }
        self.lined_up += 1;
        self.lined_up
    }

    fn turn(&self, _client: &()) -> Tick {
        Tick::NEVER
    }
}
