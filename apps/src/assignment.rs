//! What the broker tells a scheduler libOS when it creates it, and how the two speak afterwards.
#![forbid(unsafe_code)]

use alloc::vec::Vec;
use libos_core::public::view;
use libos_core::report::Entrusted;
use libos_core::scenario::{LibOs, Policy, Trace};
use libos_core::{page, report};
use serde::{Deserialize, Serialize};
use tranche_abi::{Core, Tick};

/// Event bit: write your reports, then stop.
pub const EVENT_REPORT: u64 = 1 << 8;

/// Event bit: write to the card what you have for it, and go on.
pub const EVENT_STORE: u64 = 1 << 9;

/// Event bit: begin to fail, as the scenario says.
pub const EVENT_FAIL: u64 = 1 << 10;

/// Event bit: fail no longer.
pub const EVENT_MEND: u64 = 1 << 11;

/// Event bit: let the other policy that the scenario names take over.
pub const EVENT_SWAP: u64 = 1 << 12;

/// A tracer's part of a card, for one core: its start arguments are one for each, or none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CardPart {
    /// A capability to an extent that is just this part: body and mac.
    pub extent: [u64; 2],
    /// The run that is written.
    pub run: u64,
    /// The stream.
    pub stream: u32,
    /// Pages of the part.
    pub pages: u32,
}

/// What an heir is left.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inheritance {
    /// The policy that the clients had.
    pub from: Policy,
    /// When its scheduler was found dead.
    pub found: u64,
    /// The clients, on all cores.
    pub clients: Vec<Entrusted>,
}

/// A scheduler libOS's start arguments.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Assignment {
    /// Itself and its clients.
    pub libos: LibOs,
    /// Lists of its clients' jobs' releases, by number.
    pub traces: Vec<Trace>,
    /// Cores of the machine.
    pub cores: u32,
    /// The core that its only activation serves, if it is a client itself; `None`: it has one for each.
    pub core: Option<u32>,
    /// Slots of each core's vector.
    pub slots: u32,
    /// The seed of all chance in the run.
    pub seed: u64,
    /// How long the run lasts, in milliseconds.
    pub duration_ms: u32,
    /// Whose clients it takes over; `None`: it makes its own.
    pub inherits: Option<Inheritance>,
    /// Environments that the scenario makes, the broker included.
    pub environments: u64,
}

impl Assignment {
    /// The core that this activation serves.
    pub fn core(&self) -> u64 {
        self.core.map_or_else(page::index, u64::from)
    }

    /// How many activations serve a core each.
    pub fn activations(&self) -> u32 {
        if self.core.is_some() { 1 } else { self.cores }
    }

    /// Whether its clients run on any of several cores.
    pub fn runs_anywhere(&self) -> bool {
        self.libos.policy.is_global() && self.activations() > 1
    }
}

/// The record that every libOS owes its creator, of one that has no clients in the scenario's sense.
pub fn without_clients(name: &str, arrived: Tick) -> report::LibOs {
    let charged = |core| view().ledger(Core(core)).map_or(0, |ledger| ledger.env(page::env()).0);
    report::LibOs {
        name: name.into(),
        policy: Policy::None,
        arrived: arrived.0,
        left: page::now().0,
        decisions: 0,
        clients_ran: 0,
        own: (0..view().cores()).map(charged).sum(),
    }
}
