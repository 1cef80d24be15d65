//! Stride scheduling (Waldspurger & Weihl, MIT/LCS/TM-528, 1995): the client with the least *pass* runs, and its pass
//! advances by its *stride*, inversely proportional to its tickets, for each quantum that it used.
//!
//! For one core. Several cores may share it, but the error bound is then not claimed. Not here: changing a client's
//! tickets (leave and join again), transfers, the hierarchical form.
//!
//! Invariant, on one core: pass_i − stride_i ≤ pass_j for all i and j that compete. This bounds the pairwise error by
//! one quantum, and `Stride::admit` keeps it when clients come and go.
#![forbid(unsafe_code)]

use alloc::collections::BTreeMap;
use libos_core::sched::{ClientId, Decision, Demand, Policy, Refusal, Tick, TurnEnd};

/// The stride of a client with one ticket. So large that a pass tells apart any two amounts of CPU time; what still
/// does not divide is kept as a remainder.
const STRIDE1: u64 = 1 << 48;

/// The policy.
#[derive(Clone, Debug)]
pub struct Stride {
    quantum: Tick,
    clients: BTreeMap<ClientId, Client>,
    /// Of all clients that compete.
    tickets: u64,
    /// The pass of an imaginary client that has all tickets: it goes with everything that is charged.
    global: Pass,
}

#[derive(Clone, Debug)]
struct Client {
    tickets: u32,
    pass: Pass,
    standing: Standing,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    Ready,
    Running {
        woken: bool,
    },
    /// `remain`: how far its pass was ahead of the global one when it stopped competing. That is what it comes back
    /// with, so that sleeping neither earns nor costs anything.
    Waiting {
        until: Tick,
        remain: i128,
    },
}

/// Virtual time: `whole`, and `part / (tickets · quantum)` that is carried until it makes a whole.
#[derive(Clone, Copy, Debug, Default)]
struct Pass {
    whole: i128,
    part: u128,
}

impl Pass {
    /// Goes on by `STRIDE1 · ran / (tickets · quantum)`, exactly as long as the tickets stay.
    fn advance(&mut self, ran: Tick, tickets: u64, quantum: Tick) {
        let whole = u128::from(tickets) * u128::from(quantum.0);
        let sum = self.part + u128::from(STRIDE1) * u128::from(ran.0);
        self.whole += (sum / whole) as i128;
        self.part = sum % whole;
    }
}

impl Client {
    fn competes(&self) -> bool {
        !matches!(self.standing, Standing::Waiting { .. })
    }

    /// The least pass that nobody's may be below while this client competes: pass − stride.
    fn floor(&self) -> i128 {
        self.pass.whole - i128::from(STRIDE1 / u64::from(self.tickets))
    }
}

impl Stride {
    /// A policy without clients. A client runs for at most `quantum` (not 0) at a time.
    pub fn new(quantum: Tick) -> Self {
        let quantum = Tick(quantum.0.max(1));
        Self { quantum, clients: BTreeMap::new(), tickets: 0, global: Pass::default() }
    }

    /// Lets a waiting client compete again, where it was in relation to the global pass.
    ///
    /// TM-528 leaves it at that. But a client that leaves for good takes its lead or lag with it, the others then drift
    /// from the global pass, and a newcomer placed by that pass alone could wait for many quanta. So its pass is also
    /// brought into the window that the invariant leaves.
    fn admit(&mut self, id: ClientId) {
        let competing = || self.clients.values().filter(|client| client.competes());
        let low = competing().map(Client::floor).max();
        let high = competing().map(|client| client.pass.whole).min();
        let Some(client) = self.clients.get_mut(&id) else { return };
        let Standing::Waiting { remain, .. } = client.standing else { return };
        client.pass.whole = self.global.whole + remain;
        if let (Some(low), Some(high)) = (low, high) {
            let stride = i128::from(STRIDE1 / u64::from(client.tickets));
            client.pass.whole = client.pass.whole.max(low).min(high + stride);
        }
        client.standing = Standing::Ready;
        self.tickets += u64::from(client.tickets);
    }

    /// A client that competes no longer does.
    fn dismiss(&mut self, id: ClientId, until: Tick) {
        let Some(client) = self.clients.get_mut(&id).filter(|client| client.competes()) else { return };
        client.standing = Standing::Waiting { until, remain: client.pass.whole - self.global.whole };
        self.tickets -= u64::from(client.tickets);
    }

    /// A waiting client whose time has come.
    fn due(&self, now: Tick) -> Option<ClientId> {
        let is_due =
            |client: &Client| matches!(client.standing, Standing::Waiting { until, .. } if until <= now);
        self.clients.iter().find(|(_, client)| is_due(client)).map(|(id, _)| *id)
    }
}

impl Policy for Stride {
    fn join(&mut self, id: ClientId, demand: Demand, now: Tick) -> Result<(), Refusal> {
        let Demand::Share { tickets } = demand else { return Err(Refusal::WrongDemand) };
        if tickets == 0 {
            return Err(Refusal::BadDemand);
        }
        if self.clients.contains_key(&id) {
            return Err(Refusal::AlreadyHere);
        }
        // It comes as if it had waited since it used one quantum: the initial pass is one stride.
        let mut first = Pass::default();
        first.advance(self.quantum, u64::from(tickets), self.quantum);
        let standing = Standing::Waiting { until: now, remain: first.whole };
        self.clients.insert(id, Client { tickets, pass: first, standing });
        self.admit(id);
        Ok(())
    }

    fn leave(&mut self, id: ClientId, _now: Tick) {
        self.dismiss(id, Tick::NEVER);
        self.clients.remove(&id);
    }

    fn pick(&mut self, now: Tick) -> Option<Decision> {
        while let Some(id) = self.due(now) {
            self.admit(id);
        }
        let ready = self.clients.iter_mut().filter(|(_, client)| client.standing == Standing::Ready);
        let (id, client) = ready.min_by_key(|(id, client)| (client.pass.whole, **id))?;
        client.standing = Standing::Running { woken: false };
        Some(Decision { client: *id, until: now.saturating_add(self.quantum) })
    }

    fn charge(&mut self, id: ClientId, ran: Tick, end: TurnEnd, now: Tick) {
        let Some(client) = self.clients.get_mut(&id) else { return };
        let Standing::Running { woken } = client.standing else { return };
        client.pass.advance(ran, u64::from(client.tickets), self.quantum);
        self.global.advance(ran, self.tickets, self.quantum);
        client.standing = Standing::Ready;
        match end {
            TurnEnd::Waiting(until) if !woken => self.dismiss(id, until),
            TurnEnd::Gone => self.leave(id, now),
            TurnEnd::Ready | TurnEnd::Yielded | TurnEnd::Waiting(_) => {}
        }
    }

    fn wake(&mut self, id: ClientId, _now: Tick) {
        match self.clients.get_mut(&id).map(|client| &mut client.standing) {
            Some(Standing::Running { woken }) => *woken = true,
            Some(Standing::Waiting { .. }) => self.admit(id),
            Some(Standing::Ready) | None => {}
        }
    }

    fn next_event(&self) -> Tick {
        let waits = self.clients.values().filter_map(|client| match client.standing {
            Standing::Waiting { until, .. } => Some(until),
            _ => None,
        });
        waits.min().unwrap_or(Tick::NEVER)
    }

    fn contends(&self, id: ClientId) -> bool {
        self.clients.get(&id).is_some_and(Client::competes)
    }
}
