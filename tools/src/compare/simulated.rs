//! The simulator as a runner of comparisons. Not here: how a run is simulated (`sim`).

use super::cell::{Cell, Runner};
use crate::recording::{Recording, Source};
use crate::run::Stop;
use crate::sim::{self, costs::Costs};
use crate::{Failure, scenario};
use libos_core::scenario::{Admission, Policy};

/// Simulates, with these costs.
pub struct Simulated {
    costs: Costs,
}

impl Simulated {
    /// With the costs of the table that comes with the tool.
    pub fn new() -> Result<Self, Failure> {
        Ok(Self { costs: Costs::table()? })
    }
}

impl Runner for Simulated {
    fn source(&self) -> Source {
        Source::Simulator
    }

    /// The table of costs is part of the tool, which is in every key anyway.
    fn images(&self) -> &str {
        ""
    }

    fn run(&self, cell: &Cell) -> Result<Recording, Stop> {
        let mut scenario = scenario::load(&cell.workload, cell.cores, None)?;
        scenario.seed = cell.seed;
        for libos in scenario.libos.iter_mut().filter(|libos| libos.policy != Policy::None) {
            // Everybody takes part under every policy, whatever that policy would have promised.
            (libos.policy, libos.admission) = (cell.policy, Admission::Off);
        }
        Ok(sim::simulate(&scenario, &self.costs)?.recording)
    }
}
