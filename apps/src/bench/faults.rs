//! Exceptions: from the instruction that faults to the first of a handler, and back behind the instruction.
//!
//! Not here: the handlers that Rust code has (`libos_core::upcall`). These are the least that works, in assembly, as the
//! published figures are of: one stamps at its first instruction, the other only steps over the fault. What the second
//! consists of is subtracted from the round trip to see what of the way back is the kernel's.

use super::counter::Stamp;
use super::peer::{Peer, Role};
use super::{Bench, Path};
use crate::probe::class;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use libos_core::calls;
use libos_core::mapping::{self, Space};
use libos_core::upcall::Fault;
use tranche_abi::layout::HANDLE_SELF;
use tranche_abi::{Address, Protection, Target};

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
    /// FP/SIMD is off at the first use of a turn.
    Coproc,
}

/// Kinds, the ids of their operations, and the exception class that the handler must have seen.
const KINDS: [(Kind, &str, &str, u64); 6] = [
    (Kind::Unalign, "exc_unalign", "exc_unalign_round", class::DATA_ABORT),
    (Kind::Undefined, "exc_undefined", "exc_undefined_round", class::UNKNOWN),
    (Kind::Breakpoint, "exc_breakpoint", "exc_breakpoint_round", class::BREAK),
    (Kind::Protection, "exc_protection", "exc_protection_round", class::DATA_ABORT),
    (Kind::Coproc, "exc_coproc", "exc_coproc_round", Fault::FP_OFF),
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
    let measured = bench.with_peer(Role::Bounce, |bench, peer| {
        KINDS.iter().try_for_each(|kind| both_ways(bench, kind, peer))
    });
    calls::unmap(HANDLE_SELF, Address(READ_ONLY), 1).map_err(super::refused("unmap"))?;
    bench.frames.put(frame);
    measured
}

