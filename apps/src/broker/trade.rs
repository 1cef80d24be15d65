//! One revolution's trade: who is asked for slots, what is taken by force, and what is given to whom.
//!
//! Not here: the arithmetic (`super::market`). The broker works with what it owns: it gives only slots that came back to
//! it, and takes by force only what a holder was asked for and did not give back in time.

use super::market::{self, Bidder};
use super::party::{Asked, Party, Role, Stage};
use super::slots::SlotMap;
use alloc::vec::Vec;
use core::cmp::Reverse;
use core::sync::atomic::Ordering::Relaxed;
use libos_core::calls::{self, Claim};
use libos_core::scenario::{Mode, Scenario, Spacing};
use tranche_abi::{Core, SlotIndex, Tick};

/// What a trade needs to know.
pub struct Terms<'a> {
    /// The scenario.
    pub scenario: &'a Scenario,
    /// The time.
    pub now: Tick,
    /// How long a holder has to give back what it was asked for.
    pub patience: Tick,
}

/// Trades the slots of every core.
pub fn revolution(terms: &Terms<'_>, map: &mut SlotMap, parties: &mut [Party]) {
    for core in 0..map.cores() {
        let targets = targets(terms, map, parties, core);
        for (party, target) in parties.iter_mut().zip(&targets) {
            let Some(target) = *target else { continue };
            collect(terms, map, party, core, target);
        }
        give(terms, map, parties, core, &targets);
    }
}

/// How many slots of a core each party is to own; `None` for one that has no part in the market.
fn targets(terms: &Terms<'_>, map: &SlotMap, parties: &[Party], core: u64) -> Vec<Option<u64>> {
    let outside: u64 = parties.iter().map(|party| outside_market(map, party, core)).sum();
    let kept = u64::from(terms.scenario.broker.slots);
    let supply = u64::from(terms.scenario.slots).saturating_sub(outside + kept);
    let bidders: Vec<(usize, Bidder)> = parties
        .iter()
        .enumerate()
        .filter_map(|(place, party)| Some((place, bidder(terms, party)?)))
        .collect();
    let only: Vec<Bidder> = bidders.iter().map(|(_, bidder)| *bidder).collect();
    let mut targets: Vec<Option<u64>> = parties.iter().map(|_| None).collect();
    for ((place, _), owned) in bidders.iter().zip(market::allocate(supply as u32, &only)) {
        targets[*place] = Some(u64::from(owned));
    }
    targets
}

/// Slots of a core that a party has, or is to be given, without any market.
fn outside_market(map: &SlotMap, party: &Party, core: u64) -> u64 {
    match (&party.role, party.env()) {
        (Role::Hostile(hostile), Some(_)) if !party.settled => u64::from(hostile.slots),
        (Role::Hostile(_), Some(env)) => map.count(core, env),
        _ => 0,
    }
}

/// A present libOS's bid.
fn bidder(terms: &Terms<'_>, party: &Party) -> Option<Bidder> {
    let libos = party.libos().filter(|_| party.stage == Stage::Present)?;
    let child = party.child.as_ref()?;
    // Until a libOS says how many slots it wants, the scenario does.
    let wanted = match child.mailbox().stats().wanted.load(Relaxed) {
        0 => libos.want,
        wanted => wanted.min(u64::from(libos.want)) as u32,
    };
    Some(match terms.scenario.broker.mode {
        Mode::Market => Bidder { income: libos.income, want: wanted, minimum: libos.minimum },
        Mode::Static | Mode::None => Bidder { income: 0, want: libos.want, minimum: libos.want },
    })
}

/// Sees to it that a party comes down to its target: asks, and after the deadline takes.
fn collect(terms: &Terms<'_>, map: &mut SlotMap, party: &mut Party, core: u64, target: u64) {
    let Some(env) = party.env() else { return };
    let surplus = map.count(core, env).saturating_sub(target);
    let asked = party.asked[core as usize];
    if surplus == 0 {
        if asked.count != 0 {
            demand(terms, party, core, 0);
        }
    } else if asked.count == 0 {
        party.account.lost += surplus;
        demand(terms, party, core, surplus);
    } else {
        seize_overdue(terms, map, party, core);
    }
}

