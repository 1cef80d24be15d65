//! Clock, progress and shares: what changes besides the lanes.
//!
//! Not here: the figures ([`super::shares`]). One row of shares is drawn at a time, and only if it looks otherwise than before.
#![forbid(unsafe_code)]

use super::canvas::{Area, Canvas, Form};
use super::cast::party_colour;
use super::draw::{CLOCK, NORMAL};
use super::layout::{Layout, Row};
use super::palette::{self, BAD, EMPTY, INK, MARK, PAPER};
use super::shares::Part;
use super::text::{Field, Glyphs, Style};
use alloc::vec;
use alloc::vec::Vec;
use libos_core::scenario::Scenario;

/// Columns and rows by which the line where a share should end stands out.
const LINE: usize = 3;

/// Jobs with deadlines that a party's clients have done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Jobs {
    /// All of them.
    pub done: u64,
    /// Those that were late.
    pub late: u64,
}

/// How a row looks, in columns and numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Look {
    got: usize,
    slots: usize,
    clients: Vec<usize>,
    should: Vec<usize>,
    percent: u64,
    jobs: Jobs,
}

/// The parts of the screen above and below the lanes.
pub struct Panel {
    layout: Layout,
    liboses: usize,
    /// Slots of all cores.
    slots: u64,
    clock_glyphs: [Glyphs; 1],
    glyphs: [Glyphs; 2],
    clock: Field,
    percents: Vec<Field>,
    lates: Vec<Field>,
    shown: Vec<Option<Look>>,
    progress: usize,
}

impl Panel {
    /// A panel on which nothing changed yet.
    pub fn new(layout: &Layout, scenario: &Scenario, form: Form) -> Self {
        let row = |number| layout.row(number);
        let glyphs = |ink| Glyphs::new(Style { ink, ..NORMAL }, PAPER, form);
        Self {
            liboses: scenario.libos.len(),
            slots: u64::from(scenario.slots) * u64::from(scenario.cores),
            clock_glyphs: [Glyphs::new(CLOCK, PAPER, form)],
            glyphs: [glyphs(INK), glyphs(BAD)],
            clock: Field::new(layout.clock()),
            percents: (0..layout.rows).map(|number| Field::new(row(number).percent)).collect(),
            lates: (0..layout.rows).map(|number| Field::new(row(number).late)).collect(),
            shown: vec![None; layout.rows],
            progress: 0,
            layout: layout.clone(),
        }
    }

    /// Shows how far the run is: milliseconds of so many.
    pub fn time(&mut self, canvas: &mut Canvas<'_>, now_ms: u64, of_ms: u64) {
        let now_ms = now_ms.min(of_ms);
        let text = format_args!("{}.{:02}", now_ms / 1000, now_ms % 1000 / 10);
        self.clock.show(canvas, &self.clock_glyphs, 0, text);
        let area = self.layout.progress();
        let columns = Row::columns(area.width, now_ms, of_ms);
        let new = columns.saturating_sub(self.progress);
        let word = canvas.word(INK);
        canvas.fill(Area { x: area.x + self.progress, width: new, ..area }, word);
        self.progress = self.progress.max(columns);
    }

    /// Rows that there are.
    pub fn rows(&self) -> usize {
        self.shown.len()
    }

    /// Shows a party's part. `largest` is what of all slots anybody owns at most, in percent.
    pub fn part(
        &mut self,
        canvas: &mut Canvas<'_>,
        number: usize,
        part: &Part,
        (jobs, largest): (Jobs, u64),
    ) {
        let row = self.layout.row(number);
        let look = self.look(&row, part, (jobs, largest));
        let before = self.shown[number].take();
        if before.as_ref().is_none_or(|shown| (shown.got, shown.slots) != (look.got, look.slots)) {
            self.bar(canvas, &row, (number, &look));
        }
        if before.as_ref().is_none_or(|shown| shown.clients != look.clients || shown.should != look.should) {
            let colour = |client| palette::client(party_colour(number, self.liboses), client);
            for (area, columns) in [(row.got, &look.clients), (row.should, &look.should)] {
                stack(canvas, area, columns, colour);
            }
        }
        self.percents[number].show(canvas, &self.glyphs, 0, format_args!("{} %", look.percent));
        if jobs.done > 0 {
            let style = usize::from(jobs.late > 0);
            let text = format_args!("{} / {}", jobs.late, jobs.done);
            self.lates[number].show(canvas, &self.glyphs, style, text);
        }
        self.shown[number] = Some(look);
    }

    fn look(&self, row: &Row, part: &Part, (jobs, largest): (Jobs, u64)) -> Look {
        let scale = Row::scale(largest);
        let whole = |all: u64| all * scale / 100;
        Look {
            got: Row::columns(row.bar.width, part.got, whole(part.of)),
            slots: Row::columns(row.bar.width, part.slots, whole(self.slots)),
            clients: stacked(row.got.width, &part.clients),
            should: stacked(row.should.width, &part.should),
            percent: (part.got * 100 + part.of / 2).checked_div(part.of).unwrap_or(0),
            jobs,
        }
    }

    /// CPU time as a bar, and a line where it should end.
    fn bar(&self, canvas: &mut Canvas<'_>, row: &Row, (number, look): (usize, &Look)) {
        let Area { x, y, width, height } = row.bar;
        let [full, empty, mark] =
            [party_colour(number, self.liboses), EMPTY, MARK].map(|colour| canvas.word(colour));
        canvas.fill(Area { width: look.got, ..row.bar }, full);
        canvas.fill(Area { x: x + look.got, width: width - look.got, ..row.bar }, empty);
        if look.slots > 0 {
            let line = (x + look.slots).saturating_sub(LINE).max(x);
            canvas.fill(Area::new(line, y, LINE, height), mark);
        }
    }
}

/// Where each part of a stack ends, if all of them together are `width` columns.
fn stacked(width: usize, parts: &[u64]) -> Vec<usize> {
    let all: u64 = parts.iter().sum();
    let ends = parts.iter().scan(0, |sum, part| {
        *sum += part;
        Some(Row::columns(width, *sum, all))
    });
    if all == 0 { Vec::new() } else { ends.collect() }
}

/// Draws a stack of parts that end at these columns.
fn stack(
    canvas: &mut Canvas<'_>,
    area: Area,
    ends: &[usize],
    colour: impl Fn(usize) -> embedded_graphics::pixelcolor::Rgb888,
) {
    let mut from = 0;
    for (number, end) in ends.iter().enumerate() {
        let word = canvas.word(colour(number));
        canvas.fill(Area { x: area.x + from, width: end - from, ..area }, word);
        from = *end;
    }
}
