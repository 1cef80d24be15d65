//! The first environment: the kernel's own start over the memory that is left, and the program that gets it all.

use crate::memory;
use aarch64_cpu::registers::{CNTFRQ_EL0, CNTVCT_EL0, Readable};
use core::ops::Range;
use core::slice;
use tranche_abi::layout::{ACTIVATION_BASE, PAGE_SIZE};
use tranche_abi::trace::Ring;
use tranche_abi::{Address, Frame, Protection, Tick};
use tranche_boards::archive::Archive;
use tranche_boards::program::{Program, Segment};
use tranche_boards::ranges::Ranges;
use tranche_boards::tree::{Gic, Tree};
use tranche_kernel::arch::aarch64::hardware::Hardware;
use tranche_kernel::arch::aarch64::{KERNEL, PUBLIC, mmu};
use tranche_kernel::boot::{Boot, Display};
use tranche_kernel::frames::FrameEntry;
use tranche_kernel::machine::Machine;

/// Pages of the stack that it begins on. It can map itself a better one.
const STACK_PAGES: u64 = 8;
/// The first address above that stack; a page that is never mapped parts it from the activations' pages.
const STACK_TOP: u64 = ACTIVATION_BASE - PAGE_SIZE;

/// The frame table, as the kernel wants it.
struct FrameTable {
    first: u64,
    entries: &'static mut [FrameEntry],
}

/// Gives the kernel its tables and all memory that is left, and loads the first environment.
pub fn begin(tree: &Tree<'_>, (mut free, display): (Ranges, Display), (cores, disk_blocks): (usize, u64)) {
    let archive = find_archive(tree);
    let settings = archive.settings().unwrap_or_else(|error| panic!("kernel.conf: {error:?}"));
    let first = settings.first;
    let file = archive.file(first).unwrap_or_else(|| panic!("the boot archive has no program \"{first}\""));
    let program = Program::new(file).unwrap_or_else(|error| panic!("program \"{first}\": {error:?}"));

    let public = mmu::image_physical(&raw const PUBLIC);
    let public = public..public + size_of_val(&PUBLIC) as u64;
    let public_table = memory::map_public(&mut free, public, tree.archive.clone());
    let table = take_frame_table(&mut free, &display.frames);
    let (rings, first_ring) = take_rings(&mut free, cores);
    let (numbers, count) = frame_numbers(&free);
    let frequency = CNTFRQ_EL0.get();
    let ticks = |micros: u64| Tick((u128::from(micros) * u128::from(frequency) / 1_000_000) as u64);
    KERNEL.begin(
        &Hardware,
        Boot {
            cores,
            slots: settings.slots,
            quantum: ticks(settings.quantum_us),
            grace: ticks(settings.grace_us),
            frequency,
            board: tree.board as u64,
            gic: if matches!(tree.gic, Some(Gic::V3(..))) { 3 } else { 2 },
            mac_key: mac_key(tree.seed),
            archive_size: tree.archive.end - tree.archive.start,
            public_table: Frame(public_table / PAGE_SIZE),
            first_frame: Frame(table.first),
            rings,
            first_ring,
            devices: devices(tree),
            display,
            disk_blocks,
            frames: table.entries,
            free: &numbers[..count],
        },
    );
    load(&program);
}

fn find_archive<'a>(tree: &Tree<'_>) -> Archive<'a> {
    let Range { start, end } = tree.archive;
    assert!(
        start < end && start % PAGE_SIZE == 0,
        "no boot archive (initial RAM disk) was loaded on whole pages"
    );
    // SAFETY: the boot loader put it there; it is memory, mapped directly, and reserved, so nobody writes it.
    let bytes = unsafe { slice::from_raw_parts(mmu::direct(start), (end - start) as usize) };
    Archive::new(bytes).unwrap_or_else(|error| panic!("boot archive: {error:?}"))
}

