//! The kernel on ARMv8-A: turns traps into events, enacts what `handle` decides, and decides nothing itself.
//!
//! * [`trap`]: the vectors and their Rust, the way into and out of the kernel.
//! * [`hardware`]: the `Machine` that portable code sees.
//! * [`cpu`]: per-core state, stacks and the system registers set once per core.
//! * [`mmu`]: the kernel's own address space.
//! * [`gic`]: the interrupt controller. [`console`]: UART and log. [`power`]: PSCI and the ways to end a run.
//! * [`disk`]: the disk's driver, which the board brings.
//! * [`mailbox`]: the Raspberry Pi's firmware.
//! * [`panic`]: how the kernel dies.
//!
//! Interrupts are masked whenever the kernel runs, so a lock here is only ever waited for by another core.
//! Lock order: the interrupt controller's (boot only), then the disk's, then the console's.

pub mod console;
pub mod cpu;
pub mod disk;
pub mod gic;
pub mod hardware;
pub mod mailbox;
pub mod mmu;
mod panic;
pub mod power;
pub mod trap;

use crate::kernel::Kernel;
use tranche_abi::public::Public;

/// What every environment may read of the kernel of this machine.
pub static PUBLIC: Public = Public::new();
/// The kernel of this machine.
pub static KERNEL: Kernel = Kernel::new(&PUBLIC);
