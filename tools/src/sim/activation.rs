//! A scheduler's activation on one core: what it does with the CPU, step by step, as the dispatch loop does it on the kernel.
//!
//! The loop's two halves are the real ones ([`Scheduler::decide`], [`Scheduler::charge`]), around a policy that is the
//! real one; what lies between them, the scheduler's own CPU time, is from the table of costs. Not here: time itself, which
//! passes in `core`.

mod change;

pub use change::Change;

use super::client::Client;
use super::contest::Contest;
use super::costs::{Kernel, Turning, Way};
use super::crew::Crew;
use super::locks::Locks;
use super::policy::Any;
use super::slots::{BROKER, Slots};
use apps::scheduler::warden::{self, Warden};
use libos_core::scenario::{self, Spacing};
use libos_core::sched::dispatch::{Loan, ReadySet, Scheduler};
use libos_core::sched::steps::{Step, Steps};
use libos_core::sched::{ClientId, Decision, Policy, Refusal, TurnEnd};
use libos_rt::roll::{self, Roll};
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
    /// Its other policy, which began to take over at this time, has done so.
    Swap(Tick),
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
    /// Another policy is to take over.
    pub swap: bool,
}

impl Events {
    fn any(self) -> bool {
        self.stop || self.slots || self.asked > 0 || self.swap
    }
}

/// A policy that is to take over.
#[derive(Clone, Debug)]
pub struct Heir {
    /// Its name.
    pub name: scenario::Policy,
    /// It, until it does.
    pub policy: Option<Any>,
    /// What turns cost then.
    pub turning: Turning,
    /// Its taking over, once it has.
    pub taken: Option<Taken>,
}

/// How a policy took over.
#[derive(Clone, Copy, Debug)]
pub struct Taken {
    /// When it began to.
    pub began: u64,
    /// When it had.
    pub done: u64,
    /// Steps of the one before it.
    pub steps: usize,
}

