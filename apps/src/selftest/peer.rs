//! What a peer of the self-test does, as it is told in its start page.

use super::registers::{self, Pattern};
use crate::probe::class;
use alloc::vec::Vec;
use core::sync::atomic::Ordering::Relaxed;
use libos_core::start::StartInfo;
use libos_core::upcall::{self, Slices};
use libos_core::{calls, layout, output, page};
use serde::{Deserialize, Serialize};
use tranche_abi::layout::{HANDLE_PARENT, HANDLE_SELF, PAGE_SIZE};
use tranche_abi::{ActivationIndex, Address, Capability, Protection, Target, Tick};

/// What to do. The peer counts in its statistics: passed and failed checks, units of work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Role {
    /// Use the CPU.
    Spin,
    /// Yield again and again, counting.
    Yield,
    /// Wait for this many ticks from now on, again and again, counting.
    Sleep {
        /// The time to sleep.
        ticks: u64,
    },
    /// Wait for events without end, and count them.
    AwaitEvents,
    /// Execute `brk #7`.
    Break,
    /// Execute `brk #7`, and `brk #8` in the handler of that.
    BreakInHandler,
    /// Fill every register with this pattern and look whether it stays, counting each look.
    Registers {
        /// Whose pattern.
        pattern: u64,
        /// Whether slices are resumed by upcall, at EL0.
        by_upcall: bool,
    },
    /// Look once whether any FP/SIMD register holds something of this pattern.
    LookForLeak {
        /// Whose pattern.
        pattern: u64,
    },
    /// Bind a capability to an environment and notify its activation 0, then spin.
    Notify {
        /// The capability.
        body: u64,
        /// Its proof.
        mac: u64,
    },
    /// Take the slot of a capability.
    TakeSlot {
        /// The capability.
        body: u64,
        /// Its proof.
        mac: u64,
    },
    /// Map the page of a capability and write there.
    WriteShared {
        /// The capability.
        body: u64,
        /// Its proof.
        mac: u64,
        /// Where to map it.
        address: u64,
        /// What to write.
        value: u64,
    },
    /// Call itself until the stack is used up, counting; the fault is a check.
    Overflow,
    /// Count without end in its fault handler.
    StuckInHandler,
    /// Use the CPU, and go on with that when the slice ends.
    Overrun,
    /// Read a page again and again, counting; a fault is the end.
    Watch {
        /// Where the page is; it is full of [`WATCHED`].
        address: u64,
    },
    /// Use more memory than there are frames for.
    Page {
        /// The first of the frames.
        first: u64,
        /// Whether it gives frames back when asked.
        answers: bool,
    },
    /// Serve callers.
    Serve(super::transfer::Duty),
    /// Call the server of a capability as long as there is one: each right reply is a passed check.
    Call {
        /// The capability.
        body: u64,
        /// Its proof.
        mac: u64,
    },
    /// Make calls with every register filled, or serve such.
    Twin {
        /// A capability to the frame of the record.
        body: u64,
        /// Its proof.
        mac: u64,
        /// What to do.
        part: super::twins::Part,
    },
    /// Carry threads on all activations that do this work, and say at the end what the dispatchers counted.
    Threads(crate::threads::Plan),
    /// Try what only others may: each refused call is a passed check.
    Trespass {
        /// A frame of its creator's.
        frame: u64,
    },
}

/// Pages of a peer's stack.
pub const STACK_PAGES: u64 = 4;
/// What is in the page of [`Role::Watch`].
pub const WATCHED: u64 = 0x3c3c_a5a5_0f0f_9696;

