//! The public region: what the kernel knows and lets everybody read without a call.
//!
//! Mapped read-only at [`PUBLIC_BASE`](crate::layout::PUBLIC_BASE) in every environment.

use crate::layout::{MAX_CORES, MAX_ENVS, MAX_SLOTS};
use core::sync::atomic::{AtomicU32, AtomicU64};

/// Identifies the layout of this page; changes with it.
pub const PUBLIC_VERSION: u64 = 4;
/// Ranges of memory that [`Public::memory`] has room for.
pub const MEMORY_RANGES: usize = 32;

/// Environment states in [`Public::env_state`].
pub mod env_state {
    /// No such environment.
    pub const FREE: u32 = 0;
    /// It runs.
    pub const ALIVE: u32 = 1;
    /// Destroyed, not yet reclaimed.
    pub const DYING: u32 = 2;
}

/// How a pixel of the display is one 32-bit word, in [`Public::display_format`].
pub mod pixel {
    /// There is no display.
    pub const NONE: u64 = 0;
    /// Blue in bits 0..8, green in 8..16, red in 16..24 (DRM's `XRGB8888`).
    pub const BLUE_FIRST: u64 = 1;
    /// Red in bits 0..8, green in 8..16, blue in 16..24 (DRM's `XBGR8888`).
    pub const RED_FIRST: u64 = 2;
}

/// What each core's time went to, in ticks. The sum of all buckets is the time from the epoch to `until`.
#[repr(C)]
pub struct Ledger {
    /// Interrupts and slice switches.
    pub kernel: AtomicU64,
    /// Nobody wanted the CPU.
    pub idle: AtomicU64,
    /// Kept past the end of a slice.
    pub excess: AtomicU64,
    /// Environments that are no more.
    pub gone: AtomicU64,
    /// Environments by index.
    pub env: [AtomicU64; MAX_ENVS],
    /// Up to when time has been charged.
    pub until: AtomicU64,
    /// Slots that began with an activation of their owner running or waiting, by the owner's index. A slot that its owner
    /// did not get, for whatever reason, is missing here. Zeroed when the index is reused.
    pub slices: [AtomicU64; MAX_ENVS],
}

/// Consecutive page frames.
#[repr(C)]
pub struct FrameRange {
    /// Number of the first.
    pub first: AtomicU64,
    /// How many.
    pub count: AtomicU64,
}

/// What a core says of itself, in registers that EL0 cannot read. Arm ARM, D19.2.
#[repr(C)]
pub struct Identity {
    /// `MIDR_EL1`: who made the core, which it is, its revision.
    pub midr: AtomicU64,
    /// The exception level at which the firmware handed the core over.
    pub entry_level: AtomicU64,
    /// `CCSIDR_EL1` of the first-level instruction cache, of the first-level data cache (or of the one for both), and of the second-level
    /// cache: zero for one that is not there.
    pub caches: [AtomicU64; 3],
    /// `ID_AA64MMFR2_EL1.CCIDX`: the form of those.
    pub cache_form: AtomicU64,
}

/// The whole region but the archive.
#[repr(C, align(4096))]
pub struct Public {
    /// [`PUBLIC_VERSION`].
    pub version: AtomicU64,
    /// Ticks per second.
    pub frequency: AtomicU64,
    /// Cores that run.
    pub cores: AtomicU64,
    /// Slots of each core's vector.
    pub slots: AtomicU64,
    /// Length of a slot, in ticks.
    pub quantum: AtomicU64,
    /// When slot 0 of every core first began, in ticks.
    pub epoch: AtomicU64,
    /// How long an activation may keep the CPU past the end of its slice, in ticks.
    pub grace: AtomicU64,
    /// Frames that exist, and the number of the first.
    pub frames: AtomicU64,
    /// Number of the lowest frame.
    pub first_frame: AtomicU64,
    /// Frames that the first environment was given at boot: the first of them.
    pub boot_first_frame: AtomicU64,
    /// And how many, consecutive.
    pub boot_frames: AtomicU64,
    /// Bytes of the boot archive at `ARCHIVE_BASE`.
    pub archive_size: AtomicU64,
    /// Board: 0 unknown, 1 QEMU virt, 2 Raspberry Pi 4.
    pub board: AtomicU64,
    /// Generic interrupt controller's version.
    pub gic: AtomicU64,
    /// Whether there is recording: 0 or 1. Programs look here before they make a mark.
    pub tracing: AtomicU64,
    /// First page of the registers of devices that the kernel does not drive (virtio), as a frame number.
    pub device_first: AtomicU64,
    /// And how many pages, consecutive.
    pub device_pages: AtomicU64,
    /// First of the page frames that the display shows: the first environment's at boot, to map and to give like others.
    pub display_first: AtomicU64,
    /// And how many, consecutive; 0 without a display.
    pub display_frames: AtomicU64,
    /// Pixels of a row.
    pub display_width: AtomicU64,
    /// Rows.
    pub display_height: AtomicU64,
    /// Bytes from one row to the next; the first row is at the beginning of the first frame.
    pub display_stride: AtomicU64,
    /// A [`pixel`] format.
    pub display_format: AtomicU64,
    /// Blocks of the disk, of `BLOCK_SIZE` bytes; 0 without one.
    pub disk_blocks: AtomicU64,
    /// The memory that was free when the kernel was done with its own: the first environment's at boot. Unused entries are empty. Of the largest, the first
    /// environment's own pages are the first frames, up to `boot_first_frame`.
    pub memory: [FrameRange; MEMORY_RANGES],
    /// What each core says of itself.
    pub identity: [Identity; MAX_CORES],

