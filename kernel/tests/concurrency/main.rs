//! The kernel's lock-free protocols under a model checker, which tries every order of what two or three cores do.
//!
//! Here: activations and the freeing of environments; the other words have a file each. Not here: single-threaded tests of the
//! same words (the kernel's own). What is checked is the kernel's code: the functions
//! of `tranche_kernel::word`, on the checker's atomics. Each protocol has a planted mistake that must be found.
#![forbid(unsafe_code)]

mod descriptors;
mod services;
mod slots;

use loom::sync::Arc;
use loom::sync::atomic::{AtomicU64, Ordering::Relaxed, Ordering::SeqCst, fence};
use loom::thread;
use tranche_kernel::word::{Shared, claim, count_look, has_looked, retire_if_over, rouse};

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

/// A core claims an activation while another ends its environment, and then makes every core look that it sees running
/// it. Whether who claims looks after the claim, or before.
fn claim_and_end(looks_after: bool) {
    let (state, there) = (Word::new(READY), Word::new(1));
    let ending = {
        let (state, there) = (state.clone(), there.clone());
        thread::spawn(move || {
            there.store(0);
            state.load() == RUNNING
        })
    };
    let before = there.load() != 0;
    let look = || {
        let is_there = if looks_after { there.load() != 0 } else { before };
        is_there.then_some(()).ok_or(())
    };
    let runs = matches!(claim(&*state, (READY, RUNNING), look), Some(Ok(())));
    let is_made_to_look = ending.join().expect("the other core ends");
    assert!(!runs || is_made_to_look, "it runs on after its end");
}

#[test]
fn nobody_runs_on_whose_environment_ended_as_it_was_claimed() {
    loom::model(|| claim_and_end(true));
}

#[test]
#[should_panic(expected = "it runs on after its end")]
fn a_claim_that_looks_for_the_end_only_before_is_found_to_be_wrong() {
    loom::model(|| claim_and_end(false));
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
