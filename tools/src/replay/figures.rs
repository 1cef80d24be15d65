//! What became of every client of a run, in few figures, for a comparison of two runs of the same clients.
//!
//! Not here: statistics over several runs.

use crate::metrics::order::quantile;
use crate::recording::{Job, Recording};
use crate::tables::columns;

/// What became of a client. Times in ticks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// CPU time.
    pub ran: u64,
    /// CPU time of all clients of its libOS on its core.
    pub of: u64,
    /// Jobs done.
    pub jobs: u64,
    /// Jobs not done in time.
    pub misses: u64,
    /// Response times of the jobs that were done, ascending.
    pub responses: Vec<u64>,
}

/// Every client's figures, in the recording's order.
pub fn of(recording: &Recording) -> Vec<Figures> {
    let mut all = vec![Figures::default(); recording.clients.len()];
    for turn in &recording.turns {
        all[turn.client].ran += turn.ran;
    }
    for scheduler in &recording.schedulers {
        let sum = scheduler.clients.iter().map(|client| all[*client].ran).sum();
        scheduler.clients.iter().for_each(|client| all[*client].of = sum);
    }
    for job in &recording.jobs {
        let figures = &mut all[job.client];
        figures.misses += u64::from(is_missed(job, recording.horizon(job)));
        if let Some(completed) = job.completed {
            figures.jobs += 1;
            figures.responses.push(completed - job.released);
        }
    }
    all.iter_mut().for_each(|figures| figures.responses.sort_unstable());
    all
}

fn is_missed(job: &Job, end: u64) -> bool {
    job.due.is_some_and(|due| job.completed.unwrap_or(end) > due)
}

impl Figures {
    /// The response time that so many of a hundred jobs do not exceed (nearest rank).
    pub fn response(&self, percent: u64) -> Option<u64> {
        quantile(&self.responses, percent * 10)
    }
}

/// Both runs beside each other: `old -> new` where they differ.
pub fn table(recording: &Recording, old: &[Figures], new: &[Figures]) -> String {
    let heads = ["client", "share", "jobs", "misses", "p50 us", "p99 us", "worst us"];
    let mut rows = vec![heads.map(String::from).to_vec()];
    for (client, (old, new)) in recording.clients.iter().zip(old.iter().zip(new)) {
        let cells = |figures: &Figures| {
            let share = figures.ran as f64 * 100.0 / figures.of.max(1) as f64;
            let us = |ticks: u64| format!("{:.1}", ticks as f64 * 1e6 / recording.frequency.max(1) as f64);
            let response = |percent| figures.response(percent).map_or("-".to_string(), us);
            let counts = [figures.jobs, figures.misses].map(|count| count.to_string());
            let [jobs, misses] = counts;
            [format!("{share:.2}%"), jobs, misses, response(50), response(99), response(100)]
        };
        let both = cells(old).into_iter().zip(cells(new));
        let both = both.map(|(old, new)| if old == new { old } else { format!("{old} -> {new}") });
        rows.push(std::iter::once(format!("{}.{}", client.libos, client.name)).chain(both).collect());
    }
    columns(&rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_the_nearest_rank() {
        let figures = Figures { responses: (1..=200).collect(), ..Figures::default() };
        assert_eq!([1, 50, 99, 100].map(|percent| figures.response(percent)), [2, 100, 198, 200].map(Some));
        assert_eq!(Figures::default().response(50), None);
    }

    #[test]
    fn a_job_is_missed_if_it_is_late_or_not_done_when_it_was_due() {
        let job =
            |due, completed| Job { client: 0, number: 0, released: 0, due, completed, demand: 1, used: 1 };
        let missed = |due, completed| is_missed(&job(due, completed), 100);
        assert!(missed(Some(10), Some(11)) && missed(Some(99), None));
        assert!(!missed(Some(10), Some(10)) && !missed(Some(100), None) && !missed(None, Some(50)));
    }
}
