//! When a client of a libOS with admission had no guarantee: from when it was shed until the first release with which it came back; or from
//! when it left.
//!
//! Not here: who is shed (`libos_rt::roll`).

use crate::recording::Job;
use libos_core::sched::steps::Step;
use libos_core::sched::{ClientId, Demand};

/// A time without a guarantee, in ticks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gap {
    /// When it was shed, or left.
    pub shed: u64,
    /// When it was admitted again; `None`: not at all.
    pub back: Option<u64>,
    /// Its first release from then on.
    pub released: Option<u64>,
}

impl Gap {
    /// Whether a job was released in it, or under way when it began.
    pub fn concerns(&self, job: &Job) -> bool {
        let is_over = job.completed.is_some_and(|done| done <= self.shed)
            || job.due.is_some_and(|due| due <= self.shed);
        !is_over && self.released.is_none_or(|back| job.released < back)
    }
}

/// The times in which a client had no guarantee, by its scheduler's steps.
pub fn gaps(steps: &[Step], id: ClientId) -> Vec<Gap> {
    let mut gaps: Vec<Gap> = Vec::new();
    for step in steps {
        match *step {
            // Who leaves for good may have been shed before.
            Step::Leave { client, now }
                if client == id && gaps.last().is_none_or(|gap| gap.back.is_some()) =>
            {
                gaps.push(Gap { shed: now.0, back: None, released: None });
            }
            Step::Join { client, demand, now } if client == id => {
                let Some(gap) = gaps.last_mut().filter(|gap| gap.back.is_none()) else { continue };
                gap.back = Some(now.0);
                gap.released = Some(match demand {
                    Demand::Periodic { first_release, .. } => first_release.0,
                    Demand::Share { .. } => now.0,
                });
            }
            _ => {}
        }
    }
    gaps
}

#[cfg(test)]
mod tests {
    use super::super::fixture;
    use super::*;
    use libos_core::sched::Tick;

    #[test]
    fn jobs_between_leaving_and_the_first_release_after_coming_back_are_nobodys_promise() {
        let [client, other] = [0, 1].map(ClientId);
        let join = |client, first: u64, now: u64| {
            let [first_release, budget, period] = [first, 4, 20].map(Tick);
            Step::Join {
                client,
                demand: Demand::Periodic { first_release, budget, period, deadline: period },
                now: Tick(now),
            }
        };
        let leave = |client, now| Step::Leave { client, now: Tick(now) };
        let steps = [
            join(client, 0, 0),
            leave(client, 50),
            leave(other, 55),
            join(client, 100, 90),
            leave(client, 150),
            leave(client, 170),
        ];
        let gaps = gaps(&steps, client);
        assert_eq!(gaps[0], Gap { shed: 50, back: Some(90), released: Some(100) });
        assert_eq!((gaps.len(), gaps[1].back), (2, None));
        let is_promised = |released: u64, completed| {
            let job = fixture::job(0, released, Some(released + 20), completed);
            gaps.iter().all(|gap| !gap.concerns(&job))
        };
        // Over before; under way; released in between; with which it came back; under way again; never.
        let jobs =
            [(30, Some(45)), (40, Some(110)), (80, Some(112)), (100, Some(119)), (140, None), (160, None)];
        assert_eq!(jobs.map(|(at, done)| is_promised(at, done)), [true, false, false, true, false, false]);
    }
}
