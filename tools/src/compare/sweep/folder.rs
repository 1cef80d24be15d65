//! A sweep's folder: written by `compare --snakemake`, read by every job of the workflow. Not here: what the jobs do.

use super::super::command::{Beside, Makers, Order, check};
use super::super::engine::Done;
use super::super::kernel::Kernel;
use super::super::linux::Installed;
use super::super::simulated::Simulated;
use super::tables;
use crate::decisions::SCENARIO;
use crate::{Failure, archive};
use libos_core::scenario::Policy;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// What was asked for, in the folder.
const SWEEP: &str = "sweep.json";
/// The folder of scenarios to be compared, apart from the one that measures decisions.
const WORKLOADS: &str = "workloads";
/// The host tool.
const TOOL: &str = "bin/tranche-tools";
/// What is booted.
const KERNEL: &str = "images/kernel";
const APPS: &str = "images/apps";
const LINUX: &str = "images/linux";
const LINUX_PROGRAM: &str = "images/linux-sched";
/// What Snakemake reads first.
const SNAKEFILE: (&str, &str) = ("Snakefile", include_str!("Snakefile"));

/// What was asked for.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub struct Sweep {
    /// The command that does all of it at once.
    command: String,
    /// Scenarios' files as they were typed; the folder has copies of the same names.
    workloads: Vec<PathBuf>,
    policies: Vec<Policy>,
    seeds: u64,
    cores: Option<u32>,
    /// Whether the kernel makes runs.
    kernel: bool,
    /// Whether the simulator does.
    simulator: bool,
    linux: OnLinux,
}

/// Whether Linux is beside them.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum OnLinux {
    No,
    /// It should have been: why it is not.
    Absent(String),
    Yes,
}

/// Writes a folder of which Snakemake makes what `compare` would; how many runs that is. What is there already and the same
/// stays as it is, outcomes above all.
///
/// # Errors
/// All that `compare` would refuse, and files that cannot be read or written.
pub fn write(order: &Order, makers: &Makers) -> Result<usize, Failure> {
    check(order, &makers.linux())?;
    let folder = &order.out;
    let sweep = Sweep::of(order, makers);
    let json = serde_json::to_string_pretty(&sweep).map_err(Failure::with(SWEEP))? + "\n";
    put(&folder.join(SWEEP), json.as_bytes())?;
    put(&folder.join(SNAKEFILE.0), SNAKEFILE.1.as_bytes())?;
    let mut traces = Vec::new();
    for workload in &order.workloads {
        copy(workload, &copy_of(folder, workload))?;
        traces.extend(crate::scenario::traces_of(workload)?);
    }
    copy_traces(folder, &traces)?;
    if Path::new(SCENARIO).is_file() {
        copy(Path::new(SCENARIO), &folder.join(SCENARIO))?;
    }
    put_programs(folder, makers)?;
    let (copied, makers) = sweep.opened(folder)?;
    let [runs, decisions] = tables(&copied, &makers)?;
    for (name, table) in [&runs, &decisions] {
        put(&folder.join(name), table.as_bytes())?;
    }
    Ok(runs.1.lines().count() - 1)
}

impl Sweep {
    fn of(order: &Order, makers: &Makers) -> Self {
        let linux = match &makers.beside {
            Beside::Nothing => OnLinux::No,
            Beside::Absent(why) => OnLinux::Absent(why.clone()),
            Beside::Linux(_) => OnLinux::Yes,
        };
        Self {
            command: order.command.clone(),
            workloads: order.workloads.clone(),
            policies: order.policies.clone(),
            seeds: order.seeds,
            cores: order.cores,
            kernel: makers.kernel.is_some(),
            simulator: makers.simulated.is_some(),
            linux,
        }
    }

    /// What a folder is for.
    ///
    /// # Errors
    /// If it is no sweep's.
    pub fn read(folder: &Path) -> Result<Self, Failure> {
        let file = folder.join(SWEEP);
        let none = |error: &dyn std::fmt::Display| {
            let advice = "this is to be done in a folder that ./just compare --snakemake has written";
            Failure(format!("{}: {error}: {advice}", file.display()))
        };
        let bytes = fs::read(&file).map_err(|error| none(&error))?;
        serde_json::from_slice(&bytes).map_err(|error| none(&error))
    }

