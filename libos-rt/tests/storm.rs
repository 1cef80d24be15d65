//! Whatever other clients do (overrun, yield, wake at random, leave and be replaced), one that keeps to its budget meets
//! every deadline; and the policy never picks a client that waits or is stopped.
#![forbid(unsafe_code)]

use libos_core::sched::dispatch::{Observer, Processor, Scheduler, Turn};
use libos_core::sched::fake::{Act, Fake, Slots};
use libos_core::sched::{ClientId, Decision, Demand, Policy, Tick};
use libos_rt::edf::Edf;
use libos_rt::guarantee::Guarantees;
use libos_rt::supply::Supply;
use libos_rt::watch::JobWatch;
use proptest::prelude::*;

type Task = (u64, u64, u64);

fn demand((budget, slack, more): Task, first_release: u64) -> Demand {
    let [first_release, budget, deadline, period] =
        [first_release, budget, budget + slack, budget + slack + more].map(Tick);
    Demand::Periodic { first_release, budget, period, deadline }
}

fn task() -> impl Strategy<Value = Task> {
    (1..60u64, 0..200u64, 0..200u64)
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        4 => (1..100u64).prop_map(|time| Act::Compute(Tick(time))),
        1 => Just(Act::Compute(Tick(100_000))),
        2 => Just(Act::Yield),
        3 => (0..3000u64).prop_map(|time| Act::Wait(Tick(time))),
        2 => Just(Act::Wait(Tick::NEVER)),
    ]
}

/// Checks each decision, and that no client gets more than its budget in a period.
#[derive(Default)]
struct Limits {
    jobs: JobWatch,
    before: std::collections::BTreeMap<ClientId, Tick>,
}

impl Observer<Edf> for Limits {
    fn decided(&mut self, policy: &Edf, decision: Decision, now: Tick) {
        assert!(policy.contends(decision.client), "a client that waits was picked");
        assert!(decision.until > now, "a turn without time");
        let released = policy.job(decision.client).unwrap().released;
        assert!(released <= now, "a job ran before its release");
        let before = self.before.insert(decision.client, released);
        assert!(before.is_none_or(|before| before <= released), "releases go forward");
    }

    fn charged(&mut self, policy: &Edf, turn: &Turn) {
        self.jobs.charged(policy, turn);
    }
}

/// What a client other than the honest one does, cyclically. Absolute times are added up from the present.
fn add_wild(fake: &mut Fake, client: ClientId, acts: Vec<Act>) {
    let mut next = acts.into_iter().cycle();
    let mut yielded = false;
    fake.add(
        client,
        Box::new(move |now| match next.next() {
            // Two acts without time in a row would be a loop without time, which no processor has.
            Some(Act::Yield) if !std::mem::replace(&mut yielded, true) => Act::Yield,
            Some(Act::Wait(time)) => {
                yielded = false;
                Act::Wait(now.saturating_add(time).saturating_add(Tick(1)))
            }
            Some(Act::Compute(time)) => {
                yielded = false;
                Act::Compute(time)
            }
            _ => Act::Compute(Tick(1)),
        }),
    );
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, max_global_rejects: 100_000, ..ProptestConfig::default() })]

    #[test]
    fn a_client_that_keeps_to_its_budget_meets_every_deadline_whatever_the_others_do(
        honest in task(),
        wild in prop::collection::vec((task(), prop::collection::vec(act(), 1..20), 1..4000u64), 1..8),
        posts in prop::collection::vec((1..5u16, 0..20_000u64), 0..40),
        owned in prop::collection::vec(prop::bool::weighted(0.8), 1..6), quantum in 10..60u64,
    ) {
        let mut policy = Edf::new(Supply::new(&owned, Tick(quantum), Tick(0)), Tick(0), Tick(100));
        let mut fake = Fake::new(Slots { owned, quantum: Tick(quantum), overhead: Tick(0) }, Tick(0));
        prop_assume!(policy.join(ClientId(0), demand(honest, 0), Tick(0)).is_ok());
        let (mut acts, period) = (0, honest.0 + honest.1 + honest.2);
        fake.add(ClientId(0), Box::new(move |_| {
            acts += 1;
            if acts % 2 == 1 { Act::Compute(Tick(honest.0)) } else { Act::Wait(Tick(acts / 2 * period)) }
        }));
        posts.iter().for_each(|(client, at)| fake.post(ClientId(*client), Tick(*at)));
        let mut scheduler = Scheduler { policy, observer: Limits::default() };
        let mut now = 0;
        for (turn, (task, acts, pause)) in wild.into_iter().enumerate() {
            // Four clients beside the honest one; who comes fifth replaces the first.
            let client = ClientId(1 + turn as u16 % 4);
            scheduler.policy.leave(client, Tick(now));
            scheduler.observer.before.remove(&client);
            if scheduler.policy.join(client, demand(task, now), Tick(now)).is_ok() {
                add_wild(&mut fake, client, acts);
            }
            fake.run(&mut scheduler, Tick(now + pause));
            now = fake.now().0; // A wait may have gone on for longer.
        }
        fake.run(&mut scheduler, Tick(20_000));
        let responses = scheduler.observer.jobs.responses(ClientId(0));
        prop_assert!(responses.jobs >= 20_000 / period - 1, "{responses:?}");
        prop_assert_eq!(responses.misses, 0, "{:?}", responses);
    }
}
