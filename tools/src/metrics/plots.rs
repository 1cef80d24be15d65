//! The curves of a run, thinned out to what a person can see on a page: service against share, errors over time, who had
//! the CPU when. All times in microseconds after the first slot.

use super::competition::{Event, walk};
use crate::recording::Recording;
use libos_core::sched::ClientId;
use libos_stride::currency::{Bank, STAKES_PER_TICKET};
use serde::{Deserialize, Serialize};

/// Points of a curve at most: more than a figure has columns of pixels to show.
const POINTS: u64 = 240;
/// Turns of a timeline at most.
const TURNS: usize = 2500;

/// The curves of one scheduler.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Curves {
    /// The core.
    pub core: u32,
    /// Ends of the equal spans of time into which the run is cut.
    pub at_us: Vec<f64>,
    /// Of each client, in the policy's numbering.
    pub clients: Vec<Curve>,
}

/// The curves of one client.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Curve {
    /// Its name.
    pub name: String,
    /// Its tickets.
    pub tickets: u32,
    /// CPU time so far, at the end of each span.
    pub ran_us: Vec<f64>,
    /// What was its share so far of the CPU time given out while it competed.
    pub ideal_us: Vec<f64>,
    /// Of each span the error, in quanta, that is furthest from 0: CPU time less share.
    pub error_quanta: Vec<f64>,
}

/// Who had each core when, from the beginning of the run on.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Timeline {
    /// Names of the clients that occur, with their libOS if there are several.
    pub names: Vec<String>,
    /// Turns: client, core, begin, length.
    pub turns: Vec<(usize, u32, f64, f64)>,
    /// Missed deadlines in the shown part: client, when.
    pub misses: Vec<(usize, f64)>,
    /// The end of what is shown.
    pub shown_us: f64,
    /// The end of the run.
    pub end_us: f64,
}

/// The curves of the recording's scheduler of this index.
pub fn curves(recording: &Recording, index: usize) -> Curves {
    let scheduler = &recording.schedulers[index];
    let tickets = |client| recording.tickets(scheduler, client);
    let length = recording.end.saturating_sub(recording.epoch).max(1);
    let mut sampler = Sampler {
        share: vec![Share::default(); scheduler.clients.len()],
        bank: Bank::new(&scheduler.currencies),
        quantum: recording.quantum.max(1) as f64,
        curves: Curves { core: scheduler.core, ..Curves::default() },
    };
    sampler.curves.clients = scheduler
        .clients
        .iter()
        .enumerate()
        .map(|(number, client)| Curve {
            name: recording.clients[*client].name.clone(),
            tickets: tickets(ClientId(number as u16)),
            ..Curve::default()
        })
        .collect();
    let span =
        |point: u64| recording.epoch + (u128::from(length) * u128::from(point) / u128::from(POINTS)) as u64;
    let mut point = 1;
    let us = |ticks: f64| ticks * 1e6 / recording.frequency as f64;
    walk(&scheduler.steps, |now, event| {
        while point <= POINTS && now.0 > span(point) {
            sampler.close(recording.us(span(point) - recording.epoch), us);
            point += 1;
        }
        sampler.note(event, &tickets);
    });
    for point in point..=POINTS {
        sampler.close(recording.us(span(point) - recording.epoch), us);
    }
    sampler.curves
}

#[derive(Clone, Copy, Default)]
struct Share {
    ran: u64,
    ideal: f64,
    /// The error that is furthest from 0 since the span began, in ticks.
    error: f64,
}

struct Sampler {
    share: Vec<Share>,
    /// What the tickets of those that compete are worth.
    bank: Bank,
    quantum: f64,
    curves: Curves,
}

