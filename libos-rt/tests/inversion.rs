//! Priority inversion, and that it is gone where who waits lends its rank to whom it waits for.
#![forbid(unsafe_code)]

use libos_core::sched::{ClientId, Demand, Policy, Tick, TurnEnd};
use libos_rt::deadlines::{Deadlines, Order};
use libos_rt::edf::EarliestDeadline;
use libos_rt::guarantee::Guarantees;
use libos_rt::rate_monotonic::ShortestPeriod;

const HIGH: ClientId = ClientId(0);
const MIDDLE: ClientId = ClientId(1);
const LOW: ClientId = ClientId(2);

/// Whether `high` lends its rank when it finds the lock taken.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Lends {
    Yes,
    No,
}

/// `low` is released at 0 and takes the lock, `high` at 10, and finds it taken; `middle` is released at 20.
fn policy<O: Order>() -> Deadlines<O> {
    let mut policy = Deadlines::without_admission(Tick(0), Tick(1000));
    for (client, first, budget, period) in [(HIGH, 10, 20, 200), (MIDDLE, 20, 100, 400), (LOW, 0, 100, 800)] {
        let [first_release, budget, period] = [first, budget, period].map(Tick);
        let demand = Demand::Periodic { first_release, budget, period, deadline: period };
        policy.join(client, demand, Tick(0)).unwrap();
    }
    policy
}

fn turn<O: Order>(policy: &mut Deadlines<O>, now: u64, end: TurnEnd) -> (ClientId, u64) {
    let decision = policy.pick(Tick(now)).unwrap();
    let ran = match end {
        TurnEnd::Waiting(_) => 1,
        _ => decision.until.0 - now,
    };
    policy.charge(decision.client, Tick(ran), end, Tick(now + ran));
    (decision.client, now + ran)
}

/// To the time at which `high` waits for `low`: 11.
fn blocked<O: Order>(lends: Lends) -> Deadlines<O> {
    let mut policy = policy::<O>();
    assert_eq!(turn(&mut policy, 0, TurnEnd::Ready), (LOW, 10));
    assert_eq!(turn(&mut policy, 10, TurnEnd::Waiting(Tick::NEVER)), (HIGH, 11));
    if lends == Lends::Yes {
        policy.lend(HIGH, LOW, Tick(11));
    }
    policy
}

fn nobody_in_between<O: Order>() {
    let mut policy = blocked::<O>(Lends::Yes);
    // All of its budget: 10 are used. It is not interrupted at 20.
    assert_eq!(policy.pick(Tick(11)).unwrap(), libos_core::sched::Decision { client: LOW, until: Tick(101) });
    // At 60 it gives the lock back.
    policy.charge(LOW, Tick(49), TurnEnd::Ready, Tick(60));
    policy.wake(HIGH, Tick(60));
    let decision = policy.pick(Tick(60)).unwrap();
    assert_eq!(
        (decision.client, decision.until),
        (HIGH, Tick(79)),
        "one of twenty is used: it is the same job"
    );
    assert_eq!(policy.job(HIGH).unwrap().due, Tick(210));
    policy.charge(HIGH, Tick(19), TurnEnd::Waiting(Tick(210)), Tick(79));
    assert_eq!(policy.pick(Tick(79)).unwrap().client, MIDDLE, "the loan is over");
}

#[test]
fn who_is_waited_for_runs_before_whoever_would_be_in_between() {
    nobody_in_between::<ShortestPeriod>();
    nobody_in_between::<EarliestDeadline>();
}

#[test]
fn without_a_loan_whoever_is_in_between_keeps_both_waiting() {
    let mut policy = blocked::<ShortestPeriod>(Lends::No);
    assert_eq!(turn(&mut policy, 11, TurnEnd::Ready), (LOW, 20));
    assert_eq!(turn(&mut policy, 20, TurnEnd::Waiting(Tick(420))).0, MIDDLE);
}

#[test]
fn a_loan_ends_with_whoever_it_is_lent_to_or_lends() {
    let mut policy = blocked::<ShortestPeriod>(Lends::Yes);
    policy.leave(HIGH, Tick(11));
    assert_eq!(turn(&mut policy, 11, TurnEnd::Ready), (LOW, 20));
    assert_eq!(policy.pick(Tick(20)).unwrap().client, MIDDLE);
    let mut policy = blocked::<ShortestPeriod>(Lends::Yes);
    policy.leave(LOW, Tick(11));
    assert_eq!(policy.pick(Tick(11)), None);
    assert_eq!(policy.next_event(), Tick(20));
    policy.wake(HIGH, Tick(15));
    assert_eq!(policy.pick(Tick(15)).unwrap().client, HIGH);
}

#[test]
fn loans_of_strangers_and_circles_change_nothing() {
    let mut policy = blocked::<ShortestPeriod>(Lends::Yes);
    for (from, to) in [(HIGH, LOW), (LOW, HIGH), (LOW, LOW), (ClientId(9), LOW), (MIDDLE, ClientId(9))] {
        policy.lend(from, to, Tick(11));
    }
    assert_eq!(policy.pick(Tick(11)).unwrap().client, LOW);
}
