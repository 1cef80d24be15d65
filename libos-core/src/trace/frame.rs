//! How records leave the machine: frames of a header and raw records, one after another, for each core a stream of its own.
//!
//! Both ends are here, the one that writes a header and the one that reads it. Not here: who sends them, and what is made of
//! a stream that is damaged (the host's `tools`).
#![forbid(unsafe_code)]

use super::{Batch, Raw};

/// How a frame begins.
pub const MAGIC: u64 = u64::from_le_bytes(*b"trntrc\x00\x01");
/// Words of a frame's header: as many as a record has.
pub const HEADER_WORDS: usize = 8;
/// Records of a frame at most.
pub const MAX_RECORDS: usize = 256;

/// What stands before a frame's records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Whose ring.
    pub core: u64,
    /// Which records.
    pub batch: Batch,
    /// Whether no frame of this core's comes after it.
    pub last: bool,
    /// Over the records.
    pub checksum: u64,
}

impl Header {
    /// The header of a frame of these records.
    pub fn new(core: u64, batch: Batch, records: &[Raw]) -> Self {
        Self { core, batch, last: false, checksum: checksum(records) }
    }

    /// As words: [`MAGIC`], core, first, count, lost, last, the records' checksum, the header's.
    pub fn to_words(self) -> Raw {
        let Batch { first, count, lost } = self.batch;
        let mut words = [MAGIC, self.core, first, count as u64, lost, self.last.into(), self.checksum, 0];
        words[7] = checksum(&[words]);
        words
    }

    /// The header that these words are; `None` if they are none.
    pub fn from_words(words: &Raw) -> Option<Self> {
        let [magic, core, first, count, lost, last, checksum_of_records, own] = *words;
        let mut unsealed = *words;
        unsealed[7] = 0;
        let is_one =
            magic == MAGIC && count <= MAX_RECORDS as u64 && last <= 1 && own == checksum(&[unsealed]);
        let batch = Batch { first, count: count as usize, lost };
        is_one.then_some(Self { core, batch, last: last == 1, checksum: checksum_of_records })
    }
}

/// A cheap checksum: it tells damage, not malice (FNV-1a over words instead of bytes).
pub fn checksum(records: &[Raw]) -> u64 {
    const BASIS: u64 = 0xcbf2_9ce4_8422_2325;
    const PRIME: u64 = 0x0100_0000_01b3;
    let fold = |sum: u64, word: &u64| (sum ^ word).wrapping_mul(PRIME);
    records.iter().flatten().fold(BASIS, fold)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_survives_as_words_and_no_changed_bit_passes() {
        let records = [[1, 2, 3, 4, 5, 6, 7, 8], [9; 8]];
        let header = Header::new(3, Batch { first: 77, count: 2, lost: 5 }, &records);
        let words = header.to_words();
        assert_eq!(Header::from_words(&words), Some(header));
        for bit in 0..512 {
            let mut changed = words;
            changed[bit / 64] ^= 1 << (bit % 64);
            assert_eq!(Header::from_words(&changed), None, "bit {bit}");
        }
    }

    #[test]
    fn the_checksum_tells_any_two_records_in_another_order() {
        assert_ne!(checksum(&[[1; 8], [2; 8]]), checksum(&[[2; 8], [1; 8]]));
    }
}
