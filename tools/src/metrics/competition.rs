//! Who competes for the CPU when, out of what a policy was told and decided: the same rules as those by which the guest's
//! own observer measures shares.
//!
//! A client competes from the first decision at or after the time at which it is ready until a turn of it ends in waiting,
//! or it leaves. A client that became ready while its turn was under way competes again at the next decision.

use libos_core::sched::steps::Step;
use libos_core::sched::{ClientId, Demand, Tick, TurnEnd};
use std::collections::BTreeMap;

/// What happens to a client, in the policy's numbering.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// It competes from now on, with so many tickets if it has changed them. It does so anew if it changes them meanwhile.
    Begins(ClientId, Option<u32>),
    /// It was picked, among all that compete, for a turn of this length at most.
    Picked(ClientId, Tick),
    /// It was charged, while it competed.
    Charged(ClientId, Tick),
    /// It competes no longer.
    Ends(ClientId),
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

/// The tickets that clients gave themselves last.
#[derive(Default)]
struct Changed(BTreeMap<ClientId, u32>);

/// Tells every event of a scheduler's steps, with its time, in order.
pub fn walk(steps: &[Step], mut tell: impl FnMut(Tick, Event)) {
    let mut clients: Vec<Standing> = Vec::new();
    let mut changed = Changed::default();
    for step in steps {
        let now = step.now();
        match *step {
            Step::Join { client, demand, .. } => {
                let index = usize::from(client.0);
                clients.resize(clients.len().max(index + 1), Standing::Absent);
                clients[index] = Standing::Waits(match demand {
                    Demand::Share { .. } => now,
                    Demand::Periodic { first_release, .. } => first_release,
                });
            }
            Step::Leave { client, .. } => leave(&mut clients, client, now, &mut tell),
            Step::Woken { client, .. } => woken(&mut clients, client, now),
            Step::Tickets { client, tickets, .. } => {
                changed.0.insert(client, tickets);
                if matches!(clients.get(usize::from(client.0)), Some(Standing::Competes { .. })) {
                    tell(now, Event::Ends(client));
                    tell(now, Event::Begins(client, Some(tickets)));
                }
            }
            Step::Idle { .. } => begin_due((&mut clients, &changed), now, &mut tell),
            Step::Decided { decision, .. } => {
                begin_due((&mut clients, &changed), now, &mut tell);
                if let Some(standing) = clients.get_mut(usize::from(decision.client.0)) {
                    *standing = Standing::Competes { runs: Runs::Yes };
                    tell(now, Event::Picked(decision.client, decision.until.since(now)));
                }
            }
            Step::Charged { client, ran, end, .. } => {
                charged(&mut clients, (client, ran, end), now, &mut tell)
            }
        }
    }
}

fn woken(clients: &mut [Standing], client: ClientId, now: Tick) {
    match clients.get_mut(usize::from(client.0)) {
        Some(Standing::Waits(until)) => *until = (*until).min(now),
        Some(Standing::Competes { runs: runs @ Runs::Yes }) => *runs = Runs::AndWoken,
        _ => {}
    }
}

fn charged(
    clients: &mut [Standing],
    (client, ran, end): (ClientId, Tick, TurnEnd),
    now: Tick,
    tell: &mut impl FnMut(Tick, Event),
) {
    let Some(standing @ Standing::Competes { .. }) = clients.get_mut(usize::from(client.0)) else { return };
    tell(now, Event::Charged(client, ran));
    let woken = *standing == Standing::Competes { runs: Runs::AndWoken };
    match end {
        TurnEnd::Waiting(until) => {
            *standing = Standing::Waits(if woken { now } else { until });
            tell(now, Event::Ends(client));
        }
        TurnEnd::Gone => leave(clients, client, now, tell),
        TurnEnd::Ready | TurnEnd::Yielded => *standing = Standing::Competes { runs: Runs::No },
    }
}

fn begin_due((clients, changed): (&mut [Standing], &Changed), now: Tick, tell: &mut impl FnMut(Tick, Event)) {
    for (index, standing) in clients.iter_mut().enumerate() {
        if matches!(standing, Standing::Waits(until) if *until <= now) {
            *standing = Standing::Competes { runs: Runs::No };
            let client = ClientId(index as u16);
            tell(now, Event::Begins(client, changed.0.get(&client).copied()));
        }
    }
}

fn leave(clients: &mut [Standing], client: ClientId, now: Tick, tell: &mut impl FnMut(Tick, Event)) {
    let Some(standing) = clients.get_mut(usize::from(client.0)) else { return };
    if matches!(standing, Standing::Competes { .. }) {
        tell(now, Event::Ends(client));
    }
    *standing = Standing::Absent;
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
                (1, Event::Begins(A, None)),
                (1, Event::Begins(B, None)),
                (1, Event::Picked(A, Tick(10))),
                (6, Event::Charged(A, Tick(4))),
                (6, Event::Ends(A)),
                (7, Event::Picked(B, Tick(10))),
                (17, Event::Charged(B, Tick(9))),
                (18, Event::Begins(A, None)),
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
                (7, Event::Begins(A, None)),
                (7, Event::Picked(A, Tick(10))),
                (9, Event::Charged(A, Tick(1))),
                (9, Event::Ends(A)),
            ]
        );
    }
}
