//! Clients that come, go or change their tickets, in the simulator: what is due happens when the activation next looks, as the dispatch
//! loop's housekeeping does it on the kernel (`apps::scheduler::serve`). Not here: when (`crew`).

use super::super::client::Client;
use super::{Activation, Scene};
use apps::scheduler::warden;
use libos_core::sched::steps::Step;
use libos_core::sched::{ClientId, Demand, Policy};
use libos_rt::roll::Applicant;
use tranche_abi::Tick;

/// A client that comes or goes.
#[derive(Clone, Copy, Debug)]
pub enum Change {
    /// It joins, with this demand.
    Join(ClientId, Demand),
    /// It asks for a guarantee.
    Ask(Applicant),
    /// It leaves.
    Leave(ClientId),
    /// It has so many tickets.
    Tickets(ClientId, u32),
}

impl Activation {
    /// What is due by now.
    pub(super) fn come_and_go(&mut self, scene: &mut Scene<'_>) {
        while self.changes.front().is_some_and(|(at, _)| *at <= scene.now) {
            let Some((_, change)) = self.changes.pop_front() else { break };
            self.change(change, Tick(scene.now), scene);
            self.has_news = true;
        }
    }

    pub(super) fn change(&mut self, change: Change, now: Tick, scene: &mut Scene<'_>) {
        match change {
            Change::Join(client, demand) => match self.scheduler.policy.join(client, demand, now) {
                Ok(()) => {
                    self.scheduler.observer.0.push(Step::Join { client, demand, now });
                    self.contest.joined(client);
                    self.clients[usize::from(client.0)].come_back();
                }
                Err(refusal) => self.refused.push((client, refusal)),
            },
            Change::Ask(applicant) => {
                self.warden.roll.add(applicant);
                self.redo_admission(scene);
            }
            Change::Leave(client) => {
                self.scheduler.leave(client, now);
                self.clients[usize::from(client.0)].end(now.0);
                self.contest.recount(&self.scheduler.policy);
                if self.warden.roll.account(client).is_some() {
                    self.warden.roll.withdraw(client);
                    self.redo_admission(scene);
                }
            }
            Change::Tickets(client, tickets) => self.scheduler.set_tickets(client, tickets, now),
        }
    }

    /// Somebody has come to those who ask for guarantees, or has gone from them.
    fn redo_admission(&mut self, scene: &mut Scene<'_>) {
        let Some(vector) = scene.slots.vector() else { return };
        let (owned, policy) = (vector.pattern(self.owner), &mut self.scheduler.policy);
        let there = warden::Scene { now: Tick(scene.now), owned: &owned, supply: policy.supply() };
        let changes = self.warden.changed(policy, &there);
        self.note(&changes, scene.now);
    }

    /// The client that had the CPU may have changed its tickets.
    pub(super) fn hear_tickets(&mut self, now: Tick) {
        let Some(client) = self.last.take() else { return };
        let place = usize::from(client.0);
        let Some(tickets) = self.clients.get(place).and_then(Client::tickets) else { return };
        if place >= self.inflated.len() {
            self.inflated.resize(place + 1, 0);
        }
        if std::mem::replace(&mut self.inflated[place], tickets) != tickets {
            self.scheduler.set_tickets(client, tickets, now);
        }
    }
}
