//! `./just sim`: a scenario simulated, its figures on the terminal and in files.
//!
//! Not here: the simulation (`sim`).

use crate::results::Results;
use crate::scenario::{self, Changes};
use crate::sim::{self, Run, costs::Costs};
use crate::{Failure, tables};
use libos_core::scenario::Scenario;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// The recording's file in the results' folder.
pub const RECORDING: &str = "recording";

/// A simulation that was done.
#[derive(Debug)]
pub struct Done {
    results: Results,
    refused: Vec<String>,
    simulated: Duration,
    wall: Duration,
    out: PathBuf,
}

impl Done {
    /// Whether everything was as it should be.
    pub fn passed(&self) -> bool {
        self.results.passed
    }
}

/// Simulates a scenario and leaves its results in `out`.
pub fn simulate(scenario: &Path, changes: &Changes, out: &Path) -> Result<Done, Failure> {
    let scenario = scenario::load_changed(scenario, changes, None)?;
    let costs = Costs::table()?;
    let begun = Instant::now();
    let run = sim::simulate(&scenario, &costs)?;
    let wall = begun.elapsed();
    let simulated = Duration::from_secs_f64(run.recording.end as f64 / costs.frequency_hz as f64);
    let results = written(&scenario, &run, out)?;
    Ok(Done { results, refused: refused(&run), simulated, wall, out: out.into() })
}

fn written(scenario: &Scenario, run: &Run, out: &Path) -> Result<Results, Failure> {
    std::fs::create_dir_all(out).map_err(Failure::with(out.display()))?;
    let results = Results::of_simulation(scenario, run)
        .ok_or_else(|| Failure("the simulation has no beginning".into()))?;
    let file = out.join(crate::run::RESULTS);
    std::fs::write(&file, results.to_json()).map_err(Failure::with(file.display()))?;
    run.recording.save(&out.join(RECORDING))?;
    Ok(results)
}

/// Clients that were not taken on.
fn refused(run: &Run) -> Vec<String> {
    let of = run.cores.iter().flat_map(|core| &core.activations);
    let line = |activation: &sim::activation::Activation| {
        let name = |client: libos_core::sched::ClientId| {
            let index = activation.clients[usize::from(client.0)].index;
            let client = &run.recording.clients[index];
            format!("{}.{}", client.libos, client.name)
        };
        let refused = activation.refused.iter();
        refused.map(|(client, why)| format!("{} is not taken on: {why:?}", name(*client))).collect::<Vec<_>>()
    };
    of.flat_map(line).collect()
}

impl fmt::Display for Done {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", tables::render(&self.results))?;
        self.refused.iter().try_for_each(|line| writeln!(f, "{line}"))?;
        writeln!(f, "figures: {}", self.out.join(crate::run::RESULTS).display())?;
        writeln!(f, "recording: {}", self.out.join(RECORDING).display())?;
        let (simulated, wall) = (self.simulated.as_secs_f64(), self.wall.as_secs_f64());
        let ratio = simulated / wall.max(1e-9);
        writeln!(
            f,
            "{simulated:.3} s on {} cores simulated in {:.1} ms: {ratio:.0} times as fast",
            self.results.cores,
            wall * 1e3
        )?;
        write!(f, "{}", if self.passed() { "The simulated run passed." } else { "The simulated run FAILED." })
    }
}
