//! Hot swaps: another policy takes over under running clients.

use super::{endless, ideal, libos, periodic, scenario};
use crate::sim::costs::Costs;
use crate::sim::simulate;
use crate::trace::{replay, shares};
use libos_core::scenario::{Admission, Client, LibOs, Policy, Scenario, Swap};
use libos_core::sched::steps::Step;

/// A core on which `from` is succeeded by `to` after half a second.
fn swapped(from: Policy, to: Policy, clients: Vec<Client>) -> Scenario {
    let swap = Some(Swap { to, at_ms: 500 });
    // The broker gives word in a slot of its own.
    let libos = LibOs { swap, admission: Admission::Off, want: 9, ..libos(from, clients) };
    scenario(1, 1000, vec![libos])
}

#[test]
fn two_policies_are_two_schedulers_with_the_same_clients_and_each_decides_the_same_again() {
    let clients = || vec![endless("a", 3, 0), periodic("b", (2, 20), 0), endless("c", 1, 0)];
    for to in Policy::ALL {
        let costs = Costs::table().unwrap();
        let recording = simulate(&swapped(Policy::Stride, to, clients()), &costs).unwrap().recording;
        let [before, after] = &recording.schedulers[..] else { panic!("{to:?}") };
        assert_eq!((before.policy, after.policy), (Policy::Stride, to));
        assert_eq!(before.clients, after.clients);
        let joins = after.steps.iter().take(3).map(Step::now);
        assert_eq!(joins.collect::<Vec<_>>(), [after.steps[0].now(); 3], "{to:?}");
        for again in replay::all(&recording) {
            assert!(again.divergence.is_none() && again.decisions > 10, "{to:?}: {again:?}");
        }
        assert_eq!(recording.swapped(), Some(after));
    }
}

#[test]
fn jobs_are_late_under_the_one_and_in_time_under_the_other() {
    let clients = vec![endless("hog", 8, 0), periodic("a", (2, 10), 0), periodic("b", (4, 20), 0)];
    let run = ideal(&swapped(Policy::Stride, Policy::Edf, clients));
    let [succession] = &crate::sim::report::outcome(&run).successions[..] else { panic!() };
    assert_eq!((succession.began, succession.clients), (succession.done, 3));
    let late = |from: u64, to: u64| {
        let jobs = run.recording.jobs.iter().filter(|job| (from..to).contains(&job.released));
        let due = jobs.filter(|job| job.due < Some(run.recording.end));
        due.filter(|job| job.completed.is_none_or(|done| Some(done) > job.due)).count()
    };
    assert!(late(0, succession.began) > 10);
    // What was late already is done first; then nobody is.
    assert_eq!(late(succession.began + 200_000, run.recording.end), 0);
}

#[test]
fn the_new_policy_keeps_shares_from_its_first_decision_on() {
    let clients = vec![endless("a", 3, 0), endless("b", 2, 0), endless("c", 1, 0)];
    let recording = ideal(&swapped(Policy::Fifo, Policy::Stride, clients)).recording;
    let worst = shares::errors(&recording, &recording.schedulers[1]).pairwise.worst();
    assert!(worst.ceiling().0 <= recording.quantum, "{worst:?}");
}

#[test]
fn a_run_by_one_policy_has_no_swap() {
    let mut two = swapped(Policy::Stride, Policy::Edf, vec![endless("a", 1, 0)]);
    let changes = crate::scenario::Changes { policy: Some(Policy::Lottery), ..Default::default() };
    changes.apply(&mut two);
    assert_eq!((two.libos[0].swap, two.libos[0].policy), (None, Policy::Lottery));
    assert_eq!(ideal(&two).recording.swapped(), None);
}
