//! Clients as the leaves of a balanced binary tree, in which at every node the two halves are scheduled by stride: what
//! hierarchical stride decides by. Every operation takes O(log n) steps for n clients.
//!
//! Two halves with `l` and `r` tickets share what their node gets. Stride gives a quantum `q` to the one with the lesser
//! (used + q) / tickets. With `ahead`, how far the left one is above its part of what both used, that is the left one iff
//!
//! ```text
//! (ahead + q) · r ≤ (q − ahead) · l
//! ```
//!
//! and when one of the left used c, `ahead` grows by c · r / (l + r). It is kept as a multiple of 1 / (l + r), so it is exact as
//! long as the tickets stay. No division is made but when they change.
//!
//! Not here: who waits until when.
//!
//! Invariant: |ahead| ≤ q at every node, whoever comes and goes, if nobody uses more than q at a time: the left half is chosen
//! only at ahead ≤ q (l − r) / (l + r), and is at most q · l / (l + r) ahead then; so is the right one, mirrored.
#![forbid(unsafe_code)]

use alloc::vec::Vec;
use libos_core::sched::{ClientId, Tick};

/// The tree.
#[derive(Clone, Debug, Default)]
pub struct Tree {
    /// The root is 1, the halves of a node twice it and one more. As many leaves, a power of 2, as there are nodes before them.
    nodes: Vec<Node>,
}

/// A client, or a group of clients whose numbers are neighbours.
#[derive(Clone, Copy, Debug, Default)]
struct Node {
    /// Tickets of those who compete.
    tickets: u64,
    /// How many of those are ready.
    ready: u32,
    /// By how much the left half is ahead of its part, in ticks: `ahead / scale`.
    ahead: i128,
    /// Not 0, once anybody competed here. The tickets, unless those are 0.
    scale: u64,
}

impl Node {
    /// From now on so many tickets compete. How far who is ahead stays as it is, rounded to the new scale.
    fn set_tickets(&mut self, tickets: u64) {
        self.tickets = tickets;
        if tickets > 0 {
            self.ahead = scaled(self.ahead, tickets, self.scale.max(1));
            self.scale = tickets;
        }
    }
}

/// `value · multiplier / divisor`, to the nearest.
fn scaled(value: i128, multiplier: u64, divisor: u64) -> i128 {
    let product = value.unsigned_abs() * u128::from(multiplier);
    // Usually all of it fits 64 bits, which a core divides by one instruction.
    let quotient = match u64::try_from(product + u128::from(divisor / 2)) {
        Ok(product) => u128::from(product / divisor),
        Err(_) => (product + u128::from(divisor / 2)) / u128::from(divisor),
    };
    if value < 0 { -(quotient as i128) } else { quotient as i128 }
}

impl Tree {
    /// A new client has a number: what was kept of whom had it before is forgotten. It does not compete yet.
    pub fn join(&mut self, client: ClientId) {
        while self.leaves() <= usize::from(client.0) {
            self.grow();
        }
        let parent = (self.leaves() + usize::from(client.0)) / 2;
        self.nodes[parent].ahead = 0;
    }

    /// From now on a client competes with so many tickets; with 0, it does not.
    pub fn compete(&mut self, client: ClientId, tickets: u64) {
        let Some(mut place) = self.place(client) else { return };
        self.nodes[place].set_tickets(tickets);
        while place > 1 {
            place /= 2;
            let halves = self.nodes[2 * place].tickets + self.nodes[2 * place + 1].tickets;
            self.nodes[place].set_tickets(halves);
        }
    }

    /// From now on a client is ready, or is not: then it waits or runs.
    pub fn ready(&mut self, client: ClientId, ready: Ready) {
        let Some(mut place) = self.place(client) else { return };
        let count = u32::from(ready == Ready::Yes);
        if self.nodes[place].ready == count {
            return;
        }
        self.nodes[place].ready = count;
        while place > 1 {
            place /= 2;
            self.nodes[place].ready = self.nodes[2 * place].ready + self.nodes[2 * place + 1].ready;
        }
    }

    /// The ready client whose turn it is, with a quantum not 0.
    pub fn next(&self, quantum: Tick) -> Option<ClientId> {
        self.nodes.get(1).filter(|root| root.ready > 0)?;
        let mut place = 1;
        while place < self.leaves() {
            place = 2 * place + usize::from(self.is_rights_turn(place, quantum));
        }
        Some(ClientId((place - self.leaves()) as u16))
    }

