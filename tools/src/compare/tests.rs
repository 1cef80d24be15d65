//! Whole comparisons of made-up runs: the engine, its cache, the statistics over it, and the page in a browser.

use super::cell::{Cell, Contender, Runner};
use super::engine::{self, Plan};
use super::linux::About;
use super::report::{Header, OnLinux, Report};
use super::statistics::Answer;
use super::{costs, csv, page};
use crate::Failure;
use crate::decisions::{Curve, Point, Quantity};
use crate::metrics::fixture;
use crate::recording::{LinuxPolicy, Recording, RecordingCost, Source};
use crate::run::Stop;
use libos_core::scenario::Policy;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Makes up runs: stride alternates; a lottery draws by the seed; whatever else is asked for fails.
#[derive(Default)]
struct MadeUp {
    runs: AtomicUsize,
}

impl Runner for MadeUp {
    fn source(&self) -> Source {
        Source::Simulator
    }

    fn images(&self) -> &str {
        ""
    }

    fn run(&self, cell: &Cell) -> Result<Recording, Stop> {
        self.runs.fetch_add(1, Ordering::Relaxed);
        let mut number = cell.seed;
        let Contender::Ours(policy) = cell.policy else {
            return Err(Failure("Linux is not here".into()).into());
        };
        let order: Vec<usize> = match policy {
            Policy::Stride => (0..400).map(|turn| turn % 2).collect(),
            Policy::Lottery => (0..400)
                .map(|_| {
                    number = number
                        .wrapping_mul(6_364_136_223_846_793_005)
                        .wrapping_add(1_442_695_040_888_963_407);
                    (number >> 63) as usize
                })
                .collect(),
            _ => return Err(Failure("no such policy here".into()).into()),
        };
        let mut recording = fixture::turns(&[1, 1], &order);
        if cell.workload.ends_with("periodic.toml") {
            recording = fixture::periodic();
            recording.frequency = 1000;
            recording.jobs.iter_mut().for_each(|job| job.completed = job.completed.map(|at| at - 2));
        } else {
            recording.schedulers[0].policy = policy;
        }
        Ok(recording)
    }
}

/// Makes up runs on Linux: one client has two turns in three, whoever asks.
struct MadeUpLinux;

const EEVDF: LinuxPolicy = LinuxPolicy::Eevdf;

impl Runner for MadeUpLinux {
    fn source(&self) -> Source {
        Source::Linux(EEVDF)
    }

    fn images(&self) -> &str {
        "linux"
    }

    fn run(&self, _: &Cell) -> Result<Recording, Stop> {
        let order: Vec<usize> = (0..400).map(|turn| usize::from(turn % 3 == 0)).collect();
        let made_up = fixture::turns(&[1, 1], &order);
        Ok(Recording { source: self.source(), slices: Vec::new(), ..made_up })
    }
}

fn cells(folder: &Path, policies: &[Policy], seeds: u64) -> Vec<Cell> {
    let mut all = Vec::new();
    for name in ["compute", "periodic"] {
        let workload = folder.join(format!("{name}.toml"));
        std::fs::write(&workload, name).unwrap();
        for (policy, seed) in policies.iter().flat_map(|policy| (1..=seeds).map(move |seed| (*policy, seed)))
        {
            all.push(Cell { workload: workload.clone(), policy: Contender::Ours(policy), seed, cores: None });
        }
    }
    all
}

fn by(runner: &MadeUp, cells: Vec<Cell>) -> Vec<(Cell, &dyn Runner)> {
    cells.into_iter().map(|cell| (cell, runner as &dyn Runner)).collect()
}

fn compared(policies: &[Policy], seeds: u64) -> (Report, usize, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let runner = MadeUp::default();
    let plan = Plan {
        tasks: by(&runner, cells(folder.path(), policies, seeds)),
        jobs: 2,
        cache: folder.path().join("cache"),
    };
    let done = engine::run(&plan).unwrap();
    let runs = runner.runs.load(Ordering::Relaxed);
    let contenders: Vec<_> = policies.iter().copied().map(Contender::Ours).collect();
    let header = Header { command: "compare".into(), ..Header::default() };
    (Report::new(done, &contenders, header), runs, folder)
}

