//! Slots: who owns which, and how they change hands.
//!
//! Not here: what happens in one ([`crate::slice`]) and taking one by force ([`crate::revoke`]). A slot is one atomic
//! word, written under the ownership lock and read by its core without; a change takes effect when the slot next begins.
#![forbid(unsafe_code)]

use crate::activation::checked_activation;
use crate::calls::{Done, nothing, retry};
use crate::environment::EnvId;
use crate::kernel::{Entry, Kernel, Ownership};
use crate::machine::Machine;
use crate::word::{Loose, hand_over};
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};
use tranche_abi::layout::{MAX_ACTIVATIONS, MAX_CORES, MAX_SLOTS};
use tranche_abi::{
    ActivationIndex, Capability, Core, EVENT_GIVEN, Error, Kind, Rights, SlotIndex, Target, Tick,
};

/// A slot's word taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlotWord {
    /// The owning environment's index.
    pub owner: u16,
    /// The owner's activation that runs in the slot.
    pub activation: u8,
    /// Which ownership its capabilities mean; 24 bits.
    pub generation: u32,
}

impl SlotWord {
    const fn from_bits(bits: u64) -> Self {
        Self { owner: bits as u16, activation: (bits >> 16) as u8, generation: (bits >> 32) as u32 }
    }

    const fn to_bits(self) -> u64 {
        self.owner as u64 | (self.activation as u64) << 16 | (self.generation as u64) << 32
    }

    /// Reads a slot.
    pub fn load(word: &AtomicU64) -> Self {
        Self::from_bits(word.load(Relaxed))
    }

    /// Writes a slot.
    pub fn store(self, word: &AtomicU64) {
        word.store(self.to_bits(), Relaxed);
    }

    /// Changes a slot, under the ownership lock, to what `changed` makes of it, if it makes something of it. The slot as it was.
    pub fn change(word: &AtomicU64, changed: impl FnOnce(Self) -> Option<Self>) -> Option<Self> {
        let changed = |bits| changed(Self::from_bits(bits)).map(Self::to_bits);
        hand_over(&Loose(word), changed).map(Self::from_bits)
    }

    /// The same slot in its next life: capabilities to it are stale.
    pub fn renewed(self) -> Self {
        Self { generation: (self.generation + 1) & 0xff_ffff, ..self }
    }
}

/// A slot's place: its index in capabilities.
pub const fn slot_index(core: u64, position: u64) -> u32 {
    (core * MAX_SLOTS as u64 + position) as u32
}

impl Kernel {
    /// The word of a slot by its index in capabilities.
    pub fn slot_at(&self, index: u32) -> Result<&AtomicU64, Error> {
        self.slot(Core(index as u64 / MAX_SLOTS as u64), SlotIndex(index as u64 % MAX_SLOTS as u64))
    }

    /// The word of a slot that exists.
    pub fn slot(&self, core: Core, slot: SlotIndex) -> Result<&AtomicU64, Error> {
        let exists = core.0 < self.public.cores.load(Relaxed) && slot.0 < self.public.slots.load(Relaxed);
        if exists { Ok(&self.public.slot[core.0 as usize][slot.0 as usize]) } else { Err(Error::BadArgument) }
    }

    /// Hands a slot over.
    pub fn move_slot<M: Machine>(&self, machine: &M, word: &AtomicU64, to: (u16, u8)) {
        let _ = self.move_slot_if(machine, word, to, |_| true);
    }

    /// Hands a slot over to an owner and its activation if it is the one that is meant. Whether it was.
    fn move_slot_if<M: Machine>(
        &self,
        machine: &M,
        word: &AtomicU64,
        (owner, activation): (u16, u8),
        is_meant: impl FnOnce(SlotWord) -> bool,
    ) -> bool {
        let moved = |slot| is_meant(slot).then(|| SlotWord { owner, activation, ..slot }.renewed());
        let Some(before) = SlotWord::change(word, moved) else { return false };
        self.env(machine, before.owner).slots.fetch_sub(1, Relaxed);
        self.env(machine, owner).slots.fetch_add(1, Relaxed);
        true
    }
}

impl<M: Machine> Entry<'_, M> {
    /// `slot_give`.
    pub fn slot_give(&mut self, core: Core, slot: SlotIndex, target: Target) -> Result<Done, Error> {
        let kernel = self.kernel;
        let Some(own) = kernel.ownership.try_lock() else { return retry() };
        let word = self.my_slot(core, slot)?;
        let (env, activation) = self.target(target, Rights::GIVE)?;
        kernel.move_slot(self.machine, word, (env.index, activation));
        self.fulfil(core.0 as usize, env, 1);
        self.post(&own, env.index, activation, EVENT_GIVEN);
        nothing()
    }

    /// `slot_take`.
    pub fn slot_take(&mut self, capability: Capability, activation: ActivationIndex) -> Result<Done, Error> {
        let activation = checked_activation(activation)?;
        let kernel = self.kernel;
        let Some(own) = kernel.ownership.try_lock() else { return retry() };
        let claim = own.open(capability, Kind::Slot, Rights::TAKE)?;
        let word = kernel.slot_at(claim.object.index)?;
        let to = (self.me().index, activation);
        let is_meant = |slot: SlotWord| slot.generation == claim.generation;
        if kernel.move_slot_if(self.machine, word, to, is_meant) { nothing() } else { Err(Error::Stale) }
    }

    /// `slot_aim`.
    pub fn slot_aim(
        &mut self,
        core: Core,
        slot: SlotIndex,
        activation: ActivationIndex,
    ) -> Result<Done, Error> {
        let activation = checked_activation(activation)?;
        let Some(_own) = self.kernel.ownership.try_lock() else { return retry() };
        let word = self.my_slot(core, slot)?;
        SlotWord::change(word, |slot| Some(SlotWord { activation, ..slot }));
        nothing()
    }

    fn my_slot(&self, core: Core, slot: SlotIndex) -> Result<&'static AtomicU64, Error> {
        self.kernel.slot(core, slot)?;
        let word = &self.kernel.public.slot[core.0 as usize][slot.0 as usize];
        if SlotWord::load(word).owner == self.me().index { Ok(word) } else { Err(Error::NotOwner) }
    }
}

impl Ownership {
    /// Moves all slots of a dead environment to whoever reclaims it.
    pub fn take_slots<M: Machine>(&self, kernel: &Kernel, machine: &M, dead: EnvId, receiver: u16) {
        let slots = kernel.public.slots.load(Relaxed) as usize;
        for (core, vector) in kernel.public.slot.iter().enumerate().take(MAX_CORES) {
            for word in &vector[..slots] {
                if kernel.env(machine, dead.index).slots.load(Relaxed) == 0 {
                    return;
                }
                if SlotWord::load(word).owner == dead.index {
                    kernel.move_slot(machine, word, (receiver, own_activation(core)));
                }
            }
        }
    }
}

/// The activation that a slot of a core falls to where its new owner named none: by custom, the core's number.
pub const fn own_activation(core: usize) -> u8 {
    if core < MAX_ACTIVATIONS { core as u8 } else { 0 }
}

/// When revocation may use force: the deadline passed, and there was one.
pub fn is_over(deadline: Tick, now: Tick) -> bool {
    deadline != Tick::NEVER && now >= deadline
}
