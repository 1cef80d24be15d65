//! Every job of every client, as a recording has it. Not here: all that is known without a recording.

use super::{Results, fine_us};
use crate::recording::{Job, Recording};
use serde::Serialize;

/// A job. Times are in microseconds, absolute ones since the first slot began.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct JobResult {
    /// Its number, from 0.
    pub number: u64,
    /// When it was released.
    pub released_us: f64,
    /// When it was done; `null` if it never was.
    pub completed_us: Option<f64>,
    /// From release to completion; `null` if it was never done.
    pub response_us: Option<f64>,
    /// Completion after the deadline; negative for one that was early, `null` without deadline or completion.
    pub lateness_us: Option<f64>,
    /// CPU time that it declared.
    pub demand_us: f64,
    /// CPU time that it used; one that was never done: as far as it came.
    pub used_us: f64,
}

/// Adds every job to its client's results: first those that were done, in the order in which they ended.
pub(super) fn add(results: &mut Results, recording: &Recording) {
    for job in &recording.jobs {
        let of = &recording.clients[job.client];
        let libos = results.libos.iter_mut().find(|libos| libos.name == of.libos);
        let client = libos.and_then(|libos| libos.clients.iter_mut().find(|client| client.name == of.name));
        if let Some(client) = client {
            client.job_list.push(result(job, recording.epoch, recording.frequency));
        }
    }
}

fn result(job: &Job, epoch: u64, frequency: u64) -> JobResult {
    let since_epoch = |time: u64| fine_us(time.saturating_sub(epoch), frequency);
    let lateness = |(completed, due): (u64, u64)| match completed >= due {
        true => fine_us(completed - due, frequency),
        false => -fine_us(due - completed, frequency),
    };
    JobResult {
        number: job.number,
        released_us: since_epoch(job.released),
        completed_us: job.completed.map(since_epoch),
        response_us: job.completed.map(|done| fine_us(done.saturating_sub(job.released), frequency)),
        lateness_us: job.completed.zip(job.due).map(lateness),
        demand_us: fine_us(job.demand, frequency),
        used_us: fine_us(job.used, frequency),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_that_was_never_done_has_no_completion_and_is_listed_as_far_as_it_came() {
        let late = Job {
            client: 0,
            number: 3,
            released: 1100,
            due: Some(1200),
            completed: Some(1300),
            demand: 90,
            used: 91,
        };
        let done = result(&late, 100, 1_000_000);
        assert_eq!(
            (done.completed_us, done.response_us, done.lateness_us),
            (Some(1200.0), Some(200.0), Some(100.0))
        );
        let never = result(&Job { completed: None, used: 7, ..late }, 100, 1_000_000);
        assert_eq!((never.completed_us, never.response_us, never.lateness_us), (None, None, None));
        assert_eq!((never.released_us, never.demand_us, never.used_us), (1000.0, 90.0, 7.0));
        assert!(serde_json::to_string(&never).unwrap().contains("\"completed_us\":null"));
    }
}
