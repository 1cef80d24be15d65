//! A small set of address ranges: what is memory, minus what is taken.

use core::ops::Range;

/// Disjoint, non-empty ranges, sorted.
#[derive(Clone, Debug)]
pub struct Ranges {
    items: [Range<u64>; Ranges::CAPACITY],
    count: usize,
}

/// More ranges than the set has room for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooMany;

impl Default for Ranges {
    fn default() -> Self {
        Self { items: [const { 0..0 }; Ranges::CAPACITY], count: 0 }
    }
}

impl Ranges {
    /// Ranges at most. A board has a handful of memory nodes and reservations.
    pub const CAPACITY: usize = 32;

    /// The ranges, by address.
    pub fn as_slice(&self) -> &[Range<u64>] {
        &self.items[..self.count]
    }

    /// Adds a range, joined with those that it touches.
    pub fn add(&mut self, range: Range<u64>) -> Result<(), TooMany> {
        if range.is_empty() {
            return Ok(());
        }
        let mut joined = range;
        let mut kept = Self::default();
        for item in self.as_slice() {
            if item.end < joined.start || joined.end < item.start {
                kept.push(item.clone())?;
            } else {
                joined = item.start.min(joined.start)..item.end.max(joined.end);
            }
        }
        let position = kept.as_slice().partition_point(|item| item.start < joined.start);
        kept.push(joined)?;
        kept.items[position..kept.count].rotate_right(1);
        *self = kept;
        Ok(())
    }

    /// Takes a range out of all that it overlaps.
    pub fn remove(&mut self, range: Range<u64>) -> Result<(), TooMany> {
        if range.is_empty() {
            return Ok(());
        }
        let mut kept = Self::default();
        for item in self.as_slice() {
            for part in [item.start..item.end.min(range.start), item.start.max(range.end)..item.end] {
                if !part.is_empty() {
                    kept.push(part)?;
                }
            }
        }
        *self = kept;
        Ok(())
    }

    /// Takes `size` bytes, aligned to `align` (a power of two), from the end of the highest range that has them, so that
    /// what is left stays in few pieces.
    pub fn take(&mut self, size: u64, align: u64) -> Option<u64> {
        let fits = |item: &Range<u64>| {
            let start = item.end.checked_sub(size)? & !(align - 1);
            (start >= item.start).then_some(start)
        };
        let start = self.as_slice().iter().rev().find_map(fits)?;
        self.remove(start..start + size).ok()?;
        Some(start)
    }

    /// Bytes in all ranges.
    pub fn size(&self) -> u64 {
        self.as_slice().iter().map(|item| item.end - item.start).sum()
    }

    fn push(&mut self, range: Range<u64>) -> Result<(), TooMany> {
        *self.items.get_mut(self.count).ok_or(TooMany)? = range;
        self.count += 1;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    fn set(ranges: &[Range<u64>]) -> Ranges {
        let mut set = Ranges::default();
        ranges.iter().for_each(|range| set.add(range.clone()).expect("few ranges"));
        set
    }

    #[test]
    fn touching_and_overlapping_ranges_become_one() {
        assert_eq!(set(&[10..20, 40..50, 20..30]).as_slice(), [10..30, 40..50]);
        assert_eq!(set(&[10..20, 40..50, 60..70, 15..45]).as_slice(), [10..50, 60..70]);
        assert_eq!(set(&[30..40, 10..20]).as_slice(), [10..20, 30..40]);
    }

    #[test]
    fn removal_splits_trims_and_deletes() {
        let mut ranges = set(&[0..10, 20..30, 40..50]);
        ranges.remove(5..42).expect("few ranges");
        assert_eq!(ranges.as_slice(), [0..5, 42..50]);
        ranges.remove(44..46).expect("few ranges");
        assert_eq!(ranges.as_slice(), [0..5, 42..44, 46..50]);
    }

    #[test]
    fn taking_is_aligned_and_comes_from_the_end() {
        let mut ranges = set(&[0x1000..0x5000, 0x8000..0x8800, 0x9000..0x9001]);
        assert_eq!(ranges.take(0x1000, 0x1000), Some(0x4000));
        assert_eq!(ranges.take(0x800, 0x800), Some(0x8000));
        assert_eq!(ranges.take(0x10000, 0x1000), None);
        assert_eq!(ranges.as_slice(), [0x1000..0x4000, 0x9000..0x9001]);
    }

    #[test]
    fn the_set_equals_a_model_of_single_bytes() {
        let mut state = 1u64;
        let mut random = |below: u64| {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (state >> 33) % below
        };
        for _ in 0..500 {
            let mut ranges = Ranges::default();
            let mut model = [false; 64];
            for _ in 0..12 {
                let start = random(64);
                let range = start..(start + random(12)).min(64);
                let add = random(2) == 0;
                model[range.start as usize..range.end as usize].fill(add);
                if add { ranges.add(range) } else { ranges.remove(range) }.expect("at most 32 in 64 bytes");
            }
            let bytes: Vec<u64> = ranges.as_slice().iter().flat_map(|range| range.clone()).collect();
            let expected: Vec<u64> = (0..64).filter(|byte| model[*byte as usize]).collect();
            assert_eq!(bytes, expected);
            assert!(ranges.as_slice().windows(2).all(|pair| pair[0].end < pair[1].start));
        }
    }

    #[test]
    fn a_full_set_says_so() {
        let mut ranges = set(&(0..32).map(|i| i * 10..i * 10 + 5).collect::<Vec<_>>());
        assert_eq!(ranges.add(1000..1001), Err(TooMany));
        assert_eq!(ranges.remove(1..2), Err(TooMany));
    }
}
