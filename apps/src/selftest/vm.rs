//! Checks of application-level virtual memory on the real kernel: replacement, dirty pages, frames asked back and taken.
//!
//! Not here: the program that has it ([`super::pager`]), and the logic, which its own host tests test.
#![forbid(unsafe_code)]

use super::pager::{self, FRAMES, PAGES, PART, RESERVE, RESIDENT, Structure};
use super::peer::Role;
use super::{Bench, Check, Found, ensure, microseconds, must, must_refuse, run_until_it_stops};
use crate::probe;
use alloc::format;
use alloc::string::String;
use core::ops::RangeInclusive;
use core::sync::atomic::Ordering::Relaxed;
use libos_core::calls::{self, Claim};
use libos_core::frames::Run;
use libos_core::mapping::{self, Space};
use libos_core::page;
use libos_core::spawn::Child;
use tranche_abi::layout::{HANDLE_SELF, PAGE_SIZE};
use tranche_abi::{Address, Error, Frame, Kind, Object, Protection, Rights, Tick};

/// In the order of telling.
pub const CHECKS: &[Check] = &[
    ("data survive in twice as many pages as there are frames", replacement),
    ("pages are dirty exactly if they were written", dirty),
    ("where a page has to go, parts lose them by an inverse lottery", parts),
    ("an environment sees its own page tables and cannot write there", own_tables),
    ("frames that are asked back are given in time, and no data are lost", asked_back),
    ("a frame taken by force was saved to the place provided, and its page goes on there", taken),
];

/// Where a frame or a table is looked at.
const WINDOW: Address = Address(0xa000_0000);
/// Rounds of a program.
const ROUNDS: u64 = 4;

/// Does something with virtual memory of either structure.
fn with_either(bench: &mut Bench, action: fn(Structure) -> Result<(), String>) -> Result<(), String> {
    for structure in [Structure::Linear, Structure::Inverted] {
        let store = pager::begin(structure, &mut bench.frames)?;
        let result = action(structure);
        pager::end(&mut bench.frames, store)?;
        result?;
    }
    Ok(())
}

fn replacement(bench: &mut Bench) -> Found {
    with_either(bench, |structure| {
        for round in 0..ROUNDS {
            ensure(pager::next_round(round), || format!("{structure:?}: wrong data in round {round}"))?;
        }
        Ok(())
    })?;
    Ok(format!("{PAGES} pages, {RESIDENT} frames, {ROUNDS} rounds, a linear and an inverted table"))
}

fn dirty(bench: &mut Bench) -> Found {
    with_either(bench, |structure| {
        // As many as are resident at once; every third is written.
        let is_written = |offset: u64| offset.is_multiple_of(3);
        (0..RESIDENT).for_each(|offset| _ = pager::read(offset));
        (0..RESIDENT).filter(|offset| is_written(*offset)).for_each(|offset| pager::write(offset, offset));
        for offset in 0..PAGES {
            let expected = offset < RESIDENT && is_written(offset);
            ensure(pager::is_dirty(offset) == expected, || format!("{structure:?}: page {offset}"))?;
        }
        must("write_back", pager::write_back(3))?;
        ensure(!pager::is_dirty(3) && pager::read(3) == 3, || format!("{structure:?}: written back"))?;
        pager::write(3, 33);
        ensure(pager::is_dirty(3) && pager::read(3) == 33, || format!("{structure:?}: written again"))
    })?;
    Ok(format!("{} of {RESIDENT} pages", RESIDENT.div_ceil(3)))
}

/// Of three parts with 8 : 1 : 1 tickets, every page of which is wanted as often, one loses its pages at 2/10 for each that it holds, and the others
/// at 9/10. It comes to hold p, the others q each, where as many come in as go: (1 − p / 10) / (2 p) = (1 − q / 10) / (9 q), and
/// p + 2 q = 16 frames: 7.6 and 4.2. A clock without parts would leave 5.3 to each.
fn parts(bench: &mut Bench) -> Found {
    const TENTHS: [RangeInclusive<u64>; 3] = [70..=83, 35..=49, 35..=49];
    let store = pager::begin(Structure::Parts([8, 1, 1]), &mut bench.frames)?;
    let (mut chance, mut held) = (libos_core::chance::seed(&[1]), [0; 3]);
    let (warm, accesses) = (600, 6000);
    for access in 0..accesses {
        let part = access % 3;
        let offset = part * PART + libos_core::chance::draw(&mut chance) % PART;
        let before = pager::read(offset);
        pager::write(offset, before + 1);
        if access >= warm {
            (0..3).for_each(|part| held[part as usize] += pager::resident(part));
        }
    }
    let written: u64 = (0..3 * PART).map(pager::read).sum();
    pager::end(&mut bench.frames, store)?;
    ensure(written == accesses, || format!("{written} of {accesses} writes are there"))?;
    let tenths = held.map(|sum| sum * 10 / (accesses - warm));
    let right = TENTHS.iter().zip(tenths).all(|(expected, tenths)| expected.contains(&tenths));
    ensure(right, || format!("in the mean {tenths:?} tenths of pages"))?;
    Ok(format!("in the mean {tenths:?} tenths of pages, of 8 : 1 : 1 tickets"))
}

