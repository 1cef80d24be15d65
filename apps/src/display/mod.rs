//! The display: draws a run while it goes on, on the screen's memory, which the broker has given to it.
//!
//! It has an activation for each core, each of which draws its core's lane, from that core's ring, in slots of the broker's; without
//! any, the first draws all. The last that draws lanes also draws clock and shares. What is drawn is what the kernel shows everybody (public region, rings), what is in the
//! scenario, and whose each environment is, which the broker says ([`board`]). No scheduler is asked anything.
//!
//! * [`layout`]: where everything is. [`palette`]: colours. [`canvas`], [`text`]: drawing. [`draw`]: what stays. [`lane`], [`panel`]: what changes.
//! * [`cast`]: who takes part. [`shares`]: the figures. [`device`]: the memory.
//!
//! Not here: who makes it and lends it slots (`crate::broker::presenter`).

pub mod board;
pub mod canvas;
pub mod cast;
pub mod device;
pub mod draw;
pub mod lane;
pub mod layout;
pub mod palette;
pub mod panel;
pub mod shares;
#[cfg(test)]
pub(crate) mod tests;
pub mod text;
mod watch;

use crate::assignment::EVENT_REPORT;
use crate::broker::market;
use board::Board;
use core::ops::Range;
use core::sync::atomic::Ordering::{AcqRel, Relaxed};
use device::Screen;
use layout::Layout;
use libos_core::frames::{Frames, Run};
use libos_core::public::view;
use libos_core::scenario::{FILE, Scenario};
use libos_core::start::StartInfo;
use libos_core::{archive, calls, output, page, say};
use tranche_abi::{Error, Frame, SlotIndex, Tick};
use watch::Watch;

/// Page frames that each activation needs, for page tables.
pub const FRAMES: u64 = 24;

/// Why nothing is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trouble {
    /// The archive has no scenario that this build understands.
    NoScenario,
    /// The machine has no screen, or one that is too small or of an unknown form.
    NoScreen,
    /// The creator gave no capability to read the rings.
    NoRight,
    /// A mapping failed.
    Kernel(Error),
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        Self::Kernel(error)
    }
}

/// What is shown, and where.
pub struct Show {
    scenario: Scenario,
    screen: Screen,
    layout: Layout,
    board: &'static Board,
}

/// Draws until the broker says that the run is over, and the last picture after that.
pub fn main(info: StartInfo) {
    let core = page::index();
    let own = info.owned_frames();
    let mut frames = Frames::new(Run { first: Frame(own.first.0 + core * FRAMES), count: FRAMES });
    let shown = Show::read().and_then(|show| {
        if core == 0 {
            show.open(&mut frames)?;
        }
        while !device::is_open() {
            wait_for_next_slot();
        }
        run(Watch::new(&show, core, &mut frames)?);
        Ok(())
    });
    if let Err(trouble) = shown {
        say!("display: core {core} is not shown: {trouble:?}");
        device::declare_open(); // Nobody is to wait for what does not come.
        output::stats().work_units.fetch_add(1, Relaxed);
        while page::take_events() & EVENT_REPORT == 0 {
            wait_for_next_slot();
        }
    }
    // Its creator waits for this.
    output::stats().reported.fetch_add(1, AcqRel);
}

fn run(mut watch: Watch<'_>) {
    loop {
        let is_over = page::take_events() & EVENT_REPORT != 0;
        watch.look();
        output::stats().work_units.fetch_add(1, Relaxed);
        if is_over {
            return watch.finish();
        }
        wait_for_next_slot();
    }
}

impl Show {
    fn read() -> Result<Self, Trouble> {
        let archive = archive::boot().ok_or(Trouble::NoScenario)?;
        let file = archive.file(FILE).ok_or(Trouble::NoScenario)?;
        let scenario = Scenario::decode(file).map_err(|_| Trouble::NoScenario)?;
        let screen = Screen::of(view()).ok_or(Trouble::NoScreen)?;
        let layout = layout_of(&scenario, (screen.form.width, screen.height)).ok_or(Trouble::NoScreen)?;
        Ok(Self { scenario, screen, layout, board: device::board() })
    }

    /// Maps the screen and draws what stays.
    fn open(&self, frames: &mut Frames) -> Result<(), Trouble> {
        self.screen.open(view(), frames)?;
        let mut rows = self.screen.rows(0..self.screen.height).ok_or(Trouble::NoScreen)?;
        let machine = draw::Machine { board: view().board(), recorded: self.scenario.trace };
        draw::everything(&mut rows.canvas(), &self.layout, &self.scenario, machine);
        drop(rows);
        device::declare_open();
        Ok(())
    }
}

/// The slots of each core that the display works in: those that the broker keeps, but its own and the tracer's; and nowhere those at
/// the time of its own, so that in an emulator, where cores take time from each other, the broker is not late for it.
pub fn slots(scenario: &Scenario) -> impl Iterator<Item = SlotIndex> {
    let kept = market::kept(scenario.slots as usize, scenario.broker.slots as usize);
    let count = (scenario.broker.slots as usize).saturating_sub(usize::from(scenario.trace));
    kept.take(count).skip(1).map(|slot| SlotIndex(slot as u64))
}

/// The cores whose lanes a core's activation draws: its own; without slots all are the first's.
pub fn lanes(scenario: &Scenario, core: u64) -> Range<u64> {
    match (slots(scenario).next(), core) {
        (Some(_), core) => core..core + 1,
        (None, 0) => 0..scenario.cores.into(),
        (None, _) => 0..0,
    }
}

/// The layout that a scenario has on a screen.
pub fn layout_of(scenario: &Scenario, size: (usize, usize)) -> Option<Layout> {
    Layout::new(size, scenario.cores as usize, scenario.libos.len() + scenario.hostile.len())
}

fn wait_for_next_slot() {
    // Not refused to a running activation; returns at once where an event is there already.
    let _ = calls::wait(Tick(page::own().slot_end.load(Relaxed)));
}
