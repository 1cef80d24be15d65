//! The programs: one module each, with a `main` that a one-line binary in `bin/` names.
//!
//! * [`broker`] shares the machine out; [`assignment`] is what it tells a scheduler libOS.
//! * [`scheduler`]: the scheduler libOSes. [`mod@relay`]: what a child says, passed on.
//! * [`sha256`], [`matmul`], [`compress`], [`control`], [`monte_carlo`], [`spin`]: workloads that check their own results; how they are
//!   told what to do, and repeat it, is in [`work`]; what they have together in [`sharing`].
//! * [`threads`]: a program of many threads on several activations, which checks itself.
//! * [`tracer`] takes what is recorded out of the machine. [`display`] draws it on the screen.
//! * [`hostile`] breaks every rule, some of them by [`probe`]s. [`fuzz`] makes calls by chance, millions of them.
//! * [`selftest`] finds out whether the kernel keeps them, [`mod@bench`] what it costs; [`hardware`] whether the machine is sound.

#![no_std]
extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod assignment;
pub mod bench;
pub mod broker;
pub mod compress;
pub mod control;
pub mod display;
pub mod fuzz;
pub mod hardware;
pub mod hostile;
pub mod matmul;
pub mod monte_carlo;
pub mod probe;
pub mod relay;
pub mod scheduler;
pub mod selftest;
pub mod sha256;
pub mod sharing;
pub mod spin;
pub mod threads;
pub mod tracer;
pub mod work;
