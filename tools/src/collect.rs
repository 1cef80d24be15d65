//! What a real board sent: from its serial line, or out of the results file on its card, to the same results as QEMU's.
//!
//! * [`serial`]: listens to a line. [`card`]: reads a results file, or a whole card's image.
//! * [`losses`]: what was lost or came damaged, piece by piece.
//!
//! Nothing is taken for what it is not: every frame has a checksum and a number, so that what is missing has a name.
//! Not here: what becomes of it all (`conclude`), the form of the file (`libos_core::card::format`).

pub mod card;
pub mod losses;
pub mod serial;

use crate::Failure;
use crate::conclude::{self, CONSOLE, Exports, Ran, Whole};
use crate::console::Console;
use crate::outcome::Outcome;
use crate::qemu::{Board, Clock, Machine};
use crate::scenario::{self, Changes};
use crate::symbols::Symbols;
use libos_core::report::Start;
use libos_core::scenario::Scenario;
use std::io::Write;
use std::path::PathBuf;

/// Why there is nothing to begin with.
const NO_START: &str = "no report said which machine and which run this is: there are no results";

/// How a run is collected.
#[derive(Clone, Debug)]
pub struct Order {
    /// The scenario's file, in place of what the board says that it ran.
    pub scenario: Option<PathBuf>,
    /// The kernel's ELF file, for the names in a panic's backtrace.
    pub kernel: Option<PathBuf>,
    /// What makes time pass on the board.
    pub clock: Clock,
    /// The folder for what the run leaves behind.
    pub out: PathBuf,
    /// Whether what was recorded is also written in other people's forms.
    pub exports: Exports,
}

/// A run that was collected.
pub struct Collected {
    /// What came of it.
    pub ran: Ran,
    /// What was lost or damaged; nothing of a run that came whole.
    pub losses: Vec<String>,
}

impl Order {
    /// An ear for what the board says.
    fn console(&self) -> Result<Console, Failure> {
        Ok(Console::new(self.kernel.as_deref().map(Symbols::of).transpose()?))
    }

    /// From all that was heard to a run's files. `lines` are the guest's, `losses` what is known to be missing before any of it was
    /// understood.
    fn conclude(&self, outcome: Outcome, lines: &[String], before: &[String]) -> Result<Collected, Failure> {
        conclude::clear(&self.out)?;
        let mut log = conclude::new_file(&self.out)?;
        lines.iter().try_for_each(|line| writeln!(log, "{line}")).map_err(Failure::with(CONSOLE))?;
        conclude::keep(log, &self.out.join(CONSOLE))?;
        let losses = |cores| before.iter().cloned().chain(losses::of(&outcome, cores)).collect::<Vec<_>>();
        let without = |why: String| {
            let lost = losses(None).into_iter().map(|loss| format!("\n  lost: {loss}"));
            Failure(std::iter::once(why).chain(lost).collect())
        };
        let start = outcome.start.as_ref().ok_or_else(|| without(NO_START.into()))?;
        let scenario = self.scenario(&outcome, start).map_err(|Failure(why)| without(why))?;
        let machine = machine(start, self.clock)?;
        let losses = losses(scenario.trace.then_some(start.cores));
        let whole = Whole { scenario: &scenario, machine, out: &self.out, exports: self.exports };
        Ok(Collected { ran: whole.conclude(outcome, Vec::new())?, losses })
    }

    /// What was run: by the file that was named, or by the board's own word.
    fn scenario(&self, outcome: &Outcome, start: &Start) -> Result<Scenario, Failure> {
        let scenario = match (&self.scenario, &outcome.scenario) {
            (Some(file), _) => {
                let changes = Changes { seed: Some(start.seed), ..Changes::default() };
                scenario::load_changed(file, &changes, None)?
            }
            (None, Some(encoded)) => Scenario::decode(encoded).map_err(|_| {
                Failure(
                    "the board ran a scenario of another version: collect with the tools that made its card"
                        .into(),
                )
            })?,
            (None, None) => {
                return Err(Failure(format!(
                    "what the board said of its scenario is lost; it is called {}: name its file with --scenario",
                    start.scenario
                )));
            }
        };
        match scenario.name == start.scenario {
            true => Ok(scenario),
            false => Err(Failure(format!(
                "the board ran scenario {}, and --scenario names one that is called {}",
                start.scenario, scenario.name
            ))),
        }
    }
}

/// What the board says that it is.
fn machine(start: &Start, clock: Clock) -> Result<Machine, Failure> {
    let boards = [Board::Virt, Board::Rpi4];
    let board = boards.into_iter().find(|board| board.number() == start.board);
    let board =
        board.ok_or_else(|| Failure(format!("the board is of a kind that is not known: {}", start.board)))?;
    let small = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
    Ok(Machine { board, cores: small(start.cores), gic: small(start.gic), clock })
}

#[cfg(test)]
impl Order {
    /// Of a run that nobody looks at.
    pub(crate) fn for_tests() -> Self {
        let out = std::env::temp_dir().join(format!("tranche-collect-{}", std::process::id()));
        Self { scenario: None, kernel: None, clock: Clock::Board, out, exports: Exports::None }
    }
}
