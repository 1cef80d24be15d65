//! The command line: from what was typed (`arguments`) to the library and back. Not here: any work (the library does it).

#![forbid(unsafe_code)]

mod arguments;

use arguments::{
    Arguments, Bench, Command, Compare, LinuxBench, Matrix, On, PiCollect, Replay, Run, SdImage, Sim, Taskset,
};
use clap::Parser;
use libos_core::chance;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;
use tranche_tools::bench::{self, Extent, linux};
use tranche_tools::collect::{self, serial::Ear};
use tranche_tools::compare::command::{self, Beside, Makers};
use tranche_tools::compare::{kernel::Kernel, report::Report, simulated::Simulated, sweep};
use tranche_tools::display::Display;
use tranche_tools::matrix::Breadth;
use tranche_tools::qemu::{Board, Clock, Machine};
use tranche_tools::run::{self, Debugger, Exports, Plan, Stop};
use tranche_tools::scenario::Changes;
use tranche_tools::screen::{self, Screen};
use tranche_tools::{
    Failure, archive, blast, calibration, conformance, decisions, guarantee, import, matrix, new_policy,
    prediction, replay, scenario, sd, simulation, tables, taskset, trace,
};

/// Most of a core that one random task uses, so that there is room for what switching costs.
const MOST_OF_A_CORE: f64 = 0.85;
/// How the shell reports that Ctrl-C ended a program.
const INTERRUPTED: u8 = 130;

