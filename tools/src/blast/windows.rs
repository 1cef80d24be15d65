//! What a libOS had in each revolution, and in the windows before, during and after a failure. Not here: whether that is as it
//! should be (`judge`).

use crate::metrics::competition::{Event, walk};
use crate::metrics::jobs::missed;
use crate::metrics::order::quantile;
use crate::recording::{Job, Recording, Scheduler, Turn};
use libos_core::sched::measure::ShareError;
use libos_core::sched::{ClientId, Tick};
use serde::Serialize;
use std::ops::Range;

/// Revolutions of a run, from one on and up to but not including another.
pub type Revolutions = Range<u64>;

/// The three windows of a failure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Windows {
    /// From when all jobs have begun until the revolution in which the failure begins.
    pub before: Revolutions,
    /// From that revolution to the one in which the failure ends, both included.
    pub during: Revolutions,
    /// From then to the last whole revolution in which everybody was served.
    pub after: Revolutions,
}

impl Windows {
    /// Those of a failure that lasted from one time to another, in a run that is measured in these revolutions.
    pub fn new(recording: &Recording, measured: &Revolutions, (from, to): (u64, u64)) -> Self {
        let within = |revolution: u64| revolution.clamp(measured.start, measured.end);
        let begin = within(revolution_of(recording, from));
        let end = within(revolution_of(recording, to) + 1).max(begin);
        Self { before: measured.start..begin, during: begin..end, after: end..measured.end }
    }

    /// All three, with their names.
    pub fn named(&self) -> [(&'static str, &Revolutions); 3] {
        [("before", &self.before), ("during", &self.during), ("after", &self.after)]
    }
}

/// Ticks of a revolution.
pub fn length(recording: &Recording) -> u64 {
    (recording.slots * recording.quantum).max(1)
}

/// The revolution in which a time is.
pub fn revolution_of(recording: &Recording, time: u64) -> u64 {
    time.saturating_sub(recording.epoch) / length(recording)
}

/// The whole revolutions of a run in which clients were served: those after everybody's first job was released, to the first in
/// which somebody's service was over, of the libOSes that stay.
pub fn measured(recording: &Recording, stay: &[&str]) -> Revolutions {
    let stays = |client: &usize| {
        recording.clients.get(*client).is_some_and(|client| stay.contains(&client.libos.as_str()))
    };
    let mut begins: Vec<Option<u64>> = vec![None; recording.clients.len()];
    for job in recording.jobs.iter().filter(|job| stays(&job.client)) {
        let begin = &mut begins[job.client];
        *begin = Some(begin.map_or(job.released, |first| first.min(job.released)));
    }
    let begin = begins.into_iter().flatten().max().unwrap_or(recording.epoch);
    let until = recording.clients.iter().filter(|client| stay.contains(&client.libos.as_str()));
    let end = until.map(|client| client.until.min(recording.end)).min().unwrap_or(recording.end);
    let first = revolution_of(recording, begin) + 1;
    first..revolution_of(recording, end).max(first)
}

/// What a libOS had in one revolution.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Row {
    /// Slots that began as its own, on all cores.
    pub slots: u64,
    /// How late the latest of them began, in ticks.
    pub late: u64,
    /// Jobs released that missed their deadlines.
    pub misses: u64,
    /// The longest response of a job released, in ticks.
    pub response: u64,
    /// The longest time that a client without jobs was without the CPU, in ticks, up to a turn that began.
    pub wait: u64,
}

/// What a libOS had in each revolution of a run.
pub fn rows(recording: &Recording, libos: &str) -> Vec<Row> {
    let mut rows = vec![Row::default(); revolution_of(recording, recording.end) as usize + 1];
    let mut at = |time: u64, note: &mut dyn FnMut(&mut Row)| {
        rows.get_mut(revolution_of(recording, time) as usize).into_iter().for_each(note);
    };
    let is_own = |owner: usize| recording.schedulers.get(owner).is_some_and(|one| one.libos == libos);
    for slice in recording.slices.iter().filter(|slice| slice.owner.is_some_and(is_own)) {
        // When it should have begun; so a slot that begins late is still in its revolution.
        let due = slice.end.saturating_sub(recording.quantum);
        at(due, &mut |row| {
            row.slots += 1;
            row.late = row.late.max(slice.begin.saturating_sub(due));
        });
    }
    for job in jobs(recording, libos) {
        let response = job.completed.map_or(0, |done| done.saturating_sub(job.released));
        at(job.released, &mut |row| {
            row.misses += u64::from(missed(job, recording.horizon(job)));
            row.response = row.response.max(response);
        });
    }
    for (begin, wait) in waits(recording, libos) {
        at(begin, &mut |row| row.wait = row.wait.max(wait));
    }
    rows
}

