//! How many clients compete, on which depends what a turn costs. The same count serves the simulator, which reckons with it, and
//! the calibration, which learns from recorded steps what it is to reckon with.
//!
//! Not here: the costs (`costs`).

use super::policy::Any;
use libos_core::sched::{ClientId, Policy, Tick};

/// The clients that compete.
#[derive(Clone, Copy, Debug, Default)]
pub struct Contest {
    /// How many they are.
    pub competing: usize,
    /// One more than the highest number of a client.
    numbers: u16,
    /// Clients that joined since the policy was last asked.
    joined: usize,
    /// Whether somebody's wait is over, when the policy is asked.
    due: bool,
}

/// Who came since a policy was last asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Newcomers {
    /// Clients whose wait is over.
    pub admitted: usize,
    /// Clients that joined.
    pub joined: usize,
}

impl Contest {
    /// So many, and nobody who came or waits.
    #[cfg(test)]
    pub fn of(competing: usize) -> Self {
        Self { competing, ..Self::default() }
    }

    /// How many of the others wait.
    pub fn waiting(&self) -> usize {
        usize::from(self.numbers).saturating_sub(self.competing)
    }

    /// A client joined.
    pub fn joined(&mut self, client: ClientId) {
        self.numbers = self.numbers.max(client.0.saturating_add(1));
        self.joined += 1;
    }

    /// A client went, or waits.
    pub fn recount(&mut self, policy: &Any) {
        self.competing = (0..self.numbers).filter(|number| policy.contends(ClientId(*number))).count();
    }

    /// A client was woken.
    pub fn woken(&mut self) {
        self.due = true;
    }

    /// The policy is about to be asked.
    pub fn asks(&mut self, policy: &Any, now: Tick) {
        self.due |= policy.next_event() <= now;
    }

    /// It was: who came.
    pub fn asked(&mut self, policy: &Any) -> Newcomers {
        let joined = std::mem::take(&mut self.joined);
        if joined == 0 && !std::mem::take(&mut self.due) {
            return Newcomers::default();
        }
        let before = self.competing;
        self.recount(policy);
        Newcomers { admitted: self.competing.saturating_sub(before + joined), joined }
    }
}
