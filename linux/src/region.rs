//! Memory of one's own for the measurements: pages at a place that is nobody's neighbour, so that Linux neither splits nor
//! joins areas unless the operation is about that.

use crate::call::Call;
use core::arch::asm;
use linux_raw_sys::general as linux;

/// Bytes of a page.
pub const PAGE: usize = 4096;

/// What a process may do with a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protection {
    /// Read it.
    Read,
    /// Read and write it.
    ReadWrite,
}

impl Protection {
    fn bits(self) -> usize {
        match self {
            Self::Read => linux::PROT_READ as usize,
            Self::ReadWrite => (linux::PROT_READ | linux::PROT_WRITE) as usize,
        }
    }
}

/// When frames come to the pages of a new mapping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Frames {
    /// Each at the first access to its page.
    Later,
    /// All of them with the mapping.
    AtOnce,
}

/// Whose changes to the pages of a new mapping are seen by whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sharing {
    /// One's own only.
    Private,
    /// Those of all processes forked from this one.
    Shared,
}

/// Pages in a row that Rust knows nothing of: no reference into them exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Region {
    start: usize,
    pages: usize,
}

impl Region {
    /// The `index`th of the places for regions; each has room for 2 MiB, and its page tables are nobody else's.
    pub const fn place(index: usize, pages: usize) -> Self {
        Self { start: 0x4000_0000 + index * (4 << 20), pages }
    }

    /// A page of this one.
    pub const fn page(self, index: usize) -> Self {
        Self { start: self.start + index * PAGE, pages: 1 }
    }

    /// Its address.
    pub const fn start(self) -> usize {
        self.start
    }

    /// Its length in bytes.
    pub const fn bytes(self) -> usize {
        self.pages * PAGE
    }

    /// Maps it, zeroed, readable and writable.
    pub fn map(self, sharing: Sharing, frames: Frames) -> Call {
        let mut flags = linux::MAP_ANONYMOUS | linux::MAP_FIXED_NOREPLACE;
        flags |= if sharing == Sharing::Shared { linux::MAP_SHARED } else { linux::MAP_PRIVATE };
        flags |= if frames == Frames::AtOnce { linux::MAP_POPULATE } else { 0 };
        let no_file = usize::MAX;
        let protection = Protection::ReadWrite.bits();
        // SAFETY: Rust knows nothing of this memory, and what it knows of is not replaced.
        unsafe {
            let arguments = [self.start, self.bytes(), protection, flags as usize, no_file, 0];
            Call::new("mmap", linux::__NR_mmap, &arguments)
        }
    }

    /// Maps it privately, with a frame of its own behind each page.
    pub fn mapped(self) -> Self {
        self.map(Sharing::Private, Frames::Later).must();
        self.only_small_pages().must();
        (0..self.pages).for_each(|index| self.page(index).touch());
        self
    }

    /// Unmaps it.
    pub fn unmap(self) -> Call {
        // SAFETY: Rust knows nothing of this memory.
        unsafe { Call::new("munmap", linux::__NR_munmap, &[self.start, self.bytes()]) }
    }

    /// Changes what may be done with it.
    pub fn protect(self, protection: Protection) -> Call {
        // SAFETY: Rust knows nothing of this memory.
        unsafe { Call::new("mprotect", linux::__NR_mprotect, &[self.start, self.bytes(), protection.bits()]) }
    }

    /// Keeps Linux from making one page of 2 MiB of it.
    pub fn only_small_pages(self) -> Call {
        let advice = linux::MADV_NOHUGEPAGE as usize;
        // SAFETY: Rust knows nothing of this memory.
        unsafe { Call::new("madvise", linux::__NR_madvise, &[self.start, self.bytes(), advice]) }
    }

    /// Writes to its first byte.
    #[inline(always)]
    pub fn touch(self) {
        // SAFETY: Rust knows nothing of this memory. Where it is not writable, a signal handler sees to it.
        unsafe { asm!("strb wzr, [{}]", in(reg) self.start, options(nostack, preserves_flags)) };
    }
}
