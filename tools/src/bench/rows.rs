//! The rows of the table: each operation's figure beside Linux's, the published pair and the budget. Not here: how they
//! are printed (`table`).

use super::figures::Figures;
use super::linux::figures::LinuxFigures;
use super::operations::{self, OPERATIONS, Operation};
use libos_core::report::Spread;
use serde::Serialize;
use std::collections::BTreeMap;

/// Linux's column.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Linux {
    /// The kernel's release.
    pub release: String,
    /// Instructions by id: medians.
    pub instructions: BTreeMap<String, f64>,
    /// By id of what this Linux does not have: why.
    pub absent: BTreeMap<String, String>,
}

impl Linux {
    /// What Linux takes for an operation's purpose, if it was measured.
    pub fn counterpart(&self, operation: &Operation) -> Option<f64> {
        self.instructions.get(operation.linux?).copied()
    }
}

impl From<LinuxFigures> for Linux {
    fn from(figures: LinuxFigures) -> Self {
        let medians = figures.figures.iter().map(|(id, figure)| (id.clone(), figure.median));
        Self { release: figures.release, instructions: medians.collect(), absent: figures.absent }
    }
}

/// How a figure stands to its budget.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// Within it.
    Met,
    /// Not within it, as is known and explained in `docs/primitives.md`.
    Explained(&'static str),
    /// Not within it.
    NotMet,
    /// Within it, though the table says that it is not.
    BetterThanExplained,
}

/// A budget and how the figure stands to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Budget {
    /// Instructions at most.
    pub most: u64,
    /// How the figure stands to that.
    pub standing: Standing,
}

/// A row.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Row {
    /// The operation's id.
    pub operation: &'static str,
    /// What it is.
    pub title: &'static str,
    /// Repetitions.
    pub samples: u64,
    /// Repetitions that took the least number of instructions.
    pub least: u64,
    /// Instructions retired. The operation's figure is the least.
    pub instructions: Spread,
    /// Cycles.
    pub cycles: Spread,
    /// Instructions of Linux's counterpart.
    pub linux: Option<f64>,
    /// The counterpart's id.
    pub linux_operation: Option<&'static str>,
    /// Linux's instructions for each of ours.
    pub ratio: Option<f64>,
    /// Published: the monolithic kernel, in microseconds.
    pub ultrix_us: Option<f64>,
    /// Published: the exokernel, in microseconds.
    pub aegis_us: Option<f64>,
    /// The ratio of the published pair.
    pub published_ratio: Option<f64>,
    /// The budget.
    pub budget: Option<Budget>,
}

/// A row for each operation, and the operations without a figure.
pub fn build(figures: &Figures, linux: Option<&Linux>) -> (Vec<Row>, Vec<&'static str>) {
    let mut missing = Vec::new();
    let rows = OPERATIONS.iter().filter_map(|operation| {
        let row = row(operation, figures, linux);
        if row.is_none() {
            missing.push(operation.id);
        }
        row
    });
    (rows.collect(), missing)
}

fn row(operation: &Operation, figures: &Figures, linux: Option<&Linux>) -> Option<Row> {
    let measure = figures.operations.get(operation.id)?;
    let ours = measure.instructions.minimum;
    let counterpart = linux.and_then(|linux| linux.counterpart(operation));
    let monolithic = operation.published.and_then(|published| published.monolithic_us);
    let exokernel = operation.published.map(|published| published.exokernel_us);
    Some(Row {
        operation: operation.id,
        title: operation.title,
        samples: measure.samples,
        least: measure.least,
        instructions: measure.instructions,
        cycles: measure.cycles,
        linux: counterpart,
        linux_operation: operation.linux,
        ratio: counterpart.filter(|_| ours > 0).map(|linux| rounded(linux / ours as f64)),
        ultrix_us: monolithic,
        aegis_us: exokernel,
        published_ratio: monolithic.zip(exokernel).map(|(slow, fast)| rounded(slow / fast)),
        budget: operation.budget.map(|most| Budget {
            most,
            standing: standing(ours, most, operations::explanation(operation.id)),
        }),
    })
}

fn standing(ours: u64, most: u64, explanation: Option<&'static str>) -> Standing {
    match (ours <= most, explanation) {
        (true, None) => Standing::Met,
        (true, Some(_)) => Standing::BetterThanExplained,
        (false, Some(why)) => Standing::Explained(why),
        (false, None) => Standing::NotMet,
    }
}

fn rounded(ratio: f64) -> f64 {
    (ratio * 1000.0).round() / 1000.0
}

/// Linux's counterparts that the table names and the column has not.
pub fn missing_on_linux(linux: &Linux) -> Vec<&'static str> {
    let mut wanted: Vec<_> = OPERATIONS.iter().filter_map(|operation| operation.linux).collect();
    wanted.sort_unstable();
    wanted.dedup();
    wanted.retain(|id| !linux.instructions.contains_key(*id) && !linux.absent.contains_key(*id));
    wanted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_explanation_stands_only_as_long_as_the_budget_is_not_met() {
        let why = Some("the floor is 14");
        assert_eq!(standing(12, 12, None), Standing::Met);
        assert_eq!(standing(13, 12, None), Standing::NotMet);
        assert_eq!(standing(13, 12, why), Standing::Explained("the floor is 14"));
        assert_eq!(standing(12, 12, why), Standing::BetterThanExplained);
    }
}
