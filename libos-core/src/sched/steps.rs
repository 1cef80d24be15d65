//! What a policy was told and what it decided, as data: noted by an observer of the dispatch loop, told again by [`replay`].
//!
//! A policy reads no clock and draws no chance of its own, so the same steps, told to the same policy, give the same
//! decisions; where they do not, [`replay`] says at which step first. A step is also a mark in a trace ([`Step::mark`]).
//! Not here: who keeps the steps.
#![forbid(unsafe_code)]

use super::dispatch::{Loan, Observer, Turn};
use super::{ClientId, Decision, Demand, Policy, TurnEnd};
use alloc::vec::Vec;
use tranche_abi::Tick;
use tranche_abi::trace::{FIRST_MARK, WORDS};

/// One exchange with a policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// A client joined, and was accepted.
    Join {
        /// Who.
        client: ClientId,
        /// What it asked for.
        demand: Demand,
        /// When.
        now: Tick,
    },
    /// A client left.
    Leave {
        /// Who.
        client: ClientId,
        /// When.
        now: Tick,
    },
    /// A client became ready before its time.
    Woken {
        /// Who.
        client: ClientId,
        /// When.
        now: Tick,
    },
    /// The policy was asked, and picked a client.
    Decided {
        /// When it was asked.
        now: Tick,
        /// What it answered.
        decision: Decision,
    },
    /// The policy was asked, and nobody was ready.
    Idle {
        /// When it was asked.
        now: Tick,
        /// When it wants to be asked again.
        until: Tick,
    },
    /// A client whose turn ended in waiting lends to another what it is scheduled by.
    Lent {
        /// Who to whom.
        loan: Loan,
        /// When.
        now: Tick,
    },
    /// A client's turn ended.
    Charged {
        /// Who.
        client: ClientId,
        /// CPU time that it is charged.
        ran: Tick,
        /// How the turn ended.
        end: TurnEnd,
        /// When.
        now: Tick,
    },
    /// A client changed its tickets.
    Tickets {
        /// Who.
        client: ClientId,
        /// How many it has from now on.
        tickets: u32,
        /// When.
        now: Tick,
    },
}

/// A step as a program's mark in a trace: kind, detail, words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// At least [`FIRST_MARK`].
    pub kind: u8,
    /// The client, and, in bits 16..32, a variant.
    pub detail: u32,
    /// The rest.
    pub words: [u64; WORDS],
}

impl Mark {
    /// A step's mark, with the step's number among those of all cores that share the policy: their rings do not say who was first.
    pub fn numbered(mut self, number: u64) -> Self {
        // The last word, which no step needs; 0 means that there is no number.
        self.words[WORDS - 1] = number + 1;
        self
    }

    /// A step's number, if its policy is shared.
    pub fn number(&self) -> Option<u64> {
        self.words[WORDS - 1].checked_sub(1)
    }
}

const JOIN: u8 = FIRST_MARK;
const LEAVE: u8 = FIRST_MARK + 1;
const WOKEN: u8 = FIRST_MARK + 2;
const DECIDED: u8 = FIRST_MARK + 3;
const IDLE: u8 = FIRST_MARK + 4;
const CHARGED: u8 = FIRST_MARK + 5;
const LENT: u8 = FIRST_MARK + 6;
const TICKETS: u8 = FIRST_MARK + 7;

