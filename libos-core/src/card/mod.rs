//! The results file on a memory card: what a run leaves where no cable carries it away.
//!
//! * [`format`]: what the file consists of; both ends of it, the guest's that writes and the host's that reads.
//! * [`fat`]: where it lies on the card. [`results`]: a run that is written into it.
//!
//! All of it works on [`Pages`], so that a host can test it; a card's are those of `disk`.
//!
//! Invariant: nothing but the file's own blocks is ever written, so that the file system stays as it was made.
#![forbid(unsafe_code)]

/// The results file's name in the card's root folder.
pub const FILE: &str = "RESULTS.TRN";

pub mod fat;
pub mod format;
pub mod results;

use format::Page;

/// Something that consists of pages.
pub trait Pages {
    /// Why one cannot be read or written.
    type Error;
    /// Reads a page.
    fn read(&mut self, number: u64, into: &mut Page) -> Result<(), Self::Error>;
    /// Writes a page. When this returns it is there for good.
    fn write(&mut self, number: u64, from: &Page) -> Result<(), Self::Error>;
}
