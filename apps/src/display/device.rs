//! The screen's memory, mapped, and the right to draw on some of its rows.
//!
//! Not here: what is drawn. The frames are the display's own: the broker gave them to it. No row is anybody's twice at a time.

use super::board::Board;
use super::canvas::{Canvas, Form};
use super::layout::SMALLEST;
use super::palette::Order;
use core::ops::Range;
use core::sync::atomic::{AtomicBool, Ordering::Acquire, Ordering::Release};
use libos_core::frames::{Frames, Run};
use libos_core::layout::{BOARD_BASE, DISPLAY_BASE};
use libos_core::mapping::{self, Space};
use libos_core::public::View;
use tranche_abi::layout::{HANDLE_SELF, PAGE_SIZE};
use tranche_abi::{Address, Error, Handle, Protection};

/// Rows that a screen has at most.
const MAX_ROWS: usize = 2160;

/// Rows that somebody draws on.
static TAKEN: [AtomicBool; MAX_ROWS] = [const { AtomicBool::new(false) }; MAX_ROWS];

/// A screen of a form that is known here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Screen {
    /// Its pixels.
    pub form: Form,
    /// Its rows.
    pub height: usize,
}

impl Screen {
    /// The machine's; `None` if it has none, or one of a form that is not known here.
    pub fn of(view: View) -> Option<Self> {
        let order = Order::of(view.display_format())?;
        let [width, height, stride] = [view.display_width(), view.display_height(), view.display_stride()];
        let bytes = view.display_frames() * PAGE_SIZE;
        let fits = stride % 4 == 0 && width * 4 <= stride && height * stride <= bytes;
        let (width, height) = (width as usize, height as usize);
        let known = fits && height <= MAX_ROWS && width >= SMALLEST.0 && height >= SMALLEST.1;
        known.then_some(Self { form: Form { width, stride: stride as usize / 4, order }, height })
    }

    /// Maps all of it, once; tables are made of `frames`.
    pub fn open(self, view: View, frames: &mut Frames) -> Result<(), Error> {
        let shown = Run { first: view.display_first(), count: view.display_frames() };
        let mut table = || frames.take(1).map(|run| run.first);
        let mut space = Space { env: HANDLE_SELF, table: &mut table };
        space.map(Address(DISPLAY_BASE), shown, Protection::ReadWrite)
    }

    /// Takes rows to draw on, after it was opened; `None` if it does not have them, or somebody draws on one of them.
    pub fn rows(self, rows: Range<usize>) -> Option<Rows> {
        if rows.end > self.height {
            return None;
        }
        let taken = rows.clone().take_while(|row| !TAKEN[*row].swap(true, Acquire)).count();
        let mine = Rows { screen: self, rows: rows.start..rows.start + taken };
        (taken == rows.len()).then_some(mine)
    }
}

/// Rows to draw on. Whoever drops them lets others.
pub struct Rows {
    screen: Screen,
    rows: Range<usize>,
}

impl Rows {
    /// What is drawn on.
    pub fn canvas(&mut self) -> Canvas<'_> {
        let Form { stride, .. } = self.screen.form;
        let begin = DISPLAY_BASE as usize + self.rows.start * stride * 4;
        // SAFETY: `open` mapped all rows for good, of a screen that has these; as long as this exists nobody else has one of
        // them, and the canvas borrows it. Words have no invalid values, and a reader of the display changes none.
        let words = unsafe { core::slice::from_raw_parts_mut(begin as *mut u32, self.rows.len() * stride) };
        Canvas::new(words, self.rows.start, self.screen.form)
    }
}

impl Drop for Rows {
    fn drop(&mut self) {
        self.rows.clone().for_each(|row| TAKEN[row].store(false, Release));
    }
}

/// Makes the page on which a broker tells its display whose each environment is: the caller's, and mapped for reading in the
/// environment behind the handle. Once.
pub fn make_board(frames: &mut Frames, display: Handle) -> Result<&'static Board, Error> {
    let page = frames.take(1).ok_or(Error::Full)?;
    let at = Address(BOARD_BASE);
    let mut table = || frames.take(1).map(|run| run.first);
    mapping::fill(page, &[], &mut table)?;
    Space { env: HANDLE_SELF, table: &mut table }.map(at, page, Protection::ReadWrite)?;
    Space { env: display, table: &mut table }.map(at, page, Protection::Read)?;
    Ok(board())
}

/// The page that [`make_board`] mapped, in the environment of either.
pub(super) fn board() -> &'static Board {
    // SAFETY: who comes here has the page mapped there, for good: a broker has just done so, and starts its display afterwards. It
    // consists of atomics, of which the display changes none.
    unsafe { &*(BOARD_BASE as *const Board) }
}

/// Whether the screen was opened; by then what stays is drawn, too.
static OPEN: AtomicBool = AtomicBool::new(false);

/// The screen may be drawn on.
pub fn declare_open() {
    OPEN.store(true, Release);
}

/// Whether it may be.
pub fn is_open() -> bool {
    OPEN.load(Acquire)
}

/// Whether nobody draws on a row.
#[cfg(test)]
fn is_free(row: usize) -> bool {
    !TAKEN[row].load(Acquire)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCREEN: Screen =
        Screen { form: Form { width: 1280, stride: 1280, order: Order::BlueFirst }, height: 720 };

    #[test]
    fn no_row_is_drawn_on_by_two() {
        let mine = SCREEN.rows(10..20);
        assert!(mine.is_some() && SCREEN.rows(15..25).is_none() && SCREEN.rows(0..10).is_some());
        assert!(is_free(21) && !is_free(12), "what was refused took nothing");
        drop(mine);
        assert!(SCREEN.rows(15..25).is_some() && SCREEN.rows(700..721).is_none());
    }
}
