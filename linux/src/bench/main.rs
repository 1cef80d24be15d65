//! What Linux needs for the operations of the benchmark: the first process of a machine that runs Linux, and nothing
//! else. Not here: the machine, and what is made of the figures (`tools/src/bench/linux`).
//!
//! In the order in which a run uses them:
//! * `entry`: from the first function to the measurements, and to the end of the machine.
//! * `measure`: an operation again and again, in batches. `report`: a line on the console for each.
//! * `exceptions`, `memory`, `appel`, `processes`, `shared`, `waking`: the operations.

#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(target_os = "none")]
mod appel;
#[cfg(target_os = "none")]
mod entry;
#[cfg(target_os = "none")]
mod exceptions;
#[cfg(target_os = "none")]
mod measure;
#[cfg(target_os = "none")]
mod memory;
#[cfg(target_os = "none")]
mod processes;
#[cfg(target_os = "none")]
mod report;
#[cfg(target_os = "none")]
mod shared;
#[cfg(target_os = "none")]
mod waking;

#[cfg(not(target_os = "none"))]
fn main() {
    println!("{} runs as the first process of an arm64 Linux: ./just bench", env!("CARGO_BIN_NAME"));
}
