//! Page tables as the architecture defines them (Arm ARM D8.3, VMSAv8-64, 4 KiB granule): descriptors and the walk.
//!
//! Not here: who may map what ([`crate::memory`]), and the kernel's own tables (`arch`).
#![forbid(unsafe_code)]

use crate::machine::Machine;
use crate::word::{self, Loose};
use core::sync::atomic::{AtomicU64, Ordering::Relaxed, Ordering::Release};
use tranche_abi::layout::{ACTIVATION_BASE, MAX_BATCH, PAGE_SIZE};
use tranche_abi::{Frame, Protection};

/// A page table: 512 descriptors in a frame.
#[repr(C, align(4096))]
pub struct Table(pub [AtomicU64; ENTRIES]);

/// A table or page descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Descriptor(pub u64);

const VALID_TABLE_OR_PAGE: u64 = 0b11;
const ATTRIBUTES_NORMAL: u64 = 0 << 2; // MAIR index 0: normal, write-back (set up in `arch`)
const ATTRIBUTES_DEVICE: u64 = 1 << 2; // MAIR index 1: device, nGnRE
const ATTRIBUTES_UNCACHED: u64 = 2 << 2; // MAIR index 2: normal, non-cacheable
const ACCESS_EL0: u64 = 1 << 6;
const READ_ONLY: u64 = 1 << 7;
const INNER_SHAREABLE: u64 = 0b11 << 8;
const ACCESSED: u64 = 1 << 10; // the A72 does not set it by itself
const NOT_GLOBAL: u64 = 1 << 11;
const NO_EXECUTE_EL1: u64 = 1 << 53;
const NO_EXECUTE_EL0: u64 = 1 << 54;
const ADDRESS: u64 = 0x0000_ffff_ffff_f000;
/// Software bits 55 and 56: the protection that the mapper allowed at most, + 1.
const LIMIT_SHIFT: u32 = 55;
/// Software bit 57: the plain frame belongs to the environment whose table this is. See [`Descriptor::owned`].
const OWNED: u64 = 1 << 57;
/// What a change of protection changes.
const PROTECTION: u64 = READ_ONLY | NO_EXECUTE_EL0 | 3 << LIMIT_SHIFT;
/// Descriptors of a table.
const ENTRIES: usize = 512;

impl Descriptor {
    /// Nothing there.
    pub const NONE: Self = Self(0);

    /// Points to the next level's table.
    pub const fn table(frame: Frame) -> Self {
        Self((frame.0 * PAGE_SIZE) | VALID_TABLE_OR_PAGE)
    }

    /// Maps a frame for EL0; `limit` is the protection that it may be given at most without owning the frame.
    pub const fn page(frame: Frame, protection: Protection, limit: Protection) -> Self {
        let attributes =
            ATTRIBUTES_NORMAL | ACCESS_EL0 | INNER_SHAREABLE | ACCESSED | NOT_GLOBAL | NO_EXECUTE_EL1;
        Self((frame.0 * PAGE_SIZE) | VALID_TABLE_OR_PAGE | attributes).protected(protection, limit)
    }

    /// Maps a page of device registers for EL0, to read and write.
    pub const fn device(frame: Frame) -> Self {
        let page = Self::page(frame, Protection::ReadWrite, Protection::ReadWrite);
        Self(page.0 | ATTRIBUTES_DEVICE)
    }

    /// The same page for memory that a device reads behind the caches: what is written there goes to memory itself (Arm ARM B2.7.2,
    /// Normal Non-cacheable).
    pub const fn uncached(self) -> Self {
        Self(self.0 | ATTRIBUTES_UNCACHED)
    }

    /// The same page with another protection and limit.
    pub const fn protected(self, protection: Protection, limit: Protection) -> Self {
        let permission = match protection {
            Protection::Read => READ_ONLY | NO_EXECUTE_EL0,
            Protection::ReadWrite => NO_EXECUTE_EL0,
            Protection::ReadExecute => READ_ONLY,
        };
        self.with_protection_of(Self(permission | (limit as u64 + 1) << LIMIT_SHIFT))
    }

    /// The same page with the protection and limit of another.
    pub const fn with_protection_of(self, other: Self) -> Self {
        Self(self.0 & !PROTECTION | other.0 & PROTECTION)
    }

    /// The same page, marked: its frame is plain and belongs to the environment whose table this is. So the environment may
    /// protect it as it likes, and neither the frame table nor its lock has to be asked.
    ///
    /// The mark is set where a page is mapped, or given to the environment that has it mapped. It cannot be out of date: a
    /// frame changes its owner or its role by being given, seized, reclaimed, or made a table or a page of an activation, and
    /// each of these first breaks every mapping but the receiver's, or wants the frame mapped nowhere.
    pub const fn owned(self) -> Self {
        Self(self.0 | OWNED)
    }

    /// Whether it is a page marked by [`Self::owned`]; such a one is valid.
    pub const fn is_owned(self) -> bool {
        self.0 & OWNED != 0
    }

    /// Reads a descriptor in its table.
    pub fn load(place: &AtomicU64) -> Self {
        Self(place.load(Relaxed))
    }

    /// Puts in its place what `changed` makes of a descriptor, whatever other cores make of it meanwhile; false if it makes
    /// nothing of it.
    #[inline(always)]
    pub fn amend(place: &AtomicU64, changed: impl Fn(Self) -> Option<Self>) -> bool {
        word::amend(&Loose(place), |present| changed(Self(present)).map(|next| next.0)).is_some()
    }

