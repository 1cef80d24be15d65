//! The bytes of a card: a partition table with one FAT32 partition, and the files in its root folder. Made and read.
//!
//! The same files give the same bytes: no time, no chance. Not here: which files (`sd`).

use crate::Failure;
use fatfs::{FatType, FileSystem, FormatVolumeOptions, FsOptions, ReadWriteSeek};
use mbrman::{BOOT_ACTIVE, CHS, MBR, MBRPartitionEntry};
use std::io::{self, Cursor, ErrorKind, Read, Seek, SeekFrom, Write};
use std::ops::Range;

/// Bytes of a sector.
const SECTOR: usize = 512;
/// Where the partition begins, in sectors: at a MiB, as partitioning programs have it, for the sake of the card's erase blocks.
const FIRST_SECTOR: u32 = 2048;
/// Bytes of a cluster. FAT32 is what has at least 65 525 of them (Microsoft, "FAT: General Overview of On-Disk Format").
const CLUSTER: u32 = 1024;
/// The type of a FAT32 partition that is addressed by block.
const FAT32_LBA: u8 = 0x0c;
/// What the partition table and the file system are known by. Fixed, so that the same files are the same image.
const IDENTITY: u32 = 0x7261_6e74;
const LABEL: [u8; 11] = *b"TRANCHE    ";

/// A file in the root folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// Its name.
    pub name: String,
    /// What is in it.
    pub bytes: Vec<u8>,
}

/// A card of `size` bytes with these files, each in one piece, in this order.
///
/// # Errors
/// If they do not fit, or one cannot have its name.
pub fn build(files: &[File], size: usize) -> Result<Vec<u8>, Failure> {
    let mut card = vec![0; size];
    let partition = FIRST_SECTOR as usize * SECTOR..size;
    let sectors = (partition.len() / SECTOR) as u32;
    let failed = "the card's partition table";
    let mut table = MBR::new_from(&mut Cursor::new(&mut card[..]), SECTOR as u32, IDENTITY.to_le_bytes())
        .map_err(Failure::with(failed))?;
    table[1] = MBRPartitionEntry {
        boot: BOOT_ACTIVE,
        first_chs: CHS::empty(),
        sys: FAT32_LBA,
        last_chs: CHS::empty(),
        starting_lba: FIRST_SECTOR,
        sectors,
    };
    table.write_into(&mut Cursor::new(&mut card[..])).map_err(Failure::with(failed))?;
    fill(&mut card[partition], files)?;
    Ok(card)
}

fn fill(partition: &mut [u8], files: &[File]) -> Result<(), Failure> {
    let failed = "the card's file system";
    let options = FormatVolumeOptions::new().fat_type(FatType::Fat32).bytes_per_cluster(CLUSTER);
    let options = options.volume_id(IDENTITY).volume_label(LABEL);
    fatfs::format_volume(Cursor::new(&mut partition[..]), options).map_err(Failure::with(failed))?;
    let system = open(Cursor::new(partition))?;
    for File { name, bytes } in files {
        let mut file = system.root_dir().create_file(name).map_err(Failure::with(name))?;
        file.write_all(bytes)
            .map_err(|error| Failure(format!("{name} does not fit on the card: {error}")))?;
        file.flush().map_err(Failure::with(name))?;
    }
    system.unmount().map_err(Failure::with(failed))
}

/// Those files of a card's root folder that have one of these names; capitals or not, as FAT has it.
///
/// # Errors
/// If that is no card with a FAT partition, or it lacks one of them: with its name.
pub fn read<const N: usize>(card: &[u8], names: [&str; N]) -> Result<[Vec<u8>; N], Failure> {
    let system = open(ReadOnly(Cursor::new(&card[partition(card)?])))?;
    let mut files = [const { Vec::new() }; N];
    for (file, name) in files.iter_mut().zip(names) {
        let mut found = system.root_dir().open_file(name).map_err(|error| match error.kind() {
            ErrorKind::NotFound => Failure(format!("a card without a file {name}")),
            _ => Failure(format!("{name}: {error}")),
        })?;
        found.read_to_end(file).map_err(Failure::with(name))?;
    }
    Ok(files)
}

/// Where the first partition is.
pub fn partition(card: &[u8]) -> Result<Range<usize>, Failure> {
    let table = MBR::read_from(&mut Cursor::new(card), SECTOR as u32)
        .map_err(|error| Failure(format!("no partition table: {error}")))?;
    let (_, entry) =
        table.iter().find(|(_, entry)| entry.is_used()).ok_or_else(|| Failure("no partition".into()))?;
    let begin = entry.starting_lba as usize * SECTOR;
    let end = begin + entry.sectors as usize * SECTOR;
    if end > card.len() {
        return Err(Failure(format!("cut short: a partition ends at byte {end} of {}", card.len())));
    }
    Ok(begin..end)
}

/// Without a clock: every file is of the first moment that FAT knows.
fn open<D: ReadWriteSeek>(partition: D) -> Result<FileSystem<D>, Failure> {
    FileSystem::new(partition, FsOptions::new()).map_err(Failure::with("no FAT file system"))
}

/// A partition that is looked at: the library asks for one that could be written.
struct ReadOnly<'a>(Cursor<&'a [u8]>);

impl Read for ReadOnly<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl Seek for ReadOnly<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.0.seek(to)
    }
}

impl Write for ReadOnly<'_> {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(ErrorKind::ReadOnlyFilesystem.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Enough for FAT32.
    const SIZE: usize = 128 << 20;

    fn files() -> Vec<File> {
        let file = |name: &str, bytes: Vec<u8>| File { name: name.into(), bytes };
        vec![
            file("RESULTS.TRN", vec![7; 3_000_000]),
            file("a-long-name.dtb", b"tree".to_vec()),
            file("EMPTY", vec![]),
        ]
    }

    #[test]
    fn what_was_put_on_a_card_is_read_from_it_and_the_same_files_are_the_same_bytes() {
        let card = build(&files(), SIZE).unwrap();
        for File { name, bytes } in files() {
            assert!(
                read(&card, [&name, &name.to_ascii_uppercase()]).unwrap() == [bytes.clone(), bytes],
                "{name}"
            );
        }
        assert!(build(&files(), SIZE).unwrap() == card);
    }

    #[test]
    fn a_file_lies_in_one_piece() {
        let card = build(&files(), SIZE).unwrap();
        let first = card.windows(3_000_000).position(|window| window.iter().all(|byte| *byte == 7));
        assert_eq!(first.map(|at| (at - partition(&card).unwrap().start) % CLUSTER as usize), Some(0));
    }

    #[test]
    fn files_that_do_not_fit_are_named() {
        let large = File { name: "LARGE".into(), bytes: vec![0; SIZE] };
        assert!(build(&[large], SIZE).unwrap_err().0.starts_with("LARGE does not fit on the card"));
    }

    #[test]
    fn what_is_no_card_is_refused_with_a_reason() {
        assert!(read(&[0; 4096], []).unwrap_err().0.contains("no partition table"));
        let mut card = build(&[], SIZE).unwrap();
        assert!(read(&card[..SIZE / 2], []).unwrap_err().0.contains("cut short"));
        assert_eq!(read(&card, ["config.txt"]).unwrap_err().0, "a card without a file config.txt");
        card[FIRST_SECTOR as usize * SECTOR..][..SECTOR].fill(0);
        assert!(read(&card, []).unwrap_err().0.contains("no FAT file system"));
    }
}
