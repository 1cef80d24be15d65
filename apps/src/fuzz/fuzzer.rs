//! One activation of a fuzzer: makes a call, a sequence of calls, or does something to itself, again and again, until it
//! is ended. A fault brings it back to the beginning with an empty stack.
//!
//! Not here: what calls are made with (`arguments`), what is in a sequence (`sequences`) or an abuse (`abuse`). What it
//! remembers is in statics, because its stack may go at any time; it allocates nothing once it has begun.

use super::arguments::{ROOM, Source, World};
use super::kinds::{KINDS, Kind};
use super::stubs::{self, Entry, FOREIGN, NUMBERS, Registers};
use super::tally::{GIFTS, Tally, UNKNOWN};
use super::{abuse, sequences};
use crate::probe::{self, class};
use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering::Relaxed;
use libos_core::chance::seed;
use libos_core::public::view;
use libos_core::start::StartInfo;
use libos_core::upcall::{self, Fault, Saved, Slices};
use libos_core::{layout, page};
use serde::{Deserialize, Serialize};
use tranche_abi::Capability;
use tranche_abi::calls::NAMES;
use tranche_abi::layout::MAX_ACTIVATIONS;

/// What a fuzzer is told in its start page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FuzzerArguments {
    /// The seed of this environment.
    pub seed: u64,
    /// First of the frames that are its own, to do anything with.
    pub first_frame: u64,
    /// How many.
    pub frames: u64,
}

/// Each activation's chance and memory.
static SOURCES: [Source; MAX_ACTIVATIONS] = [const { Source::new() }; MAX_ACTIVATIONS];
/// First of the environment's own frames, and how many.
static OWN_FRAMES: [AtomicU64; 2] = [const { AtomicU64::new(0) }; 2];

/// Of so many steps one is an abuse, ...
const STEPS: u64 = 1024;
/// ... and these are sequences.
const SEQUENCES: u64 = 50;
/// One of so many calls has a number that is not in the table.
const UNKNOWN_IN: u64 = 24;

/// A call is made again with a change fewer times than this.
const CHANGES: u64 = 8;
/// Faults in a row after which it faults in the handler, too: without its stack it can only do that again and again.
const FAULTS: u64 = 8;
/// Of so many calls that would pull away what the fuzzer stands on, one is made: it would do nothing else.
const LETHAL_IN: u64 = 64;

/// Calls that are cheap or do much are made more often, and calls that end the caller or its turn less often. In
/// 1/256ths; what is left is shared by all others.
const SHARES: &[(&str, usize)] = &[
    ("null", 160),
    ("unbind", 6),
    ("slot_aim", 5),
    ("notify", 4),
    ("yield_to", 3),
    ("yield_now", 1),
    ("wait", 2),
    ("resume", 1),
    ("env_destroy", 1),
    ("env_create", 2),
];

/// The call table's rows, as often as they are to be made.
const ROWS: [u8; 256] = rows();

const fn rows() -> [u8; 256] {
    let mut rows = [0; 256];
    let mut filled = 0;
    let mut row = 0;
    while row < NAMES.len() {
        let mut share = 0;
        while share < shares_of(NAMES[row].1) && filled < rows.len() {
            rows[filled] = row as u8;
            filled += 1;
            share += 1;
        }
        row += 1;
    }
    // The rest in turn to those that have no share of their own.
    let mut row = 0;
    while filled < rows.len() {
        if shares_of(NAMES[row].1) == 0 {
            rows[filled] = row as u8;
            filled += 1;
        }
        row = (row + 1) % NAMES.len();
    }
    rows
}

const fn shares_of(name: &str) -> usize {
    let mut place = 0;
    while place < SHARES.len() {
        if super::kinds::same(SHARES[place].0, name) {
            return SHARES[place].1;
        }
        place += 1;
    }
    0
}

