//! The linear page table: an array with a place for each page of a region, resident or not.
//!
//! A look-up is an index; consecutive pages are consecutive entries, so long runs are fast. It costs memory for pages
//! that are not there. Not here: what the entries mean (`vm`).
#![forbid(unsafe_code)]

use super::{Entry, Page, PageTable, Region};
use alloc::boxed::Box;
use alloc::vec;

/// The array.
pub struct Linear {
    first: Page,
    entries: Box<[Option<Entry>]>,
}

impl Linear {
    /// A table for the pages of a region, none of which is resident.
    pub fn new(region: Region) -> Self {
        Self { first: region.first, entries: vec![None; region.count as usize].into_boxed_slice() }
    }

    /// A page's place; beyond the end for one outside of the region.
    fn place(&self, page: Page) -> usize {
        page.0.wrapping_sub(self.first.0) as usize
    }
}

impl PageTable for Linear {
    #[inline]
    fn get(&self, page: Page) -> Option<&Entry> {
        self.entries.get(self.place(page))?.as_ref()
    }

    #[inline]
    fn get_mut(&mut self, page: Page) -> Option<&mut Entry> {
        let place = self.place(page);
        self.entries.get_mut(place)?.as_mut()
    }

    fn insert(&mut self, page: Page, entry: Entry) {
        let place = self.place(page);
        self.entries[place] = Some(entry);
    }

    fn remove(&mut self, page: Page) -> Option<Entry> {
        let place = self.place(page);
        self.entries.get_mut(place)?.take()
    }

    #[inline]
    fn visit(&mut self, first: Page, count: u64, mut action: impl FnMut(Page, &mut Entry)) -> bool {
        let start = self.place(first);
        let Some(entries) =
            start.checked_add(count as usize).and_then(|end| self.entries.get_mut(start..end))
        else {
            return false;
        };
        for (page, entry) in (first.0..).zip(entries) {
            let Some(entry) = entry else { return false };
            action(Page(page), entry);
        }
        true
    }
}
