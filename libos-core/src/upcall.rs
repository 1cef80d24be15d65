//! Upcalls: where the kernel enters an activation at the start and end of its slices and when it faults, and the way
//! back into the interrupted code, which needs no kernel.
//!
//! Not here: what causes an upcall (the kernel's `upcall` logic), critical sections.
//!
//! An activation that registers nothing is saved and resumed by the kernel, and a fault ends it. What is registered here
//! returns by loading the *enabled* area wholly at EL0. That takes one register to jump with, `x18`, which is why our
//! code is compiled without it. Code that uses `x18` itself registers no slice upcalls or goes back by `resume`.

use crate::{layout, page};
use core::sync::atomic::AtomicUsize;
use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use tranche_abi::Address;
use tranche_abi::layout::{ACTIVATION_BASE, PAGE_SIZE};
use tranche_abi::page::{ActivationPage, SaveArea};

/// A fault, or a system call that the kernel does not know (`svc #0` among them).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// `ESR_EL1`.
    pub syndrome: u64,
    /// `FAR_EL1`, where the syndrome has an address.
    pub address: Address,
}

impl Fault {
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

/// The interrupted context, which continues from here after the handler: to read and to change.
#[derive(Clone, Copy)]
pub struct Saved<'a>(&'a SaveArea);

impl Saved<'_> {
    /// `x{n}`.
    pub fn x(&self, n: usize) -> u64 {
        self.0.x[n].load(Relaxed)
    }
    /// The stack pointer.
    pub fn sp(&self) -> u64 {
        self.0.sp.load(Relaxed)
    }
    /// Where it continues.
    pub fn pc(&self) -> u64 {
        self.0.pc.load(Relaxed)
    }
    /// Lets it continue elsewhere: 4 further steps over the instruction that faulted.
    pub fn set_pc(&mut self, pc: u64) {
        self.0.pc.store(pc, Relaxed);
    }
    /// Whose context it is, by where it is saved: true whatever the application wrote into its page.
    pub fn activation(&self) -> u64 {
        (core::ptr::from_ref(self.0).addr() as u64).wrapping_sub(ACTIVATION_BASE) / PAGE_SIZE
    }
    /// The condition flags, as in `SPSR`.
    pub fn pstate(&self) -> u64 {
        self.0.pstate.load(Relaxed)
    }
}

/// What a fault handler is. It runs on the upcall stack, disabled: a fault in it ends the activation.
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
    let by_upcall = |entry: u64| if slices == Slices::ByUpcall { entry } else { 0 };
    own.upcalls.critical_begin.store(entries.critical_begin, Relaxed);
    own.upcalls.critical_end.store(entries.critical_end, Relaxed);
    own.upcalls.slice_end.store(by_upcall(entries.slice_end), Release);
    own.upcalls.run.store(by_upcall(entries.run), Release);
    own.upcalls.fault.store(if fault.is_some() { entries.fault } else { 0 }, Release);
}

