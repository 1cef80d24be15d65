//! What `bench` prints: the table of operations, the scaling, the shapes. Not here: any figure (`rows`, `scaling`, `shapes`).

use super::report::Report;
use super::rows::{Row, Standing};
use super::scaling::{Axis, Line};
use super::shapes::{Judgement, Shape};
use crate::decisions;
use crate::tables::columns;

/// Everything that is printed at the end.
pub fn render(report: &Report) -> String {
    let mut text = format!("\nOperations (instructions{})\n", cycles_head(report));
    text += &columns(&operations(report));
    text += "  ratio: Linux's instructions for one of ours; 1995: µs of Ultrix and of Aegis or ExOS, and their ratio\n";
    text += &match &report.linux {
        Ok(release) => format!("  Linux: {release}, the nearest operation of each (docs/linux.md)\n"),
        Err(why) => format!("  Linux's column is empty: {why}\n"),
    };
    if report.cycles_are_virtual {
        text += "  no cycles: QEMU has no pipeline, and its cycle counter is the virtual clock\n";
    }
    if !report.scaling.is_empty() {
        text += "\nScaling (instructions, must be flat)\n";
        text += &report.scaling.iter().map(scaling).collect::<String>();
        text += "  open: on several cores all switch at once, and only their sum can be counted (docs/bench.md)\n";
    }
    text += "\nDecisions with so many clients (must not grow faster than log n)\n";
    text += &report.decisions.iter().map(decisions::line).collect::<String>();
    text += "\nShapes of 1995\n";
    text += &report.shapes.iter().map(shape).collect::<String>();
    let explained: Vec<_> = report.rows.iter().filter_map(explained).collect();
    if !explained.is_empty() {
        text += "\nBudgets that are not met (docs/primitives.md has the listings)\n";
        text += &explained.concat();
    }
    text
}

fn cycles_head(report: &Report) -> &'static str {
    if report.cycles_are_virtual { "" } else { "; cycles: the median" }
}

fn operations(report: &Report) -> Vec<Vec<String>> {
    let mut heads = vec![
        "operation",
        "ours",
        "Linux",
        "ratio",
        "Ultrix",
        "Aegis",
        "ratio 1995",
        "budget",
        "",
        "what it is",
    ];
    if !report.cycles_are_virtual {
        heads.insert(2, "cycles");
    }
    let mut rows = vec![heads.into_iter().map(String::from).collect::<Vec<_>>()];
    rows.extend(report.rows.iter().map(|row| cells(row, report.cycles_are_virtual)));
    rows
}

fn cells(row: &Row, cycles_are_virtual: bool) -> Vec<String> {
    let or_dash = |figure: Option<String>| figure.unwrap_or("-".into());
    let mut cells = vec![row.operation.to_string(), row.instructions.minimum.to_string()];
    if !cycles_are_virtual {
        cells.push(row.cycles.median.to_string());
    }
    cells.push(or_dash(row.linux.map(|figure| format!("{figure:.0}"))));
    cells.push(or_dash(row.ratio.map(|figure| ratio(figure, row.operation))));
    cells.push(or_dash(row.ultrix_us.map(|us| us.to_string())));
    cells.push(or_dash(row.aegis_us.map(|us| us.to_string())));
    cells.push(or_dash(row.published_ratio.map(|figure| ratio(figure, row.operation))));
    cells.push(or_dash(row.budget.as_ref().map(|budget| budget.most.to_string())));
    cells.push(row.budget.as_ref().map_or("", |budget| standing(&budget.standing)).to_string());
    cells.push(row.title.to_string());
    cells
}

/// Ratios near one need more digits.
fn ratio(figure: f64, operation: &str) -> String {
    if operation == "matmul" { format!("{figure:.3}") } else { format!("{figure:.1}") }
}

fn standing(standing: &Standing) -> &'static str {
    match standing {
        Standing::Met => "met",
        Standing::Explained(_) => "NOT met, explained",
        Standing::NotMet => "NOT MET",
        Standing::BetterThanExplained => "met, but listed as not",
    }
}

fn explained(row: &Row) -> Option<String> {
    match &row.budget.as_ref()?.standing {
        Standing::Explained(why) => Some(format!("  {}: {why}\n", row.operation)),
        _ => None,
    }
}

fn scaling(line: &Line) -> String {
    let what = match line.axis {
        Axis::Environments => "environments",
        Axis::Cores => "cores",
    };
    let points: Vec<_> = line.points.iter().map(|(many, cost)| format!("{many}: {cost}")).collect();
    let word = word(line.flat);
    format!("  {word}  {:<14} {what:<12}  {}\n", line.operation, points.join("  "))
}

fn word(judgement: Judgement) -> &'static str {
    match judgement {
        Judgement::Pass => "pass",
        Judgement::Fail => "FAIL",
        Judgement::Explained(_) => "FAIL, explained:",
        Judgement::Open => "open",
    }
}

fn shape(shape: &Shape) -> String {
    let Shape { number, expected, seen, judgement } = shape;
    let why = match judgement {
        Judgement::Explained(why) => format!("\n        {why}"),
        _ => String::new(),
    };
    format!("  {}  {number}. {expected}: {seen}{why}\n", word(*judgement))
}
