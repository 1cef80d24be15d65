//! A comparison's whole result: every run's figures, means with their intervals, which policies differ, and which bounds
//! did not hold; and `results.json`, as `docs/compare.md` explains it. Not here: how it looks (`page`, `csv`).

use super::cell::{Contender, Kept};
use super::costs::{self, RecordingCosts};
use super::engine::{Done, name};
use super::linux::About;
use super::measures::{Better, MEASURES, Measure};
use super::statistics::{self, Answer, Interval, Paired};
use crate::decisions::Curve;
use crate::metrics::Metrics;
use crate::metrics::bounds::Bound;
use crate::recording::Source;
use serde::Serialize;
use std::collections::BTreeMap;

/// Version of the file's schema; grows with every change of it.
pub const VERSION: u32 = 2;
/// Seed of the statistics' own chance.
const CHANCE: u64 = 0x7472_616e_6368_6531;

/// The whole file.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// [`VERSION`].
    pub version: u32,
    /// Every run ended, every bound held, and neither deciding nor recording costs too much.
    pub passed: bool,
    /// The command that gives the same again.
    pub command: String,
    /// Hash of the kernel's image and the programs; `None` if only the simulator ran.
    pub images: Option<String>,
    /// Which Linux is beside our policies; `None` if nobody asked for it.
    pub linux: Option<OnLinux>,
    /// What is compared, and how.
    pub design: Design,
    /// Runs that gave nothing: which, and why.
    pub failed: Vec<Failed>,
    /// Bounds that did not hold.
    pub violations: Vec<Violation>,
    /// For each workload, source and measure: what came out.
    pub summaries: Vec<Summary>,
    /// What decisions cost with few clients and with many.
    pub decisions: Vec<Curve>,
    /// What recording cost the runs.
    pub recording: RecordingCosts,
    /// Every run.
    pub runs: Vec<Run>,
}

/// Which Linux it was, or why there is none.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnLinux {
    /// This one.
    Was(About),
    /// None, because of this.
    Absent(String),
}

/// What a report says of itself.
#[derive(Clone, Debug, Default)]
pub struct Header {
    /// The command that gives the same again.
    pub command: String,
    /// Hash of the kernel's image and the programs; `None` if only the simulator ran.
    pub images: Option<String>,
    /// Which Linux is beside our policies; `None` if nobody asked for it.
    pub linux: Option<OnLinux>,
}

/// What is compared, and how.
#[derive(Clone, Debug, Serialize)]
pub struct Design {
    /// Scenarios' names, in order.
    pub workloads: Vec<String>,
    /// Policies' words, in order: ours, then Linux's.
    pub policies: Vec<String>,
    /// How many of them are ours.
    pub ours: usize,
    /// Seeds.
    pub seeds: Vec<u64>,
    /// Level of a difference, after the correction.
    pub level: f64,
    /// Resamples, where not all are gone through.
    pub draws: u64,
    /// Pairs of our policies in each panel, corrected together.
    pub comparisons: usize,
    /// Pairs with Linux in them in each panel, corrected together and apart from the others.
    pub comparisons_with_linux: usize,
    /// Pairs of values that a difference needs at least.
    pub pairs_needed: Option<u32>,
}

/// A run that gave nothing.
#[derive(Clone, Debug, Serialize)]
pub struct Failed {
    /// Which.
    pub run: String,
    /// Why.
    pub why: String,
}

/// A bound that did not hold.
#[derive(Clone, Debug, Serialize)]
pub struct Violation {
    /// In which run.
    pub run: String,
    /// Of which scheduler: `libos/core`.
    pub scheduler: String,
    /// Which.
    pub bound: Bound,
}

/// One measure on one workload.
#[derive(Clone, Debug, Serialize)]
pub struct Summary {
    /// The scenario's name.
    pub workload: String,
    /// Who told of our policies: `kernel` or `simulator`. Linux's are beside both.
    pub source: &'static str,
    /// The measure's word.
    pub measure: &'static str,
    /// Its name.
    pub title: &'static str,
    /// Its unit.
    pub unit: &'static str,
    /// Which way is better.
    pub better: Better,
    /// Of each policy for which there are values.
    pub policies: Vec<Estimate>,
    /// Of each pair of them.
    pub pairs: Vec<Pair>,
}

/// A policy's mean.
#[derive(Clone, Debug, Serialize)]
pub struct Estimate {
    /// The policy's word.
    pub policy: String,
    /// Its mean over seeds and schedulers, and 95 % of the bootstrap.
    pub interval: Interval,
    /// The values: seed, scheduler, value.
    pub values: Vec<(u64, String, f64)>,
    /// The least of the bounds on this measure, and whether all of them held.
    pub bound: Option<(f64, bool)>,
}

