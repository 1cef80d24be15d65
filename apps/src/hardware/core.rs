//! What each core finds out about itself: its clock, its timer, how far its memory is. And what another core sees of it: that it
//! answers.
//!
//! Core 0's is found by the first environment itself. For each other core it makes an environment, which gets all slots of the core.
//! Not here: what is made of it ([`super::checks`]).
#![forbid(unsafe_code)]

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::hint::black_box;
use core::sync::atomic::Ordering::{Acquire, Release};
use libos_core::archive::Archive;
use libos_core::frames::Frames;
use libos_core::public::view;
use libos_core::spawn::{Child, SpawnPlan, spawn};
use libos_core::start::{StartInfo, decode_arguments, encode_arguments};
use libos_core::{calls, output, page};
use serde::{Deserialize, Serialize};
use tranche_abi::{ActivationIndex, Capability, Core, Kind, Object, Rights, SlotIndex, Target, Tick};

/// The name of the environments that are made for this.
pub const NAME: &str = "core";
/// Event bit: from the first environment, a question; from a core's, its answer.
const EVENT_ASK: u64 = 1;

/// How long clocks are compared, in milliseconds.
const COMPARED_MS: u64 = 20;
/// How often the timer is tried, and how far ahead it is set, in microseconds.
const WAITS: u64 = 32;
const AHEAD_US: u64 = 500;
/// Memory that is walked through, in bytes: what the first-level cache of the boards' cores has, what the second has, and what none has.
pub const WALKED: [usize; 3] = [16 << 10, 256 << 10, 4 << 20];
/// Bytes from one place of a walk to the next: a cache line.
const LINE: usize = 64;
/// Steps of a walk that are measured.
const STEPS: u64 = 1 << 16;
/// How often a core is asked.
const QUESTIONS: u64 = 16;
/// How long it may take for anything, in milliseconds.
const PATIENCE_MS: u64 = 3000;

/// What a core found out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Findings {
    /// Cycles of the core in a second of the timer.
    pub clock: u64,
    /// How late the timer was at most, in ticks.
    pub latest: u64,
    /// Tenths of a cycle that each step of a walk through [`WALKED`] bytes took.
    pub steps: [u64; 3],
}

/// What it was like to ask another core.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Answers {
    /// Longest time from the question to the answer, in ticks.
    pub slowest: u64,
    /// By how much its time was outside of the interval between the two at most, in ticks. All cores read the same clock.
    pub apart: u64,
}

/// Finds out about the core that this runs on.
pub fn measure() -> Findings {
    Findings { clock: clock(), latest: latest(), steps: WALKED.map(walk) }
}

fn clock() -> u64 {
    let span = view().frequency() * COMPARED_MS / 1000;
    let (begun, cycles) = (page::now().0, page::cycles());
    while page::now().0 - begun < span {}
    let (ticks, cycles) = (page::now().0 - begun, page::cycles().wrapping_sub(cycles));
    (u128::from(cycles) * u128::from(view().frequency()) / u128::from(ticks.max(1))) as u64
}

fn latest() -> u64 {
    let ahead = view().frequency() * AHEAD_US / 1_000_000;
    let late = (0..WAITS).map(|_| {
        let until = Tick(page::now().0 + ahead);
        page::sleep_until(until);
        page::now().since(until).0
    });
    late.max().unwrap_or(0)
}

/// Reads one place of `bytes` after the other, each of which says where the next is, in an order that no core foresees.
fn walk(bytes: usize) -> u64 {
    let words = LINE / size_of::<usize>();
    let places = bytes / LINE;
    let mut memory = alloc::vec![0; places * words];
    for place in 0..places {
        // A generator of full period: modulo a power of two, with a factor that is 1 modulo 4 and an odd summand (Knuth, TAOCP 2, 3.2.1.2).
        memory[place * words] = (place * 1_664_525 + 1_013_904_223) % places * words;
    }
    let walk = |steps| (0..steps).fold(0, |at: usize, _| memory[at]);
    black_box(walk(places as u64)); // Once everywhere: what a cache has room for is in it.
    let begun = page::cycles();
    black_box(walk(black_box(STEPS)));
    page::cycles().wrapping_sub(begun) * 10 / STEPS
}

