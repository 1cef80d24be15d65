//! The broker's part in recording: it makes the tracer, lends it a slot of its own on each core, and has it finish.
//!
//! Not here: what the tracer does (`crate::tracer`). It is given the right to read what is recorded, and to drive its device,
//! which is a right over the whole machine, or to write to the console; everybody else gets the right to make marks at most.

use super::market;
use crate::assignment::{CardPart, EVENT_REPORT, EVENT_STORE};
use crate::tracer::Way;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};
use libos_core::archive::Archive;
use libos_core::calls::{self, Events, Recording};
use libos_core::frames::Frames;
use libos_core::public::{View, view};
use libos_core::scenario::Scenario;
use libos_core::spawn::{Child, SpawnError, SpawnPlan, spawn};
use libos_core::start::encode_arguments;
use libos_core::stats::WorkStats;
use libos_core::{page, trace};
use tranche_abi::layout::HANDLE_MACHINE;
use tranche_abi::{Core, Error, Kind, Object, Rights, SlotIndex, Target, Tick};

/// The name under which the tracer's time stands in the ledgers.
pub const NAME: &str = "tracer";

/// A recording that is being made.
pub struct Recorder {
    /// The tracer.
    pub child: Child,
}

const MACHINE: Object = Object { kind: Kind::Machine, index: 0 };

impl Recorder {
    /// Makes the tracer, gives it its slots and switches recording on. From now on whoever the broker makes may make marks,
    /// unless its plan says otherwise.
    pub fn begin(
        frames: &mut Frames,
        archive: &Archive<'_>,
        scenario: &Scenario,
        parts: &[CardPart],
    ) -> Result<Self, SpawnError> {
        let cores = u64::from(scenario.cores);
        let way = Way::of(view());
        let writes = match way {
            Way::Consoles => Rights::DEVICE,
            Way::SerialLine => Rights::CONSOLE,
        };
        let rights = calls::grant(MACHINE, Rights::TRACE.with(Rights::MARK).with(writes))?;
        let plan = SpawnPlan {
            name: NAME,
            activations: cores,
            stack_pages: 16,
            frames: cores * way.frames_per_core(),
            trace: Some(rights),
            // Without a card, as without arguments.
            arguments: match parts {
                [] => Vec::new(),
                parts => encode_arguments(&parts).map_err(|_| SpawnError::BadPlan)?,
            },
            ..SpawnPlan::new("tracer")
        };
        let child = spawn(frames, archive, &plan)?;
        for core in 0..cores {
            calls::slot_give(Core(core), slot(scenario), child.target(core))?;
        }
        calls::trace_switch(HANDLE_MACHINE, Recording::On)?;
        trace::begin(calls::grant(MACHINE, Rights::MARK)?);
        Ok(Self { child })
    }

    /// From now on nothing is recorded.
    pub fn stop(&self) -> Result<(), Error> {
        calls::trace_switch(HANDLE_MACHINE, Recording::Off)
    }

    /// Lets the tracer write what it has to its parts of the card, one core's after another, in the broker's own time. The bytes of
    /// each; `None` if one is not there, or nothing was written for as long as `patience`.
    pub fn store(&self, view: View, patience: u64) -> Option<Vec<u64>> {
        let stats = self.child.mailbox().stats();
        let store = |core| {
            let target = self.child.target(core);
            calls::notify(target, EVENT_STORE).ok()?;
            let is_done = self.lend(target, (&stats.stored, core + 1), (view, patience));
            let bytes = stats.stored_bytes.load(Relaxed);
            (is_done && bytes != WorkStats::NOT_STORED).then_some(bytes)
        };
        (0..self.child.activations()).map(store).collect()
    }

    /// Lets the tracer send the rest, one core's after another, in the broker's own time; the broker writes nothing meanwhile, so
    /// that no frame is torn. False if nothing was sent for as long as `patience`.
    pub fn end(&self, view: View, patience: u64) -> Result<bool, Error> {
        for core in 0..self.child.activations() {
            let target = self.child.target(core);
            calls::notify(target, EVENT_REPORT)?;
            let done = (&self.child.mailbox().stats().reported, core + 1);
            if !self.lend(target, done, (view, patience)) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Gives the CPU to one of its activations until so many are done, by its count.
    fn lend(&self, target: Target, (count, done): (&AtomicU64, u64), (view, patience): (View, u64)) -> bool {
        let stats = self.child.mailbox().stats();
        let (mut sent, mut since) = (0, page::now());
        while count.load(Relaxed) < done {
            let (now, frames) = (page::now(), stats.work_units.load(Relaxed));
            if frames != sent {
                (sent, since) = (frames, now);
            } else if now.since(since).0 > patience {
                return false;
            }
            let next = Tick(now.0 + view.quantum().0);
            // Refused while it has a slot of its own on its core.
            if calls::yield_to(target, next, Events::Ignore).is_err() {
                page::sleep_until(next);
            }
        }
        true
    }
}

/// The slot of each core that the tracer works in: the last of those that the broker keeps. A scenario that is recorded has
/// two at least.
fn slot(scenario: &Scenario) -> SlotIndex {
    let last = market::kept(scenario.slots as usize, scenario.broker.slots as usize).next_back();
    SlotIndex(last.unwrap_or(0) as u64)
}
