//! Lottery scheduling (Waldspurger & Weihl, OSDI 1994): each quantum goes to the holder of a ticket drawn at random.
//!
//! A client that used only a fraction f of its quantum holds 1/f times its tickets until it wins again (*compensation*
//! tickets, §3.4), so that clients that wait early still get their share. Clients may hold tickets of currencies
//! ([`crate::currency`]); without any, all tickets are of the base. Chance is a seed that is passed in.
//! A client that waits for another lends it its tickets (*transfers*, §3), and may change those of its own (*inflation*, §3.2).
//! Not here: loans where there are currencies; a ticket of one may be worth nothing to a client of another.
#![forbid(unsafe_code)]

use crate::currency::{Bank, Currencies};
use libos_core::sched::funds::Funds;
use libos_core::sched::roster::{After, Roster};
use libos_core::sched::{ClientId, Decision, Demand, Policy, Refusal, Tick, TurnEnd};

pub use crate::currency::STAKES_PER_TICKET;

/// Compensation multiplies tickets by at most this. Without a limit, a client that gives every turn back after no time
/// would win every lottery.
const MAX_COMPENSATION: u64 = 100;

/// Park and Miller's "minimal standard" generator: x' = 16807 x mod 2³¹ − 1 (CACM 31(10), 1988), as in the paper's appendix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParkMiller(u32);

impl ParkMiller {
    const MODULUS: u64 = (1 << 31) - 1;

    /// The generator after `seed`; 0 and the modulus, from which it would not move, are taken as 1.
    pub fn new(seed: u32) -> Self {
        let seed = u64::from(seed) % Self::MODULUS;
        Self(seed.max(1) as u32)
    }

    /// The next number, from 1 to 2³¹ − 2.
    pub fn next_number(&mut self) -> u32 {
        self.0 = (u64::from(self.0) * 16807 % Self::MODULUS) as u32;
        self.0
    }

    /// The next number, brought to the range from 0 to `limit`, exclusive.
    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        let number = u128::from(self.next_number() - 1);
        (number * u128::from(limit) / u128::from(Self::MODULUS - 1)) as u64
    }
}

/// The policy.
#[derive(Clone, Debug)]
pub struct Lottery {
    quantum: Tick,
    chance: ParkMiller,
    clients: Roster<(), Client>,
    /// Tickets and transfers.
    funds: Funds,
    /// What the ready clients take part with.
    bank: Bank,
    /// Stakes in the last draw.
    pot: u64,
}

#[derive(Clone, Copy, Debug)]
struct Client {
    /// Its own, and what was lent to it when its stake was last reckoned.
    tickets: u64,
    /// What it used of the quantum that it last won; at first all of it.
    used: Tick,
    /// What it takes part with, compensation included. Tickets have 20 bits in a scenario, a ticket's stakes 16,
    /// compensation less than 7 and clients 16: their sum fits, whoever lends to whom.
    stake: u64,
}

impl Lottery {
    /// A policy without clients. A client runs for at most `quantum` (not 0) at a time.
    pub fn new(quantum: Tick, seed: u32) -> Self {
        let chance = ParkMiller::new(seed);
        Self {
            quantum: Tick(quantum.0.max(1)),
            chance,
            clients: Roster::new(),
            funds: Funds::new(),
            bank: Bank::default(),
            pot: 0,
        }
    }

    /// The same policy, still without clients, whose clients hold tickets of these currencies.
    pub fn with_currencies(self, currencies: &Currencies) -> Self {
        Self { bank: Bank::new(currencies), ..self }
    }

    /// The seed of a core's draws, out of the run's: each core has numbers of its own.
    pub fn seed(run: u64, core: u64) -> u32 {
        // Park and Miller want one from 1 to 2³¹ − 2.
        ((run.wrapping_mul(0x9e37_79b9).wrapping_add(core.wrapping_mul(0x85eb_ca6b))) % 0x7fff_fffe) as u32
            + 1
    }

    /// What a client takes part with, in its currency, or took part with in the draw that it last won.
    pub fn stake(&self, client: ClientId) -> Option<u64> {
        self.clients.get(client).map(|client| client.stake)
    }

    /// All stakes of the last draw.
    pub fn pot(&self) -> u64 {
        self.pot
    }

