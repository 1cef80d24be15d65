//! Appel and Li's two ways of using page protection (ASPLOS 1991), with a signal handler that calls `mprotect`.

use crate::exceptions;
use crate::measure::{self, Batches};
use crate::report;
use core::sync::atomic::{AtomicUsize, Ordering};
use linux_guest::region::{PAGE, Protection, Region};
use linux_raw_sys::general as linux;

/// How many pages both use.
const PAGES: usize = 100;
const REGION: Region = Region::place(1, PAGES);
/// Where the address that failed is in `struct siginfo` (Linux, `include/uapi/asm-generic/siginfo.h`).
const FAILED_ADDRESS: usize = 16;

/// The page that is not protected, in `appel1`.
static OPEN: AtomicUsize = AtomicUsize::new(0);
/// Faults handled.
static FAULTS: AtomicUsize = AtomicUsize::new(0);

/// An order in which every page has its turn and none follows its neighbour: 37 and 100 have no common factor.
const fn place(number: usize) -> usize {
    number * 37 % PAGES
}

/// Measures both, per page.
pub fn measure() {
    REGION.mapped();
    exceptions::handle(linux::SIGSEGV, swap as *const ());
    REGION.protect(Protection::Read).must();
    OPEN.store(place(PAGES - 1), Ordering::Relaxed);
    REGION.page(place(PAGES - 1)).protect(Protection::ReadWrite).must();
    report::figure("appel1", &touching(|| {}));

    exceptions::handle(linux::SIGSEGV, open as *const ());
    report::figure(
        "appel2",
        &touching(|| {
            REGION.protect(Protection::Read).must();
        }),
    );
    REGION.unmap().must();
}

/// Touches every page once, after some preparation, again and again.
fn touching(prepare: impl Fn()) -> Batches {
    let rounds = measure::many(20_000) / PAGES as u64;
    measure::together(rounds * PAGES as u64, 0, |_| {
        FAULTS.store(0, Ordering::Relaxed);
        for _ in 0..rounds {
            prepare();
            (0..PAGES).for_each(|number| REGION.page(place(number)).touch());
        }
        if FAULTS.load(Ordering::Relaxed) as u64 != rounds * PAGES as u64 {
            report::wrong("appel: not every page was protected when it was touched");
        }
    })
}

/// The page at which a write has failed.
///
/// # Safety
/// `info` must be Linux's `struct siginfo` of a fault.
unsafe fn failed_page(info: *const u8) -> usize {
    // SAFETY: The caller's promise.
    let address = unsafe { info.add(FAILED_ADDRESS).cast::<usize>().read() };
    FAULTS.fetch_add(1, Ordering::Relaxed);
    (address - REGION.start()) / PAGE
}

/// The handler of `appel1`: opens this page, and protects the one that was open.
extern "C" fn swap(_signal: i32, info: *const u8) {
    // SAFETY: Linux calls this with that structure.
    let page = unsafe { failed_page(info) };
    REGION.page(OPEN.swap(page, Ordering::Relaxed)).protect(Protection::Read).must();
    REGION.page(page).protect(Protection::ReadWrite).must();
}

/// The handler of `appel2`: opens this page.
extern "C" fn open(_signal: i32, info: *const u8) {
    // SAFETY: Linux calls this with that structure.
    let page = unsafe { failed_page(info) };
    REGION.page(page).protect(Protection::ReadWrite).must();
}
