//! A program's file, checked as a whole before anything of it is mapped: a static ELF executable for AArch64.

use core::ops::Range;
use elf::ElfBytes;
use elf::abi::{EM_AARCH64, ET_EXEC, PF_R, PF_W, PF_X, PT_DYNAMIC, PT_INTERP, PT_LOAD, PT_TLS};
use elf::endian::LittleEndian;
use elf::file::Class;
use elf::segment::ProgramHeader;
use tranche_abi::Protection;
use tranche_abi::layout::{ACTIVATION_BASE, PAGE_SIZE};

/// Segments of a program at most.
const CAPACITY: usize = 8;

/// What is to be mapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment<'a> {
    /// Where it begins; not necessarily on a page.
    pub address: u64,
    /// Its bytes in memory.
    pub size: u64,
    /// Its first bytes; the rest is zero.
    pub bytes: &'a [u8],
    /// What the program may do with it.
    pub protection: Protection,
}

/// A program.
#[derive(Clone, Debug)]
pub struct Program<'a> {
    /// The address of its first instruction.
    pub entry: u64,
    segments: [Option<Segment<'a>>; CAPACITY],
}

/// Why a file is not a program that can be run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProgramError {
    /// Not an ELF file, or one that contradicts itself.
    Malformed,
    /// Not a 64-bit little-endian executable for AArch64 at fixed addresses.
    WrongKind,
    /// It asks for a dynamic linker or thread-local storage, of which there is none.
    NotStatic,
    /// A segment is writable and executable, or not readable.
    BadProtection,
    /// A segment is outside of the addresses for programs, or longer in the file than in memory.
    BadRange,
    /// Two segments have a page in common.
    Overlap,
    /// More segments than are supported, or none.
    SegmentCount,
    /// The entry point is not in an executable segment.
    BadEntry,
}

impl<'a> Program<'a> {
    /// Checks a file.
    pub fn new(file: &'a [u8]) -> Result<Self, ProgramError> {
        let elf = ElfBytes::<LittleEndian>::minimal_parse(file).map_err(|_| ProgramError::Malformed)?;
        let header = elf.ehdr;
        if header.class != Class::ELF64 || header.e_machine != EM_AARCH64 || header.e_type != ET_EXEC {
            return Err(ProgramError::WrongKind);
        }
        let mut program = Program { entry: header.e_entry, segments: [None; CAPACITY] };
        for header in elf.segments().ok_or(ProgramError::SegmentCount)?.iter() {
            match header.p_type {
                PT_LOAD if header.p_memsz > 0 => program.add(segment(file, &header)?)?,
                PT_DYNAMIC | PT_INTERP | PT_TLS => return Err(ProgramError::NotStatic),
                _ => {}
            }
        }
        let runs_at = |segment: &Segment<'_>| {
            segment.protection == Protection::ReadExecute
                && (segment.address..segment.address + segment.size).contains(&program.entry)
        };
        if program.segments().next().is_none() {
            return Err(ProgramError::SegmentCount);
        }
        if !program.entry.is_multiple_of(4) || !program.segments().any(runs_at) {
            return Err(ProgramError::BadEntry);
        }
        Ok(program)
    }

    /// What is to be mapped.
    pub fn segments(&self) -> impl Iterator<Item = &Segment<'a>> {
        self.segments.iter().flatten()
    }

    fn add(&mut self, segment: Segment<'a>) -> Result<(), ProgramError> {
        let pages = segment.pages();
        let shares = |other: &Segment<'_>| other.pages().start < pages.end && pages.start < other.pages().end;
        if self.segments().any(shares) {
            return Err(ProgramError::Overlap);
        }
        *self.segments.iter_mut().find(|place| place.is_none()).ok_or(ProgramError::SegmentCount)? =
            Some(segment);
        Ok(())
    }
}

impl<'a> Segment<'a> {
    /// The addresses of the pages that it touches.
    pub fn pages(&self) -> Range<u64> {
        self.address & !(PAGE_SIZE - 1)..(self.address + self.size).next_multiple_of(PAGE_SIZE)
    }

    /// What of the file goes to the page at `page`, and at which offset in it.
    pub fn part(&self, page: u64) -> (usize, &'a [u8]) {
        let offset = self.address.saturating_sub(page);
        let from = page.saturating_sub(self.address).min(self.bytes.len() as u64);
        let to = (from + PAGE_SIZE - offset).min(self.bytes.len() as u64);
        (offset as usize, &self.bytes[from as usize..to as usize])
    }
}

