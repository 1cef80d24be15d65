//! A processor on the host: slots of a revolution, a clock that jumps, clients that follow a script.
//!
//! Behaves as the kernel does towards a root scheduler with one core: nothing runs outside its slots, a slot's end ends
//! every turn, a posted event readies a client that waits. Deterministic. Not here: more than one core, nesting,
//! faults of the scheduler itself.
#![forbid(unsafe_code)]

use super::dispatch::{Access, Observer, Processor, ReadySet, dispatch};
use super::{ClientId, Policy};
use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use core::ops::ControlFlow;
use tranche_abi::{Outcome, Reason, Tick};

/// What a scripted client does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// Uses CPU time.
    Compute(Tick),
    /// Gives the rest of its turn back.
    Yield,
    /// Waits until a time or for an event.
    Wait(Tick),
    /// The same, for another client.
    WaitFor(ClientId, Tick),
    /// Faults, and is no more.
    Fault,
}

/// A client's script: asked for the next act, at the time when the one before was done.
pub type Script = Box<dyn FnMut(Tick) -> Act>;

/// When a fake processor's scheduler has the CPU.
#[derive(Clone, Debug)]
pub struct Slots {
    /// Which slots of the revolution are the scheduler's.
    pub owned: Vec<bool>,
    /// Length of a slot.
    pub quantum: Tick,
    /// What the kernel uses up at the start of each.
    pub overhead: Tick,
}

impl Slots {
    /// The whole core, in one slot that does not end.
    pub fn whole_core() -> Self {
        Self { owned: [true].into(), quantum: Tick::NEVER, overhead: Tick(0) }
    }
}

/// The processor.
pub struct Fake {
    now: u64,
    slots: Slots,
    turn_cost: u64,
    clients: BTreeMap<ClientId, Scripted>,
    posts: BTreeSet<(Tick, ClientId)>,
    ready: ReadySet,
}

struct Scripted {
    script: Script,
    computing: u64,
    waits: Option<Tick>,
    waits_for: Option<ClientId>,
    event: bool,
    gone: bool,
    ran: u64,
}

impl Fake {
    /// A processor at time 0. Each turn costs the scheduler `turn_cost` before the client has the CPU.
    pub fn new(slots: Slots, turn_cost: Tick) -> Self {
        let mut fake = Self {
            now: 0,
            slots,
            turn_cost: turn_cost.0,
            clients: BTreeMap::new(),
            posts: BTreeSet::new(),
            ready: ReadySet::default(),
        };
        fake.advance_to(0);
        fake
    }

    /// A client exists from now on.
    pub fn add(&mut self, client: ClientId, script: Script) {
        let scripted = Scripted {
            script,
            computing: 0,
            waits: None,
            waits_for: None,
            event: false,
            gone: false,
            ran: 0,
        };
        self.clients.insert(client, scripted);
    }

    /// Posts an event to a client at a time.
    pub fn post(&mut self, client: ClientId, at: Tick) {
        self.posts.insert((at, client));
    }

    /// CPU time that a client has used.
    pub fn ran(&self, client: ClientId) -> Tick {
        Tick(self.clients.get(&client).map_or(0, |scripted| scripted.ran))
    }

