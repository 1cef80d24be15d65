//! From memory ranges to the first environment.
//!
//! Not here: finding the memory and loading the program's bytes (the `boards` crate). The first environment owns every
//! free frame, every slot and the disk; what it is, is up to whoever fills the boot archive.
#![forbid(unsafe_code)]

use crate::activation::page_address;
use crate::capability::{Claim, Mint};
use crate::environment::FIRST;
use crate::frames::{FrameEntry, Role};
use crate::kernel::Kernel;
use crate::machine::{CpuId, Machine};
use crate::paging::{self, Descriptor};
use crate::slots::{SlotWord, own_activation};
use core::ops::Range;
use core::sync::atomic::Ordering::Relaxed;
use tranche_abi::layout::{ENV_FRAMES, HANDLE_MACHINE, MAX_CORES};
use tranche_abi::trace::Ring;
use tranche_abi::{Address, Frame, Kind, Object, Protection, Rights, Tick};

/// A display that the boot code switched on, and its pixels.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Display {
    /// The frames that it shows, which are in no range of free ones; they have entries. None without a display.
    pub frames: Range<u64>,
    /// Pixels of a row.
    pub width: u64,
    /// Rows.
    pub height: u64,
    /// Bytes from one row to the next.
    pub stride: u64,
    /// See [`tranche_abi::public::pixel`].
    pub format: u64,
}

/// What the boot code found out.
pub struct Boot<'a> {
    /// Cores that will run.
    pub cores: usize,
    /// Slots of each core's vector.
    pub slots: u64,
    /// Length of a slot.
    pub quantum: Tick,
    /// How long an activation may keep the CPU past the end of its slice.
    pub grace: Tick,
    /// Ticks per second.
    pub frequency: u64,
    /// See [`tranche_abi::public::Public::board`].
    pub board: u64,
    /// Version of the interrupt controller.
    pub gic: u64,
    /// The key of this boot's capabilities.
    pub mac_key: [u64; 2],
    /// Bytes of the boot archive.
    pub archive_size: u64,
    /// The level-2 table that maps the public region.
    pub public_table: Frame,
    /// Number of the lowest frame.
    pub first_frame: Frame,
    /// A ring for each core; none for a machine that records nothing.
    pub rings: &'static [Ring],
    /// Their first frame. They are consecutive, and in nobody's list.
    pub first_ring: Frame,
    /// Pages of the registers of devices that the kernel does not drive, as frame numbers.
    pub devices: Range<u64>,
    /// The display.
    pub display: Display,
    /// Blocks of the disk; 0 without one.
    pub disk_blocks: u64,
    /// One entry per frame from `first_frame`.
    pub frames: &'static mut [FrameEntry],
    /// Ranges of frame numbers that are free, ascending, without overlap; every frame in them has an entry.
    pub free: &'a [Range<u64>],
}

