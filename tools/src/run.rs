//! One run from beginning to end: prepares what is booted, listens until the guest is done, leaves results behind or
//! nothing. Not here: each of these steps' how.

use crate::console::Console;
use crate::display::{Display, in_words};
use crate::outcome::Outcome;
use crate::qemu::{Clock, Guest, Machine, Pace, Said};
use crate::results::Results;
use crate::scenario::Changes;
use crate::screen::{self, Monitor, Screen};
use crate::symbols::Symbols;
use crate::trace::{self, Recorded, Trace, export};
use crate::{Failure, archive, image, scenario, verdict};
use libos_core::scenario::Scenario;
use std::fs::{self, Permissions};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tempfile::{NamedTempFile, TempDir};

/// The figures of a run.
pub const RESULTS: &str = "results.json";
/// What the guest said.
pub const CONSOLE: &str = "console.log";
/// How long a guest may take to switch off once it has said its last word.
const LAST_WORD: Duration = Duration::from_secs(5);
/// How often the display and Ctrl-C are looked after.
const PULSE: Duration = Duration::from_millis(100);
/// What QEMU says of every device in the Raspberry Pi's tree that it does not have, of the network that paces it, and of the
/// firmware of a PC that a display could have.
const EXPECTED_COMPLAINTS: [&str; 4] = [
    "warning: bcm2711 dtc: ",
    "warning: hub port pace has no peer",
    "warning: netdev pace has no peer",
    "rom: file vgabios-ramfb.bin",
];

static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// What is to be run, and where.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The machine.
    pub machine: Machine,
    /// The scenario's file.
    pub scenario: PathBuf,
    /// What is to be different from what it says; the cores are the machine's.
    pub changes: Changes,
    /// The kernel's ELF file.
    pub kernel: PathBuf,
    /// The folder of the programs' ELF files.
    pub apps: PathBuf,
    /// The folder for what the run leaves behind.
    pub out: PathBuf,
    /// How long the guest may take, by the host's clock.
    pub patience: Duration,
    /// Whether it waits for a debugger before its first instruction.
    pub debugger: Debugger,
    /// Whether what was recorded is also written in other people's forms.
    pub exports: Exports,
    /// Whether it has a display, and how one sees that.
    pub screen: Screen,
}

/// Whether a recording is written in other forms than its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exports {
    /// It is not.
    None,
    /// For Perfetto, and as tables of jobs and records.
    All,
}

/// Whether a debugger is to come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Debugger {
    /// No.
    Absent,
    /// QEMU waits for gdb on port 1234, and nobody looks at the clock.
    Awaited,
}

/// Why a run has no results.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stop {
    /// It could not begin, or did not end as it should.
    Failure(Failure),
    /// Whoever started it wants it to end.
    Interrupted,
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Self {
        Self::Failure(failure)
    }
}

/// From now on Ctrl-C makes every run end with [`Stop::Interrupted`].
pub fn heed_interrupts() -> Result<(), Failure> {
    ctrlc::set_handler(|| INTERRUPTED.store(true, Ordering::Relaxed)).map_err(Failure::with("Ctrl-C"))
}

/// Whether Ctrl-C was pressed.
pub fn interrupted() -> bool {
    INTERRUPTED.load(Ordering::Relaxed)
}