impl Sampler {
    fn note(&mut self, event: Event, tickets: &impl Fn(ClientId) -> u32) {
        match event {
            Event::Begins(client, held) => {
                let stake = u64::from(held.of(tickets(client))) * STAKES_PER_TICKET;
                self.bank.set(client, stake, stake);
            }
            Event::Ends(client) => self.bank.set(client, 0, 0),
            Event::Charged(client, ran) => {
                let all = self.bank.total() as f64;
                self.share[usize::from(client.0)].ran += ran.0;
                for (id, share) in (0..).map(ClientId).zip(&mut self.share) {
                    let worth = self.bank.worth(id);
                    if worth == 0 {
                        continue;
                    }
                    share.ideal += ran.0 as f64 * worth as f64 / all;
                    let error = share.ran as f64 - share.ideal;
                    if error.abs() > share.error.abs() {
                        share.error = error;
                    }
                }
            }
            Event::Picked(..) => {}
        }
    }

    fn close(&mut self, at_us: f64, us: impl Fn(f64) -> f64) {
        self.curves.at_us.push(round(at_us));
        for (share, curve) in self.share.iter_mut().zip(&mut self.curves.clients) {
            curve.ran_us.push(round(us(share.ran as f64)));
            curve.ideal_us.push(round(us(share.ideal)));
            curve.error_quanta.push((share.error / self.quantum * 1000.0).round() / 1000.0);
            share.error = share.ran as f64 - share.ideal;
        }
    }
}

/// Tenths are finer than a pixel, and a page is shorter by the rest.
fn round(us: f64) -> f64 {
    (us * 10.0).round() / 10.0
}

/// The beginning of the run as a timeline: from the first turn after half a second, or a third of a shorter run, so that
/// everybody is there.
pub fn timeline(recording: &Recording) -> Timeline {
    let length = recording.end.saturating_sub(recording.epoch);
    let from = recording.epoch + (length / 3).min(recording.frequency / 2);
    let first = recording.turns.partition_point(|turn| turn.begin < from);
    let turns: Vec<_> = recording.turns[first..].iter().take(TURNS).collect();
    let shown = turns.last().map_or(recording.end, |turn| turn.end);
    let us = |ticks: u64| round(recording.us(ticks.saturating_sub(recording.epoch)));
    let several = recording.clients.iter().any(|client| client.libos != recording.clients[0].libos);
    let name = |client: &crate::recording::Client| match several {
        true => format!("{}.{}", client.libos, client.name),
        false => client.name.clone(),
    };
    let late = recording.jobs.iter().filter(|job| super::jobs::missed(job, recording.horizon(job)));
    let late = late.filter_map(|job| Some((job.client, job.due?)));
    Timeline {
        names: recording.clients.iter().map(name).collect(),
        turns: turns
            .iter()
            .map(|turn| (turn.client, turn.core, us(turn.begin), round(recording.us(turn.end - turn.begin))))
            .collect(),
        misses: late
            .filter(|(_, due)| (from..shown).contains(due))
            .map(|(who, due)| (who, us(due)))
            .collect(),
        shown_us: us(shown),
        end_us: us(recording.end),
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture;
    use super::*;

    #[test]
    fn curves_end_at_the_totals() {
        let curves = curves(&fixture::alternating(10), 0);
        assert_eq!((curves.at_us.len(), curves.at_us.last()), (240, Some(&10_000.0)));
        for curve in &curves.clients {
            assert_eq!((curve.ran_us.last(), curve.ideal_us.last()), (Some(&5000.0), Some(&5000.0)));
            assert_eq!(curve.ran_us.len(), 240);
        }
        let worst = curves.clients[0].error_quanta.iter().copied().fold(0.0, f64::max);
        assert_eq!(worst, 0.5);
    }

    #[test]
    fn a_timeline_begins_when_everybody_is_there() {
        let timeline = timeline(&fixture::alternating(9));
        assert_eq!(timeline.turns[0], (1, 0, 3000.0, 1000.0));
        assert_eq!((timeline.turns.len(), timeline.shown_us, timeline.end_us), (6, 9000.0, 9000.0));
        assert_eq!(timeline.names, ["a", "b"]);
    }

    #[test]
    fn missed_deadlines_are_on_the_timeline() {
        let mut recording = fixture::periodic();
        recording.jobs[3].completed = Some(99);
        assert_eq!(timeline(&recording).misses, [(0, 80.0)]);
    }
}
