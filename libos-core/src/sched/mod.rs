//! Scheduling as plain code: what a policy is, and (in [`dispatch`]) the loop that runs one on real slices.
//!
//! A policy makes no system call, reads no clock and draws no chance that was not passed in. The same source runs on
//! the kernel, in a simulator, in trace replay and under property tests.
#![forbid(unsafe_code)]

use tranche_abi::Tick;

/// A client of a scheduler: a small number that the scheduler gave it. Dense, from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClientId(pub u16);

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
    /// It wants to go on: its time was up, or it gave the rest of it away.
    Ready,
    /// It waits until this time, or until it is woken.
    Waiting(Tick),
    /// It is no more: it left, faulted or was destroyed.
    Gone,
}

/// A scheduling policy over the clients of one libOS on one core (or, global, on several that share it).
pub trait Policy {
    /// Takes on a client at time `now`; it is ready at once.
    fn join(&mut self, client: ClientId, demand: Demand, now: Tick) -> Result<(), Refusal>;
    /// Forgets a client.
    fn leave(&mut self, client: ClientId, now: Tick);
    /// Chooses among the ready clients; `None` if there is none. A client that was picked counts as running, and is not
    /// picked again, until it is charged.
    fn pick(&mut self, now: Tick) -> Option<Decision>;
    /// Ends a client's turn: it was charged `ran` of CPU time.
    fn charge(&mut self, client: ClientId, ran: Tick, end: TurnEnd, now: Tick);
    /// A waiting client became ready before its time.
    fn wake(&mut self, client: ClientId, now: Tick);
    /// When the policy next wants to decide although nobody calls: the earliest time at which a waiting client becomes
    /// ready. `Tick::NEVER` if there is none.
    fn next_event(&self) -> Tick;
}
