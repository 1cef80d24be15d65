//! ELF files as the machine wants them: the kernel as a raw arm64 `Image`, programs without what only a debugger reads.
//! Not here: the archive that programs go into (`archive`).

use crate::Failure;
use elf::ElfBytes;
use elf::abi::PT_LOAD;
use elf::endian::LittleEndian;
use elf::segment::ProgramHeader;
use std::ops::Range;

/// Where the `Image` header has its magic number (Linux, `Documentation/arch/arm64/booting.rst`).
const HEADER_MAGIC: (Range<usize>, &[u8]) = (56..60, b"ARM\x64");
/// Raw images are at most this large: a file that says more has nonsense for addresses.
const LARGEST: u64 = 256 << 20;

/// Whether a file begins as an ELF file does.
pub fn is_elf(bytes: &[u8]) -> bool {
    bytes.starts_with(b"\x7fELF")
}

/// The kernel's memory image, from its lowest physical address up to the last byte that the file gives.
pub fn raw(kernel: &[u8]) -> Result<Vec<u8>, Failure> {
    let segments: Vec<_> = segments(kernel)?.into_iter().filter(|segment| segment.p_filesz > 0).collect();
    let begin = segments.iter().map(|segment| segment.p_paddr).min();
    let begin = begin.ok_or_else(|| Failure("the kernel has nothing to load".into()))?;
    let mut image = Vec::new();
    for segment in &segments {
        let at = segment.p_paddr - begin;
        if at + segment.p_filesz > LARGEST {
            return Err(Failure(format!(
                "the kernel's segments are {at:#x} bytes apart: check their load addresses"
            )));
        }
        let (at, end) = (at as usize, (at + segment.p_filesz) as usize);
        image.resize(image.len().max(end), 0);
        image[at..end].copy_from_slice(contents(kernel, segment)?);
    }
    match image.get(HEADER_MAGIC.0) {
        Some(magic) if magic == HEADER_MAGIC.1 => Ok(image),
        _ => {
            Err(Failure("the kernel does not begin with an arm64 Image header: is it tranche-boards?".into()))
        }
    }
}

/// A program up to the end of what is loaded of it, without its section table.
pub fn loadable(program: &[u8]) -> Result<Vec<u8>, Failure> {
    let mut end = 64; // The file header, in which the section table is then denied.
    for segment in segments(program)? {
        contents(program, &segment)?;
        end = end.max((segment.p_offset + segment.p_filesz) as usize);
    }
    let mut kept = program[..end].to_vec();
    kept[40..48].fill(0); // e_shoff
    kept[60..64].fill(0); // e_shnum, e_shstrndx
    Ok(kept)
}

fn segments(file: &[u8]) -> Result<Vec<ProgramHeader>, Failure> {
    let parsed =
        ElfBytes::<LittleEndian>::minimal_parse(file).map_err(Failure::with("not a usable ELF file"))?;
    if parsed.ehdr.class != elf::file::Class::ELF64 || parsed.ehdr.e_machine != elf::abi::EM_AARCH64 {
        return Err(Failure("not an ELF file for 64-bit ARM".into()));
    }
    let all = parsed.segments().ok_or_else(|| Failure("an ELF file without segments".into()))?;
    Ok(all.iter().filter(|segment| segment.p_type == PT_LOAD).collect())
}

fn contents<'a>(file: &'a [u8], segment: &ProgramHeader) -> Result<&'a [u8], Failure> {
    let end = segment.p_offset.checked_add(segment.p_filesz);
    let range = end.and_then(|end| file.get(segment.p_offset as usize..end as usize));
    range.ok_or_else(|| Failure("an ELF file that is cut short".into()))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// An ELF file for arm64 with these segments (physical address, contents) and, after them, a table of debug noise.
    pub(crate) fn elf_file(segments: &[(u64, &[u8])]) -> Vec<u8> {
        let mut file = vec![0; 64 + 56 * segments.len()];
        file[..7].copy_from_slice(b"\x7fELF\x02\x01\x01");
        file[16..20].copy_from_slice(&[2, 0, 183, 0]);
        file[20] = 1;
        file[32..40].copy_from_slice(&64u64.to_le_bytes());
        file[52..58].copy_from_slice(&[64, 0, 56, 0, segments.len() as u8, 0]);
        file[58..60].copy_from_slice(&64u16.to_le_bytes());
        for (i, (physical, bytes)) in segments.iter().enumerate() {
            let offset = file.len() as u64;
            let header = 64 + 56 * i;
            file[header..header + 4].copy_from_slice(&PT_LOAD.to_le_bytes());
            let size = bytes.len() as u64;
            let fields = [
                (8, offset),
                (16, 0xffff_0000_0000_0000 + physical),
                (24, *physical),
                (32, size),
                (40, size),
            ];
            for (at, value) in fields {
                file[header + at..header + at + 8].copy_from_slice(&value.to_le_bytes());
            }
            file.extend_from_slice(bytes);
        }
        file.extend_from_slice(b"debug information");
        file
    }

    fn head() -> Vec<u8> {
        let mut head = vec![7; 64];
        head[HEADER_MAGIC.0].copy_from_slice(HEADER_MAGIC.1);
        head
    }

    #[test]
    fn segments_are_laid_out_by_physical_address_with_zeros_between() {
        let image = raw(&elf_file(&[(0x8_0050, b"data"), (0x8_0000, &head())])).unwrap();
        assert_eq!(image.len(), 0x54);
        assert_eq!(image[..64], head());
        assert_eq!(image[64..0x50], [0; 16]);
        assert_eq!(&image[0x50..], b"data");
    }

    #[test]
    fn an_image_without_its_header_is_refused() {
        assert!(raw(&elf_file(&[(0, &[0; 64])])).unwrap_err().0.contains("Image header"));
        assert!(raw(&elf_file(&[])).is_err());
    }

    #[test]
    fn segments_far_apart_are_refused_before_memory_is_filled() {
        let failure = raw(&elf_file(&[(0, &head()), (1 << 40, b"x")])).unwrap_err();
        assert!(failure.0.contains("load addresses"));
    }

    #[test]
    fn a_program_is_kept_up_to_its_last_segment() {
        let file = elf_file(&[(0, b"code")]);
        let kept = loadable(&file).unwrap();
        assert!(kept.ends_with(b"code"));
        assert!(is_elf(&kept));
        assert_eq!(loadable(&kept), Ok(kept));
    }

    #[test]
    fn a_file_that_is_cut_or_foreign_is_refused() {
        let file = elf_file(&[(0, &head())]);
        assert!(raw(&file[..150]).unwrap_err().0.contains("cut short"));
        assert!(loadable(b"#!/bin/sh").is_err());
        let mut foreign = file;
        foreign[18] = 62;
        assert!(raw(&foreign).unwrap_err().0.contains("ARM"));
    }
}
