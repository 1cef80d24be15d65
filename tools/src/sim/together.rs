//! Cores that share one clock: each executes in its turn, and stands still in the others'.
//!
//! Whose turn it is, is QEMU's affair ([`turns`]); a core alone has all of them. Where costs are those of a textbook, cores are
//! independent of each other: whichever is furthest behind takes the next step. Not here: what a core does (`core`).
//!
//! Invariant: no core is ahead of the clock, except for the one whose turn it is.

use super::core::{Core, Progress};
use super::costs::{Cores, Costs};
use super::turns::{Turn, Turns};
use crate::qemu::Pace;

const NANOSECONDS: u128 = 1_000_000_000;

/// How cores go on together.
#[derive(Clone, Debug)]
pub enum Together {
    /// Each by itself.
    Parallel,
    /// In turns.
    InTurns(Shared),
}

/// A clock, and whose turn it is.
#[derive(Clone, Debug)]
pub struct Shared {
    turns: Turns,
    /// The turn that is going on.
    turn: Option<Turn>,
    /// What each core's timer was last seen to be programmed for.
    due: Vec<u64>,
    frequency: u64,
    /// Ticks from the machine's start to time 0.
    origin: u64,
}

impl Together {
    /// Cores of a machine that has been there for `origin` ticks at time 0.
    pub fn new(cores: &[Core], (costs, pace): (&Costs, Pace), origin: u64) -> Self {
        if cores.len() < 2 || costs.cores == Cores::AreParallel {
            return Self::Parallel;
        }
        let number = cores.len() as u32;
        let frequency = costs.frequency_hz;
        let mut shared =
            Shared { turns: Turns::new(number, pace, 0), turn: None, due: vec![0; cores.len()], frequency, origin };
        shared.turns = Turns::new(number, pace, shared.nanoseconds(0));
        Self::InTurns(shared)
    }

    /// Goes on to `end`, unless the broker acts before.
    pub fn advance(&mut self, cores: &mut [Core], end: u64) -> Progress {
        match (self, cores) {
            (Self::InTurns(shared), cores) => shared.advance(cores, end),
            (Self::Parallel, [core]) => core.advance(end),
            (Self::Parallel, cores) => parallel(cores, end),
        }
    }
}

/// Lets cores run that have nothing but the broker in common: whoever is furthest behind takes the next step.
fn parallel(cores: &mut [Core], end: u64) -> Progress {
    loop {
        let Some(core) = cores.iter_mut().min_by_key(|core| core.now) else { return Progress::Reached };
        if core.now >= end {
            return Progress::Reached;
        }
        if let Some(stop) = core.advance_once(end) {
            return stop;
        }
    }
}

impl Shared {
    fn advance(&mut self, cores: &mut [Core], end: u64) -> Progress {
        // The broker may have acted.
        (0..cores.len()).for_each(|number| _ = self.program(&cores[number], number));
        loop {
            if self.ticks(self.turns.now) >= end {
                cores.iter_mut().for_each(|core| core.stand_still(core.now.max(end)));
                return Progress::Reached;
            }
            let turn = self.turn.take().unwrap_or_else(|| self.turns.take());
            let core = &mut cores[turn.core];
            core.stand_still(core.now.max(self.ticks(self.turns.now)));
            if let Some(stop) = self.execute(core, turn, end) {
                let now = core.now;
                self.turn = Some(turn);
                cores.iter_mut().for_each(|core| core.stand_still(core.now.max(now)));
                return stop;
            }
        }
    }

    /// A core's turn, to its end.
    fn execute(&mut self, core: &mut Core, turn: Turn, end: u64) -> Option<Progress> {
        // The first spins when it is idle, so that the clock goes on (`docs/overview.md`).
        let waits = |core: &Core| turn.core != 0 && !core.is_busy();
        if waits(core) {
            self.turns.waited(turn.core);
            return None;
        }
        let limit = self.ticks(turn.end).min(end);
        while core.now < limit && !waits(core) {
            if let Some(stop) = core.advance_once(limit) {
                return Some(stop);
            }
            if self.program(core, turn.core) {
                break;
            }
        }
        let now = if core.now == limit { turn.end } else { self.nanoseconds(core.now) };
        self.turns.executed(turn.core, now.min(turn.end));
        None
    }

    /// Notices what a core's timer is programmed for: whether that ends its turn.
    fn program(&mut self, core: &Core, number: usize) -> bool {
        let due = core.due();
        if std::mem::replace(&mut self.due[number], due) == due {
            return false;
        }
        self.turns.program(number, self.nanoseconds(due), self.nanoseconds(core.now))
    }

    fn nanoseconds(&self, tick: u64) -> u64 {
        let ticks = u128::from(tick) + u128::from(self.origin);
        u64::try_from((ticks * NANOSECONDS).div_ceil(self.frequency.into())).unwrap_or(u64::MAX)
    }

    fn ticks(&self, nanoseconds: u64) -> u64 {
        let ticks = u128::from(nanoseconds) * u128::from(self.frequency) / NANOSECONDS;
        (ticks as u64).saturating_sub(self.origin)
    }
}
