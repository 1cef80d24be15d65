//! Contexts: where a thread that does not run has its registers, and how an activation gets from one to another.
//!
//! Not here: which thread runs, and when. All of the package's assembly and `unsafe` is in this file. What the critical
//! sections of every program need of it is apart from the rest, which programs without threads do not contain.
//!
//! A thread that leaves by itself has its context on its own stack: the callee-saved registers, FP/SIMD's too, and
//! nothing else. A thread that was interrupted has all registers in its [`Context`]. An activation has a context of its
//! own, its *dispatcher*, on its own stack: threads are left to it, so what is still to be done with a thread is done
//! when its registers are all in memory. Resuming either kind of context enters no kernel.
//!
//! The activation is *disabled* while it loads an interrupted context, and resumed exactly if it is interrupted then.

#![allow(unsafe_code)]

use super::carrier;
use crate::layout::{self, MAX_THREADS};
use crate::page;
use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering::{Relaxed, Release};
use tranche_abi::layout::MAX_ACTIVATIONS;
use tranche_abi::page::{ActivationPage, FpArea, SaveArea};

/// Why a thread came back to its activation's dispatcher.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub enum Left {
    /// It lets others run.
    Yielded = 0,
    /// It waits to be woken.
    Parked = 1,
    /// It is over.
    Ended = 2,
    /// The slice ended: the CPU is to be given back within the grace time.
    SliceEnd = 3,
    /// It was interrupted, and the activation has a CPU again.
    Interrupted = 4,
}

impl Left {
    fn from_register(register: u64) -> Self {
        match register {
            0 => Self::Yielded,
            1 => Self::Parked,
            2 => Self::Ended,
            3 => Self::SliceEnd,
            _ => Self::Interrupted,
        }
    }
}

/// Every register of an interrupted thread.
#[repr(C)]
struct Context {
    registers: SaveArea,
    fp: FpArea,
}

/// The stack pointers of threads that left by themselves; 0: it was interrupted.
static STACKS: [AtomicU64; MAX_THREADS] = [const { AtomicU64::new(0) }; MAX_THREADS];
/// The registers of threads that were interrupted.
// SAFETY: Atomics and arrays of them; all zero is a value of each.
static CONTEXTS: [Context; MAX_THREADS] = unsafe { core::mem::MaybeUninit::zeroed().assume_init() };
/// The stack pointers of the dispatchers, while their activations run threads.
static DISPATCHERS: [AtomicU64; MAX_ACTIVATIONS] = [const { AtomicU64::new(0) }; MAX_ACTIVATIONS];

/// Words of what a context that left by itself has on its stack.
const FRAME_WORDS: usize = 20;
/// Which of them is the address at which it goes on.
const FRAME_X30: usize = 11;

/// From now on this activation's slices begin and end here. Faults go to where they went.
pub fn take_upcalls() {
    let own = page::own();
    crate::upcall::protect_critical_range();
    own.upcalls.stack.store(layout::upcall_stack_top(page::index()), Relaxed);
    own.upcalls.slice_end.store(entry(), Release);
    own.upcalls.run.store(entry(), Release);
}

/// From now on the kernel saves and resumes this activation.
pub fn leave_upcalls() {
    let own = page::own();
    own.upcalls.slice_end.store(0, Release);
    own.upcalls.run.store(0, Release);
}

/// Makes a thread's context such that it begins at `begin`. Its stack is mapped, and it does not run.
pub fn prepare(thread: usize, begin: extern "C" fn() -> !) {
    let frame = layout::thread_stack_top(thread) - 8 * FRAME_WORDS as u64;
    #[cfg(target_os = "none")]
    // SAFETY: The stack is mapped writable, and nobody uses it.
    unsafe {
        let words = core::ptr::with_exposed_provenance_mut::<[u64; FRAME_WORDS]>(frame as usize);
        let mut contents = [0; FRAME_WORDS];
        contents[FRAME_X30] = begin as *const () as u64;
        words.write(contents);
    }
    let _ = (begin, FRAME_X30);
    carrier::reset(thread);
    STACKS[thread].store(frame, Relaxed);
}

