//! Where pages go that have no frame: a backing store in memory, with a place for each page of a region.
//!
//! The memory is whoever's that makes it: spare frames of one's own, or pages shared with another environment. Not here:
//! when a page goes and comes (`paged`).
#![forbid(unsafe_code)]

use super::{Access, Contents, Page, Region};
use alloc::boxed::Box;
use alloc::vec;

/// A place for pages without a frame.
pub trait Store {
    /// Keeps what a page holds. False if there is no room.
    fn save(&mut self, page: Page, contents: &Contents) -> bool;
    /// Gives back what a page held; false, and nothing, for one that was never saved.
    fn load(&mut self, page: Page, contents: &mut Contents) -> bool;
    /// Keeps what the application allows of a page that goes.
    fn keep(&mut self, page: Page, allowed: Access);
    /// What it allowed; to write, of a page that never went.
    fn kept(&self, page: Page) -> Access;
}

/// What a store in memory knows of a page.
#[derive(Clone, Copy)]
struct Note {
    is_saved: bool,
    allowed: Access,
}

/// A store in memory.
pub struct Memory {
    first: Page,
    places: &'static mut [Contents],
    notes: Box<[Note]>,
}

impl Memory {
    /// A store for a region: page `i` of it goes to place `i`.
    ///
    /// # Panics
    /// If there are fewer places than pages.
    pub fn new(region: Region, places: &'static mut [Contents]) -> Self {
        assert!(places.len() as u64 >= region.count, "every page has a place");
        let note = Note { is_saved: false, allowed: Access::Write };
        Self { first: region.first, places, notes: vec![note; region.count as usize].into_boxed_slice() }
    }

    fn place(&self, page: Page) -> usize {
        (page.0 - self.first.0) as usize
    }
}

impl Store for Memory {
    fn save(&mut self, page: Page, contents: &Contents) -> bool {
        let place = self.place(page);
        self.places[place].copy_from_slice(contents);
        self.notes[place].is_saved = true;
        true
    }

    fn load(&mut self, page: Page, contents: &mut Contents) -> bool {
        let place = self.place(page);
        if self.notes[place].is_saved {
            contents.copy_from_slice(&self.places[place]);
        }
        self.notes[place].is_saved
    }

    fn keep(&mut self, page: Page, allowed: Access) {
        let place = self.place(page);
        self.notes[place].allowed = allowed;
    }

    fn kept(&self, page: Page) -> Access {
        self.notes[self.place(page)].allowed
    }
}
