//! The `Machine` that portable code sees, on real hardware.

use super::{console, cpu, disk, gic, mailbox, mmu, power};
use crate::disk::Request;
use crate::environment::Env;
use crate::handles::Handles;
use crate::machine::{Answer, CpuId, Machine};
use crate::paging::Table;
use aarch64_cpu::registers::{CNTV_CVAL_EL0, CNTVCT_EL0, CPACR_EL1, Readable, Writeable};
use core::arch::{asm, global_asm};
use core::fmt;
use core::mem::offset_of;
use tranche_abi::layout::PAGE_SIZE;
use tranche_abi::page::{ActivationPage, FpArea};
use tranche_abi::{Frame, Progress, Tick};

/// The machine, seen from whichever core asks. All state is in the hardware and in this module's neighbours.
#[derive(Clone, Copy, Debug)]
pub struct Hardware;

/// Pages up to which their translations are dropped one by one: each costs a broadcast, and dropping all of an address
/// space's costs that space a walk for each page that it goes on to use.
const FORGET_ONE_BY_ONE: u64 = 16;

/// Where a frame is in the kernel's address space.
fn address(frame: Frame) -> *mut u8 {
    mmu::direct(frame.0 * PAGE_SIZE)
}

/// A frame as a structure of atomics, which fits in it.
fn shared<T>(frame: Frame) -> &'static T {
    const { assert!(size_of::<T>() <= PAGE_SIZE as usize && align_of::<T>() <= PAGE_SIZE as usize) };
    // SAFETY: portable code names only frames out of its frame table, all of which are memory in the direct map that
    // stays mapped; the types of the trait consist of atomics, for which every content is valid.
    unsafe { &*address(frame).cast() }
}

impl Machine for Hardware {
    fn now(&self) -> Tick {
        // SAFETY: a barrier; the counter is not read before what was done until now.
        unsafe { asm!("isb", options(nostack, preserves_flags)) };
        Tick(CNTVCT_EL0.get())
    }

    fn set_timer(&self, at: Tick) {
        // A time that has passed fires at once: the condition is counter >= compare value. The timer is always on, and
        // going to EL0 or to sleep comes with a barrier.
        CNTV_CVAL_EL0.set(at.0);
    }

    fn kick(&self, cpu: CpuId) {
        gic::kick(cpu);
    }

    fn frame_at(&self, address: u64) -> Frame {
        mmu::frame_at(address)
    }

    fn page(&self, frame: Frame) -> &ActivationPage {
        shared(frame)
    }

    fn env(&self, frame: Frame) -> &Env {
        shared(frame)
    }

    fn handles(&self, frame: Frame) -> &Handles {
        shared(frame)
    }

    fn table(&self, frame: Frame) -> &Table {
        shared(frame)
    }

    fn nowhere(&self) -> [u64; 2] {
        [mmu::nothing(), cpu::nobodys_page()]
    }

    fn zero(&self, frame: Frame) {
        // SAFETY: as in `shared`; the kernel zeroes a frame only while nobody has a reference to what it was.
        unsafe { address(frame).write_bytes(0, PAGE_SIZE as usize) };
    }

    fn copy(&self, from: Frame, to: Frame) {
        // SAFETY: as in `shared`; the kernel copies only between two frames that it has no references into.
        unsafe { address(to).copy_from_nonoverlapping(address(from), PAGE_SIZE as usize) };
    }

    fn forget_pages(&self, asid: u16, address: u64, count: u64) {
        if count > FORGET_ONE_BY_ONE {
            return self.forget_space(asid);
        }
        // SAFETY: a barrier: the changed table becomes visible.
        unsafe { asm!("dsb ishst", options(nostack, preserves_flags)) };
        let first = u64::from(asid) << 48 | address >> 12 & 0xfff_ffff_ffff;
        for page in first..first + count {
            // SAFETY: drops a cached translation, which is always allowed.
            unsafe { asm!("tlbi vae1is, {}", in(reg) page, options(nostack, preserves_flags)) };
        }
        // SAFETY: a barrier: waits for every core. Going to EL0 synchronises what this one has fetched.
        unsafe { asm!("dsb ish", options(nostack, preserves_flags)) };
    }

