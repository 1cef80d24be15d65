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
    /// Whose turn is next.
    pub order: Order,
}

/// Whose turn is next. Cores as bits: the first is the lowest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Order {
    /// The core that is next; if it is none of them, the first.
    next: usize,
    /// The cores that are told to leave.
    told: u32,
    /// What each core may execute in the present round, if there is one.
    round: Option<u64>,
}

impl Turns {
    /// Turns from this time on, as if a round was to begin then. The pacing timer has expired each time that a whole number of its
    /// periods had passed since the machine started, at 0.
    pub fn new(cores: u32, pace: Pace, now: u64) -> Self {
        let interval = u64::from(pace.interval_us(cores)) * 1000;
        Self {
            now,
            shift: pace.shift(cores),
            interval,
            pacer: (now / interval + 1) * interval,
            timers: vec![u64::MAX; cores as usize],
            order: Order::default(),
        }
    }

    /// The next turn. It may be over at once.
    pub fn take(&mut self) -> Turn {
        loop {
            let Order { next: core, told, round } = self.order;
            match round {
                None => self.begin_round(),
                Some(_) if core >= self.timers.len() => self.order.round = None,
                Some(_) if told & 1 << core != 0 => {
                    self.order = Order { next: core, told: told & !(1 << core), round: None };
                }
                Some(budget) => {
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
        self.order.told &= !(1 << core);
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
            self.tell_all();
        }
        is_first
    }

    /// Whether the pacing timer has expired just now.
    pub fn is_paced(&self) -> bool {
        self.now + self.interval == self.pacer
    }

    /// Passes over as many cycles as leave a period of the pacing timer before `until`: how long they take. A cycle is a number
    /// of such periods, and leaves the order of turns as it was; until then no other timer expires.
    pub fn skip(&mut self, until: u64, cycle: u64) -> u64 {
        let span = until.saturating_sub(self.now + self.interval) / cycle * cycle;
        self.now += span;
        self.pacer += span;
        span
    }

    fn pass(&mut self, core: usize, now: u64) {
        self.now = self.now.max(now);
        self.order.next = core + 1;
    }

    fn begin_round(&mut self) {
        if self.nearest() <= self.now {
            self.run_timers();
        }
        let limit = self.limit();
        let each = limit / self.timers.len() as u64;
        self.order.round = Some(if each == 0 { limit } else { each });
        if self.order.next >= self.timers.len() {
            self.order.next = 0;
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
        self.tell_all();
    }

    /// All cores are told to leave, as when one interrupts another.
    pub fn tell_all(&mut self) {
        self.order.told = (1 << self.timers.len()) - 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The next turns: whose, and when each has ended, if every core uses up what it has.
    fn next(turns: &mut Turns, count: usize) -> Vec<(usize, u64)> {
        let mut next = || {
            let turn = turns.take();
            turns.executed(turn.core, turn.end);
            (turn.core, turn.end)
        };
        (0..count).map(|_| next()).collect()
    }

    #[test]
    fn two_cores_halve_the_time_until_the_timer_and_who_meets_it_is_a_matter_of_an_instruction() {
        let mut turns = Turns::new(2, Pace::Coarse, 0);
        assert_eq!(next(&mut turns, 2), [(0, 12_500), (1, 25_000)]);
        // The timer has told both to leave, so each begins a round. 6250 instructions: 3125, 1562, twice 781, and one is left.
        let first = [(0, 37_500), (1, 43_748), (0, 46_872), (1, 49_996), (0, 50_000)];
        assert_eq!(next(&mut turns, 5), first);
        // Now the timer expires when the second would be next, which loses its turn, and is told no more.
        assert_eq!(next(&mut turns, 3), [(1, 50_000), (0, 62_500), (1, 75_000)]);
        let again: Vec<_> = first.iter().map(|(core, end)| (*core, end + 50_000)).collect();
        assert_eq!(next(&mut turns, 5), again);
    }

    #[test]
    fn a_core_that_waits_takes_no_time_and_its_part_is_shared_out_in_the_next_round() {
        let mut turns = Turns::new(2, Pace::Coarse, 0);
        assert_eq!(turns.take(), Turn { core: 0, end: 12_500 });
        turns.waited(0);
        assert_eq!(next(&mut turns, 1), [(1, 12_500)]);
        assert_eq!(turns.take(), Turn { core: 0, end: 18_748 });
    }

    #[test]
    fn who_programs_the_nearest_timer_ends_its_turn_and_everybodys_round() {
        let mut turns = Turns::new(2, Pace::Coarse, 0);
        assert_eq!(turns.take().core, 0);
        assert!(!turns.program(0, 30_000, 2_000), "the pacing timer comes before it");
        assert!(turns.program(0, 20_000, 4_000));
        turns.executed(0, 4_000);
        // 4000 instructions are left.
        assert_eq!(next(&mut turns, 3), [(1, 12_000), (0, 16_000), (1, 20_000)]);
        assert!(
            !turns.program(0, 19_000, 20_000),
            "it has expired already: that is an interrupt, and no timer"
        );
        assert_eq!(turns.take(), Turn { core: 0, end: 20_000 + 2_500 });
    }

    #[test]
    fn the_pacing_timer_keeps_to_whole_periods_since_the_machine_started() {
        let mut turns = Turns::new(4, Pace::Fine, 19_220_112);
        let first = turns.take();
        assert_eq!(first, Turn { core: 0, end: 19_220_112 + 3_888 / 4 });
        turns.executed(0, first.end);
        let ends: Vec<u64> = next(&mut turns, 100).into_iter().map(|(_, end)| end).collect();
        assert!([19_224_000, 19_228_000].iter().all(|expiry| ends.contains(expiry)), "{ends:?}");
    }

    #[test]
    fn what_is_passed_over_is_what_would_have_come_again() {
        let mut turns = Turns::new(4, Pace::Fine, 1_000_112);
        let mut paced = Vec::new();
        let cycle = loop {
            let turn = turns.take();
            if turns.is_paced() && turn.end > turns.now {
                let same = paced.iter().find(|(_, order)| *order == turns.order);
                if let Some((before, _)) = same {
                    break turns.now - before;
                }
                paced.push((turns.now, turns.order));
            }
            turns.executed(turn.core, turn.end);
        };
        let mut again = turns.clone();
        let span = again.skip(turns.now + 1_000_000, cycle);
        assert!(span > 900_000 && span <= 996_000, "{span}");
        let (all, after) = (next(&mut turns, 10_000), next(&mut again, 100));
        assert!(all.windows(100).any(|some| some == after), "{after:?}");
    }
}
