//! Every policy by its name: the same crates as on the kernel, behind one type. A new one needs a row in [`Any::new`].
//!
//! Not here: what any of them does (`libos-stride`, `libos-rt`).

use super::costs::Overhead;
use crate::recording::{Recording, Scheduler};
use libos_core::scenario::{self, Admission};
use libos_core::sched::line::Line;
use libos_core::sched::{ClientId, Decision, Demand, Policy, Refusal, Tick, TurnEnd};
use libos_rt::cbs::{ConstantBandwidth, Kind as Servers};
use libos_rt::deadline_monotonic::ShortestDeadline;
use libos_rt::deadlines::{Deadlines, Order};
use libos_rt::edf::EarliestDeadline;
use libos_rt::rate_monotonic::ShortestPeriod;
use libos_rt::supply::Supply;
use libos_stride::currency::Currencies;
use libos_stride::hierarchical::HierarchicalStride;
use libos_stride::lottery::Lottery;
use libos_stride::stride::Stride;
use std::fmt::Debug;

/// What a policy is made from, besides its clients.
#[derive(Clone, Debug)]
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
    /// In what its clients hold tickets, if it is one that asks.
    pub currencies: Currencies,
}

impl Terms {
    /// Those of a recorded run's scheduler: whoever was taken on then is taken on again, without a guarantee.
    pub fn of(recording: &Recording, scheduler: &Scheduler, overhead: Overhead) -> Self {
        let Recording { quantum, frequency, seed, .. } = *recording;
        let (core, currencies) = (scheduler.core, scheduler.currencies.clone());
        Self { quantum, frequency, seed, core, overhead, admission: Admission::Off, currencies }
    }

    /// What any policy is made from.
    fn of_the_core(&self) -> libos_core::sched::Terms {
        libos_core::sched::Terms { quantum: Tick(self.quantum), seed: self.seed, core: self.core.into() }
    }

    fn ticks(&self, microseconds: u64) -> Tick {
        Tick(microseconds * self.frequency / 1_000_000)
    }

    /// The guarantee of slots.
    fn supply(&self, pattern: &[bool]) -> Supply {
        let Overhead { slot_us, grace_us, .. } = self.overhead;
        Supply::beside_others(pattern, Tick(self.quantum), self.ticks(slot_us), self.ticks(grace_us))
    }
}

/// A policy that guarantees nothing.
trait Plain: Policy + Debug {
    fn boxed(&self) -> Box<dyn Plain>;
}

impl<P: Policy + Clone + Debug + 'static> Plain for P {
    fn boxed(&self) -> Box<dyn Plain> {
        Box::new(self.clone())
    }
}

/// A policy that can guarantee deadlines.
trait Guarantees: Policy + Debug {
    fn boxed(&self) -> Box<dyn Guarantees>;
    fn set_supply(&mut self, supply: Supply);
    fn response_bound(&self, client: ClientId) -> Option<Tick>;
}

impl<O: Order + Clone + Debug + 'static> Guarantees for Deadlines<O> {
    fn boxed(&self) -> Box<dyn Guarantees> {
        Box::new(self.clone())
    }

    fn set_supply(&mut self, supply: Supply) {
        // Whether guarantees still hold is the clients' concern; the run shows what comes of it.
        let _ = Self::set_supply(self, supply);
    }

    fn response_bound(&self, client: ClientId) -> Option<Tick> {
        Self::response_bound(self, client)
    }
}

/// A policy of any kind.
#[derive(Clone, Debug)]
pub struct Any {
    terms: Terms,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Plain(Box<dyn Plain>),
    Guarantees(Box<dyn Guarantees>),
}

impl Clone for Kind {
    fn clone(&self) -> Self {
        match self {
            Self::Plain(policy) => Self::Plain((**policy).boxed()),
            Self::Guarantees(policy) => Self::Guarantees((**policy).boxed()),
        }
    }
}

impl Any {
    /// A policy without clients; one for deadlines gives guarantees as if all slots were its own, until it is told which
    /// are. `None` if the name stands for no policy.
    pub fn new(policy: scenario::Policy, terms: Terms) -> Option<Self> {
        let core = terms.of_the_core();
        let quantum = core.quantum;
        let kind = match policy {
            scenario::Policy::Stride => plain(Stride::new(quantum)),
            scenario::Policy::HierarchicalStride => plain(HierarchicalStride::new(quantum)),
            scenario::Policy::Lottery => {
                let lottery = Lottery::new(quantum, Lottery::seed(core.seed, core.core));
                plain(lottery.with_currencies(&terms.currencies))
            }
            scenario::Policy::Edf => deadlines::<EarliestDeadline>(&terms),
            scenario::Policy::RateMonotonic => deadlines::<ShortestPeriod>(&terms),
            scenario::Policy::DeadlineMonotonic => deadlines::<ShortestDeadline>(&terms),
            scenario::Policy::Cbs => plain(ConstantBandwidth::new(Servers::Soft, quantum)),
            scenario::Policy::CbsHard => plain(ConstantBandwidth::new(Servers::Hard, quantum)),
            scenario::Policy::RoundRobin => plain(Line::round_robin(quantum)),
            scenario::Policy::Fifo => plain(Line::first_come()),
            scenario::Policy::None => return None,
        };
        Some(Self { terms, kind })
    }

