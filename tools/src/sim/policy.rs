//! Every policy by its name: the same crates as on the kernel, behind one type.
//!
//! Not here: what any of them does (`libos-stride`, `libos-rt`).

use super::costs::Overhead;
use crate::recording::Recording;
use libos_core::scenario::{self, Admission};
use libos_core::sched::line::Line;
use libos_core::sched::{ClientId, Decision, Demand, Policy, Refusal, Tick, TurnEnd};
use libos_rt::edf::Edf;
use libos_rt::rate_monotonic::RateMonotonic;
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
    /// Whether they take on only those whom they can guarantee their deadlines.
    pub admission: Admission,
}

impl Terms {
    /// Those of a recorded run's scheduler: whoever was taken on then is taken on again, without a guarantee.
    pub fn of(recording: &Recording, core: u32, overhead: Overhead) -> Self {
        let Recording { quantum, frequency, seed, .. } = *recording;
        Self { quantum, frequency, seed, core, overhead, admission: Admission::Off }
    }

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
    RateMonotonic(RateMonotonic),
    Line(Line),
}

/// Does the same with a policy of whichever kind.
macro_rules! inner {
    ($any:expr, $policy:ident => $action:expr) => {
        match $any {
            Kind::Stride($policy) => $action,
            Kind::Lottery($policy) => $action,
            Kind::Edf($policy) => $action,
            Kind::RateMonotonic($policy) => $action,
            Kind::Line($policy) => $action,
        }
    };
}

impl Any {
    /// A policy without clients; one for deadlines gives guarantees as if all slots were its own, until it is told which
    /// are. `None` if the name stands for no policy.
    pub fn new(policy: scenario::Policy, terms: Terms) -> Option<Self> {
        let (quantum, turn) = (Tick(terms.quantum), terms.ticks(terms.overhead.turn_us));
        let guarantees = terms.admission == Admission::Required;
        let supply = || terms.supply(&[true]);
        let kind = match policy {
            scenario::Policy::Stride => Kind::Stride(Stride::new(quantum)),
            scenario::Policy::Lottery => {
                Kind::Lottery(Lottery::new(quantum, Lottery::seed(terms.seed, terms.core.into())))
            }
            scenario::Policy::Edf if guarantees => Kind::Edf(Edf::new(supply(), turn, quantum)),
            scenario::Policy::Edf => Kind::Edf(Edf::without_admission(turn, quantum)),
            scenario::Policy::RateMonotonic if guarantees => {
                Kind::RateMonotonic(RateMonotonic::new(supply(), turn, quantum))
            }
            scenario::Policy::RateMonotonic => {
                Kind::RateMonotonic(RateMonotonic::without_admission(turn, quantum))
            }
            scenario::Policy::RoundRobin => Kind::Line(Line::round_robin(quantum)),
            scenario::Policy::Fifo => Kind::Line(Line::first_come()),
            scenario::Policy::None => return None,
        };
        Some(Self { terms, kind })
    }

    /// Which slots of the revolution are there from now on.
    pub fn set_supply(&mut self, pattern: &[bool]) {
        let supply = || self.terms.supply(pattern);
        // Whether guarantees still hold is the clients' concern; the run shows what comes of it.
        let _ = match &mut self.kind {
            Kind::Edf(policy) => policy.set_supply(supply()),
            Kind::RateMonotonic(policy) => policy.set_supply(supply()),
            _ => true,
        };
    }

    /// The longest response of a client that is possible from the present supply, where the policy guarantees one.
    pub fn response_bound(&self, client: ClientId) -> Option<Tick> {
        match &self.kind {
            Kind::Edf(policy) => policy.response_bound(client),
            Kind::RateMonotonic(policy) => policy.response_bound(client),
            _ => None,
        }
    }
}

impl Policy for Any {
    fn join(&mut self, client: ClientId, demand: Demand, now: Tick) -> Result<(), Refusal> {
        inner!(&mut self.kind, policy => policy.join(client, demand, now))
    }
    fn leave(&mut self, client: ClientId, now: Tick) {
        inner!(&mut self.kind, policy => policy.leave(client, now));
    }
    fn pick(&mut self, now: Tick) -> Option<Decision> {
        inner!(&mut self.kind, policy => policy.pick(now))
    }
    fn charge(&mut self, client: ClientId, ran: Tick, end: TurnEnd, now: Tick) {
        inner!(&mut self.kind, policy => policy.charge(client, ran, end, now));
    }
    fn wake(&mut self, client: ClientId, now: Tick) {
        inner!(&mut self.kind, policy => policy.wake(client, now));
    }
    fn next_event(&self) -> Tick {
        inner!(&self.kind, policy => policy.next_event())
    }
    fn contends(&self, client: ClientId) -> bool {
        inner!(&self.kind, policy => policy.contends(client))
    }
}
