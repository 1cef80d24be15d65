//! What holds for the policy whatever its clients do, and what it decides.

use libos_core::sched::laws::{self, QUANTUM};
use libos_core::sched::{ClientId, Demand, Policy, Terms, Tick, TurnEnd};

fn policy() -> impl Policy {
    template::policy(Terms { quantum: QUANTUM, seed: 1, core: 0 })
}

#[test]
fn it_keeps_the_laws_of_every_policy() {
    let demand = |number: u64| Demand::Share { tickets: 1 + (number % 200) as u32 };
    if let Err(broken) = laws::check(policy, (200, 400), demand) {
        panic!("{broken}");
    }
}

#[test]
fn who_came_first_runs_until_it_waits() {
    let mut policy = policy();
    for client in [0, 1] {
        policy.join(ClientId(client), Demand::Share { tickets: 1 }, Tick(0)).unwrap();
    }
    let mut order = Vec::new();
    for (now, end) in [(0, TurnEnd::Ready), (1000, TurnEnd::Waiting(Tick(9000))), (2000, TurnEnd::Ready)] {
        let decision = policy.pick(Tick(now)).unwrap();
        policy.charge(decision.client, QUANTUM, end, Tick(now + QUANTUM.0));
        order.push(decision.client.0);
    }
    assert_eq!(order, [0, 0, 1]);
}
