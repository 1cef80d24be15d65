//! The pages of a region over a bounded number of frames: what a fault means, and what is done then.
//!
//! A page comes in when it is first touched: from the store if it was there, otherwise zeroed. It is shown to be read; the
//! first write faults, is noted, and makes it writable. When no frame is free the [`Replacement`] names a victim, which goes to the
//! store if it was written. Not here: the structure of the table, the store, the kernel's calls (all of them parameters).
//!
//! Invariants: a page is resident exactly if it has an entry and stands in the replacement's list; its frame is in no other entry and not
//! free; a mapped page is mapped with the protection that its entry shows.
#![forbid(unsafe_code)]

use super::clock::Clock;
use super::kernel::Kernel;
use super::store::Store;
use super::{Entry, Page, PageTable, Replacement};
use crate::upcall::Fault;
use alloc::vec::Vec;
use tranche_abi::{Address, Error, Frame, Protection};

/// Consecutive pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Region {
    /// The first.
    pub first: Page,
    /// How many.
    pub count: u64,
}

impl Region {
    /// Whether a page is one of them.
    pub const fn contains(&self, page: Page) -> bool {
        page.0.wrapping_sub(self.first.0) < self.count
    }
}

/// What an access wants, or what is allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// To read.
    Read,
    /// To write, or to read and write.
    Write,
}

impl Access {
    /// What an access wanted that found no page, or not with the protection that it needs; `None` for any other fault.
    /// Exception class and fault status: Arm ARM D24.2.40, a data abort from EL0 with a translation or permission fault.
    pub const fn of(fault: Fault) -> Option<Self> {
        const DATA_ABORT: u64 = 0x24;
        let status = fault.syndrome & 0x3f;
        match (fault.class(), status >> 2) {
            (DATA_ABORT, 0b0001 | 0b0011) if fault.was_write() => Some(Self::Write),
            (DATA_ABORT, 0b0001 | 0b0011) => Some(Self::Read),
            _ => None,
        }
    }
}

/// What became of a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The access works now: let it be repeated.
    Handled,
    /// The application protected this page: it decides.
    Protected(Page),
    /// The address is not in the region.
    Foreign,
    /// It cannot be handled, because the kernel refused a call, or no frame or no room in the store is left ([`Error::Full`]).
    Failed(Error),
}

/// What became of a page whose frame was taken by force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// The frame was free.
    Unused,
    /// Its contents are in the frame that the kernel saved them to, which is the page's from now on.
    Saved(Page),
    /// It had not been written: it comes in again from where it came.
    Clean(Page),
    /// What was written to it is lost; what the store last had of it, if anything, comes in again.
    Lost(Page),
}

/// How many of some pages were written.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Written {
    All,
    Some,
}

/// A region's virtual memory.
pub struct Vm<T, K, S, R = Clock> {
    region: Region,
    table: T,
    kernel: K,
    store: S,
    pages: R,
    free: Vec<Frame>,
}

impl<T: PageTable, K: Kernel, S: Store> Vm<T, K, S> {
    /// Virtual memory for a region, all of it zero, in these frames. There will never be more of them.
    pub fn new(region: Region, parts: (T, K, S), frames: Vec<Frame>) -> Self {
        let clock = Clock::new(frames.len());
        Self::with_replacement(region, parts, frames, clock)
    }
}

impl<T: PageTable, K: Kernel, S: Store, R: Replacement> Vm<T, K, S, R> {
    /// The same, of which the pages go that this replacement names.
    pub fn with_replacement(
        region: Region,
        (table, kernel, store): (T, K, S),
        frames: Vec<Frame>,
        pages: R,
    ) -> Self {
        Self { region, table, kernel, store, pages, free: frames }
    }

    /// What is known of a page, if it is resident.
    #[inline]
    pub fn entry(&self, page: Page) -> Option<&Entry> {
        self.table.get(page)
    }

    /// Whether a page was written since it came in or was last written back. One that is not resident was not.
    #[inline]
    pub fn is_dirty(&self, page: Page) -> bool {
        self.table.get(page).is_some_and(|entry| entry.is_dirty)
    }

    /// Frames, free or not.
    pub fn frames(&self) -> usize {
        self.free.len() + self.pages.pages().count()
    }

