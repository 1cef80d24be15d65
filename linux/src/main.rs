//! What Linux needs for the operations of the benchmark: the first process of a machine that runs Linux, and nothing
//! else. Not here: the machine, and what is made of the figures (`tools/src/bench/linux`).
//!
//! In the order in which a run uses them:
//! * `entry`: from Linux's start of `/init` to the measurements, and to the end of the machine.
//! * `call`: any system call, with the counter read right before and after it. `calls`: those used here, by name.
//! * `measure`: an operation again and again, in batches. `report`: a line on the console for each.
//! * `exceptions`, `region`, `memory`, `appel`, `processes`, `shared`, `waking`: the operations.
//! * `matmul`: a computation, the only part that a host tests.
//!
//! Nothing is linked but `core`; there is no standard library for Linux in a toolchain for bare metal.

#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(target_os = "none")]
mod appel;
#[cfg(target_os = "none")]
mod call;
#[cfg(target_os = "none")]
mod calls;
#[cfg(target_os = "none")]
mod entry;
#[cfg(target_os = "none")]
mod exceptions;
#[cfg(any(target_os = "none", test))]
mod matmul;
#[cfg(target_os = "none")]
mod measure;
#[cfg(target_os = "none")]
mod memory;
#[cfg(target_os = "none")]
mod processes;
#[cfg(target_os = "none")]
mod region;
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
