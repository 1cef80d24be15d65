//! The command line. Not here: any work (the library does it).

#![forbid(unsafe_code)]

use clap::{Args, Parser, Subcommand};
use libos_core::chance;
use libos_core::scenario::Policy;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;
use tranche_tools::bench::{self, Extent, linux};
use tranche_tools::compare::command::{self, Beside};
use tranche_tools::compare::{cell::Runner, kernel::Kernel, simulated::Simulated};
use tranche_tools::display::Display;
use tranche_tools::qemu::{Board, Clock, Machine};
use tranche_tools::run::{self, Debugger, Exports, Plan, Stop};
use tranche_tools::scenario::Changes;
use tranche_tools::{
    Failure, archive, calibration, decisions, matrix, prediction, replay, scenario, simulation, tables,
    taskset, trace,
};

/// Most of a core that one random task uses, so that there is room for what switching costs.
const MOST_OF_A_CORE: f64 = 0.85;
/// How the shell reports that Ctrl-C ended a program.
const INTERRUPTED: u8 = 130;

/// The host side of Tranche.
#[derive(Parser)]
#[command(name = "tranche-tools", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
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
    /// Run scenarios on every supported machine
    Matrix(Matrix),
    /// Compare simulations with the kernel's runs; exit 0 only if all are as close as the simulator promises
    Predict(prediction::Arguments),
    /// Measure what the simulator reckons with, and write its table
    Costs(calibration::Arguments),
    /// Measure what the kernel's operations cost, beside Linux; exit 0 only if every figure is there and as it should be
    Bench(Bench),
    /// Measure the benchmark's operations on Linux
    LinuxBench(LinuxBench),
    /// Print a scenario of random periodic tasks
    Taskset(Taskset),
}

#[derive(Args)]
struct Images {
    /// The kernel's ELF file
    #[arg(long)]
    kernel: PathBuf,
    /// Folder of the EL0 programs' ELF files
    #[arg(long)]
    apps: PathBuf,
}

#[derive(Args)]
struct Run {
    /// Which board
    #[arg(long, value_enum)]
    board: Board,
    #[command(flatten)]
    images: Images,
    /// The scenario: a TOML file, or the name of one in scenarios/
    #[arg(long, default_value = "compete", value_parser = scenario::file_of)]
    scenario: PathBuf,
    /// Cores [default: as many as the scenario says]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=8))]
    cores: Option<u32>,
    /// Policy of every libOS that schedules clients [default: what the scenario says]
    #[arg(long, value_parser = scenario::policy_of)]
    policy: Option<Policy>,
    /// Seed of all chance [default: what the scenario says]
    #[arg(long)]
    seed: Option<u64>,
    /// Version of the interrupt controller
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(2..=3))]
    gic: u32,
    /// Let time pass by the host's clock, with a thread for each core; not repeatable
    #[arg(long)]
    realtime: bool,
    /// Folder for the results [default: out/run-qemu, out/run-pi]
    #[arg(long)]
    out: Option<PathBuf>,
    /// Seconds of the host's time that the guest may take
    #[arg(long, default_value_t = 180)]
    timeout: u64,
    /// Also write what was recorded for Perfetto and as tables: trace.perfetto-trace, jobs.csv, records.csv
    #[arg(long)]
    export: bool,
    /// Stop before the first instruction and wait for gdb on port 1234
    #[arg(long)]
    gdb: bool,
}

#[derive(Args)]
struct Sim {
    /// The scenario: a TOML file, or the name of one in scenarios/
    #[arg(value_parser = scenario::file_of)]
    scenario: PathBuf,
    /// Every libOS schedules by this policy instead of its own
    #[arg(long, value_parser = scenario::policy_of)]
    policy: Option<Policy>,
    /// The run's seed [default: the scenario's]
    #[arg(long)]
    seed: Option<u64>,
    /// Cores [default: as many as the scenario says]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=8))]
    cores: Option<u32>,
    /// Folder for the results
    #[arg(long, default_value = "out/sim")]
    out: PathBuf,
}

#[derive(Args)]
struct Replay {
    /// The recording: a run's folder, the trace.bin in it with results.json beside it, or a simulation's recording
    recording: PathBuf,
    /// The other policy, for every scheduler
    #[arg(long, value_parser = scenario::policy_of)]
    policy: Policy,
}

/// What runs a comparison's runs.
#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum On {
    /// The kernel, in QEMU
    Kernel,
    /// The simulator
    Sim,
    /// Both, side by side
    Both,
}