/// An activation.
#[derive(Clone, Debug)]
pub struct Activation {
    /// Its policy, and every step of it.
    pub scheduler: Scheduler<Any, Steps<Vec<Step>>>,
    /// What it does.
    pub doing: Doing,
    /// Whose turn is over, and whose tickets it has not looked at since.
    pub last: Option<ClientId>,
    /// The tickets that clients gave themselves last, by their numbers.
    pub inflated: Vec<u32>,
    /// What it has not looked at.
    pub events: Events,
    /// Who is to take over from its policy.
    pub heir: Option<Heir>,
    /// The clients that it makes, of a scenario.
    pub crew: Option<Crew>,
    /// Its clients, by their numbers.
    pub clients: Vec<Client>,
    /// Their locks.
    pub locks: Locks,
    /// Whether who waits for another lends it what it is scheduled by.
    pub donates: bool,
    /// Clients that were woken, until it looks.
    pub woken: ReadySet,
    /// Who comes and goes, in the order of time. What is due happens when the activation next looks.
    pub changes: VecDeque<(u64, Change)>,
    /// It is not done with starting up before this time.
    pub ready_at: u64,
    /// Slots that it needs for all its clients: what it bids for.
    pub needs: u64,
    /// Slots that it waits for before its clients can join.
    pub awaits: u64,
    /// Whom it guarantees their deadlines, and what slots it keeps for that.
    pub warden: Warden,
    /// Slots that it was asked for and has not given back.
    owed: u64,
    /// Clients that its policy did not take on, and why.
    pub refused: Vec<(ClientId, Refusal)>,
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
    /// What it costs more, for the same reason, until it asks its policy.
    pub asking: i64,
    /// As an owner of slots.
    pub owner: u16,
    /// Whether its policy and clients are those of the other cores' activations, too (`commons`).
    pub shares: bool,
    /// Whether it has news of which the others are to be told.
    pub has_news: bool,
    /// When it was told of others' news that it has not looked at.
    pub told: Option<u64>,
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
            scheduler: Scheduler { policy, observer: Steps::default() },
            doing: Doing::Nothing,
            last: None,
            inflated: Vec::new(),
            events: Events::default(),
            heir: None,
            crew: None,
            clients: Vec::new(),
            locks: Locks::default(),
            donates: false,
            woken: ReadySet::default(),
            changes: VecDeque::new(),
            ready_at: 0,
            needs: 0,
            awaits: 0,
            warden: Warden::new(Roll::new([]), Spacing::default()),
            owed: 0,
            refused: Vec::new(),
            stopped: None,
            own: 0,
            contest: Contest::default(),
            turning,
            nudges: Vec::new(),
            asking: 0,
            owner,
            shares: false,
            has_news: false,
            told: None,
        }
    }

    /// Does what comes after its own CPU time.
    pub fn next(&mut self, next: Next, scene: &mut Scene<'_>) {
        self.doing = match next {
            Next::Make => self.make(scene),
            Next::Join => self.join(scene),
            Next::Look => self.look(scene),
            Next::Swap(began) => self.swap(began, scene),
            Next::Yield(decision) => self.yield_to(decision, scene.now),
            Next::Wait(until) if self.is_awaited(until.0, scene.now) => {
                return self.ask_again((Way::Yielded, 0), ClientId(0));
            }
            Next::Wait(until) => Doing::Waiting(until.0),
        };
    }

    /// It learns how its client's turn ended.
    pub fn back(&mut self, (decision, outcome): (Decision, Outcome), way: (Way, u64)) {
        let end = self.scheduler.charge(decision, outcome);
        self.last = Some(decision.client);
        let waits_for = self.clients.get(usize::from(decision.client.0)).and_then(|client| client.waits_for);
        if let Some(to) = waits_for.filter(|_| self.donates && outcome.reason == Reason::Waiting) {
            self.scheduler.lend(Loan { from: decision.client, to }, outcome.now);
        }
        self.has_news |= matches!(end, TurnEnd::Waiting(_));
        self.ask_again(way, decision.client);
        if matches!(end, TurnEnd::Waiting(_) | TurnEnd::Gone) {
            self.contest.recount(&self.scheduler.policy);
        }
    }

    /// Who has a lock now for which it waited is ready.
    pub fn wake(&mut self) {
        for client in std::mem::take(&mut self.locks.woken) {
            self.woken.insert(client);
            self.clients[usize::from(client.0)].wake();
        }
    }

    /// It has the CPU again in this way, of which so much was the kernel's part; if a turn has ended, it was `client`'s.
    pub fn ask_again(&mut self, (way, kernels): (Way, u64), client: ClientId) {
        let all = self.turning.back(way).with(&self.contest, client).saturating_add_signed(self.asking);
        let all = all.saturating_sub(kernels);
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
        until <= now || self.events.any() || self.is_told(now)
    }

    /// Whether others have told it of news by now.
    fn is_told(&self, now: u64) -> bool {
        self.told.is_some_and(|told| told <= now)
    }

    /// When others' news ends what it does.
    pub fn told_at(&self) -> u64 {
        match self.doing {
            Doing::Away(_) | Doing::Waiting(_) => self.told.unwrap_or(u64::MAX),
            Doing::Nothing | Doing::Own(..) | Doing::Back(..) => u64::MAX,
        }
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
        let Some(crew) = &mut self.crew else { return Doing::Nothing };
        let (clients, roll, changes) = crew.make(scene.now);
        self.clients.extend(clients);
        self.warden.roll = roll;
        (self.locks, self.donates) = (Locks::new(crew.locks()), crew.donates());
        self.changes.extend(changes);
        Doing::Own(crew.cost(), Next::Join)
    }

    fn join(&mut self, scene: &mut Scene<'_>) -> Doing {
        if scene.now < self.ready_at {
            return Doing::Own(self.ready_at.min(scene.slot_end) - scene.now, Next::Join);
        }
        if let Some(pattern) = scene.slots.pattern(self.owner) {
            if (pattern.iter().filter(|owned| **owned).count() as u64) < self.awaits {
                // It looks again at the beginning of its next slot.
                return Doing::Own(scene.slot_end - scene.now, Next::Join);
            }
            let keep = if self.needs > 0 { pattern.clone() } else { Vec::new() };
            let policy = &mut self.scheduler.policy;
            let there = warden::Scene { now: Tick(scene.now), owned: &pattern, supply: policy.supply() };
            let changes = self.warden.begin(policy, keep, &there);
            self.note(&changes, scene.now);
        }
        self.look(scene)
    }

    fn look(&mut self, scene: &mut Scene<'_>) -> Doing {
        let events = std::mem::take(&mut self.events);
        if self.is_told(scene.now) {
            self.told = None;
        }
        if events.stop {
            self.stopped = Some(scene.now);
            return Doing::Nothing;
        }
        if self.awaits_others() {
            return Doing::Waiting(scene.slot_end);
        }
        self.tend(events, scene);
        if events.swap
            && let Some(crew) = &self.crew
        {
            return Doing::Own(crew.cost_of_swap(), Next::Swap(Tick(scene.now)));
        }
        self.hear_tickets(Tick(scene.now));
        self.come_and_go(scene);
        self.contest.asks(&self.scheduler.policy, Tick(scene.now));
        let woken = std::mem::take(&mut self.woken);
        if !woken.is_empty() {
            self.contest.woken();
        }
        let picked = self.scheduler.decide(woken, Tick(scene.now));
        self.has_news |= self.scheduler.policy.take_news();
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

    /// Another policy takes over all clients, as `apps::scheduler::swap` does it.
    fn swap(&mut self, began: Tick, scene: &mut Scene<'_>) -> Doing {
        if let (Some(heir), Some(crew)) = (&mut self.heir, &self.crew)
            && let Some(policy) = heir.policy.take()
        {
            self.scheduler.policy = policy;
            self.turning = heir.turning;
            let steps = self.scheduler.observer.0.len();
            heir.taken = Some(Taken { began: began.0, done: scene.now, steps });
            self.contest = Contest::default();
            for (client, demand) in crew.demands_of(heir.name, began.0) {
                self.change(Change::Join(client, demand), began, scene);
            }
        }
        self.look(scene)
    }

    /// Whether the activation that makes the clients has not done so yet.
    fn awaits_others(&self) -> bool {
        self.shares && self.scheduler.observer.0.is_empty() && self.changes.is_empty()
    }

    /// What is to be done about slots before a turn, as a scheduler libOS does it.
    fn tend(&mut self, events: Events, scene: &mut Scene<'_>) {
        let policy = &mut self.scheduler.policy;
        if !(events.any() || self.warden.is_awaited(policy)) {
            return;
        }
        let Some(vector) = scene.slots.vector() else { return };
        if events.asked > 0 {
            self.owed = events.asked;
        }
        let held_back = self.warden.let_go(policy).into_iter().take(self.owed as usize);
        let mut given: u64 = held_back.map(|place| vector.give(place, BROKER)).count() as u64;
        let owned = vector.pattern(self.owner);
        let there = warden::Scene { now: Tick(scene.now), owned: &owned, supply: policy.supply() };
        let changes = if events.asked > 0 {
            let (spare, changes) = self.warden.asked(policy, self.owed - given, &there);
            given += spare.into_iter().map(|place| vector.give(place, BROKER)).count() as u64;
            changes
        } else {
            self.warden.changed(policy, &there)
        };
        self.owed -= given;
        self.note(&changes, scene.now);
    }

    /// Notes who was admitted, refused or shed.
    fn note(&mut self, changes: &[roll::Change], now: u64) {
        let now = Tick(now);
        for change in changes {
            match *change {
                roll::Change::Admitted { client, demand, resumes_at } => {
                    self.scheduler.observer.0.push(Step::Join { client, demand, now });
                    self.contest.joined(client);
                    let of = &mut self.clients[usize::from(client.0)];
                    resumes_at.into_iter().for_each(|time| of.resume_at(time.0));
                }
                roll::Change::Shed { client } => {
                    self.scheduler.observer.0.push(Step::Leave { client, now });
                    self.contest.recount(&self.scheduler.policy);
                }
                roll::Change::Refused { client, refusal } => self.refused.push((client, refusal)),
            }
        }
    }

    /// A directed yield: the client's turn, or the outcome that says why not.
    fn yield_to(&self, decision: Decision, now: u64) -> Doing {
        let refused =
            |reason, detail| Doing::Back(decision, Outcome { reason, ran: Tick(0), detail, now: Tick(now) });
        let client = self.clients.get(usize::from(decision.client.0)).and_then(Client::ready_at);
        match client {
            _ if decision.until.0 <= now => refused(Reason::Expired, 0),
            _ if self.is_told(now) => refused(Reason::Event, 0),
            None => refused(Reason::Gone, 0),
            Some(ready_at) if ready_at > now => refused(Reason::Busy, ready_at),
            Some(_) => Doing::Away(Away { decision, begin: now, ran: 0 }),
        }
    }
}
