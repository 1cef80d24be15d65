//! What a recorded run tells of costs: for each turn how long it took from one reading of the clock to the next.
//!
//! The recorded steps are told to the same policy again, so that as many clients are known to compete as there were. Not here: how
//! costs follow from many such samples (`fit`).

use crate::recording::{Recording, Scheduler, Slice, Turn};
use crate::sim::contest::{Contest, Newcomers};
use crate::sim::costs::{Overhead, Way};
use crate::sim::policy::{Any, Terms};
use libos_core::sched::steps::Step;
use libos_core::sched::{ClientId, Policy, Tick, TurnEnd};
use std::collections::BTreeMap;

/// What was measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum What {
    /// From the kernel's reading the time until the scheduler asks its policy.
    Back(Way),
    /// From there until its client begins.
    Decide,
}

/// A measurement.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sample {
    /// Ticks.
    pub ticks: f64,
    /// Clients that competed.
    pub competing: f64,
    /// Clients that waited.
    pub waiting: f64,
    /// The number of the client that the turn was about.
    pub place: f64,
    /// Clients that were admitted meanwhile.
    pub admitted: f64,
    /// Clients that had joined since the decision before.
    pub joined: f64,
}

/// Measurements by what they are of.
pub type Samples = BTreeMap<What, Vec<Sample>>;

/// A scheduler of a recording, while its steps are told again.
struct Teller<'a> {
    recording: &'a Recording,
    scheduler: &'a Scheduler,
    /// The slots of its core, and whether each is its own.
    slices: Vec<(&'a Slice, bool)>,
    /// The turns on its core.
    turns: Vec<&'a Turn>,
    policy: Any,
    contest: Contest,
    samples: Samples,
    before: Before,
    /// Until when the last decision's turn was to be.
    until: Tick,
}

/// What came before a decision.
#[derive(Clone, Copy)]
enum Before {
    /// Nothing of which it is known how long it takes.
    Unknown,
    /// A turn ended, when so many competed.
    Turn(Tick, TurnEnd, (Contest, ClientId)),
    /// It waited until then.
    Wait(Tick),
}

/// The measurements of a scheduler.
pub fn of(recording: &Recording, scheduler: &Scheduler) -> Samples {
    let own = recording.schedulers.iter().position(|one| std::ptr::eq(one, scheduler));
    let here = recording.slices.iter().filter(|slice| slice.core == scheduler.core);
    let terms = Terms::again(recording, scheduler, Overhead::of_the_programs());
    let Some(policy) = Any::new(scheduler.policy, terms) else { return Samples::new() };
    let mut teller = Teller {
        recording,
        scheduler,
        slices: here.map(|slice| (slice, slice.owner == own)).collect(),
        turns: recording.turns.iter().filter(|turn| turn.core == scheduler.core).collect(),
        policy,
        contest: Contest::default(),
        samples: Samples::new(),
        before: Before::Unknown,
        until: Tick::NEVER,
    };
    scheduler.steps.iter().for_each(|step| teller.tell(*step));
    teller.samples
}