/// Two policies compared.
#[derive(Clone, Debug, Serialize)]
pub struct Pair {
    /// The one.
    pub one: String,
    /// The other.
    pub other: String,
    /// The test; the difference is one less other.
    pub test: Paired,
    /// p after Holm's correction over the pairs of this summary of the same family: of ours only, or with Linux.
    pub corrected_p: f64,
    /// What can be said.
    pub answer: Answer,
}

/// A run's figures.
#[derive(Clone, Debug, Serialize)]
pub struct Run {
    /// The scenario's name.
    pub workload: String,
    /// The scenario's file.
    pub file: String,
    /// The policy's word.
    pub policy: String,
    /// The seed.
    pub seed: u64,
    /// Who told.
    pub source: &'static str,
    /// All of it.
    #[serde(flatten)]
    pub kept: Kept,
}

/// The source of what was run on Linux, as a word.
pub const LINUX: &str = "linux";

/// Who told, as a word.
pub fn source_word(source: Source) -> &'static str {
    match source {
        Source::Kernel => "kernel",
        Source::Simulator => "simulator",
        Source::Linux(_) => LINUX,
    }
}

impl Report {
    /// Computes everything.
    pub fn new(done: Vec<Done>, policies: &[Contender], header: Header) -> Self {
        let mut failed = Vec::new();
        let mut runs = Vec::new();
        for done in done {
            let run = name(&done);
            match done.kept {
                Ok(kept) => runs.push(Run {
                    workload: done.cell.workload.file_stem().unwrap_or_default().to_string_lossy().into(),
                    file: done.cell.workload.display().to_string(),
                    policy: done.cell.policy.word().into(),
                    seed: done.cell.seed,
                    source: source_word(done.source),
                    kept,
                }),
                Err(why) => failed.push(Failed { run, why }),
            }
        }
        let design = design(&runs, policies);
        let violations: Vec<_> = runs.iter().flat_map(violations).collect();
        let summaries = summaries(&runs, &design);
        let recording = costs::recording(&runs);
        let passed = failed.is_empty() && violations.is_empty() && !runs.is_empty() && recording.within();
        let Header { command, images, linux } = header;
        let decisions = Vec::new();
        Self {
            version: VERSION,
            passed,
            command,
            images,
            linux,
            design,
            failed,
            violations,
            summaries,
            decisions,
            recording,
            runs,
        }
    }

    /// The same with what decisions cost.
    pub fn with_decisions(self, decisions: Vec<Curve>) -> Self {
        let passed = self.passed && decisions.iter().all(Curve::is_in_order);
        Self { decisions, passed, ..self }
    }

    /// What costs too much, in words.
    pub fn costly(&self) -> Vec<String> {
        let curves = self.decisions.iter().filter(|curve| !curve.is_in_order());
        let curves = curves
            .map(|curve| format!("{}: {} grows faster than log n", curve.policy, curve.quantity.title()));
        curves.chain(self.recording.too_much()).collect()
    }

    /// The file's bytes.
    pub fn to_json(&self) -> String {
        // The types are plain: writing them to memory cannot fail.
        serde_json::to_string(self).unwrap_or_default() + "\n"
    }
}

fn design(runs: &[Run], policies: &[Contender]) -> Design {
    let mut workloads = Vec::new();
    let mut seeds = Vec::new();
    for run in runs {
        if !workloads.contains(&run.workload) {
            workloads.push(run.workload.clone());
        }
        if !seeds.contains(&run.seed) {
            seeds.push(run.seed);
        }
    }
    let ours = policies.iter().filter(|policy| !matches!(policy, Contender::Linux(_))).count();
    let pairs_of = |count: usize| count * count.saturating_sub(1) / 2;
    let comparisons = pairs_of(ours);
    Design {
        workloads,
        policies: policies.iter().map(|policy| policy.word().into()).collect(),
        ours,
        seeds,
        level: statistics::LEVEL,
        draws: statistics::DRAWS,
        comparisons,
        comparisons_with_linux: pairs_of(policies.len()) - comparisons,
        pairs_needed: statistics::pairs_needed(comparisons, 1..=60),
    }
}