#[derive(Args)]
struct Compare {
    /// Scenarios: TOML files, or names of some in scenarios/
    #[arg(long, num_args = 1.., value_parser = scenario::file_of,
        default_values = ["compare/compute", "compare/periodic", "compare/interactive", "compare/overload"])]
    workloads: Vec<PathBuf>,
    /// Policies, each in place of those in the files
    #[arg(long, value_parser = scenario::policy_of, value_delimiter = ',', num_args = 1..,
        default_value = "stride,lottery,edf,rate-monotonic,round-robin,fifo")]
    policies: Vec<Policy>,
    /// Seeds: 1 to this
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=1000))]
    seeds: u64,
    /// Cores [default: as many as each scenario says]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=8))]
    cores: Option<u32>,
    /// Runs at a time [default: as many as the host has cores]
    #[arg(long)]
    jobs: Option<std::num::NonZero<usize>>,
    /// What runs them
    #[arg(long, value_enum, default_value_t = On::Both)]
    on: On,
    /// Put Linux beside them, under three of its schedulers: EEVDF by weights, SCHED_FIFO, SCHED_DEADLINE
    #[arg(long)]
    linux: bool,
    /// The ELF file of linux-sched, which runs the clients there
    #[arg(long)]
    linux_program: Option<PathBuf>,
    /// The kernel's ELF file
    #[arg(long)]
    kernel: Option<PathBuf>,
    /// Folder of the EL0 programs' ELF files
    #[arg(long)]
    apps: Option<PathBuf>,
    /// Folder for the results
    #[arg(long, default_value = "out/compare")]
    out: PathBuf,
}

#[derive(Args)]
struct Matrix {
    #[command(flatten)]
    images: Images,
    /// Scenario files
    #[arg(long, default_values = ["scenarios/selftest.toml", "scenarios/compete.toml"])]
    scenario: Vec<PathBuf>,
    /// Scenario files that run with four cores only: on virt, twice, and on the Raspberry Pi 4
    #[arg(long, default_values = ["scenarios/fuzz-short.toml", "scenarios/short.toml"])]
    on_four: Vec<PathBuf>,
    /// Folder for the results of all runs
    #[arg(long, default_value = "out/matrix")]
    out: PathBuf,
    /// Seconds of the host's time that each guest may take
    #[arg(long, default_value_t = 180)]
    timeout: u64,
}

#[derive(Args)]
struct Bench {
    #[command(flatten)]
    images: Images,
    /// The ELF file of linux-bench [default: Linux's column is empty]
    #[arg(long)]
    linux_program: Option<PathBuf>,
    /// One core only, once, and no Linux
    #[arg(long)]
    quick: bool,
    /// Folder for the results of all runs
    #[arg(long, default_value = "out/bench")]
    out: PathBuf,
    /// Seconds of the host's time that each guest may take
    #[arg(long, default_value_t = 180)]
    timeout: u64,
}

#[derive(Args)]
struct Taskset {
    /// Tasks
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..=100))]
    n: u16,
    /// Utilisation of all tasks together
    #[arg(long, default_value_t = 0.8)]
    utilisation: f64,
    /// The shortest period, in ms
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    shortest_ms: u32,
    /// The longest period, in ms
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    longest_ms: u32,
    /// Seed of the tasks, not of the scenario's run
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

#[derive(Args)]
struct LinuxBench {
    /// The arm64 Linux kernel [default: the one that the set-up has fetched]
    #[arg(long)]
    kernel: Option<PathBuf>,
    /// The ELF file of linux-bench
    #[arg(long)]
    program: PathBuf,
    /// File for the figures
    #[arg(long)]
    json: Option<PathBuf>,
}

fn main() -> ExitCode {
    let done = run::heed_interrupts().map_err(Stop::from).and_then(|()| match Arguments::parse().command {
        Command::Check { scenario, apps } => check(scenario, apps),
        Command::Run(arguments) => one_run(arguments),
        Command::Sim(arguments) => simulate(arguments),
        Command::Replay(arguments) => tell_again(arguments),
        Command::Compare(arguments) => compare(arguments),
        Command::Matrix(arguments) => whole_matrix(arguments),
        Command::Predict(arguments) => prediction::command(arguments),
        Command::Costs(arguments) => calibration::command(arguments),
        Command::Bench(arguments) => benchmark(arguments),
        Command::LinuxBench(arguments) => linux_bench(arguments),
        Command::Taskset(arguments) => print_taskset(&arguments),
    });
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(Stop::Failure(Failure(message))) => {
            eprintln!("{message}");
            ExitCode::FAILURE
        }
        Err(Stop::Interrupted) => {
            eprintln!("interrupted");
            ExitCode::from(INTERRUPTED)
        }
    }
}

