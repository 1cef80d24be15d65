//! A run as a recording: who took part and what happened, the same whether the kernel's trace told it or the simulator.
//!
//! Everything that looks at runs (replay, comparison, exports, plots) starts here. All times are in ticks, absolute. Not
//! here: how a recording is made (`trace`, `sim`), its file (`file`), and what is computed from it (`metrics`).
//!
//! Invariant: the entries of each list are in the order of time; indices are those of [`Recording::clients`].

mod file;

use libos_core::jobs::{Arrivals, Spec};
use libos_core::scenario::{Admission, Placement, Policy, Scenario};
use libos_core::sched::ClientId;
use libos_core::sched::steps::Step;
use libos_stride::currency::Currencies;
use serde::{Deserialize, Serialize};

/// Who says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Source {
    /// The kernel and the programs on it, by their trace.
    Kernel,
    /// The simulator.
    Simulator,
    /// Linux, by its trace and its processes' own words, under this of its schedulers; nobody there has slots.
    Linux(LinuxPolicy),
}

/// How Linux schedules the clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum LinuxPolicy {
    /// By weights, in proportion to their tickets: EEVDF, in kernels before 6.6 CFS.
    Eevdf,
    /// `SCHED_FIFO`: fixed priorities, the shorter the period the higher.
    Fifo,
    /// `SCHED_DEADLINE`: earliest deadline first, each within its budget.
    Deadline,
}

impl LinuxPolicy {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Eevdf, Self::Fifo, Self::Deadline];

    /// Its word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Eevdf => "linux-eevdf",
            Self::Fifo => "linux-fifo",
            Self::Deadline => "linux-deadline",
        }
    }
}

/// A whole run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recording {
    /// Who says so.
    pub source: Source,
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
    /// When the run ended.
    pub end: u64,
    /// Every client environment, in the scenario's order.
    pub clients: Vec<Client>,
    /// What each scheduler was told and decided: one for each libOS on each core; after these, in the order of time, one for each
    /// policy that took over from another, with the same clients.
    pub schedulers: Vec<Scheduler>,
    /// Slots that began, on all cores.
    pub slices: Vec<Slice>,
    /// Turns of clients, on all cores.
    pub turns: Vec<Turn>,
    /// Jobs, in the order in which they ended; those that had not ended come last.
    pub jobs: Vec<Job>,
    /// Records that are missing, because a ring was overwritten before it was read.
    pub lost: u64,
    /// What recording cost; `None` where nothing was disturbed by it.
    pub cost: Option<RecordingCost>,
}

/// What recording cost a run, in millionths of all cores' time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordingCost {
    /// What it cost at most.
    pub most: u64,
    /// What it may cost.
    pub budget: u64,
}

impl Recording {
    /// Ticks in microseconds.
    pub fn us(&self, ticks: u64) -> f64 {
        ticks as f64 * 1e6 / self.frequency as f64
    }

    /// A scheduler that was not one policy from the beginning to the end, if there is one.
    pub fn swapped(&self) -> Option<&Scheduler> {
        let before = |place: usize, one: &Scheduler| {
            self.schedulers[..place].iter().any(|other| other.libos == one.libos && other.core == one.core)
        };
        self.schedulers.iter().enumerate().find(|(place, one)| before(*place, one)).map(|(_, one)| one)
    }

    /// The turns of a client, an index of [`Recording::clients`].
    pub fn turns_of(&self, client: usize) -> impl Iterator<Item = &Turn> {
        self.turns.iter().filter(move |turn| turn.client == client)
    }

    /// The activations that share the policy of [`Recording::schedulers`]`[index]`, itself included: their indices. None, if it is
    /// not the first of them.
    pub fn sharing(&self, index: usize) -> Vec<usize> {
        let here = &self.schedulers[index];
        if !here.policy.is_global() {
            return vec![index];
        }
        let same = |other: &usize| self.schedulers[*other].libos == here.libos;
        let all: Vec<usize> = (0..self.schedulers.len()).filter(same).collect();
        if all.first() == Some(&index) { all } else { Vec::new() }
    }

    /// Until when a job could have been done: the end of its client's service.
    pub fn horizon(&self, job: &Job) -> u64 {
        self.clients.get(job.client).map_or(self.end, |client| client.until.min(self.end))
    }

