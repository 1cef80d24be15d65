//! What a recording must have been: whole, cheap, and such that every policy decides the same again. Not here: all else.

use super::Verdict;
use crate::recording::Recording;
use crate::results::us;
use crate::trace::Recorded;

/// What recording may cost of all cores' time at slots of a millisecond, in millionths.
const BUDGET: u64 = 30_000;
/// The length of a slot for which the budget is meant, in microseconds. Shorter ones, and turns that are shorter than half of it
/// in the mean, mean more records in the same time.
const BUDGETED_QUANTUM_US: u64 = 1_000;

/// Every expectation of a recorded run.
pub fn judge(recorded: &Recorded) -> Vec<Verdict> {
    vec![whole(recorded), again(recorded), cheap(recorded)]
}

fn whole(recorded: &Recorded) -> Verdict {
    let Recorded { records, complaints, .. } = recorded;
    let seen = match complaints.is_empty() {
        true => format!("{records} records, none missing"),
        false => format!("{records} records; {}", complaints.join("; ")),
    };
    let passed = *records > 0 && complaints.is_empty();
    Verdict { expected: "everything that was recorded arrives".into(), seen, passed }
}

fn again(recorded: &Recorded) -> Verdict {
    let replayed = &recorded.replayed;
    let decisions: u64 = replayed.iter().map(|one| one.decisions).sum();
    let wrong: Vec<String> = replayed
        .iter()
        .filter_map(|one| Some(format!("{} on core {}: {}", one.libos, one.core, one.divergence.as_ref()?)))
        .collect();
    let seen = match wrong.is_empty() {
        true => format!("{decisions} decisions of {} schedulers, all the same", replayed.len()),
        false => wrong.join("\n"),
    };
    let passed = wrong.is_empty() && decisions > 0;
    Verdict { expected: "told again, every policy decides the same again".into(), seen, passed }
}

fn cheap(recorded: &Recorded) -> Verdict {
    let length_us = u64::from(recorded.quantum_us).min(twice_the_mean_turn_us(&recorded.recording));
    let budget = BUDGET * BUDGETED_QUANTUM_US / length_us.clamp(1, BUDGETED_QUANTUM_US);
    let percent = |millionths: u64| format!("{}.{:02} %", millionths / 10_000, millionths % 10_000 / 100);
    let share = recorded.cost.millionths();
    Verdict {
        expected: format!("recording costs at most {} of all cores' time", percent(budget)),
        seen: format!(
            "{}, the tracer's part {} ticks of {}",
            percent(share),
            recorded.cost.tracer,
            recorded.cost.elapsed
        ),
        passed: share <= budget,
    }
}

/// Twice the length of a turn in the mean, rounded down; without end if there was none.
fn twice_the_mean_turn_us(recording: &Recording) -> u64 {
    let turns = &recording.turns;
    let length: u64 = turns.iter().map(|turn| turn.end.saturating_sub(turn.begin)).sum();
    let twice = (2 * length).checked_div(turns.len() as u64);
    twice.map_or(u64::MAX, |ticks| us(ticks, recording.frequency))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::fixture;
    use crate::recording::Turn;

    #[test]
    fn turns_that_are_much_shorter_than_a_slot_are_allowed_to_cost_more_of_the_time() {
        let turn = |begin, length| Turn { client: 0, core: 0, begin, end: begin + length, ran: length };
        let with = |turns| Recording { turns, ..fixture::periodic() };
        assert_eq!(twice_the_mean_turn_us(&with(vec![turn(0, 100), turn(500, 200)])), 300);
        assert_eq!(twice_the_mean_turn_us(&with(Vec::new())), u64::MAX);
    }
}
