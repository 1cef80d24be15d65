//! One table: what is written, and every complaint about it.

mod cases;
mod placing;
mod unsteady;

use super::*;
use cases::CASES;
use libos_core::scenario::{Arrivals, Jobs, Placement, Scenario};

/// A scenario without a mistake; every case below changes one thing in it.
const GOOD: &str = r#"name = "test"
duration_ms = 1000
cores = 2
slots = 10
trace = false
[broker]
slots = 1

[[libos]]
name = "shares"
policy = "stride"
income = 10
want = 4

[[libos.clients]]
name = "a"
program = "sha256"
tickets = 3
replicate = true

[[libos.clients]]
name = "b"
program = "matmul"
tickets = 2
core = 1

[[libos]]
name = "deadlines"
policy = "edf"
want = 2
minimum = 2
arrives_ms = 100
leaves_ms = 900

[[libos.clients]]
name = "a"
program = "spin"
budget_us = 1000
period_us = 10000

[[hostile]]
name = "bad"
behaviour = ["loop", "grace-abuse"]
slots = 2
asked_ms = [200, 400]
"#;

fn complaints(text: &str) -> Vec<String> {
    let problems = parse(text, None, None).err().unwrap_or_default();
    render("f", &problems).lines().map(String::from).collect()
}

fn changed(from: &str, to: &str) -> String {
    assert_eq!(GOOD.matches(from).count(), 1, "{from:?} is not in the good scenario once");
    GOOD.replace(from, to)
}

fn good() -> Scenario {
    parse(GOOD, None, None).unwrap()
}

#[test]
fn a_good_scenario_is_read_with_its_defaults() {
    let scenario = good();
    assert_eq!((scenario.cores, scenario.quantum_us, scenario.grace_us, scenario.seed), (2, 1000, 50, 1));
    assert_eq!(scenario.broker, Broker { mode: Mode::Market, slots: 1, patience_ms: 20 });
    assert_eq!(scenario.libos[0].program, "stride");
    assert_eq!(scenario.libos[0].clients[0].placement, Placement::EveryCore);
    assert_eq!((scenario.libos[0].clients[0].tickets, scenario.libos[0].clients[0].jobs), (3, None));
    let arrivals = Arrivals::Periodic { period_us: 10_000, offset_us: 0 };
    let deadline_us = Some(10_000);
    let jobs = Jobs { arrivals, budget_us: 1000, deadline_us, work_min_us: 900, work_us: 900 };
    assert_eq!((scenario.libos[1].clients[0].tickets, scenario.libos[1].clients[0].jobs), (1, Some(jobs)));
    assert_eq!(scenario.libos[1].admission, Admission::Required);
    assert_eq!(scenario.libos[1].clients[0].placement, Placement::Core(0));
    assert_eq!(scenario.hostile[0].behaviour, [Behaviour::Loop, Behaviour::GraceAbuse]);
}

const ALONE: &str = "name = \"alone\"\nduration_ms = 1000\n[broker]\nmode = \"none\"\n\
    [[libos]]\nname = \"one\"\nprogram = \"selftest\"\npolicy = \"none\"\nwant = 100\n";

#[test]
fn without_a_broker_all_slots_are_the_only_liboses_and_no_broker_is_needed() {
    let scenario = parse(ALONE, None, Some(&["selftest".into()])).unwrap();
    assert_eq!((scenario.broker.mode, scenario.first()), (Mode::None, "selftest"));
}

#[test]
fn without_a_broker_there_is_nobody_else() {
    let client = "[[libos.clients]]\nname = \"c\"\nprogram = \"spin\"\n";
    let scheduler = "[[libos]]\nname = \"two\"\npolicy = \"stride\"\nwant = 1\n";
    let hostile = "[[hostile]]\nname = \"bad\"\nbehaviour = [\"loop\"]\nslots = 1\n";
    let text = format!("trace = true\n{ALONE}{scheduler}{client}{hostile}").replace("want = 100", "want = 9");
    let said = complaints(&text);
    for path in ["trace", "libos[1]", "hostile[0]"] {
        assert!(said.iter().any(|line| line.contains(&format!(" {path}: without a broker"))), "{said:?}");
    }
    let said = complaints(&format!("{}{client}", ALONE.replace("\"none\"\nwant", "\"stride\"\nwant")));
    assert!(
        said.iter().any(|line| line.contains("libos[0].policy: must be \"none\" without a broker")),
        "{said:?}"
    );
}

