//! The protocols of the words that several cores change without a lock, each once, for the kernel's atomics and for a
//! model checker's.
//!
//! Not here: what the words mean ([`crate::activation`], [`crate::block`]). All orders are sequentially consistent: where one
//! core writes one word and reads another, and the other core does it the other way round, one of them sees the other's.
#![forbid(unsafe_code)]

use core::sync::atomic::{AtomicU64, Ordering::SeqCst};

/// A word that several cores change.
pub trait Shared {
    /// Its present value.
    fn load(&self) -> u64;
    /// Makes it `value`, whatever it was.
    fn store(&self, value: u64);
    /// Makes it `to` if it is `from`; otherwise says what it is.
    fn compare_exchange(&self, from: u64, to: u64) -> Result<u64, u64>;
}

impl Shared for AtomicU64 {
    #[inline(always)]
    fn load(&self) -> u64 {
        self.load(SeqCst)
    }

    #[inline(always)]
    fn store(&self, value: u64) {
        self.store(value, SeqCst);
    }

    #[inline(always)]
    fn compare_exchange(&self, from: u64, to: u64) -> Result<u64, u64> {
        self.compare_exchange(from, to, SeqCst, SeqCst)
    }
}

/// Claims an activation, whose state word is `present`: `held` is its word while `look` decides whether it stays so. What
/// `look` refuses gets its old word back. `None` if another core was first.
#[inline(always)]
pub fn claim<T, E>(
    state: &impl Shared,
    (present, held): (u64, u64),
    look: impl FnOnce() -> Result<T, E>,
) -> Option<Result<T, E>> {
    state.compare_exchange(present, held).ok()?;
    let found = look();
    if found.is_err() {
        state.store(present);
    }
    Some(found)
}

/// Readies who waits: the word that `readied` makes of the present one, if that is one of somebody who waits. The word as
/// it was. Whoever posts an event does so before; whoever waits stores its word, then looks for events again.
#[inline(always)]
pub fn rouse(state: &impl Shared, readied: impl Fn(u64) -> Option<u64>) -> Option<u64> {
    loop {
        let present = state.load();
        let ready = readied(present)?;
        if state.compare_exchange(present, ready).is_ok() {
            return Some(present);
        }
    }
}

/// Begins to wait for a call, unless the environment's end, which is marked before its activations are stopped, has passed
/// over this one: then nobody may enter it any more.
#[inline(always)]
pub fn retire_if_over(state: &impl Shared, (idle, stopped): (u64, u64), is_over: impl FnOnce() -> bool) {
    if is_over() {
        // Whoever entered it just now is found otherwise.
        let _ = state.compare_exchange(idle, stopped);
    }
}

/// Counts a look of this core at what changed, which is over now.
#[inline(always)]
pub fn count_look(looks: &impl Shared) {
    looks.store(looks.load().wrapping_add(1)); // the core's own
}

/// Whether a core has looked at what changed before it had looked `before` times, from a look's beginning to its end: the
/// next one may have begun already then.
#[inline(always)]
pub fn has_looked(looks: &impl Shared, before: u64) -> bool {
    looks.load().wrapping_sub(before) >= 2
}
