//! What a recording must have been: whole, cheap, and such that every policy decides the same again. Not here: all else.

use super::Verdict;
use crate::recording::Recording;
use crate::trace::Recorded;
use crate::trace::cost::budget;
use crate::trace::shares;
use libos_core::scenario::Policy;
use libos_core::sched::Tick;

/// Every expectation of a recorded run.
pub fn judge(recorded: &Recorded) -> Vec<Verdict> {
    let mut all = vec![whole(recorded), again(recorded), cheap(recorded)];
    all.extend(pairwise(&recorded.recording));
    all
}

/// Under each stride policy that had but a part of a libOS's run, pairs of clients are as near to each other as otherwise.
fn pairwise(recording: &Recording) -> Option<Verdict> {
    recording.swapped()?;
    let strides = recording.schedulers.iter().filter(|one| one.policy == Policy::Stride);
    let errors: Vec<_> = strides.map(|one| shares::errors(recording, one).pairwise.worst()).collect();
    let worst = errors.iter().max()?.milliquanta(Tick(recording.quantum));
    Some(Verdict {
        expected: "each stride policy for as long as it has its clients: pairwise error at most 1 quantum"
            .into(),
        seen: format!("{} of them, at most {}.{:03}", errors.len(), worst / 1000, worst % 1000),
        passed: worst <= 1000,
    })
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
