//! Scenario files: TOML in, [`libos_core::scenario::Scenario`] out, or every mistake with file, line and field. The
//! fields, their units and defaults are here and, explained, in `docs/scenarios.md`. Not here: what any of it does.

mod changes;
mod check;
mod currencies;
mod failing;
mod guarantees;
mod jobs;
mod names;
mod nesting;
mod placing;
mod reader;
mod sharing;
mod swapping;
#[cfg(test)]
mod tests;
mod traces;
mod unsteady;

pub use changes::{Changes, POLICIES, policy_of};
pub use names::file_of;
pub use reader::Problem;
pub(crate) use sharing::DONATIONS;

use crate::Failure;
use libos_core::scenario::{
    Admission, Behaviour, Broker, Client, Hostile, Inflation, LibOs, MOST_TICKETS, Mode, Policy, Scenario,
    Spacing,
};
use reader::{Fields, Findings};
use std::path::{Path, PathBuf};
use toml::de::DeTable;
use tranche_abi::layout::{MAX_CORES, MAX_SLOTS};

/// Longest run, in milliseconds: an hour.
const LONGEST_MS: u64 = 3_600_000;
/// Most page frames that one field can ask for: a GiB.
const MOST_FRAMES: u64 = 1 << 18;
/// Page frames of a client that is a scheduler, unless the file says otherwise.
const FRAMES_OF_A_SCHEDULER: u64 = 512;
/// Most calls that a fuzzer can be asked for.
const MOST_CALLS: u64 = 1_000_000_000;
/// Most of what is counted in credits.
const MOST: u64 = 1_000_000;

const MODES: [(&str, Mode); 3] = [("market", Mode::Market), ("static", Mode::Static), ("none", Mode::None)];
/// Where a libOS's slots are.
pub(crate) const SPACINGS: [(&str, Spacing); 2] =
    [("equidistant", Spacing::Equidistant), ("contiguous", Spacing::Contiguous)];
pub(crate) const ADMISSIONS: [(&str, Admission); 2] =
    [("required", Admission::Required), ("off", Admission::Off)];
const INFLATIONS: [(&str, Inflation); 2] = [("none", Inflation::None), ("own", Inflation::Own)];
const BEHAVIOURS: [(&str, Behaviour); 7] = [
    ("loop", Behaviour::Loop),
    ("bad-pointers", Behaviour::BadPointers),
    ("unknown-calls", Behaviour::UnknownCalls),
    ("forged-capabilities", Behaviour::ForgedCapabilities),
    ("handler-faults", Behaviour::HandlerFaults),
    ("ignore-revocation", Behaviour::IgnoreRevocation),
    ("grace-abuse", Behaviour::GraceAbuse),
];

/// Whether a client uses CPU time and does nothing else, so that its jobs use exactly what they declare.
pub fn is_synthetic(client: &Client) -> bool {
    client.program == "spin"
}

/// Reads and checks a scenario file, for a machine of `cores` cores if given, else of as many as the file says.
/// `programs` are the files of the boot archive, if they are known.
pub fn load(path: &Path, cores: Option<u32>, programs: Option<&[String]>) -> Result<Scenario, Failure> {
    load_changed(path, &Changes { cores, ..Changes::default() }, programs)
}

/// The files of releases that a scenario file names, where they are; their names in the scenario beside that.
pub fn traces_of(path: &Path) -> Result<Vec<(String, PathBuf)>, Failure> {
    let folder = path.parent().unwrap_or(Path::new(""));
    let traces = load(path, None, None)?.traces;
    Ok(traces.into_iter().map(|trace| (trace.file.clone(), folder.join(&trace.file))).collect())
}

