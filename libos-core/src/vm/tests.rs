//! Virtual memory as its user sees it, with either structure: data survive, dirty bits are exact, frames come and go.
#![forbid(unsafe_code)]

use super::fake::{Called, Fake};
use super::inverted::Inverted;
use super::linear::Linear;
use super::reserve::{Reserve, answer};
use super::store::Memory;
use super::*;
use crate::upcall::Fault;
use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec;
use alloc::vec::Vec;
use core::sync::atomic::Ordering::Relaxed;
use tranche_abi::page::{ActivationPage, MAX_RESERVE};
use tranche_abi::{Error, Kind, Object};

const REGION: Region = Region { first: Page(0x1_0000), count: 32 };

/// A program that accesses the pages of [`REGION`], as far as it may.
struct Program<T> {
    vm: Vm<T, Fake, Memory>,
    /// What each page's first word is to be.
    expected: BTreeMap<u64, u64>,
    /// Resident pages that were written since they came in.
    dirty: BTreeSet<u64>,
}

fn region_page(offset: u64) -> Page {
    Page(REGION.first.0 + offset)
}

fn program<T: PageTable>(table: T, frames: u64) -> Program<T> {
    let places = Box::leak(vec![[0; 512]; REGION.count as usize].into_boxed_slice());
    let store = Memory::new(REGION, places);
    let vm = Vm::new(REGION, (table, Fake::default(), store), (100..100 + frames).map(Frame).collect());
    Program { vm, expected: BTreeMap::new(), dirty: BTreeSet::new() }
}

/// Random numbers below a limit (Knuth's MMIX generator).
fn generator(seed: u64) -> impl FnMut(u64) -> u64 {
    let mut state = seed;
    move |limit| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 33) % limit
    }
}

impl<T: PageTable> Program<T> {
    /// An access that is repeated after each fault that was handled.
    fn access(&mut self, page: Page, access: Access) -> Result<&mut u64, Verdict> {
        for _ in 0..3 {
            if self.vm.kernel().access(page, 7, access).is_some() {
                break;
            }
            match self.vm.fault(Address(page.address().0 + 56), access) {
                Verdict::Handled => {}
                other => return Err(other),
            }
        }
        Ok(self.vm.kernel().access(page, 7, access).expect("a handled fault does not come again and again"))
    }

    fn write(&mut self, page: Page, value: u64) -> Result<(), Verdict> {
        *self.access(page, Access::Write)? = value;
        self.expected.insert(page.0, value);
        self.dirty.insert(page.0);
        Ok(())
    }

    fn read(&mut self, page: Page) -> Result<u64, Verdict> {
        self.access(page, Access::Read).copied()
    }

    #[track_caller]
    fn check(&mut self, page: Page) {
        let expected = self.expected.get(&page.0).copied().unwrap_or(0);
        assert_eq!(self.read(page), Ok(expected), "{page:?}");
    }

    fn check_dirty(&mut self) {
        for page in (0..REGION.count).map(region_page) {
            if self.vm.entry(page).is_none() {
                self.dirty.remove(&page.0);
            }
            assert_eq!(self.vm.is_dirty(page), self.dirty.contains(&page.0), "{page:?}");
        }
    }

    /// Does many things at random, and looks after each whether all is as it should be.
    fn storm(&mut self) {
        let mut below = generator(7);
        let mut protected = BTreeSet::new();
        for round in 0..20_000 {
            let page = region_page(below(REGION.count));
            match below(10) {
                0..4 => self.check(page),
                4..8 if protected.contains(&page.0) => {
                    assert_eq!(self.write(page, round), Err(Verdict::Protected(page)));
                }
                4..8 => assert_eq!(self.write(page, round), Ok(())),
                8 => {
                    let count = 1 + below(4);
                    let pages = page.0..page.0 + count;
                    let resident = pages.clone().all(|page| self.vm.entry(Page(page)).is_some());
                    let (told, wanted) = match below(2) {
                        0 => (self.vm.protect(page, count), true),
                        _ => (self.vm.unprotect(page, count), false),
                    };
                    assert_eq!(told, if resident { Ok(()) } else { Err(Error::Absent) });
                    for page in pages.filter(|_| resident) {
                        if wanted {
                            protected.insert(page)
                        } else {
                            protected.remove(&page)
                        };
                    }
                }
                _ if self.vm.entry(page).is_some() => {
                    assert_eq!(self.vm.write_back(page), Ok(()));
                    self.dirty.remove(&page.0);
                }
                _ => {}
            }
            self.check_dirty();
        }
        (0..REGION.count).for_each(|offset| self.check(region_page(offset)));
    }
}