/// Asks a party for slots of a core; zero withdraws.
pub fn demand(terms: &Terms<'_>, party: &mut Party, core: u64, count: u64) {
    let Some(child) = &party.child else { return };
    let deadline = Tick(terms.now.0 + terms.patience.0);
    if calls::ask(child.target(core), Claim::Slots(Core(core)), count, deadline).is_ok() {
        party.asked[core as usize] = Asked { count, deadline };
        party.asked_total += count;
    }
}

/// Takes by force what was asked for and not given back in time.
pub fn seize_overdue(terms: &Terms<'_>, map: &mut SlotMap, party: &mut Party, core: u64) {
    let asked = party.asked[core as usize];
    let Some(child) = &party.child else { return };
    if asked.count == 0 || terms.now < asked.deadline {
        return;
    }
    let (handle, env) = (child.handle, child.index);
    let slots: Vec<usize> = map.of(core, env).rev().collect();
    for slot in slots {
        // The kernel knows how many are still owed, and refuses the first one too many.
        if calls::seize_slot(handle, Core(core), SlotIndex(slot as u64)).is_err() {
            break;
        }
        map.moved(core, slot, BROKER);
        party.account.repossessed += 1;
    }
    party.asked[core as usize] = Asked::default();
}

/// Gives the free slots of a core to those below their target. Who has the largest minimum, which is the most evenly
/// spread, chooses first.
fn give(terms: &Terms<'_>, map: &mut SlotMap, parties: &mut [Party], core: u64, targets: &[Option<u64>]) {
    let mut free = free_slots(terms, map, core);
    let mut order: Vec<(&mut Party, &Option<u64>)> = parties.iter_mut().zip(targets).collect();
    order.sort_by_key(|(party, _)| Reverse(party.libos().map_or(0, |libos| libos.minimum)));
    for (party, target) in order {
        let (Some(target), Some(env)) = (*target, party.env()) else { continue };
        let own = map.pattern(core, env);
        let missing = target.saturating_sub(map.count(core, env)) as u32;
        let (spacing, minimum) =
            party.libos().map_or((Spacing::default(), 0), |libos| (libos.spacing, libos.minimum));
        let places = market::give(spacing, &free, &own, (minimum, missing));
        places.iter().for_each(|&place| free[place] = false);
        hand_over(map, party, core, &places);
    }
}

/// Gives slots of a core to a party.
fn hand_over(map: &mut SlotMap, party: &mut Party, core: u64, places: &[usize]) {
    let Some(child) = &party.child else { return };
    for &place in places {
        if calls::slot_give(Core(core), SlotIndex(place as u64), child.target(core)).is_ok() {
            map.moved(core, place, child.index);
            party.account.won += 1;
        }
    }
}

/// Gives a hostile environment its first slots, which no market did.
pub fn settle_hostile(terms: &Terms<'_>, map: &mut SlotMap, party: &mut Party) {
    let Role::Hostile(hostile) = &party.role else { return };
    if core::mem::replace(&mut party.settled, true) {
        return;
    }
    let count = hostile.slots;
    for core in 0..map.cores() {
        let places = market::spread(&free_slots(terms, map, core), count);
        hand_over(map, party, core, &places);
    }
}

/// The broker's own index.
const BROKER: u64 = 0;

/// The slots of a core that the broker owns and does not keep for itself.
fn free_slots(terms: &Terms<'_>, map: &SlotMap, core: u64) -> Vec<bool> {
    let mut free = map.pattern(core, BROKER);
    market::kept(free.len(), terms.scenario.broker.slots as usize)
        .for_each(|position| free[position] = false);
    free
}
