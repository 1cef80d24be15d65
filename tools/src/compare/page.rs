//! A comparison as one self-contained page: its style, its code and its data are in the file, and it needs no network. Not
//! here: the code that draws (`page/*.js`), nor what is drawn (`report`, `metrics::plots`).
//!
//! To keep the page small it has the curves of the first seed's runs only, and of distributions so many points as a figure
//! can show. `results.json` has everything.

use super::costs::RecordingCosts;
use super::report::{Design, Failed, LINUX, OnLinux, Report, Run, Summary, Violation};
use crate::decisions::Curve;
use crate::metrics::bounds::Bound;
use crate::metrics::plots::{Curves, Timeline};
use serde::Serialize;
use std::collections::BTreeSet;

const TEMPLATE: &str = include_str!("page/template.html");
const STYLE: &str = include_str!("page/style.css");
const SCRIPTS: [&str; 4] = [
    include_str!("page/draw.js"),
    include_str!("page/figures.js"),
    include_str!("page/costs.js"),
    include_str!("page/page.js"),
];
/// Points of a distribution at most; those beyond the 99 % quantile are in addition.
const POINTS: usize = 100;

/// What the page's code reads.
#[derive(Serialize)]
struct Data<'a> {
    command: &'a str,
    images: Option<&'a str>,
    linux: Option<&'a OnLinux>,
    design: &'a Design,
    sources: Vec<&'a str>,
    failed: &'a [Failed],
    violations: &'a [Violation],
    run_count: usize,
    bound_count: usize,
    costly: Vec<String>,
    decisions: &'a [Curve],
    recording: &'a RecordingCosts,
    summaries: &'a [Summary],
    runs: Vec<Shown<'a>>,
    latencies: Vec<Line<'a>>,
    misses: Vec<Line<'a>>,
}

/// A run of the first seed.
#[derive(Serialize)]
struct Shown<'a> {
    workload: &'a str,
    file: &'a str,
    policy: &'a str,
    seed: u64,
    source: &'a str,
    curves: &'a [Curves],
    timeline: &'a Timeline,
    bounds: Vec<Placed<'a>>,
}

#[derive(Serialize)]
struct Placed<'a> {
    core: Option<u32>,
    #[serde(flatten)]
    bound: &'a Bound,
}

/// Points of a policy on a workload, over all seeds.
#[derive(Serialize)]
struct Line<'a> {
    workload: &'a str,
    policy: &'a str,
    source: &'a str,
    points: Vec<(f64, f64)>,
}

/// The whole page.
pub fn render(report: &Report) -> String {
    let data = serde_json::to_string(&data(report)).unwrap_or_default();
    // Inside a page, "</" in a string would end the element that holds the data.
    let parts = [
        ("{{style}}", STYLE.into()),
        ("{{data}}", data.replace("</", "<\\/")),
        ("{{script}}", SCRIPTS.join("\n")),
    ];
    let mut page = String::new();
    let mut rest = TEMPLATE;
    for (mark, content) in parts {
        // The template is a constant and has each mark once, in this order; a test says so.
        let (before, after) = rest.split_once(mark).unwrap_or((rest, ""));
        page += before;
        page += &content;
        rest = after;
    }
    page + rest
}

fn data(report: &Report) -> Data<'_> {
    let runs = &report.runs;
    let first = report.design.seeds.first().copied();
    // Linux is beside the others, whichever is looked at.
    let sources: BTreeSet<&str> =
        runs.iter().map(|run| run.source).filter(|source| *source != LINUX).collect();
    let bounds = runs.iter().flat_map(|run| &run.kept.metrics).map(|metrics| metrics.bounds.len());
    Data {
        command: &report.command,
        images: report.images.as_deref(),
        linux: report.linux.as_ref(),
        design: &report.design,
        sources: sources.into_iter().collect(),
        failed: &report.failed,
        violations: &report.violations,
        run_count: runs.len(),
        bound_count: bounds.sum(),
        costly: report.costly(),
        decisions: &report.decisions,
        recording: &report.recording,
        summaries: &report.summaries,
        runs: runs.iter().filter(|run| Some(run.seed) == first).map(shown).collect(),
        latencies: lines(report, |runs| {
            cumulative(runs.iter().flat_map(|run| &run.kept.latencies_us).copied())
        }),
        misses: lines(report, misses),
    }
}

