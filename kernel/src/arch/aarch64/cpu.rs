//! Per-core state: which core this is, its stacks, and the system registers that are set once.
//!
//! A core finds its state through `TPIDR_EL1`. Its stack block, from low to high addresses: a guard page, the emergency
//! stack on which a fault of the kernel itself is reported, a guard page, the stack. While EL0 runs, `SP_EL1` does not point
//! there but to the page of whoever runs (see [`super::trap`]).

use super::{KERNEL, PUBLIC, gic};
use crate::block::BlockAddress;
use crate::machine::CpuId;
use crate::slice::Core as Time;
use aarch64_cpu::registers::{
    CNTKCTL_EL1, CNTV_CTL_EL0, CNTV_CVAL_EL0, CPACR_EL1, ID_AA64DFR0_EL1, MIDR_EL1, MPIDR_EL1, Readable,
    TPIDR_EL1, VBAR_EL1, Writeable,
};
use core::arch::asm;
use core::cell::UnsafeCell;
use core::ops::Range;
use core::ptr;
use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicU64, Ordering};
use tranche_abi::Tick;
use tranche_abi::layout::{MAX_CORES, PAGE_SIZE};
use tranche_abi::page::Registers;

/// Bytes of the stack that a fault of the kernel is reported on.
const EMERGENCY_STACK: u64 = 2 * PAGE_SIZE;
/// Bytes of a core's stack.
const STACK: u64 = 8 * PAGE_SIZE;
/// From the beginning of one core's stack block to the next one's.
pub const STACK_BLOCK: u64 = PAGE_SIZE + EMERGENCY_STACK + PAGE_SIZE + STACK;
/// The part of `MPIDR_EL1` that names a core.
pub const AFFINITY_MASK: u64 = 0xff_00ff_ffff;
/// What no core's affinity is.
pub const NO_AFFINITY: u64 = u64::MAX;

/// What the interrupt controller calls a core that it was not set up for.
pub(super) const NOT_STARTED: u64 = u64::MAX;

/// One core's state.
#[repr(C)]
pub struct Core {
    /// The kernel's registers at its own fault. Only this core's fault vector and what runs after it touch it.
    pub(super) fault: UnsafeCell<Registers>,
    /// Top of the emergency stack; read by the fault vector.
    pub(super) emergency: AtomicU64,
    /// Top of the stack; read at every trap.
    pub(super) stack: AtomicU64,
    /// Its number.
    number: AtomicU64,
    /// Address of the block of whoever runs. Changed here and by the fast paths of protected control transfer.
    pub(super) current: AtomicU64,
    /// `x0` of a reply, while the fast path of `pct_return` has no register for it.
    pub(super) reply: AtomicU64,
    /// Its time: the kernel's element for this core. Set once.
    time: AtomicPtr<Time>,
    /// Where a version 2 interrupt controller's CPU interface is; 0 for another version.
    pub(super) interface: AtomicU64,
    /// The interrupt that was taken last and is not the timer's; otherwise that one's number.
    pub(super) other_interrupt: AtomicU32,
    /// How the interrupt controller names the core: an interface bit (version 2) or an affinity (version 3).
    pub(super) irq_target: AtomicU64,
    /// The core is dying, and must not try again to say so.
    pub(super) panicking: AtomicBool,
}

// SAFETY: `fault` is only accessed by the core that it belongs to, with interrupts masked; the rest is atomic.
unsafe impl Sync for Core {}

impl Core {
    const fn new() -> Self {
        Self {
            fault: UnsafeCell::new(Registers::ZERO),
            emergency: AtomicU64::new(0),
            stack: AtomicU64::new(0),
            number: AtomicU64::new(0),
            current: AtomicU64::new(0),
            reply: AtomicU64::new(0),
            time: AtomicPtr::new(ptr::null_mut()),
            interface: AtomicU64::new(0),
            other_interrupt: AtomicU32::new(gic::TIMER_NUMBER),
            irq_target: AtomicU64::new(NOT_STARTED),
            panicking: AtomicBool::new(false),
        }
    }

    /// Its number.
    pub(super) fn number(&self) -> CpuId {
        CpuId(self.number.load(Ordering::Relaxed) as usize)
    }

    /// Its time, which this core alone uses, one reference at a time.
    #[inline(always)]
    pub(super) fn time(&self) -> *mut Time {
        self.time.load(Ordering::Relaxed)
    }

    /// Who runs.
    #[inline(always)]
    pub(super) fn current(&self) -> BlockAddress {
        BlockAddress(self.current.load(Ordering::Relaxed))
    }

    /// Notes who runs from now on.
    #[inline(always)]
    pub(super) fn set_current(&self, block: BlockAddress) {
        self.current.store(block.0, Ordering::Relaxed);
    }
}

/// Every core's state.
pub(super) static CORES: [Core; MAX_CORES] = [const { Core::new() }; MAX_CORES];

/// Affinities of the cores that may run, by core number. The boot code of a secondary core finds its number here.
pub static AFFINITIES: [AtomicU64; MAX_CORES] = [const { AtomicU64::new(NO_AFFINITY) }; MAX_CORES];

unsafe extern "C" {
    /// First byte of the stack blocks; from the linker script.
    static stacks: u8;
    /// The exception vectors, in [`super::trap`].
    static vectors: u8;
}

/// This core's affinity.
pub fn affinity() -> u64 {
    MPIDR_EL1.get() & AFFINITY_MASK
}

/// This core's state.
pub(super) fn core() -> &'static Core {
    &CORES[this().0]
}

/// This core's number.
pub fn this() -> CpuId {
    number(TPIDR_EL1.get())
}

