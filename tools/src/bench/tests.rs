//! The report from figures that are made up: a good one, and everything that must make it fail.

use super::figures::{Figures, Point, differences};
use super::operations::{EXPLAINED, OPERATIONS};
use super::report::{Material, Report};
use super::rows::{Linux, Standing};
use super::shapes::{self, Judgement};
use super::{picture, table};
use crate::decisions::{self, Curve, Quantity};
use crate::results::Results;
use crate::verdict::fixture::{machine, scenario};
use crate::verdict::tests::good;
use libos_core::report::{Measure, Spread};

fn measure(operation: &str, instructions: u64) -> Measure {
    let spread = Spread { minimum: instructions, median: instructions, maximum: instructions };
    let samples = 101;
    let (instructions, cycles) = (spread, spread);
    Measure { operation: operation.into(), environments: 3, samples, least: samples, instructions, cycles }
}

/// Every operation at its budget, or above it where that is explained, or at 100; what the shapes want besides.
fn figures() -> Figures {
    let mut figures = Figures::default();
    let mut set = |id: &str, count| _ = figures.operations.insert(id.into(), measure(id, count));
    for operation in OPERATIONS {
        let explained = EXPLAINED.iter().any(|(id, _)| *id == operation.id);
        set(operation.id, operation.budget.map_or(100, |budget| budget + u64::from(explained)));
    }
    for (id, count) in [("pct", 30), ("pipe", 200), ("pipe_inlined", 150), ("lrpc", 160), ("tlrpc", 80)] {
        set(id, count);
    }
    for name in ["dirty", "prot1", "appel1"] {
        set(&format!("{name}_linear"), 60);
        set(&format!("{name}_inverted"), 90);
    }
    for name in ["prot100", "unprot100"] {
        set(&format!("{name}_linear"), 900);
        set(&format!("{name}_inverted"), 1200);
    }
    for (environments, cores) in [(3, 1), (1024, 1), (10, 8)] {
        let (operation, instructions) = ("yield_to".into(), 45);
        figures.scaling.push(Point { operation, environments, cores, instructions, samples: 9, least: 9 });
    }
    figures
}

/// Fifty times as much for everything, but the computation.
fn linux() -> Linux {
    let mut linux = Linux::default();
    for operation in OPERATIONS {
        let Some(id) = operation.linux else { continue };
        let ours = operation.budget.unwrap_or(100) as f64;
        let theirs = if operation.id == "matmul" { ours } else { 50.0 * ours };
        linux.instructions.insert(id.into(), theirs);
    }
    linux
}

fn decisions(cost: impl Fn(f64) -> f64) -> Vec<Curve> {
    let point = |clients: u64| decisions::Point { clients, cost: cost(clients as f64), range: (0.0, 0.0) };
    vec![Curve::new("stride".into(), Quantity::Policy, [1, 10, 100, 1000].map(point).into())]
}

fn material() -> Material {
    Material {
        figures: figures(),
        decisions: decisions(|clients| 200.0 + 10.0 * clients.log2()),
        linux: Ok(linux()),
        stride_error: Some(0.74),
        cycles_are_virtual: true,
        problems: Vec::new(),
    }
}

fn report(change: impl FnOnce(&mut Material)) -> Report {
    let mut material = material();
    change(&mut material);
    Report::new(material)
}

fn judgement(report: &Report, number: u32) -> Judgement {
    report.shapes.iter().find(|shape| shape.number == number).unwrap().judgement
}

#[test]
fn good_figures_pass_and_every_row_is_printed_and_drawn() {
    let report = report(|_| ());
    assert!(report.passed, "{:?}", report.problems);
    let (text, picture) = (table::render(&report), picture::draw(&report).unwrap());
    for row in &report.rows {
        assert!(text.contains(row.operation), "{} is not in\n{text}", row.operation);
        assert!(
            picture.contains(&row.title.replace('\'', "&apos;")) || picture.contains(row.title),
            "{}",
            row.title
        );
    }
    let judged = [1, 2, 3, 4, 8, 9];
    assert!(judged.iter().all(|number| judgement(&report, *number) == Judgement::Pass), "{text}");
    assert!(matches!(judgement(&report, 7), Judgement::Explained(why) if text.contains(why)), "{text}");
    assert!(text.contains("FAIL, explained:  7."), "{text}");
    assert_eq!([5, 6].map(|number| judgement(&report, number)), [Judgement::Open; 2]);
}

