//! A workload: hashes a generated data set again and again, and compares with the digest that is known.
#![forbid(unsafe_code)]

use crate::work;
use alloc::vec::Vec;
use libos_core::start::StartInfo;
use sha2::{Digest, Sha256};

/// Bytes of the data set.
pub const BYTES: usize = 16 * 1024;

/// The data set's digest, computed with another implementation (Python's `hashlib`).
const KNOWN: [u8; 32] = [
    0x3d, 0x0b, 0x9b, 0xd2, 0x59, 0x14, 0x7a, 0x1c, 0xa6, 0x96, 0x29, 0xb2, 0xa3, 0xe8, 0xbb, 0xde, 0x5f,
    0x86, 0x9b, 0xdb, 0x38, 0x45, 0xbf, 0x9a, 0xeb, 0xb3, 0xeb, 0x69, 0xe7, 0x12, 0x25, 0xff,
];

/// Works as its start page says. A unit is the hash of the whole data set.
pub fn main(info: StartInfo) {
    let data = data_set();
    work::run(&info, move || is_right(&data));
}

/// The words of xorshift64* (Vigna 2016) from a fixed state.
fn data_set() -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    let words = core::iter::repeat_with(|| {
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        state.wrapping_mul(0x2545_f491_4f6c_dd1d)
    });
    words.take(BYTES / 8).flat_map(u64::to_le_bytes).collect()
}

/// Whether the data hash to the known digest.
fn is_right(data: &[u8]) -> bool {
    Sha256::digest(data)[..] == KNOWN
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_data_set_has_the_known_digest() {
        assert_eq!(data_set().len(), BYTES);
        assert!(is_right(&data_set()));
    }

    #[test]
    fn one_changed_bit_anywhere_is_noticed() {
        let mut data = data_set();
        for place in (0..BYTES).step_by(997) {
            data[place] ^= 4;
            assert!(!is_right(&data));
            data[place] ^= 4;
        }
    }
}
