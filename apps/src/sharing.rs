//! What clients of a scheduler have together: a lock that a job needs for its first part, and a server that does their work on their
//! time.
//!
//! A job enters its lock when it begins, and leaves it when it has used so much CPU time. Who waits for it writes for whom into its
//! statistics, where its scheduler looks. A server is entered by protected control transfer: it has no slots, tickets or turns of its
//! own, and one activation for each caller, so no caller waits for another. Not here: the lock ([`libos_core::lock`]), the
//! transfer ([`libos_core::transfer`]), who is scheduled when.
#![forbid(unsafe_code)]

use crate::work::Work;
use alloc::boxed::Box;
use core::sync::atomic::Ordering::Relaxed;
use libos_core::lock::{Member, Page, Signals};
use libos_core::transfer::{self, Message};
use libos_core::{calls, output, page};
use serde::{Deserialize, Serialize};
use spin::Mutex;
use tranche_abi::layout::MAX_ACTIVATIONS;
use tranche_abi::{ActivationIndex, Capability, Error, Gate, Identity, Target, Tick};

/// The event bit by which a lock's members wake each other.
const EVENT_LOCK: u64 = 1;

/// A lock, in the page that a client shares with its creator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Section {
    /// Which of its members the client is.
    pub member: u32,
    /// For how much CPU time of each job it is held, in ticks.
    pub held: u64,
}

/// Who does a client's work.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Worker {
    /// It does.
    #[default]
    Itself,
    /// A server: a capability to it, and which of its activations.
    Server {
        /// The capability.
        body: u64,
        /// Its proof.
        mac: u64,
        /// The activation that is this client's.
        activation: u64,
    },
    /// It is a server, and does its callers'.
    Others,
}

/// Work of which every job's first part is under a lock.
pub struct Guarded<W> {
    work: W,
    member: Member,
    page: &'static Page,
    held: Tick,
    /// What the guarded word was when this client last wrote it, while it has the lock.
    inside: Option<u64>,
    /// Whether it was always that.
    alone: bool,
}

impl<W: Work> Guarded<W> {
    /// Work under the lock in this page.
    pub fn new(section: Section, page: &'static Page, work: W) -> Self {
        let member = Member::new(section.member as usize);
        Self { work, member, page, held: Tick(section.held), inside: None, alone: true }
    }

    fn leave(&mut self) {
        if self.inside.take().is_some() {
            self.member.release(self.page, &mut Events(self.page));
        }
    }
}

impl<W: Work> Work for Guarded<W> {
    fn unit(&mut self, left: Tick) -> bool {
        if let Some(written) = self.inside {
            // Nobody else writes there now: two loads and a store would not be enough if somebody did.
            let guarded = self.page.guarded();
            self.alone &= guarded.load(Relaxed) == written;
            guarded.store(written.wrapping_add(1), Relaxed);
            self.inside = Some(written.wrapping_add(1));
        }
        self.work.unit(left) & self.alone
    }

    fn begin(&mut self) {
        self.member.acquire(self.page, &mut Events(self.page));
        (self.inside, self.alone) = (Some(self.page.guarded().load(Relaxed)), true);
    }

    fn used(&mut self, used: Tick) {
        if used >= self.held {
            self.leave();
        }
    }

    fn end(&mut self) {
        self.leave();
    }
}

/// Members wait for the kernel's events.
struct Events(&'static Page);

impl Signals for Events {
    fn wait_for(&mut self, holder: usize) {
        let waits_for = &output::stats().waits_for;
        waits_for.store(self.0.client(holder).saturating_add(1), Relaxed);
        // Returns at once if an event was posted meanwhile. Refused only where there is no kernel.
        let _ = calls::wait(Tick::NEVER);
        page::take_events();
        waits_for.store(0, Relaxed);
    }

    fn wake(&mut self, member: usize) {
        // Refused only to a member that is no more.
        if let Ok(handle) = calls::bind(self.0.capability(member)) {
            let _ = calls::notify(Target::new(handle, ActivationIndex(0)), EVENT_LOCK);
            let _ = calls::unbind(handle);
        }
    }
}

/// Work that a server does.
pub struct Request(Gate);

impl Request {
    /// Work that this activation of a server does. Errors as of `bind` and `gate_open`.
    pub fn new(server: Capability, activation: u64) -> Result<Self, Error> {
        let handle = calls::bind(server)?;
        Ok(Self(calls::gate_open(Target::new(handle, ActivationIndex(activation)))?))
    }
}

impl Work for Request {
    fn unit(&mut self, left: Tick) -> bool {
        let mut message = [left.0, 0, 0, 0, 0, 0, 0, 0];
        transfer::call(self.0, &mut message).is_ok() && message[0] == RIGHT
    }
}

/// A server's answer: its work's results were right.
const RIGHT: u64 = 0x7269_6768_7400;

/// A unit of a server's work.
type Unit = Box<dyn FnMut() -> bool + Send>;

/// The units of a server's work, for each of its activations.
static UNITS: [Mutex<Option<Unit>>; MAX_ACTIVATIONS] = [const { Mutex::new(None) }; MAX_ACTIVATIONS];

/// This activation does its caller's work from now on.
pub fn serve(unit: impl FnMut() -> bool + Send + 'static) {
    if let Some(own) = UNITS.get(page::index() as usize) {
        *own.lock() = Some(Box::new(unit));
    }
    transfer::serve(answer);
}

/// Works for as long as is asked for by the clock; where others had the CPU meanwhile, that is less CPU time, and the caller asks again.
fn answer(message: &mut Message, _caller: Identity) {
    let until = page::now().saturating_add(Tick(message[0]));
    let mut right = true;
    // Nobody else takes this lock: an activation serves one caller at a time.
    if let Some(mut own) = UNITS.get(page::index() as usize).map(Mutex::lock)
        && let Some(unit) = &mut *own
    {
        loop {
            right &= unit();
            if page::now() >= until {
                break;
            }
        }
    }
    message[0] = if right { RIGHT } else { 0 };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_works_and_says_whether_it_was_right() {
        for right in [true, false] {
            serve(move || right);
            let mut message = [0; 8];
            answer(&mut message, Identity(0));
            assert_eq!(message[0] == RIGHT, right);
        }
    }

    /// Work of which each unit is right.
    fn guarded(held: u64) -> Guarded<impl FnMut() -> bool> {
        Guarded::new(Section { member: 2, held }, Page::leaked(), || true)
    }

    #[test]
    fn the_first_part_of_each_job_is_under_the_lock_and_nobody_else_is_there() {
        let mut work = guarded(50);
        for _ in 0..3 {
            work.begin();
            assert!(work.inside.is_some() && work.unit(Tick(1)));
            work.used(Tick(49));
            assert!(work.inside.is_some() && work.unit(Tick(1)));
            work.used(Tick(50));
            assert!(work.inside.is_none() && work.unit(Tick(1)));
            work.end();
        }
        assert_eq!(work.page.guarded().load(Relaxed), 6, "a unit outside writes nothing");
    }

    #[test]
    fn whoever_writes_there_meanwhile_makes_the_job_wrong_and_no_other() {
        let mut work = guarded(50);
        work.begin();
        assert!(work.unit(Tick(1)));
        work.page.guarded().fetch_add(1, Relaxed);
        assert!(!work.unit(Tick(1)) && !work.unit(Tick(1)));
        work.end();
        work.begin();
        assert!(work.unit(Tick(1)));
    }

    #[test]
    fn a_request_that_nobody_answers_is_not_right() {
        assert!(!Request(Gate(0)).unit(Tick(100)));
    }
}