fn main() -> ExitCode {
    let done = run::heed_interrupts().map_err(Stop::from).and_then(|()| match Arguments::parse().command {
        Command::Check { scenario, apps } => check(scenario, apps),
        Command::Run(arguments) => one_run(arguments),
        Command::Sim(arguments) => simulate(arguments),
        Command::Replay(arguments) => tell_again(arguments),
        Command::Compare(arguments) => compare(arguments),
        Command::CompareRun { sweep, outcomes } => compare_run(&sweep, &outcomes),
        Command::CompareMerge { sweep, out } => compare_merge(&sweep, &out),
        Command::SdImage(arguments) => sd_image(arguments),
        Command::PiCollect(arguments) => pi_collect(arguments),
        Command::Matrix(arguments) => whole_matrix(arguments),
        Command::Predict(arguments) => prediction::command(arguments),
        Command::Conformance(arguments) => conformance::command(arguments),
        Command::NewPolicy { name } => Ok(new_policy::command(Path::new("."), &name).map(|()| true)?),
        Command::Grade(arguments) => conformance::grade::command(arguments),
        Command::Guarantee(arguments) => guarantee::command(arguments),
        Command::Blast(arguments) => blast::command(arguments),
        Command::Costs(arguments) => calibration::command(arguments),
        Command::Bench(arguments) => benchmark(arguments),
        Command::LinuxBench(arguments) => linux_bench(arguments),
        Command::Screens(arguments) => Ok(screen::shots::command(arguments)?),
        Command::Taskset(arguments) => print_taskset(&arguments),
        Command::Import(arguments) => Ok(import::command(arguments)?),
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
        card: arguments.sd,
        out: arguments.out.unwrap_or_else(|| folder.into()),
        patience: Duration::from_secs(arguments.timeout),
        debugger: if arguments.gdb { Debugger::Awaited } else { Debugger::Absent },
        exports: if arguments.export { Exports::All } else { Exports::None },
        screen: if arguments.display { Screen::of_host() } else { Screen::None },
    };
    let results = run::run(&plan, &mut Display::new())?;
    println!("{}", tables::render(&results));
    println!("figures: {}", plan.out.join(run::RESULTS).display());
    println!("console: {}", plan.out.join(run::CONSOLE).display());
    if plan.screen == Screen::Picture {
        println!("picture: {}", plan.out.join(screen::FILE).display());
    }
    println!("{}", if results.passed { "The run passed." } else { "The run FAILED." });
    Ok(results.passed)
}

fn sd_image(arguments: SdImage) -> Result<bool, Stop> {
    let order = sd::Order {
        scenario: arguments.scenario,
        kernel: arguments.images.kernel,
        apps: arguments.images.apps,
        changes: Changes { duration_ms: arguments.duration_ms, ..Changes::default() },
        command_line: arguments.command_line,
        screen: if arguments.no_display { Screen::None } else { Screen::Connected },
    };
    let image = sd::make(&order, &arguments.out)?;
    println!("image: {}", image.display());
    println!("files: {}", arguments.out.join(sd::FOLDER).display());
    println!("How to write it to a card, and what one sees then: boards/rpi4/README.md");
    Ok(true)
}

fn pi_collect(arguments: PiCollect) -> Result<bool, Stop> {
    let exports = if arguments.export { Exports::All } else { Exports::None };
    let PiCollect { source, rate, scenario, kernel, clock, out, .. } = arguments;
    let order = collect::Order { scenario, kernel, clock, out, exports };
    let collected = match source.is_file() {
        true => collect::card::collect(&order, &source)?,
        false => {
            let ear = Ear { rate, silence: Duration::from_secs(arguments.silence) };
            collect::serial::collect(&order, &source, ear, &mut Display::new())?
        }
    };
    println!("{}", tables::render(&collected.ran.results));
    collected.losses.iter().for_each(|loss| println!("LOST {loss}"));
    println!("figures: {}", order.out.join(run::RESULTS).display());
    println!("console: {}", order.out.join(run::CONSOLE).display());
    println!("{}", if collected.ran.results.passed { "The run passed." } else { "The run FAILED." });
    Ok(collected.ran.results.passed)
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

/// The command that was typed. The recipe added the images; who reruns it types the rest. A workflow's results are those of the
/// command that makes them at once.
fn typed(arguments: &Compare) -> String {
    let images = [&arguments.kernel, &arguments.apps, &arguments.linux_program]
        .map(|path| path.clone().map(|path| path.display().to_string()));
    let flags = ["--kernel", "--apps", "--linux-program", "--snakemake"];
    let added = |word: &String| flags.contains(&&word[..]) || images.contains(&Some(word.clone()));
    let typed: Vec<String> = std::env::args().skip(1).filter(|word| !added(word)).collect();
    format!("./just {}", typed.join(" "))
}

fn compare(arguments: Compare) -> Result<bool, Stop> {
    let command = typed(&arguments);
    if !arguments.from.is_empty() {
        let report = command::compare_made(&arguments.from, command, &arguments.out)?;
        tell(&report, &arguments.out);
        return Ok(report.passed);
    }
    let order = command::Order {
        workloads: arguments.workloads,
        policies: arguments.policies,
        seeds: arguments.seeds,
        cores: arguments.cores,
        jobs: arguments.jobs.or(std::thread::available_parallelism().ok()).map_or(1, Into::into),
        out: arguments.out,
        command,
    };
    let kernel = match (arguments.on, arguments.kernel, arguments.apps) {
        (On::Sim, ..) => None,
        (_, Some(kernel), Some(apps)) => Some(Kernel::new(kernel, apps, order.out.join("running"))?),
        _ => {
            return Err(Failure("runs on the kernel need --kernel and --apps; or say --on sim".into()).into());
        }
    };
    let simulated = (arguments.on != On::Kernel).then_some(Simulated);
    let beside = match (arguments.linux, &arguments.linux_program) {
        (false, _) => Beside::Nothing,
        (true, Some(program)) => Beside::found(program, order.out.join("running"))?,
        (true, None) => return Err(Failure("--linux needs --linux-program".into()).into()),
    };
    if let Beside::Absent(why) = &beside {
        println!("Linux is not beside them: {why}");
    }
    let makers = Makers { kernel, simulated, beside };
    if arguments.snakemake {
        let runs = sweep::write(&order, &makers)?;
        println!("{runs} runs: {}", order.out.join("runs.tsv").display());
        println!("To make them, in {}: snakemake --cores all --rerun-incomplete", order.out.display());
        return Ok(true);
    }
    let report = command::compare(&order, &makers)?;
    tell(&report, &order.out);
    Ok(report.passed)
}

fn compare_run(folder: &Path, outcomes: &[PathBuf]) -> Result<bool, Stop> {
    for outcome in entered(folder, outcomes)? {
        println!("{}", sweep::make(Path::new("."), &outcome)?);
    }
    Ok(true)
}

/// That all was put together is success, whatever it says: Snakemake removes what a job leaves that fails.
fn compare_merge(folder: &Path, out: &Path) -> Result<bool, Stop> {
    for out in entered(folder, &[out.into()])? {
        tell(&sweep::merge(Path::new("."), &out)?, &out);
    }
    Ok(true)
}

/// Goes into a sweep's folder, where everything is found as in the project's: these paths, from there.
fn entered(folder: &Path, paths: &[PathBuf]) -> Result<Vec<PathBuf>, Failure> {
    let absolute = |path: &PathBuf| std::path::absolute(path).map_err(Failure::with(path.display()));
    let paths = paths.iter().map(absolute).collect();
    std::env::set_current_dir(folder).map_err(Failure::with(folder.display()))?;
    paths
}

/// What came of a comparison, on the terminal.
fn tell(report: &Report, out: &Path) {
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
    println!("figures: {}", out.join(run::RESULTS).display());
    println!("page: {}", out.join(command::PAGE).display());
    println!(
        "{}",
        if report.passed {
            "All runs ended, all bounds hold, and all costs are in order."
        } else {
            "The comparison FAILED."
        }
    );
}

fn whole_matrix(arguments: Matrix) -> Result<bool, Stop> {
    let with = |files: Vec<PathBuf>, breadth| files.into_iter().map(move |file| (file, breadth));
    let everywhere = with(arguments.everywhere, Breadth::Everywhere);
    let fewer = with(arguments.on_each, Breadth::OnEach)
        .chain(with(arguments.on_four, Breadth::OnFour))
        .chain(with(arguments.on_virt, Breadth::OnVirt))
        .chain(with(arguments.on_few, Breadth::OnFew))
        .chain(with(arguments.twice, Breadth::Twice));
    let failed = matrix::all(&matrix::Common {
        scenarios: everywhere.chain(fewer).collect(),
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
