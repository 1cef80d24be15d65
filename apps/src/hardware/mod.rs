//! The hardware self-test: does everything on this board work that the kernel relies on? It is the first environment, in the
//! broker's place, so the whole machine is its own; and what it finds is on one page that a person can photograph.
//!
//! * [`checks`]: what is looked at. [`core`]: what each core finds out about itself. [`memory`]: whether it keeps what is written.
//!   [`mod@sheet`]: the page.
//!
//! Not here: whether the kernel keeps its promises (`crate::selftest`).
#![forbid(unsafe_code)]

pub mod checks;
pub mod core;
pub mod memory;
pub mod sheet;

use crate::assignment::without_clients;
use crate::broker::card::Card;
use crate::broker::{announce, end, machine, summary};
use crate::display::device::{Rows, Screen};
use ::core::sync::atomic::Ordering::Relaxed;
use alloc::collections::BTreeMap;
use alloc::string::String;
use checks::{CHECKS, Machine};
use libos_core::frames::Frames;
use libos_core::public::{View, view};
use libos_core::report::{Picture, Record};
use libos_core::scenario::{FILE, Scenario};
use libos_core::start::StartInfo;
use libos_core::{archive, calls, output, page, say};
use sheet::Sheet;
use tranche_abi::Tick;
use tranche_abi::layout::HANDLE_MACHINE;

/// What a check found: what was seen, or what is wrong.
pub type Found = Result<String, String>;

/// Runs as the first environment, or as what that made to run on each core.
pub fn main(info: StartInfo) {
    if info.name == core::NAME {
        return core::run(&info);
    }
    let passed = archive::boot()
        .and_then(|archive| Scenario::decode(archive.file(FILE)?).ok())
        .is_some_and(|scenario| test(&info, &scenario));
    // Refused only to somebody who is not the first environment.
    let _ = calls::power_off(HANDLE_MACHINE, u64::from(!passed));
}

/// Looks at everything, shows it, and says how it ended; whether all is well.
fn test(info: &StartInfo, scenario: &Scenario) -> bool {
    let (view, arrived) = (view(), page::now());
    let mut frames = Frames::new(info.owned_frames());
    let state = machine::state();
    let card = (view.disk_blocks() > 0).then(|| Card::begin(&mut frames, view, 0));
    announce(scenario, view, state);
    let mut page = open(view, &mut frames);
    let on_card = card.as_ref().map(|begun| checks::of_card(view, begun));
    let mut machine = Machine::new(frames, scenario, state, on_card);
    let mut failed = 0;
    for (row, (name, check)) in CHECKS.iter().enumerate() {
        page.iter_mut().for_each(|(sheet, rows)| sheet.begin(&mut rows.canvas(), row));
        let found = check(&mut machine);
        failed += usize::from(found.is_err());
        page.iter_mut().for_each(|(sheet, rows)| sheet.show(&mut rows.canvas(), row, &found));
        report(name, found);
    }
    page.iter_mut().for_each(|(sheet, rows)| sheet.end(&mut rows.canvas(), (failed, CHECKS.len())));
    let ended = machine.end();
    if let Err(wrong) = &ended {
        say!("hardware: {wrong}");
    }
    if let [libos, ..] = &scenario.libos[..] {
        output::report(&Record::LibOs(without_clients(&libos.name, arrived)));
    }
    announce(scenario, view, state);
    let names = BTreeMap::from([(0, String::from("hardware"))]);
    let passed = summary::report(view, &mut [], &names) && failed == 0 && ended.is_ok();
    finish(card.and_then(Result::ok), passed);
    if page.is_some() {
        output::report(&Record::Picture(Picture { updates: CHECKS.len() as u64, ran: 0 }));
    }
    // So long the page can be photographed.
    page::sleep_until(Tick(page::now().0 + u64::from(scenario.duration_ms) * view.frequency() / 1000));
    output::report(&end(passed));
    passed
}

/// An empty page, if the machine has a display.
fn open(view: View, frames: &mut Frames) -> Option<(Sheet, Rows)> {
    let screen = Screen::of(view)?;
    screen.open(view, frames).ok()?;
    let mut rows = screen.rows(0..screen.height)?;
    let sheet = sheet((screen.form.width, screen.height));
    sheet.open(&mut rows.canvas(), view.board(), &names());
    Some((sheet, rows))
}

/// What is looked at, from the page's top to its bottom.
pub fn names() -> [&'static str; CHECKS.len()] {
    CHECKS.map(|(name, _)| name)
}

/// The page as it is on a screen of this size.
pub fn sheet(size: (usize, usize)) -> Sheet {
    Sheet::new(size, CHECKS.len())
}

fn report(name: &str, found: Found) {
    let passed = found.is_ok();
    let detail = found.unwrap_or_else(|wrong| wrong);
    say!("{} {name}: {detail}", if passed { "ok  " } else { "FAIL" });
    let stats = output::stats();
    let counter = if passed { &stats.checks_passed } else { &stats.checks_failed };
    counter.fetch_add(1, Relaxed);
    output::report(&Record::Check { name: name.into(), passed, detail });
}

/// Everything that was said goes onto the card.
fn finish(card: Option<Card>, passed: bool) {
    let Some(card) = card else { return };
    let run = card.run();
    match card.finish(&[], &output::next_frame(&end(passed))) {
        Ok(bytes) => say!("hardware: run {run} is complete on the card: {bytes} bytes"),
        Err(trouble) => say!("hardware: run {run} is incomplete on the card: {trouble}"),
    }
}
