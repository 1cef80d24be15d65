//! Reading a results file back: what is there, and what is not and why.
//!
//! Invariant: whatever the bytes are, this comes to an end and hands out no payload whose checksum is wrong, or that another run
//! wrote.

use super::{Header, Label, PAGE, PAGE_MAGIC, PAYLOAD, Page, State, Stream, VERSION, long};
use alloc::vec::Vec;
use core::fmt;

/// What a results file contains.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contents {
    /// How far the run is.
    pub state: State,
    /// Its number.
    pub run: u64,
    /// The bytes of each stream, without those of pages that are damaged: the report, then each core's trace.
    pub streams: Vec<Vec<u8>>,
    /// What is not as it should be. Of a run that has only begun, pages after the last of a stream are no damage.
    pub damage: Vec<Damage>,
}

impl Contents {
    /// Whether all that the run had to say is there.
    pub fn is_whole(&self) -> bool {
        self.state == State::Complete && self.damage.is_empty()
    }
}

/// A page that is not as it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Damage {
    /// Which page.
    pub place: Place,
    /// What is wrong with it.
    pub why: Why,
}

/// A page's place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// A header: the file's page 0 or 1.
    Header {
        /// Which.
        page: u32,
    },
    /// A stream's page.
    Stream {
        /// Which stream.
        stream: u32,
        /// Which of its pages, from 0.
        page: u32,
        /// Bytes of the stream's, as it is handed out, before the place where the page's are missing.
        offset: u64,
    },
}

/// What is wrong with a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// The file ends before it; the pages after it are not named.
    Missing,
    /// It is all zero: it was never written.
    Blank,
    /// It is whole, but another run's: it was not written this time.
    Stale {
        /// Which run's.
        run: u64,
    },
    /// It begins as a page of this run, and its checksum is wrong: it was torn while it was written, or damaged later.
    Torn,
    /// It is no page, or not this one.
    Foreign,
}

/// Why nothing can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unreadable {
    /// The file does not begin with a header: it is no results file.
    NoHeader,
    /// There is a header, of another version.
    Version(u32),
    /// There is a header, and its checksum is wrong, or it says what cannot be.
    Damaged,
}

/// What is in a results file.
///
/// # Errors
/// If neither of its headers can be read.
pub fn read(file: &[u8]) -> Result<Contents, Unreadable> {
    let headers = [0, 1].map(|page| page_at(file, page).map_or(Err(Unreadable::NoHeader), Header::from_page));
    let damaged = (0..).zip(&headers).filter(|(_, header)| matches!(header, Err(Unreadable::Damaged)));
    let mut damage: Vec<Damage> =
        damaged.map(|(page, _)| Damage { place: Place::Header { page }, why: Why::Torn }).collect();
    let why = why_unreadable(&headers);
    let (_, header) = Header::newest(headers.map(Result::ok)).ok_or(why)?;
    let of_stream = |(stream, entry): (usize, &Stream)| {
        Reading { file, header: &header, stream: stream as u32, entry, damage: &mut damage }.read()
    };
    let streams = header.streams.iter().enumerate().map(of_stream).collect();
    Ok(Contents { state: header.state, run: header.run, streams, damage })
}

/// The more telling of two reasons.
fn why_unreadable(headers: &[Result<Header, Unreadable>; 2]) -> Unreadable {
    let reasons = headers.iter().filter_map(|header| header.as_ref().err());
    reasons.copied().find(|reason| *reason != Unreadable::NoHeader).unwrap_or(Unreadable::NoHeader)
}

fn page_at(file: &[u8], page: u32) -> Option<&Page> {
    file.get(page as usize * PAGE..)?.first_chunk()
}

/// A stream that is being read.
struct Reading<'a> {
    file: &'a [u8],
    header: &'a Header,
    stream: u32,
    entry: &'a Stream,
    damage: &'a mut Vec<Damage>,
}

impl Reading<'_> {
    fn read(self) -> Vec<u8> {
        let count = match self.header.state {
            State::Complete => self.entry.bytes.div_ceil(PAYLOAD as u64) as u32,
            _ => self.pages_so_far(),
        };
        let mut bytes = Vec::new();
        for page in 0..count {
            match self.payload(page) {
                Ok(payload) => bytes.extend_from_slice(payload),
                Err(why) => {
                    let place = Place::Stream { stream: self.stream, page, offset: bytes.len() as u64 };
                    self.damage.push(Damage { place, why });
                    if why == Why::Missing {
                        break; // so are all after it, however many the header says that there are
                    }
                }
            }
        }
        bytes
    }

    /// Of a run that has not ended: up to its last page that is whole, or torn.
    fn pages_so_far(&self) -> u32 {
        let written = |page: &u32| matches!(self.payload(*page), Ok(_) | Err(Why::Torn));
        let in_file = (self.file.len() / PAGE).saturating_sub(self.entry.region.first as usize);
        (0..self.entry.region.pages.min(in_file as u32)).rev().find(written).map_or(0, |last| last + 1)
    }

    fn payload(&self, number: u32) -> Result<&[u8], Why> {
        let page = page_at(self.file, self.entry.region.first + number).ok_or(Why::Missing)?;
        let expected = Label { run: self.header.run, stream: self.stream, number };
        match Label::of_page(page) {
            Some((label, payload)) if label == expected => Ok(payload),
            Some((label, _)) if label.run != expected.run => Err(Why::Stale { run: label.run }),
            Some(_) => Err(Why::Foreign),
            None if page.iter().all(|byte| *byte == 0) => Err(Why::Blank),
            None if page[..4] == PAGE_MAGIC && long(page, 8) == expected.run => Err(Why::Torn),
            None => Err(Why::Foreign),
        }
    }
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.place {
            Place::Header { page } => write!(f, "header in page {page}: {}", self.why),
            Place::Stream { stream: 0, page, .. } => write!(f, "page {page} of the report: {}", self.why),
            Place::Stream { stream, page, .. } => {
                write!(f, "page {page} of core {}'s trace: {}", stream - 1, self.why)
            }
        }
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => write!(f, "the file ends before it"),
            Self::Blank => write!(f, "it was never written"),
            Self::Stale { run } => write!(f, "it is run {run}'s, and was not written again"),
            Self::Torn => {
                write!(f, "its checksum is wrong: it was torn while it was written, or damaged since")
            }
            Self::Foreign => write!(f, "something else is there"),
        }
    }
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoHeader => write!(f, "this is no results file: it does not begin with a header"),
            Self::Version(version) => {
                write!(f, "the results file has version {version}, and this build reads version {VERSION}")
            }
            Self::Damaged => write!(f, "the results file's headers are damaged"),
        }
    }
}
