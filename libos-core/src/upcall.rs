//! Upcalls: where the kernel enters an activation at the start and end of its slices and when it faults, and the way
//! back into the interrupted code, which needs no kernel.
//!
//! Not here: what causes an upcall (the kernel's `activation` logic), critical sections.
//!
//! An activation that registers nothing is saved and resumed by the kernel, and a fault ends it. What is registered here
//! returns by loading all registers at EL0. That takes one register to jump with, `x18`, which is why our code is
//! compiled without it. Code that uses `x18` itself registers no slice upcalls or goes back by `resume`.
//!
//! A fault handler may be interrupted by slice upcalls, and has a stack of its own for that; it is not entered again while
//! it runs. What must not be interrupted, loading and keeping registers, is the *critical range* of code.

use crate::{layout, page};
use core::cell::Cell;
use core::sync::atomic::AtomicUsize;
use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use tranche_abi::Address;

/// A fault, or a system call that the kernel does not know (`svc #0` among them).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// `ESR_EL1`.
    pub syndrome: u64,
    /// `FAR_EL1`, where the syndrome has an address.
    pub address: Address,
}

impl Fault {
    /// The class of FP/SIMD being off, which is for the runtime to switch on.
    pub const FP_OFF: u64 = 0x07;
    /// The exception class: 0x15 `svc`, 0x20 instruction abort, 0x24 data abort, 0x3c `brk`, 0 undefined instruction.
    pub const fn class(self) -> u64 {
        self.syndrome >> 26 & 0x3f
    }
    /// The immediate of an `svc` or a `brk`.
    pub const fn immediate(self) -> u16 {
        self.syndrome as u16
    }
    /// Whether an abort came from a write.
    pub const fn was_write(self) -> bool {
        self.syndrome >> 6 & 1 == 1
    }
}

/// What a fault handler's entry keeps: every register of the interrupted code, and how to get back.
#[derive(Default)]
#[repr(C, align(16))]
struct Frame {
    x: [Cell<u64>; 31],
    sp: Cell<u64>,
    pc: Cell<u64>,
    pstate: Cell<u64>,
    /// The page's address.
    page: Cell<u64>,
    /// The handler's entry, to be armed again.
    entry: Cell<u64>,
    /// `FPCR`, `FPSR`, and all FP/SIMD registers: Rust code may use any, and the interrupted code's are live.
    fp_state: [Cell<u64>; 2],
    fp: [[Cell<u64>; 2]; 32],
}

/// The interrupted context, which continues from here after the handler: to read and to change.
#[derive(Clone, Copy)]
pub struct Saved<'a>(&'a Frame);

impl Saved<'_> {
    /// `x{n}`.
    pub fn x(&self, n: usize) -> u64 {
        self.0.x[n].get()
    }
    /// Changes `x{n}`.
    pub fn set_x(&mut self, n: usize, value: u64) {
        self.0.x[n].set(value);
    }
    /// The stack pointer.
    pub fn sp(&self) -> u64 {
        self.0.sp.get()
    }
    /// Where it continues.
    pub fn pc(&self) -> u64 {
        self.0.pc.get()
    }
    /// Lets it continue elsewhere: 4 further steps over the instruction that faulted.
    pub fn set_pc(&mut self, pc: u64) {
        self.0.pc.set(pc);
    }
    /// Whose context it is, by where it is kept.
    pub fn activation(&self) -> u64 {
        layout::activation_of_stack(core::ptr::from_ref(self.0).addr() as u64).unwrap_or(0)
    }
    /// The condition flags, as in `SPSR`.
    pub fn pstate(&self) -> u64 {
        self.0.pstate.get()
    }
}

/// What a fault handler is. It runs on a stack of its own: a fault in it ends the activation. FP/SIMD being off
/// ([`Fault::FP_OFF`]) never comes to it.
pub type FaultHandler = fn(Fault, &mut Saved<'_>);

/// Who handles the slices of an activation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Slices {
    /// The kernel saves and resumes it.
    ByKernel,
    /// It is entered at start and end of a slice, and resumes itself.
    ByUpcall,
}

/// The handler of every activation of this environment, as a function's address; 0 for none.
static FAULT_HANDLER: AtomicUsize = AtomicUsize::new(0);

