//! Cores that share one clock: each executes in its turn, and stands still in the others'.
//!
//! Whose turn it is, is QEMU's affair (`turns`); a core alone has all of them. Where costs are those of a textbook, all cores
//! execute at once: whichever is furthest behind takes the next step, or, where they share a policy, does what comes next
//! (`commons`). Not here: what a core does (`core`).
//!
//! Invariant: no core is ahead of the clock, except for the one whose turn it is.

use super::commons::{Commons, in_order};
use super::core::{Core, Progress};
use super::costs::{Cores, Costs};
use super::turns::{Order, Turn, Turns};
use crate::qemu::Pace;

const NANOSECONDS: u64 = 1_000_000_000;

/// Cores that go on together.
#[derive(Clone, Debug)]
pub struct Together {
    how: How,
    commons: Commons,
}

/// How they do that.
#[derive(Clone, Debug)]
enum How {
    /// Each by itself.
    Parallel,
    /// In turns.
    InTurns(Shared),
}

/// A clock, and whose turn it is.
#[derive(Clone, Debug)]
struct Shared {
    turns: Turns,
    /// The turn that is going on.
    turn: Option<Turn>,
    quiet: Quiet,
    /// What each core's timer was last seen to be programmed for.
    due: Vec<u64>,
    /// So many nanoseconds are so many ticks.
    scale: (u64, u64),
    /// Ticks from the machine's start to time 0.
    origin: u64,
}

/// A time in which nothing happens but that clients compute and cores are idle.
#[derive(Clone, Debug, Default)]
struct Quiet {
    until: u64,
    /// In which order turns were taken when the pacing timer expired in it, and when.
    orders: Vec<(u64, Order)>,
}

impl Together {
    /// Cores of a machine that has been there for `origin` ticks at time 0.
    pub fn new(cores: &[Core], (costs, pace): (&Costs, Pace), origin: u64) -> Self {
        let commons = Commons::new(cores);
        if cores.len() < 2 || costs.cores == Cores::AreParallel {
            return Self { how: How::Parallel, commons };
        }
        let number = cores.len() as u32;
        let divisor = common_divisor(NANOSECONDS, costs.frequency_hz);
        let scale = (NANOSECONDS / divisor, costs.frequency_hz / divisor);
        let (turns, due) = (Turns::new(number, pace, 0), vec![0; cores.len()]);
        let mut shared = Shared { turns, turn: None, quiet: Quiet::default(), due, scale, origin };
        shared.turns = Turns::new(number, pace, shared.nanoseconds(0));
        Self { how: How::InTurns(shared), commons }
    }

    /// Goes on to `end`, unless the broker acts before.
    pub fn advance(&mut self, cores: &mut [Core], end: u64) -> Progress {
        let Self { how, commons } = self;
        match (how, cores) {
            (How::InTurns(shared), cores) => shared.advance((cores, commons), end),
            (How::Parallel, [core]) => core.advance(end),
            (How::Parallel, cores) if commons.is_empty() => parallel(cores, end),
            (How::Parallel, cores) => in_order(commons, cores, end),
        }
    }

    /// The run is over: turns that are going on are recorded as far as they came, and the first core has what all share.
    pub fn close(&mut self, cores: &mut [Core]) {
        self.commons.each(cores, Core::close);
        self.commons.hand_to(0, cores);
    }

    /// The core of each step of the policy at a place; none of one that is not shared.
    pub fn step_cores(&self, place: usize) -> &[u32] {
        self.commons.step_cores(place)
    }
}

fn common_divisor(one: u64, other: u64) -> u64 {
    if other == 0 { one } else { common_divisor(other, one % other) }
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
    fn advance(&mut self, (cores, commons): (&mut [Core], &mut Commons), end: u64) -> Progress {
        // The broker may have acted.
        self.quiet = Quiet::default();
        (0..cores.len()).for_each(|number| _ = self.program(&cores[number], number));
        loop {
            if self.ticks(self.turns.now) >= end {
                commons.each(cores, |core| core.stand_still(core.now.max(end)));
                return Progress::Reached;
            }
            let turn = match self.turn.take() {
                Some(turn) => turn,
                None => {
                    let turn = self.turns.take();
                    // Whoever has lost a turn has lost it first.
                    if turn.end > self.turns.now
                        && self.turns.is_paced()
                        && self.repeats((cores, commons), end)
                    {
                        continue;
                    }
                    turn
                }
            };
            let core = commons.hand_to(turn.core, cores);
            core.stand_still(core.now.max(self.ticks(self.turns.now)));
            if let Some(stop) = self.execute((cores, commons), turn, end) {
                let now = cores[turn.core].now;
                self.turn = Some(turn);
                commons.each(cores, |core| core.stand_still(core.now.max(now)));
                return stop;
            }
        }
    }

    /// Passes over turns in which nothing happens, once they repeat themselves: whether they did. The pacing timer must have expired
    /// just now.
    fn repeats(&mut self, (cores, commons): (&mut [Core], &mut Commons), end: u64) -> bool {
        let (now, order) = (self.turns.now, self.turns.order);
        if now >= self.quiet.until {
            let mut until = end;
            commons.each(cores, |core| until = until.min(core.quiet_until()));
            self.quiet = Quiet { until: self.nanoseconds(until), orders: Vec::new() };
        }
        let Quiet { until, orders } = &mut self.quiet;
        let Some((before, _)) = orders.iter().find(|(_, before)| *before == order) else {
            orders.push((now, order));
            return false;
        };
        let span = self.turns.skip(*until, now - before);
        orders.clear();
        let ticks = self.ticks(self.turns.now) - self.ticks(now);
        commons.each(cores, |core| core.skip(ticks));
        span > 0
    }

    /// A core's turn, to its end.
    fn execute(
        &mut self,
        (cores, commons): (&mut [Core], &mut Commons),
        turn: Turn,
        end: u64,
    ) -> Option<Progress> {
        // The first spins when it is idle, so that the clock goes on (`docs/overview.md`).
        let waits = |core: &Core| turn.core != 0 && !core.is_busy();
        if waits(&cores[turn.core]) {
            self.turns.waited(turn.core);
            return None;
        }
        let limit = self.ticks(turn.end).min(end);
        while cores[turn.core].now < limit && !waits(&cores[turn.core]) {
            if let Some(stop) = cores[turn.core].advance_once(limit) {
                return Some(stop);
            }
            let has_told = commons.tell(cores);
            if has_told {
                self.turns.tell_all();
            }
            if self.program(&cores[turn.core], turn.core) || has_told {
                break;
            }
        }
        let now = cores[turn.core].now;
        let now = if now == limit { turn.end } else { self.nanoseconds(now) };
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
        tick.saturating_add(self.origin).saturating_mul(self.scale.0).div_ceil(self.scale.1)
    }

    fn ticks(&self, nanoseconds: u64) -> u64 {
        (nanoseconds.saturating_mul(self.scale.1) / self.scale.0).saturating_sub(self.origin)
    }
}
