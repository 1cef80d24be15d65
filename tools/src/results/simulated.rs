//! The results of a simulated run, in the form that a kernel's has. Not here: what it would have reported (`sim::report`).

use super::Results;
use crate::qemu::{Board, Clock, Machine};
use crate::sim;
use libos_core::scenario::Scenario;

impl Results {
    /// The results of a simulated run, with every job of it.
    pub fn of_simulation(scenario: &Scenario, run: &sim::Run) -> Option<Self> {
        let clock = Clock::Instructions;
        let machine = Machine { board: Board::Virt, cores: scenario.cores, gic: 0, clock };
        let results = Self::new(scenario, &machine, &sim::report::outcome(run), Vec::new())?;
        let mut results = Self { source: "simulator", board: "none", clock: "simulated", ..results };
        super::jobs::add(&mut results, &run.recording);
        Some(results)
    }
}
