//! How the kernel dies: it says why and where, stops every core and fails the run.
//!
//! Addresses are printed as `  at 0x…`, innermost first; whoever has the kernel's ELF file can turn them into lines.

use super::{console, cpu, gic, power};
use aarch64_cpu::registers::{ESR_EL1, FAR_EL1, Readable};
use core::arch::asm;
use core::fmt;
use core::panic::PanicInfo;
use core::sync::atomic::{AtomicBool, Ordering};
use tranche_abi::layout::PAGE_SIZE;
use tranche_abi::page::Registers;

/// The code of a run that a kernel panic ended; as that of a panicking Rust program.
const CODE: u64 = 101;
/// Return addresses printed at most.
const DEPTH: usize = 64;

/// Some core is dying.
static DYING: AtomicBool = AtomicBool::new(false);

#[panic_handler]
fn panicked(info: &PanicInfo<'_>) -> ! {
    let frame: u64;
    // SAFETY: reads a register. The kernel is built with frame pointers.
    unsafe { asm!("mov {}, x29", out(reg) frame, options(nomem, nostack, preserves_flags)) };
    let message = info.message();
    match info.location() {
        Some(location) => die(format_args!("{location}: {message}"), frame, None),
        None => die(format_args!("{message}"), frame, None),
    }
}

/// The kernel itself took an exception; the vectors saved its registers.
pub(super) extern "C" fn fault() -> ! {
    // SAFETY: this core's fault vector just wrote them, and nobody does any more.
    let registers = unsafe { &*cpu::core().fault.get() };
    let (esr, far) = (ESR_EL1.get(), FAR_EL1.get());
    die(format_args!("kernel fault: esr={esr:#x} far={far:#x}"), registers.x[29], Some(registers))
}

fn die(message: fmt::Arguments<'_>, frame: u64, fault: Option<&Registers>) -> ! {
    if cpu::core().panicking.swap(true, Ordering::Relaxed) {
        power::off(CODE); // Dying went wrong, too.
    }
    if DYING.swap(true, Ordering::Relaxed) {
        power::park(); // Another core was first, and will end the run.
    }
    gic::stop_others();
    console::seize();
    let cpu = cpu::this();
    console::write_line(format_args!("PANIC core={} time={} {message}", cpu.0, console::Now));
    if let Some(registers) = fault {
        print("kernel registers", registers);
        console::write_line(format_args!("  at {:#x}", registers.pc));
        console::write_line(format_args!("  at {:#x}", registers.x[30]));
    }
    backtrace(frame);
    console::write_line(format_args!("PANIC last to run: {:x?}", cpu::core().current()));
    console::write_line(format_args!("PANIC end"));
    power::off(CODE)
}

/// Follows the chain of frame records (Procedure Call Standard for AArch64, 6.4.6) within this core's stacks.
fn backtrace(mut frame: u64) {
    let block = cpu::stack_block(cpu::this());
    for _ in 0..DEPTH {
        let guarded = cpu::guards(cpu::this()).contains(&(frame & !(PAGE_SIZE - 1)));
        if !block.contains(&frame) || !block.contains(&(frame + 15)) || !frame.is_multiple_of(8) || guarded {
            return;
        }
        // SAFETY: within this core's stacks, aligned, and not on a page that is not there.
        let [next, address] = unsafe { *(frame as *const [u64; 2]) };
        if address == 0 {
            return;
        }
        console::write_line(format_args!("  at {address:#x}"));
        if next <= frame {
            return;
        }
        frame = next;
    }
}

fn print(title: &str, registers: &Registers) {
    console::write_line(format_args!("PANIC {title}:"));
    for (i, pair) in registers.x.chunks(4).enumerate() {
        struct Row<'a>(usize, &'a [u64]);
        impl fmt::Display for Row<'_> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.1.iter().enumerate().try_for_each(|(i, x)| write!(f, "  x{:<2} {x:016x}", self.0 + i))
            }
        }
        console::write_line(format_args!("{}", Row(4 * i, pair)));
    }
    let Registers { sp, pc, pstate, .. } = registers;
    console::write_line(format_args!("  sp  {sp:016x}  pc  {pc:016x}  pstate {pstate:x}"));
}
