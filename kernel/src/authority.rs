//! Authority: making capabilities, binding them, and events to those whom a handle names.
//!
//! Not here: what handles are used for elsewhere. A capability is checked here, at `bind`, or where it becomes a page
//! descriptor or a slot's ownership; using a handle compares a generation and checks no proof.
#![forbid(unsafe_code)]

use crate::activation::{Manager, State, Tag, checked_activation, has_events, stored_frame};
use crate::block::Word;
use crate::calls::{Done, nothing, retry, values};
use crate::capability::{Claim, GENERATION_MASK};
use crate::environment::{EnvId, FIRST};
use crate::handles::Handles;
use crate::kernel::{Entry, Kernel, Ownership};
use crate::machine::{CpuId, Machine};
use crate::slice::Link;
use crate::slots::SlotWord;
use crate::word::rouse;
use core::sync::atomic::Ordering::{Relaxed, SeqCst};
use tranche_abi::layout::{HANDLE_SELF, MAX_CHAIN, MAX_CLIENTS};
use tranche_abi::trace::kind;
use tranche_abi::{
    Capability, EVENT_GIVEN, EVENT_REPOSSESSED, EVENT_REVOKE, Error, Frame, Handle, Kind, Object, ObjectBits,
    Rights, RightsBits, Target,
};

/// Event bits that only the kernel sets.
const KERNEL_EVENTS: u64 = EVENT_GIVEN | EVENT_REPOSSESSED | EVENT_REVOKE;

