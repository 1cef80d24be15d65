//! The observer that counts who wins a lottery, and whether chance alone explains it.
#![forbid(unsafe_code)]

use crate::lottery::Lottery;
use alloc::collections::BTreeMap;
use libos_core::sched::dispatch::Observer;
use libos_core::sched::measure::{Winner, Wins};
use libos_core::sched::{ClientId, Decision, Policy, Tick};

/// Counts the wins of clients that it was told of.
#[derive(Clone, Debug, Default)]
pub struct WinWatch {
    clients: BTreeMap<ClientId, Wins>,
}

impl WinWatch {
    /// Counts a client's wins from now on.
    pub fn join(&mut self, client: ClientId) {
        self.clients.insert(client, Wins::default());
    }

    /// What was counted of a client.
    pub fn wins(&self, client: ClientId) -> Option<Wins> {
        self.clients.get(&client).copied()
    }
}

impl Observer<Lottery> for WinWatch {
    fn decided(&mut self, policy: &Lottery, decision: Decision, _now: Tick) {
        for (client, wins) in self.clients.iter_mut().filter(|(client, _)| policy.contends(**client)) {
            let winner = if *client == decision.client { Winner::This } else { Winner::Other };
            wins.draw(policy.stake(*client).unwrap_or(0), policy.pot(), winner);
        }
    }
}
