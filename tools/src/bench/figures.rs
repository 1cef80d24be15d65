//! The figures of all runs, and what is wrong with them: what is missing, what a repetition did not give again. Not here:
//! whether they are good (`shapes`, `rows`).

use crate::results::Results;
use libos_core::report::Measure;
use serde::Serialize;
use std::collections::BTreeMap;

/// Where a scaling figure belongs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Point {
    /// The operation, without the prefix `scale_`.
    pub operation: String,
    /// Environments alive, all of the machine's.
    pub environments: u64,
    /// Cores at work.
    pub cores: u32,
    /// The path's length: the least of all repetitions.
    pub instructions: u64,
    /// Repetitions, and how many of them took exactly that.
    pub samples: u64,
    /// See `samples`.
    pub least: u64,
}

/// All that was measured on Tranche.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Figures {
    /// By operation.
    pub operations: BTreeMap<String, Measure>,
    /// What must be flat.
    pub scaling: Vec<Point>,
}

/// How the ids of scaling figures begin.
const SCALE: &str = "scale_";

impl Figures {
    /// Adds a run's.
    pub fn add(&mut self, results: &Results) {
        for measure in &results.measures {
            match measure.operation.strip_prefix(SCALE) {
                None => _ = self.operations.insert(measure.operation.clone(), measure.clone()),
                Some(operation) => self.scaling.push(Point {
                    operation: operation.into(),
                    environments: measure.environments,
                    cores: results.cores,
                    instructions: measure.instructions.minimum,
                    samples: measure.samples,
                    least: measure.least,
                }),
            }
        }
    }

    /// The instructions of an operation: of an exact one every repetition took so many; of one that begins or ends at an
    /// interrupt, the least.
    pub fn instructions(&self, operation: &str) -> Option<u64> {
        self.operations.get(operation).map(|measure| measure.instructions.minimum)
    }
}

/// Operations whose figures differ between two runs that should be the same, in words.
pub fn differences(one: &Results, other: &Results) -> Vec<String> {
    let names = one.measures.iter().map(|measure| measure.operation.as_str());
    let mut wrong: Vec<String> = Vec::new();
    for (place, name) in names.enumerate() {
        let (first, second) = (&one.measures[place], other.measures.get(place));
        if second != Some(first) {
            let again = second.map_or("nothing".into(), |measure| measure.instructions.minimum.to_string());
            wrong.push(format!("{name}: {}, then {again}", first.instructions.minimum));
        }
    }
    if other.measures.len() > one.measures.len() {
        wrong.push("the second run has more figures than the first".into());
    }
    wrong
}
