//! Page tables as the architecture defines them (Arm ARM D8.3, VMSAv8-64, 4 KiB granule): descriptors and the walk.
//!
//! Not here: who may map what ([`crate::memory`]), and the kernel's own tables (`arch`).
#![forbid(unsafe_code)]

use crate::machine::Machine;
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};
use tranche_abi::layout::PAGE_SIZE;
use tranche_abi::{Frame, Protection};

/// A page table: 512 descriptors in a frame.
#[repr(C, align(4096))]
pub struct Table(pub [AtomicU64; 512]);

/// A table or page descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Descriptor(pub u64);

const VALID_TABLE_OR_PAGE: u64 = 0b11;
const ATTRIBUTES_NORMAL: u64 = 0 << 2; // MAIR index 0: normal, write-back (set up in `arch`)
const ACCESS_EL0: u64 = 1 << 6;
const READ_ONLY: u64 = 1 << 7;
const INNER_SHAREABLE: u64 = 0b11 << 8;
const ACCESSED: u64 = 1 << 10; // the A72 does not set it by itself
const NOT_GLOBAL: u64 = 1 << 11;
const NO_EXECUTE_EL1: u64 = 1 << 53;
const NO_EXECUTE_EL0: u64 = 1 << 54;
const ADDRESS: u64 = 0x0000_ffff_ffff_f000;
/// Software bits 55..57: the protection that the mapper allowed at most, + 1.
const LIMIT_SHIFT: u32 = 55;

impl Descriptor {
    /// Nothing there.
    pub const NONE: Self = Self(0);

    /// Points to the next level's table.
    pub const fn table(frame: Frame) -> Self {
        Self((frame.0 * PAGE_SIZE) | VALID_TABLE_OR_PAGE)
    }

    /// Maps a frame for EL0; `limit` is the protection that it may be given at most without owning the frame.
    pub const fn page(frame: Frame, protection: Protection, limit: Protection) -> Self {
        let permission = match protection {
            Protection::Read => READ_ONLY | NO_EXECUTE_EL0,
            Protection::ReadWrite => NO_EXECUTE_EL0,
            Protection::ReadExecute => READ_ONLY,
        };
        let attributes =
            ATTRIBUTES_NORMAL | ACCESS_EL0 | INNER_SHAREABLE | ACCESSED | NOT_GLOBAL | NO_EXECUTE_EL1;
        let limit = (limit as u64 + 1) << LIMIT_SHIFT;
        Self((frame.0 * PAGE_SIZE) | VALID_TABLE_OR_PAGE | attributes | permission | limit)
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
        Descriptor(self.0[index].load(Relaxed))
    }

    /// Changes the descriptor at an index. The caller sees to cached translations.
    pub fn set(&self, index: usize, descriptor: Descriptor) {
        self.0[index].store(descriptor.0, Relaxed);
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
