//! Who took part in a run, and by which clock: what a trace does not say itself, but whoever reads it must know.
//!
//! `results.json` keeps it beside the trace, so that both together are the whole run. Not here: what happened (`story`).

use crate::outcome::Outcome;
use crate::recording::Client;
use libos_core::jobs::{self, JobSource, Spec};
use libos_core::report::Start;
use libos_core::scenario::{Admission, LibOs, Policy, Scenario};
use libos_core::sched::Tick;
use libos_stride::currency::Currencies;
use serde::{Deserialize, Serialize};

/// A run without what happened in it. Times in ticks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cast {
    /// The scenario's name.
    pub scenario: String,
    /// The run's seed.
    pub seed: u64,
    /// Cores.
    pub cores: u32,
    /// Ticks per second.
    pub frequency: u64,
    /// Length of a slot.
    pub quantum: u64,
    /// Slots of each core in a revolution.
    pub slots: u64,
    /// When slot 0 began.
    pub epoch: u64,
    /// Every client environment, in the scenario's order.
    pub clients: Vec<Member>,
    /// Each scheduling libOS on each core.
    pub schedulers: Vec<Part>,
    /// Indices and names of environments, in the order in which they were made.
    pub environments: Vec<(u64, String)>,
}

/// A client environment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// Who.
    #[serde(flatten)]
    pub client: Client,
    /// Its jobs, if it has any.
    pub jobs: Option<Jobs>,
}

/// The jobs that a client was to have.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Jobs {
    /// When they come and what they need.
    pub spec: Spec,
    /// The seed of their chance.
    pub seed: u64,
    /// They begin when those of the others do, but not before this time.
    pub not_before: u64,
}

/// A libOS's activation on one core.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// The libOS.
    pub libos: String,
    /// The core.
    pub core: u32,
    /// Its policy.
    pub policy: Policy,
    /// Whom it takes on.
    #[serde(default = "crate::recording::everybody")]
    pub admission: Admission,
    /// In what its clients hold their tickets.
    pub currencies: Currencies,
    /// CPU time that it used itself, its clients' not included.
    pub own: u64,
}

impl Cast {
    /// Those of a scenario, as the guest reported them. `None` if it never said how fast its clock is.
    pub fn of(scenario: &Scenario, outcome: &Outcome) -> Option<Self> {
        let start = outcome.start.as_ref()?;
        Some(Self {
            scenario: scenario.name.clone(),
            seed: scenario.seed,
            cores: scenario.cores,
            frequency: start.frequency,
            quantum: start.quantum,
            slots: start.slots,
            epoch: start.epoch,
            clients: members(scenario, start),
            schedulers: parts(scenario, outcome),
            environments: outcome.envs.clone(),
        })
    }
}

impl Jobs {
    /// They, one after the other, if the others' begin at this time.
    pub fn from(&self, begin: u64) -> JobSource {
        JobSource::new(self.spec.clone(), Tick(begin.max(self.not_before)), self.seed)
    }
}

fn members(scenario: &Scenario, start: &Start) -> Vec<Member> {
    let revolution = Tick(start.quantum * start.slots);
    let schedulers = scenario.schedulers();
    let declared = schedulers.iter().flat_map(|one| &one.libos.clients);
    let copies =
        declared.flat_map(|client| client.copies(scenario.cores).map(move |(core, _)| (core, client)));
    let jobs = copies.map(|(core, client)| {
        let seed = jobs::seed(scenario.seed, &client.name, core);
        let not_before = jobs::not_before(client, (Tick(start.epoch), revolution), start.frequency).0;
        client.jobs.map(|jobs| Jobs {
            spec: Spec::new(&jobs, &scenario.traces, start.frequency),
            seed,
            not_before,
        })
    });
    let clients = Client::all(scenario, start.frequency).into_iter();
    clients.zip(jobs).map(|(client, jobs)| Member { client, jobs }).collect()
}

fn parts(scenario: &Scenario, outcome: &Outcome) -> Vec<Part> {
    let mut all = Vec::new();
    let schedulers = scenario.schedulers();
    for one in schedulers.iter().filter(|one| one.libos.policy != Policy::None) {
        let libos = &one.libos;
        for core in (0..scenario.cores).filter(|core| one.core.is_none_or(|on| on == *core)) {
            let own = outcome.ledger.iter().find(|ledger| ledger.core == u64::from(core));
            let own = own.and_then(|ledger| ledger.environments.iter().find(|(name, _)| *name == libos.name));
            let own = own.map_or(0, |(_, ticks)| *ticks);
            let LibOs { policy, admission, .. } = *libos;
            let currencies = Currencies::of_core(libos, scenario.cores, core);
            all.push(Part { libos: libos.name.clone(), core, policy, admission, currencies, own });
        }
    }
    all
}
