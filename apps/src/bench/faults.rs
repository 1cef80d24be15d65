//! Exceptions: from the instruction that faults to the first of a handler, and back behind the instruction.
//!
//! Not here: the upcalls that Rust code uses (`libos_core::upcall`). These handlers are the least that works, in assembly, as
//! the published figures are of: one stamps at its first instruction, the other only steps over the fault. What the second
//! consists of is subtracted from the round trip to see what of the way back is the kernel's.

use super::counter::{self, Stamp};
use super::peer::{Peer, Role};
use super::{Bench, Path};
use crate::probe::class;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::sync::atomic::Ordering::{Relaxed, Release};
use libos_core::calls::{self, Events};
use libos_core::mapping::{self, Space};
use libos_core::upcall::{self, Slices};
use libos_core::{layout, page};
use tranche_abi::layout::HANDLE_SELF;
use tranche_abi::{Address, Protection};

/// A page that can only be read.
const READ_ONLY: u64 = 0x8000_0000;

/// A kind of exception.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Unalign,
    Undefined,
    Breakpoint,
    Protection,
    Reflected,
}

/// Kinds, the ids of their operations, and the exception class that the handler must have seen.
const KINDS: [(Kind, &str, &str, u64); 5] = [
    (Kind::Unalign, "exc_unalign", "exc_unalign_round", class::DATA_ABORT),
    (Kind::Undefined, "exc_undefined", "exc_undefined_round", class::UNKNOWN),
    (Kind::Breakpoint, "exc_breakpoint", "exc_breakpoint_round", class::BREAK),
    (Kind::Protection, "exc_protection", "exc_protection_round", class::DATA_ABORT),
    (Kind::Reflected, "exc_reflected", "exc_reflected_round", class::SVC),
];

/// Measures them.
pub fn measure(bench: &mut Bench) -> Result<(), String> {
    let frame = bench.frames.take(1).ok_or("no frames")?;
    let frames = &mut bench.frames;
    let mut table = || frames.take(1).map(|run| run.first);
    let mapped = mapping::fill(frame, &[], &mut table).and_then(|()| {
        Space { env: HANDLE_SELF, table: &mut table }.map(Address(READ_ONLY), frame, Protection::Read)
    });
    mapped.map_err(super::refused("map"))?;
    let measured = KINDS.iter().try_for_each(|kind| both_ways(bench, kind));
    let measured = measured.and_then(|()| bench.with_peer(Role::Bounce, disabled_fp));
    upcall::register(Slices::ByKernel, None);
    calls::unmap(HANDLE_SELF, Address(READ_ONLY), 1).map_err(super::refused("unmap"))?;
    bench.frames.put(frame);
    measured
}

/// To the handler; there and back; and what of the way back the handler does not do itself.
fn both_ways(bench: &mut Bench, kind: &(Kind, &str, &str, u64)) -> Result<(), String> {
    let (kind, operation, round, expected) = *kind;
    register(entries::stamping(kind));
    let there = bench.samples(operation, |_| {
        let taken = entries::fault(kind);
        match taken.syndrome >> 26 & 0x3f {
            seen if seen == expected => Ok(taken.entered.since(taken.begin)),
            seen => Err(format!("exception class {seen:#x} instead of {expected:#x}")),
        }
    })?;
    bench.record(operation, &there, Path::Same)?;
    register(entries::plain(kind));
    let both = bench.samples(round, |_| {
        let taken = entries::fault(kind);
        Ok(taken.end.since(taken.begin))
    })?;
    bench.record(round, &both, Path::Same)?;
    if kind != Kind::Breakpoint {
        return Ok(());
    }
    let handler = Stamp { instructions: entries::length(kind), cycles: 0 };
    let back: Vec<Stamp> =
        both.iter().zip(&there).map(|(both, there)| both.since(there.plus(handler))).collect();
    bench.record("exc_return", &back, Path::Same)
}

/// Enters the activation at `handler` from its next fault on.
fn register(handler: entries::Handler) {
    let own = page::own();
    own.upcalls.stack.store(layout::upcall_stack_top(page::index()), Relaxed);
    own.upcalls.critical_begin.store(handler.critical.0, Relaxed);
    own.upcalls.critical_end.store(handler.critical.1, Relaxed);
    own.upcalls.fault.store(handler.entry, Release);
}

/// FP/SIMD is off until an activation uses it in its turn. The kernel handles that itself, so there is no handler: from
/// the instruction that is trapped to the same instruction done, which itself is not counted.
fn disabled_fp(bench: &mut Bench, peer: &Peer) -> Result<(), String> {
    const ITSELF: Stamp = Stamp { instructions: 1, cycles: 0 };
    bench.series("exc_coproc", |_| {
        calls::yield_to(peer.target(), tranche_abi::Tick::NEVER, Events::Ignore)
            .map_err(super::refused("yield_to"))?;
        let (begin, end) = counter::use_fp();
        Ok(end.since(begin).without(ITSELF))
    })
}

/// What a fault left in the registers.
struct Taken {
    begin: Stamp,
    entered: Stamp,
    end: Stamp,
    syndrome: u64,
}

#[cfg(target_os = "none")]
mod entries {
    //! The handlers and the instructions that fault, in assembly.
    use super::{Kind, READ_ONLY, Stamp, Taken};
    use crate::bench::counter::{stamp_after, stamp_before};
    use core::arch::{asm, global_asm};
    use core::mem::offset_of;
    use tranche_abi::page::{ActivationPage, SaveArea};

