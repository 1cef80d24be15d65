//! Environments: their state, creation, end, and the return of all that they owned.
//!
//! Not here: activations' contexts ([`crate::activation`]). An environment's state is in a frame that it paid for; only
//! what another core may touch while the environment disappears (activation states, the generation, the debt) is in the
//! kernel's own memory, which is never reused for anything else. Invariant: a frame of environment state is freed only
//! when none of its activations runs and none can be claimed any more.
#![forbid(unsafe_code)]

use crate::activation::{State, Tag};
use crate::calls::{Done, nothing, retry, values};
use crate::capability::{Claim, GENERATION_MASK};
use crate::frames::{Mapping, Role};
use crate::kernel::{Entry, Kernel, Ownership};
use crate::machine::{CpuId, Machine, Space};
use crate::paging::{self, Descriptor};
use crate::word::has_looked;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed, Ordering::SeqCst};
use tranche_abi::layout::*;
use tranche_abi::page::MAX_RESERVE;
use tranche_abi::public::env_state;
use tranche_abi::trace::kind;
use tranche_abi::{Error, Frame, Handle, Kind, Object, Rights};

/// Which environment, in which life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EnvId {
    /// Its index, below `MAX_ENVS`.
    pub index: u16,
    /// Counts the environments that had this index.
    pub generation: u32,
}

/// Frames that one step of reclaiming takes back. Each may be a page table with hundreds of pages, or be mapped in
/// several places.
const RECLAIM_BATCH: usize = 16;

/// The first environment.
pub const FIRST: u16 = 0;

/// What stays when an environment goes: the index's present life.
pub struct EnvSlot {
    /// Frame of the environment's state; 0 for none.
    pub frame: AtomicU32,
    /// The life that the index is in.
    pub generation: AtomicU32,
    /// Excess time not yet paid for, in ticks. Here, because a core looks at it when a slot begins, without a lock.
    pub debt: AtomicU64,
}

impl EnvSlot {
    /// An index that nobody had yet.
    pub const fn new() -> Self {
        Self { frame: AtomicU32::new(0), generation: AtomicU32::new(1), debt: AtomicU64::new(0) }
    }
}

impl Default for EnvSlot {
    fn default() -> Self {
        Self::new()
    }
}

/// What an activation needs besides its state word and its page.
#[derive(Default)]
#[repr(C)]
pub struct Activation {
    /// Frame of its page; 0 for none.
    pub page: AtomicU32,
    /// Its manager: [`crate::activation::Manager`] bits; 0 for none.
    pub manager: AtomicU64,
    /// When a waiting activation wants to run again.
    pub wake_at: AtomicU64,
    /// The fault that stopped it.
    pub syndrome: AtomicU64,
}

/// A standing demand for resources back.
#[derive(Default)]
#[repr(C)]
pub struct Demanded {
    /// How many are still to come.
    pub count: AtomicU32,
    /// The activation whose page shows it.
    pub activation: AtomicU32,
    /// When force may be used.
    pub deadline: AtomicU64,
    /// Who asked: index in bits 0..16, generation in 16...
    pub asker: AtomicU64,
}

/// An environment's state, in a frame of its own. All zeros is a new one.
#[derive(Default)]
#[repr(C)]
pub struct Env {
    /// Frame of the root table.
    pub root: AtomicU32,
    /// Frame of the handle table.
    pub handles: AtomicU32,
    /// Its creator: index in bits 0..16, generation in 16...
    pub parent: AtomicU64,
    /// Environments that it created and that are still there.
    pub children: AtomicU32,
    /// Slots that it owns.
    pub slots: AtomicU32,
    /// Whether it ever could enter others, or be entered.
    pub transfers: AtomicU32,
    /// Of one with `transfers`, once it was destroyed: how many activations have left the calls that they were in.
    step: AtomicU32,
    /// How often each core had looked when the present step began.
    looks: [AtomicU64; MAX_CORES],
    /// Its activations.
    pub activations: [Activation; MAX_ACTIVATIONS],
    /// Demands for slots, by core, then for frames.
    pub demands: [Demanded; MAX_CORES + 1],
    /// Frames that the present demand does not reach, as the holder's page named them when the demand was made; 0 for none.
    pub reserve: [AtomicU64; MAX_RESERVE],
}

const _: () = assert!(size_of::<Env>() <= PAGE_SIZE as usize);

impl EnvId {
    /// As 64 bits.
    pub fn to_bits(self) -> u64 {
        self.index as u64 | (self.generation as u64) << 16
    }

    /// From 64 bits.
    pub fn from_bits(bits: u64) -> Self {
        Self { index: bits as u16, generation: (bits >> 16) as u32 }
    }
}

