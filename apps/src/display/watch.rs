//! What one activation looks at and draws: its core's ring and lane; the last one also the ledgers, clock and shares.
//!
//! Not here: how that looks ([`super::lane`], [`super::panel`]).
#![forbid(unsafe_code)]

use super::cast::Cast;
use super::device::Rows;
use super::lane::{Done, Lane, Scale, is_drawn};
use super::panel::{Jobs, Panel};
use super::shares::{Look, Part, parts};
use super::{Show, Trouble, lanes};
use crate::tracer::device::open_ring;
use alloc::collections::VecDeque;
use alloc::vec;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};
use libos_core::frames::Frames;
use libos_core::mapping::Space;
use libos_core::page;
use libos_core::public::view;
use libos_core::trace::{Reader, handle};
use tranche_abi::layout::HANDLE_SELF;
use tranche_abi::trace::RING_RECORDS;
use tranche_abi::{Core, SlotIndex};

/// Records that are read at a time.
const BATCH: usize = 64;
/// Records behind which a lane is too far behind: it goes on with the last half of them. The ring holds twice as many.
const BEHIND: u64 = RING_RECORDS as u64 / 2;
/// Revolutions that shares are reckoned over, at least.
const WINDOW: u64 = 10;
/// Parties whose jobs are counted.
const MAX_PARTIES: usize = 32;

/// Jobs of each party, counted by all activations.
static DONE: [AtomicU64; MAX_PARTIES] = [const { AtomicU64::new(0) }; MAX_PARTIES];
static LATE: [AtomicU64; MAX_PARTIES] = [const { AtomicU64::new(0) }; MAX_PARTIES];

fn count(done: Done) {
    if let Some(all) = DONE.get(done.party) {
        all.fetch_add(1, Relaxed);
        LATE[done.party].fetch_add(done.late.into(), Relaxed);
    }
}

fn jobs(party: usize) -> Jobs {
    let of = |counts: &[AtomicU64]| counts.get(party).map_or(0, |count| count.load(Relaxed));
    Jobs { done: of(&DONE), late: of(&LATE) }
}

/// One activation's view.
pub struct Watch<'a> {
    show: &'a Show,
    cast: Cast,
    lanes: Vec<Strip>,
    summary: Option<Summary>,
}

/// A core's lane, where its records come from, and the rows that it is drawn on.
struct Strip {
    reader: Reader<'static>,
    lane: Lane,
    rows: Rows,
}

impl<'a> Watch<'a> {
    /// The view of a core's activation.
    pub fn new(show: &'a Show, core: u64, frames: &mut Frames) -> Result<Self, Trouble> {
        let cast = Cast::new(&show.scenario, show.screen.form.order);
        let mine = lanes(&show.scenario, core);
        let lanes = mine.clone().map(|core| Strip::open(show, core, (&cast, &mut *frames)));
        let lanes = lanes.collect::<Result<_, _>>()?;
        let is_last = mine.end == show.layout.cores as u64;
        let summary = if is_last { Some(Summary::new(show)?) } else { None };
        Ok(Self { show, cast, lanes, summary })
    }

    /// Draws what is new.
    pub fn look(&mut self) {
        self.cast.update(self.show.board);
        for strip in &mut self.lanes {
            strip.read(self.show, &self.cast);
            strip.lane.show(&mut strip.rows.canvas());
        }
        if let Some(summary) = &mut self.summary {
            summary.look(self.show, &self.cast);
        }
    }

    /// Draws the last of it.
    pub fn finish(mut self) {
        if let Some(summary) = &mut self.summary {
            summary.finish(self.show, &self.cast);
        }
    }
}

impl Strip {
    fn open(show: &Show, core: u64, (cast, frames): (&Cast, &mut Frames)) -> Result<Self, Trouble> {
        let machine = handle().ok_or(Trouble::NoRight)?;
        let mut table = || frames.take(1).map(|run| run.first);
        let reader = open_ring(&mut Space { env: HANDLE_SELF, table: &mut table }, machine, core)?;
        let (layout, number, view) = (&show.layout, core as usize, view());
        let quantum = view.quantum().0;
        let scale = Scale::new(view.epoch().0, quantum, view.frequency());
        let lane = Lane::new((layout.lane(number), layout.marks(number)), scale, quantum, cast);
        let band = layout.lane_band(number);
        let rows = show.screen.rows(band.y..band.bottom()).ok_or(Trouble::NoScreen)?;
        Ok(Self { reader, lane, rows })
    }

