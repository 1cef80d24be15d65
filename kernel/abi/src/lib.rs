//! What both sides of the kernel boundary agree on: the call table, shared structures, error codes.
//! Not here: any logic. The kernel decides; `libos-core` wraps.
//!
//! * [`calls`]: the one table from which numbers, decoding and EL0 stubs expand.
//! * [`types`]: newtypes of everything that crosses the boundary in a register.
//! * [`page`]: the activation's page, shared and writable by both sides.
//! * [`public`]: the read-only region that every environment sees.
//! * [`trace`]: records of what happens, in rings.
//! * [`layout`]: where things are in an environment's address space.

#![no_std]
#![forbid(unsafe_code)]

pub mod calls;
pub mod error;
pub mod layout;
pub mod page;
pub mod public;
pub mod trace;
pub mod types;

pub use calls::Call;
pub use error::Error;
pub use types::*;
