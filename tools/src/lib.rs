//! The host side of Tranche: everything that happens outside the machine that is being tested.
//!
//! One run, in the order in which it uses the modules:
//! * [`scenario`]: reads and checks what is to be run.

#![forbid(unsafe_code)]

pub mod scenario;

use std::fmt;

/// Why a command could not do its work, in words for whoever typed it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure(pub String);

impl Failure {
    /// For `map_err`: an error, and what it was about.
    pub fn with<E: fmt::Display>(about: impl fmt::Display) -> impl FnOnce(E) -> Self {
        move |error| Self(format!("{about}: {error}"))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl std::error::Error for Failure {}
