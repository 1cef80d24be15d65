//! The memory that all processes of a run share: when it begins, who is ready, and what became of every job.

use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use core::sync::atomic::{AtomicU32, AtomicU64};
use linux_guest::calls;
use linux_guest::region::{Frames, PAGE, Region, Sharing};

/// The page of what concerns all.
const COMMON: Region = Region::place(0, 1);
/// Where the records are, at most 1 GiB; nothing else is from there on.
const RECORDS: usize = 256;

/// The records' memory, for so many words.
fn records(words: usize) -> Region {
    Region::place(RECORDS, (words * size_of::<u64>()).div_ceil(PAGE).max(1))
}

/// Maps all of it: needed before anything else here is used, and before any process is made.
pub fn map(words: usize) {
    COMMON.map(Sharing::Shared, Frames::AtOnce).must();
    records(words).map(Sharing::Shared, Frames::AtOnce).must();
}

/// A word of the records.
pub fn record(index: usize) -> &'static AtomicU64 {
    let address = records(index + 1).start() + index * size_of::<u64>();
    // SAFETY: The memory is mapped for ever, and used as such words only.
    unsafe { AtomicU64::from_ptr(address as *mut u64) }
}

/// Where the records of so many words are, for whoever copies them.
pub fn bytes(from: usize, words: usize) -> &'static [u8] {
    let address = record(from).as_ptr();
    // SAFETY: The memory is mapped for ever; nobody writes to it any more when it is copied.
    unsafe { core::slice::from_raw_parts(address.cast(), words * size_of::<u64>()) }
}

/// Processes that are set up.
fn ready() -> &'static AtomicU32 {
    // SAFETY: The page is mapped for ever, and this word of it is used as nothing else.
    unsafe { AtomicU32::from_ptr(COMMON.start() as *mut u32) }
}

const GO: usize = COMMON.start() + 64;

/// Whether [`begin`] is known: 1, else 0.
fn go() -> &'static AtomicU32 {
    // SAFETY: The page is mapped for ever, and this word of it is used as nothing else.
    unsafe { AtomicU32::from_ptr(GO as *mut u32) }
}

fn begin() -> &'static AtomicU64 {
    // SAFETY: The page is mapped for ever, and this word of it is used as nothing else.
    unsafe { AtomicU64::from_ptr((COMMON.start() + 128) as *mut u64) }
}

/// Tells everybody when the run begins.
pub fn start(time: u64) {
    begin().store(time, Relaxed);
    go().store(1, Release);
    calls::futex_wake(GO, i32::MAX as u32);
}

/// Says that this process is set up, and waits until it is known when the run begins.
pub fn wait_for_start() -> u64 {
    ready().fetch_add(1, Release);
    while go().load(Acquire) == 0 {
        calls::futex_wait(GO, 0);
    }
    begin().load(Relaxed)
}

/// Waits until so many processes are set up.
pub fn wait_for(processes: u64) {
    while u64::from(ready().load(Acquire)) < processes {
        calls::sleep(&[0, 1_000_000]).must();
    }
}
