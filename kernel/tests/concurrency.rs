//! The kernel's lock-free protocols under a model checker, which tries every order of what two or three cores do.
//!
//! Not here: single-threaded tests of the same words (the kernel's own). What is checked is the kernel's code: the functions
//! of `tranche_kernel::word`, on the checker's atomics. Each protocol has a planted mistake that must be found.
#![forbid(unsafe_code)]

use loom::sync::atomic::{AtomicU64, Ordering::Relaxed, Ordering::SeqCst, fence};
use loom::sync::{Arc, Mutex};
use loom::thread;
use tranche_kernel::word::{
    Shared, amend, claim, count_look, end_service, hand_over, has_looked, leave_service, retire_if_over,
    rouse,
};

const READY: u64 = 1;
const RUNNING: u64 = 2;
const WAITING: u64 = 3;
const IDLE: u64 = 4;
const STOPPED: u64 = 5;
const SERVING: u64 = 6;

/// A word of the checker's. It takes a sequentially consistent order for less than one unless there are fences.
struct Word(AtomicU64);

impl Word {
    fn new(value: u64) -> Arc<Self> {
        Arc::new(Self(AtomicU64::new(value)))
    }
}

impl Shared for Word {
    fn load(&self) -> u64 {
        fence(SeqCst);
        let value = self.0.load(SeqCst);
        fence(SeqCst);
        value
    }

    fn store(&self, value: u64) {
        fence(SeqCst);
        self.0.store(value, SeqCst);
        fence(SeqCst);
    }

    fn compare_exchange(&self, from: u64, to: u64) -> Result<u64, u64> {
        self.0.compare_exchange(from, to, SeqCst, SeqCst)
    }
}

/// A word whose compare-and-swap is a load and a store: a mistake that each protocol must be found to suffer from.
struct Torn(AtomicU64);

impl Shared for Torn {
    fn load(&self) -> u64 {
        self.0.load(SeqCst)
    }

    fn store(&self, value: u64) {
        self.0.store(value, SeqCst);
    }

    fn compare_exchange(&self, from: u64, to: u64) -> Result<u64, u64> {
        match self.0.load(SeqCst) {
            value if value == from => {
                self.0.store(to, SeqCst);
                Ok(from)
            }
            other => Err(other),
        }
    }
}

/// Two cores claim one activation, run it, and give it back.
fn two_cores_claim<W: Shared + Send + Sync + 'static>(state: Arc<W>) {
    let inside = Arc::new(AtomicU64::new(0));
    let core = |state: Arc<W>, inside: Arc<AtomicU64>| {
        if let Some(Ok(())) = claim(&*state, (READY, RUNNING), || Ok::<(), ()>(())) {
            assert_eq!(inside.fetch_add(1, Relaxed), 0, "it runs on two cores");
            inside.fetch_sub(1, Relaxed);
            state.store(READY);
        }
    };
    let other = {
        let (state, inside) = (state.clone(), inside.clone());
        thread::spawn(move || core(state, inside))
    };
    core(state, inside);
    other.join().expect("the other core ends");
}

#[test]
fn an_activation_that_two_cores_claim_runs_on_one() {
    loom::model(|| two_cores_claim(Word::new(READY)));
}

#[test]
#[should_panic(expected = "it runs on two cores")]
fn a_claim_by_load_and_store_is_found_to_be_wrong() {
    loom::model(|| two_cores_claim(Arc::new(Torn(AtomicU64::new(READY)))));
}

#[test]
fn a_refused_claim_leaves_the_activation_to_the_next() {
    loom::model(|| {
        let state = Word::new(READY);
        let refusing = {
            let state = state.clone();
            thread::spawn(move || _ = claim(&*state, (READY, RUNNING), || Err::<(), ()>(())))
        };
        let ran = matches!(claim(&*state, (READY, RUNNING), || Ok::<(), ()>(())), Some(Ok(())));
        refusing.join().expect("the other core ends");
        assert_eq!(state.load(), if ran { RUNNING } else { READY });
    });
}

/// One core's activation waits, while another posts an event to it. Whether it is looked for again after the wait began.
fn wait_and_notify(looks_again: bool) {
    let (state, events) = (Word::new(RUNNING), Word::new(0));
    let readied = |present| (present == WAITING).then_some(READY);
    let notifier = {
        let (state, events) = (state.clone(), events.clone());
        thread::spawn(move || {
            events.store(1);
            rouse(&*state, readied)
        })
    };
    let mut readied_late = None;
    if events.load() == 0 {
        state.store(WAITING);
        if looks_again && events.load() != 0 {
            readied_late = rouse(&*state, readied);
        }
    } else {
        state.store(READY);
    }
    let readied_by_notifier = notifier.join().expect("the other core ends");
    assert_eq!(state.load(), READY, "it waits with an event");
    assert!(readied_late.is_none() || readied_by_notifier.is_none(), "its manager is told twice");
}

#[test]
fn an_event_posted_as_the_wait_begins_is_never_lost() {
    loom::model(|| wait_and_notify(true));
}

#[test]
#[should_panic(expected = "it waits with an event")]
fn a_wait_that_does_not_look_again_is_found_to_be_wrong() {
    loom::model(|| wait_and_notify(false));
}

