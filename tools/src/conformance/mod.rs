//! `./just conformance`: published and closed-form results of scheduling, made again on the kernel in QEMU and in the
//! simulator, each beside what is expected. `docs/conformance.md` explains them to whoever wants to add one.
//!
//! * [`shares`]: stride, lottery, round robin. [`currencies`]: tickets of currencies. [`inflation`]: tickets that change.
//!   [`lines`]: first come, first served, and round robin with jobs.
//!   [`deadlines`]: EDF, rate-monotonic and deadline-monotonic priorities. [`servers`]: constant-bandwidth servers. [`criticality`]: who is
//!   shed. [`slots`]: where slots are. [`sharing`]: locks and servers, with and without transfers of tickets. Each is a list of experiments.
//! * [`grade`]: the same for a policy of one's own.
//! * [`setting`]: an experiment's scenario. [`measures`]: what is read off a recording.
//!
//! Not here: how a run is made (`guests`, `sim`).

pub mod criticality;
pub mod currencies;
pub mod deadlines;
pub mod global;
pub mod grade;
pub mod inflation;
pub mod lines;
pub mod measures;
pub mod servers;
pub mod setting;
pub mod shares;
pub mod sharing;
pub mod slots;

use crate::guests::{self, Built, Images, Order};
use crate::hash;
use crate::recording::Recording;
use crate::run::{Stop, interrupted};
use crate::scenario::{self, Changes};
use crate::sim::{self, costs::Costs};
use crate::{Failure, metrics};
use libos_core::scenario::Admission;
use serde::Serialize;
use setting::Setting;
use std::fmt;
use std::path::{Path, PathBuf};

/// A known answer, and how to get it again.
pub struct Experiment {
    /// Unique, of the characters that a scenario's name may have.
    pub name: String,
    /// Who published it, or from what it follows.
    pub source: &'static str,
    /// What is run.
    pub setting: Setting,
    /// What has to come out.
    pub expectations: Vec<Expectation>,
}

/// One figure of an experiment.
pub struct Expectation {
    /// What it is.
    pub quantity: String,
    /// The known answer.
    pub expected: f64,
    /// The least and the most that is taken for it.
    pub allowed: (f64, f64),
    /// Why it need not be the answer itself.
    pub reason: &'static str,
    /// The figure; `None` if the recording does not have it.
    pub measure: Measure,
}

/// How a figure is read off a recording.
pub type Measure = Box<dyn Fn(&Recording) -> Option<f64> + Send + Sync>;

impl Expectation {
    /// The answer, give or take so much.
    pub fn near(
        quantity: impl Into<String>,
        (expected, tolerance): (f64, f64),
        reason: &'static str,
        measure: impl Fn(&Recording) -> Option<f64> + Send + Sync + 'static,
    ) -> Self {
        let allowed = (expected - tolerance, expected + tolerance);
        Self::within(quantity, (expected, allowed), reason, measure)
    }

    /// The answer, or anything that is allowed.
    pub fn within(
        quantity: impl Into<String>,
        (expected, allowed): (f64, (f64, f64)),
        reason: &'static str,
        measure: impl Fn(&Recording) -> Option<f64> + Send + Sync + 'static,
    ) -> Self {
        Self { quantity: quantity.into(), expected, allowed, reason, measure: Box::new(measure) }
    }

    fn finding(&self, recording: &Recording) -> Finding {
        let measured = (self.measure)(recording);
        let (least, most) = self.allowed;
        let holds = measured.is_some_and(|value| (least..=most).contains(&value));
        Finding {
            quantity: self.quantity.clone(),
            expected: self.expected,
            least,
            most,
            reason: self.reason,
            measured,
            holds,
        }
    }
}

