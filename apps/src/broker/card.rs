//! The broker's part in keeping results on a card: it finds the file, marks it, gives the tracer its parts of it, and writes the
//! report when the run is over.
//!
//! Not here: the form of the file (`libos_core::card`) and the recorded streams (`crate::tracer`). The broker reads the whole card, and
//! writes the file's blocks alone: by a handle to an extent that is just those.
#![forbid(unsafe_code)]

use super::{Broker, end};
use crate::assignment::CardPart;
use crate::tracer::Way;
use alloc::vec::Vec;
use core::fmt;
use libos_core::card::format::{Header, REPORT};
use libos_core::card::results::{self, Results};
use libos_core::card::{self, fat};
use libos_core::disk::{self, Extent, Window};
use libos_core::frames::Frames;
use libos_core::output::Kept;
use libos_core::public::View;
use libos_core::{calls, output, page, say};
use tranche_abi::layout::{HANDLE_SELF, PAGE_BLOCKS};
use tranche_abi::{Capability, Error, Kind, Object, Rights};

const WHOLE_DISK: Object = Object { kind: Kind::Extent, index: 0 };

/// A results file in which a run has begun.
pub struct Card {
    window: Window,
    file: Capability,
    results: Results,
    /// The tracer's parts, one for each core; none if nothing is recorded, or what is leaves the machine in another way.
    pub parts: Vec<CardPart>,
}

/// Why results do not get onto a card.
pub enum Trouble {
    /// The file is not found.
    Find(fat::NotFound<disk::Trouble>),
    /// It cannot be written.
    Write(results::Trouble<disk::Trouble>),
    /// The kernel refused a step.
    Kernel(Error),
    /// The report was longer than the memory for it, by so many bytes.
    Long(u64),
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        Self::Kernel(error)
    }
}

impl Card {
    /// Marks the results file of the machine's card: a run has begun, of which so many cores' traces will be there. Everything
    /// that is reported from now on is kept for it.
    ///
    /// # Errors
    /// If there is no such file, or it cannot be read and written.
    pub fn begin(frames: &mut Frames, view: View, traces: u32) -> Result<Self, Trouble> {
        let frame = frames.take(1).ok_or(Error::Full)?.first;
        let mut window = Window::open(frame, &mut || frames.take(1).map(|run| run.first))?;
        let mut disk = Extent::bind(calls::grant(WHOLE_DISK, Rights::READ)?, &mut window)?;
        let found = fat::find(&mut disk, view.disk_blocks(), card::FILE);
        disk.unbind()?;
        let found = found.map_err(Trouble::Find)?;
        let blocks = found.blocks.end - found.blocks.start;
        if !found.is_whole() {
            let kib = blocks / 2;
            say!("broker: the results file is in pieces on the card; its first {kib} KiB are used");
        }
        let pages = (blocks / PAGE_BLOCKS) as u32;
        Header::blank(pages)
            .begin(pages, traces)
            .map_err(|small| Trouble::Write(results::Trouble::TooSmall(small)))?;
        let object = calls::extent_narrow(WHOLE_DISK, found.blocks.start, blocks, HANDLE_SELF)?;
        let file = calls::grant(object, Rights::READ.with(Rights::WRITE))?;
        let mut extent = Extent::bind(file, &mut window)?;
        let results = Results::begin(&mut extent, pages, traces);
        extent.unbind()?;
        let results = results.map_err(Trouble::Write)?;
        let streams = REPORT as u32 + 1..=traces;
        let parts = streams.map(|stream| part(object, &results, stream)).collect::<Result<_, _>>()?;
        output::keep();
        Ok(Self { window, file, results, parts })
    }

    /// The run's number.
    pub fn run(&self) -> u64 {
        self.results.run()
    }

    /// Writes what was kept and then `end`, and marks the run as complete. `traces` are the bytes of the other streams, which are
    /// written. The bytes of all streams.
    ///
    /// # Errors
    /// If that cannot be done: the run stays marked as begun.
    pub fn finish(mut self, traces: &[u64], end: &[u8]) -> Result<u64, Trouble> {
        let Kept { pieces, lost } = output::take_kept().unwrap_or_default();
        if lost > 0 {
            return Err(Trouble::Long(lost));
        }
        let mut extent = Extent::bind(self.file, &mut self.window)?;
        let mut report = self.results.stream(REPORT, self.results.region(REPORT).first);
        for piece in pieces.iter().map(Vec::as_slice).chain([end]) {
            report.write(&mut extent, piece).map_err(Trouble::Write)?;
        }
        let mut lengths = Vec::from([report.end(&mut extent).map_err(Trouble::Write)?]);
        lengths.extend(traces);
        self.results.complete(&mut extent, &lengths).map_err(Trouble::Write)?;
        Ok(lengths.iter().sum())
    }
}

impl Broker {
    /// Marks the results file of the card, if there is a card. A run goes on without.
    pub(super) fn begin_card(&mut self) {
        if self.view.disk_blocks() == 0 {
            return;
        }
        let on_card = self.scenario.trace && Way::of(self.view) == Way::SerialLine;
        let traces = if on_card { self.scenario.cores } else { 0 };
        match Card::begin(&mut self.frames, self.view, traces) {
            Ok(card) => {
                say!("broker: this is run {} of the results file on the card", card.run());
                self.card = Some(card);
            }
            Err(trouble) => say!("broker: nothing goes onto the card: {trouble}"),
        }
    }

    /// Everything that the run has to say goes onto the card, before it goes over a line that is slower and to which perhaps nobody
    /// listens. The result is the same whether that can be done or not.
    pub(super) fn put_on_card(&mut self) {
        let Some(card) = self.card.take() else { return };
        let recorded = !card.parts.is_empty();
        if recorded {
            self.take_all_slots_back();
        }
        let (run, patience, begin) = (card.run(), self.report_time(), page::now());
        let traces = match &self.recorder {
            Some(recorder) if recorded => recorder.store(self.view, patience),
            _ => Some(Vec::new()),
        };
        self.pass_on_the_tracers_words();
        let Some(traces) = traces else {
            return say!("broker: run {run} is incomplete on the card: what was recorded is not there");
        };
        let end = output::next_frame(&end(self.passed));
        match card.finish(&traces, &end) {
            Ok(bytes) => {
                let us = page::now().since(begin).0 * 1_000_000 / self.view.frequency().max(1);
                say!("broker: run {run} is complete on the card: {bytes} bytes in {us} us");
            }
            Err(trouble) => say!("broker: run {run} is incomplete on the card: {trouble}"),
        }
    }
}

/// A stream's part of the file, as an extent of its own.
fn part(file: Object, results: &Results, stream: u32) -> Result<CardPart, Error> {
    let region = results.region(stream as usize);
    let (first, count) = (u64::from(region.first) * PAGE_BLOCKS, u64::from(region.pages) * PAGE_BLOCKS);
    let extent = calls::extent_narrow(file, first, count, HANDLE_SELF)?;
    let Capability { body, mac } = calls::grant(extent, Rights::WRITE)?;
    Ok(CardPart { extent: [body, mac], run: results.run(), stream, pages: region.pages })
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Find(why) => write!(f, "{why}"),
            Self::Write(why) => write!(f, "{why}"),
            Self::Kernel(error) => write!(f, "the kernel refuses: {error:?}"),
            Self::Long(bytes) => write!(f, "{bytes} bytes of the report are more than there is memory for"),
        }
    }
}
