//! Every policy by its name: the same crates as on the kernel, behind one type.
//!
//! Not here: what any of them does (`libos-stride`, `libos-rt`).

use super::costs::Overhead;
use apps::scheduler::lottery_seed;
use libos_core::scenario;
use libos_core::sched::{ClientId, Decision, Demand, Policy, Refusal, Tick, TurnEnd};
use libos_rt::edf::Edf;
use libos_rt::supply::Supply;
use libos_stride::lottery::Lottery;
use libos_stride::stride::Stride;

/// What a policy is made from, besides its clients.
#[derive(Clone, Copy, Debug)]
pub struct Terms {
    /// Length of a slot, and of a turn at most.
    pub quantum: u64,
    /// Ticks per second.
    pub frequency: u64,
    /// The run's seed.
    pub seed: u64,
    /// The core.
    pub core: u32,
    /// What deadline policies reckon with.
    pub overhead: Overhead,
}

impl Terms {
    fn ticks(&self, microseconds: u64) -> Tick {
        Tick(microseconds * self.frequency / 1_000_000)
    }

    /// The guarantee of slots.
    fn supply(&self, pattern: &[bool]) -> Supply {
        Supply::new(pattern, Tick(self.quantum), self.ticks(self.overhead.slot_us))
    }
}

/// A policy of any kind.
#[derive(Clone, Debug)]
pub struct Any {
    terms: Terms,
    kind: Kind,
}

#[derive(Clone, Debug)]
enum Kind {
    Stride(Stride),
    Lottery(Lottery),
    Edf(Edf),
}

impl Any {
    /// A policy without clients; one for deadlines gives guarantees as if all slots were its own, until it is told which
    /// are. `None` if the name stands for no policy.
    pub fn new(policy: scenario::Policy, terms: Terms) -> Option<Self> {
        let quantum = Tick(terms.quantum);
        let kind = match policy {
            scenario::Policy::Stride => Kind::Stride(Stride::new(quantum)),
            scenario::Policy::Lottery => {
                Kind::Lottery(Lottery::new(quantum, lottery_seed(terms.seed, terms.core.into())))
            }
            scenario::Policy::Edf => {
                Kind::Edf(Edf::new(terms.supply(&[true]), terms.ticks(terms.overhead.turn_us)))
            }
            _ => return None,
        };
        Some(Self { terms, kind })
    }

    /// Which slots of the revolution are there from now on.
    pub fn set_supply(&mut self, pattern: &[bool]) {
        if let Kind::Edf(edf) = &mut self.kind {
            edf.set_supply(self.terms.supply(pattern));
        }
    }

    /// A client's longest response that is possible, under a policy that knows it.
    pub fn response_bound(&self, client: ClientId) -> Option<Tick> {
        match &self.kind {
            Kind::Edf(edf) => edf.response_bound(client),
            Kind::Stride(_) | Kind::Lottery(_) => None,
        }
    }

    fn inner(&mut self) -> &mut dyn Policy {
        match &mut self.kind {
            Kind::Stride(policy) => policy,
            Kind::Lottery(policy) => policy,
            Kind::Edf(policy) => policy,
        }
    }

    fn seen(&self) -> &dyn Policy {
        match &self.kind {
            Kind::Stride(policy) => policy,
            Kind::Lottery(policy) => policy,
            Kind::Edf(policy) => policy,
        }
    }
}

impl Policy for Any {
    fn join(&mut self, client: ClientId, demand: Demand, now: Tick) -> Result<(), Refusal> {
        self.inner().join(client, demand, now)
    }
    fn leave(&mut self, client: ClientId, now: Tick) {
        self.inner().leave(client, now);
    }
    fn pick(&mut self, now: Tick) -> Option<Decision> {
        self.inner().pick(now)
    }
    fn charge(&mut self, client: ClientId, ran: Tick, end: TurnEnd, now: Tick) {
        self.inner().charge(client, ran, end, now);
    }
    fn wake(&mut self, client: ClientId, now: Tick) {
        self.inner().wake(client, now);
    }
    fn next_event(&self) -> Tick {
        self.seen().next_event()
    }
    fn contends(&self, client: ClientId) -> bool {
        self.seen().contends(client)
    }
}
