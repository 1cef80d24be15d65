//! Linux as a runner of comparisons: each run boots a machine like ours with Debian's kernel and `linux-sched`, whose processes
//! are the scenario's clients, and Linux's trace of them is the recording. Not here: that program (`linux/`), and how the
//! kernel comes here (`bench::linux`).
//!
//! [`plan`]: what the program is to do. [`handed`] and [`ring`]: what it hands over. [`record`]: the recording of that.

pub mod handed;
pub mod plan;
pub mod record;
pub mod ring;

use super::cell::{Cell, Runner};
use crate::bench::linux::{self as bench, initramfs};
use crate::qemu::{Board, Clock, Guest, Machine, Pace};
use crate::recording::{LinuxPolicy, Recording, Source};
use crate::run::Stop;
use crate::{Failure, hash, image, scenario};
use libos_core::scenario::Scenario;
use linux_guest::frame;
use serde::Serialize;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What Linux is told: what the benchmark's is, no tests of its cryptography, which would go on for seconds beside the clients,
/// and no warning if they keep it from its own housekeeping.
const ADDED: &str = "cryptomgr.notests rcupdate.rcu_cpu_stall_suppress=1";
/// Ticks of the virt board's counter in a second.
const FREQUENCY: u64 = 62_500_000;
/// How long one guest may take, by the host's clock.
const PATIENCE: Duration = Duration::from_secs(600);
/// How the kernel's own version begins in its image.
const BANNER: &[u8] = b"Linux version ";

/// Which Linux it was, as the results name it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct About {
    /// The kernel's release, such as `6.12.95+deb12-arm64`.
    pub release: String,
    /// All that the kernel says of itself.
    pub version: String,
    /// What it was told.
    pub command_line: String,
}

/// A kernel, a program, and a folder to work in.
#[derive(Debug)]
pub struct Installed {
    pub(super) kernel: PathBuf,
    pub(super) program: Vec<u8>,
    out: PathBuf,
    images: String,
    /// Which Linux it is.
    pub about: About,
}

impl Installed {
    /// With the kernel's image and the program's ELF file.
    ///
    /// # Errors
    /// If a file cannot be read or is none such, or the folder not made.
    pub fn new(kernel: &Path, program: &Path, out: PathBuf) -> Result<Self, Failure> {
        std::fs::create_dir_all(&out).map_err(Failure::with(out.display()))?;
        // QEMU works in another folder.
        let absolute = kernel.canonicalize().map_err(Failure::with(kernel.display()))?;
        let image = std::fs::read(kernel).map_err(Failure::with(kernel.display()))?;
        let elf = std::fs::read(program).map_err(Failure::with(program.display()))?;
        let program = image::loadable(&elf).map_err(Failure::with(program.display()))?;
        let about =
            about(&image).ok_or_else(|| Failure(format!("{} is no Linux kernel", kernel.display())))?;
        let images = hash::of(&[&image, &program, about.command_line.as_bytes()]);
        Ok(Self { kernel: absolute, program, out, images, about })
    }
}

/// What a kernel's image says of itself.
fn about(image: &[u8]) -> Option<About> {
    let begins = (0..image.len()).filter(|at| image[*at..].starts_with(BANNER));
    // A format of the message, and a version that is not whole, come first.
    let mut versions = begins.filter_map(|at| {
        let line = image[at..].split(|byte| *byte == b'\n' || *byte == 0).next()?;
        let version = String::from_utf8_lossy(line).into_owned();
        let release = version.split(' ').nth(2)?.to_string();
        version.contains(" #1 ").then_some((release, version))
    });
    let (release, version) = versions.next()?;
    Some(About { release, version, command_line: format!("{} {ADDED}", bench::COMMAND_LINE) })
}

/// Linux under one of its schedulers.
#[derive(Debug)]
pub struct Linux<'a> {
    /// What is booted.
    pub installed: &'a Installed,
    /// How it is to schedule.
    pub policy: LinuxPolicy,
}

/// Why Linux cannot run a scenario, under any of its schedulers; empty if it can.
pub fn refusals(scenario: &Scenario) -> Vec<String> {
    let mut all: Vec<String> =
        LinuxPolicy::ALL.into_iter().flat_map(|policy| plan::refusals(scenario, policy)).collect();
    all.dedup();
    all
}

