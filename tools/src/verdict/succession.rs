//! What must have become of a libOS that changes its policy, or whose scheduler died and has an heir: the other one took over on every core,
//! with all clients, and soon.
//!
//! Not here: what either policy promised meanwhile (`trace`).

use super::Lines;
use crate::results::us;
use libos_core::report::Start;
use libos_core::scenario::{self, End, Policy};

/// Revolutions from when a scheduler is found dead until its heir has all clients, at most: it is made, given slots in the first, and begins
/// in the next.
const HEIR_REVOLUTIONS: u64 = 3;

impl Lines<'_> {
    /// Of a libOS that is to change its policy by itself.
    pub(super) fn swap(&mut self, libos: &scenario::LibOs, start: &Start) {
        if let Some(swap) = libos.swap {
            self.succession(libos, (swap.to, start.quantum), start);
        }
    }

    /// Of a libOS that has an heir and died.
    pub(super) fn heir(&mut self, libos: &scenario::LibOs, start: &Start) {
        let certain = libos.fails.is_some_and(|fails| fails.how.end() == End::Others);
        let destroyed = self.outcome.hostile.iter().any(|one| one.name == libos.name && one.destroyed);
        let died = certain || destroyed;
        if let Some(heir) = libos.heir.filter(|_| died) {
            self.succession(libos, (heir, start.quantum * start.slots * HEIR_REVOLUTIONS), start);
            self.work(libos);
        }
    }

    /// On every core the policy `to` takes over all clients that there are, within so much time.
    fn succession(&mut self, libos: &scenario::LibOs, (to, most): (Policy, u64), start: &Start) {
        let (cores, mut clients) = (self.scenario.cores, vec![0; self.scenario.cores as usize]);
        let copies = libos.clients.iter().flat_map(|client| client.copies(cores));
        copies.for_each(|(core, _)| clients[core as usize] += 1);
        let heard = self.outcome.successions.iter().filter(|one| one.libos == libos.name && one.to == to);
        let mut seen: Vec<_> = heard.map(|one| (one.core, one.clients, one.done - one.began)).collect();
        seen.sort_unstable();
        let gap = seen.iter().map(|(.., gap)| *gap).max().unwrap_or(0);
        let all = (0..).zip(clients).eq(seen.iter().map(|(core, clients, _)| (*core, *clients)));
        let taken: u64 = seen.iter().map(|(_, clients, _)| clients).sum();
        let nanoseconds = us(gap.saturating_mul(1000), start.frequency);
        let limit = us(most, start.frequency);
        let expected =
            format!("{}: {} takes over on every core, all clients, within {limit} us", libos.name, to.word());
        let told = format!(
            "on {} cores, {taken} clients, in {}.{:03} us at most",
            seen.len(),
            nanoseconds / 1000,
            nanoseconds % 1000
        );
        self.line(expected, told, all && gap <= most);
    }
}
