//! The benchmark's whole result: the rows, the scaling, the shapes, whether all is in order; and `results.json`, as
//! `docs/bench.md` explains it. Not here: how figures are got (`super`).

use super::figures::{Figures, Point};
use super::rows::{self, Linux, Row, Standing};
use super::scaling::{self, Line};
use super::shapes::{self, Evidence, Judgement, Shape};
use crate::decisions::Curve;
use serde::Serialize;

/// Version of the file's schema; grows with every change of it.
pub const VERSION: u32 = 3;

/// What the report is made of.
#[derive(Clone, Debug)]
pub struct Material {
    /// Our figures.
    pub figures: Figures,
    /// What decisions cost.
    pub decisions: Vec<Curve>,
    /// Linux's, or why there are none.
    pub linux: Result<Linux, String>,
    /// The largest error of a stride scheduler's clients at 3:2:1, in quanta; none if that was not run.
    pub stride_error: Option<f64>,
    /// Whether the cycle counter is the virtual clock.
    pub cycles_are_virtual: bool,
    /// What went wrong while figures were got.
    pub problems: Vec<String>,
}

/// The whole file.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// [`VERSION`].
    pub version: u32,
    /// Nothing is missing, wrong, or worse than is known.
    pub passed: bool,
    /// What is.
    pub problems: Vec<String>,
    /// `Ok`: which Linux was measured. `Err`: why none was.
    pub linux: Result<String, String>,
    /// On an emulated machine cycles are the virtual clock, and mean nothing.
    pub cycles_are_virtual: bool,
    /// Operations.
    pub rows: Vec<Row>,
    /// What must be flat.
    pub scaling: Vec<Line>,
    /// What decisions cost, which may grow with the logarithm of the clients' number at most.
    pub decisions: Vec<Curve>,
    /// The nine shapes.
    pub shapes: Vec<Shape>,
}

impl Report {
    /// Computes everything.
    pub fn new(material: Material) -> Self {
        let Material { figures, decisions, linux, stride_error, cycles_are_virtual, mut problems } = material;
        let column = linux.as_ref().ok();
        let (rows, missing) = rows::build(&figures, column);
        problems.extend(missing.iter().map(|id| format!("{id}: no figure")));
        problems.extend(
            column.into_iter().flat_map(rows::missing_on_linux).map(|id| format!("{id}: no figure of Linux")),
        );
        problems.extend(rows.iter().filter_map(budget_problem));
        let scaling = scaling::lines(&figures);
        problems.extend(figures.scaling.iter().filter(|point| point.least < 2).map(unconfirmed));
        problems.extend(
            scaling
                .iter()
                .filter(|line| line.flat == Judgement::Fail)
                .map(|line| format!("{} is not flat", line.operation)),
        );
        let costly = decisions.iter().filter(|curve| !curve.is_in_order());
        problems
            .extend(costly.map(|curve| {
                format!("{}: {} grows faster than log n", curve.policy, curve.quantity.title())
            }));
        if decisions.is_empty() {
            problems.push("decisions: no figure".into());
        }
        let shapes = shapes::judge(&Evidence { figures: &figures, linux: column, stride_error });
        let failed = shapes.iter().filter(|shape| shape.judgement == Judgement::Fail);
        problems.extend(failed.map(|shape| format!("shape {} is not there", shape.number)));
        Self {
            version: VERSION,
            passed: problems.is_empty(),
            problems,
            linux: linux.map(|column| column.release),
            cycles_are_virtual,
            rows,
            scaling,
            decisions,
            shapes,
        }
    }

    /// The file's bytes.
    pub fn to_json(&self) -> String {
        // The types are plain: writing them to memory cannot fail.
        serde_json::to_string_pretty(self).unwrap_or_default() + "\n"
    }
}

fn unconfirmed(point: &Point) -> String {
    let Point { operation, environments, cores, .. } = point;
    format!("{operation} with {environments} environments and {cores} cores: no two repetitions agree")
}

fn budget_problem(row: &Row) -> Option<String> {
    let budget = row.budget.as_ref()?;
    let (cost, most) = (row.instructions.minimum, budget.most);
    match budget.standing {
        Standing::Met | Standing::Explained(_) => None,
        Standing::NotMet => Some(format!("{}: {cost} instructions, the budget is {most}", row.operation)),
        Standing::BetterThanExplained => Some(format!(
            "{}: {cost} instructions are within the budget of {most}: tools/src/bench/operations.rs says otherwise",
            row.operation
        )),
    }
}
