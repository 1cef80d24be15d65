//! Memory as an application sees it: each operation with the page table that the program keeps itself, and the kernel's call
//! where there is one. Everything twice, with a linear and with an inverted table (`libos_core::vm`).
//!
//! Chains of a hash table differ in length, so what concerns one page is done to every page of the region, in random order:
//! the figure is the mean. Not here: the kernel's calls alone, and handlers that keep no table ([`super::memory`]).

use super::counter::{self, Stamp};
use super::memory::begin_with_fp;
use super::{Bench, Path, refused};
use crate::probe;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::hint::black_box;
use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering::Relaxed;
use libos_core::critical::Lock;
use libos_core::frames::{Frames, Run};
use libos_core::upcall::{self, Fault, Saved, Slices};
use libos_core::vm::inverted::Inverted;
use libos_core::vm::kernel::Calls;
use libos_core::vm::linear::Linear;
use libos_core::vm::store::Store;
use libos_core::vm::{Access, Contents, Page, PageTable, Region, Verdict, Vm};
use tranche_abi::layout::{HANDLE_PARENT, PAGE_SIZE};
use tranche_abi::{Error, Frame};

/// The region: each of its pages has a frame.
const REGION: Region = Region { first: Page(0xb000_0000 / PAGE_SIZE), count: 100 };

/// The store of a program with enough frames: nothing ever goes there.
struct Nowhere;

impl Store for Nowhere {
    fn save(&mut self, _: Page, _: &Contents) -> bool {
        false
    }
    fn load(&mut self, _: Page, _: &mut Contents) -> bool {
        false
    }
    fn keep(&mut self, _: Page, _: Access) {}
    fn kept(&self, _: Page) -> Access {
        Access::Write
    }
}

/// What the program does about a write to a page that it protected.
#[derive(Clone, Copy)]
enum Answer {
    /// Steps over it.
    Skip,
    /// Unprotects the page, after protecting another.
    Open { closing: Option<Page> },
}

/// The region's memory, with the table that is measured.
struct Memory<T> {
    vm: Vm<T, Calls, Nowhere>,
    answer: Answer,
}

/// A structure for the page table.
trait Structure: PageTable + Sized + 'static {
    /// How the ids of its operations end.
    const NAME: &'static str;
    /// The rows that asking whether a page is dirty fills: the one beside Linux's is the linear table's.
    const DIRTY: &'static [&'static str];
    /// A table for the region.
    fn new() -> Self;
    /// Where the fault handler finds the memory with this table.
    fn memory() -> &'static Lock<Option<Memory<Self>>>;
}

impl Structure for Linear {
    const NAME: &'static str = "linear";
    const DIRTY: &'static [&'static str] = &["dirty", "dirty_linear"];
    fn new() -> Self {
        Linear::new(REGION)
    }
    fn memory() -> &'static Lock<Option<Memory<Self>>> {
        static MEMORY: Lock<Option<Memory<Linear>>> = Lock::new(None);
        &MEMORY
    }
}

impl Structure for Inverted {
    const NAME: &'static str = "inverted";
    const DIRTY: &'static [&'static str] = &["dirty_inverted"];
    fn new() -> Self {
        Inverted::new(REGION.count as usize)
    }
    fn memory() -> &'static Lock<Option<Memory<Self>>> {
        static MEMORY: Lock<Option<Memory<Inverted>>> = Lock::new(None);
        &MEMORY
    }
}

/// Measures both structures.
pub fn measure(bench: &mut Bench) -> Result<(), String> {
    with_structure::<Linear>(bench)?;
    with_structure::<Inverted>(bench)
}

fn with_structure<T: Structure>(bench: &mut Bench) -> Result<(), String> {
    let run = begin::<T>(&mut bench.frames)?;
    let measured = operations::<T>(bench);
    upcall::register(Slices::ByKernel, None);
    if let Some(memory) = T::memory().lock().take() {
        memory.vm.close(); // exactly the frames of the run
    }
    bench.frames.put(run);
    measured
}

/// Makes the region's memory, and writes to each page: all are dirty and writable then.
fn begin<T: Structure>(frames: &mut Frames) -> Result<Run, String> {
    let run = frames.take(REGION.count).ok_or("no frames")?;
    let mut table = || frames.take(1).map(|run| run.first);
    // SAFETY: Nobody else maps there; the region is accessed by `probe::write` alone, which is aligned and may fault.
    let calls = unsafe { Calls::new(REGION, HANDLE_PARENT, &mut table) }.map_err(refused("page tables"))?;
    let free = (run.first.0..run.end()).map(Frame).collect();
    let vm = Vm::new(REGION, (T::new(), calls, Nowhere), free);
    *T::memory().lock() = Some(Memory { vm, answer: Answer::Skip });
    upcall::register(Slices::ByKernel, Some(on_fault::<T>));
    pages().for_each(write);
    none_failed().map(|()| run)
}

