//! The host side of Tranche: everything that happens outside the machine that is being tested.
//!
//! One run, in the order in which it uses the modules:
//! * [`scenario`]: reads and checks what is to be run.
//! * [`image`], [`archive`]: make what is booted. [`qemu`]: boots it.
//! * [`console`]: takes reports and text from the serial line. [`symbols`]: explains a panic in it. [`outcome`]: gathers
//!   the reports.
//! * [`verdict`]: what the run must have been. [`results`]: its figures. [`tables`], [`display`]: how people see them.
//! * [`new_policy`]: a policy of one's own.
//! * [`guarantee`]: whether admitted tasks keep their deadlines.
//! * [`conclude`]: what a run leaves behind. [`run`]: all of that in order. [`matrix`]: that on every machine.
//!
//! [`sd`]: a card for a real board. [`collect`]: what a real board sent, to the same results.
//!
//! [`recording`]: a run as what happened in it, of the kernel or of the simulator. [`metrics`]: its figures, and what theory
//! allows.
//!
//! [`sim`]: a scenario's run without a machine; [`simulation`]: that as a command. [`replay`]: a recorded run under another
//! policy. [`conformance`]: known answers, made again. [`blast`]: what others have of a scheduler's failure. [`prediction`]: how close a simulated run is to the kernel's. [`calibration`]: what it reckons with. [`guests`]: the
//! runs for both.
//!
//! [`mod@bench`]: what operations cost. [`taskset`]: random tasks, as a scenario. [`import`]: other programs' tasks, as one. [`trace`]: a run's trace, read.

#![forbid(unsafe_code)]

pub mod archive;
pub mod bench;
pub mod blast;
pub mod calibration;
pub mod collect;
pub mod compare;
pub mod conclude;
pub mod conformance;
pub mod console;
pub mod decisions;
pub mod display;
pub mod guarantee;
pub mod guests;
pub mod hash;
pub mod image;
pub mod import;
pub mod matrix;
pub mod metrics;
pub mod new_policy;
pub mod outcome;
pub mod parts;
pub mod prediction;
pub mod qemu;
pub mod recording;
pub mod replay;
pub mod results;
pub mod run;
pub mod scenario;
pub mod screen;
pub mod sd;
pub mod sim;
pub mod simulation;
pub mod symbols;
pub mod tables;
pub mod taskset;
pub mod trace;
pub mod verdict;

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
