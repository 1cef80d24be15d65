//! Runs every cell, several at a time, and keeps each result under the hash of all that it depends on: so a comparison
//! that was interrupted goes on where it was, and one that is repeated is done at once.
//!
//! A run that fails is named and does not spoil the others. Not here: what is done with the results (`report`).

use super::cell::{Cell, Kept, Runner};
use crate::recording::Source;
use crate::run::{Stop, interrupted};
use crate::{Failure, hash};
use indicatif::{ProgressBar, ProgressStyle};
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

const STYLE: &str = "{wide_bar} {pos} of {len} runs, {elapsed}, {eta} left  {msg}";

/// Everything that is to be run.
pub struct Plan<'a> {
    /// What, and by whom.
    pub tasks: Vec<(Cell, &'a dyn Runner)>,
    /// Runs at a time.
    pub jobs: usize,
    /// The folder of kept results.
    pub cache: PathBuf,
}

/// A run that is over.
#[derive(Clone, Debug, PartialEq)]
pub struct Done {
    /// What was run.
    pub cell: Cell,
    /// By whom.
    pub source: Source,
    /// What came of it, or why nothing did.
    pub kept: Result<Kept, String>,
}

/// Where a cell's result is kept: hash of the tool, of the images, of the scenario's bytes and those of the files that it names, and the rest of the cell.
pub fn key(cell: &Cell, runner: &dyn Runner, tool: &str) -> Result<String, Failure> {
    let read = |path: &Path| std::fs::read(path).map_err(Failure::with(path.display()));
    let mut scenario = read(&cell.workload)?;
    // One that cannot be loaded names none; its run will say what is wrong with it.
    for (_, file) in crate::scenario::traces_of(&cell.workload).unwrap_or_default() {
        scenario.extend(read(&file)?);
    }
    let cores = cell.cores.map_or("as the scenario says".into(), |cores| cores.to_string());
    let policy = cell.policy.word();
    let rest = format!("{:?} {policy} {} {cores}", runner.source(), cell.seed);
    Ok(hash::of(&[tool.as_bytes(), runner.images().as_bytes(), &scenario, rest.as_bytes()]))
}

