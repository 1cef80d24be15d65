//! A comparison as a workflow of Snakemake: a folder with all that its runs need, a table of them, and what is to be done for each.
//! So whoever has a cluster makes thousands of them there: `./just compare --snakemake`.
//!
//! An outcome is the file in which a comparison keeps that run's result (`engine`), under the hash of all that it depends on. So a
//! program, image or scenario other than those of the folder makes no outcome of it; and [`merge`] does what `compare` does
//! where all results are kept already. Not here: the running, which is Snakemake's and, of one run, the runner's.

mod folder;
#[cfg(test)]
mod tests;

pub use folder::{Sweep, write};

use super::cell::Runner;
use super::command::{self, Makers, Order};
use super::engine::{self, Done, Lost};
use super::report::Report;
use super::{costs, report};
use crate::run::Stop;
use crate::{Failure, hash};
use std::ffi::OsStr;
use std::path::Path;

/// Makes the run of an outcome's file, or measures what decisions cost if the file is for that; says in a line what it was. The
/// file's name says which run it is, and its folder need not be the sweep's own. A run that fails has an outcome, too, as it has
/// in a comparison: why it failed.
///
/// # Errors
/// If the outcome is none of this sweep's, or this host cannot make such runs at all: then another one may.
pub fn make(folder: &Path, outcome: &Path) -> Result<String, Stop> {
    let tool = hash::of_this_program()?;
    let (order, makers) = Sweep::read(folder)?.opened(folder)?;
    let (ours, linux) = (makers.ours(), makers.linux());
    let cache = outcome.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(cache).map_err(Failure::with(cache.display()))?;
    let within = (cache, &*tool);
    let is_it = |place: &Path| place.file_name() == outcome.file_name();
    for (cell, runner) in command::tasks(&order, &ours, &linux) {
        let place = engine::place(&cell, runner, within)?;
        if is_it(&place) {
            runner.available()?;
            let done = engine::one(&cell, runner, within)?;
            if let Err(why) = &done.kept {
                engine::keep(&place, &Lost { failed: why.clone() })?;
            }
            return Ok(in_words(&done));
        }
    }
    for runner in ours {
        if is_it(&costs::place(runner, within)) {
            runner.available()?;
            costs::decisions_of(runner, within)?;
            return Ok(format!("what decisions cost, {}", report::source_word(runner.source())));
        }
    }
    let why = "no run of this sweep has this outcome: program, images or scenarios are not those that it was written with. \
        Write it again, with ./just compare --snakemake";
    Err(Failure(format!("{}: {why}", outcome.display())).into())
}

/// Puts all outcomes together, which are in the folder `cache` of `out`, as `compare` does with the results of its own runs.
///
/// # Errors
/// Every outcome that is not there.
pub fn merge(folder: &Path, out: &Path) -> Result<Report, Stop> {
    let tool = hash::of_this_program()?;
    let sweep = Sweep::read(folder)?;
    let (order, makers) = sweep.opened(folder)?;
    let order = Order { out: out.into(), ..order };
    let (ours, linux, cache) = (makers.ours(), makers.linux(), order.cache());
    let made = |(cell, runner): &command::Task| engine::made(cell, *runner, (&cache, &tool));
    let made: Vec<_> = command::tasks(&order, &ours, &linux).iter().map(made).collect();
    let missing: Vec<_> = made.iter().filter_map(|made| Some(made.as_ref().err()?.0.clone())).collect();
    if !missing.is_empty() {
        return Err(Failure(format!("these runs are still to be made:\n{}", missing.join("\n"))).into());
    }
    let made = made.into_iter().flatten().map(|done| sweep.as_typed(&order, done));
    command::conclude(&order, &makers, made.collect())
}

/// An outcome's file, as the workflow names it.
fn file_name(place: &Path) -> String {
    format!("cache/{}", place.file_name().unwrap_or(OsStr::new("")).to_string_lossy())
}

fn in_words(done: &Done) -> String {
    match &done.kept {
        Ok(_) => engine::name(done),
        Err(why) => format!("FAILED {}: {why}", engine::name(done)),
    }
}

/// The table of all runs, and that of what is measured beside them: what Snakemake reads.
fn tables(order: &Order, makers: &Makers) -> Result<[(&'static str, String); 2], Failure> {
    let tool = hash::of_this_program()?;
    let (ours, linux, cache) = (makers.ours(), makers.linux(), order.cache());
    let within = (&*cache, &*tool);
    let mut runs = String::from("workload\tpolicy\tseed\tcores\ton\toutcome\n");
    for (cell, runner) in command::tasks(order, &ours, &linux) {
        let workload = cell.workload.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let cores = crate::scenario::load(&cell.workload, cell.cores, None)?.cores;
        let (policy, on) = (cell.policy.word(), report::source_word(runner.source()));
        let outcome = file_name(&engine::place(&cell, runner, within)?);
        runs += &format!("{workload}\t{policy}\t{}\t{cores}\t{on}\t{outcome}\n", cell.seed);
    }
    let decisions = ours.iter().map(|runner: &&dyn Runner| {
        let outcome = file_name(&costs::place(*runner, within));
        format!("{}\t{outcome}\n", report::source_word(runner.source()))
    });
    Ok([("runs.tsv", runs), ("decisions.tsv", format!("on\toutcome\n{}", decisions.collect::<String>()))])
}
