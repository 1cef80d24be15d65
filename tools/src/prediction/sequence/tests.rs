//! A simulation is taken for the kernel's run; the table of costs is then right, a little off, or wrong.

use super::*;
use crate::sim::simulate;
use crate::sim::tests::{endless, libos, scenario};
use libos_core::scenario::{Policy, Scenario};

/// Three at 3:2:1, under stride: where passes are equal but for costs, those decide.
fn shares() -> Scenario {
    let clients = [("a", 3), ("b", 2), ("c", 1)].map(|(name, tickets)| endless(name, tickets, 0));
    scenario(1, 700, vec![libos(Policy::Stride, clients.into())])
}

fn costs() -> Costs {
    Costs::table().unwrap()
}

/// The table, but under stride a decision takes so many ticks more for each client.
fn dearer(ticks: f64) -> Costs {
    let mut costs = costs();
    let turning = costs.policy.get_mut("stride").unwrap();
    turning.decide.1 += ticks;
    costs
}

fn recorded(costs: &Costs) -> Recording {
    simulate(&shares(), costs).unwrap().recording
}

#[test]
fn a_run_that_the_table_describes_is_predicted_without_a_correction() {
    let found = compare(&shares(), &costs(), &recorded(&costs())).unwrap();
    assert!(found.decisions > 500 && found.corrections.is_empty(), "{found:?}");
    assert_eq!(found.divergence, None);
}

#[test]
fn turns_that_are_a_few_ticks_off_are_found_out_and_corrected() {
    let mut corrections = Vec::new();
    for nudges in [[8, 0, 0], [0, -12, 0], [12, -12, 0]] {
        let mut machine = Machine::new(&shares(), &costs()).unwrap();
        machine.cores[0].activations[0].nudges = nudges.into();
        let end = machine.advance(u64::MAX).unwrap().unwrap();
        let kernel = machine.into_run(&shares(), &costs(), end).recording;
        let found = compare(&shares(), &costs(), &kernel).unwrap();
        assert_eq!((found.divergence, found.decisions > 500), (None, true), "{nudges:?}");
        corrections.extend(found.corrections);
    }
    assert!(!corrections.is_empty(), "as if passes that are equal were told apart by nothing");
    assert!(corrections.iter().all(|one| one.ticks.abs() <= RESOLUTION), "{corrections:?}");
}

#[test]
fn a_scheduler_that_decides_by_other_rules_is_a_divergence_that_is_shown() {
    let clients = [("a", 3), ("b", 2), ("c", 1)].map(|(name, tickets)| endless(name, tickets, 0));
    let other = scenario(1, 700, vec![libos(Policy::RoundRobin, clients.into())]);
    let kernel = simulate(&other, &costs()).unwrap().recording;
    let text = compare(&shares(), &costs(), &kernel).unwrap().divergence.expect("it is another policy");
    assert!(text.contains("decides for a") && text.contains("decides for b"), "{text}");
}

#[test]
fn costs_that_are_far_from_the_table_are_not_explained_away() {
    // Whoever sleeps is woken later by as much as a turn costs more, which is no near-tie.
    let mut clients = vec![endless("a", 3, 0), endless("b", 2, 0)];
    clients.push(crate::sim::tests::periodic("short", (3, 20), 0));
    clients.push(crate::sim::tests::periodic("long", (9, 70), 0));
    let scenario = scenario(1, 2000, vec![libos(Policy::Stride, clients)]);
    let kernel = simulate(&scenario, &dearer(2_000.0)).unwrap().recording;
    let found = compare(&scenario, &costs(), &kernel).unwrap();
    assert!(found.divergence.is_some(), "{:?}", found.corrections);
}
