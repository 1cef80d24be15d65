//! The results file: pages that say themselves whose they are, so that a power cut at any moment leaves a file that is whole
//! or says that it is not.
//!
//! Not here: where the file lies on the card, who writes it when, and reading it back ([`read`]). All numbers are
//! little-endian. The file has a fixed size and consists of pages:
//!
//! | page | what |
//! |---|---|
//! | 0, 1 | a *header* each, the newest and the one before it |
//! | 2… | the streams' *regions*, one after another: the report's, then each core's trace |
//!
//! The newest header counts: of the highest run, and of two of one run that which is complete. A new one is always written in
//! place of the older, so that there is one that can be read at any moment. In a header's page only the first 512 bytes, one
//! block of a card, say anything.
//!
//! | header's bytes | what |
//! |---|---|
//! | 0..8 | [`MAGIC`] |
//! | 8..12, 12..16 | [`VERSION`], [`State`] |
//! | 16..24 | number of the run, one more than the one before it |
//! | 24..28, 28..32 | pages of the file, number of streams |
//! | 32 + 16 n .. | of stream n: first page (4 bytes), pages (4), bytes written (8; 0 until the run is complete) |
//! | 508..512 | CRC-32 of what stands before it |
//!
//! | stream page's bytes | what |
//! |---|---|
//! | 0..4 | [`PAGE_MAGIC`] |
//! | 4..8 | stream |
//! | 8..16 | run |
//! | 16..20 | number of the page in the stream, from 0 |
//! | 20..24 | bytes used of the payload; all of it but in a stream's last page |
//! | 24..28 | zero |
//! | 28..32 | CRC-32 of all the page's other bytes |
//! | 32.. | payload |

use crate::report::CHECKSUM;
use alloc::vec::Vec;
use core::fmt;

mod reader;

pub use reader::{Contents, Damage, Place, Unreadable, Why, read};

/// Bytes of a page.
pub const PAGE: usize = 4096;
/// Bytes of a stream's that a page holds.
pub const PAYLOAD: usize = PAGE - LABEL;
/// What a header begins with.
pub const MAGIC: [u8; 8] = *b"TRNCARD\n";
/// What a stream's page begins with.
pub const PAGE_MAGIC: [u8; 4] = *b"TRNP";
/// Of this description.
pub const VERSION: u32 = 1;
/// The stream that carries the report; that of core `n`'s trace is `n + 1`.
pub const REPORT: usize = 0;
/// Streams of a file at most.
pub const MAX_STREAMS: usize = 16;

/// Bytes of a stream's page before its payload, and where its checksum is.
const LABEL: usize = 32;
const LABEL_CHECKSUM: usize = 28;
/// Bytes of a header that say anything, where its table of streams is, and the bytes of one entry.
const HEADER: usize = 512;
const TABLE: usize = 32;
const ENTRY: usize = 16;
/// Pages before the regions.
const FIRST_REGION: u32 = 2;
/// What part of the pages for streams is the report's.
const REPORT_SHARE: u32 = 8;

/// A page's bytes.
pub type Page = [u8; PAGE];

/// How far a run's results are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// No run was ever written.
    Blank = 0,
    /// A run has begun, and did not come to its end yet: what is there is incomplete.
    Begun = 1,
    /// All that the run had to say is there.
    Complete = 2,
}

/// Consecutive pages of the file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Region {
    /// The first one.
    pub first: u32,
    /// How many.
    pub pages: u32,
}

/// A stream in a header's table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stream {
    /// Where it is.
    pub region: Region,
    /// Its length in bytes; 0 until the run is complete.
    pub bytes: u64,
}

/// A header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// How far the run is.
    pub state: State,
    /// The run's number; 0 before the first.
    pub run: u64,
    /// Pages of the file.
    pub pages: u32,
    /// The report, then the trace of each core; none of a blank file.
    pub streams: Vec<Stream>,
}

