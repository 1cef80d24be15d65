//! Schedulers within schedulers: a client that has clients of its own, and shares what it gets among them by a policy of its own.
//!
//! Not here: how a scheduler makes one of its clients a scheduler (`apps::scheduler`).
#![forbid(unsafe_code)]

use super::{Admission, Client, LibOs, Placement, Policy, Scenario};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

/// What a client that is a scheduler schedules.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Nested {
    /// By which policy.
    pub policy: Policy,
    /// CPU time that it asks for itself, of a policy with budgets; of others, and without, it asks for a share by its tickets.
    pub reserve: Option<Reserve>,
    /// Whom, in the order of the file. All live on its core.
    pub clients: Vec<Client>,
}

/// So much CPU time every period. In microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reserve {
    /// CPU time.
    pub budget_us: u32,
    /// Every so often.
    pub period_us: u32,
}

/// A scheduler of a scenario: a libOS, or a client that schedules others, as if it were a libOS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scheduler {
    /// It and its clients. The name of one that is a client begins with that of its scheduler: `libos/client`.
    pub libos: LibOs,
    /// The core on which it lives, if it is a client; a libOS is on all.
    pub core: Option<u32>,
}

impl Scenario {
    /// Every scheduler: the libOSes in the order of the file, then those among their clients, each before those among its own.
    pub fn schedulers(&self) -> Vec<Scheduler> {
        let mut all: Vec<_> =
            self.libos.iter().map(|libos| Scheduler { libos: libos.clone(), core: None }).collect();
        for libos in &self.libos {
            nested_in(libos, self.cores, &mut all);
        }
        all
    }
}

fn nested_in(libos: &LibOs, cores: u32, all: &mut Vec<Scheduler>) {
    for client in &libos.clients {
        for copy in client.copies(cores) {
            let core = Some(copy.0);
            let Some(libos) = libos.nested(client, copy, cores) else { continue };
            all.push(Scheduler { libos: libos.clone(), core });
            nested_in(&libos, cores, all);
        }
    }
}

impl LibOs {
    /// A copy of a client that is a scheduler, by its core and name, as if it were a libOS; `None` of one that is none.
    pub fn nested(&self, client: &Client, (core, name): (u32, String), cores: u32) -> Option<Self> {
        let nested = client.schedules.as_ref()?;
        let tickets: u32 = self.on_core(core, cores).map(|one| one.tickets).sum();
        let on_core = |one: &Client| Client { placement: Placement::Core(core), ..one.clone() };
        Some(Self {
            name: format!("{}/{name}", self.name),
            program: client.program.clone(),
            policy: nested.policy,
            admission: Admission::Off,
            frames: client.frames,
            // As many of its scheduler's slots as its share comes to.
            want: (self.want * client.tickets / tickets.max(1)).max(1),
            clients: nested.clients.iter().map(on_core).collect(),
            ..Self::default()
        })
    }
}

impl Client {
    /// Page frames of each copy, with its part of its server, and of all that it schedules.
    pub fn total_frames(&self) -> u64 {
        let own = u64::from(self.frames) * if self.server.is_some() { 2 } else { 1 };
        own + self.nested_frames()
    }

    /// Of those, its clients'.
    pub fn nested_frames(&self) -> u64 {
        self.schedules.iter().flat_map(|nested| &nested.clients).map(Self::total_frames).sum()
    }

    /// Environments of each copy: its own, and those of all that it schedules.
    pub fn environments(&self) -> u64 {
        1 + self.schedules.iter().flat_map(|nested| &nested.clients).map(Self::environments).sum::<u64>()
    }

    /// How many schedulers are one in the other here: 0 of a client that is none.
    pub fn depth(&self) -> usize {
        let below = |nested: &Nested| nested.clients.iter().map(Self::depth).max().unwrap_or(0);
        self.schedules.as_ref().map_or(0, |nested| 1 + below(nested))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    fn client(name: &str, tickets: u32) -> Client {
        Client { name: name.into(), program: "spin".into(), tickets, frames: 10, ..Client::default() }
    }

    fn scheduler(name: &str, policy: Policy, clients: Vec<Client>) -> Client {
        let schedules = Some(Nested { policy, reserve: None, clients });
        Client { schedules, program: policy.word().into(), ..client(name, 3) }
    }

    /// Lottery in stride in stride, three on each of two cores.
    fn libos() -> LibOs {
        let inner = scheduler("inner", Policy::Lottery, vec![client("a", 1), client("b", 2)]);
        let middle = scheduler("middle", Policy::Stride, vec![inner, client("c", 1)]);
        let outer = Client { placement: Placement::EveryCore, ..middle };
        let beside = Client { placement: Placement::EveryCore, ..client("d", 1) };
        let (name, policy) = ("one".into(), Policy::Stride);
        LibOs { name, policy, want: 40, frames: 100, clients: vec![outer, beside], ..LibOs::default() }
    }

    #[test]
    fn schedulers_are_the_liboses_and_all_that_are_clients_under_their_paths() {
        let mut scenario = super::super::tests::scenario();
        (scenario.cores, scenario.libos) = (2, vec![libos()]);
        let all = scenario.schedulers();
        let names: Vec<_> = all.iter().map(|one| (one.libos.name.as_str(), one.core)).collect();
        assert_eq!(
            names,
            [
                ("one", None),
                ("one/middle/0", Some(0)),
                ("one/middle/0/inner", Some(0)),
                ("one/middle/1", Some(1)),
                ("one/middle/1/inner", Some(1))
            ]
        );
        let inner = &all[4].libos;
        assert_eq!((inner.policy, inner.program.as_str(), inner.want), (Policy::Lottery, "lottery", 22));
        assert!(inner.clients.iter().all(|client| client.placement == Placement::Core(1)));
        assert_eq!(scenario.environments(), 1 + 1 + 1 + 2 * (1 + 1 + 1 + 2 + 1));
    }

    #[test]
    fn frames_environments_and_depth_are_those_of_all_that_is_inside() {
        let libos = libos();
        assert_eq!(libos.clients.iter().map(Client::depth).collect::<Vec<_>>(), [2, 0]);
        assert_eq!((libos.clients[0].total_frames(), libos.clients[0].environments()), (50, 5));
        assert_eq!(libos.total_frames(2), 100 + 2 * 50 + 2 * 10);
    }
}