    fn is_rights_turn(&self, place: usize, quantum: Tick) -> bool {
        let (left, right) = (&self.nodes[2 * place], &self.nodes[2 * place + 1]);
        if left.ready == 0 || right.ready == 0 {
            return left.ready == 0;
        }
        let Node { ahead, scale, .. } = self.nodes[place];
        let quantum = i128::from(quantum.0) * i128::from(scale);
        (ahead + quantum) * i128::from(right.tickets) > (quantum - ahead) * i128::from(left.tickets)
    }

    /// A client that competes used CPU time.
    pub fn charge(&mut self, client: ClientId, ran: Tick) {
        let Some(mut place) = self.place(client) else { return };
        while place > 1 {
            let (other, is_left) = (place ^ 1, place.is_multiple_of(2));
            place /= 2;
            let part = i128::from(ran.0) * i128::from(self.nodes[other].tickets);
            self.nodes[place].ahead += if is_left { part } else { -part };
        }
    }

    fn leaves(&self) -> usize {
        self.nodes.len() / 2
    }

    /// A client's leaf, if it ever joined.
    fn place(&self, client: ClientId) -> Option<usize> {
        let place = self.leaves() + usize::from(client.0);
        (place < self.nodes.len()).then_some(place)
    }

    /// Twice as many leaves: the tree so far is the left half of the new one.
    fn grow(&mut self) {
        let old = core::mem::take(&mut self.nodes);
        self.nodes = alloc::vec![Node::default(); (2 * old.len()).max(4)];
        for (place, node) in old.iter().enumerate().skip(1) {
            self.nodes[place + (1 << place.ilog2())] = *node;
        }
        if let Some(root) = old.get(1) {
            self.nodes[1] = Node { ahead: 0, ..*root };
        }
    }
}

/// Whether a client is ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ready {
    /// It is.
    Yes,
    /// It waits or runs.
    No,
}

#[cfg(test)]
mod tests {
    use super::*;
    use libos_core::chance;

    const QUANTUM: Tick = Tick(1000);

    /// Clients of chance that come, go, wait and use up to a quantum.
    #[test]
    fn no_half_is_ever_ahead_by_more_than_a_quantum_whoever_comes_and_goes() {
        let (mut tree, mut state) = (Tree::default(), chance::seed(&[3]));
        for _ in 0..20_000 {
            let client = ClientId((chance::draw(&mut state) % 37) as u16);
            match chance::draw(&mut state) % 8 {
                0 => {
                    tree.join(client);
                    tree.compete(client, 1 + chance::draw(&mut state) % 1_000_000);
                    tree.ready(client, Ready::Yes);
                }
                1 => {
                    tree.compete(client, 0);
                    tree.ready(client, Ready::No);
                }
                _ => {
                    let Some(next) = tree.next(QUANTUM) else { continue };
                    tree.charge(next, Tick(chance::draw(&mut state) % (QUANTUM.0 + 1)));
                }
            }
            for node in &tree.nodes {
                // Each change of tickets rounds by half a unit of the scale at most: far less than a tick.
                let most = i128::from(QUANTUM.0 + 1) * i128::from(node.scale);
                assert!(node.ahead.abs() <= most, "{node:?}");
            }
        }
    }

    #[test]
    fn who_does_not_compete_is_not_charged_for_what_others_use_meanwhile() {
        let mut tree = Tree::default();
        for client in [0, 1] {
            tree.join(ClientId(client));
            tree.compete(ClientId(client), 1);
            tree.ready(ClientId(client), Ready::Yes);
        }
        tree.charge(ClientId(0), QUANTUM);
        tree.compete(ClientId(1), 0);
        tree.charge(ClientId(0), Tick(70_000));
        tree.compete(ClientId(1), 1);
        // As before it went: the left one is half a quantum ahead.
        assert_eq!((tree.nodes[1].ahead, tree.nodes[1].scale), (1000, 2));
        assert_eq!(tree.next(QUANTUM), Some(ClientId(1)));
    }

    #[test]
    fn a_tree_that_grows_keeps_who_is_ahead_of_whom() {
        let mut tree = Tree::default();
        for client in [0, 1, 9] {
            tree.join(ClientId(client));
            tree.compete(ClientId(client), 1);
            tree.ready(ClientId(client), Ready::Yes);
            if client == 1 {
                tree.charge(ClientId(0), QUANTUM);
            }
        }
        assert_eq!(tree.nodes.len(), 32);
        tree.ready(ClientId(9), Ready::No);
        assert_eq!(tree.next(QUANTUM), Some(ClientId(1)));
    }
}
