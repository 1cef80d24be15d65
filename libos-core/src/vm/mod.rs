//! Virtual memory at application level: demand paging, dirty tracking and page replacement over frames of one's own.
//!
//! * [`Vm`] (in [`paged`]): what a fault means and what to do then. It decides everything; the kernel only maps.
//! * [`PageTable`]: where it keeps what it knows of resident pages. Two structures, to be chosen by who uses it: [`linear`],
//!   an array indexed by page, and [`inverted`], a hash table with an entry for each frame.
//! * [`Replacement`]: which page goes when a frame is wanted; [`clock`]: the usual one. [`store`]: where it goes.
//! * [`reserve`]: what to prepare for the day when frames are taken by force, and how to go on after it.
//! * [`kernel`]: the few calls that all of this needs, as a trait, and the real ones.
//!
//! Nothing here allocates after it was made: a fault handler must not, because the code that it interrupts may hold the
//! heap's lock. Not here: any lock (a [`Vm`] is one thread's, or behind a [`Lock`](crate::critical::Lock)), executable pages,
//! sharing pages between environments.

pub mod clock;
pub mod inverted;
pub mod kernel;
pub mod linear;
pub mod paged;
pub mod reserve;

pub mod store;

#[cfg(test)]
mod fake;
#[cfg(test)]
mod tests;

pub use paged::{Access, Fate, Region, Verdict, Vm};

use tranche_abi::layout::PAGE_SIZE;
use tranche_abi::{Address, Frame, Protection};

/// The number of a page: its address / 4096.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Page(pub u64);

impl Page {
    /// The page that an address is in.
    pub const fn of(address: Address) -> Self {
        Self(address.0 / PAGE_SIZE)
    }

    /// Its first address.
    pub const fn address(self) -> Address {
        Address(self.0 * PAGE_SIZE)
    }
}

/// Which page goes when a frame is wanted. Whoever implements it allocates nothing after it was made.
pub trait Replacement {
    /// A page came in.
    fn admit(&mut self, page: Page);
    /// A page is gone.
    fn forget(&mut self, page: Page);
    /// All that have come in and are not gone.
    fn pages(&self) -> impl Iterator<Item = Page>;
    /// Takes out the page that goes; `None` if there is none. `in_use` says whether a page is, once: whoever answers notes that it was
    /// asked.
    fn victim(&mut self, in_use: impl FnMut(Page) -> bool) -> Option<Page>;
}

/// What a page holds.
pub type Contents = [u64; PAGE_SIZE as usize / 8];

/// What is known of a resident page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The frame that it is in.
    pub frame: Frame,
    /// Whether the kernel maps it; if not, the next access tells that it is in use.
    pub is_mapped: bool,
    /// Whether it was written since it came in, or was last written back.
    pub is_dirty: bool,
    /// What the application allows: to read, or to write as well. The kernel is told less, to see a first write.
    pub allowed: Access,
}

impl Entry {
    /// What the kernel is to allow now: writing only where it is allowed and has been noticed.
    pub const fn shown(&self) -> Protection {
        match (self.allowed, self.is_dirty) {
            (Access::Write, true) => Protection::ReadWrite,
            _ => Protection::Read,
        }
    }
}

/// A structure for the entries of resident pages. It is made with room for as many as there are frames.
pub trait PageTable {
    /// The entry of a page, if it is resident.
    fn get(&self, page: Page) -> Option<&Entry>;
    /// The same, to change.
    fn get_mut(&mut self, page: Page) -> Option<&mut Entry>;
    /// Adds the entry of a page that has none; there is room.
    fn insert(&mut self, page: Page, entry: Entry);
    /// Removes a page's entry.
    fn remove(&mut self, page: Page) -> Option<Entry>;
    /// Hands `action` the entries of `count` pages from `first` on, in order. False if one is not resident: it stops there.
    fn visit(&mut self, first: Page, count: u64, action: impl FnMut(Page, &mut Entry)) -> bool;
}
