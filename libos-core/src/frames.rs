//! Which of its page frames an environment has free: consecutive runs of them, given out and taken back.
//!
//! Not here: any call. The kernel knows who owns a frame; this only remembers what the owner uses it for.
//!
//! Invariants: runs are sorted by their first frame, not empty, disjoint, and never adjacent (they would be one run).
#![forbid(unsafe_code)]

use alloc::vec::Vec;
use tranche_abi::Frame;

/// Consecutive frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// The first.
    pub first: Frame,
    /// How many.
    pub count: u64,
}

impl Run {
    /// The frame after the last.
    pub const fn end(self) -> u64 {
        self.first.0 + self.count
    }

    /// The run in pieces of at most `size` frames, with the offset of each.
    pub fn pieces(self, size: u64) -> impl Iterator<Item = (u64, Run)> {
        (0..self.count.div_ceil(size)).map(move |piece| {
            let offset = piece * size;
            (offset, Run { first: Frame(self.first.0 + offset), count: size.min(self.count - offset) })
        })
    }
}

/// The free frames of an environment.
#[derive(Debug, Default)]
pub struct Frames {
    runs: Vec<Run>,
}

impl Frames {
    /// The frames of `run`, all free.
    pub fn new(run: Run) -> Self {
        let mut frames = Self::default();
        frames.put(run);
        frames
    }

    /// Frames that are free.
    pub fn free(&self) -> u64 {
        self.runs.iter().map(|run| run.count).sum()
    }

    /// Takes `count` consecutive frames: from the shortest run that has them, so that long ones stay.
    pub fn take(&mut self, count: u64) -> Option<Run> {
        let fits = |run: &&mut Run| run.count >= count;
        let best = self.runs.iter_mut().filter(fits).min_by_key(|run| run.count)?;
        let taken = Run { first: best.first, count };
        *best = Run { first: Frame(best.first.0 + count), count: best.count - count };
        self.runs.retain(|run| run.count > 0);
        Some(taken)
    }

    /// Takes the longest run.
    pub fn take_longest(&mut self) -> Option<Run> {
        let longest = self.runs.iter().map(|run| run.count).max()?;
        self.take(longest)
    }

    /// Puts frames back. Ones that are already here are not put twice.
    pub fn put(&mut self, run: Run) {
        let mut run = run;
        let mut kept = Vec::with_capacity(self.runs.len() + 1);
        for other in self.runs.drain(..) {
            if other.end() < run.first.0 || run.end() < other.first.0 {
                kept.push(other);
            } else {
                let (first, end) = (run.first.0.min(other.first.0), run.end().max(other.end()));
                run = Run { first: Frame(first), count: end - first };
            }
        }
        if run.count > 0 {
            let place = kept.partition_point(|other| other.first < run.first);
            kept.insert(place, run);
        }
        self.runs = kept;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(first: u64, count: u64) -> Run {
        Run { first: Frame(first), count }
    }

    #[test]
    fn frames_that_come_back_in_any_order_are_one_run_again() {
        let mut frames = Frames::new(run(100, 64));
        let mut taken: Vec<Run> = [3, 1, 20, 1, 7].into_iter().map(|n| frames.take(n).unwrap()).collect();
        assert_eq!(frames.free(), 32);
        taken.swap(0, 3);
        taken.swap(1, 4);
        taken.into_iter().for_each(|run| frames.put(run));
        assert_eq!(frames.runs, [run(100, 64)]);
    }

    #[test]
    fn the_shortest_run_that_fits_is_used() {
        let mut frames = Frames::new(run(0, 50));
        frames.put(run(100, 4));
        assert_eq!(frames.take(3), Some(run(100, 3)));
        assert_eq!(frames.take(3), Some(run(0, 3)));
        assert_eq!(frames.take(48), None);
    }

    #[test]
    fn a_frame_put_twice_is_given_out_once() {
        let mut frames = Frames::new(run(10, 5));
        frames.put(run(12, 5));
        assert_eq!(frames.free(), 7);
        frames.put(run(0, 0));
        assert_eq!(frames.runs, [run(10, 7)]);
    }

    #[test]
    fn a_run_comes_in_pieces_with_their_offsets() {
        let pieces: Vec<_> = run(5, 10).pieces(4).collect();
        assert_eq!(pieces, [(0, run(5, 4)), (4, run(9, 4)), (8, run(13, 2))]);
    }
}
