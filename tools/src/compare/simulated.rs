//! The simulator as a runner of comparisons. Not here: how a run is simulated (`sim`).

use super::cell::{Cell, Runner};
use crate::decisions::Curve;
use crate::decisions::host;
use crate::recording::{Recording, Source};
use crate::run::Stop;
use crate::scenario;
use crate::sim::{self, costs::Costs};
use libos_core::scenario::Policy;

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
        let changes = cell.changes();
        let scenario = scenario::load_changed(&cell.workload, &changes, None)?;
        Ok(sim::simulate(&scenario, &Costs::table()?)?.recording)
    }

    fn decisions(&self) -> Result<Vec<Curve>, Stop> {
        Ok(host::measure(&Policy::ALL))
    }
}
