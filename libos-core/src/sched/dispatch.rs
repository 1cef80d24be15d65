//! The dispatch loop: asks a policy whom to run, yields the CPU to that client, charges it for what it used.
//!
//! One loop for every scheduler. What it runs on is a [`Processor`]: the kernel's directed yields on a machine, a fake on
//! the host. How it reaches the policy is an [`Access`]: owned by one core (partitioned), or behind a lock that several
//! cores share (global). Not here: start-up, revocation and whatever else a libOS does between turns; that goes into
//! the loop's `housekeeping`.
//!
//! The lock is never held across a yield or a wait.
#![forbid(unsafe_code)]

use super::{ClientId, Decision, Policy, TurnEnd};
use core::ops::ControlFlow;
use spin::Mutex;
use tranche_abi::{Outcome, Reason, Tick};

/// What the loop needs of a core. On the kernel: `yield_to`, `wait` and the activation's page.
pub trait Processor {
    /// The clock, in ticks.
    fn now(&mut self) -> Tick;
    /// Gives the CPU to a client until `until`, the slot's end, or a client's readiness, whichever is first.
    fn yield_to(&mut self, client: ClientId, until: Tick) -> Outcome;
    /// Gives the CPU back until `until`, or until a client becomes ready; returns at once if one is in the ready set.
    /// Returns the time.
    fn wait(&mut self, until: Tick) -> Tick;
    /// The clients that became ready since the last call; clears the set.
    fn take_ready(&mut self) -> ReadySet;
    /// For whom a client waits whose turn ended in waiting: its own word.
    fn waits_for(&mut self, _client: ClientId) -> Option<ClientId> {
        None
    }
    /// Global scheduling only: there may be work for a sibling core of this scheduler that waits. Wake it.
    fn rouse_siblings(&mut self) {}
}

/// A set of clients, one bit each, as the activation page holds it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReadySet(pub [u64; 4]);

impl ReadySet {
    /// Adds a client. Numbers above the page's 256 do not exist there and are not added.
    pub fn insert(&mut self, client: ClientId) {
        if let Some(word) = self.0.get_mut(usize::from(client.0) / 64) {
            *word |= 1 << (client.0 % 64);
        }
    }

    /// Whether nobody is in it.
    pub fn is_empty(&self) -> bool {
        self.0 == [0; 4]
    }
}

impl Iterator for ReadySet {
    type Item = ClientId;

    /// Takes the client with the lowest number out of the set.
    fn next(&mut self) -> Option<ClientId> {
        let index = self.0.iter().position(|word| *word != 0)?;
        let bit = self.0[index].trailing_zeros();
        self.0[index] &= self.0[index] - 1;
        Some(ClientId((index as u32 * 64 + bit) as u16))
    }
}

/// A turn that is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Turn {
    /// Who had the CPU.
    pub client: ClientId,
    /// What the kernel said of it.
    pub outcome: Outcome,
    /// What that means to the policy.
    pub end: TurnEnd,
}

/// Who waits for whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Loan {
    /// Who waits, and lends.
    pub from: ClientId,
    /// For whom.
    pub to: ClientId,
}

/// Sees every decision and every charge, so that a libOS can measure a policy that knows nothing of it.
pub trait Observer<P> {
    /// A client that became ready before its time is about to be made known to the policy.
    fn woken(&mut self, _policy: &P, _client: ClientId, _now: Tick) {}
    /// The policy has decided. `policy` is as it is after the decision.
    fn decided(&mut self, _policy: &P, _decision: Decision, _now: Tick) {}
    /// A turn is over. `policy` is as it was before it was charged.
    fn charged(&mut self, _policy: &P, _turn: &Turn) {}
    /// A client whose turn ended in waiting is about to lend to another what it is scheduled by.
    fn lent(&mut self, _policy: &P, _loan: Loan, _now: Tick) {}
    /// Nobody is ready; the core waits until `until` unless somebody becomes so.
    fn idle(&mut self, _policy: &P, _now: Tick, _until: Tick) {}
    /// A client has left. `policy` is as it is without it.
    fn left(&mut self, _policy: &P, _client: ClientId, _now: Tick) {}
    /// A client has so many tickets from now on.
    fn inflated(&mut self, _policy: &P, _client: ClientId, _tickets: u32, _now: Tick) {}
}