/// Runs a thread, which is ready and nobody else's, until it comes back. On the activation's own stack.
pub fn run(thread: usize) -> Left {
    let (activation, own) = (page::index(), page::own());
    carrier::set(thread, activation);
    let dispatcher = &DISPATCHERS[activation as usize];
    let (stack, context) = (&STACKS[thread], &CONTEXTS[thread]);
    #[cfg(target_os = "none")]
    // SAFETY: The thread's registers are as it left them, on its stack or in its context, and nobody but the caller has
    // the thread. The call returns when it is left, with what the procedure call standard preserves.
    let left = unsafe {
        match stack.load(Relaxed) {
            0 => target::tranche_thread_resume(dispatcher, context, own),
            stack => target::tranche_thread_switch(dispatcher, stack, 0),
        }
    };
    #[cfg(not(target_os = "none"))]
    let left = {
        let _ = (dispatcher, stack, context, own);
        Left::Ended as u64
    };
    Left::from_register(left)
}

/// Leaves the thread that runs this code to its activation's dispatcher. Returns when it is run again, by whatever
/// activation.
pub fn leave(left: Left) {
    let Some(thread) = carrier::current() else { return };
    // Until the stack pointer is the dispatcher's, this is no context that could be moved.
    carrier::pin();
    let dispatcher = DISPATCHERS[page::index() as usize].load(Relaxed);
    #[cfg(target_os = "none")]
    // SAFETY: A thread runs, so its activation's dispatcher waits in `run`.
    unsafe {
        target::tranche_thread_switch(&STACKS[thread], dispatcher, left as u64);
    }
    let _ = (thread, dispatcher, left);
    carrier::unpin();
}

/// The part of an upcall in Rust: `fp` are the interrupted FP/SIMD registers, the others are in the enabled area. Returns
/// if what was interrupted goes on in this activation.
#[cfg_attr(not(target_os = "none"), allow(dead_code))] // Entered from the assembly.
extern "C" fn take_interrupted(reason: u64, own: &ActivationPage, fp: &FpArea) {
    let Some(thread) = movable(own) else { return };
    STACKS[thread].store(0, Relaxed);
    let left = if reason == SLICE_END { Left::SliceEnd } else { Left::Interrupted };
    #[cfg(target_os = "none")]
    // SAFETY: A thread was interrupted, so the dispatcher of its activation, which is this one, waits in `run`, and the
    // thread's context is nobody else's.
    unsafe {
        let dispatcher = DISPATCHERS[page::index() as usize].load(Relaxed);
        target::tranche_thread_return(dispatcher, own, left as u64, &CONTEXTS[thread], fp)
    }
    #[cfg(not(target_os = "none"))]
    let _ = (left, fp);
}

/// `x0` of the upcall at a slice's end (`docs/abi.md`).
const SLICE_END: u64 = 1;

/// The thread that was interrupted, if its context can go on elsewhere: it runs on its own stack, so it is in no handler of
/// the activation's, and is not pinned.
fn movable(own: &ActivationPage) -> Option<usize> {
    let thread = layout::thread_of_stack(own.enabled_area.sp.load(Relaxed))?;
    (!carrier::is_pinned(thread) && own.in_critical.load(Relaxed) == 0).then_some(thread)
}

#[cfg(target_os = "none")]
fn entry() -> u64 {
    target::tranche_thread_upcall as *const () as u64
}

/// On the host nothing is entered; any address does.
#[cfg(not(target_os = "none"))]
fn entry() -> u64 {
    1
}

#[cfg(target_os = "none")]
mod target {
    use super::{Context, FRAME_WORDS, FRAME_X30, take_interrupted};
    use core::mem::{offset_of, size_of};
    use core::sync::atomic::AtomicU64;
    use tranche_abi::page::{ActivationPage, FpArea, SaveArea};

