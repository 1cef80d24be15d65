//! Constant-bandwidth servers (Abeni and Buttazzo, RTSS 1998): each client has a budget Q for every period T, and whatever it does it
//! takes no more than Q / T of the CPU from the others. Deadlines of servers, not of jobs, are what EDF runs by:
//!
//! * a client that becomes ready keeps its server's budget c and deadline d if c < (d − now) · Q / T; or else d = now + T and c = Q;
//! * when the budget is used up, d moves on by T, and there is a new one. A *soft* server goes on at once, later in the order,
//!   so it may use what others leave; a *hard* one stops until the old deadline, so it never has more than Q in T.
//!
//! So a client with jobs of at most Q that come T apart or later meets its deadlines where all servers together fit, and one with
//! longer jobs or more of them is late by itself. What a turn runs too long the next budget pays. Clients without deadlines
//! run in the background, round robin.
//!
//! For one core. Not here: admission (`crate::admission` says whether servers fit, if they are taken for tasks).
#![forbid(unsafe_code)]

use libos_core::sched::line::Line;
use libos_core::sched::roster::{After, Roster};
use libos_core::sched::{ClientId, Decision, Demand, Policy, Refusal, Tick, TurnEnd};

/// A turn lasts at least this part of a quantum, though less of a budget is left: a switch takes some time itself, and in less
/// than that a client would get nowhere.
const SHORTEST_TURN: u64 = 32;

/// What becomes of a server whose budget is used up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It goes on with its next budget, due later.
    Soft,
    /// It stops until its deadline.
    Hard,
}

/// The policy.
#[derive(Clone, Debug)]
pub struct ConstantBandwidth {
    kind: Kind,
    quantum: Tick,
    /// By deadline.
    clients: Roster<Tick, Server>,
    /// Who has no deadlines.
    background: Line,
}

#[derive(Clone, Copy, Debug)]
struct Server {
    budget: u64,
    period: u64,
    /// Of the present budget; below 0 if a turn took too long.
    left: i128,
    deadline: u64,
    /// A hard one that waits for its deadline, though its client is ready.
    is_stopped: bool,
}

impl Server {
    /// Its client becomes ready.
    fn arrive(&mut self, now: u64) {
        let time = i128::from(self.deadline) - i128::from(now);
        if self.left * i128::from(self.period) >= time * i128::from(self.budget) {
            self.deadline = now.saturating_add(self.period);
            self.left = self.budget.into();
        }
    }

    /// The next budget.
    fn replenish(&mut self) {
        self.deadline = self.deadline.saturating_add(self.period);
        self.left += i128::from(self.budget);
    }
}

impl ConstantBandwidth {
    /// A policy without clients. A client runs for at most `quantum` (not 0) at a time.
    pub fn new(kind: Kind, quantum: Tick) -> Self {
        let quantum = Tick(quantum.0.max(1));
        Self { kind, quantum, clients: Roster::new(), background: Line::round_robin(quantum) }
    }

    /// A client that waited is ready, or its server's stop is over.
    fn arrive(&mut self, id: ClientId, now: Tick) {
        let Some(server) = self.clients.get_mut(id) else { return };
        if core::mem::take(&mut server.is_stopped) {
            server.replenish();
        } else {
            server.arrive(now.0);
        }
        self.compete(id);
    }

    /// A ready client has its place in the order, with what is left of its server's budget or the next one.
    fn compete(&mut self, id: ClientId) {
        let Some(server) = self.clients.get_mut(id) else { return };
        while server.left <= 0 {
            if self.kind == Kind::Hard {
                server.is_stopped = true;
                let until = Tick(server.deadline);
                self.clients.dismiss(id, until);
                return;
            }
            server.replenish();
        }
        let deadline = Tick(server.deadline);
        self.clients.admit(id, deadline);
    }
}

impl Policy for ConstantBandwidth {
    fn join(&mut self, id: ClientId, demand: Demand, now: Tick) -> Result<(), Refusal> {
        if self.clients.contains(id) || self.background.is_here(id) {
            return Err(Refusal::AlreadyHere);
        }
        let Demand::Periodic { first_release, budget, period, .. } = demand else {
            return self.background.join(id, demand, now);
        };
        if budget.0 == 0 || budget > period {
            return Err(Refusal::BadDemand);
        }
        let (budget, period) = (budget.0, period.0);
        let server = Server { budget, period, left: 0, deadline: 0, is_stopped: false };
        self.clients.insert(id, server, first_release);
        Ok(())
    }

    fn leave(&mut self, id: ClientId, now: Tick) {
        self.clients.remove(id);
        self.background.leave(id, now);
    }

    fn pick(&mut self, now: Tick) -> Option<Decision> {
        while let Some(id) = self.clients.due(now) {
            self.arrive(id, now);
        }
        let Some(client) = self.clients.first() else {
            let decision = self.background.pick(now)?;
            return Some(Decision { until: decision.until.min(self.clients.next_event()), ..decision });
        };
        self.clients.begin_turn(client);
        let left = self.clients.get(client).map_or(0, |server| u64::try_from(server.left).unwrap_or(0));
        let longest = left.clamp((self.quantum.0 / SHORTEST_TURN).max(1), self.quantum.0);
        // Whoever comes meanwhile may be due before.
        let until = now.saturating_add(Tick(longest)).min(self.clients.next_event());
        Some(Decision { client, until })
    }

