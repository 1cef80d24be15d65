//! The simulator beside SimSo, an independent one: response times of 100 random task sets on one core, job by job; and those of
//! files of SimSo's, which `import` makes scenarios of.
//!
//! Needs `.tools/python` (`./just setup python`); without it the test says so and compares nothing.

use libos_core::chance;
use libos_core::scenario::{
    Admission, Arrivals, Broker, Client, Jobs, LibOs, Mode, Placement, Policy, Scenario,
};
use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use tranche_tools::import::{Wishes, import};
use tranche_tools::scenario;
use tranche_tools::sim::{costs::Costs, simulate};

const SETS: usize = 100;
/// Periods are primes, so no two deadlines meet before the product of the two least: ties are broken by nobody.
const PERIODS: [u32; 16] = [29, 31, 37, 41, 43, 47, 53, 59, 61, 67, 71, 73, 79, 83, 89, 97];
/// How long each set runs, in milliseconds: less than 29 · 31.
const HORIZON: u32 = 890;
/// Ticks per second: a tick is a microsecond.
const MEGAHERTZ: u64 = 1_000_000;

/// Work and period of each task, in milliseconds.
type Set = Vec<(u32, u32)>;

/// Sets of three to six tasks, with utilisations up to and above one.
fn sets() -> Vec<Set> {
    let mut state = chance::seed(&[100]);
    let mut below = |limit: u64| chance::draw(&mut state) % limit;
    let mut set = || {
        let mut periods = PERIODS.to_vec();
        let count = 3 + below(4);
        (0..count)
            .map(|_| {
                let period = periods.swap_remove(below(periods.len() as u64) as usize);
                (1 + below(u64::from(period) * 3 / (2 * count)) as u32, period)
            })
            .collect()
    };
    (0..SETS).map(|_| set()).collect()
}

/// The response times of each task's jobs that end within the horizon, in milliseconds.
fn ours(set: &Set, policy: Policy) -> Vec<Vec<u64>> {
    let client = |(number, &(work, period)): (usize, &(u32, u32))| {
        let jobs = Jobs {
            arrivals: Arrivals::Periodic { period_us: period * 1000, offset_us: 0 },
            budget_us: work * 1000,
            deadline_us: Some(period * 1000),
            work_min_us: work * 1000,
            work_us: work * 1000,
        };
        let (name, placement) = (format!("t{number}"), Placement::Core(0));
        Client { name, program: "spin".into(), jobs: Some(jobs), placement, frames: 1, ..Client::default() }
    };
    let libos = LibOs {
        name: "one".into(),
        program: "one".into(),
        policy,
        admission: Admission::Off,
        frames: 1,
        clients: set.iter().enumerate().map(client).collect(),
        ..LibOs::default()
    };
    let scenario = Scenario {
        name: "set".into(),
        // Jobs begin some time after the start.
        duration_ms: HORIZON + 200,
        cores: 1,
        quantum_us: 1000,
        slots: 1,
        grace_us: 1,
        seed: 1,
        trace: false,
        broker: Broker { mode: Mode::Static, slots: 0, patience_ms: 1 },
        libos: vec![libos],
        hostile: Vec::new(),
        traces: Vec::new(),
    };
    let us = responses(&scenario, HORIZON);
    us.into_iter().map(|task| task.into_iter().map(|us| us / 1000).collect()).collect()
}

/// The response times of each client's jobs that end within so many milliseconds, where nothing costs anything.
fn responses(scenario: &Scenario, horizon_ms: u32) -> Vec<Vec<u64>> {
    let recording = simulate(scenario, &Costs::nothing(MEGAHERTZ)).unwrap().recording;
    let begin = recording.jobs.iter().map(|job| job.released).min().unwrap();
    let end = begin + u64::from(horizon_ms) * 1000;
    let of = |client: usize| {
        let mut jobs: Vec<_> = recording.jobs.iter().filter(|job| job.client == client).collect();
        jobs.sort_by_key(|job| job.number);
        let ended = jobs.iter().filter(|job| job.completed.is_some_and(|completed| completed <= end));
        ended.map(|job| job.completed.unwrap() - job.released).collect()
    };
    (0..scenario.libos[0].clients.len()).map(of).collect()
}

/// What runs SimSo; `None` without Python and its packages.
fn simso() -> Option<Command> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent()?;
    let python = root.join(".tools/python/bin/python");
    if !python.is_file() {
        eprintln!("skipped: .tools/python is not there; ./just setup python fetches it");
        return None;
    }
    let mut command = Command::new(python);
    command.arg(root.join("tools/python/responses.py"));
    Some(command)
}

/// What SimSo says of all sets, by scheduler.
fn theirs(sets: &[Set]) -> Option<serde_json::Value> {
    let mut child = simso()?.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let asked = serde_json::json!({ "horizon": HORIZON, "sets": sets }).to_string();
    child.stdin.take().unwrap().write_all(asked.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "responses.py failed");
    Some(serde_json::from_slice(&output.stdout).unwrap())
}

#[test]
fn simso_has_the_same_response_times_for_edf_and_rate_monotonic() {
    let sets = sets();
    let Some(theirs) = theirs(&sets) else { return };
    for (word, policy) in [("edf", Policy::Edf), ("rm", Policy::RateMonotonic)] {
        let mut jobs = 0;
        for (number, set) in sets.iter().enumerate() {
            let ours = ours(set, policy);
            jobs += ours.iter().map(Vec::len).sum::<usize>();
            let theirs: Vec<Vec<u64>> = serde_json::from_value(theirs[word][number].clone()).unwrap();
            assert_eq!(ours, theirs, "{word}, set {number}: {set:?}");
        }
        assert!(jobs > 4000, "{word}: only {jobs} jobs were compared");
    }
}

#[test]
fn simso_has_the_same_response_times_for_its_own_files_as_an_import_of_them() {
    for (name, policy) in [("edf.xml", Policy::Edf), ("rm.xml", Policy::RateMonotonic)] {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name);
        let text = import(&file, &Wishes::default()).unwrap();
        let mut scenario = scenario::parse(&text, None, None).unwrap();
        assert_eq!(scenario.libos[0].policy, policy);
        let horizon_ms = scenario.duration_ms;
        // All of the core is the clients', as there; and some time more, for ours begin a little later.
        scenario.duration_ms += 100;
        (scenario.slots, scenario.broker.slots, scenario.libos[0].want) = (1, 0, 1);
        (scenario.trace, scenario.grace_us) = (false, 1);
        let Some(mut command) = simso() else { return };
        let output = command.arg(&file).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let theirs: BTreeMap<String, Vec<u64>> = serde_json::from_slice(&output.stdout).unwrap();
        let names = scenario.libos[0].clients.iter().map(|client| client.name.to_uppercase());
        let ours: BTreeMap<String, Vec<u64>> = names.zip(responses(&scenario, horizon_ms)).collect();
        assert_eq!(ours, theirs, "{name}");
        assert!(ours.len() > 3 && ours.values().map(Vec::len).sum::<usize>() > 60, "{name}: few jobs");
    }
}
