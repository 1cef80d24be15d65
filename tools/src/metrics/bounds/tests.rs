//! Bounds against textbook sets and runs that break them.

use super::super::fixture;
use super::*;
use libos_core::scenario::Policy;

fn tasks(sets: &[(u64, u64)]) -> Vec<Task> {
    sets.iter().map(|(budget, period)| Task { budget: *budget, period: *period, deadline: *period }).collect()
}

#[test]
fn rate_monotonic_responses_are_the_textbooks() {
    // Liu and Layland's setting: (1,4)(1,5)(3,9)(3,18) respond in 1, 2, 7, 18 at worst.
    let tasks = tasks(&[(1, 4), (1, 5), (3, 9), (3, 18)]);
    let (bounds, _) = analyse("rate-monotonic", &tasks, &Supply::whole_core()).unwrap();
    assert_eq!(bounds, [1, 2, 7, 18]);
}

#[test]
fn a_set_that_rate_monotonic_cannot_schedule_has_no_bounds_there_but_under_edf() {
    let tasks = tasks(&[(1, 4), (2, 6), (3, 8)]);
    assert_eq!(analyse("rate-monotonic", &tasks, &Supply::whole_core()), None);
    assert!(analyse("edf", &tasks, &Supply::whole_core()).is_some());
}

#[test]
fn a_task_in_every_other_slot_waits_for_the_slot_first() {
    let supply = Supply::new(&[true, false], Tick(10), Tick(1));
    assert_eq!(fixed_priority(&tasks(&[(3, 40)]), 0, &supply, |task| task.period), Some(14));
}

#[test]
fn stride_within_a_quantum_holds_and_beyond_is_a_violation() {
    let fair = fixture::alternating(20);
    let bound = &check(&fair, 0)[0];
    assert_eq!((bound.measured, bound.most, bound.holds), (0.5, 1.0, true));
    let unfair = fixture::turns(&[1, 1], &[0, 0, 0, 0, 1]);
    let bound = &check(&unfair, 0)[0];
    assert_eq!((bound.measured, bound.holds), (2.0, false));
}

fn drawn(order: &[usize]) -> Vec<Bound> {
    let mut recording = fixture::turns(&[1, 1], order);
    recording.schedulers[0].policy = Policy::Lottery;
    check(&recording, 0)
}

#[test]
fn a_lottery_near_its_odds_holds_and_one_that_always_draws_the_same_does_not() {
    let even: Vec<usize> = (0..200).map(|draw| draw % 2).collect();
    let bounds = drawn(&even);
    assert_eq!((bounds[0].measured, bounds[0].holds), (100.0, true));
    // n p = 100, √(n p (1 − p)) = 7.07: 95 % of the runs are within 13.86.
    let (low, high) = bounds[0].band.unwrap();
    assert!((low - 86.14).abs() < 0.01 && (high - 113.86).abs() < 0.01, "{low} {high}");
    assert!(drawn(&[0; 200]).iter().all(|bound| !bound.holds));
}

#[test]
fn jobs_within_their_analysed_response_hold() {
    let mut recording = fixture::periodic();
    let bounds = check(&recording, 0);
    // At a frequency of 1 MHz the costs alone exceed a period of 20 us: no analysis, no bound.
    assert_eq!(bounds, []);
    // Ticks of a tenth of a nanosecond: costs no longer matter.
    recording.frequency = 1000;
    let bounds = check(&recording, 0);
    let response = &bounds[0];
    assert_eq!((response.measured, response.most, response.holds), (6000.0, 4000.0, false));
    assert_eq!((bounds[1].quantity.as_str(), bounds[1].holds), ("tardiness", true));
}

#[test]
fn a_job_that_is_late_where_demand_is_within_supply_is_a_violation() {
    let mut recording = fixture::periodic();
    recording.frequency = 1000;
    recording.jobs[2].completed = Some(75);
    let tardiness = check(&recording, 0).into_iter().find(|bound| bound.quantity == "tardiness").unwrap();
    assert_eq!((tardiness.measured, tardiness.holds), (15_000.0, false));
}

#[test]
fn utilisation_is_demand_of_supply() {
    let mut recording = fixture::periodic();
    recording.frequency = 1000;
    assert_eq!(utilisation(&recording, &[0]), Some(0.2));
    recording.clients[0].period = None;
    assert_eq!(utilisation(&recording, &[0]), None);
}

#[test]
fn on_linux_the_supply_is_the_whole_core_and_nothing_is_bounded() {
    let source = Source::Linux(crate::recording::LinuxPolicy::Deadline);
    let recording = Recording { source, slices: Vec::new(), ..fixture::periodic() };
    // Jobs of 4 us and three turns of 30 us every 20.
    assert_eq!(utilisation(&recording, &[0]), Some(94.0 / 20.0));
    assert_eq!(check(&recording, 0), []);
}
