//! A scheduler's activation on one core: what it does with the CPU, step by step, as the dispatch loop does it on the kernel.
//!
//! The loop's two halves are the real ones ([`Scheduler::decide`], [`Scheduler::charge`]), around a policy that is the
//! real one; what lies between them, the scheduler's own CPU time, is from the table of costs. Not here: time itself, which
//! passes in `core`.

use super::client::Client;
use super::contest::Contest;
use super::costs::{Kernel, Turning, Way};
use super::crew::Crew;
use super::policy::Any;
use super::slots::{BROKER, Slots};
use libos_core::sched::dispatch::{Observer, ReadySet, Scheduler, Turn};
use libos_core::sched::steps::{Step, Steps};
use libos_core::sched::{ClientId, Decision, Demand, Policy, Refusal, TurnEnd};
use std::collections::VecDeque;
use tranche_abi::{Outcome, Reason, Tick};

/// What an activation does.
#[derive(Clone, Debug)]
pub enum Doing {
    /// It is not there yet, or no more.
    Nothing,
    /// It uses so much CPU time of its own, and then does the next thing.
    Own(u64, Next),
    /// Its client has the CPU.
    Away(Away),
    /// Its client's turn is over, which it learns when it has the CPU again.
    Back(Decision, Outcome),
    /// It waits until this time, or for an event.
    Waiting(u64),
}

/// What comes after some CPU time of its own.
#[derive(Clone, Copy, Debug)]
pub enum Next {
    /// It has started: it makes its clients.
    Make,
    /// They join as soon as it has slots enough.
    Join,
    /// It looks for what is to be done, and asks its policy.
    Look,
    /// It yields to its client.
    Yield(Decision),
    /// It waits.
    Wait(Tick),
}

/// A client's turn.
#[derive(Clone, Copy, Debug)]
pub struct Away {
    /// What was decided.
    pub decision: Decision,
    /// When the turn began.
    pub begin: u64,
    /// CPU time of the client so far.
    pub ran: u64,
}

/// What others want of an activation, until it looks.
#[derive(Clone, Copy, Debug, Default)]
pub struct Events {
    /// It is to stop.
    pub stop: bool,
    /// Slots have come or gone.
    pub slots: bool,
    /// Slots that it is to give back.
    pub asked: u64,
}

impl Events {
    fn any(self) -> bool {
        self.stop || self.slots || self.asked > 0
    }
}

/// A client that comes or goes.
#[derive(Clone, Copy, Debug)]
pub enum Change {
    /// It joins, with this demand.
    Join(ClientId, Demand),
    /// It leaves.
    Leave(ClientId),
    /// It has so many tickets.
    Tickets(ClientId, u32),
}

/// The observer that keeps every step.
#[derive(Clone, Debug, Default)]
pub struct Noted(pub Vec<Step>);

impl Noted {
    fn steps(&mut self) -> Steps<impl FnMut(Step)> {
        Steps(|step| self.0.push(step))
    }
}

impl Observer<Any> for Noted {
    fn woken(&mut self, policy: &Any, client: ClientId, now: Tick) {
        self.steps().woken(policy, client, now);
    }
    fn decided(&mut self, policy: &Any, decision: Decision, now: Tick) {
        self.steps().decided(policy, decision, now);
    }
    fn charged(&mut self, policy: &Any, turn: &Turn) {
        self.steps().charged(policy, turn);
    }
    fn idle(&mut self, policy: &Any, now: Tick, until: Tick) {
        self.steps().idle(policy, now, until);
    }
    fn left(&mut self, policy: &Any, client: ClientId, now: Tick) {
        self.steps().left(policy, client, now);
    }
    fn inflated(&mut self, policy: &Any, client: ClientId, tickets: u32, now: Tick) {
        self.steps().inflated(policy, client, tickets, now);
    }
}

/// An activation.
#[derive(Clone, Debug)]
pub struct Activation {
    /// Its policy, and every step of it.
    pub scheduler: Scheduler<Any, Noted>,
    /// What it does.
    pub doing: Doing,
    /// Whose turn is over, and whose tickets it has not looked at since.
    pub last: Option<ClientId>,
    /// The tickets that clients gave themselves last, by their numbers.
    pub inflated: Vec<u32>,
    /// What it has not looked at.
    pub events: Events,
    /// The clients that it makes, of a scenario.
    pub crew: Option<Crew>,
    /// Its clients, by their numbers.
    pub clients: Vec<Client>,
    /// Who comes and goes, in the order of time. What is due happens when the activation next looks.
    pub changes: VecDeque<(u64, Change)>,
    /// It is not done with starting up before this time.
    pub ready_at: u64,
    /// Slots that it needs before its clients can join.
    pub needs: u64,
    /// Slots that it does not give back, by position.
    pub keep: Vec<bool>,
    /// Clients that its policy did not take on, and why.
    pub refused: Vec<(ClientId, Refusal)>,
    /// The longest responses that were possible when somebody was about to leave, by the client's number: those that join may make
    /// the others' longer.
    pub bounds: Vec<Option<Tick>>,
    /// When it was told to stop.
    pub stopped: Option<u64>,
    /// CPU time of its own.
    pub own: u64,
    /// How many of its clients compete.
    pub contest: Contest,
    /// What its turns cost.
    pub turning: Turning,
    /// What each client's turns cost more, to find out what depends on it; those beyond its end: nothing.
    pub nudges: Vec<i64>,
    /// As an owner of slots.
    pub owner: u16,
}

