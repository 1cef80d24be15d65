//! Where a file lies on a card: partition table, FAT32, root folder. Only ever reads.
//!
//! Facts are from Microsoft's *FAT: General Overview of On-Disk Format* (cited as FAT) and, of the partition table, from the
//! UEFI Specification 2.10, 5.2.1. Not here: other FATs than FAT32, folders, long names, blocks of other than 512 bytes.
//! Invariant: whatever is on the card, this comes to an end: nothing is followed further than a sound file system could go on.
#![forbid(unsafe_code)]

use super::Pages;
use super::format::{PAGE, Page};
use core::fmt;
use core::ops::Range;
use tranche_abi::layout::{BLOCK_SIZE, PAGE_BLOCKS};

/// Where a partition table's entries are, and the bytes of each.
const ENTRIES: usize = 446;
const ENTRY: usize = 16;
/// The types of FAT32 partitions, addressed by cylinder and by block.
const FAT32: [u8; 2] = [0x0b, 0x0c];
/// The end of a boot sector.
const SIGNATURE: [u8; 2] = [0x55, 0xaa];
/// Bytes of a folder's entry, and blocks of a folder at most: 65 536 entries.
const FOLDER_ENTRY: usize = 32;
const FOLDER_BLOCKS: u64 = 65_536 * FOLDER_ENTRY as u64 / BLOCK_SIZE;
/// Attributes of what is no file: a part of a long name, a label, a folder.
const NO_FILE: u8 = 0x08 | 0x10;
/// First byte of an entry: the last one was before it; it is of a file that was deleted.
const NO_MORE: u8 = 0;
const DELETED: u8 = 0xe5;
/// The bits of a FAT's entry that name a cluster, and the first number that no cluster has.
const CLUSTER_BITS: u32 = 0x0fff_ffff;
const FIRST_CLUSTER: u32 = 2;

/// A file, as far as it lies in one piece from its beginning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Its blocks on the card, whole pages of them.
    pub blocks: Range<u64>,
    /// Bytes of the file in all.
    pub bytes: u64,
}

/// Why a file cannot be found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotFound<E> {
    /// The card cannot be read.
    Disk(E),
    /// It has no partition table with a FAT32 partition first.
    NoFat32,
    /// The file system is not sound.
    Unsound,
    /// Its root folder has no such file.
    NoFile,
}

impl Found {
    /// Whether all of the file lies in one piece, up to a part of a page.
    pub fn is_whole(&self) -> bool {
        (self.blocks.end - self.blocks.start) * BLOCK_SIZE + PAGE as u64 > self.bytes
    }
}

/// Finds a file in the root folder of a card of so many blocks, by its short name: up to eight letters, a dot, up to three.
///
/// # Errors
/// If there is none, or what is on the card is not understood.
pub fn find<D: Pages>(disk: &mut D, blocks: u64, name: &str) -> Result<Found, NotFound<D::Error>> {
    let mut blocks = Blocks { disk, count: blocks, page: None, bytes: [0; PAGE] };
    let mut volume = Volume::open(&mut blocks)?;
    let (first, bytes) = volume.look_up(short_name(name))?;
    volume.run(first, bytes)
}

/// A name as it stands in a folder (FAT 6.1).
fn short_name(name: &str) -> [u8; 11] {
    let (stem, extension) = name.split_once('.').unwrap_or((name, ""));
    let mut short = [b' '; 11];
    short.iter_mut().zip(stem.bytes().take(8)).for_each(|(place, byte)| *place = byte);
    short[8..].iter_mut().zip(extension.bytes()).for_each(|(place, byte)| *place = byte);
    short.make_ascii_uppercase();
    short
}

/// A card block by block.
struct Blocks<'d, D> {
    disk: &'d mut D,
    count: u64,
    /// The page that was read last.
    page: Option<u64>,
    bytes: Page,
}

impl<D: Pages> Blocks<'_, D> {
    fn read(&mut self, block: u64) -> Result<&[u8; BLOCK_SIZE as usize], NotFound<D::Error>> {
        let page = block / PAGE_BLOCKS;
        if (page + 1) * PAGE_BLOCKS > self.count {
            return Err(NotFound::Unsound);
        }
        if self.page != Some(page) {
            self.page = None;
            self.disk.read(page, &mut self.bytes).map_err(NotFound::Disk)?;
            self.page = Some(page);
        }
        let at = (block % PAGE_BLOCKS * BLOCK_SIZE) as usize;
        self.bytes[at..].first_chunk().ok_or(NotFound::Unsound)
    }
}

/// A FAT32 file system.
struct Volume<'b, 'd, D> {
    blocks: &'b mut Blocks<'d, D>,
    /// First block of the FAT.
    fat: u64,
    /// First block of the first cluster.
    data: u64,
    cluster_blocks: u64,
    /// No cluster has this number or a higher one.
    end: u64,
    root: u32,
}

