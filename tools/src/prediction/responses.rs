//! How close simulated response times are to the kernel's, job by job. Not here: the runs, and what is allowed (`super`).

use crate::recording::{Job, Recording};
use std::collections::BTreeMap;

/// A job's response time may be off by this part of it,
const PART: f64 = 0.02;
/// or by so many microseconds, if that is more.
const TOLERANCE_US: f64 = 20.0;

/// What a comparison found.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Responses {
    /// Jobs that were done in both runs.
    pub compared: usize,
    /// Those whose response times are within 2 % or 20 microseconds.
    pub within: usize,
    /// The first of the others by the time of release, with its figures.
    pub first: Option<String>,
    /// The largest difference, in microseconds.
    pub worst_us: f64,
}

/// Compares the jobs of two runs.
pub fn compare(kernel: &Recording, simulated: &Recording) -> Responses {
    let done = |job: &&Job| job.completed.is_some();
    let ours: BTreeMap<(usize, u64), &Job> =
        simulated.jobs.iter().filter(done).map(|job| ((job.client, job.number), job)).collect();
    let mut found = Responses::default();
    let mut first: Option<(u64, String)> = None;
    for theirs in kernel.jobs.iter().filter(done) {
        let Some(ours) = ours.get(&(theirs.client, theirs.number)) else { continue };
        let (kernels, simulators) = (response_us(kernel, theirs), response_us(simulated, ours));
        let off = (kernels - simulators).abs();
        found.compared += 1;
        found.worst_us = found.worst_us.max(off);
        if off <= TOLERANCE_US.max(kernels * PART) {
            found.within += 1;
        } else if first.as_ref().is_none_or(|(released, _)| theirs.released < *released) {
            let client = &kernel.clients[theirs.client];
            let text = format!(
                "job {} of {} {}, released at {:.3} ms: {kernels:.1} us on the kernel, {simulators:.1} simulated",
                theirs.number,
                client.name,
                client.place(),
                kernel.us(theirs.released - kernel.epoch) / 1e3,
            );
            first = Some((theirs.released, text));
        }
    }
    found.first = first.map(|(_, text)| text);
    found
}

fn response_us(recording: &Recording, job: &Job) -> f64 {
    recording.us(job.completed.unwrap_or(job.released).saturating_sub(job.released))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::tests::{ideal, libos, periodic, scenario};
    use libos_core::scenario::Policy;

    fn recording() -> Recording {
        let clients = vec![periodic("short", (1, 4), 0), periodic("long", (10, 20), 0)];
        ideal(&scenario(1, 500, vec![libos(Policy::Edf, clients)])).recording
    }

    #[test]
    fn a_run_is_as_close_as_can_be_to_itself() {
        let found = compare(&recording(), &recording());
        assert!(found.compared > 100 && found.within == found.compared, "{found:?}");
        assert_eq!(found.first, None);
    }

    #[test]
    fn a_job_that_took_longer_by_more_than_is_allowed_is_found_and_named() {
        let kernel = recording();
        let mut simulated = kernel.clone();
        let job = simulated.jobs.iter_mut().find(|job| job.number == 3).unwrap();
        let name = kernel.clients[job.client].name.clone();
        let response = job.completed.unwrap() - job.released;
        job.completed = job.completed.map(|done| done + 21 + response / 50);
        let found = compare(&kernel, &simulated);
        assert_eq!(found.compared - found.within, 1);
        assert!(found.first.unwrap().contains(&format!("job 3 of {name}")));
    }
}