fn operations<T: Structure>(bench: &mut Bench) -> Result<(), String> {
    dirty::<T>(bench)?;
    protect_one::<T>(bench)?;
    protect_all::<T>(bench)?;
    trap::<T>(bench)?;
    appel1::<T>(bench)?;
    appel2::<T>(bench)
}

/// Faults that could not be answered.
static FAILED: AtomicU64 = AtomicU64::new(0);

/// The handler, as a program with its own memory has it: the memory says what the fault means, the program what to do then.
fn on_fault<T: Structure>(fault: Fault, saved: &mut Saved<'_>) {
    let mut memory = T::memory().lock();
    let repeats = memory.as_mut().is_some_and(|memory| memory.repeats(fault));
    if !repeats {
        saved.set_pc(saved.pc() + 4);
    }
}

impl<T: PageTable> Memory<T> {
    /// Answers a fault; whether the access is to be repeated.
    #[inline]
    fn repeats(&mut self, fault: Fault) -> bool {
        let answered = match (self.vm.handle(fault), self.answer) {
            (Verdict::Handled, _) => return true,
            (Verdict::Protected(_), Answer::Skip) => return false,
            (Verdict::Protected(page), Answer::Open { closing }) => {
                closing.map_or(Ok(()), |other| self.vm.protect(other, 1)).and(self.vm.unprotect(page, 1))
            }
            (Verdict::Failed(error), _) => Err(error),
            (Verdict::Foreign, _) => Err(Error::Absent),
        };
        if answered.is_err() {
            FAILED.fetch_add(1, Relaxed);
        }
        answered.is_ok()
    }
}

fn none_failed() -> Result<(), String> {
    match FAILED.swap(0, Relaxed) {
        0 => Ok(()),
        count => Err(format!("{count} faults could not be answered")),
    }
}

/// All pages, in the order in which they are used: 37 and 100 have no common factor.
fn pages() -> impl Iterator<Item = Page> {
    (1..=black_box(REGION.count)).map(|number| Page(REGION.first.0 + number * 37 % REGION.count))
}

fn write(page: Page) {
    probe::write(page.address().0);
}

/// Does something with the memory.
fn with<T: Structure, R>(action: impl FnOnce(&mut Memory<T>) -> R) -> Result<R, String> {
    T::memory().lock().as_mut().map(action).ok_or("there is no memory".into())
}

/// Measures a call of a function of the memory's; taking the lock is no part of it.
fn timed<T: Structure, R>(
    action: impl FnOnce(&mut Vm<T, Calls, Nowhere>) -> R,
) -> Result<(R, Stamp), String> {
    with(|memory: &mut Memory<T>| {
        let begin = counter::before();
        let result = action(&mut memory.vm);
        (result, counter::after().since(begin))
    })
}

// Never inlined, so that nothing of them is done before the first stamp.

#[inline(never)]
fn is_dirty<T: PageTable>(vm: &mut Vm<T, Calls, Nowhere>, page: Page) -> bool {
    vm.is_dirty(page)
}

#[inline(never)]
fn protect<T: PageTable>(vm: &mut Vm<T, Calls, Nowhere>, region: Region) -> Result<(), Error> {
    vm.protect(region.first, region.count)
}

#[inline(never)]
fn unprotect<T: PageTable>(vm: &mut Vm<T, Calls, Nowhere>, region: Region) -> Result<(), Error> {
    vm.unprotect(region.first, region.count)
}

/// The cost of protecting pages.
fn protecting<T: Structure>(region: Region) -> Result<Stamp, String> {
    let region = black_box(region);
    let (done, cost) = timed::<T, _>(|vm| protect(vm, region))?;
    done.map_err(refused("protect")).map(|()| cost)
}

/// The cost of unprotecting pages.
fn unprotecting<T: Structure>(region: Region) -> Result<Stamp, String> {
    let region = black_box(region);
    let (done, cost) = timed::<T, _>(|vm| unprotect(vm, region))?;
    done.map_err(refused("unprotect")).map(|()| cost)
}

