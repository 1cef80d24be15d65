//! Constant-bandwidth servers with guarantees, on slots of chance: a job of at most Q that comes T after the one before or later is done
//! within T, whatever the clients of the other servers do.
#![forbid(unsafe_code)]

use libos_core::sched::dispatch::{Processor, Scheduler};
use libos_core::sched::fake::{Act, Fake, Script, Slots};
use libos_core::sched::{ClientId, Demand, Policy, Refusal, Tick};
use libos_rt::cbs::{ConstantBandwidth, Kind};
use libos_rt::guarantee::Guarantees;
use libos_rt::supply::Supply;
use libos_rt::watch::JobWatch;
use proptest::prelude::*;

const KINDS: [Kind; 2] = [Kind::Soft, Kind::Hard];
/// How long a run lasts.
const END: u64 = 30_000;

/// Budget, period, first release.
type Server = (u64, u64, u64);

fn demand((budget, period, first): Server) -> Demand {
    let [first_release, budget, period] = [first, budget, period].map(Tick);
    Demand::Periodic { first_release, budget, period, deadline: period }
}

fn server() -> impl Strategy<Value = Server> {
    (1..60u64, 0..400u64, 0..500u64).prop_map(|(budget, slack, first)| (budget, budget + slack, first))
}

/// A job of the whole budget every period.
fn honest((budget, period, first): Server) -> Script {
    let mut step = 0;
    Box::new(move |_| {
        step += 1;
        if step % 2 == 1 { Act::Compute(Tick(budget)) } else { Act::Wait(Tick(first + step / 2 * period)) }
    })
}

/// What a client does that keeps to nothing, cyclically; waits are from the present on.
fn wild(acts: Vec<Act>) -> Script {
    let mut next = acts.into_iter().cycle();
    Box::new(move |now| match next.next() {
        Some(Act::Wait(time)) => Act::Wait(now.saturating_add(time)),
        Some(act) => act,
        None => Act::Compute(Tick::NEVER),
    })
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        4 => (1..60u64).prop_map(|time| Act::Compute(Tick(time))),
        1 => Just(Act::Compute(Tick(100_000))),
        1 => Just(Act::Yield),
        3 => (1..300u64).prop_map(|time| Act::Wait(Tick(time))),
        1 => Just(Act::Wait(Tick::NEVER)),
    ]
}

fn slots() -> impl Strategy<Value = Slots> {
    (prop::collection::vec(prop::bool::weighted(0.7), 1..9), 20..80u64, 0..4u64).prop_map(
        |(owned, quantum, overhead)| Slots { owned, quantum: Tick(quantum), overhead: Tick(overhead) },
    )
}

fn policy(kind: Kind, slots: &Slots, turn_cost: u64) -> ConstantBandwidth {
    let supply = Supply::new(&slots.owned, slots.quantum, Tick(slots.overhead.0 + turn_cost));
    ConstantBandwidth::with_guarantees(kind, supply, Tick(turn_cost), Tick(100))
}

/// Lets everybody join who is admitted, and runs them: an honest one if there are no acts for it. How many honest ones were taken on.
fn check(
    kind: Kind,
    clients: &[(Server, Vec<Act>)],
    (slots, turn_cost): (&Slots, u64),
    posts: &[(u16, u64)],
) -> Result<usize, TestCaseError> {
    let mut policy = policy(kind, slots, turn_cost);
    let mut fake = Fake::new(slots.clone(), Tick(turn_cost));
    let mut honest_ones = Vec::new();
    for (id, (server, acts)) in (0..).map(ClientId).zip(clients) {
        if policy.join(id, demand(*server), Tick(0)).is_err() {
            continue;
        }
        if acts.is_empty() {
            honest_ones.push((id, server.1));
            fake.add(id, honest(*server));
        } else {
            fake.add(id, wild(acts.clone()));
            posts.iter().filter(|(client, _)| *client == id.0).for_each(|(_, at)| fake.post(id, Tick(*at)));
        }
    }
    let mut scheduler = Scheduler { policy, observer: JobWatch::default() };
    fake.run(&mut scheduler, Tick(END));
    for (id, period) in &honest_ones {
        let responses = scheduler.observer.responses(*id);
        prop_assert!(responses.jobs >= (END - 1_000) / period - 1, "{:?} {:?}: {:?}", kind, id, responses);
        prop_assert_eq!(responses.misses, 0, "{:?} {:?}: {:?}", kind, id, responses);
        prop_assert!(!JobWatch::is_late(&scheduler.policy, *id, fake.now()), "a job that is not done");
        prop_assert!(Some(responses.max_response) <= scheduler.policy.response_bound(*id));
    }
    Ok(honest_ones.len())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn servers_that_are_admitted_keep_their_promise_whatever_other_clients_do(
        clients in prop::collection::vec(
            (server(), prop_oneof![Just(Vec::new()), prop::collection::vec(act(), 1..20)]), 1..7),
        slots in slots(), turn_cost in 1..4u64,
        posts in prop::collection::vec((0..7u16, 0..END), 0..60),
    ) {
        for kind in KINDS {
            check(kind, &clients, (&slots, turn_cost), &posts)?;
        }
    }

    #[test]
    fn servers_that_are_admitted_and_released_together_as_a_slot_ends_keep_it_too(
        clients in prop::collection::vec(server(), 1..6), slots in slots(),
    ) {
        for end in (0..slots.owned.len()).filter(|slot| slots.owned[*slot]) {
            let first = (end as u64 + 1) * slots.quantum.0;
            let together: Vec<_> = clients.iter().map(|(q, t, _)| ((*q, *t, first), Vec::new())).collect();
            for kind in KINDS {
                check(kind, &together, (&slots, 0), &[])?;
            }
        }
    }
}

