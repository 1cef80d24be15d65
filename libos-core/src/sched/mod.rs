//! Scheduling as plain code: what a policy is, the loop that runs one on real slices, and how its result is measured.
//!
//! * [`dispatch`]: the loop, over whatever gives CPU time away.
//! * [`roster`]: who is ready, runs and waits, as policies keep it, in [`table`]s and [`queue`]s. [`mod@line`]: the policies that
//!   need nothing else, round robin and first come, first served.
//! * [`ranked`]: a policy from a rule of a few lines: what the order of clients is.
//! * [`funds`]: clients' tickets, and transfers of them from who waits to who is waited for.
//! * [`measure`]: errors of shares, bands of lotteries, response times: exact integers.
//! * [`steps`]: what a policy was told and decided, as data that can be told again.
//! * [`watch`]: the observer that measures shares while the loop runs.
//! * `fake` (host only): a processor with a slot pattern and scripted clients, for tests and simulation.
//! * `laws` (host only): what every policy keeps to, tried with clients of chance.
//!
//! A policy makes no system call, reads no clock and draws no chance that was not passed in. The same source runs on
//! the kernel, in a simulator, in trace replay and under property tests. Not here: policies that divide by tickets (`libos-stride`) or keep
//! deadlines (`libos-rt`).
#![forbid(unsafe_code)]

pub mod dispatch;
#[cfg(not(target_os = "none"))]
pub mod fake;
pub mod funds;
#[cfg(not(target_os = "none"))]
pub mod laws;
pub mod line;
pub mod measure;
pub mod queue;
pub mod ranked;
pub mod roster;
pub mod steps;
pub mod table;
pub mod watch;

use alloc::boxed::Box;
pub use tranche_abi::Tick;

/// A client of a scheduler: a small number that the scheduler gave it. Dense, from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClientId(pub u16);

/// What a core's policy is made from, besides its clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// Length of a slot, and of a turn at most; not 0.
    pub quantum: Tick,
    /// The run's seed, for policies that draw.
    pub seed: u64,
    /// The core.
    pub core: u64,
}

/// What a policy decides: whom to run, and until when at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decision {
    /// The client to run.
    pub client: ClientId,
    /// When to take the CPU back at the latest, in ticks of absolute time.
    pub until: Tick,
}

/// What a client asks of its scheduler when it joins. All times in ticks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Demand {
    /// A share of the CPU in proportion to `tickets`.
    Share {
        /// Tickets, at least 1.
        tickets: u32,
    },
    /// A job of at most `budget` CPU time every `period`, done within `deadline` of its release.
    Periodic {
        /// First release, absolute.
        first_release: Tick,
        /// Worst-case execution time.
        budget: Tick,
        /// Time between releases.
        period: Tick,
        /// Relative deadline.
        deadline: Tick,
    },
}

impl Demand {
    /// The same of a client that another scheduler or policy had until `now`: the job that was released last comes first.
    pub fn resumed(self, now: Tick) -> Self {
        match self {
            Self::Periodic { first_release, period, budget, deadline } if first_release < now => {
                let since = now.0 - first_release.0;
                let first_release = Tick(now.0 - since.checked_rem(period.0).unwrap_or(0));
                Self::Periodic { first_release, period, budget, deadline }
            }
            same => same,
        }
    }
}

/// Why a client was not taken on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The policy has no place for this kind of demand.
    WrongDemand,
    /// A field is zero or inconsistent, such as a budget above its period.
    BadDemand,
    /// Its deadlines could not be guaranteed from the supply that there is.
    NotSchedulable,
    /// The client is already here.
    AlreadyHere,
}

/// How a client's turn ended, as the policy needs to know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TurnEnd {
    /// It wants to go on: its time was up.
    Ready,
    /// It wants to go on, but gave the rest of its turn away. From a client with jobs: a job is done and the next, which
    /// was released already, begins.
    Yielded,
    /// It waits until this time, or until it is woken.
    Waiting(Tick),
    /// It is no more: it left, faulted or was destroyed.
    Gone,
}

