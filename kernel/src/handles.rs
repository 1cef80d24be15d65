//! Handle tables: a handle is a claim whose proof was checked once, at `bind`.
//!
//! Not here: the checking ([`crate::authority`]). A table is a frame that its environment paid for. Only calls that hold
//! the ownership lock write it; its own environment's activations read it without.
#![forbid(unsafe_code)]

use crate::capability::Claim;
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};
use tranche_abi::layout::MAX_HANDLES;
use tranche_abi::{Error, Handle};

/// An environment's handle table. All zeros is an empty one.
#[repr(C)]
pub struct Handles {
    entries: [AtomicU64; MAX_HANDLES],
}

impl Handles {
    /// What the handle stands for.
    pub fn get(&self, handle: Handle) -> Result<Claim, Error> {
        let entry = self.entries.get(handle.0 as usize).ok_or(Error::BadHandle)?;
        Claim::from_bits(entry.load(Relaxed)).ok_or(Error::BadHandle)
    }

    /// Binds a claim to a fixed handle, whatever it held.
    pub fn set(&self, handle: Handle, claim: Claim) {
        self.entries[handle.0 as usize].store(claim.to_bits(), Relaxed);
    }

    /// A handle that is free.
    pub fn vacant(&self) -> Result<Handle, Error> {
        let free = self.entries.iter().position(|entry| entry.load(Relaxed) == 0);
        free.map(|index| Handle(index as u64)).ok_or(Error::Full)
    }

    /// Empties a handle.
    pub fn clear(&self, handle: Handle) -> Result<(), Error> {
        self.get(handle)?;
        self.entries[handle.0 as usize].store(0, Relaxed);
        Ok(())
    }
}