/// The file has too few pages for a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooSmall {
    /// Pages that it has.
    pub pages: u32,
    /// Pages that it would need.
    pub needed: u32,
}

impl fmt::Display for TooSmall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the results file has {} pages, a run needs {} at least", self.pages, self.needed)
    }
}

/// The page of a header's in which the next one is written.
pub const fn other(page: u32) -> u32 {
    1 - page % FIRST_REGION
}

/// An empty results file of so many bytes, of which whole pages are used; a header and nothing else, all zero.
pub fn blank(size: usize) -> Vec<u8> {
    let mut file = alloc::vec![0; size];
    let header = Header::blank((size / PAGE).min(u32::MAX as usize) as u32);
    if let Some(page) = file.first_chunk_mut::<PAGE>() {
        *page = header.to_page();
    }
    file
}

impl Header {
    /// That of a file that no run was written to.
    pub fn blank(pages: u32) -> Self {
        Self { state: State::Blank, run: 0, pages, streams: Vec::new() }
    }

    /// That of the next run, on so many cores, in a file of so many pages.
    ///
    /// # Errors
    /// If a stream would get no page.
    pub fn begin(&self, pages: u32, cores: u32) -> Result<Self, TooSmall> {
        let cores = cores.min(MAX_STREAMS as u32 - 1);
        let room = pages.saturating_sub(FIRST_REGION);
        let report = if cores == 0 { room } else { (room / REPORT_SHARE).max(1) };
        let each = room.saturating_sub(report).checked_div(cores).unwrap_or(0);
        if room == 0 || cores > 0 && each == 0 {
            return Err(TooSmall { pages, needed: FIRST_REGION + 1 + cores });
        }
        let traces =
            (0..cores).map(|core| Region { first: FIRST_REGION + report + core * each, pages: each });
        let regions = [Region { first: FIRST_REGION, pages: report }].into_iter().chain(traces);
        let streams = regions.map(|region| Stream { region, bytes: 0 }).collect();
        Ok(Self { state: State::Begun, run: self.run + 1, pages, streams })
    }

    /// That of the same run when all streams are there, of these lengths in bytes.
    pub fn complete(&self, lengths: &[u64]) -> Self {
        let streams = self.streams.iter().zip(lengths);
        let streams = streams.map(|(stream, bytes)| Stream { bytes: *bytes, ..*stream }).collect();
        Self { state: State::Complete, streams, ..self.clone() }
    }

    /// The one that counts of those that can be read in the file's first two pages, and in which of them it is.
    pub fn newest(found: [Option<Self>; 2]) -> Option<(u32, Self)> {
        let headers = (0..).zip(found).filter_map(|(page, header)| Some((page, header?)));
        headers.max_by_key(|(_, header)| (header.run, header.state as u32))
    }

    /// As a page.
    pub fn to_page(&self) -> Page {
        let mut page = [0; PAGE];
        page[..8].copy_from_slice(&MAGIC);
        put(&mut page, 8, VERSION);
        put(&mut page, 12, self.state as u32);
        page[16..24].copy_from_slice(&self.run.to_le_bytes());
        put(&mut page, 24, self.pages);
        put(&mut page, 28, self.streams.len().min(MAX_STREAMS) as u32);
        let entries = page[TABLE..].chunks_exact_mut(ENTRY).take(MAX_STREAMS);
        for (entry, stream) in entries.zip(&self.streams) {
            entry[..4].copy_from_slice(&stream.region.first.to_le_bytes());
            entry[4..8].copy_from_slice(&stream.region.pages.to_le_bytes());
            entry[8..].copy_from_slice(&stream.bytes.to_le_bytes());
        }
        let sum = CHECKSUM.checksum(&page[..HEADER - 4]);
        put(&mut page, HEADER - 4, sum);
        page
    }

