//! Currencies: names for parts of a libOS's CPU time, in which its clients hold their tickets; and who may change how many. Not here: what a ticket of one is
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

/// Who may change a client's tickets while it runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Inflation {
    /// Nobody.
    #[default]
    None,
    /// It does itself, and so takes from those that hold tickets of the same currency: who trusts it.
    Own,
}