fn segment<'a>(file: &'a [u8], header: &ProgramHeader) -> Result<Segment<'a>, ProgramError> {
    let protection = match header.p_flags & (PF_R | PF_W | PF_X) {
        flags if flags == PF_R => Protection::Read,
        flags if flags == PF_R | PF_W => Protection::ReadWrite,
        flags if flags == PF_R | PF_X => Protection::ReadExecute,
        _ => return Err(ProgramError::BadProtection),
    };
    let end = header.p_vaddr.checked_add(header.p_memsz).ok_or(ProgramError::BadRange)?;
    if header.p_vaddr < PAGE_SIZE || end > ACTIVATION_BASE || header.p_filesz > header.p_memsz {
        return Err(ProgramError::BadRange);
    }
    let file_end = header.p_offset.checked_add(header.p_filesz).ok_or(ProgramError::Malformed)?;
    let bytes = file.get(header.p_offset as usize..file_end as usize).ok_or(ProgramError::Malformed)?;
    Ok(Segment { address: header.p_vaddr, size: header.p_memsz, bytes, protection })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    /// Segment: type, flags, address, bytes in the file, bytes in memory.
    type Load = (u32, u32, u64, u64, u64);

    fn file(entry: u64, loads: &[Load]) -> Vec<u8> {
        let mut file = Vec::new();
        let mut put = |bytes: &[u8]| file.extend_from_slice(bytes);
        put(b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0");
        put(&ET_EXEC.to_le_bytes());
        put(&EM_AARCH64.to_le_bytes());
        put(&1u32.to_le_bytes());
        [entry, 64, 0].iter().for_each(|field| put(&field.to_le_bytes()));
        put(&0u32.to_le_bytes());
        [64u16, 56, loads.len() as u16, 64, 0, 0].iter().for_each(|field| put(&field.to_le_bytes()));
        for (kind, flags, address, in_file, in_memory) in loads {
            [*kind, *flags].iter().for_each(|field| put(&field.to_le_bytes()));
            let offset = 0x1000u64;
            [offset, *address, *address, *in_file, *in_memory, 4096]
                .iter()
                .for_each(|f| put(&f.to_le_bytes()));
        }
        file.resize(0x1000, 0);
        file.extend((0..0x3000).map(|i| (i % 251) as u8));
        file
    }

    fn error(entry: u64, loads: &[Load]) -> Option<ProgramError> {
        Program::new(&file(entry, loads)).err()
    }

    const TEXT: Load = (PT_LOAD, PF_R | PF_X, 0x10_0000, 0x1800, 0x1800);

    #[test]
    fn a_static_executable_is_cut_into_pages() {
        let file = file(0x10_0004, &[TEXT, (PT_LOAD, PF_R | PF_W, 0x10_2f00, 0x300, 0x1200)]);
        let program = Program::new(&file).expect("well-formed");
        let segments: Vec<_> = program.segments().collect();
        assert_eq!(segments[0].pages(), 0x10_0000..0x10_2000);
        assert_eq!(segments[0].part(0x10_1000), (0, &file[0x2000..0x2800]));
        assert_eq!(segments[1].pages(), 0x10_2000..0x10_5000);
        assert_eq!(segments[1].part(0x10_2000), (0xf00, &file[0x1000..0x1100]));
        assert_eq!(segments[1].part(0x10_3000), (0, &file[0x1100..0x1300]));
        assert_eq!(segments[1].part(0x10_4000), (0, &file[0..0]));
    }

    #[test]
    fn files_that_cannot_be_run_are_refused() {
        assert_eq!(Program::new(b"MZ").err(), Some(ProgramError::Malformed));
        assert_eq!(error(0x10_0000, &[]), Some(ProgramError::SegmentCount));
        assert_eq!(error(0x10_2000, &[TEXT]), Some(ProgramError::BadEntry));
        assert_eq!(error(0x10_0002, &[TEXT]), Some(ProgramError::BadEntry));
        assert_eq!(error(0x10_0000, &[TEXT, (PT_INTERP, PF_R, 0, 1, 1)]), Some(ProgramError::NotStatic));
        let with = |flags, address, in_file, in_memory| {
            error(0x10_0000, &[TEXT, (PT_LOAD, flags, address, in_file, in_memory)])
        };
        assert_eq!(with(PF_R | PF_W | PF_X, 0x20_0000, 1, 1), Some(ProgramError::BadProtection));
        assert_eq!(with(PF_W, 0x20_0000, 1, 1), Some(ProgramError::BadProtection));
        assert_eq!(with(PF_R, 0, 1, 1), Some(ProgramError::BadRange));
        assert_eq!(with(PF_R, u64::MAX, 1, 2), Some(ProgramError::BadRange));
        assert_eq!(with(PF_R, ACTIVATION_BASE - 1, 1, 2), Some(ProgramError::BadRange));
        assert_eq!(with(PF_R, 0x20_0000, 2, 1), Some(ProgramError::BadRange));
        assert_eq!(with(PF_R, 0x20_0000, 0x8000, 0x8000), Some(ProgramError::Malformed));
        assert_eq!(with(PF_R, 0x10_1900, 1, 1), Some(ProgramError::Overlap));
    }

    #[test]
    fn a_file_cut_off_anywhere_is_refused() {
        let good = file(0x10_0000, &[TEXT]);
        // What is behind the last byte of a segment is nobody's.
        for length in 0..0x1000 + 0x1800 {
            assert!(Program::new(&good[..length]).is_err(), "cut at {length}");
        }
    }

    /// What whoever maps a program relies on.
    fn assert_invariant(program: &Program<'_>) {
        let segments: Vec<_> = program.segments().collect();
        for (place, segment) in segments.iter().enumerate() {
            let pages = segment.pages();
            assert!(pages.start >= PAGE_SIZE && pages.end <= ACTIVATION_BASE && !pages.is_empty());
            assert!(segment.bytes.len() as u64 <= segment.size);
            for other in &segments[..place] {
                assert!(other.pages().end <= pages.start || pages.end <= other.pages().start);
            }
        }
        assert!(segments.iter().any(|segment| segment.pages().contains(&program.entry)));
    }

    #[test]
    fn no_extreme_field_of_a_header_panics_or_breaks_the_invariant() {
        let good = file(0x10_0000, &[TEXT, (PT_LOAD, PF_R | PF_W, 0x20_0f00, 0x300, 0x1200)]);
        let extremes = [0, 1, 0xffff, 1 << 31, 1 << 32, 1 << 63, u64::MAX - 4095, u64::MAX, ACTIVATION_BASE];
        // At every byte, so that narrow fields are met, too.
        for (place, value) in (0..64 + 2 * 56).flat_map(|place| extremes.map(|value| (place, value))) {
            let mut file = good.clone();
            file[place..place + 8].copy_from_slice(&value.to_le_bytes());
            if let Ok(program) = Program::new(&file) {
                assert_invariant(&program);
            }
        }
    }
}
