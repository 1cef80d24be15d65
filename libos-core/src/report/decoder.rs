//! The host's end of the line: takes a byte stream apart into text and records, whatever happened to it on the way.
//!
//! Invariant: every byte fed is accounted for, as text, inside a record, or in a [`Heard::Damaged`].
#![forbid(unsafe_code)]

use super::{CHECKSUM, MAGIC, MAX_FRAME, Record, TRACE_MAGIC};
use crate::trace::frame::Header;
use crate::trace::{Raw, compact};
use alloc::vec::Vec;

/// What was heard on the line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    /// Plain bytes, as they came; not necessarily whole lines.
    Text(Vec<u8>),
    /// A record whose checksum is right.
    Record {
        /// Its place in the line's sequence.
        sequence: u32,
        /// What it says.
        record: Record,
    },
    /// A part of a trace whose checksum is right.
    Trace {
        /// Whose it is, and which.
        header: Header,
        /// Its records.
        records: Vec<Raw>,
    },
    /// Frames are missing before the next record: sequence numbers `from..to`.
    Lost {
        /// The first that is missing.
        from: u32,
        /// The one that came instead.
        to: u32,
    },
    /// A frame that does not decode.
    Damaged {
        /// What it was to carry.
        load: Load,
        /// What is wrong with it.
        damage: Damage,
        /// What stood between its zeros, for whoever can still read it.
        bytes: Vec<u8>,
    },
}

/// What a frame carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Load {
    /// A report record.
    Record,
    /// A part of a trace.
    Trace,
}

/// What is wrong with a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Damage {
    /// The coding or the checksum is wrong.
    Checksum,
    /// The checksum is right, but host and guest were built from different sources.
    Content,
    /// No end came within [`MAX_FRAME`] bytes.
    TooLong,
    /// The stream ended inside it.
    Cut,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Outside; a zero may begin a frame.
    Text,
    /// After a zero: `held` has what may become the magic.
    Opening,
    /// Inside: `held` has the frame so far.
    Frame(Load),
}

/// A decoder of one line. Feed it as bytes come.
#[derive(Clone, Debug)]
pub struct Decoder {
    state: State,
    held: Vec<u8>,
    expected: u32,
}

impl Default for Decoder {
    fn default() -> Self {
        Self::new()
    }
}

impl Decoder {
    /// A decoder at the start of a line.
    pub const fn new() -> Self {
        Self { state: State::Text, held: Vec::new(), expected: 0 }
    }

    /// Takes what came; returns what can be told by now, in order. Text is never held back for the sake of whole lines.
    pub fn feed(&mut self, bytes: &[u8]) -> Vec<Heard> {
        let mut heard = Vec::new();
        for &byte in bytes {
            match (self.state, byte) {
                (State::Text, 0) => self.state = State::Opening,
                (State::Text, _) => text(&mut heard, &[byte]),
                (State::Opening, 0) => text(&mut heard, &core::mem::take(&mut self.held)),
                (State::Opening, _) => self.open(byte, &mut heard),
                (State::Frame(load), 0) => {
                    let frame = core::mem::take(&mut self.held);
                    self.state = State::Opening;
                    self.close(load, frame, &mut heard);
                }
                (State::Frame(load), _) => self.extend(load, byte, &mut heard),
            }
        }
        heard
    }

    /// What is left when the line is at its end.
    pub fn finish(self) -> Option<Heard> {
        match self.state {
            State::Frame(load) => Some(Heard::Damaged { load, damage: Damage::Cut, bytes: self.held }),
            _ if self.held.is_empty() => None,
            _ => Some(Heard::Text(self.held)),
        }
    }

    fn open(&mut self, byte: u8, heard: &mut Vec<Heard>) {
        self.held.push(byte);
        let kinds = [(MAGIC, Load::Record), (TRACE_MAGIC, Load::Trace)];
        match kinds.iter().find(|(magic, _)| magic.starts_with(&self.held)) {
            None => {
                text(heard, &core::mem::take(&mut self.held));
                self.state = State::Text;
            }
            Some((magic, load)) if self.held.len() == magic.len() => {
                self.held.clear();
                self.state = State::Frame(*load);
            }
            Some(_) => {}
        }
    }

    fn extend(&mut self, load: Load, byte: u8, heard: &mut Vec<Heard>) {
        self.held.push(byte);
        if self.held.len() > MAX_FRAME {
            let bytes = core::mem::take(&mut self.held);
            heard.push(Heard::Damaged { load, damage: Damage::TooLong, bytes });
            self.state = State::Text;
        }
    }

    fn close(&mut self, load: Load, frame: Vec<u8>, heard: &mut Vec<Heard>) {
        let content = content(&frame);
        let said = match (load, content) {
            (_, Err(damage)) => Err(damage),
            (Load::Record, Ok(content)) => {
                postcard::from_bytes(&content).map_err(|_| Damage::Content).map(|(sequence, record)| {
                    if sequence != self.expected {
                        heard.push(Heard::Lost { from: self.expected, to: sequence });
                    }
                    self.expected = sequence.wrapping_add(1);
                    Heard::Record { sequence, record }
                })
            }
            (Load::Trace, Ok(content)) => compact::decode(&content)
                .ok_or(Damage::Content)
                .map(|(header, records)| Heard::Trace { header, records }),
        };
        heard.push(said.unwrap_or_else(|damage| Heard::Damaged { load, damage, bytes: frame }));
    }
}

/// Adds to the text that was heard last, so that a line in one piece stays in one piece.
fn text(heard: &mut Vec<Heard>, bytes: &[u8]) {
    match heard.last_mut() {
        _ if bytes.is_empty() => {}
        Some(Heard::Text(text)) => text.extend_from_slice(bytes),
        _ => heard.push(Heard::Text(bytes.to_vec())),
    }
}

/// What a frame carries, if its checksum is right.
fn content(frame: &[u8]) -> Result<Vec<u8>, Damage> {
    let mut bytes = cobs::decode_vec(frame).map_err(|_| Damage::Checksum)?;
    let (content, sum) = bytes.split_last_chunk().ok_or(Damage::Checksum)?;
    if CHECKSUM.checksum(content) != u32::from_le_bytes(*sum) {
        return Err(Damage::Checksum);
    }
    bytes.truncate(content.len());
    Ok(bytes)
}
