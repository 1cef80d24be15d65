//! A program's file: a static ELF executable, checked before anything of it is believed.
//!
//! Not here: how it gets into memory (`spawn`), where the file comes from (`archive`).
//!
//! Invariant of an [`Image`]: its segments are page-aligned, in ascending order, disjoint, inside the range that
//! `layout` has for images, none writable and executable; the entry is in an executable one.
#![forbid(unsafe_code)]

use crate::layout::{IMAGE_BASE, IMAGE_END};
use alloc::vec::Vec;
use elf::ElfBytes;
use elf::abi::{EM_AARCH64, ET_EXEC, PF_R, PF_W, PF_X, PT_DYNAMIC, PT_INTERP, PT_LOAD, PT_TLS};
use elf::endian::LittleEndian;
use elf::file::Class;
use elf::segment::ProgramHeader;
use tranche_abi::layout::PAGE_SIZE;
use tranche_abi::{Address, Protection};

/// Why a file is not a program that can be started. Whoever built the file is to mend it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ImageError {
    /// Not an ELF file, or one that is cut off or inconsistent.
    NotElf,
    /// Not for 64-bit little-endian ARM.
    WrongMachine,
    /// Not a static executable with fixed addresses: it wants an interpreter, relocation or thread-local storage.
    NotStatic,
    /// Nothing to load.
    Empty,
    /// A segment does not begin on a page.
    Unaligned,
    /// A segment is outside of the range for images, or overlaps or precedes the one before it.
    Misplaced,
    /// A segment's bytes are not all in the file, or are more than its memory.
    Truncated,
    /// A segment is writable and executable, or not readable.
    BadProtection,
    /// The entry is in no executable segment.
    BadEntry,
}

/// A part of a program in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment<'a> {
    /// Where it begins; page-aligned.
    pub address: Address,
    /// Its pages.
    pub pages: u64,
    /// What the program may do with it.
    pub protection: Protection,
    /// What it begins with; the rest is zero.
    pub bytes: &'a [u8],
}

/// A program that can be started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image<'a> {
    /// Where it starts.
    pub entry: Address,
    /// What to load.
    pub segments: Vec<Segment<'a>>,
}

impl<'a> Image<'a> {
    /// The program in `file`.
    pub fn parse(file: &'a [u8]) -> Result<Self, ImageError> {
        let elf = ElfBytes::<LittleEndian>::minimal_parse(file).map_err(|_| ImageError::NotElf)?;
        if elf.ehdr.class != Class::ELF64 || elf.ehdr.e_machine != EM_AARCH64 {
            return Err(ImageError::WrongMachine);
        }
        if elf.ehdr.e_type != ET_EXEC {
            return Err(ImageError::NotStatic);
        }
        let mut segments = Vec::new();
        let mut free_from = IMAGE_BASE;
        for header in elf.segments().into_iter().flatten() {
            match header.p_type {
                PT_DYNAMIC | PT_INTERP | PT_TLS => return Err(ImageError::NotStatic),
                PT_LOAD if header.p_memsz > 0 => {
                    let segment = checked(file, &header, free_from)?;
                    free_from = segment.address.0 + segment.pages * PAGE_SIZE;
                    segments.push(segment);
                }
                _ => {}
            }
        }
        let image = Self { entry: Address(elf.ehdr.e_entry), segments };
        image.check_entry().map(|()| image)
    }

    fn check_entry(&self) -> Result<(), ImageError> {
        if self.segments.is_empty() {
            return Err(ImageError::Empty);
        }
        let holds_entry = |segment: &Segment<'_>| {
            let loaded = segment.address.0..segment.address.0 + segment.bytes.len() as u64;
            segment.protection == Protection::ReadExecute && loaded.contains(&self.entry.0)
        };
        let aligned = self.entry.0.is_multiple_of(4);
        if aligned && self.segments.iter().any(holds_entry) { Ok(()) } else { Err(ImageError::BadEntry) }
    }

    /// Pages of all segments.
    pub fn pages(&self) -> u64 {
        self.segments.iter().map(|segment| segment.pages).sum()
    }
}

/// The segment that a program header describes, none of which is below `free_from`.
fn checked<'a>(file: &'a [u8], header: &ProgramHeader, free_from: u64) -> Result<Segment<'a>, ImageError> {
    if !header.p_vaddr.is_multiple_of(PAGE_SIZE) {
        return Err(ImageError::Unaligned);
    }
    let end = header.p_vaddr.checked_add(header.p_memsz).ok_or(ImageError::Misplaced)?;
    if header.p_vaddr < free_from || end > IMAGE_END {
        return Err(ImageError::Misplaced);
    }
    let file_end = header.p_offset.checked_add(header.p_filesz).ok_or(ImageError::Truncated)?;
    if header.p_filesz > header.p_memsz || file_end > file.len() as u64 {
        return Err(ImageError::Truncated);
    }
    Ok(Segment {
        address: Address(header.p_vaddr),
        pages: header.p_memsz.div_ceil(PAGE_SIZE),
        protection: protection(header.p_flags)?,
        bytes: &file[header.p_offset as usize..file_end as usize],
    })
}

fn protection(flags: u32) -> Result<Protection, ImageError> {
    match (flags & PF_R != 0, flags & PF_W != 0, flags & PF_X != 0) {
        (true, false, false) => Ok(Protection::Read),
        (true, true, false) => Ok(Protection::ReadWrite),
        (true, false, true) => Ok(Protection::ReadExecute),
        _ => Err(ImageError::BadProtection),
    }
}

#[cfg(test)]
mod tests;
