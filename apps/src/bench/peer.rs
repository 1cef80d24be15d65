//! The other environments of a measurement: the same program in a role, with one page that it shares with its creator.
//!
//! Not here: what the creator makes of the stamps. Roles that are measured to the instruction are loops in assembly, so
//! that nothing but what is measured is between two stamps.

use super::Bench;
use super::counter::Stamp;
use alloc::format;
use alloc::string::String;
use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering::{Acquire, Relaxed};
use libos_core::frames::{Frames, Run};
use libos_core::mapping::{self, Space};
use libos_core::spawn::{Child, Manager, SpawnPlan, spawn};
use libos_core::start::{StartInfo, encode_arguments};
use libos_core::{calls, layout, page};
use serde::{Deserialize, Serialize};
use tranche_abi::layout::{HANDLE_SELF, PAGE_SIZE};
use tranche_abi::{Address, Capability, Kind, Object, Protection, Rights, Target};

/// The name by which a peer knows what it is.
pub const NAME: &str = "peer";
/// Where a creator sees its peers' shared pages, one after the other.
const WINDOWS: u64 = 0x9000_0000;
/// Gaps that a peer's log has room for; older ones are overwritten.
pub const GAPS: u64 = 100;

/// What a peer does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Role {
    /// Yields as soon as it runs, with stamps on both sides.
    Bounce,
    /// Waits for an event as soon as it runs, with stamps on both sides.
    Sleep,
    /// Runs without end and notes the stamps on both sides of every gap.
    Run,
    /// Sleeps in `wfi`, so that a core counts next to nothing.
    Doze,
    /// Sends back what comes through the pipe, with calls.
    Pipe,
    /// The same with the pipe's code inlined.
    PipeInlined,
    /// Answers in the shared counter.
    Shared,
    /// Yields without end: load for a core.
    Load,
    /// Is entered by protected control transfer, and only stamps.
    Enter,
    /// Counts its callers, who trust it to keep their registers.
    Trusted,
    /// Counts its callers, as a service of the library's.
    Serve,
}

/// What a peer is told.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Orders {
    role: Role,
    body: u64,
    mac: u64,
}

