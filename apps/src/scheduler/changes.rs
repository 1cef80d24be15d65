//! Clients that join their policy later than they are made, or leave it before their libOS goes. Not here: what becomes of them
//! then (`serve`).
#![forbid(unsafe_code)]

use alloc::vec::Vec;
use core::cmp::Reverse;
use libos_core::sched::{ClientId, Tick};

/// A client that comes or goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// It joins.
    Joins(ClientId),
    /// It leaves.
    Leaves(ClientId),
}

/// Who comes and goes, and when.
#[derive(Clone, Debug, Default)]
pub struct Changes {
    /// The next one last; of two at the same time, the one that was added first.
    all: Vec<(Tick, Change)>,
}

impl Changes {
    /// A client comes or goes then; `None`: never.
    pub fn add(&mut self, at: Option<Tick>, change: Change) {
        let Some(at) = at else { return };
        self.all.insert(0, (at, change));
        self.all.sort_by_key(|(at, _)| Reverse(*at));
    }

    /// When the next one does; `None`: nobody will.
    pub fn next(&self) -> Option<Tick> {
        self.all.last().map(|(at, _)| *at)
    }

    /// Takes the next one if its time has come. Without one, the time is not asked for.
    pub fn take(&mut self, now: impl FnOnce() -> Tick) -> Option<Change> {
        let is_due = self.next().is_some_and(|at| at <= now());
        is_due.then(|| self.all.pop().map(|(_, change)| change)).flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_come_in_the_order_of_time_and_of_the_clients() {
        let mut changes = Changes::default();
        changes.add(Some(Tick(20)), Change::Joins(ClientId(0)));
        changes.add(None, Change::Leaves(ClientId(0)));
        changes.add(Some(Tick(10)), Change::Joins(ClientId(1)));
        changes.add(Some(Tick(20)), Change::Leaves(ClientId(1)));
        assert_eq!((changes.next(), changes.take(|| Tick(9))), (Some(Tick(10)), None));
        assert_eq!(changes.take(|| Tick(10)), Some(Change::Joins(ClientId(1))));
        assert_eq!(changes.take(|| Tick(10)), None);
        assert_eq!(changes.take(|| Tick(30)), Some(Change::Joins(ClientId(0))));
        assert_eq!(changes.take(|| Tick(30)), Some(Change::Leaves(ClientId(1))));
        assert_eq!((changes.next(), changes.take(|| Tick::NEVER)), (None, None));
    }
}
