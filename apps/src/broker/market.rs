//! The market for slots: who should own how many, and where.
//!
//! Pure: no call, no clock. Not here: asking, giving and taking (`super::trade`). Everybody's minimum comes first. Each
//! further slot of a core goes to the highest bid; a libOS bids its income divided by the number of slots that it already
//! won beyond its minimum, plus one, as long as it has use for more. So incomes decide in proportion (D'Hondt's method),
//! wants are the limit, and ties go to whoever comes first in the scenario.

use alloc::vec::Vec;
use libos_core::scenario::Spacing;

/// What one libOS brings to the market of one core.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bidder {
    /// Credits for this revolution.
    pub income: u32,
    /// Slots that it has use for.
    pub want: u32,
    /// Slots that it owns whatever others bid.
    pub minimum: u32,
}

/// How many of `slots` each bidder is to own. Minimums that do not fit are met in the bidders' order.
pub fn allocate(slots: u32, bidders: &[Bidder]) -> Vec<u32> {
    let mut left = slots;
    let mut owned: Vec<u32> = Vec::with_capacity(bidders.len());
    for bidder in bidders {
        let minimum = bidder.minimum.min(left);
        left -= minimum;
        owned.push(minimum);
    }
    while left > 0 {
        // Income / (won + 1), compared without rounding.
        let bid = |&place: &usize| {
            let won = owned[place] - bidders[place].minimum.min(owned[place]);
            (u64::from(bidders[place].income) << 32) / u64::from(won + 1)
        };
        let wanting = (0..bidders.len())
            .filter(|&place| owned[place] < bidders[place].want && bidders[place].income > 0);
        // Of equal bids `max_by_key` takes the last, so the order is turned round.
        let Some(winner) = wanting.rev().max_by_key(bid) else { break };
        owned[winner] += 1;
        left -= 1;
    }
    owned
}

/// Positions for so many more slots out of the `free` ones of a vector, for an owner with those of `own`. Who has none yet, and is to have
/// them far apart, gets its minimum spread evenly at first.
pub fn give(spacing: Spacing, free: &[bool], own: &[bool], (minimum, more): (u32, u32)) -> Vec<usize> {
    let (mut free, mut own) = (free.to_vec(), own.to_vec());
    let mut places = Vec::new();
    if spacing == Spacing::Equidistant && !own.contains(&true) {
        places = spread(&free, minimum.min(more));
        places.iter().for_each(|&slot| (free[slot], own[slot]) = (false, true));
    }
    places.extend(place(spacing, &free, &own, more - places.len() as u32));
    places
}

/// Positions for `count` slots out of the `free` ones of a vector, one after the other: far apart, each the free one that is farthest from
/// those that the owner has (`own`, and those before it), of several the first; contiguous, the nearest.
fn place(spacing: Spacing, free: &[bool], own: &[bool], count: u32) -> Vec<usize> {
    let slots = free.len();
    let mut free = free.to_vec();
    let mut taken: Vec<usize> = (0..slots).filter(|&slot| own[slot]).collect();
    let mut placed = Vec::new();
    for _ in 0..count {
        let away = |&slot: &usize| {
            let nearest = taken.iter().map(|&other| distance(slot, other, slots)).min();
            nearest.unwrap_or(slots)
        };
        let candidates = (0..slots).filter(|&slot| free[slot]);
        let next = match spacing {
            // Of equal ones `max_by_key` takes the last, so the order is turned round.
            Spacing::Equidistant => candidates.rev().max_by_key(away),
            Spacing::Contiguous => candidates.min_by_key(away),
        };
        let Some(slot) = next else { break };
        free[slot] = false;
        taken.push(slot);
        placed.push(slot);
    }
    placed
}

/// Positions for a first `count` slots, spread evenly over the vector: an ideal position that is not free gives way to
/// the next one that is.
pub fn spread(free: &[bool], count: u32) -> Vec<usize> {
    let slots = free.len();
    let mut free = free.to_vec();
    let mut placed = Vec::new();
    for number in 0..count as usize {
        let ideal = number * slots / count as usize;
        let next = (0..slots).map(|step| (ideal + step) % slots).find(|&slot| free[slot]);
        let Some(slot) = next else { break };
        free[slot] = false;
        placed.push(slot);
    }
    placed
}

