//! The supervisor: rounds of fuzzers, each round begun with the next seed and ended with an account.
//!
//! It has an activation on every core, which gives the fuzzers most of its slots by directed yields; a few slots are the
//! fuzzers' own. Activation 0 begins and ends the rounds. It believes nothing that a fuzzer could have done: events are
//! dropped (a fuzzer may notify its creator of anything), so the end comes by the clock.
//!
//! Not here: what the fuzzers do (`fuzzer`), what is counted (`tally`, `account`).

use super::FUZZER;
use super::account;
use super::fuzzer::FuzzerArguments;
use super::tally::{Sums, TALLY_BASE, Tally};
use super::turns::{self, FUZZERS, below, microseconds, turn};
use crate::assignment::{Assignment, without_clients};
use alloc::vec::Vec;
use core::sync::atomic::Ordering::AcqRel;
use libos_core::archive::{self, Archive};
use libos_core::calls::{self, Claim};
use libos_core::chance::{draw, seed};
use libos_core::frames::{Frames, Run};
use libos_core::mapping::{self, Space};
use libos_core::public::view;
use libos_core::report::{Fuzz, Record};
use libos_core::spawn::{Child, SpawnError, SpawnPlan, create};
use libos_core::start::{StartInfo, encode_arguments};
use libos_core::{output, page, say};
use tranche_abi::layout::{HANDLE_SELF, MAX_SLOTS, PAGE_SIZE};
use tranche_abi::{
    ActivationIndex, Address, Capability, Core, Error, Frame, Kind, Object, Protection, Rights, SlotIndex,
    Target, Tick,
};

/// Frames that a fuzzer owns besides those that it is made of.
const FRAMES: u64 = 64;
/// Frames that the supervisor keeps for itself: tallies, the page that must not change, page tables for these.
const KEPT: u64 = 32;
/// Slots of each core that are the fuzzers' own.
const SLOTS: usize = 2;
/// Calls of the shortest round, and how many more the longest has.
const ROUND: u64 = 20_000;
const ROUND_MORE: u64 = 150_000;
/// Microseconds without a call after which a round is over.
const SILENCE_US: u64 = 10_000;
/// Revolutions before the run's end at which the last round ends.
const MARGIN: u64 = 5;
/// Where the page is that must not change, and what is in each of its words.
const CANARY_BASE: u64 = TALLY_BASE + (1 << 21);
const CANARY: u64 = 0x5afe_5afe_5afe_5afe;

/// Supervises until shortly before the end of the run, then reports.
pub fn main(info: &StartInfo) {
    let arrived = page::now();
    let Ok(assignment) = info.arguments::<Assignment>() else {
        return say!("the start page is not for this program");
    };
    let mut chance = seed(&[assignment.seed, page::index()]);
    if page::index() == 0 {
        match Supervisor::begin(info, &assignment, arrived) {
            Ok(supervisor) => supervisor.run(),
            Err(error) => say!("the fuzzer cannot begin: {error:?}"),
        }
        turns::end();
        output::report(&Record::LibOs(without_clients(&info.name, arrived)));
    }
    // On the host there are no turns to take, and no other activation.
    while !turns::are_over() && cfg!(target_os = "none") {
        turn(&mut chance);
    }
    output::stats().reported.fetch_add(1, AcqRel);
}

