//! The page that all processes of the measurement share: words at fixed places.

use core::sync::atomic::{AtomicU32, AtomicU64};
use linux_guest::region::{Frames, Region, Sharing};

/// The page, at an address that `measure` maps before it forks, and that stays.
const PAGE: Region = Region::place(0, 1);

/// Maps it: needed before anything else here is used.
pub fn map() {
    PAGE.map(Sharing::Shared, Frames::AtOnce).must();
}

/// Where [`stamp`] is.
pub const STAMP: usize = PAGE.start();

/// A reading of the counter that one process leaves for another.
pub fn stamp() -> &'static AtomicU64 {
    // SAFETY: The page is mapped for ever, and this word of it is used as nothing else.
    unsafe { AtomicU64::from_ptr(STAMP as *mut u64) }
}

/// Where [`counter`] is.
pub const COUNTER: usize = PAGE.start() + 64;

/// The counter that two processes take turns to increment.
pub fn counter() -> &'static AtomicU32 {
    // SAFETY: The page is mapped for ever, and this word of it is used as nothing else.
    unsafe { AtomicU32::from_ptr(COUNTER as *mut u32) }
}