    fn read(&mut self, show: &Show, cast: &Cast) {
        let mut buffer = [[0; 8]; BATCH];
        if self.reader.waiting() > BEHIND {
            self.reader.skip_all_but(BEHIND / 2);
            self.lane.lose();
        }
        loop {
            let batch = self.reader.read_some(&mut buffer, is_drawn);
            // Each time: a slot may have ended since, and the run.
            let end = show.board.end().unwrap_or(u64::MAX);
            if batch.lost > 0 {
                self.lane.lose();
            }
            let drawn = buffer[..batch.count].iter().filter(|raw| is_drawn(raw[1]) && raw[0] <= end);
            drawn.for_each(|raw| self.lane.record(raw, cast).into_iter().for_each(count));
            if batch.count < BATCH {
                return;
            }
        }
    }
}

/// Clock and shares.
struct Summary {
    panel: Panel,
    header: Rows,
    shares: Rows,
    looks: VecDeque<Look>,
    parts: Vec<Part>,
    /// Slots that each party owns; looked at once for all rows.
    slots: Vec<u64>,
    next: usize,
}

impl Summary {
    fn new(show: &Show) -> Result<Self, Trouble> {
        let (header, shares) = (show.layout.header(), show.layout.shares());
        let rows = |from, to| show.screen.rows(from..to).ok_or(Trouble::NoScreen);
        Ok(Self {
            panel: Panel::new(&show.layout, &show.scenario, show.screen.form),
            header: rows(header.y, header.bottom())?,
            shares: rows(shares.y, shares.bottom())?,
            looks: VecDeque::new(),
            parts: Vec::new(),
            slots: Vec::new(),
            next: 0,
        })
    }

    fn look(&mut self, show: &Show, cast: &Cast) {
        let Some(start) = show.board.start() else { return };
        let now = show.board.end().unwrap_or_else(|| page::now().0);
        let ms = now.saturating_sub(start) * 1000 / view().frequency().max(1);
        self.panel.time(&mut self.header.canvas(), ms, show.scenario.duration_ms.into());
        if show.board.end().is_some() {
            return; // Nobody is served any more: the last figures stay.
        }
        self.looks.push_back(look_at_ledgers(cast));
        let old = now.saturating_sub(WINDOW * view().revolution().0);
        while self.looks.get(1).is_some_and(|look| look.time <= old) {
            self.looks.pop_front();
        }
        if self.next == 0 || self.slots.iter().all(|slots| *slots == 0) {
            self.slots = owned(show, cast);
        }
        if let (Some(first), Some(last)) = (self.looks.front(), self.looks.back()) {
            self.parts = parts(&show.scenario, cast, (first, last), &self.slots);
        }
        self.draw(self.next);
        self.next = (self.next + 1) % self.panel.rows().max(1);
    }

    fn finish(&mut self, show: &Show, cast: &Cast) {
        if show.board.start().is_some() {
            // Nobody has given any back yet.
            let slots = owned(show, cast);
            self.parts.iter_mut().zip(slots).for_each(|(part, slots)| part.slots = slots);
            (0..self.panel.rows()).for_each(|row| self.draw(row));
        }
    }

    fn draw(&mut self, row: usize) {
        let all = view().cores() * view().slots();
        let most = self.parts.iter().map(|part| part.slots).max().unwrap_or(0);
        let largest = (most * 100).checked_div(all).unwrap_or(0);
        if let Some(part) = self.parts.get(row).filter(|_| row < self.panel.rows()) {
            self.panel.part(&mut self.shares.canvas(), row, part, (jobs(row), largest));
        }
    }
}

fn look_at_ledgers(cast: &Cast) -> Look {
    let view = view();
    let ledgers: Vec<_> = (0..view.cores()).filter_map(|core| view.ledger(Core(core))).collect();
    let charged = |index| ledgers.iter().map(|ledger| ledger.env(index).0).sum();
    Look { time: page::now().0, charged: cast.members.iter().map(|member| charged(member.index)).collect() }
}

/// The slots of all cores that each party owns.
fn owned(show: &Show, cast: &Cast) -> Vec<u64> {
    let view = view();
    let mut owned = vec![0; show.scenario.libos.len() + show.scenario.hostile.len()];
    for core in 0..view.cores() {
        for slot in 0..view.slots() {
            let owner = view.owner(Core(core), SlotIndex(slot));
            let party = owner.and_then(|owner| cast.who(owner.env)?.party());
            if let Some(count) = party.and_then(|party| owned.get_mut(party)) {
                *count += 1;
            }
        }
    }
    owned
}