impl Step {
    /// The mark that says the same.
    pub fn mark(self) -> Mark {
        let mark = |kind, client: ClientId, variant: u32, used: &[u64]| {
            let mut words = [0; WORDS];
            words.iter_mut().zip(used).for_each(|(word, used)| *word = *used);
            Mark { kind, detail: u32::from(client.0) | variant << 16, words }
        };
        match self {
            Self::Join { client, demand: Demand::Share { tickets }, now } => {
                mark(JOIN, client, 0, &[now.0, tickets.into()])
            }
            Self::Join {
                client,
                demand: Demand::Periodic { first_release, budget, period, deadline },
                now,
            } => mark(JOIN, client, 1, &[now.0, first_release.0, budget.0, period.0, deadline.0]),
            Self::Leave { client, now } => mark(LEAVE, client, 0, &[now.0]),
            Self::Woken { client, now } => mark(WOKEN, client, 0, &[now.0]),
            Self::Tickets { client, tickets, now } => mark(TICKETS, client, 0, &[now.0, tickets.into()]),
            Self::Decided { now, decision } => mark(DECIDED, decision.client, 0, &[now.0, decision.until.0]),
            Self::Idle { now, until } => mark(IDLE, ClientId(0), 0, &[now.0, until.0]),
            Self::Lent { loan: Loan { from, to }, now } => mark(LENT, from, 0, &[now.0, to.0.into()]),
            Self::Charged { client, ran, end, now } => {
                let (variant, detail) = match end {
                    TurnEnd::Ready => (0, 0),
                    TurnEnd::Waiting(until) => (1, until.0),
                    TurnEnd::Gone => (2, 0),
                    TurnEnd::Yielded => (3, 0),
                };
                mark(CHARGED, client, variant, &[now.0, ran.0, detail])
            }
        }
    }

    /// The step that a mark stands for; `None` if it stands for none.
    pub fn from_mark(mark: &Mark) -> Option<Self> {
        let (client, variant) = (ClientId(mark.detail as u16), mark.detail >> 16);
        let [a, b, c, d, e] = core::array::from_fn(|i| Tick(mark.words[i]));
        Some(match (mark.kind, variant) {
            (JOIN, 0) => {
                let demand = Demand::Share { tickets: u32::try_from(b.0).ok()? };
                Self::Join { client, demand, now: a }
            }
            (JOIN, 1) => {
                let demand = Demand::Periodic { first_release: b, budget: c, period: d, deadline: e };
                Self::Join { client, demand, now: a }
            }
            (LEAVE, 0) => Self::Leave { client, now: a },
            (WOKEN, 0) => Self::Woken { client, now: a },
            (DECIDED, 0) => Self::Decided { now: a, decision: Decision { client, until: b } },
            (IDLE, 0) => Self::Idle { now: a, until: b },
            (LENT, 0) => {
                let to = ClientId(u16::try_from(b.0).ok()?);
                Self::Lent { loan: Loan { from: client, to }, now: a }
            }
            (CHARGED, 0) => Self::Charged { client, ran: b, end: TurnEnd::Ready, now: a },
            (CHARGED, 1) => Self::Charged { client, ran: b, end: TurnEnd::Waiting(c), now: a },
            (CHARGED, 2) => Self::Charged { client, ran: b, end: TurnEnd::Gone, now: a },
            (TICKETS, 0) => Self::Tickets { client, tickets: u32::try_from(b.0).ok()?, now: a },
            (CHARGED, 3) => Self::Charged { client, ran: b, end: TurnEnd::Yielded, now: a },
            _ => return None,
        })
    }

    /// When.
    pub fn now(&self) -> Tick {
        match *self {
            Self::Join { now, .. }
            | Self::Leave { now, .. }
            | Self::Woken { now, .. }
            | Self::Decided { now, .. }
            | Self::Idle { now, .. }
            | Self::Tickets { now, .. }
            | Self::Lent { now, .. }
            | Self::Charged { now, .. } => now,
        }
    }
}

/// The observer that hands every step to whoever keeps them.
#[derive(Clone, Debug, Default)]
pub struct Steps<K>(pub K);

/// Whoever keeps steps: a function that takes each, a list, or a type of one's own.
pub trait Keeper {
    /// Keeps a step.
    fn keep(&mut self, step: Step);
}

impl<F: FnMut(Step)> Keeper for F {
    fn keep(&mut self, step: Step) {
        self(step);
    }
}

impl Keeper for Vec<Step> {
    fn keep(&mut self, step: Step) {
        self.push(step);
    }
}