impl<'b, 'd, D: Pages> Volume<'b, 'd, D> {
    fn open(blocks: &'b mut Blocks<'d, D>) -> Result<Self, NotFound<D::Error>> {
        let table = blocks.read(0)?;
        let entry = &table[ENTRIES..ENTRIES + ENTRY];
        if table[510..] != SIGNATURE || !FAT32.contains(&entry[4]) {
            return Err(NotFound::NoFat32);
        }
        let begin = u64::from(word(entry, 8));
        let boot = blocks.read(begin)?;
        let half = |at: usize| u64::from(boot[at]) | u64::from(boot[at + 1]) << 8;
        let cluster_blocks = u64::from(boot[13]);
        // FAT 3.1 and 3.3; of FAT32 the fields of 16 bits that older FATs have are zero.
        let sound = boot[510..] == SIGNATURE && half(11) == BLOCK_SIZE && cluster_blocks.is_power_of_two();
        if !sound || half(17) != 0 || half(22) != 0 {
            return Err(NotFound::NoFat32);
        }
        let (reserved, fats, fat_blocks) = (half(14), u64::from(boot[16]), u64::from(word(boot, 36)));
        let (total, root) = (u64::from(word(boot, 32)), word(boot, 44));
        let before = reserved + fats * fat_blocks;
        let clusters = total.saturating_sub(before) / cluster_blocks;
        let end = (clusters + u64::from(FIRST_CLUSTER)).min(fat_blocks * BLOCK_SIZE / 4);
        Ok(Self { blocks, fat: begin + reserved, data: begin + before, cluster_blocks, end, root })
    }

    /// The first block of a cluster.
    fn place(&self, cluster: u32) -> Result<u64, NotFound<D::Error>> {
        let is_one = cluster >= FIRST_CLUSTER && u64::from(cluster) < self.end;
        let place = || self.data + u64::from(cluster - FIRST_CLUSTER) * self.cluster_blocks;
        is_one.then(place).ok_or(NotFound::Unsound)
    }

    /// The cluster after one; a number that is no cluster's at the end.
    fn next(&mut self, cluster: u32) -> Result<u32, NotFound<D::Error>> {
        let at = u64::from(cluster) * 4;
        let block = self.blocks.read(self.fat + at / BLOCK_SIZE)?;
        Ok(word(block, (at % BLOCK_SIZE) as usize) & CLUSTER_BITS)
    }

    /// The first cluster and the length of a file in the root folder.
    fn look_up(&mut self, name: [u8; 11]) -> Result<(u32, u64), NotFound<D::Error>> {
        let (mut cluster, mut seen) = (self.root, 0);
        while seen < FOLDER_BLOCKS {
            let first = match self.place(cluster) {
                Ok(first) => first,
                Err(_) if seen > 0 => return Err(NotFound::NoFile),
                Err(unsound) => return Err(unsound),
            };
            for block in first..first + self.cluster_blocks {
                for entry in self.blocks.read(block)?.chunks_exact(FOLDER_ENTRY) {
                    match entry[0] {
                        NO_MORE => return Err(NotFound::NoFile),
                        DELETED => {}
                        _ if entry[11] & NO_FILE == 0 && entry[..11] == name => {
                            let half = |at: usize| u32::from(entry[at]) | u32::from(entry[at + 1]) << 8;
                            return Ok((half(20) << 16 | half(26), word(entry, 28).into()));
                        }
                        _ => {}
                    }
                }
            }
            seen += self.cluster_blocks;
            cluster = self.next(cluster)?;
        }
        Err(NotFound::Unsound)
    }

    /// A file's clusters from the first one on, as long as each is followed by its neighbour.
    fn run(&mut self, first: u32, bytes: u64) -> Result<Found, NotFound<D::Error>> {
        let wanted = bytes.div_ceil(self.cluster_blocks * BLOCK_SIZE);
        if wanted == 0 {
            return Ok(Found { blocks: 0..0, bytes });
        }
        let begin = self.place(first)?;
        let (mut last, mut have) = (first, 1);
        while have < wanted && self.next(last)? == last + 1 {
            last += 1;
            have += 1;
        }
        self.place(last)?;
        let blocks = (have * self.cluster_blocks).min(bytes / BLOCK_SIZE) / PAGE_BLOCKS * PAGE_BLOCKS;
        let end = begin + blocks;
        if end > self.blocks.count { Err(NotFound::Unsound) } else { Ok(Found { blocks: begin..end, bytes }) }
    }
}

fn word(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..).and_then(|rest| rest.first_chunk()).map_or(0, |bytes| u32::from_le_bytes(*bytes))
}

impl<E: fmt::Display> fmt::Display for NotFound<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Disk(error) => write!(f, "it cannot be read: {error}"),
            Self::NoFat32 => write!(f, "its first partition is not FAT32"),
            Self::Unsound => write!(f, "its file system is damaged"),
            Self::NoFile => write!(f, "it has no file {}", super::FILE),
        }
    }
}

#[cfg(test)]
mod tests;