/// Observes nothing.
impl<P> Observer<P> for () {}

/// An observer that may not be there.
impl<P, O: Observer<P>> Observer<P> for Option<O> {
    fn woken(&mut self, policy: &P, client: ClientId, now: Tick) {
        self.iter_mut().for_each(|observer| observer.woken(policy, client, now));
    }
    fn decided(&mut self, policy: &P, decision: Decision, now: Tick) {
        self.iter_mut().for_each(|observer| observer.decided(policy, decision, now));
    }
    fn charged(&mut self, policy: &P, turn: &Turn) {
        self.iter_mut().for_each(|observer| observer.charged(policy, turn));
    }
    fn lent(&mut self, policy: &P, loan: Loan, now: Tick) {
        self.iter_mut().for_each(|observer| observer.lent(policy, loan, now));
    }
    fn idle(&mut self, policy: &P, now: Tick, until: Tick) {
        self.iter_mut().for_each(|observer| observer.idle(policy, now, until));
    }
    fn left(&mut self, policy: &P, client: ClientId, now: Tick) {
        self.iter_mut().for_each(|observer| observer.left(policy, client, now));
    }
    fn inflated(&mut self, policy: &P, client: ClientId, tickets: u32, now: Tick) {
        self.iter_mut().for_each(|observer| observer.inflated(policy, client, tickets, now));
    }
}

/// Two observers of one policy.
impl<P, A: Observer<P>, B: Observer<P>> Observer<P> for (A, B) {
    fn woken(&mut self, policy: &P, client: ClientId, now: Tick) {
        self.0.woken(policy, client, now);
        self.1.woken(policy, client, now);
    }
    fn decided(&mut self, policy: &P, decision: Decision, now: Tick) {
        self.0.decided(policy, decision, now);
        self.1.decided(policy, decision, now);
    }
    fn charged(&mut self, policy: &P, turn: &Turn) {
        self.0.charged(policy, turn);
        self.1.charged(policy, turn);
    }
    fn lent(&mut self, policy: &P, loan: Loan, now: Tick) {
        self.0.lent(policy, loan, now);
        self.1.lent(policy, loan, now);
    }
    fn idle(&mut self, policy: &P, now: Tick, until: Tick) {
        self.0.idle(policy, now, until);
        self.1.idle(policy, now, until);
    }
    fn left(&mut self, policy: &P, client: ClientId, now: Tick) {
        self.0.left(policy, client, now);
        self.1.left(policy, client, now);
    }
    fn inflated(&mut self, policy: &P, client: ClientId, tickets: u32, now: Tick) {
        self.0.inflated(policy, client, tickets, now);
        self.1.inflated(policy, client, tickets, now);
    }
}

/// A policy together with who observes it.
#[derive(Clone, Debug)]
pub struct Scheduler<P, O> {
    /// Decides.
    pub policy: P,
    /// Measures.
    pub observer: O,
}

/// How a core's loop reaches its scheduler, for a short time only.
pub trait Access<P, O> {
    /// Does something with the scheduler that nobody else does anything with meanwhile.
    fn with<R>(&mut self, action: impl FnOnce(&mut Scheduler<P, O>) -> R) -> R;
}

/// Partitioned: one core's own.
impl<P, O> Access<P, O> for Scheduler<P, O> {
    fn with<R>(&mut self, action: impl FnOnce(&mut Scheduler<P, O>) -> R) -> R {
        action(self)
    }
}

/// Global: several cores share one, on the host. A libOS whose slice may end inside has `critical::Lock` in place of it.
impl<P, O> Access<P, O> for &Mutex<Scheduler<P, O>> {
    fn with<R>(&mut self, action: impl FnOnce(&mut Scheduler<P, O>) -> R) -> R {
        action(&mut self.lock())
    }
}

/// Takes turns until `housekeeping`, which runs before each, breaks off.
pub fn dispatch<M: Processor, P: Policy, O: Observer<P>, A: Access<P, O>>(
    processor: &mut M,
    access: &mut A,
    mut housekeeping: impl FnMut(&mut M, &mut A) -> ControlFlow<()>,
) {
    while housekeeping(processor, access).is_continue() {
        turn(processor, access);
    }
}