#[test]
fn data_survive_replacement_and_dirty_bits_are_exact_whatever_the_structure() {
    let (mut linear, mut inverted) = (program(Linear::new(REGION), 8), program(Inverted::new(8), 8));
    linear.storm();
    inverted.storm();
    // The structure is the application's choice: the kernel sees no difference.
    let calls = [linear.vm.kernel().calls.clone(), inverted.vm.kernel().calls.clone()];
    assert!(calls[0] == calls[1] && calls[0].len() > 10_000);
}

#[test]
fn a_page_that_was_only_read_is_not_written_to_the_store() {
    let mut program = program(Linear::new(REGION), 1);
    assert_eq!(program.write(region_page(0), 1), Ok(()));
    program.check(region_page(1));
    program.vm.kernel().calls.clear();
    program.check(region_page(0));
    let page = region_page(0);
    let frame = Frame(100);
    let expected = [
        Called::Unmap(region_page(1)), // the second chance that nobody takes
        Called::Map(page, frame, Protection::ReadWrite),
        Called::Protect(page, 1, Protection::Read),
    ];
    assert_eq!(program.vm.kernel().calls, expected, "page 1 was not mapped again to be saved");
}

#[test]
fn a_page_in_use_stays_when_another_goes() {
    let mut program = program(Inverted::new(3), 3);
    (0..3).for_each(|offset| program.check(region_page(offset)));
    program.check(region_page(3)); // all were in use: 0 goes, 1 and 2 have had their chance
    program.check(region_page(1)); // and 1 takes it
    program.check(region_page(4));
    let resident = (0..5).map(|offset| program.vm.entry(region_page(offset)).is_some()).collect::<Vec<_>>();
    assert_eq!(resident, [false, true, false, true, true]);
}

#[test]
fn a_write_to_a_protected_page_is_the_applications_to_decide() {
    let mut program = program(Inverted::new(8), 8);
    (0..4).for_each(|offset| assert_eq!(program.write(region_page(offset), offset), Ok(())));
    assert_eq!(program.vm.protect(region_page(0), 4), Ok(()));
    // appel1: the handler allows this page and protects another one.
    assert_eq!(program.write(region_page(2), 9), Err(Verdict::Protected(region_page(2))));
    assert_eq!(program.vm.unprotect(region_page(2), 1), Ok(()));
    assert_eq!(program.vm.protect(region_page(5), 1), Err(Error::Absent));
    program.vm.kernel().calls.clear();
    assert_eq!(program.write(region_page(2), 9), Ok(()), "it was written before: nothing is to be noticed");
    assert_eq!(program.vm.kernel().calls, []);
    assert_eq!(program.vm.unprotect(region_page(0), 4), Ok(()));
    assert_eq!(program.vm.kernel().calls, [Called::Protect(region_page(0), 4, Protection::ReadWrite)]);
}

#[test]
fn faults_elsewhere_are_not_handled() {
    let mut program = program(Linear::new(REGION), 1);
    for page in [REGION.first.0 - 1, REGION.first.0 + REGION.count, 0, u64::MAX / 4096] {
        assert_eq!(program.vm.fault(Page(page).address(), Access::Read), Verdict::Foreign);
    }
    let mut empty = self::program(Inverted::new(0), 0);
    assert_eq!(empty.read(region_page(0)), Err(Verdict::Failed(Error::Full)));
}

#[test]
fn only_missing_pages_and_permissions_are_handled() {
    let fault = |class: u64, status: u64| Fault {
        syndrome: class << 26 | 1 << 25 | status,
        address: region_page(3).address(),
    };
    let (translation, permission, alignment) = (0b00_0111, 0b00_1111, 0b10_0001);
    let mut program = program(Linear::new(REGION), 4);
    for (class, status) in [(0x24, alignment), (0x20, translation), (0x25, translation), (0x15, 0)] {
        assert_eq!(program.vm.handle(fault(class, status)), Verdict::Foreign);
    }
    assert_eq!(program.vm.handle(fault(0x24, translation)), Verdict::Handled);
    assert!(!program.vm.is_dirty(region_page(3)));
    assert_eq!(program.vm.handle(fault(0x24, 1 << 6 | permission)), Verdict::Handled);
    assert!(program.vm.is_dirty(region_page(3)), "it was a write");
}

#[test]
fn frames_that_are_asked_back_are_given_and_nothing_is_lost() {
    let mut program = program(Linear::new(REGION), 8);
    (0..8).for_each(|offset| assert_eq!(program.write(region_page(offset), 100 + offset), Ok(())));
    let page = own_page();
    page.frame_demand.count.store(5, Relaxed);
    assert_eq!(answer(page, &mut program.vm), Ok(5));
    assert_eq!(program.vm.frames(), 3);
    let given = |call: &&Called| matches!(call, Called::Give(_));
    assert_eq!(program.vm.kernel().calls.iter().filter(given).count(), 5);
    (0..8).for_each(|offset| program.check(region_page(offset)));
    page.frame_demand.count.store(5, Relaxed);
    assert_eq!(answer(page, &mut program.vm), Ok(3), "not more than there are");
}