    fn charge(&mut self, id: ClientId, ran: Tick, end: TurnEnd, now: Tick) {
        if !self.clients.runs(id) {
            return self.background.charge(id, ran, end, now);
        }
        if let Some(server) = self.clients.get_mut(id) {
            server.left -= i128::from(ran.0);
        }
        if let Some(After::Ready(_) | After::Yielded) = self.clients.end_turn(id, end) {
            self.compete(id);
        }
    }

    fn wake(&mut self, id: ClientId, now: Tick) {
        if !self.clients.contains(id) {
            return self.background.wake(id, now);
        }
        let is_stopped = self.clients.get(id).is_some_and(|server| server.is_stopped);
        if self.clients.wake(id) && !is_stopped {
            self.arrive(id, now);
        }
    }

    fn next_event(&self) -> Tick {
        self.clients.next_event().min(self.background.next_event())
    }

    fn contends(&self, id: ClientId) -> bool {
        self.clients.competes(id) || self.background.contends(id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;
    use alloc::vec::Vec;

    fn served(kind: Kind, servers: &[(u64, u64)]) -> ConstantBandwidth {
        let mut policy = ConstantBandwidth::new(kind, Tick(20));
        for (number, (budget, period)) in (0..).zip(servers) {
            let [budget, period] = [*budget, *period].map(Tick);
            let demand = Demand::Periodic { first_release: Tick(0), budget, period, deadline: period };
            policy.join(ClientId(number), demand, Tick(0)).unwrap();
        }
        policy
    }

    /// Whom it runs until a time, if nobody ever waits: the time that each gets.
    fn greedy(policy: &mut ConstantBandwidth, clients: usize, until: u64) -> Vec<u64> {
        let (mut now, mut ran) = (0, vec![0; clients]);
        while now < until {
            let Some(decision) = policy.pick(Tick(now)) else {
                now = policy.next_event().0;
                continue;
            };
            let time = decision.until.0 - now;
            ran[usize::from(decision.client.0)] += time;
            now += time;
            policy.charge(decision.client, Tick(time), TurnEnd::Ready, Tick(now));
        }
        ran
    }

    #[test]
    fn hard_servers_have_exactly_their_budgets_and_soft_ones_share_the_rest_in_that_proportion() {
        let servers = [(3, 10), (6, 20)];
        assert_eq!(greedy(&mut served(Kind::Hard, &servers), 2, 1000), [300, 300]);
        assert_eq!(greedy(&mut served(Kind::Soft, &[(1, 10), (4, 20)]), 2, 3000), [1000, 2000]);
    }

    #[test]
    fn who_comes_while_its_budget_would_be_too_much_for_its_deadline_gets_new_ones() {
        let mut policy = served(Kind::Soft, &[(4, 10)]);
        let first = policy.pick(Tick(0)).unwrap();
        assert_eq!(first.until, Tick(4));
        // 1 of 4 used until 1; it comes again at 5: 3 ≥ (10 − 5) · 4 / 10.
        policy.charge(ClientId(0), Tick(1), TurnEnd::Waiting(Tick(5)), Tick(1));
        assert_eq!(policy.pick(Tick(5)).unwrap().until, Tick(9));
        assert_eq!(policy.clients.get(ClientId(0)).unwrap().deadline, 15);
        // And at 6 again, with 3 of 4 and 9 until 15: 3 < 9 · 4 / 10, it keeps both.
        policy.charge(ClientId(0), Tick(1), TurnEnd::Waiting(Tick(6)), Tick(6));
        assert_eq!(policy.pick(Tick(6)).unwrap().until, Tick(9));
        assert_eq!(policy.clients.get(ClientId(0)).unwrap().deadline, 15);
    }

    #[test]
    fn what_a_turn_took_too_long_the_next_budgets_pay() {
        let mut policy = served(Kind::Hard, &[(2, 10)]);
        policy.pick(Tick(0)).unwrap();
        policy.charge(ClientId(0), Tick(5), TurnEnd::Ready, Tick(5));
        // At 10 the next budget, 2, leaves it at −1; at 20 the one after that at 1.
        assert_eq!(policy.pick(Tick(10)), None);
        assert_eq!(policy.next_event(), Tick(20));
        assert_eq!(policy.pick(Tick(20)).unwrap().until, Tick(21));
    }

    #[test]
    fn a_stopped_server_is_not_woken_before_its_deadline() {
        let mut policy = served(Kind::Hard, &[(2, 10)]);
        policy.pick(Tick(0)).unwrap();
        policy.charge(ClientId(0), Tick(2), TurnEnd::Ready, Tick(2));
        policy.wake(ClientId(0), Tick(3));
        assert_eq!(policy.pick(Tick(3)), None);
        assert!(policy.pick(Tick(10)).is_some());
    }

    #[test]
    fn the_background_runs_while_no_server_does_and_until_one_comes() {
        let mut policy = served(Kind::Hard, &[(2, 10)]);
        policy.join(ClientId(1), Demand::Share { tickets: 1 }, Tick(0)).unwrap();
        policy.pick(Tick(0)).unwrap();
        policy.charge(ClientId(0), Tick(2), TurnEnd::Ready, Tick(2));
        assert_eq!(policy.pick(Tick(2)), Some(Decision { client: ClientId(1), until: Tick(10) }));
    }
}
