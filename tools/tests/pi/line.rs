//! A serial line that is a pseudo-terminal: whole, and with every hundredth byte another.

use super::{PATIENCE, boot, card_in, collector, same, start};
use libos_core::chance;
use libos_core::report::{Decoder, Heard, MAGIC, TRACE_MAGIC};
use nix::pty::{OpenptyResult, openpty};
use nix::sys::termios::{SetArg, cfmakeraw, tcgetattr, tcsetattr};
use nix::unistd::ttyname;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tranche_tools::Failure;
use tranche_tools::collect::serial::{self, Ear};
use tranche_tools::collect::{self, Collected};
use tranche_tools::display::Display;
use tranche_tools::qemu::Said;

/// Of so many bytes one comes as another.
const ONE_IN: u64 = 100;

/// A pseudo-terminal's two ends, and the name of that which is listened to.
fn line() -> (OpenptyResult, PathBuf) {
    let ends = openpty(None, None).unwrap();
    let mut settings = tcgetattr(&ends.slave).unwrap();
    cfmakeraw(&mut settings);
    tcsetattr(&ends.slave, SetArg::TCSANOW, &settings).unwrap();
    let name = ttyname(&ends.slave).unwrap();
    (ends, name)
}

/// Listens to a line on which somebody speaks meanwhile.
fn listen(order: &collect::Order, speak: impl FnOnce(File) + Send) -> Result<Collected, Failure> {
    let (ends, name) = line();
    let ear = Ear { rate: 3_000_000, silence: Duration::from_secs(5) };
    std::thread::scope(|scope| {
        let board = File::from(ends.master);
        // With its last end a pseudo-terminal loses what was not heard yet.
        let held = board.try_clone().unwrap();
        scope.spawn(|| speak(board));
        let collected = serial::collect(order, &name, ear, &mut Display::Silent);
        drop(held);
        collected
    })
}

/// All that a guest says that boots from this card; each piece is also handed on at once.
fn hear_out(card: &Path, folder: &Path, mut each: impl FnMut(&[u8])) -> Vec<u8> {
    let guest = start(card, folder);
    let mut all = Vec::new();
    loop {
        match guest.listen(PATIENCE) {
            Said::Serial(bytes) => {
                each(&bytes);
                all.extend(bytes);
            }
            Said::Complaint(_) => {}
            Said::Nothing => panic!("the guest was not done in time"),
            Said::Closed => return all,
        }
    }
}

#[test]
fn a_line_brings_the_same_results_as_the_run_had_and_a_bad_one_says_what_it_lost() {
    let folder = tempfile::tempdir().unwrap();
    let (run, whole) = (folder.path().join("run"), folder.path().join("whole"));
    boot(&card_in(&folder), &run);
    let (mut said, card) = (Vec::new(), card_in(&folder));
    let collected = listen(&collector(&whole), |mut board| {
        said = hear_out(&card, folder.path(), |bytes| board.write_all(bytes).unwrap());
    });
    assert_eq!(collected.unwrap().losses, Vec::<String>::new());
    for name in ["results.json", "trace.bin"] {
        assert!(same(&run, &whole, name), "{name} from the line is another than that of the run");
    }
    (1..=3).for_each(|seed| disturbed(&said, seed, &folder.path().join("bad")));
}

/// What was said, with some bytes changed: what is said to be lost is what was changed, no more and no less.
fn disturbed(said: &[u8], seed: u64, out: &Path) {
    let mut state = chance::seed(&[seed]);
    let mut changed = said.to_vec();
    let mut places = Vec::new();
    for (place, byte) in changed.iter_mut().enumerate() {
        if chance::draw(&mut state) % ONE_IN == 0 {
            *byte ^= 1 + (chance::draw(&mut state) % 255) as u8;
            places.push(place);
        }
    }
    let order = collect::Order { scenario: Some("scenarios/card.toml".into()), ..collector(out) };
    let collected = listen(&order, |mut board| board.write_all(&changed).unwrap());
    let losses = match collected {
        Ok(Collected { losses, ran }) => {
            assert!(!ran.results.passed);
            losses
        }
        Err(Failure(why)) => {
            why.lines().filter_map(|line| Some(line.split_once("lost: ")?.1.into())).collect()
        }
    };
    let reports = losses.iter().filter(|loss| loss.starts_with("report"));
    let frames = frames(said);
    let is_hit = |frame: &&Frame| places.iter().any(|place| frame.bytes.contains(place));
    let hit: Vec<u32> = frames.iter().filter(is_hit).filter_map(|frame| frame.report).collect();
    let last = frames.iter().filter_map(|frame| frame.report).max().unwrap();
    assert_eq!(
        numbers(reports),
        hit.iter().copied().filter(|number| *number < last_heard(&hit, last)).collect::<Vec<_>>(),
        "of {last}, {losses:?}"
    );
    let is_last_said = losses.iter().any(|loss| loss.starts_with("the last report"));
    assert_eq!(is_last_said, hit.contains(&last), "{losses:?}");
    let mut kept: BTreeMap<u64, u64> = BTreeMap::new();
    for frame in frames.iter().filter(|frame| !is_hit(frame)) {
        if let Some((core, records)) = frame.trace {
            *kept.entry(core).or_default() += records;
        }
    }
    for core in 0..4 {
        let nothing = losses.contains(&format!("core {core}: all of its trace"));
        assert!(!(nothing && kept.contains_key(&core)), "core {core} lost all, and {kept:?} came");
    }
}

/// The highest number of a report that came.
fn last_heard(hit: &[u32], last: u32) -> u32 {
    (0..=last).rev().find(|number| !hit.contains(number)).unwrap_or(0)
}

/// The numbers in lines like `report 3` and `reports 7 to 9`.
fn numbers<'a>(lines: impl Iterator<Item = &'a String>) -> Vec<u32> {
    let range = |line: &String| {
        let numbers: Vec<u32> = line.split(' ').filter_map(|word| word.parse().ok()).collect();
        numbers[0]..=numbers[numbers.len() - 1]
    };
    lines.flat_map(range).collect()
}

/// A frame on a line.
struct Frame {
    /// Its zeros, and what is between them.
    bytes: Range<usize>,
    /// The number of the report that it carries.
    report: Option<u32>,
    /// Or whose records, and how many.
    trace: Option<(u64, u64)>,
}

/// The frames of a line on which nothing was disturbed.
fn frames(said: &[u8]) -> Vec<Frame> {
    let begins = |at: &usize| {
        said[*at] == 0 && [MAGIC, TRACE_MAGIC].iter().any(|magic| said[at + 1..].starts_with(magic))
    };
    let frame = |at: usize| {
        let end = at + 2 + said[at + 1..].iter().position(|byte| *byte == 0).unwrap();
        let heard = Decoder::new().feed(&said[at..end]);
        let report = heard.iter().find_map(|heard| match heard {
            Heard::Record { sequence, .. } => Some(*sequence),
            _ => None,
        });
        let trace = heard.iter().find_map(|heard| match heard {
            Heard::Trace { header, records } => Some((header.core, records.len() as u64)),
            _ => None,
        });
        Frame { bytes: at..end, report, trace }
    };
    (0..said.len()).filter(begins).map(frame).collect()
}
