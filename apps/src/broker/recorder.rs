//! The broker's part in recording: it makes the tracer, lends it a slot of its own on each core, and has it finish.
//!
//! Not here: what the tracer does (`crate::tracer`). It is given the right to read what is recorded and to drive its device,
//! which is a right over the whole machine; everybody else gets the right to make marks at most.

use super::market;
use crate::assignment::EVENT_REPORT;
use core::sync::atomic::Ordering::Relaxed;
use libos_core::archive::Archive;
use libos_core::calls::{self, Recording};
use libos_core::frames::Frames;
use libos_core::public::View;
use libos_core::scenario::Scenario;
use libos_core::spawn::{Child, SpawnError, SpawnPlan, spawn};
use libos_core::{page, trace};
use tranche_abi::layout::HANDLE_MACHINE;
use tranche_abi::{Core, Error, Kind, Object, Rights, SlotIndex, Tick};

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
    ) -> Result<Self, SpawnError> {
        let cores = u64::from(scenario.cores);
        let reads = calls::grant(MACHINE, Rights::TRACE.with(Rights::MARK).with(Rights::DEVICE))?;
        let plan = SpawnPlan {
            name: NAME,
            activations: cores,
            stack_pages: 16,
            frames: crate::tracer::frames(cores),
            trace: Some(reads),
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

    /// Switches recording off and lets the tracer send the rest. False if it was not done by `until`.
    pub fn end(&self, view: View, until: Tick) -> Result<bool, Error> {
        calls::trace_switch(HANDLE_MACHINE, Recording::Off)?;
        for core in 0..self.child.activations() {
            calls::notify(self.child.target(core), EVENT_REPORT)?;
        }
        let is_done = || self.child.mailbox().stats().reported.load(Relaxed) >= self.child.activations();
        let mut next = page::now().0;
        while !is_done() && page::now() < until {
            next += view.revolution().0;
            page::sleep_until(Tick(next));
        }
        Ok(is_done())
    }
}

/// The slot of each core that the tracer works in: the last of those that the broker keeps. A scenario that is recorded has
/// two at least.
fn slot(scenario: &Scenario) -> SlotIndex {
    let last = market::kept(scenario.slots as usize, scenario.broker.slots as usize).next_back();
    SlotIndex(last.unwrap_or(0) as u64)
}
