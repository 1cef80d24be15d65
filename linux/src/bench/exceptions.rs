//! Exceptions as signals: to the handler's first instruction, and back to the instruction after the one that failed.
//! Also the null call.

use crate::measure;
use crate::report;
use core::arch::{asm, naked_asm};
use linux_guest::call::{Call, Tick};
use linux_guest::calls;
use linux_guest::region::{Protection, Region};
use linux_raw_sys::general as linux;

/// Where the saved registers are in `struct ucontext` (Linux, `arch/arm64/include/uapi/asm/ucontext.h`, `sigcontext.h`).
pub const SAVED_X10: usize = 176 + 8 + 8 * 10;
/// Where the address is at which the process goes on.
pub const SAVED_PC: usize = 176 + 8 + 8 * 31 + 8;

/// Operations in a batch.
const OPERATIONS: u64 = 200;

/// Has a signal handled by a function that is given the signal, `struct siginfo` and `struct ucontext`. While it runs
/// no signal is held back but that one. It returns by way of the code that Linux itself provides.
pub fn handle(signal: u32, handler: *const ()) {
    let action = [handler as usize, linux::SA_SIGINFO as usize, 0, 0];
    let arguments = [signal as usize, action.as_ptr() as usize, 0, size_of::<u64>()];
    // SAFETY: Linux reads `struct sigaction`: handler, flags, restorer, mask. Handlers here are made to be called so.
    unsafe { Call::new("rt_sigaction", linux::__NR_rt_sigaction, &arguments) }.must();
}

/// A handler that gives the time of its first instruction to the interrupted code in `x10`, and has it go on after the
/// instruction that has failed: five instructions besides that one.
#[unsafe(naked)]
extern "C" fn note_and_skip() {
    naked_asm!(
        "mrs x3, cntvct_el0",
        "str x3, [x2, #{x10}]",
        "ldr x4, [x2, #{pc}]",
        "add x4, x4, #4",
        "str x4, [x2, #{pc}]",
        "ret",
        x10 = const SAVED_X10,
        pc = const SAVED_PC,
    )
}

/// A handler that only has the interrupted code go on after the instruction that has failed.
#[unsafe(naked)]
extern "C" fn skip() {
    naked_asm!("ldr x4, [x2, #{pc}]", "add x4, x4, #4", "str x4, [x2, #{pc}]", "ret", pc = const SAVED_PC)
}

/// Runs one instruction that fails; ticks to the handler, and to the next instruction.
macro_rules! fail {
    ($instruction:literal, $address:expr) => {{
        let (before, inside, after);
        // SAFETY: The instruction changes nothing; the handler changes x10.
        unsafe {
            asm!("mov x10, xzr", "mrs {before}, cntvct_el0", $instruction, "mrs {after}, cntvct_el0",
                in("x9") $address, before = out(reg) before, after = out(reg) after, out("x10") inside,
                options(nostack))
        };
        parts(Tick(before), Tick(inside), Tick(after))
    }};
}

/// Ticks to the handler and to the end of the round trip.
fn parts(before: Tick, inside: Tick, after: Tick) -> [u64; 2] {
    if inside < before {
        report::wrong("an instruction that should have failed has not");
    }
    [inside.since(before), after.since(before)]
}

/// Measures the null call and all kinds of exceptions.
pub fn measure() {
    report::figure("null", &measure::together(2000, 2, |times| calls::getppid().repeat(times)));

    handle(linux::SIGBUS, note_and_skip as *const ());
    handle(linux::SIGILL, note_and_skip as *const ());
    handle(linux::SIGTRAP, note_and_skip as *const ());
    handle(linux::SIGSEGV, note_and_skip as *const ());
    let page = Region::place(1, 1).mapped();
    // An ordinary access need not be aligned; an exclusive one must.
    kind("exc_unalign", "exc_unalign_round", || fail!("ldxr x10, [x9]", page.start() + 1));
    kind("exc_undefined", "exc_undefined_round", || fail!("udf #0", 0));
    kind("exc_breakpoint", "exc_breakpoint_round", || fail!("brk #0", 0));
    report::absent("exc_coproc", format_args!("Linux leaves floating point on for every process"));
    page.protect(Protection::Read).must();
    kind("exc_protection", "exc_protection_round", || fail!("strb wzr, [x9]", page.start()));

    handle(linux::SIGSEGV, skip as *const ());
    let [trap] = measure::singly(OPERATIONS, || [skipped(page)]);
    report::figure("trap", &trap);
    page.unmap().must();

    handle(linux::SIGUSR1, note as *const ());
    let process = calls::getpid();
    kind("signal_self", "signal_self_round", || signal(process));
}

/// Measures and reports an exception's way to the handler and its round trip.
fn kind(id: &str, round_id: &str, once: impl FnMut() -> [u64; 2]) {
    let [there, round] = measure::singly(OPERATIONS, once);
    report::figure(id, &there);
    report::figure(round_id, &round);
}

/// Ticks of a write to a protected page whose handler skips it.
fn skipped(page: Region) -> u64 {
    let before = Tick::now();
    page.touch();
    Tick::now().since(before)
}

/// A handler that only gives the time of its first instruction to the interrupted code in `x10`.
#[unsafe(naked)]
extern "C" fn note() {
    naked_asm!("mrs x3, cntvct_el0", "str x3, [x2, #{x10}]", "ret", x10 = const SAVED_X10)
}

/// Sends a signal to this process; ticks to the handler, and to the end of the call.
fn signal(process: calls::Process) -> [u64; 2] {
    let (before, inside, after);
    // SAFETY: `kill` touches no memory; the handler changes x10.
    unsafe {
        asm!("mov x10, xzr", "mrs {before}, cntvct_el0", "svc #0", "mrs {after}, cntvct_el0",
            before = out(reg) before, after = lateout(reg) after, out("x10") inside,
            inlateout("x0") process.0 => _, in("x1") linux::SIGUSR1 as usize, in("x8") linux::__NR_kill as usize,
            options(nostack))
    };
    parts(Tick(before), Tick(inside), Tick(after))
}