impl Teller<'_> {
    fn tell(&mut self, step: Step) {
        match step {
            Step::Join { client, demand, now } => {
                // It was taken on when this was recorded.
                let _ = self.policy.join(client, demand, now);
                self.contest.joined(client);
            }
            Step::Leave { client, now } => {
                self.policy.leave(client, now);
                self.contest.recount(&self.policy);
            }
            Step::Woken { client, now } => {
                self.policy.wake(client, now);
                self.contest.woken();
            }
            Step::Lent { loan, now } => self.policy.lend(loan.from, loan.to, now),
            Step::Tickets { client, tickets, now } => self.policy.set_tickets(client, tickets, now),
            Step::Charged { client, ran, end, now } => {
                self.policy.charge(client, ran, end, now);
                // The simulator counts after it has reckoned with the way back, too.
                self.before = Before::Turn(now, end, (self.contest, client));
                if matches!(end, TurnEnd::Waiting(_) | TurnEnd::Gone) {
                    self.contest.recount(&self.policy);
                }
            }
            Step::Decided { now, decision } => {
                self.way_back(now);
                let newcomers = self.asked(now);
                self.decided(now, decision.client, newcomers);
                self.until = decision.until;
                self.before = Before::Unknown;
            }
            Step::Idle { now, until } => {
                self.way_back(now);
                self.asked(now);
                self.before = Before::Wait(until);
            }
        }
    }

    /// The policy is asked: who came.
    fn asked(&mut self, now: Tick) -> Newcomers {
        self.contest.asks(&self.policy, now);
        self.policy.pick(now);
        self.contest.asked(&self.policy)
    }

    /// The slot in which a time is, and whether it follows another of the scheduler's own.
    fn slice(&self, now: Tick) -> Option<(&Slice, bool)> {
        let next = self.slices.partition_point(|(slice, _)| slice.begin <= now.0);
        let (slice, own) = self.slices[..next].last()?;
        let follows = next.checked_sub(2).is_some_and(|before| self.slices[before].1);
        own.then_some((slice, follows))
    }

    fn way_back(&mut self, now: Tick) {
        let Some((slice, follows)) = self.slice(now) else { return };
        // By the timer's time, not by when the kernel took note of it.
        let (seen, begin) = (slice.begin, slice.end - self.recording.quantum);
        let (way, from, contest) = match self.before {
            Before::Turn(end, TurnEnd::Ready, contest) if end.0 == seen => {
                (if follows { Way::Slot } else { Way::Regained }, begin, contest)
            }
            Before::Turn(end, TurnEnd::Ready, contest) if end.0 > seen && end >= self.until => {
                (Way::Expired, self.until.0, contest)
            }
            Before::Turn(end, how, contest) if end.0 > seen => {
                let way = match how {
                    TurnEnd::Waiting(_) => Way::Waiting,
                    TurnEnd::Yielded => Way::Yielded,
                    TurnEnd::Ready | TurnEnd::Gone => return,
                };
                (way, end.0, contest)
            }
            Before::Wait(until) if until.0 > now.0 => return, // Somebody woke it.
            Before::Wait(until) if until.0 > begin => (Way::Woken, until.0, (self.contest, ClientId(0))),
            Before::Wait(_) => (Way::Late, begin, (self.contest, ClientId(0))),
            Before::Turn(..) | Before::Unknown => return,
        };
        self.add(What::Back(way), (now.0 - from, contest, Newcomers::default()));
    }

    /// The decision's turn, unless the slot's end came before it.
    fn decided(&mut self, now: Tick, client: ClientId, newcomers: Newcomers) {
        let Some((slice, _)) = self.slice(now) else { return };
        let end = slice.end;
        let Some(index) = self.scheduler.clients.get(usize::from(client.0)) else { return };
        let first = self.turns.partition_point(|turn| turn.begin < now.0);
        let Some(turn) = self.turns.get(first).filter(|turn| turn.client == *index && turn.begin < end)
        else {
            return;
        };
        self.add(What::Decide, (turn.begin - now.0, (self.contest, client), newcomers));
    }

    fn add(
        &mut self,
        what: What,
        (ticks, (contest, client), newcomers): (u64, (Contest, ClientId), Newcomers),
    ) {
        // Longer than a slot is not what it costs.
        if ticks < self.recording.quantum {
            let sample = Sample {
                ticks: ticks as f64,
                competing: contest.competing as f64,
                waiting: contest.waiting() as f64,
                place: f64::from(client.0),
                admitted: newcomers.admitted as f64,
                joined: newcomers.joined as f64,
            };
            self.samples.entry(what).or_default().push(sample);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::costs::Costs;
    use crate::sim::simulate;
    use crate::sim::tests::{endless, libos, periodic, scenario};
    use libos_core::scenario::{Arrivals, Policy};
    use std::collections::BTreeSet;

    /// The costs by which a run was simulated are those that are measured in its recording.
    #[test]
    fn what_turns_were_made_to_cost_is_measured_again() {
        let costs = Costs::table().unwrap();
        let mut seen = BTreeSet::new();
        for (policy, endlessly) in [
            (Policy::Stride, true),
            (Policy::Edf, false),
            (Policy::RoundRobin, false),
            (Policy::Lottery, true),
        ] {
            let mut clients = vec![periodic("short", (3, 20), 0), periodic("long", (15, 70), 0)];
            // Jobs that come in the middle of a slot find their scheduler asleep, or another client at work.
            for jobs in clients.iter_mut().filter_map(|client| client.jobs.as_mut()) {
                let period_us = jobs.least_period_us();
                jobs.arrivals = Arrivals::Periodic { period_us, offset_us: 300 };
            }
            clients.extend(endlessly.then(|| endless("a", 3, 0)));
            let scenario = scenario(1, 2000, vec![libos(policy, clients)]);
            let recording = simulate(&scenario, &costs).unwrap().recording;
            let turning = costs.turning(policy);
            let samples = of(&recording, &recording.schedulers[0]);
            for (what, sample) in
                samples.iter().flat_map(|(what, all)| all.iter().map(move |one| (what, one)))
            {
                let (cost, more) = match what {
                    What::Back(way) => (turning.back(*way), 0.0),
                    What::Decide => {
                        (turning.decide, turning.admit * sample.admitted + turning.join * sample.joined)
                    }
                };
                let expected = cost.0
                    + cost.1 * sample.competing
                    + cost.2 * sample.waiting
                    + cost.3 * sample.place
                    + more;
                assert!(
                    (sample.ticks - expected).abs() <= 1.0,
                    "{policy:?}, {what:?}: {sample:?}, not {expected}"
                );
                seen.insert(*what);
            }
        }
        for way in [Way::Slot, Way::Waiting, Way::Woken, Way::Expired] {
            assert!(seen.contains(&What::Back(way)), "{way:?} is in none of these runs");
        }
        assert!(seen.contains(&What::Decide));
    }
}