/// What was prepared for a run. The files go when it does.
struct Prepared {
    scenario: Scenario,
    folder: TempDir,
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

/// Runs a plan. The results are also in its folder, with the guest's lines; of a run that was interrupted nothing is.
pub fn run(plan: &Plan, display: &mut Display) -> Result<Results, Stop> {
    Ok(run_recorded(plan, display)?.results)
}

/// As [`run`], with the recording.
pub fn run_recorded(plan: &Plan, display: &mut Display) -> Result<Ran, Stop> {
    let prepared = prepare(plan)?;
    let mut lines = new_file(plan)?;
    let heard = listen(plan, &prepared, display, &mut lines);
    display.end();
    if heard != Err(Stop::Interrupted) {
        keep(lines, plan.out.join(CONSOLE))?;
    }
    let mut outcome = heard?;
    let recorded = recorded(plan, &prepared, &outcome)?;
    if let Some(recorded) = &recorded {
        trace::shares::add(&mut outcome, &recorded.recording);
    }
    let mut verdict = verdict::judge(&prepared.scenario, &plan.machine, &outcome);
    verdict.extend(recorded.iter().flat_map(verdict::trace::judge));
    let log = plan.out.join(CONSOLE);
    let results = Results::new(&prepared.scenario, &plan.machine, &outcome, verdict);
    let results = results.map(|results| results.with_trace(recorded.as_ref())).ok_or_else(|| {
        let panic = if outcome.panics > 0 { " with a kernel panic" } else { "" };
        Failure(format!("the guest ended{panic} before it reported anything: see {}", log.display()))
    })?;
    if outcome.end.is_some() {
        let mut file = new_file(plan)?;
        file.write_all(results.to_json().as_bytes()).map_err(Failure::with(plan.out.display()))?;
        keep(file, plan.out.join(RESULTS))?;
    }
    let ended_well = outcome.panics == 0 && outcome.end.is_some_and(|(passed, _)| passed);
    Ok(Ran { results, recorded, ended_well })
}

fn prepare(plan: &Plan) -> Result<Prepared, Failure> {
    plan.machine.checked()?;
    let programs = archive::programs(&plan.apps)?;
    let names: Vec<_> = programs.iter().map(|(name, _)| name.clone()).collect();
    let changes = Changes { cores: Some(plan.machine.cores), ..plan.changes };
    let scenario = scenario::load_changed(&plan.scenario, &changes, Some(&names))?;
    plan.machine.available()?;
    let kernel = fs::read(&plan.kernel).map_err(Failure::with(plan.kernel.display()))?;
    let kernel = image::raw(&kernel).map_err(Failure::with(plan.kernel.display()))?;
    let archive = archive::build(&programs, &scenario)?;

    let failed = |path: &Path| Failure::with(path.display().to_string());
    fs::create_dir_all(&plan.out).map_err(failed(&plan.out))?;
    let files =
        [RESULTS, CONSOLE, screen::FILE, trace::FILE, export::PERFETTO, export::JOBS, export::RECORDS];
    for old in files.map(|name| plan.out.join(name)) {
        // What an earlier run left would be taken for this one's.
        fs::remove_file(&old)
            .or_else(|error| if error.kind() == std::io::ErrorKind::NotFound { Ok(()) } else { Err(error) })
            .map_err(failed(&old))?;
    }
    let folder = tempfile::Builder::new().prefix(".run-").tempdir_in(&plan.out).map_err(failed(&plan.out))?;
    fs::write(image_in(&folder), kernel).map_err(failed(folder.path()))?;
    fs::write(archive_in(&folder), archive).map_err(failed(folder.path()))?;
    Ok(Prepared { scenario, folder })
}

fn image_in(folder: &TempDir) -> PathBuf {
    folder.path().join("Image")
}

fn archive_in(folder: &TempDir) -> PathBuf {
    folder.path().join("archive.tar")
}

/// The files to which the cores' streams go.
fn streams_in(folder: &TempDir, cores: u32) -> Vec<PathBuf> {
    (0..cores).map(|core| folder.path().join(format!("trace-{core}.bin"))).collect()
}

/// What was recorded and what it says; nothing of a run that recorded nothing. The bytes are kept in the plan's folder.
fn recorded(plan: &Plan, prepared: &Prepared, outcome: &Outcome) -> Result<Option<Recorded>, Failure> {
    if !prepared.scenario.trace {
        return Ok(None);
    }
    let files = streams_in(&prepared.folder, plan.machine.cores);
    // There are none where the trace comes on the serial line.
    let streams = files.iter().filter(|file| file.exists()).map(fs::read).collect::<Result<Vec<_>, _>>();
    let mut streams = streams.map_err(Failure::with(prepared.folder.path().display()))?;
    streams.extend(outcome.streams.values().cloned());
    // Which core has which console is the tracer's affair; the file is in the order of cores.
    streams.sort_by_key(|bytes| Trace::decode([&bytes[..]]).cores.first().map(|stream| stream.core));
    let mut file = new_file(plan)?;
    file.write_all(&streams.concat()).map_err(Failure::with(plan.out.display()))?;
    keep(file, plan.out.join(trace::FILE))?;
    let trace = Trace::decode(streams.iter().map(Vec::as_slice));
    let recorded = Recorded::new(&prepared.scenario, outcome, &trace);
    if let Some(recorded) = recorded.as_ref().filter(|_| plan.exports == Exports::All) {
        export(plan, recorded, &trace)?;
    }
    Ok(recorded)
}

/// Writes what was recorded in other people's forms.
fn export(plan: &Plan, recorded: &Recorded, trace: &Trace) -> Result<(), Failure> {
    let recording = &recorded.recording;
    let files = [
        (export::PERFETTO, export::perfetto::encode(recording)),
        (export::JOBS, export::csv::jobs(recording).into_bytes()),
        (export::RECORDS, export::csv::records(trace).into_bytes()),
    ];
    for (name, bytes) in files {
        let mut file = new_file(plan)?;
        file.write_all(&bytes).map_err(Failure::with(plan.out.display()))?;
        keep(file, plan.out.join(name))?;
    }
    Ok(())
}

/// A file in the plan's folder that goes away unless it is kept.
fn new_file(plan: &Plan) -> Result<NamedTempFile, Failure> {
    let readable = Permissions::from_mode(0o644);
    let file = tempfile::Builder::new().prefix(".run-").permissions(readable).tempfile_in(&plan.out);
    file.map_err(Failure::with(plan.out.display()))
}

/// Gives a file that is complete its name.
fn keep(file: NamedTempFile, name: PathBuf) -> Result<(), Failure> {
    file.persist(&name).map(|_| ()).map_err(Failure::with(name.display()))
}

/// A guest at work, and everybody who is told of it.
struct Hearing<'a, W> {
    plan: &'a Plan,
    console: Console,
    display: &'a mut Display,
    log: W,
    /// What QEMU itself complains of. Its moment is the host's, so it is logged last.
    complaints: String,
    /// With which a picture is taken, once.
    monitor: Option<Monitor>,
}