impl Kernel {
    /// Takes over the machine: every free frame, every slot and the disk go to the first environment, which has no program yet. Once, on
    /// one core, before any other call.
    ///
    /// # Panics
    /// If the largest free range is too small for an environment: the machine has no usable memory.
    pub fn begin<M: Machine>(&self, machine: &M, boot: Boot<'_>) {
        let public = self.public;
        let fields = [
            (&public.frequency, boot.frequency),
            (&public.cores, boot.cores as u64),
            (&public.slots, boot.slots),
            (&public.quantum, boot.quantum.0),
            (&public.grace, boot.grace.0),
            (&public.frames, boot.frames.len() as u64),
            (&public.first_frame, boot.first_frame.0),
            (&public.archive_size, boot.archive_size),
            (&public.board, boot.board),
            (&public.gic, boot.gic),
            (&public.device_first, boot.devices.start),
            (&public.device_pages, boot.devices.end - boot.devices.start),
            (&public.display_first, boot.display.frames.start),
            (&public.display_frames, boot.display.frames.end - boot.display.frames.start),
            (&public.display_width, boot.display.width),
            (&public.display_height, boot.display.height),
            (&public.display_stride, boot.display.stride),
            (&public.display_format, boot.display.format),
            (&public.disk_blocks, boot.disk_blocks),
            (&self.first_ring, boot.first_ring.0),
        ];
        fields.into_iter().for_each(|(field, value)| field.store(value, Relaxed));
        for (number, (core, ledger)) in self.cores.iter().zip(&public.ledger).enumerate() {
            let mut core = core.lock();
            (core.cpu, core.ledger, core.ring) = (CpuId(number), Some(ledger), boot.rings.get(number));
        }
        for (shown, range) in public.memory.iter().zip(boot.free) {
            shown.first.store(range.start, Relaxed);
            shown.count.store(range.end - range.start, Relaxed);
        }
        let mut own = self.ownership.lock();
        own.mint = Mint::new(boot.mac_key);
        own.public_table = boot.public_table;
        own.frames.begin(boot.first_frame, boot.frames);
        own.frames.begin_display(boot.display.frames.clone());
        for frame in boot.free.iter().cloned().chain([boot.display.frames]).flatten() {
            own.frames.transfer(Frame(frame), FIRST, Role::Plain);
        }
        let largest = boot.free.iter().max_by_key(|range| range.end - range.start).cloned().unwrap_or(0..0);
        assert!(largest.end - largest.start > ENV_FRAMES, "no memory for the first environment");
        public.boot_first_frame.store(largest.start, Relaxed);
        public.boot_frames.store(largest.end - largest.start, Relaxed);
        let first = self.take_boot_frames(ENV_FRAMES);
        let created = own.create_env(self, machine, None, first);
        own.disk.begin(boot.disk_blocks, created.expect("the first environment has index 0"));
        let claim =
            Claim { object: Object { kind: Kind::Machine, index: 0 }, rights: Rights::ALL, generation: 0 };
        let env = self.env(machine, FIRST);
        machine.handles(crate::activation::stored_frame(&env.handles)).set(HANDLE_MACHINE, claim);
        drop(own);
        self.give_all_slots(machine, boot.cores, boot.slots);
        (0..boot.cores.min(MAX_CORES)).for_each(|core| self.first_activation(machine, core));
    }

    /// The next frames of the largest range; the range shrinks, so that the first environment knows which are left.
    fn take_boot_frames(&self, count: u64) -> Frame {
        self.public.boot_frames.fetch_sub(count, Relaxed);
        Frame(self.public.boot_first_frame.fetch_add(count, Relaxed))
    }

    fn give_all_slots<M: Machine>(&self, machine: &M, cores: usize, slots: u64) {
        for (core, vector) in self.public.slot.iter().enumerate().take(cores) {
            for word in &vector[..slots as usize] {
                SlotWord { owner: FIRST, activation: own_activation(core), generation: 1 }.store(word);
            }
        }
        self.env(machine, FIRST).slots.store((cores as u64 * slots) as u32, Relaxed);
    }

    /// Creates the first environment's activation for a core, stopped.
    fn first_activation<M: Machine>(&self, machine: &M, core: usize) {
        let activation = own_activation(core);
        self.add_tables(machine, page_address(activation));
        let frame = self.take_boot_frames(1);
        let created = self.ownership.lock().create_activation(self, machine, (FIRST, activation), frame);
        assert!(created.is_ok(), "the first environment's activations do not exist yet");
    }

    fn add_tables<M: Machine>(&self, machine: &M, address: u64) {
        while paging::leaf(machine, self.space(machine, FIRST).root, address).is_none() {
            let frame = self.take_boot_frames(1);
            let added = self.ownership.lock().install_table(self, machine, FIRST, address, frame);
            assert!(added.is_ok(), "a missing table can be added");
        }
    }

    /// Maps a fresh, zeroed frame for the first environment's program; the caller fills it.
    pub fn first_page<M: Machine>(&self, machine: &M, address: Address, protection: Protection) -> Frame {
        self.add_tables(machine, address.0);
        let frame = self.take_boot_frames(1);
        machine.zero(frame);
        let descriptor = Descriptor::page(frame, protection, protection);
        self.ownership.lock().map(self, machine, FIRST, address.0, descriptor);
        frame
    }

    /// Readies the first environment's activation 0.
    pub fn first_start<M: Machine>(&self, machine: &M, entry: Address, stack: Address) {
        let started = self.start_activation(machine, (FIRST, 0), [entry.0, stack.0, 0]);
        assert!(started, "nothing runs before boot is done");
    }

    /// Sets the common epoch, one quantum from now. Once, when every core is ready for its first event.
    pub fn open<M: Machine>(&self, machine: &M) {
        let quantum = self.public.quantum.load(Relaxed);
        self.public.epoch.store(machine.now().0 + quantum, Relaxed);
    }
}
