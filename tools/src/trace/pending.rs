//! Jobs that were released and never done: a trace has a mark of each that was, and chance has a seed, so the others are
//! known as well.
//!
//! Not here: jobs that were done (`story`).

use super::cast::Cast;
use crate::recording::{Job, Recording};
use libos_core::jobs::JobSource;
use libos_core::sched::Tick;
use std::collections::BTreeMap;

/// The jobs of all clients that were released while they were served and are not among the recording's, in the order of their
/// releases. `begins` are the times at which each client's jobs begin, as far as they are known.
pub fn jobs(recording: &Recording, cast: &Cast, begins: &BTreeMap<usize, u64>) -> Vec<Job> {
    let mut done: BTreeMap<usize, Vec<&Job>> = BTreeMap::new();
    recording.jobs.iter().for_each(|job| done.entry(job.client).or_default().push(job));
    let mut all = Vec::new();
    for (client, member) in cast.clients.iter().enumerate() {
        let Some((jobs, begin)) = member.jobs.as_ref().zip(begins.get(&client)) else { continue };
        let done = done.remove(&client).unwrap_or_default();
        all.extend(of_client(recording, client, jobs.from(*begin), done));
    }
    all.sort_by_key(|job| (job.released, job.client));
    all
}

/// A client's. Nothing if the jobs that were done are not those that come first: then records are missing, and it cannot be
/// said which others were.
fn of_client(recording: &Recording, client: usize, mut source: JobSource, mut done: Vec<&Job>) -> Vec<Job> {
    done.sort_by_key(|job| job.number);
    let mut completed = 0;
    for job in done {
        let next = source.next(Tick(completed));
        if (next.number, next.released.0, next.demand.0) != (job.number, job.released, job.demand) {
            return Vec::new();
        }
        completed = job.completed.unwrap_or(completed);
    }
    let mut all = Vec::new();
    loop {
        // Whoever waits for a job's end does not release the next one meanwhile.
        let job = source.next(Tick(if all.is_empty() { completed } else { u64::MAX }));
        if job.released.0 >= recording.clients[client].until {
            return all;
        }
        let used = if all.is_empty() { ran(recording, client, job.released.0.max(completed)) } else { 0 };
        let (released, due) = (job.released.0, job.due.map(|due| due.0));
        all.push(Job {
            client,
            number: job.number,
            released,
            due,
            completed: None,
            demand: job.demand.0,
            used,
        });
    }
}

/// CPU time of a client's turns from some time on.
fn ran(recording: &Recording, client: usize, from: u64) -> u64 {
    let part = |turn: &crate::recording::Turn| turn.ran.min(turn.end.saturating_sub(from));
    recording.turns_of(client).map(part).sum()
}