impl<P, K: Keeper> Observer<P> for Steps<K> {
    fn woken(&mut self, _policy: &P, client: ClientId, now: Tick) {
        self.0.keep(Step::Woken { client, now });
    }
    fn decided(&mut self, _policy: &P, decision: Decision, now: Tick) {
        self.0.keep(Step::Decided { now, decision });
    }
    fn charged(&mut self, _policy: &P, turn: &Turn) {
        let Turn { client, outcome, end } = *turn;
        self.0.keep(Step::Charged { client, ran: outcome.ran, end, now: outcome.now });
    }
    fn lent(&mut self, _policy: &P, loan: Loan, now: Tick) {
        self.0.keep(Step::Lent { loan, now });
    }
    fn idle(&mut self, _policy: &P, now: Tick, until: Tick) {
        self.0.keep(Step::Idle { now, until });
    }
    fn left(&mut self, _policy: &P, client: ClientId, now: Tick) {
        self.0.keep(Step::Leave { client, now });
    }
    fn inflated(&mut self, _policy: &P, client: ClientId, tickets: u32, now: Tick) {
        self.0.keep(Step::Tickets { client, tickets, now });
    }
}

/// The first step at which a policy does not do what was recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Divergence {
    /// Which step, from 0.
    pub step: usize,
    /// What was recorded.
    pub recorded: Step,
    /// What the policy did instead; `None` if it refused a client that had been accepted.
    pub instead: Option<Step>,
}

/// Tells a policy what was recorded, and compares. How many decisions were the same: all of them; or the first that was not.
pub fn replay<P: Policy>(policy: &mut P, steps: impl IntoIterator<Item = Step>) -> Result<u64, Divergence> {
    let mut decisions = 0;
    for (step, recorded) in steps.into_iter().enumerate() {
        let instead = tell(policy, recorded);
        if instead != Some(recorded) {
            return Err(Divergence { step, recorded, instead });
        }
        decisions += u64::from(matches!(recorded, Step::Decided { .. }));
    }
    Ok(decisions)
}

/// Tells a policy one step: what it does then, which is the step itself if it does what was recorded.
fn tell<P: Policy>(policy: &mut P, step: Step) -> Option<Step> {
    match step {
        Step::Join { client, demand, now } => policy.join(client, demand, now).ok()?,
        Step::Leave { client, now } => policy.leave(client, now),
        Step::Woken { client, now } => policy.wake(client, now),
        Step::Tickets { client, tickets, now } => policy.set_tickets(client, tickets, now),
        Step::Charged { client, ran, end, now } => policy.charge(client, ran, end, now),
        Step::Lent { loan, now } => policy.lend(loan.from, loan.to, now),
        Step::Decided { now, .. } | Step::Idle { now, .. } => {
            return Some(match policy.pick(now) {
                Some(decision) => Step::Decided { now, decision },
                None => Step::Idle { now, until: policy.next_event() },
            });
        }
    }
    Some(step)
}

#[cfg(test)]
mod tests {
    use super::super::dispatch::Scheduler;
    use super::super::fake::{Act, Fake, Slots};
    use super::super::line::Line;
    use super::*;
    use alloc::boxed::Box;
    use alloc::vec::Vec;

    /// Two clients on a core of slots with gaps: one computes, one computes a little and waits.
    fn recorded() -> Vec<Step> {
        let mut steps = Vec::new();
        let slots = Slots { owned: alloc::vec![true, false, true], quantum: Tick(1000), overhead: Tick(3) };
        let mut fake = Fake::new(slots, Tick(2));
        let mut policy = Line::round_robin(Tick(700));
        for (client, demand) in
            [(ClientId(0), Demand::Share { tickets: 1 }), (ClientId(5), Demand::Share { tickets: 2 })]
        {
            assert_eq!(policy.join(client, demand, Tick(0)), Ok(()));
            steps.push(Step::Join { client, demand, now: Tick(0) });
        }
        fake.add(ClientId(0), Box::new(|_| Act::Compute(Tick(10_000))));
        let mut waits = false;
        fake.add(
            ClientId(5),
            Box::new(move |now| {
                waits = !waits;
                if waits { Act::Compute(Tick(150)) } else { Act::Wait(Tick(now.0 + 900)) }
            }),
        );
        fake.post(ClientId(5), Tick(20_300));
        let noted = core::cell::RefCell::new(Vec::new());
        let mut scheduler = Scheduler { policy, observer: Steps(|step| noted.borrow_mut().push(step)) };
        fake.run(&mut scheduler, Tick(100_000));
        steps.extend(noted.into_inner());
        steps
    }

