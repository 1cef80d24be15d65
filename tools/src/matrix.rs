//! The same scenarios on every machine that is supported: one line each, two guests at a time. Not here: a single run.

use crate::Failure;
use crate::display::Display;
use crate::qemu::{Board, Clock, Machine};
use crate::results::Results;
use crate::run::{Debugger, Exports, Plan, RESULTS, Stop, interrupted, run};
use crate::scenario::Changes;
use crate::screen::Screen;
use crate::trace;
use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

/// Guests at a time; each keeps a core of the host busy.
const TOGETHER: usize = 2;

/// What all runs of the matrix have in common.
#[derive(Clone, Debug)]
pub struct Common {
    /// The scenarios' files.
    pub scenarios: Vec<PathBuf>,
    /// The files of scenarios that run with four cores only, on each board.
    pub on_four: Vec<PathBuf>,
    /// The kernel's ELF file.
    pub kernel: PathBuf,
    /// The folder of the programs' ELF files.
    pub apps: PathBuf,
    /// The folder in which each run gets its own.
    pub out: PathBuf,
    /// How long one guest may take, by the host's clock.
    pub patience: Duration,
}

/// Runs everything; the number of runs that failed.
pub fn all(common: &Common) -> Result<usize, Stop> {
    let plans = plans(common);
    let total = plans.len();
    let queue = Mutex::new(VecDeque::from(plans));
    let failed = Mutex::new(0);
    thread::scope(|scope| {
        for _ in 0..TOGETHER {
            scope.spawn(|| {
                while let Some(plan) = next(&queue) {
                    let begin = Instant::now();
                    let result = run(&plan, &mut Display::Silent);
                    if result == Err(Stop::Interrupted) {
                        break;
                    }
                    let (passed, text) = describe(&plan, &result, begin.elapsed());
                    // One lock for both: lines of two runs do not mix.
                    let mut failed = failed.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
                    *failed += usize::from(!passed);
                    println!("{text}");
                }
            });
        }
    });
    if interrupted() {
        return Err(Stop::Interrupted);
    }
    let mut failed = failed.into_inner().unwrap_or_else(|poisoned| poisoned.into_inner());
    println!("matrix: {} of {total} runs passed", total - failed);
    for scenario in common.scenarios.iter().chain(&common.on_four) {
        let (passed, text) = compare(&common.out, scenario);
        failed += usize::from(!passed);
        println!("{text}");
    }
    Ok(failed)
}

/// The machine on which every scenario is run twice.
const TWICE: Machine = Machine { board: Board::Virt, cores: 4, gic: 2, clock: Clock::Instructions };

/// The Raspberry Pi 4, of which there is one kind.
const PI: Machine = Machine { board: Board::Rpi4, cores: 4, gic: 2, clock: Clock::Instructions };

/// Whether two runs of a scenario on the same machine had the same results, and recorded the same, to the byte.
fn compare(out: &Path, scenario: &Path) -> (bool, String) {
    let file = |suffix, name| std::fs::read(out.join(folder(scenario, TWICE) + suffix).join(name));
    let recorded = |suffix| file(suffix, trace::FILE).unwrap_or_default();
    if recorded("") != recorded(AGAIN) {
        return (false, format!("{:<10} twice: FAIL, the traces differ", stem(scenario)));
    }
    match (file("", RESULTS), file(AGAIN, RESULTS)) {
        (Ok(one), Ok(other)) if one == other => {
            (true, format!("{:<10} twice: the same {} bytes of results", stem(scenario), one.len()))
        }
        (Ok(_), Ok(_)) => (false, format!("{:<10} twice: FAIL, the results differ", stem(scenario))),
        _ => (false, format!("{:<10} twice: FAIL, a run left no results", stem(scenario))),
    }
}

/// What the second run's folder is called, after the first's.
const AGAIN: &str = "-again";

fn folder(scenario: &Path, machine: Machine) -> String {
    format!("{}-{}-{}-gic{}", stem(scenario), machine.board.name(), machine.cores, machine.gic)
}

