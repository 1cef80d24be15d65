//! Constant-bandwidth servers (Abeni and Buttazzo, RTSS 1998): each client has a budget Q for every period T, and whatever it does it
//! takes no more than Q / T of the CPU from the others. Deadlines of servers, not of jobs, are what EDF runs by:
//!
//! * a client that becomes ready keeps its server's budget c and deadline d if c < (d − now) · Q / T; or else d = now + T and c = Q;
//! * when the budget is used up, d moves on by T, and there is a new one. A *soft* server goes on at once, later in the order,
//!   so it may use what others leave; a *hard* one stops until the old deadline, so it never has more than Q in T.
//!
//! So a client with jobs of at most Q that come T apart or later meets its deadlines where all servers together fit, and one with
//! longer jobs or more of them is late by itself. What a turn runs too long the next budget pays. Clients without deadlines
//! run in the background, round robin.
//!
//! # With guarantees
//! Servers are taken on as tasks are: if in every window the demand of all, Q every T, is at most what the slots supply
//! ([`crate::admission`]). Then a job that needs no more than Q, and comes no sooner than T after the one before, is done T after
//! it came; whatever the clients of other servers do.
//!
//! The paper proves that for a whole core, where a server's demand of Q / T in a window of *any* length, however short, does no harm. From slots there is nothing
//! at all in a window that is short enough. So the demand has to be that of a task, at most Q in less than T, and three things differ:
//!
//! * who becomes ready before d keeps c, but d = now + T: what it has left counts from now on;
//! * a turn more than a task has (to become ready before d, or to yield) is paid out of the budget;
//! * who is late, because slots were lost, has its next deadline T from now: it does not catch up at the others' expense.
//!
//! For one core. Not here: admission's mathematics.
#![forbid(unsafe_code)]

use crate::admission::{self, Task};
use crate::deadlines::TURNS_PER_JOB;
use crate::guarantee::{Guarantees, JobTimes};
use crate::supply::Supply;
use alloc::vec::Vec;
use libos_core::sched::line::Line;
use libos_core::sched::roster::{After, Roster};
use libos_core::sched::table::Table;
use libos_core::sched::{ClientId, Decision, Demand, Policy, Refusal, Tick, TurnEnd};

/// A turn lasts at least this part of a quantum, though less of a budget is left: a switch takes some time itself, and in less
/// than that a client would get nowhere.
const SHORTEST_TURN: u64 = 32;

/// What becomes of a server whose budget is used up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It goes on with its next budget, due later.
    Soft,
    /// It stops until its deadline.
    Hard,
}

/// The policy.
#[derive(Clone, Debug)]
pub struct ConstantBandwidth {
    kind: Kind,
    quantum: Tick,
    /// By deadline.
    clients: Roster<Tick, Server>,
    /// Who has no deadlines.
    background: Line,
    /// From where guarantees come; `None`: there are none.
    guarantee: Option<Guarantee>,
}

/// What guarantees are reckoned from.
#[derive(Clone, Debug)]
struct Guarantee {
    supply: Supply,
    /// What a turn costs at most.
    turn_cost: Tick,
    /// The servers, each with what its turns cost.
    tasks: Table<Task>,
    /// Those that left since no server was ready: what they ran before can still delay others.
    departed: Vec<Task>,
}

#[derive(Clone, Copy, Debug)]
struct Server {
    budget: u64,
    period: u64,
    /// Of the present budget; below 0 if a turn took too long.
    left: i128,
    deadline: u64,
    /// A hard one that waits for its deadline, though its client is ready.
    is_stopped: bool,
    /// The client's job, if it is promised that it is done in time.
    job: Option<JobTimes>,
}

impl Server {
    /// Its client becomes ready.
    fn arrive(&mut self, now: u64) {
        let time = i128::from(self.deadline) - i128::from(now);
        if self.left * i128::from(self.period) >= time * i128::from(self.budget) {
            self.deadline = now.saturating_add(self.period);
            self.left = self.budget.into();
        }
    }

    /// The same where deadlines are guaranteed.
    fn arrive_guaranteed(&mut self, now: u64, turn_cost: Tick) {
        if now >= self.deadline {
            let due = now.saturating_add(self.period);
            (self.deadline, self.left) = (due, self.budget.into());
            self.job = Some(JobTimes { released: Tick(now), due: Tick(due) });
            return;
        }
        // It comes too soon: the turn that it begins with and the one that it interrupts are more than admission reckons with.
        self.job = None;
        self.left -= 2 * i128::from(turn_cost.0);
        if self.left > 0 {
            self.deadline = now.saturating_add(self.period);
        }
    }

