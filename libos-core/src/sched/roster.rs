//! What every policy keeps of its clients: who competes, in which order, who runs, and who waits until when. Each
//! operation takes O(log n) steps for n clients.
//!
//! Not here: what the order is (the policy gives each client a key when it becomes ready), nor whom to choose.
//!
//! Invariant: a client is in exactly one of three places: in `ready` by its key, among those that `run`, or in `waiting` by
//! the time at which its wait is over.
#![forbid(unsafe_code)]

use super::queue::Queue;
use super::table::Table;
use super::{ClientId, Tick, TurnEnd};
use alloc::vec::Vec;

/// Clients in the order of keys; `D` is what the policy itself keeps of each.
#[derive(Clone, Debug)]
pub struct Roster<K, D = ()> {
    clients: Table<Entry<D>>,
    ready: Queue<K>,
    /// Those that run, with the keys that they had: at most one for each core that shares the policy.
    running: Vec<(K, ClientId)>,
    waiting: Queue<Tick>,
}

#[derive(Clone, Debug)]
struct Entry<D> {
    data: D,
    standing: Standing,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    Ready,
    Running { woken: bool },
    Waiting,
}

/// What a client does after its turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum After<K> {
    /// It is ready, because its time was up; it had this key. The policy is to admit it.
    Ready(K),
    /// It is ready, because it gave the rest of its turn away, or its wait was over before it began. The policy is to
    /// admit it.
    Yielded,
    /// It waits.
    Waiting,
    /// It is not here any more.
    Gone,
}

impl<K: Ord + Copy, D> Roster<K, D> {
    /// Nobody.
    pub const fn new() -> Self {
        Self { clients: Table::new(), ready: Queue::new(), running: Vec::new(), waiting: Queue::new() }
    }

    /// A client is here from now on, and waits. One that is here already is not changed.
    pub fn insert(&mut self, id: ClientId, data: D, until: Tick) {
        if !self.contains(id) {
            self.clients.insert(id, Entry { data, standing: Standing::Waiting });
            self.waiting.put(id, until);
        }
    }

    /// Whether a client is here.
    pub fn contains(&self, id: ClientId) -> bool {
        self.clients.contains(id)
    }

    /// What the policy keeps of a client.
    pub fn get(&self, id: ClientId) -> Option<&D> {
        self.clients.get(id).map(|entry| &entry.data)
    }

    /// The same, to change.
    pub fn get_mut(&mut self, id: ClientId) -> Option<&mut D> {
        self.clients.get_mut(id).map(|entry| &mut entry.data)
    }

    /// A client is here no longer.
    pub fn remove(&mut self, id: ClientId) -> Option<D> {
        let entry = self.clients.remove(id)?;
        self.forget(id, entry.standing);
        Some(entry.data)
    }

    /// Takes a client out of where it was.
    fn forget(&mut self, id: ClientId, standing: Standing) {
        match standing {
            Standing::Ready => _ = self.ready.remove(id),
            Standing::Waiting => _ = self.waiting.remove(id),
            Standing::Running { .. } => self.running.retain(|(_, running)| *running != id),
        }
    }

    /// A client's standing from now on; what it was.
    fn stand(&mut self, id: ClientId, standing: Standing) -> Option<Standing> {
        let entry = self.clients.get_mut(id)?;
        Some(core::mem::replace(&mut entry.standing, standing))
    }

    /// A client is ready from now on, with this key.
    pub fn admit(&mut self, id: ClientId, key: K) {
        let Some(before) = self.stand(id, Standing::Ready) else { return };
        if before != Standing::Ready {
            self.forget(id, before);
        }
        self.ready.put(id, key);
    }

    /// A client waits from now on.
    pub fn dismiss(&mut self, id: ClientId, until: Tick) {
        let Some(before) = self.stand(id, Standing::Waiting) else { return };
        if before != Standing::Waiting {
            self.forget(id, before);
        }
        self.waiting.put(id, until);
    }

