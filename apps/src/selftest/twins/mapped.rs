//! Twins of `bind` and `protect`, with what they bring about: handles, descriptors in one's own page tables, faults.
#![forbid(unsafe_code)]

use super::{Left, UNBOUND, Values, both, capability_to, plain, refused, reply, ways, with_dead};
use crate::probe;
use crate::selftest::peer::Role;
use crate::selftest::raw::{self, Make};
use crate::selftest::{Bench, Found, ensure, must};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::sync::atomic::Ordering::Relaxed;
use libos_core::frames::Run;
use libos_core::mapping::{self, Space};
use libos_core::{calls, page};
use tranche_abi::calls::{CALLS, immediate};
use tranche_abi::layout::{ACTIVATION_BASE, HANDLE_PARENT, HANDLE_SELF, MAX_BATCH, MAX_HANDLES, PAGE_SIZE};
use tranche_abi::{
    ActivationIndex, Address, Capability, Error, Frame, Handle, Kind, Object, Protection, Rights, Target,
    Tick,
};

/// Where pages are protected: on both sides of a border between two page tables.
const BASE: u64 = 0xa000_0000 + 510 * PAGE_SIZE;
/// Pages there: a batch, and one that is then unmapped.
const PAGES: u64 = MAX_BATCH + 1;
/// Where a page table is looked at.
const WINDOW: Address = Address(0xa400_0000);

pub(super) fn bind(bench: &mut Bench) -> Found {
    bench.with_peer(Role::Spin, |_, peer| {
        let capability = capability_to(peer)?;
        let once = |make| bound(make, capability);
        let left = both("a capability", ways!(14), once)?;
        ensure(left.registers[0] == 0, || format!("refused: {}", left.registers[0]))?;
        let refused = |what, (body, mac), reason| refused(what, ways!(14), &[body, mac], reason);
        let Capability { body, mac } = capability;
        refused("a wrong proof", (body, mac ^ 1), Error::Forged)?;
        refused("another body", (body ^ 1 << 40, mac), Error::Forged)?;
        let bound = fill_handles(capability)?;
        let result = refused("with all handles bound", (body, mac), Error::Full);
        bound.into_iter().try_for_each(|handle| must("unbind", calls::unbind(handle)))?;
        result
    })?;
    let dead = with_dead(bench, |_, _, dying| {
        // It is there until it is reclaimed.
        both("a dying one's", ways!(14), |make| bound(make, dying)).map(|_| dying)
    })?;
    refused("a dead one's", ways!(14), &[dead.body, dead.mac], Error::Stale)?;
    let run = bench.frames.take(1).ok_or("no frames")?;
    let object = Object { kind: Kind::Frame, index: run.first.0 as u32 };
    let frame = must("grant", calls::grant(object, Rights::READ))?;
    bench.frames.put(run);
    refused("a frame's", ways!(14), &[frame.body, frame.mac], Error::BadArgument)?;
    Ok("a handle, 5 refusals".into())
}

/// Binds a capability, looks whether the handle is good, and frees it.
fn bound(make: Make, capability: Capability) -> Result<Left, String> {
    let registers = reply(make, &[capability.body, capability.mac], Values::Some)?;
    let handle = Handle(registers[1]);
    // Long over, so nobody runs; but the target is looked at.
    let target = Target::new(handle, ActivationIndex(0));
    let used = must("yield_to", calls::yield_to(target, Tick(0), calls::Events::Ignore))?;
    must("unbind", calls::unbind(handle))?;
    Ok(Left { registers, effects: alloc::vec![("the use of the handle", used.reason as u64)] })
}

/// Binds a capability until there is no handle left.
fn fill_handles(capability: Capability) -> Result<Vec<Handle>, String> {
    let mut bound = Vec::new();
    loop {
        match calls::bind(capability) {
            Ok(handle) => bound.push(handle),
            Err(Error::Full) => return Ok(bound),
            Err(error) => return Err(format!("after {} of {MAX_HANDLES} handles: {error:?}", bound.len())),
        }
    }
}

pub(super) fn protect(bench: &mut Bench) -> Found {
    let run = bench.frames.take(PAGES).ok_or("no frames")?;
    let mut table = || bench.frames.take(1).map(|run| run.first);
    must(
        "map",
        Space { env: HANDLE_SELF, table: &mut table }.map(Address(BASE), run, Protection::ReadWrite),
    )?;
    let result = protections(bench).and_then(|()| refusals(bench));
    must("unmap", mapping::unmap(HANDLE_SELF, Address(BASE), PAGES))?;
    bench.frames.put(run);
    result.map(|()| format!("up to {MAX_BATCH} pages over two tables, 12 refusals"))
}

/// Pages of one's own, protected in every way from every other.
fn protections(bench: &mut Bench) -> Result<(), String> {
    use Protection::{Read, ReadExecute, ReadWrite};
    for count in [0, 1, 3, 8, MAX_BATCH] {
        for (from, to) in [
            (ReadWrite, Read),
            (Read, ReadWrite),
            (Read, Read),
            (ReadWrite, ReadExecute),
            (ReadExecute, Read),
        ] {
            let what = format!("{count} pages from {from:?} to {to:?}");
            let left = both(&what, ways!(35), |make| {
                must("protect", calls::protect(HANDLE_SELF, Address(BASE), MAX_BATCH, from))?;
                // Translations of all pages are cached now.
                (0..PAGES).for_each(|page| probe::read(BASE + page * PAGE_SIZE));
                let arguments = [HANDLE_SELF.0, BASE, count, to as u64];
                let registers = reply(make, &arguments, Values::None)?;
                Ok(Left { registers, effects: effects(bench)? })
            })?;
            ensure(left.registers[0] == 0, || format!("{what}: {}", left.registers[0]))?;
            let writable = left.effects.iter().filter(|effect| **effect == WRITABLE).count() as u64;
            let expected =
                count * u64::from(to == ReadWrite) + (MAX_BATCH - count) * u64::from(from == ReadWrite) + 1;
            ensure(writable == expected, || format!("{what}: {writable} pages can be written"))?;
        }
    }
    Ok(())
}