#[test]
fn a_run_is_recorded_by_default_if_somebody_schedules() {
    let traced = |text: &str| parse(text, None, None).map(|scenario| scenario.trace);
    let unsaid = changed("trace = false\n", "").replace("slots = 1\n", "slots = 2\n");
    assert_eq!(traced(&unsaid), Ok(true));
    assert_eq!(traced(GOOD), Ok(false));
    let nobody = "name = \"n\"\nduration_ms = 1000\n[[libos]]\nname = \"x\"\npolicy = \"none\"\nprogram = \"threads\"\nwant = 1\nminimum = 1\n";
    assert_eq!(traced(nobody), Ok(false));
    let archive = ["broker", "stride", "edf", "sha256", "matmul", "spin", "hostile"].map(String::from);
    let problems = parse(&unsaid, None, Some(&archive)).err().unwrap_or_default();
    assert!(render("f", &problems).contains("trace: there is no program \"tracer\""), "{problems:?}");
}

#[test]
fn every_mistake_is_named_with_line_and_field() {
    for (from, to, expected) in CASES {
        let expected: Vec<_> = expected.lines().collect();
        assert_eq!(complaints(&changed(from, to)), expected, "\n{from}\n→\n{to}\n");
    }
}

#[test]
fn a_policy_that_is_not_known_is_named_with_those_that_are() {
    let said = complaints(&changed("policy = \"stride\"", "policy = \"fair\""));
    let known = Policy::NAMES.map(|(word, _)| word).join(", ");
    assert_eq!(said, [format!("f:11: libos[0].policy: must be one of {known} (got \"fair\")")]);
}

#[test]
fn a_budget_above_its_period_is_one_of_its_complaints() {
    let all = complaints(&changed("budget_us = 1000", "budget_us = 10001"));
    let wanted = "f:38: libos[1].clients[0].budget_us: must be at most period_us = 10000 (got 10001)";
    assert!(all.contains(&wanted.to_string()), "{all:?}");
}

#[test]
fn a_scenario_without_a_libos_or_clients_is_refused() {
    let empty = "name = \"x\"\nduration_ms = 1000\n";
    assert_eq!(complaints(empty), ["f:1: libos: must list at least one"]);
    let idle = format!("{empty}[[libos]]\nname = \"y\"\npolicy = \"edf\"\nwant = 1\nminimum = 1\n");
    assert_eq!(complaints(&idle), ["f:3: libos[0].clients: policy edf needs at least one client"]);
}

#[test]
fn too_many_clients_are_refused() {
    let mut text = String::from(
        "name = \"x\"\nduration_ms = 1000\ncores = 8\n[[libos]]\nname = \"y\"\npolicy = \"stride\"\nincome = 1\nwant = 1\n",
    );
    for i in 0..17 {
        text += &format!(
            "[[libos.clients]]\nname = \"c{i}\"\nprogram = \"spin\"\ntickets = 1\nreplicate = true\nframes = 1\n"
        );
    }
    assert_eq!(complaints(&text), ["f:9: libos[0].clients: must make at most 128 environments (got 136)"]);
}

#[test]
fn schedulers_within_schedulers_have_a_deepest_place() {
    let nested = |depth: usize| {
        let mut text = changed("core = 1\n", "policy = \"stride\"\n").replace("program = \"matmul\"\n", "");
        let mut inside = String::new();
        for level in 1..=depth {
            let path = format!("[[libos.clients{}]]", ".clients".repeat(level));
            let what = if level < depth { "policy = \"stride\"" } else { "program = \"spin\"" };
            inside += &format!("{path}\nname = \"c\"\n{what}\n");
        }
        text = text
            .replace("[[libos]]\nname = \"deadlines\"", &format!("{inside}[[libos]]\nname = \"deadlines\""));
        complaints(&text)
    };
    assert_eq!(nested(3), [""; 0]);
    let said = nested(4);
    let wanted =
        "libos[0].clients[1].clients: at most 3 schedulers can be one in the other in a libOS (got 4)";
    assert!(said.len() == 1 && said[0].ends_with(wanted), "{said:?}");
}

#[test]
fn all_mistakes_are_found_at_once_and_in_order() {
    let text =
        changed("tickets = 3", "tickets = 0").replace("cores = 2", "cores = 0").replace("asked_ms", "asked");
    let lines: Vec<_> = parse(&text, None, None).unwrap_err().iter().map(|problem| problem.line).collect();
    assert_eq!(lines, [3, 18, 45]);
}

