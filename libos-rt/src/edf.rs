//! Earliest deadline first (Liu & Layland, 1973): of all jobs that are ready, the one that is due first runs; of those due
//! together the one released first, then the one with the lowest client number.
//!
//! Budgets are enforced: a job that has used its own stops until its client's next release, and goes on then with a fresh
//! budget and deadline. So a client that demands more than it said misses its own deadlines, never those of others.
//! A client that waits ends its job; its next one is released when it is ready again, and never earlier than one period
//! after the release before (sporadic tasks; admission covers them).
//!
//! For one core. Not here: admission's mathematics ([`crate::admission`]), how responses are measured ([`crate::watch`]).
#![forbid(unsafe_code)]

use crate::admission::{Task, schedulable};
use crate::response::response_bound;
use crate::supply::Supply;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use libos_core::sched::{ClientId, Decision, Demand, Policy, Refusal, Tick, TurnEnd};

/// Turns that a job pays for: the one that it begins with, the one of the job that it interrupted, and what it may run
/// too long because the time that its last turn costs is only known to be at most this.
const TURNS_PER_JOB: u64 = 3;

/// What a turn after a slot's first costs at most, in microseconds: what the libOS `edf` tells its policy, and who tells one
/// the same again.
pub const TURN_COST_US: u64 = 30;

/// The policy.
#[derive(Clone, Debug)]
pub struct Edf {
    supply: Supply,
    turn_cost: Tick,
    clients: BTreeMap<ClientId, Client>,
    /// Who left since the core was last idle. What they ran before can still delay others, so a newcomer does not get
    /// their place until then.
    departed: Vec<Task>,
}

#[derive(Clone, Debug)]
struct Client {
    task: Task,
    job: Job,
    /// Its next job is released no earlier.
    earliest: Tick,
    standing: Standing,
}

/// A job that was released and has not ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Job {
    /// When it was released.
    pub released: Tick,
    /// When it is to be done.
    pub due: Tick,
    /// The release and the deadline by which it is scheduled: the same, unless the job overran its budget and goes on with a
    /// later one.
    period_begin: Tick,
    period_due: Tick,
    /// Budget left.
    left: Tick,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    Ready,
    Running {
        woken: bool,
    },
    /// Its job ended; the next is released at this time.
    Waiting(Tick),
    /// Its job used its budget, and goes on at this time.
    Stopped(Tick),
}

impl Client {
    /// When a job begins or goes on, and when it is due then.
    fn release(&self) -> Option<(Tick, Tick)> {
        match self.standing {
            Standing::Waiting(at) | Standing::Stopped(at) => {
                Some((at, at.saturating_add(Tick(self.task.deadline))))
            }
            Standing::Ready | Standing::Running { .. } => None,
        }
    }

    /// Releases a job, or lets a stopped one go on, if its time has come.
    fn release_if_due(&mut self, now: Tick) {
        let Some((begin, due)) = self.release().filter(|(at, _)| *at <= now) else { return };
        let goes_on = matches!(self.standing, Standing::Stopped(_));
        let (released, ends) = if goes_on { (self.job.released, self.job.due) } else { (begin, due) };
        let left = Tick(self.task.budget);
        self.job = Job { released, due: ends, period_begin: begin, period_due: due, left };
        self.standing = Standing::Ready;
    }

    fn next_period(&self) -> Tick {
        self.job.period_begin.saturating_add(Tick(self.task.period))
    }

    /// The client ended its job, and is ready again at `until`.
    fn end_job(&mut self, until: Tick, now: Tick) {
        let overran = self.job.released < self.job.period_begin;
        if overran && until <= now && self.job.left.0 > 0 {
            // Behind by at least a period, with budget left in this one: its next job, long released, begins at once.
            let period = Tick(self.task.period);
            self.job.released = self.job.released.saturating_add(period);
            self.job.due = self.job.due.saturating_add(period);
            self.standing = Standing::Ready;
            return;
        }
        // A job that used nothing (the client was not ready after all) has not spent its period.
        let untouched = !overran && self.job.left.0 == self.task.budget;
        self.earliest = if untouched { self.job.period_begin } else { self.next_period() };
        self.standing = Standing::Waiting(until.max(self.earliest));
    }
}

impl Edf {
    /// A policy without clients, with guarantees from `supply`. A turn (a switch by the kernel and the dispatch loop)
    /// costs at most `turn_cost`; a slot's first turn belongs to the supply's overhead.
    pub fn new(supply: Supply, turn_cost: Tick) -> Self {
        Self { supply, turn_cost, clients: BTreeMap::new(), departed: Vec::new() }
    }

