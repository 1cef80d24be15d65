//! What part of CPU time a scenario means a client to have: by its tickets, and what their currency is worth if everybody competes.
//! Not here: what it got (`metrics`).

use libos_core::scenario::LibOs;
use libos_core::sched::ClientId;
use libos_stride::currency::{Bank, Currencies, STAKES_PER_TICKET};

/// A client's part of the time of all its libOS's clients on its core, as numerator and denominator, if all compete from the beginning
/// to the end. `None` where they come and go, or there is no such client.
pub fn part(libos: &LibOs, (cores, core): (u32, u32), name: &str) -> Option<(u64, u64)> {
    if !libos.is_steady() {
        return None;
    }
    let mut bank = Bank::new(&Currencies::of_core(libos, cores, core));
    let copies = libos.clients.iter().flat_map(|client| client.copies(cores).map(move |copy| (client, copy)));
    let here = copies.filter(|(_, (at, _))| *at == core);
    let mut wanted = None;
    for (id, (client, (_, copy))) in (0..).map(ClientId).zip(here) {
        let stake = u64::from(client.tickets) * STAKES_PER_TICKET;
        bank.set(id, stake, stake);
        wanted = wanted.or((copy == name).then_some(id));
    }
    Some((bank.worth(wanted?), bank.total()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use libos_core::scenario::{Client, Currency, Placement};

    fn libos() -> LibOs {
        let client = |name: &str, tickets, currency: Option<&str>| Client {
            name: name.into(),
            tickets,
            currency: currency.map(Into::into),
            placement: Placement::EveryCore,
            ..Client::default()
        };
        let currencies = vec![Currency { name: "x".into(), tickets: 1, of: None }];
        let clients = vec![client("a", 3, None), client("b", 100, Some("x")), client("c", 300, Some("x"))];
        LibOs { currencies, clients, ..LibOs::default() }
    }

    #[test]
    fn a_part_is_that_of_the_tickets_and_of_what_their_currency_is_worth() {
        let part = |name: &str| {
            let (part, whole) = part(&libos(), (2, 1), name)?;
            Some(part as f64 / whole as f64)
        };
        assert_eq!(["a/1", "b/1", "c/1", "a/0"].map(part), [Some(0.75), Some(0.0625), Some(0.1875), None]);
    }

    #[test]
    fn where_clients_come_and_go_no_part_is_meant() {
        let mut libos = libos();
        libos.clients[0].joins_ms = 5;
        assert_eq!(part(&libos, (1, 0), "b/0"), None);
    }
}