#[test]
fn a_program_that_is_not_in_the_archive_is_named() {
    let there: Vec<String> =
        ["broker", "stride", "edf", "sha256", "spin", "hostile"].map(String::from).into();
    let problems = parse(GOOD, None, Some(&there)).unwrap_err();
    assert_eq!(
        render("f", &problems),
        "f:23: libos[0].clients[1].program: there is no program \"matmul\"; there are: broker, stride, edf, sha256, spin, hostile"
    );
}

#[test]
fn another_number_of_cores_is_checked_against_the_clients() {
    assert_eq!(parse(GOOD, Some(8), None).unwrap().cores, 8);
    let problems = parse(GOOD, Some(1), None).unwrap_err();
    assert_eq!(problems[0].path, "libos[0].clients[1].core");
}

#[test]
fn what_was_read_survives_the_way_to_the_guest() {
    assert_eq!(Scenario::decode(&good().encode()), Ok(good()));
}

/// What is said of a scenario with a client that follows a list, in a folder with that list.
fn traced(list: &str, fields: &str) -> Result<Scenario, String> {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("list.txt"), list).unwrap();
    let client = format!("tickets = 2\narrivals = \"trace\"\n{fields}");
    std::fs::write(folder.path().join("s.toml"), changed("tickets = 2", &client)).unwrap();
    let loaded = load(&folder.path().join("s.toml"), None, None);
    loaded.map_err(|failure| failure.0.replace(&folder.path().join("s.toml").display().to_string(), "f"))
}

#[test]
fn a_client_follows_a_list_of_releases_that_its_scenario_names() {
    let fields = "trace = \"list.txt\"\nrepeat_us = 900\nbudget_us = 80\n";
    let scenario = traced("0 70\n# later\n800\n", fields).unwrap();
    let jobs = scenario.libos[0].clients[1].jobs.unwrap();
    assert_eq!(jobs.arrivals, Arrivals::Trace { list: 0, repeat_us: Some(900) });
    assert_eq!((jobs.budget_us, jobs.work_us, jobs.deadline_us), (80, 72, None));
    let releases: Vec<_> = scenario.traces[0].releases.iter().map(|one| (one.at_us, one.work_us)).collect();
    assert_eq!((&*scenario.traces[0].file, releases), ("list.txt", vec![(0, Some(70)), (800, None)]));
    assert_eq!(Scenario::decode(&scenario.encode()), Ok(scenario));
}

#[test]
fn what_is_wrong_with_a_list_is_named_with_both_files_and_lines() {
    let good = "trace = \"list.txt\"\nbudget_us = 80\n";
    let said = |list: &str, fields: &str| traced(list, fields).unwrap_err();
    let field = "f:26: libos[0].clients[1].trace: ";
    assert_eq!(
        said("0\n5 x\n", good),
        format!("{field}list.txt:2: must be microseconds, from 1 to 4294967295 (got \"x\")")
    );
    assert_eq!(
        said("0\n5 81\n", good),
        format!("{field}list.txt:2: must use at most budget_us = 80 (got 81)")
    );
    assert!(said("0", &good.replace("list.txt", "other.txt")).starts_with(&format!("{field}other.txt: ")));
    assert_eq!(
        said("0\n900\n", &format!("{good}repeat_us = 900\n")),
        "f:28: libos[0].clients[1].repeat_us: must be after the last release of list.txt, at 900 (got 900)"
    );
    assert_eq!(said("0", "budget_us = 80\n"), "f:21: libos[0].clients[1].trace: is missing");
    let small = said(&"1\n".repeat(4096), &format!("{good}frames = 200\n"));
    let wanted = "must be at least 209, because its program keeps the 4096 releases of list.txt (got 200)";
    assert!(small.ends_with(wanted), "{small}");
    let plain = complaints(&changed("tickets = 2", "tickets = 2\ntrace = \"x\""));
    assert_eq!(plain, ["f:25: libos[0].clients[1].trace: needs arrivals = \"trace\" beside it"]);
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let failure = load(Path::new("no/such.toml"), None, None).unwrap_err();
    assert!(failure.0.starts_with("no/such.toml: "), "{failure}");
}