fn check(path: PathBuf, apps: Option<PathBuf>) -> Result<bool, Stop> {
    let programs = apps.map(|folder| archive::programs(&folder)).transpose()?;
    let names: Option<Vec<_>> = programs.map(|all| all.into_iter().map(|(name, _)| name).collect());
    let scenario = scenario::load(&path, None, names.as_deref())?;
    println!(
        "{}: {} for {} ms on {} cores: ok",
        path.display(),
        scenario.name,
        scenario.duration_ms,
        scenario.cores
    );
    Ok(true)
}

fn one_run(arguments: Run) -> Result<bool, Stop> {
    // The number of cores is the machine's; a scenario only says for how many it was made.
    let cores = match arguments.cores {
        Some(cores) => cores,
        None => scenario::load(&arguments.scenario, None, None)?.cores,
    };
    let clock = if arguments.realtime { Clock::Host } else { Clock::Instructions };
    let folder = match arguments.board {
        Board::Virt => "out/run-qemu",
        Board::Rpi4 => "out/run-pi",
    };
    let plan = Plan {
        machine: Machine { board: arguments.board, cores, gic: arguments.gic, clock },
        scenario: arguments.scenario,
        changes: Changes { policy: arguments.policy, seed: arguments.seed, ..Changes::default() },
        kernel: arguments.images.kernel,
        apps: arguments.images.apps,
        out: arguments.out.unwrap_or_else(|| folder.into()),
        patience: Duration::from_secs(arguments.timeout),
        debugger: if arguments.gdb { Debugger::Awaited } else { Debugger::Absent },
        exports: if arguments.export { Exports::All } else { Exports::None },
    };
    let results = run::run(&plan, &mut Display::new())?;
    println!("{}", tables::render(&results));
    println!("figures: {}", plan.out.join(run::RESULTS).display());
    println!("console: {}", plan.out.join(run::CONSOLE).display());
    println!("{}", if results.passed { "The run passed." } else { "The run FAILED." });
    Ok(results.passed)
}

fn simulate(arguments: Sim) -> Result<bool, Stop> {
    let (policy, seed, cores) = (arguments.policy, arguments.seed, arguments.cores);
    let changes = Changes { policy, seed, cores, ..Changes::default() };
    let done = simulation::simulate(&arguments.scenario, &changes, &arguments.out)?;
    println!("{done}");
    Ok(done.passed())
}

fn tell_again(arguments: Replay) -> Result<bool, Stop> {
    let recording = trace::load::open(&arguments.recording)?;
    println!("{}", replay::replay(&recording, arguments.policy)?);
    Ok(true)
}