    #[test]
    fn the_same_policy_decides_the_same_again() {
        let steps = recorded();
        let decided = steps.iter().filter(|step| matches!(step, Step::Decided { .. })).count();
        assert!(decided > 80, "{decided}");
        assert!(steps.iter().any(|step| matches!(step, Step::Woken { client: ClientId(5), .. })));
        assert_eq!(replay(&mut Line::round_robin(Tick(700)), steps), Ok(decided as u64));
    }

    #[test]
    fn another_policy_diverges_at_the_first_decision_that_differs() {
        let steps = recorded();
        let first = steps.iter().position(|step| matches!(step, Step::Decided { .. })).unwrap();
        let divergence = replay(&mut Line::round_robin(Tick(600)), steps.clone()).unwrap_err();
        assert_eq!((divergence.step, divergence.recorded), (first, steps[first]));
        assert!(matches!(divergence.instead, Some(Step::Decided { .. })));
    }

    #[test]
    fn a_changed_step_is_found() {
        let mut steps = recorded();
        let is_ready = |step: &Step| matches!(step, Step::Charged { end: TurnEnd::Ready, .. });
        let charged = steps.iter().position(is_ready).unwrap();
        let Step::Charged { client, ran, now, .. } = steps[charged] else { unreachable!() };
        steps[charged] = Step::Charged { client, ran, end: TurnEnd::Gone, now };
        assert!(
            replay(&mut Line::round_robin(Tick(700)), steps)
                .is_err_and(|divergence| divergence.step > charged)
        );
    }

    #[test]
    fn every_step_survives_as_a_mark() {
        let periodic = Demand::Periodic {
            first_release: Tick(1),
            budget: Tick(2),
            period: Tick(u64::MAX),
            deadline: Tick(4),
        };
        let (client, now) = (ClientId(0xfedc), Tick(u64::MAX - 1));
        let ends = [TurnEnd::Ready, TurnEnd::Yielded, TurnEnd::Waiting(Tick::NEVER), TurnEnd::Gone];
        let mut steps = alloc::vec![
            Step::Join { client, demand: Demand::Share { tickets: u32::MAX }, now },
            Step::Join { client, demand: periodic, now },
            Step::Leave { client, now },
            Step::Woken { client, now },
            Step::Tickets { client, tickets: u32::MAX, now },
            Step::Decided { now, decision: Decision { client, until: Tick(9) } },
            Step::Idle { now, until: Tick::NEVER },
            Step::Lent { loan: Loan { from: client, to: ClientId(3) }, now },
        ];
        steps.extend(ends.map(|end| Step::Charged { client, ran: Tick(77), end, now }));
        for step in steps {
            let (plain, numbered) = (step.mark(), step.mark().numbered(7));
            assert_eq!([plain, numbered].map(|mark| Step::from_mark(&mark)), [Some(step); 2]);
            assert_eq!([plain, numbered].map(|mark| mark.number()), [None, Some(7)]);
        }
    }

    #[test]
    fn marks_of_others_are_no_steps() {
        for kind in (0..FIRST_MARK).chain(FIRST_MARK + 8..=u8::MAX) {
            assert_eq!(Step::from_mark(&Mark { kind, detail: 0, words: [0; WORDS] }), None);
        }
        assert_eq!(Step::from_mark(&Mark { kind: CHARGED, detail: 4 << 16, words: [0; WORDS] }), None);
    }
}
