//! What each client stakes in a lottery, and who holds a stake that was drawn, both in O(log n) steps for n clients.
//!
//! A tree of partial sums in an array (Fenwick, Software: Practice and Experience 24(3), 1994). Not here: what a stake is
//! worth, nor chance.
#![forbid(unsafe_code)]

use alloc::vec::Vec;
use libos_core::sched::ClientId;

/// Stakes by client, 0 for whoever takes no part.
#[derive(Clone, Debug, Default)]
pub struct Stakes {
    each: Vec<u64>,
    /// `sums[i]` is the sum of the stakes after `i + 1 − lowbit(i + 1)`, up to and with `i`. As many as `each`: a power of 2.
    sums: Vec<u64>,
    total: u64,
}

impl Stakes {
    /// All stakes together.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// What a client stakes.
    pub fn of(&self, client: ClientId) -> u64 {
        self.each.get(usize::from(client.0)).copied().unwrap_or(0)
    }

    /// From now on a client stakes so much.
    pub fn set(&mut self, client: ClientId, stake: u64) {
        let index = usize::from(client.0);
        if index >= self.each.len() {
            if stake == 0 {
                return;
            }
            self.grow(index + 1);
        }
        let before = core::mem::replace(&mut self.each[index], stake);
        self.add(index, stake.wrapping_sub(before));
        self.total = self.total.wrapping_sub(before).wrapping_add(stake);
    }

    /// The client that holds a stake, counted from 0 through the clients in their order; `None` beyond the last.
    pub fn holder(&self, winning: u64) -> Option<ClientId> {
        if winning >= self.total {
            return None;
        }
        let (mut passed, mut left, mut step) = (0, winning, self.sums.len());
        while step > 0 {
            // At most once for each binary digit of an index.
            if let Some(sum) = self.sums.get(passed + step - 1)
                && *sum <= left
            {
                (passed, left) = (passed + step, left - sum);
            }
            step /= 2;
        }
        Some(ClientId(passed as u16))
    }

    /// Adds to every sum that an index is part of. Differences wrap; the sums themselves do not overflow.
    fn add(&mut self, index: usize, difference: u64) {
        let mut place = index + 1;
        while let Some(sum) = self.sums.get_mut(place - 1) {
            *sum = sum.wrapping_add(difference);
            place += place & place.wrapping_neg();
        }
    }

    /// Makes room, twice as much at least, so that a newcomer costs O(log n) in the mean.
    fn grow(&mut self, enough: usize) {
        let room = enough.next_power_of_two();
        self.each.resize(room, 0);
        self.sums.clear();
        self.sums.resize(room, 0);
        for index in 0..room {
            self.add(index, self.each[index]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_stake_belongs_to_whom_counting_through_all_clients_says() {
        let (mut stakes, mut state) = (Stakes::default(), libos_core::chance::seed(&[1]));
        let mut plain = [0u64; 70];
        for _ in 0..2000 {
            let client = (libos_core::chance::draw(&mut state) % 70) as u16;
            let stake = libos_core::chance::draw(&mut state) % 5 * 10;
            stakes.set(ClientId(client), stake);
            plain[usize::from(client)] = stake;
            let total: u64 = plain.iter().sum();
            assert_eq!(stakes.total(), total);
            let winning = libos_core::chance::draw(&mut state) % (total + 3);
            let mut sum = 0;
            let counted = plain.iter().position(|stake| {
                sum += stake;
                winning < sum
            });
            assert_eq!(stakes.holder(winning).map(|client| usize::from(client.0)), counted);
        }
    }

    #[test]
    fn the_last_of_ten_thousand_clients_can_win_and_nobody_who_stakes_nothing() {
        let mut stakes = Stakes::default();
        stakes.set(ClientId(9_999), 7);
        assert_eq!(
            [0, 6, 7].map(|winning| stakes.holder(winning)),
            [Some(ClientId(9_999)), Some(ClientId(9_999)), None]
        );
        stakes.set(ClientId(9_999), 0);
        stakes.set(ClientId(60_000), 0);
        assert_eq!((stakes.total(), stakes.holder(0)), (0, None));
    }
}
