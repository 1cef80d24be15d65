//! What recording cost a run, as a share of all cores' time.
//!
//! Not here: the records themselves. The cost of a mark is learnt from marks that the tracer makes one after another; a record of
//! the kernel's own is counted as if it had cost as much, which is more than it did.

use super::Trace;
use crate::outcome::Outcome;
use crate::recording::Recording;
use crate::results::us;
use libos_core::trace::CALIBRATION;
use tranche_abi::trace::{FIRST_MARK, Record};

/// What recording may cost of all cores' time at slots of a millisecond, in millionths.
pub const BUDGET: u64 = 30_000;
/// The length of a slot for which the budget is meant, in microseconds. Shorter ones, and turns that are shorter than half of it
/// in the mean, mean more records in the same time.
const BUDGETED_QUANTUM_US: u64 = 1_000;

/// What recording may cost a run of all cores' time, in millionths, at slots of a length.
pub fn budget(quantum_us: u32, recording: &Recording) -> u64 {
    let length_us = u64::from(quantum_us).min(twice_the_mean_turn_us(recording));
    BUDGET * BUDGETED_QUANTUM_US / length_us.clamp(1, BUDGETED_QUANTUM_US)
}

/// Twice the length of a turn in the mean, rounded down; without end if there was none.
fn twice_the_mean_turn_us(recording: &Recording) -> u64 {
    let turns = &recording.turns;
    let length: u64 = turns.iter().map(|turn| turn.end.saturating_sub(turn.begin)).sum();
    let twice = (2 * length).checked_div(turns.len() as u64);
    twice.map_or(u64::MAX, |ticks| us(ticks, recording.frequency))
}

/// The name under which the tracer's time stands in the ledgers.
const TRACER: &str = "tracer";

/// What recording cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cost {
    /// Records of the kernel's own.
    pub kernel_records: u64,
    /// Marks of programs.
    pub marks: u64,
    /// What one mark costs, in ticks.
    pub mark: u64,
    /// CPU time of the tracer, in ticks.
    pub tracer: u64,
    /// Time of all cores together, in ticks.
    pub elapsed: u64,
}

impl Cost {
    /// What it cost in this run.
    pub fn of(trace: &Trace, outcome: &Outcome) -> Self {
        let all = trace.records().count() as u64;
        let marks = trace.records().filter(|record| record.kind() >= FIRST_MARK).count() as u64;
        let of_tracer = |ledger: &libos_core::report::Ledger| -> u64 {
            ledger.environments.iter().filter(|(name, _)| name == TRACER).map(|(_, ticks)| *ticks).sum()
        };
        Self {
            kernel_records: all - marks + trace.lost(),
            marks,
            mark: mark(trace),
            tracer: outcome.ledger.iter().map(of_tracer).sum(),
            elapsed: outcome.ledger.iter().map(|ledger| ledger.elapsed).sum(),
        }
    }

    /// Ticks in all, at most.
    pub fn ticks(&self) -> u64 {
        (self.kernel_records + self.marks) * self.mark + self.tracer
    }

    /// The same in millionths of all time; all of it if no time is known.
    pub fn millionths(&self) -> u64 {
        let share = u128::from(self.ticks()) * 1_000_000;
        share.checked_div(self.elapsed.into()).map_or(1_000_000, |share| share as u64)
    }
}

/// The median time from one calibration mark to the next.
fn mark(trace: &Trace) -> u64 {
    let mut all: Vec<u64> = Vec::new();
    for stream in &trace.cores {
        let pairs = stream.records.windows(2).map(|pair| [&pair[0].1, &pair[1].1]);
        let is_pair = |pair: &[&Record; 2]| pair.iter().all(|record| record.kind() == CALIBRATION);
        all.extend(pairs.filter(is_pair).map(|[one, next]| next.time - one.time));
    }
    all.sort_unstable();
    all.get(all.len() / 2).copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::fixture;
    use crate::recording::Turn;
    use crate::trace::Stream;
    use libos_core::report::Ledger;

    #[test]
    fn every_record_is_counted_at_the_price_of_a_mark_and_the_tracer_on_top() {
        let record = |time, kind| (0, Record { time, head: Record::head(kind, 0, 0, 0), words: [0; 6] });
        let records = vec![
            record(100, CALIBRATION),
            record(110, CALIBRATION),
            record(120, CALIBRATION),
            record(900, CALIBRATION), // its slice ended in between
            record(910, 1),
            record(950, FIRST_MARK),
        ];
        let trace = Trace { cores: vec![Stream { records, lost: 4, ..Stream::default() }] };
        let ledger = Ledger {
            core: 0,
            kernel: 0,
            idle: 0,
            excess: 0,
            gone: 0,
            environments: vec![("tracer".into(), 50), ("other".into(), 900)],
            elapsed: 10_000,
        };
        let outcome = Outcome { ledger: vec![ledger], ..Outcome::default() };
        let cost = Cost::of(&trace, &outcome);
        assert_eq!(cost, Cost { kernel_records: 5, marks: 5, mark: 10, tracer: 50, elapsed: 10_000 });
        assert_eq!((cost.ticks(), cost.millionths()), (150, 15_000));
        assert_eq!(Cost::default().millionths(), 1_000_000);
    }

    #[test]
    fn shorter_slots_and_much_shorter_turns_are_allowed_to_cost_more_of_the_time() {
        let turn = |begin, length| Turn { client: 0, core: 0, begin, end: begin + length, ran: length };
        let with = |turns| Recording { turns, ..fixture::periodic() };
        let none = with(Vec::new());
        assert_eq!(
            [250, 1_000, 4_000].map(|quantum_us| budget(quantum_us, &none)),
            [120_000, 30_000, 30_000]
        );
        let short = with(vec![turn(0, 100), turn(500, 200)]);
        assert_eq!((twice_the_mean_turn_us(&short), budget(1_000, &short)), (300, 100_000));
    }
}