#[test]
fn the_scenarios_that_come_with_the_project_are_good_on_every_number_of_cores() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios");
    let mut count = 0;
    let paths = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    for path in paths.filter(|path| path.is_file()) {
        for cores in [1, 2, 4, 8] {
            let scenario = load(&path, Some(cores), None);
            assert!(scenario.is_ok(), "{}", scenario.unwrap_err());
            count += 1;
        }
    }
    assert!(count >= 8);
}

#[test]
fn servers_take_on_everybody_unless_the_file_or_the_policy_that_is_asked_for_says_otherwise() {
    let of = |text: &str, policy| {
        let changes = Changes { policy, ..Changes::default() };
        parse_changed((text, Path::new("")), &changes, None).unwrap().libos[1].admission
    };
    let servers = changed("policy = \"edf\"", "policy = \"cbs\"");
    assert_eq!(of(&servers, None), Admission::Off);
    assert_eq!(of(&servers, Some(Policy::Edf)), Admission::Required);
    assert_eq!(of(GOOD, Some(Policy::CbsHard)), Admission::Off);
    let asked = servers.replace("\"cbs\"", "\"cbs\"\nadmission = \"required\"");
    assert_eq!(of(&asked, None), Admission::Required);
}

#[test]
fn a_server_with_admission_has_its_deadline_at_the_end_of_its_period() {
    let early = |admission| {
        changed("policy = \"edf\"", &format!("policy = \"cbs\"{admission}"))
            .replace("period_us = 10000", "period_us = 10000\ndeadline_us = 9000")
    };
    assert_eq!(complaints(&early("")), [] as [&str; 0]);
    assert_eq!(
        complaints(&early("\nadmission = \"required\"")),
        [
            "f:41: libos[1].clients[0].deadline_us: must be period_us = 10000 (got 9000): cbs with admission guarantees that a job \
             is done within its period; admission = \"off\" guarantees nothing"
        ]
    );
}

/// The good scenario with three clients in place of the one with deadlines: 10 %, critical; 10 %; and so many percent.
fn with_levels(last: u32) -> String {
    let client = |name: &str, more: &str| {
        format!("[[libos.clients]]\nname = \"{name}\"\nprogram = \"spin\"\nperiod_us = 10000\n{more}\n")
    };
    let all = [
        client("high", "budget_us = 1000\ncriticality = 1"),
        client("low", "budget_us = 1000"),
        client("last", &format!("budget_us = {}", last * 100)),
    ];
    let one = "[[libos.clients]]\nname = \"a\"\nprogram = \"spin\"\nbudget_us = 1000\nperiod_us = 10000\n";
    changed(one, &all.concat()).replace("want = 2\nminimum = 2", "want = 3\nminimum = 1\nincome = 1")
}

#[test]
fn only_the_most_critical_must_fit_into_slots_that_nobody_can_outbid_and_all_into_those_that_are_wanted() {
    assert_eq!(complaints(&with_levels(10)), [] as [&str; 0]);
    assert_eq!(
        complaints(&with_levels(11)),
        ["f:30: libos[1].want: all its clients need 31.0 % of core 0 and 3 slots are 30.0 %"]
    );
    let high = with_levels(10).replace("budget_us = 1000\ncriticality", "budget_us = 1100\ncriticality");
    assert_eq!(
        complaints(&high),
        ["f:31: libos[1].minimum: its clients need 11.0 % of core 0 and 1 slots are 10.0 %"]
    );
}

#[test]
fn criticality_needs_guarantees_and_is_forgotten_where_somebody_asks_for_a_policy_without_any() {
    let off = with_levels(10).replace("\"edf\"", "\"edf\"\nadmission = \"off\"");
    let complaints = complaints(&off);
    assert_eq!(complaints.len(), 1);
    assert!(
        complaints[0].contains("clients[0].criticality: means nothing without guarantees"),
        "{complaints:?}"
    );
    let levels = |changes: &Changes| {
        parse_changed((&with_levels(10), Path::new("")), changes, None).unwrap().libos[1].clients[0]
            .criticality
    };
    assert_eq!(levels(&Changes::default()), 1);
    assert_eq!(levels(&Changes { policy: Some(Policy::RateMonotonic), ..Changes::default() }), 1);
    assert_eq!(levels(&Changes { policy: Some(Policy::Stride), ..Changes::default() }), 0);
    assert_eq!(levels(&Changes { admission: Some(Admission::Off), ..Changes::default() }), 0);
}
