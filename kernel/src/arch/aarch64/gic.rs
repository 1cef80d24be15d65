//! The interrupt controller, version 2 or 3: one timer and two software interrupts per core, no device interrupts.

use super::cpu::{self, CORES};
use super::power;
use crate::machine::{Cause, CpuId};
use aarch64_cpu::registers::{CNTV_CVAL_EL0, Writeable};
use arm_gic::gicv2::{GicV2, SgiTarget as SgiTarget2, SgiTargetListFilter};
use arm_gic::gicv3::{GicCpuInterface, GicV3, SgiTarget as SgiTarget3, SgiTargetGroup};
use arm_gic::{IntId, UniqueMmioPointer};
use core::arch::asm;
use core::ptr::NonNull;
use core::sync::atomic::Ordering;
use spin::{Mutex, Once};
use tranche_abi::Tick;

/// The virtual timer's private interrupt (Arm BSA: INTID 27).
const TIMER: IntId = IntId::ppi(11);
pub(super) const TIMER_NUMBER: u32 = 27;
/// Asks a core to look again.
const KICK: IntId = IntId::sgi(KICK_NUMBER);
const KICK_NUMBER: u32 = 0;
/// Asks a core to stop for ever.
const STOP: IntId = IntId::sgi(STOP_NUMBER);
const STOP_NUMBER: u32 = 1;

/// Where the controller's registers are, in the kernel's address space.
#[derive(Clone, Copy, Debug)]
pub enum Registers {
    /// Version 2.
    V2 {
        /// The distributor.
        distributor: u64,
        /// The CPU interface, at which each core sees its own.
        interface: u64,
    },
    /// Version 3 (and 4, as one).
    V3 {
        /// The distributor.
        distributor: u64,
        /// The redistributors, one for each core of the machine.
        redistributors: u64,
        /// How many there are.
        count: usize,
    },
}

enum Controller {
    V2 { distributor: u64, interface: u64 },
    V3,
}

static CONTROLLER: Once<Controller> = Once::new();
/// Version 3's memory-mapped part, which is only used while cores start.
static BOOT: Mutex<Option<GicV3<'static>>> = Mutex::new(None);

/// Sets the controller up as a whole. Called once, by core 0, before `begin_core`.
pub fn begin(registers: Registers) {
    CONTROLLER.call_once(|| match registers {
        Registers::V2 { distributor, interface } => Controller::V2 { distributor, interface },
        Registers::V3 { distributor, redistributors, count } => {
            *BOOT.lock() = Some(version_3(distributor, redistributors, count));
            Controller::V3
        }
    });
}

fn version_3(distributor: u64, redistributors: u64, count: usize) -> GicV3<'static> {
    let distributor = NonNull::new(distributor as *mut _).expect("the distributor was mapped");
    let redistributors = NonNull::new(redistributors as *mut _).expect("the redistributors were mapped");
    // SAFETY: the boot code mapped both as device memory for this, the one driver of them, and counted the latter.
    let gic = unsafe { GicV3::new(UniqueMmioPointer::new(distributor), redistributors, count) };
    let mut gic = gic.expect("the redistributors have a layout of version 3 or 4");
    gic.setup(0);
    gic
}

/// Version 2's registers as this core sees them.
fn version_2(distributor: u64, interface: u64) -> GicV2<'static> {
    // SAFETY: mapped as device memory. The core's own instance is the only one that it uses at a time, since the kernel
    // is not interrupted. What it uses is banked per core, except the distributor's control register, which every core
    // writes with the same value, and the software-interrupt register, where one store is one request.
    unsafe { GicV2::new(distributor as *mut _, interface as *mut _) }
}

/// Lets this core receive its interrupts (they stay masked in the core).
pub fn begin_core(cpu: CpuId) {
    let target = match CONTROLLER.get() {
        Some(Controller::V2 { distributor, interface }) => {
            CORES[cpu.0].interface.store(*interface, Ordering::Relaxed);
            begin_core_2(*distributor, *interface)
        }
        Some(Controller::V3) => begin_core_3(),
        None => panic!("the interrupt controller is not set up"),
    };
    CORES[cpu.0].irq_target.store(target, Ordering::Release);
}

fn begin_core_2(distributor: u64, interface: u64) -> u64 {
    let mut gic = version_2(distributor, interface);
    gic.setup();
    // Seen from the non-secure side, bit 0 enables group 1; with one security state it enables group 0. Both are ours.
    gic.enable_group0(true);
    for interrupt in [TIMER, KICK, STOP] {
        gic.enable_interrupt(interrupt, true).expect("private interrupts can be enabled");
    }
    const TARGETS_0: u64 = 0x800; // GICD_ITARGETSR0: reads as this core's interface bit
    // SAFETY: a register of the mapped distributor, readable at any time.
    let interface = unsafe { ((distributor + TARGETS_0) as *const u32).read_volatile() } & 0xff;
    u64::from(interface)
}

fn begin_core_3() -> u64 {
    let mut boot = BOOT.lock();
    let gic = boot.as_mut().expect("set up by core 0");
    let own = (0..)
        .map_while(|i| Some((i, gic.gicr_typer(i).ok()?)))
        .find(|(_, t)| t.core_mpidr() == cpu::affinity());
    let (index, _) = own.expect("every core has a redistributor");
    gic.init_cpu(index);
    for interrupt in [TIMER, KICK, STOP] {
        gic.enable_interrupt(interrupt, Some(index), true).expect("private interrupts can be enabled");
    }
    GicCpuInterface::set_priority_mask(0xff);
    GicCpuInterface::enable_group1(true);
    cpu::affinity()
}

