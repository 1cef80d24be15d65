//! The benchmark's host side.
//!
//! * [`linux`]: the same operations on Linux.

pub mod linux;
