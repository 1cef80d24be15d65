//! Currencies: names for parts of a libOS's CPU time, in which its clients hold their tickets. Not here: what a ticket of one is
//! worth (`libos-stride`).
#![forbid(unsafe_code)]

use alloc::string::String;
use serde::{Deserialize, Serialize};

/// A currency of a libOS, on each of its cores.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Currency {
    /// Its name, unique in its libOS.
    pub name: String,
    /// The tickets that fund it, at least 1.
    pub tickets: u32,
    /// The currency of those tickets, which the libOS lists before this one; `None`: the base.
    pub of: Option<String>,
}