#[test]
fn a_set_that_just_fits_is_taken_on_and_one_that_just_does_not_is_not() {
    let half = Slots { owned: vec![true, false], quantum: Tick(10), overhead: Tick(0) };
    for kind in KINDS {
        // 20 in 40 is all that there is; 21 is more.
        for (second, expected) in [(10, Ok(())), (11, Err(Refusal::NotSchedulable))] {
            let mut policy = policy(kind, &half, 0);
            policy.join(ClientId(0), demand((10, 40, 0)), Tick(0)).unwrap();
            assert_eq!(policy.join(ClientId(1), demand((second, 40, 0)), Tick(0)), expected);
        }
        // 5 are there in any 15, and not in any 14, though that is little of a half.
        assert!(policy(kind, &half, 0).join(ClientId(0), demand((5, 15, 0)), Tick(0)).is_ok());
        assert!(policy(kind, &half, 0).join(ClientId(0), demand((5, 14, 0)), Tick(0)).is_err());
    }
}

#[test]
fn a_deadline_before_the_period_is_nothing_that_a_server_can_promise() {
    let whole = Slots { owned: vec![true], quantum: Tick(10), overhead: Tick(0) };
    let [first_release, budget, deadline, period] = [0, 1, 9, 10].map(Tick);
    let early = Demand::Periodic { first_release, budget, period, deadline };
    assert_eq!(policy(Kind::Soft, &whole, 0).join(ClientId(0), early, Tick(0)), Err(Refusal::BadDemand));
    assert_eq!(ConstantBandwidth::new(Kind::Soft, Tick(10)).join(ClientId(0), early, Tick(0)), Ok(()));
}

#[test]
fn the_place_of_one_who_left_is_free_after_no_server_was_ready() {
    let whole = Slots { owned: vec![true], quantum: Tick(10), overhead: Tick(0) };
    let mut policy = policy(Kind::Soft, &whole, 0);
    policy.join(ClientId(0), demand((6, 10, 0)), Tick(0)).unwrap();
    policy.leave(ClientId(0), Tick(0));
    assert_eq!(policy.join(ClientId(1), demand((5, 10, 0)), Tick(0)), Err(Refusal::NotSchedulable));
    assert_eq!(policy.pick(Tick(0)), None);
    assert_eq!(policy.join(ClientId(1), demand((5, 10, 0)), Tick(0)), Ok(()));
}

#[test]
fn the_random_sets_are_not_trivial() {
    use proptest::strategy::ValueTree;
    use proptest::test_runner::TestRunner;
    let mut runner = TestRunner::deterministic();
    let strategy = (prop::collection::vec(server(), 1..6), slots());
    let admitted = (0..100).map(|_| {
        let (servers, slots) = strategy.new_tree(&mut runner).unwrap().current();
        let clients: Vec<_> = servers.into_iter().map(|server| (server, Vec::new())).collect();
        check(Kind::Soft, &clients, (&slots, 1), &[]).unwrap()
    });
    assert!(admitted.sum::<usize>() > 100, "on average more than one client runs");
}
