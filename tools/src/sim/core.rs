//! One core: slots begin and end, turns begin and end, roots wait and wake, and every tick is charged to somebody.
//!
//! What ends what is as in the kernel's `slice` module: the end of a slot ends the whole chain, whose root goes on in its next
//! slot where it was; the end of a directed yield's time, and a client that waits or yields, give the CPU back to the
//! scheduler; a root that waits has the core again when its time comes in a slot of its own. Time that the kernel
//! takes is charged to the kernel. Not here: what a scheduler does (`activation`), who owns slots (`slots`).
//!
//! * `shared`: what becomes of it while other cores have their turns.
//!
//! Invariant: the buckets of the ledger add up to the time.

mod shared;

use super::activation::{Activation, Away, Doing, Scene};
use super::client::Parting;
use super::costs::{Kernel, Way};
use super::slots::{BROKER, Begun, Slots};
use crate::recording;
use libos_core::sched::ClientId;
use tranche_abi::{Outcome, Reason, Tick};

/// Steps in which no time passes before a core counts as stuck. A decision takes three of them.
const MOST_STEPS_ON_THE_SPOT: u32 = 100_000;

/// What happened on a core, in the order of time.
#[derive(Clone, Debug, Default)]
pub struct Log {
    /// Slots that began.
    pub slices: Vec<recording::Slice>,
    /// Turns that ended.
    pub turns: Vec<recording::Turn>,
    /// Jobs that were done.
    pub jobs: Vec<recording::Job>,
}

/// Where a core's time went, besides schedulers, who count their own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ledger {
    /// The kernel's.
    pub kernel: u64,
    /// Nobody's.
    pub idle: u64,
    /// The broker's.
    pub broker: u64,
    /// Clients'.
    pub clients: u64,
}

/// The broker's work on the core on which it lives.
#[derive(Clone, Copy, Debug)]
pub struct Worker {
    /// It waits until then.
    pub until: u64,
    /// CPU time that it then needs before it acts.
    pub left: u64,
}

/// How far a core came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// To the time that was named.
    Reached,
    /// To where the broker acts.
    BrokerActs,
    /// Nowhere: a scheduler turns on the spot.
    Stuck,
}

/// A core.
#[derive(Clone, Debug)]
pub struct Core {
    /// The time.
    pub now: u64,
    /// Its slots.
    pub slots: Slots,
    /// The schedulers' activations. One more than the place is the owner of its slots.
    pub activations: Vec<Activation>,
    /// The broker, where it lives.
    pub broker: Option<Worker>,
    /// What happened.
    pub log: Log,
    /// Where the time went.
    pub ledger: Ledger,
    number: u32,
    costs: Kernel,
    slot: Begun,
    /// When the kernel saw it begin.
    begun: u64,
    /// Whoever has it by then had it from its beginning.
    late_until: u64,
    /// The kernel has the core until then.
    kernel_until: u64,
    on_the_spot: u32,
}

impl Core {
    /// A core at time 0, before its first slot.
    pub fn new(number: u32, slots: Slots, activations: Vec<Activation>, costs: Kernel) -> Self {
        Self {
            now: 0,
            slots,
            activations,
            broker: None,
            log: Log::default(),
            ledger: Ledger::default(),
            number,
            costs,
            slot: Begun { begin: 0, end: 0, owner: BROKER },
            begun: 0,
            late_until: 0,
            kernel_until: 0,
            on_the_spot: 0,
        }
    }

    /// Goes on to `limit`, unless the broker acts before.
    pub fn advance(&mut self, limit: u64) -> Progress {
        while self.now < limit {
            if let Some(stop) = self.advance_once(limit) {
                return stop;
            }
        }
        Progress::Reached
    }

    /// Goes on to the next event, at `limit` at the latest. `None`, unless there is something to stop for.
    pub fn advance_once(&mut self, limit: u64) -> Option<Progress> {
        let before = self.now;
        if self.now >= self.slot.end {
            self.end_slot();
            self.begin_slot();
        }
        if self.now < self.kernel_until {
            self.ledger.kernel += self.pass(self.kernel_until.min(limit));
        } else if self.slot.owner != BROKER {
            self.step(usize::from(self.slot.owner) - 1, limit);
        } else if self.broker_works(limit) {
            return Some(Progress::BrokerActs);
        }
        self.on_the_spot = if self.now == before { self.on_the_spot + 1 } else { 0 };
        (self.on_the_spot > MOST_STEPS_ON_THE_SPOT).then_some(Progress::Stuck)
    }

    /// The scheduler in whose slot it is.
    fn owner(&self) -> Option<usize> {
        usize::from(self.slot.owner).checked_sub(1)
    }

    /// The slot's end is there: a turn that it has not ended yet it ends now.
    fn end_slot(&mut self) {
        let Some(place) = self.owner() else { return };
        if let Doing::Away(away) = self.activations[place].doing {
            self.end_turn(place, away, None);
        }
    }

    /// Time passes to `time`; how much.
    fn pass(&mut self, time: u64) -> u64 {
        let span = time - self.now;
        self.now = time;
        span
    }

    fn begin_slot(&mut self) {
        self.slot = self.slots.begin(self.now);
        self.begun = self.now;
        let Begun { begin, end, owner } = self.slot;
        let sleeps = match self.owner() {
            Some(place) => self.activations[place].sleeps(self.now),
            None => self.broker.is_none_or(|broker| broker.until > self.now),
        };
        let switch = match self.owner() {
            Some(place) => self.activations[place].switch(&self.costs),
            None => self.costs.slot_switch,
        };
        self.kernel_until = self.now + if sleeps { self.costs.slot_asleep } else { switch };
        self.late_until = self.now + switch;
        if end == u64::MAX {
            return; // It is no slot: there are no more.
        }
        // Whose it is becomes an index of schedulers when the cores' logs are put together.
        let owner = (owner != BROKER).then(|| usize::from(owner) - 1);
        self.log.slices.push(recording::Slice { core: self.number, begin, end, owner });
    }

