//! Guests whose recordings are wanted: several at a time, each in a folder of its own, in which its recording stays.
//!
//! Not here: a single run (`run`), and what is made of recordings (`prediction`, `calibration`).

use crate::Failure;
use crate::display::Display;
use crate::qemu::{Board, Clock, Machine};
use crate::recording::Recording;
use crate::results::Results;
use crate::run::{Debugger, Exports, Plan, Stop, run_recorded};
use crate::scenario::{self, Changes};
use crate::screen::Screen;
use crate::simulation::RECORDING;
use crate::trace::Recorded;
use crate::trace::cast::Cast;
use libos_core::scenario::Scenario;
use serde::Serialize;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

/// Guests at a time; each keeps a core of the host busy.
const TOGETHER: usize = 2;
/// How long one guest may take, by the host's clock.
const PATIENCE: Duration = Duration::from_secs(600);

/// The folder of the scenarios that a command made, beside its results.
const SCENARIOS: &str = "scenarios";
/// The file of a command's results.
const RESULTS: &str = "results.json";

/// What is booted.
#[derive(Clone, Debug, clap::Args)]
pub struct Built {
    /// The kernel's ELF file
    #[arg(long)]
    pub kernel: PathBuf,
    /// Folder of the EL0 programs' ELF files
    #[arg(long)]
    pub apps: PathBuf,
}

impl Built {
    /// With the folder in which each run gets its own.
    pub fn into_folder(self, out: PathBuf) -> Images {
        Images { built: self, out }
    }
}

/// What is booted, and where recordings go.
#[derive(Clone, Debug, clap::Args)]
pub struct Images {
    /// What is booted
    #[command(flatten)]
    pub built: Built,
    /// Folder in which each run gets its own
    #[arg(long, default_value = "out/predict")]
    pub out: PathBuf,
}

/// Writes a scenario where it can be run again: into `scenarios` in the folder of the results.
pub fn save_scenario(out: &Path, name: &str, text: &str) -> Result<PathBuf, Failure> {
    let folder = out.join(SCENARIOS);
    std::fs::create_dir_all(&folder).map_err(Failure::with(folder.display()))?;
    let file = folder.join(format!("{name}.toml"));
    std::fs::write(&file, text).map_err(Failure::with(file.display()))?;
    Ok(file)
}

/// Writes what a command found out as `results.json`, and says where it is.
pub fn save_results(out: &Path, document: &impl Serialize) -> Result<(), Failure> {
    std::fs::create_dir_all(out).map_err(Failure::with(out.display()))?;
    let file = out.join(RESULTS);
    let text = serde_json::to_string_pretty(document).map_err(Failure::with(file.display()))?;
    std::fs::write(&file, text).map_err(Failure::with(file.display()))?;
    println!("figures: {}", file.display());
    Ok(())
}

/// A run that is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    /// The scenario's file.
    pub scenario: PathBuf,
    /// What is to be different from what it says, cores included.
    pub changes: Changes,
}

impl Order {
    /// The scenario with its changes.
    pub fn scenario(&self) -> Result<Scenario, Failure> {
        scenario::load_changed(&self.scenario, &self.changes, None)
    }

    /// A name for it, in words without spaces.
    pub fn name(&self) -> String {
        let stem = self.scenario.file_stem().unwrap_or_default().to_string_lossy();
        let policy = self.changes.policy.map(|policy| format!("-{}", policy.word()));
        let cores = self.changes.cores.map(|cores| format!("-{cores}"));
        format!("{stem}{}{}", policy.unwrap_or_default(), cores.unwrap_or_default())
    }
}

/// A run that was made.
pub struct Made {
    /// Which.
    pub order: Order,
    /// What it was.
    pub scenario: Scenario,
    /// What happened.
    pub recording: Recording,
    /// Its figures.
    pub results: Results,
    /// Who took part.
    pub cast: Cast,
    /// Where its files are.
    pub folder: PathBuf,
    /// How long it took, by the host's clock.
    pub took: Duration,
}

/// Makes every run, and hands each on as soon as it is there; in the order of the orders.
///
/// # Errors
/// The first failure of a run, with its name; or an interruption.
pub fn all<T: Send>(
    images: &Images,
    orders: &[Order],
    made: impl Fn(Made) -> Result<T, Failure> + Sync,
) -> Result<Vec<T>, Stop> {
    let next = Mutex::new(orders.iter().enumerate());
    let done = Mutex::new(Vec::new());
    let work = || {
        // The lock is not held while a guest runs.
        let take = || next.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).next();
        while let Some((place, order)) = take() {
            let result = one(images, order).and_then(|run| Ok(made(run)?));
            let stops = result.is_err();
            done.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).push((place, result));
            if stops {
                break;
            }
        }
    };
    thread::scope(|scope| (0..TOGETHER).for_each(|_| _ = scope.spawn(work)));
    let mut done = done.into_inner().unwrap_or_else(|poisoned| poisoned.into_inner());
    done.sort_by_key(|(place, _)| *place);
    done.into_iter().map(|(_, result)| result).collect()
}

fn one(images: &Images, order: &Order) -> Result<Made, Stop> {
    let name = order.name();
    let scenario = order.scenario()?;
    let plan = plan(images, order, &scenario);
    let begun = Instant::now();
    let ran = run_recorded(&plan, &mut Display::Silent)?;
    let took = begun.elapsed();
    let wrong = ran.results.verdict.iter().filter(|line| !line.passed);
    let wrong: Vec<_> = wrong.map(|line| format!("{}: {}", line.expected, line.seen)).collect();
    let recorded = ran.recorded.filter(|_| ran.ended_well);
    let Some(recorded) = recorded else {
        return Err(Failure(format!("{name}: {}", wrong.join("; "))).into());
    };
    recorded.recording.save(&plan.out.join(RECORDING))?;
    let Recorded { recording, cast, .. } = recorded;
    let (order, results, folder) = (order.clone(), ran.results, plan.out);
    Ok(Made { order, scenario, recording, results, cast, folder, took })
}

fn plan(images: &Images, order: &Order, scenario: &Scenario) -> Plan {
    let clock = Clock::Instructions;
    Plan {
        machine: Machine { board: Board::Virt, cores: scenario.cores, gic: 2, clock },
        scenario: order.scenario.clone(),
        changes: order.changes,
        kernel: images.built.kernel.clone(),
        apps: images.built.apps.clone(),
        out: images.out.join(order.name()),
        patience: PATIENCE,
        debugger: Debugger::Absent,
        card: None,
        exports: Exports::None,
        screen: Screen::None,
    }
}

/// The scenario files of a folder, by name.
pub fn scenarios(folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    let entries = std::fs::read_dir(folder).map_err(Failure::with(folder.display()))?;
    let mut files: Vec<PathBuf> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "toml"))
        .collect();
    files.sort();
    Ok(files)
}
