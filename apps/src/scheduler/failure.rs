//! A scheduler's failure on purpose, in the middle of its dispatch loop: what `./just blast` makes one libOS do to see what becomes of
//! all the others.
//!
//! The broker says when it begins and when it ends, by events; each activation fails on its own core. What it does is counted
//! where its creator reads it. Not here: which failures there are (`libos_core::scenario`), what kernel and broker make of
//! them, and programs that do nothing else than break rules (`crate::hostile`).
#![forbid(unsafe_code)]

use super::crew::{self, Crew};
use crate::assignment::EVENT_MEND;
use crate::{hostile, probe};
use core::sync::atomic::Ordering::{Acquire, Relaxed};
use libos_core::calls::{self, Claim, Events};
use libos_core::chance::{self, draw};
use libos_core::public::view;
use libos_core::scenario::Failure;
use libos_core::trace::{self, Service};
use libos_core::{layout, output, page};
use tranche_abi::layout::{HANDLE_PARENT, HANDLE_SELF, MAX_BATCH, MAX_HANDLES, PAGE_SIZE};
use tranche_abi::{
    ActivationIndex, Address, Core, Error, Frame, Handle, Kind, Object, Protection, Rights, SlotIndex,
    Target, Tick,
};

/// Words of the heap that are overwritten: what a scheduler has allocated, and more.
const OVERWRITTEN_WORDS: u64 = 64 * PAGE_SIZE / 8;
/// Microseconds between two yields to the dead. Each leaves a record, and the records of a revolution have to fit the core's ring.
const YIELD_PAUSE_US: u64 = 20;
/// An event bit that nobody waits for.
const EVENT_NOTHING: u64 = 1 << 20;
/// Rounds of calls between two looks at whether to end.
const ROUNDS: u64 = 8;

/// What is left of a failure in the dispatch loop itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failing {
    /// Nothing.
    No,
    /// Demands for slots are not answered.
    KeepsSlots,
}

/// Fails as the scenario says, until the broker says that it is to end. Of a failure that is in the loop itself, which.
pub fn begin(crew: &Crew) -> Failing {
    let Some(how) = crew.failure else { return Failing::No };
    trace::service(Service::Fails);
    let mut chance = chance::seed(&[page::env(), page::index()]);
    match how {
        Failure::Crash => crash(),
        Failure::EndlessLoop => {
            count(1);
            until_mended(core::hint::spin_loop);
        }
        Failure::NeverYields => until_mended(|| {
            count(1);
            hostile::grace_abuse();
        }),
        Failure::YieldsToTheDead => {
            let dead = kill_a_client(crew);
            until_mended(|| yield_to_the_dead(dead));
        }
        Failure::Forges => until_mended(|| forge(&mut chance)),
        Failure::FloodsCalls => until_mended(flood),
        Failure::IgnoresRevocation => {
            count(1);
            return Failing::KeepsSlots;
        }
        Failure::CorruptsItsTables => corrupt(&mut chance),
    }
    Failing::No
}

/// Says that it fails no longer.
pub fn end() -> Failing {
    trace::service(Service::Mended);
    Failing::No
}

/// Acts until the broker says that the failure is to end. The event stays, for the loop's own housekeeping.
fn until_mended(mut act: impl FnMut()) {
    while page::own().events.load(Acquire) & EVENT_MEND == 0 {
        act();
    }
}

fn count(times: u64) {
    output::stats().failures.fetch_add(times, Relaxed);
}

/// Reads where nothing is. Nobody handles its faults, so this is its activation's end.
fn crash() {
    count(1);
    probe::read(0);
}

/// Ends one of its clients and keeps the handle. A policy that picks it later hears that it is gone.
fn kill_a_client(crew: &Crew) -> Option<Target> {
    let last = crew.members.last()?;
    calls::env_destroy(last.target.handle()).ok()?;
    Some(last.target)
}

/// Yields to activations that cannot run: of a client that is no more, of a handle that was never bound, one that its own environment
/// does not have, itself, and its creator's, which is not its own to run.
fn yield_to_the_dead(dead: Option<Target>) {
    let never = Target::new(Handle(MAX_HANDLES as u64 - 1), ActivationIndex(0));
    let (absent, itself) = (calls::own_target(view().cores()), calls::own_target(page::index()));
    let parent = Target::new(HANDLE_PARENT, ActivationIndex(0));
    for target in dead.into_iter().chain([never, absent, itself, parent]) {
        let outcome = calls::yield_to(target, Tick::NEVER, Events::Ignore);
        let ran = outcome.is_ok_and(|outcome| outcome.ran.0 > 0);
        count(1);
        output::stats().breaches.fetch_add(ran.into(), Relaxed);
        pause(YIELD_PAUSE_US);
    }
}

