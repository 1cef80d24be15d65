//! `./just import`: other programs' task sets as scenarios. What a scenario cannot say is refused by name, what it says otherwise
//! stands in its first lines, and what means nothing to a scheduler stands there, too: nothing is left out in silence.
//!
//! [`rt_app`]: JSON files of rt-app, the workload generator of Linux's scheduling people. [`simso`]: XML files of the simulator
//! SimSo. `json`: JSON with the order and the repetitions of its keys. `render`: the text. Not here: running what
//! came of it.

mod json;
mod render;
pub mod rt_app;
pub mod simso;
#[cfg(test)]
mod tests;

use crate::{Failure, scenario};
use libos_core::scenario::Policy;
use std::path::{Path, PathBuf};
use tranche_abi::layout::MAX_CORES;

/// What can be typed.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// A JSON file of rt-app or an XML file of SimSo
    pub file: PathBuf,
    /// The policy [default: the one that stands for the file's own]
    #[arg(long, value_parser = scenario::policy_of)]
    pub policy: Option<Policy>,
    /// Cores [default: as many as the file speaks of]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=MAX_CORES as i64))]
    pub cores: Option<u32>,
    /// How long it runs, in place of the file's own duration
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    pub duration_ms: Option<u32>,
    /// File for the scenario [default: it is printed]
    #[arg(long)]
    pub out: Option<PathBuf>,
}

/// What is to be otherwise than the file says.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wishes {
    /// The policy.
    pub policy: Option<Policy>,
    /// Cores.
    pub cores: Option<u32>,
    /// Duration, in milliseconds.
    pub duration_ms: Option<u32>,
}

/// A task set as a scenario can have it.
#[derive(Debug, PartialEq)]
pub struct Set {
    duration_ms: u32,
    cores: u32,
    policy: Policy,
    tasks: Vec<Task>,
    /// What is otherwise than in the file.
    approximated: Vec<String>,
    /// What means nothing to a scheduler.
    ignored: Vec<String>,
}

/// A task.
#[derive(Clone, Debug, PartialEq)]
struct Task {
    /// As the file has it.
    name: String,
    /// Cores on which it may run, if it says so.
    cores: Option<Vec<u32>>,
    tickets: u32,
    /// Its jobs; without any it computes without end.
    jobs: Option<Jobs>,
}

/// Periodic jobs, in microseconds.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Jobs {
    work: u32,
    /// If the file says so.
    budget: Option<u32>,
    period: u32,
    deadline: u32,
    offset: u32,
}

/// What cannot be expressed: where it is, why, and what to do.
type Mistakes = Vec<String>;

/// The scenario of a file, as text that loads.
///
/// # Errors
/// Everything in the file that cannot be expressed.
pub fn import(file: &Path, wishes: &Wishes) -> Result<String, Failure> {
    let text = std::fs::read_to_string(file).map_err(Failure::with(file.display()))?;
    let text = text.trim_start_matches('\u{feff}');
    let all = |mistakes: Mistakes| {
        let lines = mistakes.iter().map(|mistake| format!("{}: {mistake}", file.display()));
        Failure(lines.collect::<Vec<_>>().join("\n"))
    };
    let (what, set) = match text.trim_start().chars().next() {
        Some('<') => ("SimSo's task set", simso::read(text, wishes)),
        Some('{' | '/') => ("rt-app's workload", rt_app::read(text, wishes)),
        _ => {
            let kinds = "begins neither as JSON ({), which rt-app has, nor as XML (<), which SimSo has";
            return Err(all(vec![kinds.into()]));
        }
    };
    let set = set.map_err(&all)?;
    let scenario = render::scenario(file, what, &set).map_err(&all)?;
    scenario::parse(&scenario, None, None).map_err(|problems| {
        let line = |problem: &scenario::Problem| {
            let field = scenario.lines().nth(problem.line.saturating_sub(1)).unwrap_or_default();
            format!("the scenario of it would be wrong: {} {} ({field})", problem.path, problem.message)
        };
        all(problems.iter().map(line).collect())
    })?;
    Ok(scenario)
}

/// Does what was typed.
///
/// # Errors
/// As [`import`], and if the scenario cannot be written.
pub fn command(arguments: Arguments) -> Result<bool, Failure> {
    let Arguments { file, policy, cores, duration_ms, out } = arguments;
    let scenario = import(&file, &Wishes { policy, cores, duration_ms })?;
    match out {
        None => print!("{scenario}"),
        Some(out) => {
            std::fs::write(&out, &scenario).map_err(Failure::with(out.display()))?;
            println!("{}: ./just sim {} simulates it", out.display(), out.display());
        }
    }
    Ok(true)
}

/// Whole microseconds of a number of them, if there are so many.
fn whole_us(value: f64) -> Option<u32> {
    let rounded = value.round();
    (value.is_finite() && (0.0..=f64::from(u32::MAX)).contains(&rounded)).then_some(rounded as u32)
}