/// What activation 0 keeps.
struct Supervisor {
    name: alloc::string::String,
    archive: Archive<'static>,
    seed: u64,
    chance: u64,
    cores: u64,
    /// What it was given.
    owned: Run,
    /// The part of it that fuzzers are made of.
    pool: Run,
    tallies: [&'static Tally; FUZZERS],
    canary: Frame,
    end: Tick,
    sums: Sums,
    figures: Fuzz,
}

/// A fuzzer, and what it has that must be void when it ends.
struct Guest {
    child: Child,
    /// The frames that it may do without.
    own: Run,
    began: Tick,
    slot: Option<Object>,
}

impl Supervisor {
    fn begin(info: &StartInfo, assignment: &Assignment, arrived: Tick) -> Result<Self, SpawnError> {
        let archive = archive::boot().ok_or(SpawnError::NoProgram)?;
        let owned = info.owned_frames();
        let mut kept = Frames::new(Run { count: KEPT.min(owned.count), ..owned });
        let pool = Run { first: Frame(owned.first.0 + KEPT), count: owned.count.saturating_sub(KEPT) };
        let (tallies, canary) = pages(&mut kept)?;
        let margin = MARGIN * view().revolution().0;
        let length = u64::from(assignment.duration_ms) * view().frequency() / 1000;
        let end = Tick(arrived.0 + length.saturating_sub(margin));
        await_others(assignment.environments, end);
        let before = account::take(owned);
        Ok(Self {
            name: info.name.clone(),
            archive,
            seed: assignment.seed,
            chance: seed(&[assignment.seed, 99]),
            cores: info.activations,
            owned,
            pool,
            tallies,
            canary,
            end,
            sums: Sums::default(),
            figures: Fuzz { name: info.name.clone(), before, ..Fuzz::default() },
        })
    }

    fn run(mut self) {
        let mut number = 0;
        while page::now() < self.end {
            if let Err(error) = self.round(number) {
                self.complain(format_args!("round {number} cannot begin: {error:?}"));
                break;
            }
            number += 1;
        }
        self.figures.after = account::take(self.owned);
        self.figures.calls = self.sums.rows();
        self.figures.refused = self.sums.refusals();
        self.figures.reflected = self.sums.reflected;
        self.figures.faults = self.sums.faults;
        self.figures.starts = self.sums.starts;
        self.figures.garbled = self.sums.garbled;
        output::report(&Record::Fuzz(self.figures));
    }

    fn complain(&mut self, what: core::fmt::Arguments<'_>) {
        self.figures.wrong += 1;
        say!("{}: {what}", self.name);
    }

    /// One round: fuzzers are made, run, destroyed, and everything is looked at.
    fn round(&mut self, number: u64) -> Result<(), SpawnError> {
        let (mut frames, lost) = account::usable(self.pool);
        if lost > 0 {
            self.complain(format_args!("round {number} begins without {lost} frames"));
        }
        let mut guests = Vec::new();
        for place in 0..FUZZERS {
            guests.push(self.guest(&mut frames, number, place)?);
        }
        self.give(&mut guests);
        for (place, guest) in guests.iter().enumerate() {
            // The fuzzers that run already may have every right to this one, and have been quicker: to start or to end it.
            let _ = guest.child.start();
            turns::give(place, guest.child.handle);
        }
        self.watch(&guests);
        turns::take();
        for (place, guest) in guests.into_iter().enumerate() {
            self.end(guest, place, &mut frames);
        }
        self.look(number);
        Ok(())
    }

    /// Makes a fuzzer that does not run yet.
    fn guest(&mut self, frames: &mut Frames, number: u64, place: usize) -> Result<Guest, SpawnError> {
        let own = frames.take(FRAMES).ok_or(SpawnError::NoFrames)?;
        let arguments = FuzzerArguments {
            seed: seed(&[self.seed, number, place as u64]),
            first_frame: own.first.0,
            frames: own.count,
        };
        let plan = SpawnPlan {
            name: FUZZER,
            activations: self.cores,
            stack_pages: 4,
            heap_pages: 8,
            arguments: encode_arguments(&arguments).map_err(|_| SpawnError::BadPlan)?,
            ..SpawnPlan::new("fuzz")
        };
        let mut child = create(frames, &self.archive, &plan)?;
        child.give(own)?;
        self.tallies[place].clear();
        let tally = Run { first: self.tally_frame(place), count: 1 };
        let mut table = || frames.take(1).map(|run| run.first);
        let mut space = Space { env: child.handle, table: &mut table };
        space.map(Address(TALLY_BASE), tally, Protection::ReadWrite)?;
        self.figures.environments += 1;
        Ok(Guest { child, own, began: page::now(), slot: None })
    }

