//! Priority inheritance (Sha, Rajkumar and Lehoczky, IEEE Transactions on Computers 39(9), 1990): whoever waits for another lends it its
//! place in the order, so that nobody in between keeps both waiting.
//!
//! Who is waited for ranks as the first of all who wait for it, through others too. Not here: what a rank is, and who waits
//! ([`crate::deadlines`]). Loans are few, and looked through one by one.
#![forbid(unsafe_code)]

use crate::deadlines::Rank;
use alloc::vec::Vec;
use libos_core::sched::ClientId;

/// Who lends whom which rank.
#[derive(Clone, Debug, Default)]
pub struct Inheritance(Vec<Loan>);

#[derive(Clone, Copy, Debug)]
struct Loan {
    from: ClientId,
    to: ClientId,
    rank: Rank,
}

impl Inheritance {
    /// Nobody lends.
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// Whether nobody lends, as mostly.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// `from` lends `to` its own rank, and whatever it inherits: whether it does. Not if it lends already, nor in a circle.
    pub fn lend(&mut self, from: ClientId, to: ClientId, rank: Rank) -> bool {
        let lends = self.to(from).is_none() && self.last(to) != from;
        if lends {
            self.0.push(Loan { from, to, rank });
        }
        lends
    }

    /// A client lends no more; to whom it did.
    pub fn end(&mut self, from: ClientId) -> Option<ClientId> {
        let place = self.0.iter().position(|loan| loan.from == from)?;
        Some(self.0.swap_remove(place).to)
    }

    /// A client is gone: nobody lends to it. It lends no more.
    pub fn forget(&mut self, to: ClientId) {
        self.0.retain(|loan| loan.to != to);
    }

    /// The rank that a client inherits, if anybody lends to it.
    pub fn rank(&self, client: ClientId) -> Option<Rank> {
        let lenders = self.0.iter().filter(|loan| loan.to == client);
        lenders.map(|loan| self.rank(loan.from).map_or(loan.rank, |rank| rank.min(loan.rank))).min()
    }

    /// The last of those to whom a client lends, to whom that one lends, …; itself if it does not.
    pub fn last(&self, client: ClientId) -> ClientId {
        core::iter::successors(Some(client), |client| self.to(*client)).last().unwrap_or(client)
    }

    fn to(&self, from: ClientId) -> Option<ClientId> {
        self.0.iter().find(|loan| loan.from == from).map(|loan| loan.to)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use libos_core::sched::Tick;

    fn rank(number: u64) -> Rank {
        (Tick(number), Tick(0))
    }

    #[test]
    fn the_least_rank_of_all_who_wait_is_inherited_through_others_too() {
        let [a, b, c, d] = [0, 1, 2, 3].map(ClientId);
        let mut loans = Inheritance::new();
        assert!(loans.lend(b, a, rank(5)) && loans.lend(c, b, rank(2)) && loans.lend(d, a, rank(4)));
        assert_eq!([a, b, c].map(|client| loans.rank(client)), [Some(rank(2)), Some(rank(2)), None]);
        assert_eq!([a, b, c, d].map(|client| loans.last(client)), [a; 4]);
        assert_eq!((loans.end(c), loans.rank(a), loans.end(c)), (Some(b), Some(rank(4)), None));
        loans.forget(a);
        assert_eq!((loans.rank(a), loans.last(d)), (None, d));
    }

    #[test]
    fn nobody_lends_twice_to_itself_or_in_a_circle() {
        let [a, b, c] = [0, 1, 2].map(ClientId);
        let mut loans = Inheritance::new();
        assert!(loans.lend(a, b, rank(1)) && loans.lend(b, c, rank(2)));
        assert!([(a, c), (c, a), (c, b), (c, c)].into_iter().all(|(from, to)| !loans.lend(
            from,
            to,
            rank(0)
        )));
    }
}
