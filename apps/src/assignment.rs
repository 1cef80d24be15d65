//! What the broker tells a scheduler libOS when it creates it, and how the two speak afterwards.
#![forbid(unsafe_code)]

use libos_core::scenario::LibOs;
use serde::{Deserialize, Serialize};

/// Event bit: write your reports, then stop.
pub const EVENT_REPORT: u64 = 1 << 8;

/// A scheduler libOS's start arguments.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Assignment {
    /// Itself and its clients.
    pub libos: LibOs,
    /// Cores; it has one activation for each.
    pub cores: u32,
    /// Slots of each core's vector.
    pub slots: u32,
    /// The seed of all chance in the run.
    pub seed: u64,
}
