//! A core's lane: who had the CPU when, as a sweep that begins again at the left when it has come to the right.
//!
//! A slot is drawn when it begins, in its owner's own shade; the turns of clients and idle time are drawn over it as they end.
//! Marks above say where a slice was kept too long and where a job was late. Every column is one colour from top to bottom, so
//! columns are kept here, and rows are copied to the screen as they are.
//!
//! Not here: where the records come from.
#![forbid(unsafe_code)]

use super::board::Who;
use super::canvas::{Area, Canvas};
use super::cast::Cast;
use super::layout::SLOT_WIDTH;
use super::palette;
use alloc::vec;
use alloc::vec::Vec;
use core::ops::Range;
use libos_core::sched::steps::Mark;
use libos_core::trace::{Job, Raw};
use tranche_abi::trace::{Record, kind};

/// Columns ahead of the present that are dark, so that one sees where it is.
const AHEAD: u64 = 20;
/// Columns that are brought to the screen together; a lane begins and ends at a multiple of them.
const ALIGNED: u64 = 4;
/// Columns of a mark.
const MARK_WIDTH: u64 = 2;

/// How time becomes columns, in ticks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scale {
    /// When column 0 begins.
    pub zero: u64,
    /// Ticks of a column.
    pub column: u64,
}

impl Scale {
    /// For slots of so many ticks: each has [`SLOT_WIDTH`] columns, or fewer if it is shorter than a millisecond.
    pub fn new(epoch: u64, quantum: u64, frequency: u64) -> Self {
        let column = quantum.max(frequency / 1000) / SLOT_WIDTH as u64;
        Self { zero: epoch, column: column.max(1) }
    }

    /// The column, from 0 on, whose beginning is nearest to a time.
    fn column(&self, time: u64) -> u64 {
        (time.saturating_sub(self.zero) + self.column / 2) / self.column
    }
}

/// The slot that is shown last.
#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    end: u64,
    /// Up to when turns in it are drawn.
    drawn: u64,
}

/// Whether a record with this head is one that a lane draws.
#[inline(always)]
pub fn is_drawn(head: u64) -> bool {
    match head as u8 {
        kind::SLICE | kind::YIELD | kind::IDLE | kind::EXCESS => true,
        other => other == Job::KIND,
    }
}

/// What becomes of a job's end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Done {
    /// The party whose client did it.
    pub party: usize,
    /// Whether that was after its deadline.
    pub late: bool,
}

/// A core's lane.
pub struct Lane {
    area: Area,
    marks: Area,
    scale: Scale,
    /// The columns' words, and those of the marks above them.
    columns: Vec<u32>,
    mark_columns: Vec<u32>,
    /// Columns that are not on the screen yet.
    changed: Range<u64>,
    /// Up to which column everything before the present was made dark.
    cleared: u64,
    slot: Slot,
    quantum: u64,
    paper: u32,
    empty: u32,
}

impl Lane {
    /// A lane on which nothing happened yet.
    pub fn new((area, marks): (Area, Area), scale: Scale, quantum: u64, cast: &Cast) -> Self {
        let (paper, empty) = (cast.word(palette::PAPER), cast.word(palette::EMPTY));
        Self {
            area,
            marks,
            scale,
            columns: vec![empty; area.width],
            mark_columns: vec![paper; area.width],
            changed: 0..area.width as u64,
            cleared: 0,
            slot: Slot::default(),
            quantum,
            paper,
            empty,
        }
    }

    /// Draws what a record says. What it says of a job that had a deadline is for the shares.
    pub fn record(&mut self, raw: &Raw, cast: &Cast) -> Option<Done> {
        let [time, head, words @ ..] = *raw;
        let record = Record { time, head, words };
        match record.kind() {
            kind::SLICE => self.slice(&record, cast),
            kind::YIELD => self.turn(&record, cast),
            kind::IDLE => self.paint(time, self.slot.end, self.empty),
            kind::EXCESS => self.mark(time, cast.word(palette::BAD)),
            Job::KIND => return self.job(&record, cast),
            _ => {}
        }
        None
    }

    /// Records are missing: what the lane shows does not go on from here.
    pub fn lose(&mut self) {
        self.slot = Slot::default();
    }

    fn slice(&mut self, record: &Record, cast: &Cast) {
        let end = record.words[1];
        let begin = record.time.max(end.saturating_sub(self.quantum));
        self.slot = Slot { end, drawn: begin };
        let word = match cast.who(record.env().into()) {
            // Of the broker only core 0's activation ever runs.
            Some(Who::System) if record.env() == 0 && record.detail() != 0 => self.empty,
            Some(who) => cast.time(who),
            None => cast.word(palette::MUTED),
        };
        self.paint(begin, end, word);
    }

    fn turn(&mut self, record: &Record, cast: &Cast) {
        let [target, began, ..] = record.words;
        // What runs beneath it has been drawn already, and is not to be covered.
        let from = began.max(self.slot.drawn);
        self.slot.drawn = self.slot.drawn.max(record.time);
        let who = cast.who(target & 0xffff).or_else(|| cast.who(record.env().into()));
        self.paint(from, record.time.min(self.slot.end), who.map_or(self.empty, |who| cast.time(who)));
    }

