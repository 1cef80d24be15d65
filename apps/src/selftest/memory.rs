//! Checks of mappings.

use super::peer::Role;
use super::{Bench, Check, Found, ensure, must, must_refuse};
use crate::probe::{self, class};
use alloc::format;
use alloc::string::String;
use core::sync::atomic::Ordering::Relaxed;
use libos_core::frames::Run;
use libos_core::mapping::{self, Space};
use libos_core::{calls, layout, public, sys};
use tranche_abi::calls::immediate;
use tranche_abi::layout::{HANDLE_SELF, MAX_BATCH, PAGE_SIZE, PUBLIC_BASE};
use tranche_abi::{Address, Error, Frame, Protection};

/// In the order of telling.
pub const CHECKS: &[Check] = &[
    ("map, protect and unmap take effect at once", map_protect_unmap),
    ("code that was written runs once its page is executable, and not before", code),
    ("no page is writable and executable", write_or_execute),
    ("a call that is refused changes nothing", all_or_nothing),
    ("kernel memory cannot be read, written or run", kernel_memory),
    ("what is public can be read and nothing else", public_memory),
    ("frames of others are refused, and so is everything else that is theirs", foreign),
    ("what the display shows is its owner's alone", display),
];

/// Where the checks map: on both sides of a border between two page tables.
const BASE: u64 = 0x8000_0000 + 510 * PAGE_SIZE;

/// Frames mapped at [`BASE`] while an action runs.
fn with_pages<R>(
    bench: &mut Bench,
    count: u64,
    action: impl FnOnce(Run) -> Result<R, String>,
) -> Result<R, String> {
    let run = bench.frames.take(count).ok_or("no frames")?;
    let frames = &mut bench.frames;
    let mut table = || frames.take(1).map(|run| run.first);
    must("fill", mapping::fill(run, &[], &mut table))?;
    let mut space = Space { env: HANDLE_SELF, table: &mut table };
    must("map", space.map(Address(BASE), run, Protection::ReadWrite))?;
    let result = action(run);
    must("unmap", mapping::unmap(HANDLE_SELF, Address(BASE), count))?;
    bench.frames.put(run);
    result
}

fn caught(what: &str, action: fn(u64), address: u64, expected: u64) -> Result<(), String> {
    let fault = probe::catch(|| action(address));
    let right = fault.is_some_and(|f| f.class() == expected && f.address.0 == address);
    ensure(right, || format!("{what} at {address:#x}: {fault:x?}"))
}

fn map_protect_unmap(bench: &mut Bench) -> Found {
    with_pages(bench, 4, |_| {
        for page in 0..4 {
            let address = BASE + page * PAGE_SIZE;
            ensure(probe::value_at(address) == Some(0), || format!("page {page} is not zero"))?;
            probe::write(address);
            ensure(probe::value_at(address) == Some(address), || format!("page {page} does not keep"))?;
        }
        must("protect", calls::protect(HANDLE_SELF, Address(BASE), 4, Protection::Read))?;
        caught("a write to a read-only page", probe::write, BASE + PAGE_SIZE, class::DATA_ABORT)?;
        ensure(probe::value_at(BASE + PAGE_SIZE) == Some(BASE + PAGE_SIZE), || "it changed".into())?;
        must("protect", calls::protect(HANDLE_SELF, Address(BASE), 4, Protection::ReadWrite))?;
        ensure(probe::catch(|| probe::write(BASE)).is_none(), || "not writable again".into())?;
        must("unmap", calls::unmap(HANDLE_SELF, Address(BASE + PAGE_SIZE), 1))?;
        caught("a read of an unmapped page", probe::read, BASE + PAGE_SIZE, class::DATA_ABORT)?;
        ensure(probe::value_at(BASE + 2 * PAGE_SIZE).is_some(), || "its neighbour is gone too".into())?;
        Ok("4 pages over two page tables".into())
    })
}

fn code(bench: &mut Bench) -> Found {
    with_pages(bench, 1, |_| {
        for round in 0..4u16 {
            must("protect", calls::protect(HANDLE_SELF, Address(BASE), 1, Protection::ReadWrite))?;
            // `brk #round`, then `ret`.
            write_code(u64::from(0xd420_0000 | u32::from(round) << 5) | 0xd65f_03c0 << 32);
            caught("a jump to a writable page", probe::call, BASE, class::INSTRUCTION_ABORT)?;
            must("protect", calls::protect(HANDLE_SELF, Address(BASE), 1, Protection::ReadExecute))?;
            let fault = probe::catch(|| probe::call(BASE));
            let right = fault.is_some_and(|f| f.class() == class::BREAK && f.immediate() == round);
            ensure(right, || format!("round {round}: {fault:x?}"))?;
            caught("a write to executable code", probe::write, BASE, class::DATA_ABORT)?;
        }
        Ok("4 versions of the code in one page".into())
    })
}

fn write_code(code: u64) {
    #[cfg(target_os = "none")]
    // SAFETY: The page at BASE is mapped writable by the check that calls, which nobody else knows.
    unsafe {
        (BASE as *mut u64).write_volatile(code)
    };
    let _ = code;
}

fn write_or_execute(bench: &mut Bench) -> Found {
    with_pages(bench, 1, |run| {
        for bits in [3, 4, 6, 7, u64::MAX] {
            // SAFETY: The number of `protect`, which the kernel answers.
            let protect =
                unsafe { sys::enter::<{ immediate(35) }>([HANDLE_SELF.0, BASE, 1, bits, 0, 0, 0, 0]) };
            must_refuse("protect", protect, Error::BadArgument)?;
            // SAFETY: The number of `map`, which the kernel answers.
            let map = unsafe {
                sys::enter::<{ immediate(32) }>([
                    HANDLE_SELF.0,
                    BASE + PAGE_SIZE,
                    run.first.0,
                    1,
                    bits,
                    0,
                    0,
                    0,
                ])
            };
            must_refuse("map", map, Error::BadArgument)?;
        }
        Ok("5 protections that are none".into())
    })
}

