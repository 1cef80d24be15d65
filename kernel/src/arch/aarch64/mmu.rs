//! The kernel's own address space (`TTBR1`, 39 bits, 4 KiB pages) and the switch between environments' (`TTBR0`).
//!
//! | where | what | access |
//! |---|---|---|
//! | [`DIRECT`] | all memory but the image, at its physical address | read, write |
//! | [`IMAGE`] | the kernel image, mapped by the boot code: text, constants, data | each only as it needs |
//! | `DEVICES` | device registers, in the order in which they were asked for | device memory |
//!
//! Nothing of it is accessible from EL0, nothing is writable and executable, and nothing that is read-only here is
//! writable elsewhere. Only core 0 changes it, at boot, before any other core runs.

use super::cpu;
use crate::machine::CpuId;
use aarch64_cpu::registers::{FAR_EL1, Readable, TPIDR_EL0, TTBR0_EL1, Writeable};
use core::arch::asm;
use core::ops::Range;
use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use tranche_abi::Frame;
use tranche_abi::layout::{MAX_CORES, PAGE_SIZE};

/// Physical address 0 is here.
pub const DIRECT: u64 = 0xffff_ff80_0000_0000;
/// Physical addresses from here on have no place in the direct map.
pub const DIRECT_LIMIT: u64 = 256 << 30;
/// The image's two level-3 tables map from here; see `boards/kernel.ld`.
pub const IMAGE: u64 = 0xffff_ffff_8000_0000;
/// Device registers are mapped from here on.
const DEVICES: u64 = 0xffff_ffff_c000_0000;

/// `MAIR_EL1`: index 0 is normal write-back memory, index 1 device nGnRE, index 2 normal non-cacheable memory.
pub const MAIR: u64 = 0x44_04ff;
/// `TCR_EL1` but the physical address size: 39 bits and 4 KiB in both halves, write-back inner-shareable table walks,
/// 16-bit address-space ids from `TTBR0`.
pub const TCR: u64 = 25 | 1 << 8 | 1 << 10 | 3 << 12 // T0SZ, IRGN0, ORGN0, SH0
    | 25 << 16 | 1 << 24 | 1 << 26 | 3 << 28 | 2 << 30 // T1SZ, IRGN1, ORGN1, SH1, TG1
    | 1 << 36; // AS
/// `SCTLR_EL1` before the MMU is on: the bits that ARMv8.0 wants to be one.
pub const SCTLR_OFF: u64 = 0x30d0_0800;
/// `SCTLR_EL1` in operation: MMU, caches, stack alignment at both levels, writable is never executable; EL0 may zero
/// cache lines, read the cache type, maintain caches by address, and wait.
pub const SCTLR: u64 = SCTLR_OFF
    | 1 | 1 << 2 | 1 << 3 | 1 << 4 | 1 << 12 // M, C, SA, SA0, I
    | 1 << 14 | 1 << 15 | 1 << 16 | 1 << 18 // DZE, UCT, nTWI, nTWE
    | 1 << 19 | 1 << 26; // WXN, UCI

const VALID: u64 = 1;
/// Table at levels 1 and 2, page at level 3.
const TABLE_OR_PAGE: u64 = 1 << 1;
const ATTRIBUTE_DEVICE: u64 = 1 << 2;
const ATTRIBUTE_UNCACHED: u64 = 2 << 2;
const EL0: u64 = 1 << 6;
const READ_ONLY: u64 = 1 << 7;
const INNER_SHAREABLE: u64 = 3 << 8;
const ACCESSED: u64 = 1 << 10;
const NO_EL1_EXECUTE: u64 = 1 << 53;
const NO_EL0_EXECUTE: u64 = 1 << 54;
const ADDRESS: u64 = 0x0000_ffff_ffff_f000;

/// A page of the kernel's text.
pub const PAGE_TEXT: u64 = VALID | TABLE_OR_PAGE | READ_ONLY | INNER_SHAREABLE | ACCESSED | NO_EL0_EXECUTE;
/// A page of constants.
pub const PAGE_CONSTANT: u64 = PAGE_TEXT | NO_EL1_EXECUTE;
/// A page of data.
pub const PAGE_DATA: u64 = PAGE_CONSTANT & !READ_ONLY;
/// A page that every environment may read and nobody may write through this mapping.
pub const PAGE_PUBLIC: u64 = PAGE_CONSTANT | EL0;
/// A reference to a table of the next level.
pub const TABLE: u64 = VALID | TABLE_OR_PAGE;
/// A 2 MiB block of the boot code's own text at its physical address.
pub const BLOCK_TEXT: u64 = PAGE_TEXT & !TABLE_OR_PAGE;
const PAGE_DEVICE: u64 =
    VALID | TABLE_OR_PAGE | ATTRIBUTE_DEVICE | ACCESSED | NO_EL1_EXECUTE | NO_EL0_EXECUTE;

