//! QEMU: which machine it is to be, whether it is here, and a running guest as a stream of what it says. Not here: what
//! the guest says means (`console`), nor how long it may take (`run`).

use crate::Failure;
use crate::scenario::is_synthetic;
use crate::screen::Screen;
use libos_core::scenario::Scenario;
use std::ffi::OsString;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::Duration;

pub(crate) const PROGRAM: &str = "qemu-system-aarch64";
/// The first version with the machine `raspi4b`.
const OLDEST: u32 = 9;
const INSTALL: &str = "install it with `./just setup`, or on Debian 13: apt-get install qemu-system-arm";
/// The Raspberry Pi 4's device tree, where the set-up puts it.
pub const DEVICE_TREE: &str = ".tools/bcm2711-rpi-4-b.dtb";
/// Cores that a Raspberry Pi 4 has.
pub const PI_CORES: u32 = 4;

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
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Clock {
    /// Instructions: the same run is the same to the byte.
    Instructions,
    /// The host's clock, with a host thread for each core.
    Host,
    /// Its own: a real board.
    Board,
}

impl Clock {
    /// Its word in commands and results.
    pub fn name(self) -> &'static str {
        match self {
            Self::Instructions => "instructions",
            Self::Host => "host",
            Self::Board => "board",
        }
    }
}

/// How finely the CPUs of a machine share its virtual time.
///
/// QEMU lets them take turns, each for as long as the next timer is away divided by their number; a timer that is set meanwhile
/// for an earlier time is late by up to all the others' turns, and a CPU sees the time only in its own. A periodic timer of
/// QEMU's own, here one that releases the packets of a network that has none, keeps the turns short.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// For jobs that may be off by some ten microseconds, and for all that is no synthetic job.
    Coarse,
    /// For shorter synthetic jobs. Instructions also come faster, so that what a core does between two looks at the time takes
    /// hardly longer than if it were alone.
    Fine,
}

/// The shortest synthetic job for which [`Pace::Coarse`] will do on so many cores, in microseconds. It may be off by a hundredth,
/// early or late: with two, that is what they see the time move by at once; with more, half of what an interruption takes.
const fn coarse_work_us(cores: u32) -> u32 {
    if cores <= 2 { 1_250 } else { 2_600 }
}

impl Pace {
    /// What a scenario's synthetic jobs need, to be able to use what they declare. A CPU alone sees every moment.
    pub fn of(scenario: &Scenario) -> Self {
        let schedulers = scenario.schedulers();
        let clients = schedulers.iter().flat_map(|one| &one.libos.clients);
        let work = clients.filter(|client| is_synthetic(client)).filter_map(|client| client.jobs);
        let shortest = work.map(|jobs| jobs.work_min_us).min();
        match shortest {
            Some(work_us) if scenario.cores > 1 && work_us < coarse_work_us(scenario.cores) => Self::Fine,
            _ => Self::Coarse,
        }
    }

    /// No CPU of so many sees a timer later than this many microseconds of virtual time. What a job that was interrupted shortly
    /// before its end uses until it sees the time again is to be less than twice what it may be off. With eight CPUs the
    /// instructions alone take about that long; shorter turns would not help.
    pub const fn interval_us(self, cores: u32) -> u32 {
        match (self, cores) {
            (Self::Coarse, _) => 25,
            (Self::Fine, ..=2) => 6,
            (Self::Fine, _) => 4,
        }
    }