    /// State of each environment.
    pub env_state: [AtomicU32; MAX_ENVS],
    /// Faults of each environment's activations that nobody handled: each ended one. Zeroed when the index is reused.
    pub env_faults: [AtomicU32; MAX_ENVS],
    /// Slices that each environment kept to the end of the grace time. Zeroed when the index is reused.
    pub env_excess: [AtomicU32; MAX_ENVS],
    /// Each core's slice vector. A slot's word: owner's environment index in bits 0..16, its activation in 16..24,
    /// generation (grows with every change of owner) in 32..56.
    pub slot: [[AtomicU64; MAX_SLOTS]; MAX_CORES],
    /// Time ledger of each core.
    pub ledger: [Ledger; MAX_CORES],
}

impl Ledger {
    const fn new() -> Self {
        Self {
            kernel: AtomicU64::new(0),
            idle: AtomicU64::new(0),
            excess: AtomicU64::new(0),
            gone: AtomicU64::new(0),
            env: [const { AtomicU64::new(0) }; MAX_ENVS],
            until: AtomicU64::new(0),
            slices: [const { AtomicU64::new(0) }; MAX_ENVS],
        }
    }
}

impl FrameRange {
    const fn new() -> Self {
        Self { first: AtomicU64::new(0), count: AtomicU64::new(0) }
    }
}

impl Identity {
    const fn new() -> Self {
        Self {
            midr: AtomicU64::new(0),
            entry_level: AtomicU64::new(0),
            caches: [const { AtomicU64::new(0) }; 3],
            cache_form: AtomicU64::new(0),
        }
    }
}

impl Public {
    /// A region of zeros, as before boot.
    pub const fn new() -> Self {
        Self {
            version: AtomicU64::new(PUBLIC_VERSION),
            frequency: AtomicU64::new(0),
            cores: AtomicU64::new(0),
            slots: AtomicU64::new(0),
            quantum: AtomicU64::new(0),
            epoch: AtomicU64::new(0),
            grace: AtomicU64::new(0),
            frames: AtomicU64::new(0),
            first_frame: AtomicU64::new(0),
            boot_first_frame: AtomicU64::new(0),
            boot_frames: AtomicU64::new(0),
            archive_size: AtomicU64::new(0),
            board: AtomicU64::new(0),
            gic: AtomicU64::new(0),
            tracing: AtomicU64::new(0),
            device_first: AtomicU64::new(0),
            device_pages: AtomicU64::new(0),
            display_first: AtomicU64::new(0),
            display_frames: AtomicU64::new(0),
            display_width: AtomicU64::new(0),
            display_height: AtomicU64::new(0),
            display_stride: AtomicU64::new(0),
            display_format: AtomicU64::new(pixel::NONE),
            disk_blocks: AtomicU64::new(0),
            memory: [const { FrameRange::new() }; MEMORY_RANGES],
            identity: [const { Identity::new() }; MAX_CORES],
            env_state: [const { AtomicU32::new(0) }; MAX_ENVS],
            env_faults: [const { AtomicU32::new(0) }; MAX_ENVS],
            env_excess: [const { AtomicU32::new(0) }; MAX_ENVS],
            slot: [const { [const { AtomicU64::new(0) }; MAX_SLOTS] }; MAX_CORES],
            ledger: [const { Ledger::new() }; MAX_CORES],
        }
    }
}

impl Default for Public {
    fn default() -> Self {
        Self::new()
    }
}
