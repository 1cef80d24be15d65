//! The benchmark: what each operation of the kernel, and of libOS code on top of it, costs in instructions and cycles.
//!
//! A libOS of its own, which its creator gives slots. Activation 0 measures, with [`peer`]s that it creates out of the same
//! program; those of other cores make load. [`counter`] has the counters. The operations are in [`simple`], [`faults`],
//! [`turns`], [`transfer`], [`slices`], [`ipc`], [`memory`], [`paging`], [`life`], [`compute`]; [`scale`] repeats some in a crowd and on several cores. A
//! program of its own, [`decisions`], measures policies.
//!
//! Not here: what the figures are compared with, and whether they are good (the host's `tools`). `docs/bench.md` explains
//! what is counted from where to where.

pub mod compute;
pub mod counter;
pub mod decisions;
pub mod faults;
pub mod ipc;
pub mod life;
pub mod memory;
pub mod multitude;
pub mod paging;
pub mod peer;
pub mod scale;
pub mod simple;
pub mod slices;
pub mod transfer;
pub mod turns;

use crate::assignment::{EVENT_REPORT, without_clients};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering::{AcqRel, Relaxed};
use counter::{Shot, Stamp};
use libos_core::archive::{self, Archive};
use libos_core::calls::{self, Events};
use libos_core::frames::Frames;
use libos_core::public::{EnvState, view};
use libos_core::report::{Measure, Record};
use libos_core::start::StartInfo;
use libos_core::{output, page, say};
use tranche_abi::layout::MAX_ENVS;
use tranche_abi::{Core, Error, Reason, Tick};

/// Repetitions of each measurement.
const SAMPLES: usize = 101;

/// Measures some operations. An error says which could not be measured, and why.
type Group = fn(&mut Bench) -> Result<(), String>;

/// What one core is asked.
const GROUPS: [(&str, Group); 11] = [
    ("calls", simple::measure),
    ("faults", faults::measure),
    ("directed yields", turns::measure),
    ("transfers", transfer::measure),
    ("slices", slices::measure),
    ("communication", ipc::measure),
    ("memory", memory::measure),
    ("memory with page tables", paging::measure),
    ("environments", life::measure),
    ("computation", compute::measure),
    ("a crowd", scale::crowd),
];

/// What the measurements work with.
pub struct Bench {
    /// Free frames.
    pub frames: Frames,
    /// The programs.
    pub archive: Archive<'static>,
    /// What two stamps cost with nothing between them.
    pub overhead: Stamp,
    /// Operations that should take the same number of instructions each time and did not.
    varying: Vec<String>,
}

/// Whether repetitions of an operation take the same path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Path {
    /// They do, so they must take the same number of instructions.
    Same,
    /// They begin or end at an interrupt, which comes at any instruction of a loop.
    Interrupted,
}

/// Runs as the libOS, or as a peer that it created.
pub fn main(info: StartInfo) {
    if info.name == peer::NAME {
        return peer::run(&info);
    }
    let arrived = page::now();
    if page::index() == 0 {
        measure_all(&info);
    } else {
        scale::be_load();
    }
    await_report();
    if page::index() == 0 {
        output::report(&Record::LibOs(without_clients(&info.name, arrived)));
    }
    output::stats().reported.fetch_add(1, AcqRel);
}

fn measure_all(info: &StartInfo) {
    let Some(archive) = archive::boot() else {
        return check("the boot archive can be read", Err("it is no tar file".into()));
    };
    let frames = Frames::new(info.owned_frames());
    let mut bench = Bench { frames, archive, overhead: counter::overhead(), varying: Vec::new() };
    // On several cores the counter counts the instructions of all of them: only what `scale` makes of it means anything.
    let one_core = info.activations == 1;
    await_slots();
    let groups: &[(&str, Group)] = if one_core { &GROUPS } else { &[("several cores", scale::cores)] };
    for (name, group) in groups {
        let measured = group(&mut bench).map(|()| String::new());
        check(&format!("every operation can be measured: {name}"), measured);
    }
    let varying = core::mem::take(&mut bench.varying);
    let same = if varying.is_empty() { Ok("all do".into()) } else { Err(varying.join("; ")) };
    check("operations that take one path take the same instructions each time", same);
}

fn check(name: &str, found: Result<String, String>) {
    let passed = found.is_ok();
    let detail = found.unwrap_or_else(|wrong| wrong);
    if !passed {
        say!("bench: {name}: {detail}");
    }
    output::report(&Record::Check { name: name.into(), passed, detail });
    let stats = output::stats();
    let counter = if passed { &stats.checks_passed } else { &stats.checks_failed };
    counter.fetch_add(1, Relaxed);
}

/// Waits until most slots of every core are ours: our creator gives them one by one.
fn await_slots() {
    let most = view().slots() * 9 / 10;
    let has_most = |core| view().owned_slots(Core(core), page::env()).count() as u64 >= most;
    while !(0..view().cores()).all(has_most) {
        sleep(view().quantum());
    }
}

