//! Every job of every client, as a recording has it. Not here: all that is known without a recording.

use super::{Results, fine_us};
use crate::recording::{Job, Recording};
use serde::Serialize;

/// A job that was done. Times are in microseconds, absolute ones since the first slot began.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct JobResult {
    /// Its number, from 0.
    pub number: u64,
    /// When it was released.
    pub released_us: f64,
    /// When it was done.
    pub completed_us: f64,
    /// From release to completion.
    pub response_us: f64,
    /// Completion after the deadline; negative for one that was early, `null` without deadline.
    pub lateness_us: Option<f64>,
    /// CPU time that it declared.
    pub demand_us: f64,
    /// CPU time that it used.
    pub used_us: f64,
}

/// Adds every job that was done to its client's results, in the order in which they ended.
pub(super) fn add(results: &mut Results, recording: &Recording) {
    for job in &recording.jobs {
        let of = &recording.clients[job.client];
        let libos = results.libos.iter_mut().find(|libos| libos.name == of.libos);
        let client = libos.and_then(|libos| libos.clients.iter_mut().find(|client| client.name == of.name));
        if let Some((client, done)) = client.zip(result(job, recording.epoch, recording.frequency)) {
            client.job_list.push(done);
        }
    }
}

fn result(job: &Job, epoch: u64, frequency: u64) -> Option<JobResult> {
    let completed = job.completed?;
    let since_epoch = |time: u64| fine_us(time.saturating_sub(epoch), frequency);
    let lateness = |due: u64| match completed >= due {
        true => fine_us(completed - due, frequency),
        false => -fine_us(due - completed, frequency),
    };
    Some(JobResult {
        number: job.number,
        released_us: since_epoch(job.released),
        completed_us: since_epoch(completed),
        response_us: fine_us(completed.saturating_sub(job.released), frequency),
        lateness_us: job.due.map(lateness),
        demand_us: fine_us(job.demand, frequency),
        used_us: fine_us(job.used, frequency),
    })
}
