//! Starting cores and ending the run: PSCI, semihosting, and the Raspberry Pi's watchdog.

use super::cpu;
use core::arch::asm;
use spin::Once;

/// How the firmware is called for PSCI; the device tree's `method`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Conduit {
    /// `hvc`.
    Hvc,
    /// `smc`.
    Smc,
}

/// The ways to end a run that the machine has.
#[derive(Clone, Copy, Debug)]
pub struct Ways {
    /// A debugger or emulator answers semihosting calls. Only it can carry a code; without it the call is a fault.
    pub semihosting: bool,
    /// Firmware that switches the machine off.
    pub psci: Option<Conduit>,
    /// The mapped registers of a BCM2835 power management block.
    pub watchdog: Option<u64>,
    /// How core 0 idles.
    pub rest: Rest,
}

/// How core 0 idles. The other cores always sleep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rest {
    /// In `wfi`.
    Sleep,
    /// By looking again and again. An emulator that counts instructions stops counting when every core sleeps, and what
    /// wakes them then comes from a thread of its own, at a time that no two runs share.
    Spin,
}

static WAYS: Once<Ways> = Once::new();

// Power State Coordination Interface (Arm DEN 0022), function identifiers.
const PSCI_CPU_ON: u64 = 0xc400_0003;
const PSCI_SYSTEM_OFF: u64 = 0x8400_0008;

// Semihosting for AArch32 and AArch64 (Arm), 6.8: SYS_EXIT_EXTENDED with ADP_Stopped_ApplicationExit.
const SYS_EXIT_EXTENDED: u64 = 0x20;
const APPLICATION_EXIT: u64 = 0x20026;

// BCM2835 power management: offsets, password, "halt" as the partition to boot from, full reset.
const PM_RESET_CONTROL: u64 = 0x1c;
const PM_RESET_STATUS: u64 = 0x20;
const PM_WATCHDOG: u64 = 0x24;
const PM_PASSWORD: u32 = 0x5a00_0000;
const PM_STATUS_HALT: u32 = 0x555;
const PM_CONTROL_CLEAR: u32 = 0xffff_ffcf;
const PM_CONTROL_FULL_RESET: u32 = 0x20;
const PM_WATCHDOG_TICKS: u32 = 10;

/// Says how a run can be ended here. Called once, by core 0.
pub fn begin(ways: Ways) {
    WAYS.call_once(|| ways);
}

/// Waits until an interrupt is pending, which stays masked. May return early.
pub(super) fn rest() {
    let spins = cpu::this().0 == 0 && WAYS.get().is_some_and(|ways| ways.rest == Rest::Spin);
    let mut pending: u64 = 0;
    while spins && pending == 0 {
        // SAFETY: passes some time, which costs an emulator little, and reads a register: the interrupts that are pending,
        // masked or not.
        unsafe {
            asm!(".rept 125", "nop", ".endr", "mrs {}, isr_el1", out(reg) pending, options(nomem, nostack, preserves_flags))
        };
    }
    if !spins {
        // SAFETY: waits. An interrupt that is pending already ends the wait at once.
        unsafe { asm!("dsb sy", "isb", "wfi", options(nostack, preserves_flags)) };
    }
}

/// Starts a core at a physical address with `context` in its `x0`. The error is PSCI's.
pub fn start_core(conduit: Conduit, affinity: u64, entry: u64, context: u64) -> Result<(), i64> {
    match psci(conduit, [PSCI_CPU_ON, affinity, entry, context]) {
        0 => Ok(()),
        error => Err(error),
    }
}

/// Ends the run with a code for whoever started it, by the first way that works.
pub(super) fn off(code: u64) -> ! {
    if let Some(ways) = WAYS.get() {
        if ways.semihosting {
            exit_to_host(code);
        }
        if let Some(conduit) = ways.psci {
            psci(conduit, [PSCI_SYSTEM_OFF, 0, 0, 0]);
        }
        if let Some(registers) = ways.watchdog {
            halt_by_watchdog(registers);
        }
    }
    park()
}

/// Stops this core for ever.
pub(super) fn park() -> ! {
    loop {
        // SAFETY: waits, with interrupts masked.
        unsafe { asm!("wfi", options(nomem, nostack, preserves_flags)) };
    }
}

fn psci(conduit: Conduit, arguments: [u64; 4]) -> i64 {
    let [mut result, x1, x2, x3] = arguments;
    macro_rules! call {
        ($instruction:literal) => {
            // SAFETY: the device tree says that firmware answers this instruction by the SMC calling convention, which
            // keeps all registers but x0 to x17.
            unsafe {
                asm!($instruction, inout("x0") result, inout("x1") x1 => _, inout("x2") x2 => _, inout("x3") x3 => _,
                    clobber_abi("C"), options(nostack))
            }
        };
    }
    match conduit {
        Conduit::Hvc => call!("hvc #0"),
        Conduit::Smc => call!("smc #0"),
    }
    result as i64
}

fn exit_to_host(code: u64) {
    let arguments = [APPLICATION_EXIT, code];
    // SAFETY: the command line says that semihosting is answered; the call reads the two words and does not return.
    unsafe {
        asm!("hlt #0xf000", inout("x0") SYS_EXIT_EXTENDED => _, in("x1") arguments.as_ptr(), options(nostack));
    }
}

fn halt_by_watchdog(registers: u64) {
    let at = |offset: u64| (registers + offset) as *mut u32;
    // SAFETY: the boot code mapped these registers of the power management block for this; they touch no memory.
    unsafe {
        let status = at(PM_RESET_STATUS).read_volatile();
        at(PM_RESET_STATUS).write_volatile(status | PM_PASSWORD | PM_STATUS_HALT);
        at(PM_WATCHDOG).write_volatile(PM_PASSWORD | PM_WATCHDOG_TICKS);
        let control = at(PM_RESET_CONTROL).read_volatile() & PM_CONTROL_CLEAR;
        at(PM_RESET_CONTROL).write_volatile(control | PM_PASSWORD | PM_CONTROL_FULL_RESET);
    }
}
