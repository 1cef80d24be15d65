//! Jobs: response, lateness, tardiness, misses. A job that was not done when its service ended counts as missed if it was due
//! by then, with the tardiness that it had reached, and does not count if it was not; it has no response.

use super::order::{Distribution, distribution};
use crate::recording::{Job, Recording};
use serde::{Deserialize, Serialize};

/// The jobs of some clients. Times in microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Jobs {
    /// Jobs released.
    pub released: u64,
    /// Jobs done.
    pub completed: u64,
    /// Jobs with a deadline in the run, or done before theirs.
    pub judged: u64,
    /// Of these, those that missed it.
    pub misses: u64,
    /// Misses of all judged; `None` if none was.
    pub miss_ratio: Option<f64>,
    /// From release to completion, of the jobs that were done.
    pub response: Option<Distribution>,
    /// Greatest lateness of a judged job: completion less deadline, negative if all were early.
    pub max_lateness_us: Option<f64>,
    /// Mean tardiness of the judged jobs: lateness where it is positive, else 0.
    pub mean_tardiness_us: Option<f64>,
    /// Greatest tardiness of a judged job.
    pub max_tardiness_us: Option<f64>,
}

/// The lateness of a job in ticks, as far as the run's end lets it be known; `None` if it is not to be judged.
pub fn lateness(job: &Job, end: u64) -> Option<i128> {
    let due = i128::from(job.due?);
    match job.completed {
        Some(completed) => Some(i128::from(completed) - due),
        None => Some(i128::from(end) - due).filter(|late| *late >= 0),
    }
}

/// Whether a job is judged and missed its deadline. One that is not done when it is due has missed it.
pub fn missed(job: &Job, end: u64) -> bool {
    lateness(job, end).is_some_and(|late| late > 0 || job.completed.is_none())
}

/// The jobs of these clients. `None` if they have none.
pub fn measure(recording: &Recording, clients: &[usize]) -> Option<Jobs> {
    let jobs: Vec<_> = recording.jobs.iter().filter(|job| clients.contains(&job.client)).collect();
    if jobs.is_empty() {
        return None;
    }
    let late: Vec<i128> = jobs.iter().filter_map(|job| lateness(job, recording.horizon(job))).collect();
    let misses = jobs.iter().filter(|job| missed(job, recording.horizon(job))).count() as u64;
    let responses: Vec<_> =
        jobs.iter().filter_map(|job| Some(job.completed?.saturating_sub(job.released))).collect();
    let judged = late.len() as u64;
    let us = |ticks: i128| ticks as f64 * 1e6 / recording.frequency as f64;
    let tardiness: i128 = late.iter().map(|late| (*late).max(0)).sum();
    let worst = late.iter().max().copied();
    Some(Jobs {
        released: jobs.len() as u64,
        completed: responses.len() as u64,
        judged,
        misses,
        miss_ratio: (judged > 0).then(|| misses as f64 / judged as f64),
        response: distribution(responses, recording.frequency),
        max_lateness_us: worst.map(us),
        mean_tardiness_us: (judged > 0).then(|| us(tardiness) / judged as f64),
        max_tardiness_us: worst.map(|late| us(late.max(0))),
    })
}

#[cfg(test)]
mod tests {
    use super::super::fixture;
    use super::*;

    #[test]
    fn jobs_are_counted_by_hand() {
        // Ticks are microseconds. Due 10 after each release; the run ends at 100.
        let job =
            |number, released, completed| fixture::job(number, released, Some(released + 10), completed);
        let jobs = vec![
            job(0, 0, Some(4)),
            job(1, 20, Some(36)),
            job(2, 40, Some(50)),
            job(3, 60, None),
            job(4, 95, None),
        ];
        let recording = Recording { jobs, end: 100, ..fixture::periodic() };
        let found = measure(&recording, &[0]).unwrap();
        assert_eq!((found.released, found.completed, found.judged, found.misses), (5, 3, 4, 2));
        assert_eq!(found.miss_ratio, Some(0.5));
        assert_eq!(found.response.unwrap().max_us, 16.0);
        // Lateness −6, 6, 0 and, not done 30 after its deadline, 30.
        assert_eq!((found.max_lateness_us, found.max_tardiness_us), (Some(30.0), Some(30.0)));
        assert_eq!(found.mean_tardiness_us, Some(9.0));
    }

    #[test]
    fn a_job_done_at_its_deadline_is_in_time_and_one_still_running_then_is_not() {
        let at = |completed| fixture::job(0, 0, Some(100), completed);
        assert!(!missed(&at(Some(100)), 100) && missed(&at(Some(101)), 200));
        assert!(missed(&at(None), 100) && !missed(&at(None), 99));
    }

    #[test]
    fn jobs_without_deadlines_have_responses_only() {
        let recording = Recording { jobs: vec![fixture::job(0, 5, None, Some(8))], ..fixture::periodic() };
        let found = measure(&recording, &[0]).unwrap();
        assert_eq!((found.judged, found.miss_ratio, found.max_lateness_us), (0, None, None));
        assert_eq!(found.response.unwrap().p50_us, 3.0);
        assert_eq!(measure(&recording, &[1]), None);
    }
}
