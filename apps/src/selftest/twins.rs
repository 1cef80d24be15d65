//! Checks that a call's fast way and the kernel's general one are twins: each call that has both is made by both, from equal
//! registers, and what it replies, every register and what it has brought about must be the same; refusals too.
//!
//! Not here: the same of the paths in Rust, over storms of events (the kernel's host tests); how fast they are (the
//! benchmark). Times are not the same twice: of those it is checked that they are right.

mod mapped;
mod transfers;

use super::peer::Role;
use super::raw::{self, FLAGS, Make, Record, Registers, SP, WORDS, Way};
use super::{Bench, Check, Found, ensure, must, run_until_it_stops, settle};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::sync::atomic::Ordering::Relaxed;
use libos_core::frames::Run;
use libos_core::mapping::{self, Space};
use libos_core::spawn::Child;
use libos_core::{calls, layout, page, public};
use serde::{Deserialize, Serialize};
use tranche_abi::calls::{CALLS, immediate};
use tranche_abi::layout::{HANDLE_PARENT, HANDLE_SELF};
use tranche_abi::{
    ActivationIndex, Address, Capability, Core, Error, Handle, Kind, Object, Protection, Reason, Rights,
    Target, Tick, YIELD_EVENTS,
};

/// In the order of telling.
pub const CHECKS: &[Check] = &[
    ("null leaves the same by its fast way and by the general one", null),
    ("yield_to leaves the same by its fast way and by the general one", yield_to),
    ("yield_now leaves the same by its fast way and by the general one", yield_now),
    ("bind leaves the same by its fast way and by the general one", mapped::bind),
    ("protect leaves the same by its fast way and by the general one", mapped::protect),
    ("pct_call leaves the same by its fast way and by the general one", transfers::pct_call),
    ("pct_return leaves the same by its fast way and by the general one", transfers::pct_return),
];

/// What a peer does that has a [`Record`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Part {
    /// Yields again and again, by the way that the record says, and notes what each call left.
    Yield,
    /// Serves callers; waits for the first in this way.
    Serve(Way),
}

/// Where this environment maps the record: apart from all else that it maps.
const RECORD: Address = Address(0xa200_0000);
/// Where a peer maps it: after its heap, where it has page tables.
const RECORD_OF_PEER: Address = Address(layout::HEAP_BASE + (1 << 20));
/// What a peer that yields has in its registers.
const YIELDING: u64 = 0x77;
/// An unbound handle.
const UNBOUND: Handle = Handle(200);

/// The fast way of a call and the general one.
macro_rules! ways {
    ($number:literal) => {
        [raw::make::<{ immediate($number) }>, raw::make::<{ CALLS | $number }>]
    };
}
use ways;

/// What a call left.
struct Left {
    registers: Registers,
    effects: Vec<(&'static str, u64)>,
}

/// Does something that involves a call by one way, then by the other: what it leaves must be the same. That.
fn both<W>(
    what: &str,
    [fast, general]: [W; 2],
    mut once: impl FnMut(W) -> Result<Left, String>,
) -> Result<Left, String> {
    let fast = once(fast).map_err(|wrong| format!("{what}, fast: {wrong}"))?;
    let general = once(general).map_err(|wrong| format!("{what}, general: {wrong}"))?;
    let differs =
        |what: &str, one, other| Err(format!("{what} is {one:#x} by the fast way, otherwise {other:#x}"));
    if let Some(n) = (0..WORDS).find(|n| fast.registers[*n] != general.registers[*n]) {
        return differs(&format!("{what}: {}", name(n)), fast.registers[n], general.registers[n]);
    }
    if let Some((one, other)) = fast.effects.iter().zip(&general.effects).find(|(one, other)| one != other) {
        return differs(&format!("{what}: {}", one.0), one.1, other.1);
    }
    ensure(fast.effects.len() == general.effects.len(), || format!("{what}: not the same effects"))?;
    Ok(fast)
}

fn name(register: usize) -> String {
    match register {
        SP => "sp".into(),
        FLAGS => "the flags".into(),
        n => format!("x{n}"),
    }
}

/// Makes a call with these arguments, all other registers filled. What is in them afterwards. A call changes `x0`, and, if
/// it has `values` and is not refused, `x1` to `x4`; accounts do not go back.
fn reply(make: Make, arguments: &[u64], values: Values) -> Result<Registers, String> {
    let mut before = raw::filled(arguments.len() as u64);
    before[..arguments.len()].copy_from_slice(arguments);
    let mut after = before;
    let accounts = accounts();
    make(&mut after);
    let later = self::accounts();
    ensure(accounts.iter().zip(later).all(|(one, other)| *one <= other), || {
        format!("the accounts went from {accounts:?} to {later:?}")
    })?;
    let first = if after[0] == 0 && values == Values::Some { 5 } else { 1 };
    match (first..WORDS).find(|n| *n != SP && after[*n] != before[*n]) {
        Some(n) => Err(format!("{} became {:#x}", name(n), after[n])),
        None => Ok(after),
    }
}

/// Whether a call has values.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Values {
    None,
    Some,
}

