//! The two ways to protect pages: the one without a lock against the call, and against cores that change the same tables.
//!
//! Not here: what protections allow ([`super::mapping`]).
#![forbid(unsafe_code)]

use super::world::*;
use crate::paging::{Descriptor, Pages};
use crate::protect::{change_all, protect_own};
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::vec::Vec;
use tranche_abi::layout::{ACTIVATION_BASE, MAX_BATCH, PAGE_SIZE};
use tranche_abi::{Error, Frame, Kind, Protection, ProtectionBits, Rights};

/// The last 64 pages that one table covers, and the first 64 that the next does.
const PLACE: u64 = 0x60_0000 - 64 * PAGE_SIZE;
/// Pages of a world that are looked at: all from `DATA` to the end of the second table.
const PAGES: u64 = 1024;

/// The child that protects, and the world in which it runs on core 0.
struct Prepared {
    world: World,
    child: u16,
}

impl Prepared {
    /// Two tables of a child's; in them 128 pages of its own around the border, then a gap, a page of its creator's that may
    /// become writable, a view of one of its tables, a shared page, and an executable page of its own.
    fn new() -> Self {
        let mut world = World::boot();
        let child = world.spawn(0, 0, 0);
        let tables = world.frames(3);
        for (address, frame) in [(DATA, tables), (DATA, tables + 1), (0x60_0000, tables + 2)] {
            world.ok(0, "table", &[child.handle.0, address, frame]);
        }
        let own = world.frames(MAX_BATCH + 1);
        world.ok(0, "map", &[child.handle.0, PLACE, own, MAX_BATCH, 1]);
        world.ok(0, "frame_give", &[own, MAX_BATCH, child.handle.0]);
        world.ok(0, "frame_give", &[own + MAX_BATCH, 1, child.handle.0]);
        let after = |page: u64| PLACE + (MAX_BATCH + page) * PAGE_SIZE;
        let foreign = world.frames(2);
        world.ok(0, "map", &[child.handle.0, after(2), foreign, 1, 1]);
        let shared = world.grant(0, Kind::Frame, foreign + 1, Rights::READ);
        world.enter(0, child.target(0), u64::MAX, 0);
        world.ok(0, "map", &[0, after(3), tables + 1, 1, 0]);
        world.ok(0, "map_shared", &[shared.body, shared.mac, after(4), 0]);
        world.ok(0, "map", &[0, after(5), own + MAX_BATCH, 1, 2]);
        Self { world, child: child.index }
    }

    fn descriptors(&self) -> Vec<Option<Descriptor>> {
        let machine = self.world.fake.core(0);
        let root = self.world.kernel.space(&machine, self.child).root;
        let pages = Pages { address: DATA, count: PAGES };
        pages.each(&machine, root).map(|(_, place)| place.map(Descriptor::load)).collect()
    }

    fn call(&mut self, address: u64, count: u64, protection: u64) -> Option<Error> {
        Error::from_register(self.world.call(0, "protect", &[0, address, count, protection])[0])
    }

    /// The same without the lock, where that is possible; and a call in either case, after which every invariant is checked.
    fn own(&mut self, address: u64, count: u64, protection: u64) -> (bool, Option<Error>) {
        let before = self.descriptors();
        let machine = self.world.fake.core(0);
        let space = self.world.kernel.space(&machine, self.child);
        if protect_own(&machine, space, (address, count), ProtectionBits(protection)) {
            return (true, self.call(PLACE, 0, 0));
        }
        assert_eq!(self.descriptors(), before, "nothing was changed");
        let refused = self.call(address, count, protection);
        let first = (address.wrapping_sub(DATA) / PAGE_SIZE) as usize;
        let is_own = |page: &Option<Descriptor>| page.is_some_and(Descriptor::is_owned);
        let all_own = || before[first..first + count as usize].iter().all(is_own);
        let needs_call = refused.is_some() || protection > 1 || count == 0 || !all_own();
        assert!(needs_call, "it could have been done without the call");
        (false, refused)
    }
}

#[test]
fn protecting_own_pages_without_a_lock_does_what_the_call_does() {
    let (mut slow, mut fast) = (Prepared::new(), Prepared::new());
    let mut random = 1u64;
    let mut below = |limit: u64| {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (random >> 33) % limit
    };
    const ODD: [u64; 6] =
        [DATA + 1, u64::MAX, u64::MAX - 4095, ACTIVATION_BASE, 3 << 30, ACTIVATION_BASE - PAGE_SIZE];
    let mut done = 0;
    for _ in 0..20_000 {
        let address = match below(12) {
            0 => ODD[below(6) as usize],
            _ => PLACE - 2 * PAGE_SIZE + below(MAX_BATCH + 12) * PAGE_SIZE,
        };
        let count = [0, 1, 2, 3, 5, 17, 64, 100, MAX_BATCH, MAX_BATCH + 1, u64::MAX][below(11) as usize];
        let protection = [0, 0, 1, 1, 2, 3, u64::MAX][below(7) as usize];
        let expected = slow.call(address, count, protection);
        let (without_call, refused) = fast.own(address, count, protection);
        assert_eq!(refused, expected, "{address:x} {count} {protection}");
        assert_eq!(fast.descriptors(), slow.descriptors());
        done += u32::from(without_call);
    }
    assert!(done > 2000, "{done} only");
}

#[test]
fn a_page_that_another_core_takes_away_is_not_protected() {
    let own = Descriptor::page(Frame(7), Protection::Read, Protection::Read).owned();
    let foreign = Descriptor::page(Frame(8), Protection::Read, Protection::Read);
    let places = [const { AtomicU64::new(0) }; 64];
    let (over, sweeps) = (AtomicBool::new(false), AtomicU64::new(0));
    let wait_for_sweeps = |count: u64| {
        let target = sweeps.load(Relaxed) + count;
        while sweeps.load(Relaxed) < target {
            std::hint::spin_loop();
        }
    };
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Relaxed) {
                for protection in [Protection::ReadWrite, Protection::Read] {
                    change_all(&places, Descriptor::NONE.protected(protection, protection));
                }
                sweeps.fetch_add(1, Relaxed);
            }
        });
        let mut lost = 0;
        for round in 0..5_000 {
            places.iter().for_each(|place| own.store(place));
            wait_for_sweeps(round % 2);
            let next = if round % 2 == 0 { foreign } else { Descriptor::NONE };
            places.iter().for_each(|place| next.store(place));
            wait_for_sweeps(2); // the one that was under way is over
            lost += places.iter().filter(|place| Descriptor::load(place) != next).count();
        }
        over.store(true, Relaxed);
        assert_eq!(lost, 0, "what is not marked was changed");
    });
}
