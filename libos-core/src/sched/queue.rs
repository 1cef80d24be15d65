//! Clients in the order of a key: who is first, in one step; who comes, goes or changes its key, in O(log n) steps for n
//! clients.
//!
//! A binary heap in an array (Williams, CACM 7(6), 1964), and each client's place in it. So no memory is asked for but when
//! there are more clients than ever before.
//!
//! Invariants: nobody is before its parent, which is at half its place; `places` says where in the heap everybody is.
#![forbid(unsafe_code)]

use super::ClientId;
use super::table::Table;
use alloc::vec::Vec;

/// Clients by key; of equal keys the one with the lowest number comes first.
#[derive(Clone, Debug)]
pub struct Queue<K> {
    heap: Vec<(K, ClientId)>,
    places: Table<u32>,
}

impl<K: Ord + Copy> Queue<K> {
    /// Nobody.
    pub const fn new() -> Self {
        Self { heap: Vec::new(), places: Table::new() }
    }

    /// The first.
    pub fn first(&self) -> Option<(K, ClientId)> {
        self.heap.first().copied()
    }

    /// Everybody, the first one first and the others in no order of meaning.
    pub fn iter(&self) -> impl Iterator<Item = (K, ClientId)> {
        self.heap.iter().copied()
    }

    /// From now on a client is here with this key, whether it was before or not.
    pub fn put(&mut self, id: ClientId, key: K) {
        let place = self.places.get(id).map_or(self.heap.len(), |place| *place as usize);
        match self.heap.get_mut(place) {
            Some(entry) => entry.0 = key,
            None => self.heap.push((key, id)),
        }
        self.settle(place);
    }

    /// From now on a client is not here; the key that it had, if it was.
    pub fn remove(&mut self, id: ClientId) -> Option<K> {
        let place = self.places.remove(id)? as usize;
        let (key, _) = self.heap.swap_remove(place);
        if place < self.heap.len() {
            self.settle(place);
        }
        Some(key)
    }

    /// Brings whoever is at a place to where its key belongs.
    fn settle(&mut self, mut place: usize) {
        let entry = self.heap[place];
        while place > 0 && entry < self.heap[(place - 1) / 2] {
            self.set(place, self.heap[(place - 1) / 2]);
            place = (place - 1) / 2;
        }
        while let Some(child) = self.lesser_child(place).filter(|child| self.heap[*child] < entry) {
            self.set(place, self.heap[child]);
            place = child;
        }
        self.set(place, entry);
    }

    fn lesser_child(&self, place: usize) -> Option<usize> {
        let (left, right) = (2 * place + 1, 2 * place + 2);
        match self.heap.get(left..=right) {
            Some(both) => Some(if both[1] < both[0] { right } else { left }),
            None => (left < self.heap.len()).then_some(left),
        }
    }

    fn set(&mut self, place: usize, entry: (K, ClientId)) {
        self.heap[place] = entry;
        self.places.insert(entry.1, place as u32);
    }
}

impl<K: Ord + Copy> Default for Queue<K> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chance;
    use core::cell::Cell;
    use core::cmp::Ordering;

    #[test]
    fn the_first_is_whom_looking_at_everybody_finds() {
        let (mut queue, mut state) = (Queue::new(), chance::seed(&[2]));
        let mut plain = [None; 50];
        for _ in 0..5_000 {
            let id = (chance::draw(&mut state) % 50) as u16;
            plain[usize::from(id)] =
                (!chance::draw(&mut state).is_multiple_of(3)).then(|| chance::draw(&mut state) % 20);
            match plain[usize::from(id)] {
                Some(key) => queue.put(ClientId(id), key),
                None => _ = queue.remove(ClientId(id)),
            }
            let all = (0..).map(ClientId).zip(plain).filter_map(|(id, key)| Some((key?, id)));
            assert_eq!(queue.first(), all.min());
        }
    }

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

    #[test]
    fn each_change_takes_two_comparisons_a_level_at_most_up_to_ten_thousand_clients() {
        for clients in [1u16, 10, 100, 1_000, 10_000] {
            let (mut queue, mut state) = (Queue::new(), chance::seed(&[4]));
            let mut draw = || Counted(chance::draw(&mut state) % 100_000);
            (0..clients).for_each(|id| queue.put(ClientId(id), draw()));
            let levels = u64::from(clients.ilog2());
            for number in 0..20_000 {
                let before = COMPARISONS.get();
                let (_, id) = queue.first().unwrap();
                match number % 3 {
                    0 => _ = queue.remove(ClientId((number % u64::from(clients)) as u16)),
                    1 => queue.put(ClientId((number % u64::from(clients)) as u16), draw()),
                    _ => queue.put(id, draw()),
                }
                let took = COMPARISONS.get() - before;
                // One that moves up was compared once more than it moved, and then with its children.
                assert!(took <= 2 * levels + 3, "{took} with {clients}");
                queue.put(id, draw());
            }
        }
    }
}
