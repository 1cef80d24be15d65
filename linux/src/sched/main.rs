//! A scenario's clients as processes of Linux, under one of its schedulers: the first process of a machine that runs Linux,
//! and nothing else. Not here: the machine, how a scenario becomes a plan, and what is made of what is handed over
//! (`tools/src/compare/linux`).
//!
//! In the order in which a run uses them:
//! * `entry`: from the first function to the end of the machine. `clients`: the plan, and a process for each client in it.
//! * `shared`: the memory in which they note their jobs. `work`: what a client does. `files`: settings that are files.
//! * `tracing`: who had which core when, as Linux records it. `handover`: all of it to the host.

#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(target_os = "none")]
mod clients;
#[cfg(target_os = "none")]
mod entry;
#[cfg(target_os = "none")]
mod files;
#[cfg(target_os = "none")]
mod handover;
#[cfg(target_os = "none")]
mod shared;
#[cfg(target_os = "none")]
mod tracing;
#[cfg(target_os = "none")]
mod work;

#[cfg(not(target_os = "none"))]
fn main() {
    println!(
        "{} runs as the first process of an arm64 Linux: ./just compare --linux",
        env!("CARGO_BIN_NAME")
    );
}
