//! What stays on the screen for the whole run: names, headings, legend, grounds.
//!
//! Not here: what changes ([`super::lane`], [`super::panel`]), and where it all is ([`super::layout`]).
#![forbid(unsafe_code)]

use super::canvas::{Area, Canvas};
use super::cast::party_colour;
use super::layout::{Layout, MARGIN, MARKS};
use super::palette::{self, BAD, EMPTY, INK, MARK, MUTED, PAPER, SYSTEM};
use super::text::{Size, Style, write};
use alloc::format;
use alloc::string::String;
use embedded_graphics::pixelcolor::Rgb888;
use libos_core::scenario::Scenario;
use profont::{PROFONT_14_POINT, PROFONT_18_POINT, PROFONT_24_POINT};

/// The machine, for the line beneath the scenario's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Machine {
    /// As in the public region.
    pub board: u64,
    /// Whether what happens is recorded; without that lanes stay empty.
    pub recorded: bool,
}

/// Text of the largest size.
pub const LARGE: Style<'static> = Style { font: &PROFONT_24_POINT, ink: INK, size: Size::Once };
/// Digits of the clock.
pub const CLOCK: Style<'static> = Style { size: Size::Double, ..LARGE };
/// Text of the usual size.
pub const NORMAL: Style<'static> = Style { font: &PROFONT_18_POINT, ink: INK, size: Size::Once };
/// Text that explains.
pub const SMALL: Style<'static> = Style { font: &PROFONT_14_POINT, ink: MUTED, size: Size::Once };

/// Draws everything that stays.
pub fn everything(canvas: &mut Canvas<'_>, layout: &Layout, scenario: &Scenario, machine: Machine) {
    let paper = canvas.word(PAPER);
    canvas.fill(Area::new(0, 0, layout.width, layout.height), paper);
    header(canvas, layout, scenario, machine);
    for core in 0..layout.cores {
        let lane = layout.lane(core);
        ground(canvas, lane, EMPTY);
        let y = lane.y + (lane.height.saturating_sub(NORMAL.glyph().1)) / 2;
        write(canvas, (MARGIN, y), &format!("core {core}"), NORMAL);
    }
    if !machine.recorded {
        let lane = layout.lane(0);
        write(canvas, (lane.x + 16, lane.y + MARKS), "nothing is recorded (trace = false)", SMALL);
    }
    legend(canvas, layout, scenario);
    headings(canvas, layout);
    (0..layout.rows).for_each(|row| party(canvas, layout, scenario, row));
}

fn ground(canvas: &mut Canvas<'_>, area: Area, colour: Rgb888) {
    let word = canvas.word(colour);
    canvas.fill(area, word);
}

fn header(canvas: &mut Canvas<'_>, layout: &Layout, scenario: &Scenario, machine: Machine) {
    write(canvas, layout.title(), &scenario.name, LARGE);
    let board = match machine.board {
        1 => "QEMU virt",
        2 => "Raspberry Pi 4",
        _ => "unknown board",
    };
    let Scenario { cores, slots, quantum_us, .. } = scenario;
    let cores = if *cores == 1 { String::from("1 core") } else { format!("{cores} cores") };
    let quantum = match quantum_us % 1000 {
        0 => format!("{} ms", quantum_us / 1000),
        _ => format!("{quantum_us} us"),
    };
    let line = format!("{board}, {cores}, {slots} slots of {quantum}");
    write(canvas, layout.subtitle(), &line, Style { ink: MUTED, ..NORMAL });
    let duration = format!("s of {}.{:02} s", scenario.duration_ms / 1000, scenario.duration_ms % 1000 / 10);
    let (right, y) = layout.duration();
    let left = right.saturating_sub(duration.len() * NORMAL.glyph().0);
    write(canvas, (left, y), &duration, Style { ink: MUTED, ..NORMAL });
    ground(canvas, layout.progress(), EMPTY);
}

/// A little picture, then a word, one after another.
fn legend(canvas: &mut Canvas<'_>, layout: &Layout, scenario: &Scenario) {
    let Area { mut x, y, .. } = layout.legend();
    let (glyph, high) = SMALL.glyph();
    let y = y + 10;
    let first = party_colour(0, scenario.libos.len());
    let entries = [
        ("clients", [palette::client(first, 0), palette::client(first, 1), palette::client(first, 2)], high),
        ("scheduler", [palette::own(first); 3], high),
        ("broker", [SYSTEM; 3], high),
        ("idle", [EMPTY; 3], high),
        ("late job", [MARK; 3], MARKS),
        ("slice kept too long", [BAD; 3], MARKS),
    ];
    for (word, colours, height) in entries {
        let tall = height > MARKS;
        for (place, colour) in colours.into_iter().enumerate().filter(|(place, _)| tall || *place == 0) {
            let width = if tall { 12 } else { 4 };
            ground(canvas, Area::new(x + place * width, y, width, height), colour);
        }
        x += if tall { 36 } else { 4 };
        write(canvas, (x + 8, y), word, SMALL);
        x += 8 + glyph * word.len() + 26;
    }
}

fn headings(canvas: &mut Canvas<'_>, layout: &Layout) {
    let row = layout.row(0);
    let y = layout.headings().y;
    write(canvas, (row.bar.x, y), "CPU time | by its slots", SMALL);
    write(canvas, (row.got.x, y), "clients: got / should get", SMALL);
    let late = "late of all jobs";
    write(canvas, (row.late.0 - late.len() * SMALL.glyph().0, y), late, SMALL);
}

fn party(canvas: &mut Canvas<'_>, layout: &Layout, scenario: &Scenario, number: usize) {
    let row = layout.row(number);
    ground(canvas, row.swatch, party_colour(number, scenario.libos.len()));
    ground(canvas, row.bar, EMPTY);
    let Some(libos) = scenario.libos.get(number) else {
        if let Some(hostile) = scenario.hostile.get(number - scenario.libos.len()) {
            write(canvas, row.name, &hostile.name, NORMAL);
            let room = (row.bar.x - row.name.0) / NORMAL.glyph().0;
            beside(canvas, row.name, (&hostile.name, "hostile"), room);
        }
        return;
    };
    write(canvas, row.name, &libos.name, NORMAL);
    let room = (row.bar.x - row.name.0) / NORMAL.glyph().0;
    beside(canvas, row.name, (&libos.name, libos.policy.short()), room);
    if !libos.clients.is_empty() {
        ground(canvas, row.got, EMPTY);
    }
}

/// Beside a name, in small letters, what it is, unless that is its name or there is no room.
fn beside(canvas: &mut Canvas<'_>, (x, y): (usize, usize), (name, what): (&str, &str), room: usize) {
    let used = (name.len() + 1) * NORMAL.glyph().0;
    if name != what && used + what.len() * SMALL.glyph().0 <= room * NORMAL.glyph().0 {
        write(canvas, (x + used, y + 4), what, SMALL);
    }
}
