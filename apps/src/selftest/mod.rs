//! The self-test: finds out from EL0 whether the kernel keeps what it promises. One line and one record for each check.
//!
//! It is a libOS of its own with an activation on every core, which its creator gives slots; activation 0 does the tests,
//! with [`peer`]s that it creates out of the same program. The tests are in [`traps`], [`memory`], [`vm`], [`authority`],
//! [`time`], [`transfer`], [`crossing`], [`twins`], [`slots`], [`life`], [`limits`], [`threads`]; [`registers`] fills every
//! register and looks, [`raw`] does for a single call.
//!
//! Not here: what can only be seen from inside the kernel, which its own host tests see.

pub mod authority;
pub mod crossing;
pub mod life;
pub mod limits;
pub mod memory;
pub mod pager;
pub mod peer;
pub mod raw;
pub mod registers;
pub mod slots;
pub mod threads;
pub mod time;
pub mod transfer;
pub mod traps;
pub mod twins;
pub mod vm;

use crate::assignment::{EVENT_REPORT, without_clients};
use crate::probe;
use alloc::format;
use alloc::string::String;
use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed};
use libos_core::archive::{self, Archive};
use libos_core::calls::{self, Events};
use libos_core::frames::Frames;
use libos_core::report::Record;
use libos_core::spawn::{Child, Manager, SpawnPlan, spawn};
use libos_core::start::{StartInfo, encode_arguments};
use libos_core::upcall::Slices;
use libos_core::{output, page, public, say};
use tranche_abi::layout::HANDLE_MACHINE;
use tranche_abi::{Error, Outcome, Target, Tick};

/// What a check found: what was seen, or what was wrong.
pub type Found = Result<String, String>;
/// A check: what it states, and how to find out.
pub type Check = (&'static str, fn(&mut Bench) -> Found);

/// The name by which a peer knows what it is.
const PEER: &str = "peer";
/// Event bits between activations of the self-test: a question, and the answer.
pub const EVENT_PING: u64 = 1;
/// The answer to [`EVENT_PING`].
pub const EVENT_PONG: u64 = 2;
/// Event bit: run the target in [`HELPED`] for a while.
pub const EVENT_HELP: u64 = 4;
/// Whom an activation on another core is to run.
pub static HELPED: AtomicU64 = AtomicU64::new(0);

/// What the checks work with.
pub struct Bench {
    /// Free frames.
    pub frames: Frames,
    /// The programs.
    pub archive: Archive<'static>,
    /// Activations, one for each core.
    pub activations: u64,
    failed: u64,
}

/// Runs as the libOS, or as a peer that it created.
pub fn main(info: StartInfo) {
    if info.name == PEER {
        return peer::run(&info);
    }
    let arrived = page::now();
    if page::index() == 0 {
        test(&info);
    }
    serve();
    if page::index() == 0 {
        output::report(&Record::LibOs(without_clients(&info.name, arrived)));
    }
    output::stats().reported.fetch_add(1, AcqRel);
}

fn test(info: &StartInfo) {
    let Some(archive) = archive::boot() else {
        return report("the boot archive can be read", Err("it is no tar file".into()));
    };
    let frames = Frames::new(info.owned_frames());
    let mut bench = Bench { frames, archive, activations: info.activations, failed: 0 };
    probe::begin(Slices::ByKernel);
    let groups = [
        traps::CHECKS,
        memory::CHECKS,
        vm::CHECKS,
        authority::CHECKS,
        time::CHECKS,
        transfer::CHECKS,
        crossing::CHECKS,
        twins::CHECKS,
        slots::CHECKS,
        limits::CHECKS,
        life::CHECKS,
        threads::CHECKS,
    ];
    for (name, check) in groups.into_iter().flatten() {
        let free = bench.frames.free();
        let found = check(&mut bench).and_then(|seen| bench.is_clean(free).map(|()| seen));
        bench.failed += u64::from(found.is_err());
        report(name, found);
    }
    if output::mailbox().is_none() {
        // The first environment itself: nobody else ends the run.
        output::report(&Record::End { passed: bench.failed == 0, code: bench.failed, state: None });
        // Returns only if refused, and then there is nobody to tell.
        let _ = calls::power_off(HANDLE_MACHINE, bench.failed);
    }
}

fn report(name: &str, found: Found) {
    let passed = found.is_ok();
    let detail = found.unwrap_or_else(|wrong| wrong);
    say!("{} {name}: {detail}", if passed { "ok  " } else { "FAIL" });
    output::report(&Record::Check { name: name.into(), passed, detail });
    let stats = output::stats();
    let counter = if passed { &stats.checks_passed } else { &stats.checks_failed };
    counter.fetch_add(1, Relaxed);
}

/// Answers events until the creator wants the report, which is all written by then.
fn serve() {
    loop {
        let events = page::take_events();
        page::take_ready();
        if events & EVENT_PING != 0 {
            // Activation 0 is there.
            let _ = calls::notify(calls::own_target(0), EVENT_PONG);
        }
        if events & EVENT_HELP != 0 {
            let until = page::now().saturating_add(Tick(2 * public::view().quantum().0));
            while page::now() < until {
                let _ = calls::yield_to(Target(HELPED.load(Acquire)), until, Events::Ignore);
            }
        }
        if events & EVENT_REPORT != 0 {
            return;
        }
        // Refused only where there is no kernel.
        if calls::wait(Tick::NEVER).is_err() {
            return;
        }
    }
}

impl Bench {
    /// A check leaves as many frames as it found, page tables of ours excepted: they stay.
    fn is_clean(&self, before: u64) -> Result<(), String> {
        let missing = before.saturating_sub(self.frames.free());
        ensure(missing <= MAX_NEW_TABLES, || format!("{missing} frames did not come back"))
    }

    /// Creates a peer, of whose readiness we are told as client `client`.
    pub fn peer(&mut self, role: peer::Role, client: u64) -> Result<Child, String> {
        let plan = SpawnPlan {
            name: PEER,
            stack_pages: peer::STACK_PAGES,
            heap_pages: 16,
            arguments: encode_arguments(&role).map_err(|error| format!("{error}"))?,
            manager: Some(Manager { target: calls::own_target(0), client }),
            ..SpawnPlan::new("selftest")
        };
        spawn(&mut self.frames, &self.archive, &plan).map_err(|error| format!("no peer: {error:?}"))
    }

    /// Ends a peer and takes everything back.
    pub fn end(&mut self, peer: Child) -> Result<(), String> {
        peer.destroy(&mut self.frames).map_err(|error| format!("a peer could not be destroyed: {error:?}"))
    }

    /// Creates a peer, does something with it, and ends it, whatever came out.
    pub fn with_peer<R>(
        &mut self,
        role: peer::Role,
        action: impl FnOnce(&mut Self, &Child) -> Result<R, String>,
    ) -> Result<R, String> {
        let peer = self.peer(role, 0)?;
        let result = action(self, &peer);
        self.end(peer)?;
        page::take_ready();
        result
    }
}

/// Page tables of its own that one check may install for good: for peers' mailboxes and for what it maps.
const MAX_NEW_TABLES: u64 = 8;

/// Fails with a reason.
pub fn ensure(holds: bool, wrong: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(wrong()) }
}