/// As [`load`], with changes to what the file says; it is checked as if the file said so.
pub fn load_changed(
    path: &Path,
    changes: &Changes,
    programs: Option<&[String]>,
) -> Result<Scenario, Failure> {
    let text = std::fs::read_to_string(path).map_err(Failure::with(path.display()))?;
    let folder = path.parent().unwrap_or(Path::new(""));
    parse_changed((&text, folder), changes, programs)
        .map_err(|problems| Failure(render(&path.display().to_string(), &problems)))
}

/// As [`load`], from text; files that it names are looked for in the present folder.
pub fn parse(text: &str, cores: Option<u32>, programs: Option<&[String]>) -> Result<Scenario, Vec<Problem>> {
    parse_changed((text, Path::new("")), &Changes { cores, ..Changes::default() }, programs)
}

fn parse_changed(
    (text, folder): (&str, &Path),
    changes: &Changes,
    programs: Option<&[String]>,
) -> Result<Scenario, Vec<Problem>> {
    let mut findings = Findings::new(text, folder);
    let table = match DeTable::parse(text) {
        Ok(table) => table,
        Err(error) => {
            findings.problem_at(error.span(), error.message());
            return Err(findings.into_problems());
        }
    };
    let mut scenario = whole(Fields::new(&mut findings, "", table), changes);
    scenario.traces = findings.take_traces();
    let before: Vec<Policy> = scenario.libos.iter().map(|libos| libos.policy).collect();
    changes.apply(&mut scenario);
    placing::settle(&mut scenario);
    // Values that were wrong alone have been replaced: comparing them with others would complain of what nobody wrote.
    if findings.is_clean() {
        placing::has_places(&before, &scenario, &mut findings);
        check::fits_together(&scenario, &mut findings);
        check::programs_exist(&scenario, programs, &mut findings);
    }
    if findings.is_clean() { Ok(scenario) } else { Err(findings.into_problems()) }
}

fn render(file: &str, problems: &[Problem]) -> String {
    let one = |problem: &Problem| match problem.path.as_str() {
        "" => format!("{file}:{}: {}", problem.line, problem.message),
        path => format!("{file}:{}: {path}: {}", problem.line, problem.message),
    };
    problems.iter().map(one).collect::<Vec<_>>().join("\n")
}

fn whole(mut fields: Fields<'_, '_>, changes: &Changes) -> Scenario {
    let scenario = Scenario {
        name: fields.text("name"),
        duration_ms: fields.integer("duration_ms", 1..=LONGEST_MS) as u32,
        cores: fields.integer_or("cores", 1..=MAX_CORES as u64, 4) as u32,
        quantum_us: fields.integer_or("quantum_us", 100..=100_000, 1000) as u32,
        slots: fields.integer_or("slots", 1..=MAX_SLOTS as u64, 100) as u32,
        grace_us: fields.integer_or("grace_us", 1..=10_000, 50) as u32,
        seed: fields.integer_or("seed", 0..=i64::MAX as u64, 1),
        trace: false,
        broker: broker(fields.table("broker")),
        libos: fields.tables("libos", |fields| libos(fields, changes)),
        hostile: fields.tables("hostile", hostile),
        traces: Vec::new(),
    };
    let has_decisions = scenario.libos.iter().any(|libos| libos.policy != Policy::None);
    let trace = fields.optional_flag("trace").unwrap_or(has_decisions);
    fields.end();
    Scenario { trace, ..scenario }
}

fn broker(mut fields: Fields<'_, '_>) -> Broker {
    let broker = Broker {
        mode: fields.choice("mode", &MODES).unwrap_or(Mode::Market),
        slots: fields.integer_or("slots", 1..=MAX_SLOTS as u64, 2) as u32,
        patience_ms: fields.integer_or("patience_ms", 1..=LONGEST_MS, 20) as u32,
    };
    fields.end();
    broker
}

