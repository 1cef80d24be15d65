//! A program with virtual memory of its own: a region twice as large as the frames that it has for it, every page of which
//! it writes and reads again. For the self-test in its own environment, and for a peer that is asked for frames.
//!
//! Not here: what is demanded of it ([`super::vm`]).

use super::{ensure, must};
use crate::probe;
use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use libos_core::critical::Lock;
use libos_core::frames::{Frames, Run};
use libos_core::mapping::{self, Space};
use libos_core::upcall::{self, Fault, Saved, Slices};
use libos_core::vm::inverted::Inverted;
use libos_core::vm::kernel::Calls;
use libos_core::vm::linear::Linear;
use libos_core::vm::reserve::{self, Reserve};
use libos_core::vm::store::Memory;
use libos_core::vm::{Contents, Fate, Page, PageTable, Region, Replacement, Verdict, Vm};
use libos_core::{output, page};
use libos_stride::inverse::InverseLottery;
use tranche_abi::layout::{HANDLE_PARENT, HANDLE_SELF, PAGE_SIZE};
use tranche_abi::{Address, Error, Frame, Protection};

/// Pages of the region.
pub const PAGES: u64 = 32;
/// Pages of a part, where there are three.
pub const PART: u64 = 10;
/// Frames that they share.
pub const RESIDENT: u64 = PAGES / 2;
/// Frames that force does not reach.
pub const RESERVE: u64 = 3;
/// Frames that a program takes in all: the reserve first, then those for pages, the store, and page tables at most.
pub const FRAMES: u64 = RESERVE + RESIDENT + PAGES + 6;

/// The region.
const REGION: Region = Region { first: Page(0xb000_0000 / PAGE_SIZE), count: PAGES };
/// Where the store is mapped.
const STORE: Address = Address(0xb800_0000);

/// Which structure the table has, and which page goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Structure {
    /// An array, and a clock.
    Linear,
    /// A hash table, and a clock.
    Inverted,
    /// An array, and an inverse lottery among parts of [`PART`] pages with these tickets.
    Parts([u32; 3]),
}

/// Virtual memory, whatever its structure.
trait Paging: Send {
    fn handle(&mut self, fault: Fault) -> Verdict;
    fn is_resident(&self, page: Page) -> bool;
    fn is_dirty(&self, page: Page) -> bool;
    fn write_back(&mut self, page: Page) -> Result<(), Error>;
    fn answer(&mut self) -> Result<u64, Error>;
    /// All frames, and how many pages were lost.
    fn close(self: Box<Self>) -> (Vec<Frame>, u64);
}

struct Job<T, R> {
    vm: Vm<T, Calls, Memory, R>,
    reserve: Reserve,
    /// Pages that were lost with their frame.
    lost: u64,
}

impl<T: PageTable + Send, R: Replacement + Send> Paging for Job<T, R> {
    fn handle(&mut self, fault: Fault) -> Verdict {
        if self.reserve.is_behind(page::own()) {
            let lost = &mut self.lost;
            self.reserve.recover(page::own(), &mut self.vm, |fate| {
                *lost += u64::from(matches!(fate, Fate::Lost(_)));
            });
        }
        self.vm.handle(fault)
    }

    fn is_resident(&self, page: Page) -> bool {
        self.vm.entry(page).is_some()
    }

    fn is_dirty(&self, page: Page) -> bool {
        self.vm.is_dirty(page)
    }

    fn write_back(&mut self, page: Page) -> Result<(), Error> {
        self.vm.write_back(page)
    }

    fn answer(&mut self) -> Result<u64, Error> {
        reserve::answer(page::own(), &mut self.vm)
    }

    fn close(self: Box<Self>) -> (Vec<Frame>, u64) {
        let mut frames = self.vm.close();
        frames.extend(self.reserve.close(page::own()));
        (frames, self.lost)
    }
}

/// The program's virtual memory, where its fault handler finds it.
static PAGER: Lock<Option<Box<dyn Paging>>> = Lock::new(None);

/// The handler: a fault of the region's is handled, and any other is the probe's.
fn on_fault(fault: Fault, saved: &mut Saved<'_>) {
    let verdict = PAGER.lock().as_mut().map(|pager| pager.handle(fault));
    if verdict != Some(Verdict::Handled) {
        probe::note(fault, saved);
    }
}