/// Registers this activation's upcalls. The fault handler is the environment's: the last one registered holds.
pub fn register(slices: Slices, fault: Option<FaultHandler>) {
    let own = page::own();
    FAULT_HANDLER.store(fault.map_or(0, |handler| handler as usize), Release);
    let entries = entries();
    own.upcalls.stack.store(layout::upcall_stack_top(page::index()), Relaxed);
    let frame = layout::fault_stack_top(page::index()) - size_of::<Frame>() as u64;
    own.scratch[FRAME_IN_SCRATCH].store(frame, Relaxed);
    let by_upcall = |entry: u64| if slices == Slices::ByUpcall { entry } else { 0 };
    protect_critical_range();
    own.upcalls.slice_end.store(by_upcall(entries.slice_end), Release);
    own.upcalls.run.store(by_upcall(entries.run), Release);
    own.fault.entry.store(if fault.is_some() { entries.fault } else { 0 }, Release);
}

/// Tells the kernel of the code in which this activation is to be resumed exactly.
pub(crate) fn protect_critical_range() {
    let (own, entries) = (page::own(), entries());
    own.upcalls.critical_begin.store(entries.critical_begin, Relaxed);
    own.upcalls.critical_end.store(entries.critical_end, Relaxed);
}

/// Which word of the page's scratch area holds the address of the handler's frame. The two before are for `x2` and `x3`.
const FRAME_IN_SCRATCH: usize = 2;
/// Which word holds the stack pointer of a call to another environment that is to come back.
#[cfg(target_os = "none")]
pub(crate) const CALL_IN_SCRATCH: usize = 3;
/// Which word holds the stack pointer with which calls of others are served.
#[cfg(target_os = "none")]
pub(crate) const SERVICE_IN_SCRATCH: usize = 4;

/// Calls the registered handler; entered from the fault upcall's assembly.
extern "C" fn handle_fault(frame: &Frame, syndrome: u64, address: u64) {
    let fault = Fault { syndrome, address: Address(address) };
    if fault.class() == Fault::FP_OFF {
        // The interrupted instruction is made again. Refused only where there is no kernel.
        let _ = crate::calls::fp_on();
        return;
    }
    let handler = FAULT_HANDLER.load(Acquire);
    if handler != 0 {
        // SAFETY: Only `register` stores there, and only a `FaultHandler` or zero.
        let handler: FaultHandler = unsafe { core::mem::transmute(handler) };
        handler(fault, &mut Saved(frame));
    }
}

/// Addresses in the assembly.
struct Entries {
    run: u64,
    slice_end: u64,
    fault: u64,
    critical_begin: u64,
    critical_end: u64,
}

#[cfg(target_os = "none")]
fn entries() -> Entries {
    unsafe extern "C" {
        fn tranche_upcall_run();
        fn tranche_upcall_slice_end();
        fn tranche_upcall_fault();
        fn tranche_critical_begin();
        fn tranche_critical_end();
    }
    Entries {
        run: tranche_upcall_run as *const () as u64,
        slice_end: tranche_upcall_slice_end as *const () as u64,
        fault: tranche_upcall_fault as *const () as u64,
        critical_begin: tranche_critical_begin as *const () as u64,
        critical_end: tranche_critical_end as *const () as u64,
    }
}

/// On the host nothing is entered; any addresses do.
#[cfg(not(target_os = "none"))]
fn entries() -> Entries {
    let handler = handle_fault as *const () as u64;
    Entries { run: 1, slice_end: 2, fault: handler, critical_begin: 4, critical_end: 5 }
}

#[cfg(target_os = "none")]
mod entry {
    //! The assembly. A slice upcall finds every register free, because all are in the enabled area; the fault upcall finds
    //! only `x0` and `x1` so, which hold the syndrome and the address. `x18` is the page's address in both.
    use super::{CALL_IN_SCRATCH, FRAME_IN_SCRATCH, Frame, SERVICE_IN_SCRATCH, handle_fault};
    use crate::transfer::target::{tranche_transfer_came_back, tranche_transfer_serve};
    use core::mem::offset_of;
    use tranche_abi::calls;
    use tranche_abi::page::{ActivationPage, FaultUpcall, SaveArea};

    const FAULT: usize = offset_of!(ActivationPage, fault);
    const _: () = {
        assert!(offset_of!(Frame, entry) == offset_of!(Frame, page) + 8, "kept and loaded as a pair");
        assert!(offset_of!(FaultUpcall, pstate) == offset_of!(FaultUpcall, pc) + 8, "taken as a pair");
        assert!(offset_of!(Frame, pstate) == offset_of!(Frame, pc) + 8, "kept as a pair");
        assert!(offset_of!(Frame, sp) == offset_of!(Frame, x) + 8 * 31, "kept with x30");
    };