    fn forget_space(&self, asid: u16) {
        // SAFETY: as in `forget_pages`.
        unsafe {
            asm!("dsb ishst", "tlbi aside1is, {}", "dsb ish", in(reg) u64::from(asid) << 48,
                options(nostack, preserves_flags));
        }
    }

    fn sync_code(&self, frame: Frame) {
        const LINE: u64 = 16; // The smallest that CTR_EL0 can express is 4 words; a larger line is only done repeatedly.
        let begin = address(frame) as u64;
        for line in (begin..begin + PAGE_SIZE).step_by(LINE as usize) {
            // SAFETY: cleans a line of mapped memory, which changes no content.
            unsafe { asm!("dc cvau, {}", in(reg) line, options(nostack, preserves_flags)) };
        }
        // SAFETY: drops cached instructions of all cores; another core's next entry to EL0 synchronises its fetches.
        unsafe { asm!("dsb ish", "ic ialluis", "dsb ish", "isb", options(nostack, preserves_flags)) };
    }

    fn save_fp(&self, area: &FpArea) {
        // SAFETY: the area holds what is stored and consists of atomics.
        unsafe { fp_save(area) };
        CPACR_EL1.write(CPACR_EL1::FPEN::TrapEl0);
    }

    fn load_fp(&self, area: &FpArea) {
        // SAFETY: the area is readable; the kernel itself has nothing in these registers.
        unsafe { fp_load(area) };
    }

    fn disk_begin(&self, request: Request) {
        disk::begin_transfer(request);
    }

    fn disk_step(&self, frame: Frame) -> Progress {
        disk::step(shared(frame))
    }

    fn console(&self, bytes: &[u8]) -> usize {
        console::write_some(bytes)
    }

    fn state(&self) -> Answer {
        mailbox::state(self.now())
    }

    fn power_off(&self, code: u64) {
        power::off(code);
    }

    fn log(&self, line: fmt::Arguments<'_>) {
        log::info!("{line}");
    }
}

unsafe extern "C" {
    fn fp_save(area: *const FpArea);
    fn fp_load(area: *const FpArea);
}

const _: () =
    assert!(offset_of!(FpArea, fpsr) == offset_of!(FpArea, fpcr) + 8, "fpcr and fpsr move as a pair");

global_asm!(
    r#"
    .arch_extension fp
    .arch_extension simd
    .macro fp_registers move
        \move q0, q1, [x1], #32
        \move q2, q3, [x1], #32
        \move q4, q5, [x1], #32
        \move q6, q7, [x1], #32
        \move q8, q9, [x1], #32
        \move q10, q11, [x1], #32
        \move q12, q13, [x1], #32
        \move q14, q15, [x1], #32
        \move q16, q17, [x1], #32
        \move q18, q19, [x1], #32
        \move q20, q21, [x1], #32
        \move q22, q23, [x1], #32
        \move q24, q25, [x1], #32
        \move q26, q27, [x1], #32
        \move q28, q29, [x1], #32
        \move q30, q31, [x1], #32
    .endm

    .text
fp_save:
    add x1, x0, #{V}
    fp_registers stp
    mrs x2, fpcr
    mrs x3, fpsr
    stp x2, x3, [x1, #{FPCR_AFTER}]
    ret
fp_load:
    add x1, x0, #{V}
    fp_registers ldp
    ldp x2, x3, [x1, #{FPCR_AFTER}]
    msr fpcr, x2
    msr fpsr, x3
    ret
    "#,
    V = const offset_of!(FpArea, v),
    FPCR_AFTER = const offset_of!(FpArea, fpcr) - offset_of!(FpArea, v) - 32 * 16,
);