/// Begins: takes frames, maps the store, and handles faults from now on. The store's frames.
pub fn begin(structure: Structure, frames: &mut Frames) -> Result<Run, String> {
    let reserve = frames.take(RESERVE).ok_or("no frames for the reserve")?;
    let pages = frames.take(RESIDENT).ok_or("no frames for pages")?;
    let store = frames.take(PAGES).ok_or("no frames for the store")?;
    let mut table = || frames.take(1).map(|run| run.first);
    let mut space = Space { env: HANDLE_SELF, table: &mut table };
    must("mapping the store", space.map(STORE, store, Protection::ReadWrite))?;
    // SAFETY: Just mapped so, for nobody but the store; any bits are contents. `end` unmaps it when the store is gone.
    let places = unsafe {
        core::slice::from_raw_parts_mut(
            core::ptr::with_exposed_provenance_mut::<Contents>(STORE.0 as usize),
            PAGES as usize,
        )
    };
    // SAFETY: Nobody else maps there, and the region is accessed by `word` alone, which is aligned and may fault.
    let calls = must("page tables", unsafe { Calls::new(REGION, HANDLE_PARENT, &mut table) })?;
    let each = |run: Run| (run.first.0..run.end()).map(Frame);
    let reserve = Reserve::new(page::own(), each(reserve));
    let (memory, free) = (Memory::new(REGION, places), each(pages).collect());
    *PAGER.lock() = Some(match structure {
        Structure::Linear => job(Vm::new(REGION, (Linear::new(REGION), calls, memory), free), reserve),
        Structure::Inverted => {
            job(Vm::new(REGION, (Inverted::new(RESIDENT as usize), calls, memory), free), reserve)
        }
        Structure::Parts(tickets) => {
            let region = |part| Region { first: Page(REGION.first.0 + part * PART), count: PART };
            let pages = InverseLottery::new((0..).map(region).zip(tickets), RESIDENT as usize, 1);
            job(Vm::with_replacement(REGION, (Linear::new(REGION), calls, memory), free, pages), reserve)
        }
    });
    upcall::register(Slices::ByKernel, Some(on_fault));
    Ok(store)
}

fn job<T: PageTable + Send + 'static, R: Replacement + Send + 'static>(
    vm: Vm<T, Calls, Memory, R>,
    reserve: Reserve,
) -> Box<dyn Paging> {
    Box::new(Job { vm, reserve, lost: 0 })
}

/// Ends: the frames are free again, faults are the probe's.
pub fn end(frames: &mut Frames, store: Run) -> Result<(), String> {
    probe::begin(Slices::ByKernel);
    let Some(job) = PAGER.lock().take() else { return Err("it was not begun".into()) };
    let (pages, lost) = job.close();
    pages.into_iter().for_each(|first| frames.put(Run { first, count: 1 }));
    must("unmapping the store", mapping::unmap(HANDLE_SELF, STORE, PAGES))?;
    frames.put(store);
    ensure(lost == 0, || format!("{lost} pages were lost"))
}

/// The word of a page that is looked at: a different one in each.
fn word(offset: u64) -> *mut u64 {
    let address = (REGION.first.0 + offset) * PAGE_SIZE + offset * 8 % PAGE_SIZE;
    core::ptr::with_exposed_provenance_mut(address as usize)
}

/// Reads a page of the region.
pub fn read(offset: u64) -> u64 {
    assert!(offset < PAGES);
    // SAFETY: In the region and aligned; the fault handler brings the page in.
    unsafe { word(offset).read_volatile() }
}

/// Writes a page of the region.
pub fn write(offset: u64, value: u64) {
    assert!(offset < PAGES);
    // SAFETY: As above.
    unsafe { word(offset).write_volatile(value) }
}

/// Pages of a part that are resident.
pub fn resident(part: u64) -> u64 {
    let pager = PAGER.lock();
    let is_resident = |offset: &u64| {
        pager.as_ref().is_some_and(|pager| pager.is_resident(Page(REGION.first.0 + part * PART + offset)))
    };
    (0..PART).filter(is_resident).count() as u64
}

/// Whether a page is dirty.
pub fn is_dirty(offset: u64) -> bool {
    PAGER.lock().as_ref().is_some_and(|pager| pager.is_dirty(Page(REGION.first.0 + offset)))
}

/// Writes a page back to the store.
pub fn write_back(offset: u64) -> Result<(), Error> {
    let mut pager = PAGER.lock();
    pager.as_mut().map_or(Err(Error::Absent), |pager| pager.write_back(Page(REGION.first.0 + offset)))
}

/// Looks whether every page holds what round `round` wrote there (nothing, before the first), and writes the next.
pub fn next_round(round: u64) -> bool {
    let value = |offset: u64, round: u64| if round == 0 { 0 } else { round << 32 | offset };
    (0..PAGES).fold(true, |right, step| {
        let offset = step * 13 % PAGES; // 13 and 32 have no common divisor: each page once
        let seen = read(offset);
        write(offset, value(offset, round + 1));
        right & (seen == value(offset, round))
    })
}

/// The peer: uses its memory round by round, yielding after each, and gives frames back when asked, or does not.
pub fn run(first: u64, answers: bool) {
    let mut frames = Frames::new(Run { first: Frame(first), count: FRAMES });
    if let Err(_wrong) = begin(Structure::Inverted, &mut frames) {
        return output::stats().count(false);
    }
    for round in 0.. {
        if page::take_events() & tranche_abi::EVENT_REVOKE != 0 && answers {
            let given = PAGER.lock().as_mut().map(|pager| pager.answer());
            if !matches!(given, Some(Ok(_))) {
                output::stats().count(false);
            }
        }
        output::stats().count(next_round(round));
        // Refused only where there is no kernel.
        if libos_core::calls::yield_now().is_err() {
            return;
        }
    }
}
