//! What a program says: text and report records, to its creator through the mailbox, or, in the first environment,
//! which has no creator, to the console.
//!
//! Not here: the records (`report`), the ring (`mailbox`). Writing to a mailbox never waits; writing to the console does. What goes
//! there can be kept, for whoever writes it to a card as well.
#![forbid(unsafe_code)]

use crate::calls;
use crate::critical::Lock;
use crate::mailbox::Mailbox;
use crate::report::{self, Record};
use crate::stats::WorkStats;
use alloc::vec::Vec;
use core::sync::atomic::AtomicU32;
use core::sync::atomic::Ordering::Relaxed;
use tranche_abi::Handle;
use tranche_abi::layout::HANDLE_MACHINE;

/// The mailbox to the creator, once `begin` found one.
static MAILBOX: Lock<Option<Mailbox<'static>>> = Lock::new(None);
/// The next record's sequence number.
static SEQUENCE: AtomicU32 = AtomicU32::new(0);

/// From now on, everything goes to this mailbox.
#[cfg(target_os = "none")]
pub(crate) fn begin(mailbox: Option<Mailbox<'static>>) {
    *MAILBOX.lock() = mailbox;
}

/// The mailbox to the creator; `None` in the first environment.
pub fn mailbox() -> Option<Mailbox<'static>> {
    *MAILBOX.lock()
}

/// Where this program counts its work: in the mailbox, where its creator sees it, if there is one.
pub fn stats() -> &'static WorkStats {
    static NOBODY_WATCHES: WorkStats = WorkStats::new();
    mailbox().map_or(&NOBODY_WATCHES, |mailbox| mailbox.stats())
}

/// Writes bytes: to the mailbox all or none, to the console all.
pub fn write(bytes: &[u8]) {
    write_next(|| bytes);
}

/// Writes bytes that are made when their place on the line is certain.
fn write_next<B: AsRef<[u8]>>(bytes: impl FnOnce() -> B) {
    let mailbox = MAILBOX.lock();
    let bytes = bytes();
    match *mailbox {
        // Dropped and counted where it does not fit.
        Some(mailbox) => _ = mailbox.write(bytes.as_ref()),
        None => {
            drop(mailbox);
            write_to_console(HANDLE_MACHINE, bytes.as_ref());
        }
    }
}

/// What was written to the console, for another place where it goes as well.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Kept {
    /// The bytes, in pieces.
    pub pieces: Vec<Vec<u8>>,
    /// Bytes for which there was no memory.
    pub lost: u64,
}

impl Kept {
    /// Bytes of a piece.
    const PIECE: usize = 4096;
    /// Pieces at most.
    const PIECES: usize = 1024;

    fn keep(&mut self, bytes: &[u8]) {
        let mut rest = bytes;
        while !rest.is_empty() {
            if self.pieces.last().is_none_or(|piece| piece.len() == Self::PIECE) {
                if self.pieces.len() == Self::PIECES {
                    self.lost += rest.len() as u64;
                    return;
                }
                self.pieces.push(Vec::with_capacity(Self::PIECE));
            }
            let Some(piece) = self.pieces.last_mut() else { return };
            let (now, later) = rest.split_at(rest.len().min(Self::PIECE - piece.len()));
            piece.extend_from_slice(now);
            rest = later;
        }
    }
}

/// What is kept, if anything is.
static KEPT: Lock<Option<Kept>> = Lock::new(None);

/// From now on what is written to the console is kept as well.
pub fn keep() {
    *KEPT.lock() = Some(Kept::default());
}

/// What was kept; nothing is from now on.
pub fn take_kept() -> Option<Kept> {
    KEPT.lock().take()
}

/// Writes bytes to the console, with a handle to the machine that may, waiting for room.
pub fn write_to_console(machine: Handle, bytes: &[u8]) {
    if let Some(kept) = &mut *KEPT.lock() {
        kept.keep(bytes);
    }
    let mut rest = bytes;
    while !rest.is_empty() {
        match calls::console_write(machine, rest) {
            Ok(written) => rest = &rest[written.min(rest.len())..],
            // There is no other place to say so.
            Err(_) => return,
        }
    }
}

/// Writes a report record.
pub fn report(record: &Record) {
    // Activations may report at once; the numbers are to be in the order of the line.
    write_next(|| report::encode(record, SEQUENCE.fetch_add(1, Relaxed)));
}

/// The frame as which [`report()`] would write a record now.
pub fn next_frame(record: &Record) -> Vec<u8> {
    report::encode(record, SEQUENCE.load(Relaxed))
}

/// Formats like `format!` and writes the text as a line.
#[macro_export]
macro_rules! say {
    ($($argument:tt)*) => {
        $crate::output::write_line(format_args!($($argument)*))
    };
}

/// Writes a line of text. Programs use [`say!`](crate::say).
pub fn write_line(text: core::fmt::Arguments<'_>) {
    let mut line = alloc::fmt::format(text);
    line.push('\n');
    write(line.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_comes_back_to_the_byte_and_what_does_not_fit_is_counted() {
        let mut kept = Kept::default();
        let line: Vec<u8> = (0..5000).map(|at| at as u8).collect();
        kept.keep(&line[..4095]);
        kept.keep(&line[4095..]);
        assert_eq!(kept.pieces.concat(), line);
        kept.keep(&alloc::vec![7; Kept::PIECE * Kept::PIECES]);
        assert_eq!((kept.pieces.len(), kept.lost), (Kept::PIECES, 5000));
    }
}