fn pause(microseconds: u64) {
    let end = page::now().0 + crew::ticks(microseconds).0;
    while page::now().0 < end {
        core::hint::spin_loop();
    }
}

/// Makes up capabilities, handles, and claims to what is not its own.
fn forge(chance: &mut u64) {
    let stats = output::stats();
    hostile::forged_capabilities(stats, chance);
    let claims = false_claims(chance);
    let refused = claims.iter().filter(|result| result.is_err()).count() as u64;
    stats.count_forgeries(claims.len() as u64, refused);
    count(1);
}

/// Claims without any capability, each of which must be refused.
fn false_claims(chance: &mut u64) -> [Result<(), Error>; 8] {
    // Its clients' handles are the lowest; nothing was ever bound to these.
    let handle = Handle(MAX_HANDLES as u64 / 2 + draw(chance) % (MAX_HANDLES as u64 / 2));
    let (stranger, parent) =
        (ActivationIndex(draw(chance) % 8), Target::new(HANDLE_PARENT, ActivationIndex(0)));
    let (core, slot) = somebody_elses_slot(chance);
    let frame = Frame(view().first_frame().0 + draw(chance) % 64);
    [
        calls::notify(Target::new(handle, stranger), EVENT_NOTHING),
        calls::slot_give(core, slot, calls::own_target(0)),
        calls::seize_slot(HANDLE_PARENT, core, slot),
        calls::ask(parent, Claim::Slots(core), 1, Tick(0)),
        calls::env_destroy(HANDLE_PARENT),
        calls::frame_give(frame, 1, HANDLE_SELF),
        calls::map(handle, Address(layout::SCRATCH_BASE), frame, 1, Protection::ReadWrite),
        calls::activation_start(parent, Address(0), Address(0), 0),
    ]
}

/// A slot that is not its own; the first one of a core where all are.
fn somebody_elses_slot(chance: &mut u64) -> (Core, SlotIndex) {
    let view = view();
    let core = Core(draw(chance) % view.cores().max(1));
    let is_foreign = |slot: &SlotIndex| view.owner(core, *slot).is_some_and(|owner| owner.env != page::env());
    let mut foreign = (0..view.slots()).map(SlotIndex).filter(is_foreign);
    (core, foreign.next_back().unwrap_or_default())
}

/// Rounds of calls: the cheapest there is, and some that take the lock that all cores share, a longest batch among them.
fn flood() {
    let own = Object { kind: Kind::Env, index: page::env() as u32 };
    for _ in 0..ROUNDS {
        // What they answer is of no use to anybody.
        let _ = calls::null();
        let _ = calls::notify(calls::own_target(page::index()), EVENT_NOTHING);
        let _ = calls::unmap(HANDLE_SELF, Address(layout::SCRATCH_BASE), MAX_BATCH);
        let _ = calls::grant(own, Rights::NOTIFY);
        let _ = calls::slot_give(Core(0), SlotIndex(0), calls::own_target(0));
        count(5);
    }
}

/// Overwrites the page that it shares with the kernel, then the heap with all of its tables, and goes on with what is left of it.
fn corrupt(chance: &mut u64) {
    let own = layout::page_address(page::index());
    let heap = (0..OVERWRITTEN_WORDS).map(|word| layout::HEAP_BASE + word * 8);
    for address in (own..own + PAGE_SIZE).step_by(8).chain(heap) {
        count(1);
        probe::overwrite(address, draw(chance));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scheduler::changes::Changes;
    use alloc::vec::Vec;

    fn crew(failure: Option<Failure>) -> Crew {
        let (members, changes) = (Vec::new(), Changes::default());
        Crew { core: 0, arrived: Tick(0), begin: Tick(0), members, changes, failure }
    }

    #[test]
    fn who_is_told_to_fail_without_knowing_how_goes_on() {
        assert_eq!(begin(&crew(None)), Failing::No);
    }

    #[test]
    fn a_failure_that_is_mended_already_comes_back_at_once_and_leaves_word_of_it() {
        page::own().events.store(EVENT_MEND, Relaxed);
        for (how, left) in [
            (Failure::EndlessLoop, Failing::No),
            (Failure::FloodsCalls, Failing::No),
            (Failure::IgnoresRevocation, Failing::KeepsSlots),
        ] {
            assert_eq!(begin(&crew(Some(how))), left);
        }
        assert_eq!(page::own().events.load(Relaxed), EVENT_MEND);
        assert_eq!(end(), Failing::No);
    }

    #[test]
    fn where_nothing_grants_them_all_false_claims_are_refused() {
        assert!(false_claims(&mut 1).iter().all(Result::is_err));
    }
}
