//! Who competes for the CPU when, out of what a policy was told and decided: the same rules as those by which the guest's
//! own observer measures shares.
//!
//! A client competes from the first decision at or after the time at which it is ready until a turn of it ends in waiting,
//! or it leaves. A client that became ready while its turn was under way competes again at the next decision.

use libos_core::sched::dispatch::Loan;
use libos_core::sched::funds::Funds;
use libos_core::sched::steps::Step;
use libos_core::sched::{ClientId, Demand, Tick, TurnEnd};

/// What happens to a client, in the policy's numbering.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// It competes from now on, with these tickets.
    Begins(ClientId, Tickets),
    /// It was picked, among all that compete, for a turn of this length at most.
    Picked(ClientId, Tick),
    /// It was charged, while it competed.
    Charged(ClientId, Tick),
    /// It competes no longer.
    Ends(ClientId),
}

/// What a client has that it was not declared to have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tickets {
    /// Of its own, if it has changed them.
    pub changed: Option<u32>,
    /// That are lent to it besides.
    pub lent: u32,
}

impl Tickets {
    /// All that a client has which was declared to have so many.
    pub fn of(self, declared: u32) -> u32 {
        self.changed.unwrap_or(declared).saturating_add(self.lent)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    Absent,
    Waits(Tick),
    Competes { runs: Runs },
}

/// Whether a client's turn is under way, and whether news of it came meanwhile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Runs {
    No,
    Yes,
    AndWoken,
}

/// The clients, as far as the steps have been told.
#[derive(Default)]
struct Clients {
    standings: Vec<Standing>,
    /// Tickets of their own.
    own: Vec<Own>,
    funds: Funds,
}

/// A client's own tickets.
#[derive(Clone, Copy, Default)]
struct Own {
    /// With which it joined.
    joined: u32,
    /// That it gave itself last.
    changed: Option<u32>,
}

/// Tells every event of a scheduler's steps, with its time, in order. Of a client whose tickets change while it competes, its own or those
/// that are lent to it, that it ends and begins again.
pub fn walk(steps: &[Step], mut tell: impl FnMut(Tick, Event)) {
    let mut clients = Clients::default();
    for step in steps {
        let now = step.now();
        match *step {
            Step::Join { client, demand, .. } => clients.join(client, demand, now),
            Step::Leave { client, .. } => clients.leave(client, now, &mut tell),
            Step::Woken { client, .. } => clients.woken(client, now),
            Step::Idle { .. } => clients.begin_due(now, &mut tell),
            Step::Decided { decision, .. } => {
                clients.begin_due(now, &mut tell);
                if let Some(standing) = clients.standings.get_mut(usize::from(decision.client.0)) {
                    *standing = Standing::Competes { runs: Runs::Yes };
                    tell(now, Event::Picked(decision.client, decision.until.since(now)));
                }
            }
            Step::Charged { client, ran, end, .. } => clients.charged((client, ran, end), now, &mut tell),
            Step::Lent { loan, .. } => clients.lend(loan, now, &mut tell),
            Step::Tickets { client, tickets, .. } => clients.inflate((client, tickets), now, &mut tell),
        }
    }
}

impl Clients {
    fn join(&mut self, client: ClientId, demand: Demand, now: Tick) {
        let index = usize::from(client.0);
        let len = self.standings.len().max(index + 1);
        self.standings.resize(len, Standing::Absent);
        self.own.resize(len, Own::default());
        let (ready_at, tickets) = match demand {
            Demand::Share { tickets } => (now, tickets),
            Demand::Periodic { first_release, .. } => (first_release, 0),
        };
        let own = Own { joined: tickets, changed: None };
        (self.standings[index], self.own[index]) = (Standing::Waits(ready_at), own);
        self.funds.insert(client, tickets);
    }

    fn begins(&self, client: ClientId) -> Event {
        let Own { joined, changed } = self.own.get(usize::from(client.0)).copied().unwrap_or_default();
        let lent = self.funds.lent_to(client, changed.unwrap_or(joined));
        Event::Begins(client, Tickets { changed, lent })
    }

    /// A client, if there is one, has other funds.
    fn refit(&self, changed: Option<ClientId>, now: Tick, tell: &mut impl FnMut(Tick, Event)) {
        let competes = |client: &ClientId| {
            matches!(self.standings.get(usize::from(client.0)), Some(Standing::Competes { .. }))
        };
        if let Some(client) = changed.filter(competes) {
            tell(now, Event::Ends(client));
            tell(now, self.begins(client));
        }
    }

    fn lend(&mut self, Loan { from, to }: Loan, now: Tick, tell: &mut impl FnMut(Tick, Event)) {
        // One that was woken meanwhile does not wait.
        let waits =
            matches!(self.standings.get(usize::from(from.0)), Some(Standing::Waits(until)) if *until > now);
        if waits {
            let changed = self.funds.lend(from, to);
            self.refit(changed, now, tell);
        }
    }

    fn inflate(&mut self, (client, tickets): (ClientId, u32), now: Tick, tell: &mut impl FnMut(Tick, Event)) {
        if let Some(own) = self.own.get_mut(usize::from(client.0)) {
            own.changed = Some(tickets);
            let changed = self.funds.set(client, tickets);
            self.refit(changed, now, tell);
        }
    }

    fn woken(&mut self, client: ClientId, now: Tick) {
        match self.standings.get_mut(usize::from(client.0)) {
            Some(Standing::Waits(until)) => *until = (*until).min(now),
            Some(Standing::Competes { runs: runs @ Runs::Yes }) => *runs = Runs::AndWoken,
            _ => {}
        }
    }

