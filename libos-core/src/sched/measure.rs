//! How well a policy did, in exact integers: errors of shares, bands of lotteries, response times.
//!
//! Pure bookkeeping over what it is told; [`super::watch`] does the telling while a scheduler runs. All times in ticks.
#![forbid(unsafe_code)]

use super::ClientId;
use alloc::vec::Vec;
use core::cmp::Ordering;
use tranche_abi::Tick;

/// An exact, non-negative number of ticks: `numerator / denominator`.
#[derive(Clone, Copy, Debug)]
pub struct Fraction {
    numerator: u128,
    denominator: u64,
}

impl Fraction {
    /// No ticks.
    pub const ZERO: Self = Self { numerator: 0, denominator: 1 };

    /// `numerator / denominator` ticks; the denominator is not 0.
    pub const fn new(numerator: u128, denominator: u64) -> Self {
        Self { numerator, denominator }
    }

    /// Whole ticks, rounded up.
    pub const fn ceiling(self) -> Tick {
        Tick(self.numerator.div_ceil(self.denominator as u128) as u64)
    }

    /// Thousandths of a quantum, rounded up, for a reader.
    pub const fn milliquanta(self, quantum: Tick) -> u64 {
        (self.numerator * 1000).div_ceil(self.denominator as u128 * quantum.0 as u128) as u64
    }
}

impl Ord for Fraction {
    fn cmp(&self, other: &Self) -> Ordering {
        let (mine, theirs) = (u128::from(self.denominator), u128::from(other.denominator));
        let whole = (self.numerator / mine).cmp(&(other.numerator / theirs));
        // Only remainders are multiplied, so that nothing overflows.
        whole.then_with(|| (self.numerator % mine * theirs).cmp(&(other.numerator % theirs * mine)))
    }
}

impl PartialOrd for Fraction {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Fraction {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Fraction {}

/// The pairwise relative error of a proportional-share policy (TM-528 §3): over every pair of clients and at every switch,
/// |ran_i − (ran_i + ran_j) · t_i / (t_i + t_j)|, counted from when both of them last began to compete.
///
/// A scheduler does this at every switch, so nothing is divided until somebody asks.
#[derive(Clone, Debug, Default)]
pub struct PairwiseError {
    clients: Vec<Paired>,
    /// The pair of i > j is at `i (i − 1) / 2 + j`.
    pairs: Vec<Pair>,
}

#[derive(Clone, Debug)]
struct Paired {
    /// 0 while it does not compete.
    tickets: u32,
    /// The largest error in pairs that have started afresh since.
    worst_before: Fraction,
}

#[derive(Clone, Copy, Debug, Default)]
struct Pair {
    /// ran_i · t_j − ran_j · t_i since the pair began.
    ahead: i128,
    /// The largest distance of that from 0.
    worst: u128,
    /// t_i + t_j.
    tickets: u64,
}

impl Pair {
    fn worst(self) -> Fraction {
        Fraction::new(self.worst, self.tickets.max(1))
    }
}

impl PairwiseError {
    /// A client begins to compete: all its pairs start afresh.
    pub fn begin(&mut self, client: ClientId, tickets: u32) {
        let index = usize::from(client.0);
        while self.clients.len() <= index {
            self.pairs.resize(self.pairs.len() + self.clients.len(), Pair::default());
            self.clients.push(Paired { tickets: 0, worst_before: Fraction::ZERO });
        }
        self.clients[index].tickets = tickets;
        for other in (0..self.clients.len()).filter(|other| *other != index) {
            let place = pair(index, other);
            let worst = self.pairs[place].worst();
            for of in [index, other] {
                self.clients[of].worst_before = self.clients[of].worst_before.max(worst);
            }
            let tickets = u64::from(tickets) + u64::from(self.clients[other].tickets);
            self.pairs[place] = Pair { tickets, ..Pair::default() };
        }
    }

    /// A client no longer competes.
    pub fn end(&mut self, client: ClientId) {
        if let Some(paired) = self.clients.get_mut(usize::from(client.0)) {
            paired.tickets = 0;
        }
    }

