//! The locks of an activation's clients: who holds each, and who waits for it, in the order of coming, as in `libos_core::lock`.
//!
//! Not here: when a client takes and leaves its lock (`client`), and what becomes of the CPU meanwhile (`core`).

use libos_core::sched::ClientId;
use libos_core::sched::dispatch::ReadySet;
use std::collections::VecDeque;

/// A lock that a client needs for each of its jobs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Section {
    /// Which of the activation's.
    pub lock: usize,
    /// The client's own number.
    pub member: ClientId,
    /// For how much of each job's CPU time it is held, from the beginning.
    pub held: u64,
}

/// All locks of an activation.
#[derive(Clone, Debug, Default)]
pub struct Locks {
    /// Of each: its holder, and behind it whoever waits.
    lines: Vec<VecDeque<ClientId>>,
    /// Clients that have a lock now for which they waited.
    pub woken: ReadySet,
}

impl Locks {
    /// So many locks, all of them free.
    pub fn new(count: usize) -> Self {
        Self { lines: vec![VecDeque::new(); count], woken: ReadySet::default() }
    }

    /// A client comes for a lock: who was the last to come, if it has to wait.
    pub fn enter(&mut self, section: Section) -> Option<ClientId> {
        let line = self.lines.get_mut(section.lock)?;
        let before = line.back().copied();
        line.push_back(section.member);
        before
    }

    /// The holder leaves: whether somebody has it next, who is woken.
    pub fn leave(&mut self, section: Section) -> bool {
        let Some(line) = self.lines.get_mut(section.lock) else { return false };
        line.pop_front();
        let next = line.front().copied();
        next.into_iter().for_each(|client| self.woken.insert(client));
        next.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_is_given_on_in_the_order_of_coming_and_everybody_waits_for_the_one_before() {
        let mut locks = Locks::new(2);
        let section = |member| Section { lock: 1, member: ClientId(member), held: 5 };
        let came: Vec<_> = [4, 2, 7].map(|member| locks.enter(section(member)).map(|client| client.0)).into();
        assert_eq!(came, [None, Some(4), Some(2)]);
        let mut leave = |member| (locks.leave(section(member)), std::mem::take(&mut locks.woken).next());
        assert_eq!(leave(4), (true, Some(ClientId(2))));
        assert_eq!(leave(2), (true, Some(ClientId(7))));
        assert_eq!(leave(7), (false, None));
        assert_eq!(locks.enter(Section { lock: 0, ..section(4) }), None);
    }
}
