//! Which page goes when a frame is wanted: first in, first out, but one that is in use has a second chance.
//!
//! Pure: whether a page is in use is asked of whoever wants a victim. The processor keeps no such note (the Cortex-A72 sets
//! no access flag), so the asker unmaps a page to find out. Not here: what happens to the victim.
#![forbid(unsafe_code)]

use super::{Page, Replacement};
use alloc::collections::VecDeque;

/// Resident pages in the order in which they are looked at.
#[derive(Clone, Debug)]
pub struct Clock {
    queue: VecDeque<Page>,
}

impl Clock {
    /// No page yet, and room for `pages`.
    pub fn new(pages: usize) -> Self {
        Self { queue: VecDeque::with_capacity(pages) }
    }

    /// How many pages there are.
    pub fn len(&self) -> usize {
        self.queue.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }
}

impl Replacement for Clock {
    /// It is looked at last.
    fn admit(&mut self, page: Page) {
        self.queue.push_back(page);
    }

    fn forget(&mut self, page: Page) {
        self.queue.retain(|other| *other != page);
    }

    /// The first to go first.
    fn pages(&self) -> impl Iterator<Item = Page> {
        self.queue.iter().copied()
    }

    /// The first that `in_use` denies. One of which it is true is looked at again, after all others; whoever answers notes that it
    /// was asked, so that it denies the next time. Every page is asked of twice at most.
    fn victim(&mut self, mut in_use: impl FnMut(Page) -> bool) -> Option<Page> {
        for _ in 0..2 * self.queue.len() {
            let page = self.queue.pop_front()?;
            if !in_use(page) {
                return Some(page);
            }
            self.queue.push_back(page);
        }
        self.queue.pop_front()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::collections::BTreeSet;
    use alloc::vec::Vec;

    fn clock(pages: u64) -> Clock {
        let mut clock = Clock::new(pages as usize);
        (0..pages).for_each(|page| clock.admit(Page(page)));
        clock
    }

    #[test]
    fn what_nobody_uses_goes_in_the_order_in_which_it_came() {
        let mut clock = clock(4);
        let gone: Vec<_> = core::iter::from_fn(|| clock.victim(|_| false)).map(|page| page.0).collect();
        assert_eq!(gone, [0, 1, 2, 3]);
    }

    #[test]
    fn a_page_in_use_has_a_second_chance_and_no_third() {
        let mut clock = clock(3);
        let mut used = BTreeSet::from([0, 1, 2]);
        assert_eq!(
            clock.victim(|page| used.remove(&page.0)),
            Some(Page(0)),
            "all are in use: the oldest goes"
        );
        used.insert(1);
        assert_eq!(clock.victim(|page| used.remove(&page.0)), Some(Page(2)));
        assert_eq!(clock.victim(|_| true), Some(Page(1)), "always in use is no way out");
    }

    #[test]
    fn a_page_that_is_gone_is_no_victim() {
        let mut clock = clock(3);
        clock.forget(Page(0));
        assert_eq!(clock.victim(|_| false), Some(Page(1)));
        assert_eq!(clock.pages().collect::<Vec<_>>(), [Page(2)]);
    }
}
