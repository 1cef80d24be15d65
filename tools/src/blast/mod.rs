//! `./just blast`: how far the failure of one scheduler reaches. One libOS fails in every way there is, a run for each, beside libOSes of
//! every kind and one run without any failure; what each of the others had before, during and after is measured. `docs/blast.md`
//! explains it to whoever wants to add a failure.
//!
//! * [`setting`]: the scenario. [`evidence`]: whether the failure happened, and what kernel and broker did about it.
//! * [`windows`]: what a libOS had by revolution and window. [`judge`]: what of that it lost. [`report`]: the tables.
//!
//! Not here: how a scheduler fails (`apps::scheduler::failure`), how a run is made (`guests`).

pub mod evidence;
pub mod judge;
pub mod report;
pub mod setting;
pub mod windows;

use crate::guests::{self, Built, Made, Order};
use crate::recording::Recording;
use crate::run::{Stop, interrupted};
use crate::scenario::Changes;
use crate::trace::{self, Trace};
use crate::{Failure, hash, metrics};
use evidence::Evidence;
use judge::{Other, Run};
use libos_core::scenario::Failure as How;
use serde::Serialize;
use setting::{CONTROL, Times, VICTIM};
use std::path::PathBuf;
use windows::Windows;

/// Of the results' file.
pub const VERSION: u32 = 1;

/// A failure that was made.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Case {
    /// Its word.
    pub failure: &'static str,
    /// Whether it happened and nobody lost anything by it.
    pub passed: bool,
    /// Why not, in words; nothing if it passed.
    pub problems: Vec<String>,
    /// That it happened.
    pub evidence: Evidence,
    /// What kernel and broker did about it, in words.
    pub verdict: String,
    /// How long it lasted, in milliseconds: until it was mended, or the libOS was ended.
    pub lasted_ms: f64,
    /// Everybody else.
    pub others: Vec<Other>,
}

impl Case {
    /// A failure's run beside the one without.
    ///
    /// # Errors
    /// If its trace cannot be read.
    pub fn of<'a>(how: How, failed: &'a Made, control: &'a Made) -> Result<Self, Failure> {
        let file = failed.folder.join(trace::FILE);
        let bytes = std::fs::read(&file).map_err(Failure::with(file.display()))?;
        let (recording, trace) = (&failed.recording, Trace::decode([&bytes[..]]));
        let measured = measured(failed, control);
        let until = recording.epoch + measured.end * windows::length(recording);
        let evidence =
            Evidence::of((VICTIM, until), recording, (&failed.cast, &trace), &failed.results.hostile);
        let others: Vec<&str> = failed.scenario.libos.iter().map(|libos| &libos.name[..]).collect();
        let others: Vec<&str> = others.into_iter().filter(|name| *name != VICTIM).collect();
        let mut problems = Vec::new();
        problems
            .extend(evidence.complaint(how, recording.cores).map(|why| format!("no {}: {why}", how.word())));
        problems.extend(unfit(failed));
        let span = evidence.first().zip(evidence.span(until)).map(|(from, (_, to))| (from, to));
        let span = span.unwrap_or((recording.end, recording.end));
        let windows = Windows::new(recording, &measured, span);
        let run = |made: &'a Made| Run { recording: &made.recording, results: &made.results };
        let others: Vec<Other> =
            others.into_iter().map(|name| Other::of(name, run(failed), run(control), &windows)).collect();
        problems.extend(others.iter().flat_map(Other::complaints));
        Ok(Self {
            failure: how.word(),
            passed: problems.is_empty(),
            verdict: evidence.verdict(recording),
            lasted_ms: recording.us(span.1.saturating_sub(span.0)) / 1000.0,
            problems,
            evidence,
            others,
        })
    }
}

/// Everything in which a run was not as its scenario promises to those that do not fail, or why no figures may be made of it.
fn unfit(made: &Made) -> Vec<String> {
    let lines = made.results.verdict.iter().filter(|line| !line.passed);
    let lines = lines.map(|line| format!("{}: {}", line.expected, line.seen));
    lines.chain(metrics::unfit(&made.recording)).collect()
}