/// A translation table of any level.
#[repr(C, align(4096))]
struct Table([AtomicU64; 512]);

impl Table {
    const fn new() -> Self {
        Self([const { AtomicU64::new(0) }; 512])
    }
}

/// Tables for what is mapped at run time. Enough for 16 GiB in a dozen ranges.
static POOL: [Table; 48] = [const { Table::new() }; 48];
static POOL_USED: AtomicUsize = AtomicUsize::new(0);
/// The root of no environment: maps nothing.
static EMPTY: Table = Table::new();
/// Where the next device goes.
static NEXT_DEVICE: AtomicU64 = AtomicU64::new(DEVICES);
/// Physical address of the image's first byte, and its address here.
static IMAGE_PHYSICAL: AtomicU64 = AtomicU64::new(0);

unsafe extern "C" {
    /// The kernel's root table, filled by the boot code.
    static kernel_root: Table;
    /// First byte of the image and the one after its last, stacks included.
    static image_begin: u8;
    static image_end: u8;
}

/// No table is left to map more.
#[derive(Debug)]
pub struct OutOfTables;

/// Says where the image was loaded. Must be called before anything else here, once.
pub fn begin(image_physical: u64) {
    IMAGE_PHYSICAL.store(image_physical, Ordering::Relaxed);
}

/// The physical addresses that the image occupies, stacks included.
pub fn image() -> Range<u64> {
    let begin = IMAGE_PHYSICAL.load(Ordering::Relaxed);
    begin..begin + ((&raw const image_end) as u64 - (&raw const image_begin) as u64)
}

/// The physical address of a part of the image.
pub fn image_physical<T>(part: *const T) -> u64 {
    (part as u64).wrapping_sub((&raw const image_begin) as u64) + IMAGE_PHYSICAL.load(Ordering::Relaxed)
}

/// Where physical memory is in the direct map.
pub const fn direct(physical: u64) -> *mut u8 {
    (DIRECT + physical) as *mut u8
}

/// The frame that is there in the direct map.
pub(super) const fn frame_at(address: u64) -> Frame {
    Frame((address & (DIRECT_LIMIT - 1)) / PAGE_SIZE)
}

/// Maps memory directly. What is mapped already stays so. `range` is rounded outwards to pages.
pub fn map_direct(range: Range<u64>) -> Result<(), OutOfTables> {
    let range = range.start & !(PAGE_SIZE - 1)..range.end.next_multiple_of(PAGE_SIZE).min(DIRECT_LIMIT);
    map(DIRECT + range.start, range, PAGE_DATA)
}

/// Maps memory directly that a device reads behind the caches, as it is mapped everywhere else: two mappings of one place that
/// differ in this may show different contents (Arm ARM B2.8).
pub fn map_uncached(range: Range<u64>) -> Result<(), OutOfTables> {
    map(DIRECT + range.start, range, PAGE_DATA | ATTRIBUTE_UNCACHED)
}

/// Maps device registers; returns their address.
pub fn map_device(physical: u64, size: u64) -> Result<u64, OutOfTables> {
    let within = physical % PAGE_SIZE;
    let range = physical - within..(physical + size).next_multiple_of(PAGE_SIZE);
    let at = NEXT_DEVICE.fetch_add(range.end - range.start, Ordering::Relaxed);
    map(at, range, PAGE_DEVICE)?;
    Ok(at + within)
}

/// Takes away the pages beneath every stack, so that running over the end of one is a fault.
pub fn guard_stacks() {
    for guard in (0..MAX_CORES).flat_map(|cpu| cpu::guards(CpuId(cpu))) {
        let table = next_table(&next_table(root().entry(guard, 1)).unwrap_or(&EMPTY).0[index(guard, 2)]);
        if let Some(table) = table {
            table.0[index(guard, 3)].store(0, Ordering::Relaxed);
        }
        forget_kernel_page(guard);
    }
}

