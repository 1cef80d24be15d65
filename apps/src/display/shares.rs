//! What everybody got and should have got, from two looks at the ledgers.
//!
//! Pure: the looks are passed in. Not here: how it is drawn ([`super::panel`]). CPU time of a party is its own and its clients'; it
//! should be what its slots are of all slots. A client's share is of its libOS's clients' time; what it should be follows from
//! the tickets on each core, weighted by what the libOS's clients got there.
#![forbid(unsafe_code)]

use super::board::Who;
use super::cast::Cast;
use alloc::vec;
use alloc::vec::Vec;
use core::ops::Range;
use libos_core::scenario::{Client, LibOs, Placement, Scenario};

/// A look at the ledgers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Look {
    /// When.
    pub time: u64,
    /// CPU time on all cores so far of each member of the cast.
    pub charged: Vec<u64>,
}

/// A party's part.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Part {
    /// CPU time that it and its clients got.
    pub got: u64,
    /// Of this much on all cores.
    pub of: u64,
    /// Slots that it owns.
    pub slots: u64,
    /// CPU time of each client.
    pub clients: Vec<u64>,
    /// What each should have had of the same sum, in a unit of its own; empty where shares are not promised.
    pub should: Vec<u64>,
}

/// Every party's part between two looks. `slots` are those that each owns.
pub fn parts(scenario: &Scenario, cast: &Cast, (before, now): (&Look, &Look), slots: &[u64]) -> Vec<Part> {
    let of = now.time.saturating_sub(before.time) * u64::from(scenario.cores);
    let parties = scenario.libos.len() + scenario.hostile.len();
    let mut parts = vec![Part { of, ..Part::default() }; parties];
    let mut on_core = vec![vec![0; scenario.cores as usize]; parties];
    for (part, libos) in parts.iter_mut().zip(&scenario.libos) {
        part.clients = vec![0; libos.clients.len()];
    }
    for (place, member) in cast.members.iter().enumerate().filter(|(_, member)| !member.replaced) {
        let at = |look: &Look| look.charged.get(place).copied().unwrap_or(0);
        let ran = at(now).saturating_sub(at(before));
        let Some(part) = member.who.party().and_then(|party| parts.get_mut(party)) else { continue };
        part.got += ran;
        if let Who::Client { party, client, core } = member.who {
            part.clients[client] += ran;
            on_core[party][core] += ran;
        }
    }
    for (place, part) in parts.iter_mut().enumerate() {
        part.slots = slots.get(place).copied().unwrap_or(0);
        if let Some(libos) = scenario.libos.get(place) {
            part.should = should(libos, &on_core[place]);
        }
    }
    parts
}

/// What each client should have of the time that all of them got on each core, in millionths of ticks.
fn should(libos: &LibOs, on_core: &[u64]) -> Vec<u64> {
    if !libos.policy.is_for_shares() {
        return Vec::new();
    }
    let cores = on_core.len() as u32;
    let mut tickets = vec![0; on_core.len()];
    for client in &libos.clients {
        cores_of(client, cores).for_each(|core| tickets[core as usize] += u64::from(client.tickets));
    }
    let part = |client: &Client| -> u64 {
        let on = |core: u32| {
            let (ran, all) = (on_core[core as usize], tickets[core as usize].max(1));
            (u128::from(ran) * u128::from(client.tickets) * 1_000_000 / u128::from(all)) as u64
        };
        cores_of(client, cores).map(on).sum()
    };
    libos.clients.iter().map(part).collect()
}

/// The cores on which a client lives.
fn cores_of(client: &Client, cores: u32) -> Range<u32> {
    match client.placement {
        Placement::Core(core) => core..core + 1,
        Placement::EveryCore | Placement::Anywhere => 0..cores,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::display::board::Board;
    use crate::display::palette::Order;
    use crate::display::tests::scenario;

    /// Broker 0, `shares` 1 with a on both cores (2, 3) and b on core 0 (4), `tasks` 5 with t (6), `bad` 7.
    fn cast() -> Cast {
        let board = Board::new();
        let mut cast = Cast::new(&scenario(), Order::BlueFirst);
        let client = |party, client, core| Who::Client { party, client, core };
        let all = [
            Who::Party(0),
            client(0, 0, 0),
            client(0, 0, 1),
            client(0, 1, 0),
            Who::Party(1),
            client(1, 0, 1),
            Who::Party(2),
        ];
        all.iter().zip(1..).for_each(|(who, index)| board.introduce(index, *who));
        cast.update(&board);
        cast
    }

    #[test]
    fn a_party_gets_its_own_time_and_its_clients_and_clients_should_get_by_tickets_on_their_cores() {
        let before = Look { time: 100, charged: vec![5; 4] };
        let now = Look { time: 1100, charged: vec![905, 25, 105, 205, 60, 30, 70, 1] };
        let parts = parts(&scenario(), &cast(), (&before, &now), &[7, 8, 1]);
        // On core 0 a has two tickets of three; 100 + 60 ticks went there, 200 to core 1, where a is alone.
        let a = 160 * 2_000_000 / 3 + 200_000_000;
        let shares = Part {
            got: 20 + 100 + 200 + 60,
            of: 2000,
            slots: 7,
            clients: vec![300, 60],
            should: vec![a, 160 * 1_000_000 / 3],
        };
        assert_eq!(parts[0], shares);
        assert_eq!((parts[1].got, &parts[1].clients, &parts[1].should), (100, &vec![70], &vec![]));
        assert_eq!((parts[2].got, parts[2].slots, parts[2].clients.len()), (1, 1, 0));
    }

    #[test]
    fn an_index_that_is_somebody_elses_now_does_not_count_twice() {
        let board = Board::new();
        let mut cast = cast();
        (0..7).for_each(|_| board.introduce(9, Who::System));
        board.introduce(2, Who::Party(2));
        cast.update(&board);
        let now = Look { time: 10, charged: vec![0, 0, 50, 0, 0, 0, 0, 0, 50] };
        let parts = parts(&scenario(), &cast, (&Look::default(), &now), &[]);
        assert_eq!((parts[0].got, parts[2].got), (0, 50));
    }
}