/// What this activation was charged, its environment, and the kernel, on this core.
fn accounts() -> [u64; 3] {
    let ledger = public::view().ledger(Core(page::own().core.load(Relaxed)));
    let charged = ledger.map_or([0; 2], |ledger| [ledger.env(page::env()).0, ledger.totals().kernel.0]);
    [page::own().ran.load(Relaxed), charged[0], charged[1]]
}

/// Both ways refuse a call without values for this reason.
fn refused(what: &str, ways: [Make; 2], arguments: &[u64], reason: Error) -> Result<(), String> {
    let left = both(what, ways, |make| plain(reply(make, arguments, Values::None)?))?;
    let number = left.registers[0];
    ensure(number == reason as u64, || format!("{what}: {number} instead of {reason:?}"))
}

fn plain(registers: Registers) -> Result<Left, String> {
    Ok(Left { registers, effects: Vec::new() })
}

/// A handle and a capability to an environment that was destroyed just now.
fn with_dead<R>(
    bench: &mut Bench,
    action: impl FnOnce(&mut Bench, &Child, Capability) -> Result<R, String>,
) -> Result<R, String> {
    bench.with_peer(Role::Spin, |bench, peer| {
        let capability = capability_to(peer)?;
        must("env_destroy", calls::env_destroy(peer.handle))?;
        action(bench, peer, capability)
    })
}

fn capability_to(child: &Child) -> Result<Capability, String> {
    let object = Object { kind: Kind::Env, index: child.index as u32 };
    must("grant", calls::grant(object, Rights::ALL))
}