/// The revolutions that both runs have, by the libOSes that stay from the beginning to the end.
fn measured(failed: &Made, control: &Made) -> windows::Revolutions {
    let stays = failed
        .scenario
        .libos
        .iter()
        .filter(|libos| libos.name != VICTIM && libos.leaves_ms.is_none() && libos.arrives_ms == 0);
    let stays: Vec<&str> = stays.map(|libos| &libos.name[..]).collect();
    let of = |recording: &Recording| windows::measured(recording, &stays);
    let (here, there) = (of(&failed.recording), of(&control.recording));
    here.start.max(there.start)..here.end.min(there.end)
}

/// What is to be made, on the command line.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    built: Built,
    /// Folder for the results, the scenarios and each run's recording
    #[arg(long, default_value = "out/blast")]
    out: PathBuf,
    /// Only failures whose name contains this; several with commas
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// Short runs: whether anything is lost, with figures of little weight
    #[arg(long)]
    quick: bool,
    /// Print the failures, and make none
    #[arg(long)]
    list: bool,
}

/// The failures whose names contain one of these words; all of them, if there are none.
fn chosen(only: &[String]) -> Result<Vec<How>, Failure> {
    let all = How::NAMES;
    if let Some(unknown) = only.iter().find(|word| !all.iter().any(|(name, _)| name.contains(&word[..]))) {
        let names = all.map(|(name, _)| name).join(", ");
        return Err(Failure(format!("no failure is called \"{unknown}\": there are {names}")));
    }
    let is_chosen = |name: &str| only.is_empty() || only.iter().any(|word| name.contains(&word[..]));
    Ok(all.into_iter().filter(|(name, _)| is_chosen(name)).map(|(_, how)| how).collect())
}

/// The command `blast`: whether every failure happened, and nobody else lost a slot or a deadline by any.
///
/// # Errors
/// If a run could not be made, or nothing has such a name.
pub fn command(arguments: Arguments) -> Result<bool, Stop> {
    let chosen = chosen(&arguments.only)?;
    if arguments.list {
        chosen.iter().for_each(|how| println!("{}", how.word()));
        return Ok(true);
    }
    let times = if arguments.quick { Times::QUICK } else { Times::WHOLE };
    let (control, runs) = make(&chosen, &times, &arguments)?;
    let spoilt = unfit(&control);
    let cases =
        runs.iter().map(|(how, made)| Case::of(*how, made, &control)).collect::<Result<Vec<_>, _>>()?;
    print!("{}", report::Tables(&cases));
    spoilt.iter().for_each(|why| println!("FAIL without any failure: {why}"));
    let passed = cases.iter().filter(|case| case.passed).count();
    println!("blast: {passed} of {} failures happened and took nothing from anybody else", cases.len());
    let document = Document {
        version: VERSION,
        kernel: hash::of_files(&[&arguments.built.kernel])?,
        control_problems: &spoilt,
        cases: &cases,
    };
    guests::save_results(&arguments.out, &document)?;
    Ok(passed == cases.len() && spoilt.is_empty())
}

/// The results' file.
#[derive(Serialize)]
struct Document<'a> {
    version: u32,
    /// Of the kernel's ELF file.
    kernel: String,
    /// What was not as it should be in the run without failure.
    control_problems: &'a [String],
    cases: &'a [Case],
}

/// Makes the run without failure, and one for each failure.
fn make(chosen: &[How], times: &Times, arguments: &Arguments) -> Result<(Made, Vec<(How, Made)>), Stop> {
    let all: Vec<Option<How>> = std::iter::once(None).chain(chosen.iter().copied().map(Some)).collect();
    let mut orders = Vec::new();
    for failure in &all {
        let name = failure.map_or(CONTROL, How::word);
        let scenario = guests::save_scenario(&arguments.out, name, &setting::scenario(*failure, times))?;
        orders.push(Order { scenario, changes: Changes::default() });
    }
    let images = arguments.built.clone().into_folder(arguments.out.clone());
    let made = guests::all(&images, &orders, |made| {
        println!("ran {} in {:.1} s", made.scenario.name, made.took.as_secs_f64());
        Ok(made)
    })?;
    if interrupted() {
        return Err(Stop::Interrupted);
    }
    let mut made = made.into_iter();
    let control = made.next().ok_or_else(|| Failure("the run without failure is not there".into()))?;
    Ok((control, chosen.iter().copied().zip(made).collect()))
}

#[cfg(test)]
mod tests;
