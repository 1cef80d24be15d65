//! Recordings of simulated runs, under the same policy and under others.

use super::*;
use crate::sim::tests::{MEGAHERTZ, endless, ideal, libos, periodic, scenario};
use libos_core::scenario::{Admission, Arrivals, Client as Declared, Jobs, LibOs};

fn no_costs() -> Costs {
    Costs::nothing(MEGAHERTZ)
}

/// Three at 3:2:1 and one that thinks between its jobs.
fn mixed(policy: Policy) -> Recording {
    let mut clients: Vec<_> =
        [("a", 3), ("b", 2), ("c", 1)].map(|(name, tickets)| endless(name, tickets, 0)).into();
    let arrivals = Arrivals::Interactive { think_us: 20_000 };
    let jobs = Jobs { arrivals, budget_us: 3000, deadline_us: Some(9000), work_min_us: 1000, work_us: 3000 };
    clients.push(Declared { jobs: Some(jobs), ..endless("user", 2, 0) });
    ideal(&scenario(1, 1000, vec![libos(policy, clients)])).recording
}

#[test]
fn under_the_same_policy_everything_is_as_it_was_recorded() {
    for policy in [Policy::Stride, Policy::Lottery, Policy::RoundRobin, Policy::Fifo] {
        let recording = mixed(policy);
        let replay = replay_with(&recording, policy, &no_costs()).unwrap();
        assert_eq!(replay.divergences, [], "{policy:?}");
        let steps = &recording.schedulers[0].steps;
        let decided = steps.iter().filter(|step| matches!(step, Step::Decided { .. })).count();
        assert!(replay.same == decided as u64 && decided > 5, "{decided} decisions of {policy:?}");
        assert_eq!(replay.recording.turns, recording.turns, "{policy:?}");
        assert_eq!(replay.recording.jobs, recording.jobs, "{policy:?}");
        assert!(replay.to_string().contains("decisions are the recorded ones."));
    }
}

#[test]
fn another_policy_is_shown_with_its_first_decision_that_differs_and_with_what_comes_of_it() {
    let recording = mixed(Policy::Stride);
    let replay = replay_with(&recording, Policy::RoundRobin, &no_costs()).unwrap();
    let (_, divergence) = replay.divergences[0];
    assert!(matches!(divergence.recorded, Step::Decided { .. }));
    assert_ne!(divergence.instead, Some(divergence.recorded));
    let before = &recording.schedulers[0].steps[..divergence.step];
    let same = before.iter().filter(|step| matches!(step, Step::Decided { .. })).count();
    assert_eq!(replay.same, same as u64);
    let (old, new) = (figures::of(&recording), figures::of(&replay.recording));
    assert!(old[0].ran > 2 * old[2].ran && new[0].ran.abs_diff(new[2].ran) <= 2000, "{new:?}");
    let text = replay.to_string();
    for part in ["  - ", "  + ", "decides for", "one.a", " -> "] {
        assert!(text.contains(part), "{part} is not in\n{text}");
    }
}

#[test]
fn a_policy_for_deadlines_that_takes_the_place_of_another_is_told_the_deadlines() {
    let clients = vec![periodic("short", (1, 4), 0), periodic("long", (10, 20), 0)];
    let fifo = ideal(&scenario(1, 1000, vec![libos(Policy::Fifo, clients)])).recording;
    let late = |figures: &[Figures]| figures.iter().map(|client| client.misses).sum::<u64>();
    assert!(late(&figures::of(&fifo)) > 50, "{:?}", figures::of(&fifo));
    let edf = replay_with(&fifo, Policy::Edf, &no_costs()).unwrap();
    assert_eq!(late(&figures::of(&edf.recording)), 0);
}

#[test]
fn runs_of_which_not_all_is_known_or_simulated_are_refused_with_the_reason() {
    let said = |recording: &Recording| replay_with(recording, Policy::Fifo, &no_costs()).unwrap_err().0;
    let whole = mixed(Policy::Stride);
    assert!(said(&Recording { lost: 3, ..whole.clone() }).contains("3 of its records are missing"));
    assert!(
        said(&Recording { schedulers: Vec::new(), ..whole.clone() }).contains("no libOS in it schedules")
    );
    let mut woken = whole;
    woken.schedulers[0].steps.push(Step::Woken { client: ClientId(3), now: Tick(7000) });
    assert!(said(&woken).ends_with("and at 7.000 ms: user is woken"), "{}", said(&woken));
}

#[test]
fn when_its_service_was_over_a_client_gets_no_more_time_under_another_policy_either() {
    let mut recording = mixed(Policy::Stride);
    recording.clients.iter_mut().for_each(|client| client.until = recording.end / 2);
    let replay = replay_with(&recording, Policy::RoundRobin, &no_costs()).unwrap();
    let last = replay.recording.turns.iter().map(|turn| turn.end).max().unwrap();
    assert!((recording.end / 2 - 2000..=recording.end / 2 + 2000).contains(&last), "{last}");
    assert!(replay.recording.jobs.iter().all(|job| job.released < recording.end / 2));
}

#[test]
fn lost_slots_are_lost_under_another_policy_too() {
    let half =
        LibOs { want: 5, admission: Admission::Off, ..libos(Policy::Stride, vec![endless("a", 1, 0)]) };
    let recording = ideal(&scenario(1, 500, vec![half])).recording;
    let replay = replay_with(&recording, Policy::Fifo, &no_costs()).unwrap();
    let ran = |recording: &Recording| figures::of(recording)[0].ran;
    assert!(ran(&recording) > 200_000);
    assert_eq!(ran(&replay.recording), ran(&recording));
    assert_eq!(replay.recording.slices, recording.slices);
}

#[test]
fn what_several_cores_decided_together_is_not_told_to_one_of_their_own_nor_the_other_way_round() {
    let shared = crate::sim::tests::global();
    let why = replay_with(&shared, Policy::Edf, &no_costs()).unwrap_err().0;
    assert!(why.contains("under edzl all cores share one policy"), "{why}");
    let clients = vec![periodic("a", (1, 4), 0), periodic("b", (1, 4), 1)];
    let apart = ideal(&scenario(2, 500, vec![libos(Policy::Edf, clients)])).recording;
    let why = replay_with(&apart, Policy::GlobalEdf, &no_costs()).unwrap_err().0;
    assert!(why.contains("under global-edf"), "{why}");
    let alone = ideal(&scenario(1, 500, vec![libos(Policy::Edf, vec![periodic("a", (1, 4), 0)])])).recording;
    assert!(replay_with(&alone, Policy::GlobalEdf, &no_costs()).unwrap().divergences.is_empty());
}