    /// A client that competes was charged: one switch, all its pairs looked at.
    pub fn charge(&mut self, client: ClientId, ran: Tick) {
        let index = usize::from(client.0);
        if self.clients.get(index).is_none_or(|charged| charged.tickets == 0) {
            return;
        }
        for other in (0..self.clients.len()).filter(|other| *other != index) {
            let others = self.clients[other].tickets;
            if others > 0 {
                let pair = &mut self.pairs[pair(index, other)];
                let gained = i128::from(ran.0) * i128::from(others);
                pair.ahead += if index > other { gained } else { -gained };
                pair.worst = pair.worst.max(pair.ahead.unsigned_abs());
            }
        }
    }

    /// The largest error so far of any pair that a client was in.
    pub fn worst_of(&self, client: ClientId) -> Fraction {
        let index = usize::from(client.0);
        let Some(paired) = self.clients.get(index) else { return Fraction::ZERO };
        let others = (0..self.clients.len()).filter(|other| *other != index);
        others.map(|other| self.pairs[pair(index, other)].worst()).fold(paired.worst_before, Fraction::max)
    }

    /// The largest error so far of any pair.
    pub fn worst(&self) -> Fraction {
        let all = 0..self.clients.len();
        all.map(|index| self.worst_of(ClientId(index as u16))).max().unwrap_or(Fraction::ZERO)
    }
}

/// Where the pair of two different clients is in [`PairwiseError::pairs`].
fn pair(one: usize, other: usize) -> usize {
    let (low, high) = (one.min(other), one.max(other));
    high * (high - 1) / 2 + low
}

/// The absolute error of shares: how far a client is from its part of the total while it competes,
/// |ran_i − Σ total · t_i / T|, T being the tickets of all that compete.
///
/// Exact while the set of clients stays; each change of the set rounds by less than 2⁻³² ticks.
#[derive(Clone, Debug, Default)]
pub struct ShareError {
    clients: Vec<Shared>,
    /// Of all that compete now.
    tickets: u64,
    /// Charged to anybody since the set last changed.
    total: u64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Shared {
    /// 0 while it does not compete.
    tickets: u32,
    /// Charged since the set last changed.
    ran: u64,
    /// Charged before.
    ran_before: u64,
    /// Ahead of its part before, in 2⁻³² ticks.
    ahead_before: i128,
    /// How far it has been behind and ahead at most since the set last changed, in ticks times all tickets.
    lowest: i128,
    highest: i128,
    /// Largest distance before, in 2⁻³² ticks.
    worst_before: u128,
}

impl Shared {
    /// How far it is ahead of its part since the set last changed, in ticks times all `tickets`.
    fn ahead_now(&self, tickets: u64, total: u64) -> i128 {
        i128::from(self.ran) * i128::from(tickets) - i128::from(total) * i128::from(self.tickets)
    }
}

impl ShareError {
    /// A client begins to compete.
    pub fn begin(&mut self, client: ClientId, tickets: u32) {
        self.end(client);
        let index = usize::from(client.0);
        if self.clients.len() <= index {
            self.clients.resize(index + 1, Shared::default());
        }
        self.clients[index].tickets = tickets;
        self.tickets += u64::from(tickets);
    }

    /// A client no longer competes. What it was ahead or behind stays with it.
    pub fn end(&mut self, client: ClientId) {
        for index in 0..self.clients.len() {
            let (worst_before, ahead_before) = (self.worst(index), self.ahead(index));
            let shared = &mut self.clients[index];
            (shared.worst_before, shared.ahead_before) = (worst_before, ahead_before);
            shared.ran_before += shared.ran;
            (shared.ran, shared.lowest, shared.highest) = (0, 0, 0);
        }
        self.total = 0;
        if let Some(shared) = self.clients.get_mut(usize::from(client.0)) {
            self.tickets -= u64::from(shared.tickets);
            shared.tickets = 0;
        }
    }

    /// A client that competes was charged.
    pub fn charge(&mut self, client: ClientId, ran: Tick) {
        match self.clients.get_mut(usize::from(client.0)) {
            Some(shared) if shared.tickets > 0 => shared.ran += ran.0,
            _ => return,
        }
        self.total += ran.0;
        for shared in self.clients.iter_mut().filter(|shared| shared.tickets > 0) {
            let ahead = shared.ahead_now(self.tickets, self.total);
            shared.lowest = shared.lowest.min(ahead);
            shared.highest = shared.highest.max(ahead);
        }
    }

    /// CPU time that a client was charged.
    pub fn ran(&self, client: ClientId) -> Tick {
        Tick(self.clients.get(usize::from(client.0)).map_or(0, |shared| shared.ran_before + shared.ran))
    }