    /// The ready client with the least key; of several the one with the lowest number.
    pub fn first(&self) -> Option<ClientId> {
        self.ready.first().map(|(_, id)| id)
    }

    /// All that are ready, in an order that depends on nothing but what was done before.
    pub fn ready(&self) -> impl Iterator<Item = (ClientId, &D)> {
        self.ready.iter().filter_map(|(_, id)| Some((id, self.get(id)?)))
    }

    /// The least key of all that are ready or run.
    pub fn least_key(&self) -> Option<K> {
        let ready = self.ready.first().map(|(key, _)| key);
        self.running.iter().map(|(key, _)| *key).chain(ready).min()
    }

    /// A ready client runs from now on.
    pub fn begin_turn(&mut self, id: ClientId) {
        let Some(key) = self.ready.remove(id) else { return };
        self.stand(id, Standing::Running { woken: false });
        self.running.push((key, id));
    }

    /// Whether a client runs.
    pub fn runs(&self, id: ClientId) -> bool {
        self.clients.get(id).is_some_and(|entry| matches!(entry.standing, Standing::Running { .. }))
    }

    /// A running client's turn is over; `None` if it did not run.
    pub fn end_turn(&mut self, id: ClientId, end: TurnEnd) -> Option<After<K>> {
        let Standing::Running { woken } = self.clients.get(id)?.standing else { return None };
        Some(match end {
            TurnEnd::Ready => After::Ready(self.running.iter().find(|(_, running)| *running == id)?.0),
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
        match self.clients.get_mut(id).map(|entry| &mut entry.standing) {
            Some(Standing::Waiting) => true,
            Some(Standing::Running { woken }) => {
                *woken = true;
                false
            }
            Some(Standing::Ready) | None => false,
        }
    }

    /// A client whose wait is over at `now`, and which is to be admitted: the one that has been so for longest.
    pub fn due(&self, now: Tick) -> Option<ClientId> {
        self.waiting.first().filter(|(until, _)| *until <= now).map(|(_, id)| id)
    }

    /// When the next wait is over; `Tick::NEVER` if nobody waits.
    pub fn next_event(&self) -> Tick {
        self.waiting.first().map_or(Tick::NEVER, |(until, _)| until)
    }

    /// Whether a client is ready or runs.
    pub fn competes(&self, id: ClientId) -> bool {
        self.clients.get(id).is_some_and(|entry| entry.standing != Standing::Waiting)
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

    #[test]
    fn the_least_key_is_first_and_who_runs_is_not_there() {
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
    fn whose_time_was_up_is_ready_with_the_key_that_the_policy_gives_it() {
        let mut roster = Roster::new();
        for id in [0, 1] {
            roster.insert(ClientId(id), (), Tick(0));
            roster.admit(ClientId(id), id);
        }
        roster.begin_turn(ClientId(0));
        assert_eq!(roster.end_turn(ClientId(0), TurnEnd::Ready), Some(After::Ready(0)));
        roster.admit(ClientId(0), 7);
        assert_eq!((roster.first(), roster.least_key()), (Some(ClientId(1)), Some(1)));
        assert_eq!(roster.end_turn(ClientId(0), TurnEnd::Ready), None, "it does not run");
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
        assert!(roster.competes(ClientId(0)) && roster.next_event() == Tick::NEVER);
    }

    #[test]
    fn who_leaves_in_the_middle_of_a_turn_is_nowhere() {
        let mut roster = Roster::new();
        roster.insert(ClientId(0), 'x', Tick(0));
        roster.admit(ClientId(0), 1);
        roster.begin_turn(ClientId(0));
        assert_eq!(roster.remove(ClientId(0)), Some('x'));
        assert_eq!((roster.least_key(), roster.end_turn(ClientId(0), TurnEnd::Ready)), (None, None));
    }
}