    core::arch::global_asm!(
        ".pushsection .text.tranche_upcall, \"ax\"",
        ".balign 16",
        ".global tranche_upcall_run, tranche_upcall_slice_end, tranche_upcall_fault",
        ".global tranche_critical_begin, tranche_critical_end, tranche_transfer_entry, tranche_transfer_resume",

        // Moves x4..x17 and x19..x29 between registers and a frame.
        ".macro tranche_others move, base, at",
        "\\move x4, x5, [\\base, #\\at + 8*4]",
        "\\move x6, x7, [\\base, #\\at + 8*6]",
        "\\move x8, x9, [\\base, #\\at + 8*8]",
        "\\move x10, x11, [\\base, #\\at + 8*10]",
        "\\move x12, x13, [\\base, #\\at + 8*12]",
        "\\move x14, x15, [\\base, #\\at + 8*14]",
        "\\move x16, x17, [\\base, #\\at + 8*16]",
        "\\move x20, x21, [\\base, #\\at + 8*20]",
        "\\move x22, x23, [\\base, #\\at + 8*22]",
        "\\move x24, x25, [\\base, #\\at + 8*24]",
        "\\move x26, x27, [\\base, #\\at + 8*26]",
        "\\move x28, x29, [\\base, #\\at + 8*28]",
        ".endm",
        // What the slice is given back with is in the enabled area; the call returns in the next slice.
        "tranche_upcall_slice_end:",
        "svc #{yield_now}",
        // Load the enabled area wholly. x18 is its base, from the kernel's entry to the end.
        "tranche_upcall_run:",
        "add x18, x18, #{area}",
        "ldr x0, [x18, #{sp}]",
        "mov sp, x0",
        "ldr x0, [x18, #{pstate}]",
        "msr nzcv, x0",
        "ldp x0, x1, [x18, #{x} + 8*0]",
        "ldp x2, x3, [x18, #{x} + 8*2]",
        "tranche_others ldp, x18, {x}",
        "ldr x19, [x18, #{x} + 8*19]",
        "ldr x30, [x18, #{x} + 8*30]",
        "sub x18, x18, #{area}",

        // From here on the activation is enabled although the jump is still to come: interrupted in this range it is
        // resumed exactly, `x18` included.
        "tranche_critical_begin:",
        "str wzr, [x18, #{disabled}]",
        "ldr x18, [x18, #{area} + {pc}]",
        "br x18",

        // x0 = syndrome, x1 = address. All registers go to the frame, whose address is in the scratch area.
        "tranche_upcall_fault:",
        "stp x2, x3, [x18, #{scratch}]",
        "ldr x2, [x18, #{scratch} + 8*{FRAME_IN_SCRATCH}]",
        "tranche_others stp, x2, {frame_x}",
        "mov x4, sp",
        "stp x30, x4, [x2, #{frame_x} + 8*30]",
        "ldp x4, x5, [x18, #{fault_x}]",
        "stp x4, x5, [x2, #{frame_x}]",
        "ldp x4, x5, [x18, #{scratch}]",
        "stp x4, x5, [x2, #{frame_x} + 8*2]",
        "ldr x4, [x18, #{fault_x18}]",
        "stp x4, x19, [x2, #{frame_x} + 8*18]",
        "ldp x4, x5, [x18, #{fault_pc}]",
        "stp x4, x5, [x2, #{frame_pc}]",
        "adr x4, tranche_upcall_fault",
        "stp x18, x4, [x2, #{frame_page}]",
        "mov sp, x2",
        "mov x2, x1",
        "mov x1, x0",
        "mov x0, sp",
        "b 2f",

        // sp is the frame's address. Until the handler is armed, a fault is fatal; once it is, nothing here faults.
        "3:",
        "mov x18, sp",
        "ldp x0, x1, [x18, #{frame_page}]",
        "str x1, [x0, #{fault_entry}]",
        "ldr x0, [x18, #{frame_x} + 8*31]",
        "mov sp, x0",
        "ldr x0, [x18, #{frame_pc} + 8]",
        "msr nzcv, x0",
        "ldp x0, x1, [x18, #{frame_x}]",
        "ldp x2, x3, [x18, #{frame_x} + 8*2]",
        "tranche_others ldp, x18, {frame_x}",
        "ldr x19, [x18, #{frame_x} + 8*19]",
        "ldr x30, [x18, #{frame_x} + 8*30]",
        "ldr x18, [x18, #{frame_pc}]",
        "br x18",

        // Where `transfer` is entered, until it has a stack. All other registers but x16 are somebody's message.
        "tranche_transfer_entry:",
        "ldr x16, [x18, #{scratch} + 8*{SERVICE_IN_SCRATCH}]",
        "mov sp, x16",
        "b {serve}",
        "tranche_transfer_resume:",
        "ldr x16, [x18, #{scratch} + 8*{CALL_IN_SCRATCH}]",
        "mov sp, x16",
        "b {came_back}",
        "tranche_critical_end:",

        // The handler itself may be interrupted.
        "2:",
        "mov x29, xzr",
        "add x4, sp, #{frame_fp}",
        "stp q0, q1, [x4]",           "stp q2, q3, [x4, #32]",
        "stp q4, q5, [x4, #64]",      "stp q6, q7, [x4, #96]",
        "stp q8, q9, [x4, #128]",     "stp q10, q11, [x4, #160]",
        "stp q12, q13, [x4, #192]",   "stp q14, q15, [x4, #224]",
        "stp q16, q17, [x4, #256]",   "stp q18, q19, [x4, #288]",
        "stp q20, q21, [x4, #320]",   "stp q22, q23, [x4, #352]",
        "stp q24, q25, [x4, #384]",   "stp q26, q27, [x4, #416]",
        "stp q28, q29, [x4, #448]",   "stp q30, q31, [x4, #480]",
        "mrs x5, fpcr",
        "mrs x6, fpsr",
        "stp x5, x6, [sp, #{frame_fp_state}]",
        "bl {handle_fault}",
        "ldp x5, x6, [sp, #{frame_fp_state}]",
        "msr fpcr, x5",
        "msr fpsr, x6",
        "add x4, sp, #{frame_fp}",
        "ldp q0, q1, [x4]",           "ldp q2, q3, [x4, #32]",
        "ldp q4, q5, [x4, #64]",      "ldp q6, q7, [x4, #96]",
        "ldp q8, q9, [x4, #128]",     "ldp q10, q11, [x4, #160]",
        "ldp q12, q13, [x4, #192]",   "ldp q14, q15, [x4, #224]",
        "ldp q16, q17, [x4, #256]",   "ldp q18, q19, [x4, #288]",
        "ldp q20, q21, [x4, #320]",   "ldp q22, q23, [x4, #352]",
        "ldp q24, q25, [x4, #384]",   "ldp q26, q27, [x4, #416]",
        "ldp q28, q29, [x4, #448]",   "ldp q30, q31, [x4, #480]",
        "b 3b",
        ".popsection",
        yield_now = const calls::immediate(2),
        handle_fault = sym handle_fault,
        area = const offset_of!(ActivationPage, enabled_area),
        x = const offset_of!(SaveArea, x),
        sp = const offset_of!(SaveArea, sp),
        pc = const offset_of!(SaveArea, pc),
        pstate = const offset_of!(SaveArea, pstate),
        disabled = const offset_of!(ActivationPage, disabled),
        scratch = const offset_of!(ActivationPage, scratch),
        FRAME_IN_SCRATCH = const FRAME_IN_SCRATCH,
        CALL_IN_SCRATCH = const CALL_IN_SCRATCH,
        SERVICE_IN_SCRATCH = const SERVICE_IN_SCRATCH,
        serve = sym tranche_transfer_serve,
        came_back = sym tranche_transfer_came_back,
        fault_entry = const FAULT + offset_of!(FaultUpcall, entry),
        fault_x = const FAULT + offset_of!(FaultUpcall, x),
        fault_x18 = const FAULT + offset_of!(FaultUpcall, x18),
        fault_pc = const FAULT + offset_of!(FaultUpcall, pc),
        frame_x = const offset_of!(Frame, x),
        frame_pc = const offset_of!(Frame, pc),
        frame_page = const offset_of!(Frame, page),
        frame_fp_state = const offset_of!(Frame, fp_state),
        frame_fp = const offset_of!(Frame, fp),
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_without_a_slice_upcall_leaves_slices_to_the_kernel() {
        fn handler(_: Fault, _: &mut Saved<'_>) {}
        register(Slices::ByKernel, Some(handler));
        let page = page::own();
        assert_eq!((page.upcalls.run.load(Relaxed), page.upcalls.slice_end.load(Relaxed)), (0, 0));
        assert_ne!(page.fault.entry.load(Relaxed), 0);
        register(Slices::ByUpcall, None);
        assert_ne!(page.upcalls.run.load(Relaxed), 0);
        assert_eq!(page.fault.entry.load(Relaxed), 0);
    }

    #[test]
    fn the_registered_handler_sees_the_fault_and_changes_where_the_code_continues() {
        fn skip(fault: Fault, saved: &mut Saved<'_>) {
            assert_eq!((fault.class(), fault.immediate(), fault.address), (0x3c, 7, Address(0x99)));
            saved.set_pc(saved.pc() + 4);
        }
        FAULT_HANDLER.store(skip as *const () as usize, Release);
        let frame = Frame::default();
        frame.pc.set(0x10_0000);
        handle_fault(&frame, 0x3c << 26 | 7, 0x99);
        assert_eq!(frame.pc.get(), 0x10_0004);
    }
}