/// Positions that the broker keeps for itself, `kept` of a vector of so many slots: spread evenly from the first on.
pub fn kept(slots: usize, kept: usize) -> impl DoubleEndedIterator<Item = usize> {
    (0..kept).map(move |number| number * slots / kept)
}

/// Slots between two positions, the short way round the revolution.
fn distance(one: usize, other: usize, slots: usize) -> usize {
    let apart = one.abs_diff(other);
    apart.min(slots - apart)
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn bidder(income: u32, want: u32, minimum: u32) -> Bidder {
        Bidder { income, want, minimum }
    }

    #[test]
    fn slots_go_in_proportion_to_income() {
        assert_eq!(allocate(60, &[bidder(300, 60, 0), bidder(200, 60, 0), bidder(100, 60, 0)]), [30, 20, 10]);
    }

    #[test]
    fn a_want_that_is_met_leaves_the_rest_to_the_others() {
        assert_eq!(allocate(60, &[bidder(900, 10, 0), bidder(100, 60, 0), bidder(100, 60, 0)]), [10, 25, 25]);
    }

    #[test]
    fn a_minimum_is_owned_without_income() {
        assert_eq!(allocate(50, &[bidder(0, 20, 20), bidder(10, 100, 0)]), [20, 30]);
    }

    #[test]
    fn what_nobody_wants_is_nobodys() {
        assert_eq!(allocate(50, &[bidder(10, 5, 2), bidder(0, 30, 1)]), [5, 1]);
    }

    #[test]
    fn equal_bids_are_won_in_the_scenarios_order() {
        assert_eq!(allocate(3, &[bidder(10, 9, 0), bidder(10, 9, 0)]), [2, 1]);
    }

    #[test]
    fn a_newcomer_with_more_income_takes_slots_from_everybody_but_no_minimum() {
        let before = allocate(90, &[bidder(100, 60, 5), bidder(100, 60, 5), bidder(0, 20, 20)]);
        assert_eq!(before, [35, 35, 20]);
        let after =
            allocate(90, &[bidder(100, 60, 5), bidder(100, 60, 5), bidder(0, 20, 20), bidder(400, 40, 5)]);
        assert_eq!(after, [15, 15, 20, 40]);
    }

    #[test]
    fn a_first_spread_is_equidistant() {
        assert_eq!(spread(&[true; 100], 4), [0, 25, 50, 75]);
        let mut free = [true; 100];
        free[25] = false;
        assert_eq!(spread(&free, 4), [0, 26, 50, 75]);
    }

    #[test]
    fn contiguous_slots_are_one_after_the_other_round_what_is_not_free() {
        let mut free = [true; 12];
        (free[0], free[4]) = (false, false);
        let first = give(Spacing::Contiguous, &free, &[false; 12], (2, 5));
        assert_eq!(first, [1, 2, 3, 5, 6]);
        let mut own = [false; 12];
        first.iter().for_each(|&slot| (free[slot], own[slot]) = (false, true));
        assert_eq!(give(Spacing::Contiguous, &free, &own, (2, 2)), [7, 8]);
    }

    #[test]
    fn equidistant_slots_are_spread_at_first_and_go_where_the_owner_waits_longest_then() {
        assert_eq!(give(Spacing::Equidistant, &[true; 12], &[false; 12], (3, 4)), [0, 4, 8, 2]);
        let own: [bool; 12] = core::array::from_fn(|slot| slot % 4 == 0);
        assert_eq!(give(Spacing::Equidistant, &own.map(|own| !own), &own, (3, 1)), [2]);
    }

    #[test]
    fn further_slots_go_where_the_owner_waits_longest() {
        let mut own = [false; 12];
        (own[0], own[4]) = (true, true);
        assert_eq!(place(Spacing::Equidistant, &[true; 12], &own, 1), [8]);
    }

    #[test]
    fn no_slot_is_placed_that_is_not_free() {
        let free = [false, true, false, true];
        assert_eq!(place(Spacing::Equidistant, &free, &[true, false, false, false], 5), [1, 3]);
        assert_eq!(spread(&free, 5), [1, 3]);
    }
}
