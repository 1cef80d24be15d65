//! The broker of a simulated run: who comes and goes, and who gets which slots, revolution by revolution.
//!
//! Bids and places are the real broker's arithmetic ([`apps::broker::market`]); asking, giving and taking follow its
//! program. Not here: hostile environments, which no simulation has, and when the broker has the CPU (`core`).

use super::activation::{Doing, Next};
use super::core::{Core, Worker};
use super::costs::LibOs as Costs;
use super::slots::{BROKER, Vector};
use apps::broker::market::{self, Bidder};
use libos_core::report::Slots as Account;
use libos_core::scenario::{LibOs, Mode, Scenario, Swap};
use std::cmp::Reverse;

/// How far a libOS is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// It is to come.
    Coming,
    /// It is there.
    Present,
    /// It is told to stop.
    Leaving,
    /// It was.
    Gone,
}

/// Slots that a libOS was asked for on a core, and when force follows.
#[derive(Clone, Copy, Debug, Default)]
struct Asked {
    count: u64,
    deadline: u64,
}

/// A libOS as the broker keeps account of it.
#[derive(Clone, Debug)]
pub struct Party {
    /// The account of its slots.
    pub account: Account,
    /// When it came.
    pub arrived: u64,
    /// When it was told to stop; `None`: not at all.
    pub left: Option<u64>,
    libos: LibOs,
    stage: Stage,
    /// Slots that it has use for, by what it says itself.
    wanted: u64,
    asked: Vec<Asked>,
    had: Vec<u64>,
}

/// The broker.
#[derive(Clone, Debug)]
pub struct Broker {
    /// The libOSes, in the scenario's order.
    pub parties: Vec<Party>,
    scenario: Scenario,
    costs: Costs,
    quantum: u64,
    frequency: u64,
    /// Revolutions in which it has worked; `None`: it has not made the first libOSes yet.
    worked: Option<u64>,
    start: u64,
    /// Whether it has begun the present revolution's work, and is at the end of it when it next acts.
    at_work: bool,
}

impl Broker {
    /// A broker at time 0. `wanted` is what each libOS will say that it wants of each core.
    pub fn new(scenario: &Scenario, wanted: &[u64], costs: &super::costs::Costs) -> Self {
        let cores = scenario.cores as usize;
        let party = |(libos, wanted): (&LibOs, &u64)| Party {
            account: Account { owner: libos.name.clone(), ..Account::default() },
            arrived: 0,
            left: None,
            libos: libos.clone(),
            stage: Stage::Coming,
            wanted: *wanted,
            asked: vec![Asked::default(); cores],
            had: vec![0; cores],
        };
        Self {
            parties: scenario.libos.iter().zip(wanted).map(party).collect(),
            scenario: scenario.clone(),
            costs: costs.libos,
            quantum: costs.ticks(scenario.quantum_us.into()),
            frequency: costs.frequency_hz,
            worked: None,
            start: 0,
            at_work: false,
        }
    }

    /// What it does first.
    pub fn first_work(&self) -> Worker {
        let made = self.parties.iter().filter(|party| party.libos.arrives_ms == 0).count() as u64;
        Worker { until: 0, left: self.costs.broker_start + made * self.costs.broker_make }
    }

    /// When the run ends, as far as that is known: not before its start.
    pub fn end(&self) -> Option<u64> {
        self.worked.map(|_| self.start + self.scenario.revolutions() * self.revolution())
    }

    fn revolution(&self) -> u64 {
        self.quantum * u64::from(self.scenario.slots)
    }

    /// It acts, on all cores, which are all at this time.
    pub fn act(&mut self, now: u64, cores: &mut [Core]) {
        let next = match self.worked {
            None => {
                self.arrive(0, now, cores);
                self.start = (now / self.revolution() + 1) * self.revolution() + self.quantum / 2;
                self.worked = Some(0);
                Worker { until: self.start, left: 0 }
            }
            Some(_) if !self.at_work => {
                self.at_work = true;
                let newcomers =
                    self.parties.iter().filter(|party| self.is_to_come(party, now)).count() as u64;
                Worker { until: 0, left: self.costs.broker_work + newcomers * self.costs.broker_make }
            }
            Some(worked) => {
                self.at_work = false;
                self.work(now, cores);
                self.worked = Some(worked + 1);
                Worker { until: self.start + (worked + 1) * self.revolution(), left: 0 }
            }
        };
        cores[0].broker = Some(next);
    }