/// Stride and a lottery, and on the first workload Linux beside them.
fn beside_linux(seeds: u64) -> (Report, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let runner = MadeUp::default();
    let mut tasks = by(&runner, cells(folder.path(), &BOTH, seeds));
    let workload = folder.path().join("compute.toml");
    for seed in 1..=seeds {
        let policy = Contender::Linux(EEVDF);
        tasks.push((Cell { workload: workload.clone(), policy, seed, cores: None }, &MadeUpLinux));
    }
    let done = engine::run(&Plan { tasks, jobs: 2, cache: folder.path().join("cache") }).unwrap();
    let about =
        About { release: "6.12".into(), version: "Linux version 6.12".into(), command_line: "quiet".into() };
    let linux = Some(OnLinux::Was(about));
    let header = Header { command: "compare --linux".into(), images: None, linux };
    let [stride, lottery] = BOTH.map(Contender::Ours);
    (Report::new(done, &[stride, lottery, Contender::Linux(EEVDF)], header), folder)
}

const BOTH: [Policy; 2] = [Policy::Stride, Policy::Lottery];

#[test]
fn what_was_run_once_is_not_run_again() {
    let folder = tempfile::tempdir().unwrap();
    let runner = MadeUp::default();
    let cells = cells(folder.path(), &BOTH, 2);
    let plan = Plan { tasks: by(&runner, cells), jobs: 2, cache: folder.path().join("cache") };
    let first = engine::run(&plan).unwrap();
    assert_eq!(runner.runs.load(Ordering::Relaxed), 8);
    assert_eq!(engine::run(&plan).unwrap(), first);
    assert_eq!(runner.runs.load(Ordering::Relaxed), 8);
    std::fs::write(folder.path().join("compute.toml"), "changed").unwrap();
    engine::run(&plan).unwrap();
    assert_eq!(runner.runs.load(Ordering::Relaxed), 12);
}

#[test]
fn a_run_that_fails_is_named_and_does_not_spoil_the_others() {
    let (report, _, _folder) = compared(&[Policy::Stride, Policy::Edf], 2);
    assert!(!report.passed);
    assert_eq!((report.failed.len(), report.runs.len()), (4, 4));
    assert_eq!(report.failed[0].run, "compute, edf, seed 1, simulator");
    assert_eq!(report.failed[0].why, "no such policy here");
}

#[test]
fn ten_seeds_show_that_a_lottery_is_less_exact_than_stride() {
    let (report, _, _folder) = compared(&BOTH, 10);
    assert!(report.passed, "{:?}", report.violations);
    let summary = |measure: &str| {
        report.summaries.iter().find(|each| each.workload == "compute" && each.measure == measure).unwrap()
    };
    let errors = summary("pairwise");
    assert_eq!(errors.policies[0].interval.mean, 0.5);
    assert_eq!(errors.policies[0].bound, Some((1.0, true)));
    assert!(errors.policies[1].interval.low > 1.0);
    assert_eq!(errors.pairs[0].answer, Answer::Differs);
    assert!(errors.pairs[0].test.difference < 0.0);
}

#[test]
fn three_seeds_cannot_show_it_and_the_report_says_so() {
    let (report, _, _folder) = compared(&BOTH, 3);
    let errors = report.summaries.iter().find(|each| each.measure == "pairwise").unwrap();
    assert_eq!(errors.pairs[0].answer, Answer::TooFewRepetitions);
    assert_eq!(report.design.pairs_needed, Some(6));
}

