//! Ticket currencies (Waldspurger & Weihl, *Lottery Scheduling*, OSDI 1994, §3.3): clients hold tickets of a currency, which is
//! funded by tickets of another one or of the base, so what happens inside a currency changes no share outside it.
//!
//! A currency's value is what funds it, split over its *active* tickets: those of clients that take part, and of currencies in which
//! somebody does. The sum of these is its *active amount*. When the last one goes, the tickets that fund it become inactive too.
//! Not here: whose turn it is ([`crate::lottery`]), nor transfers, which have no clear meaning between currencies. In the paper a currency may be funded by tickets of several
//! others; here it is by those of one, so that currencies are a tree under the base.
//!
//! A draw goes down that tree: one ticket of the base is drawn, and if a currency holds it, one of that currency's. So a change and
//! a draw take O(log n) steps at each level.
#![forbid(unsafe_code)]

use crate::stakes::Stakes;
use alloc::vec::Vec;
use libos_core::scenario::{Client, LibOs};
use libos_core::sched::ClientId;
use serde::{Deserialize, Serialize};

/// Stakes are counted in this fraction of a ticket, so that compensation and exchange rates are not rounded to whole tickets.
pub const STAKES_PER_TICKET: u64 = 1 << 16;

/// What funds each currency, and the currency of each client's tickets. Currencies are numbered from 0.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Currencies {
    backings: Vec<Backing>,
    /// By the client's number; the base for those that are not listed.
    clients: Vec<Option<u16>>,
}

/// What funds a currency.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Backing {
    /// How many tickets.
    pub tickets: u32,
    /// Of which currency; `None`: of the base.
    pub of: Option<u16>,
}

impl Currencies {
    /// The same tree as the lists have. A currency that is not there, or is not before the one that it funds, stands for the base.
    pub fn new(backings: &[Backing], clients: &[Option<u16>]) -> Self {
        let before = |of: Option<u16>, limit: usize| of.filter(|of| usize::from(*of) < limit);
        let backing =
            |(place, backing): (usize, &Backing)| Backing { of: before(backing.of, place), ..*backing };
        Self {
            backings: backings.iter().enumerate().map(backing).collect(),
            clients: clients.iter().map(|of| before(*of, backings.len())).collect(),
        }
    }

    /// Those of a libOS on one of its cores, where its clients are numbered in their order.
    pub fn of_core(libos: &LibOs, cores: u32, core: u32) -> Self {
        let number = |name: &Option<_>| {
            let found = libos.currencies.iter().position(|currency| Some(&currency.name) == name.as_ref());
            found.map(|place| place as u16)
        };
        let backing = |currency: &libos_core::scenario::Currency| Backing {
            tickets: currency.tickets,
            of: number(&currency.of),
        };
        let here = |client: &Client| client.copies(cores).filter(|(at, _)| *at == core).count();
        let clients =
            libos.clients.iter().flat_map(|client| core::iter::repeat_n(&client.currency, here(client)));
        let backings: Vec<_> = libos.currencies.iter().map(backing).collect();
        Self::new(&backings, &clients.map(number).collect::<Vec<_>>())
    }

    /// Whether there is only the base.
    pub fn is_empty(&self) -> bool {
        self.backings.is_empty()
    }
}

/// Who takes part in a draw, with which tickets of which currency.
#[derive(Clone, Debug)]
pub struct Bank {
    /// The base, and then the currencies in their order.
    currencies: Vec<Currency>,
    /// By the client's number: its currency's place, and its active tickets.
    clients: Vec<(usize, u64)>,
}

/// A currency's tickets. In its stakes the other currencies come first, in their order, and then the clients in theirs.
#[derive(Clone, Debug, Default)]
struct Currency {
    /// The stake that funds it, and the currency's place; the base has none.
    backing: Option<(u64, usize)>,
    /// The active amount, in the fraction of a ticket.
    active: u64,
    /// The same with compensation.
    stakes: Stakes,
}

/// A holder's part in a currency. A stake is 0 for whoever takes no part.
struct Change {
    /// Its place among the stakes.
    holder: ClientId,
    /// Its active tickets so far.
    before: u64,
    /// From now on.
    active: u64,
    /// With compensation.
    stake: u64,
}

