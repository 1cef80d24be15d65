//! Starting the other cores, and the moment from which all run.

use crate::start;
use aarch64_cpu::registers::{CNTFRQ_EL0, CNTVCT_EL0, Readable};
use core::arch::asm;
use core::sync::atomic::{AtomicUsize, Ordering};
use tranche_boards::tree::{Core, Start, Tree};
use tranche_kernel::arch::aarch64::{cpu, gic, mmu, power, trap};
use tranche_kernel::machine::CpuId;

/// How long a core may take to report in.
const PATIENCE_MS: u64 = 1000;

/// Cores that are up.
static UP: AtomicUsize = AtomicUsize::new(1);
/// Cores that run from now on, since the first environment is ready; 0 until then. One that comes late is not among them.
static GO: AtomicUsize = AtomicUsize::new(0);

/// Starts every core that the tree has, one after another, up to the first that fails, so that the numbers of those that
/// run are dense. Returns how many run.
pub fn start_all(tree: &Tree<'_>, psci: Option<power::Conduit>) -> usize {
    cpu::AFFINITIES[0].store(cpu::affinity(), Ordering::Relaxed);
    if tree.core_count > tree.cores().len() {
        log::warn!("{} cores, of which the first {} are used", tree.core_count, tree.cores().len());
    }
    for core in tree.cores().iter().filter(|core| core.affinity != cpu::affinity()) {
        let number = UP.load(Ordering::Acquire);
        cpu::AFFINITIES[number].store(core.affinity, Ordering::Release);
        if let Err(why) = start_one(core, psci) {
            log::error!("core with affinity {:#x}: {why}; no more cores are started", core.affinity);
            break; // It may still come, late, and then it needs its number and its stack for itself.
        }
    }
    UP.load(Ordering::Acquire)
}

/// Lets the `cores` that are up go; does not return. Called by core 0 last.
pub fn go(cores: usize) -> ! {
    GO.store(cores, Ordering::Release);
    // SAFETY: makes the store visible, then wakes the cores that wait for it.
    unsafe { asm!("dsb ishst", "sev", options(nostack, preserves_flags)) };
    trap::start()
}

fn start_one(core: &Core, psci: Option<power::Conduit>) -> Result<(), &'static str> {
    let before = UP.load(Ordering::Acquire);
    match (core.start, psci) {
        (Start::Psci, Some(conduit)) => {
            power::start_core(conduit, core.affinity, start::secondary_entry(), 0)
                .map_err(|_| "the firmware refused")?
        }
        (Start::SpinTable(at), _) => release(at),
        _ => return Err("its enable-method is not known"),
    }
    let deadline = CNTVCT_EL0.get() + CNTFRQ_EL0.get() * PATIENCE_MS / 1000;
    while UP.load(Ordering::Acquire) == before {
        if CNTVCT_EL0.get() > deadline {
            return Err("it did not report in");
        }
    }
    Ok(())
}

/// Writes the entry point to a spin table. The core there reads with its caches off.
fn release(at: u64) {
    let word = mmu::direct(at).cast::<u64>();
    // SAFETY: the device tree names the word as this core's release address; it is memory, which is mapped directly.
    unsafe {
        word.write_volatile(start::secondary_entry());
        asm!("dsb sy", "dc civac, {}", "dsb sy", "sev", in(reg) word, options(nostack, preserves_flags));
    }
}

/// Another core's first Rust, with its number, and the exception level at which it came.
pub extern "C" fn secondary(number: u64, entry_level: u64) -> ! {
    let cpu = CpuId(number as usize);
    cpu::prepare(cpu, entry_level);
    mmu::leave();
    gic::begin_core(cpu);
    log::info!("up, affinity {:#x}", cpu::affinity());
    UP.fetch_add(1, Ordering::Release);
    while GO.load(Ordering::Acquire) <= cpu.0 {
        // SAFETY: waits; an event since the look above ends it at once.
        unsafe { asm!("wfe", options(nostack, preserves_flags)) };
    }
    trap::start()
}
