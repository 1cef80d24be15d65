//! The EL0 runtime that every libOS is built on.
//!
//! * [`scenario`]: what a run is made of. [`report`]: what it tells the host.
//! * [`sched`]: the `Policy` trait and the dispatch loop that any scheduler libOS uses.

#![no_std]
extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod report;
pub mod scenario;
pub mod sched;