    /// An instruction of any core of so many takes 2^shift ns. A core's share of the instructions must suffice for what a slot
    /// costs, so with more cores they come faster.
    pub const fn shift(self, cores: u32) -> u32 {
        match self {
            Self::Coarse if cores <= 4 => 2,
            Self::Coarse => 1,
            Self::Fine => 0,
        }
    }
}

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

    /// QEMU's arguments to boot this machine from a raw kernel and an archive, with or without a display.
    pub fn arguments(&self, (kernel, archive): (&Path, &Path), pace: Pace, screen: Screen) -> Vec<OsString> {
        let mut all = self.hardware(pace);
        let words = screen.words(self.words());
        let end = ["-semihosting-config", "enable=on,target=native", "-append", &words];
        all.extend(end.map(Into::into));
        all.extend(screen.arguments(self.board));
        all.extend(["-kernel".into(), kernel.into(), "-initrd".into(), archive.into()]);
        all
    }

    /// What a Raspberry Pi's card adds to [`Self::arguments`]: the card itself, and what its firmware would take from it: the
    /// device tree's file and the words of the command line.
    pub fn with_card(&self, image: &Path, tree: &Path, words: &str) -> Vec<OsString> {
        let drive = format!("if=sd,format=raw,file={}", image.display().to_string().replace(',', ",,"));
        let words = format!("{words} {}", self.words());
        let all: [OsString; 6] = [
            "-dtb".into(),
            tree.into(),
            "-append".into(),
            words.trim().into(),
            "-drive".into(),
            drive.into(),
        ];
        all.into()
    }

    /// What the kernel is told of being in an emulator.
    fn words(&self) -> &'static str {
        match self.clock {
            Clock::Instructions => "exit=semihosting idle=spin",
            // A real board's is none that QEMU has.
            Clock::Host | Clock::Board => "exit=semihosting",
        }
    }

    /// QEMU's arguments for the machine itself, whatever it boots, with a serial line to listen to. The fixed seed and date make
    /// a run repeatable that asks for either.
    pub fn hardware(&self, pace: Pace) -> Vec<OsString> {
        let cores = self.cores.to_string();
        let mut all: Vec<OsString> = match self.board {
            Board::Virt => {
                let machine = format!("virt,gic-version={}", self.gic);
                ["-M", &machine, "-cpu", "cortex-a72", "-smp", &cores, "-m", "512M"].map(Into::into).into()
            }
            Board::Rpi4 => ["-M", "raspi4b", "-smp", &cores, "-dtb", DEVICE_TREE].map(Into::into).into(),
        };
        let icount = format!("shift={},sleep=off", pace.shift(self.cores));
        let pacer = format!("filter-buffer,id=pacer,netdev=pace,interval={}", pace.interval_us(self.cores));
        let clock: &[&str] = match self.clock {
            Clock::Instructions => &[
                "-icount",
                &icount,
                "-seed",
                "1",
                "-rtc",
                "base=2025-01-01,clock=vm",
                "-netdev",
                "hubport,id=pace,hubid=0",
                "-object",
                &pacer,
            ],
            Clock::Host | Clock::Board => &["-accel", "tcg,thread=multi", "-seed", "1"],
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
        paced(machine, Pace::Coarse)
    }

    fn paced(machine: Machine, pace: Pace) -> String {
        let all = machine.arguments((Path::new("k"), Path::new("a")), pace, Screen::None);
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
    fn short_synthetic_jobs_on_several_cores_get_a_finer_clock_and_nothing_else_does() {
        let pace = |program: &str, work_us: u32, cores: u32| {
            let text = format!(
                "name = \"n\"\nduration_ms = 1000\n[[libos]]\nname = \"l\"\npolicy = \"fifo\"\nwant = 9\n\
                 minimum = 9\n[[libos.clients]]\nname = \"c\"\nprogram = \"{program}\"\nperiod_us = 9000\n\
                 budget_us = 3000\nwork_us = {work_us}\n"
            );
            Pace::of(&crate::scenario::parse(&text, Some(cores), None).unwrap())
        };
        assert_eq!([1, 2, 8].map(|cores| pace("spin", 100, cores)), [Pace::Coarse, Pace::Fine, Pace::Fine]);
        assert_eq!(
            [pace("spin", 1250, 2), pace("spin", 2600, 8), pace("control", 100, 8)],
            [Pace::Coarse; 3]
        );
        assert_eq!(pace("spin", 1250, 4), Pace::Fine);
        let virt = Machine { board: Board::Virt, cores: 4, gic: 2, clock: Clock::Instructions };
        let (coarse, fine) = (line(virt), paced(virt, Pace::Fine));
        assert!(coarse.contains("shift=2,sleep=off") && coarse.contains("interval=25 "));
        assert!(fine.contains("shift=0,sleep=off") && fine.contains("interval=4 "));
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
