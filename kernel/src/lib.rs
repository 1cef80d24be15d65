//! The Tranche exokernel: it shares cores, page frames and environments safely, and decides nothing else.
//!
//! # Map
//! * [`kernel`]: `handle`, every way in, one match. [`calls`]: the same for calls.
//! * [`slice`](mod@slice): slots, directed yield, the chain; [`transfer`]: protected control transfer; [`ledger`]: who is charged.
//! * [`fast`]: the common cases of switching again, in few instructions.
//! * [`activation`]: contexts, upcalls, faults; [`block`]: what a switch needs of each, in one place.
//! * [`environment`], [`frames`], [`paging`], [`memory`], [`protect`], [`slots`], [`handles`], [`capability`], [`authority`], [`revoke`], [`disk`]: ownership.
//! * [`trace`]: recording what happens, for whoever may read it.
//! * [`boot`]: from memory ranges to the first environment.
//! * [`word`]: the protocols of words that several cores change without a lock.
//! * [`machine`]: what portable code may ask of the hardware. `arch` (bare metal only) implements it.
//!
//! # Principles
//! Event in, [`Resume`](machine::Resume) out: `arch` turns traps into events and enacts what comes back. Whatever comes from
//! EL0 is a claim until checked; check everything, then act. The kernel never follows an address of EL0's: arguments
//! come in registers or from the activation's page, whose frame it knows.
//!
//! # Locks, in the order in which they are taken
//! 1. `cores[i]`: taken by core `i` alone, for the whole of an event; never contended.
//! 2. `ownership`: who owns which frame, slot, extent, environment; every call that changes or grants authority, and `notify`.
//!    A call that finds it taken is made again by its caller, so that interrupts are not masked for the length of
//!    another core's work.
//!
//! Null call, directed yield, `wait`, faults handled by the application, and slice switches take the first only. A page
//! descriptor that is marked as its environment's own changes its protection without a lock ([`protect`]).

#![no_std]

#[cfg(test)]
extern crate std;

pub mod activation;
#[cfg(target_os = "none")]
pub mod arch;
pub mod authority;
pub mod block;
pub mod boot;
pub mod calls;
pub mod capability;
pub mod disk;
pub mod environment;
pub mod fast;
pub mod firmware;
pub mod frames;
pub mod handles;
pub mod kernel;
pub mod ledger;
pub mod machine;
pub mod memory;
pub mod paging;
pub mod protect;
pub mod revoke;
pub mod slice;
pub mod slots;
pub mod trace;
pub mod transfer;
pub mod vector;
pub mod word;

#[cfg(test)]
mod tests;
