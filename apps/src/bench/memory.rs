//! Memory: mapping and protecting, handling a protection fault, and Appel and Li's two patterns. Not here: the same with a
//! page table of the program's own ([`super::paging`]).
//!
//! The fault handlers here are the libOS's own (`libos_core::upcall`), which save every register, as a program has them.
#![forbid(unsafe_code)]

use super::counter::{self, Stamp};
use super::{Bench, Path, accepted, refused, settle};
use alloc::string::String;
use alloc::vec::Vec;
use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering::Relaxed;
use libos_core::calls;
use libos_core::frames::Run;
use libos_core::mapping::{self, Space};
use libos_core::upcall::{self, Fault, Saved, Slices};
use tranche_abi::layout::{HANDLE_SELF, MAX_BATCH, PAGE_SIZE};
use tranche_abi::{Address, Protection};

/// Pages of the patterns.
const PAGES: u64 = 100;
/// Where they are.
const BASE: u64 = 0xa000_0000;
/// Where single pages are mapped.
const SPARE: u64 = BASE + 256 * PAGE_SIZE;

/// Measures them.
pub fn measure(bench: &mut Bench) -> Result<(), String> {
    let run = bench.frames.take(PAGES).ok_or("no frames")?;
    let frames = &mut bench.frames;
    let mut table = || frames.take(1).map(|run| run.first);
    let mapped = mapping::fill(run, &[], &mut table).and_then(|()| {
        Space { env: HANDLE_SELF, table: &mut table }.map(Address(BASE), run, Protection::ReadWrite)
    });
    mapped.map_err(refused("map"))?;
    let measured = on_pages(bench);
    upcall::register(Slices::ByKernel, None);
    mapping::unmap(HANDLE_SELF, Address(BASE), PAGES).map_err(refused("unmap"))?;
    bench.frames.put(run);
    measured?;
    map_and_unmap(bench)
}

fn on_pages(bench: &mut Bench) -> Result<(), String> {
    protect(bench, 1, ["prot1", "unprot1"])?;
    protect(bench, PAGES, ["prot100", "unprot100"])?;
    trap(bench)?;
    appel1(bench)?;
    appel2(bench)
}

/// The cost of protecting pages: of the calls that it takes, without what is between them.
fn set(pages: u64, protection: Protection, overhead: Stamp) -> Result<Stamp, String> {
    let mut cost = Stamp::default();
    for (offset, piece) in (Run { first: Default::default(), count: pages }).pieces(MAX_BATCH) {
        let address = BASE + offset * PAGE_SIZE;
        let arguments = [HANDLE_SELF.0, address, piece.count, protection as u64, 0, 0, 0, 0];
        cost = cost.plus(accepted(counter::call::<35>(arguments))?.cost().without(overhead));
    }
    Ok(cost)
}

/// Takes write access to pages away, and gives it back.
fn protect(bench: &mut Bench, pages: u64, operations: [&str; 2]) -> Result<(), String> {
    let overhead = bench.overhead;
    let mut costs = [Vec::new(), Vec::new()];
    for _ in 0..super::SAMPLES {
        settle();
        costs[0].push(set(pages, Protection::Read, overhead)?);
        costs[1].push(set(pages, Protection::ReadWrite, overhead)?);
    }
    bench.record(operations[0], &costs[0], Path::Same)?;
    bench.record(operations[1], &costs[1], Path::Same)
}

/// What the fault handler of the patterns protects besides: a page's address, or 0.
static ALSO_PROTECT: AtomicU64 = AtomicU64::new(0);
/// Calls of the handler's that were refused.
static REFUSED: AtomicU64 = AtomicU64::new(0);

/// Makes the page that was touched writable, and protects another if it is to.
fn unprotect(fault: Fault, _: &mut Saved<'_>) {
    let page = Address(fault.address.0 & !(PAGE_SIZE - 1));
    let other = ALSO_PROTECT.load(Relaxed);
    let protected = match other {
        0 => Ok(()),
        other => calls::protect(HANDLE_SELF, Address(other), 1, Protection::Read),
    };
    if protected.and(calls::protect(HANDLE_SELF, page, 1, Protection::ReadWrite)).is_err() {
        REFUSED.fetch_add(1, Relaxed);
    }
}

