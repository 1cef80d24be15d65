//! What is recorded on a machine whose only ways out are its serial line and perhaps a card: kept in memory while the run goes on,
//! written when it is over.
//!
//! A run records more than such a line carries in its time, and sending in the tracer's slots would cost more than recording
//! may. Not here: the frames' form on the line (`report`), and that nobody else writes to it meanwhile (the broker's part).
//! When the memory is full, the ring goes on alone: what is overwritten there is counted as lost.

use super::card::{Card, CardTrouble};
use super::device::{Trouble, open_ring};
use alloc::vec::Vec;
use core::convert::Infallible;
use core::sync::atomic::Ordering::Relaxed;
use libos_core::frames::{Frames, Run};
use libos_core::layout::{TRACE_STORE_BASE, TRACE_STORE_STRIDE};
use libos_core::mapping::Space;
use libos_core::output;
use libos_core::report::encode_trace;
use libos_core::trace::frame::{Header, MAX_RECORDS};
use libos_core::trace::{Batch, Raw, Reader, handle};
use tranche_abi::layout::{HANDLE_SELF, MAX_BATCH, PAGE_SIZE};
use tranche_abi::{Address, Error, Handle, Protection};

/// Pages of one core's store.
pub const PAGES: u64 = TRACE_STORE_STRIDE / PAGE_SIZE;
/// Records that are mapped at a time.
const CHUNK: usize = MAX_BATCH as usize * PAGE_SIZE as usize / size_of::<Raw>();

/// One core's records, and where they come from.
pub struct Store {
    core: u64,
    machine: Handle,
    frames: Frames,
    reader: Reader<'static>,
    /// Records for which there is memory, and those that are there.
    mapped: usize,
    used: usize,
    /// Records without a gap between them, in their order: one run of them after another.
    runs: Vec<Batch>,
}

impl Store {
    /// An empty store for a core, once for each. `frames` are the caller's.
    pub fn open(core: u64, frames: Run) -> Result<Self, Trouble> {
        let machine = handle().ok_or(Trouble::NoRight)?;
        let mut frames = Frames::new(frames);
        let mut table = || frames.take(1).map(|run| run.first);
        let reader = open_ring(&mut Space { env: HANDLE_SELF, table: &mut table }, machine, core)?;
        Ok(Self { core, machine, frames, reader, mapped: 0, used: 0, runs: Vec::new() })
    }

    /// Takes over what is new in the ring, as far as there is memory.
    pub fn keep(&mut self) {
        while let Some(room) = self.room() {
            let batch = self.reader.read(room);
            self.used += batch.count;
            match self.runs.last_mut() {
                Some(run) if batch.lost == 0 => run.count += batch.count,
                _ => self.runs.push(batch),
            }
            if batch.count < MAX_RECORDS {
                return;
            }
        }
    }

    /// Where the next records go; `None` if there is no more memory.
    fn room(&mut self) -> Option<&'static mut [Raw]> {
        if self.used + MAX_RECORDS > self.mapped {
            self.grow().ok()?;
        }
        let at = Self::place(self.core, self.used) as *mut Raw;
        // SAFETY: mapped for good, used by this activation alone, and no other slice reaches beyond the records that are there.
        Some(unsafe { core::slice::from_raw_parts_mut(at, MAX_RECORDS) })
    }

    fn grow(&mut self) -> Result<(), Error> {
        if (self.mapped + CHUNK) * size_of::<Raw>() > TRACE_STORE_STRIDE as usize {
            return Err(Error::Full);
        }
        let memory = self.frames.take(MAX_BATCH).ok_or(Error::Full)?;
        let at = Address(Self::place(self.core, self.mapped));
        let mut table = || self.frames.take(1).map(|run| run.first);
        let mut space = Space { env: HANDLE_SELF, table: &mut table };
        space.map(at, memory, Protection::ReadWrite)?;
        self.mapped += CHUNK;
        Ok(())
    }

    const fn place(core: u64, record: usize) -> u64 {
        TRACE_STORE_BASE + core * TRACE_STORE_STRIDE + (record * size_of::<Raw>()) as u64
    }

    /// Frames that are left.
    pub fn frames(&mut self) -> &mut Frames {
        &mut self.frames
    }

    /// Writes everything, with what is still in the ring, to its part of a card. The run is over. How many bytes.
    pub fn put_on(&self, card: Card) -> Result<u64, CardTrouble> {
        card.write(|write| self.frames_of_records(|frame| write(frame)))
    }

    /// Sends the same to the console. Nobody else writes.
    pub fn send(&self) {
        let sent: Result<(), Infallible> = self.frames_of_records(|frame| {
            output::write_to_console(self.machine, frame);
            Ok(())
        });
        let Ok(()) = sent;
    }

    /// Everything that was kept, and then what is still in the ring, frame by frame.
    fn frames_of_records<E>(&self, mut each: impl FnMut(&[u8]) -> Result<(), E>) -> Result<(), E> {
        let at = Self::place(self.core, 0) as *const Raw;
        // SAFETY: so many records were written there, and nobody writes there any more. Of none, the address is looked at by nobody.
        let mut kept: &[Raw] = unsafe { core::slice::from_raw_parts(at, self.used) };
        for run in &self.runs {
            let (records, rest) = kept.split_at(run.count);
            kept = rest;
            Self::run_of_records(self.core, (*run, records), &mut each)?;
        }
        let mut reader = self.reader.clone();
        let mut buffer = alloc::vec![[0; 8]; MAX_RECORDS];
        loop {
            let batch = reader.read(&mut buffer);
            let records = &buffer[..batch.count];
            let last = batch.count < MAX_RECORDS;
            let header = Header { last, ..Header::new(self.core, batch, records) };
            frame(&header, records, &mut each)?;
            if last {
                return Ok(());
            }
        }
    }

    /// Records without a gap, in as many frames as they need.
    fn run_of_records<E>(
        core: u64,
        (run, records): (Batch, &[Raw]),
        each: &mut impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut batch = Batch { count: 0, ..run };
        for piece in records.chunks(MAX_RECORDS) {
            batch.count = piece.len();
            frame(&Header::new(core, batch, piece), piece, each)?;
            batch = Batch { first: batch.first + piece.len() as u64, count: 0, lost: 0 };
        }
        Ok(())
    }
}

fn frame<E>(
    header: &Header,
    records: &[Raw],
    each: &mut impl FnMut(&[u8]) -> Result<(), E>,
) -> Result<(), E> {
    each(&encode_trace(header, records))?;
    // Its creator waits for as long as something is written.
    output::stats().work_units.fetch_add(1, Relaxed);
    Ok(())
}
