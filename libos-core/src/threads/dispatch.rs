//! What an activation does with the threads: it takes one, runs it, and does with it what it came back for; and what it
//! does when there is none.
//!
//! Not here: contexts, and what threads do among each other. An activation has at most one thread *in hand*. Whoever waits
//! for threads looks after siblings that lost their CPU with one in hand: the directed yield that gives such a sibling a
//! few microseconds is what decides who has the thread, because the kernel runs an activation in one place at a time.
#![forbid(unsafe_code)]

use super::pool::{Activations, Next, Pool};
use super::switch::{self, Left};
use super::word::Word;
use super::{Counters, carrier};
use crate::calls::{self, Events};
use crate::critical::Lock;
use crate::layout::MAX_THREADS;
use crate::{page, public};
use core::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};
use core::sync::atomic::{AtomicU32, AtomicU64};
use tranche_abi::layout::MAX_ACTIVATIONS;
use tranche_abi::{Reason, Tick};

/// The threads that do not run.
pub static POOL: Lock<Pool> = Lock::new(Pool::new());
/// What each thread is doing.
pub static WORDS: [Word; MAX_THREADS] = [const { Word::new() }; MAX_THREADS];
/// What each activation is doing.
static CARRYING: [Carrying; MAX_ACTIVATIONS] = [const { Carrying::new() }; MAX_ACTIVATIONS];
/// Events that are not the package's, for whoever in the program takes them.
pub static EVENTS: AtomicU64 = AtomicU64::new(0);

/// The event bit by which an activation is told of a ready thread.
const EVENT_THREAD: u64 = 1 << 60;
/// Time that a sibling gets to put its thread back, as a part of the quantum; and the time between two looks at siblings.
const RESCUES_IN_QUANTUM: u64 = 16;

/// An activation's part.
struct Carrying {
    /// It takes threads.
    active: AtomicU32,
    /// It has a thread in hand.
    in_hand: AtomicU32,
    /// The thread that it laid down when its slice ended, plus 1; 0: none. Whoever takes it from here has it.
    laid_down: AtomicU32,
    /// Until when and, in bits 0 to 2, on which core a sibling lends it time to put its thread back; 0: none does.
    lent: AtomicU64,
    counters: Counters,
}

impl Carrying {
    const fn new() -> Self {
        Self {
            active: AtomicU32::new(0),
            in_hand: AtomicU32::new(0),
            laid_down: AtomicU32::new(0),
            lent: AtomicU64::new(0),
            counters: Counters::new(),
        }
    }
}

fn own() -> &'static Carrying {
    &CARRYING[page::index() as usize]
}

/// What an activation counted.
pub fn counters(activation: u64) -> Option<&'static Counters> {
    CARRYING.get(activation as usize).map(|carrying| &carrying.counters)
}

const _: () = assert!(tranche_abi::layout::MAX_CORES <= 8, "a core is three bits of a loan");

/// Runs threads until all are over.
pub fn dispatch() {
    let carrying = own();
    carrying.active.store(1, Release);
    switch::take_upcalls();
    loop {
        let now = page::now();
        let mut pool = POOL.lock();
        laid_down().for_each(|thread| pool.put_back(thread));
        let next = pool.next(page::index(), now);
        carrying.in_hand.store(matches!(next, Next::Run(_) | Next::Wake(_)).into(), Release);
        drop(pool);
        match next {
            Next::Run(thread) => take(carrying, thread),
            Next::Wake(thread) => {
                wake(thread);
                carrying.in_hand.store(0, Release);
            }
            Next::Wait(until) => wait(carrying, until),
            Next::Over => break,
        }
    }
    switch::leave_upcalls();
    carrying.active.store(0, Release);
}

/// Runs a thread and does what it came back for.
fn take(carrying: &Carrying, thread: usize) {
    if is_on_lent_time(carrying) {
        // The time is a sibling's, and for putting threads back.
        put(thread);
        carrying.in_hand.store(0, Release);
        return give_back();
    }
    WORDS[thread].run();
    let left = switch::run(thread);
    settle(carrying, thread, left);
    carrying.in_hand.store(0, Release);
    if is_on_lent_time(carrying) || left == Left::SliceEnd && is_past_slot() {
        give_back();
    } else if left == Left::Interrupted {
        // What happened to this activation may have happened to others.
        rescue(carrying);
    }
}

fn settle(carrying: &Carrying, thread: usize, left: Left) {
    let counters = &carrying.counters;
    let counter = match left {
        Left::Yielded => &counters.yields,
        Left::Parked => &counters.blocks,
        Left::Ended => &counters.ends,
        Left::SliceEnd => &counters.slice_ends,
        Left::Interrupted => &counters.interruptions,
    };
    counter.fetch_add(1, Relaxed);
    match left {
        Left::Parked if WORDS[thread].settle() => {}
        Left::Parked => put(thread),
        Left::Ended => {
            WORDS[thread].end();
            end(thread);
        }
        Left::SliceEnd => {
            WORDS[thread].ready();
            // No lock and no call, because the grace time is short. Others look by themselves: the thread was in hand.
            carrying.laid_down.store(thread as u32 + 1, Release);
        }
        Left::Yielded | Left::Interrupted => {
            WORDS[thread].ready();
            put(thread);
        }
    }
}