/// The number of the core with this address of its state.
fn number(address: u64) -> CpuId {
    let offset = address.wrapping_sub(CORES.as_ptr() as u64);
    CpuId((offset as usize / size_of::<Core>()).min(MAX_CORES - 1))
}

/// The addresses of a core's stack block.
pub fn stack_block(cpu: CpuId) -> Range<u64> {
    let begin = (&raw const stacks) as u64 + cpu.0 as u64 * STACK_BLOCK;
    begin..begin + STACK_BLOCK
}

/// The first addresses of the two pages of a core's stack block that must not be mapped.
pub fn guards(cpu: CpuId) -> [u64; 2] {
    let begin = stack_block(cpu).start;
    [begin, begin + PAGE_SIZE + EMERGENCY_STACK]
}

#[repr(C, align(4096))]
struct NobodysPage([AtomicU64; PAGE_SIZE as usize / 8]);

/// A page of nobody's, in which no address is set.
static NOBODYS: NobodysPage = NobodysPage([const { AtomicU64::new(0) }; PAGE_SIZE as usize / 8]);

/// Where the kernel sees the page for those who are entered after their end. Several cores may save registers there at
/// once; nobody goes on with them.
pub(super) fn nobodys_page() -> u64 {
    NOBODYS.0.as_ptr() as u64
}

/// Sets this core's system registers, once, before anything else runs on it: vectors, its state, what EL0 may see of
/// the timer and the performance counters. It was handed over at this exception level.
pub fn prepare(cpu: CpuId, entry_level: u64) {
    let core = &CORES[cpu.0];
    core.emergency.store(guards(cpu)[1], Ordering::Relaxed);
    core.stack.store(stack_block(cpu).end, Ordering::Relaxed);
    core.number.store(cpu.0 as u64, Ordering::Relaxed);
    core.time.store(KERNEL.cores[cpu.0].as_mut_ptr(), Ordering::Relaxed);
    TPIDR_EL1.set(core as *const Core as u64);
    VBAR_EL1.set((&raw const vectors) as u64);
    // EL0 reads the virtual counter and nothing else of the timers.
    CNTKCTL_EL1.write(CNTKCTL_EL1::EL0VCTEN::SET);
    // FP/SIMD is the kernel's to save and load; EL0's use traps until it is given.
    CPACR_EL1.write(CPACR_EL1::FPEN::TrapEl0);
    // The timer is on from here on, and silent where it is set to a time that never comes.
    CNTV_CVAL_EL0.set(Tick::NEVER.0);
    CNTV_CTL_EL0.write(CNTV_CTL_EL0::ENABLE::SET);
    prepare_counters();
    // SAFETY: a barrier; makes the above take effect before what follows.
    unsafe { asm!("isb", options(nostack, preserves_flags)) };
    publish_identity(cpu, entry_level);
}

/// Lets everybody read what this core says of itself.
fn publish_identity(cpu: CpuId, entry_level: u64) {
    let Some(shown) = PUBLIC.identity.get(cpu.0) else { return };
    let (levels, features): (u64, u64);
    // SAFETY: reads identification registers. MMFR2 by its encoding, of which every core knows at least that it is reserved and zero.
    unsafe {
        asm!("mrs {}, clidr_el1", "mrs {}, S3_0_C0_C7_2", out(reg) levels, out(reg) features,
            options(nomem, nostack, preserves_flags));
    }
    shown.midr.store(MIDR_EL1.get(), Ordering::Relaxed);
    shown.entry_level.store(entry_level, Ordering::Relaxed);
    shown.cache_form.store(features >> 20 & 0xf, Ordering::Relaxed);
    // CLIDR_EL1.Ctype<n>: 1 instructions, 2 data, 3 both apart, 4 one for both.
    let [first, second] = [levels & 7, levels >> 3 & 7];
    let caches = [(matches!(first, 1 | 3), 1), (first >= 2, 0), (second >= 2, 1 << 1)];
    for (field, (is_there, selection)) in shown.caches.iter().zip(caches) {
        field.store(if is_there { cache(selection) } else { 0 }, Ordering::Relaxed);
    }
}

/// `CCSIDR_EL1` of the cache with this `CSSELR_EL1`.
fn cache(selection: u64) -> u64 {
    let size;
    // SAFETY: selects which cache the second register describes; nothing else reads either.
    unsafe {
        asm!("msr csselr_el1, {}", "isb", "mrs {}, ccsidr_el1", in(reg) selection, out(reg) size,
            options(nomem, nostack, preserves_flags));
    }
    size
}

/// Lets the cycle counter and, in event counter 0, retired instructions run, readable but not writable at EL0.
fn prepare_counters() {
    const INST_RETIRED: u64 = 8; // Arm ARM D11.11, common event 0x08
    let version = ID_AA64DFR0_EL1.get() >> 8 & 0xf;
    if version == 0 || version == 0xf {
        return; // None, or one that is not Arm's.
    }
    // SAFETY: the unit is there; these registers only configure counting and EL0's read access (PMUSERENR.{ER, CR}).
    unsafe {
        asm!(
            "msr pmcr_el0, {control}", // E, P, C, LC: enable, reset both kinds, 64-bit cycles
            "msr pmevtyper0_el0, {event}",
            "msr pmccfiltr_el0, xzr",
            "msr pmintenclr_el1, {all}",
            "msr pmcntenset_el0, {counters}",
            "msr pmuserenr_el0, {readable}",
            control = in(reg) 0b100_0111_u64,
            event = in(reg) INST_RETIRED,
            all = in(reg) 0xffff_ffff_u64,
            counters = in(reg) 1_u64 << 31 | 1,
            readable = in(reg) 0b1100_u64,
            options(nostack, preserves_flags),
        );
    }
}
