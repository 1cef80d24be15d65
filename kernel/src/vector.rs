//! A core's slice vector as arithmetic: which slot a time lies in, when that ends, and what its word says.
//!
//! Pure: the caller says what the time is and where the words are. One definition for both ways in which the kernel
//! switches ([`crate::slice`], [`crate::fast`]) and for whoever computes what the kernel would do. Not here: what happens in a slot,
//! and how slots change hands ([`crate::slots`]).
#![forbid(unsafe_code)]

use crate::slots::SlotWord;
use core::sync::atomic::AtomicU64;
use tranche_abi::Tick;

/// The common time of all slice vectors, in ticks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Revolution {
    /// When the first slot began.
    pub epoch: u64,
    /// Length of a slot, not 0.
    pub quantum: u64,
    /// Slots of a revolution, not 0.
    pub slots: u64,
}

/// A slot of one core, in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot {
    /// Who owns it, as its word says now.
    pub word: SlotWord,
    /// When it ends.
    pub end: Tick,
}

impl Revolution {
    /// The number of the slot since the epoch that a time lies in; a time before the epoch counts as the epoch.
    #[inline(always)]
    pub fn number(&self, now: Tick) -> u64 {
        now.since(Tick(self.epoch)).0.checked_div(self.quantum).unwrap_or(0)
    }

    /// The slot of a vector that a time lies in; a time before the epoch counts as the epoch.
    ///
    /// # Panics
    /// If the vector has fewer words than a revolution has slots.
    pub fn slot(&self, vector: &[AtomicU64], now: Tick) -> Slot {
        self.find(vector, now).expect("a vector has as many words as a revolution has slots")
    }

    /// The same; `None` if the vector has fewer words.
    #[inline(always)]
    pub fn find(&self, vector: &[AtomicU64], now: Tick) -> Option<Slot> {
        let number = self.number(now);
        let end = Tick(self.epoch.wrapping_add(number.wrapping_add(1).wrapping_mul(self.quantum)));
        let word = vector.get(number.checked_rem(self.slots)? as usize)?;
        Some(Slot { word: SlotWord::load(word), end })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REVOLUTION: Revolution = Revolution { epoch: 1000, quantum: 10, slots: 3 };

    fn owner_and_end(now: u64) -> (u16, u64) {
        let vector = [4, 5, 6].map(|owner| {
            let word = AtomicU64::new(0);
            SlotWord { owner, activation: 1, generation: 9 }.store(&word);
            word
        });
        let slot = REVOLUTION.slot(&vector, Tick(now));
        assert_eq!((slot.word.activation, slot.word.generation), (1, 9));
        (slot.word.owner, slot.end.0)
    }

    #[test]
    fn a_slots_position_is_its_time() {
        assert_eq!([1000, 1009, 1010, 1029].map(owner_and_end), [(4, 1010), (4, 1010), (5, 1020), (6, 1030)]);
    }

    #[test]
    fn the_vector_begins_again_with_each_revolution() {
        assert_eq!([1030, 1059, 1060].map(owner_and_end), [(4, 1040), (6, 1060), (4, 1070)]);
    }

    #[test]
    fn before_the_epoch_the_first_slot_is_meant() {
        assert_eq!(owner_and_end(3), (4, 1010));
    }
}