#[test]
fn tables_have_a_row_for_each_scheduler_and_each_job() {
    let (report, _, _folder) = compared(&BOTH, 2);
    let schedulers = csv::schedulers(&report);
    assert_eq!(schedulers.lines().count(), 1 + 8);
    let columns = schedulers.lines().next().unwrap().split(',').count();
    assert!(schedulers.lines().all(|line| line.split(',').count() == columns));
    let jobs = csv::jobs(&report);
    assert_eq!(jobs.lines().count(), 1 + 4 * 5);
    assert!(
        jobs.contains("periodic,stride,1,simulator,one.a,1,20000.000,4000.000,0,-16000.000,0.000,0,4000.000")
    );
}

#[test]
fn linux_is_a_further_policy_beside_ours_whoever_told_of_them() {
    let (report, _folder) = beside_linux(2);
    assert_eq!((report.design.ours, &report.design.policies[2][..]), (2, "linux-eevdf"));
    let summary = report.summaries.iter().find(|each| each.measure == "pairwise").unwrap();
    assert_eq!((summary.source, summary.policies.len()), ("simulator", 3));
    // After 399 turns, 133 of them the other's, the one is 66.5 ahead; and then it has another.
    assert_eq!(summary.policies[2].interval.mean, 66.5);
    assert!(report.summaries.iter().all(|each| each.source != "linux"));
    // What a decision costs is not known there.
    let decision = report.summaries.iter().find(|each| each.measure == "decision").unwrap();
    assert_eq!(decision.policies.len(), 2);
    assert!(csv::schedulers(&report).contains("compute,linux-eevdf,1,linux,one,0,"));
}

#[test]
fn who_puts_linux_beside_ours_needs_no_more_repetitions_to_tell_ours_apart() {
    let (report, _folder) = beside_linux(6);
    let summary = report.summaries.iter().find(|each| each.measure == "pairwise").unwrap();
    let answer = |one: &str, other: &str| {
        summary.pairs.iter().find(|pair| pair.one == one && pair.other == other).unwrap().answer
    };
    assert_eq!((report.design.comparisons, report.design.comparisons_with_linux), (1, 2));
    assert_eq!(answer("stride", "lottery"), Answer::Differs);
    // Of two comparisons, each needs seven pairs.
    assert_eq!(answer("stride", "linux-eevdf"), Answer::TooFewRepetitions);
}

