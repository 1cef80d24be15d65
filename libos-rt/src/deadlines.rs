//! What policies for deadlines have in common: jobs are released, ranked, charged to a budget, stopped when that is used
//! and done when their client says so. What differs is an [`Order`]: [`crate::edf`], [`crate::rate_monotonic`],
//! [`crate::deadline_monotonic`].
//!
//! Budgets are enforced: a job that has used its own stops until its client's next release, and goes on then with a fresh
//! budget and deadline. So a client that demands more than it said misses its own deadlines, never those of others.
//! A client that waits or yields ends its job; its next one is released when it is ready again, and never earlier than one
//! period after the release before (sporadic tasks; admission covers them), unless nothing is guaranteed. Clients without deadlines run in the
//! background, round robin, while no job is ready.
//!
//! A client that waits for another in the middle of a job, and lends it its rank ([`crate::inheritance`]), goes on with that job when it
//! is woken. Admission reckons with no such waits, and who has no deadline neither lends nor inherits.
//!
//! For one core; [`crate::global`] shares it among several. Not here: admission's mathematics ([`crate::admission`], [`crate::response`]), how responses are measured
//! ([`crate::watch`]).
#![forbid(unsafe_code)]

use crate::admission::Task;
use crate::calendar::Calendar;
use crate::guarantee::{Guarantees, JobTimes};
use crate::inheritance::Inheritance;
use crate::supply::Supply;
use alloc::vec::Vec;
use core::marker::PhantomData;
use libos_core::sched::line::Line;
use libos_core::sched::queue::Queue;
use libos_core::sched::table::Table;
use libos_core::sched::{ClientId, Decision, Demand, Policy, Refusal, Tick, TurnEnd};

/// Turns that a job pays for: the one that it begins with, the one of the job that it interrupted, and what it may run
/// too long because the time that its last turn costs is only known to be at most this.
pub const TURNS_PER_JOB: u64 = 3;

/// The order in which jobs run, and what can be said of it beforehand.
pub trait Order {
    /// The rank of a task's job that begins and is due at these times: the lowest runs. Of the same rank, the lowest client
    /// number does.
    fn rank(task: &Task, begin: Tick, due: Tick) -> Rank;
    /// Whether every deadline of these tasks is met from a supply, whenever they are released.
    fn schedulable(tasks: &[Task], supply: &Supply) -> bool;
    /// The longest response of any job of `tasks[index]` from a supply, for a set that is schedulable.
    fn response_bound(tasks: &[Task], index: usize, supply: &Supply) -> Tick;
}

/// A job's place in the order.
pub type Rank = (Tick, Tick);

/// A policy for deadlines.
#[derive(Clone, Debug)]
pub struct Deadlines<O> {
    /// From where guarantees come; `None`: there are none.
    supply: Option<Supply>,
    turn_cost: Tick,
    clients: Table<Client>,
    /// Those whose job is ready.
    ready: Queue<Rank>,
    /// When the jobs of the others begin or go on.
    releases: Calendar<Rank>,
    /// Ranks of those that wait for others, lent to these.
    loans: Inheritance,
    /// Who has no deadlines.
    background: Line,
    /// Who left since no job was ready. What they ran before can still delay others, so a newcomer does not get their
    /// place until then.
    departed: Vec<Task>,
    order: PhantomData<O>,
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
struct Job {
    /// When it was released.
    released: Tick,
    /// When it is to be done.
    due: Tick,
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
    /// Its job waits for another client until this time, and lends to that one.
    Blocked(Tick),
}

impl Client {
    /// When a job begins or goes on, and by which release and deadline it is scheduled then.
    fn release(&self) -> Option<(Tick, (Tick, Tick))> {
        match self.standing {
            Standing::Waiting(at) | Standing::Stopped(at) => {
                Some((at, (at, at.saturating_add(Tick(self.task.deadline)))))
            }
            Standing::Blocked(at) => Some((at, (self.job.period_begin, self.job.period_due))),
            Standing::Ready | Standing::Running { .. } => None,
        }
    }

