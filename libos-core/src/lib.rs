//! The EL0 runtime that every libOS is built on.
//!
//! * [`sched`]: the `Policy` trait and the dispatch loop that any scheduler libOS uses.

#![no_std]
extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod sched;
