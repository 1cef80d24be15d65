//! One run from beginning to end: prepares what is booted, listens until the guest is done, leaves results behind or
//! nothing. Not here: each of these steps' how; what becomes of what it said (`conclude`).

use crate::conclude::{self, Whole};
use crate::console::Console;
use crate::display::{Display, in_words};
use crate::outcome::Outcome;
use crate::qemu::{Board, Clock, Guest, Machine, Pace, Said};
use crate::results::Results;
use crate::scenario::Changes;
use crate::screen::{self, Monitor, Screen};
use crate::symbols::Symbols;
use crate::{Failure, archive, image, sd};
use libos_core::scenario::Scenario;
use std::ffi::OsString;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tempfile::TempDir;

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

pub use crate::conclude::{CONSOLE, Exports, RESULTS, Ran};

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
    /// The image of a Raspberry Pi's card: the machine has it, and boots what is on it in place of the above, as firmware would do.
    pub card: Option<PathBuf>,
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
    /// What QEMU is told of a card.
    card: Vec<OsString>,
}

/// Runs a plan. The results are also in its folder, with the guest's lines; of a run that was interrupted nothing is.
pub fn run(plan: &Plan, display: &mut Display) -> Result<Results, Stop> {
    Ok(run_recorded(plan, display)?.results)
}

/// As [`run`], with the recording.
pub fn run_recorded(plan: &Plan, display: &mut Display) -> Result<Ran, Stop> {
    let prepared = prepare(plan)?;
    let mut lines = conclude::new_file(&plan.out)?;
    let heard = listen(plan, &prepared, display, &mut lines);
    display.end();
    if heard != Err(Stop::Interrupted) {
        conclude::keep(lines, &plan.out.join(CONSOLE))?;
    }
    let outcome = heard?;
    let files = streams_in(&prepared.folder, plan.machine.cores);
    // There are none where the trace comes on the serial line.
    let streams = files.iter().filter(|file| file.exists()).map(fs::read).collect::<Result<Vec<_>, _>>();
    let streams = streams.map_err(Failure::with(prepared.folder.path().display()))?;
    let Plan { machine, out, exports, .. } = plan;
    let whole = Whole { scenario: &prepared.scenario, machine: *machine, out, exports: *exports };
    Ok(whole.conclude(outcome, streams)?)
}

fn prepare(plan: &Plan) -> Result<Prepared, Failure> {
    plan.machine.checked()?;
    let (scenario, files) = match &plan.card {
        None => built(plan)?,
        Some(card) => on_card(plan, card)?,
    };
    plan.machine.available()?;
    conclude::clear(&plan.out)?;
    let folder = tempfile::Builder::new().prefix(".run-").tempdir_in(&plan.out);
    let folder = folder.map_err(Failure::with(plan.out.display()))?;
    let write = |path: &Path, bytes: &[u8]| fs::write(path, bytes).map_err(Failure::with(path.display()));
    write(&image_in(&folder), &files.kernel)?;
    write(&archive_in(&folder), &files.archive)?;
    let card = match (&plan.card, &files.card) {
        (Some(image), Some((tree, words))) => {
            let path = folder.path().join("tree.dtb");
            write(&path, tree)?;
            plan.machine.with_card(image, &path, &plan.screen.words(words))
        }
        _ => Vec::new(),
    };
    Ok(Prepared { scenario, folder, card })
}

/// What a machine boots.
struct Files {
    kernel: Vec<u8>,
    archive: Vec<u8>,
    /// A card's own device tree and command line.
    card: Option<(Vec<u8>, String)>,
}

/// The scenario and what is built for it.
fn built(plan: &Plan) -> Result<(Scenario, Files), Failure> {
    let programs = archive::programs(&plan.apps)?;
    let names: Vec<_> = programs.iter().map(|(name, _)| name.clone()).collect();
    let changes = Changes { cores: Some(plan.machine.cores), ..plan.changes };
    let scenario = plan.screen.scenario(&plan.scenario, &changes, Some(&names))?;
    let kernel = fs::read(&plan.kernel).map_err(Failure::with(plan.kernel.display()))?;
    let kernel = image::raw(&kernel).map_err(Failure::with(plan.kernel.display()))?;
    let archive = archive::build(&programs, &scenario)?;
    Ok((scenario, Files { kernel, archive, card: None }))
}

/// The scenario on a card, and what is there to boot into it.
fn on_card(plan: &Plan, card: &Path) -> Result<(Scenario, Files), Failure> {
    if plan.machine.board != Board::Rpi4 {
        return Err(Failure("--sd: only the Raspberry Pi 4 has a card: ./just run-pi … --sd".into()));
    }
    let named = |Failure(why)| Failure(format!("{}: {why}", card.display()));
    let image = fs::read(card).map_err(Failure::with(card.display()))?;
    let boot = sd::Boot::read(&image).map_err(named)?;
    let scenario = archive::scenario(&boot.archive).map_err(named)?;
    let sd::Boot { kernel, archive, tree, command_line } = boot;
    Ok((scenario, Files { kernel, archive, card: Some((tree, command_line)) }))
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
    arguments.extend_from_slice(&prepared.card);
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
        Clock::Host | Clock::Board => {
            "if it only needs longer, say so with --timeout; without --realtime it would need less"
        }
    };
    Failure(format!(
        "the guest was not done after {} s; last heard: {heard}; what it said is in {}; {advice}",
        plan.patience.as_secs(),
        log.display()
    ))
}