impl Kernel {
    /// The present environment of an index, alive or dying; `None` if there is none.
    pub fn env_id(&self, index: u16) -> Option<EnvId> {
        let slot = self.envs.get(index as usize)?;
        let present = self.public.env_state[index as usize].load(SeqCst) != env_state::FREE;
        present.then(|| EnvId { index, generation: slot.generation.load(SeqCst) })
    }

    /// Whether it is there and was not destroyed.
    pub fn is_alive(&self, id: EnvId) -> bool {
        self.env_id(id.index) == Some(id)
            && self.public.env_state[id.index as usize].load(SeqCst) == env_state::ALIVE
    }

    /// The state of an environment that cannot disappear meanwhile: it runs here, or the ownership lock is held.
    pub fn env<'m, M: Machine>(&self, machine: &'m M, index: u16) -> &'m Env {
        machine.env(Frame(self.envs[index as usize].frame.load(Relaxed) as u64))
    }

    /// Its address space, under the same condition.
    pub fn space<M: Machine>(&self, machine: &M, index: u16) -> Space {
        Space { root: Frame(self.env(machine, index).root.load(Relaxed) as u64), asid: asid(index) }
    }

    /// Marks an environment as dying and makes every core that runs it look. False if there is none to end.
    fn end_env<M: Machine>(&self, machine: &M, id: EnvId) -> bool {
        if !self.is_alive(id) || id.index == FIRST {
            return false;
        }
        self.public.env_state[id.index as usize].store(env_state::DYING, SeqCst);
        // Before it is looked who runs: a claim by a fast path looks here once it is seen to run.
        self.blocks[id.index as usize].iter().for_each(|block| block.frame.store(0, SeqCst));
        for activation in 0..MAX_ACTIVATIONS as u8 {
            let Some(state) = self.state(id.index, activation) else { continue };
            if state.tag == Tag::Running {
                machine.kick(CpuId(state.core as usize));
            }
            // Nobody enters it from now on. Whoever is just doing so is found by the kick below.
            self.change(
                id.index,
                activation,
                State { tag: Tag::Idle, ..state },
                State { tag: Tag::Stopped, ..state },
            );
        }
        if self.env(machine, id.index).transfers.load(Relaxed) != 0 {
            (0..MAX_ACTIVATIONS as u8).for_each(|activation| self.bury_block(machine, id.index, activation));
            self.begin_step(machine, id.index);
        }
        true
    }

    /// Every core is to look again before the end of an environment goes on.
    fn begin_step<M: Machine>(&self, machine: &M, index: u16) {
        let cores = self.public.cores.load(Relaxed) as usize;
        for (core, (seen, now)) in
            self.env(machine, index).looks.iter().zip(&self.looks).enumerate().take(cores)
        {
            seen.store(now.load(SeqCst), Relaxed);
            machine.kick(CpuId(core));
        }
    }
}

/// The address-space id of an environment: fixed by its index, 0 is nobody's.
pub const fn asid(index: u16) -> u16 {
    index + 1
}

impl Ownership {
    /// Makes an environment out of frames that its creator owns and that are mapped nowhere.
    pub fn create_env<M: Machine>(
        &mut self,
        kernel: &Kernel,
        machine: &M,
        parent: Option<EnvId>,
        first: Frame,
    ) -> Result<EnvId, Error> {
        let index = self.free_index(kernel)?;
        let slot = &kernel.envs[index as usize];
        let id = EnvId { index, generation: slot.generation.load(Relaxed) };
        let [state, root, handles] = [0, 1, 2].map(|i| Frame(first.0 + i));
        for (frame, role) in [(state, Role::Env), (root, Role::Root), (handles, Role::Handles)] {
            machine.zero(frame);
            self.frames.renew(frame);
            self.frames.transfer(frame, index, role);
        }
        let env = machine.env(state);
        env.root.store(root.0 as u32, Relaxed);
        env.handles.store(handles.0 as u32, Relaxed);
        machine.table(root).set(paging::index(PUBLIC_BASE, 1), Descriptor::table(self.public_table));
        let table = machine.handles(handles);
        table.set(HANDLE_SELF, env_claim(id, Rights::ALL));
        if let Some(parent) = parent {
            env.parent.store(parent.to_bits(), Relaxed);
            kernel.env(machine, parent.index).children.fetch_add(1, Relaxed);
            table.set(HANDLE_PARENT, env_claim(parent, PARENT_RIGHTS));
        }
        slot.debt.store(0, Relaxed);
        slot.frame.store(state.0 as u32, SeqCst);
        kernel.public.env_state[index as usize].store(env_state::ALIVE, SeqCst);
        Ok(id)
    }

    fn free_index(&mut self, kernel: &Kernel) -> Result<u16, Error> {
        let free = |index: &u16| kernel.public.env_state[*index as usize].load(Relaxed) == env_state::FREE;
        (0..MAX_ENVS as u16).find(free).ok_or(Error::Full)
    }
}

