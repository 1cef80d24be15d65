//! Jobs that were released and never done: a trace has a mark of each that was, and chance has a seed, so the others are
//! known as well.
//!
//! Not here: jobs that were done (`story`).

use super::cast::Cast;
use crate::metrics::guarantees::gaps;
use crate::recording::{Job, Recording};
use libos_core::jobs::JobSource;
use libos_core::sched::{ClientId, Tick};
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
    let was_shed = was_shed(recording, client);
    for job in done {
        let mut next = source.next(Tick(completed));
        while was_shed && next.number < job.number {
            // It was dropped.
            next = source.next(Tick(completed));
        }
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

/// Whether a client was shed, and its jobs were dropped until it came back.
fn was_shed(recording: &Recording, client: usize) -> bool {
    recording.schedulers.iter().any(|scheduler| {
        let number = scheduler.clients.iter().position(|known| *known == client);
        number.is_some_and(|number| !gaps(&scheduler.steps, ClientId(number as u16)).is_empty())
    })
}

/// CPU time of a client's turns from some time on.
fn ran(recording: &Recording, client: usize, from: u64) -> u64 {
    let part = |turn: &crate::recording::Turn| turn.ran.min(turn.end.saturating_sub(from));
    recording.turns_of(client).map(part).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::fixture;
    use libos_core::jobs::{Arrivals, Spec};
    use libos_core::sched::steps::Step;

    /// A client with a job every 20 ticks, of which those with these numbers were done; and who is not served at 30.
    fn pending(done: &[u64], was_shed: bool) -> Vec<u64> {
        let mut recording = fixture::periodic();
        recording.clients[0].until = 100;
        if was_shed {
            recording.schedulers[0].steps.push(Step::Leave { client: ClientId(0), now: Tick(30) });
        }
        let arrivals = Arrivals::Periodic { period: 20, offset: 0 };
        let spec = Spec { arrivals, deadline: Some(20), work_min: 4, work_max: 4 };
        let jobs = recording.jobs.clone();
        let done = jobs.iter().filter(|job| done.contains(&job.number)).collect();
        let source = JobSource::new(spec, Tick(0), 1);
        of_client(&recording, 0, source, done).iter().map(|job| job.number).collect()
    }

    #[test]
    fn jobs_that_were_released_after_the_last_that_was_done_are_pending() {
        assert_eq!(pending(&[0, 1, 2], false), [3, 4]);
    }

    #[test]
    fn a_job_that_is_missing_in_between_was_dropped_if_its_client_was_shed_and_otherwise_nothing_is_known() {
        assert_eq!(pending(&[0, 1, 3], true), [4]);
        assert_eq!(pending(&[0, 1, 3], false), [] as [u64; 0]);
    }
}
