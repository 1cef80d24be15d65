//! The benchmark: runs the guest program `bench` on one core and on several, a stride scheduler for its shares, and Linux; then
//! the table, the scaling, the shapes, the file and the picture.
//!
//! * [`operations`]: what is known beforehand. [`figures`]: what was measured. [`rows`], [`scaling`], [`shapes`]: what
//!   follows from both. [`report`]: all together. [`table`], [`picture`]: how people see it.
//!
//! Not here: how one guest is run (`crate::run`); how Linux is, is in [`linux`].

pub mod figures;
pub mod linux;
pub mod operations;
pub mod picture;
pub mod report;
pub mod rows;
pub mod scaling;
pub mod shapes;
pub mod table;
#[cfg(test)]
mod tests;

use crate::Failure;
use crate::decisions;
use crate::display::Display;
use crate::qemu::{Board, Clock, Machine};
use crate::results::Results;
use crate::run::{self, Debugger, Stop};
use crate::scenario::Changes;
use crate::screen::Screen;
use figures::Figures;
use report::{Material, Report};
use rows::Linux;
use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Mutex;
use std::thread;
use std::time::Duration;

/// The picture's file.
pub const PICTURE: &str = "bench.svg";
/// The guest that measures.
const BENCH: &str = "scenarios/bench.toml";
/// A stride scheduler with three clients.
const SHARES: &str = "scenarios/shares.toml";
/// Guests at a time; each keeps a core of the host busy.
const TOGETHER: usize = 2;

/// How much is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// Everything.
    Whole,
    /// One core, once, and no Linux: that every row is filled and every budget is as it is known to be.
    Quick,
}

/// What is to be measured, and where.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The kernel's ELF file.
    pub kernel: PathBuf,
    /// The folder of the programs' ELF files.
    pub apps: PathBuf,
    /// The folder for what is left behind.
    pub out: PathBuf,
    /// How long each guest may take, by the host's clock.
    pub patience: Duration,
    /// The program that measures Linux; without it, Linux's column is empty.
    pub linux_program: Option<PathBuf>,
    /// How much is done.
    pub extent: Extent,
}

/// A guest: the folder of its results, its scenario and its cores.
type Guest = (&'static str, &'static str, u32);

/// The guest that measures policies.
const DECISIONS: Guest = ("decisions", decisions::SCENARIO, 1);
/// The guests whose results must be the same.
const TWICE: [Guest; 2] = [("once", BENCH, 1), ("again", BENCH, 1)];
/// The guests of the whole benchmark besides; those that take longest first.
const MORE: [Guest; 4] =
    [("cores-8", BENCH, 8), ("cores-4", BENCH, 4), ("cores-2", BENCH, 2), ("shares", SHARES, 1)];

/// Measures everything.
pub fn bench(plan: &Plan) -> Result<Report, Stop> {
    let (results, linux) = match plan.extent {
        Extent::Quick => {
            (all(plan, VecDeque::from([TWICE[0], DECISIONS])), Ok(Err("--quick leaves it out".into())))
        }
        Extent::Whole => thread::scope(|scope| {
            let linux = scope.spawn(|| linux_column(plan));
            let results = all(plan, MORE.into_iter().chain(TWICE).chain([DECISIONS]).collect());
            let died = |_| Err(Failure("measuring Linux: a thread of this program died".into()).into());
            (results, linux.join().unwrap_or_else(died))
        }),
    };
    let report = Report::new(material(&results?, linux?));
    let write = |name: &str, text: &str| {
        let path = plan.out.join(name);
        std::fs::write(&path, text).map_err(Failure::with(path.display()))
    };
    write(run::RESULTS, &report.to_json())?;
    write(PICTURE, &picture::draw(&report).map_err(Failure)?)?;
    Ok(report)
}

/// Linux's column, or why it is empty.
fn linux_column(plan: &Plan) -> Result<Result<Linux, String>, Stop> {
    let Some(program) = &plan.linux_program else {
        return Ok(Err("--linux-program names no program that measures it".into()));
    };
    match linux::kernel() {
        Ok(kernel) => Ok(Ok(linux::measure(&kernel, program)?.into())),
        Err(why) => Ok(Err(why)),
    }
}

/// Runs guests, some at a time. The first that cannot be run ends it all.
fn all(plan: &Plan, guests: VecDeque<Guest>) -> Result<Vec<(Guest, Results)>, Stop> {
    let queue = Mutex::new(guests);
    let done = Mutex::new(Ok(Vec::new()));
    let next = || queue.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).pop_front();
    thread::scope(|scope| {
        for _ in 0..TOGETHER {
            scope.spawn(|| {
                while let Some(guest) = next() {
                    let result = run::run(&run_plan(plan, guest), &mut Display::Silent);
                    let mut done = done.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
                    match (result, &mut *done) {
                        (Ok(results), Ok(all)) => all.push((guest, results)),
                        (Err(stop), Ok(_)) => *done = Err(stop),
                        (_, Err(_)) => {}
                    }
                    if done.is_err() {
                        return;
                    }
                }
            });
        }
    });
    done.into_inner().unwrap_or_else(|poisoned| poisoned.into_inner())
}

fn run_plan(plan: &Plan, (folder, scenario, cores): Guest) -> run::Plan {
    run::Plan {
        machine: Machine { board: Board::Virt, cores, gic: 2, clock: Clock::Instructions },
        scenario: scenario.into(),
        changes: Changes::default(),
        kernel: plan.kernel.clone(),
        apps: plan.apps.clone(),
        out: plan.out.join(folder),
        patience: plan.patience,
        debugger: Debugger::Absent,
        card: None,
        exports: run::Exports::None,
        screen: Screen::None,
    }
}

/// What all runs together say.
fn material(results: &[(Guest, Results)], linux: Result<Linux, String>) -> Material {
    let of = |guest: Guest| results.iter().find(|(other, _)| *other == guest).map(|(_, results)| results);
    let (mut figures, mut problems, mut decided) = (Figures::default(), Vec::new(), Vec::new());
    for (guest, results) in results {
        if *guest != TWICE[1] {
            figures.add(results);
        }
        decided.extend(decisions::of_kernel(&results.decisions));
        let wrong = results.verdict.iter().filter(|line| !line.passed);
        problems.extend(wrong.map(|line| format!("run {}: {}: {}", guest.0, line.expected, line.seen)));
    }
    if let (Some(once), Some(again)) = (of(TWICE[0]), of(TWICE[1])) {
        let differences = figures::differences(once, again).into_iter();
        problems.extend(differences.map(|what| format!("the second run differs: {what}")));
    }
    let clients = of(MORE[3]).into_iter().flat_map(|results| &results.libos).flat_map(|libos| &libos.clients);
    let errors = clients.filter_map(|client| client.max_pairwise_error_quanta);
    let stride_error = errors.reduce(f64::max);
    Material { figures, decisions: decided, linux, stride_error, cycles_are_virtual: true, problems }
}