/// Steps over the write.
fn skip(_: Fault, saved: &mut Saved<'_>) {
    saved.set_pc(saved.pc() + 4);
}

fn page(number: u64) -> Address {
    Address(BASE + number % PAGES * PAGE_SIZE)
}

/// A stamp when FP/SIMD is on, as the handlers use it, so that turning it on is in no repetition.
pub fn begin_with_fp() -> Stamp {
    counter::use_fp();
    counter::before()
}

/// A write to a protected page, whose handler does nothing but step over it.
fn trap(bench: &mut Bench) -> Result<(), String> {
    upcall::register(Slices::ByKernel, Some(skip));
    calls::protect(HANDLE_SELF, page(0), 1, Protection::Read).map_err(refused("protect"))?;
    bench.series("trap", |_| {
        let begin = begin_with_fp();
        crate::probe::write(page(0).0);
        Ok(counter::after().since(begin))
    })?;
    calls::protect(HANDLE_SELF, page(0), 1, Protection::ReadWrite).map_err(refused("protect"))
}

/// A write to a random protected page, whose handler protects another and unprotects this one.
fn appel1(bench: &mut Bench) -> Result<(), String> {
    upcall::register(Slices::ByKernel, Some(unprotect));
    set(PAGES, Protection::Read, bench.overhead)?;
    let mut open = 0;
    calls::protect(HANDLE_SELF, page(open), 1, Protection::ReadWrite).map_err(refused("protect"))?;
    bench.series("appel1", |_| {
        // Another than the one that is open; 37 and 100 have no common factor.
        let next = open + 37;
        ALSO_PROTECT.store(page(open).0, Relaxed);
        let begin = begin_with_fp();
        crate::probe::write(page(next).0);
        let cost = counter::after().since(begin);
        open = next;
        Ok(cost)
    })?;
    ALSO_PROTECT.store(0, Relaxed);
    none_refused()
}

/// Protects all pages, writes to each in random order, and unprotects each in the handler: for each page.
fn appel2(bench: &mut Bench) -> Result<(), String> {
    bench.series("appel2", |bench| {
        let begin = begin_with_fp();
        mapping_protect()?;
        (0..PAGES).for_each(|number| crate::probe::write(page(number * 37).0));
        let cost = counter::after().since(begin).without(bench.overhead);
        Ok(Stamp { instructions: cost.instructions / PAGES, cycles: cost.cycles / PAGES }
            .plus(bench.overhead))
    })?;
    none_refused()
}

fn mapping_protect() -> Result<(), String> {
    (Run { first: Default::default(), count: PAGES }).pieces(MAX_BATCH).try_for_each(|(offset, piece)| {
        let address = Address(BASE + offset * PAGE_SIZE);
        calls::protect(HANDLE_SELF, address, piece.count, Protection::Read).map_err(refused("protect"))
    })
}

fn none_refused() -> Result<(), String> {
    match REFUSED.swap(0, Relaxed) {
        0 => Ok(()),
        count => Err(alloc::format!("{count} calls of the fault handler were refused")),
    }
}

/// One page mapped where there is a page table, and unmapped.
fn map_and_unmap(bench: &mut Bench) -> Result<(), String> {
    let frame = bench.frames.take(1).ok_or("no frames")?;
    let frames = &mut bench.frames;
    let mut table = || frames.take(1).map(|run| run.first);
    let mut space = Space { env: HANDLE_SELF, table: &mut table };
    space.map(Address(SPARE), frame, Protection::ReadWrite).map_err(refused("map"))?;
    let unmap = || counter::call::<34>([HANDLE_SELF.0, SPARE, 1, 0, 0, 0, 0, 0]);
    let map = || {
        let protection = Protection::ReadWrite as u64;
        counter::call::<32>([HANDLE_SELF.0, SPARE, frame.first.0, 1, protection, 0, 0, 0])
    };
    bench.series("unmap", |_| {
        let cost = accepted(unmap())?.cost();
        accepted(map()).map(|_| cost)
    })?;
    bench.series("map", |_| {
        accepted(unmap())?;
        Ok(accepted(map())?.cost())
    })?;
    accepted(unmap())?;
    bench.frames.put(frame);
    Ok(())
}
