//! The protocols of the words that several cores change without a lock, each once, for the kernel's atomics and for a
//! model checker's.
//!
//! Not here: what the words mean ([`crate::activation`], [`crate::block`], [`crate::slots`], [`crate::paging`]). All orders are
//! sequentially consistent, but for [`Loose`] words: where one core writes one word and reads another, and the other core does it the
//! other way round, one of them sees the other's.
#![forbid(unsafe_code)]

use core::sync::atomic::{AtomicU64, Ordering::Relaxed, Ordering::SeqCst};

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

/// A word that says all by itself: its order with other memory matters to nobody.
pub struct Loose<'a>(pub &'a AtomicU64);

impl Shared for Loose<'_> {
    #[inline(always)]
    fn load(&self) -> u64 {
        self.0.load(Relaxed)
    }

    #[inline(always)]
    fn store(&self, value: u64) {
        self.0.store(value, Relaxed);
    }

    /// May also fail just for now.
    #[inline(always)]
    fn compare_exchange(&self, from: u64, to: u64) -> Result<u64, u64> {
        self.0.compare_exchange_weak(from, to, Relaxed, Relaxed)
    }
}

/// Changes a word that others may be changing as well: what `changed` makes of the present one, if it makes something of it,
/// replaces just that. The word as it was.
#[inline(always)]
pub fn amend(word: &impl Shared, changed: impl Fn(u64) -> Option<u64>) -> Option<u64> {
    loop {
        let present = word.load();
        let next = changed(present)?;
        if word.compare_exchange(present, next).is_ok() {
            return Some(present);
        }
    }
}

/// The same for a word that is only changed under one lock, which the caller holds. Who reads it without finds what it was or
/// what it is.
#[inline(always)]
pub fn hand_over(word: &impl Shared, changed: impl FnOnce(u64) -> Option<u64>) -> Option<u64> {
    let present = word.load();
    word.store(changed(present)?);
    Some(present)
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
    amend(state, readied)
}

/// Ends the service of an activation whose caller's address is its word: it waits for the next from now on, and may be entered
/// by any core at once. So `take`, which gets what it leaves its caller, comes first. `None` if its word is another.
#[inline(always)]
pub fn end_service<T>(
    state: &impl Shared,
    (serving, idle): (u64, u64),
    take: impl FnOnce() -> T,
) -> Option<T> {
    let taken = take();
    state.compare_exchange(serving, idle).ok()?;
    Some(taken)
}

/// Takes a dead caller out of the service of an activation: `next` replaces the word if that is still this caller's. False if it
/// has just returned; then the core on which it did finds that its caller is dead.
#[inline(always)]
pub fn leave_service(state: &impl Shared, serving: u64, next: u64) -> bool {
    state.compare_exchange(serving, next).is_ok()
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
