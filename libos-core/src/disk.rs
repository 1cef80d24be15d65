//! An extent of the disk, page by page: steps, and waiting between them.
//!
//! The kernel waits for nothing, so whoever wants a page waits here: at once again while something happens, a little later while
//! the card is busy. Not here: what is on the disk (`card`).

use crate::card::Pages;
use crate::card::format::Page;
use crate::frames::Run;
use crate::mapping::Space;
use crate::public::view;
use crate::{calls, layout, page};
use core::fmt;
use tranche_abi::layout::{HANDLE_SELF, PAGE_SIZE};
use tranche_abi::{
    Address, Capability, Direction, DiskFault, Error, Frame, Handle, Progress, Protection, Tick,
};

/// Microseconds until a disk that was not ready is looked at again.
const LATER_MICROS: u64 = 50;
/// Seconds for which the disk may be busy with others' pages.
const PATIENCE_SECONDS: u64 = 10;
/// Times that a page is begun which others break off.
const TRIES: u32 = 3;

/// Why a page was not moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// The kernel refused.
    Kernel(Error),
    /// The disk failed.
    Disk(DiskFault),
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        Self::Kernel(error)
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kernel(error) => write!(f, "the kernel refuses: {error:?}"),
            Self::Disk(DiskFault::NoAnswer) => write!(f, "the card does not answer: is it still there?"),
            Self::Disk(DiskFault::Checksum) => write!(f, "data are damaged on the way"),
            Self::Disk(DiskFault::TooSlow) => write!(f, "the card is busy for longer than it may"),
            Self::Disk(DiskFault::Refused) => write!(f, "the card refuses a block: it may be worn out"),
            Self::Disk(DiskFault::WriteProtected) => write!(f, "the card is protected against writing"),
        }
    }
}

/// The page of memory through which an activation's pages go.
pub struct Window {
    frame: Frame,
    memory: &'static mut Page,
}

impl Window {
    /// Maps a frame of the caller's, once for each activation. `table` takes frames for page tables.
    pub fn open(frame: Frame, table: &mut dyn FnMut() -> Option<Frame>) -> Result<Self, Error> {
        let at = layout::DISK_BASE + page::index() * PAGE_SIZE;
        let mut space = Space { env: HANDLE_SELF, table };
        space.map(Address(at), Run { first: frame, count: 1 }, Protection::ReadWrite)?;
        // SAFETY: Just mapped for good, where nothing else is, for this activation alone.
        Ok(Self { frame, memory: unsafe { &mut *(at as *mut Page) } })
    }
}

/// An extent that this environment may use.
pub struct Extent<'w> {
    handle: Handle,
    window: &'w mut Window,
}

impl<'w> Extent<'w> {
    /// Binds a capability to an extent.
    pub fn bind(capability: Capability, window: &'w mut Window) -> Result<Self, Error> {
        Ok(Self { handle: calls::bind(capability)?, window })
    }

    /// Frees the handle.
    pub fn unbind(self) -> Result<(), Error> {
        calls::unbind(self.handle)
    }

    /// Moves a page between the extent and the window.
    fn transfer(&mut self, page: u64, direction: Direction) -> Result<(), Trouble> {
        let mut tries = 0;
        loop {
            self.begin(page, direction)?;
            match self.go_on() {
                // Somebody else wanted the disk, and this took too long.
                Err(Trouble::Kernel(Error::Absent)) if tries < TRIES => tries += 1,
                over => return over,
            }
        }
    }

    fn begin(&self, page: u64, direction: Direction) -> Result<(), Trouble> {
        let until = Tick(page::now().0 + PATIENCE_SECONDS * view().frequency());
        loop {
            match calls::disk_begin(self.handle, page, direction) {
                Err(Error::Busy) if page::now() < until => later(),
                begun => return Ok(begun?),
            }
        }
    }

    fn go_on(&self) -> Result<(), Trouble> {
        loop {
            match calls::disk_step(self.handle, self.window.frame)? {
                Progress::Again => {}
                Progress::Wait => later(),
                Progress::Done => return Ok(()),
                Progress::Failed(fault) => return Err(Trouble::Disk(fault)),
            }
        }
    }
}

impl Pages for Extent<'_> {
    type Error = Trouble;

    fn read(&mut self, number: u64, into: &mut Page) -> Result<(), Trouble> {
        self.transfer(number, Direction::Read)?;
        into.copy_from_slice(self.window.memory);
        Ok(())
    }

    fn write(&mut self, number: u64, from: &Page) -> Result<(), Trouble> {
        self.window.memory.copy_from_slice(from);
        self.transfer(number, Direction::Write)
    }
}

/// Gives the CPU back for a little while.
fn later() {
    let micros = LATER_MICROS * view().frequency() / 1_000_000;
    // Not refused to a running activation; returns at once where an event is there, which is its receiver's to take.
    let _ = calls::wait(Tick(page::now().0 + micros));
}
