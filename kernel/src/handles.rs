//! Handle tables: a handle is a claim whose proof was checked once, at `bind`; a gate is an entry checked at `gate_open`.
//!
//! Not here: the checking ([`crate::authority`], [`crate::transfer`]). A table is a frame that its environment paid for.
//! Only calls that hold the ownership lock write it; its own environment's activations read it without.
#![forbid(unsafe_code)]

use crate::capability::Claim;
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};
use tranche_abi::layout::{MAX_GATES, MAX_HANDLES};
use tranche_abi::{Error, Handle};

/// An environment's handle table. All zeros is an empty one.
#[repr(C)]
pub struct Handles {
    entries: [AtomicU64; MAX_HANDLES],
    gates: [Gate; MAX_GATES],
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

const _: () = assert!(
    core::mem::offset_of!(Handles, gates).is_multiple_of(size_of::<Gate>() * MAX_GATES),
    "a gate's address is the table's with the gate's number put in"
);

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

    /// All gates.
    pub fn gates(&self) -> &[Gate; MAX_GATES] {
        &self.gates
    }
}