fn compare(arguments: Compare) -> Result<bool, Stop> {
    // The recipe adds the images; who reruns it types the rest.
    let images = [&arguments.kernel, &arguments.apps, &arguments.linux_program]
        .map(|path| path.clone().map(|path| path.display().to_string()));
    let flags = ["--kernel", "--apps", "--linux-program"];
    let added = |word: &String| flags.contains(&&word[..]) || images.contains(&Some(word.clone()));
    let typed: Vec<String> = std::env::args().skip(1).filter(|word| !added(word)).collect();
    let order = command::Order {
        workloads: arguments.workloads,
        policies: arguments.policies,
        seeds: arguments.seeds,
        cores: arguments.cores,
        jobs: arguments.jobs.or(std::thread::available_parallelism().ok()).map_or(1, Into::into),
        out: arguments.out,
        command: format!("./just {}", typed.join(" ")),
    };
    let kernel = match (arguments.on, arguments.kernel, arguments.apps) {
        (On::Sim, ..) => None,
        (_, Some(kernel), Some(apps)) => Some(Kernel::new(kernel, apps, order.out.join("running"))?),
        _ => {
            return Err(Failure("runs on the kernel need --kernel and --apps; or say --on sim".into()).into());
        }
    };
    let kernel: Option<&dyn Runner> = kernel.as_ref().map(|kernel| kernel as _);
    let simulated: Option<&dyn Runner> = (arguments.on != On::Kernel).then_some(&Simulated);
    let runners: Vec<_> = kernel.into_iter().chain(simulated).collect();
    let beside = match (arguments.linux, &arguments.linux_program) {
        (false, _) => Beside::Nothing,
        (true, Some(program)) => Beside::found(program, order.out.join("running"))?,
        (true, None) => return Err(Failure("--linux needs --linux-program".into()).into()),
    };
    if let Beside::Absent(why) = &beside {
        println!("Linux is not beside them: {why}");
    }
    let report = command::compare(&order, &runners, &beside)?;
    report.failed.iter().for_each(|failed| println!("FAILED {}: {}", failed.run, failed.why));
    for violation in &report.violations {
        let bound = &violation.bound;
        println!(
            "BROKEN {}, {} {}: {} is {}, allowed {} {} ({})",
            violation.run,
            violation.scheduler,
            bound.client,
            bound.quantity,
            bound.measured,
            bound.most,
            bound.unit,
            bound.source
        );
    }
    report.decisions.iter().for_each(|curve| print!("{}", decisions::line(curve)));
    report.costly().iter().for_each(|what| println!("COSTLY {what}"));
    println!("figures: {}", order.out.join(run::RESULTS).display());
    println!("page: {}", order.out.join(command::PAGE).display());
    println!(
        "{}",
        if report.passed {
            "All runs ended, all bounds hold, and all costs are in order."
        } else {
            "The comparison FAILED."
        }
    );
    Ok(report.passed)
}

fn whole_matrix(arguments: Matrix) -> Result<bool, Stop> {
    let failed = matrix::all(&matrix::Common {
        scenarios: arguments.scenario,
        on_four: arguments.on_four,
        kernel: arguments.images.kernel,
        apps: arguments.images.apps,
        out: arguments.out,
        patience: Duration::from_secs(arguments.timeout),
    })?;
    Ok(failed == 0)
}

fn benchmark(arguments: Bench) -> Result<bool, Stop> {
    let plan = bench::Plan {
        kernel: arguments.images.kernel,
        apps: arguments.images.apps,
        out: arguments.out,
        patience: Duration::from_secs(arguments.timeout),
        linux_program: arguments.linux_program,
        extent: if arguments.quick { Extent::Quick } else { Extent::Whole },
    };
    let report = bench::bench(&plan)?;
    println!("{}", bench::table::render(&report));
    println!("figures: {}", plan.out.join(run::RESULTS).display());
    println!("picture: {}", plan.out.join(bench::PICTURE).display());
    report.problems.iter().for_each(|problem| println!("WRONG: {problem}"));
    println!("{}", if report.passed { "The benchmark passed." } else { "The benchmark FAILED." });
    Ok(report.passed)
}

fn print_taskset(arguments: &Taskset) -> Result<bool, Stop> {
    let Taskset { n, utilisation, shortest_ms, longest_ms, seed } = *arguments;
    if !(utilisation > 0.0 && shortest_ms <= longest_ms) {
        return Err(
            Failure("a set has a utilisation above 0, and no period longer than the longest".into()).into()
        );
    }
    let periods_us = (shortest_ms * 1000, longest_ms * 1000);
    let kind = taskset::Kind { count: n.into(), utilisation, most_each: MOST_OF_A_CORE, periods_us };
    let tasks = taskset::draw(&kind, &mut chance::seed(&[seed])).ok_or_else(|| {
        Failure(format!(
            "{n} tasks with a utilisation of {utilisation} hardly ever have {MOST_OF_A_CORE} each at most"
        ))
    })?;
    let comment = format!(
        "{n} random tasks of utilisation {utilisation}, periods from {shortest_ms} to {longest_ms} ms:\n\
         # ./just taskset --n {n} --utilisation {utilisation} --shortest-ms {shortest_ms} --longest-ms {longest_ms} --seed {seed}"
    );
    print!("{}", taskset::scenario("tasks", &comment, &tasks));
    Ok(true)
}

fn linux_bench(arguments: LinuxBench) -> Result<bool, Stop> {
    let kernel = arguments.kernel.map_or_else(linux::kernel, Ok).map_err(Failure)?;
    let figures = linux::measure(&kernel, &arguments.program)?;
    print!("{}", figures.table());
    if let Some(path) = arguments.json {
        std::fs::write(&path, figures.to_json()).map_err(Failure::with(path.display()))?;
    }
    Ok(true)
}