/// Makes this core's user half another activation's address space, as [`enter`] does, without looking whether it is that
/// already. Going to EL0 synchronises it; until then nobody uses an address of the user half.
#[inline(always)]
pub(super) fn change(space: u64) {
    TTBR0_EL1.set(space);
    // SAFETY: as in `set_user_root`: neither is saved for anybody.
    unsafe { asm!("msr tpidr_el0, xzr", "msr far_el1, xzr", options(nomem, nostack, preserves_flags)) };
}

/// Makes this core's user half the given address space (a [`Space`](crate::machine::Space)'s bits), if it is not already.
pub(super) fn enter(space: u64) {
    set_user_root(space);
}

/// The address space in which nothing is.
pub(super) fn nothing() -> u64 {
    image_physical(&EMPTY)
}

/// Makes this core's user half empty, so that no walk of it reads a table that may be given back meanwhile.
pub fn leave() {
    set_user_root(nothing());
}

fn set_user_root(value: u64) {
    if TTBR0_EL1.get() != value {
        TTBR0_EL1.set(value);
        // Neither is saved for anybody, so neither may tell the next environment anything: EL0 can write the one, and the
        // other still names the last address that faulted.
        TPIDR_EL0.set(0);
        FAR_EL1.set(0);
        // SAFETY: a barrier. Address-space ids tell environments' cached translations apart, and the boot code's
        // identity map, which has none, is never entered again.
        unsafe { asm!("isb", options(nostack, preserves_flags)) };
    }
}

fn map(mut at: u64, mut range: Range<u64>, page: u64) -> Result<(), OutOfTables> {
    while range.start < range.end {
        let done = map_one(at, &range, page)?;
        at += done;
        range.start += done;
    }
    // SAFETY: barriers; the new entries are visible to table walks before anyone uses the addresses.
    unsafe { asm!("dsb ishst", "isb", options(nostack, preserves_flags)) };
    Ok(())
}

/// Maps the largest block or page that fits at the beginning of `range`; returns its size.
fn map_one(at: u64, range: &Range<u64>, page: u64) -> Result<u64, OutOfTables> {
    let mut table = root();
    for level in 1..3 {
        let size = PAGE_SIZE << (9 * (3 - level));
        let entry = table.entry(at, level);
        let fits = range.end - range.start >= size && (at | range.start) & (size - 1) == 0;
        let present = entry.load(Ordering::Relaxed);
        if present & TABLE == VALID {
            return Ok(size - (at & (size - 1))); // A block covers this already.
        }
        if present == 0 && fits {
            entry.store(range.start | page & !TABLE_OR_PAGE, Ordering::Relaxed);
            return Ok(size);
        }
        table = match next_table(entry) {
            Some(next) => next,
            None => add_table(entry)?,
        };
    }
    table.entry(at, 3).store(range.start | page, Ordering::Relaxed);
    Ok(PAGE_SIZE)
}

impl Table {
    fn entry(&self, address: u64, level: u32) -> &AtomicU64 {
        &self.0[index(address, level)]
    }
}

fn index(address: u64, level: u32) -> usize {
    (address >> (12 + 9 * (3 - level))) as usize & 511
}

fn root() -> &'static Table {
    // SAFETY: the linker script reserves a page for it, the boot code filled it, and it is atomic.
    unsafe { &kernel_root }
}

fn next_table(entry: &AtomicU64) -> Option<&'static Table> {
    let value = entry.load(Ordering::Relaxed);
    if value & TABLE != TABLE {
        return None;
    }
    let offset = (value & ADDRESS) - IMAGE_PHYSICAL.load(Ordering::Relaxed);
    // SAFETY: every table of the kernel's address space is a page of the image (the boot code's or the pool's), which
    // is mapped at one offset as a whole, and tables are atomic.
    Some(unsafe { &*((&raw const image_begin) as u64 as *const u8).add(offset as usize).cast() })
}

fn add_table(entry: &AtomicU64) -> Result<&'static Table, OutOfTables> {
    let table = POOL.get(POOL_USED.fetch_add(1, Ordering::Relaxed)).ok_or(OutOfTables)?;
    entry.store(image_physical(table) | TABLE, Ordering::Release);
    Ok(table)
}

fn forget_kernel_page(address: u64) {
    // SAFETY: drops cached translations, which is always allowed.
    unsafe {
        asm!("dsb ishst", "tlbi vaae1is, {}", "dsb ish", "isb", in(reg) address >> 12 & 0xfff_ffff_ffff,
            options(nostack, preserves_flags));
    }
}
