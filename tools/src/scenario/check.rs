//! What no field can be wrong in alone: names that clash, times out of order, slots that do not fit. Each rule is a
//! function over the whole scenario; `super` has read every field by then and found it in its range.

use super::currencies::{currencies, services};
use super::failing::failures;
use super::guarantees;
use super::nesting::nesting;
use super::placing::placements;
use super::reader::Findings;
use super::sharing::sharing;
use super::swapping::{heirs, swaps};
use super::traces::lists_fit;
use super::unsteady::unsteady;
use libos_core::scenario::{Admission, Arrivals, BROKER, Client, LibOs, Mode, Policy, Scenario};
use std::collections::BTreeMap;
use tranche_abi::layout::{MAX_CLIENTS, MAX_ENVS};

/// Names that the ledger uses for what is no libOS.
const RESERVED: [&str; 7] = ["broker", "tracer", "display", "kernel", "idle", "excess", "gone"];
/// Longest name, in bytes.
const LONGEST_NAME: usize = 32;
/// Page frames for all: the smallest machine has 512 MiB, of which the kernel and the archive need some.
const FRAMES: u64 = 448 << 8;
/// The tracer's.
const TRACER: &str = "tracer";

type Rule = fn(&Scenario, &mut Findings<'_>);

const RULES: [Rule; 22] = [
    names,
    times,
    alone,
    slots_fit,
    tracing,
    policies,
    currencies,
    services,
    placements,
    deadlines,
    guarantees::servers,
    guarantees::criticality,
    guarantees::utilisation,
    failures,
    swaps,
    heirs,
    nesting,
    sharing,
    hostile_demands,
    sizes,
    lists_fit,
    unsteady,
];

/// Notes everything in which the fields do not fit together.
pub fn fits_together(scenario: &Scenario, findings: &mut Findings<'_>) {
    RULES.iter().for_each(|rule| rule(scenario, findings));
}

/// Notes every program that the boot archive would not have. Without a list of what there is, nothing.
pub fn programs_exist(scenario: &Scenario, programs: Option<&[String]>, findings: &mut Findings<'_>) {
    let Some(there) = programs else { return };
    for (path, program) in wanted(scenario) {
        if !there.contains(&program) {
            let all = if there.is_empty() { "none".into() } else { there.join(", ") };
            findings.problem(&path, format!("there is no program {program:?}; there are: {all}"));
        }
    }
}

fn wanted(scenario: &Scenario) -> Vec<(String, String)> {
    let mut all = Vec::new();
    if scenario.broker.mode != Mode::None {
        all.push(("broker".to_string(), BROKER.to_string()));
    }
    all.extend(scenario.trace.then(|| ("trace".to_string(), TRACER.to_string())));
    for (i, libos) in scenario.libos.iter().enumerate() {
        all.push((format!("libos[{i}].program"), libos.program.clone()));
        all.extend(libos.heir.map(|heir| (format!("libos[{i}].heir"), heir.word().to_string())));
    }
    let program = |(path, client): (String, &Client)| (format!("{path}.program"), client.program.clone());
    all.extend(clients_within(scenario).into_iter().map(program));
    for (i, hostile) in scenario.hostile.iter().enumerate() {
        all.push((format!("hostile[{i}].program"), hostile.program.clone()));
    }
    all
}

fn names(scenario: &Scenario, findings: &mut Findings<'_>) {
    name_is_good("name", &scenario.name, findings);
    let mut owners: BTreeMap<&str, String> = BTreeMap::new();
    let libos = scenario.libos.iter().enumerate().map(|(i, l)| (format!("libos[{i}]"), &l.name));
    let hostile = scenario.hostile.iter().enumerate().map(|(i, h)| (format!("hostile[{i}]"), &h.name));
    for (owner, name) in libos.chain(hostile) {
        let path = format!("{owner}.name");
        name_is_good(&path, name, findings);
        if RESERVED.contains(&name.as_str()) {
            findings.problem(&path, format!("{name:?} is a name of the system's own"));
        }
        if let Some(first) = owners.insert(name, owner) {
            findings.problem(&path, format!("{name:?} is already the name of {first}"));
        }
    }
    for (i, libos) in scenario.libos.iter().enumerate() {
        let mut known: BTreeMap<&str, usize> = BTreeMap::new();
        for (j, client) in libos.clients.iter().enumerate() {
            let path = format!("libos[{i}].clients[{j}].name");
            name_is_good(&path, &client.name, findings);
            if let Some(first) = known.insert(&client.name, j) {
                findings.problem(
                    &path,
                    format!("{:?} is already the name of libos[{i}].clients[{first}]", client.name),
                );
            }
        }
    }
    if scenario.libos.is_empty() {
        findings.problem("libos", "must list at least one");
    }
}

pub(super) fn name_is_good(path: &str, name: &str, findings: &mut Findings<'_>) {
    let good = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if name.is_empty() || name.len() > LONGEST_NAME || !name.chars().all(good) {
        findings.problem(
            path,
            format!("must be 1 to {LONGEST_NAME} of the characters a-z, 0-9 and - (got {name:?})"),
        );
    }
}

/// The tracer works in one of the broker's slots; the broker needs another.
fn tracing(scenario: &Scenario, findings: &mut Findings<'_>) {
    let kept = scenario.broker.slots;
    if scenario.trace && kept < 2 {
        let message = format!(
            "must be at least 2 (got {kept}), because the run is recorded and the tracer works in one of them; \
             trace = false records nothing"
        );
        findings.problem("broker.slots", message);
    }
}

fn times(scenario: &Scenario, findings: &mut Findings<'_>) {
    let end = scenario.duration_ms;
    let revolution_us = u64::from(scenario.quantum_us) * u64::from(scenario.slots);
    if scenario.revolutions() < 1 {
        findings
            .problem("duration_ms", format!("must hold a revolution of {revolution_us} us (got {end} ms)"));
    }
    if scenario.grace_us * 2 > scenario.quantum_us {
        let most = scenario.quantum_us / 2;
        findings
            .problem("grace_us", format!("must be at most {most}, half a slot (got {})", scenario.grace_us));
    }
    for (i, libos) in scenario.libos.iter().enumerate() {
        if libos.arrives_ms >= end {
            let message = format!("must be before the end at {end} (got {})", libos.arrives_ms);
            findings.problem(&format!("libos[{i}].arrives_ms"), message);
        }
        if let Some(leaves) = libos.leaves_ms.filter(|&leaves| leaves <= libos.arrives_ms || leaves > end) {
            let message =
                format!("must be after arrives_ms = {} and at most {end} (got {leaves})", libos.arrives_ms);
            findings.problem(&format!("libos[{i}].leaves_ms"), message);
        }
    }
}

/// Slots of each core that a libOS has for certain.
pub(super) fn certain(scenario: &Scenario, libos: &LibOs) -> (u32, &'static str) {
    match scenario.broker.mode {
        Mode::Market => (libos.minimum, "minimum"),
        Mode::Static | Mode::None => (libos.want, "want"),
    }
}

/// Without a broker there is one program, which nobody records.
fn alone(scenario: &Scenario, findings: &mut Findings<'_>) {
    if scenario.broker.mode != Mode::None {
        return;
    }
    let mut problem = |path: &str, message: &str| findings.problem(path, message.to_string());
    let [only, others @ ..] = &scenario.libos[..] else { return };
    if !others.is_empty() {
        problem("libos[1]", "without a broker (mode = \"none\") there is one libOS, the first environment");
    }
    if only.policy != Policy::None {
        problem("libos[0].policy", "must be \"none\" without a broker: a scheduler gets its slots from one");
    }
    if !scenario.hostile.is_empty() {
        problem("hostile[0]", "without a broker nobody makes hostile environments");
    }
    if scenario.trace {
        problem("trace", "without a broker nobody starts the tracer");
    }
}

/// Slots of each core that nobody else gets: the broker's, if there is one, and those of the hostile.
fn always(scenario: &Scenario) -> u32 {
    let kept = if scenario.broker.mode == Mode::None { 0 } else { scenario.broker.slots };
    kept + scenario.hostile.iter().map(|hostile| hostile.slots).sum::<u32>()
}

fn slots_fit(scenario: &Scenario, findings: &mut Findings<'_>) {
    let always = always(scenario);
    if always > scenario.slots {
        let message =
            format!("the broker's and the hostile's slots are {always} of {} of a core", scenario.slots);
        findings.problem("slots", message);
    }
    for (i, libos) in scenario.libos.iter().enumerate() {
        let path = |field: &str| format!("libos[{i}].{field}");
        if libos.want > scenario.slots {
            let message =
                format!("must be at most {}, the slots of a core (got {})", scenario.slots, libos.want);
            findings.problem(&path("want"), message);
        }
        if libos.minimum > libos.want {
            let message = format!("must be at most want = {} (got {})", libos.want, libos.minimum);
            findings.problem(&path("minimum"), message);
        }
        if scenario.broker.mode == Mode::Market && libos.want > libos.minimum && libos.income == 0 {
            findings.problem(&path("income"), "must be at least 1 to bid for more than the minimum (got 0)");
        }
        // The sum can only grow when somebody arrives.
        let there = |other: &&LibOs| {
            other.arrives_ms <= libos.arrives_ms && other.leaves_ms.is_none_or(|ms| ms > libos.arrives_ms)
        };
        let sum = always + scenario.libos.iter().filter(there).map(|l| certain(scenario, l).0).sum::<u32>();
        if always <= scenario.slots && sum > scenario.slots {
            let (_, field) = certain(scenario, libos);
            let message = format!(
                "when it arrives, at {} ms, {sum} slots of a core are promised and there are {}",
                libos.arrives_ms, scenario.slots
            );
            findings.problem(&path(field), message);
        }
    }
}

fn policies(scenario: &Scenario, findings: &mut Findings<'_>) {
    for (i, libos) in scenario.libos.iter().enumerate() {
        let word = libos.policy.word();
        let mut problem = |field: &str, message: String| {
            findings.problem(&format!("libos[{i}].{field}"), message);
        };
        match (libos.policy, libos.clients.is_empty()) {
            (Policy::None, false) => problem("clients", "policy none has no clients".into()),
            (Policy::None, true) => {}
            (_, _) if libos.calls > 0 => {
                problem("calls", format!("policy {word} makes no calls of chance: policy none does"));
            }
            (_, true) => problem("clients", format!("policy {word} needs at least one client")),
            (_, false) => {}
        }
        if libos.admission == Admission::Off && libos.policy == Policy::None {
            problem("admission", "policy none takes no clients on".into());
        }
    }
}

/// Every client of a libOS, with its path.
pub(super) fn clients(scenario: &Scenario) -> impl Iterator<Item = (String, &LibOs, &Client)> {
    scenario.libos.iter().enumerate().flat_map(|(i, libos)| {
        let path = move |j| format!("libos[{i}].clients[{j}]");
        libos.clients.iter().enumerate().map(move |(j, client)| (path(j), libos, client))
    })
}

/// Every client with its path, those of schedulers that are clients included.
pub(super) fn clients_within(scenario: &Scenario) -> Vec<(String, &Client)> {
    fn add<'a>(path: &str, clients: &'a [Client], all: &mut Vec<(String, &'a Client)>) {
        for (j, client) in clients.iter().enumerate() {
            let path = format!("{path}.clients[{j}]");
            all.push((path.clone(), client));
            client.schedules.iter().for_each(|nested| add(&path, &nested.clients, all));
        }
    }
    let mut all = Vec::new();
    for (i, libos) in scenario.libos.iter().enumerate() {
        add(&format!("libos[{i}]"), &libos.clients, &mut all);
    }
    all
}

fn deadlines(scenario: &Scenario, findings: &mut Findings<'_>) {
    for (path, client) in clients_within(scenario) {
        let Some(jobs) = client.jobs else { continue };
        let mut limits = vec![
            ("work_us", jobs.work_us, "budget_us", jobs.budget_us),
            ("work_min_us", jobs.work_min_us, "work_us", jobs.work_us),
        ];
        let deadline = jobs.deadline_us.map(|deadline_us| ("deadline_us", deadline_us));
        limits.extend(deadline.map(|(field, limit)| ("budget_us", jobs.budget_us, field, limit)));
        if let Arrivals::Periodic { period_us, .. } = jobs.arrivals {
            limits.push(("budget_us", jobs.budget_us, "period_us", period_us));
            limits.extend(deadline.map(|(field, value)| (field, value, "period_us", period_us)));
        }
        for (field, value, limit_field, limit) in limits {
            if value > limit {
                let message = format!("must be at most {limit_field} = {limit} (got {value})");
                findings.problem(&format!("{path}.{field}"), message);
            }
        }
    }
}

fn hostile_demands(scenario: &Scenario, findings: &mut Findings<'_>) {
    for (i, hostile) in scenario.hostile.iter().enumerate() {
        let asked = hostile.asked_slots * hostile.asked_ms.len() as u32;
        if asked > hostile.slots {
            let message = format!("it is asked for {asked} slots in all and has {}", hostile.slots);
            findings.problem(&format!("hostile[{i}].asked_slots"), message);
        }
        let path = |j| format!("hostile[{i}].asked_ms[{j}]");
        for (j, &ms) in hostile.asked_ms.iter().enumerate() {
            let latest = u64::from(ms) + u64::from(scenario.broker.patience_ms);
            if latest >= u64::from(scenario.duration_ms) {
                let message = format!(
                    "must leave the broker's patience of {} ms before the end at {} (got {ms})",
                    scenario.broker.patience_ms, scenario.duration_ms
                );
                findings.problem(&path(j), message);
            }
            if j > 0 && ms <= hostile.asked_ms[j - 1] {
                let message =
                    format!("must be later than the one before, {} (got {ms})", hostile.asked_ms[j - 1]);
                findings.problem(&path(j), message);
            }
        }
    }
}

fn sizes(scenario: &Scenario, findings: &mut Findings<'_>) {
    let copies =
        |libos: &LibOs| libos.clients.iter().map(|c| c.copies(scenario.cores).count()).sum::<usize>();
    for (i, libos) in scenario.libos.iter().enumerate() {
        if copies(libos) > MAX_CLIENTS / 2 {
            let message =
                format!("must make at most {} environments (got {})", MAX_CLIENTS / 2, copies(libos));
            findings.problem(&format!("libos[{i}].clients"), message);
        }
    }
    let environments = scenario.environments();
    if environments > MAX_ENVS as u64 {
        let message = format!("all together make {environments} environments, and there can be {MAX_ENVS}");
        findings.problem("libos", message);
    }
    let libos: u64 = scenario.libos.iter().map(|libos| libos.total_frames(scenario.cores)).sum();
    let frames = libos + scenario.hostile.iter().map(|hostile| u64::from(hostile.frames)).sum::<u64>();
    if frames > FRAMES {
        findings.problem("libos", format!("all together need {frames} frames, and there are {FRAMES}"));
    }
}