/// A scheduling policy over the clients of one libOS on one core (or, global, on several that share it).
///
/// A client is ready, running (picked and not yet charged) or waiting. Calls that name a client that is not here have
/// no effect, because the last news of a client may come after it was made to leave.
pub trait Policy {
    /// Takes on a client at time `now`. One that asks for a share is ready at once, a periodic one at its first release.
    fn join(&mut self, client: ClientId, demand: Demand, now: Tick) -> Result<(), Refusal>;
    /// Forgets a client.
    fn leave(&mut self, client: ClientId, now: Tick);
    /// Chooses among the ready clients; `None` if there is none. A client that was picked counts as running, and is not
    /// picked again, until it is charged.
    fn pick(&mut self, now: Tick) -> Option<Decision>;
    /// Ends a running client's turn: it was charged `ran` of CPU time.
    fn charge(&mut self, client: ClientId, ran: Tick, end: TurnEnd, now: Tick);
    /// A client became ready before its time. News of a running client is kept: if its turn then ends in waiting, that
    /// wait is already over (on several cores the news may overtake the turn's end).
    fn wake(&mut self, client: ClientId, now: Tick);
    /// From now on a client has so many tickets of its own, at least 1: it has changed them itself (*inflation*). What others lend it, it has
    /// besides, and what it lends changes with them. Without effect under a policy that does not divide by tickets.
    fn set_tickets(&mut self, _client: ClientId, _tickets: u32, _now: Tick) {}
    /// `from`, whose turn has just ended in waiting, waits for something that `to` has or does: until it is ready again or gone, it lends
    /// `to` what it is scheduled by, its tickets or its place in an order. `to` may wait for somebody itself, or not be here. A policy that
    /// knows of no loans ignores it.
    fn lend(&mut self, _from: ClientId, _to: ClientId, _now: Tick) {}
    /// When the policy next wants to decide although nobody calls: the earliest time at which a waiting client becomes
    /// ready. `Tick::NEVER` if there is none.
    fn next_event(&self) -> Tick;
    /// Whether a client competes for the CPU: it is ready or running, as of the last `pick`.
    fn contends(&self, client: ClientId) -> bool;
    /// Global scheduling only: whether there is news since the last call of which other cores' decisions do not know, so that
    /// they decide anew. Asked after each `pick`.
    fn take_news(&mut self) -> bool {
        false
    }
}

/// A policy of which it is not known before the run which one it is.
impl<P: Policy + ?Sized> Policy for Box<P> {
    fn join(&mut self, client: ClientId, demand: Demand, now: Tick) -> Result<(), Refusal> {
        (**self).join(client, demand, now)
    }
    fn leave(&mut self, client: ClientId, now: Tick) {
        (**self).leave(client, now);
    }
    fn pick(&mut self, now: Tick) -> Option<Decision> {
        (**self).pick(now)
    }
    fn charge(&mut self, client: ClientId, ran: Tick, end: TurnEnd, now: Tick) {
        (**self).charge(client, ran, end, now);
    }
    fn wake(&mut self, client: ClientId, now: Tick) {
        (**self).wake(client, now);
    }
    fn set_tickets(&mut self, client: ClientId, tickets: u32, now: Tick) {
        (**self).set_tickets(client, tickets, now);
    }
    fn lend(&mut self, from: ClientId, to: ClientId, now: Tick) {
        (**self).lend(from, to, now);
    }
    fn next_event(&self) -> Tick {
        (**self).next_event()
    }
    fn contends(&self, client: ClientId) -> bool {
        (**self).contends(client)
    }
    fn take_news(&mut self) -> bool {
        (**self).take_news()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_is_resumed_with_the_job_that_was_released_last() {
        let (budget, period, deadline) = (Tick(1), Tick(10), Tick(5));
        let from = |first| Demand::Periodic { first_release: Tick(first), budget, period, deadline };
        for (now, first) in [(3, 7), (7, 7), (16, 7), (17, 17), (30, 27)] {
            assert_eq!(from(7).resumed(Tick(now)), from(first), "at {now}");
        }
        let share = Demand::Share { tickets: 3 };
        assert_eq!(share.resumed(Tick(99)), share);
    }
}
