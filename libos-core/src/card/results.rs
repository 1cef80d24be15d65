//! A run that is written into a results file: its header, its streams, its header again.
//!
//! Pure but for [`Pages`]. Not here: where the file is (`fat`), who writes which stream, and when.
//! Invariant: the header says that the run is complete only after every page of it was written.
#![forbid(unsafe_code)]

use super::Pages;
use super::format::{self, Header, Label, PAGE, PAYLOAD, Region, TooSmall, Unreadable, other};
use alloc::vec::Vec;
use core::fmt;

/// Why something cannot be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble<E> {
    /// The card does not do it.
    Disk(E),
    /// The file is none that was made for results; what is in it is left alone.
    Unreadable(Unreadable),
    /// The file is too small for any run.
    TooSmall(TooSmall),
    /// The stream has more bytes than its part of the file holds.
    Full {
        /// Bytes that it holds.
        bytes: u64,
    },
}

/// A run that is being written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Results {
    header: Header,
    /// The page in which the header is.
    place: u32,
}

impl Results {
    /// Marks a file of so many pages: a run on so many cores has begun in it.
    ///
    /// # Errors
    /// If the file is no results file, too small, or cannot be written.
    pub fn begin<D: Pages>(file: &mut D, pages: u32, cores: u32) -> Result<Self, Trouble<D::Error>> {
        let mut found = [None, None];
        let mut why = Unreadable::NoHeader;
        for (number, header) in (0..).zip(&mut found) {
            let mut page = [0; PAGE];
            file.read(number, &mut page).map_err(Trouble::Disk)?;
            match Header::from_page(&page) {
                Ok(read) => *header = Some(read),
                Err(reason) if why == Unreadable::NoHeader => why = reason,
                Err(_) => {}
            }
        }
        let (place, newest) = Header::newest(found).ok_or(Trouble::Unreadable(why))?;
        let header = newest.begin(pages, cores).map_err(Trouble::TooSmall)?;
        let place = other(place);
        file.write(place.into(), &header.to_page()).map_err(Trouble::Disk)?;
        Ok(Self { header, place })
    }

    /// The run's number.
    pub fn run(&self) -> u64 {
        self.header.run
    }

    /// A stream's part of the file.
    pub fn region(&self, stream: usize) -> Region {
        self.header.streams.get(stream).map_or(Region::default(), |stream| stream.region)
    }

    /// The end of a stream that is written, beginning with its first page at `first` of the pages that are given for it.
    pub fn stream(&self, stream: usize, first: u32) -> Stream {
        Stream::new(self.run(), stream as u32, Region { first, ..self.region(stream) })
    }

    /// Everything is there: the streams have these lengths in bytes. The last that is written.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn complete<D: Pages>(self, file: &mut D, lengths: &[u64]) -> Result<(), Trouble<D::Error>> {
        let page = self.header.complete(lengths).to_page();
        file.write(other(self.place).into(), &page).map_err(Trouble::Disk)
    }
}

/// A stream that is being written, page by page.
#[derive(Clone, Debug)]
pub struct Stream {
    label: Label,
    region: Region,
    payload: Vec<u8>,
    bytes: u64,
}

impl Stream {
    /// Nothing written yet of a run's stream.
    pub fn new(run: u64, stream: u32, region: Region) -> Self {
        let label = Label { run, stream, number: 0 };
        Self { label, region, payload: Vec::with_capacity(PAYLOAD), bytes: 0 }
    }

    /// Writes bytes; the last of them may wait for more, or for the end.
    ///
    /// # Errors
    /// If they do not fit, or cannot be written.
    pub fn write<D: Pages>(&mut self, pages: &mut D, bytes: &[u8]) -> Result<(), Trouble<D::Error>> {
        let mut rest = bytes;
        while !rest.is_empty() {
            let (now, later) = rest.split_at(rest.len().min(PAYLOAD - self.payload.len()));
            self.payload.extend_from_slice(now);
            self.bytes += now.len() as u64;
            rest = later;
            if self.payload.len() == PAYLOAD {
                self.flush(pages)?;
            }
        }
        Ok(())
    }

    /// Writes what is left. The stream's length in bytes.
    ///
    /// # Errors
    /// If it does not fit, or cannot be written.
    pub fn end<D: Pages>(mut self, pages: &mut D) -> Result<u64, Trouble<D::Error>> {
        if !self.payload.is_empty() {
            self.flush(pages)?;
        }
        Ok(self.bytes)
    }

    fn flush<D: Pages>(&mut self, pages: &mut D) -> Result<(), Trouble<D::Error>> {
        if self.label.number >= self.region.pages {
            return Err(Trouble::Full { bytes: u64::from(self.region.pages) * PAYLOAD as u64 });
        }
        let at = self.region.first + self.label.number;
        pages.write(at.into(), &self.label.page(&self.payload)).map_err(Trouble::Disk)?;
        self.payload.clear();
        self.label.number += 1;
        Ok(())
    }
}

impl<E: fmt::Display> fmt::Display for Trouble<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Disk(error) => write!(f, "{error}"),
            Self::Unreadable(why) => write!(f, "{why}; copy the one that was made with the card again"),
            Self::TooSmall(why) => write!(f, "{why}"),
            Self::Full { bytes } => {
                write!(f, "there is more than the {bytes} bytes that the file has for it")
            }
        }
    }
}