/// A peer with a record.
fn with_part<R>(
    bench: &mut Bench,
    part: Part,
    action: impl FnOnce(&Child, &'static Record) -> Result<R, String>,
) -> Result<R, String> {
    let run = bench.frames.take(1).ok_or("no frames")?;
    let mut table = || bench.frames.take(1).map(|run| run.first);
    must("fill", mapping::fill(run, &[], &mut table))?;
    must("map", Space { env: HANDLE_SELF, table: &mut table }.map(RECORD, run, Protection::ReadWrite))?;
    // SAFETY: Just mapped, zeroed, and used for this alone until it is unmapped, after the last use.
    let record = unsafe { Record::at(RECORD.0) };
    let object = Object { kind: Kind::Frame, index: run.first.0 as u32 };
    let result = must("grant", calls::grant(object, Rights::READ.with(Rights::WRITE))).and_then(
        |Capability { body, mac }| {
            bench.with_peer(Role::Twin { body, mac, part }, |_, peer| action(peer, record))
        },
    );
    must("unmap", calls::unmap(HANDLE_SELF, RECORD, 1))?;
    bench.frames.put(Run { first: run.first, count: 1 });
    result
}

/// A peer's part. Whether its record could be mapped.
pub fn play(capability: Capability, part: Part) -> Result<(), Error> {
    calls::map_shared(capability, RECORD_OF_PEER, Protection::ReadWrite)?;
    // SAFETY: Just mapped writable; its creator has zeroed it and uses it for this alone.
    let record = unsafe { Record::at(RECORD_OF_PEER.0) };
    match part {
        Part::Yield => loop {
            let [fast, general] = ways!(2);
            let mut registers = raw::filled(YIELDING);
            if record.way() == Way::Fast {
                fast(&mut registers)
            } else {
                general(&mut registers)
            }
            record.note(&registers);
        },
        Part::Serve(way) => raw::serve(record, way),
    }
    #[allow(unreachable_code)] // On the host there is nobody to serve.
    Ok(())
}

fn null(_: &mut Bench) -> Found {
    const TIMES: u64 = 15;
    for number in 0..TIMES {
        let arguments = raw::filled(number);
        let left = both("null", ways!(1), |make| plain(reply(make, &arguments[..8], Values::None)?))?;
        ensure(left.registers[0] == 0, || format!("the reply is {}", left.registers[0]))?;
    }
    Ok(format!("{TIMES} times"))
}

/// A directed yield for a part of a slice. Its times must be right, and are left out then.
fn turn(make: Make, child: &Child, mode: u64) -> Result<Left, String> {
    settle();
    let stats = child.mailbox().stats();
    let seen = || (stats.work_units.load(Relaxed), charged(child), page::now());
    let (work, before, begin) = seen();
    let until = begin.0 + public::view().quantum().0 / 8;
    let mut registers = reply(make, &[child.target(0).0, until, mode], Values::Some)?;
    let (more_work, after, end) = seen();
    let [ran, now] = [registers[2], registers[4]];
    let in_time = begin.0 <= now && now <= end.0 && ran <= now - begin.0;
    ensure(in_time, || format!("ran {ran}, at {now}, from {} to {}", begin.0, end.0))?;
    ensure(after - before == ran, || format!("ran {ran}, and was charged {}", after - before))?;
    registers[2] = u64::from(ran > 0);
    registers[4] = 0;
    Ok(Left { registers, effects: alloc::vec![("whether it worked", u64::from(more_work > work))] })
}

/// What a child was charged on this core.
fn charged(child: &Child) -> u64 {
    let core = Core(page::own().core.load(Relaxed));
    public::view().ledger(core).map_or(0, |ledger| ledger.env(child.index).0)
}

/// Both ways of a directed yield have this outcome.
fn outcome(child: &Child, mode: u64, reason: Reason, prepare: impl Fn()) -> Result<(), String> {
    let what = format!("{reason:?}");
    let once = |make| {
        prepare();
        turn(make, child, mode)
    };
    let left = both(&what, ways!(3), once)?;
    let seen = left.registers[1];
    ensure(seen == reason as u64, || format!("{seen} instead of {what}"))
}

fn yield_to(bench: &mut Bench) -> Found {
    bench.with_peer(Role::Yield, |_, peer| {
        turn(ways!(3)[1], peer, 0)?;
        outcome(peer, 0, Reason::Yielded, || ())
    })?;
    bench.with_peer(Role::Spin, |_, peer| outcome(peer, 0, Reason::Expired, || ()))?;
    bench.with_peer(Role::AwaitEvents, |_, peer| {
        run_until_it_stops(peer.target(0))?;
        // Told so, it is ready again; refused only where there is no kernel.
        let rouse = || _ = calls::notify(peer.target(0), 1);
        outcome(peer, 0, Reason::Waiting, rouse)?;
        outcome(peer, 0, Reason::Busy, || ())?;
        rouse();
        outcome(peer, YIELD_EVENTS, Reason::Event, || ())?;
        page::take_ready();
        outcome(peer, YIELD_EVENTS, Reason::Waiting, || {
            rouse();
            page::take_ready();
        })
    })?;
    both("a fault", ways!(3), |make| bench.with_peer(Role::Break, |_, peer| turn(make, peer, 0)))?;
    with_dead(bench, |_, peer, _| outcome(peer, 0, Reason::Gone, || ()))?;
    bench.with_peer(Role::Spin, |_, peer| refused_yields(peer.target(7)))?;
    Ok("7 outcomes, 4 refusals".into())
}

/// Yields that are refused, or over before they begin.
fn refused_yields(missing: Target) -> Result<(), String> {
    let own = calls::own_target(0).0;
    let parent = Target::new(HANDLE_PARENT, ActivationIndex(0)).0;
    let unbound = Target::new(UNBOUND, ActivationIndex(0)).0;
    let never = Tick::NEVER.0;
    let refused = |what, target, reason| refused(what, ways!(3), &[target, never, 0], reason);
    refused("a handle that is not bound", unbound, Error::BadHandle)?;
    refused("a handle out of range", 0xffff, Error::BadHandle)?;
    refused("an activation out of range", 8 << 16 | own, Error::BadArgument)?;
    refused("a handle without the right", parent, Error::NoRight)?;
    for (target, until, reason) in
        [(own, never, Reason::Busy), (missing.0, never, Reason::Gone), (own, 0, Reason::Expired)]
    {
        let left = both("a yield that does not begin", ways!(3), |make| {
            let mut registers = reply(make, &[target, until, 0], Values::Some)?;
            registers[4] = 0; // the time
            plain(registers)
        })?;
        let seen = left.registers[..4].to_vec();
        ensure(seen == [0, reason as u64, 0, 0], || format!("{seen:?} instead of {reason:?}"))?;
    }
    Ok(())
}

fn yield_now(bench: &mut Bench) -> Found {
    with_part(bench, Part::Yield, |peer, record| {
        record.prepare(&raw::filled(0), Way::General);
        turn(ways!(3)[1], peer, 0)?;
        for parent in ways!(3) {
            let left =
                both("to a parent", [Way::Fast, Way::General], |way| yielded(parent, (peer, record), way))?;
            let seen = left.registers;
            ensure(seen[1] == Reason::Yielded as u64, || format!("outcome {}", seen[1]))?;
        }
        Ok(())
    })?;
    both("at the root", ways!(2), |make| {
        let slot_end = page::own().slot_end.load(Relaxed);
        let registers = reply(make, &[], Values::None)?;
        let later = page::own().slot_end.load(Relaxed) > slot_end;
        Ok(Left { registers, effects: alloc::vec![("whether the slice was over", u64::from(later))] })
    })?;
    Ok("after either way of yield_to, and at the root".into())
}

/// What a parent finds when a child yields to it in this way; and the child, when it has the CPU again.
fn yielded(parent: Make, (child, record): (&Child, &Record), way: Way) -> Result<Left, String> {
    record.prepare(&raw::filled(0), way);
    // It is in the middle of a yield in the way that it was told before: its next one is the first in this way.
    turn(parent, child, 0)?;
    let mut left = turn(parent, child, 0)?;
    record.prepare(&raw::filled(0), Way::General);
    turn(parent, child, 0)?;
    let mut expected = raw::filled(YIELDING);
    let seen = record.seen();
    (expected[0], expected[SP]) = (0, seen[SP]);
    ensure(seen == expected, || format!("the child's registers became {seen:x?}"))?;
    left.effects.push(("the child's stack pointer", seen[SP]));
    Ok(left)
}
