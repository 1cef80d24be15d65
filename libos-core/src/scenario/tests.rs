//! What is encoded decodes to the same, and environments, frames and revolutions are counted right.

use super::*;
use alloc::vec;

fn client(placement: Placement) -> Client {
    let arrivals = Arrivals::Bursty { burst: 4, gap_us: 9000 };
    let jobs = Jobs { arrivals, budget_us: 500, deadline_us: None, work_min_us: 100, work_us: 400 };
    Client {
        name: "a".into(),
        program: "spin".into(),
        tickets: 3,
        currency: Some("gold".into()),
        inflation: Inflation::Own,
        joins_ms: 5,
        jobs: Some(jobs),
        placement,
        frames: 10,
        ..Client::default()
    }
}

pub(super) fn scenario() -> Scenario {
    let libos = LibOs {
        name: "one".into(),
        program: "stride".into(),
        policy: Policy::Stride,
        admission: Admission::Off,
        frames: 100,
        income: 5,
        want: 40,
        minimum: 1,
        leaves_ms: Some(7),
        spacing: Spacing::Contiguous,
        currencies: vec![Currency { name: "gold".into(), tickets: 7, of: None }],
        fails: Some(Failing { how: Failure::Forges, from_ms: 4, until_ms: None }),
        clients: vec![client(Placement::EveryCore), client(Placement::Core(2))],
        ..LibOs::default()
    };
    let hostile = Hostile {
        name: "bad".into(),
        program: "hostile".into(),
        behaviour: vec![Behaviour::Loop, Behaviour::GraceAbuse],
        frames: 9,
        slots: 4,
        asked_ms: vec![1, 2],
        asked_slots: 1,
    };
    Scenario {
        name: "test".into(),
        duration_ms: 1050,
        cores: 4,
        quantum_us: 1000,
        slots: 100,
        grace_us: 50,
        seed: 1,
        trace: true,
        broker: Broker { mode: Mode::Market, slots: 2, patience_ms: 20 },
        libos: vec![libos],
        hostile: vec![hostile],
        traces: vec![Trace { file: "a.txt".into(), releases: vec![Release { at_us: 3, work_us: Some(2) }] }],
    }
}

#[test]
fn what_is_encoded_decodes_to_the_same() {
    assert_eq!(Scenario::decode(&scenario().encode()), Ok(scenario()));
}

#[test]
fn another_version_and_damage_are_told_apart() {
    let mut bytes = scenario().encode();
    assert_eq!(Scenario::decode(&bytes[..bytes.len() - 1]), Err(Malformed::Content));
    bytes[0] += 1;
    assert_eq!(Scenario::decode(&bytes), Err(Malformed::Version));
    assert_eq!(Scenario::decode(&[]), Err(Malformed::Version));
}

#[test]
fn a_replicated_client_is_one_environment_on_each_core_and_one_that_runs_anywhere_is_one() {
    let copies: Vec<_> = client(Placement::EveryCore).copies(2).collect();
    assert_eq!(copies, [(0, "a/0".into()), (1, "a/1".into())]);
    assert_eq!(client(Placement::Core(2)).copies(4).collect::<Vec<_>>(), [(2, "a".into())]);
    assert_eq!(client(Placement::Anywhere).copies(4).collect::<Vec<_>>(), [(0, "a".into())]);
}

#[test]
fn frames_are_counted_for_every_copy() {
    assert_eq!(scenario().libos[0].total_frames(4), 100 + 4 * 10 + 10);
}

#[test]
fn environments_are_the_brokers_the_liboses_the_hostile_and_every_copy() {
    assert_eq!(scenario().environments(), 1 + 1 + 4 + 1 + 1);
}

#[test]
fn the_first_environment_is_the_brokers_or_without_one_the_only_liboses() {
    let mut scenario = scenario();
    assert_eq!(scenario.first(), "broker");
    scenario.broker.mode = Mode::None;
    assert_eq!(scenario.first(), "stride");
}

#[test]
fn only_whole_revolutions_count() {
    assert_eq!(scenario().revolutions(), 10);
}