/// A page that can be written.
const WRITABLE: (&str, u64) = ("whether a page can be written", 1);

/// Which pages can be written, and their descriptors.
fn effects(bench: &mut Bench) -> Result<Vec<(&'static str, u64)>, String> {
    let writes = (0..PAGES).map(|page| probe::catch(|| probe::write(BASE + page * PAGE_SIZE)).is_none());
    let mut effects: Vec<_> = writes.map(|done| (WRITABLE.0, u64::from(done))).collect();
    let border = (BASE / PAGE_SIZE).next_multiple_of(512) * PAGE_SIZE;
    for (begin, end) in [(BASE, border), (border, BASE + PAGES * PAGE_SIZE)] {
        let descriptors = descriptors(bench, begin, (end - begin) / PAGE_SIZE)?;
        effects.extend(descriptors.into_iter().map(|descriptor| ("a page's descriptor", descriptor)));
    }
    Ok(effects)
}

/// The descriptors of some pages of one table of the last level, as this environment sees its own tables.
fn descriptors(bench: &mut Bench, address: u64, count: u64) -> Result<Vec<u64>, String> {
    let mut frame = Frame(page::own().root.load(Relaxed));
    for level in 1..=3 {
        let mut table = || bench.frames.take(1).map(|run| run.first);
        let view = Run { first: frame, count: 1 };
        must("map", Space { env: HANDLE_SELF, table: &mut table }.map(WINDOW, view, Protection::Read))?;
        let index = address >> (39 - 9 * level) & 511;
        let wanted = if level == 3 { count } else { 1 };
        let seen = (index..index + wanted).map(|index| probe::value_at(WINDOW.0 + index * 8)).collect();
        must("unmap", calls::unmap(HANDLE_SELF, WINDOW, 1))?;
        let seen: Vec<u64> = Option::ok_or(seen, "a table cannot be read")?;
        if level == 3 {
            return Ok(seen);
        }
        frame = Frame((seen[0] & 0xffff_ffff_f000) / PAGE_SIZE);
    }
    Err("there is no last level".into())
}

/// Protections that are refused, and change nothing.
fn refusals(bench: &mut Bench) -> Result<(), String> {
    must("protect", calls::protect(HANDLE_SELF, Address(BASE), MAX_BATCH, Protection::Read))?;
    let hole = BASE + MAX_BATCH * PAGE_SIZE;
    must("unmap", calls::unmap(HANDLE_SELF, Address(hole), 1))?;
    let before = effects(bench)?;
    let (own, write) = (HANDLE_SELF.0, Protection::ReadWrite as u64);
    let refused = |what, arguments: [u64; 4], reason| refused(what, ways!(35), &arguments, reason);
    refused("a handle that is not bound", [UNBOUND.0, BASE, 1, write], Error::BadHandle)?;
    refused("a handle without the right", [HANDLE_PARENT.0, BASE, 1, write], Error::NoRight)?;
    refused("an address within a page", [own, BASE + 8, 1, write], Error::BadArgument)?;
    refused("a batch too long", [own, BASE, MAX_BATCH + 1, write], Error::BadArgument)?;
    refused("a batch without end", [own, BASE, u64::MAX, write], Error::BadArgument)?;
    refused("an address of the kernel's", [own, ACTIVATION_BASE, 1, write], Error::BadArgument)?;
    refused("no protection", [own, BASE, 1, 3], Error::BadArgument)?;
    refused("a page that is not mapped", [own, hole, 1, write], Error::Absent)?;
    refused("a batch with a hole", [own, hole - 3 * PAGE_SIZE, 4, write], Error::Absent)?;
    refused("pages without a table", [own, ACTIVATION_BASE - PAGE_SIZE, 1, write], Error::NoTable)?;
    with_dead(bench, |_, dead, _| refused("of a dead one", [dead.handle.0, BASE, 1, write], Error::Stale))?;
    refused_view(bench, write)?;
    ensure(effects(bench)? == before, || "a refused call changed pages".into())
}

/// One's own page table may be seen, not written.
fn refused_view(bench: &mut Bench, write: u64) -> Result<(), String> {
    let view = Run { first: Frame(page::own().root.load(Relaxed)), count: 1 };
    let mut table = || bench.frames.take(1).map(|run| run.first);
    must("map", Space { env: HANDLE_SELF, table: &mut table }.map(WINDOW, view, Protection::Read))?;
    let to_write = refused("a table", ways!(35), &[HANDLE_SELF.0, WINDOW.0, 1, write], Error::NoRight);
    let to_read = both("a table, for reading", ways!(35), |make| {
        plain(reply(make, &[HANDLE_SELF.0, WINDOW.0, 1, Protection::Read as u64], Values::None)?)
    });
    must("unmap", calls::unmap(HANDLE_SELF, WINDOW, 1))?;
    to_write.and(to_read.map(drop))
}