/// Whether a call ends a fuzzer or unmaps what it stands on, if it is accepted.
fn is_lethal(row: usize, arguments: &[u64; 8]) -> bool {
    let unmaps = row == const { self::row("unmap") } || row == const { self::row("protect") };
    let vital = !(ROOM..ROOM + (1 << 36)).contains(&arguments[1]);
    unmaps && vital || row == const { self::row("env_destroy") } && arguments[0] < 4
}

/// The row of a call of the table, by name.
pub const fn row(name: &str) -> usize {
    let mut row = 0;
    while row < NAMES.len() {
        if super::kinds::same(NAMES[row].1, name) {
            return row;
        }
        row += 1;
    }
    panic!("the call table has no call of that name")
}

/// Begins to make calls, for ever.
pub fn main(info: &StartInfo) {
    let Ok(arguments) = info.arguments::<FuzzerArguments>() else { return };
    let activation = page::index();
    let tally = Tally::own();
    let start = tally.start();
    OWN_FRAMES[0].store(arguments.first_frame, Relaxed);
    OWN_FRAMES[1].store(arguments.frames, Relaxed);
    let gifts: [Capability; GIFTS] = core::array::from_fn(|place| tally.gift(place));
    SOURCES[activation as usize % MAX_ACTIVATIONS].seed(seed(&[arguments.seed, activation, start]), gifts);
    go_on(activation);
}

/// Goes on making calls as an activation, with whatever it remembers.
pub(crate) extern "C" fn go_on(activation: u64) {
    let mut fuzzer = Fuzzer::new(activation);
    fuzzer.register();
    // On the host there is nothing to call, and nobody to end it.
    while cfg!(target_os = "none") {
        fuzzer.step();
    }
}

/// The handler: a call that was reflected goes on after it, and everything else at the beginning.
fn on_fault(fault: Fault, saved: &mut Saved<'_>) {
    let tally = Tally::own();
    tally.faulted();
    if fault.class() == class::SVC {
        tally.reflected();
    } else {
        // Neither its page nor its stack pointer need be right about who this is.
        let own = saved.activation();
        if SOURCES[own as usize % MAX_ACTIVATIONS].faults.fetch_add(1, Relaxed) >= FAULTS {
            probe::undefined(0);
        }
        saved.set_pc(stubs::again(own));
    }
}

/// An activation that makes calls.
pub struct Fuzzer {
    /// Its chance and memory.
    pub source: &'static Source,
    /// Where it counts.
    pub tally: &'static Tally,
    /// What it knows.
    pub world: World,
    /// Its index.
    pub activation: u64,
}

impl Fuzzer {
    fn new(activation: u64) -> Self {
        let view = view();
        let world = World {
            cores: view.cores(),
            slots: view.slots(),
            first_frame: view.first_frame().0,
            frames: view.frames(),
            own_first: OWN_FRAMES[0].load(Relaxed),
            own_frames: OWN_FRAMES[1].load(Relaxed),
            env: page::env(),
            now: page::now().0,
        };
        let source = &SOURCES[activation as usize % MAX_ACTIVATIONS];
        Self { source, tally: Tally::own(), world, activation }
    }

    /// Registers the handler, and now and then upcalls for slices.
    pub fn register(&self) {
        let slices = if self.source.once_in(3) { Slices::ByUpcall } else { Slices::ByKernel };
        upcall::register(slices, Some(on_fault));
    }

    /// One thing.
    fn step(&mut self) {
        self.world.now = page::now().0;
        match self.source.below(STEPS) {
            0 => abuse::any(self),
            1..=SEQUENCES => sequences::any(self),
            _ if self.source.once_in(UNKNOWN_IN) => self.unknown(),
            _ => self.known(),
        }
    }

