//! The results of a simulated run, in the form that a kernel's has. Not here: what it would have reported (`sim::report`).

use super::Results;
use crate::qemu::{Board, Clock, Machine};
use crate::{sim, verdict};
use libos_core::scenario::Scenario;

impl Results {
    /// The results of a simulated run, with its verdict and every job of it.
    pub fn of_simulation(scenario: &Scenario, run: &sim::Run) -> Option<Self> {
        let clock = Clock::Instructions;
        let machine = Machine { board: Board::Virt, cores: scenario.cores, gic: 0, clock };
        let outcome = sim::report::outcome(run);
        let verdict = verdict::judge_simulation(scenario, &machine, &outcome);
        let results = Self::new(scenario, &machine, &outcome, verdict)?;
        let mut results = Self { source: "simulator", board: "none", clock: "simulated", ..results };
        super::jobs::add(&mut results, &run.recording);
        Some(results)
    }
}
