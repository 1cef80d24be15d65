//! When jobs will be released, each with the rank that it will have: which comes first, and which comes first of those that
//! rank before a given one. Each operation takes O(log n) steps in the mean for n clients.
//!
//! A binary search tree in the order of time that is also a heap by a number fixed for each client, as random as any (a
//! treap: Seidel and Aragon, Algorithmica 16, 1996); each node knows the least rank below it. Not here: what a rank is.
#![forbid(unsafe_code)]

use alloc::vec::Vec;
use libos_core::chance;
use libos_core::sched::{ClientId, Tick};

/// Releases to come, one for each client at most; the lower a rank, the sooner it runs.
#[derive(Clone, Debug, Default)]
pub struct Calendar<R> {
    /// Each client's node is at its number.
    nodes: Vec<Option<Node<R>>>,
    root: Option<ClientId>,
}

#[derive(Clone, Copy, Debug)]
struct Node<R> {
    at: Tick,
    /// What the heap is ordered by.
    weight: u64,
    rank: R,
    /// Of this node and all below it.
    least: R,
    left: Option<ClientId>,
    right: Option<ClientId>,
}

impl<R: Ord + Copy> Calendar<R> {
    /// Nothing to come.
    pub const fn new() -> Self {
        Self { nodes: Vec::new(), root: None }
    }

    /// A client's job will be released at a time, and rank so.
    pub fn insert(&mut self, id: ClientId, at: Tick, rank: R) {
        self.remove(id);
        if self.nodes.len() <= usize::from(id.0) {
            self.nodes.resize(usize::from(id.0) + 1, None);
        }
        self.nodes[usize::from(id.0)] =
            Some(Node { at, weight: weight(id), rank, least: rank, left: None, right: None });
        self.root = Some(self.insert_into(self.root, id));
    }

    /// Nothing of a client's is to come any more.
    pub fn remove(&mut self, id: ClientId) {
        let Some(node) = self.node(id) else { return };
        self.root = self.remove_from(self.root, (node.at, id));
        self.nodes[usize::from(id.0)] = None;
    }

    /// The first release to come: when, and whose.
    pub fn first(&self) -> Option<(Tick, ClientId)> {
        let mut place = self.root?;
        loop {
            let node = self.node(place)?;
            match node.left {
                Some(left) => place = left,
                None => return Some((node.at, place)),
            }
        }
    }

    /// When the first job is released that ranks before `rank`.
    pub fn first_before(&self, rank: R) -> Option<Tick> {
        let mut place = self.root?;
        loop {
            let node = self.node(place).filter(|node| node.least < rank)?;
            let sooner = node.left.filter(|left| self.node(*left).is_some_and(|left| left.least < rank));
            match sooner {
                Some(left) => place = left,
                None if node.rank < rank => return Some(node.at),
                None => place = node.right?,
            }
        }
    }

    fn node(&self, id: ClientId) -> Option<Node<R>> {
        self.nodes.get(usize::from(id.0)).copied().flatten()
    }

    /// Puts a node into a tree, above all that weigh less.
    fn insert_into(&mut self, tree: Option<ClientId>, new: ClientId) -> ClientId {
        let (Some((id, mut node)), Some(mut added)) =
            (tree.and_then(|id| Some((id, self.node(id)?))), self.node(new))
        else {
            return new;
        };
        if (added.weight, new) > (node.weight, id) {
            (added.left, added.right) = self.split(tree, (added.at, new));
            return self.put(new, added);
        }
        if (added.at, new) < (node.at, id) {
            node.left = Some(self.insert_into(node.left, new));
        } else {
            node.right = Some(self.insert_into(node.right, new));
        }
        self.put(id, node)
    }

    /// Takes the node with this key out of a tree.
    fn remove_from(&mut self, tree: Option<ClientId>, key: (Tick, ClientId)) -> Option<ClientId> {
        let id = tree?;
        let mut node = self.node(id)?;
        if id == key.1 {
            return self.merge(node.left, node.right);
        }
        if key < (node.at, id) {
            node.left = self.remove_from(node.left, key);
        } else {
            node.right = self.remove_from(node.right, key);
        }
        Some(self.put(id, node))
    }