    /// The next budget.
    fn replenish(&mut self) {
        self.deadline = self.deadline.saturating_add(self.period);
        self.left += i128::from(self.budget);
    }
}

impl Guarantee {
    /// A server as admission sees it: a task with what its turns cost.
    fn task(&self, demand: Demand) -> Result<Task, Refusal> {
        let task = Task::new(demand)?;
        if task.deadline < task.period {
            return Err(Refusal::BadDemand);
        }
        let turns = self.turn_cost.0.saturating_mul(TURNS_PER_JOB);
        Ok(Task { budget: task.budget.saturating_add(turns), ..task })
    }

    fn has_room_for(&self, task: Task) -> bool {
        let here = self.tasks.iter().map(|(_, task)| *task);
        let all: Vec<Task> = here.chain(self.departed.iter().copied()).chain([task]).collect();
        task.budget <= task.deadline && admission::schedulable(&all, &self.supply)
    }
}

impl ConstantBandwidth {
    /// A policy without clients and guarantees: everybody is taken on. A client runs for at most `quantum` (not 0) at a time.
    pub fn new(kind: Kind, quantum: Tick) -> Self {
        let quantum = Tick(quantum.0.max(1));
        let background = Line::round_robin(quantum);
        Self { kind, quantum, clients: Roster::new(), background, guarantee: None }
    }

    /// The same with guarantees from `supply`. A turn (a switch by the kernel and the dispatch loop) costs at most `turn_cost`; a
    /// slot's first turn belongs to the supply's overhead.
    pub fn with_guarantees(kind: Kind, supply: Supply, turn_cost: Tick, quantum: Tick) -> Self {
        let guarantee = Guarantee { supply, turn_cost, tasks: Table::new(), departed: Vec::new() };
        Self { guarantee: Some(guarantee), ..Self::new(kind, quantum) }
    }

    /// A client that waited is ready since `at`, or its server's stop is over.
    fn arrive(&mut self, id: ClientId, at: Tick, now: Tick) {
        let Some(server) = self.clients.get_mut(id) else { return };
        if core::mem::take(&mut server.is_stopped) {
            server.replenish();
        } else {
            match &self.guarantee {
                Some(guarantee) => server.arrive_guaranteed(at.0, guarantee.turn_cost),
                None => server.arrive(now.0),
            }
        }
        self.compete(id, now);
    }

    /// A ready client has its place in the order, with what is left of its server's budget or the next one.
    fn compete(&mut self, id: ClientId, now: Tick) {
        let Some(server) = self.clients.get_mut(id) else { return };
        while server.left <= 0 {
            server.job = None;
            if self.guarantee.is_some() {
                server.deadline = server.deadline.max(now.0);
            }
            if self.kind == Kind::Hard {
                server.is_stopped = true;
                let until = Tick(server.deadline);
                self.clients.dismiss(id, until);
                return;
            }
            server.replenish();
        }
        let deadline = Tick(server.deadline);
        self.clients.admit(id, deadline);
    }

    /// Its client goes on with another job, which had come before this one was done.
    fn go_on(&mut self, id: ClientId, now: Tick) {
        let (Some(server), Some(guarantee)) = (self.clients.get_mut(id), &self.guarantee) else { return };
        if now.0 >= server.deadline {
            server.arrive_guaranteed(now.0, guarantee.turn_cost);
        } else {
            server.job = None;
            server.left -= i128::from(guarantee.turn_cost.0);
        }
    }

    /// How long a turn with so much budget lasts at most.
    fn longest_turn(&self, left: u64) -> u64 {
        match &self.guarantee {
            // The turn's cost comes on top, or who has less budget left than that would never get it.
            Some(guarantee) => left.saturating_add(guarantee.turn_cost.0).clamp(1, self.quantum.0),
            None => left.clamp((self.quantum.0 / SHORTEST_TURN).max(1), self.quantum.0),
        }
    }
}

impl Guarantees for ConstantBandwidth {
    fn set_supply(&mut self, supply: Supply) {
        self.guarantee.iter_mut().for_each(|guarantee| guarantee.supply = supply.clone());
    }

    fn fits(&self, supply: &Supply) -> bool {
        let Some(guarantee) = &self.guarantee else { return true };
        let tasks: Vec<Task> = guarantee.tasks.iter().map(|(_, task)| *task).collect();
        admission::schedulable(&tasks, supply)
    }