    fn charged(
        &mut self,
        (client, ran, end): (ClientId, Tick, TurnEnd),
        now: Tick,
        tell: &mut impl FnMut(Tick, Event),
    ) {
        let Some(standing @ Standing::Competes { .. }) = self.standings.get_mut(usize::from(client.0)) else {
            return;
        };
        tell(now, Event::Charged(client, ran));
        let woken = *standing == Standing::Competes { runs: Runs::AndWoken };
        match end {
            TurnEnd::Waiting(until) => {
                *standing = Standing::Waits(if woken { now } else { until });
                tell(now, Event::Ends(client));
            }
            TurnEnd::Gone => self.leave(client, now, tell),
            TurnEnd::Ready | TurnEnd::Yielded => *standing = Standing::Competes { runs: Runs::No },
        }
    }

    fn begin_due(&mut self, now: Tick, tell: &mut impl FnMut(Tick, Event)) {
        for index in 0..self.standings.len() {
            if matches!(self.standings[index], Standing::Waits(until) if until <= now) {
                let client = ClientId(index as u16);
                let changed = self.funds.end(client);
                self.refit(changed, now, tell);
                self.standings[index] = Standing::Competes { runs: Runs::No };
                tell(now, self.begins(client));
            }
        }
    }

    fn leave(&mut self, client: ClientId, now: Tick, tell: &mut impl FnMut(Tick, Event)) {
        let Some(standing) = self.standings.get_mut(usize::from(client.0)) else { return };
        if matches!(standing, Standing::Competes { .. }) {
            tell(now, Event::Ends(client));
        }
        *standing = Standing::Absent;
        let changed = self.funds.remove(client);
        self.refit(changed, now, tell);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use libos_core::sched::Decision;

    fn told(steps: &[Step]) -> Vec<(u64, Event)> {
        let mut all = Vec::new();
        walk(steps, |now, event| all.push((now.0, event)));
        all
    }

    const A: ClientId = ClientId(0);
    const B: ClientId = ClientId(1);

    fn join(client: ClientId) -> Step {
        Step::Join { client, demand: Demand::Share { tickets: 1 }, now: Tick(0) }
    }

    fn decided(client: ClientId, now: u64) -> Step {
        Step::Decided { now: Tick(now), decision: Decision { client, until: Tick(now + 10) } }
    }

    fn charged(client: ClientId, ran: u64, end: TurnEnd, now: u64) -> Step {
        Step::Charged { client, ran: Tick(ran), end, now: Tick(now) }
    }

    #[test]
    fn a_client_that_waits_competes_again_at_the_first_decision_after_its_time() {
        let steps = [
            join(A),
            join(B),
            decided(A, 1),
            charged(A, 4, TurnEnd::Waiting(Tick(15)), 6),
            decided(B, 7),
            charged(B, 9, TurnEnd::Ready, 17),
            decided(A, 18),
        ];
        assert_eq!(
            told(&steps),
            [
                (1, Event::Begins(A, Tickets::default())),
                (1, Event::Begins(B, Tickets::default())),
                (1, Event::Picked(A, Tick(10))),
                (6, Event::Charged(A, Tick(4))),
                (6, Event::Ends(A)),
                (7, Event::Picked(B, Tick(10))),
                (17, Event::Charged(B, Tick(9))),
                (18, Event::Begins(A, Tickets::default())),
                (18, Event::Picked(A, Tick(10))),
            ]
        );
    }

    #[test]
    fn news_of_a_client_that_runs_ends_the_wait_that_follows() {
        let woken = Step::Woken { client: A, now: Tick(3) };
        let steps = [
            join(A),
            decided(A, 1),
            woken,
            charged(A, 4, TurnEnd::Waiting(Tick::NEVER), 6),
            decided(A, 7),
            charged(A, 1, TurnEnd::Gone, 9),
        ];
        let last: Vec<_> = told(&steps).into_iter().skip(4).collect();
        assert_eq!(
            last,
            [
                (7, Event::Begins(A, Tickets::default())),
                (7, Event::Picked(A, Tick(10))),
                (9, Event::Charged(A, Tick(1))),
                (9, Event::Ends(A)),
            ]
        );
    }

    #[test]
    fn a_client_competes_with_its_own_tickets_as_it_changed_them_and_with_those_that_others_lend_it() {
        let tickets = |client, tickets, now| Step::Tickets { client, tickets, now: Tick(now) };
        let steps = [
            join(A),
            join(B),
            decided(A, 1),
            charged(A, 4, TurnEnd::Waiting(Tick(30)), 5),
            Step::Lent { loan: Loan { from: A, to: B }, now: Tick(5) },
            tickets(B, 7, 6),
            tickets(A, 3, 7),
            decided(B, 31),
        ];
        let begins = |client, changed, lent| Event::Begins(client, Tickets { changed, lent });
        let told: Vec<_> =
            told(&steps).into_iter().filter(|(_, event)| matches!(event, Event::Begins(..))).collect();
        let expected = [
            (1, begins(A, None, 0)),
            (1, begins(B, None, 0)),
            (5, begins(B, None, 1)),
            (6, begins(B, Some(7), 1)),
            (7, begins(B, Some(7), 3)),
            (31, begins(B, Some(7), 0)),
            (31, begins(A, Some(3), 0)),
        ];
        assert_eq!(told, expected);
        assert_eq!(
            Tickets { changed: Some(7), lent: 3 }.of(1) + Tickets { changed: None, lent: 3 }.of(1),
            14
        );
    }
}
