//! Protected control transfer: the bare one, and remote procedure calls on top of it.
//!
//! * `pct`: from before the call to the first instruction at the other side's entry, and the way back. Neither side saves a register.
//! * `tlrpc`: a call that increments a counter of the server's and returns its value; the client trusts the server to keep the
//!   registers that a procedure keeps, and saves none.
//! * `lrpc`: the same by `libos_core::transfer`, which trusts nobody: it keeps those registers itself.

use super::counter::{self, Stamp};
use super::peer::{Peer, Role};
use super::{Bench, Path, refused, settle, start};
use alloc::string::String;
use alloc::vec::Vec;
use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering::Relaxed;
use libos_core::{calls, transfer};
use tranche_abi::Gate;

/// Transfers that are measured.
const TRANSFERS: usize = 101;

/// Measures them.
pub fn measure(bench: &mut Bench) -> Result<(), String> {
    bench.with_peer(Role::Enter, |bench, peer| {
        let trips = trips(bench, peer)?;
        let one_way: Vec<Stamp> = trips.iter().map(|trip| trip.0).collect();
        let both: Vec<Stamp> = trips.iter().map(|(there, back)| there.plus(*back)).collect();
        bench.record("pct", &one_way, Path::Same)?;
        bench.record("pct_round", &both, Path::Same)
    })?;
    bench.with_peer(Role::Trusted, tlrpc)?;
    bench.with_peer(Role::Serve, lrpc)
}

/// The ways there and back of some transfers.
pub fn trips(bench: &Bench, peer: &Peer) -> Result<Vec<(Stamp, Stamp)>, String> {
    let gate = open(peer)?;
    let mut trips = Vec::with_capacity(TRANSFERS);
    for number in 0..TRANSFERS + 2 {
        settle();
        super::turns::drift(number);
        let trip = entries::enter(gate)?;
        if number >= 2 {
            let there = trip.entered.since(trip.begin).without(bench.overhead);
            trips.push((there, trip.end.since(trip.left).without(bench.overhead)));
        }
    }
    calls::gate_close(gate).map_err(refused("gate_close"))?;
    Ok(trips)
}

/// A gate to a peer that waits for calls.
fn open(peer: &Peer) -> Result<Gate, String> {
    start(peer)?;
    calls::gate_open(peer.target()).map_err(refused("gate_open"))
}

fn tlrpc(bench: &mut Bench, peer: &Peer) -> Result<(), String> {
    let (gate, mut count) = (open(peer)?, 0);
    bench.series("tlrpc", |_| {
        let trip = entries::enter(gate)?;
        count += 1;
        if trip.reply == count { Ok(trip.end.since(trip.begin)) } else { Err(wrong(trip.reply, count)) }
    })?;
    calls::gate_close(gate).map_err(refused("gate_close"))
}

fn lrpc(bench: &mut Bench, peer: &Peer) -> Result<(), String> {
    let (gate, mut count) = (open(peer)?, 0);
    bench.series("lrpc", |_| {
        let mut message = [0; 8];
        counter::use_fp();
        let begin = counter::before();
        transfer::call(gate, &mut message).map_err(refused("call"))?;
        let cost = counter::after().since(begin);
        count += 1;
        if message[0] == count { Ok(cost) } else { Err(wrong(message[0], count)) }
    })?;
    calls::gate_close(gate).map_err(refused("gate_close"))
}

fn wrong(reply: u64, count: u64) -> String {
    alloc::format!("the server's counter is {reply} after {count} calls")
}

/// What both servers count.
static COUNTER: AtomicU64 = AtomicU64::new(0);

/// The procedure of both servers: counts its callers.
extern "C" fn count() -> u64 {
    let count = COUNTER.load(Relaxed) + 1;
    COUNTER.store(count, Relaxed);
    count
}

/// The server of `lrpc`.
pub fn serve() {
    transfer::serve(|message, _| message[0] = count());
}

/// A transfer there and back. `entered` and `left` mean something only of the server that stamps, `reply` of the other.
struct Trip {
    begin: Stamp,
    entered: Stamp,
    left: Stamp,
    end: Stamp,
    reply: u64,
}

/// The server of `pct`: only stamps.
pub fn stamp_callers() {
    entries::wait(entries::stamping());
}

/// The server of `tlrpc`.
pub fn count_callers() {
    entries::wait(entries::counting());
}

#[cfg(target_os = "none")]
mod entries {
    //! Both sides of a bare transfer, in assembly.
    use super::{Gate, Stamp, String, Trip, count};
    use crate::bench::counter::{stamp_after, stamp_before};
    use core::arch::{asm, naked_asm};
    use core::mem::offset_of;
    use core::sync::atomic::Ordering::Relaxed;
    use libos_core::page;
    use tranche_abi::calls::immediate;
    use tranche_abi::page::{ActivationPage, Transfer};