/// The jobs of a libOS's clients.
fn jobs<'a>(recording: &'a Recording, libos: &str) -> impl Iterator<Item = &'a Job> {
    recording.jobs.iter().filter(move |job| recording.clients[job.client].libos == libos)
}

/// The waits of a libOS's clients that have no jobs: when each was over, and how long it was.
fn waits(recording: &Recording, libos: &str) -> Vec<(u64, u64)> {
    let mut all = Vec::new();
    for (index, client) in recording.clients.iter().enumerate() {
        if client.libos != libos || recording.jobs.iter().any(|job| job.client == index) {
            continue;
        }
        let turns: Vec<&Turn> = recording.turns_of(index).collect();
        all.extend(turns.windows(2).map(|pair| (pair[1].begin, pair[1].begin.saturating_sub(pair[0].end))));
    }
    all
}

/// What a libOS had in a window. Times in microseconds.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Figures {
    /// Revolutions.
    pub revolutions: u64,
    /// Slots in a revolution, over all cores, on average.
    pub slots: f64,
    /// The fewest slots in one.
    pub fewest_slots: u64,
    /// How late a slot began at most.
    pub late_us: f64,
    /// The largest distance of a client from its part, in quanta, counted from the window's beginning; `None` if no two of its clients
    /// competed, or it promises no shares.
    pub share_error_quanta: Option<f64>,
    /// Jobs released.
    pub jobs: u64,
    /// Of these, those that missed their deadlines.
    pub misses: u64,
    /// Of 100 responses, all but one are at most this; `None` without jobs.
    pub response_p99_us: Option<f64>,
    /// The longest response.
    pub response_max_us: Option<f64>,
    /// Of 100 times without the CPU of clients that always want it, all but one are at most this; `None` if there are none.
    pub wait_p99_us: Option<f64>,
    /// The longest such time.
    pub wait_max_us: Option<f64>,
}

/// What a libOS had in these revolutions of a run.
pub fn figures(recording: &Recording, libos: &str, rows: &[Row], window: &Revolutions) -> Figures {
    let end = window.end.min(rows.len() as u64);
    let mine = &rows[window.start.min(end) as usize..end as usize];
    let is_in = |time: u64| window.contains(&revolution_of(recording, time));
    let released: Vec<&Job> = jobs(recording, libos).filter(|job| is_in(job.released)).collect();
    let responses: Vec<u64> =
        released.iter().filter_map(|job| Some(job.completed?.saturating_sub(job.released))).collect();
    let waits: Vec<u64> = waits(recording, libos)
        .into_iter()
        .filter(|(begin, _)| is_in(*begin))
        .map(|(_, wait)| wait)
        .collect();
    let (response_p99_us, response_max_us) = longest(recording, responses);
    let (wait_p99_us, wait_max_us) = longest(recording, waits);
    let slots: u64 = mine.iter().map(|row| row.slots).sum();
    Figures {
        revolutions: mine.len() as u64,
        slots: if mine.is_empty() { 0.0 } else { slots as f64 / mine.len() as f64 },
        fewest_slots: mine.iter().map(|row| row.slots).min().unwrap_or(0),
        late_us: recording.us(mine.iter().map(|row| row.late).max().unwrap_or(0)),
        share_error_quanta: share_error(recording, libos, window),
        jobs: released.len() as u64,
        misses: mine.iter().map(|row| row.misses).sum(),
        response_p99_us,
        response_max_us,
        wait_p99_us,
        wait_max_us,
    }
}

/// The 99th of a hundred, and the longest, in microseconds.
fn longest(recording: &Recording, mut ticks: Vec<u64>) -> (Option<f64>, Option<f64>) {
    ticks.sort_unstable();
    let us = |ticks: u64| recording.us(ticks);
    (quantile(&ticks, 990).map(us), ticks.last().copied().map(us))
}

/// The largest distance of a client of a libOS from its part within a window, in quanta.
fn share_error(recording: &Recording, libos: &str, window: &Revolutions) -> Option<f64> {
    let mine = recording.schedulers.iter().filter(|one| one.libos == libos && one.policy.is_for_shares());
    mine.filter_map(|scheduler| error_of(recording, scheduler, window)).reduce(f64::max)
}

