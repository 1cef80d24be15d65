//! What a sweep's folder has, and what its jobs refuse; that Snakemake makes of it what `compare` makes is in `tests/sweep.rs`.

use super::super::cell::Contender;
use super::super::command::{Beside, compare};
use super::super::simulated::Simulated;
use super::*;
use crate::decisions::Curve;
use libos_core::scenario::Policy;
use std::fs;
use std::path::PathBuf;
use tempfile::TempDir;

const SCENARIO: &str = "name = \"mine\"\nduration_ms = 100\ncores = 1\nslots = 10\n[broker]\nmode = \"static\"\n\
    [[libos]]\nname = \"one\"\npolicy = \"stride\"\nwant = 8\n[[libos.clients]]\nname = \"a\"\nprogram = \"spin\"\n";

fn makers(beside: Beside) -> Makers {
    Makers { kernel: None, simulated: Some(Simulated), beside }
}

/// Two runs of a scenario, to be written into a folder beside it.
fn order(text: &str) -> (Order, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("mine.toml");
    fs::write(&file, text).unwrap();
    let order = Order {
        workloads: vec![file],
        policies: vec![Policy::Stride, Policy::Lottery],
        seeds: 1,
        cores: None,
        jobs: 1,
        out: folder.path().join("sweep"),
        command: "./just compare".into(),
    };
    (order, folder)
}

/// The outcomes that a table names.
fn outcomes(order: &Order, table: &str) -> Vec<PathBuf> {
    let text = fs::read_to_string(order.out.join(table)).unwrap();
    let rows = text.lines().skip(1);
    rows.map(|row| order.out.join(row.rsplit('\t').next().unwrap())).collect()
}

#[test]
fn a_sweep_has_a_row_for_each_run_and_what_is_there_already_stays() {
    let (order, _folder) = order(SCENARIO);
    assert_eq!(write(&order, &makers(Beside::Nothing)), Ok(2));
    let runs = fs::read_to_string(order.out.join("runs.tsv")).unwrap();
    assert!(
        runs.starts_with("workload\tpolicy\tseed\tcores\ton\toutcome\nmine\tstride\t1\t1\tsimulator\tcache/")
    );
    assert_eq!(outcomes(&order, "decisions.tsv").len(), 1);
    let written = || fs::metadata(order.out.join("sweep.json")).unwrap().modified().unwrap();
    let before = written();
    assert_eq!(write(&order, &makers(Beside::Nothing)), Ok(2));
    assert_eq!(written(), before);
}

#[test]
fn runs_that_are_made_one_by_one_are_those_of_compare() {
    let (order, _folder) = order(SCENARIO);
    write(&order, &makers(Beside::Nothing)).unwrap();
    let missing = merge(&order.out, &order.out).unwrap_err();
    assert!(matches!(&missing, Stop::Failure(why) if why.0.lines().count() == 3), "{missing:?}");
    for outcome in &outcomes(&order, "runs.tsv") {
        make(&order.out, outcome).unwrap();
    }
    let decisions = outcomes(&order, "decisions.tsv").remove(0);
    // Measuring would take seconds.
    engine::keep(&decisions, &Vec::<Curve>::new()).unwrap();
    assert_eq!(make(&order.out, &decisions), Ok("what decisions cost, simulator".into()));
    let merged = merge(&order.out, &order.out).unwrap();
    let beside = Order { out: order.out.with_file_name("direct"), ..order };
    fs::create_dir_all(beside.cache()).unwrap();
    fs::copy(&decisions, beside.cache().join(decisions.file_name().unwrap())).unwrap();
    assert_eq!(merged.to_json(), compare(&beside, &makers(Beside::Nothing)).unwrap().to_json());
}

