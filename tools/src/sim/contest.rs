//! How many clients compete, on which depends what a turn costs. The same count serves the simulator, which reckons with it, and
//! the calibration, which learns from recorded steps what it is to reckon with.
//!
//! Not here: the costs (`costs`).

use super::policy::Any;
use libos_core::sched::{ClientId, Policy};

/// The clients that compete.
#[derive(Clone, Copy, Debug, Default)]
pub struct Contest {
    /// How many they are.
    pub competing: usize,
    /// One more than the highest number of a client.
    numbers: u16,
}

impl Contest {
    /// A client joined.
    pub fn joined(&mut self, policy: &Any, client: ClientId) {
        self.numbers = self.numbers.max(client.0.saturating_add(1));
        self.competing += usize::from(policy.contends(client));
    }

    /// Some may have come or gone since: how many more there are now.
    pub fn recount(&mut self, policy: &Any) -> usize {
        let before = self.competing;
        self.competing = (0..self.numbers).filter(|number| policy.contends(ClientId(*number))).count();
        self.competing.saturating_sub(before)
    }
}
