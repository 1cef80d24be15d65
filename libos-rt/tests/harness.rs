//! EDF and rate-monotonic priorities through the dispatch loop on a fake processor: published response times, overruns,
//! clients in the background, and random admitted sets on random slots, none of which misses a deadline or exceeds its
//! analysed bound.
#![forbid(unsafe_code)]

use libos_core::sched::dispatch::Scheduler;
use libos_core::sched::fake::{Act, Fake, Script, Slots};
use libos_core::sched::measure::Responses;
use libos_core::sched::{ClientId, Demand, Policy, Refusal, Tick};
use libos_rt::deadlines::{Deadlines, Order};
use libos_rt::edf::{EarliestDeadline, Edf};
use libos_rt::guarantee::Guarantees;
use libos_rt::rate_monotonic::{RateMonotonic, ShortestPeriod};
use libos_rt::supply::Supply;
use libos_rt::watch::JobWatch;
use proptest::prelude::*;

/// A periodic client: its demand, and what its jobs really use.
#[derive(Clone, Copy, Debug)]
struct Periodic {
    first: u64,
    budget: u64,
    period: u64,
    deadline: u64,
}

impl Periodic {
    fn implicit(budget: u64, period: u64) -> Self {
        Self { first: 0, budget, period, deadline: period }
    }

    fn demand(self) -> Demand {
        let [first_release, budget, period, deadline] =
            [self.first, self.budget, self.period, self.deadline].map(Tick);
        Demand::Periodic { first_release, budget, period, deadline }
    }

    /// Jobs that use `uses(k)` ticks, each awaited on the client's own clock.
    fn script(self, uses: impl Fn(u64) -> u64 + 'static) -> Script {
        let mut step = 0;
        Box::new(move |_| {
            let (job, ends) = (step / 2, step % 2 == 1);
            step += 1;
            if ends {
                Act::Wait(Tick(self.first + (job + 1) * self.period))
            } else {
                Act::Compute(Tick(uses(job)))
            }
        })
    }
}

type Run<O> = Scheduler<Deadlines<O>, JobWatch>;

/// Runs clients that use exactly their budgets; `None` if they are not admitted.
fn run<O: Order>(tasks: &[Periodic], slots: Slots, turn_cost: u64, end: u64) -> Option<Run<O>> {
    let overhead = Tick(slots.overhead.0 + turn_cost);
    let supply = match slots.quantum {
        Tick::NEVER => Supply::whole_core(),
        quantum => Supply::new(&slots.owned, quantum, overhead),
    };
    run_by(Deadlines::new(supply, Tick(turn_cost), Tick(100)), tasks, slots, (turn_cost, end))
}

fn run_by<O: Order>(
    mut policy: Deadlines<O>,
    tasks: &[Periodic],
    slots: Slots,
    (turn_cost, end): (u64, u64),
) -> Option<Run<O>> {
    let mut fake = Fake::new(slots, Tick(turn_cost));
    for (id, task) in tasks.iter().enumerate() {
        let client = ClientId(id as u16);
        policy.join(client, task.demand(), Tick(0)).ok()?;
        let budget = task.budget;
        fake.add(client, task.script(move |_| budget));
    }
    let mut scheduler = Scheduler { policy, observer: JobWatch::default() };
    fake.run(&mut scheduler, Tick(end));
    Some(scheduler)
}

fn responses<O>(scheduler: &Run<O>, clients: usize) -> Vec<Responses> {
    (0..clients).map(|client| scheduler.observer.responses(ClientId(client as u16))).collect()
}

/// Budgets and periods, their hyperperiod, and the published worst responses in it.
fn check_published<O: Order>(tasks: &[(u64, u64)], hyperperiod: u64, worst: &[u64]) {
    let periodic: Vec<_> =
        tasks.iter().map(|(budget, period)| Periodic::implicit(*budget, *period)).collect();
    let scheduler = run::<O>(&periodic, Slots::whole_core(), 0, hyperperiod).unwrap();
    let responses = responses(&scheduler, tasks.len());
    assert_eq!(responses.iter().map(|client| client.max_response.0).collect::<Vec<_>>(), worst);
    for (id, (responses, (_, period))) in responses.iter().zip(tasks).enumerate() {
        assert_eq!((responses.jobs, responses.misses), (hyperperiod / period, 0));
        let bound = scheduler.policy.response_bound(ClientId(id as u16)).unwrap();
        assert!(responses.max_response <= bound && bound.0 <= *period, "bound {bound:?}");
    }
}

