//! What every policy keeps of its clients: who competes, in which order, who runs, and who waits until when. Each
//! operation takes O(log n) steps for n clients.
//!
//! Not here: what the order is (the policy gives each client a key when it becomes ready), nor whom to choose.
//!
//! Invariant: a client is in exactly one of the two sets: in `competing` by its key while it is ready or runs, in `waiting` by
//! its time while it waits.
#![forbid(unsafe_code)]

use super::{ClientId, Tick, TurnEnd};
use alloc::collections::{BTreeMap, BTreeSet};

/// Clients in the order of keys; `D` is what the policy itself keeps of each.
#[derive(Clone, Debug)]
pub struct Roster<K, D = ()> {
    clients: BTreeMap<ClientId, Entry<K, D>>,
    competing: BTreeSet<(K, ClientId)>,
    waiting: BTreeSet<(Tick, ClientId)>,
}

#[derive(Clone, Debug)]
struct Entry<K, D> {
    data: D,
    standing: Standing<K>,
}

#[derive(Clone, Copy, Debug)]
enum Standing<K> {
    Ready(K),
    Running { key: K, woken: bool },
    Waiting(Tick),
}

/// What a client does after its turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum After {
    /// It is ready, with the key that it had: its time was up.
    Ready,
    /// It is ready, with the key that it had: it gave the rest of its turn away, or its wait was over before it began.
    Yielded,
    /// It waits.
    Waiting,
    /// It is not here any more.
    Gone,
}

impl<K: Ord + Copy, D> Roster<K, D> {
    /// Nobody.
    pub const fn new() -> Self {
        Self { clients: BTreeMap::new(), competing: BTreeSet::new(), waiting: BTreeSet::new() }
    }

    /// A client is here from now on, and waits. One that is here already is not changed.
    pub fn insert(&mut self, id: ClientId, data: D, until: Tick) {
        if !self.contains(id) {
            self.clients.insert(id, Entry { data, standing: Standing::Waiting(until) });
            self.waiting.insert((until, id));
        }
    }

    /// Whether a client is here.
    pub fn contains(&self, id: ClientId) -> bool {
        self.clients.contains_key(&id)
    }

    /// What the policy keeps of a client.
    pub fn get(&self, id: ClientId) -> Option<&D> {
        self.clients.get(&id).map(|entry| &entry.data)
    }

    /// The same, to change.
    pub fn get_mut(&mut self, id: ClientId) -> Option<&mut D> {
        self.clients.get_mut(&id).map(|entry| &mut entry.data)
    }

    /// A client is here no longer.
    pub fn remove(&mut self, id: ClientId) -> Option<D> {
        let entry = self.clients.remove(&id)?;
        self.forget(id, entry.standing);
        Some(entry.data)
    }

    fn forget(&mut self, id: ClientId, standing: Standing<K>) {
        match standing {
            Standing::Ready(key) | Standing::Running { key, .. } => self.competing.remove(&(key, id)),
            Standing::Waiting(until) => self.waiting.remove(&(until, id)),
        };
    }

    /// A client is ready from now on, with this key.
    pub fn admit(&mut self, id: ClientId, key: K) {
        let Some(entry) = self.clients.get_mut(&id) else { return };
        let before = core::mem::replace(&mut entry.standing, Standing::Ready(key));
        self.forget(id, before);
        self.competing.insert((key, id));
    }

    /// A client waits from now on.
    pub fn dismiss(&mut self, id: ClientId, until: Tick) {
        let Some(entry) = self.clients.get_mut(&id) else { return };
        let before = core::mem::replace(&mut entry.standing, Standing::Waiting(until));
        self.forget(id, before);
        self.waiting.insert((until, id));
    }

    /// The ready client with the least key; of several the one with the lowest number.
    pub fn first(&self) -> Option<ClientId> {
        // Those that run are passed over: at most one for each core that shares the policy.
        self.competing.iter().map(|(_, id)| *id).find(|id| self.is_ready(*id))
    }

    /// The least key of all that are ready or run.
    pub fn least_key(&self) -> Option<K> {
        self.competing.first().map(|(key, _)| *key)
    }

    fn is_ready(&self, id: ClientId) -> bool {
        self.clients.get(&id).is_some_and(|entry| matches!(entry.standing, Standing::Ready(_)))
    }

    /// A ready client runs from now on.
    pub fn begin_turn(&mut self, id: ClientId) {
        let Some(entry) = self.clients.get_mut(&id) else { return };
        if let Standing::Ready(key) = entry.standing {
            entry.standing = Standing::Running { key, woken: false };
        }
    }

    /// Whether a client runs.
    pub fn runs(&self, id: ClientId) -> bool {
        self.clients.get(&id).is_some_and(|entry| matches!(entry.standing, Standing::Running { .. }))
    }