/// A call that must work.
pub fn must<T>(what: &str, result: Result<T, Error>) -> Result<T, String> {
    result.map_err(|error| format!("{what}: {error:?}"))
}

/// A call that must be refused for this reason.
pub fn must_refuse<T: core::fmt::Debug>(
    what: &str,
    result: Result<T, Error>,
    reason: Error,
) -> Result<(), String> {
    match result {
        Err(error) if error == reason => Ok(()),
        other => Err(format!("{what}: {other:?} instead of {reason:?}")),
    }
}

/// Ticks in so many microseconds.
pub fn microseconds(count: u64) -> u64 {
    public::view().frequency() * count / 1_000_000
}

/// Begins a slice, so that the next half of it is not interrupted by its end.
pub fn settle() {
    let half = public::view().quantum().0 / 2;
    while page::own().slot_end.load(Relaxed).saturating_sub(page::now().0) < half {
        // Refused only where there is no kernel.
        if calls::yield_now().is_err() {
            return;
        }
    }
}

/// Runs a target for at most `span` ticks within one slice.
pub fn run_for(target: Target, span: u64) -> Result<Outcome, String> {
    settle();
    let until = page::now().saturating_add(Tick(span));
    must("yield_to", calls::yield_to(target, until, Events::Ignore))
}

/// Runs a target until it gives the CPU back by itself, for some slices at most.
pub fn run_until_it_stops(target: Target) -> Result<Outcome, String> {
    for _ in 0..64 {
        let outcome = run_for(target, public::view().quantum().0 / 2)?;
        if outcome.reason != tranche_abi::Reason::Expired {
            return Ok(outcome);
        }
    }
    Err("it never gave the CPU back".into())
}
