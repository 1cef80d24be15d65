//! Inverse lottery (Waldspurger & Weihl, OSDI 1994, "Space-Shared Resources"): a loser is drawn, who has to give something up. Of n clients
//! one with t of T tickets loses with probability (1 − t / T) / (n − 1); of pages, weighted by the part of them that it has.
//!
//! Here pages of an environment's own virtual memory are in parts, each with tickets. Where a page has to go, one part loses it: which
//! of its pages, its own clock says. Parts that all need pages at the same rate come to hold them in proportion to
//! 1 / (T − t). Not here: what becomes of the page ([`libos_core::vm`]).
#![forbid(unsafe_code)]

use crate::lottery::ParkMiller;
use alloc::vec::Vec;
use libos_core::vm::clock::Clock;
use libos_core::vm::{Page, Region, Replacement};

/// What a holder puts into the draw.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Holder {
    /// Its tickets.
    pub tickets: u32,
    /// Pages that it holds.
    pub pages: u32,
}

/// Draws the holder that loses a page; `None` if nobody has one. A number of chance below the sum that it is given.
pub fn loser(holders: &[Holder], draw: impl FnOnce(u64) -> u64) -> Option<usize> {
    let all: u64 = holders.iter().map(|holder| u64::from(holder.tickets)).sum();
    // The common divisor, T · (n − 1) · all pages, is left out. Who has all tickets loses only where nobody else has pages.
    let weight = |holder: &Holder| (all - u64::from(holder.tickets)) * u64::from(holder.pages);
    let sum: u64 = holders.iter().map(weight).sum();
    if sum == 0 {
        return holders.iter().position(|holder| holder.pages > 0);
    }
    let mut left = draw(sum);
    holders.iter().position(|holder| {
        let weight = weight(holder);
        let loses = left < weight;
        left = left.wrapping_sub(weight);
        loses
    })
}

/// A part of the pages, with tickets.
#[derive(Clone, Debug)]
struct Part {
    region: Region,
    tickets: u32,
    clock: Clock,
}

/// The replacement.
#[derive(Clone, Debug)]
pub struct InverseLottery {
    parts: Vec<Part>,
    /// As many as parts, so that no draw allocates.
    holders: Vec<Holder>,
    chance: ParkMiller,
}

impl InverseLottery {
    /// Parts that do not overlap, each with its tickets, for so many pages in all at most.
    pub fn new(parts: impl IntoIterator<Item = (Region, u32)>, pages: usize, seed: u32) -> Self {
        let part = |(region, tickets)| Part { region, tickets, clock: Clock::new(pages) };
        let parts: Vec<Part> = parts.into_iter().map(part).collect();
        let holders = Vec::with_capacity(parts.len());
        Self { parts, holders, chance: ParkMiller::new(seed) }
    }

    /// Pages that a part holds.
    pub fn held(&self, part: usize) -> usize {
        self.parts.get(part).map_or(0, |part| part.clock.len())
    }

    fn part(&mut self, page: Page) -> Option<&mut Part> {
        self.parts.iter_mut().find(|part| part.region.contains(page))
    }
}

impl Replacement for InverseLottery {
    /// A page of no part is the first one's.
    fn admit(&mut self, page: Page) {
        let place = self.parts.iter().position(|part| part.region.contains(page)).unwrap_or(0);
        self.parts.get_mut(place).into_iter().for_each(|part| part.clock.admit(page));
    }

    fn forget(&mut self, page: Page) {
        self.part(page).into_iter().for_each(|part| part.clock.forget(page));
    }

    fn pages(&self) -> impl Iterator<Item = Page> {
        self.parts.iter().flat_map(|part| part.clock.pages())
    }

    fn victim(&mut self, in_use: impl FnMut(Page) -> bool) -> Option<Page> {
        self.holders.clear();
        let holder = |part: &Part| Holder { tickets: part.tickets, pages: part.clock.len() as u32 };
        self.holders.extend(self.parts.iter().map(holder));
        let loser = loser(&self.holders, |sum| self.chance.below(sum))?;
        self.parts[loser].clock.victim(in_use)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of all numbers of chance, how many make each holder lose.
    fn odds(holders: &[(u32, u32)], sum: u64) -> Vec<usize> {
        let holders: Vec<Holder> =
            holders.iter().map(|&(tickets, pages)| Holder { tickets, pages }).collect();
        let mut lost = alloc::vec![0; holders.len()];
        for number in 0..sum {
            let drawn = loser(&holders, |below| {
                assert_eq!(below, sum);
                number
            });
            lost[drawn.unwrap()] += 1;
        }
        lost
    }

    #[test]
    fn who_has_t_of_all_tickets_loses_with_the_published_probability() {
        // With as many pages each: (1 − t / T) / (n − 1), that is 3/12, 4/12 and 5/12 of 3 : 2 : 1.
        assert_eq!(odds(&[(3, 1), (2, 1), (1, 1)], 12), [3, 4, 5]);
        // Weighted by what each holds.
        assert_eq!(odds(&[(3, 4), (2, 1), (1, 2)], 3 * 4 + 4 + 5 * 2), [12, 4, 10]);
        // Of two, each loses as the other has tickets.
        assert_eq!(odds(&[(10, 1), (1, 1)], 11), [1, 10]);
    }

    #[test]
    fn who_has_no_page_loses_none_and_who_has_all_tickets_loses_where_nobody_else_can() {
        assert_eq!(odds(&[(1, 0), (1, 3)], 3), [0, 3]);
        let alone = [Holder { tickets: 5, pages: 2 }, Holder { tickets: 3, pages: 0 }];
        assert_eq!(loser(&alone, |_| 0), Some(0));
        assert_eq!(loser(&[Holder { tickets: 5, pages: 2 }], |_| 0), Some(0));
        assert_eq!(loser(&[Holder { tickets: 5, pages: 0 }], |_| 0), None);
        assert_eq!(loser(&[], |_| 0), None);
    }

    /// Parts of 3 : 2 : 1 tickets and many pages each, which all need a page as often: 94 frames are theirs as 1/3 : 1/4 : 1/5.
    #[test]
    fn parts_come_to_hold_pages_as_the_inverse_of_the_tickets_that_they_do_not_have() {
        let region = |part: u64| Region { first: Page(part * 10_000), count: 10_000 };
        let parts = [3, 2, 1].into_iter().zip(0..).map(|(tickets, part)| (region(part), tickets));
        let (frames, rounds, warm) = (94, 60_000, 6_000);
        let mut pages = InverseLottery::new(parts, frames, 7);
        let mut held = [0u64; 3];
        for round in 0..rounds {
            let part = round % 3;
            if pages.pages().count() == frames {
                assert!(pages.victim(|_| false).is_some());
            }
            pages.admit(Page(part * 10_000 + round / 3 % 10_000));
            if round >= warm {
                (0..3).for_each(|part| held[part] += pages.held(part) as u64);
            }
        }
        let mean = held.map(|sum| sum as f64 / (rounds - warm) as f64);
        for (mean, expected) in mean.into_iter().zip([40.0, 30.0, 24.0]) {
            assert!((mean - expected).abs() < 1.0, "{mean} of {expected}");
        }
    }

    #[test]
    fn a_page_that_is_gone_is_no_victim() {
        let region = Region { first: Page(0), count: 4 };
        let mut pages = InverseLottery::new([(region, 1)], 4, 1);
        [0, 1].into_iter().for_each(|page| pages.admit(Page(page)));
        pages.forget(Page(0));
        assert_eq!((pages.victim(|_| false), pages.victim(|_| false)), (Some(Page(1)), None));
    }
}
