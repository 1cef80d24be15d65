//! Where everything is on the screen. A function of the screen's size and of what the scenario has; nothing of it moves in a run.
//!
//! Not here: any drawing. Whoever wants to know what a picture shows at a place asks here, too.
#![forbid(unsafe_code)]

use super::canvas::Area;

/// The smallest screen on which all of it has room.
pub const SMALLEST: (usize, usize) = (1024, 600);
/// Between everything and the screen's edges.
pub const MARGIN: usize = 32;
/// Rows of parties at most; of more, the last are not shown.
pub const MAX_ROWS: usize = 6;
/// Columns of a slot in a lane, where slots are a millisecond or longer.
pub const SLOT_WIDTH: usize = 4;

/// The rows of the screen in which the run's name and its clock are.
const HEADER: usize = 100;
/// Between the header and the first lane.
const LANES_TOP: usize = HEADER + 14;
/// Room for a lane's name.
const LANE_NAMES: usize = 96;
/// Rows above a lane for marks.
pub const MARKS: usize = 8;
/// Between two lanes.
const LANE_GAP: usize = 8;
/// Room for the legend, and for the headings of the shares, between lanes and shares.
const LEGEND: usize = 44;
const HEADINGS: usize = 26;
/// The highest a lane or a row of shares is.
const HIGHEST_LANE: usize = 56;
const HIGHEST_ROW: usize = 64;
/// The part of a screen's height that is for lanes.
const LANES_PART: (usize, usize) = (3, 8);

/// The places of one screen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    /// The screen's size.
    pub width: usize,
    /// Likewise.
    pub height: usize,
    /// Cores.
    pub cores: usize,
    /// Parties that have a row.
    pub rows: usize,
    lane_pitch: usize,
    row_pitch: usize,
}

impl Layout {
    /// The layout for a screen, cores and parties; `None` if the screen is too small.
    pub fn new((width, height): (usize, usize), cores: usize, parties: usize) -> Option<Self> {
        if width < SMALLEST.0 || height < SMALLEST.1 || cores == 0 {
            return None;
        }
        let rows = parties.min(MAX_ROWS);
        let for_lanes = height * LANES_PART.0 / LANES_PART.1;
        let lane_pitch = (for_lanes / cores).min(HIGHEST_LANE + MARKS + LANE_GAP);
        let top = LANES_TOP + cores * lane_pitch + LEGEND + HEADINGS;
        let row_pitch = ((height - top - MARGIN / 2) / rows.max(1)).min(HIGHEST_ROW);
        Some(Self { width, height, cores, rows, lane_pitch, row_pitch })
    }

    /// The rows of name, clock and progress.
    pub fn header(&self) -> Area {
        Area::new(0, 0, self.width, HEADER)
    }

    /// Where the scenario's name begins.
    pub fn title(&self) -> (usize, usize) {
        (MARGIN, 16)
    }

    /// Where the line beneath it begins.
    pub fn subtitle(&self) -> (usize, usize) {
        (MARGIN, 58)
    }

    /// The clock: the right end of its digits, and their upper edge.
    pub fn clock(&self) -> (usize, usize) {
        (self.width - MARGIN - 172, 16)
    }

    /// Where the run's length ends.
    pub fn duration(&self) -> (usize, usize) {
        (self.width - MARGIN, 46)
    }

    /// How far the run is.
    pub fn progress(&self) -> Area {
        Area::new(MARGIN, 88, self.width - 2 * MARGIN, 6)
    }

    /// A core's lane.
    pub fn lane(&self, core: usize) -> Area {
        let x = MARGIN + LANE_NAMES;
        let width = (self.width - MARGIN - x) / SLOT_WIDTH * SLOT_WIDTH;
        Area::new(x, LANES_TOP + core * self.lane_pitch + MARKS, width, self.lane_pitch - MARKS - LANE_GAP)
    }

    /// The rows above a lane for marks.
    pub fn marks(&self, core: usize) -> Area {
        let lane = self.lane(core);
        Area { y: lane.y - MARKS, height: MARKS, ..lane }
    }

    /// All rows that show a core.
    pub fn lane_band(&self, core: usize) -> Area {
        Area::new(0, LANES_TOP + core * self.lane_pitch, self.width, self.lane_pitch)
    }

    /// The rows of the legend.
    pub fn legend(&self) -> Area {
        let y = LANES_TOP + self.cores * self.lane_pitch;
        Area::new(MARGIN + LANE_NAMES, y, self.width - 2 * MARGIN - LANE_NAMES, LEGEND)
    }

