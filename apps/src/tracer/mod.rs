//! The tracer: takes what the kernel and the programs record out of the machine while the run goes on.
//!
//! It has an activation for each core, in a slot of the broker's there. Each reads its core's ring and writes frames of
//! records to a virtio console of its own, so that no two of them ever wait for each other. Not here: the reading end of a
//! ring and the form of frames (`libos_core::trace`), the device ([`device`]), what is made of it all (the host's `tools`).

pub mod device;

use crate::assignment::EVENT_REPORT;
use core::sync::atomic::Ordering::{AcqRel, Relaxed};
use device::{Console, Trouble};
use libos_core::frames::Run;
use libos_core::start::StartInfo;
use libos_core::trace::frame::{Header, MAX_RECORDS};
use libos_core::trace::{Reader, calibrate};
use libos_core::{calls, output, page, say};
use tranche_abi::layout::MAX_CORES;
use tranche_abi::{Frame, Tick};

/// Page frames that it needs for each core: what the device reads, and page tables.
pub const FRAMES_PER_CORE: u64 = 24;
/// Marks from whose times the cost of one is learnt.
const CALIBRATION_MARKS: u64 = 64;

/// Takes records out until the broker wants the rest.
pub fn main(info: StartInfo) {
    let core = page::index();
    let own = info.owned_frames();
    let frames = Run { first: Frame(own.first.0 + core * FRAMES_PER_CORE), count: FRAMES_PER_CORE };
    match Console::open(core, frames) {
        Ok((mut console, reader)) => serve(core, &mut console, reader),
        Err(trouble) => {
            say!("tracer: nothing recorded on core {core} leaves the machine: {trouble}");
            wait_for_report();
        }
    }
    // Its creator waits for this.
    output::stats().reported.fetch_add(1, AcqRel);
}

fn serve(core: u64, console: &mut Console, mut reader: Reader<'static>) {
    calibrate(CALIBRATION_MARKS);
    loop {
        let is_over = page::take_events() & EVENT_REPORT != 0;
        // What is recorded after the broker has switched recording off is nothing: this empties the ring.
        while send(core, console, &mut reader, false) == MAX_RECORDS {}
        if is_over {
            send(core, console, &mut reader, true);
            return;
        }
        wait_for_next_slot();
    }
}

/// Sends the next frame; one without records only if it is the last. How many records it has.
fn send(core: u64, console: &mut Console, reader: &mut Reader<'static>, last: bool) -> usize {
    let batch = reader.read(&mut console.records()[1..]);
    if batch.count > 0 || batch.lost > 0 || last {
        let header = Header { last, ..Header::new(core, batch, &console.records()[1..=batch.count]) };
        console.records()[0] = header.to_words();
        if let Err(trouble) = console.send(1 + batch.count) {
            say!("tracer: {} records of core {core} were not sent: {trouble}", batch.count);
        }
    }
    batch.count
}

fn wait_for_next_slot() {
    // Not refused to a running activation; returns at once where an event is there already.
    let _ = calls::wait(Tick(page::own().slot_end.load(Relaxed)));
}

fn wait_for_report() {
    while page::take_events() & EVENT_REPORT == 0 {
        wait_for_next_slot();
    }
}

/// Frames that it needs in all.
pub const fn frames(cores: u64) -> u64 {
    cores * FRAMES_PER_CORE
}

const _: () = assert!(MAX_CORES <= tranche_abi::layout::MAX_ACTIVATIONS, "an activation for each core");

impl core::fmt::Display for Trouble {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::NoRight => write!(f, "it was given no right to read the rings"),
            Self::NoConsole => write!(f, "the machine has no virtio console for it"),
            Self::Kernel(error) => write!(f, "the kernel refused a mapping: {error:?}"),
            Self::Device(error) => write!(f, "the virtio console: {error}"),
        }
    }
}