fn error_of(recording: &Recording, scheduler: &Scheduler, window: &Revolutions) -> Option<f64> {
    let (mut error, mut competing, mut together) = (ShareError::default(), Vec::<ClientId>::new(), 0);
    let mut began = false;
    walk(&scheduler.steps, |now, event| {
        let (revolution, tickets) =
            (revolution_of(recording, now.0), |client| recording.tickets(scheduler, client));
        if revolution >= window.end {
            return;
        }
        let is_in = revolution >= window.start;
        if is_in && !std::mem::replace(&mut began, is_in) {
            // Those who compete already do so afresh.
            competing.iter().for_each(|client| error.begin(*client, tickets(*client)));
        }
        match event {
            Event::Begins(client, _) => {
                competing.push(client);
                if is_in {
                    error.begin(client, tickets(client));
                }
            }
            Event::Ends(client) => {
                competing.retain(|other| *other != client);
                error.end(client);
            }
            Event::Charged(client, ran) if is_in => error.charge(client, ran),
            Event::Charged(..) | Event::Picked(..) => {}
        }
        if is_in {
            together = together.max(competing.len());
        }
    });
    let clients = (0..scheduler.clients.len()).map(|client| ClientId(client as u16));
    let worst = clients.map(|client| error.worst_of(client)).max()?;
    (together > 1).then(|| worst.milliquanta(Tick(recording.quantum)) as f64 / 1000.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::fixture::{self, QUANTUM};

    /// Ten revolutions of four slots.
    fn recording() -> Recording {
        fixture::alternating(40)
    }

    #[test]
    fn windows_are_whole_revolutions_and_both_ends_of_the_failure_are_in_the_middle_one() {
        let recording = recording();
        let windows = |from, to| Windows::new(&recording, &(1..9), (from, to));
        let made = windows(8_500, 15_999);
        assert_eq!((made.before, made.during, made.after), (1..2, 2..4, 4..9));
        // One that is over at once has its revolution; one that never came leaves all before it.
        assert_eq!(windows(8_500, 8_500).during, 2..3);
        let never = windows(40_000, 40_000);
        assert_eq!((never.before, never.during, never.after), (1..9, 9..9, 9..9));
    }

    #[test]
    fn a_missing_slot_and_a_late_one_are_in_the_revolution_in_which_they_should_have_begun() {
        let mut recording = recording();
        recording.slices.remove(9);
        // The first of revolution 3 begins 30 late.
        let late = recording.slices.iter_mut().find(|slice| slice.begin == 12 * QUANTUM).unwrap();
        late.begin += 30;
        let rows = rows(&recording, "one");
        assert_eq!(rows[1..5].iter().map(|row| row.slots).collect::<Vec<_>>(), [4, 3, 4, 4]);
        assert_eq!(rows[1..5].iter().map(|row| row.late).collect::<Vec<_>>(), [0, 0, 30, 0]);
        let figures = figures(&recording, "one", &rows, &(1..4));
        assert_eq!((figures.revolutions, figures.fewest_slots, figures.late_us), (3, 3, 30.0));
        assert_eq!(figures.slots, 11.0 / 3.0);
        assert_eq!(super::figures(&recording, "two", &super::rows(&recording, "two"), &(1..4)).slots, 0.0);
    }

    #[test]
    fn jobs_count_where_they_are_released_and_waits_where_they_end() {
        let mut recording = recording();
        recording.clients.iter_mut().for_each(|client| client.until = 40_000);
        for (number, released, done) in [(0, 4_100, Some(5_000)), (1, 8_000, Some(13_000)), (2, 12_000, None)]
        {
            recording.jobs.push(fixture::job(number, released, Some(released + 2_000), done));
        }
        let rows = rows(&recording, "one");
        assert_eq!(rows[1..4].iter().map(|row| row.misses).collect::<Vec<_>>(), [0, 1, 1]);
        assert_eq!(rows[1..4].iter().map(|row| row.response).collect::<Vec<_>>(), [900, 5_000, 0]);
        // The other client has no jobs, and a quantum between its turns.
        assert_eq!(rows[1].wait, QUANTUM);
        let figures = figures(&recording, "one", &rows, &(1..4));
        assert_eq!((figures.jobs, figures.misses), (3, 2));
        assert_eq!((figures.response_p99_us, figures.response_max_us), (Some(5_000.0), Some(5_000.0)));
        assert_eq!(figures.wait_max_us, Some(1_000.0));
    }

    #[test]
    fn the_share_error_of_a_window_knows_nothing_of_what_was_before() {
        // A charge counts where it is made: all four of revolution 1 are the first client's, the others alternate.
        let order: Vec<usize> =
            (0..40).map(|turn| if (3..7).contains(&turn) { 0 } else { turn % 2 }).collect();
        let recording = fixture::turns(&[1, 1], &order);
        let rows = rows(&recording, "one");
        let error = |window| figures(&recording, "one", &rows, &window).share_error_quanta;
        assert_eq!(error(1..2), Some(2.0));
        assert_eq!(error(2..9), Some(0.5));
        assert_eq!(error(0..9), Some(2.5));
    }

    #[test]
    fn what_is_measured_begins_when_all_have_jobs_and_ends_when_the_first_is_served_no_more() {
        let mut recording = recording();
        recording.clients[0].until = 33_000;
        recording.jobs.push(fixture::job(0, 5_000, None, Some(6_000)));
        assert_eq!(measured(&recording, &["one"]), 2..8);
        assert_eq!(measured(&recording, &[]), 1..10);
    }
}
