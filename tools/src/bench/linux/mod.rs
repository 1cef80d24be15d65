//! The same operations on Linux: a machine like ours boots Debian's kernel with one program, which measures them and
//! switches the machine off. Not here: that program (`linux/`), how the kernel comes here (`scripts/setup`), and what the
//! figures are compared with.
//!
//! [`initramfs`]: what the machine boots besides the kernel. [`figures`]: what it says.

pub mod figures;
pub mod initramfs;

use crate::qemu::{Board, Clock, Guest, Machine, Said};
use crate::run::{self, Stop};
use crate::{Failure, image};
use figures::{LinuxFigures, Listener};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// The kernel, where the set-up puts it.
pub const KERNEL: &str = ".tools/linux-arm64";
/// Why it is not there, in one line, where the set-up could not get it.
const WHY_NOT: &str = ".tools/linux-arm64.why";

/// What the kernel is told: Debian's defaults, the console that QEMU has, no chatter during a measurement, and the end of
/// the run rather than a wait if it panics.
pub const COMMAND_LINE: &str = "console=ttyAMA0 quiet panic=-1";

/// How long it may take, by the host's clock; it takes about 30 s.
const PATIENCE: Duration = Duration::from_secs(240);
/// How often Ctrl-C is looked after.
const PULSE: Duration = Duration::from_millis(100);

/// The kernel that the set-up has fetched; or why there is none, as a reason for an empty column.
pub fn kernel() -> Result<PathBuf, String> {
    kernel_at(Path::new(KERNEL), Path::new(WHY_NOT))
}

fn kernel_at(kernel: &Path, why_not: &Path) -> Result<PathBuf, String> {
    match std::fs::read_to_string(why_not) {
        Ok(reason) => Err(reason.trim().into()),
        Err(_) if kernel.is_file() => Ok(kernel.into()),
        Err(_) => Err("no Linux kernel is here; `./just setup linux` fetches one".into()),
    }
}

/// Boots Linux with the program and listens until the machine is off.
pub fn measure(kernel: &Path, program: &Path) -> Result<LinuxFigures, Stop> {
    machine().available()?;
    std::fs::metadata(kernel).map_err(Failure::with(kernel.display()))?;
    let elf = std::fs::read(program).map_err(Failure::with(program.display()))?;
    let elf = image::loadable(&elf).map_err(Failure::with(program.display()))?;
    let failed = |error| Failure(format!("a file for the machine to boot from: {error}"));
    let archive = tempfile::NamedTempFile::new().map_err(failed)?;
    std::fs::write(&archive, initramfs::archive(&elf, &[])).map_err(failed)?;
    let listener = listen(&Guest::start(&arguments(kernel, archive.path()))?, PATIENCE)?;
    Ok(listener.figures()?)
}

/// The machine on which our own side's instructions are counted, too: one core, whose instructions are its time.
const fn machine() -> Machine {
    Machine { board: Board::Virt, cores: 1, gic: 2, clock: Clock::Instructions }
}

/// One instruction takes one nanosecond. The seed and the fixed date make a run repeatable.
fn arguments(kernel: &Path, archive: &Path) -> Vec<OsString> {
    let words = "-M virt -cpu cortex-a72 -smp 1 -m 512M -icount shift=0,sleep=off -seed 1 \
        -rtc base=2025-01-01,clock=vm -nic none -display none -monitor none -serial stdio -no-reboot -append";
    let mut all: Vec<OsString> = words.split_ascii_whitespace().map(Into::into).collect();
    all.extend([COMMAND_LINE.into(), "-kernel".into(), kernel.into(), "-initrd".into(), archive.into()]);
    all
}

/// Listens until the machine is off, for so long of the host's time at most.
pub fn listen(guest: &Guest, patience: Duration) -> Result<Listener, Stop> {
    let deadline = Instant::now() + patience;
    let mut listener = Listener::default();
    loop {
        match guest.listen(PULSE) {
            Said::Serial(bytes) | Said::Complaint(bytes) => listener.hear(&bytes),
            Said::Nothing => {}
            Said::Closed => return Ok(listener),
        }
        if run::interrupted() {
            return Err(Stop::Interrupted);
        }
        if Instant::now() >= deadline {
            let (patience, last) = (patience.as_secs(), listener.last_line());
            return Err(Failure(format!("Linux was not done after {patience} s; {last}")).into());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_kernel_the_reason_is_what_the_setup_has_left() {
        let folder = tempfile::tempdir().unwrap();
        let (kernel, why_not) = (folder.path().join("kernel"), folder.path().join("why"));
        assert!(kernel_at(&kernel, &why_not).unwrap_err().contains("./just setup linux"));
        std::fs::write(&kernel, "").unwrap();
        assert_eq!(kernel_at(&kernel, &why_not), Ok(kernel.clone()));
        std::fs::write(&why_not, "it is none of Debian's\n").unwrap();
        assert_eq!(kernel_at(&kernel, &why_not), Err("it is none of Debian's".into()));
    }

    #[test]
    fn the_machine_is_repeatable_and_has_one_core() {
        let all = arguments(Path::new("k"), Path::new("a"));
        let line = all.join(std::ffi::OsStr::new(" ")).into_string().unwrap();
        assert!(line.starts_with(
            "-M virt -cpu cortex-a72 -smp 1 -m 512M -icount shift=0,sleep=off -seed 1 -rtc base="
        ));
        assert!(line.ends_with("-append console=ttyAMA0 quiet panic=-1 -kernel k -initrd a"));
    }
}