    /// A handler's addresses.
    #[derive(Clone, Copy)]
    pub(super) struct Handler {
        pub(super) entry: u64,
        /// First instruction of the range that returns, and the one after it.
        pub(super) critical: (u64, u64),
    }

    global_asm!(
        ".pushsection .text.tranche_bench_fault, \"ax\"",
        ".balign 16",
        ".global bench_fault_stamp_step, bench_fault_stamp, bench_fault_step, bench_fault",
        ".global bench_fault_return, bench_fault_end",

        // Leaves its stamp in x11 and x12 and the syndrome in x13, which who provokes the fault expects.
        "bench_fault_stamp_step:",
        stamp_after!("x11", "x12"),
        "mov x13, x1",
        "b bench_fault_step",
        "bench_fault_stamp:",
        stamp_after!("x11", "x12"),
        "mov x13, x1",
        "b bench_fault",

        // Over the instruction, and back with every register but x18 as it was.
        "bench_fault_step:",
        "ldr x0, [x18, #{pc}]",
        "add x0, x0, #4",
        "str x0, [x18, #{pc}]",
        "bench_fault:",
        "ldr x0, [x18, #{sp}]",
        "mov sp, x0",
        "ldr x0, [x18, #{pstate}]",
        "msr nzcv, x0",
        "ldr x0, [x18, #{x}]",
        "ldr x1, [x18, #{x} + 8]",
        "ldr x2, [x18, #{x} + 16]",
        "bench_fault_return:",
        "str wzr, [x18, #{disabled}]",
        "ldr x18, [x18, #{pc}]",
        "br x18",
        "bench_fault_end:",
        ".popsection",
        x = const AREA + offset_of!(SaveArea, x),
        sp = const AREA + offset_of!(SaveArea, sp),
        pc = const AREA + offset_of!(SaveArea, pc),
        pstate = const AREA + offset_of!(SaveArea, pstate),
        disabled = const offset_of!(ActivationPage, disabled),
    );

    const AREA: usize = offset_of!(ActivationPage, enabled_area);

    unsafe extern "C" {
        fn bench_fault_stamp_step();
        fn bench_fault_stamp();
        fn bench_fault_step();
        fn bench_fault();
        fn bench_fault_return();
        fn bench_fault_end();
    }

    fn handler(entry: unsafe extern "C" fn()) -> Handler {
        let address = |place: unsafe extern "C" fn()| place as *const () as u64;
        Handler { entry: address(entry), critical: (address(bench_fault_return), address(bench_fault_end)) }
    }

    /// The handler that stamps. A reflected call needs no stepping over.
    pub(super) fn stamping(kind: Kind) -> Handler {
        handler(if kind == Kind::Reflected { bench_fault_stamp } else { bench_fault_stamp_step })
    }

    /// The handler that only returns.
    pub(super) fn plain(kind: Kind) -> Handler {
        handler(if kind == Kind::Reflected { bench_fault } else { bench_fault_step })
    }

    /// Instructions of the plain handler.
    pub(super) fn length(kind: Kind) -> u64 {
        let handler = plain(kind);
        (handler.critical.1 - handler.entry) / 4
    }

    macro_rules! provoke {
        ($instruction:literal, $address:expr) => {{
            let (mut begin, mut entered, mut end) = (Stamp::default(), Stamp::default(), Stamp::default());
            let syndrome;
            // SAFETY: The instruction faults, and one of the handlers above steps over it; every register that they
            // change is declared.
            unsafe {
                asm!(
                    stamp_before!("x9", "x10"),
                    $instruction,
                    stamp_after!("x14", "x15"),
                    inout("x0") $address => _, out("x1") _, out("x2") _,
                    out("x9") begin.instructions, out("x10") begin.cycles,
                    out("x11") entered.instructions, out("x12") entered.cycles, out("x13") syndrome,
                    out("x14") end.instructions, out("x15") end.cycles,
                    options(nostack),
                )
            };
            Taken { begin, entered, end, syndrome }
        }};
    }

    /// Provokes a fault of a kind. What only the stamping handler leaves means nothing with the other.
    #[inline(never)]
    pub(super) fn fault(kind: Kind) -> Taken {
        match kind {
            // Exclusive loads are checked for alignment whatever else is allowed.
            Kind::Unalign => provoke!("ldxr x0, [x0]", READ_ONLY + 1),
            Kind::Undefined => provoke!("udf #0", 0),
            Kind::Breakpoint => provoke!("brk #7", 0),
            Kind::Protection => provoke!("str x0, [x0]", READ_ONLY),
            Kind::Reflected => provoke!("svc #0", 0),
        }
    }
}

/// On the host nothing faults.
#[cfg(not(target_os = "none"))]
mod entries {
    use super::{Kind, Stamp, Taken};

    #[derive(Clone, Copy)]
    pub(super) struct Handler {
        pub(super) entry: u64,
        pub(super) critical: (u64, u64),
    }
    pub(super) fn stamping(_: Kind) -> Handler {
        Handler { entry: 0, critical: (0, 0) }
    }
    pub(super) fn plain(_: Kind) -> Handler {
        Handler { entry: 0, critical: (0, 0) }
    }
    pub(super) fn length(_: Kind) -> u64 {
        0
    }
    pub(super) fn fault(_: Kind) -> Taken {
        Taken { begin: Stamp::default(), entered: Stamp::default(), end: Stamp::default(), syndrome: 0 }
    }
}
