//! Trace records: what a core's trace ring holds, written by the kernel on its own account or as a program's mark.
//!
//! A ring is overwritten from its beginning when it is full; whoever reads it knows from `written` how many records it
//! missed. Not here: what a program means by its marks (`libos_core::sched::steps` for schedulers).

use crate::layout::PAGE_SIZE;
use core::sync::atomic::AtomicU64;

/// Words of a record that its kind gives a meaning.
pub const WORDS: usize = 6;
/// Records of one core's ring.
pub const RING_RECORDS: usize = 8192;
/// Kinds from here on are marks that programs make; their meaning is their own.
pub const FIRST_MARK: u8 = 128;

/// A record: one cache line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C, align(64))]
pub struct Record {
    /// When, in ticks.
    pub time: u64,
    /// Kind in bits 0..8, core in 8..16, environment in 16..32, detail in 32..64.
    pub head: u64,
    /// As the kind says.
    pub words: [u64; WORDS],
}

impl Record {
    /// A head of these parts.
    pub const fn head(kind: u8, core: u8, env: u16, detail: u32) -> u64 {
        kind as u64 | (core as u64) << 8 | (env as u64) << 16 | (detail as u64) << 32
    }
    /// What happened: a [`kind`], or a program's mark.
    pub const fn kind(&self) -> u8 {
        self.head as u8
    }
    /// On which core.
    pub const fn core(&self) -> u8 {
        (self.head >> 8) as u8
    }
    /// To which environment, or whose mark it is.
    pub const fn env(&self) -> u16 {
        (self.head >> 16) as u16
    }
    /// As the kind says.
    pub const fn detail(&self) -> u32 {
        (self.head >> 32) as u32
    }
}

/// What the kernel records. Environments are named by index; an activation with its environment is
/// `env | activation << 16` in a word.
pub mod kind {
    /// A slot begins; `env` owns it, `detail` is the activation, be it that nothing of it can run. Words: the slot's number since
    /// the epoch, its end.
    pub const SLICE: u8 = 1;
    /// A directed yield is over; `env` made it. `detail` is the reason in bits 0..8, who made it of its activations in 8..16. Words:
    /// the target (0 if its environment was no more), when it began, until when it was to be, CPU time, the outcome's detail. One
    /// that did not begin began now.
    pub const YIELD: u8 = 2;
    /// An event made an activation ready that waited; `env`, `detail` is the activation. (One whose time comes is ready by itself.)
    pub const READY: u8 = 3;
    /// A slot's owner waits, and the CPU is idle; `env`, `detail` is the activation. Words: until when.
    pub const IDLE: u8 = 4;
    /// A fault of `env` that the kernel's general way saw: the activation cannot go on, or, with bit 8 of `detail`, its handler
    /// was entered. `detail` is the activation. Words: syndrome, address.
    pub const FAULT: u8 = 5;
    /// That bit of a fault's `detail`.
    pub const FAULT_HANDLED: u32 = 1 << 8;
    /// A slice was kept to the end of the grace time by `env`. `detail` is the activation. Words: excess time owed in all.
    pub const EXCESS: u8 = 6;
    /// `env` was asked for resources. Words: resource, core, count, deadline.
    pub const ASKED: u8 = 7;
    /// A resource was taken by force from `env`. Words: the object's name, as in capabilities.
    pub const SEIZED: u8 = 8;
    /// A protected control transfer that the kernel's general way made; `env` called; `detail` is 0 for a call, 1 for a message.
    /// Words: the callee.
    pub const TRANSFER: u8 = 9;
    /// An environment exists from now on, or, with `detail` 1, no more.
    pub const LIFE: u8 = 10;
    /// When a revolution begins, on each core: its ledger. Words: kernel, idle, excess, time up to which it is charged.
    pub const LEDGER: u8 = 11;
}

/// A core's ring, as its readers see it.
#[repr(C, align(4096))]
pub struct Ring {
    /// Records ever written; record `n` is at `n % RING_RECORDS`.
    pub written: AtomicU64,
    padding: [u64; PAGE_SIZE as usize / 8 - 1],
    /// The records, each as its eight words.
    pub records: [[AtomicU64; 8]; RING_RECORDS],
}

/// Pages of a ring.
pub const RING_PAGES: u64 = size_of::<Ring>() as u64 / PAGE_SIZE;

impl Ring {
    /// In which nothing was written.
    pub const fn new() -> Self {
        Self {
            written: AtomicU64::new(0),
            padding: [0; PAGE_SIZE as usize / 8 - 1],
            records: [const { [const { AtomicU64::new(0) }; 8] }; RING_RECORDS],
        }
    }
}

impl Default for Ring {
    fn default() -> Self {
        Self::new()
    }
}