    /// Lets a scheduler dispatch until `end`.
    ///
    /// # Panics
    /// If it takes ten thousand turns in which no time passes.
    pub fn run<P: Policy, O: Observer<P>>(&mut self, access: &mut impl Access<P, O>, end: Tick) {
        let (mut last, mut turns) = (self.now, 0);
        dispatch(self, access, |fake, _| {
            turns = if fake.now == last { turns + 1 } else { 0 };
            last = fake.now;
            assert!(turns < 10_000, "the scheduler turns on the spot at {last}");
            if fake.now < end.0 { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        });
    }

    /// Position within the present slot, and whether the slot is the scheduler's.
    fn place(&self) -> (u64, bool) {
        let slot = self.now / self.slots.quantum.0;
        let owned = self.slots.owned[(slot % self.slots.owned.len() as u64) as usize];
        (self.now % self.slots.quantum.0, owned)
    }

    fn slot_end(&self) -> u64 {
        (self.now - self.place().0).saturating_add(self.slots.quantum.0)
    }

    /// The clock moves to `time`, and on to when the scheduler has the CPU.
    fn advance_to(&mut self, time: u64) {
        self.now = self.now.max(time);
        if !self.slots.owned.contains(&true) || self.slots.overhead >= self.slots.quantum {
            self.now = u64::MAX; // It never has the CPU.
        }
        while self.now != u64::MAX && (!self.place().1 || self.place().0 < self.slots.overhead.0) {
            let (within, owned) = self.place();
            self.now += if owned { self.slots.overhead.0 - within } else { self.slots.quantum.0 - within };
        }
        self.deliver();
    }

    /// Delivers the events that are due.
    fn deliver(&mut self) {
        while let Some((at, client)) = self.posts.first().copied().filter(|(at, _)| at.0 <= self.now) {
            self.posts.remove(&(at, client));
            let Some(scripted) = self.clients.get_mut(&client) else { continue };
            match scripted.waits.take() {
                Some(_) => self.ready.insert(client),
                None => scripted.event = true,
            }
        }
    }

    fn next_post(&self) -> u64 {
        self.posts.first().map_or(u64::MAX, |(at, _)| at.0)
    }

    /// Runs a client until something ends its turn. What takes no time still happens at the very end of it.
    fn run_client(&mut self, client: ClientId, end: u64) -> (Reason, u64) {
        while self.now < end {
            if !self.ready.is_empty() {
                return (Reason::Event, 0);
            }
            let step_end = end.min(self.next_post());
            let Some(scripted) = self.clients.get_mut(&client) else { return (Reason::Gone, 0) };
            let step = scripted.computing.min(step_end.saturating_sub(self.now));
            scripted.computing -= step;
            scripted.ran += step;
            self.now += step;
            if scripted.computing == 0
                && let Some(over) = scripted.next_act(self.now)
            {
                return over;
            }
            self.deliver();
        }
        (Reason::Expired, 0)
    }
}

impl Scripted {
    /// The script's next act. Unless that is to compute, the turn is over: why, and the outcome's detail.
    fn next_act(&mut self, now: u64) -> Option<(Reason, u64)> {
        match (self.script)(Tick(now)) {
            Act::Compute(time) => self.computing = time.0,
            Act::Yield => return Some((Reason::Yielded, 0)),
            Act::Wait(_) | Act::WaitFor(..) if self.event => self.event = false,
            Act::Wait(until) => return Some(self.wait(until, None)),
            Act::WaitFor(client, until) => return Some(self.wait(until, Some(client))),
            Act::Fault => {
                self.gone = true;
                return Some((Reason::Faulted, 0));
            }
        }
        None
    }

    fn wait(&mut self, until: Tick, waits_for: Option<ClientId>) -> (Reason, u64) {
        (self.waits, self.waits_for) = (Some(until), waits_for);
        (Reason::Waiting, until.0)
    }
}

impl Processor for Fake {
    fn now(&mut self) -> Tick {
        Tick(self.now)
    }

    fn yield_to(&mut self, client: ClientId, until: Tick) -> Outcome {
        let end = until.0.min(self.slot_end());
        self.now = (self.now + self.turn_cost).min(self.slot_end());
        let before = self.ran(client);
        let (reason, detail) = match self.clients.get_mut(&client) {
            None | Some(Scripted { gone: true, .. }) => (Reason::Gone, 0),
            Some(Scripted { waits: Some(time), .. }) if time.0 > self.now => (Reason::Busy, time.0),
            Some(scripted) => {
                scripted.waits = None;
                self.run_client(client, end)
            }
        };
        let ran = self.ran(client).since(before);
        let back = self.now;
        self.advance_to(back);
        // Whoever is cut off by the slot's end hears of it in the next one; news in the last instant still comes.
        let now = Tick(if reason == Reason::Expired { self.now } else { back });
        Outcome { reason, ran, detail, now }
    }

    fn waits_for(&mut self, client: ClientId) -> Option<ClientId> {
        self.clients.get(&client)?.waits_for
    }

    fn wait(&mut self, until: Tick) -> Tick {
        while self.ready.is_empty() && self.now < until.0 {
            self.advance_to(until.0.min(self.next_post()));
        }
        Tick(self.now)
    }

    fn take_ready(&mut self) -> ReadySet {
        core::mem::take(&mut self.ready)
    }
}
