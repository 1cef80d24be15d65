//! Figures of a recording in the units in which papers give them. Not here: what they are to be.

use crate::metrics::{guarantees, jobs, shares};
use crate::recording::{Job, Recording};
use libos_core::sched::ClientId;
use libos_core::sched::steps::Step;
use std::collections::BTreeSet;

/// Whom the first scheduler picked, one turn after the other, since all its clients were there: indices of
/// [`Recording::clients`].
pub fn picks(recording: &Recording) -> Vec<usize> {
    let Some(scheduler) = recording.schedulers.first() else { return Vec::new() };
    let last = scheduler.steps.iter().rposition(|step| matches!(step, Step::Join { .. })).unwrap_or(0);
    let picked = scheduler.steps[last..].iter().filter_map(|step| match step {
        Step::Decided { decision, .. } => Some(usize::from(decision.client.0)),
        _ => None,
    });
    picked.filter_map(|number| scheduler.clients.get(number).copied()).collect()
}

/// Whom the first scheduler picked in the last so many turns before its client of this number joined, and in the first so many after
/// that: the clients' numbers. `None` if there were fewer.
pub fn picks_around(recording: &Recording, number: u16, count: usize) -> Option<[Vec<u16>; 2]> {
    let steps = &recording.schedulers.first()?.steps;
    let joins = |step: &Step| matches!(step, Step::Join { client, .. } if client.0 == number);
    let at = steps.iter().position(joins)?;
    let picks = |steps: &[Step]| -> Vec<u16> {
        let picked = steps.iter().filter_map(|step| match step {
            Step::Decided { decision, .. } => Some(decision.client.0),
            _ => None,
        });
        picked.collect()
    };
    let (before, after) = (picks(&steps[..at]), picks(&steps[at..]));
    let from = before.len().checked_sub(count)?;
    Some([before[from..].to_vec(), after.get(..count)?.to_vec()])
}

/// How many of the first so many turns were this client's; `None` if there were fewer.
pub fn turns(recording: &Recording, client: usize, of: usize) -> Option<f64> {
    let picks = picks(recording);
    Some(picks.get(..of)?.iter().filter(|pick| **pick == client).count() as f64)
}

/// Turns of client 0 for each of client 1, of the first so many.
pub fn ratio(recording: &Recording, of: usize) -> Option<f64> {
    let (one, other) = (turns(recording, 0, of)?, turns(recording, 1, of)?);
    (other > 0.0).then(|| one / other)
}

/// CPU time of client 0 for each unit of client 1, since the first job came.
pub fn time_ratio(recording: &Recording) -> Option<f64> {
    let first = recording.jobs.iter().map(|job| job.released).min()?;
    let since = |client| recording.turns_of(client).filter(|turn| turn.begin >= first);
    let of = |client| since(client).map(|turn| turn.ran).sum::<u64>() as f64;
    (of(1) > 0.0).then(|| of(0) / of(1))
}

/// A client's part of all time since the first job came.
pub fn time_part(recording: &Recording, client: usize) -> Option<f64> {
    let first = recording.jobs.iter().map(|job| job.released).min()?;
    let turns = |client| recording.turns_of(client).filter(move |turn| turn.begin >= first);
    let all = (0..recording.clients.len()).flat_map(turns);
    let end = all.map(|turn| turn.begin + turn.ran).max()?;
    let ran: u64 = turns(client).map(|turn| turn.ran).sum();
    (end > first).then(|| ran as f64 / (end - first) as f64)
}

/// A client's part of all clients' CPU time, since everybody who has jobs had one.
pub fn part_of_clients(recording: &Recording, client: usize) -> Option<f64> {
    let first = recording.jobs.iter().filter(|job| job.number == 0).map(|job| job.released).max()?;
    let ran = |client| {
        let since = recording.turns_of(client).filter(|turn| turn.begin >= first);
        since.map(|turn| turn.ran).sum::<u64>() as f64
    };
    let all: f64 = (0..recording.clients.len()).map(ran).sum();
    (all > 0.0).then(|| ran(client) / all)
}