/// An activation begins to wait for calls while its environment is ended. Whether it looks for that.
fn serve_and_end(looks: bool) {
    let (state, over) = (Word::new(RUNNING), Word::new(0));
    let ending = {
        let (state, over) = (state.clone(), over.clone());
        thread::spawn(move || {
            over.store(1);
            let _ = state.compare_exchange(IDLE, STOPPED);
        })
    };
    state.store(IDLE);
    if looks {
        retire_if_over(&*state, (IDLE, STOPPED), || over.load() != 0);
    }
    ending.join().expect("the other core ends");
    assert!(state.compare_exchange(IDLE, SERVING).is_err(), "a dead server is entered");
}

#[test]
fn nobody_enters_a_server_whose_environment_ended_as_it_began_to_wait() {
    loom::model(|| serve_and_end(true));
}

#[test]
#[should_panic(expected = "a dead server is entered")]
fn a_server_that_does_not_look_for_its_end_is_found_to_be_wrong() {
    loom::model(|| serve_and_end(false));
}

/// Two callers enter a server, which returns to each.
#[test]
fn a_server_that_two_call_serves_one_at_a_time() {
    loom::model(|| {
        let (state, inside) = (Word::new(IDLE), Arc::new(AtomicU64::new(0)));
        let caller = |state: Arc<Word>, inside: Arc<AtomicU64>, me: u64| {
            if state.compare_exchange(IDLE, me).is_ok() {
                assert_eq!(inside.fetch_add(1, Relaxed), 0, "it serves two");
                inside.fetch_sub(1, Relaxed);
                assert_eq!(state.load(), me);
                state.store(IDLE);
            }
        };
        let other = {
            let (state, inside) = (state.clone(), inside.clone());
            thread::spawn(move || caller(state, inside, 100))
        };
        caller(state.clone(), inside, 101);
        other.join().expect("the other core ends");
        assert_eq!(state.load(), IDLE);
    });
}

/// A core looks at its chain, on which a server of an environment may be that another core ends and frees.
fn end_and_free(is_over: fn(&Word, u64) -> bool) {
    let [over, freed, looks] = [0; 3].map(Word::new);
    let core = {
        let (over, freed, looks) = (over.clone(), freed.clone(), looks.clone());
        thread::spawn(move || {
            for _ in 0..2 {
                let stays = over.load() == 0;
                count_look(&*looks);
                // What the look found on the chain stays there until the next one.
                assert!(!stays || freed.load() == 0, "it is used after it was freed");
            }
        })
    };
    over.store(1);
    let before = looks.load();
    if is_over(&looks, before) {
        freed.store(1);
    }
    core.join().expect("the other core ends");
}

#[test]
fn an_environment_is_freed_only_after_every_core_has_looked_from_beginning_to_end() {
    loom::model(|| end_and_free(has_looked));
}

#[test]
#[should_panic(expected = "it is used after it was freed")]
fn to_wait_for_one_look_only_is_found_to_be_wrong() {
    loom::model(|| end_and_free(|looks, before| looks.load() != before));
}

/// A word of the checker's whose order with others matters to nobody.
struct Loose(AtomicU64);

impl Shared for Loose {
    fn load(&self) -> u64 {
        self.0.load(Relaxed)
    }

    fn store(&self, value: u64) {
        self.0.store(value, Relaxed);
    }

    fn compare_exchange(&self, from: u64, to: u64) -> Result<u64, u64> {
        self.0.compare_exchange(from, to, Relaxed, Relaxed)
    }
}

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

/// Descriptors: the frame from bit 8 up, whether the page can be written, whether it is marked as its environment's own.
const OWN: u64 = 1;
const WRITE: u64 = 2;

/// An environment protects its page for reading while the frame is seized, and another one is mapped in its place for it.
fn protect_and_seize<W: Shared + Send + Sync + 'static>(place: Arc<W>) {
    const ANOTHER: u64 = 0x200 | WRITE;
    place.store(0x100 | WRITE | OWN);
    let protecting = {
        let place = place.clone();
        thread::spawn(move || amend(&*place, |page| (page & OWN != 0).then_some(page & !WRITE)))
    };
    // Under the ownership lock, which `protect` of one's own pages does not take.
    place.store(0);
    assert_eq!(place.load(), 0, "it is mapped after it was seized");
    place.store(ANOTHER);
    let before = protecting.join().expect("the other core ends");
    assert!(before.is_none_or(|page| page == 0x100 | WRITE | OWN), "what is not its own is protected");
    assert_eq!(place.load(), ANOTHER, "another's page was changed, or a seized one is back");
}

#[test]
fn a_page_that_is_protected_while_its_frame_is_seized_stays_gone() {
    // With fences: without, the checker forgets that what replaces a value comes right after it.
    loom::model(|| protect_and_seize(Word::new(0)));
}

#[test]
#[should_panic(expected = "seized")]
fn a_protection_by_load_and_store_is_found_to_be_wrong() {
    loom::model(|| protect_and_seize(Arc::new(Torn(AtomicU64::new(0)))));
}

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