impl Runner for Linux<'_> {
    fn source(&self) -> Source {
        Source::Linux(self.policy)
    }

    fn images(&self) -> &str {
        &self.installed.images
    }

    fn available(&self) -> Result<(), Failure> {
        Machine { board: Board::Virt, cores: 1, gic: 3, clock: Clock::Instructions }.available()
    }

    fn run(&self, cell: &Cell) -> Result<Recording, Stop> {
        let scenario = scenario::load_changed(&cell.workload, &cell.changes(), None)?;
        let planned = plan::plan(&scenario, self.policy, FREQUENCY).map_err(Failure)?;
        let file = self.installed.boot(&scenario, &planned.bytes)?;
        let handed = handed::read(&file).map_err(Failure)?;
        let wrong = |what: &str| Err(Failure(format!("Linux's machine has {what}")).into());
        if handed.frequency != FREQUENCY {
            return wrong("another clock than the plan was made for");
        }
        if handed.clients.len() != planned.jobs.len() {
            return wrong("another number of clients than the plan");
        }
        Ok(record::Ran { scenario: &scenario, policy: self.policy, planned: &planned, handed: &handed }
            .recording())
    }
}

impl Installed {
    /// Boots a machine with this plan and listens until it is off: what the program has handed over.
    fn boot(&self, scenario: &Scenario, plan: &[u8]) -> Result<Vec<u8>, Stop> {
        let machine =
            Machine { board: Board::Virt, cores: scenario.cores, gic: 3, clock: Clock::Instructions };
        machine.available()?;
        let folder = tempfile::Builder::new().prefix(".linux-").tempdir_in(&self.out);
        let folder = folder.map_err(Failure::with(self.out.display()))?;
        let archive = initramfs::archive(&self.program, &[("plan", plan)]);
        let place = folder.path().join("archive");
        std::fs::write(&place, archive).map_err(Failure::with(place.display()))?;
        let guest = Guest::start_in(folder.path(), &self.arguments(machine, Pace::of(scenario)))?;
        // Whoever did not come to the end has said why.
        bench::listen(&guest, PATIENCE)?.figures()?;
        let handed = folder.path().join(frame::FILE.to_string_lossy().as_ref());
        Ok(std::fs::read(&handed).map_err(Failure::with(handed.display()))?)
    }

    fn arguments(&self, machine: Machine, pace: Pace) -> Vec<OsString> {
        let mut all = machine.hardware(pace);
        let words = ["-semihosting-config", "enable=on,userspace=on,target=native", "-append"];
        all.extend(words.map(Into::into));
        all.push(self.about.command_line.clone().into());
        all.extend(["-kernel".into(), self.kernel.clone().into(), "-initrd".into(), "archive".into()]);
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kernel_says_which_it_is() {
        let image = b"MZ\0Linux version %s (%s)\n\0Linux version 6.1 (a) # SMP Debian\0\
            Linux version 6.12.9-arm64 (debian-kernel@lists) (gcc) #1 SMP Debian 6.12.9-1 (2026-07-05)\n\0rest";
        let about = about(image).unwrap();
        assert_eq!(about.release, "6.12.9-arm64");
        assert!(about.version.ends_with("Debian 6.12.9-1 (2026-07-05)"));
        assert_eq!(super::about(b"MZ something else"), None);
    }

    #[test]
    fn the_machine_is_the_one_that_our_kernel_has() {
        let about = About { release: String::new(), version: String::new(), command_line: "words".into() };
        let installed = Installed {
            kernel: "/k".into(),
            program: Vec::new(),
            out: PathBuf::new(),
            images: String::new(),
            about,
        };
        let machine = Machine { board: Board::Virt, cores: 2, gic: 3, clock: Clock::Instructions };
        let all =
            installed.arguments(machine, Pace::Coarse).join(std::ffi::OsStr::new(" ")).into_string().unwrap();
        let ours = machine.hardware(Pace::Coarse).join(std::ffi::OsStr::new(" ")).into_string().unwrap();
        assert!(all.starts_with(&ours) && ours.contains("-icount shift=2") && ours.contains("-seed 1"));
        assert!(all.ends_with("-append words -kernel /k -initrd archive"));
    }
}
