//! The simulator as a runner of comparisons. Not here: how a run is simulated (`sim`).

use super::cell::{Cell, Runner};
use crate::recording::{Recording, Source};
use crate::run::Stop;
use crate::scenario::{self, Changes};
use crate::sim::{self, costs::Costs};
use libos_core::scenario::Admission;

/// Simulates, with the costs of the table that comes with the tool.
pub struct Simulated;

impl Runner for Simulated {
    fn source(&self) -> Source {
        Source::Simulator
    }

    /// The table of costs is part of the tool, which is in every key anyway.
    fn images(&self) -> &str {
        ""
    }

    fn run(&self, cell: &Cell) -> Result<Recording, Stop> {
        let changes = Changes { policy: Some(cell.policy), seed: Some(cell.seed), cores: cell.cores };
        let mut scenario = scenario::load_changed(&cell.workload, &changes, None)?;
        // Everybody takes part under every policy, whatever that policy would have promised.
        scenario.libos.iter_mut().for_each(|libos| libos.admission = Admission::Off);
        Ok(sim::simulate(&scenario, &Costs::table(scenario.cores)?)?.recording)
    }
}
