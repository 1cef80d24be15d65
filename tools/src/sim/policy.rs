//! Every policy by its name: the same crates as on the kernel, behind one type. A new one needs a row in [`Any::new`].
//!
//! Not here: what any of them does (`libos-stride`, `libos-rt`).

use super::costs::Overhead;
use crate::recording::{Recording, Scheduler};
use apps::scheduler::deadlines;
use libos_core::scenario::{self, Admission, Promise};
use libos_core::sched::line::Line;
use libos_core::sched::{ClientId, Decision, Demand, Policy, Refusal, Tick, TurnEnd};
use libos_rt::cbs::Kind as Servers;
use libos_rt::deadline_monotonic::ShortestDeadline;
use libos_rt::deadlines::Order;
use libos_rt::edf::EarliestDeadline;
use libos_rt::global::Global;
use libos_rt::guarantee::{Guarantees, JobTimes};
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
    /// In what the clients of a lottery hold their tickets.
    pub currencies: Currencies,
}

impl Terms {
    /// Those of a policy that is told what a recorded scheduler was told: whoever was taken on then is taken on again, without a
    /// guarantee.
    pub fn of(recording: &Recording, scheduler: &Scheduler, overhead: Overhead) -> Self {
        let Recording { quantum, frequency, seed, .. } = *recording;
        let (core, currencies) = (scheduler.core, scheduler.currencies.clone());
        Self { quantum, frequency, seed, core, overhead, admission: Admission::Off, currencies }
    }

    /// The same of the scheduler's own policy. Servers with guarantees go by their rules again; as if all slots were theirs, so that whoever was taken
    /// on then is taken on again.
    pub fn again(recording: &Recording, scheduler: &Scheduler, overhead: Overhead) -> Self {
        let of = Self::of(recording, scheduler, overhead);
        match scheduler.policy.promise() {
            Promise::Bandwidth => Self { admission: scheduler.admission, ..of },
            _ => of,
        }
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
trait Guaranteeing: Guarantees + Debug {
    fn boxed(&self) -> Box<dyn Guaranteeing>;
}

impl<P: Guarantees + Clone + Debug + 'static> Guaranteeing for P {
    fn boxed(&self) -> Box<dyn Guaranteeing> {
        Box::new(self.clone())
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
    Guarantees(Box<dyn Guaranteeing>),
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
            scenario::Policy::Edf => guarantees(&terms, deadlines::jobs::<EarliestDeadline>),
            scenario::Policy::RateMonotonic => guarantees(&terms, deadlines::jobs::<ShortestPeriod>),
            scenario::Policy::DeadlineMonotonic => guarantees(&terms, deadlines::jobs::<ShortestDeadline>),
            scenario::Policy::Cbs => {
                guarantees(&terms, |supply, of| deadlines::servers(Servers::Soft, supply, of))
            }
            scenario::Policy::CbsHard => {
                guarantees(&terms, |supply, of| deadlines::servers(Servers::Hard, supply, of))
            }
            scenario::Policy::GlobalEdf => global::<EarliestDeadline>(&terms, Global::new),
            scenario::Policy::GlobalRateMonotonic => global::<ShortestPeriod>(&terms, Global::new),
            scenario::Policy::Edzl => global::<EarliestDeadline>(&terms, Global::until_zero_laxity),
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

    /// Whom it takes on.
    pub fn admission(&self) -> Admission {
        self.terms.admission
    }

    /// What slots of the revolution supply.
    pub fn supply(&self) -> impl Fn(&[bool]) -> Supply + use<> {
        let terms = self.terms.clone();
        move |pattern| terms.supply(pattern)
    }

    fn guaranteeing(&self) -> Option<&dyn Guaranteeing> {
        match &self.kind {
            Kind::Guarantees(policy) => Some(&**policy),
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

fn global<O: Order + Clone + Debug + 'static>(terms: &Terms, new: fn(Tick, Tick) -> Global<O>) -> Kind {
    plain(new(terms.ticks(terms.overhead.turn_us), Tick(terms.quantum)))
}

fn guarantees<P: Guarantees + Clone + Debug + 'static>(
    terms: &Terms,
    make: impl FnOnce(Option<Supply>, deadlines::Terms) -> P,
) -> Kind {
    let (quantum, turn_cost) = (Tick(terms.quantum), terms.ticks(terms.overhead.turn_us));
    let supply = (terms.admission == Admission::Required).then(|| terms.supply(&[true]));
    Kind::Guarantees(Box::new(make(supply, deadlines::Terms { turn_cost, quantum })))
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
    fn lend(&mut self, from: ClientId, to: ClientId, now: Tick) {
        self.policy_mut().lend(from, to, now);
    }
    fn next_event(&self) -> Tick {
        self.policy().next_event()
    }
    fn contends(&self, client: ClientId) -> bool {
        self.policy().contends(client)
    }
    fn take_news(&mut self) -> bool {
        self.policy_mut().take_news()
    }
}

/// Who guarantees nothing takes on everybody.
impl Guarantees for Any {
    fn set_supply(&mut self, supply: Supply) {
        if let Kind::Guarantees(policy) = &mut self.kind {
            policy.set_supply(supply);
        }
    }
    fn fits(&self, supply: &Supply) -> bool {
        self.guaranteeing().is_none_or(|policy| policy.fits(supply))
    }
    fn carries(&self, demands: &[Demand]) -> bool {
        self.guaranteeing().is_none_or(|policy| policy.carries(demands))
    }
    fn has_departed(&self) -> bool {
        self.guaranteeing().is_some_and(Guarantees::has_departed)
    }
    fn is_at_rest(&self) -> bool {
        self.guaranteeing().is_none_or(Guarantees::is_at_rest)
    }
    fn response_bound(&self, client: ClientId) -> Option<Tick> {
        self.guaranteeing()?.response_bound(client)
    }
    fn job(&self, client: ClientId) -> Option<JobTimes> {
        self.guaranteeing()?.job(client)
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
        policy.set_supply(policy.supply()(&[true, false]));
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