/// Plays the role. What it notes is in its statistics.
pub fn run(info: &StartInfo) {
    let Ok(role) = info.arguments() else { return };
    let check = |right: bool| output::stats().count(right);
    match role {
        Role::Spin => spin(),
        Role::Yield => loop {
            check(calls::yield_now().is_ok());
        },
        Role::Sleep { ticks } => loop {
            page::take_events();
            check(calls::wait(page::now().saturating_add(Tick(ticks))).is_ok());
        },
        Role::AwaitEvents => await_events(),
        Role::Break => crate::probe::breakpoint(0),
        Role::BreakInHandler => {
            upcall::register(Slices::ByKernel, Some(break_again));
            crate::probe::breakpoint(0);
        }
        Role::Registers { pattern, by_upcall } => keep_registers(pattern, by_upcall),
        Role::LookForLeak { pattern } => check(!registers::holds_any_of(&Pattern(pattern))),
        Role::Notify { body, mac } => {
            let bound = calls::bind(Capability { body, mac });
            let told = bound.and_then(|handle| calls::notify(Target::new(handle, ActivationIndex(0)), 1));
            check(told.is_ok());
            spin();
        }
        Role::TakeSlot { body, mac } => {
            check(calls::slot_take(Capability { body, mac }, ActivationIndex(0)).is_ok());
            // Used like a hog, so that its owner shows in the ledger.
            spin();
        }
        Role::WriteShared { body, mac, address, value } => {
            check(write_shared(Capability { body, mac }, address, value).is_ok());
        }
        Role::Overflow => {
            upcall::register(Slices::ByKernel, Some(look_at_overflow));
            overflow(1);
        }
        Role::StuckInHandler => {
            upcall::register(Slices::ByKernel, Some(|_, _| spin()));
            crate::probe::breakpoint(0);
        }
        Role::Overrun => {
            upcall::register(Slices::ByKernel, None);
            page::own().upcalls.slice_end.store(overrun as *const () as u64, Relaxed);
            spin();
        }
        Role::Watch { address } => watch(address, check),
        Role::Page { first, answers } => super::pager::run(first, answers),
        Role::Serve(duty) => super::transfer::serve(duty),
        Role::Call { body, mac } => super::transfer::call(Capability { body, mac }),
        Role::Twin { body, mac, part } => check(super::twins::play(Capability { body, mac }, part).is_ok()),
        Role::Threads(plan) => crate::threads::work_once(info, plan),
        Role::Trespass { frame } => trespass(frame, check),
    }
}

fn break_again(_: upcall::Fault, _: &mut upcall::Saved<'_>) {
    #[cfg(target_os = "none")]
    // SAFETY: A fault that nobody handles ends the activation, which is what is wanted.
    unsafe {
        core::arch::asm!("brk #8")
    };
}

/// Counts without end, and in no critical section: a slice's end finds it where it can be told.
fn spin() {
    let stats = output::stats();
    loop {
        stats.work_units.fetch_add(1, Relaxed);
        (0..100).for_each(|_| core::hint::spin_loop());
    }
}

/// The end of the slice: keeps the CPU until it is in a later slice, and goes on there.
extern "C" fn overrun() {
    let own = page::own();
    let slot_end = own.slot_end.load(Relaxed);
    while own.slot_end.load(Relaxed) == slot_end {
        core::hint::spin_loop();
    }
    // Not refused: that is the way back.
    let _ = calls::resume();
}

/// Calls itself until the stack is used up.
#[allow(unconditional_recursion)] // That is what it is for.
#[inline(never)]
fn overflow(depth: u64) -> u64 {
    output::stats().work_units.store(depth, Relaxed);
    let kept = core::hint::black_box([depth; 32]);
    overflow(depth + 1) ^ kept[(depth % 32) as usize]
}

/// The fault must be a write to the page under the stack, and this must run on the upcall stack.
fn look_at_overflow(fault: upcall::Fault, _: &mut upcall::Saved<'_>) {
    let bottom = layout::stack_top(0) - STACK_PAGES * PAGE_SIZE;
    let here = core::ptr::from_ref(&fault).expose_provenance() as u64;
    let top = layout::fault_stack_top(0);
    let at_guard = (bottom - PAGE_SIZE..bottom).contains(&fault.address.0);
    let right = fault.class() == class::DATA_ABORT && fault.was_write() && at_guard;
    output::stats().count(right && (top - layout::FAULT_PAGES * PAGE_SIZE..top).contains(&here));
    rest()
}