    fn job(&mut self, record: &Record, cast: &Cast) -> Option<Done> {
        let mark = Mark { kind: record.kind(), detail: record.detail(), words: record.words };
        let job = Job::from_mark(&mark)?;
        let late = job.completed > job.due?;
        if late {
            self.mark(job.completed, cast.word(palette::MARK));
        }
        cast.who(record.env().into())?.party().map(|party| Done { party, late })
    }

    /// Makes the time between two moments one colour.
    fn paint(&mut self, from: u64, to: u64, word: u32) {
        let (from, to) = (self.scale.column(from), self.scale.column(to));
        if from < to && self.slot.end != 0 {
            self.clear_ahead(to + AHEAD);
            let columns = from.max((to + AHEAD).saturating_sub(self.columns.len() as u64))..to;
            self.colour(columns, word);
        }
    }

    fn colour(&mut self, columns: Range<u64>, word: u32) {
        let all = self.columns.len() as u64;
        columns.clone().for_each(|column| self.columns[(column % all) as usize] = word);
        self.change(columns);
    }

    fn mark(&mut self, time: u64, word: u32) {
        let (all, column) = (self.columns.len() as u64, self.scale.column(time));
        // One that is so late that the sweep has come by again would be in a wrong place.
        if column + all >= self.cleared && column + MARK_WIDTH <= self.cleared {
            let columns = column..column + MARK_WIDTH;
            columns.clone().for_each(|column| self.mark_columns[(column % all) as usize] = word);
            self.change(columns);
        }
    }

    /// Makes dark what is ahead of the present, up to a column.
    fn clear_ahead(&mut self, to: u64) {
        let all = self.columns.len() as u64;
        let from = self.cleared.max(to.saturating_sub(all));
        for column in from..to {
            let place = (column % all) as usize;
            (self.columns[place], self.mark_columns[place]) = (self.paper, self.paper);
        }
        if from < to {
            self.change(from..to);
            self.cleared = to;
        }
    }

    fn change(&mut self, columns: Range<u64>) {
        self.changed = if self.changed.is_empty() {
            columns
        } else {
            self.changed.start.min(columns.start)..self.changed.end.max(columns.end)
        };
    }

