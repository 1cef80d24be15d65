//! Checks of slots: giving, taking, asking, seizing.
#![forbid(unsafe_code)]

use super::peer::Role;
use super::{Bench, Check, Found, ensure, microseconds, must, must_refuse, run_until_it_stops};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::sync::atomic::Ordering::Relaxed;
use libos_core::calls::{self, Claim};
use libos_core::{layout, page, public};
use tranche_abi::layout::MAX_SLOTS;
use tranche_abi::{
    ActivationIndex, Address, Capability, Core, Error, Kind, Object, Protection, Rights, SlotIndex, Tick,
};

/// In the order of telling.
pub const CHECKS: &[Check] = &[
    ("a slot that is given runs its new owner", give),
    ("a slot is taken by its capability, once", take),
    ("a slot is not seized before it was asked for and the deadline passed", seize),
    ("a frame that is seized leaves no mapping behind", seize_frame),
];

fn own_slots(core: Core) -> Vec<SlotIndex> {
    public::view().owned_slots(core, page::env()).collect()
}

fn owner(core: Core, slot: SlotIndex) -> Option<u64> {
    public::view().owner(core, slot).map(|owner| owner.env)
}

/// A slot of ours that may go away for a while: the last of the last core, where no test runs if there are others.
fn spare() -> Result<(Core, SlotIndex), String> {
    let core = Core(public::view().cores() - 1);
    let slots = own_slots(core);
    ensure(slots.len() >= 2, || format!("only {} slots of core {}", slots.len(), core.0))?;
    Ok((core, slots[slots.len() - 1]))
}

/// Two revolutions and a bit.
fn revolutions() -> Tick {
    let view = public::view();
    page::now().saturating_add(Tick(view.quantum().0 * (2 * view.slots() + 3)))
}

fn give(bench: &mut Bench) -> Found {
    let (core, slot) = spare()?;
    let result = bench.with_peer(Role::Spin, |_, peer| {
        must("slot_give", calls::slot_give(core, slot, peer.target(0)))?;
        ensure(owner(core, slot) == Some(peer.index), || "the owner did not change".into())?;
        let again = calls::slot_give(core, slot, peer.target(0));
        must_refuse("giving it twice", again, Error::NotOwner)?;
        page::sleep_until(revolutions());
        let ran = public::view().ledger(core).map_or(0, |ledger| ledger.env(peer.index).0);
        let worked = peer.mailbox().stats().work_units.load(Relaxed);
        ensure(ran > 0 && worked > 0, || format!("ran {ran} ticks, {worked} units"))?;
        ensure(ran <= 4 * public::view().quantum().0, || format!("{ran} ticks in two or three slots"))?;
        Ok(format!("{ran} ticks in two revolutions"))
    });
    ensure(owner(core, slot) == Some(page::env()), || "it did not come back at the end".into())?;
    result
}

fn take(bench: &mut Bench) -> Found {
    let (core, slot) = spare()?;
    let object = Object { kind: Kind::Slot, index: (core.0 * MAX_SLOTS as u64 + slot.0) as u32 };
    let genuine = must("grant", calls::grant(object, Rights::TAKE))?;
    let Capability { body, mac } = genuine;
    bench.with_peer(Role::TakeSlot { body, mac }, |_, peer| {
        for _ in 0..32 {
            super::run_for(peer.target(0), public::view().quantum().0 / 2)?;
            if owner(core, slot) == Some(peer.index) {
                let stale = calls::slot_take(genuine, ActivationIndex(0));
                return must_refuse("the same capability again", stale, Error::Stale);
            }
        }
        Err("the peer did not get it".into())
    })?;
    ensure(owner(core, slot) == Some(page::env()), || "it did not come back at the end".into())?;
    Ok("by a peer".into())
}

fn seize(bench: &mut Bench) -> Found {
    let (core, slot) = spare()?;
    bench.with_peer(Role::Spin, |_, peer| {
        must("slot_give", calls::slot_give(core, slot, peer.target(0)))?;
        let seize = || calls::seize_slot(peer.handle, core, slot);
        let ask = |deadline| calls::ask(peer.target(0), Claim::Slots(core), 1, deadline);
        must_refuse("without asking", seize(), Error::TooEarly)?;
        must("ask", ask(Tick::NEVER))?;
        must_refuse("after a mere please", seize(), Error::TooEarly)?;
        let deadline = page::now().saturating_add(Tick(microseconds(2_000)));
        must("ask", ask(deadline))?;
        must_refuse("before the deadline", seize(), Error::TooEarly)?;
        page::sleep_until(deadline);
        must("seize_slot", seize())?;
        ensure(owner(core, slot) == Some(page::env()), || "the owner did not change".into())?;
        ensure(seize().is_err(), || "it was seized twice".into())?;
        Ok("please, deadline, force".into())
    })
}

fn seize_frame(bench: &mut Bench) -> Found {
    let run = bench.frames.take(1).ok_or("no frames")?;
    let result = bench.with_peer(Role::AwaitEvents, |_, peer| {
        run_until_it_stops(peer.target(0))?;
        // Under the peer's stack, where there are page tables.
        let address = Address(layout::stack_top(0) - (64 << 12));
        must("map", calls::map(peer.handle, address, run.first, 1, Protection::ReadWrite))?;
        must("frame_give", calls::frame_give(run.first, 1, peer.handle))?;
        let protect = || calls::protect(peer.handle, address, 1, Protection::Read);
        must("protect", protect())?;
        let deadline = page::now().saturating_add(Tick(microseconds(1_000)));
        must("ask", calls::ask(peer.target(0), Claim::Frames, 1, deadline))?;
        must_refuse("before the deadline", calls::seize_frame(peer.handle, run.first), Error::TooEarly)?;
        page::sleep_until(deadline);
        must("seize_frame", calls::seize_frame(peer.handle, run.first))?;
        must_refuse("the mapping", protect(), Error::Absent)?;
        let object = Object { kind: Kind::Frame, index: run.first.0 as u32 };
        must("grant", calls::grant(object, Rights::READ)).map(drop)
    });
    bench.frames.put(run);
    result.map(|()| "ours again".into())
}
