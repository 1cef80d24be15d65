//! Single instructions that are expected to fault, and the handler that notes the fault and steps over them.
//!
//! Not here: what a fault means to who provoked it. One probe at a time in each activation: notes are kept per activation.

use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering::Relaxed;
use libos_core::page;
use libos_core::upcall::{self, Fault, Saved, Slices};
use tranche_abi::Address;
use tranche_abi::layout::MAX_ACTIVATIONS;

/// Exception classes (Arm ARM D24.2.40).
pub mod class {
    /// An instruction that does not exist.
    pub const UNKNOWN: u64 = 0x00;
    /// A system-register access or another instruction that EL0 may not execute.
    pub const TRAPPED: u64 = 0x18;
    /// `svc`.
    pub const SVC: u64 = 0x15;
    /// A fetch from where there is nothing to execute.
    pub const INSTRUCTION_ABORT: u64 = 0x20;
    /// A load or store where that is not allowed.
    pub const DATA_ABORT: u64 = 0x24;
    /// `brk`.
    pub const BREAK: u64 = 0x3c;
}

struct Notes {
    count: AtomicU64,
    syndrome: AtomicU64,
    address: AtomicU64,
}

static NOTES: [Notes; MAX_ACTIVATIONS] =
    [const { Notes { count: AtomicU64::new(0), syndrome: AtomicU64::new(0), address: AtomicU64::new(0) } };
        MAX_ACTIVATIONS];

fn notes() -> &'static Notes {
    &NOTES[page::index() as usize % MAX_ACTIVATIONS]
}

/// From now on this activation's faults are noted and stepped over.
pub fn begin(slices: Slices) {
    upcall::register(slices, Some(note));
}

/// The handler: notes a fault and steps over it.
pub fn note(fault: Fault, saved: &mut Saved<'_>) {
    let notes = notes();
    notes.count.fetch_add(1, Relaxed);
    notes.syndrome.store(fault.syndrome, Relaxed);
    notes.address.store(fault.address.0, Relaxed);
    match fault.class() {
        // The fetch of a jump's target failed: go back to where the jump came from.
        class::INSTRUCTION_ABORT => saved.set_pc(saved.x(30)),
        // The kernel reports a reflected call with the instruction done.
        class::SVC => {}
        _ => saved.set_pc(saved.pc() + 4),
    }
}

/// The fault that `action` provoked; `None` if there was none, or more than one.
pub fn catch(action: impl FnOnce()) -> Option<Fault> {
    let notes = notes();
    let before = notes.count.load(Relaxed);
    action();
    (notes.count.load(Relaxed) == before + 1).then(|| Fault {
        syndrome: notes.syndrome.load(Relaxed),
        address: Address(notes.address.load(Relaxed)),
    })
}

macro_rules! instruction {
    ($(#[$doc:meta])* $name:ident, $text:literal) => {
        $(#[$doc])*
        pub fn $name(address: u64) {
            #[cfg(target_os = "none")]
            // SAFETY: Loads to a register that is declared as changed, stores where there is nothing of the language's,
            // or faults and is stepped over.
            unsafe {
                core::arch::asm!($text, inout("x0") address => _, clobber_abi("C"))
            };
            #[cfg(not(target_os = "none"))]
            let _ = address;
        }
    };
}

instruction! {
    /// Reads 8 bytes at an address.
    read, "ldr x0, [x0]"
}
instruction! {
    /// Writes 8 bytes at an address: the address itself.
    write, "str x0, [x0]"
}
instruction! {
    /// Makes a system call of no number.
    foreign_call, "svc #0"
}
instruction! {
    /// Makes a system call of a number that is not the kernel's.
    unknown_call, "svc #1234"
}
instruction! {
    /// Makes a system call of the kernel's with a number that is not in its table.
    missing_call, "svc #511"
}
instruction! {
    /// Calls a function at an address.
    call, "blr x0"
}
instruction! {
    /// `brk #7`.
    breakpoint, "brk #7"
}
instruction! {
    /// An instruction that is undefined for ever.
    undefined, "udf #0"
}
instruction! {
    /// Reads a system register that belongs to the kernel.
    kernel_register, "mrs x0, sctlr_el1"
}

/// Writes a value to an address of the program's own, whatever the program keeps there.
pub fn overwrite(address: u64, value: u64) {
    #[cfg(target_os = "none")]
    // SAFETY: None that the language knows: what was there is lost, and whoever relied on it may do anything that its environment
    // may. That is what is wanted; the kernel keeps it inside.
    unsafe {
        core::arch::asm!("str {1}, [{0}]", in(reg) address, in(reg) value)
    };
    #[cfg(not(target_os = "none"))]
    let _ = (address, value);
}

/// The value at an address, if it can be read.
pub fn value_at(address: u64) -> Option<u64> {
    let mut value = address;
    let fault = catch(|| {
        #[cfg(target_os = "none")]
        // SAFETY: As above; the value is that of whatever is mapped there.
        unsafe {
            core::arch::asm!("ldr {0}, [{0}]", inout(reg) value)
        };
        value = core::hint::black_box(value);
    });
    fault.is_none().then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_caught_is_told_from_one_fault() {
        assert_eq!(catch(|| ()), None);
        let fault = Fault { syndrome: class::BREAK << 26 | 7, address: Address(0) };
        let count = |times: u64| {
            let notes = notes();
            notes.count.fetch_add(times, Relaxed);
            notes.syndrome.store(fault.syndrome, Relaxed);
            notes.address.store(0, Relaxed);
        };
        assert_eq!(catch(|| count(1)), Some(fault));
        assert_eq!(catch(|| count(2)), None);
    }
}
