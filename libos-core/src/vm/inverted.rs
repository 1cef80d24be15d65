//! The inverted page table: one entry for each frame, found by hashing the page's number.
//!
//! Its size is that of the memory that there is, not of the space that is used; sparse and huge spaces cost nothing. A run
//! of pages takes a look-up for each. Not here: what the entries mean (`vm`).
//!
//! Invariants: a chain begins at its hash's anchor and ends with the link `END`; every slot is in one chain or in the free list.
#![forbid(unsafe_code)]

use super::{Access, Entry, Page, PageTable};
use alloc::boxed::Box;
use alloc::vec;
use tranche_abi::Frame;

/// The link that ends a chain.
const END: u32 = u32::MAX;

/// An entry with its page and the next of the same hash.
#[derive(Clone, Copy)]
struct Slot {
    page: Page,
    next: u32,
    entry: Entry,
}

/// A slot that holds no page.
const VACANT: Slot = Slot {
    page: Page(u64::MAX),
    next: END,
    entry: Entry { frame: Frame(0), is_mapped: false, is_dirty: false, allowed: Access::Read },
};

/// The hash table.
pub struct Inverted {
    /// First slot for each hash; a power of two of them.
    anchors: Box<[u32]>,
    slots: Box<[Slot]>,
    free: u32,
}

impl Inverted {
    /// A table with room for as many resident pages as there are frames.
    pub fn new(frames: usize) -> Self {
        let mut slots = vec![VACANT; frames].into_boxed_slice();
        let count = slots.len() as u32;
        slots.iter_mut().zip(1..).for_each(|(slot, next)| slot.next = if next < count { next } else { END });
        // Twice as many anchors as entries: chains are one long, mostly.
        let anchors = vec![END; (2 * frames).next_power_of_two()].into_boxed_slice();
        Self { anchors, slots, free: if count == 0 { END } else { 0 } }
    }

    /// A page's anchor. The multiplier is 2⁶⁴ / golden ratio (Knuth, The Art of Computer Programming 3, 6.4).
    #[inline]
    fn anchor(&self, page: Page) -> usize {
        let hash = page.0.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        (hash >> 32) as usize & (self.anchors.len() - 1)
    }

    #[inline]
    fn find(&self, page: Page) -> Option<usize> {
        let mut at = self.anchors[self.anchor(page)];
        while let Some(slot) = self.slots.get(at as usize) {
            if slot.page == page {
                return Some(at as usize);
            }
            at = slot.next;
        }
        None
    }
}

impl PageTable for Inverted {
    #[inline]
    fn get(&self, page: Page) -> Option<&Entry> {
        self.find(page).map(|at| &self.slots[at].entry)
    }

    #[inline]
    fn get_mut(&mut self, page: Page) -> Option<&mut Entry> {
        self.find(page).map(|at| &mut self.slots[at].entry)
    }

    fn insert(&mut self, page: Page, entry: Entry) {
        let (at, anchor) = (self.free, self.anchor(page));
        self.free = self.slots[at as usize].next;
        self.slots[at as usize] = Slot { page, next: self.anchors[anchor], entry };
        self.anchors[anchor] = at;
    }

    fn remove(&mut self, page: Page) -> Option<Entry> {
        let (at, anchor) = (self.find(page)?, self.anchor(page));
        let Slot { next, entry, .. } = self.slots[at];
        if self.anchors[anchor] == at as u32 {
            self.anchors[anchor] = next;
        } else {
            let mut before = self.anchors[anchor] as usize;
            while self.slots[before].next != at as u32 {
                before = self.slots[before].next as usize;
            }
            self.slots[before].next = next;
        }
        self.slots[at] = Slot { next: self.free, ..VACANT };
        self.free = at as u32;
        Some(entry)
    }

    #[inline]
    fn visit(&mut self, first: Page, count: u64, mut action: impl FnMut(Page, &mut Entry)) -> bool {
        (first.0..first.0 + count).map(Page).all(|page| match self.get_mut(page) {
            Some(entry) => {
                action(page, entry);
                true
            }
            None => false,
        })
    }
}