/// What a child may do to its creator.
const PARENT_RIGHTS: Rights = Rights::NOTIFY.with(Rights::GIVE).with(Rights::MANAGE);

/// The claim to an environment.
pub fn env_claim(id: EnvId, rights: Rights) -> Claim {
    Claim {
        object: Object { kind: Kind::Env, index: id.index as u32 },
        rights,
        generation: id.generation & GENERATION_MASK,
    }
}

impl<M: Machine> Entry<'_, M> {
    /// `env_create`.
    pub fn env_create(&mut self, first: Frame) -> Result<Done, Error> {
        let Some(mut own) = self.kernel.ownership.try_lock() else { return retry() };
        own.frames.check_memory(first, ENV_FRAMES, self.me().index)?;
        for number in first.0..first.0 + ENV_FRAMES {
            if own.frames.get(Frame(number))?.is_mapped() {
                return Err(Error::Busy);
            }
        }
        let handles = self.my_handles();
        let handle = handles.vacant()?;
        let id = own.create_env(self.kernel, self.machine, Some(self.me()), first)?;
        handles.set(handle, env_claim(id, Rights::ALL));
        self.record((kind::LIFE, id.index, 0, &[]));
        values([handle.0, id.index as u64, 0, 0])
    }

    /// Ends an environment, if it is there and is not the first.
    pub fn end_env(&self, id: EnvId) {
        if self.kernel.end_env(self.machine, id) {
            self.record((kind::LIFE, id.index, 1, &[]));
        }
    }

    /// `env_destroy`.
    pub fn env_destroy(&mut self, handle: Handle) -> Result<Done, Error> {
        let Some(_own) = self.kernel.ownership.try_lock() else { return retry() };
        let id = self.env_behind(handle, Rights::DESTROY)?;
        if id.index == FIRST {
            return Err(Error::BadArgument);
        }
        self.end_env(id);
        self.core.attend = true; // the caller may have ended itself or an ancestor
        nothing()
    }

    /// `env_reclaim`: one bounded step.
    pub fn env_reclaim(&mut self, handle: Handle) -> Result<Done, Error> {
        let kernel = self.kernel;
        let Some(mut own) = kernel.ownership.try_lock() else { return retry() };
        let id = self.env_behind_any(handle, Rights::DESTROY)?;
        if kernel.is_alive(id) || id == self.me() {
            return Err(Error::Busy);
        }
        let dead = own.deepest_child(kernel, self.machine, id);
        self.end_env(dead);
        if !self.leave_all_calls(&own, dead) || !self.close(dead) {
            return Err(Error::Again);
        }
        let receiver = self.me().index;
        own.take_slots(kernel, self.machine, dead, receiver);
        if !own.take_frames(kernel, self.machine, dead, receiver) || dead != id {
            return Err(Error::Again);
        }
        self.my_handles().clear(handle)?;
        nothing()
    }

    /// Takes a dying environment out of everybody's calls, an activation at a time. True when that is done.
    ///
    /// A core may be on its way into or back to an activation, by a fast path that looked before the environment's end.
    /// So this begins when every core has looked at its chain since, after which nobody of it runs anywhere, and ends when
    /// every core has done so again since the last activation was taken out: then the state words may change.
    fn leave_all_calls(&mut self, own: &Ownership, dead: EnvId) -> bool {
        let env = self.kernel.env(self.machine, dead.index);
        if env.transfers.load(Relaxed) == 0 {
            return true;
        }
        let step = env.step.load(Relaxed);
        let done = MAX_ACTIVATIONS as u32;
        if (step == 0 || step == done) && !self.step_is_over(dead.index) {
            return false;
        }
        if step >= done {
            env.step.store(done + 1, Relaxed);
            return true;
        }
        let was_made = self.activation(dead, step as u8).page.load(Relaxed) != 0;
        if !was_made || self.leave_calls(own, (dead.index, step as u8)) {
            env.step.store(step + 1, Relaxed);
            if step + 1 == done {
                self.kernel.begin_step(self.machine, dead.index);
            }
        }
        false
    }

    /// Whether every core has looked at its chain since a step began, from the beginning of the look to its end.
    fn step_is_over(&mut self, dead: u16) -> bool {
        let cores = self.kernel.public.cores.load(Relaxed) as usize;
        let (machine, kernel) = (self.machine, self.kernel);
        let before = &kernel.env(machine, dead).looks;
        (0..cores).fold(true, |over, core| {
            let looked = has_looked(&kernel.looks[core], before[core].load(Relaxed));
            if !looked {
                self.look_again(core as u8);
            }
            over && looked
        })
    }

    /// Makes every activation of a dying environment unclaimable. False while one still runs.
    fn close(&self, dead: EnvId) -> bool {
        (0..MAX_ACTIVATIONS as u8).all(|activation| {
            let Some(state) = self.kernel.state(dead.index, activation) else {
                // It serves a call, and runs nowhere, as that was broken off.
                let generation = dead.generation;
                let absent = State { tag: Tag::Absent, core: State::NO_CORE, generation };
                self.kernel.set_state(dead.index, activation, absent);
                return true;
            };
            match state.tag {
                Tag::Absent => true,
                Tag::Running => {
                    self.machine.kick(CpuId(state.core as usize));
                    false
                }
                _ => {
                    let absent = State { tag: Tag::Absent, ..state };
                    let closed = self.kernel.change(dead.index, activation, state, absent);
                    if closed && state.tag == Tag::Waiting && state.core != State::NO_CORE {
                        self.machine.kick(CpuId(state.core as usize));
                    }
                    closed
                }
            }
        })
    }
}