    /// A running client's turn is over; `None` if it did not run. If it still competes it keeps its key.
    pub fn end_turn(&mut self, id: ClientId, end: TurnEnd) -> Option<After> {
        let entry = self.clients.get_mut(&id)?;
        let Standing::Running { key, woken } = entry.standing else { return None };
        entry.standing = Standing::Ready(key);
        Some(match end {
            TurnEnd::Ready => After::Ready,
            TurnEnd::Yielded => After::Yielded,
            TurnEnd::Waiting(_) if woken => After::Yielded,
            TurnEnd::Waiting(until) => {
                self.dismiss(id, until);
                After::Waiting
            }
            TurnEnd::Gone => {
                self.remove(id);
                After::Gone
            }
        })
    }

    /// A client became ready before its time: whether it waits, and is to be admitted. Of one that runs it is remembered.
    pub fn wake(&mut self, id: ClientId) -> bool {
        match self.clients.get_mut(&id).map(|entry| &mut entry.standing) {
            Some(Standing::Waiting(_)) => true,
            Some(Standing::Running { woken, .. }) => {
                *woken = true;
                false
            }
            Some(Standing::Ready(_)) | None => false,
        }
    }

    /// A client whose wait is over at `now`, and which is to be admitted: the one that has been so for longest.
    pub fn due(&self, now: Tick) -> Option<ClientId> {
        self.waiting.first().filter(|(until, _)| *until <= now).map(|(_, id)| *id)
    }

    /// When the next wait is over; `Tick::NEVER` if nobody waits.
    pub fn next_event(&self) -> Tick {
        self.waiting.first().map_or(Tick::NEVER, |(until, _)| *until)
    }

    /// Whether a client is ready or runs.
    pub fn competes(&self, id: ClientId) -> bool {
        self.clients.get(&id).is_some_and(|entry| !matches!(entry.standing, Standing::Waiting(_)))
    }
}

impl<K: Ord + Copy, D> Default for Roster<K, D> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::cell::Cell;
    use core::cmp::Ordering;

    std::thread_local! {
        static COMPARISONS: Cell<u64> = const { Cell::new(0) };
    }

    /// A key that counts how often it is compared.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    struct Counted(u64);

    impl Ord for Counted {
        fn cmp(&self, other: &Self) -> Ordering {
            COMPARISONS.set(COMPARISONS.get() + 1);
            self.0.cmp(&other.0)
        }
    }

    impl PartialOrd for Counted {
        fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
            Some(self.cmp(other))
        }
    }

    /// Comparisons of keys in a turn, at most, with so many clients.
    fn worst_turn(clients: u16) -> u64 {
        let mut roster = Roster::new();
        for id in (0..clients).map(ClientId) {
            roster.insert(id, (), Tick(0));
            roster.admit(id, Counted(u64::from(id.0) * 7919 % 10_007));
        }
        let turn = |number: u64| {
            let before = COMPARISONS.get();
            let client = roster.first().unwrap();
            roster.begin_turn(client);
            roster.end_turn(client, TurnEnd::Ready);
            roster.admit(client, Counted(10_007 + number * 31 % 5_003));
            COMPARISONS.get() - before
        };
        (0..20_000).map(turn).max().unwrap()
    }

    #[test]
    fn a_turn_takes_logarithmically_many_comparisons_up_to_ten_thousand_clients() {
        // A B-tree's node has at most 11 keys, and at least 6 children: so many comparisons on each level, in a removal,
        // an insertion and the search for the first.
        for clients in [10u16, 100, 1_000, 10_000] {
            let levels = u64::from(1 + clients.ilog(6));
            let worst = worst_turn(clients);
            assert!(worst <= 2 * 11 * levels, "{worst} with {clients}");
        }
    }

    #[test]
    fn the_least_key_is_first_and_who_runs_is_passed_over() {
        let mut roster = Roster::new();
        for (id, key) in [(0, 5), (1, 3), (2, 3)] {
            roster.insert(ClientId(id), (), Tick(0));
            roster.admit(ClientId(id), key);
        }
        let order = [1, 2, 0].map(|expected| {
            let first = roster.first();
            roster.begin_turn(ClientId(expected));
            first
        });
        assert_eq!(order, [1, 2, 0].map(|id| Some(ClientId(id))));
        assert_eq!((roster.first(), roster.least_key()), (None, Some(3)));
    }

    #[test]
    fn news_of_a_client_that_runs_ends_the_wait_that_follows() {
        let mut roster = Roster::new();
        roster.insert(ClientId(0), (), Tick(9));
        assert_eq!((roster.due(Tick(8)), roster.due(Tick(9))), (None, Some(ClientId(0))));
        roster.admit(ClientId(0), 0);
        roster.begin_turn(ClientId(0));
        assert!(!roster.wake(ClientId(0)));
        assert_eq!(roster.end_turn(ClientId(0), TurnEnd::Waiting(Tick(50))), Some(After::Yielded));
        assert_eq!(roster.end_turn(ClientId(0), TurnEnd::Ready), None, "it does not run");
        assert!(roster.competes(ClientId(0)) && roster.next_event() == Tick::NEVER);
    }
}
