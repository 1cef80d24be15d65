//! Every policy of one core that the project's libraries have, by its name, for a program that learns only when it runs which one it needs.
//!
//! Not here: policies of one's own, which are crates that build on this one; guarantees. A policy for deadlines takes everybody on and does what it can.
#![forbid(unsafe_code)]

use super::deadlines::turn_cost;
use alloc::boxed::Box;
use libos_core::scenario::Policy;
use libos_core::sched::line::Line;
use libos_core::sched::{self, Terms, Tick};
use libos_rt::cbs::{ConstantBandwidth, Kind};
use libos_rt::deadline_monotonic::ShortestDeadline;
use libos_rt::deadlines::{Deadlines, Order};
use libos_rt::edf::EarliestDeadline;
use libos_rt::rate_monotonic::ShortestPeriod;
use libos_stride::hierarchical::HierarchicalStride;
use libos_stride::lottery::Lottery;
use libos_stride::stride::Stride;

/// A policy without clients; `None` if it is none of these.
pub fn policy(name: Policy, terms: Terms) -> Option<Box<dyn sched::Policy>> {
    let quantum = terms.quantum;
    Some(match name {
        Policy::Stride => Box::new(Stride::new(quantum)),
        Policy::HierarchicalStride => Box::new(HierarchicalStride::new(quantum)),
        Policy::Lottery => Box::new(Lottery::new(quantum, Lottery::seed(terms.seed, terms.core))),
        Policy::Edf => effort::<EarliestDeadline>(terms),
        Policy::RateMonotonic => effort::<ShortestPeriod>(terms),
        Policy::DeadlineMonotonic => effort::<ShortestDeadline>(terms),
        Policy::Cbs => Box::new(ConstantBandwidth::new(Kind::Soft, quantum)),
        Policy::CbsHard => Box::new(ConstantBandwidth::new(Kind::Hard, quantum)),
        Policy::RoundRobin => Box::new(Line::round_robin(quantum)),
        Policy::Fifo => Box::new(Line::first_come()),
        // Of one's own, or of several cores together.
        _ => return None,
    })
}

/// Whether a policy is among them.
pub fn has(name: Policy) -> bool {
    policy(name, Terms { quantum: Tick(1), seed: 0, core: 0 }).is_some()
}

fn effort<O: Order + 'static>(terms: Terms) -> Box<dyn sched::Policy> {
    Box::new(Deadlines::<O>::without_admission(turn_cost(), terms.quantum))
}
