//! The page: a row for each check, which says at every moment how far it is, large enough to be read on a photograph.
//!
//! Not here: what is checked ([`super::checks`]), and the memory that is drawn on (`crate::display::device`).
#![forbid(unsafe_code)]

use super::Found;
use crate::display::canvas::{Area, Canvas};
use crate::display::draw::{LARGE, NORMAL, SMALL};
use crate::display::layout::MARGIN;
use crate::display::palette::{BAD, EMPTY, GOOD, INK, MUTED, PAPER};
use crate::display::text::{Style, write};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use embedded_graphics::pixelcolor::Rgb888;

/// The first row's top, and the room at the bottom for the page's last line.
const TOP: usize = 104;
const FOOTER: usize = 64;
/// The highest a row is.
const HIGHEST: usize = 64;
/// From a row's left end to a check's name, to its verdict, to what was seen.
const NAME: usize = 44;
const VERDICT: usize = NAME + 16 * 12;
const DETAIL: usize = VERDICT + 7 * 12;
/// Lines of what was seen.
const LINES: usize = 2;

/// The places of a page on a screen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sheet {
    width: usize,
    height: usize,
    pitch: usize,
}

impl Sheet {
    /// A page with so many rows for a screen of this size, on which the display would have room, too.
    pub fn new((width, height): (usize, usize), rows: usize) -> Self {
        let pitch = (height.saturating_sub(TOP + FOOTER) / rows.max(1)).min(HIGHEST);
        Self { width, height, pitch }
    }

    /// All of a row.
    pub fn row(&self, row: usize) -> Area {
        Area::new(MARGIN, TOP + row * self.pitch, self.width.saturating_sub(2 * MARGIN), self.pitch)
    }

    /// The mark at a row's left end, whose colour is its verdict.
    pub fn mark(&self, row: usize) -> Area {
        let row = self.row(row);
        Area { width: 24, height: self.pitch.saturating_sub(12).min(24), ..row }
    }

    /// Where a row's verdict is written.
    pub fn verdict(&self, row: usize) -> Area {
        let row = self.row(row);
        Area { x: row.x + VERDICT, width: DETAIL - VERDICT, height: NORMAL.glyph().1, ..row }
    }

    /// Where a row says what was seen.
    pub fn detail(&self, row: usize) -> Area {
        let row = self.row(row);
        Area { x: row.x + DETAIL, width: row.width.saturating_sub(DETAIL), ..row }
    }

    /// The bar with the page's last line.
    pub fn footer(&self) -> Area {
        let y = self.height.saturating_sub(FOOTER - 8);
        Area::new(MARGIN, y, self.width.saturating_sub(2 * MARGIN), FOOTER - 24)
    }

    /// Draws the page before anything is known.
    pub fn open(&self, canvas: &mut Canvas<'_>, board: u64, names: &[&str]) {
        fill(canvas, Area::new(0, 0, self.width, self.height), PAPER);
        write(canvas, (MARGIN, 16), "Tranche: hardware self-test", LARGE);
        let board = match board {
            1 => "QEMU virt",
            2 => "Raspberry Pi 4",
            _ => "unknown board",
        };
        write(canvas, (MARGIN, 58), board, Style { ink: MUTED, ..NORMAL });
        for (row, name) in names.iter().enumerate() {
            fill(canvas, self.mark(row), EMPTY);
            let Area { x, y, .. } = self.row(row);
            write(canvas, (x + NAME, y), name, NORMAL);
        }
    }

    /// A check begins.
    pub fn begin(&self, canvas: &mut Canvas<'_>, row: usize) {
        fill(canvas, self.mark(row), MUTED);
    }

    /// What it found.
    pub fn show(&self, canvas: &mut Canvas<'_>, row: usize, found: &Found) {
        let (colour, word, text) = match found {
            Ok(seen) => (GOOD, "ok", seen),
            Err(wrong) => (BAD, "FAIL", wrong),
        };
        fill(canvas, self.mark(row), colour);
        let Area { x, y, .. } = self.verdict(row);
        write(canvas, (x, y), word, Style { ink: colour, ..NORMAL });
        let (room, (width, height)) = (self.detail(row), SMALL.glyph());
        let ink = if found.is_ok() { MUTED } else { INK };
        for (number, line) in wrap(text, room.width / width).iter().enumerate() {
            write(canvas, (room.x, room.y + number * height), line, Style { ink, ..SMALL });
        }
    }