    unsafe extern "C" {
        /// Leaves the present context at `from` and goes on with the one whose stack pointer is `to`, in which `value` is
        /// what its own call here returns.
        pub fn tranche_thread_switch(from: &AtomicU64, to: u64, value: u64) -> u64;
        /// Leaves the present context at `from` and goes on with an interrupted one.
        pub fn tranche_thread_resume(from: &AtomicU64, to: &Context, own: &ActivationPage) -> u64;
        /// Keeps the interrupted context at `keep`, ends the upcall that it is in, and goes on as `tranche_thread_switch`.
        /// Five arguments, because there is no stack left to find any of them on.
        pub fn tranche_thread_return(
            to: u64,
            own: &ActivationPage,
            value: u64,
            keep: &Context,
            fp: &FpArea,
        ) -> !;
        pub fn tranche_thread_upcall();
    }

    const _: () = {
        assert!(FRAME_WORDS.is_multiple_of(2), "stack pointers are multiples of 16");
        assert!(
            size_of::<FpArea>().is_multiple_of(16)
                && offset_of!(FpArea, fpsr) == offset_of!(FpArea, fpcr) + 8
        );
        assert!(size_of::<SaveArea>() == 34 * 8, "copied as 17 pairs");
        assert!(offset_of!(Context, registers) == 0, "where the copy begins");
    };