/// Takes the next pending interrupt off this core: whether it was the timer's, which is silent then. Of another,
/// [`other_cause`] tells.
///
/// In the path of every slice switch, so that its two accesses are here and not behind the crate's functions, which are
/// not inlined: of version 2 `GICC_IAR` and `GICC_EOIR` (IHI 0048B, 4.4), of version 3 `ICC_IAR1_EL1` and `ICC_EOIR1_EL1`.
#[inline(always)]
pub(super) fn take_timer(core: &cpu::Core) -> bool {
    const ACKNOWLEDGE: u64 = 0x0c;
    const END: u64 = 0x10;
    match core.interface.load(Ordering::Relaxed) {
        0 => {
            let number: u64;
            // SAFETY: takes the interrupt over, which is this core's to do; the barrier is for what follows from it.
            unsafe {
                asm!("mrs {}, icc_iar1_el1", "dsb sy", out(reg) number, options(nostack, preserves_flags))
            };
            silence(number as u32);
            if !is_none(number as u32) {
                // SAFETY: ends the interrupt that was taken over.
                unsafe { asm!("msr icc_eoir1_el1, {}", in(reg) number, options(nostack, preserves_flags)) };
            }
            is_timer(core, number as u32)
        }
        interface => {
            // SAFETY: the core's own registers of the mapped interface: takes the interrupt over.
            let number = unsafe { ((interface + ACKNOWLEDGE) as *const u32).read_volatile() };
            silence(number);
            if !is_none(number) {
                // SAFETY: as before: ends it.
                unsafe { ((interface + END) as *mut u32).write_volatile(number) };
            }
            is_timer(core, number)
        }
    }
}

#[inline(always)]
fn is_timer(core: &cpu::Core, number: u32) -> bool {
    let is_it = number & SENDERLESS == TIMER_NUMBER;
    if !is_it {
        core.other_interrupt.store(number & SENDERLESS, Ordering::Relaxed);
    }
    is_it
}

/// Whether a number says that nothing was pending (IHI 0048B, 3.2.4; IHI 0069, 2.2.1).
#[inline(always)]
fn is_none(number: u32) -> bool {
    number & SENDERLESS >= 1020
}

/// The timer's interrupt is a level: it would come again at once if the timer were not silenced before its end.
#[inline(always)]
fn silence(number: u32) {
    if number & SENDERLESS == TIMER_NUMBER {
        CNTV_CVAL_EL0.set(Tick::NEVER.0);
        // SAFETY: a barrier; the level is down before the interrupt is ended.
        unsafe { asm!("isb", options(nostack, preserves_flags)) };
    }
}

/// What the interrupt means that was last taken, if that was not the timer's. Whatever it was may have been withdrawn; then
/// the timer *may* have fired.
pub(super) fn other_cause(core: &cpu::Core) -> Option<Cause> {
    match core.other_interrupt.swap(TIMER_NUMBER, Ordering::Relaxed) {
        TIMER_NUMBER => None,
        KICK_NUMBER => Some(Cause::Kick),
        STOP_NUMBER => power::park(),
        _ => Some(Cause::Timer),
    }
}

/// Takes the next pending interrupt off this core, if there is one.
pub(super) fn next_cause(core: &cpu::Core) -> Option<Cause> {
    if take_timer(core) {
        return Some(Cause::Timer);
    }
    let nothing = is_none(core.other_interrupt.load(Ordering::Relaxed));
    other_cause(core).filter(|_| !nothing)
}

/// Version 2 puts a software interrupt's sender in bits 10 to 12.
const SENDERLESS: u32 = 0x3ff;

/// Makes a core report [`Cause::Kick`].
pub(super) fn kick(cpu: CpuId) {
    send(KICK, cpu);
}

/// Stops every core but this one, as soon as each takes an interrupt.
pub(super) fn stop_others() {
    let me = cpu::this();
    for (i, core) in CORES.iter().enumerate() {
        if i != me.0 && core.irq_target.load(Ordering::Acquire) != cpu::NOT_STARTED {
            send(STOP, CpuId(i));
        }
    }
}

fn send(interrupt: IntId, cpu: CpuId) {
    let target = CORES[cpu.0].irq_target.load(Ordering::Acquire);
    // SAFETY: a barrier; what this core wrote is visible before the other is told to look.
    unsafe { asm!("dsb ishst", options(nostack, preserves_flags)) };
    match CONTROLLER.get() {
        Some(Controller::V2 { distributor, interface }) => {
            let target_list_filter = SgiTargetListFilter::CPUTargetList;
            let target = SgiTarget2::List { target_list_filter, target_list: target as u16 };
            version_2(*distributor, *interface).send_sgi(interrupt, target);
        }
        Some(Controller::V3) => {
            let byte = |shift: u32| (target >> shift) as u8;
            let (affinity3, affinity2, affinity1) = (byte(32), byte(16), byte(8));
            let target_list = 1 << (byte(0) & 0xf);
            let target = SgiTarget3::List { affinity3, affinity2, affinity1, target_list };
            GicCpuInterface::send_sgi(interrupt, target, SgiTargetGroup::CurrentGroup1)
                .expect("a software interrupt");
        }
        None => {}
    }
}
