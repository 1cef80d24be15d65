//! Published graphs and experiments, and odds that are exact because every ticket is drawn once.
use super::*;
use std::vec;

fn backing(tickets: u32, of: Option<u16>) -> Backing {
    Backing { tickets, of }
}

/// Clients take part with these tickets, without compensation.
fn bank(plan: &Currencies, tickets: &[u64]) -> Bank {
    let mut bank = Bank::new(plan);
    tickets.iter().enumerate().for_each(|(client, tickets)| take_part(&mut bank, client as u16, *tickets));
    bank
}

fn take_part(bank: &mut Bank, client: u16, tickets: u64) {
    let stake = tickets * STAKES_PER_TICKET;
    bank.set(ClientId(client), stake, stake);
}

/// What each of so many clients has, in tickets of the base.
fn worths(bank: &Bank, clients: u16) -> Vec<u64> {
    (0..clients).map(|client| bank.worth(ClientId(client)) / STAKES_PER_TICKET).collect()
}

/// The published graph: alice and bob have 1000 and 2000 of the base, their tasks tickets of theirs, their threads those of tasks.
fn published() -> Currencies {
    let [alice, bob] = [backing(1000, None), backing(2000, None)];
    let [task1, task2, task3] = [backing(100, Some(0)), backing(200, Some(0)), backing(100, Some(1))];
    let threads = [Some(2), Some(3), Some(3), Some(4)];
    Currencies::new(&[alice, bob, task1, task2, task3], &threads)
}

#[test]
fn the_published_graph_values_its_threads_at_400_600_and_2000_while_task1_is_inactive() {
    let bank = bank(&published(), &[0, 200, 300, 100]);
    assert_eq!(worths(&bank, 4), [0, 400, 600, 2000]);
    assert_eq!(bank.total(), 3000 * STAKES_PER_TICKET);
}

#[test]
fn a_task_that_becomes_active_takes_its_part_from_its_own_currency_only() {
    let mut bank = bank(&published(), &[0, 200, 300, 100]);
    take_part(&mut bank, 0, 100);
    // alice's thousand are now split 100 : 200.
    assert_eq!(worths(&bank, 4), [333, 266, 400, 2000]);
    take_part(&mut bank, 0, 0);
    assert_eq!(worths(&bank, 4), [0, 400, 600, 2000]);
}

#[test]
fn when_nobody_in_a_currency_takes_part_what_funds_it_becomes_inactive_up_to_the_base() {
    let mut bank = bank(&published(), &[0, 200, 300, 100]);
    take_part(&mut bank, 1, 0);
    take_part(&mut bank, 2, 0);
    assert_eq!((worths(&bank, 4), bank.total()), (vec![0, 0, 0, 2000], 2000 * STAKES_PER_TICKET));
    take_part(&mut bank, 3, 0);
    assert_eq!((bank.total(), bank.winner(|_| 0)), (0, None));
}

#[test]
fn a_client_that_joins_halves_those_of_its_currency_and_nobody_else() {
    let plan = Currencies::new(&[backing(1000, None), backing(1000, None)], &[0, 0, 1, 1, 1].map(Some));
    let mut bank = bank(&plan, &[100, 200, 100, 200, 0]);
    assert_eq!(worths(&bank, 5), [333, 666, 333, 666, 0]);
    take_part(&mut bank, 4, 300);
    assert_eq!(worths(&bank, 5), [333, 666, 166, 333, 500]);
}

/// How often each of four clients wins if every ticket that can be drawn is drawn once: the base's, and for each the winner's.
#[test]
fn every_client_wins_as_often_as_its_tickets_are_worth() {
    let plan = Currencies::new(&[backing(3, None), backing(2, Some(0))], &[None, Some(0), Some(1), Some(1)]);
    let bank = bank(&plan, &[3, 2, 1, 3]);
    // Of 6 in the base 3 are the first's; of 4 in the currency 2 the second's; of 4 in the other 1 and 3.
    let mut wins = [0; 4];
    for (base, middle, last) in (0..6).flat_map(|a| (0..4).flat_map(move |b| (0..4).map(move |c| (a, b, c))))
    {
        let mut tickets = [base, middle, last].into_iter();
        let winner = bank.winner(|limit| {
            let ticket = tickets.next().unwrap() * STAKES_PER_TICKET;
            assert!(ticket < limit);
            ticket
        });
        wins[usize::from(winner.unwrap().0)] += 1;
    }
    assert_eq!(wins, [48, 24, 6, 18]);
}

#[test]
fn compensation_counts_in_the_base_so_that_a_currency_of_one_who_waits_early_gets_its_share_too() {
    let plan = Currencies::new(&[backing(500, None), backing(500, None)], &[0, 1].map(Some));
    let mut bank = bank(&plan, &[400, 7]);
    // A fifth of a quantum used: 400, and 1600 more.
    bank.set(ClientId(0), 400 * STAKES_PER_TICKET, 2000 * STAKES_PER_TICKET);
    assert_eq!(worths(&bank, 2), [2500, 500]);
    assert_eq!(bank.total(), 3000 * STAKES_PER_TICKET);
}

#[test]
fn a_libos_has_its_currencies_on_each_core_with_the_clients_that_are_there() {
    use libos_core::scenario::{self, Placement};
    let currency = |name: &str, of: Option<&str>| scenario::Currency {
        name: name.into(),
        tickets: 5,
        of: of.map(Into::into),
    };
    let client = |currency: Option<&str>, placement| Client {
        currency: currency.map(Into::into),
        placement,
        ..Client::default()
    };
    let clients = vec![
        client(Some("b"), Placement::Core(1)),
        client(None, Placement::EveryCore),
        client(Some("a"), Placement::Core(0)),
    ];
    let libos = LibOs {
        currencies: vec![currency("a", None), currency("b", Some("a"))],
        clients,
        ..LibOs::default()
    };
    let backings = [backing(5, None), backing(5, Some(0))];
    assert_eq!(Currencies::of_core(&libos, 2, 0), Currencies::new(&backings, &[None, Some(0)]));
    assert_eq!(Currencies::of_core(&libos, 2, 1), Currencies::new(&backings, &[Some(1), None]));
}

#[test]
fn a_currency_that_would_fund_itself_is_funded_by_the_base() {
    let circle = Currencies::new(&[backing(5, Some(1)), backing(3, Some(1))], &[Some(0), Some(9)]);
    assert_eq!(circle, Currencies::new(&[backing(5, None), backing(3, None)], &[Some(0), None]));
}

#[test]
fn whoever_comes_and_goes_the_worths_add_up_to_the_total() {
    let (mut bank, mut state) = (Bank::new(&published()), libos_core::chance::seed(&[5]));
    for _ in 0..5000 {
        let client = (libos_core::chance::draw(&mut state) % 4) as u16;
        take_part(&mut bank, client, libos_core::chance::draw(&mut state) % 1000);
        let sum: u64 = (0..4).map(|client| bank.worth(ClientId(client))).sum();
        // Each division by an active amount rounds down by less than one.
        assert!(bank.total().abs_diff(sum) <= 12, "{sum} of {}", bank.total());
    }
}
