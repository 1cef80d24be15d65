//! Handle tables: a handle is a claim whose proof was checked once, at `bind`; a gate is an entry checked at `gate_open`.
//!
//! Not here: the checking ([`crate::authority`], [`crate::transfer`]). A table is a frame that its environment paid for.
//! Only calls that hold the ownership lock write it; its own environment's activations read it without.
#![forbid(unsafe_code)]

use crate::capability::Claim;
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};
use tranche_abi::layout::{MAX_GATES, MAX_HANDLES, PAGE_SIZE};
use tranche_abi::{Error, Handle};

/// An environment's handle table. All zeros is an empty one.
#[repr(C)]
pub struct Handles {
    entries: [AtomicU64; MAX_HANDLES],
    gates: [Gate; MAX_GATES],
    /// Which handles are bound: handle `n` is bit `n % 64` of word `n / 64`.
    bound: [AtomicU64; MAX_HANDLES / 64],
}

/// The right to enter one activation. It needs no breaking when that activation's environment ends: its state word is
/// another then.
#[repr(C)]
pub struct Gate {
    /// The activation's [`BlockAddress`](crate::block::BlockAddress); 0 for none.
    pub block: AtomicU64,
    /// The state word with which that activation, in that life, waits for a call.
    pub idle: AtomicU64,
}

const _: () = {
    assert!(size_of::<Handles>() <= PAGE_SIZE as usize);
    assert!(
        core::mem::offset_of!(Handles, gates).is_multiple_of(size_of::<Gate>() * MAX_GATES),
        "a gate's address is the table's with the gate's number put in"
    );
};

impl Handles {
    /// What the handle stands for.
    pub fn get(&self, handle: Handle) -> Result<Claim, Error> {
        let entry = self.entries.get(handle.0 as usize).ok_or(Error::BadHandle)?;
        Claim::from_bits(entry.load(Relaxed)).ok_or(Error::BadHandle)
    }

    /// What the handle stands for, as a claim's bits; 0 for nothing.
    pub fn bits(&self, handle: usize) -> u64 {
        self.entries[handle % MAX_HANDLES].load(Relaxed)
    }

    /// Binds a claim to a fixed handle, whatever it held.
    pub fn set(&self, handle: Handle, claim: Claim) {
        self.entries[handle.0 as usize].store(claim.to_bits(), Relaxed);
        let word = &self.bound[handle.0 as usize / 64];
        word.store(word.load(Relaxed) | 1 << (handle.0 % 64), Relaxed);
    }

    /// The lowest handle that is free.
    pub fn vacant(&self) -> Result<Handle, Error> {
        for (at, word) in self.bound.iter().enumerate() {
            let free = !word.load(Relaxed);
            if free != 0 {
                return Ok(Handle(at as u64 * 64 + free.trailing_zeros() as u64));
            }
        }
        Err(Error::Full)
    }

    /// Empties a handle.
    pub fn clear(&self, handle: Handle) -> Result<(), Error> {
        self.get(handle)?;
        self.entries[handle.0 as usize].store(0, Relaxed);
        let word = &self.bound[handle.0 as usize / 64];
        word.store(word.load(Relaxed) & !(1 << (handle.0 % 64)), Relaxed);
        Ok(())
    }

    /// All gates.
    pub fn gates(&self) -> &[Gate; MAX_GATES] {
        &self.gates
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::environment::{EnvId, env_claim};
    use tranche_abi::Rights;

    #[test]
    fn the_lowest_free_handle_is_given_until_none_is_left() {
        let no_gate = || Gate { block: AtomicU64::new(0), idle: AtomicU64::new(0) };
        let table = Handles {
            entries: [const { AtomicU64::new(0) }; _],
            gates: core::array::from_fn(|_| no_gate()),
            bound: [const { AtomicU64::new(0) }; _],
        };
        let claim = env_claim(EnvId { index: 3, generation: 1 }, Rights::ALL);
        for expected in 0..MAX_HANDLES as u64 {
            assert_eq!(table.vacant(), Ok(Handle(expected)));
            table.set(Handle(expected), claim);
        }
        assert_eq!(table.vacant(), Err(Error::Full));
        for freed in [255, 64, 63, 0] {
            assert_eq!(table.clear(Handle(freed)), Ok(()));
            assert_eq!(table.clear(Handle(freed)), Err(Error::BadHandle));
            assert_eq!(table.vacant(), Ok(Handle(freed)));
        }
    }
}
