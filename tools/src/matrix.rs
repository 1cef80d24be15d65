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
    /// The scenarios' files, and on how many machines each is run.
    pub scenarios: Vec<(PathBuf, Breadth)>,
    /// The kernel's ELF file.
    pub kernel: PathBuf,
    /// The folder of the programs' ELF files.
    pub apps: PathBuf,
    /// The folder in which each run gets its own.
    pub out: PathBuf,
    /// How long one guest may take, by the host's clock.
    pub patience: Duration,
}

/// On how many machines a scenario is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Breadth {
    /// Every number of cores, one half with each interrupt controller.
    Everywhere,
    /// The fewest, four and the most cores, with the interrupt controller with which those above are not.
    OnEach,
    /// Four cores, on each board once.
    OnFour,
    /// The same, and on virt twice: whether two runs are the same to the byte.
    Twice,
    /// The fewest, four and the most cores of virt once: a board without a card.
    OnVirt,
    /// One and two cores of virt: of what is the same on every core.
    OnFew,
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
    let twice = common.scenarios.iter().filter(|(_, breadth)| *breadth == Breadth::Twice);
    for (scenario, _) in twice {
        let (passed, text) = compare(&common.out, scenario);
        failed += usize::from(!passed);
        println!("{text}");
    }
    Ok(failed)
}

/// The machine on which scenarios are run twice.
const TWICE: Machine = virt(2, 4);

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

const fn virt(gic: u32, cores: u32) -> Machine {
    Machine { board: Board::Virt, cores, gic, clock: Clock::Instructions }
}

impl Breadth {
    /// Each machine, with what the run's folder ends in.
    fn machines(self) -> Vec<(Machine, &'static str)> {
        let machines: &[Machine] = match self {
            Self::Everywhere => &[virt(2, 1), virt(3, 2), virt(3, 8), PI],
            Self::OnEach => &[virt(3, 1), virt(2, 4), virt(2, 8), PI],
            Self::OnFour => &[virt(2, 4), PI],
            Self::Twice => &[TWICE, PI, TWICE],
            Self::OnVirt => &[virt(2, 1), virt(3, 4), virt(2, 8)],
            Self::OnFew => &[virt(2, 1), virt(3, 2)],
        };
        let again = |place: usize| machines[..place].contains(&machines[place]);
        (0..machines.len()).map(|place| (machines[place], if again(place) { AGAIN } else { "" })).collect()
    }
}

fn plans(common: &Common) -> Vec<Plan> {
    let mut plans = Vec::new();
    for (scenario, breadth) in &common.scenarios {
        for (machine, suffix) in breadth.machines() {
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
    fn every_run_has_a_folder_of_its_own_and_the_second_of_two_an_ending() {
        let common = Common {
            scenarios: vec![
                ("s/one.toml".into(), Breadth::Everywhere),
                ("s/two.toml".into(), Breadth::OnEach),
                ("s/three.toml".into(), Breadth::OnFour),
                ("s/four.toml".into(), Breadth::OnVirt),
                ("s/five.toml".into(), Breadth::Twice),
                ("s/six.toml".into(), Breadth::OnFew),
            ],
            kernel: "k".into(),
            apps: "a".into(),
            out: "o".into(),
            patience: Duration::from_secs(1),
        };
        let plans = plans(&common);
        assert_eq!(plans.len(), 4 + 4 + 2 + 3 + 3 + 2);
        let again = plans.iter().filter(|plan| plan.out.to_string_lossy().ends_with(AGAIN));
        assert_eq!(again.count(), 1);
        let mut folders: Vec<_> = plans.iter().map(|plan| plan.out.clone()).collect();
        folders.sort();
        folders.dedup();
        assert_eq!(folders.len(), plans.len());
        assert!(plans.iter().all(|plan| plan.machine.checked().is_ok()));
        assert_eq!(plans[3].out, Path::new("o/one-rpi4-4-gic2"));
    }
}