    /// The header that a page is.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn from_page(page: &Page) -> Result<Self, Unreadable> {
        if page[..8] != MAGIC {
            return Err(Unreadable::NoHeader);
        }
        if CHECKSUM.checksum(&page[..HEADER - 4]) != word(page, HEADER - 4) {
            return Err(Unreadable::Damaged);
        }
        if word(page, 8) != VERSION {
            return Err(Unreadable::Version(word(page, 8)));
        }
        let states = [State::Blank, State::Begun, State::Complete];
        let state = states.into_iter().find(|state| *state as u32 == word(page, 12));
        let count = word(page, 28) as usize;
        let entries = page[TABLE..].chunks_exact(ENTRY).take(count.min(MAX_STREAMS));
        let streams = entries.map(|entry| Stream {
            region: Region { first: word(entry, 0), pages: word(entry, 4) },
            bytes: long(entry, 8),
        });
        let (run, pages) = (long(page, 16), word(page, 24));
        let state = state.filter(|_| count <= MAX_STREAMS).ok_or(Unreadable::Damaged)?;
        let header = Self { state, run, pages, streams: streams.collect() };
        if header.is_sound() { Ok(header) } else { Err(Unreadable::Damaged) }
    }

    /// Whether its regions lie in the file, one after another, and hold what they are said to. A right checksum says that it is
    /// as it was written, and this that it was written by somebody who knew how.
    fn is_sound(&self) -> bool {
        let mut free = FIRST_REGION;
        self.streams.iter().all(|Stream { region, bytes }| {
            let end = region.first.checked_add(region.pages);
            let holds = bytes.div_ceil(PAYLOAD as u64) <= u64::from(region.pages);
            let fits = region.first >= free && end.is_some_and(|end| end <= self.pages);
            free = end.unwrap_or(u32::MAX);
            fits && holds
        })
    }
}

/// What stands in a stream's page before its payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Label {
    /// The run.
    pub run: u64,
    /// The stream.
    pub stream: u32,
    /// Which of the stream's pages.
    pub number: u32,
}

impl Label {
    /// The page that carries this payload, of which no more than [`PAYLOAD`] bytes are taken.
    pub fn page(&self, payload: &[u8]) -> Page {
        let used = payload.len().min(PAYLOAD);
        let mut page = [0; PAGE];
        page[..4].copy_from_slice(&PAGE_MAGIC);
        put(&mut page, 4, self.stream);
        page[8..16].copy_from_slice(&self.run.to_le_bytes());
        put(&mut page, 16, self.number);
        put(&mut page, 20, used as u32);
        page[LABEL..LABEL + used].copy_from_slice(&payload[..used]);
        let sum = page_checksum(&page);
        put(&mut page, LABEL_CHECKSUM, sum);
        page
    }

    /// The label and the payload of a page; `None` if it is damaged, or no stream's.
    pub fn of_page(page: &Page) -> Option<(Self, &[u8])> {
        let used = word(page, 20) as usize;
        let is_one = page[..4] == PAGE_MAGIC && page_checksum(page) == word(page, LABEL_CHECKSUM);
        let label = Self { run: long(page, 8), stream: word(page, 4), number: word(page, 16) };
        let payload = page[LABEL..].get(..used)?;
        is_one.then_some((label, payload))
    }
}

fn page_checksum(page: &Page) -> u32 {
    let mut digest = CHECKSUM.digest();
    digest.update(&page[..LABEL_CHECKSUM]);
    digest.update(&page[LABEL..]);
    digest.finalize()
}

fn put(page: &mut Page, at: usize, value: u32) {
    page[at..at + 4].copy_from_slice(&value.to_le_bytes());
}

/// Four bytes as a number; zero where there are none.
fn word(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..).and_then(|rest| rest.first_chunk()).map_or(0, |bytes| u32::from_le_bytes(*bytes))
}

/// The same of eight.
fn long(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..).and_then(|rest| rest.first_chunk()).map_or(0, |bytes| u64::from_le_bytes(*bytes))
}

#[cfg(test)]
mod tests;