    /// CPU time that was a client's part of what was charged to anybody while it competed, to the nearest tick.
    pub fn entitled(&self, client: ClientId) -> Tick {
        let index = usize::from(client.0);
        if index >= self.clients.len() {
            return Tick(0);
        }
        let part = (i128::from(self.ran(client).0) << 32) - self.ahead(index);
        Tick(((part + (1 << 31)) >> 32).max(0) as u64)
    }

    /// A client's largest absolute error so far.
    pub fn worst_of(&self, client: ClientId) -> Fraction {
        let index = usize::from(client.0);
        let worst = if index < self.clients.len() { self.worst(index) } else { 0 };
        Fraction::new(worst, 1 << 32)
    }

    /// The largest distance of a client so far, in 2⁻³² ticks.
    fn worst(&self, index: usize) -> u128 {
        let shared = &self.clients[index];
        let all = i128::from(self.tickets.max(1));
        let distance = |ahead: i128| (shared.ahead_before + (ahead << 32) / all).unsigned_abs();
        shared.worst_before.max(distance(shared.lowest)).max(distance(shared.highest))
    }

    /// How far a client is ahead of its part, in 2⁻³² ticks.
    fn ahead(&self, index: usize) -> i128 {
        let shared = &self.clients[index];
        if shared.tickets == 0 {
            return shared.ahead_before;
        }
        shared.ahead_before + (shared.ahead_now(self.tickets, self.total) << 32) / i128::from(self.tickets)
    }
}

/// Whether `wins` of `draws` lotteries is within two standard deviations of what `tickets` of `total` should win.
///
/// Wins are binomial (n draws, p = tickets / total): |wins − n p| ≤ 2 √(n p (1 − p)), squared and multiplied by total².
pub fn within_two_sigma(wins: u64, draws: u64, tickets: u64, total: u64) -> bool {
    let (wins, draws) = (i128::from(wins), i128::from(draws));
    let (tickets, total) = (i128::from(tickets), i128::from(total));
    let distance = wins * total - draws * tickets;
    distance * distance <= 4 * draws * tickets * (total - tickets)
}

/// Wins of one client over lotteries whose stakes may change from draw to draw.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wins {
    /// Lotteries that it took part in.
    pub draws: u64,
    /// Lotteries that it won.
    pub wins: u64,
    /// Σ p, in 2⁻³².
    expected: u128,
    /// Σ p (1 − p), in 2⁻³².
    variance: u128,
}

impl Wins {
    /// It took part with `stake` of `pot`, and won or not.
    pub fn draw(&mut self, stake: u64, pot: u64, winner: Winner) {
        let chance = (u128::from(stake) << 32) / u128::from(pot.max(1));
        self.draws += 1;
        self.wins += u64::from(winner == Winner::This);
        self.expected += chance;
        self.variance += (chance * ((1 << 32) - chance)) >> 32;
    }

    /// Whether the wins are within two standard deviations of what the stakes should win.
    pub fn within_two_sigma(&self) -> bool {
        let distance = (u128::from(self.wins) << 32).abs_diff(self.expected);
        // In 2⁻¹⁶: squared it is in 2⁻³², like the variance. Beyond 64 bits it is far outside anyway.
        let distance = (distance >> 16).min(u128::from(u64::MAX));
        distance * distance <= 4 * self.variance
    }
}

/// Who won a draw.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Winner {
    /// The client in question.
    This,
    /// Somebody else.
    Other,
}

/// Response times of one client's jobs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Responses {
    /// Jobs that ended.
    pub jobs: u64,
    /// Jobs that ended after their deadline.
    pub misses: u64,
    /// The longest time from a job's release to its end.
    pub max_response: Tick,
    /// The most that a job ended after its deadline (before it, if negative), in ticks; meaningless without jobs.
    pub max_lateness: i64,
}

impl Responses {
    /// A job that was released at `released` and due at `due` ended at `ended`.
    pub fn record(&mut self, released: Tick, due: Tick, ended: Tick) {
        let lateness = ended.0.wrapping_sub(due.0) as i64;
        self.max_lateness = if self.jobs == 0 { lateness } else { self.max_lateness.max(lateness) };
        self.jobs += 1;
        self.misses += u64::from(lateness > 0);
        self.max_response = self.max_response.max(ended.since(released));
    }
}

#[cfg(test)]
mod tests;
