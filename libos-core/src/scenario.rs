//! What a run is made of, as the guest reads it from the file [`FILE`] of the boot archive: who competes, with which
//! clients, for which slots. Not here: the TOML that people write (the host's `tools` read, check and convert it), nor
//! what a program does with its part.
//!
//! Invariant: what [`Scenario::decode`] returns has passed the host's checks if it came from the host; a guest still
//! refuses what it cannot do, because an archive can be made by anyone.
#![forbid(unsafe_code)]

mod currency;
mod failure;
mod jobs;
mod nested;
mod policy;
mod sharing;
mod trace;

pub use currency::{Currency, Inflation};
pub use failure::{End, Failing, Failure};
pub use jobs::{Arrivals, Jobs};
pub use nested::{Nested, Reserve, Scheduler};
pub use policy::{Policy, Promise};
pub use sharing::{Donation, Locking};
pub use trace::{Release, Trace};

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

/// The scenario's file name in the boot archive.
pub const FILE: &str = "scenario";
/// The program that shares the machine out.
pub const BROKER: &str = "broker";
/// The first byte of the file: grows with every change of these types.
pub const VERSION: u8 = 8;
/// Most tickets of a client or a currency.
pub const MOST_TICKETS: u32 = 1_000_000;

/// A whole run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scenario {
    /// What it is called in the results.
    pub name: String,
    /// How long it runs from the first revolution on, in milliseconds of the machine's own time.
    pub duration_ms: u32,
    /// Cores of the machine, 1 to 8.
    pub cores: u32,
    /// Length of a slot, in microseconds.
    pub quantum_us: u32,
    /// Slots in each core's slice vector.
    pub slots: u32,
    /// How long an activation may keep the CPU after its end-of-slice upcall, in microseconds.
    pub grace_us: u32,
    /// Seed of all chance in the run.
    pub seed: u64,
    /// Whether what happens is recorded; then the broker keeps two slots of each core at least, and lends one to the tracer.
    pub trace: bool,
    /// How the machine is shared out.
    pub broker: Broker,
    /// Who competes, in the order of the file; this order breaks ties.
    pub libos: Vec<LibOs>,
    /// Who misbehaves meanwhile.
    pub hostile: Vec<Hostile>,
    /// Lists of releases, by the numbers that [`Arrivals::Trace`] has.
    pub traces: Vec<Trace>,
}

/// How the first environment shares the machine out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Broker {
    /// The rule.
    pub mode: Mode,
    /// Slots of every core that the broker keeps for itself, spread evenly over the revolution.
    pub slots: u32,
    /// How long a libOS has to give back a slot that it was asked for before it is taken by force, in milliseconds.
    pub patience_ms: u32,
}

/// The broker's rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// Every libOS gets the `want` slots of each core that it names, from arriving to leaving.
    Static,
    /// Beyond everybody's `minimum`, the slots of each revolution go to the highest bids.
    Market,
    /// It is not: there is no broker. The program of the only libOS is the first environment, and everything is its own.
    None,
}

/// A libOS: a scheduler program with its clients.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LibOs {
    /// Its name, unique in the scenario.
    pub name: String,
    /// Its program's file name in the boot archive.
    pub program: String,
    /// By which policy the program schedules its clients.
    pub policy: Policy,
    /// Whom it takes on, if its policy is for deadlines.
    pub admission: Admission,
    /// Page frames for the libOS itself, besides those of its clients.
    pub frames: u32,
    /// Credits that it is given each revolution to bid with.
    pub income: u32,
    /// Slots of each core that it has use for; at least `minimum`.
    pub want: u32,
    /// Slots of each core that it is given for as long as it is there, whatever others bid.
    pub minimum: u32,
    /// Where its slots are.
    pub spacing: Spacing,
    /// When it arrives, in milliseconds after the start.
    pub arrives_ms: u32,
    /// When it leaves, in milliseconds after the start; `None`: it stays to the end.
    pub leaves_ms: Option<u32>,
    /// Calls that a fuzzer is to make at least; 0: it is none.
    pub calls: u32,
    /// Whether its clients lend to whom they wait for what they are scheduled by.
    pub donation: Donation,
    /// How and when its scheduler fails on purpose; `None`: it does not.
    pub fails: Option<Failing>,
    /// In what its clients hold tickets, besides the base.
    pub currencies: Vec<Currency>,
    /// The policy that takes over under its running clients, and when; `None`: none does.
    pub swap: Option<Swap>,
    /// The policy of the scheduler that takes its clients over when its own is dead; `None`: they end with it.
    pub heir: Option<Policy>,
    /// Whom it schedules, in the order of the file; [`Client::copies`] makes environments of them.
    pub clients: Vec<Client>,
}