    /// Divides a tree: what comes before `key`, and the rest.
    fn split(
        &mut self,
        tree: Option<ClientId>,
        key: (Tick, ClientId),
    ) -> (Option<ClientId>, Option<ClientId>) {
        let Some((id, mut node)) = tree.and_then(|id| Some((id, self.node(id)?))) else {
            return (None, None);
        };
        if (node.at, id) < key {
            let (middle, after) = self.split(node.right, key);
            node.right = middle;
            (Some(self.put(id, node)), after)
        } else {
            let (before, middle) = self.split(node.left, key);
            node.left = middle;
            (before, Some(self.put(id, node)))
        }
    }

    /// Joins two trees, all of the first being before all of the other.
    fn merge(&mut self, one: Option<ClientId>, other: Option<ClientId>) -> Option<ClientId> {
        let (Some(first), Some(second)) = (one, other) else { return one.or(other) };
        let (mut before, mut after) = (self.node(first)?, self.node(second)?);
        if (before.weight, first) > (after.weight, second) {
            before.right = self.merge(before.right, other);
            Some(self.put(first, before))
        } else {
            after.left = self.merge(one, after.left);
            Some(self.put(second, after))
        }
    }

    /// Puts a node back whose children may have changed.
    fn put(&mut self, id: ClientId, mut node: Node<R>) -> ClientId {
        let children = [node.left, node.right].into_iter().flatten();
        node.least = children
            .filter_map(|child| self.node(child))
            .fold(node.rank, |least, child| least.min(child.least));
        self.nodes[usize::from(id.0)] = Some(node);
        id
    }
}

/// What the heap is ordered by. Who comes when says nothing of it.
fn weight(id: ClientId) -> u64 {
    chance::seed(&[id.0.into()])
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::cell::Cell;
    use core::cmp::Ordering;

    #[test]
    fn it_finds_what_looking_at_every_release_finds() {
        let (mut calendar, mut state) = (Calendar::new(), chance::seed(&[3]));
        let mut plain = [None; 40];
        let mut draw = |limit| chance::draw(&mut state) % limit;
        for _ in 0..4000 {
            let id = draw(40) as u16;
            plain[usize::from(id)] = if draw(3) > 0 { Some((Tick(draw(50)), draw(20))) } else { None };
            match plain[usize::from(id)] {
                Some((at, rank)) => calendar.insert(ClientId(id), at, rank),
                None => calendar.remove(ClientId(id)),
            }
            let all = || (0..).map(ClientId).zip(plain).filter_map(|(id, entry)| Some((entry?, id)));
            assert_eq!(calendar.first(), all().map(|((at, _), id)| (at, id)).min());
            let limit = draw(22);
            let before = all().filter(|((_, rank), _)| *rank < limit).map(|((at, _), _)| at).min();
            assert_eq!(calendar.first_before(limit), before);
        }
    }

    std::thread_local! {
        static COMPARISONS: Cell<u64> = const { Cell::new(0) };
    }

    /// A rank that counts how often it is compared.
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
    fn a_release_and_a_search_take_logarithmically_many_comparisons_up_to_ten_thousand_clients() {
        for clients in [10u16, 100, 1_000, 10_000] {
            let (mut calendar, mut state) = (Calendar::new(), chance::seed(&[5]));
            for id in (0..clients).map(ClientId) {
                calendar.insert(
                    id,
                    Tick(chance::draw(&mut state) % 100_000),
                    Counted(chance::draw(&mut state) % 100_000),
                );
            }
            let before = COMPARISONS.get();
            for turn in 0..10_000 {
                let (at, id) = calendar.first().unwrap();
                calendar.insert(id, Tick(at.0 + 100_000), Counted(chance::draw(&mut state) % 100_000));
                calendar.first_before(Counted(turn));
            }
            // A node's depth is 2 ln n in the mean; each of five walks compares three times at each node.
            let mean = (COMPARISONS.get() - before) / 10_000;
            let depth = 2 * u64::from(clients.ilog2() + 1);
            assert!(mean <= 15 * depth, "{mean} with {clients}");
        }
    }
}