/// How a guest came to be silent.
#[derive(PartialEq, Eq)]
enum Silence {
    /// Its machine is off.
    Off,
    /// It has nothing more to say, but its machine does not switch off.
    Stuck,
}

fn listen(
    plan: &Plan,
    prepared: &Prepared,
    display: &mut Display,
    log: &mut impl Write,
) -> Result<Outcome, Stop> {
    let (image, archive) = (image_in(&prepared.folder), archive_in(&prepared.folder));
    let pace = Pace::of(&prepared.scenario);
    let mut arguments = plan.machine.arguments((&image, &archive), pace, plan.screen);
    if prepared.scenario.trace {
        arguments.extend(plan.machine.tracing(&streams_in(&prepared.folder, plan.machine.cores)));
    }
    if plan.debugger == Debugger::Awaited {
        arguments.extend(["-s", "-S"].map(Into::into));
    }
    let console = Console::new(Some(Symbols::of(&plan.kernel)?));
    let socket = (plan.screen == Screen::Picture).then(screen::Socket::new).transpose()?;
    arguments.extend(socket.iter().flat_map(screen::Socket::arguments));
    let mut guest = Guest::start(&arguments)?;
    let monitor = socket.as_ref().map(Monitor::connect).transpose()?;
    let mut hearing = Hearing { plan, console, display, log, complaints: String::new(), monitor };
    let silence = hearing.hear_out(&guest);
    hearing.close()?;
    let mut outcome = hearing.console.into_outcome();
    if silence? == Silence::Off {
        outcome.status = guest.status()?.code();
    }
    Ok(outcome)
}

impl<W: Write> Hearing<'_, W> {
    /// Listens until there is nothing more to hear.
    fn hear_out(&mut self, guest: &Guest) -> Result<Silence, Stop> {
        let deadline = match self.plan.debugger {
            Debugger::Absent => Some(Instant::now() + self.plan.patience),
            Debugger::Awaited => None,
        };
        let mut closing = None;
        loop {
            match guest.listen(PULSE) {
                Said::Serial(bytes) => {
                    let lines = self.console.hear(&bytes);
                    self.take_picture()?;
                    self.show(lines)?;
                }
                Said::Complaint(bytes) => self.complaints += &String::from_utf8_lossy(&bytes),
                Said::Nothing => {}
                Said::Closed => return Ok(Silence::Off),
            }
            let outcome = self.console.outcome();
            self.display.progress(outcome.progress);
            let now = Instant::now();
            if outcome.end.is_some() || outcome.panics > 0 {
                closing = closing.or(Some(now + LAST_WORD));
            }
            if interrupted() {
                return Err(Stop::Interrupted);
            }
            if closing.is_some_and(|closing| now >= closing) {
                return Ok(Silence::Stuck);
            }
            if deadline.is_some_and(|deadline| now >= deadline) {
                return Err(out_of_patience(self.plan, outcome).into());
            }
        }
    }

    /// Takes a picture when the guest says that its last one is on the screen; it waits for a moment then.
    fn take_picture(&mut self) -> Result<(), Failure> {
        if self.console.outcome().picture.is_some()
            && let Some(mut monitor) = self.monitor.take()
        {
            monitor.picture(&self.plan.out.join(screen::FILE))?;
        }
        Ok(())
    }

    fn show(&mut self, lines: Vec<String>) -> Result<(), Failure> {
        for line in lines {
            self.display.line(&line);
            writeln!(self.log, "{line}").map_err(Failure::with(CONSOLE))?;
        }
        Ok(())
    }

    fn close(&mut self) -> Result<(), Failure> {
        let mut lines = self.console.close();
        let complaints = self
            .complaints
            .lines()
            .filter(|line| !EXPECTED_COMPLAINTS.iter().any(|said| line.contains(said)));
        lines.extend(complaints.map(String::from));
        self.show(lines)
    }
}

fn out_of_patience(plan: &Plan, outcome: &Outcome) -> Failure {
    let heard = in_words(outcome.progress);
    let log = plan.out.join(CONSOLE);
    let advice = match plan.machine.clock {
        Clock::Instructions => "if it only needs longer, say so with --timeout",
        Clock::Host => {
            "if it only needs longer, say so with --timeout; without --realtime it would need less"
        }
    };
    Failure(format!(
        "the guest was not done after {} s; last heard: {heard}; what it said is in {}; {advice}",
        plan.patience.as_secs(),
        log.display()
    ))
}
