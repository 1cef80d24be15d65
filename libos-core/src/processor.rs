//! The core that a scheduler's activation runs on, for the dispatch loop: directed yields, waits and the ready set.
//!
//! Not here: the loop (`sched::dispatch`), the clients' environments (`spawn`).
#![forbid(unsafe_code)]

use crate::calls::{self, Events};
use crate::page;
use crate::sched::ClientId;
use crate::sched::dispatch::{Processor, ReadySet};
use alloc::vec::Vec;
use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering::Relaxed;
use tranche_abi::{Error, Outcome, Reason, Target, Tick};

/// The event bit by which activations of one scheduler wake each other.
pub const EVENT_SIBLING: u64 = 1;

/// The running activation as a processor. Client `n` is `clients[n]`.
#[derive(Clone, Debug, Default)]
pub struct Own {
    clients: Vec<Option<Target>>,
    /// Where clients say for whom they wait, of those that are asked.
    waits: Vec<Option<&'static AtomicU64>>,
    siblings: Vec<Target>,
    events: u64,
    /// Who had the CPU last.
    last: Option<ClientId>,
    /// When the loop's housekeeping has something to do although nobody is ready; `None`: never.
    alarm: Option<Tick>,
}

impl Own {
    /// A processor without clients, of a scheduler whose other activations are `siblings`.
    pub fn new(siblings: Vec<Target>) -> Self {
        Self { siblings, ..Self::default() }
    }

    /// From now on the client is this activation.
    pub fn set_client(&mut self, client: ClientId, target: Option<Target>) {
        let place = usize::from(client.0);
        if place >= self.clients.len() {
            self.clients.resize(place + 1, None);
        }
        self.clients[place] = target;
    }

    /// Whose turn was over since the last call.
    pub fn take_last(&mut self) -> Option<ClientId> {
        self.last.take()
    }

    /// From now on no wait lasts longer than until then.
    pub fn set_alarm(&mut self, alarm: Option<Tick>) {
        self.alarm = alarm;
    }

    /// From now on the client is asked for whom it waits, where it waits: [`WorkStats::waits_for`](crate::stats::WorkStats::waits_for).
    pub fn ask(&mut self, client: ClientId, waits_for: &'static AtomicU64) {
        let place = usize::from(client.0);
        if place >= self.waits.len() {
            self.waits.resize(place + 1, None);
        }
        self.waits[place] = Some(waits_for);
    }

    /// The event bits that arrived since the last call, but those of siblings: the libOS's own business, which it takes
    /// in the loop's housekeeping. The core does not sleep before it did.
    pub fn take_events(&mut self) -> u64 {
        self.collect_events();
        core::mem::take(&mut self.events)
    }

    /// Takes the posted events, because the kernel lets nobody wait while one is posted.
    fn collect_events(&mut self) {
        self.events |= page::take_events() & !EVENT_SIBLING;
    }
}

impl Processor for Own {
    fn now(&mut self) -> Tick {
        page::now()
    }

    fn yield_to(&mut self, client: ClientId, until: Tick) -> Outcome {
        self.last = Some(client);
        let target = self.clients.get(usize::from(client.0)).copied().flatten();
        let outcome =
            target.ok_or(Error::Absent).and_then(|target| calls::yield_to(target, until, Events::Return));
        // A handle that is refused is as dead as its environment.
        let gone = || Outcome { reason: Reason::Gone, ran: Tick(0), detail: 0, now: page::now() };
        outcome.unwrap_or_else(|_| gone())
    }

    fn waits_for(&mut self, client: ClientId) -> Option<ClientId> {
        let said = self.waits.get(usize::from(client.0)).copied().flatten()?.load(Relaxed);
        // Whatever it is, it is a number of somebody or of nobody.
        Some(ClientId(u16::try_from(said.checked_sub(1)?).ok()?))
    }

    fn wait(&mut self, until: Tick) -> Tick {
        // Events are not taken here: one that a sibling posted after the policy found nobody ready must end the wait.
        if self.events != 0 {
            return page::now();
        }
        let until = self.alarm.map_or(until, |alarm| alarm.min(until));
        calls::wait(until).unwrap_or_else(|_| page::now())
    }

    fn take_ready(&mut self) -> ReadySet {
        self.collect_events();
        ReadySet(page::take_ready())
    }

    fn rouse_siblings(&mut self) {
        for sibling in &self.siblings {
            // Refused only to a sibling that is no more.
            let _ = calls::notify(*sibling, EVENT_SIBLING);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_that_is_not_there_is_gone() {
        let mut own = Own::new(Vec::new());
        own.set_client(ClientId(3), Some(calls::own_target(1)));
        for client in [0, 3, 9] {
            assert_eq!(own.yield_to(ClientId(client), Tick(5)).reason, Reason::Gone);
        }
    }

    #[test]
    fn for_whom_a_client_waits_is_asked_of_those_that_say_so_and_whatever_they_say_is_a_number() {
        static SAID: AtomicU64 = AtomicU64::new(0);
        let mut own = Own::default();
        own.ask(ClientId(2), &SAID);
        let mut heard = |said| {
            SAID.store(said, Relaxed);
            own.waits_for(ClientId(2)).map(|client| client.0)
        };
        assert_eq!(
            [0, 1, 4, 65_536, 65_537, u64::MAX].map(&mut heard),
            [None, Some(0), Some(3), Some(65_535), None, None]
        );
        assert_eq!([0, 1, 3].map(|client| own.waits_for(ClientId(client))), [None; 3]);
    }

    #[test]
    fn ready_clients_and_events_are_taken_once() {
        let page = page::own();
        page.ready[1].store(0b100, Relaxed);
        page.events.store(EVENT_SIBLING | 8, Relaxed);
        let mut own = Own::new(Vec::new());
        assert_eq!(own.take_ready().collect::<Vec<_>>(), [ClientId(66)]);
        assert!(own.take_ready().is_empty());
        assert_eq!(own.take_events(), 8);
        assert_eq!(own.take_events(), 0);
    }
}