    /// The slots have changed: guarantees come from `supply` from now on. Whether they still hold for all clients; for
    /// jobs that are under way, only if they held before and no slot was lost.
    pub fn set_supply(&mut self, supply: Supply) -> bool {
        self.supply = supply;
        self.fits(&self.supply)
    }

    /// Whether all deadlines would be met from `supply`.
    pub fn fits(&self, supply: &Supply) -> bool {
        schedulable(&self.tasks(), supply)
    }

    /// A client's longest response that is possible from the present supply, for a set that fits.
    pub fn response_bound(&self, client: ClientId) -> Option<Tick> {
        let index = self.clients.keys().position(|id| *id == client)?;
        Some(response_bound(&self.tasks(), index, &self.supply))
    }

    /// A client's job, from its release until the client waits.
    pub fn job(&self, client: ClientId) -> Option<Job> {
        let client = self.clients.get(&client)?;
        (!matches!(client.standing, Standing::Waiting(_))).then_some(client.job)
    }

    /// All tasks in the order of their clients, each with what its turns cost.
    fn tasks(&self) -> Vec<Task> {
        self.clients.values().map(|client| self.with_turns(client.task)).collect()
    }

    fn with_turns(&self, task: Task) -> Task {
        Task { budget: task.budget.saturating_add(self.turn_cost.0.saturating_mul(TURNS_PER_JOB)), ..task }
    }
}

impl Policy for Edf {
    fn join(&mut self, id: ClientId, demand: Demand, now: Tick) -> Result<(), Refusal> {
        let task = Task::new(demand)?;
        if self.clients.contains_key(&id) {
            return Err(Refusal::AlreadyHere);
        }
        let whole = self.with_turns(task);
        let mut tasks = self.tasks();
        tasks.extend(self.departed.iter().copied().chain([whole]));
        if whole.budget > whole.deadline || !schedulable(&tasks, &self.supply) {
            return Err(Refusal::NotSchedulable);
        }
        let first = match demand {
            Demand::Periodic { first_release, .. } => first_release.max(now),
            Demand::Share { .. } => now,
        };
        let job = Job { released: first, due: first, period_begin: first, period_due: first, left: Tick(0) };
        self.clients.insert(id, Client { task, job, earliest: first, standing: Standing::Waiting(first) });
        Ok(())
    }

    fn leave(&mut self, id: ClientId, _now: Tick) {
        if let Some(client) = self.clients.remove(&id) {
            self.departed.push(self.with_turns(client.task));
        }
    }

    fn pick(&mut self, now: Tick) -> Option<Decision> {
        self.clients.values_mut().for_each(|client| client.release_if_due(now));
        let ready = self.clients.iter().filter(|(_, client)| client.standing == Standing::Ready);
        let first = ready.min_by_key(|(id, client)| (client.job.period_due, client.job.period_begin, **id));
        let Some((id, chosen)) = first else {
            self.departed.clear();
            return None;
        };
        let (id, job) = (*id, chosen.job);
        // The turn's cost comes on top, or a job with less budget left than that would never get it.
        let used_up = now.saturating_add(job.left).saturating_add(self.turn_cost);
        let releases = self.clients.values().filter_map(Client::release);
        let interrupts = releases.filter(|(_, due)| *due < job.period_due).map(|(at, _)| at);
        let until = interrupts.fold(used_up, Tick::min);
        self.clients.get_mut(&id)?.standing = Standing::Running { woken: false };
        Some(Decision { client: id, until })
    }

    fn charge(&mut self, id: ClientId, ran: Tick, end: TurnEnd, now: Tick) {
        let Some(client) = self.clients.get_mut(&id) else { return };
        let Standing::Running { woken } = client.standing else { return };
        client.job.left = client.job.left.since(ran);
        match end {
            TurnEnd::Ready if client.job.left.0 > 0 => client.standing = Standing::Ready,
            TurnEnd::Ready => client.standing = Standing::Stopped(client.next_period()),
            TurnEnd::Waiting(until) => client.end_job(if woken { now } else { until }, now),
            TurnEnd::Gone => self.leave(id, now),
        }
    }

    fn wake(&mut self, id: ClientId, now: Tick) {
        let Some(client) = self.clients.get_mut(&id) else { return };
        match &mut client.standing {
            Standing::Running { woken } => *woken = true,
            Standing::Waiting(until) => *until = (*until).min(now.max(client.earliest)),
            Standing::Ready | Standing::Stopped(_) => {}
        }
    }

    fn next_event(&self) -> Tick {
        let releases = self.clients.values().filter_map(Client::release);
        releases.map(|(at, _)| at).min().unwrap_or(Tick::NEVER)
    }

    fn contends(&self, id: ClientId) -> bool {
        self.clients.get(&id).is_some_and(|client| client.release().is_none())
    }
}
