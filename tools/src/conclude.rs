//! What becomes of everything that a guest said: the verdict, the results and the recording, in a folder.
//!
//! Not here: where the guest ran, and how its words came (`run`, `collect`).

use crate::outcome::Outcome;
use crate::qemu::Machine;
use crate::results::Results;
use crate::screen;
use crate::trace::{self, Recorded, Trace, export};
use crate::{Failure, verdict};
use libos_core::scenario::Scenario;
use std::fs::{self, Permissions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use tempfile::NamedTempFile;

/// The figures of a run.
pub const RESULTS: &str = "results.json";
/// What the guest said.
pub const CONSOLE: &str = "console.log";

/// The status of a machine that ended as it should.
pub const SUCCESS: i32 = 0;

/// Whether a recording is written in other forms than its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exports {
    /// It is not.
    None,
    /// For Perfetto, and as tables of jobs and records.
    All,
}

/// A run that ended.
pub struct Ran {
    /// Its figures, and whether they are as they should be.
    pub results: Results,
    /// What was recorded, if anything was.
    pub recorded: Option<Recorded>,
    /// Whether the guest itself says that everything went well, and the kernel did not panic: the figures are those of a
    /// whole run, be they as expected or not.
    pub ended_well: bool,
}

/// A run of which everything is there.
#[derive(Clone, Copy, Debug)]
pub struct Whole<'a> {
    /// What was run.
    pub scenario: &'a Scenario,
    /// On what.
    pub machine: Machine,
    /// The folder for what it leaves behind.
    pub out: &'a Path,
    /// Whether what was recorded is also written in other people's forms.
    pub exports: Exports,
}

impl Whole<'_> {
    /// Writes what the run leaves behind: the recording, and the results if it came to its end. `streams` are the cores' parts of
    /// the trace that did not come with the report.
    ///
    /// # Errors
    /// If the guest never said what it runs on, or a file cannot be written.
    pub fn conclude(&self, mut outcome: Outcome, streams: Vec<Vec<u8>>) -> Result<Ran, Failure> {
        let recorded = self.recorded(&outcome, streams)?;
        if let Some(recorded) = &recorded {
            trace::shares::add(&mut outcome, &recorded.recording);
        }
        let mut verdict = verdict::judge(self.scenario, &self.machine, &outcome);
        verdict.extend(recorded.iter().flat_map(verdict::trace::judge));
        let results = Results::new(self.scenario, &self.machine, &outcome, verdict);
        let results = results.map(|results| results.with_trace(recorded.as_ref())).ok_or_else(|| {
            let panic = if outcome.panics > 0 { " with a kernel panic" } else { "" };
            let log = self.out.join(CONSOLE);
            Failure(format!("the guest ended{panic} before it reported anything: see {}", log.display()))
        })?;
        if outcome.end.is_some() {
            self.write(RESULTS, results.to_json().as_bytes())?;
        }
        let ended_well = outcome.panics == 0 && outcome.end.is_some_and(|(passed, _)| passed);
        Ok(Ran { results, recorded, ended_well })
    }

    /// What was recorded and what it says; nothing of a run that recorded nothing. The bytes are kept.
    fn recorded(&self, outcome: &Outcome, mut streams: Vec<Vec<u8>>) -> Result<Option<Recorded>, Failure> {
        if !self.scenario.trace {
            return Ok(None);
        }
        streams.extend(outcome.streams.values().cloned());
        // Which core has which console is the tracer's affair; the file is in the order of cores.
        streams.sort_by_key(|bytes| Trace::decode([&bytes[..]]).cores.first().map(|stream| stream.core));
        self.write(trace::FILE, &streams.concat())?;
        let trace = Trace::decode(streams.iter().map(Vec::as_slice));
        let recorded = Recorded::new(self.scenario, outcome, &trace);
        if let Some(recorded) = recorded.as_ref().filter(|_| self.exports == Exports::All) {
            self.export(recorded, &trace)?;
        }
        Ok(recorded)
    }

    /// Writes what was recorded in other people's forms.
    fn export(&self, recorded: &Recorded, trace: &Trace) -> Result<(), Failure> {
        let recording = &recorded.recording;
        self.write(export::PERFETTO, &export::perfetto::encode(recording))?;
        self.write(export::JOBS, export::csv::jobs(recording).as_bytes())?;
        self.write(export::RECORDS, export::csv::records(trace).as_bytes())
    }

    /// A file that is there as a whole or not at all.
    fn write(&self, name: &str, bytes: &[u8]) -> Result<(), Failure> {
        let mut file = new_file(self.out)?;
        file.write_all(bytes).map_err(Failure::with(self.out.display()))?;
        keep(file, &self.out.join(name))
    }
}

/// Makes a folder ready for a run: what an earlier one left there would be taken for this one's.
pub fn clear(out: &Path) -> Result<(), Failure> {
    fs::create_dir_all(out).map_err(Failure::with(out.display()))?;
    for name in [RESULTS, CONSOLE, screen::FILE, trace::FILE, export::PERFETTO, export::JOBS, export::RECORDS]
    {
        let old = out.join(name);
        match fs::remove_file(&old) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                return Err(Failure(format!("{}: {error}", old.display())));
            }
            _ => {}
        }
    }
    Ok(())
}

/// A file in a folder that goes away unless it is kept.
pub fn new_file(folder: &Path) -> Result<NamedTempFile, Failure> {
    let readable = Permissions::from_mode(0o644);
    let file = tempfile::Builder::new().prefix(".run-").permissions(readable).tempfile_in(folder);
    file.map_err(Failure::with(folder.display()))
}

/// Gives a file that is complete its name.
pub fn keep(file: NamedTempFile, name: &Path) -> Result<(), Failure> {
    file.persist(name).map(|_| ()).map_err(Failure::with(name.display()))
}
