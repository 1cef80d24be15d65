//! A comparison as a workflow, by Snakemake itself: killed in the middle, it goes on, makes no run twice, and its results are those
//! of `compare`, byte for byte.
//!
//! Needs `.tools/python` (`./just setup python`); without it the test says so and runs nothing.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

const TOOL: &str = env!("CARGO_BIN_EXE_tranche-tools");
const FLAGS: &str = "compare --on sim --workloads mine.toml --policies stride,lottery --seeds 3 --out sweep";
const RUNS: usize = 6;
/// Outcomes that are waited for before Snakemake is killed.
const SOME: usize = 3;
const PATIENCE: Duration = Duration::from_secs(60);

const SCENARIO: &str = r#"
name = "mine"
duration_ms = 400
cores = 1
slots = 10
[broker]
mode = "static"
slots = 2
[[libos]]
name = "one"
policy = "stride"
want = 8
[[libos.clients]]
name = "a"
program = "spin"
tickets = 2
[[libos.clients]]
name = "b"
program = "spin"
"#;

fn python() -> Option<PathBuf> {
    let python = Path::new(env!("CARGO_MANIFEST_DIR")).parent()?.join(".tools/python/bin/python");
    python.is_file().then_some(python)
}

/// The host tool in a folder that has the scenario.
fn tool(folder: &Path, flags: &str) -> Output {
    fs::create_dir_all(folder).unwrap();
    fs::write(folder.join("mine.toml"), SCENARIO).unwrap();
    let output = Command::new(TOOL).args(flags.split(' ')).current_dir(folder).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output
}

/// Snakemake in a sweep's folder, in a process group of its own, so that its jobs can be killed with it.
fn snakemake(python: &Path, sweep: &Path, flags: &str) -> Child {
    let mut command = Command::new(python);
    command.args(["-m", "snakemake"]).args(flags.split(' ')).current_dir(sweep);
    command.env("XDG_CACHE_HOME", sweep.join("home")).process_group(0);
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// What it said, if all was well.
fn ended(child: Child) -> String {
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(output.status.success(), "{said}");
    said
}

/// The outcomes that are there: of each file which one it is, and when it was written.
fn outcomes(sweep: &Path) -> BTreeMap<PathBuf, (i64, i64, u64)> {
    let files = fs::read_dir(sweep.join("cache")).into_iter().flatten().flatten().map(|entry| entry.path());
    let outcome = |file: PathBuf| {
        let is_one = file.extension().is_some_and(|extension| extension == "json");
        let seen = fs::metadata(&file).ok().filter(|_| is_one)?;
        Some((file, (seen.mtime(), seen.mtime_nsec(), seen.ino())))
    };
    files.filter_map(outcome).collect()
}

/// Starts it and kills it, and all that it started, when some runs are made: those of which it knows that they are.
fn killed(python: &Path, sweep: &Path) -> BTreeMap<PathBuf, (i64, i64, u64)> {
    let mut child = snakemake(python, sweep, "--cores 1");
    let begin = Instant::now();
    while outcomes(sweep).len() < SOME {
        assert!(begin.elapsed() < PATIENCE && child.try_wait().unwrap().is_none(), "it made no runs");
        std::thread::sleep(Duration::from_millis(10));
    }
    let kill = format!("kill -KILL -{}", child.id());
    assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());
    child.wait().unwrap();
    let mut made: Vec<_> = outcomes(sweep).into_iter().collect();
    made.sort_by_key(|(_, when)| *when);
    // Whether it has heard of the last one, nobody knows.
    made.pop();
    made.into_iter().collect()
}

#[test]
fn a_sweep_that_was_killed_goes_on_and_its_results_are_those_of_compare() {
    let Some(python) = python() else {
        eprintln!("skipped: .tools/python is not there; ./just setup python fetches it");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let (workflow, direct) = (folder.path().join("workflow"), folder.path().join("direct"));
    let sweep = workflow.join("sweep");
    tool(&workflow, &format!("{FLAGS} --snakemake"));
    let made = killed(&python, &sweep);
    assert!(made.len() >= SOME - 1 && made.len() < RUNS - 1, "{} of {RUNS} were made", made.len());
    assert!(!sweep.join("results.json").exists());

    ended(snakemake(&python, &sweep, "--unlock"));
    let said = ended(snakemake(&python, &sweep, "--cores 2 --rerun-incomplete"));
    let now = outcomes(&sweep);
    assert!(made.iter().all(|(file, when)| now.get(file) == Some(when)), "a run was made twice");
    let again = said.matches("(Rule: run)").count();
    assert!((RUNS - made.len() - 1..=RUNS - made.len()).contains(&again), "{again} runs were made\n{said}");

    // What a decision costs on this host is measured, and no two measurements are the same: the one that the sweep has.
    let decisions = fs::read_to_string(sweep.join("decisions.tsv")).unwrap();
    let measured = decisions.lines().nth(1).and_then(|line| line.split('\t').nth(1)).unwrap();
    fs::create_dir_all(direct.join("sweep/cache")).unwrap();
    fs::copy(sweep.join(measured), direct.join("sweep").join(measured)).unwrap();
    tool(&direct, FLAGS);
    for file in ["results.json", "schedulers.csv", "jobs.csv", "index.html"] {
        let [theirs, ours] = [&workflow, &direct].map(|at| fs::read(at.join("sweep").join(file)).unwrap());
        assert!(!ours.is_empty() && theirs == ours, "{file} is not what compare writes");
    }
}
