//! Lottery scheduling (Waldspurger & Weihl, OSDI 1994): each quantum goes to the holder of a ticket drawn at random.
//!
//! A client that used only a fraction f of its quantum holds 1/f times its tickets until it wins again (*compensation*
//! tickets, §3.4), so that clients that wait early still get their share. Chance is a seed that is passed in.
//! Not here: currencies and transfers.
#![forbid(unsafe_code)]

use alloc::collections::BTreeMap;
use libos_core::sched::{ClientId, Decision, Demand, Policy, Refusal, Tick, TurnEnd};

/// Stakes are counted in this fraction of a ticket, so that compensation is not rounded to whole tickets.
pub const STAKES_PER_TICKET: u64 = 1 << 16;

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
    fn below(&mut self, limit: u64) -> u64 {
        let number = u128::from(self.next_number() - 1);
        (number * u128::from(limit) / u128::from(Self::MODULUS - 1)) as u64
    }
}

/// The policy.
#[derive(Clone, Debug)]
pub struct Lottery {
    quantum: Tick,
    chance: ParkMiller,
    clients: BTreeMap<ClientId, Client>,
    /// Stakes in the last draw.
    pot: u64,
}

#[derive(Clone, Copy, Debug)]
struct Client {
    tickets: u32,
    /// What it takes part with, compensation included. Tickets have 32 bits, a ticket's stakes 16, compensation less
    /// than 7 and the clients of a scheduler 8: their sum fits.
    stake: u64,
    standing: Standing,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    Ready,
    Running { woken: bool },
    Waiting(Tick),
}

/// The seed with which a core draws numbers of its own in a run with this one. Park–Miller wants a seed from 1 to 2³¹ − 2.
pub fn seed_of_core(seed: u64, core: u64) -> u32 {
    ((seed.wrapping_mul(0x9e37_79b9).wrapping_add(core.wrapping_mul(0x85eb_ca6b))) % 0x7fff_fffe) as u32 + 1
}

impl Lottery {
    /// A policy without clients. A client runs for at most `quantum` (not 0) at a time.
    pub fn new(quantum: Tick, seed: u32) -> Self {
        let chance = ParkMiller::new(seed);
        Self { quantum: Tick(quantum.0.max(1)), chance, clients: BTreeMap::new(), pot: 0 }
    }

    /// What a client takes part with, or took part with in the draw that it last won.
    pub fn stake(&self, client: ClientId) -> Option<u64> {
        self.clients.get(&client).map(|client| client.stake)
    }

    /// All stakes of the last draw.
    pub fn pot(&self) -> u64 {
        self.pot
    }

    /// The ready client that holds a stake, counted through the clients in their order.
    fn holder(&self, winning: u64) -> Option<ClientId> {
        let mut sum = 0;
        let mut ready = self.clients.iter().filter(|(_, client)| client.standing == Standing::Ready);
        let winner = ready.find(|(_, client)| {
            sum += client.stake;
            winning < sum
        });
        winner.map(|(id, _)| *id)
    }
}

/// Tickets inflated by 1/f, where f is the fraction of the quantum that was used.
fn compensated(tickets: u32, ran: Tick, quantum: Tick) -> u64 {
    let plain = u64::from(tickets) * STAKES_PER_TICKET;
    let used = ran.0.clamp(quantum.0.div_ceil(MAX_COMPENSATION), quantum.0);
    (u128::from(plain) * u128::from(quantum.0) / u128::from(used)) as u64
}

impl Policy for Lottery {
    fn join(&mut self, id: ClientId, demand: Demand, _now: Tick) -> Result<(), Refusal> {
        let Demand::Share { tickets } = demand else { return Err(Refusal::WrongDemand) };
        if tickets == 0 {
            return Err(Refusal::BadDemand);
        }
        if self.clients.contains_key(&id) {
            return Err(Refusal::AlreadyHere);
        }
        let stake = u64::from(tickets) * STAKES_PER_TICKET;
        self.clients.insert(id, Client { tickets, stake, standing: Standing::Ready });
        Ok(())
    }

    fn leave(&mut self, id: ClientId, _now: Tick) {
        self.clients.remove(&id);
    }

    fn pick(&mut self, now: Tick) -> Option<Decision> {
        for client in self.clients.values_mut() {
            if matches!(client.standing, Standing::Waiting(until) if until <= now) {
                client.standing = Standing::Ready;
            }
        }
        let ready = self.clients.values().filter(|client| client.standing == Standing::Ready);
        let pot = ready.map(|client| client.stake).sum();
        if pot == 0 {
            return None;
        }
        self.pot = pot;
        let winning = self.chance.below(pot);
        let winner = self.holder(winning)?;
        self.clients.get_mut(&winner)?.standing = Standing::Running { woken: false };
        Some(Decision { client: winner, until: now.saturating_add(self.quantum) })
    }

    fn charge(&mut self, id: ClientId, ran: Tick, end: TurnEnd, _now: Tick) {
        let Some(client) = self.clients.get_mut(&id) else { return };
        let Standing::Running { woken } = client.standing else { return };
        client.stake = compensated(client.tickets, ran, self.quantum);
        client.standing = match end {
            TurnEnd::Waiting(until) if !woken => Standing::Waiting(until),
            TurnEnd::Ready | TurnEnd::Waiting(_) => Standing::Ready,
            TurnEnd::Gone => {
                self.clients.remove(&id);
                return;
            }
        };
    }

    fn wake(&mut self, id: ClientId, _now: Tick) {
        match self.clients.get_mut(&id).map(|client| &mut client.standing) {
            Some(Standing::Running { woken }) => *woken = true,
            Some(standing @ Standing::Waiting(_)) => *standing = Standing::Ready,
            Some(Standing::Ready) | None => {}
        }
    }

    fn next_event(&self) -> Tick {
        let waits = self.clients.values().filter_map(|client| match client.standing {
            Standing::Waiting(until) => Some(until),
            _ => None,
        });
        waits.min().unwrap_or(Tick::NEVER)
    }

    fn contends(&self, id: ClientId) -> bool {
        self.clients.get(&id).is_some_and(|client| !matches!(client.standing, Standing::Waiting(_)))
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
        let holder = |ticket| lottery.holder(ticket * STAKES_PER_TICKET);
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