    fn tally_frame(&self, place: usize) -> Frame {
        Frame(self.canary.0 - FUZZERS as u64 + place as u64)
    }

    /// Gives the fuzzers slots, and capabilities: to each other, to a slot, to the page that must not change.
    fn give(&mut self, guests: &mut [Guest]) {
        for place in 0..guests.len() {
            let other = guests[(place + 1) % guests.len()].child.index;
            let rights = self.some_rights();
            let env = Object { kind: Kind::Env, index: other as u32 };
            let canary = Object { kind: Kind::Frame, index: self.canary.0 as u32 };
            let core = below(&mut self.chance, self.cores);
            for _ in 0..SLOTS {
                self.give_slot(core, guests[place].child.target(core));
            }
            let slot = self
                .some_slot(core)
                .map(|slot| Object { kind: Kind::Slot, index: (core * MAX_SLOTS as u64 + slot.0) as u32 });
            let gifts = [
                calls::grant(env, rights),
                calls::grant(canary, Rights::READ),
                slot.map_or(Err(Error::Absent), |slot| calls::grant(slot, Rights::TAKE)),
                Ok(Capability { body: draw(&mut self.chance), mac: draw(&mut self.chance) }),
            ];
            for (gift, capability) in gifts.into_iter().enumerate() {
                self.tallies[place].put_gift(gift, capability.unwrap_or_default());
            }
            guests[place].slot = slot;
        }
    }

    /// Any rights to another fuzzer; seldom those to end it or to change what it stands on.
    fn some_rights(&mut self) -> Rights {
        let mild = Rights(draw(&mut self.chance) as u8 & !(Rights::DESTROY.0 | Rights::CONTROL.0));
        if below(&mut self.chance, 4) == 0 { Rights::ALL } else { mild }
    }

    /// A slot of ours of a core; the first two of each are not given away, so that the supervisor is not stopped.
    fn some_slot(&mut self, core: u64) -> Option<SlotIndex> {
        let own: Vec<SlotIndex> = view().owned_slots(Core(core), page::env()).skip(2).collect();
        (!own.is_empty()).then(|| own[below(&mut self.chance, own.len() as u64) as usize])
    }

    fn give_slot(&mut self, core: u64, target: Target) {
        if let Some(slot) = self.some_slot(core)
            && let Err(error) = calls::slot_give(Core(core), slot, target)
        {
            self.complain(format_args!("slot {} of core {core} cannot be given: {error:?}", slot.0));
        }
    }

    /// Runs the fuzzers until they have made enough calls, or make no more.
    fn watch(&mut self, guests: &[Guest]) {
        let enough = ROUND + below(&mut self.chance, ROUND_MORE);
        let (mut seen, mut patience) = (0, microseconds(SILENCE_US) + page::now().0);
        while page::now() < self.end && cfg!(target_os = "none") {
            turn(&mut self.chance);
            if below(&mut self.chance, 32) == 0 {
                self.press(guests);
            }
            let calls = self.tallies.iter().map(|tally| tally.calls()).fold(0, u64::saturating_add);
            if calls >= enough {
                return;
            }
            if calls != seen {
                (seen, patience) = (calls, microseconds(SILENCE_US) + page::now().0);
            } else if page::now().0 > patience {
                self.figures.silent += FUZZERS as u64;
                return;
            }
        }
    }

    /// Asks a fuzzer for frames and slots, and takes what it does not give, which is at once.
    fn press(&mut self, guests: &[Guest]) {
        let guest = &guests[below(&mut self.chance, guests.len() as u64) as usize];
        let core = below(&mut self.chance, self.cores);
        let now = page::now();
        // Each is refused if it is no more, or does not own what is to be taken.
        let _ = calls::ask(guest.child.target(core), Claim::Frames, 2, now);
        let _ = calls::ask(guest.child.target(core), Claim::Slots(Core(core)), 1, now);
        // Seldom one that it is made of: it would not live long.
        let from = if below(&mut self.chance, 64) == 0 { self.pool } else { guest.own };
        for _ in 0..4 {
            let frame = Frame(from.first.0 + below(&mut self.chance, from.count));
            let _ = calls::seize_frame(guest.child.handle, frame);
        }
        let slot = SlotIndex(below(&mut self.chance, view().slots()));
        let _ = calls::seize_slot(guest.child.handle, Core(core), slot);
    }

