//! What fits, against closed forms and against looking at every window.
use super::*;
use alloc::vec::Vec;
use proptest::prelude::*;

fn implicit(tasks: &[(u64, u64)]) -> Vec<Task> {
    tasks
        .iter()
        .map(|(budget, period)| Task { budget: *budget, period: *period, deadline: *period })
        .collect()
}

#[test]
fn on_a_whole_core_implicit_deadlines_fit_exactly_up_to_full_utilisation() {
    let core = Supply::whole_core();
    assert!(schedulable(&implicit(&[(1, 4), (1, 5), (3, 9), (3, 18)]), &core));
    assert!(schedulable(&implicit(&[(1, 4), (2, 6), (3, 8)]), &core));
    assert!(schedulable(&implicit(&[(1, 2), (1, 3), (1, 6)]), &core), "U = 1");
    assert!(!schedulable(&implicit(&[(1, 2), (1, 3), (1, 6), (1, 1_000_000)]), &core), "U just above 1");
}

#[test]
fn deadlines_before_the_period_are_looked_at_window_by_window() {
    let core = Supply::whole_core();
    let task = |budget, deadline, period| Task { budget, period, deadline };
    assert!(schedulable(&[task(2, 2, 10), task(3, 5, 10)], &core));
    assert!(!schedulable(&[task(2, 2, 10), task(4, 5, 10)], &core), "6 are due in a window of 5");
}

#[test]
fn a_task_fits_into_slots_only_if_its_deadline_covers_the_wait_for_them() {
    let half = Supply::new(&[true, false], Tick(10), Tick(0));
    assert!(schedulable(&implicit(&[(5, 15)]), &half));
    assert!(!schedulable(&implicit(&[(5, 14)]), &half), "in the worst window the slot comes after ten");
    assert!(schedulable(&implicit(&[(10, 20)]), &half), "all that there is, in step");
    let none = Supply::new(&[false, false], Tick(10), Tick(0));
    assert!(!schedulable(&implicit(&[(1, 1000)]), &none));
}

#[test]
fn a_set_without_tasks_always_fits() {
    assert!(schedulable(&[], &Supply::new(&[false], Tick(1), Tick(0))));
}

#[test]
fn demands_that_make_no_sense_are_refused_whatever_their_size() {
    let demand = |budget, period, deadline| {
        let [budget, period, deadline] = [budget, period, deadline].map(Tick);
        Task::new(Demand::Periodic { first_release: Tick(0), budget, period, deadline })
    };
    assert!(demand(1, 2, 2).is_ok());
    for bad in [(0, 2, 2), (3, 2, 2), (2, 4, 1), (1, 2, 3), (1, u64::MAX, 7), (u64::MAX, u64::MAX, u64::MAX)]
    {
        assert_eq!(demand(bad.0, bad.1, bad.2), Err(Refusal::BadDemand), "{bad:?}");
    }
    assert_eq!(Task::new(Demand::Share { tickets: 1 }), Err(Refusal::WrongDemand));
}

#[test]
fn the_longest_periods_are_decided_without_overflow() {
    let longest = Task { budget: LONGEST_PERIOD / 256, period: LONGEST_PERIOD, deadline: LONGEST_PERIOD };
    assert!(schedulable(&[longest; 200], &Supply::whole_core()));
    let odd = Task { budget: 1, period: LONGEST_PERIOD - 1, deadline: LONGEST_PERIOD - 1 };
    let full = Task { budget: LONGEST_PERIOD, period: LONGEST_PERIOD, deadline: LONGEST_PERIOD };
    assert!(!schedulable(&[full, odd], &Supply::whole_core()));
}

proptest! {
    #[test]
    fn it_agrees_with_looking_at_every_window(
        tasks in prop::collection::vec((1..6u64, 0..8u64, 0..8u64), 1..4),
        owned in prop::collection::vec(prop::bool::weighted(0.8), 1..5), quantum in 1..5u64,
    ) {
        let task = |(budget, slack, more)| Task { budget, deadline: budget + slack, period: budget + slack + more };
        let tasks: Vec<Task> = tasks.into_iter().map(task).collect();
        let supply = Supply::new(&owned, Tick(quantum), Tick(0));
        let demand = |window| tasks.iter().map(|task| task.demand_in(window)).sum::<u64>();
        // Periods are at most 19 and a revolution at most 16: any overload shows within these.
        let fits = (0..20_000).all(|window| demand(window) <= supply.least_in(Tick(window)).0);
        prop_assert_eq!(schedulable(&tasks, &supply), fits);
    }
}