impl Ownership {
    /// The environment itself if it has no children, otherwise a descendant that has none.
    fn deepest_child<M: Machine>(&self, kernel: &Kernel, machine: &M, id: EnvId) -> EnvId {
        let mut deepest = id;
        while kernel.env(machine, deepest.index).children.load(Relaxed) != 0 {
            let is_child = |&index: &u16| {
                kernel.env_id(index).is_some()
                    && EnvId::from_bits(kernel.env(machine, index).parent.load(Relaxed)) == deepest
                    && index != FIRST
            };
            let Some(child) = (0..MAX_ENVS as u16).find(is_child) else { break };
            let Some(child) = kernel.env_id(child) else { break };
            deepest = child;
        }
        deepest
    }

    /// Takes back up to `RECLAIM_BATCH` frames of a dead environment, the newest first, its own state last. True when it is
    /// wholly gone.
    fn take_frames<M: Machine>(&mut self, kernel: &Kernel, machine: &M, dead: EnvId, receiver: u16) -> bool {
        for _ in 0..RECLAIM_BATCH {
            if self.frames.count(dead.index) as u64 <= ENV_FRAMES {
                self.finish(kernel, machine, dead, receiver);
                return true;
            }
            let Some(frame) = self.frames.newest(dead.index) else { return true };
            self.free_frame(kernel, machine, dead.index, frame);
            self.frames.renew(frame);
            self.frames.transfer(frame, receiver, Role::Plain);
        }
        false
    }

    /// Unbinds a dead environment's frame from everything: from wherever it is mapped, and a table from its parent and from
    /// what it maps.
    fn free_frame<M: Machine>(&mut self, kernel: &Kernel, machine: &M, dead: u16, frame: Frame) {
        self.break_mappings(kernel, machine, frame, None);
        let Ok(&entry) = self.frames.get(frame) else { return };
        let level = match entry.role {
            Role::Directory => 2,
            Role::Table => 3,
            _ => return,
        };
        let Some((_, base)) = entry.mappings[0].covered() else { return };
        let above = paging::table_at(machine, kernel.space(machine, dead).root, base, level - 1);
        if let Some(above) = above {
            machine.table(above).set(paging::index(base, level - 1), Descriptor::NONE);
            machine.forget_space(asid(dead));
        }
        for at in 0..if level == 3 { 512 } else { 0 } {
            let page = machine.table(frame).get(at);
            if page.is_valid() {
                self.frames.strike(page.frame(), Mapping::new(dead, base + at as u64 * PAGE_SIZE));
            }
        }
        self.frames.strike(frame, entry.mappings[0]);
    }

    /// Ends the index's life and returns the last frames.
    fn finish<M: Machine>(&mut self, kernel: &Kernel, machine: &M, dead: EnvId, receiver: u16) {
        let parent = EnvId::from_bits(kernel.env(machine, dead.index).parent.load(Relaxed));
        if kernel.env_id(parent.index) == Some(parent) {
            kernel.env(machine, parent.index).children.fetch_sub(1, Relaxed);
        }
        kernel.public.env_state[dead.index as usize].store(env_state::FREE, SeqCst);
        let slot = &kernel.envs[dead.index as usize];
        slot.generation.store(dead.generation.wrapping_add(1) & GENERATION_MASK, SeqCst);
        slot.frame.store(0, SeqCst);
        self.disk.forget_owner(dead);
        machine.forget_space(asid(dead.index));
        kernel.fold_ledgers(dead.index);
        kernel.public.env_faults[dead.index as usize].store(0, Relaxed);
        kernel.public.env_excess[dead.index as usize].store(0, Relaxed);
        while let Some(frame) = self.frames.newest(dead.index) {
            self.frames.renew(frame);
            self.frames.transfer(frame, receiver, Role::Plain);
        }
    }
}
