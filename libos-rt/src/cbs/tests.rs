//! What servers get, worked by hand, and what is guaranteed.
use super::*;
use alloc::vec;
use alloc::vec::Vec;

fn served(kind: Kind, servers: &[(u64, u64)]) -> ConstantBandwidth {
    let mut policy = ConstantBandwidth::new(kind, Tick(20));
    for (number, (budget, period)) in (0..).zip(servers) {
        let [budget, period] = [*budget, *period].map(Tick);
        let demand = Demand::Periodic { first_release: Tick(0), budget, period, deadline: period };
        policy.join(ClientId(number), demand, Tick(0)).unwrap();
    }
    policy
}

/// Whom it runs until a time, if nobody ever waits: the time that each gets.
fn greedy(policy: &mut ConstantBandwidth, clients: usize, until: u64) -> Vec<u64> {
    let (mut now, mut ran) = (0, vec![0; clients]);
    while now < until {
        let Some(decision) = policy.pick(Tick(now)) else {
            now = policy.next_event().0;
            continue;
        };
        let time = decision.until.0 - now;
        ran[usize::from(decision.client.0)] += time;
        now += time;
        policy.charge(decision.client, Tick(time), TurnEnd::Ready, Tick(now));
    }
    ran
}

#[test]
fn hard_servers_have_exactly_their_budgets_and_soft_ones_share_the_rest_in_that_proportion() {
    let servers = [(3, 10), (6, 20)];
    assert_eq!(greedy(&mut served(Kind::Hard, &servers), 2, 1000), [300, 300]);
    assert_eq!(greedy(&mut served(Kind::Soft, &[(1, 10), (4, 20)]), 2, 3000), [1000, 2000]);
}

#[test]
fn who_comes_while_its_budget_would_be_too_much_for_its_deadline_gets_new_ones() {
    let mut policy = served(Kind::Soft, &[(4, 10)]);
    let first = policy.pick(Tick(0)).unwrap();
    assert_eq!(first.until, Tick(4));
    // 1 of 4 used until 1; it comes again at 5: 3 ≥ (10 − 5) · 4 / 10.
    policy.charge(ClientId(0), Tick(1), TurnEnd::Waiting(Tick(5)), Tick(1));
    assert_eq!(policy.pick(Tick(5)).unwrap().until, Tick(9));
    assert_eq!(policy.clients.get(ClientId(0)).unwrap().deadline, 15);
    // And at 6 again, with 3 of 4 and 9 until 15: 3 < 9 · 4 / 10, it keeps both.
    policy.charge(ClientId(0), Tick(1), TurnEnd::Waiting(Tick(6)), Tick(6));
    assert_eq!(policy.pick(Tick(6)).unwrap().until, Tick(9));
    assert_eq!(policy.clients.get(ClientId(0)).unwrap().deadline, 15);
}

#[test]
fn what_a_turn_took_too_long_the_next_budgets_pay() {
    let mut policy = served(Kind::Hard, &[(2, 10)]);
    policy.pick(Tick(0)).unwrap();
    policy.charge(ClientId(0), Tick(5), TurnEnd::Ready, Tick(5));
    // At 10 the next budget, 2, leaves it at −1; at 20 the one after that at 1.
    assert_eq!(policy.pick(Tick(10)), None);
    assert_eq!(policy.next_event(), Tick(20));
    assert_eq!(policy.pick(Tick(20)).unwrap().until, Tick(21));
}

#[test]
fn a_stopped_server_is_not_woken_before_its_deadline() {
    let mut policy = served(Kind::Hard, &[(2, 10)]);
    policy.pick(Tick(0)).unwrap();
    policy.charge(ClientId(0), Tick(2), TurnEnd::Ready, Tick(2));
    policy.wake(ClientId(0), Tick(3));
    assert_eq!(policy.pick(Tick(3)), None);
    assert!(policy.pick(Tick(10)).is_some());
}

#[test]
fn the_background_runs_while_no_server_does_and_until_one_comes() {
    let mut policy = served(Kind::Hard, &[(2, 10)]);
    policy.join(ClientId(1), Demand::Share { tickets: 1 }, Tick(0)).unwrap();
    policy.pick(Tick(0)).unwrap();
    policy.charge(ClientId(0), Tick(2), TurnEnd::Ready, Tick(2));
    assert_eq!(policy.pick(Tick(2)), Some(Decision { client: ClientId(1), until: Tick(10) }));
}
