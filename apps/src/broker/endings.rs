//! How a party ends: it leaves when its time is over, the kernel destroyed it, or its scheduler is dead and the broker ends it, so
//! that its slots are there for others again.
//!
//! Not here: what becomes of the slots (`super::trade`), how a party is made (`super`).

use super::Broker;
use super::party::{Party, Role, Stage};
use super::{introduce, terms, trade};
use libos_core::public::{EnvState, View};
use libos_core::scenario::Policy;
use libos_core::{page, say};
use tranche_abi::Tick;

/// Revolutions that a libOS has to write its reports.
const REPORT_REVOLUTIONS: u64 = 30;

impl Broker {
    /// Lets those go whose time is over: they report first.
    pub(super) fn departures(&mut self, elapsed_ms: u64) {
        let patience = self.report_time();
        for place in 0..self.parties.len() {
            let party = &mut self.parties[place];
            let leaves = party.libos().and_then(|libos| libos.leaves_ms);
            if party.stage == Stage::Present && leaves.is_some_and(|leaves| u64::from(leaves) <= elapsed_ms) {
                party.ask_for_report(Tick(page::now().0 + patience));
            }
            self.bury(place);
        }
    }

    pub(super) fn report_time(&self) -> u64 {
        REPORT_REVOLUTIONS * self.view.revolution().0
    }

    /// Takes a leaving party apart as soon as it has reported, or its time to do so is over.
    fn bury(&mut self, place: usize) {
        let party = &mut self.parties[place];
        let Stage::Reporting(until) = party.stage else { return };
        let reported = party.has_reported();
        if !reported && page::now() < until {
            return;
        }
        let names = &mut self.names;
        party.listen(|index, name| introduce(names, index, name));
        if !reported {
            self.miss_report(place);
        }
        self.end_party(place);
    }

    pub(super) fn end_party(&mut self, place: usize) {
        let party = &mut self.parties[place];
        party.note_words(self.view);
        party.stage = Stage::Gone;
        // An heir before the one whose frames its clients use.
        for child in [party.child.take(), party.predecessor.take()].into_iter().flatten() {
            if let Err(error) = child.destroy(&mut self.frames) {
                say!("broker: {} cannot be destroyed: {error:?}", party.name);
                self.passed = false;
            }
        }
    }

    /// Somebody did not report in time. Of who fails on purpose nobody expected it.
    pub(super) fn miss_report(&mut self, place: usize) {
        let party = &self.parties[place];
        say!("broker: {} did not report in time", party.name);
        self.passed &= party.is_failing();
    }

    /// Buries those whom the kernel destroyed, and ends the libOSes whose scheduler is dead on some core: there it would own slots
    /// for ever in which nobody runs, and could never say so.
    pub(super) fn bury_the_dead(&mut self) {
        for place in 0..self.parties.len() {
            let party = &mut self.parties[place];
            let Some(death) = party.env().and_then(|env| death(party, env, self.view)) else { continue };
            say!("broker: {} is dead: {death}", party.name);
            party.destroyed = true;
            self.passed &= party.is_failing() || party.libos().is_none();
            let names = &mut self.names;
            party.listen(|index, name| introduce(names, index, name));
            match self.heir(place) {
                Some(heir) => self.succeed(place, heir),
                None => self.end_party(place),
            }
        }
    }

    /// Asks the hostile for slots when the scenario says so, and takes what they do not give.
    pub(super) fn press_hostile(&mut self, elapsed_ms: u64) {
        for place in 0..self.parties.len() {
            let terms = terms(&self.scenario, self.view);
            let party = &mut self.parties[place];
            let Role::Hostile(hostile) = &party.role else { continue };
            let (asked_slots, times) = (u64::from(hostile.asked_slots), hostile.asked_ms.clone());
            let due = times.iter().filter(|time| u64::from(**time) <= elapsed_ms).count() as u64;
            for core in 0..self.map.cores() {
                trade::seize_overdue(&terms, &mut self.map, party, core);
                if party.times_asked < due {
                    trade::demand(&terms, party, core, asked_slots);
                }
            }
            party.times_asked = due;
        }
    }
}

/// Of what a party is dead. A scheduler handles no faults, so each is the end of one of its activations; programs without clients may
/// fault as they like.
fn death(party: &Party, env: u64, view: View) -> Option<&'static str> {
    let schedules = party.libos().is_some_and(|libos| libos.policy != Policy::None);
    if view.env_state(env) != EnvState::Alive {
        Some("the kernel destroyed it")
    } else if schedules && view.faults(env) > 0 {
        Some("its scheduler has faulted")
    } else {
        None
    }
}
