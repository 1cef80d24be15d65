//! Clients' tickets, and transfers of them (Waldspurger & Weihl, OSDI 1994, §3): a client that waits for another lends it its
//! tickets, and what was lent to itself, until its wait is over. So who is waited for gets on, and nobody's tickets are idle.
//!
//! Not here: who waits (the policy's [`Roster`](super::roster::Roster)), nor what tickets are worth.
//!
//! Invariants: loans make no circle; a client's funds are its own tickets and the funds of everybody who lends to it; so the funds of
//! all who do not lend add up to all tickets.
#![forbid(unsafe_code)]

use super::ClientId;
use super::table::Table;

/// Everybody's funds.
#[derive(Clone, Debug, Default)]
pub struct Funds {
    clients: Table<Fund>,
    /// How many lend.
    loans: usize,
}

#[derive(Clone, Copy, Debug)]
struct Fund {
    own: u32,
    /// Its own tickets, and what is lent to it.
    tickets: u64,
    lends_to: Option<ClientId>,
}

impl Funds {
    /// Nobody's.
    pub const fn new() -> Self {
        Self { clients: Table::new(), loans: 0 }
    }

    /// A client comes, with tickets of its own.
    pub fn insert(&mut self, client: ClientId, tickets: u32) {
        self.clients.insert(client, Fund { own: tickets, tickets: tickets.into(), lends_to: None });
    }

    /// From now on a client has so many tickets of its own. At whom the chain of its loans ends, itself if it does not lend: that one's
    /// funds have changed. `None` if nobody's have.
    pub fn set(&mut self, client: ClientId, tickets: u32) -> Option<ClientId> {
        let fund = self.clients.get_mut(client).filter(|fund| fund.own != tickets)?;
        let before = core::mem::replace(&mut fund.own, tickets);
        self.change(client, u64::from(tickets).wrapping_sub(before.into()), u64::wrapping_add)
    }

    /// A client goes: what it lent and what was lent to it is its owners' again. At whom the chain of its loans ends: that one's
    /// funds have changed.
    pub fn remove(&mut self, client: ClientId) -> Option<ClientId> {
        let changed = self.end(client);
        self.clients.remove(client)?;
        if self.loans > 0 {
            for lender in self.clients.iter_mut().filter(|lender| lender.lends_to == Some(client)) {
                lender.lends_to = None;
                self.loans -= 1;
            }
        }
        changed
    }

    /// What is lent to a client, of whose tickets so many are its own.
    pub fn lent_to(&self, client: ClientId, own: u32) -> u32 {
        self.of(client).saturating_sub(own.into()).min(u32::MAX.into()) as u32
    }

    /// What a client has: its own tickets and what is lent to it.
    #[inline]
    pub fn of(&self, client: ClientId) -> u64 {
        self.clients.get(client).map_or(0, |fund| fund.tickets)
    }

    /// `from` lends all that it has to `to`. Nothing happens if it lends already, if one of them is not here, or if `to` lends to `from`,
    /// through others too. Otherwise: at whom the chain of loans ends, whose funds have changed.
    pub fn lend(&mut self, from: ClientId, to: ClientId) -> Option<ClientId> {
        let is_circle = self.chain(to).any(|client| client == from);
        if is_circle || !self.clients.contains(to) {
            return None;
        }
        let lender = self.clients.get_mut(from).filter(|lender| lender.lends_to.is_none())?;
        lender.lends_to = Some(to);
        self.loans += 1;
        self.change(to, self.of(from), u64::wrapping_add)
    }

    /// A client's wait is over, and with it its loan, if it lends. At whom the chain of loans ended, whose funds have changed.
    #[inline]
    pub fn end(&mut self, from: ClientId) -> Option<ClientId> {
        // Where nobody lends, as mostly, that is all that a wait's end costs.
        if self.loans == 0 { None } else { self.take_back(from) }
    }

    fn take_back(&mut self, from: ClientId) -> Option<ClientId> {
        let to = self.clients.get_mut(from)?.lends_to.take()?;
        self.loans -= 1;
        self.change(to, self.of(from), u64::wrapping_sub)
    }

    /// A client, to whom it lends, to whom that one lends, …
    fn chain(&self, first: ClientId) -> impl Iterator<Item = ClientId> {
        core::iter::successors(Some(first), |client| self.clients.get(*client)?.lends_to)
    }