#[test]
fn a_run_that_fails_has_an_outcome_that_says_why_and_is_no_result() {
    let (order, _folder) = order(SCENARIO);
    write(&order, &makers(Beside::Nothing)).unwrap();
    let outcome = &outcomes(&order, "runs.tsv")[0];
    fs::create_dir_all(order.cache()).unwrap();
    engine::keep(outcome, &Lost { failed: "it was sick".into() }).unwrap();
    let (copied, opened) = Sweep::read(&order.out).unwrap().opened(&order.out).unwrap();
    let (ours, tool) = (opened.ours(), hash::of_this_program().unwrap());
    let (cell, runner) = command::tasks(&copied, &ours, &[]).remove(0);
    assert_eq!(cell.policy, Contender::Ours(Policy::Stride));
    let within = (&*copied.cache(), &*tool);
    let made = engine::made(&cell, runner, within).unwrap();
    assert_eq!(made.kept, Err("it was sick".into()));
    // As to a comparison: it makes the run again.
    assert!(engine::one(&cell, runner, within).unwrap().kept.is_ok());
    fs::write(outcome, "half of").unwrap();
    assert!(engine::made(&cell, runner, within).unwrap_err().0.contains("not the outcome of a run"));
}

#[test]
fn what_does_not_belong_together_is_refused_with_what_to_do() {
    let (order, _folder) = order(SCENARIO);
    let said = |result: Result<String, Stop>| match result.unwrap_err() {
        Stop::Failure(Failure(why)) => why,
        Stop::Interrupted => panic!("nobody interrupted it"),
    };
    let nowhere = said(make(&order.out, Path::new("cache/1.json")));
    assert!(nowhere.contains("sweep.json") && nowhere.contains("./just compare --snakemake"), "{nowhere}");
    write(&order, &makers(Beside::Nothing)).unwrap();
    let outcome = outcomes(&order, "runs.tsv").remove(0);
    fs::write(order.out.join("workloads/mine.toml"), SCENARIO.replace("100", "200")).unwrap();
    let changed = said(make(&order.out, &outcome));
    assert!(changed.contains("no run of this sweep has this outcome"), "{changed}");
}

#[test]
fn mistakes_in_scenarios_are_told_before_anything_is_written() {
    let (order, _folder) = order(&SCENARIO.replace("cores = 1", "cores = 0"));
    let why = write(&order, &makers(Beside::Nothing)).unwrap_err().0;
    assert!(why.contains("mine.toml:3: cores"), "{why}");
    assert!(!order.out.exists());
}

#[test]
fn a_sweep_knows_why_the_linux_that_was_asked_for_is_not_there() {
    let (order, _folder) = order(SCENARIO);
    write(&order, &makers(Beside::Absent("none is here".into()))).unwrap();
    let (_, opened) = Sweep::read(&order.out).unwrap().opened(&order.out).unwrap();
    assert!(matches!(opened.beside, Beside::Absent(why) if why == "none is here"));
}

/// The same scenario with a client that follows a list, and that list.
fn with_a_list(list: &str) -> (Order, TempDir) {
    let (order, folder) =
        order(&format!("{SCENARIO}arrivals = \"trace\"\ntrace = \"lists/a.txt\"\nbudget_us = 900\n"));
    fs::create_dir(folder.path().join("lists")).unwrap();
    fs::write(folder.path().join("lists/a.txt"), list).unwrap();
    (order, folder)
}

#[test]
fn the_lists_that_a_scenario_names_are_in_the_sweeps_folder_and_part_of_what_a_result_is_kept_by() {
    let (order, folder) = with_a_list("5 700\n30000\n");
    assert_eq!(write(&order, &makers(Beside::Nothing)), Ok(2));
    let copy = order.out.join("workloads/lists/a.txt");
    assert_eq!(fs::read_to_string(copy).unwrap(), "5 700\n30000\n");
    let before = outcomes(&order, "runs.tsv");
    fs::write(folder.path().join("lists/a.txt"), "6 700\n").unwrap();
    write(&order, &makers(Beside::Nothing)).unwrap();
    assert_ne!(outcomes(&order, "runs.tsv"), before);
}

#[test]
fn two_lists_of_one_name_are_refused() {
    let ((mut one, _folder), (other, _other_folder)) = (with_a_list("5\n"), with_a_list("6\n"));
    let copy = other.workloads[0].with_file_name("other.toml");
    fs::write(&copy, fs::read_to_string(&other.workloads[0]).unwrap().replace("mine", "other")).unwrap();
    one.workloads.push(copy);
    let refused = write(&one, &makers(Beside::Nothing)).unwrap_err();
    assert!(refused.0.contains("lists/a.txt: another workload names another file so"), "{refused}");
}
