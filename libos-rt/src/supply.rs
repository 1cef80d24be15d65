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
    /// What a revolution supplies.
    capacity: u64,
    /// The slots that count, by position.
    owned: Vec<Slot>,
}

/// A slot that supplies something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Slot {
    position: u64,
    /// Ticks at its start that do not count.
    lost: u64,
    /// What the slots before it supply in its revolution.
    before: u64,
}

impl Supply {
    /// The supply of the slots that `owned` marks in a revolution. At the start of each, `overhead` is lost: to the
    /// kernel's switch and the scheduler's first turn.
    pub fn new(owned: &[bool], quantum: Tick, overhead: Tick) -> Self {
        Self::beside_others(owned, quantum, overhead, Tick(0))
    }

    /// The same beside others who may keep the CPU for `grace` past the end of their slots: a slot that follows one of theirs begins
    /// late by so much at most.
    pub fn beside_others(owned: &[bool], quantum: Tick, overhead: Tick, grace: Tick) -> Self {
        let quantum = quantum.0.max(1);
        let mut supply = Self { slots: owned.len().max(1) as u64, quantum, capacity: 0, owned: Vec::new() };
        for (position, _) in owned.iter().enumerate().filter(|(_, owned)| **owned) {
            let follows_own = owned[(position + owned.len() - 1) % owned.len()];
            let lost = overhead.0 + if follows_own { 0 } else { grace.0 };
            if quantum > lost {
                supply.owned.push(Slot { position: position as u64, lost, before: supply.capacity });
                supply.capacity += quantum - lost;
            }
        }
        supply
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
        Tick(self.capacity)
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

    /// The ends of the slots that count, and what was supplied in the revolution before each.
    fn starts(&self) -> impl Iterator<Item = (u64, u64)> {
        let supplied = |slot: &Slot| slot.before + self.quantum - slot.lost;
        self.owned.iter().map(move |slot| ((slot.position + 1) * self.quantum, supplied(slot)))
    }

    /// What is supplied from the start of a revolution until `time`.
    fn until(&self, time: u64) -> u64 {
        let (whole, rest) = (time / self.revolution().0, time % self.revolution().0);
        let (position, within) = (rest / self.quantum, rest % self.quantum);
        let next = self.owned.get(self.owned.partition_point(|slot| slot.position < position));
        let before = next.map_or(self.capacity, |slot| slot.before);
        let inside =
            next.filter(|slot| slot.position == position).map_or(0, |slot| within.saturating_sub(slot.lost));
        whole * self.capacity + before + inside
    }

    /// When `work`, at least 1, has been supplied from the start of a revolution.
    fn reached(&self, work: u64) -> u64 {
        let (whole, rest) = ((work - 1) / self.capacity, (work - 1) % self.capacity + 1);
        let slot = self.owned[self.owned.partition_point(|slot| slot.before < rest) - 1];
        whole * self.revolution().0 + slot.position * self.quantum + slot.lost + (rest - slot.before)
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
    fn a_slot_after_another_owners_begins_late_by_the_grace_time_and_one_after_ones_own_does_not() {
        let supply = Supply::beside_others(&[false, true, true, false], Tick(100), Tick(4), Tick(5));
        assert_eq!(supply.capacity(), Tick(91 + 96));
        assert_eq!(supply.window_for(Tick(1)), Tick(210));
        assert_eq!(supply.window_for(Tick(92)), Tick(305));
        // Nobody else is there to be late.
        assert_eq!(
            Supply::beside_others(&[true], Tick(10), Tick(0), Tick(5)),
            Supply::new(&[true], Tick(10), Tick(0))
        );
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
            owned in prop::collection::vec(any::<bool>(), 1..6), quantum in 1..8u64, overhead in 0..4u64, grace in 0..4u64,
        ) {
            let supply = Supply::beside_others(&owned, Tick(quantum), Tick(overhead), Tick(grace));
            let (revolution, slots) = (owned.len() as u64 * quantum, owned.len());
            let gives = |time: u64| {
                let slot = (time % revolution / quantum) as usize;
                let late = if owned[(slot + slots - 1) % slots] { 0 } else { grace };
                owned[slot] && time % quantum >= overhead + late
            };
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
