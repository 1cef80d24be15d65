//! What is looked at, in the page's order: each check is a function, which says what it saw or what is wrong with it.
//!
//! Not here: how a core measures itself ([`super::core`]), how memory is tried ([`super::memory`]), how it is shown ([`mod@super::sheet`]).
#![forbid(unsafe_code)]

use super::Found;
use super::core::{self, Answers, Findings, Resident, WALKED};
use super::memory;
use crate::broker::card::{Card, Trouble};
use crate::display::device::Screen;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use libos_core::archive;
use libos_core::frames::{Frames, Run};
use libos_core::public::{Identity, View, view};
use libos_core::report::{MachineState, held_back_by};
use libos_core::scenario::Scenario;
use tranche_abi::layout::BLOCK_SIZE;
use tranche_abi::{Core, throttled};

/// A check.
pub type Check = fn(&mut Machine) -> Found;

/// Every check and its name.
pub const CHECKS: [(&str, Check); 10] = [
    ("cores", cores),
    ("exception level", levels),
    ("clocks", clocks),
    ("caches", caches),
    ("timer", timer),
    ("interrupts", interrupts),
    ("memory", memory),
    ("SD card", card),
    ("firmware", firmware),
    ("display", display),
];

/// The Raspberry Pi 4's number in the public region.
const PI: u64 = 2;
/// The slowest and the fastest that a core of either board may be, in Hz.
const CLOCKS: (u64, u64) = (300_000_000, 3_000_000_000);
/// Parts of a clock by which two may differ: a fiftieth.
const CLOCKS_APART: u64 = 50;
/// Tenths of a cycle that a step in the first-level cache may take: with the caches off, each goes to memory, 100 cycles away and more.
const FIRST_LEVEL: u64 = 600;
/// Microseconds by which a timer may be late, those after which another core must have answered, those by which two cores' clocks may differ.
const TIMER_LATE_US: u64 = 200;
const ANSWER_US: u64 = 2000;
const APART_US: u64 = 2;
/// Page frames that are for page tables while memory is tried.
const TABLES: u64 = 16;

/// What the checks look at.
pub struct Machine {
    view: View,
    frames: Frames,
    wanted_cores: u64,
    state: Option<MachineState>,
    card: Option<Found>,
    residents: Vec<Resident>,
    /// What each core found out about itself; those before the first that did not.
    findings: Vec<Findings>,
}

impl Machine {
    /// A machine of which nothing is known but what its firmware and its card say.
    pub fn new(
        frames: Frames,
        scenario: &Scenario,
        state: Option<MachineState>,
        card: Option<Found>,
    ) -> Self {
        let wanted_cores = scenario.cores.into();
        Self { view: view(), frames, wanted_cores, state, card, residents: Vec::new(), findings: Vec::new() }
    }

    /// Takes back what was given to other cores' environments; whether the kernel let it.
    pub fn end(self) -> Result<(), String> {
        let mut frames = self.frames;
        self.residents.into_iter().try_for_each(|resident| resident.end(&mut frames))
    }

    fn identities(&self) -> Vec<Identity> {
        (0..self.view.cores()).filter_map(|core| self.view.identity(Core(core))).collect()
    }

    fn us(&self, ticks: u64) -> u64 {
        ticks * 1_000_000 / self.view.frequency().max(1)
    }
}

/// What the card's results file says, as a check has it.
pub fn of_card(view: View, begun: &Result<Card, Trouble>) -> Found {
    match begun {
        Ok(card) => {
            let mib = (view.disk_blocks() * BLOCK_SIZE) >> 20;
            Ok(format!("{mib} MiB; run {} of its results file has begun", card.run()))
        }
        Err(trouble) => Err(trouble.to_string()),
    }
}

/// As many as there should be, all of a kind, and each runs what it is given.
fn cores(machine: &mut Machine) -> Found {
    let there = machine.view.cores();
    if there != machine.wanted_cores {
        return Err(format!("{there} run, {} should", machine.wanted_cores));
    }
    let archive = archive::boot().ok_or("there is no boot archive")?;
    machine.findings.push(core::measure());
    for core in 1..there {
        let mut resident = Resident::begin(core, &mut machine.frames, &archive)?;
        machine.findings.push(resident.findings()?);
        machine.residents.push(resident);
    }
    let mut kinds: BTreeMap<String, u64> = BTreeMap::new();
    for identity in machine.identities() {
        *kinds.entry(identity.name()).or_default() += 1;
    }
    let kinds: Vec<String> = kinds.iter().map(|(name, count)| format!("{count} of {name}")).collect();
    let seen = format!("{}; each ran a program", kinds.join(", "));
    if kinds.len() == 1 { Ok(seen) } else { Err(seen) }
}

fn levels(machine: &mut Machine) -> Found {
    let levels: Vec<u64> = machine.identities().iter().map(|identity| identity.entry_level).collect();
    level(machine.view.board(), &levels)
}

