//! Whether the policies of a recording decide the same again: each scheduler's steps are told to a fresh policy of its kind.
//!
//! Not here: how a policy is told steps (`libos_core::sched::steps`); runs under another policy.

use crate::recording::{Recording, Scheduler};
use crate::sim::costs::Overhead;
use crate::sim::policy::{Any, Terms};
use libos_core::sched::steps::{self, Divergence, Step};
use serde::Serialize;

/// Steps that are shown before the one that diverged.
const CONTEXT: usize = 5;

/// One scheduler's second time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Replayed {
    /// The libOS.
    pub libos: String,
    /// The core.
    pub core: u32,
    /// What it was told and decided.
    pub steps: usize,
    /// Decisions that were the same again.
    pub decisions: u64,
    /// The first that was not, with what came before it.
    pub divergence: Option<String>,
}

/// Tells every scheduler's steps again.
pub fn all(recording: &Recording) -> Vec<Replayed> {
    recording.schedulers.iter().map(|scheduler| one(recording, scheduler)).collect()
}

fn one(recording: &Recording, scheduler: &Scheduler) -> Replayed {
    let steps = &scheduler.steps;
    // From what slots it guarantees decides who joins, and that is recorded; nothing else.
    let policy = Any::new(scheduler.policy, Terms::again(recording, scheduler, Overhead::of_the_programs()));
    let outcome = policy.map_or(Ok(0), |mut policy| steps::replay(&mut policy, steps.iter().copied()));
    Replayed {
        libos: scheduler.libos.clone(),
        core: scheduler.core,
        steps: steps.len(),
        decisions: *outcome.as_ref().unwrap_or(&0),
        divergence: outcome.err().map(|divergence| describe(steps, &divergence)),
    }
}

fn describe(steps: &[Step], divergence: &Divergence) -> String {
    let Divergence { step, recorded, instead } = divergence;
    let before: String = steps[step.saturating_sub(CONTEXT)..*step]
        .iter()
        .map(|step| format!("\n  before: {step:?}"))
        .collect();
    let instead = instead.map_or("it is refused".into(), |step| format!("{step:?}"));
    format!("step {step}{before}\n  recorded: {recorded:?}\n  again: {instead}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recording::Source;
    use libos_core::scenario::{Admission, Policy as Kind};
    use libos_core::sched::{ClientId, Demand, Policy, Tick, TurnEnd};
    use libos_rt::edf::Edf;
    use libos_rt::supply::Supply;
    use libos_stride::lottery::Lottery;
    use libos_stride::stride::Stride;

    /// Three clients, of which one waits now and then, under a policy; what it was told and decided.
    fn steps(mut policy: impl Policy, periodic: bool) -> Vec<Step> {
        let mut steps = Vec::new();
        for (place, tickets) in [3, 2, 1].into_iter().enumerate() {
            let client = ClientId(place as u16);
            let demand = match periodic {
                false => Demand::Share { tickets },
                true => Demand::Periodic {
                    first_release: Tick(0),
                    budget: Tick(400),
                    period: Tick(5_000),
                    deadline: Tick(5_000),
                },
            };
            policy.join(client, demand, Tick(0)).unwrap();
            steps.push(Step::Join { client, demand, now: Tick(0) });
        }
        let mut now = 10;
        while now < 50_000 {
            let Some(decision) = policy.pick(Tick(now)) else {
                let until = policy.next_event();
                steps.push(Step::Idle { now: Tick(now), until });
                now = until.0;
                continue;
            };
            steps.push(Step::Decided { now: Tick(now), decision });
            let ran = Tick((decision.until.0 - now).min(150));
            now += ran.0 + 3;
            let waits = decision.client.0 == 1 && now % 4 == 0;
            let end = if waits { TurnEnd::Waiting(Tick(now + 777)) } else { TurnEnd::Ready };
            policy.charge(decision.client, ran, end, Tick(now));
            steps.push(Step::Charged { client: decision.client, ran, end, now: Tick(now) });
            now += 5;
        }
        steps
    }

    fn recording(policy: Kind, steps: Vec<Step>) -> Recording {
        let scheduler = Scheduler {
            libos: "one".into(),
            core: 2,
            policy,
            admission: Admission::Off,
            clients: vec![0, 1, 2],
            currencies: Default::default(),
            steps,
            step_cores: Vec::new(),
            own: 0,
        };
        Recording {
            source: Source::Kernel,
            scenario: "test".into(),
            seed: 7,
            cores: 4,
            frequency: 1_000_000,
            quantum: 1_000,
            slots: 10,
            epoch: 0,
            end: 50_000,
            clients: Vec::new(),
            schedulers: vec![scheduler],
            slices: Vec::new(),
            turns: Vec::new(),
            jobs: Vec::new(),
            lost: 0,
            cost: None,
        }
    }

    fn edf() -> Edf {
        Edf::new(Supply::new(&[true, false], Tick(1_000), Tick(40)), Tick(30), Tick(1_000))
    }

    #[test]
    fn every_policy_decides_the_same_again() {
        let seed = Lottery::seed(7, 2);
        let all = [
            (Kind::Stride, steps(Stride::new(Tick(1_000)), false)),
            (Kind::Lottery, steps(Lottery::new(Tick(1_000), seed), false)),
            (Kind::Edf, steps(edf(), true)),
        ];
        for (policy, steps) in all {
            let decided = steps.iter().filter(|step| matches!(step, Step::Decided { .. })).count() as u64;
            let replayed = super::all(&recording(policy, steps));
            assert_eq!((replayed[0].decisions, &replayed[0].divergence), (decided, &None), "{policy:?}");
            assert!(decided > 20, "{policy:?}: {decided}");
        }
    }

    #[test]
    fn another_seed_or_policy_is_found_and_shown_with_what_came_before() {
        let lots = steps(Lottery::new(Tick(1_000), 12345), false);
        let [replayed] = &super::all(&recording(Kind::Lottery, lots.clone()))[..] else {
            panic!("one scheduler")
        };
        let said = replayed.divergence.as_ref().expect("the seed is another");
        assert!(
            said.contains("before: ") && said.contains("recorded: ") && said.contains("again: "),
            "{said}"
        );
        assert!(super::all(&recording(Kind::Stride, lots))[0].divergence.is_some());
    }
}
