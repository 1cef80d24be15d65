//! The broker's part in the display: it makes it, gives it the screen's memory, lends it slots, and tells it whose each
//! environment is.
//!
//! Not here: what is drawn (`crate::display`), and in which slots. They are of those that the broker keeps; where there are none for
//! it, it gets what is left of the broker's own slot, unless the broker is late itself.

use crate::assignment::EVENT_REPORT;
use crate::display::board::{Board, Who};
use crate::display::{self, device};
use core::ops::Range;
use core::sync::atomic::Ordering::Relaxed;
use libos_core::archive::Archive;
use libos_core::calls::{self, Events};
use libos_core::frames::{Frames, Run};
use libos_core::public::{View, view};
use libos_core::report::{Picture, Record};
use libos_core::scenario::Scenario;
use libos_core::spawn::{Child, SpawnError, SpawnPlan, create};
use libos_core::{mapping, output, page};
use tranche_abi::{Core, Error, Kind, Object, Rights, Tick};

/// The name under which the display's time stands in the ledgers.
pub const NAME: &str = "display";

/// Revolutions that it may take to begin and to end.
const PATIENCE: u64 = 50;

/// A display at work.
pub struct Presenter {
    /// The display.
    pub child: Child,
    board: &'static Board,
    /// How it comes to its time.
    lent: Lent,
}

/// How the display comes to its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lent {
    /// By slots of its own.
    Slots,
    /// By what is left of the broker's, for the activation of core 0.
    Rest,
}

const MACHINE: Object = Object { kind: Kind::Machine, index: 0 };

impl Presenter {
    /// Makes the display, if the machine has one, and waits until what stays on the screen is drawn, and all that is drawn once.
    pub fn begin(
        frames: &mut Frames,
        archive: &Archive<'_>,
        scenario: &Scenario,
    ) -> Result<Option<Self>, SpawnError> {
        let shown = Run { first: view().display_first(), count: view().display_frames() };
        if shown.count == 0 {
            return Ok(None);
        }
        let cores = u64::from(scenario.cores);
        let plan = SpawnPlan {
            name: NAME,
            activations: cores,
            stack_pages: 16,
            heap_pages: 256,
            frames: cores * display::FRAMES,
            trace: Some(calls::grant(MACHINE, Rights::TRACE)?),
            ..SpawnPlan::new(NAME)
        };
        let child = create(frames, archive, &plan)?;
        let board = device::make_board(frames, child.handle)?;
        mapping::give(shown, child.handle)?;
        child.start()?;
        let mut presenter = Self { child, board, lent: Lent::Rest };
        for ready in 0..cores {
            let is_ready =
                |presenter: &Self| presenter.child.mailbox().stats().work_units.load(Relaxed) > ready;
            presenter.lend_until(ready..ready + 1, is_ready)?;
        }
        for core in 0..cores {
            for slot in display::slots(scenario) {
                calls::slot_give(Core(core), slot, presenter.child.target(core))?;
                presenter.lent = Lent::Slots;
            }
        }
        Ok(Some(presenter))
    }

    /// Tells it whose an environment is.
    pub fn introduce(&self, scenario: &Scenario, index: u64, name: &str) {
        self.board.introduce(index, Who::named(scenario, name));
    }

    /// The run begins at this time.
    pub fn start(&self, at: Tick) {
        self.board.begin(at);
    }

    /// Lends it what is left of the broker's slot, in which the broker was due at this time.
    pub fn turn(&self, due: Tick) {
        let in_time = page::now().since(due) < view().quantum();
        if self.lent == Lent::Rest && in_time {
            // Refused while it runs elsewhere, and then it needs none.
            let _ = calls::yield_to(
                self.child.target(0),
                Tick(page::own().slot_end.load(Relaxed)),
                Events::Ignore,
            );
        }
    }

    /// The run is over: what happens from now on is not to be shown.
    pub fn end(&self) {
        self.board.finish(page::now());
        for activation in 0..self.child.activations() {
            // Refused only if it is no more, which shows when it does not answer.
            let _ = calls::notify(self.child.target(activation), EVENT_REPORT);
        }
    }

    /// Waits until the last picture is drawn, says so, and leaves it there for a second, so that whoever hears of it can look
    /// at it. False if it is not drawn in time.
    pub fn done(&mut self, view: View) -> bool {
        let all = self.child.activations();
        let is_drawn = |presenter: &Self| presenter.child.mailbox().stats().reported.load(Relaxed) == all;
        let drawn = self.lend_until(0..all, is_drawn);
        let charged = |core| view.ledger(Core(core)).map_or(0, |ledger| ledger.env(self.child.index).0);
        output::report(&Record::Picture(Picture {
            updates: self.child.mailbox().stats().work_units.load(Relaxed),
            ran: (0..view.cores()).map(charged).sum(),
        }));
        page::sleep_until(Tick(page::now().0 + view.frequency()));
        drawn.is_ok()
    }

    /// Gives the CPU to some of its activations, again and again, until something is so.
    fn lend_until(&self, to: Range<u64>, is_so: impl Fn(&Self) -> bool) -> Result<(), Error> {
        let view = view();
        let deadline = page::now().0 + PATIENCE * view.revolution().0;
        while !is_so(self) {
            if page::now().0 > deadline {
                return Err(Error::TooEarly);
            }
            for activation in to.clone() {
                let next = Tick(page::now().0 + view.quantum().0);
                // Refused while it runs elsewhere; at once over while it waits.
                let _ = calls::yield_to(self.child.target(activation), next, Events::Ignore);
                if page::now() < next {
                    page::sleep_until(next);
                }
            }
        }
        Ok(())
    }
}
