//! The tracer: takes what the kernel and the programs record out of the machine while the run goes on.
//!
//! It has an activation for each core, in a slot of the broker's there. Each reads its core's ring and writes frames of
//! records to a virtio console of its own, so that no two of them ever wait for each other; or, where there is none, into
//! memory, and to its part of a card, if there is one, and the serial line when the run is over. Not here: the reading end of a ring and the form of frames
//! (`libos_core::trace`), the device ([`device`]), the memory ([`store`]), the card ([`card`]), what is made of it all (the host's `tools`).

pub mod card;
pub mod device;
pub mod store;

use crate::assignment::{CardPart, EVENT_REPORT, EVENT_STORE};
use alloc::vec::Vec;
use card::Card;
use core::sync::atomic::Ordering::{AcqRel, Relaxed};
use device::{Console, Trouble};
use libos_core::frames::Run;
use libos_core::public::{View, view};
use libos_core::start::StartInfo;
use libos_core::stats::WorkStats;
use libos_core::trace::frame::{Header, MAX_RECORDS};
use libos_core::trace::{Reader, calibrate};
use libos_core::{calls, output, page, say};
use store::Store;
use tranche_abi::layout::MAX_CORES;
use tranche_abi::{Frame, Tick};

/// Page frames that it needs for each core: what the device reads, and page tables.
const FRAMES: u64 = 24;
/// Marks from whose times the cost of one is learnt.
const CALIBRATION_MARKS: u64 = 64;

/// How records leave the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// By a virtio console for each core, at once.
    Consoles,
    /// By the one serial line, when the run is over.
    SerialLine,
}

impl Way {
    /// The way that this machine has.
    pub fn of(view: View) -> Self {
        if view.device_pages() > 0 { Self::Consoles } else { Self::SerialLine }
    }

    /// Page frames that the tracer needs for each core.
    pub const fn frames_per_core(self) -> u64 {
        match self {
            Self::Consoles => FRAMES,
            Self::SerialLine => FRAMES + store::PAGES,
        }
    }
}

/// Takes records out until the broker wants the rest.
pub fn main(info: StartInfo) {
    let core = page::index();
    let (own, way) = (info.owned_frames(), Way::of(view()));
    let count = way.frames_per_core();
    let frames = Run { first: Frame(own.first.0 + core * count), count };
    let served = match way {
        Way::Consoles => {
            Console::open(core, frames).map(|(mut console, reader)| serve(core, &mut console, reader))
        }
        Way::SerialLine => {
            let parts: Vec<CardPart> = info.arguments().unwrap_or_default();
            Store::open(core, frames).map(|store| keep(store, parts.get(core as usize)))
        }
    };
    if let Err(trouble) = served {
        say!("tracer: nothing recorded on core {core} leaves the machine: {trouble}");
        wait_for_report();
    }
    // Its creator waits for this.
    output::stats().reported.fetch_add(1, AcqRel);
}

/// Keeps what is recorded until the run is over; writes it to its part of a card then, if it is told to, and sends it.
fn keep(mut store: Store, part: Option<&CardPart>) {
    calibrate(CALIBRATION_MARKS);
    let over = loop {
        let events = page::take_events() & (EVENT_STORE | EVENT_REPORT);
        if events != 0 {
            break events;
        }
        store.keep();
        wait_for_next_slot();
    };
    if over & EVENT_STORE != 0 {
        put_on_card(&mut store, part);
    }
    if over & EVENT_REPORT == 0 {
        wait_for_report();
    }
    store.send();
}

fn put_on_card(store: &mut Store, part: Option<&CardPart>) {
    let written = part.map(|part| Card::open(part, store.frames()).and_then(|card| store.put_on(card)));
    let stats = output::stats();
    let bytes = match written {
        Some(Ok(bytes)) => bytes,
        Some(Err(trouble)) => {
            say!("tracer: core {} did not get onto the card: {trouble}", page::index());
            WorkStats::NOT_STORED
        }
        None => WorkStats::NOT_STORED,
    };
    stats.stored_bytes.store(bytes, Relaxed);
    // Its creator waits for this.
    stats.stored.fetch_add(1, AcqRel);
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