    /// The rows of the columns' headings.
    pub fn headings(&self) -> Area {
        Area::new(MARGIN, self.legend().bottom(), self.width - 2 * MARGIN, HEADINGS)
    }

    /// All rows of the shares, without their headings.
    pub fn shares(&self) -> Area {
        let y = self.headings().bottom();
        Area::new(0, y, self.width, self.height - y)
    }

    /// A party's row.
    pub fn row(&self, row: usize) -> Row {
        let y = self.shares().y + row * self.row_pitch;
        let inner = self.width - 2 * MARGIN;
        let high = self.row_pitch - self.row_pitch / 4;
        let name = MARGIN + 28;
        let bar = MARGIN + inner * 22 / 100;
        let bar_width = inner * 27 / 100;
        let clients = bar + bar_width + 108;
        let clients_width = inner * 25 / 100;
        Row {
            swatch: Area::new(MARGIN, y, 14, high),
            name: (name, y + (high - 22.min(high)) / 2),
            bar: Area::new(bar, y, bar_width, high),
            percent: (bar + bar_width + 80, y + (high - 22.min(high)) / 2),
            got: Area::new(clients, y, clients_width, high * 3 / 5),
            should: Area::new(clients, y + high * 3 / 5 + 3, clients_width, high - high * 3 / 5 - 3),
            late: (self.width - MARGIN, y + (high - 22.min(high)) / 2),
        }
    }
}

/// A party's row: whose, the CPU time that it gets, that of its clients, its late jobs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// Its colour.
    pub swatch: Area,
    /// Where its name begins.
    pub name: (usize, usize),
    /// CPU time, of all cores'; the whole bar is [`Row::scale`] of it.
    pub bar: Area,
    /// The right end of the same as a number, and its upper edge.
    pub percent: (usize, usize),
    /// What its clients got of each other's time.
    pub got: Area,
    /// What they should have got.
    pub should: Area,
    /// The right end of its late jobs, and their upper edge.
    pub late: (usize, usize),
}

impl Row {
    /// What of all cores' time the whole bar is, in percent, where the largest part that anybody owns is so many.
    pub fn scale(largest_percent: u64) -> u64 {
        if largest_percent > 48 { 100 } else { 50 }
    }

    /// Columns of `whole` that stand for `part` of `all`.
    pub fn columns(whole: usize, part: u64, all: u64) -> usize {
        let columns = (u128::from(part) * whole as u128).checked_div(all.into()).unwrap_or(0);
        columns.min(whole as u128) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    #[test]
    fn nothing_overlaps_and_all_is_on_the_screen() {
        for size in [SMALLEST, (1280, 720), (1920, 1080)] {
            for (cores, parties) in [(1, 0), (1, 1), (2, 3), (4, 6), (8, 9)] {
                let layout = Layout::new(size, cores, parties).unwrap();
                let mut bands = Vec::from([layout.header()]);
                bands.extend((0..cores).map(|core| layout.lane_band(core)));
                bands.extend([layout.legend(), layout.headings()]);
                for row in (0..layout.rows).map(|row| layout.row(row)) {
                    bands.push(Area { height: row.should.bottom() - row.bar.y, ..row.bar });
                    let edges = [row.swatch.right(), row.name.0, row.bar.x, row.bar.right(), row.percent.0];
                    assert!(edges.is_sorted() && row.percent.0 < row.got.x && row.got.right() < row.late.0);
                    assert!(row.bar.height >= 22, "text has room");
                }
                for pair in bands.windows(2) {
                    assert!(pair[0].bottom() <= pair[1].y, "{size:?}, {cores} cores, {parties}: {pair:?}");
                }
                assert!(bands.last().unwrap().bottom() <= size.1, "{size:?} {cores} {parties}");
                let lanes = (0..cores).map(|core| layout.lane(core));
                lanes.for_each(|lane| assert!(lane.height >= 10 && (lane.x | lane.width) % 4 == 0));
            }
        }
    }

    #[test]
    fn a_screen_that_is_too_small_has_no_layout() {
        assert_eq!(Layout::new((1023, 600), 4, 3), None);
        assert_eq!(Layout::new((1024, 599), 4, 3), None);
    }

    #[test]
    fn columns_are_in_proportion_and_never_more_than_there_are() {
        assert_eq!(
            [(1, 4), (4, 4), (9, 4), (0, 0)].map(|(part, all)| Row::columns(200, part, all)),
            [50, 200, 200, 0]
        );
        assert_eq!([48, 49].map(Row::scale), [50, 100]);
    }
}
