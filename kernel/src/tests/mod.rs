//! The kernel as a whole, through `Kernel::handle`, on a fake machine.
//!
//! Not here: tests of one module's arithmetic, which stand in that module.

mod broken;
mod chain;
mod chains;
mod chaos;
mod disk;
mod display;
mod fake;
mod faults;
mod invariants;
mod mapping;
mod ownership;
mod protection;
mod recording;
mod revocation;
mod scripts;
mod slices;
mod storm;
mod time;
mod traffic;
mod transfer;
mod transfers;
mod twins;
mod world;