    /// Handles what a fault upcall reports: for a [`FaultHandler`](crate::upcall::FaultHandler) to call. Where it was handled the
    /// handler returns, and the access is repeated.
    #[inline]
    pub fn handle(&mut self, fault: Fault) -> Verdict {
        match Access::of(fault) {
            Some(access) => self.fault(fault.address, access),
            None => Verdict::Foreign,
        }
    }

    /// Handles an access that faulted.
    #[inline]
    pub fn fault(&mut self, address: Address, access: Access) -> Verdict {
        let page = Page::of(address);
        if !self.region.contains(page) {
            return Verdict::Foreign;
        }
        let handled = match self.table.get_mut(page) {
            Some(entry) if access == Access::Write && entry.allowed == Access::Read => {
                if entry.is_mapped {
                    return Verdict::Protected(page);
                }
                Self::show(&mut self.kernel, page, entry)
            }
            Some(entry) => {
                entry.is_dirty |= access == Access::Write;
                Self::show(&mut self.kernel, page, entry)
            }
            None => self.bring_in(page, access),
        };
        handled.map_or_else(Verdict::Failed, |()| Verdict::Handled)
    }

    /// Maps a page as its entry shows, or changes its protection to that.
    #[inline]
    fn show(kernel: &mut K, page: Page, entry: &mut Entry) -> Result<(), Error> {
        if entry.is_mapped {
            return kernel.protect(page, 1, entry.shown());
        }
        kernel.map(page, entry.frame, entry.shown())?;
        entry.is_mapped = true;
        Ok(())
    }

    fn bring_in(&mut self, page: Page, access: Access) -> Result<(), Error> {
        let frame = match self.free.pop() {
            Some(frame) => frame,
            None => self.evict()?,
        };
        if let Err(error) = self.kernel.map(page, frame, Protection::ReadWrite) {
            self.free.push(frame);
            return Err(error);
        }
        let contents = self.kernel.contents(page);
        if !self.store.load(page, contents) {
            contents.fill(0);
        }
        let allowed = self.store.kept(page);
        let is_dirty = access == Access::Write && allowed == Access::Write;
        let entry = Entry { frame, is_mapped: true, is_dirty, allowed };
        self.table.insert(page, entry);
        self.pages.admit(page);
        if is_dirty { Ok(()) } else { self.kernel.protect(page, 1, Protection::Read) }
    }

    /// Makes room: the frame of the page that goes.
    fn evict(&mut self) -> Result<Frame, Error> {
        let (table, kernel) = (&mut self.table, &mut self.kernel);
        let in_use = |page| match table.get_mut(page) {
            Some(entry) if entry.is_mapped => {
                // Whoever uses it faults, and it is mapped again: that is the second chance.
                entry.is_mapped = kernel.unmap(page).is_err();
                true
            }
            _ => false,
        };
        let page = self.pages.victim(in_use).ok_or(Error::Full)?;
        let gone = self.put_away(page);
        if gone.is_err() {
            self.pages.admit(page);
        }
        gone
    }

    /// Removes a page that the replacement has no more; writes it to the store if that does not have it already.
    fn put_away(&mut self, page: Page) -> Result<Frame, Error> {
        let entry = *self.table.get(page).ok_or(Error::Absent)?;
        if entry.is_dirty {
            self.save(page)?;
        }
        if self.table.get(page).is_some_and(|entry| entry.is_mapped) {
            self.kernel.unmap(page)?;
        }
        self.store.keep(page, entry.allowed);
        self.table.remove(page);
        Ok(entry.frame)
    }

    fn save(&mut self, page: Page) -> Result<(), Error> {
        let entry = self.table.get_mut(page).ok_or(Error::Absent)?;
        if !entry.is_mapped {
            self.kernel.map(page, entry.frame, Protection::Read)?;
            entry.is_mapped = true;
        }
        let saved = self.store.save(page, self.kernel.contents(page));
        if saved { Ok(()) } else { Err(Error::Full) }
    }

    /// Writes a resident page to the store; it is clean then, and its next write is noticed.
    pub fn write_back(&mut self, page: Page) -> Result<(), Error> {
        self.save(page)?;
        let entry = self.table.get_mut(page).ok_or(Error::Absent)?;
        entry.is_dirty = false;
        self.kernel.protect(page, 1, Protection::Read)
    }

