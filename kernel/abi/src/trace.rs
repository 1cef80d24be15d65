//! Trace records: what a core's trace ring holds, written by the kernel on its own account or as a program's mark.
//!
//! A ring is overwritten from its beginning when it is full; whoever reads it knows from `written` how many records it
//! missed. Not here: what a program means by its marks (`libos_core::sched::steps` for schedulers).

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
    /// A slot begins; `env` owns it, `detail` is the activation. Words: the slot's number since the epoch, its end.
    pub const SLICE: u8 = 1;
    /// A directed yield is over; `env` made it, `detail` is the reason. Words: the target, when it began, until when it was to
    /// be, CPU time, the outcome's detail.
    pub const YIELD: u8 = 2;
    /// An activation that waited is ready; `env`, `detail` is the activation.
    pub const READY: u8 = 3;
    /// The CPU of a waiting root goes idle; `env`, `detail` is the activation. Words: until when.
    pub const IDLE: u8 = 4;
    /// A fault goes to the environment's handler or its manager; `detail` is the activation. Words: syndrome, address.
    pub const FAULT: u8 = 5;
    /// A slice was kept to the end of the grace time by `env`. Words: excess time owed in all.
    pub const EXCESS: u8 = 6;
    /// `env` was asked for resources. Words: resource, core, count, deadline.
    pub const ASKED: u8 = 7;
    /// A resource was taken by force from `env`. Words: the object's name, as in capabilities.
    pub const SEIZED: u8 = 8;
    /// A protected control transfer that the kernel's general way made; `env` called. Words: the callee.
    pub const TRANSFER: u8 = 9;
    /// An environment exists from now on, or, with `detail` 1, no more.
    pub const LIFE: u8 = 10;
    /// Now and then, on each core: its ledger. Words: kernel, idle, excess, time up to which it is charged.
    pub const LEDGER: u8 = 11;
}

/// A core's ring, as its readers see it.
#[repr(C, align(4096))]
pub struct Ring {
    /// Records ever written; record `n` is at `n % RING_RECORDS`.
    pub written: AtomicU64,
    padding: [u64; 511],
    /// The records, each as its eight words.
    pub records: [[AtomicU64; 8]; RING_RECORDS],
}
