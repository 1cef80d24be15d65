//! Step 5, earliest deadline first.
#![forbid(unsafe_code)]

use libos_core::sched::ranked::{Ranked, Rule, Since};
use libos_core::sched::{Demand, Refusal, Terms, Tick};

/// The rule.
#[derive(Clone, Debug)]
pub struct Mine {
    quantum: Tick,
}

/// A client.
#[derive(Clone, Debug)]
pub struct Task {
    period: Tick,
    deadline: Tick,
    /// When its last job was released.
    released: Tick,
}

/// The policy, without clients.
pub fn policy(terms: Terms) -> Ranked<Mine> {
    Ranked::new(Mine { quantum: terms.quantum })
}

impl Rule for Mine {
    /// When a job is due; of those due together, the one released first is first.
    type Key = (Tick, Tick);
    type Client = Task;
    /// A job that is released may be due before the one that runs.
    const INTERRUPTS: bool = true;

    fn join(&mut self, demand: Demand, now: Tick) -> Result<(Task, Tick), Refusal> {
        let (first, period, deadline) = match demand {
            Demand::Periodic { first_release, period, deadline, .. } => (first_release, period, deadline),
            // Who has no deadlines runs when nobody else is ready.
            Demand::Share { .. } => (now, Tick(0), Tick::NEVER),
        };
        Ok((Task { period, deadline, released: first }, first))
    }

    fn key(&mut self, client: &mut Task, since: Since<Self::Key>, _least: Option<Self::Key>) -> Self::Key {
        match since {
            Since::Expired(key) => return key,
            // A client waits for its release.
            Since::Waited(until) => client.released = until,
            Since::Yielded => client.released = client.released.saturating_add(client.period),
        }
        (client.released.saturating_add(client.deadline), client.released)
    }

    fn turn(&self, _client: &Task) -> Tick {
        self.quantum
    }
}
