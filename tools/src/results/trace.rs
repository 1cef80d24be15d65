//! What a recording adds to the results: every job of every client, what recording cost, and whether all decisions were the
//! same again. Not here: all that is known without a recording.

use super::{Results, fine_us, ratio, us};
use crate::recording::Job;
use crate::trace::Recorded;
use crate::trace::replay::Replayed;
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

/// What was recorded.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TraceResults {
    /// Records of the kernel's own.
    pub kernel_records: u64,
    /// Marks of programs.
    pub marks: u64,
    /// Records that are missing.
    pub lost: u64,
    /// What one mark costs.
    pub mark_us: f64,
    /// CPU time of the tracer.
    pub tracer_us: u64,
    /// What recording cost of all cores' time, at most.
    pub overhead: f64,
    /// Each scheduler's decisions, made once more.
    pub replayed: Vec<Replayed>,
}

/// The results with what was recorded.
pub fn add(mut results: Results, recorded: &Recorded) -> Results {
    let Recorded { recording, cost, replayed, .. } = recorded;
    let frequency = recording.frequency;
    results.trace = Some(TraceResults {
        kernel_records: cost.kernel_records,
        marks: cost.marks,
        lost: recording.lost,
        mark_us: fine_us(cost.mark, frequency),
        tracer_us: us(cost.tracer, frequency),
        overhead: ratio(cost.millionths(), 1_000_000, 6),
        replayed: replayed.clone(),
    });
    for job in &recording.jobs {
        let of = &recording.clients[job.client];
        let libos = results.libos.iter_mut().find(|libos| libos.name == of.libos);
        let clients = libos.into_iter().flat_map(|libos| &mut libos.clients);
        let client = clients.into_iter().find(|client| client.name == of.name);
        if let Some((client, done)) = client.zip(result(job, recording.epoch, frequency)) {
            client.job_list.push(done);
        }
    }
    results
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