    core::arch::global_asm!(
        ".pushsection .text.tranche_thread_switch, \"ax\"",
        ".balign 16",
        ".global tranche_thread_switch, tranche_thread_resume, tranche_thread_return, tranche_thread_upcall",

        ".macro tranche_callee_saved move",
        "\\move x19, x20, [sp]",
        "\\move x21, x22, [sp, #16]",
        "\\move x23, x24, [sp, #32]",
        "\\move x25, x26, [sp, #48]",
        "\\move x27, x28, [sp, #64]",
        "\\move x29, x30, [sp, #8 * {x30} - 8]",
        "\\move d8, d9, [sp, #96]",
        "\\move d10, d11, [sp, #112]",
        "\\move d12, d13, [sp, #128]",
        "\\move d14, d15, [sp, #144]",
        ".endm",
        ".macro tranche_fp move",
        "\\move q0, q1, [x9]",           "\\move q2, q3, [x9, #32]",
        "\\move q4, q5, [x9, #64]",      "\\move q6, q7, [x9, #96]",
        "\\move q8, q9, [x9, #128]",     "\\move q10, q11, [x9, #160]",
        "\\move q12, q13, [x9, #192]",   "\\move q14, q15, [x9, #224]",
        "\\move q16, q17, [x9, #256]",   "\\move q18, q19, [x9, #288]",
        "\\move q20, q21, [x9, #320]",   "\\move q22, q23, [x9, #352]",
        "\\move q24, q25, [x9, #384]",   "\\move q26, q27, [x9, #416]",
        "\\move q28, q29, [x9, #448]",   "\\move q30, q31, [x9, #480]",
        ".endm",
        // x9 = where they are.
        ".macro tranche_load_fp",
        "tranche_fp ldp",
        "add x9, x9, #{fpcr}",
        "ldp x10, x11, [x9]",
        "msr fpcr, x10",
        "msr fpsr, x11",
        ".endm",

        "tranche_thread_switch:",
        "sub sp, sp, #{frame}",
        "tranche_callee_saved stp",
        "mov x9, sp",
        "str x9, [x0]",
        "mov x0, x2",
        // Here the activation goes from one context to the other: what is interrupted before is the one, after it the other.
        "mov sp, x1",
        "tranche_thread_go_on:",
        "tranche_callee_saved ldp",
        "add sp, sp, #{frame}",
        "ret",
        ".popsection",

        ".pushsection .text.tranche_thread_upcall, \"ax\"",
        ".balign 16",
        // Copies a save area from x1 to x9.
        ".macro tranche_copy_area",
        "mov x10, #17",
        "1:",
        "ldp x11, x12, [x1], #16",
        "stp x11, x12, [x9], #16",
        "sub x10, x10, #1",
        "cbnz x10, 1b",
        ".endm",

        // The grace time may be running: what is kept is copied in as few instructions as it takes.
        "tranche_thread_return:",
        "mov x9, x4",
        "tranche_fp ldp",
        "add x9, x9, #{fpcr}",
        "ldp x10, x11, [x9]",
        "add x9, x3, #{context_fp}",
        "tranche_fp stp",
        "add x9, x9, #{fpcr}",
        "stp x10, x11, [x9]",
        "mov x13, x1",
        "add x1, x1, #{area}",
        "mov x9, x3",
        "tranche_copy_area",
        // The stack is left before slices are announced again.
        "mov sp, x0",
        "mov x0, x2",
        "str wzr, [x13, #{disabled}]",
        "b tranche_thread_go_on",

        "tranche_thread_resume:",
        "sub sp, sp, #{frame}",
        "tranche_callee_saved stp",
        "mov x9, sp",
        "str x9, [x0]",
        "mov w9, #1",
        "str w9, [x2, #{disabled}]",
        "add x9, x1, #{context_fp}",
        "tranche_load_fp",
        "add x9, x2, #{area}",
        "tranche_copy_area",
        "mov x18, x2",
        "b tranche_upcall_run",

        // x0 = the reason, x18 = the page; all else is free, but for FP/SIMD. x18 does not outlive an exception.
        "tranche_thread_upcall:",
        "mov x19, x18",
        "mov x20, x0",
        "sub sp, sp, #{fp_size}",
        "mov x9, sp",
        "tranche_fp stp",
        "mrs x10, fpcr",
        "mrs x11, fpsr",
        "add x9, x9, #{fpcr}",
        "stp x10, x11, [x9]",
        "msr fpcr, xzr",
        "mov x1, x19",
        "mov x2, sp",
        "mov x29, xzr",
        "bl {take_interrupted}",
        "mov x9, sp",
        "tranche_load_fp",
        "mov x18, x19",
        "cbz x20, tranche_upcall_run",
        "b tranche_upcall_slice_end",
        ".popsection",
        frame = const 8 * FRAME_WORDS,
        x30 = const FRAME_X30,
        fpcr = const offset_of!(FpArea, fpcr),
        fp_size = const size_of::<FpArea>(),
        context_fp = const offset_of!(Context, fp),
        area = const offset_of!(ActivationPage, enabled_area),
        disabled = const offset_of!(ActivationPage, disabled),
        take_interrupted = sym take_interrupted,
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interrupt_at(stack_pointer: u64) -> &'static ActivationPage {
        let own = page::own();
        own.enabled_area.sp.store(stack_pointer, Relaxed);
        own
    }

    #[test]
    fn only_a_thread_outside_of_critical_sections_can_be_moved() {
        let own = interrupt_at(layout::thread_stack_top(9) - 128);
        assert_eq!(movable(own), Some(9));
        own.in_critical.store(1, Relaxed);
        assert_eq!(movable(own), None);
    }

    #[test]
    fn a_dispatcher_and_a_fault_handler_stay_where_they_are() {
        for top in [layout::stack_top(1), layout::fault_stack_top(1)] {
            assert_eq!(movable(interrupt_at(top - 64)), None);
        }
    }

    #[test]
    fn a_thread_that_was_interrupted_is_no_longer_one_that_left_by_itself() {
        let own = interrupt_at(layout::thread_stack_top(11) - 16);
        STACKS[11].store(77, Relaxed);
        take_interrupted(SLICE_END, own, &own.fp);
        assert_eq!(STACKS[11].load(Relaxed), 0);
    }
}