    /// Brings to the screen what has changed.
    pub fn show(&mut self, canvas: &mut Canvas<'_>) {
        let all = self.columns.len() as u64;
        let changed = core::mem::take(&mut self.changed);
        // Whole words of what copies: an unaligned copy takes several times as long.
        let changed = changed.start / ALIGNED * ALIGNED..changed.end.next_multiple_of(ALIGNED);
        let mut at = changed.start.max(changed.end.saturating_sub(all));
        while at < changed.end {
            let first = (at % all) as usize;
            let count = (changed.end - at).min(all - at % all) as usize;
            let (columns, marks) =
                (&self.columns[first..first + count], &self.mark_columns[first..first + count]);
            canvas.put(self.area.x + first, self.area.y..self.area.bottom(), columns);
            canvas.put(self.marks.x + first, self.marks.y..self.marks.bottom(), marks);
            at += count as u64;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::display::board::Board;
    use crate::display::canvas::Form;
    use crate::display::palette::Order;
    use crate::display::tests::scenario;

    const FORM: Form = Form { width: 50, stride: 50, order: Order::BlueFirst };
    const SCALE: Scale = Scale { zero: 1000, column: 5 };
    const AREA: Area = Area::new(5, 2, 40, 3);
    const ABOVE: Area = Area::new(5, 0, 40, 2);
    const CLIENT: Who = Who::Client { party: 0, client: 0, core: 0 };

    struct Stage {
        lane: Lane,
        cast: Cast,
        words: Vec<u32>,
    }

    impl Stage {
        /// A lane of slots of 10 ticks; environment 1 is the first libOS, 2 a client of its.
        fn new() -> Self {
            let board = Board::new();
            let mut cast = Cast::new(&scenario(), Order::BlueFirst);
            board.introduce(1, Who::Party(0));
            board.introduce(2, CLIENT);
            cast.update(&board);
            Self { lane: Lane::new((AREA, ABOVE), SCALE, 10, &cast), cast, words: vec![0; 250] }
        }

        fn record(&mut self, time: u64, head: u64, words: &[u64]) -> Option<Done> {
            let mut raw = [0; 8];
            (raw[0], raw[1]) = (time, head);
            raw[2..2 + words.len()].copy_from_slice(words);
            self.lane.record(&raw, &self.cast)
        }

        fn slice(&mut self, number: u64, owner: u16) {
            let begin = 1000 + 10 * number;
            self.record(begin + 1, Record::head(kind::SLICE, 0, owner, 0), &[number, begin + 10]);
        }

        fn turn(&mut self, target: u64, from: u64, to: u64) {
            self.record(to, Record::head(kind::YIELD, 0, 1, 0), &[target, from, 0, to - from]);
        }

        /// The words of the lane's columns on the screen, or of the marks above them.
        fn columns(&mut self, row: usize) -> Vec<u32> {
            let mut canvas = Canvas::new(&mut self.words, 0, FORM);
            self.lane.show(&mut canvas);
            (AREA.x..AREA.right()).map(|x| canvas.at(x, row).unwrap()).collect()
        }

        fn word(&self, who: Who) -> u32 {
            self.cast.time(who)
        }
    }

    #[test]
    fn a_slot_is_its_owners_until_a_client_has_had_its_turn() {
        let mut stage = Stage::new();
        stage.slice(0, 1);
        stage.slice(1, 1);
        stage.turn(2, 1010, 1015);
        let (own, client) = (stage.word(Who::Party(0)), stage.word(CLIENT));
        let row = stage.columns(3);
        assert_eq!(row[..4], [own, own, client, own]);
        assert_eq!(row[4..24], [stage.lane.paper; 20], "it is dark ahead");
        assert_eq!((row[24], stage.columns(4)), (stage.lane.empty, row));
    }

    #[test]
    fn idle_time_is_nobodys_and_so_are_the_brokers_slots_where_it_never_runs() {
        let mut stage = Stage::new();
        stage.slice(0, 1);
        stage.record(1005, Record::head(kind::IDLE, 0, 1, 0), &[9999]);
        stage.record(1011, Record::head(kind::SLICE, 1, 0, 1), &[1, 1020]);
        stage.slice(2, 0);
        let (own, system, empty) = (stage.word(Who::Party(0)), stage.word(Who::System), stage.lane.empty);
        assert_eq!(stage.columns(2)[..6], [own, empty, empty, empty, system, system]);
    }

    #[test]
    fn a_turn_within_a_turn_is_not_covered_by_the_outer_one() {
        let mut stage = Stage::new();
        stage.slice(0, 0);
        stage.turn(2, 1000, 1005);
        stage.turn(1, 1000, 1010);
        assert_eq!(stage.columns(2)[..2], [stage.word(CLIENT), stage.word(Who::Party(0))]);
    }

    #[test]
    fn the_sweep_goes_round_and_shows_the_last_of_it() {
        let mut stage = Stage::new();
        (0..18).for_each(|number| stage.slice(number, 1));
        stage.columns(2);
        (18..23).for_each(|number| stage.slice(number, 0));
        let (own, system, paper) = (stage.word(Who::Party(0)), stage.word(Who::System), stage.lane.paper);
        let row = stage.columns(2);
        assert_eq!((row[..6].to_vec(), row[36..].to_vec()), (vec![system; 6], vec![system; 4]));
        assert_eq!((row[6..26].to_vec(), row[26..36].to_vec()), (vec![paper; 20], vec![own; 10]));
    }

    #[test]
    fn late_jobs_and_excess_are_marked_and_jobs_without_a_deadline_are_not_counted() {
        let mut stage = Stage::new();
        stage.slice(0, 1);
        stage.slice(1, 1);
        let mut job = |due, completed| {
            let mark = Job { number: 0, released: 0, due, demand: 1, used: 1, completed }.mark();
            stage.record(completed, Record::head(mark.kind, 0, 2, 0), &mark.words)
        };
        assert_eq!(job(Some(1004), 1005), Some(Done { party: 0, late: true }));
        assert_eq!(job(Some(1015), 1015), Some(Done { party: 0, late: false }));
        assert_eq!(job(None, 1016), None);
        stage.record(1020, Record::head(kind::EXCESS, 0, 1, 0), &[1]);
        let (late, excess) = (stage.cast.word(palette::MARK), stage.cast.word(palette::BAD));
        let row = stage.columns(0);
        assert_eq!(row[..6], [stage.lane.paper, late, late, stage.lane.paper, excess, excess]);
    }

    #[test]
    fn after_a_gap_nothing_is_drawn_before_the_next_slot() {
        let mut stage = Stage::new();
        stage.slice(0, 1);
        stage.lane.lose();
        stage.turn(2, 1010, 1015);
        stage.slice(5, 1);
        let row = stage.columns(2);
        assert_eq!(row[2..10], [stage.lane.paper; 8]);
        assert_eq!(row[10..12], [stage.word(Who::Party(0)); 2]);
    }

    #[test]
    fn short_slots_share_columns() {
        assert_eq!(
            Scale::new(7, 62_500, 62_500_000),
            Scale { zero: 7, column: 62_500_000 / 1000 / SLOT_WIDTH as u64 }
        );
        assert_eq!(
            Scale::new(7, 6_250, 62_500_000),
            Scale { zero: 7, column: 62_500_000 / 1000 / SLOT_WIDTH as u64 }
        );
        assert_eq!(
            Scale::new(7, 625_000, 62_500_000),
            Scale { zero: 7, column: 625_000 / SLOT_WIDTH as u64 }
        );
    }
}
