//! What the broker tells the display while a run goes on: whose each environment is, and when the run begins and ends. A page of
//! the broker's, which the display may read.
//!
//! Not here: everything else, which the display sees for itself (public region, rings) or reads in the scenario.
#![forbid(unsafe_code)]

use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use libos_core::scenario::Scenario;
use tranche_abi::Tick;

/// Environments that one page has room for.
const ENTRIES: usize = 509;

/// The page. Zeros are one on which nothing was written.
#[repr(C, align(4096))]
pub struct Board {
    start: AtomicU64,
    end: AtomicU64,
    count: AtomicU64,
    entries: [AtomicU64; ENTRIES],
}

const _: () = assert!(size_of::<Board>() == tranche_abi::layout::PAGE_SIZE as usize);

/// Whose an environment is. Parties are the scenario's libOSes, then its hostile environments, each in its order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    /// The broker's own, or made by it to watch.
    System,
    /// A party's own environment: a libOS's scheduler, or a hostile one.
    Party(usize),
    /// A client of a libOS's, on a core.
    Client {
        /// The libOS.
        party: usize,
        /// The client's place in it.
        client: usize,
        /// The core that it lives on.
        core: usize,
    },
}

impl Who {
    /// Whose the environment is that stands under this name in the ledgers.
    pub fn named(scenario: &Scenario, name: &str) -> Self {
        let (party, rest) = name.split_once('/').unwrap_or((name, ""));
        if let Some(place) = scenario.libos.iter().position(|libos| libos.name == party) {
            let clients = scenario.libos[place].clients.iter().enumerate();
            let mut copies = clients.flat_map(|(client, one)| {
                one.copies(scenario.cores).map(move |(core, name)| (client, core, name))
            });
            // What a client schedules itself is its own.
            let found = copies.find(|(.., name)| {
                rest.strip_prefix(name.as_str())
                    .is_some_and(|inside| inside.is_empty() || inside.starts_with('/'))
            });
            return found.map_or(Self::Party(place), |(client, core, _)| Self::Client {
                party: place,
                client,
                core: core as usize,
            });
        }
        let hostile = scenario.hostile.iter().position(|hostile| hostile.name == party);
        hostile.map_or(Self::System, |place| Self::Party(scenario.libos.len() + place))
    }

    /// The party, if it is one's.
    pub fn party(self) -> Option<usize> {
        match self {
            Self::System => None,
            Self::Party(party) | Self::Client { party, .. } => Some(party),
        }
    }

    fn to_bits(self, index: u64) -> u64 {
        let (party, client, core) = match self {
            Self::System => (0, 0, 0),
            Self::Party(party) => (party + 1, 0, 0),
            Self::Client { party, client, core } => (party + 1, client + 1, core),
        };
        index | (party as u64) << 16 | (client as u64) << 32 | (core as u64) << 48
    }

    fn from_bits(bits: u64) -> (u64, Self) {
        let [index, party, client, core] = [0, 16, 32, 48].map(|shift| bits >> shift & 0xffff);
        let who = match (party.checked_sub(1), client.checked_sub(1)) {
            (None, _) => Self::System,
            (Some(party), None) => Self::Party(party as usize),
            (Some(party), Some(client)) => {
                Self::Client { party: party as usize, client: client as usize, core: core as usize }
            }
        };
        (index, who)
    }
}

impl Board {
    /// On which nothing was written.
    pub const fn new() -> Self {
        Self {
            start: AtomicU64::new(0),
            end: AtomicU64::new(0),
            count: AtomicU64::new(0),
            entries: [const { AtomicU64::new(0) }; ENTRIES],
        }
    }

    /// Writes down whose an environment is; an index that was another's before is this one's now. What has no room is left out.
    pub fn introduce(&self, index: u64, who: Who) {
        let count = self.count.load(Relaxed);
        if let Some(entry) = self.entries.get(count as usize) {
            entry.store(who.to_bits(index), Relaxed);
            self.count.store(count + 1, Release);
        }
    }

    /// Environments that were introduced after the first `seen`, each with its index.
    pub fn since(&self, seen: usize) -> impl Iterator<Item = (u64, Who)> + '_ {
        let count = (self.count.load(Acquire) as usize).min(ENTRIES);
        self.entries[seen.min(count)..count].iter().map(|entry| Who::from_bits(entry.load(Relaxed)))
    }

    /// The run begins.
    pub fn begin(&self, now: Tick) {
        self.start.store(now.0, Relaxed);
    }

    /// The run is over: what happens from now on is not to be shown.
    pub fn finish(&self, now: Tick) {
        self.end.store(now.0, Relaxed);
    }

    /// When the run began; `None` before.
    pub fn start(&self) -> Option<u64> {
        Some(self.start.load(Relaxed)).filter(|start| *start != 0)
    }

    /// When the run ended; `None` before.
    pub fn end(&self) -> Option<u64> {
        Some(self.end.load(Relaxed)).filter(|end| *end != 0)
    }
}

impl Default for Board {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::display::tests::scenario;
    use std::vec::Vec;

    #[test]
    fn an_environment_is_known_by_its_name_in_the_ledgers() {
        let scenario = scenario();
        let client = |party, client, core| Who::Client { party, client, core };
        let known = [
            ("broker", Who::System),
            ("tracer", Who::System),
            ("shares", Who::Party(0)),
            ("shares/a/1", client(0, 0, 1)),
            ("shares/b", client(0, 1, 0)),
            ("tasks/t", client(1, 0, 1)),
            ("tasks/nobody", Who::Party(1)),
            ("bad", Who::Party(2)),
        ];
        known.into_iter().for_each(|(name, who)| assert_eq!(Who::named(&scenario, name), who, "{name}"));
    }

    #[test]
    fn what_is_introduced_is_read_once_and_in_order() {
        let board = Board::new();
        let all =
            [(3, Who::System), (1023, Who::Party(5)), (3, Who::Client { party: 1, client: 2, core: 7 })];
        all.into_iter().for_each(|(index, who)| board.introduce(index, who));
        assert_eq!(board.since(0).collect::<Vec<_>>(), all);
        assert_eq!(board.since(2).collect::<Vec<_>>(), all[2..]);
        assert_eq!(board.since(9).count(), 0);
        (0..2 * ENTRIES as u64).for_each(|index| board.introduce(index, Who::System));
        assert_eq!(board.since(0).count(), ENTRIES);
    }

    #[test]
    fn a_run_has_a_beginning_and_an_end_once_they_were_said() {
        let board = Board::new();
        assert_eq!((board.start(), board.end()), (None, None));
        board.begin(Tick(5));
        board.finish(Tick(9));
        assert_eq!((board.start(), board.end()), (Some(5), Some(9)));
    }
}
