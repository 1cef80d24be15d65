//! The kernel in QEMU as a runner of comparisons: each run boots a machine of its own, and its trace is the recording.
//! Not here: how a guest is run (`run`) and its trace read (`trace`).

use super::cell::{Cell, Runner};
use crate::decisions::{self, Curve};
use crate::display::Display;
use crate::qemu::{Board, Clock, Machine};
use crate::recording::{Recording, Source};
use crate::run::{self, Debugger, Exports, Plan, Stop};
use crate::scenario;
use crate::screen::Screen;
use crate::{Failure, hash};
use libos_core::report::held_back_by;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long one guest may take, by the host's clock.
const PATIENCE: Duration = Duration::from_secs(600);

/// Boots this kernel with these programs.
pub struct Kernel {
    pub(super) kernel: PathBuf,
    pub(super) apps: PathBuf,
    /// Where each run gets a folder for as long as it lasts.
    out: PathBuf,
    images: String,
}

impl Kernel {
    /// With a kernel's ELF file, a folder of programs' ELF files, and a folder to work in.
    ///
    /// # Errors
    /// If a file cannot be read, or the folder not made.
    pub fn new(kernel: PathBuf, apps: PathBuf, out: PathBuf) -> Result<Self, Failure> {
        std::fs::create_dir_all(&out).map_err(Failure::with(out.display()))?;
        let images = images(&kernel, &apps)?;
        Ok(Self { kernel, apps, out, images })
    }
}

/// A hash of everything that is booted, but the scenario.
fn images(kernel: &Path, apps: &Path) -> Result<String, Failure> {
    let kernel = std::fs::read(kernel).map_err(Failure::with(kernel.display()))?;
    let programs = crate::archive::programs(apps)?;
    let mut parts = vec![&kernel[..]];
    for (name, contents) in &programs {
        parts.extend([name.as_bytes(), contents]);
    }
    Ok(hash::of(&parts))
}

impl Runner for Kernel {
    fn source(&self) -> Source {
        Source::Kernel
    }

    fn images(&self) -> &str {
        &self.images
    }

    fn available(&self) -> Result<(), Failure> {
        Machine { board: Board::Virt, cores: 1, gic: 3, clock: Clock::Instructions }.available()
    }

    fn run(&self, cell: &Cell) -> Result<Recording, Stop> {
        let changes = cell.changes();
        let cores = scenario::load_changed(&cell.workload, &changes, None)?.cores;
        let folder = tempfile::Builder::new().prefix(".cell-").tempdir_in(&self.out);
        let folder = folder.map_err(Failure::with(self.out.display()))?;
        let plan = Plan {
            machine: Machine { board: Board::Virt, cores, gic: 3, clock: Clock::Instructions },
            scenario: cell.workload.clone(),
            changes,
            kernel: self.kernel.clone(),
            apps: self.apps.clone(),
            out: folder.path().into(),
            patience: PATIENCE,
            debugger: Debugger::Absent,
            card: None,
            exports: Exports::None,
            screen: Screen::None,
        };
        let ran = run::run_recorded(&plan, &mut Display::Silent)?;
        if !ran.ended_well {
            let said = ran.results.verdict.iter().filter(|verdict| !verdict.passed);
            let said: Vec<_> =
                said.map(|verdict| format!("{}: {}", verdict.expected, verdict.seen)).collect();
            return Err(Failure(said.join("; ")).into());
        }
        let bits = ran.results.machine.as_ref().and_then(|machine| machine.throttled).unwrap_or(0);
        if bits != 0 {
            let by = held_back_by(bits);
            return Err(
                Failure(format!("the machine was held back ({by}): its times are not comparable")).into()
            );
        }
        let nothing = || Failure("nothing was recorded: the scenario says trace = false".into());
        Ok(ran.recorded.ok_or_else(nothing)?.recording)
    }

    fn decisions(&self) -> Result<Vec<Curve>, Stop> {
        let folder = tempfile::Builder::new().prefix(".decisions-").tempdir_in(&self.out);
        let folder = folder.map_err(Failure::with(self.out.display()))?;
        let plan = decisions::plan(&self.kernel, &self.apps, folder.path().into());
        let results = run::run(&plan, &mut Display::Silent)?;
        let wrong = results.verdict.iter().filter(|verdict| !verdict.passed);
        let wrong: Vec<_> = wrong.map(|verdict| format!("{}: {}", verdict.expected, verdict.seen)).collect();
        match wrong.is_empty() {
            true => Ok(decisions::of_kernel(&results.decisions)),
            false => Err(Failure(format!("{}: {}", decisions::SCENARIO, wrong.join("; "))).into()),
        }
    }
}