fn shown(run: &Run) -> Shown<'_> {
    let bounds = run
        .kept
        .metrics
        .iter()
        .flat_map(|metrics| metrics.bounds.iter().map(|bound| Placed { core: metrics.core, bound }));
    Shown {
        workload: &run.workload,
        file: &run.file,
        policy: &run.policy,
        seed: run.seed,
        source: run.source,
        curves: &run.kept.curves,
        timeline: &run.kept.timeline,
        bounds: bounds.collect(),
    }
}

/// A line for each workload, policy and source.
fn lines<'a>(report: &'a Report, points: impl Fn(&[&Run]) -> Vec<(f64, f64)>) -> Vec<Line<'a>> {
    let mut all = Vec::new();
    let keys: BTreeSet<(&str, &str, &str)> =
        report.runs.iter().map(|run| (run.workload.as_str(), run.policy.as_str(), run.source)).collect();
    for (workload, policy, source) in keys {
        let mine = |run: &&Run| run.workload == workload && run.policy == policy && run.source == source;
        let runs: Vec<&Run> = report.runs.iter().filter(mine).collect();
        all.push(Line { workload, policy, source, points: points(&runs) });
    }
    all
}

/// A distribution: values, each with the part of all that is at most it.
fn cumulative(values: impl Iterator<Item = f64>) -> Vec<(f64, f64)> {
    let mut sorted: Vec<f64> = values.collect();
    sorted.sort_by(f64::total_cmp);
    let count = sorted.len();
    let even = (1..=POINTS).map(|point| (count * point).div_ceil(POINTS));
    let tail = (1..=POINTS).map(|point| (count * (99 * POINTS + point)).div_ceil(100 * POINTS));
    let ranks: BTreeSet<usize> = even.chain(tail).filter(|rank| *rank > 0).collect();
    let point = |rank: usize| {
        let (value, part) = (sorted[rank - 1], rank as f64 / count as f64);
        ((value * 1000.0).round() / 1000.0, (part * 1e6).round() / 1e6)
    };
    ranks.into_iter().map(point).collect()
}

/// Demand and miss ratio of every scheduler whose clients are all periodic.
fn misses(runs: &[&Run]) -> Vec<(f64, f64)> {
    let all = runs.iter().flat_map(|run| &run.kept.metrics);
    all.filter_map(|metrics| Some((metrics.utilisation?, metrics.jobs?.miss_ratio?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_template_has_each_mark_once_and_in_order() {
        let places: Vec<_> = ["{{style}}", "{{data}}", "{{script}}"]
            .iter()
            .map(|mark| (TEMPLATE.matches(mark).count(), TEMPLATE.find(mark)))
            .collect();
        assert!(places.iter().all(|(count, _)| *count == 1));
        assert!(places.is_sorted_by_key(|(_, place)| *place));
    }

    #[test]
    fn nothing_on_the_page_comes_from_elsewhere() {
        let all = [&[TEMPLATE, STYLE][..], &SCRIPTS].concat().concat();
        // The name of SVG's namespace is no address.
        let all = all.replace("http://www.w3.org/2000/svg", "");
        for from_elsewhere in ["http:", "https:", "@import", "src=", "url("] {
            assert!(!all.contains(from_elsewhere), "{from_elsewhere}");
        }
    }

    #[test]
    fn a_distribution_is_thinned_out_and_keeps_its_tail() {
        let points = cumulative((1..=100_000).map(f64::from));
        assert!(points.len() <= 2 * POINTS, "{}", points.len());
        assert_eq!(points.last(), Some(&(100_000.0, 1.0)));
        assert!(points.contains(&(50_000.0, 0.5)) && points.contains(&(99_900.0, 0.999)));
        assert_eq!(cumulative([2.0, 1.0].into_iter()), [(1.0, 0.5), (2.0, 1.0)]);
        assert_eq!(cumulative([].into_iter()), []);
    }
}