    fn carries(&self, demands: &[Demand]) -> bool {
        let Some(guarantee) = &self.guarantee else { return true };
        let tasks: Result<Vec<Task>, Refusal> =
            demands.iter().map(|demand| guarantee.task(*demand)).collect();
        tasks.is_ok_and(|tasks| {
            tasks.iter().all(|task| task.budget <= task.deadline)
                && admission::schedulable(&tasks, &guarantee.supply)
        })
    }

    fn has_departed(&self) -> bool {
        self.guarantee.as_ref().is_some_and(|guarantee| !guarantee.departed.is_empty())
    }

    fn is_at_rest(&self) -> bool {
        self.clients.first().is_none()
    }

    fn response_bound(&self, client: ClientId) -> Option<Tick> {
        Some(Tick(self.guarantee.as_ref()?.tasks.get(client)?.period))
    }

    fn job(&self, client: ClientId) -> Option<JobTimes> {
        self.clients.get(client)?.job
    }
}

impl Policy for ConstantBandwidth {
    fn join(&mut self, id: ClientId, demand: Demand, now: Tick) -> Result<(), Refusal> {
        if self.clients.contains(id) || self.background.is_here(id) {
            return Err(Refusal::AlreadyHere);
        }
        let Demand::Periodic { first_release, budget, period, .. } = demand else {
            return self.background.join(id, demand, now);
        };
        if budget.0 == 0 || budget > period {
            return Err(Refusal::BadDemand);
        }
        let mut first = first_release;
        if let Some(guarantee) = &mut self.guarantee {
            let task = guarantee.task(demand)?;
            if !guarantee.has_room_for(task) {
                return Err(Refusal::NotSchedulable);
            }
            guarantee.tasks.insert(id, task);
            first = first.max(now);
        }
        let (budget, period) = (budget.0, period.0);
        let server = Server { budget, period, left: 0, deadline: 0, is_stopped: false, job: None };
        self.clients.insert(id, server, first);
        Ok(())
    }

    fn leave(&mut self, id: ClientId, now: Tick) {
        self.clients.remove(id);
        self.background.leave(id, now);
        if let Some(guarantee) = &mut self.guarantee {
            guarantee.departed.extend(guarantee.tasks.remove(id));
        }
    }

    fn pick(&mut self, now: Tick) -> Option<Decision> {
        while let Some(id) = self.clients.due(now) {
            self.arrive(id, self.clients.next_event(), now);
        }
        let Some(client) = self.clients.first() else {
            self.guarantee.iter_mut().for_each(|guarantee| guarantee.departed.clear());
            let decision = self.background.pick(now)?;
            return Some(Decision { until: decision.until.min(self.clients.next_event()), ..decision });
        };
        self.clients.begin_turn(client);
        let left = self.clients.get(client).map_or(0, |server| u64::try_from(server.left).unwrap_or(0));
        let longest = self.longest_turn(left);
        // Whoever comes meanwhile may be due before.
        let until = now.saturating_add(Tick(longest)).min(self.clients.next_event());
        Some(Decision { client, until })
    }

    fn charge(&mut self, id: ClientId, ran: Tick, end: TurnEnd, now: Tick) {
        if !self.clients.runs(id) {
            return self.background.charge(id, ran, end, now);
        }
        if let Some(server) = self.clients.get_mut(id) {
            server.left -= i128::from(ran.0);
        }
        // A wait that is over already was so for no longer than this.
        let end = match end {
            TurnEnd::Waiting(until) if self.guarantee.is_some() => TurnEnd::Waiting(until.max(now)),
            _ => end,
        };
        let after = self.clients.end_turn(id, end);
        if after == Some(After::Yielded) {
            self.go_on(id, now);
        }
        match after {
            Some(After::Ready(_) | After::Yielded) => self.compete(id, now),
            Some(After::Waiting) => self.clients.get_mut(id).into_iter().for_each(|server| server.job = None),
            Some(After::Gone) => self.leave(id, now),
            None => {}
        }
    }

    fn wake(&mut self, id: ClientId, now: Tick) {
        if !self.clients.contains(id) {
            return self.background.wake(id, now);
        }
        let is_stopped = self.clients.get(id).is_some_and(|server| server.is_stopped);
        if self.clients.wake(id) && !is_stopped {
            self.arrive(id, now, now);
        }
    }

    fn next_event(&self) -> Tick {
        self.clients.next_event().min(self.background.next_event())
    }

    fn contends(&self, id: ClientId) -> bool {
        self.clients.competes(id) || self.background.contends(id)
    }
}

#[cfg(test)]
mod tests;
