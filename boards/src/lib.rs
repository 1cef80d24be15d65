//! What the boot code finds out before it touches the hardware: the device tree, the ranges of memory that are free,
//! the serial line's pins and rate, memory cards, the boot archive and the program in it. Not here: anything that runs only on the machine itself (`main.rs`).
#![no_std]
#![forbid(unsafe_code)]

#[cfg(test)]
extern crate std;

pub mod archive;
pub mod fw_cfg;
pub mod nops;
pub mod program;
pub mod ranges;
pub mod sd;
pub mod serial;
pub mod tree;
