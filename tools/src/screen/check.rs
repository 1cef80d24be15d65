//! Whether a picture shows what it should, at the places that the layout has for it: looks at regions, never at bytes of a file.
//!
//! What is expected follows from the scenario, which is a static one (its slots are known), and from the run's results. Not here:
//! how the picture came about (`super`).

use crate::Failure;
use crate::results::{LibOs, Results};
use apps::display::canvas::Area;
use apps::display::cast::party_colour;
use apps::display::layout::{Layout, Row};
use apps::display::{layout_of, palette};
use embedded_graphics::pixelcolor::Rgb888;
use libos_core::scenario::{LibOs as Wanted, Scenario};
use std::fs::File;
use std::io::BufReader;
use std::path::Path;

/// Columns by which a bar may be off that shows the last ten revolutions only, in thousandths of the bar.
const SLACK: usize = 100;

/// A picture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picture {
    /// Pixels of a row.
    pub width: usize,
    /// Its pixels, row by row.
    pub pixels: Vec<Rgb888>,
}

impl Picture {
    /// Reads a PNG file of 8-bit colours.
    pub fn read(path: &Path) -> Result<Self, Failure> {
        let failed = |why: String| Failure(format!("{}: {why}", path.display()));
        let file = File::open(path).map_err(|error| failed(error.to_string()))?;
        let mut reader =
            png::Decoder::new(BufReader::new(file)).read_info().map_err(|error| failed(error.to_string()))?;
        let size = reader.output_buffer_size().ok_or_else(|| failed("it is too large".into()))?;
        let mut bytes = vec![0; size];
        let info = reader.next_frame(&mut bytes).map_err(|error| failed(error.to_string()))?;
        let samples = match (info.color_type, info.bit_depth) {
            (png::ColorType::Rgb, png::BitDepth::Eight) => 3,
            (png::ColorType::Rgba, png::BitDepth::Eight) => 4,
            other => return Err(failed(format!("its colours are {other:?}"))),
        };
        let pixels = bytes[..info.buffer_size()].chunks_exact(samples);
        let pixels = pixels.map(|pixel| Rgb888::new(pixel[0], pixel[1], pixel[2])).collect();
        Ok(Self { width: info.width as usize, pixels })
    }

    /// Its rows.
    pub fn height(&self) -> usize {
        self.pixels.len() / self.width.max(1)
    }

    /// The colour of a pixel; `None` outside.
    fn at(&self, x: usize, y: usize) -> Option<Rgb888> {
        if x < self.width { self.pixels.get(y * self.width + x).copied() } else { None }
    }

    /// How many pixels of an area have one of these colours.
    pub(super) fn count(&self, area: Area, colours: &[Rgb888]) -> usize {
        let rows = area.y..area.bottom();
        let here = |x, y| self.at(x, y).is_some_and(|colour| colours.contains(&colour));
        rows.map(|y| (area.x..area.right()).filter(|x| here(*x, y)).count()).sum()
    }

    /// How many columns of an area's middle row have this colour.
    fn columns(&self, area: Area, colour: Rgb888) -> usize {
        self.count(Area { y: area.y + area.height / 2, height: 1, ..area }, &[colour])
    }
}

/// Everything that a picture of a run does not show as it should, in words.
pub fn problems(picture: &Picture, scenario: &Scenario, results: &Results) -> Vec<String> {
    let size = (picture.width, picture.height());
    let Some(layout) = layout_of(scenario, size) else {
        return vec![format!("the screen is {} x {}, on which nothing is shown", size.0, size.1)];
    };
    let mut look = Look { picture, scenario, layout, problems: Vec::new() };
    look.header();
    (0..look.layout.cores).for_each(|core| look.lane(core));
    let wanted = scenario.libos.iter().enumerate().take(look.layout.rows);
    wanted.for_each(|(number, libos)| look.row((number, libos), results));
    look.problems
}

struct Look<'a> {
    picture: &'a Picture,
    scenario: &'a Scenario,
    layout: Layout,
    problems: Vec<String>,
}

