//! `./just compare`: what is to be compared becomes runs, and their results become files. Not here: the running (`engine`),
//! nor the computing (`report`).

use super::cell::{Cell, Runner};
use super::engine::{self, Plan};
use super::report::Report;
use super::{costs, csv, page};
use crate::run::{RESULTS, Stop};
use crate::{Failure, scenario};
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

/// Runs and writes everything. Mistakes in scenarios are told, all of them, before anything runs.
pub fn compare(order: &Order, runners: &[&dyn Runner]) -> Result<Report, Stop> {
    let mistakes: Vec<String> = order
        .workloads
        .iter()
        .filter_map(|workload| scenario::load(workload, order.cores, None).err())
        .map(|Failure(message)| message)
        .collect();
    let mistakes: Vec<String> = mistakes.into_iter().chain(namesakes(&order.workloads)).collect();
    if !mistakes.is_empty() {
        return Err(Failure(mistakes.join("\n")).into());
    }
    let plan = Plan {
        cells: cells(order),
        runners: runners.to_vec(),
        jobs: order.jobs,
        cache: order.out.join("cache"),
    };
    let done = engine::run(&plan)?;
    let images = runners.iter().map(|runner| runner.images()).find(|images| !images.is_empty());
    let report = Report::new(done, &order.policies, (order.command.clone(), images.map(String::from)));
    let report = report.with_decisions(costs::decisions(runners, &order.out.join("cache"))?);
    write(&report, &order.out)?;
    Ok(report)
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

fn cells(order: &Order) -> Vec<Cell> {
    let mut cells = Vec::new();
    // Seeds first: whoever interrupts has all policies of some seeds, and not some policies of all.
    for seed in 1..=order.seeds {
        for workload in &order.workloads {
            for policy in &order.policies {
                cells.push(Cell { workload: workload.clone(), policy: *policy, seed, cores: order.cores });
            }
        }
    }
    cells
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