    fn elapsed_ms(&self, now: u64) -> u64 {
        now.saturating_sub(self.start) * 1000 / self.frequency
    }

    fn is_to_come(&self, party: &Party, now: u64) -> bool {
        party.stage == Stage::Coming && u64::from(party.libos.arrives_ms) <= self.elapsed_ms(now)
    }

    /// One revolution's work.
    fn work(&mut self, now: u64, cores: &mut [Core]) {
        let elapsed_ms = self.elapsed_ms(now);
        self.count(cores);
        self.arrive(elapsed_ms, now, cores);
        self.depart(elapsed_ms, now, cores);
        self.swap(elapsed_ms, cores);
        let targets = self.targets();
        for (number, core) in cores.iter_mut().enumerate() {
            for (place, target) in targets.iter().enumerate() {
                if let Some(target) = *target {
                    self.collect(place, target, (number, now), core);
                }
            }
            self.give(&targets, core);
        }
        for (place, party) in self.parties.iter_mut().enumerate() {
            let count = |core: &mut Core| core.slots.vector().map_or(0, |vector| vector.count(owner(place)));
            party.had = cores.iter_mut().map(count).collect();
        }
    }

    /// Keeps account of the revolution that ended.
    fn count(&mut self, cores: &mut [Core]) {
        for (place, party) in self.parties.iter_mut().enumerate() {
            let there = matches!(party.stage, Stage::Present | Stage::Leaving);
            let mut owned = 0;
            for (number, core) in cores.iter_mut().enumerate() {
                let count = core.slots.vector().map_or(0, |vector| vector.count(owner(place)));
                let returned = party.had[number].saturating_sub(count);
                party.account.given_back += returned;
                party.asked[number].count = party.asked[number].count.saturating_sub(returned);
                owned += count;
            }
            if there && party.had.iter().any(|had| *had > 0) {
                party.account.revolutions += 1;
                party.account.owned += owned;
            }
        }
    }

    /// Makes those whose time has come.
    fn arrive(&mut self, elapsed_ms: u64, now: u64, cores: &mut [Core]) {
        for (place, party) in self.parties.iter_mut().enumerate() {
            if party.stage != Stage::Coming || u64::from(party.libos.arrives_ms) > elapsed_ms {
                continue;
            }
            (party.stage, party.arrived) = (Stage::Present, now);
            for core in cores.iter_mut() {
                core.activations[place].doing = Doing::Own(self.costs.start, Next::Make);
            }
        }
    }

    /// Tells those to stop whose time is over, and takes apart those that have.
    fn depart(&mut self, elapsed_ms: u64, now: u64, cores: &mut [Core]) {
        for (place, party) in self.parties.iter_mut().enumerate() {
            let leaves = party.libos.leaves_ms.is_some_and(|leaves| u64::from(leaves) <= elapsed_ms);
            if party.stage == Stage::Present && leaves {
                (party.stage, party.left) = (Stage::Leaving, Some(now));
                cores.iter_mut().for_each(|core| core.activations[place].events.stop = true);
            }
            let stopped = |core: &Core| matches!(core.activations[place].doing, Doing::Nothing);
            if party.stage == Stage::Leaving && cores.iter().all(stopped) {
                party.stage = Stage::Gone;
                cores.iter_mut().for_each(|core| reclaim(core, owner(place)));
            }
        }
    }

    /// Gives word to those whose policy is to change.
    fn swap(&mut self, elapsed_ms: u64, cores: &mut [Core]) {
        for (place, party) in self.parties.iter_mut().enumerate() {
            let due = |swap: &Swap| u64::from(swap.at_ms) <= elapsed_ms && party.stage == Stage::Present;
            if party.libos.swap.take_if(|swap| due(swap)).is_some() {
                cores.iter_mut().for_each(|core| core.activations[place].events.swap = true);
            }
        }
    }

