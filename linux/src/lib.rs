//! What programs need that are the first process of a machine that runs Linux, and nothing else. Not here: the machine, and
//! what is made of what they say (`tools/src/bench/linux`, `tools/src/compare/linux`).
//!
//! * `linux-bench` (`bench/`): what the operations of the benchmark take on Linux. `linux-sched` (`sched/`): a scenario's
//!   clients as Linux's processes.
//! * `call`: any system call, with the counter read right before and after it. `calls`: those used here, by name. `region`:
//!   memory. `report`: a line on the console. `start`: from Linux's start of `/init` to a program's first function.
//! * [`plan`]: what `linux-sched` is to do, and [`frame`] what it hands over; both sides have it from here.
//! * [`matmul`]: a computation. These three are all that a host tests.
//!
//! Nothing is linked but `core`; there is no standard library for Linux in a toolchain for bare metal.

#![cfg_attr(not(test), no_std)]

#[cfg(target_os = "none")]
pub mod call;
#[cfg(target_os = "none")]
pub mod calls;
pub mod frame;
pub mod matmul;
pub mod plan;
#[cfg(target_os = "none")]
pub mod region;
#[cfg(target_os = "none")]
pub mod report;
#[cfg(target_os = "none")]
pub mod start;
