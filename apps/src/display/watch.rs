//! What one activation looks at and draws: its core's ring and lane; the last one also the ledgers, clock and shares.
//!
//! Not here: how that looks ([`super::lane`], [`super::panel`]).
#![forbid(unsafe_code)]

use super::cast::Cast;
use super::device::Rows;
use super::lane::{Done, Lane, Scale};
use super::panel::{Jobs, Panel};
use super::shares::{Look, Part, parts};
use super::{Show, Trouble};
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
use tranche_abi::{Core, SlotIndex};

/// Records that are read at a time.
const BATCH: usize = 64;
/// Looks at the ledgers that shares are reckoned over, one a revolution.
const WINDOW: usize = 10;
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
    reader: Reader<'static>,
    lane: Lane,
    rows: Rows,
    summary: Option<Summary>,
}

impl<'a> Watch<'a> {
    /// The view of a core's activation.
    pub fn new(show: &'a Show, core: u64, frames: &mut Frames) -> Result<Self, Trouble> {
        let machine = handle().ok_or(Trouble::NoRight)?;
        let mut table = || frames.take(1).map(|run| run.first);
        let reader = open_ring(&mut Space { env: HANDLE_SELF, table: &mut table }, machine, core)?;
        let (layout, number, view) = (&show.layout, core as usize, view());
        let cast = Cast::new(&show.scenario, show.screen.form.order);
        let quantum = view.quantum().0;
        let scale = Scale::new(view.epoch().0, quantum, view.frequency());
        let lane = Lane::new((layout.lane(number), layout.marks(number)), scale, quantum, &cast);
        let band = layout.lane_band(number);
        let rows = show.screen.rows(band.y..band.bottom()).ok_or(Trouble::NoScreen)?;
        let is_last = number + 1 == layout.cores;
        let summary = if is_last { Some(Summary::new(show)?) } else { None };
        Ok(Self { show, cast, reader, lane, rows, summary })
    }

    /// Draws what is new.
    pub fn look(&mut self) {
        self.cast.update(self.show.board);
        self.read();
        self.lane.show(&mut self.rows.canvas());
        if let Some(summary) = &mut self.summary {
            summary.look(self.show, &self.cast);
        }
    }

    /// Draws the last of it.
    pub fn finish(mut self) {
        if let Some(summary) = &mut self.summary {
            summary.finish(self.show);
        }
    }

    fn read(&mut self) {
        let mut buffer = [[0; 8]; BATCH];
        loop {
            let batch = self.reader.read(&mut buffer);
            // Each time: a slot may have ended since, and the run.
            let end = self.show.board.end().unwrap_or(u64::MAX);
            if batch.lost > 0 {
                self.lane.lose();
            }
            for raw in buffer[..batch.count].iter().filter(|raw| raw[0] <= end) {
                self.lane.record(raw, &self.cast).into_iter().for_each(count);
            }
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
        if self.looks.len() > WINDOW + 1 {
            self.looks.pop_front();
        }
        if let (Some(first), Some(last)) = (self.looks.front(), self.looks.back()) {
            self.parts = parts(&show.scenario, cast, (first, last), &owned(show, cast));
        }
        self.draw(self.next);
        self.next = (self.next + 1) % self.panel.rows().max(1);
    }

    fn finish(&mut self, show: &Show) {
        if show.board.start().is_some() {
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