    /// More or fewer tickets for a client and all along its chain: who is the last.
    fn change(&mut self, first: ClientId, by: u64, how: fn(u64, u64) -> u64) -> Option<ClientId> {
        let mut last = first;
        loop {
            let fund = self.clients.get_mut(last)?;
            fund.tickets = how(fund.tickets, by);
            match fund.lends_to {
                Some(next) => last = next,
                None => return Some(last),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chance;
    use alloc::vec::Vec;

    const A: ClientId = ClientId(0);
    const B: ClientId = ClientId(1);
    const C: ClientId = ClientId(2);

    fn funds() -> Funds {
        let mut funds = Funds::new();
        [(A, 8), (B, 3), (C, 1)].into_iter().for_each(|(client, tickets)| funds.insert(client, tickets));
        funds
    }

    fn all(funds: &Funds) -> [u64; 3] {
        [A, B, C].map(|client| funds.of(client))
    }

    #[test]
    fn what_is_lent_is_lent_on_and_comes_back() {
        let mut funds = funds();
        assert_eq!((funds.lend(B, C), all(&funds)), (Some(C), [8, 3, 4]));
        assert_eq!((funds.lend(A, B), all(&funds)), (Some(C), [8, 11, 12]));
        assert_eq!((funds.end(B), all(&funds)), (Some(C), [8, 11, 1]));
        assert_eq!((funds.end(A), all(&funds)), (Some(B), [8, 3, 1]));
        assert_eq!((funds.end(A), funds.loans), (None, 0));
    }

    #[test]
    fn nobody_lends_to_itself_in_a_circle_or_to_a_stranger() {
        let mut funds = funds();
        assert_eq!((funds.lend(A, B), funds.lend(B, C)), (Some(B), Some(C)));
        for (from, to) in
            [(A, A), (C, A), (C, B), (C, ClientId(7)), (ClientId(7), C), (ClientId(7), ClientId(7))]
        {
            assert_eq!(funds.lend(from, to), None, "{from:?} to {to:?}");
        }
        assert_eq!((all(&funds), funds.loans), ([8, 11, 12], 2));
    }

    #[test]
    fn who_lends_cannot_lend_again_and_who_is_gone_has_nothing() {
        let mut funds = funds();
        funds.lend(A, B);
        assert_eq!((funds.lend(A, C), all(&funds)), (None, [8, 11, 1]));
        assert_eq!((funds.remove(B), all(&funds), funds.loans), (None, [8, 0, 1], 0));
        funds.lend(A, C);
        assert_eq!((funds.remove(A), all(&funds), funds.loans), (Some(C), [0, 0, 1], 0));
    }

    #[test]
    fn who_changes_its_own_tickets_changes_what_it_has_lent_too() {
        let mut funds = funds();
        funds.lend(A, B);
        assert_eq!((funds.set(A, 2), all(&funds)), (Some(B), [2, 5, 1]));
        assert_eq!((funds.set(B, 7), all(&funds)), (Some(B), [2, 9, 1]));
        assert_eq!((funds.set(B, 7), funds.set(ClientId(7), 1)), (None, None));
        assert_eq!((funds.end(A), all(&funds)), (Some(B), [2, 7, 1]));
    }

    #[test]
    fn tickets_are_conserved_whatever_happens() {
        let (mut funds, mut state) = (Funds::new(), chance::seed(&[3]));
        let mut own = [0u64; 12];
        for _ in 0..20_000 {
            let mut below = |limit| chance::draw(&mut state) % limit;
            let (one, other) = (below(12), below(13));
            let (from, to) = (ClientId(one as u16), ClientId(other as u16));
            match below(8) {
                0 if own[from.0 as usize] == 0 => {
                    own[from.0 as usize] = 1 + below(100);
                    funds.insert(from, own[from.0 as usize] as u32);
                }
                1 => {
                    funds.remove(from);
                    own[from.0 as usize] = 0;
                }
                2 | 3 => _ = funds.end(from),
                4 => {
                    let tickets = 1 + below(100);
                    funds.set(from, tickets as u32);
                    let known = &mut own[from.0 as usize];
                    *known = if *known == 0 { 0 } else { tickets };
                }
                _ => _ = funds.lend(from, to),
            }
            let here: Vec<_> = funds.clients.iter().collect();
            let free: u64 =
                here.iter().filter(|(_, fund)| fund.lends_to.is_none()).map(|(_, fund)| fund.tickets).sum();
            assert_eq!(free, own.iter().sum::<u64>());
            assert_eq!(funds.loans, here.iter().filter(|(_, fund)| fund.lends_to.is_some()).count());
            for (client, fund) in &here {
                let lent = here.iter().filter(|(_, lender)| lender.lends_to == Some(*client));
                let lent: u64 = lent.map(|(_, lender)| lender.tickets).sum();
                assert_eq!(fund.tickets, own[client.0 as usize] + lent);
            }
        }
    }
}