fn violations(run: &Run) -> Vec<Violation> {
    let of = |metrics: &Metrics| {
        let scheduler = metrics.scheduler();
        let broken = metrics.bounds.iter().filter(|bound| !bound.holds).cloned();
        let run = format!("{}, {}, seed {}, {}", run.workload, run.policy, run.seed, run.source);
        broken
            .map(move |bound| Violation { run: run.clone(), scheduler: scheduler.clone(), bound })
            .collect::<Vec<_>>()
    };
    run.kept.metrics.iter().flat_map(of).collect()
}

fn summaries(runs: &[Run], design: &Design) -> Vec<Summary> {
    let mut all = Vec::new();
    for workload in &design.workloads {
        for source in ["kernel", "simulator"] {
            let is_here = |run: &&Run| run.workload == *workload && [source, LINUX].contains(&run.source);
            let here: Vec<&Run> = runs.iter().filter(is_here).collect();
            // Linux is beside something.
            if here.iter().any(|run| run.source == source) {
                let of = |measure| summary((&here, source), design, measure);
                all.extend(MEASURES.iter().filter_map(of));
            }
        }
    }
    all
}

/// The values of a policy: by seed and scheduler, so that two policies' can be paired.
type Values = BTreeMap<(u64, String), f64>;

fn summary((runs, source): (&[&Run], &'static str), design: &Design, measure: &Measure) -> Option<Summary> {
    let first = runs.first()?;
    let mut policies = Vec::new();
    let mut values: Vec<(String, Values)> = Vec::new();
    for policy in &design.policies {
        let mine: Vec<&&Run> = runs.iter().filter(|run| run.policy == *policy).collect();
        let found = values_of(&mine, measure);
        let plain: Vec<f64> = found.values().copied().collect();
        let Some(interval) = statistics::bootstrap(&plain, CHANCE) else { continue };
        policies.push(Estimate {
            policy: policy.clone(),
            interval,
            values: found
                .iter()
                .map(|((seed, scheduler), value)| (*seed, scheduler.clone(), *value))
                .collect(),
            bound: bound_of(&mine, measure.id),
        });
        values.push((policy.clone(), found));
    }
    (!policies.is_empty()).then(|| Summary {
        workload: first.workload.clone(),
        source,
        measure: measure.id,
        title: measure.title,
        unit: measure.unit,
        better: measure.better,
        pairs: pairs(&values, &design.policies[design.ours..]),
        policies,
    })
}

fn values_of(runs: &[&&Run], measure: &Measure) -> Values {
    let mut values = Values::new();
    for run in runs {
        for metrics in &run.kept.metrics {
            if let Some(value) = (measure.of)(metrics) {
                values.insert((run.seed, metrics.scheduler()), value);
            }
        }
    }
    values
}

/// The bounds on what a measure measures, over all schedulers of these runs.
fn bound_of(runs: &[&&Run], measure: &str) -> Option<(f64, bool)> {
    let quantity = match measure {
        "pairwise" => "pairwise error",
        "max-tardiness" => "tardiness",
        _ => return None,
    };
    let bounds = runs.iter().flat_map(|run| &run.kept.metrics).flat_map(|metrics| &metrics.bounds);
    let mine: Vec<&Bound> = bounds.filter(|bound| bound.quantity == quantity).collect();
    let least = mine.iter().map(|bound| bound.most).reduce(f64::min)?;
    Some((least, mine.iter().all(|bound| bound.holds)))
}

/// Every pair of policies. Those of ours only are one family of comparisons, those with Linux in them another: who puts Linux
/// beside them needs no more repetitions to tell ours apart.
fn pairs(values: &[(String, Values)], linux: &[String]) -> Vec<Pair> {
    let mut families = [Vec::new(), Vec::new()];
    for (index, (one, mine)) in values.iter().enumerate() {
        for (other, theirs) in &values[index + 1..] {
            let both = mine.iter().filter_map(|(key, value)| Some(value - theirs.get(key)?));
            if let Some(test) = statistics::paired(&both.collect::<Vec<_>>(), CHANCE) {
                let family = usize::from(linux.contains(one) || linux.contains(other));
                families[family].push((one.clone(), other.clone(), test));
            }
        }
    }
    families.into_iter().flat_map(answered).collect()
}

/// A family of comparisons with what can be said of each.
fn answered(tests: Vec<(String, String, Paired)>) -> Vec<Pair> {
    let corrected = statistics::holm(&tests.iter().map(|(_, _, test)| test.p).collect::<Vec<_>>());
    let comparisons = tests.len();
    let pair = |((one, other, test), corrected_p): ((String, String, Paired), f64)| {
        let answer = statistics::answer(&test, corrected_p, comparisons);
        Pair { one, other, test, corrected_p, answer }
    };
    tests.into_iter().zip(corrected).map(pair).collect()
}
