//! Wake-up latency: from the time at which a client that waited is ready until its next turn begins.
//!
//! It is ready when its wait is over by itself, or when its scheduler learns that it was woken, whichever is earlier, and not
//! before its turn ended. A client that is still without a turn when the run ends does not count.

use super::order::{Distribution, distribution};
use crate::recording::{Recording, Scheduler, Turn};
use libos_core::sched::TurnEnd;
use libos_core::sched::steps::Step;

/// The wake-up latencies of a scheduler's client (the policy's number), or of all. `None` if nobody waited.
pub fn measure(recording: &Recording, scheduler: &Scheduler, client: Option<usize>) -> Option<Distribution> {
    distribution(all(recording, scheduler, client), recording.frequency)
}

/// The same, each in ticks, client by client.
pub fn all(recording: &Recording, scheduler: &Scheduler, client: Option<usize>) -> Vec<u64> {
    let numbers = (0..scheduler.clients.len()).filter(|number| client.is_none_or(|client| client == *number));
    numbers.flat_map(|number| of_client(recording, scheduler, number)).collect()
}

/// A wait that began at `since` and ends by itself at `until`.
#[derive(Clone, Copy)]
struct Wait {
    since: u64,
    until: u64,
}

fn of_client(recording: &Recording, scheduler: &Scheduler, number: usize) -> Vec<u64> {
    let turns: Vec<Turn> = recording.turns_of(scheduler.clients[number]).copied().collect();
    let (mut waits, mut woken_early) = (Vec::<Wait>::new(), None);
    for step in &scheduler.steps {
        match *step {
            Step::Decided { decision, .. } if usize::from(decision.client.0) == number => woken_early = None,
            Step::Woken { client, now } if usize::from(client.0) == number => {
                woken_early = Some(now.0);
                if let Some(wait) = waits.last_mut() {
                    wait.until = wait.until.min(now.0.max(wait.since));
                }
            }
            Step::Charged { client, end: TurnEnd::Waiting(until), now, .. }
                if usize::from(client.0) == number =>
            {
                waits.push(Wait { since: now.0, until: if woken_early.is_some() { now.0 } else { until.0 } });
            }
            _ => {}
        }
    }
    let latency = |wait: Wait| {
        let next = turns.get(turns.partition_point(|turn| turn.begin < wait.since))?;
        Some(next.begin.saturating_sub(wait.until.max(wait.since)))
    };
    waits.into_iter().filter_map(latency).collect()
}

#[cfg(test)]
mod tests {
    use super::super::fixture;
    use super::*;

    #[test]
    fn the_latency_is_from_the_end_of_the_wait_to_the_next_turn() {
        // `periodic`: the client's jobs are released at 0, 20, 40, …; its turns begin 2 later.
        let recording = fixture::periodic();
        let found = all(&recording, &recording.schedulers[0], None);
        assert!(found.len() >= 3 && found.iter().all(|latency| *latency == 2), "{found:?}");
        assert_eq!(measure(&recording, &recording.schedulers[0], Some(0)).unwrap().max_us, 2.0);
    }

    #[test]
    fn who_never_waits_has_none() {
        let recording = fixture::alternating(4);
        assert_eq!(measure(&recording, &recording.schedulers[0], None), None);
    }

    #[test]
    fn a_wait_that_is_cut_short_counts_from_the_news_of_it() {
        let mut recording = fixture::periodic();
        let steps = &mut recording.schedulers[0].steps;
        let charged = steps.iter().position(|step| matches!(step, Step::Charged { .. })).unwrap();
        let Step::Charged { client, now, .. } = steps[charged] else { unreachable!() };
        // The wait was until 20, its turn begins at 22: woken at 15, it waited 7.
        assert_eq!(now.0, 7);
        steps.insert(charged + 1, Step::Woken { client, now: libos_core::sched::Tick(15) });
        assert_eq!(all(&recording, &recording.schedulers[0], None)[0], 7);
    }
}
