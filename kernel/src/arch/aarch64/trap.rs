//! The way into and out of the kernel: the vectors and their Rust together.
//!
//! A trap saves the interrupted registers at the top of this core's stack (where `SP_EL1` points while EL0 runs),
//! becomes an [`Event`], and what `handle` answers is enacted. Nothing is decided here, and the kernel is never
//! interrupted: interrupts are masked from entry to `eret`, and an idle core takes them by looking, not by a trap.

use super::hardware::Hardware;
use super::{KERNEL, cpu, gic, mmu, panic, power};
use crate::machine::{Cause, Event, Resume};
use aarch64_cpu::registers::{CPACR_EL1, ESR_EL1, FAR_EL1, Readable, Writeable};
use core::arch::global_asm;
use core::mem::offset_of;
use tranche_abi::page::Registers;

/// Second argument of [`trap`]: a synchronous exception.
const SYNCHRONOUS: u64 = 0;
/// Second argument of [`trap`]: an interrupt.
const INTERRUPT: u64 = 1;

/// What an application keeps of its `SPSR`: N, Z, C, V. The rest is EL0, AArch64, nothing masked: all zero.
const PSTATE_FLAGS: u64 = 0xf000_0000;

const _: () =
    assert!(offset_of!(Registers, sp) == offset_of!(Registers, x) + 31 * 8, "x30 and sp move as a pair");
const _: () =
    assert!(offset_of!(Registers, pstate) == offset_of!(Registers, pc) + 8, "pc and pstate move as a pair");