/// Runs everything, in order. `Interrupted` keeps what is done.
pub fn run(plan: &Plan<'_>) -> Result<Vec<Done>, Stop> {
    std::fs::create_dir_all(&plan.cache).map_err(Failure::with(plan.cache.display()))?;
    let tool = hash::of_this_program()?;
    let tasks: VecDeque<_> = plan.tasks.iter().enumerate().collect();
    let progress = Progress::new(tasks.len() as u64);
    let queue = Mutex::new(tasks);
    let done = Mutex::new(Vec::new());
    let failed = Mutex::new(None);
    thread::scope(|scope| {
        for _ in 0..plan.jobs.max(1) {
            scope.spawn(|| {
                loop {
                    // Taken in a statement of its own: the lock is not held while the task runs.
                    let task = locked(&queue).pop_front();
                    let Some((number, (cell, runner))) = task else { break };
                    match one(cell, *runner, (&plan.cache, &tool)) {
                        Ok(result) => {
                            progress.tell(&result);
                            locked(&done).push((number, result));
                        }
                        Err(stop) => {
                            *locked(&failed) = Some(stop);
                            locked(&queue).clear();
                        }
                    }
                }
            });
        }
    });
    progress.end();
    if interrupted() {
        return Err(Stop::Interrupted);
    }
    if let Some(stop) = locked(&failed).take() {
        return Err(stop);
    }
    let mut all = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    all.sort_by_key(|(number, _)| *number);
    Ok(all.into_iter().map(|(_, done)| done).collect())
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The file of a cell's result in a cache.
///
/// # Errors
/// If the scenario cannot be read.
pub fn place(cell: &Cell, runner: &dyn Runner, (cache, tool): (&Path, &str)) -> Result<PathBuf, Failure> {
    Ok(cache.join(format!("{}.json", key(cell, runner, tool)?)))
}

/// A run of which nothing came, as a workflow's file in place of its result. To whoever looks for a result it is no file, so the
/// run is made again.
#[derive(Debug, Serialize, Deserialize)]
pub struct Lost {
    /// Why.
    pub failed: String,
}

/// What came of a run that was made before, by [`one`] or as [`Lost`].
///
/// # Errors
/// If it was not made.
pub fn made(cell: &Cell, runner: &dyn Runner, within: (&Path, &str)) -> Result<Done, Failure> {
    let file = place(cell, runner, within)?;
    let bytes = std::fs::read(&file).map_err(Failure::with(file.display()))?;
    let kept = match serde_json::from_slice(&bytes) {
        Ok(kept) => Ok(kept),
        Err(error) => match serde_json::from_slice::<Lost>(&bytes) {
            Ok(lost) => Err(lost.failed),
            Err(_) => return Err(Failure(format!("{}: not the outcome of a run: {error}", file.display()))),
        },
    };
    Ok(Done { cell: cell.clone(), source: runner.source(), kept })
}

/// One run, out of the cache if it is there. What is wrong with the run is in the result; an error ends everything.
pub fn one(cell: &Cell, runner: &dyn Runner, within: (&Path, &str)) -> Result<Done, Stop> {
    let file = place(cell, runner, within)?;
    let done = |kept| Done { cell: cell.clone(), source: runner.source(), kept };
    // A file that does not read is as good as none.
    let found = std::fs::read(&file).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
    if let Some(kept) = found {
        return Ok(done(Ok(kept)));
    }
    let kept = match runner.run(cell) {
        Ok(recording) => Kept::of(&recording),
        Err(Stop::Failure(Failure(why))) => Err(why),
        Err(Stop::Interrupted) => return Err(Stop::Interrupted),
    };
    if let Ok(kept) = &kept {
        keep(&file, kept)?;
    }
    Ok(done(kept))
}

/// Writes a whole file, or none: whoever is interrupted leaves no half of one.
pub fn keep(file: &Path, kept: &impl Serialize) -> Result<(), Failure> {
    let failed = |error: &dyn std::fmt::Display| Failure(format!("{}: {error}", file.display()));
    let folder = file.parent().unwrap_or(Path::new("."));
    let mut new = tempfile::NamedTempFile::new_in(folder).map_err(|error| failed(&error))?;
    let bytes = serde_json::to_vec(kept).map_err(|error| failed(&error))?;
    new.write_all(&bytes).map_err(|error| failed(&error))?;
    new.persist(file).map(|_| ()).map_err(|error| failed(&error))
}

/// What a person sees meanwhile: a bar on a terminal, else a line for each run.
struct Progress {
    bar: ProgressBar,
    lines: bool,
}

impl Progress {
    fn new(runs: u64) -> Self {
        let lines = !std::io::stderr().is_terminal();
        let bar = if lines { ProgressBar::hidden() } else { ProgressBar::no_length() };
        bar.set_length(runs);
        // The template is a constant; were it wrong, the default style would do.
        if let Ok(style) = ProgressStyle::with_template(STYLE) {
            bar.set_style(style);
        }
        bar.enable_steady_tick(Duration::from_millis(500));
        Self { bar, lines }
    }

    fn tell(&self, done: &Done) {
        self.bar.inc(1);
        let name = name(done);
        if let Err(why) = &done.kept {
            self.bar.suspend(|| eprintln!("FAILED {name}: {why}"));
        } else if self.lines {
            let (at, of) = (self.bar.position(), self.bar.length().unwrap_or(0));
            let left = self.bar.elapsed().as_secs_f64() / at.max(1) as f64 * of.saturating_sub(at) as f64;
            eprintln!("{at} of {of} runs: {name}; about {left:.0} s left");
        } else {
            self.bar.set_message(name);
        }
    }

    fn end(&self) {
        self.bar.finish_and_clear();
    }
}

/// A run in words.
pub fn name(done: &Done) -> String {
    let workload = done.cell.workload.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let source = super::report::source_word(done.source);
    format!("{workload}, {}, seed {}, {source}", done.cell.policy.word(), done.cell.seed)
}
