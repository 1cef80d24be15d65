//! What can be typed: every command with its arguments and their defaults. Not here: what is done then (`main`).

use clap::{Args, Parser, Subcommand};
use libos_core::scenario::Policy;
use std::path::PathBuf;
use tranche_tools::collect::serial;
use tranche_tools::guests::Built;
use tranche_tools::qemu::{Board, Clock};
use tranche_tools::{blast, calibration, conformance, guarantee, import, prediction, scenario, screen};

/// The host side of Tranche.
#[derive(Parser)]
#[command(name = "tranche-tools", version)]
pub struct Arguments {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Subcommand)]
pub enum Command {
    /// Check a scenario file: exit 1 and a line for every mistake
    Check {
        /// The scenario: a TOML file, or the name of one in scenarios/
        #[arg(value_parser = scenario::file_of)]
        scenario: PathBuf,
        /// Folder of the EL0 programs, to check that those named exist
        #[arg(long)]
        apps: Option<PathBuf>,
    },
    /// Run a scenario in QEMU; exit 0 only if everything was as it should be
    Run(Run),
    /// Simulate a scenario; exit 0 only if everything was as it should be
    Sim(Sim),
    /// Tell a recorded run to another policy, and simulate what would have come of it
    Replay(Replay),
    /// Compare policies on workloads with several seeds; exit 0 only if every run ended and every bound held
    Compare(Compare),
    /// Make a run of a comparison that was written with --snakemake; exit 0 if it has an outcome, be that a failure
    CompareRun {
        /// The folder that was written
        #[arg(long, default_value = ".")]
        sweep: PathBuf,
        /// The outcome's file, as in runs.tsv or decisions.tsv
        #[arg(required = true)]
        outcomes: Vec<PathBuf>,
    },
    /// Put the outcomes of such a comparison together; exit 0 if all are there
    CompareMerge {
        /// The folder that was written
        #[arg(long, default_value = ".")]
        sweep: PathBuf,
        /// The folder for the results, in whose folder cache the outcomes are
        #[arg(long, default_value = ".")]
        out: PathBuf,
    },
    /// Make a card for a Raspberry Pi 4: an image, and a folder with the same files
    SdImage(SdImage),
    /// Take what a real board sent, by its serial line or on its card, and make the same results of it as of a run in QEMU
    PiCollect(PiCollect),
    /// Run scenarios on every supported machine
    Matrix(Matrix),
    /// Compare simulations with the kernel's runs; exit 0 only if all are as close as the simulator promises
    Predict(prediction::Arguments),
    /// Make published experiments again, on the kernel and in the simulator; exit 0 only if all came out as they should
    Conformance(conformance::Arguments),
    /// Make a policy of one's own: a crate in policies/, and its rows in the tables
    NewPolicy {
        /// Its name: words of a-z and 0-9, with dashes between them
        name: String,
    },
    /// Grade a policy as one of the known ones; exit 0 only if it keeps all laws and every result comes out
    Grade(conformance::grade::Arguments),
    /// Let random sets of tasks ask for guarantees; exit 0 only if all were kept, and nobody was refused who could have had one
    Guarantee(guarantee::Arguments),
    /// Let a scheduler fail in every way, and measure what others have of it; exit 0 only if nobody loses a slot or a deadline
    Blast(blast::Arguments),
    /// Measure what the simulator reckons with, and write its table
    Costs(calibration::Arguments),
    /// Measure what the kernel's operations cost, beside Linux; exit 0 only if every figure is there and as it should be
    Bench(Bench),
    /// Measure the benchmark's operations on Linux
    LinuxBench(LinuxBench),
    /// Run a scenario with a display on both boards, and look at the pictures; exit 0 only if they show what they should
    Screens(screen::shots::Arguments),
    /// Print a scenario of random periodic tasks
    Taskset(Taskset),
    /// Make a scenario of a task set of rt-app (JSON) or SimSo (XML)
    Import(import::Arguments),
}

