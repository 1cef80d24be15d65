//! QEMU: which machine it is to be, whether it is here, and a running guest as a stream of what it says. Not here: what
//! the guest says means (`console`), nor how long it may take (`run`).

use crate::Failure;
use std::ffi::OsString;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::Duration;

const PROGRAM: &str = "qemu-system-aarch64";
/// The first version with the machine `raspi4b`.
const OLDEST: u32 = 9;
const INSTALL: &str = "install it with `./just setup`, or on Debian 13: apt-get install qemu-system-arm";
/// The Raspberry Pi 4's device tree, where the set-up puts it.
pub const DEVICE_TREE: &str = ".tools/bcm2711-rpi-4-b.dtb";
/// Cores that a Raspberry Pi 4 has.
const PI_CORES: u32 = 4;

/// A machine to boot on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Board {
    /// QEMU's own board for virtual machines.
    Virt,
    /// The Raspberry Pi 4, as QEMU has it.
    Rpi4,
}

impl Board {
    /// Its name in commands and results.
    pub fn name(self) -> &'static str {
        match self {
            Self::Virt => "virt",
            Self::Rpi4 => "rpi4",
        }
    }

    /// Its number in the kernel's public region.
    pub fn number(self) -> u64 {
        match self {
            Self::Virt => 1,
            Self::Rpi4 => 2,
        }
    }
}

/// The machine of one run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Machine {
    /// Which board.
    pub board: Board,
    /// How many cores.
    pub cores: u32,
    /// Which version of the interrupt controller.
    pub gic: u32,
    /// Whose clock it runs by.
    pub clock: Clock,
}

/// What makes time pass in the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clock {
    /// Instructions: the same run is the same to the byte.
    Instructions,
    /// The host's clock, with a host thread for each core.
    Host,
}

/// QEMU lets its CPUs take turns, each for as long as the next timer is away divided by their number; a timer that is
/// set meanwhile for an earlier time is late by up to all the others' turns. A periodic timer of QEMU's own, here one
/// that releases the packets of a network that has none, keeps the turns short: with it, no CPU sees a timer later than
/// this many microseconds of virtual time.
const PACE: &str = "filter-buffer,id=pacer,netdev=pace,interval=25";

impl Machine {
    /// Refuses what the board cannot be.
    pub fn checked(self) -> Result<Self, Failure> {
        match self.board {
            Board::Rpi4 if self.cores != PI_CORES => {
                Err(Failure(format!("--cores: a Raspberry Pi 4 has {PI_CORES} (got {})", self.cores)))
            }
            Board::Rpi4 if self.gic != 2 => {
                Err(Failure(format!("--gic: a Raspberry Pi 4 has version 2 (got {})", self.gic)))
            }
            _ => Ok(self),
        }
    }

    /// How fast virtual time goes: 2^shift ns for each instruction of any core. A core's share of the instructions must
    /// suffice for what a slot costs, so with more cores they come faster.
    const fn pace_of_time(&self) -> &'static str {
        if self.cores > 4 { "shift=1,sleep=off" } else { "shift=2,sleep=off" }
    }

    /// QEMU's arguments for a virtio console for each core, what is written to which goes to a file of its own; none where the
    /// board has no virtio. A console does what it is asked before the register write that asks returns, so that the run
    /// stays repeatable.
    pub fn tracing(&self, files: &[PathBuf]) -> Vec<OsString> {
        if self.board != Board::Virt {
            return Vec::new();
        }
        let mut all: Vec<OsString> =
            ["-global", "virtio-mmio.force-legacy=false", "-global", "virtio-mmio.ioeventfd=off"]
                .map(Into::into)
                .into();
        for (number, file) in files.iter().enumerate() {
            let mut chardev = OsString::from(format!("file,id=trace{number},path="));
            // A comma in a path would end it.
            chardev.push(file.to_string_lossy().replace(',', ",,"));
            let device = format!("virtio-serial-device,id=serial{number}");
            let port = format!("virtconsole,chardev=trace{number},bus=serial{number}.0");
            all.extend(["-chardev".into(), chardev]);
            all.extend(["-device", &device, "-device", &port].map(Into::into));
        }
        all
    }

    /// QEMU's arguments to boot this machine from a raw kernel and an archive.
    pub fn arguments(&self, kernel: &Path, archive: &Path) -> Vec<OsString> {
        let mut all = self.hardware();
        let words = match self.clock {
            Clock::Instructions => "exit=semihosting idle=spin",
            Clock::Host => "exit=semihosting",
        };
        let end = ["-semihosting-config", "enable=on,target=native", "-append", words];
        all.extend(end.map(Into::into));
        all.extend(["-kernel".into(), kernel.into(), "-initrd".into(), archive.into()]);
        all
    }

    /// QEMU's arguments for the machine itself, whatever it boots, with a serial line to listen to. The fixed seed and date make
    /// a run repeatable that asks for either.
    pub fn hardware(&self) -> Vec<OsString> {
        let cores = self.cores.to_string();
        let mut all: Vec<OsString> = match self.board {
            Board::Virt => {
                let machine = format!("virt,gic-version={}", self.gic);
                ["-M", &machine, "-cpu", "cortex-a72", "-smp", &cores, "-m", "512M"].map(Into::into).into()
            }
            Board::Rpi4 => ["-M", "raspi4b", "-smp", &cores, "-dtb", DEVICE_TREE].map(Into::into).into(),
        };
        let clock: &[&str] = match self.clock {
            Clock::Instructions => &[
                "-icount",
                self.pace_of_time(),
                "-seed",
                "1",
                "-rtc",
                "base=2025-01-01,clock=vm",
                "-netdev",
                "hubport,id=pace,hubid=0",
                "-object",
                PACE,
            ],
            Clock::Host => &["-accel", "tcg,thread=multi", "-seed", "1"],
        };
        let console =
            ["-display", "none", "-monitor", "none", "-nic", "none", "-serial", "stdio", "-no-reboot"];
        all.extend(clock.iter().chain(&console).map(Into::into));
        all
    }

    /// Says exactly what to install, if something is missing.
    pub fn available(&self) -> Result<(), Failure> {
        let output = Command::new(PROGRAM).arg("--version").output();
        let output =
            output.map_err(|error| Failure(format!("{PROGRAM} does not start ({error}): {INSTALL}")))?;
        let text = String::from_utf8_lossy(&output.stdout);
        match major_version(&text) {
            Some(version) if version >= OLDEST => {}
            Some(version) => {
                return Err(Failure(format!(
                    "{PROGRAM} is version {version}, and {OLDEST} is needed: {INSTALL}"
                )));
            }
            None => return Err(Failure(format!("{PROGRAM} --version is not understood: {text:?}"))),
        }
        if self.board == Board::Rpi4 && !Path::new(DEVICE_TREE).is_file() {
            let advice = "get it with `./just setup dtb`; it is in Debian's package linux-image-arm64";
            return Err(Failure(format!("the device tree {DEVICE_TREE} is not there: {advice}")));
        }
        Ok(())
    }
}

