//! What clients of a libOS have together: a lock, or a server that does their work. Not here: the lock itself
//! ([`crate::lock`]).
#![forbid(unsafe_code)]

use super::{Client, LibOs};
use alloc::string::String;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

/// A lock that a client needs for each of its jobs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Locking {
    /// Its name: clients of a libOS that name the same have the same.
    pub lock: String,
    /// For how much of each job's CPU time, from the job's beginning, it is held, in microseconds.
    pub held_us: u32,
}

/// Whether a client that waits for another lends it what it is scheduled by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Donation {
    /// If the policy knows of loans.
    #[default]
    Possible,
    /// Always: the policy must know of loans.
    On,
    /// Never.
    Off,
}

impl LibOs {
    /// Whether clients that wait for another lend it what they are scheduled by.
    pub fn donates(&self) -> bool {
        self.donation != Donation::Off && self.policy.lends()
    }

    /// The locks of a core, each with its clients by their place among the core's, in the order of the file.
    pub fn locks(&self, core: u32, cores: u32) -> Vec<(&str, Vec<usize>)> {
        self.groups(core, cores, |client| Some(client.locking.as_ref()?.lock.as_str()))
    }

    /// The servers of a core, each with its clients, in the same way.
    pub fn servers(&self, core: u32, cores: u32) -> Vec<(&str, Vec<usize>)> {
        self.groups(core, cores, |client| client.server.as_deref())
    }

    /// The clients of a core, in the order of the file, a replicated one once.
    pub fn on_core(&self, core: u32, cores: u32) -> impl Iterator<Item = &Client> {
        let here = move |client: &&Client| client.copies(cores).any(|(on, _)| on == core);
        self.clients.iter().filter(here)
    }

    fn groups<'a>(
        &'a self,
        core: u32,
        cores: u32,
        name: impl Fn(&'a Client) -> Option<&'a str>,
    ) -> Vec<(&'a str, Vec<usize>)> {
        let mut groups: Vec<(&str, Vec<usize>)> = Vec::new();
        for (place, client) in self.on_core(core, cores).enumerate() {
            let Some(name) = name(client) else { continue };
            match groups.iter_mut().find(|(known, _)| *known == name) {
                Some((_, members)) => members.push(place),
                None => groups.push((name, alloc::vec![place])),
            }
        }
        groups
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Placement, Policy};
    use super::*;

    #[test]
    fn clients_that_name_the_same_on_a_core_have_it_together() {
        let client = |name: &str, core, lock: Option<&str>| Client {
            name: name.into(),
            placement: Placement::Core(core),
            locking: lock.map(|lock| Locking { lock: lock.into(), held_us: 5 }),
            server: (core == 0).then(|| "s".into()),
            ..Client::default()
        };
        let clients = alloc::vec![
            client("a", 0, Some("m")),
            client("b", 1, Some("m")),
            client("c", 0, None),
            client("d", 0, Some("n")),
            client("e", 0, Some("m"))
        ];
        let libos = LibOs { clients, ..LibOs::default() };
        assert_eq!(libos.locks(0, 2), [("m", alloc::vec![0, 3]), ("n", alloc::vec![2])]);
        assert_eq!(
            (libos.locks(1, 2), libos.servers(1, 2)),
            (alloc::vec![("m", alloc::vec![0])], Vec::new())
        );
        assert_eq!(libos.servers(0, 2), [("s", alloc::vec![0, 1, 2, 3])]);
    }

    #[test]
    fn a_policy_that_knows_of_no_loans_has_no_donation() {
        let donates = |policy, donation| LibOs { policy, donation, ..LibOs::default() }.donates();
        assert!(donates(Policy::Stride, Donation::Possible) && donates(Policy::Lottery, Donation::On));
        assert!(!donates(Policy::Stride, Donation::Off) && !donates(Policy::RoundRobin, Donation::Possible));
    }
}