/// A hot swap: another policy takes over under running clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Swap {
    /// Which.
    pub to: Policy,
    /// In milliseconds after the run's start; the broker gives word at the next revolution.
    pub at_ms: u32,
}

/// Where in a revolution a libOS's slots are, as far as they are free.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Spacing {
    /// Far apart from each other: its clients never wait for long.
    #[default]
    Equidistant,
    /// One after the other: its clients run for long, and their registers, caches and scheduler's turns change less often.
    Contiguous,
}

/// Which clients with deadlines a libOS takes on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Admission {
    /// Those whose deadlines it can guarantee.
    #[default]
    Required,
    /// All of them, without any guarantee.
    Off,
}

/// A client of a libOS.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Client {
    /// Its name, unique in its libOS.
    pub name: String,
    /// Its program's file name in the boot archive: a workload, or `spin`, which does nothing but use CPU time.
    pub program: String,
    /// Tickets, at least 1: its share under a proportional policy.
    pub tickets: u32,
    /// The currency of these tickets; `None`: the base.
    pub currency: Option<String>,
    /// Whether it may change its tickets while it runs.
    pub inflation: Inflation,
    /// When it joins its scheduler's policy, in milliseconds after the start; 0: as soon as it is made.
    pub joins_ms: u32,
    /// When it leaves that policy, in milliseconds after the start; `None`: it stays as long as its libOS.
    pub leaves_ms: Option<u32>,
    /// Jobs to do; `None`: it computes without end.
    pub jobs: Option<Jobs>,
    /// Where not all can be guaranteed their deadlines: the higher, the longer it is kept.
    pub criticality: u8,
    /// The lock that its jobs need, if any.
    pub locking: Option<Locking>,
    /// The server that does its jobs' work, if not it itself.
    pub server: Option<String>,
    /// Whom it schedules itself; `None`: it is no scheduler.
    pub schedules: Option<Nested>,
    /// Where it runs.
    pub placement: Placement,
    /// Page frames of each copy, besides those of whom it schedules; of its part of a server, the same again.
    pub frames: u32,
}

/// On which core's scheduler a client lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Placement {
    /// On this core.
    Core(u32),
    /// One environment of its own on every core.
    EveryCore,
    /// On any core, one at a time, under a policy that the cores share. The first core's activation makes it.
    Anywhere,
}

/// An environment that breaks every rule, with slots of its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hostile {
    /// Its name, unique among libOSes and hostile environments.
    pub name: String,
    /// Its program's file name in the boot archive.
    pub program: String,
    /// What it does, each in turn.
    pub behaviour: Vec<Behaviour>,
    /// Page frames that it is given.
    pub frames: u32,
    /// Slots of each core that it is given at the start, spread evenly over the revolution.
    pub slots: u32,
    /// When it is asked for slots back, each time in milliseconds after the start, in ascending order.
    pub asked_ms: Vec<u32>,
    /// Slots of each core for which it is asked each time.
    pub asked_slots: u32,
}

/// A way to misbehave.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Behaviour {
    /// Never gives the CPU up.
    Loop,
    /// Passes and uses addresses that are not its own.
    BadPointers,
    /// Makes calls that do not exist.
    UnknownCalls,
    /// Makes up capabilities.
    ForgedCapabilities,
    /// Faults inside its own fault handler.
    HandlerFaults,
    /// Answers no demand for resources.
    IgnoreRevocation,
    /// Stays in a critical section past the end of its slice.
    GraceAbuse,
}

