//! Turns: how QEMU lets the cores of a machine share its virtual time under `-icount`, instruction by instruction.
//!
//! One host thread executes all cores, one after the other, and time is the count of all their instructions: while one
//! executes, the others stand still. In QEMU 10.0 (`accel/tcg/tcg-accel-ops-rr.c` and `-icount.c`, `system/cpu-timers.c`) it
//! goes like this. A *round* runs the timers that have expired, divides what is left until the nearest timer by the number of cores, and
//! lets the cores from the next one to the last have that much each, but never more than is left. A core that waits for an
//! interrupt returns at once. Whenever timers were run, or a core has programmed one that comes before all others, all cores are
//! *told to leave*: who executes leaves, and each of the others ends the round in which its turn would come. The round
//! that follows begins with it, and divides anew. If the last turn ended just when a timer expired, then the core that would be next
//! runs the timers, and has lost its turn. So turns in front of a timer become shorter and shorter, and who comes first after it
//! hangs on an instruction; that is why it is counted here as it is there.
//!
//! Not here: what a core does in its turn (`core`), and that it stands still in the others' (`together`). All in nanoseconds of
//! virtual time, and instructions, each of which takes 2^shift of them.

use crate::qemu::Pace;

/// A core's turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Turn {
    /// Whose.
    pub core: usize,
    /// When it ends at the latest.
    pub end: u64,
}

/// Whose turn it is, and what comes after it.
#[derive(Clone, Debug)]
pub struct Turns {
    /// The time.
    pub now: u64,
    shift: u32,
    /// The pacing timer's period, and when it expires next.
    interval: u64,
    pacer: u64,
    /// The timer of each core, until it expires; never: `u64::MAX`.
    timers: Vec<u64>,
    /// The cores that are told to leave.
    told: Vec<bool>,
    /// The core that is next; if it is none of them, the first.
    next: usize,
    /// What each core may execute in the present round, if there is one.
    round: Option<u64>,
}

impl Turns {
    /// Turns from this time on, as if a round was to begin then. The pacing timer has expired each time that a whole number of its
    /// periods had passed since the machine started, at 0.
    pub fn new(cores: u32, pace: Pace, now: u64) -> Self {
        let interval = u64::from(pace.interval_us(cores)) * 1000;
        let cores_of = cores as usize;
        Self {
            now,
            shift: pace.shift(cores),
            interval,
            pacer: (now / interval + 1) * interval,
            timers: vec![u64::MAX; cores_of],
            told: vec![false; cores_of],
            next: 0,
            round: None,
        }
    }

    /// The next turn. It may be over at once.
    pub fn take(&mut self) -> Turn {
        loop {
            let Some(budget) = self.round else {
                self.begin_round();
                continue;
            };
            let core = self.next;
            match self.told.get(core) {
                None => self.round = None,
                Some(true) => (self.told[core], self.round) = (false, None),
                Some(false) => {
                    let most = self.limit().min(budget);
                    if most == 0 {
                        self.run_timers();
                    }
                    return Turn { core, end: self.now + (most << self.shift) };
                }
            }
        }
    }

    /// A core's turn is over, at this time: it has used it up, or programmed a timer, or waits.
    pub fn executed(&mut self, core: usize, now: u64) {
        self.told[core] = false;
        self.pass(core, now);
    }

    /// A core had nothing to do in its turn.
    pub fn waited(&mut self, core: usize) {
        self.pass(core, self.now);
    }

    /// A core programs its timer, at this time: whether all are told to leave, so that its turn is over.
    pub fn program(&mut self, core: usize, timer: u64, now: u64) -> bool {
        self.timers[core] = u64::MAX;
        let is_first = timer > now && timer < self.nearest();
        if timer > now {
            self.timers[core] = timer;
        }
        if is_first {
            self.told.fill(true);
        }
        is_first
    }

    fn pass(&mut self, core: usize, now: u64) {
        self.now = self.now.max(now);
        self.next = core + 1;
    }

    fn begin_round(&mut self) {
        if self.nearest() <= self.now {
            self.run_timers();
        }
        let limit = self.limit();
        let each = limit / self.told.len() as u64;
        self.round = Some(if each == 0 { limit } else { each });
        if self.next >= self.told.len() {
            self.next = 0;
        }
    }

    /// The nearest timer.
    fn nearest(&self) -> u64 {
        self.timers.iter().fold(self.pacer, |nearest, timer| nearest.min(*timer))
    }

    /// How many instructions are left until the nearest timer.
    fn limit(&self) -> u64 {
        self.nearest().saturating_sub(self.now).div_ceil(1 << self.shift)
    }

    fn run_timers(&mut self) {
        let now = self.now;
        self.timers.iter_mut().filter(|timer| **timer <= now).for_each(|timer| *timer = u64::MAX);
        if self.pacer <= now {
            // QEMU reckons with whole microseconds here.
            self.pacer = now / 1000 * 1000 + self.interval;
        }
        self.told.fill(true);
    }
}
