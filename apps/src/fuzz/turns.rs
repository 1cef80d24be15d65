//! The supervisor's turns: on each core, its activation gives the fuzzers of the present round the CPU, wakes those that
//! wait, and starts those again that have ended in a fault.
//!
//! Not here: rounds (`supervisor`).
#![forbid(unsafe_code)]

use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use core::sync::atomic::{AtomicBool, AtomicU64};
use libos_core::calls::{self, Events};
use libos_core::chance::draw;
use libos_core::public::view;
use libos_core::{entry, layout, page};
use tranche_abi::layout::{HANDLE_SELF, MAX_ACTIVATIONS};
use tranche_abi::{ActivationIndex, Address, Handle, Outcome, Reason, Target, Tick};

/// Environments that make calls at the same time.
pub const FUZZERS: usize = 2;
/// Times that an activation is started again in a round.
const REVIVALS: u64 = 40;

/// Handles to the fuzzers of the present round, for the other activations; 0 for none.
static HANDLES: [AtomicU64; FUZZERS] = [const { AtomicU64::new(0) }; FUZZERS];
/// How often each of their activations was started again.
static REVIVED: [[AtomicU64; MAX_ACTIVATIONS]; FUZZERS] =
    [const { [const { AtomicU64::new(0) }; MAX_ACTIVATIONS] }; FUZZERS];
/// Whether the last round is over.
static OVER: AtomicBool = AtomicBool::new(false);

/// From now on this fuzzer has turns.
pub fn give(place: usize, handle: Handle) {
    REVIVED[place].iter().for_each(|count| count.store(0, Relaxed));
    HANDLES[place].store(handle.0, Release);
}

/// From now on no fuzzer has turns, but those that it is in the middle of.
pub fn take() {
    HANDLES.iter().for_each(|handle| handle.store(HANDLE_SELF.0, Release));
}

/// There will be no more turns.
pub fn end() {
    OVER.store(true, Release);
}

/// Whether there will be no more turns.
pub fn are_over() -> bool {
    OVER.load(Acquire)
}

/// A number below `limit`, which is not 0.
pub fn below(chance: &mut u64, limit: u64) -> u64 {
    ((draw(chance) >> 32) * limit) >> 32
}

/// Gives an activation of a fuzzer the CPU for a while, and sees to it that it goes on.
pub fn turn(chance: &mut u64) {
    page::take_events();
    page::take_ready();
    let place = below(chance, FUZZERS as u64) as usize;
    let handle = Handle(HANDLES[place].load(Acquire));
    let now = page::now();
    if handle == HANDLE_SELF {
        return page::sleep_until(Tick(now.0 + microseconds(100)));
    }
    let activation = match below(chance, 6) {
        0 => below(chance, view().cores()),
        _ => page::index(),
    };
    let target = Target::new(handle, ActivationIndex(activation));
    let events = if below(chance, 2) == 0 { Events::Ignore } else { Events::Return };
    let until = Tick(now.0 + microseconds(20 + below(chance, 1000)));
    // An error: the round has just ended.
    let Ok(Outcome { reason, .. }) = calls::yield_to(target, until, events) else { return };
    match reason {
        Reason::Faulted => revive(place, target),
        Reason::Waiting | Reason::Busy if below(chance, 3) == 0 => {
            // Refused if it is no more.
            let _ = calls::notify(target, 1 << below(chance, 61));
        }
        _ => {}
    }
}

/// Starts an activation again that ended in a fault.
fn revive(place: usize, target: Target) {
    let activation = target.activation().0;
    if REVIVED[place][activation as usize].fetch_add(1, Relaxed) < REVIVALS {
        let stack = Address(layout::stack_top(activation));
        // Refused, if it is no more.
        let _ = calls::activation_start(target, Address(entry::address()), stack, layout::START_BASE);
    }
}

/// Ticks in so many microseconds.
pub fn microseconds(count: u64) -> u64 {
    view().frequency() * count / 1_000_000
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_without_fuzzers_give_the_cpu_to_nobody() {
        let mut chance = 1;
        (0..10).for_each(|_| turn(&mut chance));
        assert!(HANDLES.iter().all(|handle| handle.load(Acquire) == HANDLE_SELF.0));
    }
}