#[derive(Args)]
pub struct Run {
    /// Which board
    #[arg(long, value_enum)]
    pub board: Board,
    #[command(flatten)]
    pub images: Built,
    /// The scenario: a TOML file, or the name of one in scenarios/
    #[arg(long, default_value = "compete", value_parser = scenario::file_of)]
    pub scenario: PathBuf,
    /// Cores [default: as many as the scenario says]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=8))]
    pub cores: Option<u32>,
    /// Policy of every libOS that schedules clients [default: what the scenario says]
    #[arg(long, value_parser = scenario::policy_of)]
    pub policy: Option<Policy>,
    /// Seed of all chance [default: what the scenario says]
    #[arg(long)]
    pub seed: Option<u64>,
    /// Version of the interrupt controller
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(2..=3))]
    pub gic: u32,
    /// Let time pass by the host's clock, with a thread for each core; not repeatable
    #[arg(long)]
    pub realtime: bool,
    /// Folder for the results [default: out/run-qemu, out/run-pi]
    #[arg(long)]
    pub out: Option<PathBuf>,
    /// Seconds of the host's time that the guest may take
    #[arg(long, default_value_t = 180)]
    pub timeout: u64,
    /// Also write what was recorded for Perfetto and as tables: trace.perfetto-trace, jobs.csv, records.csv
    #[arg(long)]
    pub export: bool,
    /// Show the run on the machine's display: in a window, or, where there is no display server, as a picture at its end
    #[arg(long)]
    pub display: bool,
    /// The image of a card, as `./just sd-image` makes it: attached, and what is on it is run in place of the scenario here
    #[arg(long)]
    pub sd: Option<PathBuf>,
    /// Stop before the first instruction and wait for gdb on port 1234
    #[arg(long)]
    pub gdb: bool,
}

#[derive(Args)]
pub struct SdImage {
    /// The scenario that it boots: a TOML file, or the name of one in scenarios/
    #[arg(default_value = "compete", value_parser = scenario::file_of)]
    pub scenario: PathBuf,
    #[command(flatten)]
    pub images: Built,
    /// Words for the kernel's command line, such as uart=921600
    #[arg(long, default_value = "")]
    pub command_line: String,
    /// Milliseconds that the run lasts, in place of the scenario's
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    pub duration_ms: Option<u32>,
    /// Do not show the run on the board's display, which takes two slots of each core
    #[arg(long)]
    pub no_display: bool,
    /// Folder for the image and the files
    #[arg(long, default_value = "out/rpi4")]
    pub out: PathBuf,
}

#[derive(Args)]
pub struct PiCollect {
    /// A serial device, the results file of a card, or a card's whole image
    pub source: PathBuf,
    /// Bits per second of the serial line, as uart=… on the kernel's command line says
    #[arg(long, default_value_t = 115_200, value_parser = clap::value_parser!(u32).range(serial::RATES))]
    pub rate: u32,
    /// Seconds without a byte, after the first, that are taken for the end
    #[arg(long, default_value_t = 60)]
    pub silence: u64,
    /// The scenario's file [default: what the board says of it]
    #[arg(long, value_parser = scenario::file_of)]
    pub scenario: Option<PathBuf>,
    /// The kernel's ELF file, to explain a panic
    #[arg(long)]
    pub kernel: Option<PathBuf>,
    /// What makes time pass on the board: its own clock, unless it is a guest of QEMU's
    #[arg(long, value_enum, default_value_t = Clock::Board)]
    pub clock: Clock,
    /// Also write what was recorded for Perfetto and as tables: trace.perfetto-trace, jobs.csv, records.csv
    #[arg(long)]
    pub export: bool,
    /// Folder for the results
    #[arg(long, default_value = "out/pi")]
    pub out: PathBuf,
}

#[derive(Args)]
pub struct Sim {
    /// The scenario: a TOML file, or the name of one in scenarios/
    #[arg(value_parser = scenario::file_of)]
    pub scenario: PathBuf,
    /// Every libOS schedules by this policy instead of its own
    #[arg(long, value_parser = scenario::policy_of)]
    pub policy: Option<Policy>,
    /// The run's seed [default: the scenario's]
    #[arg(long)]
    pub seed: Option<u64>,
    /// Cores [default: as many as the scenario says]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=8))]
    pub cores: Option<u32>,
    /// Folder for the results
    #[arg(long, default_value = "out/sim")]
    pub out: PathBuf,
}

#[derive(Args)]
pub struct Replay {
    /// The recording: a run's folder, the trace.bin in it with results.json beside it, or a simulation's recording
    pub recording: PathBuf,
    /// The other policy, for every scheduler
    #[arg(long, value_parser = scenario::policy_of)]
    pub policy: Policy,
}

/// What runs a comparison's runs.
#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum On {
    /// The kernel, in QEMU
    Kernel,
    /// The simulator
    Sim,
    /// Both, side by side
    Both,
}

