//! All that portable code may ask of the hardware, and the two things they tell each other: [`Event`] and [`Resume`].
//!
//! Not here: any implementation. `arch` has the real one, `tests/fake.rs` the one for the host.
#![forbid(unsafe_code)]

use crate::block::BlockAddress;
use crate::disk::Request;
use crate::environment::Env;
use crate::handles::Handles;
use crate::paging::Table;
use core::fmt;
use tranche_abi::layout::PAGE_SIZE;
use tranche_abi::page::{ActivationPage, FpArea};
use tranche_abi::{Frame, MachineState, Progress, Tick};

/// A core's number, from 0; always below the number of cores that run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct CpuId(pub usize);

/// A way into the kernel, as `arch` saw it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// `svc`, with its immediate.
    Call(u16),
    /// This core's timer fired (or may have).
    Timer,
    /// Another core asks this one to look again.
    Kick,
    /// EL0 faulted: `ESR_EL1` and `FAR_EL1`.
    Fault {
        /// The syndrome.
        esr: u64,
        /// The address, where the syndrome has one.
        far: u64,
    },
}

/// A cause together with whoever was interrupted, whose registers are in its page.
#[derive(Clone, Copy, Debug)]
pub struct Event {
    /// Why the kernel was entered.
    pub cause: Cause,
    /// Who ran; nobody while the core is idle.
    pub current: BlockAddress,
}

/// What `arch` is to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resume {
    /// Enter EL0 with the registers in this activation's page, in its address space, FP/SIMD on or off.
    User {
        /// Whose block says which page and space.
        current: BlockAddress,
        /// Whether FP/SIMD instructions may run; if not, the first one is a [`Cause::Fault`].
        fp: bool,
    },
    /// Sleep until an interrupt, then report it.
    Idle,
}

/// An address space as the hardware knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Space {
    /// Frame of the root table (`TTBR0`).
    pub root: Frame,
    /// Address-space id.
    pub asid: u16,
}

impl Space {
    /// From what [`Self::bits`] made.
    pub const fn from_bits(bits: u64) -> Self {
        Self { root: Frame((bits & 0xffff_ffff_ffff) / PAGE_SIZE), asid: (bits >> 48) as u16 }
    }

    /// As the hardware wants it in `TTBR0_EL1` (Arm ARM D17.2.144).
    pub const fn bits(self) -> u64 {
        (self.root.0 * PAGE_SIZE) | ((self.asid as u64) << 48)
    }
}

/// What the machine's firmware answers when it is asked how the machine is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// There is no firmware to ask.
    Absent,
    /// Nothing yet.
    Pending,
    /// What it said.
    State(MachineState),
}

/// The machine as one core sees it. References are to memory that stays; what it holds is atomic.
pub trait Machine {
    /// The virtual counter.
    fn now(&self) -> Tick;
    /// Programs this core's one timer to fire at `at`. Never called with a time in the past (see [`crate::kernel`]);
    /// an implementation must still fire at once for one.
    fn set_timer(&self, at: Tick);
    /// Makes another core (or this one) report [`Cause::Kick`].
    fn kick(&self, cpu: CpuId);
    /// The frame that the kernel sees at this address: of something whose address was stored.
    fn frame_at(&self, address: u64) -> Frame;
    /// The frame as an activation's page.
    fn page(&self, frame: Frame) -> &ActivationPage;
    /// The frame as an environment's state.
    fn env(&self, frame: Frame) -> &Env;
    /// The frame as a handle table.
    fn handles(&self, frame: Frame) -> &Handles;
    /// The frame as a page table.
    fn table(&self, frame: Frame) -> &Table;
    /// An address space in which nothing is, as its bits, and where the kernel sees a page in which no address is set: for
    /// whoever is entered after its end.
    fn nowhere(&self) -> [u64; 2];
    /// Fills a frame with zeros.
    fn zero(&self, frame: Frame);
    /// Copies a frame's bytes to another.
    fn copy(&self, from: Frame, to: Frame);
    /// Makes what was written to tables visible to every core's walks, then drops what every core has cached of `count`
    /// pages' translations from `address` on, or of more of the address space. Returns when done.
    fn forget_pages(&self, asid: u16, address: u64, count: u64);
    /// Drops what every core has cached of an address space. Returns when done.
    fn forget_space(&self, asid: u16);
    /// Makes instructions written to the frame visible to every core's fetches.
    fn sync_code(&self, frame: Frame);
    /// Saves this core's FP/SIMD registers, which EL0 cannot use from then on.
    fn save_fp(&self, area: &FpArea);
    /// Loads this core's FP/SIMD registers.
    fn load_fp(&self, area: &FpArea);
    /// From now on the disk is to move this, and nothing that was under way.
    fn disk_begin(&self, request: Request);
    /// Lets the disk move at most a block of it, to or from the frame. Takes a bounded time, and waits for nothing.
    fn disk_step(&self, frame: Frame) -> Progress;
    /// Writes to the console as many bytes as fit without waiting; returns how many.
    fn console(&self, bytes: &[u8]) -> usize;
    /// Asks the firmware how the machine is, or fetches what it answered; never waits for it. An answer is handed out once.
    fn state(&self) -> Answer;
    /// Ends the run with a code for whoever started it. Where the hardware cannot, the core sleeps.
    fn power_off(&self, code: u64);
    /// Writes a diagnostic line.
    fn log(&self, line: fmt::Arguments<'_>);
}
