//! A party: a libOS or a hostile environment, as the broker keeps account of it.
//!
//! Not here: what it is given (`super::trade`) and when it comes and goes (`super`).

use super::slots::SlotMap;
use crate::assignment::{Assignment, EVENT_FAIL, EVENT_MEND, EVENT_REPORT, EVENT_SWAP};
use crate::relay::{News, Relay};
use alloc::string::String;
use alloc::vec::Vec;
use core::sync::atomic::Ordering::Relaxed;
use libos_core::calls;
use libos_core::public::View;
use libos_core::report::{Entrusted, Slots};
use libos_core::scenario::{Failing, Hostile, LibOs, Scenario};
use libos_core::spawn::{Child, SpawnPlan};
use libos_core::start::encode_arguments;
use libos_core::trace;
use tranche_abi::layout::MAX_CORES;
use tranche_abi::{Core, Tick};

/// What a party is in the scenario.
pub enum Role {
    /// Competes.
    LibOs(LibOs),
    /// Misbehaves.
    Hostile(Hostile),
}

/// How far a party is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Not yet arrived.
    Coming,
    /// There.
    Present,
    /// Told to report, and to be gone by this time.
    Reporting(Tick),
    /// Gone.
    Gone,
}

/// What a libOS that is to fail on purpose was told of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Told {
    /// Nothing so far.
    Nothing,
    /// To begin.
    ToFail,
    /// To end it.
    ToMend,
}

impl Told {
    /// What it is to have been told so long after the start.
    fn by(fails: Failing, elapsed_ms: u64) -> Self {
        match fails.until_ms {
            Some(until) if u64::from(until) <= elapsed_ms => Self::ToMend,
            _ if u64::from(fails.from_ms) <= elapsed_ms => Self::ToFail,
            _ => Self::Nothing,
        }
    }
}

/// A demand that stands against a party on one core.
#[derive(Clone, Copy, Debug, Default)]
pub struct Asked {
    /// How many slots.
    pub count: u64,
    /// When force follows.
    pub deadline: Tick,
}

/// What the broker saw of a party's slots when it last looked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Slots owned, over all cores.
    pub owned: u64,
    /// Sum of those slots' generations and places: changes when any of them does.
    pub shape: u64,
    /// Slices begun so far, over all cores.
    pub slices: u64,
}

/// A party.
pub struct Party {
    /// Its name.
    pub name: String,
    /// What it is.
    pub role: Role,
    /// How far it is.
    pub stage: Stage,
    /// Its environment, while it is there.
    pub child: Option<Child>,
    /// The environment of its scheduler that died, whose clients an heir has.
    pub predecessor: Option<Child>,
    /// What its scheduler left for an heir.
    pub entrusted: Vec<Entrusted>,
    /// The account of its slots.
    pub account: Slots,
    /// Standing demands.
    pub asked: [Asked; MAX_CORES],
    /// Slots of each core that it had when the broker last traded.
    pub(super) had: [u64; MAX_CORES],
    /// A hostile environment: whether it was given its first slots.
    pub settled: bool,
    /// Times that the scenario had it asked so far.
    pub times_asked: u64,
    /// Slots that it was asked for in all.
    pub asked_total: u64,
    /// Whether the kernel or the broker destroyed it before the run's end.
    pub destroyed: bool,
    /// What it was told of the failure that the scenario has for it.
    pub told: Told,
    /// Whether it was told to change its policy.
    swapped: bool,
    /// Its figures as they were before it was destroyed.
    pub last_words: Words,
    pub(super) seen: Option<Seen>,
    missing: i64,
    pub(super) relay: Relay,
}

/// What is known of a party from itself and from the kernel, for the end of the run.
#[derive(Clone, Copy, Debug, Default)]
pub struct Words {
    /// Faults that the kernel counted.
    pub faults: u64,
    /// Slices kept to the end of the grace time, as the kernel counted.
    pub excess: u64,
    /// Its own count of forged calls.
    pub forged: u64,
    /// Its own count of those that were refused.
    pub forged_refused: u64,
    /// Its own count of unknown calls.
    pub unknown_calls: u64,
    /// Its own count of calls that should have been refused and were not.
    pub breaches: u64,
    /// Its own count of what it did of its failure.
    pub failures: u64,
}

