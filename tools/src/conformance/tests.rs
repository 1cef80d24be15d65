use super::*;
use crate::metrics::fixture;

fn scratch(name: &str) -> PathBuf {
    std::env::temp_dir().join(format!("tranche-conformance-{}-{name}", std::process::id()))
}

#[test]
fn every_experiment_holds_in_the_simulator() {
    let (out, costs) = (scratch("all"), Costs::table().unwrap());
    let all = experiments();
    let outcomes: Vec<_> =
        all.iter().map(|one| simulated(one, &written(one, &out).unwrap(), &costs).unwrap()).collect();
    std::fs::remove_dir_all(&out).unwrap();
    let failed: Vec<_> = outcomes
        .iter()
        .filter(|outcome| !outcome.holds())
        .map(|outcome| Shown(std::slice::from_ref(outcome)).to_string())
        .collect();
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

#[test]
fn names_are_unique_and_each_is_explained() {
    let page = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/conformance.md"))
        .unwrap();
    let mut names: Vec<String> = experiments().into_iter().map(|one| one.name).collect();
    let all = names.len();
    assert!(all >= 25, "{all}");
    for name in &names {
        // Of a series the page has the first and the last.
        let is_there = page.contains(name.as_str())
            || name.strip_prefix("lottery-").is_some_and(|rest| rest.ends_with("-1"))
            || name.strip_prefix("edf-random").is_some_and(|rest| page.contains(rest))
            || name.strip_prefix("rate-monotonic").is_some_and(|rest| page.contains(&format!("`{rest}`")));
        assert!(is_there, "{name}");
    }
    names.sort();
    names.dedup();
    assert_eq!(names.len(), all);
}

fn two_turns(order: &[usize]) -> Outcome {
    let clients = ["a", "b"].map(|name| setting::Client::endless(name, 1)).into();
    let measure = |run: &Recording| measures::turns(run, 0, 4);
    let experiment = Experiment {
        name: "two".into(),
        source: "a test",
        setting: Setting::core(libos_core::scenario::Policy::RoundRobin, 1000, clients),
        expectations: vec![Expectation::near("turns of a in the first 4", (2.0, 0.0), "none", measure)],
    };
    Outcome::of(&experiment, On::Simulator, &fixture::turns(&[1, 1], order))
}

#[test]
fn a_figure_that_is_off_or_missing_is_a_failure_and_is_marked() {
    let (right, wrong, short) = (two_turns(&[0, 1, 0, 1]), two_turns(&[0, 0, 0, 1]), two_turns(&[0, 1, 0]));
    assert!(right.holds() && !wrong.holds() && !short.holds());
    assert_eq!(wrong.findings[0].measured, Some(3.0));
    assert_eq!(short.findings[0].measured, None);
    let shown = Shown(&[right, wrong, short]).to_string();
    assert!(shown.starts_with("FAIL two: a test\n"), "{shown}");
    assert!(
        shown.ends_with("simulator 2  simulator 3 NOT SO  simulator NOT THERE\n         allowed: none"),
        "{shown}"
    );
}

#[test]
fn a_run_with_a_client_missing_is_another_experiment() {
    let clients = ["a", "b", "c"].map(|name| setting::Client::endless(name, 1)).into();
    let experiment = Experiment {
        name: "three".into(),
        source: "a test",
        setting: Setting::core(libos_core::scenario::Policy::RoundRobin, 1000, clients),
        expectations: vec![Expectation::near("turns", (1.0, 0.0), "none", |_| Some(1.0))],
    };
    let outcome = Outcome::of(&experiment, On::Kernel, &fixture::turns(&[1, 1], &[0, 1]));
    assert_eq!(outcome.unfit.as_deref(), Some("only 2 of 3 clients took part"));
    assert!(!outcome.holds() && Shown(&[outcome]).to_string().contains("only 2 of 3 clients took part"));
}

#[test]
fn what_the_kernel_and_the_simulator_are_told_is_the_same_file() {
    let out = scratch("file");
    let experiment = experiments().into_iter().find(|one| one.name == "edf-supply-accepts").unwrap();
    let scenario = scenario::load(&written(&experiment, &out).unwrap(), None, None).unwrap();
    std::fs::remove_dir_all(&out).unwrap();
    assert_eq!((scenario.quantum_us, scenario.slots, scenario.libos[0].want), (2000, 4, 2));
    assert_eq!(scenario.libos[0].clients[1].jobs.unwrap().deadline_us, Some(3000));
    assert_eq!(scenario.libos[0].admission, Admission::Required);
}
