//! The activation's page: shared between the kernel and the activation, pinned, writable by both.
//!
//! What the kernel reads here is a claim; what it saves here the application may read and change. Every field
//! is atomic, because the application may run on another core while the kernel reads.

use core::sync::atomic::{AtomicU32, AtomicU64};

/// The general-purpose registers of an interrupted program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Registers {
    /// `x0` to `x30`.
    pub x: [u64; 31],
    /// `SP_EL0`.
    pub sp: u64,
    /// Where to continue.
    pub pc: u64,
    /// `SPSR`: only the condition flags are the application's.
    pub pstate: u64,
}

impl Registers {
    /// All zero.
    pub const ZERO: Self = Self { x: [0; 31], sp: 0, pc: 0, pstate: 0 };
}

impl Default for Registers {
    fn default() -> Self {
        Self::ZERO
    }
}

/// A place for [`Registers`] in the page.
#[repr(C)]
pub struct SaveArea {
    /// `x0` to `x30`.
    pub x: [AtomicU64; 31],
    /// `SP_EL0`.
    pub sp: AtomicU64,
    /// Where to continue.
    pub pc: AtomicU64,
    /// Condition flags.
    pub pstate: AtomicU64,
}

/// A place for the FP/SIMD registers in the page: `v0` to `v31`, `FPCR`, `FPSR`.
#[repr(C, align(16))]
pub struct FpArea {
    /// `v0` to `v31`, low half first.
    pub v: [AtomicU64; 64],
    /// `FPCR`.
    pub fpcr: AtomicU64,
    /// `FPSR`.
    pub fpsr: AtomicU64,
}

/// Faults: where they are handled, and what the handler must put back. At fixed offsets from the page's beginning,
/// because the kernel fills it with a handful of stores.
#[repr(C)]
pub struct FaultUpcall {
    /// Where faults are handled; 0: nowhere. The kernel zeroes it when it enters the handler, and the handler stores it
    /// again on its way out, so that a fault in the handler is not the handler's.
    pub entry: AtomicU64,
    /// `x18` as it was.
    pub x18: AtomicU64,
    /// `x0` and `x1` as they were. The next call of the activation overwrites them.
    pub x: [AtomicU64; 2],
    /// Where it faulted; of a reflected call, the instruction after it.
    pub pc: AtomicU64,
    /// Condition flags as they were.
    pub pstate: AtomicU64,
}

/// Protected control transfer: where others enter, and where a call of one's own returns.
#[repr(C)]
pub struct Transfer {
    /// Where a call that this activation made comes back: `x17` = 0, or an error's number if the callee did not return.
    pub resume: AtomicU64,
    /// Where a caller enters this activation: `x17` = the caller, `x18` = this page.
    pub entry: AtomicU64,
}

/// Where the kernel enters the activation at the start and end of its slices. A zero address means: no such upcall.
#[repr(C)]
pub struct Upcalls {
    /// It gets the CPU after having been interrupted while enabled, by the slice's end or its parent's `until`. `x0 = 0`.
    pub run: AtomicU64,
    /// End of the slice: save what matters, then `yield_now` within the grace time. `x0 = 1`.
    pub slice_end: AtomicU64,
    /// The stack pointer of both.
    pub stack: AtomicU64,
    /// First instruction of the range that changes contexts at EL0: interrupted there counts as disabled.
    pub critical_begin: AtomicU64,
    /// The instruction after that range.
    pub critical_end: AtomicU64,
}

/// A standing request to give resources back (visible revocation).
#[repr(C)]
pub struct Demand {
    /// How many are still asked for. Zero: no demand.
    pub count: AtomicU64,
    /// When force follows, in ticks; `u64::MAX` for a plea without a deadline.
    pub deadline: AtomicU64,
}

/// One resource that was taken by force.
#[repr(C)]
pub struct Repossession {
    /// The object: an [`ObjectBits`](crate::ObjectBits) value.
    pub object: AtomicU64,
    /// When, in ticks.
    pub time: AtomicU64,
}

/// Entries of the repossession vector; the count goes on past it, and older entries are overwritten.
pub const REPOSSESSIONS: usize = 32;

/// Frames at most that a holder keeps from being taken by force (the 1995 paper guarantees 5 to 10 pages).
pub const MAX_RESERVE: usize = 8;

/// The page. Its size is at most [`PAGE_SIZE`](crate::layout::PAGE_SIZE).
#[repr(C, align(16))]
pub struct ActivationPage {
    /// Where the kernel keeps the registers while it does not run. While it runs they mean nothing.
    pub registers: SaveArea,
    // --- written by the application and the kernel, within the reach of one load or store from the beginning ---
    /// Faults.
    pub fault: FaultUpcall,
    /// Protected control transfer.
    pub transfer: Transfer,
    /// This page's address, for `x18`; written by the kernel.
    pub address: AtomicU64,
    /// The application's own, for the first instructions of its handlers, which have no register to spare.
    pub scratch: [AtomicU64; 6],
    // --- written by the application ---
    /// Upcall entry points.
    pub upcalls: Upcalls,
    /// Non-zero: inside a slice upcall; resume exactly, make no other.
    pub disabled: AtomicU32,
    /// Non-zero: inside a critical section; the end of the slice is deferred at the price of excess time.
    pub in_critical: AtomicU32,
    /// Set by the kernel when a slice ended inside a critical section: leave it and yield. Cleared by the application.
    pub slice_ended: AtomicU32,
    // --- written by the kernel ---
    /// Index of this activation and, in bits 16..32, of its environment.
    pub identity: AtomicU32,
    /// Event bits, set by `notify` and the kernel, cleared by the application.
    pub events: AtomicU64,
    /// Clients that became ready, by client number; cleared by the application.
    pub ready: [AtomicU64; 4],
    /// CPU time charged to this activation up to `since`, in ticks.
    pub ran: AtomicU64,
    /// When the activation last got the CPU, in ticks.
    pub since: AtomicU64,
    /// When the present slot ends, in ticks.
    pub slot_end: AtomicU64,
    /// The core that it runs on.
    pub core: AtomicU64,
    /// Times that it held the CPU past the grace time.
    pub excess: AtomicU64,
    /// Demands for slots, by core.
    pub slot_demand: [Demand; crate::layout::MAX_CORES],
    /// Demand for frames.
    pub frame_demand: Demand,
    /// Resources taken by force so far. Entry `n` is at `n % REPOSSESSIONS`.
    pub repossessed: AtomicU64,
    /// The repossession vector.
    pub repossessions: [Repossession; REPOSSESSIONS],
    /// Where the kernel puts the registers of an activation that takes slice upcalls, when it was interrupted enabled.
    pub enabled_area: SaveArea,
    /// FP/SIMD registers.
    pub fp: FpArea,
    /// The frame of the environment's root table, which it may map read-only; written by the kernel when the page is made.
    pub root: AtomicU64,
    /// Frames that are not to be taken by force, 0 for none; written by the application. The kernel notes them when it
    /// shows a demand for frames in this page, and keeps to that until the next demand.
    pub reserve: [AtomicU64; MAX_RESERVE],
    /// For each entry of the repossession vector a frame of the application's, 0 for none. Before the kernel takes a frame
    /// by force it copies the frame's contents to the one that stands by the entry; if it cannot, it writes 0.
    pub save_to: [AtomicU64; REPOSSESSIONS],
}

const _: () = assert!(size_of::<ActivationPage>() <= crate::layout::PAGE_SIZE as usize);
