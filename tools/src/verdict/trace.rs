//! What a recording must have been: whole, cheap, and such that every policy decides the same again. Not here: all else.

use super::Verdict;
use crate::trace::Recorded;
use crate::trace::cost::budget;

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
    let budget = budget(recorded.quantum_us, &recorded.recording);
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
