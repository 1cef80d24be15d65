//! Clients that join, wait, wake, give turns back and leave at random: what holds for them whatever they do.
#![forbid(unsafe_code)]

use libos_core::sched::dispatch::{Observer, Turn};
use libos_core::sched::line::Line;
use libos_core::sched::watch::ShareWatch;
use libos_core::sched::{ClientId, Demand, Policy, Tick, TurnEnd};
use libos_stride::hierarchical::HierarchicalStride;
use libos_stride::lottery::Lottery;
use libos_stride::stride::Stride;
use proptest::prelude::*;
use std::collections::BTreeMap;
use tranche_abi::{Outcome, Reason};

const QUANTUM: u64 = 1000;

#[derive(Clone, Copy, Debug)]
enum Step {
    Join { client: u16, tickets: u32 },
    Leave { client: u16 },
    Wake { client: u16 },
    Turn { ran: u64, ends: Ends },
}

#[derive(Clone, Copy, Debug)]
enum Ends {
    Ready,
    Yielded,
    Waiting { pause: u64 },
    Gone,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let client = || 0..12u16;
    let ends = prop_oneof![
        10 => Just(Ends::Ready),
        2 => Just(Ends::Yielded),
        3 => (0..20_000u64).prop_map(|pause| Ends::Waiting { pause }),
        1 => Just(Ends::Waiting { pause: u64::MAX }),
        1 => Just(Ends::Gone),
    ];
    let ran = prop_oneof![4 => Just(QUANTUM), 2 => 0..=QUANTUM];
    let step = prop_oneof![
        2 => (client(), 1..200u32).prop_map(|(client, tickets)| Step::Join { client, tickets }),
        1 => client().prop_map(|client| Step::Leave { client }),
        2 => client().prop_map(|client| Step::Wake { client }),
        20 => (ran, ends).prop_map(|(ran, ends)| Step::Turn { ran, ends }),
    ];
    prop::collection::vec(step, 1..600)
}

/// What the test believes of each client: until when it waits, 0 for ready.
type Model = BTreeMap<ClientId, u64>;

/// Plays the steps, checks the policy against the model at each, and measures.
fn play<P: Policy>(mut policy: P, steps: &[Step]) -> Result<ShareWatch, TestCaseError> {
    let (mut model, mut watch, mut now) = (Model::new(), ShareWatch::default(), 0);
    for step in steps {
        match *step {
            Step::Join { client, tickets } => {
                let joined = policy.join(ClientId(client), Demand::Share { tickets }, Tick(now));
                prop_assert_eq!(joined.is_ok(), !model.contains_key(&ClientId(client)));
                if joined.is_ok() {
                    model.insert(ClientId(client), 0);
                    watch.join(ClientId(client), tickets);
                }
            }
            Step::Leave { client } => {
                policy.leave(ClientId(client), Tick(now));
                model.remove(&ClientId(client));
                watch.leave(ClientId(client));
            }
            Step::Wake { client } => {
                policy.wake(ClientId(client), Tick(now));
                model.entry(ClientId(client)).and_modify(|until| *until = 0);
            }
            Step::Turn { ran, ends } => now = take_turn(&mut policy, &mut model, &mut watch, now, ran, ends)?,
        }
    }
    Ok(watch)
}

fn take_turn<P: Policy>(
    policy: &mut P,
    model: &mut Model,
    watch: &mut ShareWatch,
    now: u64,
    ran: u64,
    ends: Ends,
) -> Result<u64, TestCaseError> {
    let next = model.values().filter(|until| **until > 0).min().map_or(Tick::NEVER, |until| Tick(*until));
    prop_assert_eq!(policy.next_event(), next, "as of before the pick, that may ready some");
    let Some(decision) = policy.pick(Tick(now)) else {
        prop_assert!(model.values().all(|until| *until > now), "somebody was ready and is lost");
        return Ok(now + 700);
    };
    prop_assert!(model[&decision.client] <= now, "a waiting client was picked");
    prop_assert_eq!(decision.until, Tick(now + QUANTUM));
    model.values_mut().filter(|until| **until <= now).for_each(|until| *until = 0);
    watch.decided(policy, decision, Tick(now));
    let now = now + ran;
    let end = match ends {
        Ends::Ready => TurnEnd::Ready,
        Ends::Yielded => TurnEnd::Yielded,
        Ends::Waiting { pause } => TurnEnd::Waiting(Tick((now + 1).saturating_add(pause))),
        Ends::Gone => TurnEnd::Gone,
    };
    let outcome = Outcome { reason: Reason::Expired, ran: Tick(ran), detail: 0, now: Tick(now) };
    watch.charged(policy, &Turn { client: decision.client, outcome, end });
    policy.charge(decision.client, Tick(ran), end, Tick(now));
    match end {
        TurnEnd::Ready | TurnEnd::Yielded => {}
        TurnEnd::Waiting(until) => _ = model.insert(decision.client, until.0),
        TurnEnd::Gone => _ = model.remove(&decision.client),
    }
    Ok(now)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn stride_never_errs_by_more_than_a_quantum_between_two_clients_that_compete(steps in steps()) {
        let watch = play(Stride::new(Tick(QUANTUM)), &steps)?;
        // A pass is rounded to 2^-48 of a quantum of one ticket; that is all that may be above.
        prop_assert!(watch.pairwise.worst().ceiling().0 <= QUANTUM + 1, "{:?}", watch.pairwise.worst());
    }

    #[test]
    fn hierarchical_stride_loses_no_client_and_picks_none_that_waits(steps in steps()) {
        play(HierarchicalStride::new(Tick(QUANTUM)), &steps)?;
    }

    #[test]
    fn lottery_loses_no_client_and_picks_none_that_waits(steps in steps(), seed in 1..u32::MAX) {
        play(Lottery::new(Tick(QUANTUM), seed), &steps)?;
    }

    #[test]
    fn round_robin_loses_no_client_and_picks_none_that_waits(steps in steps()) {
        play(Line::round_robin(Tick(QUANTUM)), &steps)?;
    }
}

#[test]
fn news_of_a_running_client_that_then_waits_is_not_lost() {
    let check = |policy: &mut dyn Policy| {
        policy.join(ClientId(0), Demand::Share { tickets: 1 }, Tick(0)).unwrap();
        assert!(policy.pick(Tick(0)).is_some());
        assert!(policy.pick(Tick(0)).is_none(), "the only client runs already");
        policy.wake(ClientId(0), Tick(3));
        policy.charge(ClientId(0), Tick(5), TurnEnd::Waiting(Tick::NEVER), Tick(5));
        assert!(policy.pick(Tick(5)).is_some());
    };
    check(&mut Stride::new(Tick(QUANTUM)));
    check(&mut HierarchicalStride::new(Tick(QUANTUM)));
    check(&mut Lottery::new(Tick(QUANTUM), 1));
    check(&mut Line::round_robin(Tick(QUANTUM)));
    check(&mut Line::first_come());
}
