//! What a switch needs of an activation, in one cache line: its state word, address space, page and gates.
//!
//! Not here: what the states mean ([`crate::activation`]). Blocks are static and never serve anything else, so that a
//! core may look at one whose environment is just going. The fast paths in `arch` know them by address; their fields'
//! order is part of what those are written for.
#![forbid(unsafe_code)]

use crate::activation::{State, Tag};
use crate::environment::EnvId;
use crate::kernel::Kernel;
use crate::machine::Machine;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed, Ordering::SeqCst};
use tranche_abi::layout::{MAX_ACTIVATIONS, MAX_ENVS};
use tranche_abi::{Frame, Identity};

/// One activation's block.
#[repr(C, align(64))]
pub struct Block {
    /// A [`State`], or, while the activation serves a call, the address of its caller's block: see [`Word`].
    pub state: AtomicU64,
    /// The state word with which it waits for a call.
    pub idle: AtomicU64,
    /// Its address space: a [`Space`](crate::machine::Space)'s bits.
    pub space: AtomicU64,
    /// Where the kernel sees its page.
    pub page: AtomicU64,
    /// Where the kernel sees its environment's gates.
    pub gates: AtomicU64,
    /// Who it is, for whom it calls.
    pub identity: AtomicU64,
    /// While it is in a call and not on a chain: the address of the block of whoever runs in its place; 0 for itself.
    pub body: AtomicU64,
    /// Where its context is: a [`Saved`](crate::activation::Saved).
    pub saved: AtomicU32,
    /// Frame of its page; 0 once its environment was destroyed.
    pub frame: AtomicU32,
}

const _: () = assert!(size_of::<Block>() == 64, "a cache line");

/// The blocks of all activations of all environments.
pub type Blocks = [[Block; MAX_ACTIVATIONS]; MAX_ENVS];

/// A block's address as the kernel sees it. On the machines that it runs on, bit 63 of each is set, as of all the
/// kernel's addresses; elsewhere it is set here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockAddress(pub u64);

/// Tells a block's address from other contents of a state word.
pub const ADDRESS: u64 = 1 << 63;
/// In a state word, with an address: a callee between this one and that caller is no more, so returning is not simple.
pub const DETOUR: u64 = 1;

impl Block {
    /// Of an activation that never was.
    pub const fn vacant() -> Self {
        Self {
            state: AtomicU64::new(0),
            idle: AtomicU64::new(0),
            space: AtomicU64::new(0),
            page: AtomicU64::new(0),
            gates: AtomicU64::new(0),
            identity: AtomicU64::new(0),
            body: AtomicU64::new(0),
            saved: AtomicU32::new(0),
            frame: AtomicU32::new(0),
        }
    }
}

impl Block {
    /// Which life of its environment it belongs to.
    #[inline(always)]
    pub fn generation(&self) -> u32 {
        State::from_bits(self.idle.load(Relaxed)).generation
    }

    /// The state word of its activation when that can run.
    #[inline(always)]
    pub fn ready_word(&self) -> u64 {
        State { tag: Tag::Ready, core: State::NO_CORE, generation: self.generation() }.to_bits()
    }
}

impl BlockAddress {
    /// Nobody's.
    pub const NONE: Self = Self(0);

    /// A block's.
    #[inline(always)]
    pub fn of(block: &Block) -> Self {
        Self(core::ptr::from_ref(block).addr() as u64 | ADDRESS)
    }
}

/// What a state word holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Word {
    /// A state.
    State(State),
    /// It serves a call of the activation of this block.
    Serving {
        /// The caller.
        caller: BlockAddress,
        /// Whether the callee that was in between is no more.
        detour: bool,
    },
}

impl Word {
    /// A word taken apart.
    pub fn from_bits(bits: u64) -> Self {
        if bits & ADDRESS == 0 {
            Self::State(State::from_bits(bits))
        } else {
            Self::Serving { caller: BlockAddress(bits & !DETOUR), detour: bits & DETOUR != 0 }
        }
    }
}

/// An activation that runs, or would, if its chain did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Body {
    /// Its block.
    pub block: BlockAddress,
    /// Who it is: what its block says.
    pub who: Identity,
    /// The frame of its page.
    pub page: Frame,
}

impl Body {
    /// Nobody.
    pub const NONE: Self = Self { block: BlockAddress::NONE, who: Identity(0), page: Frame(0) };

    /// Its environment.
    pub const fn env(&self) -> EnvId {
        EnvId { index: (self.who.0 >> 16) as u16, generation: (self.who.0 >> 32) as u32 }
    }

    /// Which of the environment's activations.
    pub const fn activation(&self) -> u8 {
        self.who.0 as u8
    }
}

/// Who an activation is.
pub const fn identity(env: EnvId, activation: u8) -> Identity {
    Identity(activation as u64 | (env.index as u64) << 16 | (env.generation as u64) << 32)
}

impl Kernel {
    /// The block of an activation.
    pub fn block(&self, env: u16, activation: u8) -> &Block {
        &self.blocks[env as usize][activation as usize]
    }

    /// A block's address.
    pub fn block_address(&self, env: u16, activation: u8) -> BlockAddress {
        BlockAddress::of(self.block(env, activation))
    }

    /// The environment index and activation whose block is at an address, which was some block's.
    pub fn block_at(&self, address: BlockAddress) -> (u16, u8) {
        let base = self.block_address(0, 0).0;
        let number = (address.0.wrapping_sub(base) / size_of::<Block>() as u64) as usize;
        ((number / MAX_ACTIVATIONS % MAX_ENVS) as u16, (number % MAX_ACTIVATIONS) as u8)
    }

    /// The activation of a block that is in use and cannot go meanwhile.
    pub fn body_at<M: Machine>(&self, machine: &M, address: BlockAddress) -> Body {
        let (index, activation) = self.block_at(address);
        let who = Identity(self.block(index, activation).identity.load(Relaxed));
        let page = &self.env(machine, index).activations[activation as usize].page;
        let page = Frame(page.load(Relaxed) as u64);
        Body { block: address, who, page }
    }

    /// Fills the block of a new activation, which is not started.
    pub fn begin_block<M: Machine>(&self, machine: &M, id: EnvId, activation: u8, page: Frame) {
        let block = self.block(id.index, activation);
        let env = self.env(machine, id.index);
        let state = |tag| State { tag, core: State::NO_CORE, generation: id.generation };
        let gates = machine.handles(crate::activation::stored_frame(&env.handles)).gates();
        block.idle.store(state(Tag::Idle).to_bits(), Relaxed);
        block.space.store(self.space(machine, id.index).bits(), Relaxed);
        block.page.store(core::ptr::from_ref(machine.page(page)).addr() as u64, Relaxed);
        block.frame.store(page.0 as u32, Relaxed);
        block.gates.store(core::ptr::from_ref(gates).addr() as u64, Relaxed);
        block.identity.store(identity(id, activation).0, Relaxed);
        block.body.store(0, Relaxed);
        block.state.store(state(Tag::Stopped).to_bits(), SeqCst);
    }

    /// Makes whoever enters or comes back to an activation by a fast path find nothing there, and so the kernel.
    pub fn bury_block<M: Machine>(&self, machine: &M, env: u16, activation: u8) {
        let block = self.block(env, activation);
        let [space, page] = machine.nowhere();
        block.space.store(space, SeqCst);
        block.page.store(page, SeqCst);
    }
}