    /// Ends a fuzzer, whatever became of it.
    fn end(&mut self, guest: Guest, place: usize, frames: &mut Frames) {
        let Guest { child, began, slot, .. } = guest;
        let handle = child.handle;
        match child.destroy(frames) {
            Ok(()) => {}
            // The other fuzzer had the right to end it, and was faster: then the handle is still ours to free.
            Err(Error::Stale) => _ = calls::unbind(handle),
            Err(error) => self.complain(format_args!("a fuzzer cannot be destroyed: {error:?}")),
        }
        // On no core does a call take less than a tick.
        self.sums.add(self.tallies[place], page::now().since(began).0 * self.cores);
        for object in
            [slot, Some(Object { kind: Kind::Frame, index: self.canary.0 as u32 })].into_iter().flatten()
        {
            // A slot that the other one has taken is not ours to void yet, and no capability to it is left.
            let _ = calls::void(object);
        }
    }

    /// Looks whether everything is as it was before the round, and aims slots where they belong.
    fn look(&mut self, number: u64) {
        let (environments, slots) = (account::environments(), account::slots());
        let before = self.figures.before;
        if (environments, slots) != (before.environments, before.slots) {
            self.complain(format_args!("after round {number}: {environments} environments, {slots} slots"));
        }
        if !canary_lives() {
            self.complain(format_args!("after round {number}: a page that is only read has changed"));
        }
        for core in (0..self.cores).map(Core) {
            for slot in view().owned_slots(core, page::env()) {
                let aimed = view().owner(core, slot).is_some_and(|owner| owner.activation == core.0);
                if !aimed && let Err(error) = calls::slot_aim(core, slot, ActivationIndex(core.0)) {
                    self.complain(format_args!("slot {} of core {} is lost: {error:?}", slot.0, core.0));
                }
            }
        }
    }
}

/// Waits until everybody else's environments are made: nobody but the fuzzers comes or goes after that.
fn await_others(environments: u64, end: Tick) {
    while account::environments() < environments && page::now() < end {
        page::sleep_until(Tick(page::now().0 + view().revolution().0));
    }
}

/// Makes the tallies and, in the frame after them, the page that must not change.
fn pages(kept: &mut Frames) -> Result<([&'static Tally; FUZZERS], Frame), SpawnError> {
    let run = kept.take(FUZZERS as u64 + 1).ok_or(SpawnError::NoFrames)?;
    let tallies = Run { first: run.first, count: FUZZERS as u64 };
    let canary = Run { first: Frame(tallies.end()), count: 1 };
    let mut table = || kept.take(1).map(|run| run.first);
    let words: Vec<u8> = (0..PAGE_SIZE / 8).flat_map(|_| CANARY.to_le_bytes()).collect();
    mapping::fill(tallies, &[], &mut table)?;
    mapping::fill(canary, &words, &mut table)?;
    let mut space = Space { env: HANDLE_SELF, table: &mut table };
    space.map(Address(TALLY_BASE), tallies, Protection::ReadWrite)?;
    space.map(Address(CANARY_BASE), canary, Protection::Read)?;
    let tally = |place: usize| {
        // SAFETY: Just mapped and zeroed, and never unmapped.
        unsafe { Tally::at(TALLY_BASE + place as u64 * PAGE_SIZE) }
    };
    Ok((core::array::from_fn(tally), canary.first))
}

/// Whether the page that must not change did not.
fn canary_lives() -> bool {
    let word = |number: u64| crate::probe::value_at(CANARY_BASE + number * 8);
    (0..PAGE_SIZE / 8).all(|number| word(number) == Some(CANARY))
}