    /// The tickets of a scheduler's client, in the policy's numbering; 1 of one that is not listed.
    pub fn tickets(&self, scheduler: &Scheduler, client: ClientId) -> u32 {
        let index = scheduler.clients.get(usize::from(client.0));
        index.and_then(|index| self.clients.get(*index)).map_or(1, |client| client.tickets)
    }
}

/// A client environment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Client {
    /// Its libOS.
    pub libos: String,
    /// Its name, unique in its libOS: `name/core` if it is one of several copies.
    pub name: String,
    /// Its core; `None` of one that runs on any of several.
    pub core: Option<u32>,
    /// Its tickets.
    pub tickets: u32,
    /// Relative deadline of its jobs; `None` if they have none, or it has no jobs.
    pub deadline: Option<u64>,
    /// Time between its jobs' releases, if that is fixed.
    pub period: Option<u64>,
    /// From when on its scheduler gave it no more time, or the run was over: what comes due later is nobody's miss.
    pub until: u64,
}

impl Client {
    /// Every client environment, in the scenario's order, on every core where it has a copy, and after them those of schedulers that
    /// are clients themselves; `frequency` in ticks per second. None of them was served yet.
    pub fn all(scenario: &Scenario, frequency: u64) -> Vec<Self> {
        let schedulers = scenario.schedulers();
        let clients = schedulers
            .iter()
            .flat_map(|one| one.libos.clients.iter().map(move |client| (&one.libos, client)));
        let copies = clients.flat_map(|(libos, client)| {
            let spec = client.jobs.map(|jobs| Spec::new(&jobs, &scenario.traces, frequency));
            let period = spec.as_ref().and_then(|spec| match spec.arrivals {
                Arrivals::Periodic { period, .. } => Some(period),
                Arrivals::Bursty { .. } | Arrivals::Interactive { .. } | Arrivals::Trace { .. } => None,
            });
            let (tickets, deadline) = (client.tickets, spec.and_then(|spec| spec.deadline));
            let libos = &libos.name;
            client.copies(scenario.cores).map(move |(core, name)| Self {
                libos: libos.clone(),
                name,
                core: (client.placement != Placement::Anywhere || scenario.cores == 1).then_some(core),
                tickets,
                deadline,
                period,
                until: 0,
            })
        });
        copies.collect()
    }
}

impl Client {
    /// Where it runs, in words.
    pub fn place(&self) -> String {
        self.core.map_or("on any core".into(), |core| format!("on core {core}"))
    }
}

/// A libOS's activation on one core.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scheduler {
    /// The libOS.
    pub libos: String,
    /// The core.
    pub core: u32,
    /// Its policy; none of ours on Linux.
    pub policy: Policy,
    /// Whom it took on: where servers are guaranteed, their policy goes by other rules than where they are not.
    #[serde(default = "everybody")]
    pub admission: Admission,
    /// Its clients: the policy's client `n` is `clients[n]`, an index of [`Recording::clients`]. Where several cores share the policy,
    /// the first of them has all the clients and steps, and the others none.
    pub clients: Vec<usize>,
    /// In what they hold their tickets.
    pub currencies: Currencies,
    /// What it was told and decided.
    #[serde(with = "file")]
    pub steps: Vec<Step>,
    /// The core of each step, if the policy is one that cores share; else empty.
    pub step_cores: Vec<u32>,
    /// CPU time that it used itself, its clients' not included.
    pub own: u64,
}

/// What a recording means that does not say.
pub(crate) fn everybody() -> Admission {
    Admission::Off
}

/// A slot that began.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Slice {
    /// The core.
    pub core: u32,
    /// When.
    pub begin: u64,
    /// When it ends.
    pub end: u64,
    /// Whose it is: an index of [`Recording::schedulers`], of the first policy that it had; `None` for anyone else.
    pub owner: Option<usize>,
}

/// A turn of a client: from the directed yield to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Turn {
    /// Who.
    pub client: usize,
    /// The core.
    pub core: u32,
    /// When it was given the CPU.
    pub begin: u64,
    /// When its scheduler, or somebody else, had the CPU again.
    pub end: u64,
    /// CPU time that it was charged.
    pub ran: u64,
}

/// A job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// Whose.
    pub client: usize,
    /// Its number, from 0.
    pub number: u64,
    /// When it was released.
    pub released: u64,
    /// When it is due, absolute; `None` without deadline.
    pub due: Option<u64>,
    /// When it was done; `None` if it was not when the run ended.
    pub completed: Option<u64>,
    /// CPU time that it declared.
    pub demand: u64,
    /// CPU time that it used, as far as it came.
    pub used: u64,
}
