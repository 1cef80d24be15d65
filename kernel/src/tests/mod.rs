//! The kernel as a whole, through `Kernel::handle`, on a fake machine.
//!
//! Not here: tests of one module's arithmetic, which stand in that module.

mod chaos;
mod fake;
mod invariants;
mod storm;
mod time;
mod world;