    /// Writes a descriptor to its table, after whatever it points to. The caller sees to cached translations.
    pub fn store(self, place: &AtomicU64) {
        place.store(self.0, Release);
    }

    /// Whether the hardware would follow it.
    pub const fn is_valid(self) -> bool {
        self.0 & 1 != 0
    }

    /// The frame that it points to.
    pub const fn frame(self) -> Frame {
        Frame((self.0 & ADDRESS) / PAGE_SIZE)
    }

    /// The protection that the mapper allowed at most.
    pub const fn limit(self) -> Protection {
        match self.0 >> LIMIT_SHIFT & 3 {
            2 => Protection::ReadWrite,
            3 => Protection::ReadExecute,
            _ => Protection::Read,
        }
    }
}

impl Table {
    /// The descriptor at an index.
    pub fn get(&self, index: usize) -> Descriptor {
        Descriptor::load(&self.0[index])
    }

    /// Changes the descriptor at an index. The caller sees to cached translations.
    pub fn set(&self, index: usize, descriptor: Descriptor) {
        descriptor.store(&self.0[index]);
    }
}

/// The index into a table of `level` (1 is the root, 3 holds pages) for an address.
pub const fn index(address: u64, level: u32) -> usize {
    (address >> (12 + 9 * (3 - level)) & 511) as usize
}

/// The table of `level` that covers an address, if there is one.
pub fn table_at<M: Machine>(machine: &M, root: Frame, address: u64, level: u32) -> Option<Frame> {
    let mut table = root;
    for above in 1..level {
        let next = machine.table(table).get(index(address, above));
        if !next.is_valid() {
            return None;
        }
        table = next.frame();
    }
    Some(table)
}

/// The page table (level 3) and index that hold an address's descriptor, if the tables are there.
pub fn leaf<M: Machine>(machine: &M, root: Frame, address: u64) -> Option<(Frame, usize)> {
    table_at(machine, root, address, 3).map(|table| (table, index(address, 3)))
}

/// The place of an address's page descriptor, if the tables are there.
pub fn place<M: Machine>(machine: &M, root: Frame, address: u64) -> Option<&AtomicU64> {
    leaf(machine, root, address).map(|(table, at)| &machine.table(table).0[at])
}

/// Consecutive pages of the application's part of an address space, as many as one call may name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pages {
    /// The address of the first.
    pub address: u64,
    /// How many.
    pub count: u64,
}

/// A batch lies in two tables at most.
const _: () = assert!(MAX_BATCH as usize <= ENTRIES);

impl Pages {
    /// Pages that a call names: aligned, not too many, within the part that is the application's.
    pub const fn checked(address: u64, count: u64) -> Option<Self> {
        // The bits below the page number go to the top, where they make the number too large.
        let number = address.rotate_right(PAGE_SIZE.trailing_zeros());
        let fits = count <= MAX_BATCH && number <= ACTIVATION_BASE / PAGE_SIZE - count;
        if fits { Some(Self { address, count }) } else { None }
    }

    /// The places of the pages' descriptors: those in the first page's table, and those in the next. `None` if one of the
    /// tables is missing.
    pub fn places<M: Machine>(self, machine: &M, root: Frame) -> Option<[&[AtomicU64]; 2]> {
        let (first, at) = leaf(machine, root, self.address)?;
        let count = self.count as usize;
        let here = count.min(ENTRIES - at);
        let head = &machine.table(first).0[at..at + here];
        if here == count {
            return Some([head, &[]]);
        }
        let (second, _) = leaf(machine, root, self.address + here as u64 * PAGE_SIZE)?;
        Some([head, &machine.table(second).0[..count - here]])
    }

    /// Each page's address with the place of its descriptor, `None` where the table is missing. A table is looked up once.
    pub fn each<M: Machine>(
        self,
        machine: &M,
        root: Frame,
    ) -> impl Iterator<Item = (u64, Option<&AtomicU64>)> {
        let mut table = None;
        (0..self.count).map(move |page| {
            let address = self.address + page * PAGE_SIZE;
            if page == 0 || index(address, 3) == 0 {
                table = leaf(machine, root, address).map(|(frame, _)| machine.table(frame));
            }
            (address, table.map(|table| &table.0[index(address, 3)]))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_protection_is_writable_and_executable() {
        for protection in [Protection::Read, Protection::ReadWrite, Protection::ReadExecute] {
            let bits = Descriptor::page(Frame(5), protection, protection).0;
            assert!(bits & READ_ONLY != 0 || bits & NO_EXECUTE_EL0 != 0);
            assert!(bits & NO_EXECUTE_EL1 != 0, "EL1 never runs an environment's page");
        }
    }

    #[test]
    fn a_page_descriptor_gives_back_frame_and_limit() {
        for limit in [Protection::Read, Protection::ReadWrite, Protection::ReadExecute] {
            let page = Descriptor::page(Frame(0x12345), Protection::Read, limit);
            assert_eq!((page.frame(), page.limit(), page.is_valid()), (Frame(0x12345), limit, true));
        }
    }

    #[test]
    fn an_address_is_split_into_three_indices_of_nine_bits() {
        let address = 3 << 30 | 5 << 21 | 7 << 12 | 0xabc;
        assert_eq!([index(address, 1), index(address, 2), index(address, 3)], [3, 5, 7]);
    }
}
