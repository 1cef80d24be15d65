//! An heir takes over from a scheduler that is dead: the broker stops what is left of it, takes its slots, and makes the heir, which is
//! given slots like any libOS, in the same revolution.
//!
//! The dead environment is not taken apart before the run ends: its clients are its children, and would end with it; and what they count is
//! in its frames. Not here: how the heir takes the clients over (`scheduler::heir`), and how a death is noticed (`super::endings`).

use super::party::{Asked, assignment};
use super::{Broker, introduce};
use crate::assignment::{Assignment, Inheritance};
use crate::relay::Relay;
use libos_core::scenario::{LibOs, Policy};
use libos_core::spawn::{SpawnError, spawn};
use libos_core::start::encode_arguments;
use libos_core::{calls, page, say};
use tranche_abi::layout::MAX_CORES;
use tranche_abi::{Core, SlotIndex};

impl Broker {
    /// The policy of a dead party's heir, unless it is the heir that died.
    pub(super) fn heir(&self, place: usize) -> Option<Policy> {
        let party = &self.parties[place];
        party.libos()?.heir.filter(|_| party.predecessor.is_none())
    }

    /// Lets an heir with this policy take a dead party's place.
    pub(super) fn succeed(&mut self, place: usize, heir: Policy) {
        self.take_slots_of_the_dead(place);
        if let Err(error) = self.make_heir(place, heir) {
            say!("broker: {} has no heir: {error:?}", self.parties[place].name);
            self.passed = false;
            self.end_party(place);
        }
    }

    /// Nothing of the dead runs any more, and its slots are the broker's.
    fn take_slots_of_the_dead(&mut self, place: usize) {
        let Some(child) = &self.parties[place].child else { return };
        // Refused if the kernel destroyed it before.
        let _ = calls::env_destroy(child.handle);
        for core in 0..self.map.cores() {
            let slots: alloc::vec::Vec<usize> = self.map.of(core, child.index).collect();
            for slot in slots {
                if calls::seize_slot(child.handle, Core(core), SlotIndex(slot as u64)).is_ok() {
                    self.map.moved(core, slot, 0);
                }
            }
        }
    }

    fn make_heir(&mut self, place: usize, heir: Policy) -> Result<(), SpawnError> {
        let found = page::now().0;
        let party = &mut self.parties[place];
        let libos = party.libos().ok_or(SpawnError::BadPlan)?;
        let (from, frames) = (libos.policy, u64::from(libos.frames));
        // Of what its predecessor was to do it schedules, and nothing else.
        let libos =
            LibOs { policy: heir, program: heir.word().into(), heir: None, fails: None, ..libos.clone() };
        let clients = core::mem::take(&mut party.entrusted);
        let inherits = Some(Inheritance { from, found, clients });
        let assignment = Assignment { inherits, ..assignment(&libos, &self.scenario) };
        let arguments = encode_arguments(&assignment);
        let plan =
            party.plan_of((&libos.program, frames), arguments, &self.scenario).ok_or(SpawnError::BadPlan)?;
        let child = spawn(&mut self.frames, &self.archive, &plan)?;
        introduce(&mut self.names, child.index, party.name.clone());
        self.presenter.iter().for_each(|one| one.introduce(&self.scenario, child.index, &party.name));
        party.predecessor = party.child.replace(child);
        party.relay = Relay::default();
        // It has not had any slots yet.
        (party.asked, party.had, party.seen) = ([Asked::default(); MAX_CORES], [0; MAX_CORES], None);
        Ok(())
    }
}