/// Whether the slot is over and this is the grace time. If it took too long, the next slot has begun, and is not to be
/// given back.
fn is_past_slot() -> bool {
    page::now().0 >= page::own().slot_end.load(Relaxed)
}

fn give_back() {
    // Refused only where there is no kernel.
    let _ = calls::yield_now();
}

/// Wakes a thread: it runs some time after it waited, or does not wait the next time.
pub fn wake(thread: usize) {
    if WORDS[thread].wake() {
        put(thread);
    }
}

/// A thread is ready, and whoever waits is told.
pub fn put(thread: usize) {
    let told = POOL.lock().put(thread);
    tell(told);
}

/// A thread's number is free. If it was the last, whoever waits is told.
pub fn end(thread: usize) {
    let told = POOL.lock().end(thread);
    tell(told);
}

fn tell(activations: Activations) {
    for activation in activations.iter() {
        // Refused only to one that is no more.
        let _ = calls::notify(calls::own_target(activation), EVENT_THREAD);
    }
}

/// There is nothing to run: looks after siblings, then waits.
fn wait(carrying: &Carrying, until: Tick) {
    let begin = page::now();
    if !rescue(carrying) {
        let until = if may_turn_up() { until.min(next_look(begin)) } else { until };
        carrying.counters.waits.fetch_add(1, Relaxed);
        // Refused only where there is no kernel.
        let _ = calls::wait(until);
    }
    EVENTS.fetch_or(page::take_events() & !EVENT_THREAD, AcqRel);
    page::take_ready();
}

/// Whether a sibling's time is what this activation runs on. A loan that was not used, because the activation has a core
/// of its own, is none.
fn is_on_lent_time(carrying: &Carrying) -> bool {
    let lent = carrying.lent.swap(0, AcqRel);
    lent != 0 && lent & 7 == page::own().core.load(Relaxed) && page::now() < Tick(lent >> 3)
}

fn span() -> u64 {
    public::view().quantum().0 / RESCUES_IN_QUANTUM
}

fn next_look(now: Tick) -> Tick {
    now.saturating_add(Tick(span()))
}

/// Takes the threads that activations laid down, under the pool's lock.
fn laid_down() -> impl Iterator<Item = usize> {
    let laid = CARRYING.iter().filter(|carrying| carrying.laid_down.load(Relaxed) != 0);
    laid.filter_map(|carrying| carrying.laid_down.swap(0, AcqRel).checked_sub(1))
        .map(|thread| thread as usize)
}

/// Whether a thread may turn up of which nobody is told: it is laid down, or is in a sibling's hand, which may do so.
fn may_turn_up() -> bool {
    // In this order: what is no longer in hand has been laid down.
    others_in_hand().next().is_some() || CARRYING.iter().any(|carrying| carrying.laid_down.load(Acquire) != 0)
}

/// Siblings that have a thread in hand.
fn others_in_hand() -> impl Iterator<Item = u64> {
    let me = page::index();
    let has = move |index: &u64| *index != me && CARRYING[*index as usize].in_hand.load(Acquire) != 0;
    (0..MAX_ACTIVATIONS as u64).filter(has)
}

/// Lends time to siblings that lost their CPU with a thread in hand, so that they put it back. Whether one used any.
fn rescue(carrying: &Carrying) -> bool {
    let mut found = false;
    for sibling in others_in_hand() {
        let now = page::now();
        let until = next_look(now);
        // A sibling that is here when its own slot begins loses that slot.
        if Tick(page::own().slot_end.load(Relaxed)) <= until {
            return found;
        }
        let lent = &CARRYING[sibling as usize].lent;
        lent.store(until.0 << 3 | page::own().core.load(Relaxed), Release);
        let outcome = calls::yield_to(calls::own_target(sibling), until, Events::Ignore);
        // Still set if the sibling runs on a core of its own, which is the usual case, or did not get so far: it was
        // resumed exactly, and goes on with its thread until the time is over.
        let done = lent.swap(0, AcqRel) == 0;
        if outcome.is_ok_and(|outcome| outcome.reason != Reason::Busy && outcome.ran > Tick(0)) {
            carrying.counters.lent.fetch_add(1, Relaxed);
            carrying.counters.rescues.fetch_add(u64::from(done), Relaxed);
            found = true;
        }
    }
    found
}

/// Whoever waits for a lock lends time to siblings: one of them may hold it and have no CPU.
pub fn help_siblings() {
    let me = page::index();
    for sibling in (0..MAX_ACTIVATIONS as u64).filter(|index| *index != me) {
        if CARRYING[sibling as usize].active.load(Acquire) != 0 {
            let until = next_look(page::now());
            // One that runs is not disturbed by it.
            let _ = calls::yield_to(calls::own_target(sibling), until, Events::Ignore);
        }
    }
}

/// Leaves the present thread for a reason that lets it run again.
pub fn leave(left: Left) {
    if carrier::current().is_some() {
        switch::leave(left);
    }
}