    /// All checks are done, of which so many failed.
    pub fn end(&self, canvas: &mut Canvas<'_>, (failed, all): (usize, usize)) {
        let (colour, text) = match failed {
            0 => (GOOD, format!("passed: all {all} checks")),
            _ => (BAD, format!("FAILED: {failed} of {all} checks")),
        };
        let bar = self.footer();
        fill(canvas, bar, colour);
        let y = bar.y + bar.height.saturating_sub(LARGE.glyph().1) / 2;
        write(canvas, (bar.x + 16, y), &text, Style { ink: PAPER, ..LARGE });
    }
}

fn fill(canvas: &mut Canvas<'_>, area: Area, colour: Rgb888) {
    let word = canvas.word(colour);
    canvas.fill(area, word);
}

/// The first lines of a text, none longer than `room` characters; what has no room ends in an ellipsis.
fn wrap(text: &str, room: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split(' ') {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= room => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.into()),
        }
    }
    let more = lines.len() > LINES;
    lines.truncate(LINES);
    if let (true, Some(last)) = (more, lines.last_mut()) {
        last.push_str(" ...");
    }
    for line in &mut lines {
        if line.chars().count() > room {
            *line = line.chars().take(room.saturating_sub(3)).chain("...".chars()).collect();
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::display::canvas::Form;
    use crate::display::layout::SMALLEST;
    use crate::display::palette::Order;
    use alloc::vec;

    const ROWS: usize = 10;

    fn pixels(area: Area, words: &[u32], width: usize, colour: Rgb888) -> usize {
        let word = Order::BlueFirst.word(colour);
        let row = |y: usize| &words[y * width + area.x..y * width + area.right()];
        (area.y..area.bottom()).map(|y| row(y).iter().filter(|pixel| **pixel == word).count()).sum()
    }

    #[test]
    fn rows_and_footer_are_apart_and_on_every_screen() {
        for size in [SMALLEST, (1280, 720), (1920, 1080), (3840, 2160)] {
            let sheet = Sheet::new(size, ROWS);
            let two_lines = LINES * SMALL.glyph().1;
            for row in 0..ROWS {
                assert!(sheet.detail(row).height >= two_lines.max(NORMAL.glyph().1), "{size:?}");
                assert!(sheet.mark(row).bottom() < sheet.row(row + 1).y);
                assert!(sheet.detail(row).right() <= size.0);
            }
            assert!(sheet.row(ROWS - 1).bottom() <= sheet.footer().y);
            assert!(sheet.footer().bottom() < size.1);
        }
    }

    #[test]
    fn a_verdict_is_a_mark_a_word_and_what_was_seen_and_the_footer_counts() {
        let (width, height) = SMALLEST;
        let mut words = vec![0; width * height];
        let mut canvas = Canvas::new(&mut words, 0, Form { width, stride: width, order: Order::BlueFirst });
        let sheet = Sheet::new(SMALLEST, ROWS);
        sheet.open(&mut canvas, 2, &["one", "two", "three"]);
        sheet.begin(&mut canvas, 0);
        sheet.show(&mut canvas, 0, &Ok("fine".into()));
        sheet.show(&mut canvas, 1, &Err("not fine".into()));
        sheet.begin(&mut canvas, 2);
        sheet.end(&mut canvas, (1, 3));
        let seen = |area, colour| pixels(area, &words, width, colour);
        let whole = sheet.mark(0).width * sheet.mark(0).height;
        assert_eq!([0, 1, 2].map(|row| seen(sheet.mark(row), GOOD)), [whole, 0, 0]);
        assert_eq!([0, 1, 2].map(|row| seen(sheet.mark(row), BAD)), [0, whole, 0]);
        assert_eq!(seen(sheet.mark(2), MUTED), whole);
        assert!(seen(sheet.verdict(0), GOOD) > 20 && seen(sheet.verdict(1), BAD) > 20);
        assert!(seen(sheet.detail(0), MUTED) > 20 && seen(sheet.detail(1), INK) > 20);
        assert_eq!(seen(sheet.detail(2), MUTED) + seen(sheet.detail(2), INK), 0);
        let bar = sheet.footer();
        assert!(seen(bar, BAD) > bar.width * bar.height / 2 && seen(bar, PAPER) > 200);
    }

    #[test]
    fn a_long_text_has_two_lines_and_is_seen_to_have_more() {
        assert_eq!(wrap("one two three", 7), ["one two", "three"]);
        assert_eq!(wrap("one two three four five", 9), ["one two", "three ..."]);
        assert_eq!(wrap("overlong", 6), ["ove..."]);
        assert_eq!(wrap("", 6), [""]);
    }
}
