//! Global scheduling: the cores of a libOS share one policy, and of all jobs that are ready the `m` that rank first run on its
//! `m` cores, each on any of them.
//!
//! * Global EDF and global rate-monotonic priorities (Dhall and Liu, Operations Research 26(1), 1978): ranks as on one core.
//! * EDZL, earliest deadline until zero laxity (Lee, TENCON 1994; Cho, Lee, Han and Lin, IEICE Trans. Inf. & Syst. E85-D(12), 2002):
//!   EDF, but a job whose *laxity* is zero comes before all that have some. Laxity is the time until the deadline less what the job
//!   has left of its budget. Whatever global EDF schedules on whole cores, EDZL does too.
//!
//! **What is exact, and what lags.** A decision holds until its job's budget is used up, a job that ranks before it is released, or,
//! under EDZL, somebody's laxity is zero. What a core cannot know when it decides is told to the others at once, who then decide anew
//! (by the dispatch loop): when a client's next job will be released, which is known when it waits; and when a job will go on
//! that has used its budget up (`Policy::take_news`). So on whole cores, where nothing costs time, just the `m` first jobs run
//! at every instant. On slots a core that has no slot keeps the job of its last
//! turn until its next slot begins; and a core that is told decides anew when the news has reached it.
//!
//! Budgets are enforced and clients without deadlines run in the background as under [`crate::deadlines`], whose code this is.
//! Not here: admission. The sufficient tests that are known (Goossens, Funk and Baruah, Real-Time Systems 25, 2003) are about whole cores.
//!
//! Invariant: under EDZL whoever is ready or waits for a release is in `to_come` or in `urgent`, and not in both.
#![forbid(unsafe_code)]

use crate::deadlines::{Deadlines, Order, Rank};
use libos_core::sched::queue::Queue;
use libos_core::sched::{ClientId, Decision, Demand, Policy, Refusal, Tick, TurnEnd};

/// Before all ranks: jobs without laxity.
const FIRST: Rank = (Tick(0), Tick(0));

/// A policy for deadlines that several cores share.
#[derive(Clone, Debug)]
pub struct Global<O> {
    jobs: Deadlines<O>,
    laxity: Option<Laxity>,
    /// A job has stopped since others were last told.
    news: bool,
}

/// The laxity of all who do not run.
#[derive(Clone, Debug)]
struct Laxity {
    /// Those that have some: when it will be zero.
    to_come: Queue<Tick>,
    /// Those that are ready and have none: since when.
    urgent: Queue<Tick>,
}

impl<O: Order> Global<O> {
    /// A policy without clients. A turn costs at most `turn_cost`. Who has no deadlines runs for at most `quantum` (not 0) at a time.
    pub fn new(turn_cost: Tick, quantum: Tick) -> Self {
        let jobs = Deadlines::without_admission(turn_cost, quantum);
        Self { jobs, laxity: None, news: false }
    }

    /// The same, but a job whose laxity is zero comes before all that have some.
    pub fn until_zero_laxity(turn_cost: Tick, quantum: Tick) -> Self {
        let laxity = Laxity { to_come: Queue::new(), urgent: Queue::new() };
        Self { laxity: Some(laxity), ..Self::new(turn_cost, quantum) }
    }

    /// Notes when a client's laxity will be zero, after its standing may have changed.
    fn note_laxity(&mut self, id: ClientId) {
        let Some(laxity) = &mut self.laxity else { return };
        laxity.urgent.remove(id);
        match self.jobs.laxity_ends(id) {
            Some(at) => laxity.to_come.put(id, at),
            None => _ = laxity.to_come.remove(id),
        }
    }

    /// The ready job that ranks first.
    fn first_ready(&self) -> Option<(Rank, ClientId)> {
        let urgent = self.laxity.as_ref().and_then(|laxity| laxity.urgent.first());
        urgent.map(|(_, id)| (FIRST, id)).or_else(|| self.jobs.first_ready())
    }

    /// Who has no laxity any more is urgent. Nobody has none before its release, for budgets are at most deadlines.
    fn hurry(&mut self, now: Tick) {
        let Some(Laxity { to_come, urgent }) = &mut self.laxity else { return };
        while let Some((since, id)) = to_come.first().filter(|(at, _)| *at <= now) {
            to_come.remove(id);
            urgent.put(id, since);
        }
    }

    /// The next time at which somebody's laxity is zero who does not run, which ends all turns of those that have some.
    fn next_zero_laxity(&self) -> Tick {
        let first = self.laxity.as_ref().and_then(|laxity| laxity.to_come.first());
        first.map_or(Tick::NEVER, |(at, _)| at)
    }
}

impl<O: Order> Policy for Global<O> {
    fn join(&mut self, id: ClientId, demand: Demand, now: Tick) -> Result<(), Refusal> {
        self.jobs.join(id, demand, now)?;
        self.note_laxity(id);
        Ok(())
    }

    fn leave(&mut self, id: ClientId, now: Tick) {
        self.jobs.leave(id, now);
        self.note_laxity(id);
    }

    fn pick(&mut self, now: Tick) -> Option<Decision> {
        self.jobs.release(now);
        self.hurry(now);
        let Some((rank, id)) = self.first_ready() else { return self.jobs.begin_background_turn(now) };
        let Decision { client, until } = self.jobs.begin_turn(id, rank, now)?;
        self.note_laxity(id);
        let until = if rank == FIRST { until } else { until.min(self.next_zero_laxity()) };
        Some(Decision { client, until })
    }

    fn charge(&mut self, id: ClientId, ran: Tick, end: TurnEnd, now: Tick) {
        self.jobs.charge(id, ran, end, now);
        self.note_laxity(id);
        // Nobody knew when it would go on.
        self.news |= self.jobs.is_stopped(id);
    }

    fn wake(&mut self, id: ClientId, now: Tick) {
        self.jobs.wake(id, now);
        self.note_laxity(id);
    }

    fn next_event(&self) -> Tick {
        self.jobs.next_event()
    }

    fn contends(&self, id: ClientId) -> bool {
        self.jobs.contends(id)
    }

    fn take_news(&mut self) -> bool {
        core::mem::take(&mut self.news)
    }
}
