//! The results file on a memory card: what a run leaves where no cable carries it away.
//!
//! * [`format`]: what the file consists of; both ends of it, the guest's that writes and the host's that reads.
//!
//! Invariant: nothing but the file's own blocks is ever written, so that the file system stays as it was made.
#![forbid(unsafe_code)]

/// The results file's name in the card's root folder.
pub const FILE: &str = "RESULTS.TRN";

pub mod format;