/// Calls the registered handler; entered from the fault upcall's assembly.
extern "C" fn handle_fault(own: &'static ActivationPage, syndrome: u64, address: u64) {
    let handler = FAULT_HANDLER.load(Acquire);
    if handler != 0 {
        // SAFETY: Only `register` stores there, and only a `FaultHandler` or zero.
        let handler: FaultHandler = unsafe { core::mem::transmute(handler) };
        handler(Fault { syndrome, address: Address(address) }, &mut Saved(&own.enabled_area));
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
        fn tranche_resume_begin();
        fn tranche_resume_end();
    }
    Entries {
        run: tranche_upcall_run as *const () as u64,
        slice_end: tranche_upcall_slice_end as *const () as u64,
        fault: tranche_upcall_fault as *const () as u64,
        critical_begin: tranche_resume_begin as *const () as u64,
        critical_end: tranche_resume_end as *const () as u64,
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
    //! The assembly. On entry every register is free, because all are in the enabled area; `x18` is the page's address
    //! and `disabled` is set.
    use super::{ActivationPage, SaveArea, handle_fault};
    use core::mem::offset_of;

    core::arch::global_asm!(
        ".pushsection .text.tranche_upcall, \"ax\"",
        ".balign 16",
        ".global tranche_upcall_run, tranche_upcall_slice_end, tranche_upcall_fault",
        ".global tranche_resume_begin, tranche_resume_end",

        // What the slice is given back with is in the enabled area; the call returns in the next slice.
        "tranche_upcall_slice_end:",
        "svc #{yield_now}",
        "tranche_upcall_run:",
        "b 1f",

        // x1 = syndrome, x2 = address. Rust code may use any FP/SIMD register, and the interrupted code's are live.
        "tranche_upcall_fault:",
        "sub sp, sp, #528",
        "stp q0, q1, [sp, #16]",     "stp q2, q3, [sp, #48]",
        "stp q4, q5, [sp, #80]",    "stp q6, q7, [sp, #112]",
        "stp q8, q9, [sp, #144]",   "stp q10, q11, [sp, #176]",
        "stp q12, q13, [sp, #208]", "stp q14, q15, [sp, #240]",
        "stp q16, q17, [sp, #272]", "stp q18, q19, [sp, #304]",
        "stp q20, q21, [sp, #336]", "stp q22, q23, [sp, #368]",
        "stp q24, q25, [sp, #400]", "stp q26, q27, [sp, #432]",
        "stp q28, q29, [sp, #464]", "stp q30, q31, [sp, #496]",
        "mrs x3, fpcr",
        "mrs x4, fpsr",
        "stp x3, x4, [sp]",
        "mov x0, x18",
        "mov x29, xzr",
        "bl {handle_fault}",
        "ldp x3, x4, [sp]",
        "msr fpcr, x3",
        "msr fpsr, x4",
        "ldp q0, q1, [sp, #16]",     "ldp q2, q3, [sp, #48]",
        "ldp q4, q5, [sp, #80]",    "ldp q6, q7, [sp, #112]",
        "ldp q8, q9, [sp, #144]",   "ldp q10, q11, [sp, #176]",
        "ldp q12, q13, [sp, #208]", "ldp q14, q15, [sp, #240]",
        "ldp q16, q17, [sp, #272]", "ldp q18, q19, [sp, #304]",
        "ldp q20, q21, [sp, #336]", "ldp q22, q23, [sp, #368]",
        "ldp q24, q25, [sp, #400]", "ldp q26, q27, [sp, #432]",
        "ldp q28, q29, [sp, #464]", "ldp q30, q31, [sp, #496]",

        // Load the enabled area wholly. x18 is its base, from the kernel's entry to the end.
        "1:",
        "add x18, x18, #{area}",
        "ldr x0, [x18, #{sp}]",
        "mov sp, x0",
        "ldr x0, [x18, #{pstate}]",
        "msr nzcv, x0",
        "ldp x0, x1, [x18, #{x} + 8*0]",
        "ldp x2, x3, [x18, #{x} + 8*2]",
        "ldp x4, x5, [x18, #{x} + 8*4]",
        "ldp x6, x7, [x18, #{x} + 8*6]",
        "ldp x8, x9, [x18, #{x} + 8*8]",
        "ldp x10, x11, [x18, #{x} + 8*10]",
        "ldp x12, x13, [x18, #{x} + 8*12]",
        "ldp x14, x15, [x18, #{x} + 8*14]",
        "ldr x19, [x18, #{x} + 8*19]",
        "ldp x20, x21, [x18, #{x} + 8*20]",
        "ldp x22, x23, [x18, #{x} + 8*22]",
        "ldp x24, x25, [x18, #{x} + 8*24]",
        "ldp x26, x27, [x18, #{x} + 8*26]",
        "ldp x28, x29, [x18, #{x} + 8*28]",
        "ldr x30, [x18, #{x} + 8*30]",
        "ldp x16, x17, [x18, #{x} + 8*16]",
        "sub x18, x18, #{area}",
        // From here on the activation is enabled although the jump is still to come: interrupted in this range it is
        // resumed exactly, `x18` included.
        "tranche_resume_begin:",
        "str wzr, [x18, #{disabled}]",
        "ldr x18, [x18, #{area} + {pc}]",
        "br x18",
        "tranche_resume_end:",
        ".popsection",
        yield_now = const 2,
        handle_fault = sym handle_fault,
        area = const offset_of!(ActivationPage, enabled_area),
        x = const offset_of!(SaveArea, x),
        sp = const offset_of!(SaveArea, sp),
        pc = const offset_of!(SaveArea, pc),
        pstate = const offset_of!(SaveArea, pstate),
        disabled = const offset_of!(ActivationPage, disabled),
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_without_a_slice_upcall_leaves_slices_to_the_kernel() {
        fn handler(_: Fault, _: &mut Saved<'_>) {}
        register(Slices::ByKernel, Some(handler));
        let upcalls = &page::own().upcalls;
        assert_eq!((upcalls.run.load(Relaxed), upcalls.slice_end.load(Relaxed)), (0, 0));
        assert_ne!(upcalls.fault.load(Relaxed), 0);
        register(Slices::ByUpcall, None);
        assert_ne!(upcalls.run.load(Relaxed), 0);
        assert_eq!(upcalls.fault.load(Relaxed), 0);
    }

    #[test]
    fn the_registered_handler_sees_the_fault_and_changes_where_the_code_continues() {
        fn skip(fault: Fault, saved: &mut Saved<'_>) {
            assert_eq!((fault.class(), fault.immediate(), fault.address), (0x3c, 7, Address(0x99)));
            saved.set_pc(saved.pc() + 4);
        }
        let page = page::own();
        FAULT_HANDLER.store(skip as *const () as usize, Release);
        page.enabled_area.pc.store(0x10_0000, Relaxed);
        handle_fault(page, 0x3c << 26 | 7, 0x99);
        assert_eq!(page.enabled_area.pc.load(Relaxed), 0x10_0004);
    }
}
