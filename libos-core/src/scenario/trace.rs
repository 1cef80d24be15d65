//! Arrivals that were recorded somewhere: a list of releases. Not here: the file that people write (the host's `tools` read it), nor
//! the jobs that come of it ([`crate::jobs`]).
#![forbid(unsafe_code)]

use alloc::string::String;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

/// A list of releases.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trace {
    /// The file that it came from, as the scenario names it.
    pub file: String,
    /// Not empty, in the order of time.
    pub releases: Vec<Release>,
}

/// A job's release. All times in microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Release {
    /// When, after the client's jobs begin.
    pub at_us: u32,
    /// CPU time that the job uses; `None`: as the client's other fields say.
    pub work_us: Option<u32>,
}
