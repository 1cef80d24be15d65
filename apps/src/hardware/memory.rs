//! Whether memory keeps what is written to it: a page of each mebibyte of all ranges, and the last of each. All are written before the first is read, so
//! that one which is really another is found; and once more with every bit the other way round.
//!
//! Not here: every word. That takes a test of its own, for hours.
#![forbid(unsafe_code)]

use super::Found;
use alloc::format;
use alloc::vec::Vec;
use libos_core::frames::{Frames, Run};
use libos_core::mapping;
use tranche_abi::layout::PAGE_SIZE;
use tranche_abi::{Error, Frame};

/// Pages from one that is tried to the next.
const STRIDE: u64 = 256;

/// Tries pages of these ranges, which are the caller's and mapped nowhere. Page tables are made of `frames`.
pub fn check(ranges: &[Run], frames: &mut Frames) -> Found {
    let tried: Vec<Frame> = ranges.iter().flat_map(|range| samples(*range)).collect();
    let mut wrong = Vec::new();
    for flip in [0, u64::MAX] {
        for frame in &tried {
            write(*frame, flip, frames).map_err(|error| format!("page {:#x}: {error:?}", frame.0))?;
        }
        for frame in &tried {
            let damaged =
                read(*frame, flip, frames).map_err(|error| format!("page {:#x}: {error:?}", frame.0))?;
            wrong.extend(damaged.then_some(frame.0));
        }
    }
    let all: u64 = ranges.iter().map(|range| range.count).sum();
    let seen =
        format!("{} MiB in {} ranges; {} pages tried", (all * PAGE_SIZE) >> 20, ranges.len(), tried.len());
    match wrong[..] {
        [] => Ok(seen),
        [first, ..] => Err(format!("{seen}, {} wrong, first at {:#x}", wrong.len(), first * PAGE_SIZE)),
    }
}

/// The pages of a range that are tried.
fn samples(range: Run) -> impl Iterator<Item = Frame> {
    let last = (range.count > 0)
        .then(|| range.end() - 1)
        .filter(|last| !(last - range.first.0).is_multiple_of(STRIDE));
    (range.first.0..range.end()).step_by(STRIDE as usize).chain(last).map(Frame)
}

/// What a page's word is to be: another for each word of all memory (the finaliser of SplitMix64).
fn word(frame: Frame, place: usize, flip: u64) -> u64 {
    let mut bits = frame.0 << 9 | place as u64;
    bits = (bits ^ bits >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ bits >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ bits >> 31 ^ flip
}

fn write(frame: Frame, flip: u64, frames: &mut Frames) -> Result<(), Error> {
    with_page(frame, frames, |memory| {
        for (place, bytes) in memory.chunks_exact_mut(8).enumerate() {
            bytes.copy_from_slice(&word(frame, place, flip).to_le_bytes());
        }
    })
}

/// Whether a page has other words than were written.
fn read(frame: Frame, flip: u64, frames: &mut Frames) -> Result<bool, Error> {
    let mut damaged = false;
    with_page(frame, frames, |memory| {
        let is = |(place, bytes): (usize, &[u8])| *bytes == word(frame, place, flip).to_le_bytes();
        damaged = !memory.chunks_exact(8).enumerate().all(is);
    })?;
    Ok(damaged)
}

fn with_page(frame: Frame, frames: &mut Frames, action: impl FnMut(&mut [u8])) -> Result<(), Error> {
    let mut action = action;
    let mut table = || frames.take(1).map(|run| run.first);
    mapping::with(Run { first: frame, count: 1 }, &mut table, |_, memory| action(memory))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_of_each_mebibyte_is_tried_and_the_last() {
        let of = |count| samples(Run { first: Frame(10), count }).map(|frame| frame.0).collect::<Vec<_>>();
        assert_eq!(of(0), []);
        assert_eq!(of(1), [10]);
        assert_eq!(of(257), [10, 266]);
        assert_eq!(of(600), [10, 266, 522, 609]);
    }

    #[test]
    fn no_two_words_of_memory_are_the_same_nor_one_its_own_opposite() {
        let mut all: Vec<u64> =
            (0..64).flat_map(|page| (0..512).map(move |place| word(Frame(page << 14), place, 0))).collect();
        all.extend(all.clone().iter().map(|word| !word));
        all.sort_unstable();
        assert!(all.windows(2).all(|pair| pair[0] != pair[1]));
        assert_eq!(word(Frame(7), 3, u64::MAX), !word(Frame(7), 3, 0));
    }
}
