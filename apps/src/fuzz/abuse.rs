//! What a fuzzer does to itself: faults of all kinds, wild jumps, stores into its own page, upcalls to nowhere, stacks
//! and pages that go away under it, slices that are kept.
//!
//! Not here: calls for their own sake (`sequences`). Most of this ends in a fault, and then nothing after it is done.

use super::fuzzer::{Fuzzer, row};
use super::kinds::Kind;
use super::stubs::{self, INSTRUCTIONS};
use super::tally::TALLY_BASE;
use crate::probe;
use core::sync::atomic::Ordering::Relaxed;
use libos_core::{layout, page};
use tranche_abi::layout::{MAX_ACTIVATIONS, PAGE_SIZE, PUBLIC_BASE};

/// Words of a page.
const WORDS: u64 = PAGE_SIZE / 8;

/// Does one of them.
pub fn any(fuzzer: &mut Fuzzer) {
    match fuzzer.source.below(24) {
        0..=9 => instruct(fuzzer),
        10..=12 => touch(fuzzer),
        13 | 14 => scribble(fuzzer),
        15 => wild_upcalls(fuzzer),
        16 => fault_disabled(fuzzer),
        17 | 18 => overstay(fuzzer),
        19 => pull_away(fuzzer),
        20 => _ = overflow(fuzzer.source.draw()),
        _ => smash(fuzzer),
    }
}

/// A single instruction with any value.
fn instruct(fuzzer: &Fuzzer) {
    let value = wild(fuzzer);
    stubs::instruct(fuzzer.source.below(INSTRUCTIONS), value);
}

/// An address or anything else, but nothing by which the tally would be written: what is counted there is to be true.
fn wild(fuzzer: &Fuzzer) -> u64 {
    let value = match fuzzer.source.below(3) {
        0 => fuzzer.source.address(),
        1 => fuzzer.source.random(),
        _ => fuzzer.source.right(Kind::Any, &fuzzer.world),
    };
    // A stack may begin at the first address above it.
    if value.wrapping_sub(TALLY_BASE) <= PAGE_SIZE { value ^ PUBLIC_BASE } else { value }
}

/// Reads, writes or jumps anywhere.
fn touch(fuzzer: &Fuzzer) {
    let address = wild(fuzzer);
    match fuzzer.source.below(3) {
        0 => probe::read(address),
        1 => probe::write(address),
        _ => probe::call(address),
    }
}

/// Stores anything anywhere in an activation's page, its own most of the time.
fn scribble(fuzzer: &Fuzzer) {
    for _ in 0..=fuzzer.source.below(8) {
        let whose = match fuzzer.source.below(4) {
            0 => fuzzer.source.below(fuzzer.world.cores),
            _ => fuzzer.activation,
        };
        let page = layout::page_address(whose % MAX_ACTIVATIONS as u64);
        stubs::store(page + fuzzer.source.below(WORDS) * 8, wild(fuzzer));
    }
    if fuzzer.source.once_in(2) {
        fuzzer.register();
    }
}

/// Registers upcalls at any addresses, with any stack, and provokes one.
fn wild_upcalls(fuzzer: &Fuzzer) {
    let (upcalls, transfer) = (&page::own().upcalls, &page::own().transfer);
    for field in [&transfer.entry, &transfer.resume, &page::own().fault.entry] {
        if fuzzer.source.once_in(2) {
            field.store(wild(fuzzer), Relaxed);
        }
    }
    let fields = [&upcalls.stack, &upcalls.run, &upcalls.slice_end];
    for field in fields.into_iter().chain([&upcalls.critical_begin, &upcalls.critical_end]) {
        if fuzzer.source.once_in(2) {
            field.store(wild(fuzzer), Relaxed);
        }
    }
    probe::undefined(0);
}

/// Faults as if it were in a handler: nobody but its manager learns of it.
fn fault_disabled(fuzzer: &Fuzzer) {
    page::own().disabled.store(1 + fuzzer.source.below(2) as u32, Relaxed);
    instruct(fuzzer);
}

/// Keeps the CPU in a critical section, past the end of the slice if that comes soon.
fn overstay(fuzzer: &Fuzzer) {
    let own = page::own();
    own.in_critical.store(1, Relaxed);
    let slot_end = own.slot_end.load(Relaxed);
    let patience = page::now().0 + fuzzer.source.below(60_000);
    while page::now().0 < patience && own.slot_end.load(Relaxed) == slot_end {
        core::hint::spin_loop();
    }
    own.in_critical.store(0, Relaxed);
    own.slice_ended.store(0, Relaxed);
}

/// Unmaps or protects something that it stands on.
fn pull_away(fuzzer: &Fuzzer) {
    let top = fuzzer.stack_top();
    let places = [
        top - PAGE_SIZE,
        layout::upcall_stack_top(fuzzer.activation % MAX_ACTIVATIONS as u64) - PAGE_SIZE,
        layout::page_address(fuzzer.activation % MAX_ACTIVATIONS as u64),
        layout::IMAGE_BASE + fuzzer.source.below(32) * PAGE_SIZE,
        TALLY_BASE,
        layout::HEAP_BASE,
    ];
    let place = places[fuzzer.source.below(places.len() as u64) as usize];
    let count = 1 + fuzzer.source.below(3);
    if fuzzer.source.once_in(2) {
        fuzzer.try_call(const { row("unmap") }, &[0, place, count]);
    } else {
        fuzzer.try_call(const { row("protect") }, &[0, place, count, fuzzer.source.below(3)]);
    }
}

/// Calls itself until the stack is used up.
#[allow(unconditional_recursion)] // That is what it is for.
fn overflow(value: u64) -> u64 {
    let kept = core::hint::black_box([value; 32]);
    overflow(kept[(value % 32) as usize].rotate_left(1)) ^ kept[0]
}

/// Stores anything near the top of its own stack, where return addresses are.
fn smash(fuzzer: &Fuzzer) {
    let offset = fuzzer.source.below(64) * 8;
    stubs::store(fuzzer.stack_top() - 8 - offset, wild(fuzzer));
}
