//! What must hold of every run: time is conserved, and the same run gives the same bytes.

use super::random::{costly, shared_machine};
use crate::results::Results;
use crate::sim::simulate;

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