/// What a core's environment is told: whom to answer.
#[derive(Serialize, Deserialize)]
struct Order {
    capability: [u64; 2],
}

/// Runs on a core: tells what it finds out, then answers.
pub fn run(info: &StartInfo) {
    let Ok(Order { capability: [body, mac] }) = info.arguments() else { return };
    let Ok(parent) = calls::bind(Capability { body, mac }) else { return };
    if let Ok(encoded) = encode_arguments(&measure()) {
        output::write(&encoded);
    }
    let stats = output::stats();
    loop {
        if page::take_events() & EVENT_ASK != 0 {
            stats.max_response_ticks.store(page::now().0, Release);
            stats.work_units.fetch_add(1, Release);
            // Whoever asked is there.
            let _ = calls::notify(Target::new(parent, ActivationIndex(0)), EVENT_ASK);
        }
        if calls::wait(Tick::NEVER).is_err() {
            return;
        }
    }
}

/// An environment that has a core for itself.
pub struct Resident {
    core: u64,
    child: Child,
}

impl Resident {
    /// Makes one, and gives it all slots of the core.
    pub fn begin(core: u64, frames: &mut Frames, archive: &Archive<'_>) -> Result<Self, String> {
        let own = Object { kind: Kind::Env, index: page::env() as u32 };
        let failed = |error| format!("core {core}: the kernel refuses: {error:?}");
        let Capability { body, mac } = calls::grant(own, Rights::NOTIFY).map_err(failed)?;
        let arguments = encode_arguments(&Order { capability: [body, mac] });
        let plan = SpawnPlan {
            name: NAME,
            heap_pages: (WALKED[2] >> 12) as u64 + 64,
            arguments: arguments.map_err(|error| format!("core {core}: {error}"))?,
            ..SpawnPlan::new("hardware")
        };
        let child = spawn(frames, archive, &plan)
            .map_err(|error| format!("core {core}: no environment: {error:?}"))?;
        for slot in 0..view().slots() {
            calls::slot_give(Core(core), SlotIndex(slot), child.target(0)).map_err(failed)?;
        }
        Ok(Self { core, child })
    }

    /// What the core found out about itself.
    pub fn findings(&mut self) -> Result<Findings, String> {
        let (mut bytes, mut found) = (Vec::new(), None);
        self.until("it does not say what it finds", |resident| {
            resident.child.reader.read(&mut bytes);
            found = decode_arguments(&bytes).ok();
            found.is_some()
        })?;
        Ok(found.unwrap_or_default())
    }

    /// Asks it, several times: by an interrupt from this core to that, which it answers by one from that to this.
    pub fn ask(&mut self) -> Result<Answers, String> {
        let (mut all, stats) = (Answers::default(), self.child.mailbox().stats());
        for number in 0..QUESTIONS {
            page::take_events();
            let asked = page::now().0;
            calls::notify(self.child.target(0), EVENT_ASK)
                .map_err(|error| format!("core {}: the kernel refuses: {error:?}", self.core))?;
            let mut events = 0;
            self.until("it does not answer", |_| {
                events |= page::take_events();
                events & EVENT_ASK != 0 && stats.work_units.load(Acquire) > number
            })?;
            let (answered, there) = (page::now().0, stats.max_response_ticks.load(Acquire));
            all.slowest = all.slowest.max(answered - asked);
            all.apart = all.apart.max(asked.saturating_sub(there)).max(there.saturating_sub(answered));
        }
        Ok(all)
    }

    /// Takes everything back that it was given.
    pub fn end(self, frames: &mut Frames) -> Result<(), String> {
        let core = self.core;
        let ended = self.child.destroy(frames);
        ended.map_err(|error| format!("core {core}: it cannot be ended: {error:?}"))
    }

    fn until(&mut self, otherwise: &str, mut is_so: impl FnMut(&mut Self) -> bool) -> Result<(), String> {
        let deadline = Tick(page::now().0 + PATIENCE_MS * view().frequency() / 1000);
        while !is_so(self) {
            if page::now() > deadline {
                return Err(format!("core {}: {otherwise}", self.core));
            }
            // Returns at once where an event is there.
            let _ = calls::wait(Tick(page::now().0 + view().frequency() / 1000));
        }
        Ok(())
    }
}
