//! A core's guarantees as its slots come and go: what of its slots a libOS gives back when it is asked, and whom it sheds for that.
//!
//! Slots that are asked for are given back in two steps. Those on which no guarantee rests go at once. If more are asked for, and some clients are less
//! critical than others, those are shed first; the slots go when no job with a deadline is under way, so that none that was begun with the old slots has
//! to be done with the new. A broker that does not wait that long takes them by force.
//!
//! Pure: the kernel's libOSes and the simulator's do what it says. Not here: who is shed ([`libos_rt::roll`]), and giving.
#![forbid(unsafe_code)]

use crate::broker::market;
use alloc::vec::Vec;
use libos_core::scenario::Spacing;
use libos_core::sched::Tick;
use libos_rt::guarantee::Guarantees;
use libos_rt::roll::{Change, Roll};
use libos_rt::supply::Supply;

/// A core's clients and slots.
#[derive(Clone, Debug)]
pub struct Warden {
    /// Who is guaranteed.
    pub roll: Roll,
    spacing: Spacing,
    /// Slots that are not given back when others can be, by position; empty for none.
    keep: Vec<bool>,
    /// Slots that are to be given back as soon as nobody's job suffers from it.
    giving: Vec<usize>,
}

/// The time, and a core's slots as they are then.
pub struct Scene<'a, F> {
    /// The time.
    pub now: Tick,
    /// Which of the revolution are the libOS's.
    pub owned: &'a [bool],
    /// What slots supply.
    pub supply: F,
}

impl<F: Fn(&[bool]) -> Supply> Scene<'_, F> {
    /// The libOS's slots but for some.
    fn without(&self, gone: &[usize]) -> Vec<bool> {
        (0..self.owned.len()).map(|place| self.owned[place] && !gone.contains(&place)).collect()
    }
}

impl Warden {
    /// One that keeps no slot yet, of slots that are spaced so.
    pub fn new(roll: Roll, spacing: Spacing) -> Self {
        Self { roll, spacing, keep: Vec::new(), giving: Vec::new() }
    }

    /// Guarantees rest on these slots from now on. Between turns, as all that follows.
    pub fn begin<P: Guarantees>(
        &mut self,
        policy: &mut P,
        keep: Vec<bool>,
        scene: &Scene<'_, impl Fn(&[bool]) -> Supply>,
    ) -> Vec<Change> {
        policy.set_supply((scene.supply)(scene.owned));
        self.keep = keep;
        self.roll.redo(policy, scene.now)
    }

    /// The broker asks for so many slots: those to give back at once, the last in the revolution first, and who was shed for others.
    pub fn asked<P: Guarantees>(
        &mut self,
        policy: &mut P,
        count: u64,
        scene: &Scene<'_, impl Fn(&[bool]) -> Supply>,
    ) -> (Vec<usize>, Vec<Change>) {
        let is_kept = |place: &usize| self.keep.get(*place).copied().unwrap_or(false);
        let spare = (0..scene.owned.len()).rev().filter(|place| scene.owned[*place] && !is_kept(place));
        let spare: Vec<usize> = spare.take(count as usize).collect();
        let more = count as usize - spare.len();
        let mut left = scene.without(&spare);
        self.giving.clear();
        if more > 0 && self.roll.can_shed() {
            let keep = self.thinned(&left, more);
            self.giving.extend((0..left.len()).rev().filter(|place| left[*place] && !keep[*place]));
            left.clone_from(&keep);
            self.keep = keep;
        }
        policy.set_supply((scene.supply)(&left));
        (spare, self.roll.redo(policy, scene.now))
    }

    /// Slots came or went: who was shed or admitted therefore.
    pub fn changed<P: Guarantees>(
        &mut self,
        policy: &mut P,
        scene: &Scene<'_, impl Fn(&[bool]) -> Supply>,
    ) -> Vec<Change> {
        self.giving.retain(|place| scene.owned[*place]);
        let left = scene.without(&self.giving);
        policy.set_supply((scene.supply)(&left));
        let changes = self.roll.redo(policy, scene.now);
        if !self.keep.is_empty() && changes.iter().any(|change| matches!(change, Change::Admitted { .. })) {
            self.keep = left;
        }
        changes
    }

    /// Whether somebody waits for the others' jobs to be done: the broker for slots, or a client to be admitted.
    pub fn is_awaited(&self, policy: &impl Guarantees) -> bool {
        (!self.giving.is_empty() && policy.is_at_rest())
            || (self.roll.is_unsettled() && !policy.has_departed())
    }

    /// The slots that can go now, if any were held back.
    pub fn let_go(&mut self, policy: &impl Guarantees) -> Vec<usize> {
        if policy.is_at_rest() { core::mem::take(&mut self.giving) } else { Vec::new() }
    }