    /// Tickets that a client takes part with: its own, and those that are lent to it.
    pub fn tickets(&self, client: ClientId) -> u64 {
        self.funds.of(client)
    }

    /// A client takes part from now on.
    fn admit(&mut self, id: ClientId) {
        self.clients.admit(id, ());
        if let Some(client) = self.clients.get(id) {
            self.bank.set(id, client.tickets * STAKES_PER_TICKET, client.stake);
        }
    }

    /// A client whose wait is over takes part from now on, with all of its tickets.
    fn readmit(&mut self, id: ClientId) {
        if let Some(changed) = self.funds.end(id) {
            self.refit(changed);
        }
        self.refit(id);
        self.admit(id);
    }

    /// A client may have other funds: it takes part with those, if it is ready; else from its next draw on.
    fn refit(&mut self, id: ClientId) {
        let tickets = self.funds.of(id);
        let Some(client) = self.clients.get_mut(id).filter(|client| client.tickets != tickets) else {
            return;
        };
        client.tickets = tickets;
        client.stake = compensated(tickets, client.used, self.quantum);
        let stake = client.stake;
        if self.clients.competes(id) && !self.clients.runs(id) {
            self.bank.set(id, tickets * STAKES_PER_TICKET, stake);
        }
    }
}

/// Tickets inflated by 1/f, where f is the fraction of the quantum that was used.
fn compensated(tickets: u64, ran: Tick, quantum: Tick) -> u64 {
    let plain = tickets * STAKES_PER_TICKET;
    let used = ran.0.clamp(quantum.0.div_ceil(MAX_COMPENSATION), quantum.0);
    (u128::from(plain) * u128::from(quantum.0) / u128::from(used)) as u64
}

impl Policy for Lottery {
    fn join(&mut self, id: ClientId, demand: Demand, now: Tick) -> Result<(), Refusal> {
        let Demand::Share { tickets } = demand else { return Err(Refusal::WrongDemand) };
        if tickets == 0 {
            return Err(Refusal::BadDemand);
        }
        if self.clients.contains(id) {
            return Err(Refusal::AlreadyHere);
        }
        let stake = u64::from(tickets) * STAKES_PER_TICKET;
        self.clients.insert(id, Client { tickets: tickets.into(), used: self.quantum, stake }, now);
        self.funds.insert(id, tickets);
        self.admit(id);
        Ok(())
    }

    fn leave(&mut self, id: ClientId, _now: Tick) {
        self.bank.set(id, 0, 0);
        self.clients.remove(id);
        if let Some(changed) = self.funds.remove(id) {
            self.refit(changed);
        }
    }

    fn pick(&mut self, now: Tick) -> Option<Decision> {
        while let Some(id) = self.clients.due(now) {
            self.readmit(id);
        }
        if self.bank.total() == 0 {
            return None;
        }
        self.pot = self.bank.total();
        let Self { bank, chance, .. } = self;
        let winner = bank.winner(|limit| chance.below(limit))?;
        self.bank.set(winner, 0, 0);
        self.clients.begin_turn(winner);
        Some(Decision { client: winner, until: now.saturating_add(self.quantum) })
    }

    fn charge(&mut self, id: ClientId, ran: Tick, end: TurnEnd, _now: Tick) {
        let Some(after) = self.clients.end_turn(id, end) else { return };
        if let Some(client) = self.clients.get_mut(id) {
            client.used = ran;
            client.stake = compensated(client.tickets, ran, self.quantum);
        }
        match after {
            After::Ready(()) | After::Yielded => self.admit(id),
            After::Waiting => {}
            After::Gone => {
                if let Some(changed) = self.funds.remove(id) {
                    self.refit(changed);
                }
            }
        }
    }

    fn wake(&mut self, id: ClientId, _now: Tick) {
        if self.clients.wake(id) {
            self.readmit(id);
        }
    }

    fn lend(&mut self, from: ClientId, to: ClientId, _now: Tick) {
        if !self.clients.competes(from)
            && !self.bank.has_currencies()
            && let Some(changed) = self.funds.lend(from, to)
        {
            self.refit(changed);
        }
    }

