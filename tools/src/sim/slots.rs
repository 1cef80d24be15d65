//! Whose a core's slots are: a slice vector, read by the kernel's own arithmetic, or slots as they were recorded.
//!
//! Not here: what happens in a slot (`core`) and who gives slots to whom (`broker`).

use libos_core::sched::Tick;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use tranche_kernel::slots::SlotWord;
use tranche_kernel::vector::Revolution;

/// The environment that owns what nobody else does.
pub const BROKER: u16 = 0;

/// A slot that begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Begun {
    /// When.
    pub begin: u64,
    /// When it ends.
    pub end: u64,
    /// Whose it is: [`BROKER`], or one more than the place of a core's scheduler.
    pub owner: u16,
}

/// A core's slots.
#[derive(Clone, Debug)]
pub enum Slots {
    /// By its slice vector.
    Vector(Vector),
    /// As they were recorded, in the order of time; between two of them the core is the broker's.
    Recorded(VecDeque<Begun>),
}

impl Slots {
    /// The slot that begins at this time, or the rest of the one that has begun.
    pub fn begin(&mut self, now: u64) -> Begun {
        match self {
            Self::Vector(vector) => vector.at(now),
            Self::Recorded(slots) => {
                while slots.front().is_some_and(|slot| slot.end <= now) {
                    slots.pop_front();
                }
                match slots.front() {
                    Some(slot) if slot.begin <= now => *slot,
                    next => {
                        Begun { begin: now, end: next.map_or(u64::MAX, |next| next.begin), owner: BROKER }
                    }
                }
            }
        }
    }

    /// Length of a slot; of recorded slots, of the next.
    pub fn quantum(&self) -> u64 {
        match self {
            Self::Vector(vector) => vector.revolution.quantum,
            Self::Recorded(slots) => slots.front().map_or(u64::MAX, |slot| slot.end - slot.begin),
        }
    }

    /// Which slots of the revolution an owner has; of recorded slots that is not known.
    pub fn pattern(&self, owner: u16) -> Option<Vec<bool>> {
        match self {
            Self::Vector(vector) => Some(vector.pattern(owner)),
            Self::Recorded(_) => None,
        }
    }

    /// The slice vector, if there is one.
    pub fn vector(&mut self) -> Option<&mut Vector> {
        match self {
            Self::Vector(vector) => Some(vector),
            Self::Recorded(_) => None,
        }
    }
}

/// A slice vector.
#[derive(Debug)]
pub struct Vector {
    revolution: Revolution,
    words: Vec<AtomicU64>,
}

impl Clone for Vector {
    fn clone(&self) -> Self {
        let words = self.words.iter().map(|word| AtomicU64::new(word.load(Relaxed))).collect();
        Self { revolution: self.revolution, words }
    }
}

impl Vector {
    /// A vector of slots that are the broker's, from time 0 on.
    pub fn new(quantum: u64, slots: u64) -> Self {
        let words = (0..slots).map(|_| AtomicU64::new(0)).collect();
        Self { revolution: Revolution { epoch: 0, quantum, slots }, words }
    }

    fn at(&self, now: u64) -> Begun {
        let slot = self.revolution.slot(&self.words, Tick(now));
        let end = slot.end.0;
        Begun { begin: end - self.revolution.quantum, end, owner: slot.word.owner }
    }

    /// Which slots an owner has.
    pub fn pattern(&self, owner: u16) -> Vec<bool> {
        self.words.iter().map(|word| SlotWord::load(word).owner == owner).collect()
    }

    /// How many slots an owner has.
    pub fn count(&self, owner: u16) -> u64 {
        self.words.iter().filter(|word| SlotWord::load(word).owner == owner).count() as u64
    }

    /// Hands a slot over, as the kernel does.
    pub fn give(&self, position: usize, owner: u16) {
        let word = &self.words[position];
        SlotWord { owner, ..SlotWord::load(word) }.renewed().store(word);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_that_was_given_begins_as_its_new_owners() {
        let mut slots = Slots::Vector(Vector::new(10, 3));
        slots.vector().unwrap().give(1, 7);
        assert_eq!(slots.begin(40), Begun { begin: 40, end: 50, owner: 7 });
        assert_eq!(slots.begin(51), Begun { begin: 50, end: 60, owner: BROKER });
        assert_eq!(slots.pattern(7), Some(vec![false, true, false]));
    }

    #[test]
    fn between_recorded_slots_the_core_is_nobodys() {
        let slot = |begin, owner| Begun { begin, end: begin + 10, owner };
        let mut slots = Slots::Recorded([slot(5, 1), slot(20, 2)].into());
        let nobody = |begin, end| Begun { begin, end, owner: BROKER };
        assert_eq!(
            [0, 5, 15, 20].map(|now| slots.begin(now)),
            [nobody(0, 5), slot(5, 1), nobody(15, 20), slot(20, 2)]
        );
        assert_eq!(slots.begin(30), nobody(30, u64::MAX));
    }
}
