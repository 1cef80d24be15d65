//! The way into and out of the kernel: the vectors and their Rust together.
//!
//! While EL0 runs, `SP_EL1` points to the page of whoever runs: a trap saves the registers straight to where they stay, and
//! switching to another activation copies none. A trap becomes an [`Event`], and what `handle` answers is enacted. Nothing
//! is decided here but by the fast paths, each of which does one case of `handle` when nothing stands against it, and
//! otherwise has changed nothing and goes the general way: the null call, an exception to the application's own handler,
//! `pct_call` and `pct_return`; and, in Rust, those of [`crate::fast`] and [`crate::protect`]. The kernel is never interrupted: interrupts are masked from entry to `eret`, and an idle
//! core takes them by looking, not by a trap.

use super::hardware::Hardware;
use super::{KERNEL, cpu, gic, mmu, panic, power};
use crate::block::{ADDRESS, Block, BlockAddress, DETOUR};
use crate::fast::{self, Current, Fast};
use crate::handles::Gate;
use crate::machine::{Cause, Event, Resume, Space};
use crate::protect;
use aarch64_cpu::registers::{CPACR_EL1, ESR_EL1, FAR_EL1, Readable, TTBR0_EL1, Writeable};
use core::arch::global_asm;
use core::mem::offset_of;
use core::sync::atomic::Ordering::Relaxed;
use tranche_abi::calls::{
    CALLS, FAST_NULL, FAST_PCT_CALL, FAST_PCT_RETURN, FAST_STAY, FAST_YIELD, FAST_YIELD_TO,
};
use tranche_abi::layout::{HANDLE_SELF, MAX_GATES};
use tranche_abi::page::{ActivationPage, FaultUpcall, Registers, SaveArea, Transfer};
use tranche_abi::{Capability, ProtectionBits};

/// What an application keeps of its `SPSR`: N, Z, C, V. The rest is EL0, AArch64, nothing masked: all zero.
const PSTATE_FLAGS: u64 = 0xf000_0000;
/// The exception class of `svc` (Arm ARM D17.2.37).
const CLASS_SVC: u64 = 0x15;

const FAULT: usize = offset_of!(ActivationPage, fault);
const TRANSFER: usize = offset_of!(ActivationPage, transfer);