/// One turn: runs the client that the policy picks, or waits if there is none.
pub fn turn<P: Policy, O: Observer<P>>(processor: &mut impl Processor, access: &mut impl Access<P, O>) {
    let ready = processor.take_ready();
    let now = processor.now();
    let (picked, news) =
        access.with(|scheduler| (scheduler.decide(ready, now), scheduler.policy.take_news()));
    if news || !ready.is_empty() {
        processor.rouse_siblings();
    }
    match picked {
        Ok(decision) => run(processor, access, decision),
        Err(until) => _ = processor.wait(until),
    }
}

/// Runs the client that was decided on, and charges it.
fn run<P: Policy, O: Observer<P>>(
    processor: &mut impl Processor,
    access: &mut impl Access<P, O>,
    decision: Decision,
) {
    let outcome = processor.yield_to(decision.client, decision.until);
    let waits_for =
        if outcome.reason == Reason::Waiting { processor.waits_for(decision.client) } else { None };
    let end = access.with(|scheduler| {
        let end = scheduler.charge(decision, outcome);
        if let Some(to) = waits_for {
            scheduler.lend(Loan { from: decision.client, to }, outcome.now);
        }
        end
    });
    if matches!(end, TurnEnd::Waiting(_)) {
        processor.rouse_siblings(); // Their `wait` does not know of the time at which this client is ready.
    }
}

/// The two halves of a turn, for whoever has no CPU that is away meanwhile: a simulator.
impl<P: Policy, O: Observer<P>> Scheduler<P, O> {
    /// Tells the policy who became ready and asks it whom to run; if nobody, the time until which to wait.
    pub fn decide(&mut self, ready: ReadySet, now: Tick) -> Result<Decision, Tick> {
        let Self { policy, observer } = self;
        for client in ready {
            observer.woken(policy, client, now);
            policy.wake(client, now);
        }
        let picked = policy.pick(now).ok_or_else(|| policy.next_event());
        match picked {
            Ok(decision) => observer.decided(policy, decision, now),
            Err(until) => observer.idle(policy, now, until),
        }
        picked
    }

    /// A client leaves the policy.
    pub fn leave(&mut self, client: ClientId, now: Tick) {
        self.policy.leave(client, now);
        self.observer.left(&self.policy, client, now);
    }

    /// A client has so many tickets from now on, at least 1.
    pub fn set_tickets(&mut self, client: ClientId, tickets: u32, now: Tick) {
        self.policy.set_tickets(client, tickets, now);
        self.observer.inflated(&self.policy, client, tickets, now);
    }

    /// Tells the policy how the turn ended that it had decided on.
    pub fn charge(&mut self, decision: Decision, outcome: Outcome) -> TurnEnd {
        let turn = Turn { client: decision.client, outcome, end: end_of(outcome, decision.until) };
        self.observer.charged(&self.policy, &turn);
        self.policy.charge(turn.client, outcome.ran, turn.end, outcome.now);
        turn.end
    }

    /// Tells the policy for whom the client waits whose turn has just ended.
    pub fn lend(&mut self, loan: Loan, now: Tick) {
        self.observer.lent(&self.policy, loan, now);
        self.policy.lend(loan.from, loan.to, now);
    }
}

/// What an outcome means to the policy that decided on `until`.
fn end_of(outcome: Outcome, until: Tick) -> TurnEnd {
    match outcome.reason {
        Reason::Expired | Reason::Event => TurnEnd::Ready,
        Reason::Yielded => TurnEnd::Yielded,
        Reason::Waiting => TurnEnd::Waiting(Tick(outcome.detail)),
        // It waits still, or it runs on a chain that is not ours and gives no time: then ask again when this turn
        // would have ended, rather than at once and for ever.
        Reason::Busy if outcome.detail > outcome.now.0 => TurnEnd::Waiting(Tick(outcome.detail)),
        Reason::Busy => TurnEnd::Waiting(until),
        Reason::Faulted | Reason::Gone => TurnEnd::Gone,
    }
}

#[cfg(test)]
mod tests;