/// The creator's wish for the report, whenever it came.
static EVENTS: AtomicU64 = AtomicU64::new(0);

/// Takes the events that came, and keeps in mind whether the report is wanted.
pub fn take_events() {
    note_events(page::take_events());
    page::take_ready();
}

/// Keeps in mind what somebody else took.
pub fn note_events(events: u64) {
    EVENTS.fetch_or(events & EVENT_REPORT, Relaxed);
}

/// Sleeps for so many ticks.
pub fn sleep(span: Tick) {
    let until = page::now().saturating_add(span);
    while page::now() < until {
        take_events();
        // Refused only where there is no kernel, and no clock that would move.
        if calls::wait(until).is_err() {
            return;
        }
    }
}

/// Waits until the creator wants the report, which is all written by then.
fn await_report() {
    loop {
        take_events();
        if EVENTS.load(Relaxed) != 0 {
            return;
        }
        // Refused only where there is no kernel.
        if calls::wait(Tick::NEVER).is_err() {
            return;
        }
    }
}

impl Bench {
    /// Measures an operation again and again, each time with enough of the slice left. `sample` returns the difference of
    /// two stamps.
    pub fn samples(
        &mut self,
        operation: &str,
        mut sample: impl FnMut(&mut Self) -> Result<Stamp, String>,
    ) -> Result<Vec<Stamp>, String> {
        let mut samples = Vec::with_capacity(SAMPLES);
        // The first time, pages and FP/SIMD registers may be new.
        for number in 0..SAMPLES + 2 {
            settle();
            let cost = sample(self).map_err(|wrong| format!("{operation}: {wrong}"))?;
            if number >= 2 {
                samples.push(cost.without(self.overhead));
            }
        }
        Ok(samples)
    }

    /// Measures an operation and reports it.
    pub fn series(
        &mut self,
        operation: &str,
        sample: impl FnMut(&mut Self) -> Result<Stamp, String>,
    ) -> Result<(), String> {
        let samples = self.samples(operation, sample)?;
        self.record(operation, &samples, Path::Same)
    }

    /// Reports what was measured of an operation.
    pub fn record(&mut self, operation: &str, samples: &[Stamp], path: Path) -> Result<(), String> {
        if samples.is_empty() {
            return Err(format!("{operation}: nothing was measured"));
        }
        let measure = summary(operation, samples);
        // On several cores, others' instructions are counted in between.
        if path == Path::Same && view().cores() == 1 && measure.least != measure.samples {
            let spread = measure.instructions;
            self.varying.push(format!("{operation}: {} to {}", spread.minimum, spread.maximum));
        }
        output::report(&Record::Measure(measure));
        Ok(())
    }
}

/// The record of an operation's samples.
fn summary(operation: &str, samples: &[Stamp]) -> Measure {
    let instructions = counter::spread(samples.iter().map(|sample| sample.instructions));
    let least = samples.iter().filter(|sample| sample.instructions == instructions.minimum);
    Measure {
        operation: operation.into(),
        environments: environments(),
        samples: samples.len() as u64,
        least: least.count() as u64,
        instructions,
        cycles: counter::spread(samples.iter().map(|sample| sample.cycles)),
    }
}

/// Environments that are alive.
pub fn environments() -> u64 {
    (0..MAX_ENVS as u64).filter(|env| view().env_state(*env) == EnvState::Alive).count() as u64
}

/// The cost of a call that the kernel must accept.
pub fn accepted(shot: Shot) -> Result<Shot, String> {
    match shot.reply[0] {
        0 => Ok(shot),
        error => Err(format!("refused: {:?}", Error::from_register(error))),
    }
}

/// Describes a call that must be accepted, and was not.
pub fn refused(what: &'static str) -> impl Fn(Error) -> String {
    move |error| format!("{what}: {error:?}")
}

/// Runs a peer until it has started up, and gives the CPU back of its own accord.
pub fn start(peer: &peer::Peer) -> Result<(), String> {
    loop {
        let outcome =
            calls::yield_to(peer.target(), Tick::NEVER, Events::Ignore).map_err(refused("yield_to"))?;
        match outcome.reason {
            Reason::Yielded | Reason::Waiting => return Ok(()),
            Reason::Expired => {}
            other => return Err(format!("a peer that starts up: {other:?}")),
        }
    }
}

/// Sees to it that the next half of a slice is not interrupted by its end.
pub fn settle() {
    let half = view().quantum().0 / 2;
    while page::own().slot_end.load(Relaxed).saturating_sub(page::now().0) < half {
        // Refused only where there is no kernel.
        if calls::yield_now().is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_summary_tells_how_many_samples_took_the_least_instructions() {
        let at = |instructions, cycles| Stamp { instructions, cycles };
        let measure = summary("null", &[at(12, 40), at(10, 60), at(10, 50)]);
        assert_eq!((measure.samples, measure.least), (3, 2));
        assert_eq!((measure.instructions.minimum, measure.instructions.maximum), (10, 12));
        assert_eq!(measure.cycles.median, 50);
    }
}
