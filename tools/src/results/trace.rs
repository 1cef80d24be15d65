//! What a recording adds to the results: every job of every client, what recording cost, and whether all decisions were the
//! same again. Not here: all that is known without a recording.

use super::{Results, fine_us, jobs, ratio, us};
use crate::trace::Recorded;
use crate::trace::cast::Cast;
use crate::trace::replay::Replayed;
use serde::Serialize;

/// What was recorded.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TraceResults {
    /// Records of the kernel's own.
    pub kernel_records: u64,
    /// Marks of programs.
    pub marks: u64,
    /// Records that are missing.
    pub lost: u64,
    /// What one mark costs.
    pub mark_us: f64,
    /// CPU time of the tracer.
    pub tracer_us: u64,
    /// What recording cost of all cores' time, at most.
    pub overhead: f64,
    /// Each scheduler's decisions, made once more.
    pub replayed: Vec<Replayed>,
    /// Who took part: with it the trace can be read by whoever was not there.
    pub cast: Cast,
}

/// The results with what was recorded.
pub fn add(mut results: Results, recorded: &Recorded) -> Results {
    let Recorded { recording, cast, cost, replayed, .. } = recorded;
    let frequency = recording.frequency;
    results.trace = Some(TraceResults {
        kernel_records: cost.kernel_records,
        marks: cost.marks,
        lost: recording.lost,
        mark_us: fine_us(cost.mark, frequency),
        tracer_us: us(cost.tracer, frequency),
        overhead: ratio(cost.millionths(), 1_000_000, 6),
        replayed: replayed.clone(),
        cast: cast.clone(),
    });
    jobs::add(&mut results, recording);
    results
}