fn own_tables(bench: &mut Bench) -> Found {
    let mut frame = page::own().root.load(Relaxed);
    let mut table = || bench.frames.take(1).map(|run| run.first);
    let mut seen = 0;
    for level in 1..=3 {
        let view = Run { first: Frame(frame), count: 1 };
        let write = calls::map(HANDLE_SELF, WINDOW, view.first, 1, Protection::ReadWrite);
        ensure(write.is_err(), || format!("the table of level {level} can be written"))?;
        must("map", Space { env: HANDLE_SELF, table: &mut table }.map(WINDOW, view, Protection::Read))?;
        let raise = calls::protect(HANDLE_SELF, WINDOW, 1, Protection::ReadWrite);
        must_refuse("making it writable", raise, Error::NoRight)?;
        let index = WINDOW.0 >> (39 - 9 * level) & 511;
        let descriptor = probe::value_at(WINDOW.0 + index * 8).ok_or("it cannot be read")?;
        must("unmap", calls::unmap(HANDLE_SELF, WINDOW, 1))?;
        seen = frame;
        frame = (descriptor & 0xffff_ffff_f000) / PAGE_SIZE;
    }
    ensure(frame == seen, || "the last table did not show itself where it was mapped".into())?;
    Ok("three levels".into())
}

/// A peer that pages in frames of its own. They are ours again when it ends.
fn with_pager(bench: &mut Bench, answers: bool, action: fn(&mut Bench, &Child, Run) -> Found) -> Found {
    let run = bench.frames.take(FRAMES).ok_or("no frames")?;
    let found = bench.with_peer(Role::Page { first: run.first.0, answers }, |bench, peer| {
        must("frame_give", mapping::give(run, peer.handle))?;
        rounds(peer)?;
        let found = action(bench, peer, run)?;
        rounds(peer)?;
        Ok(found)
    });
    bench.frames.put(run);
    page::take_events();
    found
}

/// Lets the peer work for some rounds: its data are right in each.
fn rounds(peer: &Child) -> Result<(), String> {
    let stats = peer.mailbox().stats();
    let before = stats.checks_passed.load(Relaxed);
    for _ in 0..ROUNDS {
        run_until_it_stops(peer.target(0))?;
    }
    let (right, wrong) = (stats.checks_passed.load(Relaxed) - before, stats.checks_failed.load(Relaxed));
    ensure((right, wrong) == (ROUNDS, 0), || format!("{right} rounds right, {wrong} wrong"))
}

/// Frames of a run that are ours.
fn ours(run: Run) -> u64 {
    let is_ours = |number: &u64| {
        let object = Object { kind: Kind::Frame, index: *number as u32 };
        calls::grant(object, Rights::READ).is_ok()
    };
    (run.first.0..run.end()).filter(is_ours).count() as u64
}

fn asked_back(bench: &mut Bench) -> Found {
    with_pager(bench, true, |_, peer, run| {
        const ASKED: u64 = 5;
        let deadline = page::now().saturating_add(Tick(microseconds(50_000)));
        must("ask", calls::ask(peer.target(0), Claim::Frames, ASKED, deadline))?;
        run_until_it_stops(peer.target(0))?;
        ensure(page::now() < deadline, || "it was too late".into())?;
        ensure(ours(run) == ASKED, || format!("{} frames came back", ours(run)))?;
        let more = calls::seize_frame(peer.handle, run.first);
        must_refuse("taking more", more, Error::TooEarly)?;
        Ok(format!("{ASKED} frames within 50 ms"))
    })
}

fn taken(bench: &mut Bench) -> Found {
    with_pager(bench, false, |bench, peer, run| {
        const TAKEN: u64 = 2;
        let now = page::now();
        must("ask", calls::ask(peer.target(0), Claim::Frames, TAKEN, now))?;
        for reserve in run.first.0..run.first.0 + RESERVE {
            must_refuse("its reserve", calls::seize_frame(peer.handle, Frame(reserve)), Error::Busy)?;
        }
        let pages = run.first.0 + RESERVE;
        for frame in (pages..pages + TAKEN).map(Frame) {
            must("seize_frame", calls::seize_frame(peer.handle, frame))?;
        }
        ensure(ours(run) == TAKEN, || format!("{} frames were taken", ours(run)))?;
        // What the peer had there is not for us.
        let mut table = || bench.frames.take(1).map(|run| run.first);
        let view = Run { first: Frame(pages), count: 1 };
        must("map", Space { env: HANDLE_SELF, table: &mut table }.map(WINDOW, view, Protection::Read))?;
        let clear = (0..PAGE_SIZE).step_by(8).all(|at| probe::value_at(WINDOW.0 + at) == Some(0));
        must("unmap", calls::unmap(HANDLE_SELF, WINDOW, 1))?;
        ensure(clear, || "the frame was not cleared".into())?;
        Ok(format!("{TAKEN} frames, {RESERVE} in reserve"))
    })
}