const FIRST_SET: [(u64, u64); 4] = [(1, 4), (1, 5), (3, 9), (3, 18)];
const SECOND_SET: [(u64, u64); 3] = [(1, 4), (2, 6), (3, 8)];

#[test]
fn under_rate_monotonic_priorities_the_first_published_set_responds_within_1_2_7_18() {
    check_published::<ShortestPeriod>(&FIRST_SET, 180, &[1, 2, 7, 18]);
}

#[test]
fn rate_monotonic_refuses_the_second_published_set_and_without_admission_its_third_task_misses() {
    let tasks = SECOND_SET.map(|(budget, period)| Periodic::implicit(budget, period));
    assert!(run::<ShortestPeriod>(&tasks, Slots::whole_core(), 0, 0).is_none());
    // Its analysis passes the deadline of 8 at 9; done it is at 10, behind 3 jobs of 1, 2 of 2 and its own 3.
    let policy = RateMonotonic::without_admission(Tick(0), Tick(100));
    let scheduler = run_by(policy, &tasks, Slots::whole_core(), (0, 24)).unwrap();
    let responses = responses(&scheduler, 3);
    assert_eq!(responses.iter().map(|client| client.max_response.0).collect::<Vec<_>>(), [1, 3, 10]);
    assert_eq!(responses.iter().map(|client| client.misses).collect::<Vec<_>>(), [0, 0, 1]);
}

#[test]
fn more_than_fits_makes_everybody_late_under_edf_and_only_the_longest_period_under_rate_monotonic() {
    // U = 1.25: of jobs that are all done, in the order of their deadlines, each is later than the one before.
    let tasks = [(4, 8), (4, 16), (8, 16)].map(|(budget, period)| Periodic::implicit(budget, period));
    let late =
        |responses: Vec<Responses>| responses.iter().map(|client| client.misses > 0).collect::<Vec<_>>();
    let edf =
        run_by(Edf::without_admission(Tick(0), Tick(9)), &tasks, Slots::whole_core(), (0, 1600)).unwrap();
    assert_eq!(late(responses(&edf, 3)), [true; 3]);
    let policy = RateMonotonic::without_admission(Tick(0), Tick(9));
    let fixed = run_by(policy, &tasks, Slots::whole_core(), (0, 1600)).unwrap();
    assert_eq!(late(responses(&fixed, 3)), [false, false, true]);
}

#[test]
fn without_guarantees_a_job_is_released_when_its_client_says_and_with_them_a_period_after_the_last() {
    let jobs_until_50 = |mut policy: Edf| {
        policy.join(ClientId(0), Periodic::implicit(10, 40).demand(), Tick(0)).unwrap();
        let mut fake = Fake::new(Slots::whole_core(), Tick(0));
        let mut works = false;
        fake.add(
            ClientId(0),
            Box::new(move |now| {
                works = !works;
                if works { Act::Compute(Tick(5)) } else { Act::Wait(Tick(now.0 + 5)) }
            }),
        );
        let mut scheduler = Scheduler { policy, observer: JobWatch::default() };
        fake.run(&mut scheduler, Tick(50));
        scheduler.observer.responses(ClientId(0)).jobs
    };
    assert_eq!(jobs_until_50(Edf::without_admission(Tick(0), Tick(9))), 5);
    assert_eq!(jobs_until_50(Edf::new(Supply::whole_core(), Tick(0), Tick(9))), 2);
}

#[test]
fn clients_without_deadlines_share_what_the_others_leave_round_robin() {
    let mut policy = RateMonotonic::new(Supply::whole_core(), Tick(0), Tick(10));
    let task = Periodic::implicit(25, 100);
    let mut fake = Fake::new(Slots::whole_core(), Tick(0));
    policy.join(ClientId(1), task.demand(), Tick(0)).unwrap();
    fake.add(ClientId(1), task.script(|_| 25));
    for client in [0, 2, 3].map(ClientId) {
        policy.join(client, Demand::Share { tickets: 1 }, Tick(0)).unwrap();
        assert_eq!(policy.join(client, task.demand(), Tick(0)), Err(Refusal::AlreadyHere));
        fake.add(client, Box::new(|_| Act::Compute(Tick::NEVER)));
    }
    let mut scheduler = Scheduler { policy, observer: JobWatch::default() };
    fake.run(&mut scheduler, Tick(120_000));
    assert_eq!(scheduler.observer.responses(ClientId(1)).max_response, Tick(25), "nobody is in its way");
    let ran = [0, 2, 3].map(|client| fake.ran(ClientId(client)).0);
    assert_eq!(ran.iter().sum::<u64>(), 90_000);
    assert!(ran.iter().all(|ran| ran.abs_diff(30_000) <= 2_500), "{ran:?}");
}

