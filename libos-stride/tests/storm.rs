//! Clients that join, wait, wake, give turns back and leave at random: what holds for them whatever they do.
#![forbid(unsafe_code)]

use libos_core::sched::laws::{self, QUANTUM};
use libos_core::sched::{Demand, Policy};
use libos_stride::hierarchical::HierarchicalStride;
use libos_stride::lottery::Lottery;
use libos_stride::stride::Stride;

const STORMS: u64 = 400;
const STEPS: usize = 600;

fn share(number: u64) -> Demand {
    Demand::Share { tickets: 1 + (number % 200) as u32 }
}

#[track_caller]
fn keeps_the_laws<P: Policy>(policy: impl Fn() -> P) {
    if let Err(broken) = laws::check(policy, (STORMS, STEPS), share) {
        panic!("{broken}");
    }
}

#[test]
fn stride_never_errs_by_more_than_a_quantum_between_two_clients_that_compete() {
    for seed in 0..STORMS {
        let watch =
            laws::storm(Stride::new(QUANTUM), seed, STEPS, share).unwrap_or_else(|broken| panic!("{broken}"));
        // A pass is rounded to 2^-48 of a quantum of one ticket; that is all that may be above.
        assert!(
            watch.pairwise.worst().ceiling().0 <= QUANTUM.0 + 1,
            "storm {seed}: {:?}",
            watch.pairwise.worst()
        );
    }
}

#[test]
fn the_policies_for_shares_keep_the_laws() {
    keeps_the_laws(|| HierarchicalStride::new(QUANTUM));
    let mut seed = 0;
    let lottery = || {
        seed += 1;
        Lottery::new(QUANTUM, seed)
    };
    if let Err(broken) = laws::check(lottery, (STORMS, STEPS), share) {
        panic!("{broken}");
    }
}