/// Takes the memory for one entry per frame, from the lowest that is free or the display's to the highest.
fn take_frame_table(free: &mut Ranges, shown: &Range<u64>) -> FrameTable {
    let ranges = free.as_slice();
    let (first, last) = ranges.first().zip(ranges.last()).expect("there is free memory");
    let (mut first, mut end) = (first.start / PAGE_SIZE, last.end / PAGE_SIZE);
    if !shown.is_empty() {
        (first, end) = (first.min(shown.start), end.max(shown.end));
    }
    let count = (end - first) as usize;
    let at = memory::take(free, (count * size_of::<FrameEntry>()) as u64);
    let entries = mmu::direct(at).cast::<FrameEntry>();
    // SAFETY: fresh, zeroed memory of that size on a page; all zeros is a valid entry (a reserved frame).
    let entries = unsafe { slice::from_raw_parts_mut(entries, count) };
    FrameTable { first, entries }
}

/// Takes the memory for what each core records.
fn take_rings(free: &mut Ranges, cores: usize) -> (&'static [Ring], Frame) {
    let at = memory::take(free, (cores * size_of::<Ring>()) as u64);
    // SAFETY: fresh, zeroed memory of that size on a page, which is nobody else's; all zeros is a ring without records.
    let rings = unsafe { slice::from_raw_parts(mmu::direct(at).cast::<Ring>(), cores) };
    (rings, Frame(at / PAGE_SIZE))
}

/// The pages of the first devices that the kernel does not drive, if they fill whole pages.
fn devices(tree: &Tree<'_>) -> Range<u64> {
    let range = tree.virtio.as_slice().first().cloned().unwrap_or(0..0);
    if (range.start | range.end) % PAGE_SIZE == 0 {
        range.start / PAGE_SIZE..range.end / PAGE_SIZE
    } else {
        0..0
    }
}

/// The free ranges in frames.
fn frame_numbers(free: &Ranges) -> ([Range<u64>; Ranges::CAPACITY], usize) {
    let mut numbers = [const { 0..0 }; Ranges::CAPACITY];
    for (number, range) in numbers.iter_mut().zip(free.as_slice()) {
        *number = range.start / PAGE_SIZE..range.end / PAGE_SIZE;
    }
    (numbers, free.as_slice().len())
}

/// The key of this boot's capabilities: the boot loader's random bytes or, without any, what the clock says, spread over
/// all bits (MurmurHash3's finaliser), which an environment that knows the boot's timing could guess.
fn mac_key(seed: &[u8]) -> [u64; 2] {
    if let Some(random) = seed.first_chunk::<16>() {
        let (low, high) = (u128::from_le_bytes(*random) as u64, (u128::from_le_bytes(*random) >> 64) as u64);
        return [low, high];
    }
    log::warn!("no random seed in the device tree: capabilities are keyed by the clock alone");
    let mut state = CNTVCT_EL0.get();
    [(); 2].map(|()| {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15) ^ CNTVCT_EL0.get() << 32;
        let mut hash = state;
        hash = (hash ^ hash >> 33).wrapping_mul(0xff51_afd7_ed55_8ccd);
        hash = (hash ^ hash >> 33).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
        hash ^ hash >> 33
    })
}

fn load(program: &Program<'_>) {
    for segment in program.segments() {
        load_segment(segment);
    }
    for page in 1..=STACK_PAGES {
        KERNEL.first_page(&Hardware, Address(STACK_TOP - page * PAGE_SIZE), Protection::ReadWrite);
    }
    KERNEL.first_start(&Hardware, Address(program.entry), Address(STACK_TOP));
}

fn load_segment(segment: &Segment<'_>) {
    for page in segment.pages().step_by(PAGE_SIZE as usize) {
        let frame = KERNEL.first_page(&Hardware, Address(page), segment.protection);
        let (offset, bytes) = segment.part(page);
        let frame_at = mmu::direct(frame.0 * PAGE_SIZE);
        // SAFETY: the kernel just zeroed and mapped the frame for a program that does not run yet; the part of a segment
        // that belongs to a page fits in it.
        unsafe { frame_at.add(offset).copy_from_nonoverlapping(bytes.as_ptr(), bytes.len()) };
        if segment.protection == Protection::ReadExecute {
            Hardware.sync_code(frame);
        }
    }
}