#[derive(Args)]
pub struct Compare {
    /// Scenarios: TOML files, or names of some in scenarios/
    #[arg(long, num_args = 1.., value_parser = scenario::file_of,
        default_values = ["compare/compute", "compare/periodic", "compare/interactive", "compare/overload"])]
    pub workloads: Vec<PathBuf>,
    /// Policies, each in place of those in the files
    #[arg(long, value_parser = scenario::policy_of, value_delimiter = ',', num_args = 1..,
        default_value = scenario::POLICIES)]
    pub policies: Vec<Policy>,
    /// Seeds: 1 to this
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=1000))]
    pub seeds: u64,
    /// Cores [default: as many as each scenario says]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=8))]
    pub cores: Option<u32>,
    /// Runs at a time [default: as many as the host has cores]
    #[arg(long)]
    pub jobs: Option<std::num::NonZero<usize>>,
    /// What runs them
    #[arg(long, value_enum, default_value_t = On::Both)]
    pub on: On,
    /// Put Linux beside them, under three of its schedulers: EEVDF by weights, SCHED_FIFO, SCHED_DEADLINE
    #[arg(long)]
    pub linux: bool,
    /// Run nothing: put the recorded runs in these folders side by side, out/pi and out/run-pi for instance
    #[arg(long, num_args = 1.., value_name = "DIR", conflicts_with_all = ["workloads", "policies", "seeds", "cores", "on", "linux"])]
    pub from: Vec<PathBuf>,
    /// Run nothing: write the comparison into the folder, as a workflow of Snakemake, for a cluster for instance
    #[arg(long, conflicts_with_all = ["from", "jobs"])]
    pub snakemake: bool,
    /// The ELF file of linux-sched, which runs the clients there
    #[arg(long)]
    pub linux_program: Option<PathBuf>,
    /// The kernel's ELF file
    #[arg(long)]
    pub kernel: Option<PathBuf>,
    /// Folder of the EL0 programs' ELF files
    #[arg(long)]
    pub apps: Option<PathBuf>,
    /// Folder for the results
    #[arg(long, default_value = "out/compare")]
    pub out: PathBuf,
}

#[derive(Args)]
pub struct Matrix {
    #[command(flatten)]
    pub images: Built,
    /// Scenario files that run with every number of cores, one half with each interrupt controller
    #[arg(long, default_values = ["scenarios/selftest.toml"])]
    pub everywhere: Vec<PathBuf>,
    /// Scenario files that run with one, four and eight cores, with the other interrupt controller
    #[arg(long, default_values = ["scenarios/compete.toml"])]
    pub on_each: Vec<PathBuf>,
    /// Scenario files that run with four cores only: on virt and on the Raspberry Pi 4
    #[arg(long, default_values = ["scenarios/fuzz-short.toml"])]
    pub on_four: Vec<PathBuf>,
    /// Scenario files that run with four cores: on the Raspberry Pi 4, and on virt twice, which has to come to the same
    #[arg(long, default_values = ["scenarios/short.toml"])]
    pub twice: Vec<PathBuf>,
    /// Scenario files that run on virt alone, with one, four and eight cores
    #[arg(long, default_values = ["scenarios/hardware.toml"])]
    pub on_virt: Vec<PathBuf>,
    /// Scenario files that run on virt alone, with one and two cores
    #[arg(long, default_values = ["scenarios/swap.toml", "scenarios/nested.toml", "scenarios/heir.toml"])]
    pub on_few: Vec<PathBuf>,
    /// Folder for the results of all runs
    #[arg(long, default_value = "out/matrix")]
    pub out: PathBuf,
    /// Seconds of the host's time that each guest may take
    #[arg(long, default_value_t = 180)]
    pub timeout: u64,
}

#[derive(Args)]
pub struct Bench {
    #[command(flatten)]
    pub images: Built,
    /// The ELF file of linux-bench [default: Linux's column is empty]
    #[arg(long)]
    pub linux_program: Option<PathBuf>,
    /// One core only, once, and no Linux
    #[arg(long)]
    pub quick: bool,
    /// Folder for the results of all runs
    #[arg(long, default_value = "out/bench")]
    pub out: PathBuf,
    /// Seconds of the host's time that each guest may take
    #[arg(long, default_value_t = 180)]
    pub timeout: u64,
}

#[derive(Args)]
pub struct Taskset {
    /// Tasks
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..=100))]
    pub n: u16,
    /// Utilisation of all tasks together
    #[arg(long, default_value_t = 0.8)]
    pub utilisation: f64,
    /// The shortest period, in ms
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub shortest_ms: u32,
    /// The longest period, in ms
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub longest_ms: u32,
    /// Seed of the tasks, not of the scenario's run
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
}

#[derive(Args)]
pub struct LinuxBench {
    /// The arm64 Linux kernel [default: the one that the set-up has fetched]
    #[arg(long)]
    pub kernel: Option<PathBuf>,
    /// The ELF file of linux-bench
    #[arg(long)]
    pub program: PathBuf,
    /// File for the figures
    #[arg(long)]
    pub json: Option<PathBuf>,
}