impl<M: Machine> Entry<'_, M> {
    /// The environment behind a handle of the caller's, alive, with these rights.
    pub fn env_behind(&self, handle: Handle, needed: Rights) -> Result<EnvId, Error> {
        let id = self.env_behind_any(handle, needed)?;
        if self.kernel.is_alive(id) { Ok(id) } else { Err(Error::Stale) }
    }

    /// The environment behind a handle, alive or dying.
    pub fn env_behind_any(&self, handle: Handle, needed: Rights) -> Result<EnvId, Error> {
        let claim = self.my_handles().get(handle)?;
        if claim.object.kind != Kind::Env {
            return Err(Error::BadHandle);
        }
        let id = self.kernel.present_env(claim)?;
        if claim.rights.covers(needed) { Ok(id) } else { Err(Error::NoRight) }
    }

    /// The environment and activation that a target names.
    pub fn target(&self, target: Target, needed: Rights) -> Result<(EnvId, u8), Error> {
        let activation = checked_activation(target.activation())?;
        Ok((self.env_behind(target.handle(), needed)?, activation))
    }

    /// `grant`.
    pub fn grant(&mut self, object: ObjectBits, rights: RightsBits) -> Result<Done, Error> {
        let object = Object::from_bits(object).ok_or(Error::BadArgument)?;
        let rights = u8::try_from(rights.0).map(Rights).map_err(|_| Error::BadArgument)?;
        let Some(own) = self.kernel.ownership.try_lock() else { return retry() };
        let generation = self.owned_generation(&own, object)?;
        let capability = own.mint.seal(Claim { object, rights, generation });
        values([capability.body, capability.mac, 0, 0])
    }

    /// The generation of an object, if the caller owns it.
    fn owned_generation(&self, own: &Ownership, object: Object) -> Result<u32, Error> {
        let me = self.me();
        let (owned, generation) = match object.kind {
            Kind::Frame => {
                own.frames.check_plain(Frame(object.index as u64), 1, me.index)?;
                (true, own.frames.get(Frame(object.index as u64))?.generation)
            }
            Kind::Slot => {
                let slot = SlotWord::load(self.kernel.slot_at(object.index)?);
                (slot.owner == me.index, slot.generation)
            }
            Kind::Env => {
                let id =
                    self.kernel.env_id(object.index.min(u16::MAX as u32) as u16).ok_or(Error::BadArgument)?;
                let parent = self.kernel.env(self.machine, id.index).parent.load(Relaxed);
                (id == me || EnvId::from_bits(parent) == me && id.index != FIRST, id.generation)
            }
            Kind::Machine => (me.index == FIRST, 0),
            Kind::Extent => (true, own.disk.owned(object.index, me)?.generation),
        };
        if owned { Ok(generation & GENERATION_MASK) } else { Err(Error::NotOwner) }
    }

    /// `derive`.
    pub fn derive(&mut self, capability: Capability, rights: RightsBits) -> Result<Done, Error> {
        let rights = u8::try_from(rights.0).map(Rights).map_err(|_| Error::BadArgument)?;
        let Some(own) = self.kernel.ownership.try_lock() else { return retry() };
        let claim = own.mint.open(capability)?;
        if !claim.rights.covers(rights) {
            return Err(Error::NoRight);
        }
        let fewer = own.mint.seal(Claim { rights, ..claim });
        values([fewer.body, fewer.mac, 0, 0])
    }

    /// `bind`.
    pub fn bind(&mut self, capability: Capability) -> Result<Done, Error> {
        let Some(own) = self.kernel.ownership.try_lock() else { return retry() };
        let handle = self.kernel.bind(&own, self.my_handles(), capability)?;
        values([handle.0, 0, 0, 0])
    }

    /// `unbind`.
    pub fn unbind(&mut self, handle: Handle) -> Result<Done, Error> {
        if handle == HANDLE_SELF {
            return Err(Error::BadArgument);
        }
        let Some(_own) = self.kernel.ownership.try_lock() else { return retry() };
        self.my_handles().clear(handle)?;
        nothing()
    }

    /// `void`: frames, slots and extents; an environment's creator keeps its authority until it destroys the environment.
    pub fn void(&mut self, object: ObjectBits) -> Result<Done, Error> {
        let object = Object::from_bits(object).ok_or(Error::BadArgument)?;
        let Some(mut own) = self.kernel.ownership.try_lock() else { return retry() };
        self.owned_generation(&own, object)?;
        match object.kind {
            Kind::Frame => {
                let frame = Frame(object.index as u64);
                own.frames.renew(frame);
                own.break_mappings(self.kernel, self.machine, frame, Some(self.me().index));
            }
            Kind::Slot => {
                let word = self.kernel.slot_at(object.index)?;
                SlotWord::change(word, |slot| Some(slot.renewed()));
            }
            Kind::Extent => own.disk.renew(object.index),
            Kind::Env | Kind::Machine => return Err(Error::BadArgument),
        }
        nothing()
    }

    /// `notify`.
    pub fn notify(&mut self, target: Target, bits: u64) -> Result<Done, Error> {
        if bits & KERNEL_EVENTS != 0 {
            return Err(Error::BadArgument);
        }
        let Some(own) = self.kernel.ownership.try_lock() else { return retry() };
        let (env, activation) = self.target(target, Rights::NOTIFY)?;
        self.post(&own, env.index, activation, bits);
        nothing()
    }

    /// `set_manager`.
    pub fn set_manager(&mut self, target: Target, manager: Target, client: u64) -> Result<Done, Error> {
        if client >= MAX_CLIENTS as u64 {
            return Err(Error::BadArgument);
        }
        let Some(_own) = self.kernel.ownership.try_lock() else { return retry() };
        let (env, activation) = self.target(target, Rights::CONTROL)?;
        let (manager, manager_activation) = self.target(manager, Rights::MANAGE)?;
        let manager = Manager { env: manager, activation: manager_activation, client: client as u8 };
        let managed = &self.kernel.env(self.machine, env.index).activations[activation as usize];
        managed.manager.store(manager.to_bits(), Relaxed);
        nothing()
    }

    /// Sets event bits of an activation of a present environment, readies it if it waits, and tells its manager.
    pub fn post(&mut self, own: &Ownership, env: u16, activation: u8, bits: u64) {
        let page = stored_frame(&self.kernel.env(self.machine, env).activations[activation as usize].page);
        if page == Frame(0) {
            return;
        }
        self.machine.page(page).events.fetch_or(bits, SeqCst);
        if self.rouse(env, activation) {
            self.tell_manager(own, env, activation);
        }
    }

    /// Readies an activation that waits. True if its manager has to be told. That is so even for one whose core sleeps for
    /// it: the slot may have ended this instant, and then that core no longer looks.
    fn rouse(&mut self, env: u16, activation: u8) -> bool {
        let Some(was) = rouse(&self.kernel.block(env, activation).state, readied) else { return false };
        self.record((kind::READY, env, activation.into(), &[]));
        let core = State::from_bits(was).core;
        if core != State::NO_CORE {
            self.look_again(core);
        }
        true
    }

    /// Tells the manager of an activation that became ready, and, if that manager itself waits, the manager's manager.
    pub fn tell_manager(&mut self, _own: &Ownership, env: u16, activation: u8) {
        let (mut env, mut activation) = (env, activation);
        for _ in 0..MAX_CHAIN {
            let managed = &self.kernel.env(self.machine, env).activations[activation as usize];
            let Some(manager) = self.kernel.manager(managed.manager.load(Relaxed)) else { return };
            (env, activation) = (manager.env.index, manager.activation);
            let page =
                stored_frame(&self.kernel.env(self.machine, env).activations[activation as usize].page);
            if page == Frame(0) {
                return;
            }
            let bit = 1 << (manager.client % 64);
            self.machine.page(page).ready[manager.client as usize / 64].fetch_or(bit, SeqCst);
            if let Some(core) = self.core_of(env, activation) {
                return self.look_again(core); // it may want its `yield_to` to end
            }
            if !self.rouse(env, activation) {
                return;
            }
        }
    }

    /// An event was posted to an activation between its last look and its `wait`.
    pub fn ready_late(&mut self, link: &Link) {
        let own = self.kernel.ownership.lock();
        let is_it = self.kernel.env_id(link.env().index) == Some(link.env());
        if is_it
            && has_events(self.machine.page(link.own.page))
            && self.rouse(link.env().index, link.activation())
        {
            self.tell_manager(&own, link.env().index, link.activation());
        }
    }

    /// The core on which an activation runs, be it in the place of one that called it. Looks at `MAX_CHAIN` callers.
    fn core_of(&self, mut env: u16, mut activation: u8) -> Option<u8> {
        for _ in 0..MAX_CHAIN {
            match self.kernel.word(env, activation) {
                Word::State(State { tag: Tag::Running, core, .. }) => return Some(core),
                Word::State(_) => return None,
                Word::Serving { caller, .. } => (env, activation) = self.kernel.block_at(caller),
            }
        }
        None
    }

    /// Makes a core check its chain.
    pub fn look_again(&mut self, core: u8) {
        if core as usize == self.cpu.0 {
            self.core.attend = true;
        } else {
            self.machine.kick(CpuId(core as usize));
        }
    }
}