    /// Protects resident pages: from now on a write is a [`Verdict::Protected`]. [`Error::Absent`] if one is not resident: then
    /// nothing is changed.
    #[inline]
    pub fn protect(&mut self, first: Page, count: u64) -> Result<(), Error> {
        self.allow(first, count, Access::Read)?;
        self.kernel.protect(first, count, Protection::Read)
    }

    /// Allows writing again. Pages that were written before are writable at once, others when their first write is noticed.
    #[inline]
    pub fn unprotect(&mut self, first: Page, count: u64) -> Result<(), Error> {
        if self.allow(first, count, Access::Write)? == Written::All {
            return self.kernel.protect(first, count, Protection::ReadWrite);
        }
        let (kernel, mut told) = (&mut self.kernel, Ok(()));
        self.table.visit(first, count, |page, entry| {
            if entry.is_dirty {
                told = told.and(kernel.protect(page, 1, Protection::ReadWrite));
            }
        });
        told
    }

    /// Notes what is allowed of pages that are all resident, and maps those that were unmapped to see whether they are in use.
    #[inline]
    fn allow(&mut self, first: Page, count: u64, allowed: Access) -> Result<Written, Error> {
        let (mut all_mapped, mut all_dirty) = (true, true);
        let all_resident = self.table.visit(first, count, |_, entry| {
            all_mapped &= entry.is_mapped;
            all_dirty &= entry.is_dirty;
        });
        if !all_resident {
            return Err(Error::Absent);
        }
        self.table.visit(first, count, |_, entry| entry.allowed = allowed);
        if !all_mapped {
            self.map_all(first, count)?;
        }
        Ok(if all_dirty { Written::All } else { Written::Some })
    }

    fn map_all(&mut self, first: Page, count: u64) -> Result<(), Error> {
        let (kernel, mut told) = (&mut self.kernel, Ok(()));
        self.table.visit(first, count, |page, entry| {
            if !entry.is_mapped {
                told = told.and(Self::show(kernel, page, entry));
            }
        });
        told
    }

    /// Gives a frame up, of the page that is missed least: free ones first. `None` if none is left.
    pub fn release(&mut self) -> Result<Option<Frame>, Error> {
        if self.frames() == 0 {
            return Ok(None);
        }
        let frame = match self.free.pop() {
            Some(frame) => frame,
            None => self.evict()?,
        };
        Ok(Some(frame))
    }

    /// Gives up to `count` frames back to whoever asks for them. How many they were.
    pub fn give_back(&mut self, count: u64) -> Result<u64, Error> {
        for given in 0..count {
            let Some(frame) = self.release()? else { return Ok(given) };
            self.kernel.give(frame)?;
        }
        Ok(count)
    }

    /// A frame was taken by force, after the kernel copied its contents to `saved`, or to nowhere. Nothing maps it any more.
    pub fn taken(&mut self, frame: Frame, saved: Option<Frame>) -> Fate {
        let is_in = |page: &Page| self.table.get(*page).is_some_and(|entry| entry.frame == frame);
        let Some(page) = self.pages.pages().find(is_in) else {
            self.free.retain(|other| *other != frame);
            return Fate::Unused;
        };
        if let (Some(entry), Some(saved)) = (self.table.get_mut(page), saved) {
            (entry.frame, entry.is_mapped) = (saved, false);
            return Fate::Saved(page);
        }
        self.pages.forget(page);
        let Some(gone) = self.table.remove(page) else { return Fate::Clean(page) };
        self.store.keep(page, gone.allowed);
        if gone.is_dirty { Fate::Lost(page) } else { Fate::Clean(page) }
    }

    /// The kernel, for tests that look at it.
    #[cfg(test)]
    pub fn kernel(&mut self) -> &mut K {
        &mut self.kernel
    }

    /// Takes everything down: unmaps all pages and gives the frames to the caller.
    pub fn close(mut self) -> Vec<Frame> {
        let pages: Vec<Page> = self.pages.pages().collect();
        for page in pages {
            // Refused only where there is no kernel; the frame is ours whatever it says.
            let _ = self.kernel.unmap(page);
            self.free.extend(self.table.remove(page).map(|entry| entry.frame));
        }
        self.free
    }
}