global_asm!(
    r#"
    // Save or load ("stp", "ldp") all of x2..x29; x0 and x1 are the caller's to move, x30 goes with sp_el0.
    .macro registers_2_to_29 move, base, at
        \move x2, x3, [\base, #\at+16]
        \move x4, x5, [\base, #\at+32]
        \move x6, x7, [\base, #\at+48]
        \move x8, x9, [\base, #\at+64]
        \move x10, x11, [\base, #\at+80]
        \move x12, x13, [\base, #\at+96]
        \move x14, x15, [\base, #\at+112]
        \move x16, x17, [\base, #\at+128]
        \move x18, x19, [\base, #\at+144]
        \move x20, x21, [\base, #\at+160]
        \move x22, x23, [\base, #\at+176]
        \move x24, x25, [\base, #\at+192]
        \move x26, x27, [\base, #\at+208]
        \move x28, x29, [\base, #\at+224]
    .endm

    .macro from_el0 way
        .balign 0x80
        stp x0, x1, [sp, #{X}]
        mov x1, #\way
        b enter_kernel
    .endm

    .macro from_el1
        .balign 0x80
        b kernel_fault
    .endm

    .section .text.vectors, "ax"
    .balign 0x800
    .global vectors
vectors:
    .rept 8                     // EL1 on either stack pointer: synchronous, IRQ, FIQ, SError
    from_el1
    .endr
    from_el0 {SYNCHRONOUS}
    from_el0 {INTERRUPT}
    .rept 6                     // EL0 FIQ and SError, which nothing routes here; AArch32, which EL0 cannot enter
    from_el1
    .endr

enter_kernel:
    registers_2_to_29 stp, sp, {X}
    mrs x2, sp_el0
    stp x30, x2, [sp, #{X}+240]
    mrs x2, elr_el1
    mrs x3, spsr_el1
    stp x2, x3, [sp, #{PC}]
    mov x0, sp
    mov x29, xzr                // the outermost frame, for backtraces
    mov x30, xzr
    bl {trap}
    // Falls through.

leave_kernel:                   // sp = the registers to continue with
    ldp x2, x3, [sp, #{PC}]
    and x3, x3, #{PSTATE_FLAGS}
    msr elr_el1, x2
    msr spsr_el1, x3
    ldp x30, x2, [sp, #{X}+240]
    msr sp_el0, x2
    registers_2_to_29 ldp, sp, {X}
    ldp x0, x1, [sp, #{X}]
    eret
    dsb nsh                     // nothing after eret is to be run speculatively
    isb

    // fn start_user(registers: *const Registers) -> !
start_user:
    mov sp, x0
    b leave_kernel

    // The kernel itself faulted: nothing will continue, so TPIDRRO_EL0 may keep x18. The stack may be what is broken.
kernel_fault:
    msr tpidrro_el0, x18
    mrs x18, tpidr_el1
    stp x0, x1, [x18, #{FAULT}]
    registers_2_to_29 stp, x18, {FAULT}
    mrs x0, tpidrro_el0
    str x0, [x18, #{FAULT}+144]
    mov x0, sp
    stp x30, x0, [x18, #{FAULT}+240]
    mrs x0, elr_el1
    mrs x1, spsr_el1
    stp x0, x1, [x18, #{FAULT}+{PC}]
    ldr x0, [x18, #{EMERGENCY}]
    mov sp, x0
    bl {fault}
    "#,
    X = const offset_of!(Registers, x),
    PC = const offset_of!(Registers, pc),
    FAULT = const offset_of!(cpu::Core, fault),
    EMERGENCY = const offset_of!(cpu::Core, emergency),
    SYNCHRONOUS = const SYNCHRONOUS,
    INTERRUPT = const INTERRUPT,
    PSTATE_FLAGS = const PSTATE_FLAGS,
    trap = sym trap,
    fault = sym panic::fault,
);

unsafe extern "C" {
    fn start_user(registers: *const Registers) -> !;
}

/// This core's first step, once all cores are up: asks the kernel what to run, and runs it.
pub fn start() -> ! {
    let cpu = cpu::this();
    let top = cpu::interrupted(cpu);
    // SAFETY: the top of this core's stack is set apart for these registers: its first stack pointer was below them.
    let registers = unsafe {
        *top = Registers::ZERO;
        &mut *top
    };
    let resume = KERNEL.first_event(&Hardware, cpu, registers);
    enact(resume, registers);
    // SAFETY: `enact` returned, so EL0 may run with these registers; the stack beneath them is not needed any more.
    unsafe { start_user(top) }
}

/// A trap from EL0, with its registers. When this returns, EL0 continues with what they hold then.
extern "C" fn trap(registers: &mut Registers, way: u64) {
    let cause = match way {
        SYNCHRONOUS => synchronous_cause(ESR_EL1.get(), FAR_EL1.get()),
        // Whatever it was may have been withdrawn; then the timer *may* have fired.
        _ => gic::next_cause().unwrap_or(Cause::Timer),
    };
    let resume = KERNEL.handle(&Hardware, cpu::this(), Event { cause, registers });
    enact(resume, registers);
}

/// What an exception syndrome means (Arm ARM D17.2.37, `ESR_EL1`).
fn synchronous_cause(esr: u64, far: u64) -> Cause {
    match esr >> 26 & 0x3f {
        0x15 => Cause::Call(esr as u16),
        0x07 => Cause::FpUse,
        // Instruction and data aborts, PC alignment and watchpoints have an address; elsewhere FAR is another's.
        0x20 | 0x22 | 0x24 | 0x34 => Cause::Fault { esr, far },
        _ => Cause::Fault { esr, far: 0 },
    }
}

/// Does what the kernel decided. Returns when EL0 is to run.
fn enact(mut resume: Resume, registers: &mut Registers) {
    loop {
        match resume {
            Resume::User { space, fp } => {
                mmu::enter(space);
                CPACR_EL1.write(if fp { CPACR_EL1::FPEN::TrapNothing } else { CPACR_EL1::FPEN::TrapEl0 });
                return;
            }
            Resume::Idle => {
                mmu::leave();
                let cause = sleep();
                resume = KERNEL.handle(&Hardware, cpu::this(), Event { cause, registers });
            }
        }
    }
}

/// Waits for an interrupt, which stays masked, and takes it.
fn sleep() -> Cause {
    loop {
        if let Some(cause) = gic::next_cause() {
            return cause;
        }
        power::rest();
    }
}