/// Every machine that is supported.
fn machines() -> Vec<Machine> {
    let clock = Clock::Instructions;
    let virt = |gic, cores| Machine { board: Board::Virt, cores, gic, clock };
    let mut all: Vec<_> =
        [2, 3].into_iter().flat_map(|gic| [1, 2, 4, 8].map(|cores| virt(gic, cores))).collect();
    all.push(PI);
    all
}

fn plans(common: &Common) -> Vec<Plan> {
    let mut plans = Vec::new();
    let everywhere = common.scenarios.iter().map(|scenario| (scenario, machines()));
    let on_four = common.on_four.iter().map(|scenario| (scenario, vec![TWICE, PI]));
    for (scenario, machines) in everywhere.chain(on_four) {
        let runs = machines.into_iter().map(|machine| (machine, "")).chain([(TWICE, AGAIN)]);
        for (machine, suffix) in runs {
            let folder = folder(scenario, machine) + suffix;
            plans.push(Plan {
                machine,
                scenario: scenario.clone(),
                changes: Changes::default(),
                kernel: common.kernel.clone(),
                apps: common.apps.clone(),
                out: common.out.join(folder),
                patience: common.patience,
                debugger: Debugger::Absent,
                card: None,
                exports: Exports::None,
                screen: Screen::None,
            });
        }
    }
    plans
}

fn stem(path: &Path) -> String {
    path.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}

fn next(queue: &Mutex<VecDeque<Plan>>) -> Option<Plan> {
    queue.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).pop_front()
}

fn describe(plan: &Plan, result: &Result<Results, Stop>, took: Duration) -> (bool, String) {
    let Machine { board, cores, gic, .. } = plan.machine;
    let name = format!("{:<10} {:<4} {cores} cores GICv{gic}", stem(&plan.scenario), board.name());
    let took = format!("{:.1} s", took.as_secs_f64());
    match result {
        Ok(results) if results.passed => {
            (true, format!("{name}  ok    {} expectations, {took}", results.verdict.len()))
        }
        Ok(results) => {
            let wrong = results.verdict.iter().filter(|line| !line.passed);
            let wrong: String = wrong.map(|line| format!("\n    {}: {}", line.expected, line.seen)).collect();
            (false, format!("{name}  FAIL  {took}, files in {}{wrong}", plan.out.display()))
        }
        Err(Stop::Failure(Failure(message))) => (false, format!("{name}  FAIL  {took}\n    {message}")),
        Err(Stop::Interrupted) => (false, format!("{name}  interrupted")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_that_differ_in_one_byte_or_are_missing_are_found() {
        let out = tempfile::tempdir().unwrap();
        let scenario = Path::new("s/one.toml");
        let write = |suffix: &str, text: &str| {
            let folder = out.path().join(folder(scenario, TWICE) + suffix);
            std::fs::create_dir_all(&folder).unwrap();
            std::fs::write(folder.join(RESULTS), text).unwrap();
        };
        write("", "{1}");
        assert!(!compare(out.path(), scenario).0);
        write(AGAIN, "{2}");
        assert!(!compare(out.path(), scenario).0);
        write(AGAIN, "{1}");
        assert!(compare(out.path(), scenario).0);
        std::fs::write(out.path().join(folder(scenario, TWICE)).join(trace::FILE), "record").unwrap();
        assert!(!compare(out.path(), scenario).0);
    }

    #[test]
    fn every_machine_runs_every_scenario_in_a_folder_of_its_own() {
        let common = Common {
            scenarios: ["s/one.toml", "s/two.toml"].map(PathBuf::from).into(),
            on_four: vec!["s/three.toml".into()],
            kernel: "k".into(),
            apps: "a".into(),
            out: "o".into(),
            patience: Duration::from_secs(1),
        };
        let plans = plans(&common);
        assert_eq!(plans.len(), 2 * 10 + 3);
        let mut folders: Vec<_> = plans.iter().map(|plan| plan.out.clone()).collect();
        folders.sort();
        folders.dedup();
        assert_eq!(folders.len(), plans.len());
        assert!(plans.iter().all(|plan| plan.machine.checked().is_ok()));
        assert_eq!(plans[8].out, Path::new("o/one-rpi4-4-gic2"));
    }
}