/// An operation's id.
fn id<T: Structure>(operation: &str) -> String {
    format!("{operation}_{}", T::NAME)
}

/// The samples of an operation on one page: each the mean over all pages.
fn of_each(
    bench: &mut Bench,
    operation: &str,
    mut sample: impl FnMut(Page) -> Result<Stamp, String>,
) -> Result<Vec<Stamp>, String> {
    let samples = bench.samples(operation, |bench| {
        let overhead = bench.overhead;
        let add = |sum: Stamp, page| sample(page).map(|cost| sum.plus(cost.without(overhead)));
        let sum = pages().try_fold(Stamp::default(), add)?;
        Ok(mean(sum).plus(overhead))
    })?;
    none_failed().map(|()| samples)
}

/// The same, as one row.
fn each<T: Structure>(
    bench: &mut Bench,
    operation: &str,
    sample: impl FnMut(Page) -> Result<Stamp, String>,
) -> Result<(), String> {
    let id = id::<T>(operation);
    let samples = of_each(bench, &id, sample)?;
    bench.record(&id, &samples, Path::Same)
}

fn mean(sum: Stamp) -> Stamp {
    Stamp { instructions: sum.instructions / REGION.count, cycles: sum.cycles / REGION.count }
}

/// Whether a page is dirty.
fn dirty<T: Structure>(bench: &mut Bench) -> Result<(), String> {
    let samples = of_each(bench, T::DIRTY[0], |page| match timed::<T, _>(|vm| is_dirty(vm, page))? {
        (true, cost) => Ok(cost),
        (false, _) => Err("a page that was written to is not dirty".into()),
    })?;
    T::DIRTY.iter().try_for_each(|id| bench.record(id, &samples, Path::Same))
}

fn protect_one<T: Structure>(bench: &mut Bench) -> Result<(), String> {
    each::<T>(bench, "prot1", |first| {
        let page = Region { first, count: 1 };
        let cost = protecting::<T>(page)?;
        unprotecting::<T>(page).map(|_| cost)
    })
}

fn protect_all<T: Structure>(bench: &mut Bench) -> Result<(), String> {
    bench.series(&id::<T>("prot100"), |_| {
        let cost = protecting::<T>(REGION)?;
        unprotecting::<T>(REGION).map(|_| cost)
    })?;
    bench.series(&id::<T>("unprot100"), |_| {
        protecting::<T>(REGION)?;
        unprotecting::<T>(REGION)
    })
}

/// The cost of a write that faults, everything that its handler does included.
fn faulting_write(page: Page) -> Stamp {
    let begin = begin_with_fp();
    write(page);
    counter::after().since(begin)
}

/// A write to a protected page, whose handler learns that it is protected, and steps over it.
fn trap<T: Structure>(bench: &mut Bench) -> Result<(), String> {
    with::<T, _>(|memory| memory.answer = Answer::Skip)?;
    protecting::<T>(REGION)?;
    each::<T>(bench, "trap", |page| Ok(faulting_write(page)))
}

/// A write to a random protected page, whose handler protects another and unprotects this one.
fn appel1<T: Structure>(bench: &mut Bench) -> Result<(), String> {
    protecting::<T>(REGION)?;
    let mut open = REGION.first; // the last of `pages`
    unprotecting::<T>(Region { first: open, count: 1 })?;
    each::<T>(bench, "appel1", |page| {
        with::<T, _>(|memory| memory.answer = Answer::Open { closing: Some(open) })?;
        open = page;
        Ok(faulting_write(page))
    })
}

/// Protects all pages, writes to each in random order, and unprotects each in the handler: for each page.
fn appel2<T: Structure>(bench: &mut Bench) -> Result<(), String> {
    with::<T, _>(|memory| memory.answer = Answer::Open { closing: None })?;
    bench.series(&id::<T>("appel2"), |bench| {
        let begin = begin_with_fp();
        protecting::<T>(REGION)?;
        pages().for_each(write);
        Ok(mean(counter::after().since(begin).without(bench.overhead)).plus(bench.overhead))
    })?;
    none_failed()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_page_is_used_once_and_the_first_is_the_last() {
        let mut all: Vec<_> = pages().collect();
        assert_eq!(all.last(), Some(&REGION.first));
        all.sort_unstable();
        assert!(
            all.windows(2).all(|pair| pair[0] < pair[1]) && all.iter().all(|page| REGION.contains(*page))
        );
        assert_eq!(all.len() as u64, REGION.count);
    }
}