const _: () = assert!(format::PAGE == tranche_abi::layout::PAGE_SIZE as usize);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::card::format::{Page, State, blank, read};
    use proptest::prelude::*;

    /// A file in memory that is cut off in the middle of a write.
    struct File {
        bytes: Vec<u8>,
        /// Bytes that are still written.
        left: usize,
    }

    impl Pages for File {
        type Error = &'static str;

        fn read(&mut self, number: u64, into: &mut Page) -> Result<(), &'static str> {
            into.copy_from_slice(&self.bytes[number as usize * PAGE..][..PAGE]);
            Ok(())
        }

        fn write(&mut self, number: u64, from: &Page) -> Result<(), &'static str> {
            let now = self.left.min(PAGE);
            self.left -= now;
            self.bytes[number as usize * PAGE..][..now].copy_from_slice(&from[..now]);
            if now == PAGE { Ok(()) } else { Err("no power") }
        }
    }

    const PAGES: u32 = 64;
    const CORES: u32 = 2;

    fn file() -> File {
        File { bytes: blank(PAGES as usize * PAGE), left: usize::MAX }
    }

    /// A run whose streams have these bytes.
    fn run(file: &mut File, streams: &[Vec<u8>]) -> Result<(), Trouble<&'static str>> {
        let results = Results::begin(file, PAGES, CORES)?;
        let mut lengths = Vec::new();
        for (number, bytes) in streams.iter().enumerate() {
            let mut stream = results.stream(number, results.region(number).first);
            for piece in bytes.chunks(1000) {
                stream.write(file, piece)?;
            }
            lengths.push(stream.end(file)?);
        }
        results.complete(file, &lengths)
    }

    fn streams(seed: u8, sizes: [usize; 3]) -> Vec<Vec<u8>> {
        sizes
            .map(|size| (0..size).map(|at| seed.wrapping_mul(31).wrapping_add((at * 7) as u8)).collect())
            .into()
    }

    #[test]
    fn each_run_is_read_back_and_replaces_the_one_before() {
        let mut file = file();
        for number in 1..5 {
            let streams = streams(number, [9000 / usize::from(number), PAYLOAD, 10]);
            run(&mut file, &streams).unwrap();
            let contents = read(&file.bytes).unwrap();
            assert!(contents.is_whole());
            assert_eq!((contents.run, contents.streams), (number.into(), streams));
        }
    }

    #[test]
    fn a_stream_that_is_too_long_is_refused_and_the_run_stays_incomplete() {
        let mut file = file();
        let trouble = run(&mut file, &streams(1, [8 * PAYLOAD, 0, 0]));
        assert_eq!(trouble, Err(Trouble::Full { bytes: 7 * PAYLOAD as u64 }));
        let contents = read(&file.bytes).unwrap();
        assert_eq!((contents.state, contents.streams[0].len()), (State::Begun, 7 * PAYLOAD));
    }

    #[test]
    fn a_file_that_was_not_made_for_results_is_left_alone() {
        let mut file = File { bytes: alloc::vec![b'x'; PAGES as usize * PAGE], left: 0 };
        assert_eq!(run(&mut file, &[]), Err(Trouble::Unreadable(Unreadable::NoHeader)));
        let mut small = File { bytes: blank(4 * PAGE), left: 0 };
        let trouble = Results::begin(&mut small, 4, CORES);
        assert_eq!(trouble, Err(Trouble::TooSmall(TooSmall { pages: 4, needed: 5 })));
    }

    proptest! {
        #[test]
        fn power_cut_at_any_byte_leaves_a_run_that_is_whole_or_says_that_it_is_not(
            cuts in prop::collection::vec(0usize..14 * PAGE, 1..5),
        ) {
            let mut file = file();
            let mut newest = (0, State::Blank, alloc::vec![]);
            for (number, left) in (1u8..).zip(cuts) {
                let streams = streams(number, [3 * PAYLOAD + 5, 4 * PAYLOAD, 2000]);
                file.left = left;
                let done = run(&mut file, &streams).is_ok();
                let contents = read(&file.bytes).unwrap();
                // A header that is torn leaves the newest before it.
                if contents.run != newest.0 || done {
                    let state = if contents.state == State::Complete { State::Complete } else { State::Begun };
                    prop_assert!(contents.run == newest.0 + 1);
                    newest = (contents.run, state, streams);
                }
                prop_assert!(!done || contents.is_whole());
                if contents.state == State::Complete {
                    prop_assert_eq!(&contents.streams, &newest.2);
                }
                for (got, all) in contents.streams.iter().zip(&newest.2) {
                    prop_assert!(all.starts_with(got));
                }
                prop_assert!(contents.damage.len() <= 2);
            }
            file.left = usize::MAX;
            let last = streams(99, [100, 200, 300]);
            run(&mut file, &last).unwrap();
            let contents = read(&file.bytes).unwrap();
            prop_assert!(contents.is_whole());
            prop_assert_eq!(contents.streams, last);
        }
    }
}