/// The mean time from the end of one of a client's jobs to the end of the next, for one that always has more, in milliseconds.
pub fn turnaround_ms(recording: &Recording, client: usize) -> Option<f64> {
    let of_client = recording.jobs.iter().filter(|job| job.client == client);
    let ends: Vec<u64> = of_client.filter_map(|job| job.completed).collect();
    let (first, last) = (ends.iter().min()?, ends.iter().max()?);
    (ends.len() > 1).then(|| recording.us(last - first) / 1000.0 / (ends.len() - 1) as f64)
}

/// What the clients of the first scheduler ran, as a part of its slots since the first job came.
pub fn part_of_slots(recording: &Recording) -> Option<f64> {
    let first = recording.jobs.iter().map(|job| job.released).min()?;
    let slots = recording.slices.iter().filter(|slice| slice.owner == Some(0) && slice.begin >= first);
    let owned: u64 = slots.map(|slice| slice.end - slice.begin).sum();
    let ran: u64 = recording.turns.iter().filter(|turn| turn.begin >= first).map(|turn| turn.ran).sum();
    (owned > 0).then(|| ran as f64 / owned as f64)
}

/// The largest error of any pair at any switch, in quanta.
pub fn pairwise_error(recording: &Recording) -> Option<f64> {
    Some(shares::measure(recording, recording.schedulers.first()?)?.pairwise_quanta)
}

/// The largest distance of any client from its part of the total, in quanta.
pub fn absolute_error(recording: &Recording) -> Option<f64> {
    Some(shares::measure(recording, recording.schedulers.first()?)?.absolute_quanta)
}

/// The longest response of a client's jobs, in units of so many microseconds.
pub fn worst_response(recording: &Recording, client: usize, unit_us: f64) -> Option<f64> {
    Some(jobs::measure(recording, &[client])?.response?.max_us / unit_us)
}

/// The response of a client's first job, in units of so many microseconds.
pub fn first_response(recording: &Recording, client: usize, unit_us: f64) -> Option<f64> {
    let job = recording.jobs.iter().find(|job| job.client == client && job.number == 0)?;
    Some(recording.us(job.completed?.saturating_sub(job.released)) / unit_us)
}

/// Deadlines that all clients missed.
pub fn misses(recording: &Recording) -> Option<f64> {
    let all: Vec<usize> = (0..recording.clients.len()).collect();
    jobs::measure(recording, &all).map(|jobs| jobs.misses as f64)
}

/// How many clients missed a deadline.
pub fn clients_late(recording: &Recording) -> Option<f64> {
    let late = |client: &usize| jobs::measure(recording, &[*client]).is_some_and(|jobs| jobs.misses > 0);
    Some((0..recording.clients.len()).filter(late).count() as f64)
}

/// The part of a client's deadlines that it missed.
pub fn miss_ratio(recording: &Recording, client: usize) -> Option<f64> {
    jobs::measure(recording, &[client])?.miss_ratio
}

/// How many clients their schedulers took on.
pub fn taken_on(recording: &Recording) -> Option<f64> {
    let of = |scheduler: &crate::recording::Scheduler| {
        let joins = scheduler.steps.iter().filter_map(|step| match step {
            Step::Join { client, .. } => Some(client.0),
            _ => None,
        });
        joins.collect::<BTreeSet<_>>().len()
    };
    Some(recording.schedulers.iter().map(of).sum::<usize>() as f64)
}

/// When a client had no guarantee; `None` if nobody scheduled it.
pub fn gaps(recording: &Recording, client: usize) -> Option<Vec<guarantees::Gap>> {
    recording.schedulers.iter().find_map(|scheduler| {
        let number = scheduler.clients.iter().position(|known| *known == client)?;
        Some(guarantees::gaps(&scheduler.steps, ClientId(number as u16)))
    })
}

/// Deadlines that a client missed while it had its guarantee; `None` if no job of its was done then.
pub fn misses_while_guaranteed(recording: &Recording, client: usize) -> Option<f64> {
    let gaps = gaps(recording, client)?;
    let is_promised = |job: &&Job| job.client == client && gaps.iter().all(|gap| !gap.concerns(job));
    let promised: Vec<&Job> = recording.jobs.iter().filter(is_promised).collect();
    let missed = promised.iter().filter(|job| jobs::missed(job, recording.horizon(job))).count();
    promised.iter().any(|job| job.completed.is_some()).then_some(missed as f64)
}