impl Default for Bank {
    /// With nothing but the base.
    fn default() -> Self {
        Self::new(&Currencies::default())
    }
}

impl Bank {
    /// Nobody takes part yet.
    pub fn new(plan: &Currencies) -> Self {
        let place = |of: Option<u16>| of.map_or(0, |of| usize::from(of) + 1);
        let funded = plan.backings.iter().map(|backing| Currency {
            backing: Some((u64::from(backing.tickets) * STAKES_PER_TICKET, place(backing.of))),
            ..Currency::default()
        });
        Self {
            currencies: core::iter::once(Currency::default()).chain(funded).collect(),
            clients: plan.clients.iter().map(|of| (place(*of), 0)).collect(),
        }
    }

    /// A client takes part with so many active tickets, and with such a stake, compensation included. Both in the fraction of a
    /// ticket, of its own currency; both 0: it takes no part.
    pub fn set(&mut self, client: ClientId, active: u64, stake: u64) {
        if self.currencies.len() == 1 {
            return self.currencies[0].stakes.set(client, stake);
        }
        let index = usize::from(client.0);
        if index >= self.clients.len() {
            self.clients.resize(index + 1, (0, 0));
        }
        let holder = ClientId(client.0.saturating_add(self.funded()));
        let (place, held) = &mut self.clients[index];
        let before = core::mem::replace(held, active);
        let place = *place;
        self.change(place, Change { holder, before, active, stake });
    }

    /// The stakes of everybody who takes part, in the base.
    pub fn total(&self) -> u64 {
        self.currencies[0].stakes.total()
    }

    /// Who wins. `draw` is asked for a number below a limit, once in the base and once in each currency that wins there.
    pub fn winner(&self, mut draw: impl FnMut(u64) -> u64) -> Option<ClientId> {
        let mut currency = &self.currencies[0];
        loop {
            let holder = currency.stakes.holder(draw(currency.stakes.total()))?;
            match holder.0.checked_sub(self.funded()) {
                Some(client) => return Some(ClientId(client)),
                None => currency = self.currencies.get(usize::from(holder.0) + 1)?,
            }
        }
    }

    /// What a client's stake is worth in the base; of the same for everybody, [`Bank::total`] is the sum, but for rounding.
    pub fn worth(&self, client: ClientId) -> u64 {
        let place = self.clients.get(usize::from(client.0)).map_or(0, |(place, _)| *place);
        let mut currency = &self.currencies[place];
        let mut worth = currency.stakes.of(ClientId(client.0.saturating_add(self.funded())));
        while let Some((funds, of)) = currency.backing {
            worth = exchanged(worth, funds, currency.active);
            currency = &self.currencies[of];
        }
        worth
    }

    /// Whether there are currencies besides the base.
    pub fn has_currencies(&self) -> bool {
        self.funded() > 0
    }

    /// Currencies besides the base.
    fn funded(&self) -> u16 {
        (self.currencies.len() - 1) as u16
    }

    /// Notes a holder's part, and what that changes in the currencies below: one is active as long as anything in it is.
    fn change(&mut self, mut place: usize, mut change: Change) {
        loop {
            let currency = &mut self.currencies[place];
            let was_active = currency.active > 0;
            currency.active = currency.active - change.before + change.active;
            currency.stakes.set(change.holder, change.stake);
            let Some((funds, of)) = currency.backing else { return };
            let active_if = |active: bool| if active { funds } else { 0 };
            change = Change {
                holder: ClientId(place as u16 - 1),
                before: active_if(was_active),
                active: active_if(currency.active > 0),
                stake: exchanged(currency.stakes.total(), funds, currency.active),
            };
            place = of;
        }
    }
}

/// What a stake in a currency of which so much is active is worth in the one whose stake funds it.
fn exchanged(stake: u64, funds: u64, active: u64) -> u64 {
    (u128::from(stake) * u128::from(funds)).checked_div(u128::from(active)).unwrap_or(0) as u64
}

#[cfg(test)]
mod tests;