    /// What is to be compared and who makes the runs, with the folder's own files.
    ///
    /// # Errors
    /// If some of them are missing.
    pub fn opened(&self, folder: &Path) -> Result<(Order, Makers), Failure> {
        let order = Order {
            workloads: self.workloads.iter().map(|file| copy_of(folder, file)).collect(),
            policies: self.policies.clone(),
            seeds: self.seeds,
            cores: self.cores,
            jobs: 1,
            out: folder.into(),
            command: self.command.clone(),
        };
        let running = folder.join("running");
        let kernel =
            self.kernel.then(|| Kernel::new(folder.join(KERNEL), folder.join(APPS), running.clone()));
        let beside = match &self.linux {
            OnLinux::No => Beside::Nothing,
            OnLinux::Absent(why) => Beside::Absent(why.clone()),
            OnLinux::Yes => {
                Beside::Linux(Installed::new(&folder.join(LINUX), &folder.join(LINUX_PROGRAM), running)?)
            }
        };
        let simulated = self.simulator.then_some(Simulated);
        Ok((order, Makers { kernel: kernel.transpose()?, simulated, beside }))
    }

    /// A run of a copied scenario, as that of the file that was typed.
    pub(super) fn as_typed(&self, order: &Order, done: Done) -> Done {
        let place = order.workloads.iter().position(|copy| *copy == done.cell.workload);
        let Some(typed) = place.and_then(|place| self.workloads.get(place)) else { return done };
        let (copy, file) = (done.cell.workload.display().to_string(), typed.display().to_string());
        let mut renamed = done;
        renamed.cell.workload = typed.clone();
        renamed.kept = renamed.kept.map_err(|why| why.replace(&copy, &file));
        renamed
    }
}

fn copy_of(folder: &Path, workload: &Path) -> PathBuf {
    folder.join(WORKLOADS).join(workload.file_name().unwrap_or_default())
}

/// The files of releases that workloads name, beside their copies. One name is one file's.
fn copy_traces(folder: &Path, traces: &[(String, PathBuf)]) -> Result<(), Failure> {
    let mut known: BTreeMap<&str, Vec<u8>> = BTreeMap::new();
    for (name, file) in traces {
        let bytes = fs::read(file).map_err(Failure::with(file.display()))?;
        if known.get(name.as_str()).is_some_and(|other| *other != bytes) {
            let why = "another workload names another file so, and the sweep's folder has one of a name: rename one of them";
            return Err(Failure(format!("{}: {why}", file.display())));
        }
        put(&folder.join(WORKLOADS).join(name), &bytes)?;
        known.insert(name, bytes);
    }
    Ok(())
}

/// The host tool, and what it boots.
fn put_programs(folder: &Path, makers: &Makers) -> Result<(), Failure> {
    let tool = std::env::current_exe().map_err(Failure::with("this program's own file"))?;
    copy(&tool, &folder.join(TOOL))?;
    let all = fs::Permissions::from_mode(0o755);
    fs::set_permissions(folder.join(TOOL), all).map_err(Failure::with(TOOL))?;
    if let Some(kernel) = &makers.kernel {
        copy(&kernel.kernel, &folder.join(KERNEL))?;
        let apps = folder.join(APPS);
        // What is there and no longer among the programs would be booted with them.
        match fs::remove_dir_all(&apps) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(Failure(format!("{}: {error}", apps.display())));
            }
            _ => {}
        }
        for (name, bytes) in archive::programs(&kernel.apps)? {
            put(&apps.join(name), &bytes)?;
        }
    }
    if let Beside::Linux(installed) = &makers.beside {
        copy(&installed.kernel, &folder.join(LINUX))?;
        put(&folder.join(LINUX_PROGRAM), &installed.program)?;
    }
    Ok(())
}

fn copy(from: &Path, to: &Path) -> Result<(), Failure> {
    put(to, &fs::read(from).map_err(Failure::with(from.display()))?)
}

/// Writes a file that is not there or is another.
fn put(file: &Path, bytes: &[u8]) -> Result<(), Failure> {
    if fs::read(file).is_ok_and(|found| found == bytes) {
        return Ok(());
    }
    let parent = file.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(parent).map_err(Failure::with(parent.display()))?;
    fs::write(file, bytes).map_err(Failure::with(file.display()))
}
