//! `./just compare`: what is to be compared becomes runs, and their results become files. Not here: the running (`engine`),
//! nor the computing (`report`).

use super::cell::{Cell, Contender, Runner};
use super::engine::{self, Done, Plan};
use super::kernel::Kernel;
use super::linux::{self, Installed, Linux};
use super::report::{Header, OnLinux, Report};
use super::simulated::Simulated;
use super::{costs, csv, from, page};
use crate::recording::LinuxPolicy;
use crate::run::{RESULTS, Stop};
use crate::{Failure, bench, scenario};
use libos_core::scenario::Policy;
use std::path::{Path, PathBuf};

/// The page's file.
pub const PAGE: &str = "index.html";

/// What is to be compared.
#[derive(Clone, Debug)]
pub struct Order {
    /// Scenarios' files.
    pub workloads: Vec<PathBuf>,
    /// Policies, each in place of those in the files.
    pub policies: Vec<Policy>,
    /// Seeds 1 to this.
    pub seeds: u64,
    /// Cores, if not as many as the scenarios say.
    pub cores: Option<u32>,
    /// Runs at a time.
    pub jobs: usize,
    /// The folder for what comes of it.
    pub out: PathBuf,
    /// What was typed.
    pub command: String,
}

/// Whether Linux is to be beside our policies.
#[derive(Debug)]
pub enum Beside {
    /// Nobody asked for it.
    Nothing,
    /// It cannot be: why.
    Absent(String),
    /// This one, under each of its schedulers.
    Linux(Installed),
}

impl Beside {
    /// The kernel that the set-up has fetched, if it has, with this program, to work in a folder.
    ///
    /// # Errors
    /// If a file cannot be read or is not what it should be, or the folder not made.
    pub fn found(program: &Path, out: PathBuf) -> Result<Self, Failure> {
        match bench::linux::kernel() {
            Ok(kernel) => Installed::new(&kernel, program, out).map(Self::Linux),
            Err(why) => Ok(Self::Absent(why)),
        }
    }
}

/// Who makes a comparison's runs.
pub struct Makers {
    /// The kernel, unless it is left out.
    pub kernel: Option<Kernel>,
    /// The simulator, unless it is left out.
    pub simulated: Option<Simulated>,
    /// Linux beside them, or not.
    pub beside: Beside,
}

/// What is to be run, and by whom.
pub(super) type Task<'a> = (Cell, &'a dyn Runner);

impl Makers {
    /// Those of our policies' runs.
    pub fn ours(&self) -> Vec<&dyn Runner> {
        let kernel = self.kernel.as_ref().map(|kernel| kernel as &dyn Runner);
        let simulated = self.simulated.as_ref().map(|simulated| simulated as &dyn Runner);
        kernel.into_iter().chain(simulated).collect()
    }

    /// Linux under each of its schedulers, if it is beside ours.
    pub(super) fn linux(&self) -> Vec<Linux<'_>> {
        match &self.beside {
            Beside::Linux(installed) => {
                LinuxPolicy::ALL.map(|policy| Linux { installed, policy }).into_iter().collect()
            }
            Beside::Nothing | Beside::Absent(_) => Vec::new(),
        }
    }
}

impl Order {
    /// The folder of kept results.
    pub(super) fn cache(&self) -> PathBuf {
        self.out.join("cache")
    }
}

/// Runs and writes everything. Mistakes in scenarios are told, all of them, before anything runs; and so is what Linux cannot
/// run.
pub fn compare(order: &Order, makers: &Makers) -> Result<Report, Stop> {
    let (ours, linux) = (makers.ours(), makers.linux());
    check(order, &linux)?;
    let plan = Plan { tasks: tasks(order, &ours, &linux), jobs: order.jobs, cache: order.cache() };
    conclude(order, makers, engine::run(&plan)?)
}

/// All that is wrong with what is to be compared.
pub(super) fn check(order: &Order, linux: &[Linux]) -> Result<(), Failure> {
    let mistakes = order.workloads.iter().flat_map(|workload| mistakes(workload, order.cores, linux));
    let mistakes: Vec<String> = mistakes.chain(namesakes(&order.workloads)).collect();
    if mistakes.is_empty() { Ok(()) } else { Err(Failure(mistakes.join("\n"))) }
}