/// The page that a peer shares with its creator.
#[derive(Clone, Copy)]
pub struct Shared(pub &'static [AtomicU64; (PAGE_SIZE / 8) as usize]);

/// Words of the shared page. Pipes have the rest to themselves.
mod word {
    /// Stamp of entering: two words.
    pub const ENTRY: usize = 0;
    /// Stamp of leaving the last time: two words.
    pub const LEAVE: usize = 2;
    /// Gaps noted so far.
    pub const GAPS: usize = 4;
    /// The log of gaps: four words each.
    pub const LOG: usize = 8;
}

impl Shared {
    fn at(address: u64) -> Self {
        // SAFETY: Both who create and who are created have mapped the page at the address that they pass, readable and
        // writable, for as long as they use it; it is only accessed as atomics and by the loops below.
        Self(unsafe { &*core::ptr::with_exposed_provenance(address as usize) })
    }

    fn stamp(&self, place: usize) -> Stamp {
        Stamp { instructions: self.0[place].load(Acquire), cycles: self.0[place + 1].load(Acquire) }
    }

    /// When the peer was last entered.
    pub fn entry(&self) -> Stamp {
        self.stamp(word::ENTRY)
    }

    /// When the peer left the time before.
    pub fn leave(&self) -> Stamp {
        self.stamp(word::LEAVE)
    }

    /// Gaps noted so far.
    pub fn gaps(&self) -> u64 {
        self.0[word::GAPS].load(Acquire)
    }

    /// A gap, as [`gap`] tells it.
    pub fn gap(&self, number: u64) -> (Stamp, Stamp) {
        let place = word::LOG + (number % GAPS) as usize * 4;
        (self.stamp(place), self.stamp(place + 2))
    }
}

/// A peer and the page that it shares.
pub struct Peer {
    /// The environment.
    pub child: Child,
    /// The page.
    pub shared: Shared,
    window: u64,
    frame: Run,
}

impl Peer {
    /// Its activation.
    pub fn target(&self) -> Target {
        self.child.target(0)
    }
}

impl Bench {
    /// Makes a peer. `number` (0 to 15) tells peers that live at once apart.
    pub fn peer(&mut self, role: Role, number: u64) -> Result<Peer, String> {
        let refused = |what: &'static str| move |error| format!("a peer: {what}: {error:?}");
        let frame = self.frames.take(1).ok_or("no frames")?;
        let window = WINDOWS + number * PAGE_SIZE;
        let frames = &mut self.frames;
        let mut table = || frames.take(1).map(|run| run.first);
        mapping::fill(frame, &[], &mut table).map_err(refused("fill"))?;
        Space { env: HANDLE_SELF, table: &mut table }
            .map(Address(window), frame, Protection::ReadWrite)
            .map_err(refused("map"))?;
        let object = Object { kind: Kind::Frame, index: frame.first.0 as u32 };
        let Capability { body, mac } = calls::grant(object, Rights::ALL).map_err(refused("grant"))?;
        let plan = SpawnPlan {
            name: NAME,
            stack_pages: 4,
            heap_pages: 16,
            arguments: encode_arguments(&Orders { role, body, mac }).map_err(|error| format!("{error}"))?,
            manager: Some(Manager { target: calls::own_target(0), client: number }),
            ..SpawnPlan::new("bench")
        };
        let child =
            spawn(&mut self.frames, &self.archive, &plan).map_err(|error| format!("no peer: {error:?}"))?;
        Ok(Peer { child, shared: Shared::at(window), window, frame })
    }

    /// Ends a peer and takes everything back.
    pub fn end(&mut self, peer: Peer) -> Result<(), String> {
        let ended = peer.child.destroy(&mut self.frames).map_err(|error| format!("a peer's end: {error:?}"));
        calls::unmap(HANDLE_SELF, Address(peer.window), 1).map_err(|error| format!("unmap: {error:?}"))?;
        self.frames.put(peer.frame);
        libos_core::page::take_ready();
        ended
    }

    /// Makes a peer, does something with it, and ends it, whatever came out.
    pub fn with_peer<R>(
        &mut self,
        role: Role,
        action: impl FnOnce(&mut Self, &Peer) -> Result<R, String>,
    ) -> Result<R, String> {
        let peer = self.peer(role, 0)?;
        let result = action(self, &peer);
        self.end(peer)?;
        result
    }
}

/// Plays the role that the start page names.
pub fn run(info: &StartInfo) {
    let Ok(orders) = info.arguments::<Orders>() else { return };
    // Under the stack, where there are page tables.
    let address = layout::stack_top(0) - (64 << 12);
    let frame = Capability { body: orders.body, mac: orders.mac };
    let mut none = Frames::default();
    let mut table = || none.take(1).map(|run| run.first);
    let mut space = Space { env: HANDLE_SELF, table: &mut table };
    let map = || calls::map_shared(frame, Address(address), Protection::ReadWrite);
    if space.with_tables(Address(address), map).is_err() {
        return;
    }
    let shared = Shared::at(address);
    match orders.role {
        Role::Bounce => loops::bounce(shared),
        Role::Sleep => loops::sleep(shared),
        Role::Run => loops::run(shared),
        Role::Doze => loop {
            doze();
        },
        Role::Pipe => super::ipc::serve_pipe(shared),
        Role::PipeInlined => super::ipc::serve_pipe_inlined(shared),
        Role::Shared => super::ipc::serve_shared(shared),
        Role::Enter => super::transfer::stamp_callers(),
        Role::Trusted => super::transfer::count_callers(),
        Role::Serve => super::transfer::serve(),
        // Not refused to a running activation.
        Role::Load => while calls::yield_now().is_ok() {},
    }
}

/// Runs until the CPU was taken away and given back: what the counters were after the last instruction before, and before
/// the first after. Nothing if that was not in the loop that watches the counters.
pub fn gap() -> Option<(Stamp, Stamp)> {
    let (before, after, begin) = loops::gap();
    // Where we were interrupted, the kernel has kept here.
    let offset = page::own().registers.pc.load(Relaxed).wrapping_sub(begin);
    let next = (offset / 4 < ROUND).then_some(offset / 4)?;
    // Of a round, the first instruction reads the counter, and does not count itself.
    let (done, to_come) = if next == 0 { (ROUND, 0) } else { (next, ROUND - next) };
    let moved = |stamp: Stamp, by: u64| Stamp { instructions: stamp.instructions.wrapping_add(by), ..stamp };
    Some((moved(before, done), moved(after, to_come.wrapping_neg())))
}

/// Instructions of a round of the loop that watches the counters.
const ROUND: u64 = 8;

/// Sleeps until the next interrupt, whoever it is for.
pub fn doze() {
    loops::doze();
}

/// The loops. A stamp of leaving is stored after the peer was entered again, so that storing it is nobody's cost.
#[cfg(target_os = "none")]
mod loops {
    use super::{GAPS, Shared, Stamp, word};
    use crate::bench::counter::{stamp_after, stamp_before};
    use core::arch::asm;
    use core::mem::offset_of;
    use core::sync::atomic::Ordering::Release;
    use libos_core::page;
    use tranche_abi::calls::immediate;
    use tranche_abi::page::ActivationPage;

    /// Instructions between two stamps of an undisturbed [`gap`] are fewer.
    const GAP: u64 = 40;

    pub(super) fn bounce(shared: Shared) {
        // SAFETY: Loops for ever over the shared page and its own registers; the kernel changes x0 to x4 only.
        unsafe {
            asm!(
                "2:",
                stamp_before!("x11", "x12"),
                "svc #{yield_now}",
                stamp_after!("x9", "x10"),
                "stp x9, x10, [x13, #{entry}]",
                "stp x11, x12, [x13, #{leave}]",
                "b 2b",
                entry = const word::ENTRY * 8,
                leave = const word::LEAVE * 8,
                yield_now = const immediate(2),
                in("x13") shared.0.as_ptr(),
                options(noreturn),
            )
        }
    }

    pub(super) fn sleep(shared: Shared) {
        // SAFETY: As above; also clears the activation's own event word, as who has seen the events does.
        unsafe {
            asm!(
                "2:",
                "str xzr, [x14, #{events}]",
                "mov x0, #-1",
                stamp_before!("x11", "x12"),
                "svc #{wait}",
                stamp_after!("x9", "x10"),
                "stp x9, x10, [x13, #{entry}]",
                "stp x11, x12, [x13, #{leave}]",
                "b 2b",
                entry = const word::ENTRY * 8,
                leave = const word::LEAVE * 8,
                wait = const immediate(4),
                events = const offset_of!(ActivationPage, events),
                in("x13") shared.0.as_ptr(),
                in("x14") page::own(),
                options(noreturn),
            )
        }
    }

    pub(super) fn run(shared: Shared) {
        for number in 0.. {
            let (before, after) = loop {
                if let Some(gap) = super::gap() {
                    break gap;
                }
            };
            let place = word::LOG + (number % GAPS) as usize * 4;
            let words = [before.instructions, before.cycles, after.instructions, after.cycles];
            shared.0[place..].iter().zip(words).for_each(|(place, word)| place.store(word, Release));
            shared.0[word::GAPS].store(number + 1, Release);
        }
    }

    pub(super) fn doze() {
        // SAFETY: Waits, and touches nothing.
        unsafe { asm!("wfi", options(nomem, nostack, preserves_flags)) }
    }

    /// The last stamp before a gap, the first after it, and the loop's address. Not behind barriers: every instruction of
    /// the loop is like any other.
    #[inline(never)]
    pub(super) fn gap() -> (Stamp, Stamp, u64) {
        let (mut before, mut after) = (Stamp::default(), Stamp::default());
        let begin;
        // SAFETY: Reads the counters into its own registers.
        unsafe {
            asm!(
                "mrs {i1}, pmevcntr0_el0",
                "mrs {c1}, pmccntr_el0",
                "2:",
                "mrs {i2}, pmevcntr0_el0",
                "mrs {c2}, pmccntr_el0",
                "sub {d:w}, {i2:w}, {i1:w}",
                "cmp {d:w}, #{gap}",
                "b.hi 3f",
                "mov {i1}, {i2}",
                "mov {c1}, {c2}",
                "b 2b",
                "3:",
                "adr {begin}, 2b",
                gap = const GAP,
                begin = out(reg) begin,
                i1 = out(reg) before.instructions, c1 = out(reg) before.cycles,
                i2 = out(reg) after.instructions, c2 = out(reg) after.cycles,
                d = out(reg) _,
                options(nostack),
            )
        }
        (before, after, begin)
    }
}

/// On the host nobody runs.
#[cfg(not(target_os = "none"))]
mod loops {
    use super::{Shared, Stamp};
    pub(super) fn bounce(_: Shared) {}
    pub(super) fn sleep(_: Shared) {}
    pub(super) fn run(_: Shared) {}
    pub(super) fn doze() {}
    pub(super) fn gap() -> (Stamp, Stamp, u64) {
        Default::default()
    }
}