/// What an activation sees of its core.
pub struct Scene<'a> {
    /// The time.
    pub now: u64,
    /// When the present slot ends.
    pub slot_end: u64,
    /// The core's slots.
    pub slots: &'a mut Slots,
}

impl Activation {
    /// One that is not there yet.
    pub fn new(policy: Any, turning: Turning, owner: u16) -> Self {
        Self {
            scheduler: Scheduler { policy, observer: Noted::default() },
            doing: Doing::Nothing,
            last: None,
            inflated: Vec::new(),
            events: Events::default(),
            crew: None,
            clients: Vec::new(),
            changes: VecDeque::new(),
            ready_at: 0,
            needs: 0,
            keep: Vec::new(),
            refused: Vec::new(),
            bounds: Vec::new(),
            stopped: None,
            own: 0,
            contest: Contest::default(),
            turning,
            nudges: Vec::new(),
            owner,
        }
    }

    /// Does what comes after its own CPU time.
    pub fn next(&mut self, next: Next, scene: &mut Scene<'_>) {
        self.doing = match next {
            Next::Make => self.make(scene),
            Next::Join => self.join(scene),
            Next::Look => self.look(scene),
            Next::Yield(decision) => self.yield_to(decision, scene.now),
            Next::Wait(until) if until.0 <= scene.now || self.events.any() => {
                return self.ask_again((Way::Yielded, 0), ClientId(0));
            }
            Next::Wait(until) => Doing::Waiting(until.0),
        };
    }

    /// It learns how its client's turn ended.
    pub fn back(&mut self, (decision, outcome): (Decision, Outcome), way: (Way, u64)) {
        let end = self.scheduler.charge(decision, outcome);
        self.last = Some(decision.client);
        self.ask_again(way, decision.client);
        if matches!(end, TurnEnd::Waiting(_) | TurnEnd::Gone) {
            self.contest.recount(&self.scheduler.policy);
        }
    }

    /// It has the CPU again in this way, of which so much was the kernel's part; if a turn has ended, it was `client`'s.
    pub fn ask_again(&mut self, (way, kernels): (Way, u64), client: ClientId) {
        let all = self.turning.back(way).with(&self.contest, client).saturating_sub(kernels);
        self.doing = Doing::Own(all, Next::Look);
    }

    /// The kernel's part of giving it the CPU when its slot begins: the mean of all, but no more than all that it takes.
    pub fn switch(&self, costs: &Kernel) -> u64 {
        match self.doing {
            Doing::Waiting(_) => costs.slot_switch.min(self.turning.late.with(&self.contest, ClientId(0))),
            _ => costs.slot_switch,
        }
    }

    /// Whether its wait is over.
    pub fn is_awaited(&self, until: u64, now: u64) -> bool {
        until <= now || self.events.any()
    }

    /// Whether it would leave the core to nobody.
    pub fn sleeps(&self, now: u64) -> bool {
        match self.doing {
            Doing::Nothing => true,
            Doing::Waiting(until) => !self.is_awaited(until, now),
            Doing::Own(..) | Doing::Away(_) | Doing::Back(..) => false,
        }
    }

    fn make(&mut self, scene: &Scene<'_>) -> Doing {
        let Some(crew) = &self.crew else { return Doing::Nothing };
        let (clients, changes) = crew.make(scene.now);
        self.clients = clients;
        self.changes.extend(changes);
        Doing::Own(crew.cost(), Next::Join)
    }

    fn join(&mut self, scene: &mut Scene<'_>) -> Doing {
        if scene.now < self.ready_at {
            return Doing::Own(self.ready_at.min(scene.slot_end) - scene.now, Next::Join);
        }
        if let Some(pattern) = scene.slots.pattern(self.owner) {
            if (pattern.iter().filter(|owned| **owned).count() as u64) < self.needs {
                // It looks again at the beginning of its next slot.
                return Doing::Own(scene.slot_end - scene.now, Next::Join);
            }
            self.scheduler.policy.set_supply(&pattern);
            if self.needs > 0 {
                self.keep = pattern;
            }
        }
        self.look(scene)
    }

