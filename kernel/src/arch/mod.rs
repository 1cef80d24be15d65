//! The hardware behind [`Machine`](crate::machine::Machine). Exists only where there is no operating system beneath.

pub mod aarch64;