    /// Which word of the page's scratch area has the server's stack pointer. The runtime uses the first ones.
    const STACK_IN_SCRATCH: usize = 5;

    /// Enters a server once, with no more than the call.
    #[inline(never)]
    pub(super) fn enter(gate: Gate) -> Result<Trip, String> {
        let [mut begin, mut entered, mut left, mut end] = [Stamp::default(); 4];
        let (refused, reply): (u64, u64);
        // SAFETY: The servers below keep what a procedure keeps, and the stack pointer; the kernel changes x16 to x18.
        unsafe {
            asm!(
                "adr x17, 2f",
                "str x17, [{page}, #{resume}]",
                stamp_before!("x14", "x15"),
                "svc #{pct_call}",
                "b 3f",
                "2:",
                stamp_after!("x13", "x8"),
                "3:",
                page = in(reg) page::own(),
                resume = const offset_of!(ActivationPage, transfer) + offset_of!(Transfer, resume),
                pct_call = const immediate(61),
                inout("x16") gate.0 => _, out("x17") refused, out("x0") reply,
                out("x14") begin.instructions, out("x15") begin.cycles,
                out("x9") entered.instructions, out("x10") entered.cycles,
                out("x11") left.instructions, out("x12") left.cycles,
                out("x13") end.instructions, out("x8") end.cycles,
                out("x1") _, out("x2") _, out("x3") _, out("x4") _, out("x5") _, out("x6") _, out("x7") _,
                out("v0") _, out("v1") _, out("v2") _, out("v3") _, out("v4") _, out("v5") _, out("v6") _, out("v7") _,
                out("v16") _, out("v17") _, out("v18") _, out("v19") _, out("v20") _, out("v21") _, out("v22") _,
                out("v23") _, out("v24") _, out("v25") _, out("v26") _, out("v27") _, out("v28") _, out("v29") _,
                out("v30") _, out("v31") _,
                options(nostack),
            )
        };
        match refused {
            0 => Ok(Trip { begin, entered, left, end, reply }),
            error => Err(alloc::format!("the transfer: error {error}")),
        }
    }

    pub(super) fn stamping() -> u64 {
        stamp_and_return as *const () as u64
    }

    pub(super) fn counting() -> u64 {
        count_and_return as *const () as u64
    }

    /// Waits for callers at `entry`, for ever.
    pub(super) fn wait(entry: u64) {
        let own = page::own();
        own.transfer.entry.store(entry, Relaxed);
        let stack: u64;
        // SAFETY: Reads a register.
        unsafe { asm!("mov {}, sp", out(reg) stack, options(nomem, nostack, preserves_flags)) };
        own.scratch[STACK_IN_SCRATCH].store(stack & !15, Relaxed);
        // SAFETY: Never comes back: whoever runs here next is a caller, at the entry.
        unsafe { asm!("2: svc #{pct_return}", "b 2b", pct_return = const immediate(63), options(noreturn)) }
    }

    /// Stamps, and returns with both stamps in registers.
    #[unsafe(naked)]
    unsafe extern "C" fn stamp_and_return() {
        naked_asm!(
            stamp_after!("x9", "x10"),
            stamp_before!("x11", "x12"),
            "svc #{pct_return}",
            "b .-4",
            pct_return = const immediate(63),
        )
    }

    /// Calls the procedure on the server's own stack, and returns with its value in `x0`.
    #[unsafe(naked)]
    unsafe extern "C" fn count_and_return() {
        naked_asm!(
            "ldr x16, [x18, #{stack}]",
            "mov x17, sp",
            "mov sp, x16",
            "stp x17, x30, [sp, #-16]!",
            "bl {count}",
            "ldp x17, x30, [sp], #16",
            "mov sp, x17",
            "svc #{pct_return}",
            "b .-4",
            stack = const offset_of!(ActivationPage, scratch) + 8 * STACK_IN_SCRATCH,
            count = sym count,
            pct_return = const immediate(63),
        )
    }
}

/// On the host nobody is entered.
#[cfg(not(target_os = "none"))]
mod entries {
    use super::{Gate, String, Trip};

    pub(super) fn enter(_: Gate) -> Result<Trip, String> {
        Err("no kernel".into())
    }
    pub(super) fn stamping() -> u64 {
        0
    }
    pub(super) fn counting() -> u64 {
        0
    }
    pub(super) fn wait(_: u64) {}
}