#[test]
fn the_first_published_set_responds_within_2_3_7_12() {
    check_published::<EarliestDeadline>(&FIRST_SET, 180, &[2, 3, 7, 12]);
}

#[test]
fn the_second_published_set_responds_within_3_4_6_where_fixed_priorities_miss() {
    check_published::<EarliestDeadline>(&SECOND_SET, 24, &[3, 4, 6]);
}

#[test]
fn a_set_above_the_supply_is_refused_and_the_clients_before_keep_their_guarantee() {
    let mut policy = Edf::new(Supply::new(&[true, false], Tick(10), Tick(0)), Tick(0), Tick(100));
    policy.join(ClientId(0), Periodic::implicit(20, 80).demand(), Tick(0)).unwrap();
    let more = Periodic::implicit(21, 80).demand();
    assert_eq!(policy.join(ClientId(1), more, Tick(0)), Err(Refusal::NotSchedulable));
    assert!(policy.fits(&Supply::new(&[true, false], Tick(10), Tick(0))));
    assert!(!policy.fits(&Supply::new(&[true, false, false, false], Tick(10), Tick(5))));
}

#[test]
fn a_newcomer_gets_the_place_of_one_who_left_only_after_the_core_was_idle() {
    let mut policy = Edf::new(Supply::whole_core(), Tick(0), Tick(100));
    policy.join(ClientId(0), Periodic::implicit(5, 10).demand(), Tick(0)).unwrap();
    policy.leave(ClientId(0), Tick(0));
    let whole = Periodic::implicit(10, 10).demand();
    assert_eq!(policy.join(ClientId(1), whole, Tick(0)), Err(Refusal::NotSchedulable));
    assert_eq!(policy.pick(Tick(0)), None);
    assert_eq!(policy.join(ClientId(1), whole, Tick(0)), Ok(()));
}

#[test]
fn a_client_that_overruns_misses_its_own_deadlines_and_nobody_elses() {
    let tasks = [Periodic::implicit(30, 100), Periodic::implicit(60, 100)];
    let mut policy = Edf::new(Supply::whole_core(), Tick(0), Tick(100));
    let mut fake = Fake::new(Slots::whole_core(), Tick(0));
    for (id, task) in tasks.iter().enumerate() {
        policy.join(ClientId(id as u16), task.demand(), Tick(0)).unwrap();
    }
    // The first client's third job uses 50 of its 30; all others, 20: it has caught up a period later.
    fake.add(ClientId(0), tasks[0].script(|job| if job == 2 { 50 } else { 20 }));
    fake.add(ClientId(1), tasks[1].script(|_| 60));
    let mut scheduler = Scheduler { policy, observer: JobWatch::default() };
    fake.run(&mut scheduler, Tick(2000));
    let responses = responses(&scheduler, 2);
    assert_eq!((responses[1].jobs, responses[1].misses), (20, 0));
    // The third job ends after 120; 10 of that period's budget are left, so the fourth ends late as well, and so on
    // until the spare 10 of each period have made up for what was over.
    assert_eq!(responses[0].jobs, 20);
    assert!((1..=3).contains(&responses[0].misses), "{:?}", responses[0]);
    assert_eq!(responses[0].max_response, Tick(120));
}

#[test]
fn a_client_that_never_waits_gets_its_budget_each_period_and_no_more() {
    let greedy = Periodic::implicit(30, 100);
    let mut policy = Edf::new(Supply::whole_core(), Tick(0), Tick(100));
    policy.join(ClientId(0), greedy.demand(), Tick(0)).unwrap();
    let mut fake = Fake::new(Slots::whole_core(), Tick(0));
    fake.add(ClientId(0), Box::new(|_| Act::Compute(Tick::NEVER)));
    let mut scheduler = Scheduler { policy, observer: JobWatch::default() };
    fake.run(&mut scheduler, Tick(1000));
    assert_eq!(fake.ran(ClientId(0)), Tick(300));
    assert!(JobWatch::is_late(&scheduler.policy, ClientId(0), Tick(1000)));
}