fn libos(mut fields: Fields<'_, '_>, changes: &Changes) -> LibOs {
    let slots = MAX_SLOTS as u64;
    let policy = fields.choice("policy", &Policy::NAMES);
    let program = fields.optional_text("program");
    match policy {
        None => fields.missing("policy"),
        Some(Policy::None) if program.is_none() => fields.missing("program"),
        Some(_) => {}
    }
    let policy = policy.unwrap_or(Policy::None);
    let swap = swapping::swap(&mut fields);
    let own = if swap.is_some() { swapping::PROGRAM } else { policy.word() };
    // What a file does not say is as usual for the policy that will be.
    let usual = changes.policy.filter(|_| policy != Policy::None).unwrap_or(policy).usual_admission();
    let libos = LibOs {
        name: fields.text("name"),
        program: program.unwrap_or_else(|| own.into()),
        policy,
        admission: placing::admission(&mut fields, (policy, usual)),
        frames: fields.integer_or("frames", 1..=MOST_FRAMES, 2048) as u32,
        income: fields.integer_or("income", 0..=MOST, 0) as u32,
        want: fields.integer("want", 1..=slots) as u32,
        minimum: fields.integer_or("minimum", 0..=slots, 0) as u32,
        spacing: fields.choice("spacing", &SPACINGS).unwrap_or_default(),
        arrives_ms: fields.integer_or("arrives_ms", 0..=LONGEST_MS, 0) as u32,
        leaves_ms: fields.optional_integer("leaves_ms", 1..=LONGEST_MS).map(|ms| ms as u32),
        calls: fields.integer_or("calls", 0..=MOST_CALLS, 0) as u32,
        donation: sharing::donation(&mut fields),
        fails: failing::failing(&mut fields),
        currencies: fields.tables("currencies", currencies::currency),
        swap,
        heir: fields.choice("heir", &Policy::NAMES),
        clients: fields.tables("clients", client),
    };
    fields.end();
    libos
}

fn client(mut fields: Fields<'_, '_>) -> Client {
    let schedules = nesting::nested(&mut fields);
    let program = fields.optional_text("program");
    let program = match &schedules {
        Some(nested) => program.unwrap_or_else(|| nested.policy.word().into()),
        None => program.unwrap_or_else(|| {
            fields.missing("program");
            String::new()
        }),
    };
    // A scheduler's budget is for its clients; it has no jobs of its own.
    let jobs = if schedules.is_some() { None } else { jobs::jobs(&mut fields) };
    let frames = if schedules.is_some() { FRAMES_OF_A_SCHEDULER } else { 384 };
    let (joins_ms, leaves_ms) = currencies::service(&mut fields);
    let client = Client {
        name: fields.text("name"),
        program,
        tickets: fields.integer_or("tickets", 1..=MOST_TICKETS.into(), 1) as u32,
        currency: fields.optional_text("currency"),
        inflation: fields.choice("inflation", &INFLATIONS).unwrap_or_default(),
        joins_ms,
        leaves_ms,
        jobs,
        locking: sharing::locking(&mut fields),
        server: fields.optional_text("server"),
        schedules,
        criticality: fields.integer_or("criticality", 0..=u8::MAX.into(), 0) as u8,
        placement: placing::placement(&mut fields),
        frames: fields.integer_or("frames", 1..=MOST_FRAMES, frames) as u32,
    };
    fields.end();
    client
}

fn hostile(mut fields: Fields<'_, '_>) -> Hostile {
    let hostile = Hostile {
        name: fields.text("name"),
        program: fields.optional_text("program").unwrap_or_else(|| "hostile".into()),
        behaviour: fields.choices("behaviour", &BEHAVIOURS),
        frames: fields.integer_or("frames", 1..=MOST_FRAMES, 256) as u32,
        slots: fields.integer_or("slots", 1..=MAX_SLOTS as u64, 1) as u32,
        asked_ms: fields.integers("asked_ms", 0..=LONGEST_MS).into_iter().map(|ms| ms as u32).collect(),
        asked_slots: fields.integer_or("asked_slots", 1..=MAX_SLOTS as u64, 1) as u32,
    };
    fields.end();
    hostile
}
