//! The bytes of a card: a partition table with one FAT32 partition, and the files in its root folder. Made and read.
//!
//! The same files give the same bytes: no time, no chance. Not here: which files (`sd`).

use crate::Failure;
use fatfs::{FatType, FileSystem, FormatVolumeOptions, FsOptions};
use mbrman::{BOOT_ACTIVE, CHS, MBR, MBRPartitionEntry};
use std::collections::BTreeMap;
use std::io::{Cursor, Read, Write};
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
    let system = open(partition)?;
    for File { name, bytes } in files {
        let mut file = system.root_dir().create_file(name).map_err(Failure::with(name))?;
        file.write_all(bytes)
            .map_err(|error| Failure(format!("{name} does not fit on the card: {error}")))?;
        file.flush().map_err(Failure::with(name))?;
    }
    system.unmount().map_err(Failure::with(failed))
}

/// The files in a card's root folder, by name; names in capitals, as FAT takes them for the same.
///
/// # Errors
/// If that is no card with a FAT partition.
pub fn read(card: &[u8]) -> Result<BTreeMap<String, Vec<u8>>, Failure> {
    let mut partition = card[partition(card)?].to_vec();
    let system = open(&mut partition)?;
    let mut files = BTreeMap::new();
    for entry in system.root_dir().iter() {
        let entry = entry.map_err(Failure::with("the card's root folder"))?;
        if entry.is_file() {
            let mut bytes = Vec::new();
            entry.to_file().read_to_end(&mut bytes).map_err(Failure::with(entry.file_name()))?;
            files.insert(entry.file_name().to_ascii_uppercase(), bytes);
        }
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
fn open(partition: &mut [u8]) -> Result<FileSystem<Cursor<&mut [u8]>>, Failure> {
    FileSystem::new(Cursor::new(partition), FsOptions::new()).map_err(Failure::with("no FAT file system"))
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
        let read = read(&card).unwrap();
        for File { name, bytes } in files() {
            assert_eq!(read.get(&name.to_ascii_uppercase()), Some(&bytes), "{name}");
        }
        assert_eq!(read.len(), 3);
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
        assert!(read(&[0; 4096]).unwrap_err().0.contains("no partition table"));
        let mut card = build(&[], SIZE).unwrap();
        assert!(read(&card[..SIZE / 2]).unwrap_err().0.contains("cut short"));
        card[FIRST_SECTOR as usize * SECTOR..][..SECTOR].fill(0);
        assert!(read(&card).unwrap_err().0.contains("no FAT file system"));
    }
}
