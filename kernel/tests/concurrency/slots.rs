//! Slots that change hands while a core begins one, and capabilities to them. See the crate's root.
#![forbid(unsafe_code)]

use super::Loose;
use loom::sync::atomic::AtomicU64;
use loom::sync::{Arc, Mutex};
use loom::thread;
use tranche_kernel::word::{Shared, hand_over};

/// A slot: its owner, and in which life.
const fn slot(owner: u64, generation: u64) -> u64 {
    owner | generation << 32
}

/// The slot's next life.
fn renewed(present: u64) -> Option<u64> {
    Some(present + slot(0, 1))
}

/// Changes a slot under the lock for all slots, or without one.
fn change(lock: Option<&Mutex<()>>, word: &impl Shared, changed: impl FnOnce(u64) -> Option<u64>) -> bool {
    let _held = lock.map(|lock| lock.lock().expect("nobody dies with it"));
    hand_over(word, changed).is_some()
}

/// A slot is given away on one core and voided on another, while a third begins it.
fn give_void_and_begin(with_lock: bool) {
    let word = Arc::new(Loose(AtomicU64::new(slot(1, 1))));
    let lock = with_lock.then(|| Arc::new(Mutex::new(())));
    let giver = {
        let (word, lock) = (word.clone(), lock.clone());
        thread::spawn(move || change(lock.as_deref(), &*word, |old| renewed(slot(2, old >> 32))))
    };
    let beginner = {
        let word = word.clone();
        thread::spawn(move || {
            let [first, second] = [0; 2].map(|_| word.load());
            for seen in [first, second] {
                let is_one = [slot(1, 1), slot(1, 2), slot(2, 2), slot(2, 3)].contains(&seen);
                assert!(is_one, "it begins in half of a change");
            }
            assert!(first >> 32 <= second >> 32, "it begins in a life that is over");
        })
    };
    change(lock.as_deref(), &*word, renewed);
    giver.join().expect("the giver ends");
    beginner.join().expect("the other core ends");
    assert_eq!(word.load(), slot(2, 3), "a change of the slot is lost");
}

#[test]
fn a_slot_that_is_given_and_voided_begins_as_what_it_was_or_is_and_no_change_is_lost() {
    loom::model(|| give_void_and_begin(true));
}

#[test]
#[should_panic(expected = "is lost")]
fn changes_of_slots_without_the_lock_are_found_to_be_wrong() {
    loom::model(|| give_void_and_begin(false));
}

#[test]
#[should_panic(expected = "it begins in half of a change")]
fn a_slot_that_is_given_by_two_stores_is_found_to_be_wrong() {
    loom::model(|| {
        let word = Arc::new(Loose(AtomicU64::new(slot(1, 1))));
        let giver = {
            let word = word.clone();
            thread::spawn(move || [slot(2, 1), slot(2, 2)].map(|step| word.store(step)))
        };
        let seen = word.load();
        assert!([slot(1, 1), slot(2, 2)].contains(&seen), "it begins in half of a change");
        giver.join().expect("the giver ends");
    });
}

/// Two environments take a slot by one capability, which means its first life.
fn two_take(with_lock: bool) {
    let word = Arc::new(Loose(AtomicU64::new(slot(1, 1))));
    let lock = with_lock.then(|| Arc::new(Mutex::new(())));
    let take = |word: &Loose, lock: Option<&Mutex<()>>, me| {
        change(lock, word, |present| (present >> 32 == 1).then(|| slot(me, 2)))
    };
    let other = {
        let (word, lock) = (word.clone(), lock.clone());
        thread::spawn(move || take(&word, lock.as_deref(), 2))
    };
    let mine = take(&word, lock.as_deref(), 3);
    let others = other.join().expect("the other core ends");
    assert!(mine != others, "a capability to a slot serves twice");
    assert_eq!(word.load(), slot(if mine { 3 } else { 2 }, 2));
    assert!(!take(&word, lock.as_deref(), 4), "a stale capability takes a slot");
}

#[test]
fn a_slot_is_taken_once_by_a_capability_that_two_use() {
    loom::model(|| two_take(true));
}

#[test]
#[should_panic(expected = "serves twice")]
fn taking_a_slot_without_the_lock_is_found_to_be_wrong() {
    loom::model(|| two_take(false));
}