    fn set_tickets(&mut self, id: ClientId, tickets: u32, _now: Tick) {
        if tickets > 0
            && let Some(changed) = self.funds.set(id, tickets)
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

#[cfg(test)]
mod tests {
    use super::*;

    fn lottery(tickets: &[u32]) -> Lottery {
        let mut lottery = Lottery::new(Tick(100), 1);
        for (id, tickets) in tickets.iter().enumerate() {
            lottery.join(ClientId(id as u16), Demand::Share { tickets: *tickets }, Tick(0)).unwrap();
        }
        lottery
    }

    #[test]
    fn the_generators_ten_thousandth_number_from_seed_1_is_the_published_one() {
        let mut chance = ParkMiller::new(1);
        let last = (0..10_000).map(|_| chance.next_number()).last();
        assert_eq!(last, Some(1_043_618_065));
    }

    #[test]
    fn ticket_15_of_10_2_5_1_2_is_the_third_clients() {
        let lottery = lottery(&[10, 2, 5, 1, 2]);
        let holder = |ticket| lottery.bank.winner(|_| ticket * STAKES_PER_TICKET);
        assert_eq!(holder(15), Some(ClientId(2)));
        assert_eq!(
            [holder(9), holder(10), holder(19), holder(20)].map(|id| id.map(|id| id.0)),
            [Some(0), Some(1), Some(4), None]
        );
    }

    #[test]
    fn using_20_of_100_with_400_tickets_is_compensated_with_1600_until_the_next_win() {
        let mut lottery = lottery(&[400]);
        let turn = lottery.pick(Tick(0)).unwrap().client;
        lottery.charge(turn, Tick(20), TurnEnd::Waiting(Tick(50)), Tick(20));
        assert_eq!(lottery.stake(turn), Some((400 + 1600) * STAKES_PER_TICKET));
        assert_eq!(lottery.pick(Tick(50)).unwrap().client, turn);
        lottery.charge(turn, Tick(100), TurnEnd::Ready, Tick(150));
        assert_eq!(lottery.stake(turn), Some(400 * STAKES_PER_TICKET));
    }

    #[test]
    fn who_inflates_its_tickets_takes_part_with_them_at_once_and_keeps_its_compensation() {
        let mut lottery = lottery(&[400, 100]);
        lottery.set_tickets(ClientId(1), 300, Tick(0));
        assert_eq!(lottery.bank.total(), 700 * STAKES_PER_TICKET);
        while lottery.pick(Tick(0)).is_some_and(|decision| decision.client != ClientId(0)) {
            lottery.charge(ClientId(1), Tick(100), TurnEnd::Ready, Tick(0));
        }
        lottery.set_tickets(ClientId(0), 200, Tick(0));
        lottery.charge(ClientId(0), Tick(20), TurnEnd::Waiting(Tick(50)), Tick(20));
        lottery.set_tickets(ClientId(0), 100, Tick(30));
        assert_eq!(
            (lottery.stake(ClientId(0)), lottery.bank.total()),
            (Some(500 * STAKES_PER_TICKET), 300 * STAKES_PER_TICKET)
        );
    }

    #[test]
    fn who_waits_for_another_lends_it_its_tickets_until_it_is_ready_and_compensation_goes_with_them() {
        let mut lottery = lottery(&[5, 5, 5]);
        let winner = lottery.pick(Tick(0)).unwrap().client;
        lottery.charge(winner, Tick(50), TurnEnd::Waiting(Tick::NEVER), Tick(50));
        let other = ClientId((winner.0 + 1) % 3);
        lottery.lend(winner, other, Tick(50));
        let stakes = |lottery: &Lottery| [lottery.bank.total(), lottery.stake(other).unwrap()];
        assert_eq!(stakes(&lottery), [15, 10].map(|tickets| tickets * STAKES_PER_TICKET));
        lottery.wake(winner, Tick(60));
        // It used half, and has twice its tickets again until it wins.
        assert_eq!(stakes(&lottery), [20, 5].map(|tickets| tickets * STAKES_PER_TICKET));
    }

    #[test]
    fn compensation_is_limited_for_a_client_that_uses_nothing() {
        assert_eq!(compensated(1, Tick(0), Tick(1000)), MAX_COMPENSATION * STAKES_PER_TICKET);
    }

    #[test]
    fn every_ticket_can_be_drawn_and_none_beyond() {
        let mut chance = ParkMiller::new(7);
        let mut seen = [false; 20];
        (0..1000).for_each(|_| seen[chance.below(20) as usize] = true);
        assert_eq!(seen, [true; 20]);
    }
}
