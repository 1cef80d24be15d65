//! What must hold of every run: time is conserved, and the same run gives the same bytes.

use super::random::{costly, shared_machine};
use super::{endless, ideal, libos, periodic, scenario};
use crate::recording::Recording;
use crate::results::Results;
use crate::sim::costs::Costs;
use crate::sim::{report, simulate, simulate_as};
use libos_core::scenario::{Jobs, Policy};

#[test]
fn every_core_is_always_somebodys_and_runs_one_thing_at_a_time() {
    for seed in 0..20 {
        let run = simulate(&shared_machine(seed), &costly()).unwrap();
        let recording = &run.recording;
        for core in 0..recording.cores {
            let slices: Vec<_> = recording.slices.iter().filter(|slice| slice.core == core).collect();
            assert_eq!(slices[0].begin, recording.epoch);
            assert!(slices.windows(2).all(|pair| pair[0].end == pair[1].begin), "{seed}: a gap");
            assert!(slices.last().unwrap().end >= recording.end);
            let turns: Vec<_> = recording.turns.iter().filter(|turn| turn.core == core).collect();
            assert!(turns.windows(2).all(|pair| pair[0].end <= pair[1].begin), "{seed}: turns overlap");
            assert!(
                turns.iter().all(|turn| turn.ran <= turn.end - turn.begin),
                "{seed}: more than there was"
            );
            let there = &run.cores[core as usize];
            let own: u64 = there.activations.iter().map(|activation| activation.own).sum();
            let ledger = there.ledger;
            let sum = ledger.kernel + ledger.idle + ledger.broker + ledger.clients + own;
            assert_eq!(sum, recording.end - recording.epoch, "{seed}: the buckets of core {core}");
        }
    }
}

#[test]
fn turns_lie_in_slots_of_their_libos() {
    let run = simulate(&shared_machine(3), &costly()).unwrap();
    let recording = &run.recording;
    for turn in &recording.turns {
        let inside = |slice: &&crate::recording::Slice| {
            slice.core == turn.core && slice.begin <= turn.begin && turn.end <= slice.end
        };
        let slice = recording.slices.iter().find(inside).expect("no turn is longer than its slot");
        let owner = &recording.schedulers[slice.owner.expect("it is somebody's")];
        assert!(owner.clients.contains(&turn.client));
    }
}

#[test]
fn the_same_scenario_gives_the_same_bytes() {
    let scenario = shared_machine(7);
    let bytes = || {
        let run = simulate(&scenario, &costly()).unwrap();
        (run.recording.to_bytes(), Results::of_simulation(&scenario, &run).unwrap().to_json())
    };
    let (one, other) = (bytes(), bytes());
    assert!(one == other);
    assert!(one.1.contains("\"source\": \"simulator\"") && one.1.contains("\"released_us\""));
}

#[test]
fn a_run_passes_if_promises_are_kept_and_fails_if_they_are_not() {
    let judged = |policy, clients| {
        let mut scenario = scenario(1, 500, vec![libos(policy, clients)]);
        // The broker needs a slot to keep account in.
        (scenario.broker.slots, scenario.libos[0].want) = (1, 9);
        Results::of_simulation(&scenario, &ideal(&scenario)).unwrap()
    };
    let fits = judged(Policy::Edf, vec![periodic("a", (1, 4), 0), periodic("b", (2, 6), 0)]);
    assert!(fits.passed, "{:?}", fits.verdict);
    let promised = |results: &Results, what: &str| {
        results.verdict.iter().find(|line| line.expected.contains(what)).map(|line| line.passed)
    };
    assert_eq!(promised(&fits, "no deadline is missed"), Some(true));
    assert_eq!(promised(&fits, "uses the CPU time that it declares"), Some(true));
    assert_eq!(promised(&fits, "ledger adds up"), Some(true));
    // The second has no place beside the first, is not taken on, and so nothing is promised to it.
    let too_much = judged(Policy::Edf, vec![periodic("a", (9, 10), 0), periodic("b", (5, 10), 0)]);
    assert_eq!((too_much.passed, promised(&too_much, "no deadline is missed")), (false, Some(false)));
    let shares = judged(Policy::Stride, vec![endless("a", 3, 0), endless("b", 2, 0)]);
    assert_eq!((shares.passed, promised(&shares, "pairwise error")), (true, Some(true)));
}

#[test]
fn a_job_without_a_deadline_is_never_late() {
    let mut client = periodic("a", (3, 10), 0);
    client.jobs = client.jobs.map(|jobs| Jobs { deadline_us: None, ..jobs });
    let mut scenario = scenario(1, 500, vec![libos(Policy::Stride, vec![client])]);
    (scenario.broker.slots, scenario.libos[0].want) = (1, 9);
    let outcome = report::outcome(&ideal(&scenario));
    let jobs = outcome.clients[0].jobs.unwrap();
    assert_eq!((jobs.jobs > 20, jobs.misses), (true, 0));
}

#[test]
fn what_a_core_does_itself_takes_it_longer_where_another_executes_too() {
    let costs = Costs::table().unwrap();
    let overhead = |cores: u32| {
        let clients = (0..cores).map(|core| endless(&format!("c{core}"), 1, core)).collect();
        let run = simulate(&scenario(cores, 500, vec![libos(Policy::RoundRobin, clients)]), &costs).unwrap();
        let core = &run.cores[0];
        let all = core.ledger.kernel + core.activations[0].own;
        all as f64 / run.recording.end as f64
    };
    let (alone, together) = (overhead(1), overhead(2));
    assert!((1.2..3.0).contains(&(together / alone)), "{alone} alone, {together} with another");
}

#[test]
fn a_run_begins_as_the_one_that_it_is_to_predict() {
    let table = Costs::table().unwrap();
    let mut slow = table.clone();
    slow.libos.start *= 100;
    let clients = vec![periodic("one", (4, 20), 0), periodic("other", (4, 20), 1)];
    let scenario = scenario(2, 500, vec![libos(Policy::Edf, clients)]);
    let begin = |recording: &Recording| {
        let first = recording.jobs.iter().filter(|job| job.number == 0);
        first.map(|job| job.released).collect::<Vec<_>>()
    };
    let kernel = simulate(&scenario, &slow).unwrap().recording;
    assert_ne!(begin(&simulate(&scenario, &table).unwrap().recording), begin(&kernel));
    assert_eq!(begin(&simulate_as(&kernel, &scenario, &table).unwrap().recording), begin(&kernel));
}