/// All experiments, in the order of telling.
pub fn experiments() -> Vec<Experiment> {
    [
        shares::experiments(),
        currencies::experiments(),
        inflation::experiments(),
        lines::experiments(),
        deadlines::experiments(),
        global::experiments(),
        servers::experiments(),
        criticality::experiments(),
        slots::experiments(),
        sharing::experiments(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// What ran an experiment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum On {
    /// The kernel in QEMU.
    Kernel,
    /// The simulator.
    Simulator,
}

/// A figure, expected and measured.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Finding {
    /// What it is.
    pub quantity: String,
    /// The known answer.
    pub expected: f64,
    /// The least that is taken for it.
    pub least: f64,
    /// The most.
    pub most: f64,
    /// Why it need not be the answer itself.
    pub reason: &'static str,
    /// What came out; `None` if the run does not have the figure.
    pub measured: Option<f64>,
    /// Whether that is within what is allowed.
    pub holds: bool,
}

/// An experiment that was made.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Outcome {
    /// Its name.
    pub name: String,
    /// Who published the answer.
    pub source: &'static str,
    /// What was run, in words.
    pub parameters: String,
    /// On what.
    pub on: On,
    /// Why no figures could be made of the run, if so.
    pub unfit: Option<String>,
    /// Its figures.
    pub findings: Vec<Finding>,
}

impl Outcome {
    fn of(experiment: &Experiment, on: On, recording: &Recording) -> Self {
        Self {
            name: experiment.name.clone(),
            source: experiment.source,
            parameters: experiment.setting.to_string(),
            on,
            unfit: metrics::unfit(recording).or_else(|| somebody_missing(experiment, recording)),
            findings: experiment.expectations.iter().map(|one| one.finding(recording)).collect(),
        }
    }

    /// Whether every figure is as it should be.
    pub fn holds(&self) -> bool {
        self.unfit.is_none() && !self.findings.is_empty() && self.findings.iter().all(|one| one.holds)
    }
}

/// Without admission everybody takes part, or it was another experiment.
fn somebody_missing(experiment: &Experiment, recording: &Recording) -> Option<String> {
    let (wanted, there) = (experiment.setting.clients.len() as f64, measures::taken_on(recording)?);
    let refuses = experiment.setting.admission == Admission::Required;
    (!refuses && there < wanted).then(|| format!("only {there} of {wanted} clients took part"))
}

/// The same experiment on one thing or on both, as people read it.
struct Shown<'a>(&'a [Outcome]);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(first) = self.0.first() else { return Ok(()) };
        let sign = if self.0.iter().all(Outcome::holds) { "ok  " } else { "FAIL" };
        writeln!(f, "{sign} {}: {}", first.name, first.source)?;
        write!(f, "     {}", first.parameters)?;
        for (place, finding) in first.findings.iter().enumerate() {
            let Finding { quantity, expected, least, most, .. } = finding;
            write!(f, "\n     {quantity:<44} expected {}", Number(*expected))?;
            write!(f, " ({} to {})", Number(*least), Number(*most))?;
            for outcome in self.0 {
                let word = match outcome.on {
                    On::Kernel => "kernel",
                    On::Simulator => "simulator",
                };
                match &outcome.findings[place] {
                    Finding { measured: Some(value), holds, .. } => {
                        write!(f, "  {word} {}{}", Number(*value), if *holds { "" } else { " NOT SO" })?;
                    }
                    Finding { measured: None, .. } => write!(f, "  {word} NOT THERE")?,
                }
            }
            write!(f, "\n         allowed: {}", finding.reason)?;
        }
        let unfit = self.0.iter().filter_map(|outcome| outcome.unfit.as_ref());
        unfit.into_iter().try_for_each(|why| write!(f, "\n     no figures can be made of it: {why}"))
    }
}

/// A number with as many digits as matter.
struct Number(f64);

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = format!("{:.3}", self.0);
        f.write_str(text.trim_end_matches('0').trim_end_matches('.'))
    }
}