    /// In a slot of the broker's: whether it acts now.
    fn broker_works(&mut self, limit: u64) -> bool {
        let stop = self.slot.end.min(limit);
        match self.broker {
            Some(Worker { until, left }) if until <= self.now => {
                let span = self.pass(stop.min(self.now.saturating_add(left)));
                self.ledger.broker += span;
                self.broker = Some(Worker { until, left: left - span });
                left == span
            }
            other => {
                let until = other.map_or(u64::MAX, |broker| broker.until);
                self.ledger.idle += self.pass(stop.min(until));
                false
            }
        }
    }

    /// The next thing that a slot's owner does.
    fn step(&mut self, place: usize, limit: u64) {
        let slot_end = self.slot.end;
        let stop = slot_end.min(limit);
        let activation = &mut self.activations[place];
        match activation.doing {
            Doing::Nothing => self.ledger.idle += self.pass(stop),
            Doing::Own(left, next) => {
                let span = left.min(stop - self.now);
                self.now += span;
                activation.own += span;
                activation.doing = Doing::Own(left - span, next);
                if span == left && self.now < slot_end {
                    let now = self.now;
                    activation.next(next, &mut Scene { now, slot_end, slots: &mut self.slots });
                }
            }
            Doing::Away(away) => self.run_client(place, away, limit),
            Doing::Back(decision, outcome) => {
                let way = match outcome.reason {
                    _ if outcome.now.0 < self.slot.begin => Way::Regained,
                    _ if outcome.now.0 <= self.begun => Way::Slot,
                    Reason::Waiting => Way::Waiting,
                    Reason::Expired => Way::Expired,
                    _ => Way::Yielded,
                };
                // Whoever is cut off by the end of its slot learns of it when it has the next.
                let outcome = Outcome { now: Tick(outcome.now.0.max(self.begun)), ..outcome };
                activation.back((decision, outcome), (way, self.costs.part(way)));
            }
            Doing::Waiting(until) => self.root_waits(place, until, stop),
        }
    }

    /// A root waits for a time or an event, or has waited.
    fn root_waits(&mut self, place: usize, until: u64, stop: u64) {
        let activation = &mut self.activations[place];
        if activation.is_awaited(until, self.now) {
            let switch = activation.switch(&self.costs);
            let is_late = self.now <= self.late_until;
            let way = if is_late { (Way::Late, switch) } else { (Way::Woken, self.costs.wake) };
            activation.ask_again(way, ClientId(0));
            return;
        }
        let until = until.min(activation.told_at());
        self.ledger.idle += self.pass(stop.min(until));
        if self.now == until && self.now < self.slot.end {
            self.kernel_until = self.now + self.costs.wake;
        }
    }

    /// A client has the CPU until its turn ends, or to `limit`.
    fn run_client(&mut self, place: usize, away: Away, limit: u64) {
        let Away { decision, begin, mut ran } = away;
        let end = decision.until.0.min(self.slot.end).min(self.activations[place].told_at());
        if self.now > end {
            return self.end_turn(place, away, None);
        }
        let due = end.min(limit);
        let Activation { clients, locks, .. } = &mut self.activations[place];
        let client = &mut clients[usize::from(decision.client.0)];
        let parting = loop {
            let span = client.left().min(due.saturating_sub(self.now));
            client.run(span);
            (self.now, ran) = (self.now + span, ran + span);
            self.ledger.clients += span;
            if client.left() > 0 {
                break None;
            }
            // What a client does in the very moment in which its time is up, it has done.
            if let Some(parting) = client.act(self.now, locks, &mut |job| self.log.jobs.push(job)) {
                break Some(parting);
            }
        };
        let away = Away { decision, begin, ran };
        let activation = &mut self.activations[place];
        activation.doing = Doing::Away(away);
        activation.wake();
        if parting.is_some() || self.now >= end {
            self.end_turn(place, away, parting);
        }
    }

    /// A client gives the CPU up, or has had it for as long as it was given.
    fn end_turn(&mut self, place: usize, Away { decision, begin, ran }: Away, parting: Option<Parting>) {
        let (reason, detail) = match parting {
            Some(parting) if parting.reason == Reason::Waiting => (Reason::Waiting, parting.until),
            Some(parting) => (parting.reason, 0),
            None => (Reason::Expired, 0),
        };
        if parting.is_none() && self.now < self.slot.end {
            self.kernel_until = self.now + self.costs.expiry;
        }
        let activation = &mut self.activations[place];
        let client = activation.clients[usize::from(decision.client.0)].index;
        // The kernel may be late.
        let end = self.now.min(self.slot.end);
        self.log.turns.push(recording::Turn { client, core: self.number, begin, end, ran });
        let outcome = Outcome { reason, ran: Tick(ran), detail, now: Tick(self.now) };
        activation.doing = Doing::Back(decision, outcome);
    }

    /// The run is over: the turn that is going on is recorded as far as it came.
    pub fn close(&mut self) {
        for activation in &mut self.activations {
            let doing = std::mem::replace(&mut activation.doing, Doing::Nothing);
            let Doing::Away(Away { decision, begin, ran }) = doing else { continue };
            let client = activation.clients[usize::from(decision.client.0)].index;
            let turn = recording::Turn { client, core: self.number, begin, end: self.now, ran };
            self.log.turns.push(turn);
        }
    }
}
