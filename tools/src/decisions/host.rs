//! What a decision takes on this host: the policies' own code, driven as the simulator drives it, with clients that wait for a
//! while after each turn.
//!
//! By the wall clock, so no two runs say the same; the median of repetitions is what is least disturbed by whatever else
//! the host does.

use super::{Curve, Point, Quantity};
use crate::sim::costs::Overhead;
use crate::sim::policy::{Any, Terms};
use libos_core::scenario::{Admission, Policy as Kind};
use libos_core::sched::dispatch::{ReadySet, Scheduler};
use libos_core::sched::{ClientId, Demand, Policy, Tick};
use std::time::Instant;
use tranche_abi::{Outcome, Reason};

/// Clients of one scheduler.
const CROWDS: [u16; 5] = [1, 10, 100, 1_000, 10_000];
/// Repetitions, and turns of each: so few that the host's scheduler interrupts most repetitions not at all.
const REPETITIONS: usize = 151;
const TURNS: u32 = 200;
/// Ticks of the virt board's clock, and those that a turn takes with what is around it.
const FREQUENCY: u64 = 62_500_000;
const QUANTUM: u64 = FREQUENCY / 1_000;
const TURN: u64 = 200;

/// The curves of these policies; one that is no policy has none.
pub fn measure(policies: &[Kind]) -> Vec<Curve> {
    let curve = |kind: &Kind| {
        let points: Option<Vec<_>> = CROWDS.iter().map(|crowd| point(*kind, *crowd)).collect();
        Some(Curve::new(kind.word().into(), Quantity::Host, points?))
    };
    policies.iter().filter_map(curve).collect()
}

fn point(kind: Kind, crowd: u16) -> Option<Point> {
    let mut turns = Turns::new(kind, crowd)?;
    turns.take(2 * u32::from(crowd));
    let mut all: Vec<f64> = (0..REPETITIONS).map(|_| turns.nanoseconds()).collect();
    all.sort_by(f64::total_cmp);
    let rounded = |place: usize| (all[place] * 10.0).round() / 10.0;
    let range = (rounded(REPETITIONS / 4), rounded(REPETITIONS * 3 / 4));
    Some(Point { clients: crowd.into(), cost: rounded(REPETITIONS / 2), range })
}

/// A scheduler with clients, at some time.
struct Turns {
    scheduler: Scheduler<Any, ()>,
    now: u64,
    /// How long a client waits after its turn: so that less than half of all do at any time.
    wait: u64,
}

impl Turns {
    fn new(kind: Kind, crowd: u16) -> Option<Self> {
        let overhead = Overhead::of_the_programs();
        let (frequency, admission) = (FREQUENCY, Admission::Off);
        let terms = Terms {
            quantum: QUANTUM,
            frequency,
            seed: 1,
            core: 0,
            overhead,
            admission,
            currencies: Default::default(),
        };
        let mut policy = Any::new(kind, terms)?;
        for client in 0..crowd {
            policy.join(ClientId(client), demand(kind, client.into()), Tick(0)).ok()?;
        }
        let wait = u64::from(crowd) / 2 * (TURN / 2);
        Some(Self { scheduler: Scheduler { policy, observer: () }, now: 0, wait })
    }

    fn take(&mut self, turns: u32) {
        for _ in 0..turns {
            self.now += TURN;
            // Somebody always is ready; if not, time goes on all the same.
            if let Ok(decision) = self.scheduler.decide(ReadySet::default(), Tick(self.now)) {
                let (detail, ran) = (self.now + self.wait, Tick(TURN / 10));
                let outcome = Outcome { reason: Reason::Waiting, ran, detail, now: Tick(self.now) };
                self.scheduler.charge(decision, outcome);
            }
        }
    }

    /// What a turn took in the mean.
    fn nanoseconds(&mut self) -> f64 {
        let begin = Instant::now();
        self.take(TURNS);
        begin.elapsed().as_nanos() as f64 / f64::from(TURNS)
    }
}

/// Shares that differ, or deadlines that do: as the program on the kernel has them.
fn demand(kind: Kind, client: u64) -> Demand {
    let period = Tick(QUANTUM * (10 + client % 16));
    match kind.is_for_deadlines() {
        true => Demand::Periodic { first_release: Tick(0), budget: Tick(QUANTUM), period, deadline: period },
        false => Demand::Share { tickets: 1 + client as u32 % 3 },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_policy_always_has_somebody_to_run_and_serves_many() {
        for kind in Kind::ALL {
            let mut turns = Turns::new(kind, 100).unwrap();
            let mut served = std::collections::BTreeSet::new();
            for _ in 0..2_000 {
                turns.now += TURN;
                let decision =
                    turns.scheduler.decide(ReadySet::default(), Tick(turns.now)).expect("somebody");
                served.insert(decision.client);
                let (detail, ran) = (turns.now + turns.wait, Tick(TURN / 10));
                let outcome = Outcome { reason: Reason::Waiting, ran, detail, now: Tick(turns.now) };
                turns.scheduler.charge(decision, outcome);
            }
            assert!(served.len() > 20, "{kind:?}: {}", served.len());
        }
    }

    #[test]
    fn what_is_no_policy_has_no_curve() {
        assert_eq!(measure(&[Kind::None]), []);
    }
}