/// What is to be made again, on the command line.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    built: Built,
    /// Folder for the results, the scenarios and each run's recording
    #[arg(long, default_value = "out/conformance")]
    out: PathBuf,
    /// Only experiments whose name contains this
    #[arg(long)]
    only: Option<String>,
    /// Only on one of the two
    #[arg(long, value_enum)]
    on: Option<On>,
    /// Print the experiments, and make none
    #[arg(long)]
    list: bool,
}

/// The command `conformance`: whether everything was as it is known to be.
///
/// # Errors
/// If a run could not be made, or nothing has such a name.
pub fn command(arguments: Arguments) -> Result<bool, Stop> {
    let all = experiments();
    let wanted = arguments.only.as_deref().unwrap_or("");
    let chosen: Vec<&Experiment> = all.iter().filter(|one| one.name.contains(wanted)).collect();
    if chosen.is_empty() {
        let names: Vec<_> = all.iter().map(|one| one.name.as_str()).collect();
        return Err(
            Failure(format!("no experiment is called \"{wanted}\": there are {}", names.join(", "))).into()
        );
    }
    if arguments.list {
        chosen.iter().for_each(|one| println!("{}: {}\n    {}", one.name, one.source, one.setting));
        return Ok(true);
    }
    let images = arguments.built.into_folder(arguments.out);
    let outcomes = make(&chosen, &images, arguments.on)?;
    for one in &chosen {
        let mine: Vec<Outcome> =
            outcomes.iter().filter(|outcome| outcome.name == one.name).cloned().collect();
        println!("{}", Shown(&mine));
    }
    let held = outcomes.iter().filter(|outcome| outcome.holds()).count();
    println!("conformance: {held} of {} hold, of {} experiments", outcomes.len(), chosen.len());
    let document = Document { kernel: hash::of_files(&[&images.built.kernel])?, outcomes: &outcomes };
    guests::save_results(&images.out, &document)?;
    Ok(held == outcomes.len())
}

/// The results' file.
#[derive(Serialize)]
struct Document<'a> {
    /// Of the kernel's ELF file.
    kernel: String,
    outcomes: &'a [Outcome],
}

/// Makes experiments on one of the two, or on both.
fn make(chosen: &[&Experiment], images: &Images, on: Option<On>) -> Result<Vec<Outcome>, Stop> {
    let mut orders = Vec::new();
    for one in chosen {
        let scenario = written(one, &images.out)?;
        orders.push(Order { scenario, changes: Changes::default() });
    }
    let costs = Costs::table()?;
    let mut outcomes = Vec::new();
    if on != Some(On::Kernel) {
        for (one, order) in chosen.iter().zip(&orders) {
            outcomes.push(simulated(one, &order.scenario, &costs)?);
        }
    }
    if on != Some(On::Simulator) {
        outcomes.extend(guests::all(images, &orders, |made| {
            let one =
                orders.iter().position(|order| *order == made.order).and_then(|place| chosen.get(place));
            let one = one.ok_or_else(|| Failure("a run that nobody ordered".into()))?;
            println!("ran {} in {:.1} s", one.name, made.took.as_secs_f64());
            Ok(Outcome::of(one, On::Kernel, &made.recording))
        })?);
    }
    if interrupted() { Err(Stop::Interrupted) } else { Ok(outcomes) }
}

/// Writes an experiment's scenario where it can be run again.
fn written(experiment: &Experiment, out: &Path) -> Result<PathBuf, Failure> {
    let text = experiment.setting.scenario(&experiment.name, experiment.source);
    guests::save_scenario(out, &experiment.name, &text)
}

fn simulated(experiment: &Experiment, scenario: &Path, costs: &Costs) -> Result<Outcome, Failure> {
    let scenario = scenario::load(scenario, None, None)?;
    let run = sim::simulate(&scenario, costs)?;
    Ok(Outcome::of(experiment, On::Simulator, &run.recording))
}

#[cfg(test)]
mod tests;