impl Look<'_> {
    fn expect(&mut self, what: impl Into<String>, seen: usize, expected: (usize, usize)) {
        let (least, most) = expected;
        if !(least..=most).contains(&seen) {
            self.problems.push(format!("{}: {seen}, expected {least} to {most}", what.into()));
        }
    }

    fn header(&mut self) {
        let (width, height) = (self.picture.width, self.picture.height());
        let bottom = Area::new(0, height - 2, width, 2);
        let paper = self.picture.count(bottom, &[palette::PAPER]);
        self.expect("pixels of the ground in the lowest rows", paper, (2 * width, 2 * width));
        let bar = self.layout.progress();
        let done = self.picture.columns(bar, palette::INK);
        self.expect("columns of progress at the run's end", done, (bar.width, bar.width));
        let (x, y) = self.layout.title();
        let title = self.picture.count(Area::new(x, y, 16 * self.scenario.name.len(), 29), &[palette::INK]);
        self.expect("pixels of the name", title, (20 * self.scenario.name.len(), usize::MAX));
    }

    /// Every libOS has time on every core, by its scheduler and by its first client, and nothing has a colour of nobody's.
    fn lane(&mut self, core: usize) {
        let (area, liboses) = (self.layout.lane(core), self.scenario.libos.len());
        let mut all = vec![palette::PAPER, palette::EMPTY, palette::SYSTEM, palette::HOSTILE, palette::MUTED];
        for (number, libos) in self.scenario.libos.iter().enumerate() {
            let colour = party_colour(number, liboses);
            let clients = (0..libos.clients.len()).map(|client| palette::client(colour, client));
            let mine: Vec<_> = clients.collect();
            let seen = self.picture.count(area, &mine);
            // It has `want` slots of all, and uses half of them at least.
            let least = area.width * area.height * libos.want as usize / self.scenario.slots as usize / 2;
            self.expect(format!("core {core}: pixels of {}", libos.name), seen, (least, usize::MAX));
            all.extend(mine);
            all.push(palette::own(colour));
        }
        let known = self.picture.count(area, &all);
        let whole = area.width * area.height;
        self.expect(format!("core {core}: pixels of known colours"), known, (whole, whole));
    }

    fn row(&mut self, (number, wanted): (usize, &Wanted), results: &Results) {
        let (row, name) = (self.layout.row(number), &wanted.name);
        let colour = party_colour(number, self.scenario.libos.len());
        let whole = row.swatch.width * row.swatch.height;
        let swatch = self.picture.count(row.swatch, &[colour]);
        self.expect(format!("{name}: pixels of its swatch"), swatch, (whole, whole));
        let Some(found) = results.libos.iter().find(|libos| libos.name == *name) else {
            return self.problems.push(format!("{name} is not in the results"));
        };
        self.time(&row, (wanted, found), colour);
        self.clients(&row, wanted, colour);
        self.late(&row, found);
    }

    fn time(&mut self, row: &Row, (wanted, found): (&Wanted, &LibOs), colour: Rgb888) {
        let slots = u64::from(self.scenario.slots);
        let largest = self.scenario.libos.iter().map(|libos| libos.want).max().unwrap_or(0);
        let scale = Row::scale(u64::from(largest) * 100 / slots);
        let columns = |part, all: u64| Row::columns(row.bar.width, part, all * scale / 100);
        let end = columns(wanted.want.into(), slots);
        let line = Area { x: row.bar.x + end - 3, width: 3, ..row.bar };
        let marked = self.picture.count(line, &[palette::MARK]);
        let whole = line.width * line.height;
        self.expect(
            format!("{}: pixels of the line where its slots end", wanted.name),
            marked,
            (whole, whole),
        );
        let all = u64::from(self.scenario.duration_ms) * 1000 * u64::from(self.scenario.cores);
        let got = columns(found.clients_ran_us + found.own_us, all);
        let slack = row.bar.width * SLACK / 1000;
        let seen = self.picture.columns(row.bar, colour);
        let range = (got.saturating_sub(slack), got + slack);
        self.expect(format!("{}: columns of its CPU time", wanted.name), seen, range);
    }

    /// Clients on every core: what each should have is its tickets of all.
    fn clients(&mut self, row: &Row, wanted: &Wanted, colour: Rgb888) {
        if !wanted.policy.is_for_shares() {
            return;
        }
        let tickets: usize = wanted.clients.iter().map(|client| client.tickets as usize).sum();
        for (number, client) in wanted.clients.iter().enumerate() {
            let shade = palette::client(colour, number);
            let should = row.should.width * client.tickets as usize / tickets.max(1);
            let slack = row.got.width * SLACK / 1000;
            for (area, slack) in [(row.should, 2), (row.got, slack)] {
                let seen = self.picture.columns(area, shade);
                let what = format!("{}.{}: columns of its share", wanted.name, client.name);
                self.expect(what, seen, (should.saturating_sub(slack), should + slack));
            }
        }
    }

    /// A number that says whether jobs were late, in the colour that says it too.
    fn late(&mut self, row: &Row, found: &LibOs) {
        let jobs: u64 =
            found.clients.iter().filter(|client| client.deadline_us.is_some()).map(|one| one.jobs).sum();
        let misses: u64 = found.clients.iter().map(|client| client.misses).sum();
        let (right, y) = row.late;
        let area = Area::new(right - 96, y, 96, 22);
        let [ink, bad] = [palette::INK, palette::BAD].map(|colour| self.picture.count(area, &[colour]));
        let (ink_wanted, bad_wanted) = (jobs > 0 && misses == 0, jobs > 0 && misses > 0);
        for (what, seen, wanted) in [("good", ink, ink_wanted), ("bad", bad, bad_wanted)] {
            let range = if wanted { (40, usize::MAX) } else { (0, 0) };
            self.expect(format!("{}: pixels of a {what} number of late jobs", found.name), seen, range);
        }
    }
}

#[cfg(test)]
mod tests;
