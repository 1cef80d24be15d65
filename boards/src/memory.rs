//! Physical memory at boot: what is free, and what the kernel sets apart before it gives the rest away.

use core::ops::Range;
use tranche_abi::layout::{ARCHIVE_BASE, PAGE_SIZE, PUBLIC_BASE};
use tranche_boards::ranges::Ranges;
use tranche_boards::tree::Tree;
use tranche_kernel::arch::aarch64::mmu;

/// Entries of a table, and so the pages that one level-3 table maps.
const ENTRIES: u64 = 512;
/// Bytes that one level-3 table maps.
const LEVEL_3_SPAN: u64 = ENTRIES * PAGE_SIZE;

const FEW: &str = "the device tree has few ranges of memory";

/// All memory but the image, as far as the direct map reaches.
fn present(tree: &Tree<'_>) -> Ranges {
    let mut memory = tree.memory.clone();
    memory.remove(mmu::image()).expect(FEW);
    memory.remove(mmu::DIRECT_LIMIT..u64::MAX).expect(FEW);
    memory
}

/// Takes out of memory what is somebody's: reserved, the archive's, or the tree's.
fn without_reserved(mut memory: Ranges, tree: &Tree<'_>, tree_at: &Range<u64>) -> Ranges {
    for taken in tree.reserved.as_slice().iter().chain([tree_at]) {
        memory.remove(taken.start & !(PAGE_SIZE - 1)..taken.end.next_multiple_of(PAGE_SIZE)).expect(FEW);
    }
    memory
}

/// What memory is free, in whole pages, before any of it is mapped.
pub fn free(tree: &Tree<'_>, tree_at: &Range<u64>) -> Ranges {
    let mut free = Ranges::default();
    for range in present(tree).as_slice() {
        free.add(whole_pages(range)).expect(FEW);
    }
    without_reserved(free, tree, tree_at)
}

/// Maps all memory but the image, of which the display's `pixels` past the caches, and returns what of it is free. Memory for
/// which there is no table or no place in the direct map is left unused, and the log says so.
pub fn begin(tree: &Tree<'_>, tree_at: &Range<u64>, pixels: Range<u64>) -> Ranges {
    let mut all = tree.memory.clone();
    all.remove(mmu::image()).expect(FEW);
    let mut memory = present(tree);
    memory.remove(pixels.clone()).expect(FEW);
    let mut free = Ranges::default();
    for range in memory.as_slice() {
        match mmu::map_direct(range.clone()) {
            Ok(()) => free.add(whole_pages(range)).expect(FEW),
            Err(mmu::OutOfTables) => log::warn!("memory {range:#x?} is not mapped: out of tables"),
        }
    }
    all.remove(pixels.clone()).expect(FEW);
    if free.size() < all.size() {
        log::warn!("{} KiB of memory are not used", (all.size() - free.size()) / 1024);
    }
    clear_pixels(pixels);
    without_reserved(free, tree, tree_at)
}

/// Maps what the display shows, and makes it black.
fn clear_pixels(pixels: Range<u64>) {
    if !pixels.is_empty() {
        mmu::map_uncached(pixels.clone()).expect("tables for the display");
        // SAFETY: just mapped, whole pages, and nobody else's.
        unsafe { mmu::direct(pixels.start).write_bytes(0, (pixels.end - pixels.start) as usize) };
    }
}

/// Takes whole zeroed pages; returns their physical address.
pub fn take(free: &mut Ranges, size: u64) -> u64 {
    let size = size.next_multiple_of(PAGE_SIZE);
    let at = free.take(size, PAGE_SIZE).expect("there is memory for the kernel's own tables");
    // SAFETY: in the direct map, and it was free until now.
    unsafe { mmu::direct(at).write_bytes(0, size as usize) };
    at
}

/// Builds the tables that map the public region and the archive behind it, read-only, for every environment. Returns the
/// physical address of the level-2 table, which covers the last GiB of the user half.
pub fn map_public(free: &mut Ranges, public: Range<u64>, archive: Range<u64>) -> u64 {
    let level_2 = take(free, PAGE_SIZE);
    for (range, base) in [(public, PUBLIC_BASE), (archive, ARCHIVE_BASE)] {
        let mut at = base - PUBLIC_BASE;
        for page in (range.start..range.end).step_by(PAGE_SIZE as usize) {
            let level_3 = table_entry(level_2, at / LEVEL_3_SPAN);
            // SAFETY: an entry of a table that was taken above and that no hardware walks yet.
            unsafe {
                if *level_3 == 0 {
                    *level_3 = take(free, PAGE_SIZE) | mmu::TABLE;
                }
                *table_entry(*level_3 & !(PAGE_SIZE - 1), at / PAGE_SIZE % ENTRIES) = page | mmu::PAGE_PUBLIC;
            }
            at += PAGE_SIZE;
        }
    }
    level_2
}

fn table_entry(table: u64, index: u64) -> *mut u64 {
    mmu::direct(table + index % ENTRIES * 8).cast()
}

fn whole_pages(range: &Range<u64>) -> Range<u64> {
    range.start.next_multiple_of(PAGE_SIZE)..range.end & !(PAGE_SIZE - 1)
}
