//! Pictures of the display on both boards: taken, looked at, and kept where the documentation has them. Not here: what is looked
//! for (`super::check`).

use super::check::{Picture, problems};
use super::{FILE, Screen, sheet};
use crate::Failure;
use crate::display::Display;
use crate::qemu::{Board, Clock, Machine};
use crate::results::Results;
use crate::run::{self, Debugger, Exports, Plan, Stop};
use crate::scenario::{self, Changes};
use crate::sd;
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

/// The scenario that tests the kernel from outside.
const SELF_TEST: &str = "selftest";
/// The one that tests the machine.
const HARDWARE: &str = "hardware";

/// The command line.
#[derive(Clone, Debug, clap::Args)]
pub struct Arguments {
    /// The kernel's ELF file
    #[arg(long)]
    pub kernel: PathBuf,
    /// Folder of the EL0 programs' ELF files
    #[arg(long)]
    pub apps: PathBuf,
    /// The scenario, a static one: a TOML file, or the name of one in scenarios/
    #[arg(long, default_value = "display", value_parser = scenario::file_of)]
    pub scenario: PathBuf,
    /// Boards
    #[arg(long, value_enum, num_args = 1.., default_values = ["virt", "rpi4"])]
    pub board: Vec<Board>,
    /// Folder in which each run gets its own
    #[arg(long, default_value = "out/screens")]
    pub out: PathBuf,
    /// Folder to which the pictures are copied if they are right, as display-BOARD.png and hardware-BOARD.png
    #[arg(long)]
    pub keep: Option<PathBuf>,
    /// Seconds of the host's time that each guest may take
    #[arg(long, default_value_t = 300)]
    pub timeout: u64,
}

/// Takes the pictures, on all boards at a time, and looks at them; true if all are as they should be, and nobody else can get at the screen.
pub fn command(arguments: Arguments) -> Result<bool, Stop> {
    let mut passed = true;
    if let Some(board) = arguments.board.first() {
        let wrong = self_test(&arguments, *board)?;
        println!(
            "screen {:<4}  {}",
            board.name(),
            if wrong.is_empty() { "ok    self-test" } else { "FAIL  self-test" }
        );
        wrong.iter().for_each(|line| println!("    {line}"));
        passed = wrong.is_empty();
    }
    let boards = thread::scope(|scope| {
        let boards = arguments.board.iter().map(|board| scope.spawn(|| of_board(&arguments, *board)));
        let boards: Vec<_> = boards.collect();
        boards
            .into_iter()
            .map(|board| board.join().unwrap_or_else(|panic| resume_unwind(panic)))
            .collect::<Vec<_>>()
    });
    for board in boards {
        passed &= board?;
    }
    Ok(passed)
}

fn of_board(arguments: &Arguments, board: Board) -> Result<bool, Stop> {
    let mut passed = true;
    for (name, look) in [("display", shown as Look), (HARDWARE, hardware)] {
        let out = arguments.out.join(format!("{name}-{}", board.name()));
        passed &= picture(arguments, (board, name), &out, look(arguments, board, &out)?)?;
    }
    Ok(passed)
}

/// Makes a run with a picture of it, in a folder; what is wrong with either.
type Look = fn(&Arguments, Board, &Path) -> Result<Vec<String>, Stop>;

/// Says what is wrong with a picture, and keeps it if nothing is.
fn picture(
    arguments: &Arguments,
    (board, name): (Board, &str),
    out: &Path,
    wrong: Vec<String>,
) -> Result<bool, Failure> {
    let (board, file) = (board.name(), out.join(FILE));
    if !wrong.is_empty() {
        println!("screen {board:<4}  FAIL  {name}\n    {}", wrong.join("\n    "));
        return Ok(false);
    }
    println!("screen {board:<4}  ok    {}", file.display());
    if let Some(keep) = &arguments.keep {
        let kept = keep.join(format!("{name}-{board}.png"));
        std::fs::copy(&file, &kept).map_err(Failure::with(kept.display()))?;
        println!("{}", kept.display());
    }
    Ok(true)
}

/// A run that is drawn while it goes on.
fn shown(arguments: &Arguments, board: Board, out: &Path) -> Result<Vec<String>, Stop> {
    let scenario = scenario::load(&arguments.scenario, None, None)?;
    let plan = plan(arguments, board, &arguments.scenario, out.into())?;
    let results = run::run(&plan, &mut Display::Silent)?;
    let mut found = wrong(&results);
    found.extend(problems(&Picture::read(&out.join(FILE))?, &scenario, &results));
    Ok(found)
}

/// The hardware self-test's page. A Raspberry Pi has a card, from which it boots.
fn hardware(arguments: &Arguments, board: Board, out: &Path) -> Result<Vec<String>, Stop> {
    let file = scenario::file_of(HARDWARE).map_err(Failure)?;
    let mut plan = plan(arguments, board, &file, out.into())?;
    if board == Board::Rpi4 {
        let order = sd::Order {
            scenario: file,
            changes: Changes::default(),
            kernel: arguments.kernel.clone(),
            apps: arguments.apps.clone(),
            command_line: String::new(),
            screen: Screen::None,
        };
        plan.card = Some(sd::make(&order, out)?);
    }
    let results = run::run(&plan, &mut Display::Silent)?;
    let mut found = wrong(&results);
    found.extend(sheet::problems(&Picture::read(&out.join(FILE))?));
    Ok(found)
}

/// What the self-test finds wrong on a machine with a display.
fn self_test(arguments: &Arguments, board: Board) -> Result<Vec<String>, Stop> {
    let file = scenario::file_of(SELF_TEST).map_err(Failure)?;
    let mut plan = plan(arguments, board, &file, arguments.out.join(SELF_TEST))?;
    plan.machine.cores = 1; // What it asks about the display it asks on one.
    Ok(wrong(&run::run(&plan, &mut Display::Silent)?))
}

fn wrong(results: &Results) -> Vec<String> {
    let wrong = results.verdict.iter().filter(|line| !line.passed);
    wrong.map(|line| format!("{}: {}", line.expected, line.seen)).collect()
}

fn plan(arguments: &Arguments, board: Board, scenario: &Path, out: PathBuf) -> Result<Plan, Failure> {
    let cores = scenario::load(scenario, None, None)?.cores;
    Ok(Plan {
        machine: Machine { board, cores, gic: 2, clock: Clock::Instructions },
        scenario: scenario.into(),
        changes: Changes::default(),
        kernel: arguments.kernel.clone(),
        apps: arguments.apps.clone(),
        out,
        patience: Duration::from_secs(arguments.timeout),
        debugger: Debugger::Absent,
        exports: Exports::None,
        card: None,
        screen: Screen::Picture,
    })
}