fn major_version(text: &str) -> Option<u32> {
    let (_, rest) = text.split_once("version ")?;
    rest.split('.').next()?.parse().ok()
}

/// What came from a running guest.
#[derive(Debug)]
pub enum Said {
    /// Bytes on its serial line.
    Serial(Vec<u8>),
    /// Bytes of complaint from QEMU itself.
    Complaint(Vec<u8>),
    /// Nothing, for as long as was waited.
    Nothing,
    /// Nothing any more.
    Closed,
}

/// A running guest. Dropping it ends it.
#[derive(Debug)]
pub struct Guest {
    child: Child,
    said: Receiver<Said>,
}

impl Guest {
    /// Starts QEMU.
    pub fn start(arguments: &[OsString]) -> Result<Self, Failure> {
        Self::start_in(Path::new("."), arguments)
    }

    /// Starts QEMU in a folder, in which a guest may write files.
    pub fn start_in(folder: &Path, arguments: &[OsString]) -> Result<Self, Failure> {
        let mut command = Command::new(PROGRAM);
        command.current_dir(folder);
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(Failure::with(PROGRAM))?;
        let (sender, said) = channel();
        if let Some(serial) = child.stdout.take() {
            forward(serial, sender.clone(), Said::Serial);
        }
        if let Some(complaints) = child.stderr.take() {
            forward(complaints, sender, Said::Complaint);
        }
        Ok(Self { child, said })
    }

    /// Waits for what it says next.
    pub fn listen(&self, patience: Duration) -> Said {
        match self.said.recv_timeout(patience) {
            Ok(said) => said,
            Err(RecvTimeoutError::Timeout) => Said::Nothing,
            Err(RecvTimeoutError::Disconnected) => Said::Closed,
        }
    }

    /// The status that it ended with, once it has closed its lines.
    pub fn status(&mut self) -> Result<ExitStatus, Failure> {
        self.child.wait().map_err(Failure::with(PROGRAM))
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        // Both fail only for a process that has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn forward(mut from: impl Read + Send + 'static, to: Sender<Said>, wrap: fn(Vec<u8>) -> Said) {
    thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok(length @ 1..) = from.read(&mut buffer) {
            if to.send(wrap(buffer[..length].to_vec())).is_err() {
                break;
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(machine: Machine) -> String {
        let all = machine.arguments(Path::new("k"), Path::new("a"));
        all.iter().map(|argument| argument.to_str().unwrap()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn the_machine_asked_for_is_the_machine_booted() {
        let virt = Machine { board: Board::Virt, cores: 8, gic: 3, clock: Clock::Instructions };
        assert!(
            line(virt).starts_with(
                "-M virt,gic-version=3 -cpu cortex-a72 -smp 8 -m 512M -icount shift=1,sleep=off"
            )
        );
        let pi = Machine { board: Board::Rpi4, cores: 4, gic: 2, clock: Clock::Host };
        assert!(
            line(pi).starts_with(&format!("-M raspi4b -smp 4 -dtb {DEVICE_TREE} -accel tcg,thread=multi"))
        );
        assert!(!line(pi).contains("icount"));
    }

    #[test]
    fn a_pi_that_does_not_exist_is_refused() {
        let pi = Machine { board: Board::Rpi4, cores: 4, gic: 2, clock: Clock::Instructions };
        assert_eq!(pi.checked(), Ok(pi));
        assert!(Machine { cores: 2, ..pi }.checked().unwrap_err().0.contains("--cores"));
        assert!(Machine { gic: 3, ..pi }.checked().unwrap_err().0.contains("--gic"));
    }

    #[test]
    fn the_version_is_found_in_what_qemu_says_of_itself() {
        assert_eq!(major_version("QEMU emulator version 10.0.2 (Debian 1:10.0.2+ds)"), Some(10));
        assert_eq!(major_version("something else"), None);
    }
}
