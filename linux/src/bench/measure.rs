//! An operation again and again: some batches, of which the host takes the median, since Linux's own timer falls into a
//! few of them. Not here: the operations.
//!
//! The counter ticks once in some 16 instructions. Where single operations are timed, the time before each is varied, so
//! that the ticks fall evenly and their rounding cancels out over a batch.

use core::arch::asm;
use linux_guest::call::Tick;

/// Batches that count; the first is for warming up, and does not.
const BATCHES: usize = 15;

/// Instructions of a batch whose operations leave work for later (what they free, Linux collects and frees at its timer's
/// ticks, 250 a second): several ticks, so that each batch does about as much of that as it leaves.
const LONG_BATCH: u64 = 12_000_000;

/// Operations in such a batch, if each takes about that many instructions.
pub const fn many(instructions: u64) -> u64 {
    LONG_BATCH / instructions
}

/// What reading the counter adds to a measured stretch: one instruction, the second half of the first reading.
pub const STAMP: u64 = 1;

/// What an operation has taken.
#[derive(Clone, Copy, Debug)]
pub struct Batches {
    /// Ticks of the counter for each batch.
    pub ticks: [u64; BATCHES],
    /// Operations in a batch.
    pub operations: u64,
    /// Instructions for each operation that are the measurement's own.
    pub overhead: u64,
}

/// Times operations one by one: `once` does one and returns the ticks of each of its `PARTS`.
pub fn singly<const PARTS: usize>(
    operations: u64,
    mut once: impl FnMut() -> [u64; PARTS],
) -> [Batches; PARTS] {
    let mut parts = [Batches { ticks: [0; BATCHES], operations, overhead: STAMP }; PARTS];
    let mut state = 1u64;
    for batch in 0..=BATCHES {
        for _ in 0..operations {
            state = shuffled(state);
            dawdle(state >> 60);
            let ticks = once();
            if batch > 0 {
                for (part, ticks) in parts.iter_mut().zip(ticks) {
                    part.ticks[batch - 1] += ticks;
                }
            }
        }
    }
    parts
}

/// Times whole batches: `all` does that many operations.
pub fn together(operations: u64, overhead: u64, mut all: impl FnMut(u64)) -> Batches {
    let mut batches = Batches { ticks: [0; BATCHES], operations, overhead };
    for batch in 0..=BATCHES {
        let before = Tick::now();
        all(operations);
        let ticks = Tick::now().since(before);
        if batch > 0 {
            batches.ticks[batch - 1] = ticks;
        }
    }
    batches
}

/// The next state of a linear congruential generator (Knuth, The Art of Computer Programming 2, 3.3.4, table 1, line 26),
/// of which the upper bits look random.
const fn shuffled(state: u64) -> u64 {
    state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407)
}

/// Three instructions for each turn: with 0 to 15 turns, all remainders of 16.
fn dawdle(turns: u64) {
    // SAFETY: It only counts.
    unsafe {
        asm!("2:", "cbz {turns}, 3f", "sub {turns}, {turns}, #1", "b 2b", "3:",
            turns = inout(reg) turns => _, options(nomem, nostack))
    };
}
