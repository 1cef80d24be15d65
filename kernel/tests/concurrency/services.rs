//! Servers that return while others enter them, or while their callers are destroyed. See the crate's root.
#![forbid(unsafe_code)]

use super::{IDLE, Loose, Torn, Word};
use loom::sync::Arc;
use loom::sync::atomic::AtomicU64;
use loom::thread;
use tranche_kernel::word::{Shared, count_look, end_service, has_looked, leave_service};

/// The word of an activation that serves the one with this number, and of one that serves it because who was between is dead.
const A: u64 = 100;
const Z: u64 = 300;
const DETOUR: u64 = 1;

/// A server returns to its caller, and another core enters it as soon as it waits. Whether it takes what it leaves its caller
/// before.
fn return_and_enter(takes_first: bool) {
    let (state, page) = (Word::new(A), Arc::new(Loose(AtomicU64::new(7))));
    let next = {
        let (state, page) = (state.clone(), page.clone());
        thread::spawn(move || {
            if state.compare_exchange(IDLE, Z).is_ok() {
                page.store(9);
            }
        })
    };
    let reply = match takes_first {
        true => end_service(&*state, (A, IDLE), || page.load()),
        false => end_service(&*state, (A, IDLE), || ()).map(|()| page.load()),
    };
    assert_eq!(reply, Some(7), "it gets what is another's");
    next.join().expect("the other core ends");
}

#[test]
fn a_caller_gets_its_own_reply_whoever_enters_the_server_next() {
    loom::model(|| return_and_enter(true));
}

#[test]
#[should_panic(expected = "it gets what is another's")]
fn a_server_that_waits_before_its_reply_is_taken_is_found_to_be_wrong() {
    loom::model(|| return_and_enter(false));
}

/// A server returns to A, which Z called, while A, which is dead, is taken out of its service and then freed.
fn return_and_destroy<W: Shared + Send + Sync + 'static>(state: Arc<W>, is_over: fn(&Word, u64) -> bool) {
    let [freed, looks] = [0; 2].map(Word::new);
    let core = {
        let (state, freed, looks) = (state.clone(), freed.clone(), looks.clone());
        thread::spawn(move || {
            let of_a = || assert_eq!(freed.load(), 0, "it is used after it was freed");
            let to_a = end_service(&*state, (A, IDLE), of_a).is_some();
            if !to_a {
                assert_eq!(state.load(), Z | DETOUR);
                state.store(IDLE); // and Z is told
            }
            // Its look, if A runs: A is dead, so Z is told.
            if to_a {
                of_a();
            }
            count_look(&*looks);
            count_look(&*looks);
        })
    };
    let _ = leave_service(&*state, A, Z | DETOUR);
    let before = looks.load();
    if is_over(&looks, before) {
        freed.store(1);
    }
    core.join().expect("the other core ends");
    assert_eq!(state.load(), IDLE, "it serves who does not wait for it");
}

#[test]
fn a_server_that_returns_as_its_caller_is_destroyed_waits_for_the_next_and_uses_nothing_freed() {
    loom::model(|| return_and_destroy(Word::new(A), has_looked));
}

#[test]
#[should_panic(expected = "it serves who does not wait for it")]
fn to_leave_a_service_by_load_and_store_is_found_to_be_wrong() {
    loom::model(|| return_and_destroy(Arc::new(Torn(AtomicU64::new(A))), has_looked));
}

#[test]
#[should_panic(expected = "it is used after it was freed")]
fn to_free_a_caller_before_every_core_has_looked_is_found_to_be_wrong() {
    loom::model(|| return_and_destroy(Word::new(A), |_, _| true));
}