    /// A call of the table, and the same again with one argument changed, some times.
    fn known(&self) {
        let row = usize::from(ROWS[self.source.below(256) as usize]);
        let mut arguments = self.source.arguments(KINDS[row], &self.world);
        for _ in 0..=self.source.below(CHANGES) {
            if is_lethal(row, &arguments) && !self.source.once_in(LETHAL_IN) {
                // Elsewhere, or somebody who is hardly there.
                arguments[1] = ROOM + (arguments[1] & 0x7000);
                arguments[0] = if row == const { self::row("env_destroy") } { 6 } else { arguments[0] };
            }
            let reply = self.call(row, arguments);
            if reply[0] == 0 {
                self.learn(&reply);
            }
            if !KINDS[row].is_empty() {
                let place = self.source.below(KINDS[row].len() as u64) as usize;
                arguments[place] = self.source.argument(KINDS[row][place], &self.world);
            }
        }
    }

    fn learn(&self, reply: &[u64; 8]) {
        self.source.learn(reply[1]);
        if reply[2] != 0 {
            self.source.learn_capability(Capability { body: reply[1], mac: reply[2] });
        }
    }

    /// A call that is not in the table.
    fn unknown(&self) {
        let any = self.source.below(u64::from(NUMBERS) + FOREIGN.len() as u64);
        let entry = match any.checked_sub(u64::from(NUMBERS)) {
            Some(foreign) => Entry::Foreign(foreign as usize),
            None if self.source.once_in(2) => Entry::Plain(any as u8),
            None => Entry::Fast(any as u8),
        };
        let is_foreign = matches!(entry, Entry::Foreign(_));
        if is_foreign || NAMES.iter().all(|(known, _)| u64::from(*known) != any) {
            let x = self.source.arguments(&[Kind::Any; 8], &self.world);
            self.tally.made(UNKNOWN);
            stubs::call(entry, &mut Registers { x, x16: self.source.draw(), x17: 0 });
        }
    }

    /// Makes the call of a row; `x0` to `x7` afterwards.
    pub fn call(&self, row: usize, arguments: [u64; 8]) -> [u64; 8] {
        let (number, name) = NAMES[row];
        let mut registers = Registers { x: arguments, x16: self.source.draw(), x17: 0 };
        self.tally.made(row);
        let way = if self.source.once_in(4) { Entry::Plain } else { Entry::Fast };
        stubs::call(way(number as u8), &mut registers);
        self.source.faults.store(0, Relaxed);
        // The registers of a transfer are a message.
        let answer = if name.starts_with("pct_") { registers.x17 } else { registers.x[0] };
        self.tally.answered(row, answer);
        registers.x
    }

    /// Makes the call of a row with the first few arguments; whether it was accepted, and its values.
    pub fn try_call(&self, row: usize, arguments: &[u64]) -> Option<[u64; 4]> {
        let mut all = [0; 8];
        all.iter_mut().zip(arguments).for_each(|(place, argument)| *place = *argument);
        let [answer, values @ ..] = self.call(row, all);
        (answer == 0).then(|| [values[0], values[1], values[2], values[3]])
    }

    /// The top of this activation's stack.
    pub fn stack_top(&self) -> u64 {
        layout::stack_top(self.activation % MAX_ACTIVATIONS as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_call_of_the_table_is_made_at_times() {
        for (row, (_, name)) in NAMES.iter().enumerate() {
            let share = ROWS.iter().filter(|other| usize::from(**other) == row).count();
            let wanted = SHARES.iter().find(|(shared, _)| shared == name).map_or(1, |(_, share)| *share);
            assert!(share >= wanted, "{name}: {share}");
        }
    }

    #[test]
    fn calls_that_end_the_caller_are_rare() {
        let rare = ["yield_now", "resume", "env_destroy"].map(row);
        assert_eq!(ROWS.iter().filter(|other| rare.contains(&usize::from(**other))).count(), 3);
    }

    #[test]
    fn a_call_is_counted_before_it_is_made_and_its_answer_after() {
        let before = Tally::own().calls();
        let fuzzer = Fuzzer::new(2);
        // There is no kernel on the host.
        assert_eq!(fuzzer.try_call(row("null"), &[]), None);
        assert_eq!(Tally::own().calls(), before + 1);
    }
}
