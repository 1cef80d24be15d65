//! What a comparison says that is no run's: what decisions cost with few clients and with many, and what recording cost all
//! runs. Not here: how the one is measured (`decisions`) and the other computed (`trace::cost`).

use super::cell::Runner;
use super::engine;
use super::report::Run;
use crate::decisions::{Curve, SCENARIO};
use crate::hash;
use crate::run::Stop;
use serde::Serialize;
use std::path::{Path, PathBuf};

/// What decisions cost where each of these runs.
pub fn decisions(runners: &[&dyn Runner], cache: &Path) -> Result<Vec<Curve>, Stop> {
    let tool = hash::of_this_program()?;
    let mut all = Vec::new();
    for runner in runners {
        all.extend(decisions_of(*runner, (cache, &tool))?);
    }
    Ok(all)
}

/// What decisions cost where this one runs. Measured once for a tool, images and scenario, and taken out of the cache
/// from then on; so the same command gives the same file again, nanoseconds included.
pub fn decisions_of(runner: &dyn Runner, within: (&Path, &str)) -> Result<Vec<Curve>, Stop> {
    let file = place(runner, within);
    let found = std::fs::read(&file).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
    if let Some(curves) = found {
        return Ok(curves);
    }
    let curves = runner.decisions()?;
    engine::keep(&file, &curves)?;
    Ok(curves)
}

/// The file of that in a cache.
pub fn place(runner: &dyn Runner, (cache, tool): (&Path, &str)) -> PathBuf {
    // Where there is no such scenario, the runner that needs it says so.
    let scenario = std::fs::read(SCENARIO).unwrap_or_default();
    let who = format!("decisions {:?}", runner.source());
    let parts = [tool.as_bytes(), runner.images().as_bytes(), &scenario, who.as_bytes()];
    cache.join(format!("{}.json", hash::of(&parts)))
}

/// What recording cost the kernel's runs, as parts of all cores' time.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RecordingCosts {
    /// What it may cost at slots of a millisecond.
    pub limit: f64,
    /// What it cost the run that it cost most.
    pub worst: f64,
    /// The most for each workload and policy, in their order.
    pub rows: Vec<RecordingRow>,
}

/// What recording cost the runs of a workload under a policy.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RecordingRow {
    /// The workload.
    pub workload: String,
    /// The policy's word.
    pub policy: String,
    /// The most that it cost one of them.
    pub most: f64,
    /// Whether it was within what it may cost in all of them.
    pub within: bool,
}

/// Collects what recording cost.
pub fn recording(runs: &[Run]) -> RecordingCosts {
    let part = |millionths: u64| millionths as f64 / 1e6;
    let mut rows: Vec<RecordingRow> = Vec::new();
    for (run, cost) in runs.iter().filter_map(|run| Some((run, run.kept.recording_cost?))) {
        let (most, within) = (part(cost.most), cost.most <= cost.budget);
        match rows.iter_mut().find(|row| row.workload == run.workload && row.policy == run.policy) {
            Some(row) => (row.most, row.within) = (row.most.max(most), row.within && within),
            None => {
                let (workload, policy) = (run.workload.clone(), run.policy.clone());
                rows.push(RecordingRow { workload, policy, most, within });
            }
        }
    }
    let worst = rows.iter().map(|row| row.most).fold(0.0, f64::max);
    RecordingCosts { limit: part(crate::trace::cost::BUDGET), worst, rows }
}

impl RecordingCosts {
    /// Whether it cost no run more than it may.
    pub fn within(&self) -> bool {
        self.rows.iter().all(|row| row.within)
    }

    /// Where it cost more, in words.
    pub fn too_much(&self) -> impl Iterator<Item = String> {
        let over = self.rows.iter().filter(|row| !row.within);
        over.map(|row| {
            format!("recording cost {}, {} {:.2} % of the time", row.workload, row.policy, row.most * 100.0)
        })
    }
}