fn all_or_nothing(bench: &mut Bench) -> Found {
    with_pages(bench, 3, |run| {
        let again = calls::map(HANDLE_SELF, Address(BASE - PAGE_SIZE), run.first, 2, Protection::Read);
        must_refuse("mapping over a page", again, Error::Busy)?;
        caught("the page before", probe::read, BASE - PAGE_SIZE, class::DATA_ABORT)?;
        must("unmap", calls::unmap(HANDLE_SELF, Address(BASE + PAGE_SIZE), 1))?;
        let hole = calls::protect(HANDLE_SELF, Address(BASE), 3, Protection::Read);
        must_refuse("protecting a hole", hole, Error::Absent)?;
        ensure(probe::catch(|| probe::write(BASE)).is_none(), || "the first page was protected".into())?;
        for (address, count) in [(BASE + 1, 1), (BASE, MAX_BATCH + 1), (u64::MAX - 4095, 2), (PUBLIC_BASE, 1)]
        {
            let odd = calls::unmap(HANDLE_SELF, Address(address), count);
            must_refuse("an impossible range", odd, Error::BadArgument)?;
        }
        Ok("over a page, over a hole, beyond the end".into())
    })
}

fn kernel_memory(_: &mut Bench) -> Found {
    let places = [
        0,
        1 << 39,
        1 << 47,
        0xffff_0000_0000_0000,
        0xffff_0000_4008_0000,
        0xffff_ff80_0000_0000,
        0xffff_ff80_4008_0000,
        0xffff_ffff_8000_0000,
        0xffff_ffff_ffff_f000,
    ];
    for address in places {
        for action in [probe::read, probe::write, probe::call] as [fn(u64); 3] {
            let fault = probe::catch(|| action(address));
            ensure(fault.is_some(), || format!("{address:#x} is open to EL0"))?;
        }
    }
    let reserved = public::view().first_frame();
    let own = calls::map(HANDLE_SELF, Address(BASE), reserved, 1, Protection::Read);
    ensure(own.is_err(), || "the kernel's first frame can be mapped".into())?;
    Ok(format!("{} places", places.len()))
}

fn public_memory(_: &mut Bench) -> Found {
    for address in [PUBLIC_BASE, layout::START_BASE, tranche_abi::layout::ARCHIVE_BASE] {
        ensure(probe::value_at(address).is_some(), || format!("{address:#x} cannot be read"))?;
        caught("a write", probe::write, address, class::DATA_ABORT)?;
        caught("a jump", probe::call, address, class::INSTRUCTION_ABORT)?;
    }
    let view = public::view();
    ensure(view.is_known() && view.quantum().0 > 0 && view.cores() > 0, || "its contents are odd".into())?;
    Ok(format!("{} cores, {} slots of {} ticks", view.cores(), view.slots(), view.quantum().0))
}

fn foreign(bench: &mut Bench) -> Found {
    let bait = bench.frames.take(1).ok_or("no frames")?;
    let result = bench.with_peer(Role::Trespass { frame: bait.first.0 }, |bench, peer| {
        super::run_until_it_stops(peer.target(0))?;
        let stats = peer.mailbox().stats();
        let (refused, granted) = (stats.checks_passed.load(Relaxed), stats.checks_failed.load(Relaxed));
        ensure(granted == 0 && refused > 0, || format!("{granted} of {} were granted", refused + granted))?;
        // And what was given away is no longer ours.
        let given = bench.frames.take(1).ok_or("no frames")?;
        must("frame_give", calls::frame_give(given.first, 1, peer.handle))?;
        let map = calls::map(HANDLE_SELF, Address(BASE), given.first, 1, Protection::Read);
        must_refuse("mapping a frame that was given away", map, Error::NotOwner)?;
        Ok((refused, given))
    });
    bench.frames.put(bait);
    let (refused, given) = result?;
    // It came back when the peer ended.
    bench.frames.put(given);
    let beyond = public::view().first_frame().0 + public::view().frames();
    for frame in [0, beyond, u64::MAX, u64::MAX / 4096] {
        let map = calls::map(HANDLE_SELF, Address(BASE), Frame(frame), 1, Protection::Read);
        ensure(map.is_err(), || format!("frame {frame:#x} can be mapped"))?;
    }
    Ok(format!("{refused} calls of a peer"))
}

/// With a display (`./just run-qemu selftest --display`) its frames are the display program's.
fn display(_: &mut Bench) -> Found {
    let (view, first) = (public::view(), public::view().display_first().0);
    let all = view.display_frames();
    for frame in
        [0, all / 2, all.saturating_sub(1)].into_iter().filter(|_| all > 0).map(|at| Frame(first + at))
    {
        let map = calls::map(HANDLE_SELF, Address(BASE), frame, 1, Protection::ReadWrite);
        must_refuse("mapping a row of pixels", map, Error::NotOwner)?;
        must_refuse("giving a row of pixels", calls::frame_give(frame, 1, HANDLE_SELF), Error::NotOwner)?;
        let table = calls::table(HANDLE_SELF, Address(BASE), frame);
        must_refuse("making a table of a row of pixels", table.map(drop), Error::NotOwner)?;
    }
    Ok(if all == 0 { "there is no display".into() } else { format!("{all} frames") })
}
