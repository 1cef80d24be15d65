//! The supply bound function of a known slot pattern: the least CPU time in any window of a length, exactly.
//!
//! Shin and Lee ("Periodic Resource Model for Compositional Real-Time Guarantees", RTSS 2003) define it for a supply of
//! which only period and budget are known. Here the pattern itself is known, so the worst window is looked for.
//! Not here: what slots cost or how to get them.
#![forbid(unsafe_code)]

use alloc::vec::Vec;
use libos_core::sched::Tick;

/// What a pattern of slots supplies, revolution after revolution. When slots change hands, make a new one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Supply {
    /// Slots of a revolution.
    slots: u64,
    /// Ticks of a slot.
    quantum: u64,
    /// Ticks at its start that do not count.
    overhead: u64,
    /// Positions of the slots that count, ascending.
    owned: Vec<u64>,
}

impl Supply {
    /// The supply of the slots that `owned` marks in a revolution. At the start of each, `overhead` is lost: to the
    /// kernel's switch and the scheduler's first turn.
    pub fn new(owned: &[bool], quantum: Tick, overhead: Tick) -> Self {
        let positions = (0..).zip(owned).filter(|(_, owned)| **owned && quantum > overhead);
        let owned_positions = positions.map(|(position, _)| position).collect();
        let (quantum, overhead) = (quantum.0.max(1), overhead.0);
        Self { slots: owned.len().max(1) as u64, quantum, overhead, owned: owned_positions }
    }

    /// A core without anybody else.
    pub fn whole_core() -> Self {
        Self::new(&[true], Tick(1), Tick(0))
    }

    /// Length of a revolution.
    pub fn revolution(&self) -> Tick {
        Tick(self.slots * self.quantum)
    }

    /// What a revolution supplies.
    pub fn capacity(&self) -> Tick {
        Tick(self.owned.len() as u64 * self.per_slot())
    }

    /// The least supply in any window of this length.
    pub fn least_in(&self, window: Tick) -> Tick {
        let (revolution, capacity) = (self.revolution().0, self.capacity().0);
        let (whole, rest) = (window.0 / revolution, window.0 % revolution);
        // Moving a window's start until supply ends there never adds to what it holds. So a worst window starts at the
        // end of a slot.
        let least = self.starts().map(|(start, before)| self.until(start + rest) - before).min();
        Tick((whole * capacity).saturating_add(least.unwrap_or(0)))
    }

    /// The shortest window that is sure to hold this much supply; `Tick::NEVER` if there is none.
    pub fn window_for(&self, work: Tick) -> Tick {
        let capacity = self.capacity().0;
        if work.0 == 0 {
            return Tick(0);
        }
        if capacity == 0 {
            return Tick::NEVER;
        }
        let (whole, rest) = ((work.0 - 1) / capacity, (work.0 - 1) % capacity + 1);
        let longest = self.starts().map(|(start, before)| self.reached(before + rest) - start).max();
        let window = u128::from(whole) * u128::from(self.revolution().0) + u128::from(longest.unwrap_or(0));
        Tick(u64::try_from(window).unwrap_or(u64::MAX))
    }

    /// Ticks that count in a slot.
    fn per_slot(&self) -> u64 {
        self.quantum.saturating_sub(self.overhead)
    }

    /// The ends of the slots that count, and what was supplied in the revolution before each.
    fn starts(&self) -> impl Iterator<Item = (u64, u64)> {
        (1..).zip(&self.owned).map(|(count, slot)| ((slot + 1) * self.quantum, count * self.per_slot()))
    }

    /// What is supplied from the start of a revolution until `time`.
    fn until(&self, time: u64) -> u64 {
        let (whole, rest) = (time / self.revolution().0, time % self.revolution().0);
        let (slot, within) = (rest / self.quantum, rest % self.quantum);
        let before = self.owned.partition_point(|owned| *owned < slot);
        let inside =
            if self.owned.get(before) == Some(&slot) { within.saturating_sub(self.overhead) } else { 0 };
        whole * self.capacity().0 + before as u64 * self.per_slot() + inside
    }

    /// When `work`, at least 1, has been supplied from the start of a revolution.
    fn reached(&self, work: u64) -> u64 {
        let (full, count) = ((work - 1) / self.per_slot(), self.owned.len() as u64);
        let slot = full / count * self.slots + self.owned[(full % count) as usize];
        slot * self.quantum + self.overhead + (work - full * self.per_slot())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;
    use proptest::prelude::*;

    #[test]
    fn a_whole_core_supplies_every_window_wholly() {
        let supply = Supply::whole_core();
        for window in [0, 1, 17, 1_000_000] {
            assert_eq!(supply.least_in(Tick(window)), Tick(window));
            assert_eq!(supply.window_for(Tick(window)), Tick(window));
        }
    }

    #[test]
    fn one_slot_of_four_is_waited_for_up_to_three_slots_and_its_overhead() {
        let supply = Supply::new(&[false, true, false, false], Tick(100), Tick(5));
        assert_eq!(supply.least_in(Tick(305)), Tick(0));
        assert_eq!(supply.least_in(Tick(306)), Tick(1));
        assert_eq!(supply.least_in(Tick(400)), Tick(95));
        assert_eq!(supply.window_for(Tick(96)), Tick(706));
    }

    #[test]
    fn the_same_slots_spread_evenly_supply_short_windows_better() {
        let together = Supply::new(&[true, true, false, false], Tick(10), Tick(0));
        let spread = Supply::new(&[true, false, true, false], Tick(10), Tick(0));
        assert_eq!(together.least_in(Tick(25)), Tick(5));
        assert_eq!(spread.least_in(Tick(25)), Tick(10));
        assert_eq!(together.capacity(), spread.capacity());
    }

    #[test]
    fn no_slots_supply_nothing_ever() {
        for supply in
            [Supply::new(&[false, false], Tick(10), Tick(0)), Supply::new(&[true], Tick(10), Tick(10))]
        {
            assert_eq!(supply.least_in(Tick(1000)), Tick(0));
            assert_eq!(supply.window_for(Tick(1)), Tick::NEVER);
        }
    }

    proptest! {
        #[test]
        fn it_is_what_trying_every_window_start_finds(
            owned in prop::collection::vec(any::<bool>(), 1..6), quantum in 1..8u64, overhead in 0..4u64,
        ) {
            let supply = Supply::new(&owned, Tick(quantum), Tick(overhead));
            let revolution = owned.len() as u64 * quantum;
            let gives = |time: u64| owned[(time % revolution / quantum) as usize] && time % quantum >= overhead;
            let mut sums = vec![0u64];
            for time in 0..5 * revolution {
                sums.push(sums[time as usize] + u64::from(gives(time)));
            }
            for window in 0..4 * revolution {
                let held = |start: u64| sums[(start + window) as usize] - sums[start as usize];
                let least = (0..revolution).map(held).min().unwrap();
                prop_assert_eq!(supply.least_in(Tick(window)), Tick(least));
                if least > 0 {
                    let shortest = supply.window_for(Tick(least));
                    prop_assert!(shortest.0 <= window && supply.least_in(shortest).0 >= least);
                    prop_assert!(supply.least_in(Tick(shortest.0 - 1)).0 < least);
                }
            }
        }
    }
}