/// The firmware hands all cores over at the same level: a Pi's at 2, where its stub leaves them.
fn level(board: u64, levels: &[u64]) -> Found {
    let good = |level: u64| if board == PI { level == 2 } else { matches!(level, 1 | 2) };
    match levels {
        [first, others @ ..] if others.iter().all(|level| level == first) && good(*first) => {
            Ok(format!("all handed over at EL{first}; the kernel at EL1, this program at EL0"))
        }
        _ => Err(format!("handed over at EL {levels:?}")),
    }
}

fn clocks(machine: &mut Machine) -> Found {
    let clocks: Vec<u64> = machine.findings.iter().map(|findings| findings.clock).collect();
    clock(machine.view.frequency(), &clocks, machine.state.and_then(|state| state.clock))
}

/// The cores' clocks against the timer's: all the same, and what the firmware says, if it does.
fn clock(timer: u64, clocks: &[u64], firmware: Option<u64>) -> Found {
    let (Some(&slowest), Some(&fastest)) = (clocks.iter().min(), clocks.iter().max()) else {
        return Err("no core measured its own".into());
    };
    let mhz = |hz: u64| hz / 1_000_000;
    let cores = if mhz(slowest) == mhz(fastest) {
        format!("{} MHz", mhz(slowest))
    } else {
        format!("{} to {} MHz", mhz(slowest), mhz(fastest))
    };
    let said = firmware.map_or(String::new(), |hz| format!("; the firmware measures {} MHz", mhz(hz)));
    let khz = timer / 1000;
    let seen = format!("timer {}.{:03} MHz, cores {cores}{said}", khz / 1000, khz % 1000);
    let in_range = CLOCKS.0 <= slowest && fastest <= CLOCKS.1;
    let same = |one: u64, other: u64| one.abs_diff(other) <= one / CLOCKS_APART;
    let good = in_range && same(fastest, slowest) && firmware.is_none_or(|hz| same(hz, fastest));
    if good { Ok(seen) } else { Err(seen) }
}

fn caches(machine: &mut Machine) -> Found {
    let sizes: Vec<[u64; 3]> = machine.identities().iter().map(|identity| identity.caches).collect();
    let steps: Vec<[u64; 3]> = machine.findings.iter().map(|findings| findings.steps).collect();
    cache(&sizes, &steps)
}

/// That there are some, and that they are on: a walk through memory that has room in the first is fast on every core.
fn cache(sizes: &[[u64; 3]], steps: &[[u64; 3]]) -> Found {
    let ([size, ..], [_, ..]) = (sizes, steps) else { return Err("no core measured its own".into()) };
    let slowest = |place: usize| steps.iter().map(|steps| steps[place]).max().unwrap_or(0);
    let kib = |place: usize| size[place] >> 10;
    let walks: Vec<String> = (0..WALKED.len())
        .map(|place| format!("{}.{} ({} KiB)", slowest(place) / 10, slowest(place) % 10, WALKED[place] >> 10))
        .collect();
    let seen = format!(
        "L1 {} + {} KiB, L2 {} KiB; cycles of a step through memory: {}",
        kib(0),
        kib(1),
        kib(2),
        walks.join(", ")
    );
    let there = sizes.iter().all(|sizes| sizes.iter().all(|size| *size > 0));
    if there && slowest(0) <= FIRST_LEVEL { Ok(seen) } else { Err(seen) }
}

fn timer(machine: &mut Machine) -> Found {
    let latest: Vec<u64> = machine.findings.iter().map(|findings| machine.us(findings.latest)).collect();
    late(&latest)
}

fn late(latest: &[u64]) -> Found {
    let each: Vec<String> = latest.iter().map(u64::to_string).collect();
    let seen = format!("at most {} us late on each core in turn", each.join(", "));
    let good = !latest.is_empty() && latest.iter().all(|us| *us <= TIMER_LATE_US);
    if good { Ok(seen) } else { Err(seen) }
}

/// From core 0 to each other and back.
fn interrupts(machine: &mut Machine) -> Found {
    let mut all = Answers::default();
    for resident in &mut machine.residents {
        let answers = resident.ask()?;
        all.slowest = all.slowest.max(answers.slowest);
        all.apart = all.apart.max(answers.apart);
    }
    let version = format!("GICv{}", machine.view.gic());
    if machine.residents.is_empty() {
        return Ok(format!("{version}; no other core to ask"));
    }
    answered(&version, machine.us(all.slowest), machine.us(all.apart))
}

fn answered(version: &str, slowest: u64, apart: u64) -> Found {
    let seen = format!(
        "{version}: every core answers core 0 within {slowest} us; their clocks at most {apart} us apart"
    );
    if slowest <= ANSWER_US && apart <= APART_US { Ok(seen) } else { Err(seen) }
}