    /// How many slots of a core each libOS is to own; `None` for one that has no part in the market.
    fn targets(&self) -> Vec<Option<u64>> {
        let supply = self.scenario.slots.saturating_sub(self.scenario.broker.slots);
        let bidding = |party: &&Party| party.stage == Stage::Present;
        let bidders: Vec<Bidder> =
            self.parties.iter().filter(bidding).map(|party| self.bidder(party)).collect();
        let mut owned = market::allocate(supply, &bidders).into_iter();
        let target = |party: &Party| bidding(&party).then(|| owned.next().map_or(0, u64::from));
        self.parties.iter().map(target).collect()
    }

    fn bidder(&self, party: &Party) -> Bidder {
        let libos = &party.libos;
        match self.scenario.broker.mode {
            Mode::Market => {
                let want = party.wanted.min(libos.want.into()) as u32;
                Bidder { income: libos.income, want, minimum: libos.minimum }
            }
            Mode::Static | Mode::None => Bidder { income: 0, want: libos.want, minimum: libos.want },
        }
    }

    /// Sees to it that a libOS comes down to its target on a core: asks, and after the deadline takes.
    fn collect(&mut self, place: usize, target: u64, (number, now): (usize, u64), core: &mut Core) {
        let party = &mut self.parties[place];
        let Core { slots, activations, .. } = core;
        let Some(vector) = slots.vector() else { return };
        let surplus = vector.count(owner(place)).saturating_sub(target);
        let asked = &mut party.asked[number];
        if surplus == 0 {
            *asked = Asked::default();
            activations[place].events.asked = 0;
        } else if asked.count == 0 {
            let patience = u64::from(self.scenario.broker.patience_ms) * self.frequency / 1000;
            *asked = Asked { count: surplus, deadline: now + patience };
            party.account.lost += surplus;
            activations[place].events.asked = surplus;
        } else if now >= asked.deadline {
            let pattern = vector.pattern(owner(place));
            let last = (0..pattern.len()).rev().filter(|position| pattern[*position]);
            for position in last.take(asked.count as usize) {
                vector.give(position, BROKER);
                party.account.repossessed += 1;
            }
            *asked = Asked::default();
            activations[place].events.slots = true;
        }
    }

    /// Gives the free slots of a core to those below their target; who has the largest minimum chooses first.
    fn give(&mut self, targets: &[Option<u64>], core: &mut Core) {
        let Core { slots, activations, .. } = core;
        let Some(vector) = slots.vector() else { return };
        let mut free = free_slots(vector, self.scenario.broker.slots as usize);
        let mut order: Vec<usize> = (0..self.parties.len()).collect();
        order.sort_by_key(|place| Reverse(self.parties[*place].libos.minimum));
        for place in order {
            let Some(target) = targets[place] else { continue };
            let party = &mut self.parties[place];
            let own = vector.pattern(owner(place));
            let missing = target.saturating_sub(vector.count(owner(place))) as u32;
            let LibOs { spacing, minimum, .. } = party.libos;
            let places = market::give(spacing, &free, &own, (minimum, missing));
            for &position in &places {
                free[position] = false;
                vector.give(position, owner(place));
                party.account.won += 1;
                activations[place].events.slots = true;
            }
        }
    }
}

/// A libOS as an owner of slots.
pub fn owner(place: usize) -> u16 {
    place as u16 + 1
}

fn reclaim(core: &mut Core, owner: u16) {
    let Some(vector) = core.slots.vector() else { return };
    let pattern = vector.pattern(owner);
    (0..pattern.len())
        .filter(|position| pattern[*position])
        .for_each(|position| vector.give(position, BROKER));
}

/// The slots that the broker owns and does not keep for itself.
fn free_slots(vector: &Vector, kept: usize) -> Vec<bool> {
    let mut free = vector.pattern(BROKER);
    market::kept(free.len(), kept).for_each(|position| free[position] = false);
    free
}