#[test]
fn a_page_without_the_linux_that_was_asked_for_says_why() {
    let linux = Some(OnLinux::Absent("no kernel is here".into()));
    let report = Report::new(Vec::new(), &BOTH.map(Contender::Ours), Header { linux, ..Header::default() });
    assert!(page::render(&report).contains(r#""linux":{"absent":"no kernel is here"}"#));
    assert!(report.to_json().contains("no kernel is here"));
}

/// Where pictures of the page are kept.
fn pictures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name("out").join("compare-test")
}

/// A browser's command with what both uses of it have in common; `None` if there is no browser.
fn browser(profile: &Path) -> Option<Command> {
    let found = ["chromium", "chromium-browser", "google-chrome"].into_iter().find(|name| {
        Command::new(name).arg("--version").output().is_ok_and(|output| output.status.success())
    })?;
    let mut command = Command::new(found);
    command.args([
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--hide-scrollbars",
        "--virtual-time-budget=10000",
    ]);
    // Every name resolves to nothing: a page that needs the network fails here as it would in a lecture hall.
    command.args(["--host-resolver-rules=MAP * ~NOTFOUND", "--enable-logging=stderr", "--log-level=0"]);
    command.arg(format!("--user-data-dir={}", profile.display()));
    Some(command)
}

/// Opens a page in a browser without network: what it has become, or `None` if there is no browser.
fn opened(address: &str, profile: &Path) -> Option<String> {
    let output = browser(profile)?.args(["--dump-dom", address]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let complaints: Vec<_> = said.lines().filter(|line| line.contains("CONSOLE")).collect();
    assert!(complaints.is_empty(), "{complaints:?}");
    let page = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(page.contains("data-ready=\"yes\""), "the page's code did not come to its end: {said}");
    Some(page)
}

/// What decisions cost, made up.
fn curves() -> Vec<Curve> {
    let point = |clients: u64| {
        let cost = 100.0 + 20.0 * (clients as f64).log2();
        Point { clients, cost, range: (cost - 9.0, cost + 50.0) }
    };
    let curve = |quantity| Curve::new("stride".into(), quantity, [1, 10, 100, 1000].map(point).into());
    [Quantity::Policy, Quantity::Host].map(curve).into()
}

#[test]
fn a_decision_that_grows_too_fast_and_a_recording_that_costs_too_much_fail_a_comparison() {
    let (report, _, _folder) = compared(&BOTH, 1);
    assert!(report.passed && report.clone().with_decisions(curves()).passed);
    let linear =
        [1u64, 10, 100, 1000].map(|clients| Point { clients, cost: clients as f64, range: (0.0, 0.0) });
    let linear = |quantity| vec![Curve::new("stride".into(), quantity, linear.into())];
    let failed = report.clone().with_decisions(linear(Quantity::Policy));
    assert_eq!((failed.passed, failed.costly().len()), (false, 1));
    assert!(report.clone().with_decisions(linear(Quantity::Host)).passed, "a wall clock proves nothing");
    let mut runs = report.runs;
    runs[0].kept.recording_cost = Some(RecordingCost { most: 30_001, budget: 30_000 });
    runs[1].kept.recording_cost = Some(RecordingCost { most: 8_000, budget: 30_000 });
    let costs = costs::recording(&runs);
    assert_eq!((costs.worst, costs.limit, costs.within()), (0.030_001, 0.03, false));
    assert_eq!(costs.too_much().count(), 1);
}

/// The identities of the figures on a page, each of which must show something.
fn figures(page: &str) -> Vec<String> {
    let figure = |text: &str| {
        let id = text.split('"').nth(1).unwrap_or_default().to_string();
        let drawn =
            ["<path", "<circle", "data-tip"].map(|mark| text.matches(mark).count()).iter().sum::<usize>();
        assert!(drawn >= 2 && !text.contains("NaN"), "figure {id} is empty or garbled");
        id
    };
    page.split("<figure ").skip(1).map(figure).collect()
}

#[test]
fn the_page_shows_every_plot_in_a_browser_without_network_and_logs_no_error() {
    let (report, folder) = beside_linux(10);
    let report = report.with_decisions(curves());
    std::fs::create_dir_all(pictures()).unwrap();
    let (file, profile) = (pictures().join("index.html"), folder.path().join("profile"));
    std::fs::write(&file, page::render(&report)).unwrap();
    let address = |chosen: &str| format!("file://{}#{chosen}", file.display());
    let Some(compute) = opened(&address("compute/stride/pairwise"), &profile) else {
        eprintln!("skipped: no Chromium here; `./just setup browser` brings it, or says how");
        return;
    };
    let shown = figures(&compute);
    for id in [
        "compute-pairwise",
        "compute-stride-share",
        "compute-stride-error",
        "compute-stride-timeline",
        "misses",
        "cost-policy",
        "cost-host",
    ] {
        assert!(shown.iter().any(|shown| shown == id), "{id} is not in {shown:?}");
    }
    let linux = opened(&address("compute/linux-eevdf/decision"), &profile).unwrap();
    let shown = figures(&linux);
    for id in ["compute-decision", "compute-linux-eevdf-share", "compute-linux-eevdf-timeline"] {
        assert!(shown.iter().any(|shown| shown == id), "{id} is not in {shown:?}");
    }
    assert!(linux.contains("of Linux not known"));
    let periodic = opened(&address("periodic/stride/response"), &profile).unwrap();
    assert!(figures(&periodic).iter().any(|shown| shown == "periodic-latency"));
    let picture = pictures().join("page.png");
    let mut command = browser(&profile).unwrap();
    command.arg(format!("--screenshot={}", picture.display())).arg("--window-size=1200,4200");
    assert!(command.arg(address("compute/stride/pairwise")).output().unwrap().status.success());
    assert!(std::fs::metadata(&picture).unwrap().len() > 20_000);
}