    fn look(&mut self, scene: &mut Scene<'_>) -> Doing {
        let events = std::mem::take(&mut self.events);
        if events.stop {
            self.stopped = Some(scene.now);
            return Doing::Nothing;
        }
        if events.asked > 0 {
            self.give_back(events.asked, scene.slots);
        }
        if events.any()
            && let Some(pattern) = scene.slots.pattern(self.owner)
        {
            self.scheduler.policy.set_supply(&pattern);
        }
        self.hear_tickets(Tick(scene.now));
        while self.changes.front().is_some_and(|(at, _)| *at <= scene.now) {
            let Some((_, change)) = self.changes.pop_front() else { break };
            self.change(change, Tick(scene.now));
        }
        self.contest.asks(&self.scheduler.policy, Tick(scene.now));
        let picked = self.scheduler.decide(ReadySet::default(), Tick(scene.now));
        let newcomers = self.contest.asked(&self.scheduler.policy);
        let (mut nudge, mut client) = (0, ClientId(0));
        let next = match picked {
            Ok(decision) => {
                client = decision.client;
                nudge = self.nudges.get(usize::from(client.0)).copied().unwrap_or(0);
                Next::Yield(decision)
            }
            Err(until) => {
                let change = self.changes.front().map_or(u64::MAX, |(at, _)| *at);
                Next::Wait(until.min(Tick(change)))
            }
        };
        let own = self.turning.decide(&self.contest, (newcomers, client));
        Doing::Own(own.saturating_add_signed(nudge), next)
    }

    /// The longest response of a client that was possible while it was there, where its policy guarantees one.
    pub fn response_bound(&self, client: ClientId) -> Option<Tick> {
        let before = self.bounds.get(usize::from(client.0)).copied().flatten();
        before.max(self.scheduler.policy.response_bound(client))
    }

    fn possible(&self) -> Vec<Option<Tick>> {
        (0..self.clients.len()).map(|client| self.response_bound(ClientId(client as u16))).collect()
    }

    fn change(&mut self, change: Change, now: Tick) {
        match change {
            Change::Join(client, demand) => match self.scheduler.policy.join(client, demand, now) {
                Ok(()) => {
                    self.scheduler.observer.0.push(Step::Join { client, demand, now });
                    self.contest.joined(client);
                }
                Err(refusal) => self.refused.push((client, refusal)),
            },
            Change::Leave(client) => {
                self.bounds = self.possible();
                self.scheduler.leave(client, now);
                self.clients[usize::from(client.0)].end(now.0);
                self.contest.recount(&self.scheduler.policy);
            }
            Change::Tickets(client, tickets) => self.scheduler.set_tickets(client, tickets, now),
        }
    }

    /// The client that had the CPU may have changed its tickets.
    fn hear_tickets(&mut self, now: Tick) {
        let Some(client) = self.last.take() else { return };
        let place = usize::from(client.0);
        let Some(tickets) = self.clients.get(place).and_then(Client::tickets) else { return };
        if place >= self.inflated.len() {
            self.inflated.resize(place + 1, 0);
        }
        if std::mem::replace(&mut self.inflated[place], tickets) != tickets {
            self.scheduler.set_tickets(client, tickets, now);
        }
    }

    /// As a scheduler libOS does: the last slots of the revolution first, but none that it keeps.
    fn give_back(&self, asked: u64, slots: &mut Slots) {
        let Some(vector) = slots.vector() else { return };
        let pattern = vector.pattern(self.owner);
        let kept = |place: &usize| self.keep.get(*place).copied().unwrap_or(false);
        let spare = (0..pattern.len()).rev().filter(|place| pattern[*place] && !kept(place));
        spare.take(asked as usize).for_each(|place| vector.give(place, BROKER));
    }

    /// A directed yield: the client's turn, or the outcome that says why not.
    fn yield_to(&self, decision: Decision, now: u64) -> Doing {
        let refused =
            |reason, detail| Doing::Back(decision, Outcome { reason, ran: Tick(0), detail, now: Tick(now) });
        let client = self.clients.get(usize::from(decision.client.0)).and_then(Client::ready_at);
        match client {
            _ if decision.until.0 <= now => refused(Reason::Expired, 0),
            None => refused(Reason::Gone, 0),
            Some(ready_at) if ready_at > now => refused(Reason::Busy, ready_at),
            Some(_) => Doing::Away(Away { decision, begin: now, ran: 0 }),
        }
    }
}