    /// Releases a job, or lets a stopped one go on.
    fn begin_job(&mut self) {
        let Some((_, (begin, due))) = self.release() else { return };
        if matches!(self.standing, Standing::Blocked(_)) {
            self.standing = Standing::Ready;
            return;
        }
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

    /// Without guarantees nobody is protected from releases that come early: they are when the client says.
    fn believe(&mut self, until: Tick, now: Tick) {
        if let Standing::Waiting(at) = self.standing {
            self.earliest = self.job.period_begin;
            self.standing = Standing::Waiting(at.min(until.max(now)));
        }
    }

    /// Its turn ended, after `ran` of CPU time. Who is gone is for the policy.
    fn end_turn(&mut self, ran: Tick, end: TurnEnd, now: Tick) {
        let Standing::Running { woken } = self.standing else { return };
        self.job.left = self.job.left.since(ran);
        match end {
            TurnEnd::Ready if self.job.left.0 > 0 => self.standing = Standing::Ready,
            TurnEnd::Ready => self.standing = Standing::Stopped(self.next_period()),
            // Its next job was released already, at the earliest that is possible.
            TurnEnd::Yielded => self.end_job(Tick(0), now),
            TurnEnd::Waiting(until) => self.end_job(if woken { now } else { until }, now),
            TurnEnd::Gone => {}
        }
    }
}

impl<O: Order> Deadlines<O> {
    /// A policy without clients, with guarantees from `supply`. A turn (a switch by the kernel and the dispatch loop)
    /// costs at most `turn_cost`; a slot's first turn belongs to the supply's overhead. Who has no deadlines runs for at
    /// most `quantum` (not 0) at a time.
    pub fn new(supply: Supply, turn_cost: Tick, quantum: Tick) -> Self {
        Self { supply: Some(supply), ..Self::without_admission(turn_cost, quantum) }
    }

    /// The same without guarantees: everybody is taken on, whether there is time for all or not.
    pub fn without_admission(turn_cost: Tick, quantum: Tick) -> Self {
        Self {
            supply: None,
            turn_cost,
            clients: Table::new(),
            ready: Queue::new(),
            releases: Calendar::new(),
            loans: Inheritance::new(),
            background: Line::round_robin(quantum),
            departed: Vec::new(),
            order: PhantomData,
        }
    }

    /// All tasks in the order of their clients, each with what its turns cost.
    fn tasks(&self) -> Vec<Task> {
        self.clients.iter().map(|(_, client)| self.with_turns(client.task)).collect()
    }

    fn with_turns(&self, task: Task) -> Task {
        Task { budget: task.budget.saturating_add(self.turn_cost.0.saturating_mul(TURNS_PER_JOB)), ..task }
    }

    /// Whether a newcomer's deadlines and everybody's else are met.
    fn has_room_for(&self, task: Task) -> bool {
        let Some(supply) = &self.supply else { return true };
        let whole = self.with_turns(task);
        let mut tasks = self.tasks();
        tasks.extend(self.departed.iter().copied().chain([whole]));
        whole.budget <= whole.deadline && O::schedulable(&tasks, supply)
    }

    /// Lets a client's standing change, and notes where it belongs then.
    fn change(&mut self, id: ClientId, action: impl FnOnce(&mut Client)) {
        let Some(client) = self.clients.get_mut(id) else { return };
        action(client);
        let inherited = if self.loans.is_empty() { None } else { self.loans.rank(id) };
        let rank = |(begin, due)| {
            let own = O::rank(&client.task, begin, due);
            inherited.map_or(own, |rank| rank.min(own))
        };
        match client.release() {
            Some((at, scheduled_by)) => self.releases.insert(id, at, rank(scheduled_by)),
            None => self.releases.remove(id),
        }
        match client.standing {
            Standing::Ready => self.ready.put(id, rank((client.job.period_begin, client.job.period_due))),
            _ => _ = self.ready.remove(id),
        }
    }