    /// So many fewer of these slots, spaced as ever.
    fn thinned(&self, slots: &[bool], fewer: usize) -> Vec<bool> {
        let count = slots.iter().filter(|there| **there).count().saturating_sub(fewer);
        let mut kept = alloc::vec![false; slots.len()];
        match self.spacing {
            Spacing::Equidistant => {
                market::spread(slots, count as u32).into_iter().for_each(|place| kept[place] = true)
            }
            Spacing::Contiguous => {
                (0..slots.len())
                    .filter(|place| slots[*place])
                    .take(count)
                    .for_each(|place| kept[place] = true);
            }
        }
        kept
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;
    use libos_core::sched::{ClientId, Demand, Policy, TurnEnd};
    use libos_rt::edf::Edf;
    use libos_rt::roll::{Applicant, Criticality};

    fn supply(owned: &[bool]) -> Supply {
        Supply::new(owned, Tick(10), Tick(0))
    }

    /// Two clients of 30 in 100 on ten slots of 10, of which eight are there.
    fn two(levels: [u8; 2]) -> (Warden, Edf, Vec<bool>) {
        let applicant = |(id, level): (u16, u8)| {
            let [first_release, budget, period] = [0, 30, 100].map(Tick);
            let demand = Demand::Periodic { first_release, budget, period, deadline: period };
            Applicant { client: ClientId(id), demand, criticality: Criticality(level) }
        };
        let owned: Vec<bool> = (0..10).map(|slot| slot < 8).collect();
        let roll = Roll::new((0..).zip(levels).map(applicant));
        let mut warden = Warden::new(roll, Spacing::Equidistant);
        let mut policy = Edf::new(supply(&owned), Tick(0), Tick(10));
        let scene = Scene { now: Tick(0), owned: &owned, supply };
        assert_eq!(warden.begin(&mut policy, owned.clone(), &scene).len(), 2);
        (warden, policy, owned)
    }

    #[test]
    fn slots_on_which_no_guarantee_rests_go_at_once_and_where_all_are_as_critical_no_others() {
        let (mut warden, mut policy, mut owned) = two([0, 0]);
        owned[9] = true;
        let scene = Scene { now: Tick(5), owned: &owned, supply };
        assert_eq!(warden.asked(&mut policy, 4, &scene), (vec![9], vec![]));
        assert!(!warden.is_awaited(&policy));
    }

    #[test]
    fn the_less_critical_are_shed_before_slots_go_and_these_go_when_no_job_is_under_way() {
        let (mut warden, mut policy, mut owned) = two([0, 1]);
        assert_eq!(policy.pick(Tick(0)).unwrap().client, ClientId(0));
        policy.charge(ClientId(0), Tick(1), TurnEnd::Ready, Tick(1));
        let scene = Scene { now: Tick(1), owned: &owned, supply };
        let (now, changes) = warden.asked(&mut policy, 4, &scene);
        assert_eq!((now, changes), (vec![], vec![Change::Shed { client: ClientId(0) }]));
        // The critical one's job was released at 0, too.
        assert!(!warden.is_awaited(&policy) && warden.let_go(&policy).is_empty());
        assert_eq!(policy.pick(Tick(1)).unwrap().client, ClientId(1));
        policy.charge(ClientId(1), Tick(30), TurnEnd::Waiting(Tick(100)), Tick(31));
        assert_eq!(policy.pick(Tick(31)), None);
        assert!(warden.is_awaited(&policy));
        let gone = warden.let_go(&policy);
        // Of eight of ten, four that are spread evenly stay.
        assert_eq!(gone, [6, 4, 3, 1]);
        gone.iter().for_each(|place| owned[*place] = false);
        let scene = Scene { now: Tick(40), owned: &owned, supply };
        assert_eq!(warden.changed(&mut policy, &scene), []);
        let all = [true; 10];
        let back = warden.changed(&mut policy, &Scene { now: Tick(50), owned: &all, supply });
        assert!(matches!(back[..], [Change::Admitted { client: ClientId(0), .. }]));
        // Guarantees rest on all of them again.
        let scene = Scene { now: Tick(60), owned: &all, supply };
        assert!(warden.asked(&mut policy, 2, &scene).0.is_empty());
    }

    #[test]
    fn slots_that_were_taken_by_force_are_not_given_back() {
        let (mut warden, mut policy, mut owned) = two([0, 1]);
        policy.pick(Tick(0));
        policy.charge(ClientId(0), Tick(1), TurnEnd::Ready, Tick(1));
        warden.asked(&mut policy, 4, &Scene { now: Tick(1), owned: &owned, supply });
        (4..8).for_each(|place| owned[place] = false);
        warden.changed(&mut policy, &Scene { now: Tick(2), owned: &owned, supply });
        assert_eq!(warden.giving, [3, 1]);
    }
}
