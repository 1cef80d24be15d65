//! One run of a comparison: what is run, who runs it, and what is kept of it.

use crate::Failure;
use crate::decisions::Curve;
use crate::metrics::{self, Metrics, latency, plots};
use crate::recording::{Job, LinuxPolicy, Recording, RecordingCost, Source};
use crate::results::Origin;
use crate::run::Stop;
use crate::scenario::Changes;
use libos_core::scenario::{Admission, Policy};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// Who is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Contender {
    /// A policy of ours, on the kernel or in the simulator.
    Ours(Policy),
    /// Linux, under one of its schedulers.
    Linux(LinuxPolicy),
    /// Runs of the kernel on this machine, that were made before.
    Made(Origin),
}

impl Contender {
    /// Its word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Ours(policy) => policy.word(),
            Self::Linux(policy) => policy.word(),
            Self::Made(origin) => origin.word(),
        }
    }
}

/// What is run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cell {
    /// The scenario's file.
    pub workload: PathBuf,
    /// Whose policy takes the place of the scenario's.
    pub policy: Contender,
    /// The seed that takes the place of the scenario's.
    pub seed: u64,
    /// Cores, if not as many as the scenario says.
    pub cores: Option<u32>,
}

impl Cell {
    /// What is different from what the workload's file says. Everybody takes part under every policy, whatever that policy
    /// would have promised.
    pub fn changes(&self) -> Changes {
        let policy = match self.policy {
            Contender::Ours(policy) => Some(policy),
            // Linux looks at the clients only; what was made is as it is.
            Contender::Linux(_) | Contender::Made(_) => None,
        };
        let seed = Some(self.seed);
        Changes { policy, seed, cores: self.cores, admission: Some(Admission::Off), ..Changes::default() }
    }
}

/// Makes recordings.
pub trait Runner: Sync {
    /// Who tells what happened.
    fn source(&self) -> Source;
    /// What the recordings depend on besides the cell: a hash of the kernel's image and the programs, in hex digits.
    /// Empty if on nothing.
    fn images(&self) -> &str;
    /// Whether it can run anything on this host; an error says what is missing.
    fn available(&self) -> Result<(), Failure> {
        Ok(())
    }
    /// Runs a cell from beginning to end. Several are run at once.
    fn run(&self, cell: &Cell) -> Result<Recording, Stop>;
    /// What a decision costs where these runs are made, with few clients and with many; nothing where that is not measured.
    fn decisions(&self) -> Result<Vec<Curve>, Stop> {
        Ok(Vec::new())
    }
}

/// What is kept of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Kept {
    /// The figures of each scheduler.
    pub metrics: Vec<Metrics>,
    /// The curves of each scheduler.
    pub curves: Vec<plots::Curves>,
    /// Who had each core when.
    pub timeline: plots::Timeline,
    /// Every wake-up latency, in microseconds, ascending.
    pub latencies_us: Vec<f64>,
    /// Every job.
    pub jobs: Vec<JobRow>,
    /// What recording cost; `None` of a simulation.
    pub recording_cost: Option<RecordingCost>,
    /// Cores of the machine.
    pub cores: u32,
    /// Length of the run.
    pub elapsed_us: f64,
}

/// A job in microseconds after the first slot.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct JobRow {
    /// The client, with its libOS: `libos.client`.
    pub client: String,
    /// Its number, from 0.
    pub number: u64,
    /// When it was released.
    pub released_us: f64,
    /// When it was due.
    pub due_us: Option<f64>,
    /// When it was done; `None` if it was not when the run ended.
    pub completed_us: Option<f64>,
    /// CPU time that it declared.
    pub demand_us: f64,
    /// CPU time that it used.
    pub used_us: f64,
}

impl Kept {
    /// What is kept of a recording; an error if no figures may be made of it.
    pub fn of(recording: &Recording) -> Result<Self, String> {
        if let Some(why) = metrics::unfit(recording) {
            return Err(why);
        }
        // Shares are of a core's time: where cores share a policy, there are no curves of them.
        let schedulers = (0..recording.schedulers.len()).filter(|index| recording.sharing(*index).len() == 1);
        let latencies = recording.schedulers.iter().flat_map(|one| latency::all(recording, one, None));
        let mut latencies: Vec<u64> = latencies.collect();
        latencies.sort_unstable();
        Ok(Self {
            metrics: metrics::measure(recording),
            curves: schedulers.map(|index| plots::curves(recording, index)).collect(),
            timeline: plots::timeline(recording),
            latencies_us: latencies.into_iter().map(|ticks| recording.us(ticks)).collect(),
            jobs: recording.jobs.iter().map(|job| row(recording, job)).collect(),
            recording_cost: recording.cost,
            cores: recording.cores,
            elapsed_us: recording.us(recording.end.saturating_sub(recording.epoch)),
        })
    }
}

fn row(recording: &Recording, job: &Job) -> JobRow {
    let client = &recording.clients[job.client];
    let at = |ticks: u64| recording.us(ticks.saturating_sub(recording.epoch));
    JobRow {
        client: format!("{}.{}", client.libos, client.name),
        number: job.number,
        released_us: at(job.released),
        due_us: job.due.map(at),
        completed_us: job.completed.map(at),
        demand_us: recording.us(job.demand),
        used_us: recording.us(job.used),
    }
}