/// All ranges that the kernel found, but what it and this program live in.
fn memory(machine: &mut Machine) -> Found {
    let failed = "there are no free page frames";
    let tables = machine.frames.take(TABLES).ok_or(failed)?;
    let free = machine.frames.take_longest().ok_or(failed)?;
    let holds = |range: &Run| range.first <= free.first && free.end() <= range.end();
    let ranges: Vec<Run> =
        machine.view.memory().map(|range| if holds(&range) { free } else { range }).collect();
    let found = memory::check(&ranges, &mut Frames::new(tables));
    machine.frames.put(free);
    // Those that became tables are mapped, and stay so.
    found
}

fn card(machine: &mut Machine) -> Found {
    match machine.card.take() {
        Some(found) => found,
        None if machine.view.board() == PI => {
            Err("none answers (in QEMU: give it one, ./just run-pi hardware --sd IMAGE)".into())
        }
        None => Ok("the machine has none".into()),
    }
}

fn firmware(machine: &mut Machine) -> Found {
    says(machine.view.board(), machine.state)
}

/// What held the cores back since the machine was switched on must be nothing.
fn says(board: u64, state: Option<MachineState>) -> Found {
    let Some(state) = state else {
        return if board == PI {
            Err("it does not answer".into())
        } else {
            Ok("the machine has none".into())
        };
    };
    let warmth = match state.temperature {
        Some(thousandths) => format!("{}.{} C", thousandths / 1000, thousandths % 1000 / 100),
        None => "it does not say how warm it is".into(),
    };
    match state.throttled.map(|bits| bits & throttled::ALL) {
        Some(0) => Ok(format!("{warmth}; nothing held the cores back")),
        Some(bits) => Err(format!("{warmth}; held the cores back: {} ({bits:#x})", held_back_by(bits))),
        None => Ok(format!("{warmth}; it does not say whether it held the cores back")),
    }
}

fn display(machine: &mut Machine) -> Found {
    match Screen::of(machine.view) {
        Some(screen) => Ok(format!("{} x {} pixels", screen.form.width, screen.height)),
        None if machine.view.display_frames() == 0 => Ok("none is connected".into()),
        None => Err("too small, or its pixels have an unknown form".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(throttled: Option<u64>) -> Option<MachineState> {
        Some(MachineState { temperature: Some(48_312), throttled, clock: None })
    }

    #[test]
    fn a_pis_cores_come_from_its_stub_at_el2_and_all_alike() {
        assert!(level(PI, &[2, 2, 2, 2]).is_ok() && level(1, &[1]).is_ok());
        assert!(level(PI, &[1, 1, 1, 1]).is_err() && level(1, &[1, 2]).is_err() && level(1, &[]).is_err());
    }

    #[test]
    fn clocks_agree_with_each_other_and_with_the_firmware() {
        let seen = clock(54_000_000, &[1_500_100_000, 1_499_000_000], Some(1_500_000_000));
        let expected = "timer 54.000 MHz, cores 1499 to 1500 MHz; the firmware measures 1500 MHz";
        assert_eq!(seen, Ok(expected.into()));
        assert!(clock(54_000_000, &[1_500_000_000, 1_000_000_000], None).is_err());
        assert!(clock(54_000_000, &[1_500_000_000], Some(600_000_000)).is_err());
        assert!(clock(54_000_000, &[100_000_000], None).is_err());
        assert!(clock(54_000_000, &[], None).is_err());
    }

    #[test]
    fn a_cache_that_is_off_or_missing_fails() {
        let sizes = [[48 << 10, 32 << 10, 1 << 20]; 2];
        let seen = cache(&sizes, &[[40, 170, 1200], [41, 160, 1300]]);
        let expected = "L1 48 + 32 KiB, L2 1024 KiB; cycles of a step through memory: 4.1 (16 KiB), \
                        17.0 (256 KiB), 130.0 (4096 KiB)";
        assert_eq!(seen, Ok(expected.into()));
        assert!(cache(&sizes, &[[40, 170, 1200], [1300, 1300, 1300]]).is_err());
        assert!(cache(&[[48 << 10, 0, 1 << 20]], &[[40, 170, 1200]]).is_err());
        assert!(cache(&[], &[]).is_err());
    }

    #[test]
    fn a_timer_an_answer_or_a_clock_that_is_too_late_fails() {
        assert!(late(&[3, TIMER_LATE_US]).is_ok() && late(&[3, TIMER_LATE_US + 1]).is_err());
        assert!(late(&[]).is_err());
        assert!(answered("GICv2", ANSWER_US, APART_US).is_ok());
        assert!(answered("GICv2", ANSWER_US + 1, 0).is_err() && answered("GICv2", 1, APART_US + 1).is_err());
    }

    #[test]
    fn a_pis_firmware_answers_and_held_nothing_back() {
        assert_eq!(says(PI, state(Some(0))), Ok("48.3 C; nothing held the cores back".into()));
        let held_back = "48.3 C; held the cores back: under-voltage (0x10000)";
        assert_eq!(says(PI, state(Some(0x1_0000))), Err(held_back.into()));
        assert!(says(PI, None).is_err() && says(1, None).is_ok() && says(PI, state(None)).is_ok());
    }
}
