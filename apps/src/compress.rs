//! A workload: compresses a text and unpacks it again, and compares with the original.
//!
//! Not for the faint of heap: the compressor's tables take some 300 KiB.
#![forbid(unsafe_code)]

use crate::work;
use libos_core::start::StartInfo;
use miniz_oxide::deflate::compress_to_vec;
use miniz_oxide::inflate::decompress_to_vec_with_limit;

/// Pages of heap that the program needs.
pub const HEAP_PAGES: u64 = 192;

/// What is compressed.
const TEXT: &[u8] = include_bytes!("compress/text.txt");

/// Works as its start page says. A unit is one round trip of the text.
pub fn main(info: StartInfo) {
    work::run(&info, move || is_right(TEXT));
}

/// Whether the text becomes shorter, and comes back as it was.
fn is_right(text: &[u8]) -> bool {
    let packed = compress_to_vec(text, 6);
    let unpacked = decompress_to_vec_with_limit(&packed, text.len());
    packed.len() < text.len() && unpacked.is_ok_and(|unpacked| unpacked == text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_is_long_enough_to_be_work_and_survives_the_round_trip() {
        assert!(TEXT.len() >= 4096);
        assert!(is_right(TEXT));
    }

    #[test]
    fn what_does_not_become_shorter_is_not_right() {
        assert!(!is_right(b"short"));
    }
}
