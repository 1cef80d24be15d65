//! What of a run was lost between the board and here, in words: which reports, which records of which core.
//!
//! Reports and records are numbered, so what is missing is known exactly, whatever became of the bytes.

use crate::outcome::Outcome;
use crate::trace::Trace;
use std::fmt::Display;
use std::ops::RangeInclusive;

/// Every piece that is missing; none of a run that came whole. Of a run that was recorded on so many `cores`, also the traces
/// of which nothing came.
pub fn of(outcome: &Outcome, cores: Option<u64>) -> Vec<String> {
    let reports = outcome.lost.iter().map(|(from, to)| numbers("report", *from..=to.wrapping_sub(1)));
    let mut all: Vec<String> = reports.collect();
    if outcome.end.is_none() {
        all.push(
            "the last report, which says how the run ended, and whatever came before it since the one before"
                .into(),
        );
    }
    all.extend(of_trace(&Trace::decode(outcome.streams.values().map(Vec::as_slice)), cores));
    if outcome.damaged > 0 {
        all.push(format!("({} pieces came damaged, which is part of the above)", outcome.damaged));
    }
    all
}

fn of_trace(trace: &Trace, cores: Option<u64>) -> Vec<String> {
    let mut all = Vec::new();
    for stream in &trace.cores {
        let core = stream.core;
        all.extend(
            stream
                .gaps()
                .into_iter()
                .map(|gap| format!("core {core}: {} of its trace", numbers("record", gap))),
        );
        if !stream.ended {
            let next = stream.records.last().map_or(0, |(number, _)| number + 1);
            all.push(format!("core {core}: the end of its trace, from record {next} on"));
        }
    }
    let silent = |core: &u64| trace.cores.iter().all(|stream| stream.core != *core);
    all.extend((0..cores.unwrap_or(0)).filter(silent).map(|core| format!("core {core}: all of its trace")));
    all
}

fn numbers<N: Display + PartialEq>(what: &str, range: RangeInclusive<N>) -> String {
    let (first, last) = range.into_inner();
    if first == last { format!("{what} {first}") } else { format!("{what}s {first} to {last}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::tests::bytes;
    use tranche_abi::trace::Record;

    fn records(count: u64) -> Vec<[u64; 8]> {
        (0..count).map(|number| [number, Record::head(1, 0, 0, 0), 0, 0, 0, 0, 0, 0]).collect()
    }

    #[test]
    fn a_run_that_came_whole_has_lost_nothing() {
        let streams = [(0, bytes(0, 0, &records(2), true))].into();
        assert!(of(&Outcome { end: Some((true, 0)), streams, ..Outcome::default() }, Some(1)).is_empty());
    }

    #[test]
    fn what_is_missing_is_named_by_its_number() {
        let core_1 = [
            bytes(1, 0, &records(2), false),
            bytes(1, 5, &records(3), false),
            bytes(1, 9, &records(1), false),
        ];
        let outcome = Outcome {
            lost: vec![(3, 4), (7, 10)],
            damaged: 3,
            streams: [(1, core_1.concat())].into(),
            ..Outcome::default()
        };
        assert_eq!(
            of(&outcome, Some(3)),
            [
                "report 3",
                "reports 7 to 9",
                "the last report, which says how the run ended, and whatever came before it since the one before",
                "core 1: records 2 to 4 of its trace",
                "core 1: record 8 of its trace",
                "core 1: the end of its trace, from record 10 on",
                "core 0: all of its trace",
                "core 2: all of its trace",
                "(3 pieces came damaged, which is part of the above)",
            ]
        );
    }
}
