//! The programs: one module each, with a `main` that a one-line binary in `bin/` names.
//!
//! * [`sha256`], [`matmul`], [`compress`], [`control`], [`spin`]: workloads that check their own results; how they are
//!   told what to do, and repeat it, is in [`work`].

#![no_std]
extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod compress;
pub mod control;
pub mod matmul;
pub mod sha256;
pub mod spin;
pub mod work;