const _: () = {
    assert!(offset_of!(Registers, sp) == offset_of!(Registers, x) + 31 * 8, "x30 and sp move as a pair");
    assert!(offset_of!(Registers, pstate) == offset_of!(Registers, pc) + 8, "pc and pstate move as a pair");
    assert!(size_of::<Registers>() == size_of::<SaveArea>(), "a trap's registers are the page's");
    assert!(offset_of!(ActivationPage, registers) == 0, "the stack pointer points to them");
    assert!(
        offset_of!(FaultUpcall, x18) == offset_of!(FaultUpcall, entry) + 8,
        "disarmed and saved by one store"
    );
    assert!(offset_of!(FaultUpcall, pstate) == offset_of!(FaultUpcall, pc) + 8, "saved by one store");
    assert!(offset_of!(Block, page) == offset_of!(Block, space) + 8, "loaded as a pair");
    assert!(
        offset_of!(ActivationPage, address) == TRANSFER + offset_of!(Transfer, entry) + 8,
        "loaded as a pair"
    );
    assert!(offset_of!(Block, state) == 0, "a block's address is its state word's");
    assert!(offset_of!(Gate, block) == 0 && offset_of!(Gate, idle) == 8, "loaded as a pair");
    assert!(
        size_of::<Gate>() == 1 << 4 && MAX_GATES == 1 << 6,
        "how a gate's number is put into its address"
    );
};

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

    .macro registers_2_to_19 move
        \move x2, x3, [sp, #16]
        \move x4, x5, [sp, #32]
        \move x6, x7, [sp, #48]
        \move x8, x9, [sp, #64]
        \move x10, x11, [sp, #80]
        \move x12, x13, [sp, #96]
        \move x14, x15, [sp, #112]
        \move x16, x17, [sp, #128]
        \move x18, x19, [sp, #144]
    .endm

    // Whoever was interrupted has x0 to x29 in its page; the rest, and to Rust: x0 = the core. x1 to x3 are kept.
    .macro enter_rust function
        mrs x4, sp_el0
        stp x30, x4, [sp, #240]
        mrs x4, elr_el1
        mrs x5, spsr_el1
        stp x4, x5, [sp, #{PC}]
        mrs x0, tpidr_el1
        ldr x4, [x0, #{STACK}]
        mov sp, x4
        mov x29, xzr            // the outermost frame, for backtraces
        bl \function
    .endm

    .macro enter_el0            // x0 = the page of whoever runs now
        mov sp, x0
        ldp x2, x3, [sp, #{PC}]
        and x3, x3, #{PSTATE_FLAGS}
        msr elr_el1, x2
        msr spsr_el1, x3
        ldp x30, x2, [sp, #240]
        msr sp_el0, x2
        registers_2_to_29 ldp, sp, 0
        ldp x0, x1, [sp]
        eret
        dsb nsh                 // nothing after eret is to be run speculatively
        isb
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

    // From EL0, synchronous. sp = the page of whoever runs.
    .balign 0x80
    stp x0, x1, [sp, #{FAULT_X}]
    mrs x0, esr_el1
    lsr w1, w0, #26
    cmp w1, #{CLASS_SVC}
    b.eq call
deliver:                        // an exception, to the application's own handler; x0 = the syndrome
    ldr x1, [sp, #{FAULT_ENTRY}]
    cbz x1, enter_kernel        // it has none, or faulted in it
    stp xzr, x18, [sp, #{FAULT_ENTRY}]
    mrs x18, elr_el1
    msr elr_el1, x1
    mrs x1, spsr_el1
    stp x18, x1, [sp, #{FAULT_PC}]
    mrs x1, far_el1
    ldr x18, [sp, #{ADDRESS}]
    eret

    // From EL0, IRQ.
    .balign 0x80
    stp x0, x1, [sp]
    registers_2_to_29 stp, sp, 0
    b interrupted

    .rept 6                     // EL0 FIQ and SError, which nothing routes here; AArch32, which EL0 cannot enter
    from_el1
    .endr

call:                           // x0 = the syndrome, with svc's immediate
    tbz w0, #{CALLS}, deliver
    tbnz w0, #{FAST_NULL}, null
    tbnz w0, #{FAST_PCT_CALL}, pct_call
    tbnz w0, #{FAST_PCT_RETURN}, pct_return
    tbnz w0, #{FAST_YIELD_TO}, yield_to
    tbnz w0, #{FAST_YIELD}, yield_now
    tbnz w0, #{FAST_STAY}, stay

enter_kernel:                   // x0 and x1 are where a fault handler looks for them
    ldp x0, x1, [sp, #{FAULT_X}]
    stp x0, x1, [sp]
    registers_2_to_29 stp, sp, 0
    enter_rust {trap}
leave_kernel:
    enter_el0

interrupted:
    enter_rust {interrupt}
    cbz x0, 1f
    enter_el0
1:  mrs x0, tpidr_el1
    bl {interrupt_otherwise}
    enter_el0

yield_to:                       // x0 to x2 are its arguments
    registers_2_to_29 stp, sp, 0
    ldp x1, x3, [sp, #{FAULT_X}]
    stp x1, x3, [sp]
    enter_rust {yield_to}
    cbz x0, 1f
    enter_el0
1:  mrs x0, tpidr_el1
    bl {yield_to_otherwise}
    enter_el0

yield_now:
    registers_2_to_29 stp, sp, 0
    ldp x1, x2, [sp, #{FAULT_X}]
    stp x1, x2, [sp]
    enter_rust {yield_now}
    cbz x0, 1f
    enter_el0
1:  mrs x0, tpidr_el1
    bl {yield_now_otherwise}
    enter_el0

stay:                           // a call that changes nothing of who runs; x0 to x3 are its arguments
    registers_2_to_19 stp
    str x30, [sp, #240]
    and w4, w0, #0xff           // its number
    mrs x5, tpidr_el1
    ldp x0, x1, [sp, #{FAULT_X}]
    mov x19, sp
    ldr x6, [x5, #{STACK}]
    mov sp, x6
    bl {stay}
    mov sp, x19
    ldr x30, [sp, #240]
    registers_2_to_19 ldp
    cbz x0, 1f
    cmp x0, #{WITH_VALUE}
    b.ne enter_kernel           // there is more to it
    mov x0, xzr
    mov x2, xzr                 // values that it does not have
    mov x3, xzr
    mov x4, xzr
    eret
1:  ldr x1, [sp, #{FAULT_X}+8]
    eret

null:
    mov x0, xzr
    ldr x1, [sp, #{FAULT_X}+8]
    eret

pct_call:                       // x16 = the gate; x0..x15 are the message; x17, x18 are free
    str x16, [sp, #{KEPT}]
    mrs x0, tpidr_el1
    ldr x17, [x0, #{CURRENT}]   // the caller's block
    ldr x18, [x17, #{GATES}]
    bfi x18, x16, #4, #6        // the gate's address
    ldp x16, x1, [x18]          // the callee's block, and the state word with which it waits
    cbz x16, pct_refused        // it is closed
    ldaxr x18, [x16]
    cmp x18, x1
    b.ne pct_refused
    stlxr w18, x17, [x16]       // from now on it serves the caller
    cbnz w18, pct_refused
    str x16, [x0, #{CURRENT}]
    ldp x0, x18, [x16, #{SPACE}]
    msr ttbr0_el1, x0           // `eret` synchronises it
    ldp x0, x1, [sp, #{FAULT_X}]
    mov sp, x18
    ldp x16, x18, [sp, #{TRANSFER_ENTRY}]
    msr elr_el1, x16
    ldr x17, [x17, #{IDENTITY}]
    eret

pct_refused:                    // the general way finds out why; nothing of the kernel's stays in a register
    ldr x16, [sp, #{KEPT}]
    mov x17, xzr
    mov x18, xzr
    b enter_kernel

pct_return:                     // x0..x15 are the reply; x16, x17, x18 are free
    mrs x17, tpidr_el1
    ldp x16, x1, [sp, #{FAULT_X}] // here, because once it waits another core may enter it, and use its page
    ldr x0, [x17, #{CURRENT}]   // the callee's block
    str x16, [x17, #{REPLY}]
    ldr x16, [x0, #{IDLE}]
    ldaxr x18, [x0]             // the caller's block, if there is one
    tbz x18, #{ADDRESS_BIT}, not_simply
    tbnz x18, #{DETOUR_BIT}, not_simply
    stlxr w17, x16, [x0]        // from now on it waits for the next
    cbnz w17, not_simply        // otherwise x17 = 0: it has returned
    mrs x0, tpidr_el1
    str x18, [x0, #{CURRENT}]
    ldp x16, x18, [x18, #{SPACE}]
    msr ttbr0_el1, x16
    mov sp, x18
    ldr x0, [x0, #{REPLY}]
    ldr x16, [sp, #{TRANSFER_RESUME}]
    msr elr_el1, x16
    ldr x18, [sp, #{ADDRESS}]
    eret

not_simply:
    mov x16, xzr
    mov x17, xzr
    mov x18, xzr
    b enter_kernel

    // fn start_user(page: *mut u8) -> !
start_user:
    b leave_kernel

    // The kernel itself faulted: nothing will continue, so TPIDRRO_EL0 may keep x18. The stack may be what is broken.
kernel_fault:
    msr tpidrro_el0, x18
    mrs x18, tpidr_el1
    stp x0, x1, [x18, #{CORE_FAULT}]
    registers_2_to_29 stp, x18, {CORE_FAULT}
    mrs x0, tpidrro_el0
    str x0, [x18, #{CORE_FAULT}+144]
    mov x0, sp
    stp x30, x0, [x18, #{CORE_FAULT}+240]
    mrs x0, elr_el1
    mrs x1, spsr_el1
    stp x0, x1, [x18, #{CORE_FAULT}+{PC}]
    ldr x0, [x18, #{EMERGENCY}]
    mov sp, x0
    bl {fault}
    "#,
    PC = const offset_of!(Registers, pc),
    FAULT_X = const FAULT + offset_of!(FaultUpcall, x),
    FAULT_ENTRY = const FAULT + offset_of!(FaultUpcall, entry),
    FAULT_PC = const FAULT + offset_of!(FaultUpcall, pc),
    TRANSFER_ENTRY = const TRANSFER + offset_of!(Transfer, entry),
    TRANSFER_RESUME = const TRANSFER + offset_of!(Transfer, resume),
    ADDRESS = const offset_of!(ActivationPage, address),
    KEPT = const 16 * 8, // where the general way saves x16 anyway
    IDLE = const offset_of!(Block, idle),
    SPACE = const offset_of!(Block, space),
    GATES = const offset_of!(Block, gates),
    IDENTITY = const offset_of!(Block, identity),
    ADDRESS_BIT = const ADDRESS.trailing_zeros(),
    DETOUR_BIT = const DETOUR.trailing_zeros(),
    CALLS = const CALLS.trailing_zeros(),
    FAST_NULL = const FAST_NULL.trailing_zeros(),
    FAST_PCT_CALL = const FAST_PCT_CALL.trailing_zeros(),
    FAST_PCT_RETURN = const FAST_PCT_RETURN.trailing_zeros(),
    FAST_YIELD_TO = const FAST_YIELD_TO.trailing_zeros(),
    FAST_YIELD = const FAST_YIELD.trailing_zeros(),
    FAST_STAY = const FAST_STAY.trailing_zeros(),
    CLASS_SVC = const CLASS_SVC,
    CURRENT = const offset_of!(cpu::Core, current),
    REPLY = const offset_of!(cpu::Core, reply),
    STACK = const offset_of!(cpu::Core, stack),
    CORE_FAULT = const offset_of!(cpu::Core, fault),
    EMERGENCY = const offset_of!(cpu::Core, emergency),
    PSTATE_FLAGS = const PSTATE_FLAGS,
    trap = sym trap,
    yield_to = sym yield_to,
    yield_now = sym yield_now,
    interrupt = sym interrupt,
    yield_to_otherwise = sym yield_to_otherwise,
    yield_now_otherwise = sym yield_now_otherwise,
    interrupt_otherwise = sym interrupt_otherwise,
    stay = sym stay,
    WITH_VALUE = const WITH_VALUE,
    fault = sym panic::fault,
);

unsafe extern "C" {
    fn start_user(page: u64) -> !;
}

/// This core's first step, once all cores are up: asks the kernel what to run, and runs it.
pub fn start() -> ! {
    let page = enact(KERNEL.first_event(&Hardware, cpu::this()));
    // SAFETY: `enact` returned, so EL0 may run with the registers in this page; nothing on this stack is needed any more.
    unsafe { start_user(page) }
}

/// A call or a fault from EL0, whose registers are in its page, by the general way. The page whose registers EL0 is to
/// continue with.
extern "C" fn trap(core: &cpu::Core) -> u64 {
    let cause = synchronous_cause(ESR_EL1.get(), FAR_EL1.get());
    handle(core, cause)
}

fn by_handle(core: &cpu::Core) -> u64 {
    trap(core)
}

/// `yield_to` by its fast way, with the registers that it has its arguments in; [`OTHERWISE`] if it is to go another.
extern "C" fn yield_to(core: &cpu::Core, target: u64, mode: u64, until: u64) -> u64 {
    go(core, fast(core).yield_to(current(core), [target, until, mode]))
}

/// `yield_to`, after that.
extern "C" fn yield_to_otherwise(core: &cpu::Core) -> u64 {
    go_or(core, fast(core).yield_to_and_more(current(core)), by_handle)
}

/// `yield_now`, likewise.
extern "C" fn yield_now(core: &cpu::Core) -> u64 {
    go(core, fast(core).yield_now(current(core)))
}

/// `yield_now`, after that.
extern "C" fn yield_now_otherwise(core: &cpu::Core) -> u64 {
    go_or(core, fast(core).yield_now_and_more(current(core)), by_handle)
}

/// An interrupt; [`OTHERWISE`] if it is not the timer's, or if that is to go another way.
extern "C" fn interrupt(core: &cpu::Core) -> u64 {
    if gic::take_timer(core) { go(core, fast(core).timer(current(core))) } else { OTHERWISE }
}

/// An interrupt, after that.
extern "C" fn interrupt_otherwise(core: &cpu::Core) -> u64 {
    match gic::other_cause(core) {
        None => go_or(core, fast(core).timer_and_more(current(core)), |core| handle(core, Cause::Timer)),
        Some(cause) => handle(core, cause),
    }
}

/// No page: nothing was done.
const OTHERWISE: u64 = 0;

fn handle(core: &cpu::Core, cause: Cause) -> u64 {
    enact(KERNEL.handle(&Hardware, core.number(), Event { cause, current: core.current() }))
}

/// This core about to switch.
#[inline(always)]
fn fast(core: &cpu::Core) -> Fast<'static, Hardware> {
    // SAFETY: only this core uses its element, and nothing else of the kernel runs on it: it is never interrupted, and
    // `handle`, which takes the lock, is entered only after whoever got this reference is done with it.
    Fast { kernel: &KERNEL, machine: &Hardware, core: unsafe { &mut *core.time() } }
}

/// Who runs on this core.
#[inline(always)]
fn current(core: &cpu::Core) -> Current<'static> {
    let address = core.current();
    Current { address, block: block(address) }
}

/// EL0 goes on where a fast way led; the address of the page. FP/SIMD is off: a way that left somebody who used it has
/// seen to that.
#[inline(always)]
fn go(core: &cpu::Core, next: fast::Next) -> u64 {
    let Some(next) = next else { return OTHERWISE };
    let block = block(next);
    core.set_current(next);
    mmu::change(block.space.load(Relaxed));
    block.page.load(Relaxed)
}

/// The same, or what is done otherwise.
fn go_or(core: &cpu::Core, next: fast::Next, otherwise: fn(&cpu::Core) -> u64) -> u64 {
    match go(core, next) {
        OTHERWISE => otherwise(core),
        page => page,
    }
}

/// What became of a call by a way that does not save all registers.
#[repr(C)]
struct Stayed {
    /// [`DONE`], [`WITH_VALUE`], or the call is to be made by the general way.
    how: u64,
    /// `x1` of the reply, if it has a value.
    value: u64,
}

/// The call is done and has no value.
const DONE: u64 = 0;
/// The call is done.
const WITH_VALUE: u64 = 1;

/// The call is to be made by the general way.
const NOT_DONE: Stayed = Stayed { how: 2, value: 0 };

/// `protect` in its common case; what else stays has a function of its own, so that this one needs no stack.
extern "C" fn stay(x0: u64, x1: u64, x2: u64, x3: u64, number: u64, core: &cpu::Core) -> Stayed {
    const PROTECT: u64 = 35;
    if number != PROTECT || x0 != HANDLE_SELF.0 {
        return stay_otherwise([x0, x1], number, core);
    }
    let space = Space::from_bits(TTBR0_EL1.get());
    let done = protect::protect_own(&Hardware, space, (x1, x2), ProtectionBits(x3));
    if done { Stayed { how: DONE, value: 0 } } else { NOT_DONE }
}

/// `bind` and `trace_mark` in their common cases.
#[inline(never)]
fn stay_otherwise([x0, x1]: [u64; 2], number: u64, core: &cpu::Core) -> Stayed {
    const BIND: u64 = 14;
    const TRACE_MARK: u64 = 54;
    match number {
        BIND => {
            let (me, _) = KERNEL.block_at(core.current());
            let bound = KERNEL.bind_fast(&Hardware, me, Capability { body: x0, mac: x1 });
            bound.map_or(NOT_DONE, |handle| Stayed { how: WITH_VALUE, value: handle.0 })
        }
        TRACE_MARK => {
            let marked = fast(core).trace_mark(core.current(), x0, x1);
            if marked { Stayed { how: DONE, value: 0 } } else { NOT_DONE }
        }
        _ => NOT_DONE,
    }
}

/// EL0 goes on as the activation with this block, with this in `CPACR_EL1`; the address of its page.
fn switch(core: &cpu::Core, current: BlockAddress, fp: u64) -> u64 {
    let block = block(current);
    core.set_current(current);
    mmu::enter(block.space.load(Relaxed));
    CPACR_EL1.set(fp);
    block.page.load(Relaxed)
}

/// What an exception syndrome means (Arm ARM D17.2.37, `ESR_EL1`). Where the class has no address, `FAR_EL1` still holds
/// that of this address space's last fault that had.
fn synchronous_cause(esr: u64, far: u64) -> Cause {
    if esr >> 26 & 0x3f == CLASS_SVC { Cause::Call(esr as u16) } else { Cause::Fault { esr, far } }
}

/// Does what the kernel decided. Returns, with the page of whoever runs, when EL0 is to run.
fn enact(mut resume: Resume) -> u64 {
    loop {
        match resume {
            Resume::User { current, fp } => {
                let fp = if fp { CPACR_EL1::FPEN::TrapNothing } else { CPACR_EL1::FPEN::TrapEl0 };
                return switch(cpu::core(), current, fp.value);
            }
            Resume::Idle => resume = idle(),
        }
    }
}

/// Sleeps until something happens, and asks the kernel what follows.
#[cold]
fn idle() -> Resume {
    mmu::leave();
    let cause = sleep();
    KERNEL.handle(&Hardware, cpu::this(), Event { cause, current: BlockAddress::NONE })
}

#[inline(always)]
fn block(address: BlockAddress) -> &'static Block {
    // SAFETY: it is the address of one of the kernel's blocks, all of which are static: only `Kernel::block_address` makes
    // these, and the fast paths only pass them on. They are atomic.
    unsafe { &*(address.0 as *const Block) }
}

/// Waits for an interrupt, which stays masked, and takes it.
fn sleep() -> Cause {
    loop {
        if let Some(cause) = gic::next_cause(cpu::core()) {
            return cause;
        }
        power::rest();
    }
}
