//! Stride scheduling (Waldspurger & Weihl, MIT/LCS/TM-528, 1995): the client with the least *pass* runs, and its pass
//! advances by its *stride*, inversely proportional to its tickets, for each quantum that it used.
//!
//! A client that waits for another lends it its tickets (*transfers*), and one may change those of its own (*inflation*): then the pass of
//! who has more or fewer tickets is brought as far from the global pass, in strides, as it was, which is TM-528's rule for changes.
//!
//! For one core. Several cores may share it, but the error bound is then not claimed. Not here: the hierarchical form.
//!
//! Invariant, on one core: pass_i − stride_i ≤ pass_j for all i and j that compete. This bounds the pairwise error by
//! one quantum, and `Stride::admit` keeps it when clients come and go.
#![forbid(unsafe_code)]

use core::cmp::Reverse;
use libos_core::sched::funds::Funds;
use libos_core::sched::queue::Queue;
use libos_core::sched::roster::{After, Roster};
use libos_core::sched::{ClientId, Decision, Demand, Policy, Refusal, Tick, TurnEnd};

/// The stride of a client with one ticket. So large that a pass tells apart any two amounts of CPU time; what still
/// does not divide is kept as a remainder.
const STRIDE1: u64 = 1 << 48;

/// The policy.
#[derive(Clone, Debug)]
pub struct Stride {
    quantum: Tick,
    /// By pass.
    clients: Roster<i128, Client>,
    /// Tickets and transfers.
    funds: Funds,
    /// The floors of all that compete, the highest first: see [`Client::floor`].
    floors: Queue<Reverse<i128>>,
    /// Of all clients that compete.
    tickets: u64,
    /// The pass of an imaginary client that has all tickets: it goes with everything that is charged.
    global: Pass,
    /// Whether anybody has changed its tickets: see [`Stride::keep_the_mean`].
    inflated: bool,
}

#[derive(Clone, Copy, Debug)]
struct Client {
    /// Its own, and what was lent to it when it last began to compete or its funds changed while it did.
    tickets: u64,
    pass: Pass,
    /// How far its pass was ahead of the global one when it last stopped competing. That is what it comes back with, so
    /// that sleeping neither earns nor costs anything.
    remain: i128,
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
        // A quantum of a millisecond fits 64 bits, which a core divides by one instruction.
        let (wholes, part) = match (u64::try_from(sum), u64::try_from(whole)) {
            (Ok(sum), Ok(whole)) => (u128::from(sum / whole), u128::from(sum % whole)),
            _ => (sum / whole, sum % whole),
        };
        self.whole += wholes as i128;
        self.part = part;
    }
}

impl Client {
    fn stride(&self) -> i128 {
        i128::from(STRIDE1 / self.tickets)
    }

    /// It has so many tickets (not 0) from now on: as many strides from the global pass as it was, not as much time.
    fn fit(&mut self, tickets: u64) {
        if tickets != self.tickets {
            self.remain = self.remain * i128::from(self.tickets) / i128::from(tickets);
            self.tickets = tickets;
        }
    }

    /// The least pass that nobody's may be below while this client competes: pass − stride.
    fn floor(&self) -> i128 {
        self.pass.whole - self.stride()
    }
}

impl Stride {
    /// A policy without clients. A client runs for at most `quantum` (not 0) at a time.
    pub fn new(quantum: Tick) -> Self {
        let quantum = Tick(quantum.0.max(1));
        let (clients, floors) = (Roster::new(), Queue::new());
        let funds = Funds::new();
        Self { quantum, clients, funds, floors, tickets: 0, global: Pass::default(), inflated: false }
    }

    /// Tickets that a client competes with: its own, and those that are lent to it.
    pub fn tickets(&self, client: ClientId) -> u64 {
        self.funds.of(client)
    }

    /// A client's wait is over: it competes, with all of its tickets.
    fn admit(&mut self, id: ClientId) {
        if let Some(changed) = self.funds.end(id) {
            self.refit(changed);
        }
        if let Some(pass) = self.compete(id) {
            self.clients.admit(id, pass);
        }
    }

    /// A client has other funds. One that waits competes with them when its wait is over.
    fn refit(&mut self, id: ClientId) {
        if !self.clients.competes(id) {
            return;
        }
        let runs = self.clients.runs(id);
        let Some(client) = self.clients.get(id).copied() else { return };
        self.dismiss(client, id);
        if let Some(pass) = self.compete(id).filter(|_| !runs) {
            self.clients.admit(id, pass);
        }
    }