    /// In what its clients hold tickets.
    pub fn currencies(&self) -> &Currencies {
        &self.terms.currencies
    }

    /// Which slots of the revolution are there from now on.
    pub fn set_supply(&mut self, pattern: &[bool]) {
        if let Kind::Guarantees(policy) = &mut self.kind {
            policy.set_supply(self.terms.supply(pattern));
        }
    }

    /// The longest response of a client that is possible from the present supply, where the policy guarantees one.
    pub fn response_bound(&self, client: ClientId) -> Option<Tick> {
        match &self.kind {
            Kind::Guarantees(policy) => policy.response_bound(client),
            Kind::Plain(_) => None,
        }
    }

    fn policy(&self) -> &dyn Policy {
        match &self.kind {
            Kind::Plain(policy) => &**policy,
            Kind::Guarantees(policy) => &**policy,
        }
    }

    fn policy_mut(&mut self) -> &mut dyn Policy {
        match &mut self.kind {
            Kind::Plain(policy) => &mut **policy,
            Kind::Guarantees(policy) => &mut **policy,
        }
    }
}

fn plain(policy: impl Plain + 'static) -> Kind {
    Kind::Plain(Box::new(policy))
}

fn deadlines<O: Order + Clone + Debug + 'static>(terms: &Terms) -> Kind {
    let (quantum, turn) = (Tick(terms.quantum), terms.ticks(terms.overhead.turn_us));
    Kind::Guarantees(Box::new(match terms.admission {
        Admission::Required => Deadlines::<O>::new(terms.supply(&[true]), turn, quantum),
        Admission::Off => Deadlines::<O>::without_admission(turn, quantum),
    }))
}

impl Policy for Any {
    fn join(&mut self, client: ClientId, demand: Demand, now: Tick) -> Result<(), Refusal> {
        self.policy_mut().join(client, demand, now)
    }
    fn leave(&mut self, client: ClientId, now: Tick) {
        self.policy_mut().leave(client, now);
    }
    fn pick(&mut self, now: Tick) -> Option<Decision> {
        self.policy_mut().pick(now)
    }
    fn charge(&mut self, client: ClientId, ran: Tick, end: TurnEnd, now: Tick) {
        self.policy_mut().charge(client, ran, end, now);
    }
    fn wake(&mut self, client: ClientId, now: Tick) {
        self.policy_mut().wake(client, now);
    }
    fn set_tickets(&mut self, client: ClientId, tickets: u32, now: Tick) {
        self.policy_mut().set_tickets(client, tickets, now);
    }
    fn next_event(&self) -> Tick {
        self.policy().next_event()
    }
    fn contends(&self, client: ClientId) -> bool {
        self.policy().contends(client)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether half of a core in slots of a millisecond, every other one, guarantees a job of so much every 20 ms.
    fn is_guaranteed(budget: u64, overhead: Overhead) -> bool {
        let admission = Admission::Required;
        let currencies = Currencies::default();
        let terms =
            Terms { quantum: 1000, frequency: 1_000_000, seed: 1, core: 0, overhead, admission, currencies };
        let mut policy = Any::new(scenario::Policy::Edf, terms).unwrap();
        policy.set_supply(&[true, false]);
        let (budget, period) = (Tick(budget), Tick(20_000));
        let demand = Demand::Periodic { first_release: Tick(0), budget, period, deadline: period };
        policy.join(ClientId(0), demand, Tick(0)).is_ok()
    }

    #[test]
    fn a_guarantee_reckons_with_others_who_use_up_their_grace_time() {
        // Ten slots of 960 us, less three turns of 30 us; if each begins 50 us late, of 910 us.
        let alone = Overhead::of_the_programs();
        assert!(is_guaranteed(9_510, alone) && !is_guaranteed(9_511, alone));
        let beside = alone.with_grace(50);
        assert!(is_guaranteed(9_010, beside) && !is_guaranteed(9_011, beside));
        assert_eq!(Overhead::default().with_grace(50), Overhead::default());
    }
}