    /// A client lends no more: whoever inherited from it ranks anew.
    fn end_loan(&mut self, id: ClientId) {
        if let Some(to) = self.loans.end(id) {
            self.change(self.loans.last(to), |_| ());
        }
    }

    /// The first release to come.
    fn next_release(&self) -> Tick {
        self.releases.first().map_or(Tick::NEVER, |(at, _)| at)
    }

    /// Makes ready whose jobs begin or go on by `now`.
    pub(crate) fn release(&mut self, now: Tick) {
        while let Some((_, id)) = self.releases.first().filter(|(at, _)| *at <= now) {
            if !self.loans.is_empty() {
                self.end_loan(id);
            }
            self.change(id, Client::begin_job);
        }
    }

    /// The ready job that runs first, and its rank.
    pub(crate) fn first_ready(&self) -> Option<(Rank, ClientId)> {
        self.ready.first()
    }

    /// A ready job begins a turn: until its budget is used up, or a job that ranks before `rank` is released.
    pub(crate) fn begin_turn(&mut self, id: ClientId, rank: Rank, now: Tick) -> Option<Decision> {
        let left = self.clients.get(id)?.job.left;
        // The turn's cost comes on top, or a job with less budget left than that would never get it.
        let used_up = now.saturating_add(left).saturating_add(self.turn_cost);
        let until = self.releases.first_before(rank).map_or(used_up, |interrupts| interrupts.min(used_up));
        self.change(id, |client| client.standing = Standing::Running { woken: false });
        Some(Decision { client: id, until })
    }

    /// Nobody's job is ready: one who has no deadlines begins a turn, which ends when a job is released.
    pub(crate) fn begin_background_turn(&mut self, now: Tick) -> Option<Decision> {
        self.departed.clear();
        let Decision { client, until } = self.background.pick(now)?;
        Some(Decision { client, until: until.min(self.next_release()) })
    }

    /// When the laxity of a client's job is zero, of one that does not run: when it must begin, or go on, to be done in time with
    /// all that is left of its budget. Of one that is not released yet, as if it was released then.
    pub(crate) fn laxity_ends(&self, id: ClientId) -> Option<Tick> {
        let client = self.clients.get(id)?;
        match (client.release(), client.standing) {
            (_, Standing::Ready | Standing::Blocked(_)) => Some(client.job.period_due.since(client.job.left)),
            (Some((_, (_, due))), _) => Some(due.since(Tick(client.task.budget))),
            (None, _) => None,
        }
    }

    /// Whether a client's job used its budget, and waits for the next.
    pub(crate) fn is_stopped(&self, id: ClientId) -> bool {
        self.clients.get(id).is_some_and(|client| matches!(client.standing, Standing::Stopped(_)))
    }
}

impl<O: Order> Guarantees for Deadlines<O> {
    fn set_supply(&mut self, supply: Supply) {
        self.supply = self.supply.is_some().then_some(supply);
    }

    fn fits(&self, supply: &Supply) -> bool {
        self.supply.is_none() || O::schedulable(&self.tasks(), supply)
    }

    fn carries(&self, demands: &[Demand]) -> bool {
        let Some(supply) = &self.supply else { return true };
        let task = |demand: &Demand| Task::new(*demand).map(|task| self.with_turns(task));
        let tasks: Result<Vec<Task>, Refusal> = demands.iter().map(task).collect();
        tasks.is_ok_and(|tasks| {
            tasks.iter().all(|task| task.budget <= task.deadline) && O::schedulable(&tasks, supply)
        })
    }

    fn has_departed(&self) -> bool {
        !self.departed.is_empty()
    }

    fn is_at_rest(&self) -> bool {
        self.ready.first().is_none()
    }