    /// Lets a client compete that did not, where it was in relation to the global pass.
    ///
    /// TM-528 leaves it at that. But a client that leaves for good takes its lead or lag with it, the others then drift
    /// from the global pass, and a newcomer placed by that pass alone could wait for many quanta. So its pass is also
    /// brought into the window that the invariant leaves.
    fn compete(&mut self, id: ClientId) -> Option<i128> {
        let (low, high) = (self.floors.first().map(|(Reverse(floor), _)| floor), self.clients.least_key());
        let tickets = self.funds.of(id);
        let client = self.clients.get_mut(id)?;
        client.fit(tickets);
        let wanted = self.global.whole + client.remain;
        client.pass.whole = wanted;
        if let (Some(low), Some(high)) = (low, high) {
            client.pass.whole = wanted.max(low).min(high + client.stride());
        }
        let client = *client;
        self.floors.put(id, Reverse(client.floor()));
        self.tickets += client.tickets;
        if self.inflated && client.pass.whole != wanted {
            self.keep_the_mean(client.pass.whole - wanted, client.tickets);
        }
        Some(client.pass.whole)
    }

    /// A client with so many tickets was brought into the window by so much: the global pass goes with it by its part of all tickets,
    /// so that it stays the mean of all passes, weighted by tickets. Otherwise what a client that then has a hundredth of its tickets
    /// seems ahead of that pass, which is little time, would become a hundred times as much pass, and it would pay for it.
    fn keep_the_mean(&mut self, moved: i128, tickets: u64) {
        self.global.whole += moved * i128::from(tickets) / i128::from(self.tickets.max(1));
    }

    /// A client that competed until now does no longer.
    fn dismiss(&mut self, client: Client, id: ClientId) {
        self.floors.remove(id);
        self.tickets -= client.tickets;
        if let Some(client) = self.clients.get_mut(id) {
            client.remain = client.pass.whole - self.global.whole;
        }
    }

    /// A client that competes used CPU time.
    fn advance(&mut self, id: ClientId, ran: Tick) -> Option<Client> {
        let client = self.clients.get_mut(id)?;
        client.pass.advance(ran, client.tickets, self.quantum);
        let client = *client;
        self.floors.put(id, Reverse(client.floor()));
        self.global.advance(ran, self.tickets, self.quantum);
        Some(client)
    }
}

impl Policy for Stride {
    fn join(&mut self, id: ClientId, demand: Demand, now: Tick) -> Result<(), Refusal> {
        let Demand::Share { tickets } = demand else { return Err(Refusal::WrongDemand) };
        if tickets == 0 {
            return Err(Refusal::BadDemand);
        }
        if self.clients.contains(id) {
            return Err(Refusal::AlreadyHere);
        }
        // It comes as if it had waited since it used one quantum: the initial pass is one stride.
        let (mut first, own) = (Pass::default(), u64::from(tickets));
        first.advance(self.quantum, own, self.quantum);
        self.clients.insert(id, Client { tickets: own, pass: first, remain: first.whole }, now);
        self.funds.insert(id, tickets);
        self.admit(id);
        Ok(())
    }

    fn leave(&mut self, id: ClientId, _now: Tick) {
        let competed = self.clients.competes(id);
        if let Some(client) = self.clients.remove(id).filter(|_| competed) {
            self.dismiss(client, id);
        }
        if let Some(changed) = self.funds.remove(id) {
            self.refit(changed);
        }
    }

    fn pick(&mut self, now: Tick) -> Option<Decision> {
        while let Some(id) = self.clients.due(now) {
            self.admit(id);
        }
        let client = self.clients.first()?;
        self.clients.begin_turn(client);
        Some(Decision { client, until: now.saturating_add(self.quantum) })
    }

    fn charge(&mut self, id: ClientId, ran: Tick, end: TurnEnd, _now: Tick) {
        if !self.clients.runs(id) {
            return;
        }
        let Some(client) = self.advance(id, ran) else { return };
        match self.clients.end_turn(id, end) {
            Some(After::Ready(_) | After::Yielded) => self.clients.admit(id, client.pass.whole),
            Some(After::Waiting) => self.dismiss(client, id),
            Some(After::Gone) => {
                self.dismiss(client, id);
                if let Some(changed) = self.funds.remove(id) {
                    self.refit(changed);
                }
            }
            None => {}
        }
    }

    fn wake(&mut self, id: ClientId, _now: Tick) {
        if self.clients.wake(id) {
            self.admit(id);
        }
    }

    fn set_tickets(&mut self, id: ClientId, tickets: u32, _now: Tick) {
        self.inflated = true;
        if tickets > 0
            && let Some(changed) = self.funds.set(id, tickets)
        {
            self.refit(changed);
        }
    }

    fn lend(&mut self, from: ClientId, to: ClientId, _now: Tick) {
        if !self.clients.competes(from)
            && let Some(changed) = self.funds.lend(from, to)
        {
            self.refit(changed);
        }
    }

    fn next_event(&self) -> Tick {
        self.clients.next_event()
    }

    fn contends(&self, id: ClientId) -> bool {
        self.clients.competes(id)
    }
}