impl Party {
    /// A party that has not arrived.
    pub fn new(name: &str, role: Role) -> Self {
        Self {
            name: name.into(),
            role,
            stage: Stage::Coming,
            child: None,
            predecessor: None,
            entrusted: Vec::new(),
            account: Slots { owner: name.into(), ..Slots::default() },
            asked: [Asked::default(); MAX_CORES],
            had: [0; MAX_CORES],
            settled: false,
            times_asked: 0,
            asked_total: 0,
            destroyed: false,
            told: Told::Nothing,
            swapped: false,
            last_words: Words::default(),
            seen: None,
            missing: 0,
            relay: Relay::default(),
        }
    }

    /// The libOS, if it is one.
    pub fn libos(&self) -> Option<&LibOs> {
        match &self.role {
            Role::LibOs(libos) => Some(libos),
            Role::Hostile(_) => None,
        }
    }

    /// Its environment's index while it is there.
    pub fn env(&self) -> Option<u64> {
        self.child.as_ref().map(|child| child.index)
    }

    /// The plan of its environment: one activation for each core.
    pub fn plan(&self, scenario: &Scenario) -> Option<SpawnPlan<'_>> {
        match &self.role {
            Role::LibOs(libos) => {
                let assignment = assignment(libos, scenario);
                let frames = libos.total_frames(scenario.cores);
                self.plan_of((&libos.program, frames), encode_arguments(&assignment), scenario)
            }
            Role::Hostile(hostile) => {
                let arguments = encode_arguments(&hostile.behaviour);
                self.plan_of((&hostile.program, hostile.frames.into()), arguments, scenario)
            }
        }
    }

    /// The plan of an environment of its: of a program, with so many frames to use.
    pub fn plan_of<'a, E>(
        &'a self,
        (program, frames): (&'a str, u64),
        arguments: Result<Vec<u8>, E>,
        scenario: &Scenario,
    ) -> Option<SpawnPlan<'a>> {
        Some(SpawnPlan {
            name: &self.name,
            activations: scenario.cores.into(),
            stack_pages: 16,
            heap_pages: 256,
            mailbox_bytes: 48 * 1024,
            frames,
            arguments: arguments.ok()?,
            trace: self.libos().and_then(|_| trace::capability()),
            ..SpawnPlan::new(program)
        })
    }

    /// Notes how many slots it has, once the broker has traded.
    pub fn remember_slots(&mut self, map: &SlotMap) {
        let Some(env) = self.env() else { return };
        (0..map.cores()).for_each(|core| self.had[core as usize] = map.count(core, env));
    }

    /// Counts what it gave back since then: nobody else takes slots meanwhile.
    pub fn count_returns(&mut self, map: &SlotMap) {
        let Some(env) = self.env() else { return };
        for core in 0..map.cores() {
            let place = core as usize;
            let returned = self.had[place].saturating_sub(map.count(core, env));
            self.account.given_back += returned;
            self.asked[place].count = self.asked[place].count.saturating_sub(returned);
        }
    }

    /// Slices that began as its own so far, over all cores.
    pub fn slices(&self, view: View) -> u64 {
        let env = self.env().unwrap_or(u64::MAX);
        (0..view.cores()).filter_map(|core| view.ledger(Core(core))).map(|ledger| ledger.slices(env)).sum()
    }

    /// Keeps account of a revolution at whose end it had begun so many `slices`; `None` if nobody looked in time. Slots
    /// that it owned for the whole revolution and that did not begin as its own are missed.
    pub fn count_revolution(&mut self, map: &SlotMap, slices: Option<u64>) {
        let Some(env) = self.env() else { return };
        if self.had.iter().all(|had| *had == 0) {
            return; // it has not had any slots yet
        }
        let owned = (0..map.cores()).map(|core| map.count(core, env)).sum();
        let now = slices.map(|slices| Seen { owned, shape: map.shape(env), slices });
        self.account.revolutions += 1;
        self.account.owned += owned;
        if let (Some(before), Some(now)) = (self.seen, now)
            && (before.owned, before.shape) == (now.owned, now.shape)
        {
            // A slot of another core that begins late is missing in one look and too much in the next.
            self.missing += now.owned as i64 - (now.slices - before.slices) as i64;
            self.account.missed = self.missing.max(0) as u64;
        }
        self.seen = now;
    }

    /// Reads what it wrote, and passes it on; names of environments are noted, and what is entrusted is kept.
    pub fn listen(&mut self, mut note: impl FnMut(u64, String)) {
        let (Some(child), entrusted) = (&mut self.child, &mut self.entrusted) else { return };
        self.relay.listen(&self.name, child, |news| match news {
            News::Env { index, name } => note(index, name),
            News::Entrusted(one) => entrusted.push(one),
        });
    }

    /// Whether the scenario has it fail, so that nobody can rely on what it says.
    pub fn is_failing(&self) -> bool {
        self.libos().is_some_and(|libos| libos.fails.is_some())
    }

    /// Tells a libOS that is to fail on purpose to begin, or to end it, when its time has come.
    pub fn steer_failure(&mut self, elapsed_ms: u64) {
        let Some(fails) = self.libos().and_then(|libos| libos.fails) else { return };
        let due = Told::by(fails, elapsed_ms);
        let event = match due {
            Told::ToFail => EVENT_FAIL,
            Told::ToMend => EVENT_MEND,
            Told::Nothing => return,
        };
        if self.child.is_some() && self.told < due {
            self.told = due;
            self.notify_all(event);
        }
    }

    /// Tells a libOS that is to change its policy to do so, once, when its time has come.
    pub fn steer_swap(&mut self, elapsed_ms: u64) {
        let due =
            self.libos().and_then(|libos| libos.swap).is_some_and(|swap| u64::from(swap.at_ms) <= elapsed_ms);
        if due && !self.swapped && self.child.is_some() {
            self.swapped = true;
            self.notify_all(EVENT_SWAP);
        }
    }

    fn notify_all(&self, event: u64) {
        let Some(child) = &self.child else { return };
        for activation in 0..child.activations() {
            // Refused only if it is no more.
            let _ = calls::notify(child.target(activation), event);
        }
    }

    /// Tells every activation of it to report and to stop.
    pub fn ask_for_report(&mut self, until: Tick) {
        self.stage = Stage::Reporting(until);
        // That one of them is no more the deadline finds out.
        self.notify_all(EVENT_REPORT);
    }

    /// Whether all its activations have reported.
    pub fn has_reported(&self) -> bool {
        let reported = |child: &Child| child.mailbox().stats().reported.load(Relaxed) >= child.activations();
        self.child.as_ref().is_some_and(reported)
    }

    /// Notes its figures as they are now.
    pub fn note_words(&mut self, view: View) {
        // What is to be known of one that died is what it was then.
        let Some(child) = self.predecessor.as_ref().or(self.child.as_ref()) else { return };
        let stats = child.mailbox().stats();
        let (forged, forged_refused) = stats.forgeries();
        self.last_words = Words {
            faults: view.faults(child.index),
            excess: view.excess(child.index),
            forged,
            forged_refused,
            unknown_calls: stats.unknown_calls.load(Relaxed),
            breaches: stats.breaches.load(Relaxed),
            failures: stats.failures.load(Relaxed),
        };
    }
}

/// What a libOS is told.
pub fn assignment(libos: &LibOs, scenario: &Scenario) -> Assignment {
    Assignment {
        libos: libos.clone(),
        traces: scenario.traces.clone(),
        cores: scenario.cores,
        core: None,
        slots: scenario.slots,
        seed: scenario.seed,
        duration_ms: scenario.duration_ms,
        inherits: None,
        environments: scenario.environments(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use libos_core::scenario::Failure;

    #[test]
    fn word_of_a_failure_is_given_at_its_times_and_of_one_for_good_only_once() {
        let fails = |until_ms| Failing { how: Failure::Forges, from_ms: 100, until_ms };
        let told = |until_ms, times: [u64; 4]| times.map(|ms| Told::by(fails(until_ms), ms));
        let (nothing, fail, mend) = (Told::Nothing, Told::ToFail, Told::ToMend);
        assert_eq!(told(Some(200), [99, 100, 199, 200]), [nothing, fail, fail, mend]);
        assert_eq!(told(None, [0, 99, 100, 9_999]), [nothing, nothing, fail, fail]);
        // The broker may look so seldom that both have come; a failure that is over does not begin again.
        assert!(nothing < fail && fail < mend);
    }
}