/// Why bytes are not a scenario.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Malformed {
    /// The first byte is not [`VERSION`]: host and guest were built from different sources.
    Version,
    /// The rest does not decode: the archive is damaged.
    Content,
}

impl Scenario {
    /// The contents of the archive's file.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = alloc::vec![VERSION];
        // Writing to memory that grows fails for no value of these types.
        bytes.extend(postcard::to_allocvec(self).unwrap_or_default());
        bytes
    }

    /// The scenario that the archive's file holds.
    pub fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        match bytes.split_first() {
            Some((&VERSION, content)) => postcard::from_bytes(content).map_err(|_| Malformed::Content),
            _ => Err(Malformed::Version),
        }
    }

    /// The program of the first environment.
    pub fn first(&self) -> &str {
        match (self.broker.mode, &self.libos[..]) {
            (Mode::None, [only, ..]) => &only.program,
            _ => BROKER,
        }
    }

    /// Environments that it makes, the first one included.
    pub fn environments(&self) -> u64 {
        let copies = |client: &Client| client.copies(self.cores).count() as u64 * client.environments();
        let servers = |libos: &LibOs| {
            (0..self.cores).map(|core| libos.servers(core, self.cores).len() as u64).sum::<u64>()
        };
        let libos = |libos: &LibOs| 1 + libos.clients.iter().map(copies).sum::<u64>() + servers(libos);
        1 + self.hostile.len() as u64 + self.libos.iter().map(libos).sum::<u64>()
    }

    /// Whole revolutions in the run.
    pub fn revolutions(&self) -> u64 {
        let revolution_us = u64::from(self.quantum_us) * u64::from(self.slots);
        (u64::from(self.duration_ms) * 1000).checked_div(revolution_us).unwrap_or(0)
    }
}

/// What a file that says nothing of it has, and no name.
impl Default for LibOs {
    fn default() -> Self {
        Self {
            name: String::new(),
            program: String::new(),
            policy: Policy::None,
            admission: Admission::default(),
            frames: 2048,
            income: 0,
            want: 1,
            minimum: 0,
            spacing: Spacing::default(),
            arrives_ms: 0,
            leaves_ms: None,
            calls: 0,
            donation: Donation::default(),
            fails: None,
            currencies: Vec::new(),
            swap: None,
            heir: None,
            clients: Vec::new(),
        }
    }
}

/// What a file that says nothing of it has, and no name.
impl Default for Client {
    fn default() -> Self {
        Self {
            name: String::new(),
            program: String::new(),
            tickets: 1,
            currency: None,
            inflation: Inflation::default(),
            joins_ms: 0,
            leaves_ms: None,
            jobs: None,
            criticality: 0,
            locking: None,
            server: None,
            schedules: None,
            placement: Placement::Core(0),
            frames: 384,
        }
    }
}

impl LibOs {
    /// Page frames for the libOS and all its clients' environments on a machine of so many cores.
    pub fn total_frames(&self, cores: u32) -> u64 {
        let clients = self.clients.iter().map(|c| c.total_frames() * c.copies(cores).count() as u64);
        u64::from(self.frames) + clients.sum::<u64>()
    }

    /// Whether all its clients are there from its beginning to its end, with the same tickets.
    pub fn is_steady(&self) -> bool {
        let stays = |client: &Client| client.joins_ms == 0 && client.leaves_ms.is_none();
        self.clients.iter().all(|client| stays(client) && client.inflation == Inflation::None)
    }
}

impl Client {
    /// The environments that the client stands for: the core whose activation makes it, and its name. A client on every core is
    /// called `name/0`, `name/1`, …
    pub fn copies(&self, cores: u32) -> impl Iterator<Item = (u32, String)> + '_ {
        let range = match self.placement {
            Placement::Core(core) => core..core + 1,
            Placement::EveryCore => 0..cores,
            Placement::Anywhere => 0..1,
        };
        range.map(|core| match self.placement {
            Placement::Core(_) | Placement::Anywhere => (core, self.name.clone()),
            Placement::EveryCore => (core, format!("{}/{core}", self.name)),
        })
    }
}

#[cfg(test)]
mod tests;