fn own_page() -> &'static ActivationPage {
    crate::page::own()
}

/// The kernel takes a frame by force, as it does: with what it enters in the activation's page.
fn seize<T: PageTable>(program: &mut Program<T>, frame: Frame) {
    let page = own_page();
    let at = page.repossessed.load(Relaxed) as usize % 32;
    let place = page.save_to[at].load(Relaxed);
    program.vm.kernel().seize(frame, (place != 0).then_some(Frame(place)));
    let object = Object { kind: Kind::Frame, index: frame.0 as u32 };
    page.repossessions[at].object.store(object.to_bits().0, Relaxed);
    page.repossessed.fetch_add(1, Relaxed);
}

#[test]
fn what_was_taken_by_force_goes_on_where_it_was_saved() {
    let mut program = program(Inverted::new(8), 8);
    (0..8).for_each(|offset| assert_eq!(program.write(region_page(offset), 100 + offset), Ok(())));
    let page = own_page();
    let mut reserve = Reserve::new(page, [Frame(500), Frame(501)]);
    assert_eq!([0, 1, 2].map(|n| page.reserve[n].load(Relaxed)), [500, 501, 0]);
    for offset in [3, 6] {
        let frame = program.vm.entry(region_page(offset)).expect("it was written").frame;
        seize(&mut program, frame);
    }
    assert!(reserve.is_behind(page));
    let mut fates = Vec::new();
    reserve.recover(page, &mut program.vm, |fate| fates.push(fate));
    assert_eq!(fates, [Fate::Saved(region_page(3)), Fate::Saved(region_page(6))]);
    (0..8).for_each(|offset| program.check(region_page(offset)));
    program.check_dirty();
    // Without a place the contents are lost; what was not written comes in again.
    assert_eq!((reserve.refill(page, &mut program.vm), program.vm.frames()), (Ok(()), 6));
    (0..8).for_each(|offset| program.check(region_page(offset)));
}

#[test]
fn without_a_place_only_what_was_written_is_lost() {
    let mut program = program(Linear::new(REGION), 4);
    (0..2).for_each(|offset| assert_eq!(program.write(region_page(offset), 100 + offset), Ok(())));
    assert_eq!(program.vm.write_back(region_page(0)), Ok(()));
    let mut reserve = Reserve::new(own_page(), []);
    let frames = [0, 1].map(|offset| program.vm.entry(region_page(offset)).expect("it was written").frame);
    frames.into_iter().for_each(|frame| seize(&mut program, frame));
    seize(&mut program, Frame(100)); // one that no page was in yet
    let mut fates = Vec::new();
    reserve.recover(own_page(), &mut program.vm, |fate| fates.push(fate));
    assert_eq!(fates, [Fate::Clean(region_page(0)), Fate::Lost(region_page(1)), Fate::Unused]);
    program.check(region_page(0));
    assert_eq!(program.read(region_page(1)), Ok(0));
    assert_eq!(program.vm.frames(), 1);
}

#[test]
fn a_reserve_is_never_larger_than_the_kernel_respects() {
    let reserve = Reserve::new(own_page(), (500..520).map(Frame));
    assert!(!reserve.is_behind(own_page()));
    assert_eq!(own_page().reserve.each_ref().map(|frame| frame.load(Relaxed))[MAX_RESERVE - 1], 507);
    assert_eq!(own_page().save_to[MAX_RESERVE].load(Relaxed), 0);
    assert_eq!(reserve.close(own_page()).len(), MAX_RESERVE);
    let left = own_page().reserve.iter().chain(&own_page().save_to).filter(|place| place.load(Relaxed) != 0);
    assert_eq!(left.count(), 0);
}

#[test]
fn closing_gives_every_frame_back_and_unmaps_every_page() {
    let mut program = program(Inverted::new(4), 4);
    (0..3).for_each(|offset| assert_eq!(program.write(region_page(offset), 1), Ok(())));
    let mut frames = program.vm.close();
    frames.sort_unstable();
    assert_eq!(frames, [100, 101, 102, 103].map(Frame));
}

#[test]
fn an_inverted_table_is_a_map_from_pages_to_entries() {
    let entry =
        |frame| Entry { frame: Frame(frame), is_mapped: true, is_dirty: false, allowed: Access::Read };
    let (mut table, mut model) = (Inverted::new(16), BTreeMap::new());
    let mut below = generator(3);
    for round in 0..50_000 {
        let page = Page(below(40) * 0x1_0000_0001); // anywhere in a huge space
        if table.get(page).is_some() {
            assert_eq!(table.remove(page), model.remove(&page));
        } else if model.len() < 16 {
            table.insert(page, entry(round));
            model.insert(page, entry(round));
        }
        assert_eq!(table.get(page), model.get(&page));
    }
    assert!(model.iter().all(|(page, entry)| table.get(*page) == Some(entry)));
}