/// What comes of all runs, as files.
pub(super) fn conclude(order: &Order, makers: &Makers, done: Vec<Done>) -> Result<Report, Stop> {
    let ours = makers.ours();
    let images = ours.iter().map(|runner| runner.images()).find(|images| !images.is_empty());
    let (command, images) = (order.command.clone(), images.map(String::from));
    let header = Header { command, images, linux: about(&makers.beside) };
    let contenders = order.policies.iter().copied().map(Contender::Ours);
    let linux = makers.linux();
    let contenders = contenders.chain(linux.iter().map(|linux| Contender::Linux(linux.policy)));
    let report = Report::new(done, &contenders.collect::<Vec<_>>(), header);
    let report = report.with_decisions(costs::decisions(&ours, &order.cache())?);
    write(&report, &order.out)?;
    Ok(report)
}

/// Puts runs side by side that were made before, in these folders.
pub fn compare_made(folders: &[PathBuf], command: String, out: &Path) -> Result<Report, Failure> {
    let runs = from::runs(folders)?;
    std::fs::create_dir_all(out).map_err(Failure::with(out.display()))?;
    let contenders = from::contenders(&runs);
    let report = Report::new(runs, &contenders, Header { command, ..Header::default() });
    write(&report, out)?;
    Ok(report)
}

/// What is wrong with a workload, and if Linux is to run it, too, why it cannot.
fn mistakes(workload: &Path, cores: Option<u32>, on_linux: &[Linux]) -> Vec<String> {
    match scenario::load(workload, cores, None) {
        Err(Failure(message)) => vec![message],
        Ok(_) if on_linux.is_empty() => Vec::new(),
        Ok(scenario) => {
            let say = |why| format!("{}: --linux: {why}", workload.display());
            linux::refusals(&scenario).into_iter().map(say).collect()
        }
    }
}

/// Files that would be taken for one another, for workloads are named after their files.
fn namesakes(workloads: &[PathBuf]) -> Vec<String> {
    let earlier = |place: usize| {
        workloads[..place].iter().find(|other| other.file_stem() == workloads[place].file_stem())
    };
    let mistake = |place| {
        let other = earlier(place)?;
        Some(format!("{}: {} has the same name", workloads[place].display(), other.display()))
    };
    (0..workloads.len()).filter_map(mistake).collect()
}

/// Every run, in the order in which they are made and told of.
pub(super) fn tasks<'a>(order: &Order, ours: &[&'a dyn Runner], linux: &'a [Linux<'a>]) -> Vec<Task<'a>> {
    let mut all = Vec::new();
    // Seeds first: whoever interrupts has all policies of some seeds, and not some policies of all.
    for seed in 1..=order.seeds {
        for workload in &order.workloads {
            let cell = |policy| Cell { workload: workload.clone(), policy, seed, cores: order.cores };
            for policy in &order.policies {
                all.extend(ours.iter().map(|runner| (cell(Contender::Ours(*policy)), *runner)));
            }
            for linux in linux {
                all.push((cell(Contender::Linux(linux.policy)), linux as &dyn Runner));
            }
        }
    }
    all
}

fn about(beside: &Beside) -> Option<OnLinux> {
    match beside {
        Beside::Nothing => None,
        Beside::Absent(why) => Some(OnLinux::Absent(why.clone())),
        Beside::Linux(installed) => Some(OnLinux::Was(installed.about.clone())),
    }
}

fn write(report: &Report, out: &Path) -> Result<(), Failure> {
    let files = [
        (RESULTS, report.to_json()),
        ("schedulers.csv", csv::schedulers(report)),
        ("jobs.csv", csv::jobs(report)),
        (PAGE, page::render(report)),
    ];
    for (name, content) in files {
        let file = out.join(name);
        std::fs::write(&file, content).map_err(Failure::with(file.display()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workloads_of_the_same_name_are_a_mistake() {
        let files = ["a/one.toml", "a/two.toml", "b/one.toml"].map(PathBuf::from);
        assert_eq!(namesakes(&files), ["b/one.toml: a/one.toml has the same name"]);
        assert_eq!(namesakes(&files[..2]), [""; 0]);
    }
}