#[test]
fn decisions_that_grow_with_the_number_of_clients_or_were_not_measured_fail() {
    let linear = report(|material| material.decisions = decisions(|clients| 200.0 + clients));
    assert_eq!(linear.problems, ["stride: decision, instructions grows faster than log n"]);
    assert!(table::render(&linear).contains("FAIL  stride"));
    let missing = report(|material| material.decisions.clear());
    assert_eq!(missing.problems, ["decisions: no figure"]);
}

#[test]
fn a_missing_figure_fails_whoever_lacks_it() {
    let ours = report(|material| _ = material.figures.operations.remove("bind"));
    assert_eq!(ours.problems, ["bind: no figure"]);
    let theirs = report(|material| _ = material.linux.as_mut().unwrap().instructions.remove("signal"));
    assert_eq!(theirs.problems, ["signal: no figure of Linux"]);
    let absent = report(|material| {
        let linux = material.linux.as_mut().unwrap();
        linux.instructions.remove("signal");
        linux.absent.insert("signal".into(), "this Linux has none".into());
    });
    assert!(absent.passed);
}

#[test]
fn without_linux_the_column_is_empty_and_says_why() {
    let report = report(|material| material.linux = Err("no kernel".into()));
    assert!(report.passed && report.rows.iter().all(|row| row.linux.is_none()));
    assert!(table::render(&report).contains("Linux's column is empty: no kernel"));
    assert_eq!([1, 2, 8].map(|number| judgement(&report, number)), [Judgement::Open; 3]);
}

#[test]
fn a_budget_that_is_not_met_fails_unless_it_is_explained() {
    let report =
        report(|material| _ = material.figures.operations.insert("null".into(), measure("null", 13)));
    assert_eq!(report.problems, ["null: 13 instructions, the budget is 12"]);
    assert_eq!(report.rows[0].budget.as_ref().unwrap().standing, Standing::NotMet);
    let (id, _) = EXPLAINED[0];
    let budget =
        OPERATIONS.iter().find(|operation| operation.id == id).and_then(|found| found.budget).unwrap();
    let met = self::report(|material| _ = material.figures.operations.insert(id.into(), measure(id, budget)));
    assert!(!met.passed, "an explanation of what needs none");
}

#[test]
fn each_shape_can_fail() {
    let with = |id: &str, count: u64| {
        report(|material| _ = material.figures.operations.insert(id.into(), measure(id, count)))
    };
    let cases = [
        (1, "null", 67),
        (2, "exc_undefined", 40),
        (3, "pct", 101),
        (4, "pipe_inlined", 200),
        (4, "tlrpc", 120),
        (7, "dirty_inverted", 59),
        (7, "prot100_inverted", 900),
        (8, "matmul", 103),
    ];
    for (number, id, count) in cases {
        let report = with(id, count);
        assert_eq!(judgement(&report, number), Judgement::Fail, "{number} {id}");
        assert!(!report.passed);
    }
    let stride = report(|material| material.stride_error = Some(1.01));
    assert_eq!(judgement(&stride, 9), Judgement::Fail);
}

#[test]
fn a_scaling_figure_that_no_two_repetitions_confirm_fails() {
    let report = report(|material| material.figures.scaling[2].least = 1);
    assert_eq!(report.problems, ["yield_to with 10 environments and 8 cores: no two repetitions agree"]);
}

#[test]
fn a_line_that_rises_fails() {
    let report = report(|material| material.figures.scaling[1].instructions = 90);
    assert_eq!(report.problems, ["yield_to is not flat"]);
}

#[test]
fn two_runs_that_differ_in_one_figure_are_found() {
    let outcome = good();
    let results = |measures: &[(&str, u64)]| {
        let mut results = Results::new(&scenario(), &machine(), &outcome, Vec::new()).unwrap();
        results.measures = measures.iter().map(|(id, count)| measure(id, *count)).collect();
        results
    };
    let one = results(&[("null", 12), ("bind", 400)]);
    assert_eq!(differences(&one, &one.clone()), Vec::<String>::new());
    assert_eq!(differences(&one, &results(&[("null", 12), ("bind", 401)])), ["bind: 400, then 401"]);
    assert_eq!(differences(&one, &results(&[("null", 12)])), ["bind: 400, then nothing"]);
    assert_eq!(differences(&results(&[("null", 12)]), &one).len(), 1);
}

#[test]
fn every_explanation_explains() {
    let reasons =
        shapes::EXPLAINED.iter().map(|known| known.why).chain(EXPLAINED.iter().map(|known| known.1));
    for reason in reasons {
        assert!(reason.split_whitespace().count() >= 3, "{reason}");
    }
}
