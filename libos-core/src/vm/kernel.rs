//! What application-level virtual memory asks of the kernel: four calls, and access to a page that is mapped.
//!
//! Not here: when (`paged`). The real one is below; tests have a fake.

use super::{Contents, Page, Region};
use crate::calls;
use crate::mapping::Space;
use tranche_abi::layout::{HANDLE_SELF, MAX_BATCH};
use tranche_abi::{Error, Frame, Handle, Protection};

/// Pages that one page table of the last level covers.
const TABLE_PAGES: usize = 512;

/// The kernel, as far as it is needed.
pub trait Kernel {
    /// Maps a frame where nothing is mapped.
    fn map(&mut self, page: Page, frame: Frame, protection: Protection) -> Result<(), Error>;
    /// Removes a page's mapping.
    fn unmap(&mut self, page: Page) -> Result<(), Error>;
    /// Changes the protection of consecutive mapped pages.
    fn protect(&mut self, first: Page, count: u64, protection: Protection) -> Result<(), Error>;
    /// Gives a frame back to whoever may ask for it.
    fn give(&mut self, frame: Frame) -> Result<(), Error>;
    /// What a page holds that is mapped, and writable if it is to be changed.
    fn contents(&mut self, page: Page) -> &mut Contents;
}

/// The real kernel's calls, for the caller's own space.
pub struct Calls {
    region: Region,
    creator: Handle,
}

impl Calls {
    /// Calls for the pages of a region. Installs the page tables that are missing for it, so that no fault finds one missing;
    /// `table` has frames for them. Frames that are asked back go to `creator`.
    ///
    /// # Safety
    /// The region is nobody else's: its pages are reached through this, or by code whose accesses may fault and are aligned.
    pub unsafe fn new(
        region: Region,
        creator: Handle,
        table: &mut dyn FnMut() -> Option<Frame>,
    ) -> Result<Self, Error> {
        let mut space = Space { env: HANDLE_SELF, table };
        let last = region.count.saturating_sub(1);
        for offset in (0..region.count).step_by(TABLE_PAGES).chain([last]) {
            let address = Page(region.first.0 + offset).address();
            space.with_tables(address, || {
                match calls::protect(HANDLE_SELF, address, 1, Protection::Read) {
                    Err(Error::Absent) => Ok(()), // there is a table, and nothing in it
                    other => other,
                }
            })?;
        }
        Ok(Self { region, creator })
    }
}

impl Kernel for Calls {
    fn map(&mut self, page: Page, frame: Frame, protection: Protection) -> Result<(), Error> {
        calls::map(HANDLE_SELF, page.address(), frame, 1, protection)
    }

    fn unmap(&mut self, page: Page) -> Result<(), Error> {
        calls::unmap(HANDLE_SELF, page.address(), 1)
    }

    #[inline]
    fn protect(&mut self, first: Page, count: u64, protection: Protection) -> Result<(), Error> {
        let mut done = 0;
        while done < count {
            let batch = (count - done).min(MAX_BATCH);
            calls::protect(HANDLE_SELF, Page(first.0 + done).address(), batch, protection)?;
            done += batch;
        }
        Ok(())
    }

    fn give(&mut self, frame: Frame) -> Result<(), Error> {
        calls::frame_give(frame, 1, self.creator)
    }

    fn contents(&mut self, page: Page) -> &mut Contents {
        assert!(self.region.contains(page));
        // SAFETY: the page is in the region that whoever made this answers for, and mapped as the trait demands; the
        // reference ends before `self` is used again, so before the page is unmapped or looked at once more.
        unsafe { &mut *core::ptr::with_exposed_provenance_mut(page.address().0 as usize) }
    }
}
