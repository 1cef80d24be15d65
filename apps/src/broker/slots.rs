//! Who owns which slot, as the broker saw it: read once a revolution, and kept up while it trades.
#![forbid(unsafe_code)]

use alloc::vec::Vec;
use libos_core::public::View;
use tranche_abi::{Core, SlotIndex};

/// The slots of all cores.
#[derive(Clone, Debug, Default)]
pub struct SlotMap {
    /// By core and position: the owning environment's index and the slot's generation.
    cores: Vec<Vec<(u64, u64)>>,
}

impl SlotMap {
    /// Reads every slot's owner.
    pub fn read(view: View) -> Self {
        let slots = view.slots();
        let owner = |core, slot| {
            let owner = view.owner(Core(core), SlotIndex(slot));
            owner.map_or((u64::MAX, 0), |owner| (owner.env, owner.generation))
        };
        let vector = |core| (0..slots).map(|slot| owner(core, slot)).collect();
        Self { cores: (0..view.cores()).map(vector).collect() }
    }

    /// How many cores there are.
    pub fn cores(&self) -> u64 {
        self.cores.len() as u64
    }

    /// The positions of an environment's slots on a core.
    pub fn of(&self, core: u64, env: u64) -> impl DoubleEndedIterator<Item = usize> + '_ {
        let vector = self.cores.get(core as usize).map_or(&[][..], Vec::as_slice);
        vector.iter().enumerate().filter(move |(_, slot)| slot.0 == env).map(|(position, _)| position)
    }

    /// How many slots of a core an environment owns.
    pub fn count(&self, core: u64, env: u64) -> u64 {
        self.of(core, env).count() as u64
    }

    /// A number that changes when an environment gains or loses a slot anywhere.
    pub fn shape(&self, env: u64) -> u64 {
        let slots = self.cores.iter().enumerate().flat_map(|(core, vector)| {
            vector.iter().enumerate().map(move |(position, slot)| (core * vector.len() + position, slot))
        });
        slots.filter(|(_, slot)| slot.0 == env).map(|(place, slot)| (slot.1 << 16) + place as u64).sum()
    }

    /// Notes that a slot went to an environment.
    pub fn moved(&mut self, core: u64, position: usize, env: u64) {
        if let Some(slot) = self.cores.get_mut(core as usize).and_then(|vector| vector.get_mut(position)) {
            *slot = (env, slot.1 + 1);
        }
    }

    /// The slots of a core that an environment owns, as a pattern.
    pub fn pattern(&self, core: u64, env: u64) -> Vec<bool> {
        self.cores
            .get(core as usize)
            .map_or_else(Vec::new, |vector| vector.iter().map(|slot| slot.0 == env).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_that_moved_is_counted_for_its_new_owner_and_changes_both_shapes() {
        let mut map = SlotMap { cores: alloc::vec![alloc::vec![(0, 1), (7, 1), (0, 1)]; 2] };
        let before = (map.shape(0), map.shape(7));
        map.moved(1, 2, 7);
        assert_eq!((map.count(1, 0), map.count(1, 7), map.count(0, 7)), (1, 2, 1));
        assert_eq!(map.of(1, 7).collect::<Vec<_>>(), [1, 2]);
        assert_eq!(map.pattern(1, 0), [true, false, false]);
        assert_ne!((map.shape(0), map.shape(7)), before);
    }
}