    fn response_bound(&self, client: ClientId) -> Option<Tick> {
        let index = self.clients.iter().position(|(id, _)| id == client)?;
        Some(O::response_bound(&self.tasks(), index, self.supply.as_ref()?))
    }

    fn job(&self, client: ClientId) -> Option<JobTimes> {
        let Client { job, standing, .. } = self.clients.get(client)?;
        let times = JobTimes { released: job.released, due: job.due };
        (!matches!(standing, Standing::Waiting(_))).then_some(times)
    }
}

impl<O: Order> Policy for Deadlines<O> {
    fn join(&mut self, id: ClientId, demand: Demand, now: Tick) -> Result<(), Refusal> {
        let Demand::Periodic { first_release, .. } = demand else {
            return if self.clients.contains(id) {
                Err(Refusal::AlreadyHere)
            } else {
                self.background.join(id, demand, now)
            };
        };
        let task = Task::new(demand)?;
        if self.clients.contains(id) || self.background.is_here(id) {
            return Err(Refusal::AlreadyHere);
        }
        if !self.has_room_for(task) {
            return Err(Refusal::NotSchedulable);
        }
        let first = first_release.max(now);
        let job = Job { released: first, due: first, period_begin: first, period_due: first, left: Tick(0) };
        self.clients.insert(id, Client { task, job, earliest: first, standing: Standing::Waiting(first) });
        self.change(id, |_| ());
        Ok(())
    }

    fn leave(&mut self, id: ClientId, now: Tick) {
        // No longer ready, if it was.
        self.change(id, |client| client.standing = Standing::Running { woken: false });
        if let Some(client) = self.clients.remove(id) {
            self.departed.push(self.with_turns(client.task));
            self.end_loan(id);
            self.loans.forget(id);
        }
        self.background.leave(id, now);
    }

    fn pick(&mut self, now: Tick) -> Option<Decision> {
        self.release(now);
        match self.ready.first() {
            Some((rank, id)) => self.begin_turn(id, rank, now),
            None => self.begin_background_turn(now),
        }
    }

    fn charge(&mut self, id: ClientId, ran: Tick, end: TurnEnd, now: Tick) {
        if !self.clients.contains(id) {
            return self.background.charge(id, ran, end, now);
        }
        let guaranteed = self.supply.is_some();
        self.change(id, |client| {
            client.end_turn(ran, end, now);
            match end {
                TurnEnd::Waiting(until) if !guaranteed => client.believe(until, now),
                TurnEnd::Yielded if !guaranteed => client.believe(now, now),
                _ => {}
            }
        });
        if end == TurnEnd::Gone {
            self.leave(id, now);
        }
    }

    fn wake(&mut self, id: ClientId, now: Tick) {
        if !self.clients.contains(id) {
            return self.background.wake(id, now);
        }
        self.change(id, |client| match &mut client.standing {
            Standing::Running { woken } => *woken = true,
            Standing::Waiting(until) => *until = (*until).min(now.max(client.earliest)),
            Standing::Blocked(until) => *until = (*until).min(now),
            Standing::Ready | Standing::Stopped(_) => {}
        });
    }

    fn lend(&mut self, from: ClientId, to: ClientId, _now: Tick) {
        let Some(client) = self.clients.get(from).filter(|_| self.clients.contains(to)) else { return };
        // One that was woken meanwhile, or stopped, does not wait for anybody.
        let Standing::Waiting(until) = client.standing else { return };
        let rank = O::rank(&client.task, client.job.period_begin, client.job.period_due);
        if self.loans.lend(from, to, rank) {
            self.change(from, |client| client.standing = Standing::Blocked(until));
            self.change(self.loans.last(to), |_| ());
        }
    }

    fn next_event(&self) -> Tick {
        self.next_release().min(self.background.next_event())
    }

    fn contends(&self, id: ClientId) -> bool {
        match self.clients.get(id) {
            Some(client) => client.release().is_none(),
            None => self.background.contends(id),
        }
    }
}