/// Waits for ever.
pub(super) fn rest() {
    // Refused only where there is no kernel.
    while calls::wait(Tick::NEVER).is_ok() {
        page::take_events();
    }
}

fn watch(address: u64, check: impl Fn(bool)) {
    crate::probe::begin(Slices::ByKernel);
    while let Some(value) = crate::probe::value_at(address) {
        check(value == WATCHED);
    }
    output::stats().faults.fetch_add(1, Relaxed);
    rest();
}

fn await_events() {
    loop {
        let events = page::take_events() & !(0b111 << 61);
        output::stats().work_units.fetch_add(u64::from(events.count_ones()), Relaxed);
        if calls::wait(Tick::NEVER).is_err() {
            return;
        }
    }
}

/// Rounds of a loop during which the registers must stay: long enough to be interrupted in most of them.
const ROUNDS: u64 = 2_000;

fn keep_registers(pattern: u64, by_upcall: bool) {
    let slices = if by_upcall { Slices::ByUpcall } else { Slices::ByKernel };
    upcall::register(slices, None);
    let pattern = Pattern(pattern);
    loop {
        let dump = registers::hold(&pattern, ROUNDS);
        // The way back at EL0 takes x18.
        let wrong = dump.differences(&pattern).filter(|place| !(by_upcall && *place == 18)).count();
        output::stats().count(wrong == 0);
    }
}

fn write_shared(capability: Capability, address: u64, value: u64) -> Result<(), tranche_abi::Error> {
    calls::map_shared(capability, Address(address), Protection::ReadWrite)?;
    #[cfg(target_os = "none")]
    // SAFETY: Just mapped writable, and shared with somebody who expects it.
    unsafe {
        (address as *mut u64).write_volatile(value)
    };
    let _ = value;
    Ok(())
}

fn trespass(frame: u64, check: impl Fn(bool)) {
    use libos_core::public::view;
    use tranche_abi::{Core, Frame, Handle, Kind, Object, Rights, SlotIndex};
    let address = Address(libos_core::layout::HEAP_BASE + (1 << 20));
    let parent = Target::new(HANDLE_PARENT, ActivationIndex(0));
    let foreign = Object { kind: Kind::Frame, index: frame as u32 };
    let machine = Object { kind: Kind::Machine, index: 0 };
    let someone = (2..256).map(Handle).find(|handle| calls::unbind(*handle).is_ok());
    let slot = (0..view().slots())
        .map(SlotIndex)
        .find(|slot| view().owner(Core(0), *slot).is_some_and(|owner| owner.env != page::env()));
    let tried: Vec<bool> = [
        calls::map(HANDLE_SELF, address, Frame(frame), 1, Protection::Read),
        calls::frame_give(Frame(frame), 1, HANDLE_PARENT),
        calls::env_create(Frame(frame)).map(drop),
        calls::grant(foreign, Rights::ALL).map(drop),
        calls::grant(machine, Rights::ALL).map(drop),
        calls::void(foreign),
        calls::map(HANDLE_PARENT, address, Frame(frame), 1, Protection::Read),
        calls::yield_to(parent, Tick::NEVER, calls::Events::Ignore).map(drop),
        calls::env_destroy(HANDLE_PARENT),
        calls::ask(parent, calls::Claim::Frames, 1, Tick(0)),
        calls::console_write(HANDLE_PARENT, b"x").map(drop),
        calls::power_off(HANDLE_PARENT, 9),
        slot.map_or(Err(tranche_abi::Error::Absent), |slot| calls::slot_give(Core(0), slot, parent)),
        calls::notify(parent, 1 << 63),
    ]
    .map(|result| result.is_err())
    .into();
    tried.into_iter().for_each(&check);
    check(someone.is_none());
}
