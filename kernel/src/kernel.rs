//! `handle`: every way into the kernel, one match; and what one entry into the kernel holds.
//!
//! Not here: what the events do. Locks: see the crate root.
#![forbid(unsafe_code)]

use crate::block::{Block, BlockAddress, Blocks};
use crate::capability::Mint;
use crate::disk::Disk;
use crate::environment::{EnvId, EnvSlot};
use crate::frames::Frames;
use crate::handles::Handles;
use crate::machine::{Cause, CpuId, Event, Machine, Resume};
use crate::slice::{Core, Link};
use crate::word;
use core::sync::atomic::AtomicU64;
use spin::Mutex;
use spin::mutex::SpinMutex;
use tranche_abi::layout::{MAX_ACTIVATIONS, MAX_CORES, MAX_ENVS};
use tranche_abi::public::Public;
use tranche_abi::{Frame, Tick};

/// The whole kernel's state. One static on a machine, one per test on a host.
pub struct Kernel {
    /// What everybody may read: slot vectors, ledgers, environment states. Written by the kernel alone.
    pub public: &'static Public,
    /// Each core's slice and chain. Core `i` alone takes lock `i`.
    pub(crate) cores: [SpinMutex<Core>; MAX_CORES],
    /// What a switch needs of each activation.
    pub(crate) blocks: Blocks,
    /// How often each core has checked its chain against what changed. Whoever must be sure that it did waits for two
    /// more: the next one may have begun already.
    pub(crate) looks: [AtomicU64; MAX_CORES],
    /// The environments' indices.
    pub(crate) envs: [EnvSlot; MAX_ENVS],
    /// The first frame of core 0's ring; the others' follow it.
    pub(crate) first_ring: AtomicU64,
    /// Who owns what.
    pub(crate) ownership: Mutex<Ownership>,
}

/// Guarded by the ownership lock: the frame table, the disk, and (by convention) every write to slots, handle tables, page tables,
/// managers and demands.
pub struct Ownership {
    /// The frame table.
    pub frames: Frames,
    /// Makes and checks capabilities.
    pub mint: Mint,
    /// The disk's extents, and the page that is on its way.
    pub disk: Disk,
    /// The table that maps the public region, in every environment's root.
    pub public_table: Frame,
}

/// One entry into the kernel on one core.
pub(crate) struct Entry<'a, M> {
    pub kernel: &'a Kernel,
    pub machine: &'a M,
    pub cpu: CpuId,
    pub core: &'a mut Core,
    /// When the kernel was entered.
    pub now: Tick,
}

impl Kernel {
    /// A kernel before boot.
    pub const fn new(public: &'static Public) -> Self {
        Self {
            public,
            cores: [const { SpinMutex::new(Core::NEW) }; MAX_CORES],
            blocks: [const { [const { Block::vacant() }; MAX_ACTIVATIONS] }; MAX_ENVS],
            looks: [const { AtomicU64::new(0) }; MAX_CORES],
            envs: [const { EnvSlot::new() }; MAX_ENVS],
            first_ring: AtomicU64::new(0),
            ownership: Mutex::new(Ownership {
                frames: Frames::empty(),
                mint: Mint::new([0; 2]),
                disk: Disk::none(),
                public_table: Frame(0),
            }),
        }
    }

    /// Takes one event and says what the core does next. The registers of whoever ran are in its page; what is in the page
    /// of whoever runs next is what EL0 continues with.
    pub fn handle<M: Machine>(&self, machine: &M, cpu: CpuId, event: Event) -> Resume {
        let Event { cause, current } = event;
        let mut core = self.cores[cpu.0].lock();
        let mut entry = Entry { kernel: self, machine, cpu, core: &mut core, now: machine.now() };
        entry.notice_transfers(current);
        entry.charge(entry.now);
        match cause {
            Cause::Call(immediate) => entry.call(immediate),
            Cause::Fault { esr, far } => entry.fault(esr, far),
            Cause::Kick => entry.core.attend = true,
            Cause::Timer => entry.core.armed = Tick::NEVER, // it fired; `settle` sees what is due
        }
        entry.settle(matches!(cause, Cause::Timer | Cause::Kick))
    }

    /// A core's first step, once every core is up: sleep until the common epoch, then the first slot.
    pub fn first_event<M: Machine>(&self, machine: &M, cpu: CpuId) -> Resume {
        let mut core = self.cores[cpu.0].lock();
        let mut entry = Entry { kernel: self, machine, cpu, core: &mut core, now: machine.now() };
        entry.wait_for_epoch();
        entry.settle(false)
    }
}

impl<M: Machine> Entry<'_, M> {
    /// The activation that runs on this core, the last of its chain.
    pub fn running(&self) -> Option<&Link> {
        self.core.running()
    }

    /// The environment that made the call.
    pub fn me(&self) -> EnvId {
        self.core.caller().body.env()
    }

    /// Since the last event, others may have been entered and left without the kernel's logic.
    fn notice_transfers(&mut self, current: BlockAddress) {
        if self.running().is_some_and(|link| link.body.block != current) {
            self.core.set_body(self.kernel.body_at(self.machine, current));
        }
    }

    /// The caller's handle table.
    pub fn my_handles(&self) -> &Handles {
        let env = self.kernel.env(self.machine, self.me().index);
        self.machine.handles(crate::activation::stored_frame(&env.handles))
    }

    /// Everything that is due, then the timer, then what the core does.
    fn settle(&mut self, interrupt: bool) -> Resume {
        if interrupt || self.core.attend || self.core.due() <= self.now {
            self.do_what_is_due(interrupt);
        }
        self.arm();
        self.enact()
    }

    #[inline(never)] // Most calls make nothing due.
    fn do_what_is_due(&mut self, mut interrupt: bool) {
        loop {
            if core::mem::take(&mut self.core.attend) {
                self.attend();
                word::count_look(&self.kernel.looks[self.cpu.0]);
            } else if self.core.due() <= self.now {
                self.expire();
            } else if interrupt {
                self.now = self.machine.now();
                self.charge_kernel(self.now);
                interrupt = self.core.due() <= self.now;
                if !interrupt {
                    break;
                }
            } else {
                break;
            }
        }
    }

    /// Programs the timer for what is due next, unless it is so already.
    fn arm(&mut self) {
        let due = self.core.due();
        if due != self.core.armed {
            self.core.armed = due;
            self.machine.set_timer(due);
        }
    }

    fn enact(&self) -> Resume {
        match self.running() {
            Some(link) => Resume::User { current: link.body.block, fp: self.core.fp_live },
            None => Resume::Idle,
        }
    }
}