#[test]
fn a_woken_client_is_released_at_once_but_never_earlier_than_a_period_after_its_last_release() {
    let mut policy = Edf::new(Supply::whole_core(), Tick(0), Tick(100));
    policy.join(ClientId(0), Periodic::implicit(10, 100).demand(), Tick(0)).unwrap();
    let mut fake = Fake::new(Slots::whole_core(), Tick(0));
    let mut job = 0;
    let sporadic = move |_| {
        job += 1;
        if job % 2 == 1 { Act::Compute(Tick(10)) } else { Act::Wait(Tick::NEVER) }
    };
    fake.add(ClientId(0), Box::new(sporadic));
    for at in [40, 250, 1000] {
        fake.post(ClientId(0), Tick(at));
    }
    let mut scheduler = Scheduler { policy, observer: JobWatch::default() };
    for (end, jobs) in [(99, 1), (101, 2), (249, 2), (261, 3), (999, 3), (1020, 4)] {
        fake.run(&mut scheduler, Tick(end));
        assert_eq!(scheduler.observer.responses(ClientId(0)).jobs, jobs, "until {end}");
    }
}

fn task() -> impl Strategy<Value = Periodic> {
    (1..60u64, 0..400u64, 0..400u64, 0..500u64).prop_map(|(budget, slack, more, first)| Periodic {
        first,
        budget,
        deadline: budget + slack,
        period: budget + slack + more,
    })
}

fn slots() -> impl Strategy<Value = Slots> {
    (prop::collection::vec(prop::bool::weighted(0.7), 1..9), 10..80u64, 0..4u64).prop_map(
        |(owned, quantum, overhead)| Slots { owned, quantum: Tick(quantum), overhead: Tick(overhead) },
    )
}

/// Takes tasks one by one as long as they are admitted, and runs them.
fn check_admitted<O: Order>(
    tasks: &[Periodic],
    slots: &Slots,
    turn_cost: u64,
) -> Result<usize, TestCaseError> {
    let mut admitted: Vec<Periodic> = Vec::new();
    for task in tasks {
        admitted.push(*task);
        if run::<O>(&admitted, slots.clone(), turn_cost, 0).is_none() {
            admitted.pop();
        }
    }
    let Some(scheduler) = run::<O>(&admitted, slots.clone(), turn_cost, 30_000) else { return Ok(0) };
    for (id, responses) in responses(&scheduler, admitted.len()).iter().enumerate() {
        let client = ClientId(id as u16);
        let bound = scheduler.policy.response_bound(client).unwrap();
        prop_assert!(bound.0 <= admitted[id].deadline);
        prop_assert!(responses.jobs >= 29_000 / admitted[id].period - 1, "{:?}: {:?}", client, responses);
        prop_assert_eq!(responses.misses, 0, "{:?}: {:?}", client, responses);
        prop_assert!(responses.max_response <= bound, "{:?}: {:?} above {:?}", client, responses, bound);
    }
    Ok(admitted.len())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn admitted_sets_on_random_slots_never_miss_and_respond_within_their_bounds(
        tasks in prop::collection::vec(task(), 1..6), slots in slots(), turn_cost in 0..3u64,
    ) {
        check_admitted::<EarliestDeadline>(&tasks, &slots, turn_cost)?;
        check_admitted::<ShortestPeriod>(&tasks, &slots, turn_cost)?;
    }

    #[test]
    fn admitted_sets_released_together_as_a_slot_ends_never_miss_either(
        tasks in prop::collection::vec(task(), 1..6), slots in slots(),
    ) {
        for end in (0..slots.owned.len()).filter(|slot| slots.owned[*slot]) {
            let first = (end as u64 + 1) * slots.quantum.0;
            let together: Vec<_> = tasks.iter().map(|task| Periodic { first, ..*task }).collect();
            check_admitted::<EarliestDeadline>(&together, &slots, 0)?;
            check_admitted::<ShortestPeriod>(&together, &slots, 0)?;
        }
    }
}

#[test]
fn the_random_sets_are_not_trivial() {
    use proptest::strategy::ValueTree;
    use proptest::test_runner::TestRunner;
    let mut runner = TestRunner::deterministic();
    let strategy = (prop::collection::vec(task(), 1..6), slots());
    let admitted = (0..100).map(|_| {
        let (tasks, slots) = strategy.new_tree(&mut runner).unwrap().current();
        check_admitted::<ShortestPeriod>(&tasks, &slots, 0).unwrap()
    });
    assert!(admitted.sum::<usize>() > 100, "on average more than one client runs");
}