/// To the handler; there and back; and what of the way back the handler does not do itself. FP/SIMD is off after a turn
/// of the peer's.
fn both_ways(bench: &mut Bench, kind: &(Kind, &str, &str, u64), peer: &Peer) -> Result<(), String> {
    let (kind, operation, round, expected) = *kind;
    let there = bench.samples(operation, |_| {
        let taken = entries::fault(kind, entries::stamping(kind), peer.target());
        match taken.syndrome >> 26 & 0x3f {
            seen if seen == expected => Ok(taken.entered.since(taken.begin)),
            seen => Err(format!("exception class {seen:#x} instead of {expected:#x}")),
        }
    })?;
    bench.record(operation, &there, Path::Same)?;
    let both = bench.samples(round, |_| {
        let taken = entries::fault(kind, entries::plain(kind), peer.target());
        Ok(taken.end.since(taken.begin))
    })?;
    bench.record(round, &both, Path::Same)?;
    if kind != Kind::Breakpoint {
        return Ok(());
    }
    let handler = Stamp { instructions: entries::length(), cycles: 0 };
    let back: Vec<Stamp> =
        both.iter().zip(&there).map(|(both, there)| both.since(there.plus(handler))).collect();
    bench.record("exc_return", &back, Path::Same)
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
    //! The handlers and the instructions that fault, in assembly. A handler is registered for the one instruction only: Rust
    //! code may use FP/SIMD registers, and these handlers would step over that.
    use super::{Kind, READ_ONLY, Stamp, Taken, Target};
    use crate::bench::counter::{stamp_after, stamp_before};
    use core::arch::{asm, global_asm};
    use core::mem::offset_of;
    use libos_core::page;
    use tranche_abi::calls::immediate;
    use tranche_abi::page::{ActivationPage, FaultUpcall};

    const FAULT: usize = offset_of!(ActivationPage, fault);

    global_asm!(
        // Over the instruction or, of a reflected call, only behind it; armed again, and back with every register but x18
        // as it was.
        ".macro bench_return entry",
        "ldr x0, [x18, #{pstate}]",
        "msr nzcv, x0",
        "adr x0, \\entry",
        "str x0, [x18, #{entry}]",
        "ldp x0, x1, [x18, #{x}]",
        "ldr x18, [x18, #{pc}]",
        "br x18",
        ".endm",
        ".macro bench_step",
        "ldr x0, [x18, #{pc}]",
        "add x0, x0, #4",
        "str x0, [x18, #{pc}]",
        ".endm",
        // Leaves its stamp in x11 and x12 and the syndrome in x13, which who provokes the fault expects.
        ".macro bench_stamp",
        stamp_after!("x11", "x12"),
        "mov x13, x0",
        ".endm",
        ".pushsection .text.tranche_bench_fault, \"ax\"",
        ".balign 16",
        ".global bench_fault_stamp_step, bench_fault_stamp, bench_fault_step, bench_fault_end, bench_fault",
        "bench_fault_stamp_step:",
        "bench_stamp",
        "bench_step",
        "bench_return bench_fault_stamp_step",
        "bench_fault_stamp:",
        "bench_stamp",
        "bench_return bench_fault_stamp",
        "bench_fault_step:",
        "bench_step",
        "bench_return bench_fault_step",
        "bench_fault_end:",
        "bench_fault:",
        "bench_return bench_fault",
        ".popsection",
        entry = const FAULT + offset_of!(FaultUpcall, entry),
        x = const FAULT + offset_of!(FaultUpcall, x),
        pc = const FAULT + offset_of!(FaultUpcall, pc),
        pstate = const FAULT + offset_of!(FaultUpcall, pstate),
    );

    unsafe extern "C" {
        fn bench_fault_stamp_step();
        fn bench_fault_stamp();
        fn bench_fault_step();
        fn bench_fault_end();
        fn bench_fault();
    }

    /// The handler that stamps. A reflected call needs no stepping over.
    pub(super) fn stamping(kind: Kind) -> u64 {
        if kind == Kind::Reflected {
            bench_fault_stamp as *const () as u64
        } else {
            bench_fault_stamp_step as *const () as u64
        }
    }

    /// The handler that only returns.
    pub(super) fn plain(kind: Kind) -> u64 {
        if kind == Kind::Reflected {
            bench_fault as *const () as u64
        } else {
            bench_fault_step as *const () as u64
        }
    }

    /// Instructions of the handler that only steps over the fault.
    pub(super) fn length() -> u64 {
        (bench_fault_end as *const () as u64 - bench_fault_step as *const () as u64) / 4
    }

    macro_rules! provoke {
        ($handler:expr, $address:expr, $before:literal, $instruction:literal $($operand:tt)*) => {{
            let (mut begin, mut entered, mut end) = (Stamp::default(), Stamp::default(), Stamp::default());
            let syndrome;
            // SAFETY: The instruction faults, and one of the handlers above steps over it; every register that they or a
            // call before change is declared.
            unsafe {
                asm!(
                    $before,
                    "str {handler}, [{page}, #{entry}]",
                    stamp_before!("x9", "x10"),
                    $instruction,
                    stamp_after!("x14", "x15"),
                    "str xzr, [{page}, #{entry}]",
                    handler = in(reg) $handler,
                    page = in(reg) page::own(),
                    entry = const FAULT + offset_of!(FaultUpcall, entry),
                    inout("x0") $address => _, inout("x1") u64::MAX => _, inout("x2") 0u64 => _,
                    out("x3") _, out("x4") _,
                    out("x9") begin.instructions, out("x10") begin.cycles,
                    out("x11") entered.instructions, out("x12") entered.cycles, out("x13") syndrome,
                    out("x14") end.instructions, out("x15") end.cycles, out("v0") _
                    $($operand)*,
                    options(nostack),
                )
            };
            Taken { begin, entered, end, syndrome }
        }};
    }

    /// Provokes a fault of a kind. What only the stamping handler leaves means nothing with the other.
    #[inline(never)]
    pub(super) fn fault(kind: Kind, handler: u64, peer: Target) -> Taken {
        match kind {
            // Exclusive loads are checked for alignment whatever else is allowed.
            Kind::Unalign => provoke!(handler, READ_ONLY + 1, "", "ldxr x0, [x0]"),
            Kind::Undefined => provoke!(handler, 0u64, "", "udf #0"),
            Kind::Breakpoint => provoke!(handler, 0u64, "", "brk #7"),
            Kind::Protection => provoke!(handler, READ_ONLY, "", "str x0, [x0]"),
            Kind::Reflected => provoke!(handler, 0u64, "", "svc #0"),
            Kind::Coproc => coproc(handler, peer),
        }
    }

    /// The same after a turn of the peer's, without an instruction of Rust's in between.
    fn coproc(handler: u64, peer: Target) -> Taken {
        provoke!(handler, peer.0, "svc #{yield_to}", "fmov d0, xzr", yield_to = const immediate(3))
    }
}

/// On the host nothing faults.
#[cfg(not(target_os = "none"))]
mod entries {
    use super::{Kind, Stamp, Taken, Target};

    pub(super) fn stamping(_: Kind) -> u64 {
        0
    }
    pub(super) fn plain(_: Kind) -> u64 {
        0
    }
    pub(super) fn length() -> u64 {
        0
    }
    pub(super) fn fault(_: Kind, _: u64, _: Target) -> Taken {
        Taken { begin: Stamp::default(), entered: Stamp::default(), end: Stamp::default(), syndrome: 0 }
    }
}