impl Kernel {
    /// The environment that a claim is to, in the life that it means.
    fn present_env(&self, claim: Claim) -> Result<EnvId, Error> {
        let id = self.env_id(claim.object.index as u16).ok_or(Error::Stale)?;
        if id.generation & GENERATION_MASK == claim.generation { Ok(id) } else { Err(Error::Stale) }
    }

    /// Checks a capability and binds it to a free handle.
    #[inline(always)] // Into `bind` and its fast way.
    fn bind(&self, own: &Ownership, handles: &Handles, capability: Capability) -> Result<Handle, Error> {
        let claim = own.mint.open(capability)?;
        match claim.object.kind {
            Kind::Env => drop(self.present_env(claim)?),
            Kind::Machine => {}
            Kind::Extent => drop(own.present_extent(claim.object.index, claim.generation)?),
            Kind::Frame | Kind::Slot => return Err(Error::BadArgument), // these bind by being mapped or taken
        }
        let handle = handles.vacant()?;
        handles.set(handle, claim);
        Ok(handle)
    }

    /// `bind` by environment `me`, which runs here, by the fast way; `None` if there is anything against it.
    pub fn bind_fast<M: Machine>(&self, machine: &M, me: u16, capability: Capability) -> Option<Handle> {
        let own = self.ownership.try_lock()?;
        let handles = machine.handles(stored_frame(&self.env(machine, me).handles));
        self.bind(&own, handles, capability).ok()
    }
}

/// The word of who waited and is ready now.
fn readied(present: u64) -> Option<u64> {
    match Word::from_bits(present) {
        Word::State(state) if state.tag == Tag::Waiting => {
            Some(State { tag: Tag::Ready, core: State::NO_CORE, ..state }.to_bits())
        }
        _ => None,
    }
}

impl Ownership {
    /// A capability's proof and life checked, for an object that is bound by being mapped or taken.
    pub fn open(&self, capability: Capability, kind: Kind, needed: Rights) -> Result<Claim, Error> {
        let claim = self.mint.open(capability)?;
        if claim.object.kind != kind {
            return Err(Error::BadArgument);
        }
        if claim.rights.covers(needed) { Ok(claim) } else { Err(Error::NoRight) }
    }
}
