//! Slice switches: from the last instruction of a slot to the first of the next slot's owner.
#![forbid(unsafe_code)]

use super::counter::Stamp;
use super::peer::{self, Peer, Role};
use super::{Bench, Path, refused};
use alloc::string::String;
use alloc::vec::Vec;
use libos_core::public::view;
use libos_core::{calls, page};
use tranche_abi::{Core, SlotIndex, Tick};

/// Switches that are measured.
const SWITCHES: usize = 60;
/// Revolutions that this may take.
const PATIENCE: u64 = 20;

/// Measures them: every second slot goes to a peer that runs without end, and we run in the others.
pub fn measure(bench: &mut Bench) -> Result<(), String> {
    bench.with_peer(Role::Run, |bench, peer| {
        alternate(peer, Core(0))?;
        bench.record("slice_switch", &switches(peer), Path::Same)
    })
}

/// Gives a peer every second one of our slots of a core, none next to another.
pub fn alternate(peer: &Peer, core: Core) -> Result<(), String> {
    let own: Vec<SlotIndex> = view().owned_slots(core, page::env()).collect();
    let mut kept = None;
    for slot in own {
        // One after a slot of ours, and so that the next is ours again.
        if kept == Some(SlotIndex(slot.0.wrapping_sub(1))) {
            calls::slot_give(core, slot, peer.target()).map_err(refused("slot_give"))?;
            kept = None;
        } else {
            kept = Some(slot);
        }
    }
    Ok(())
}

/// What passes between our last instruction of a slot and the peer's first of the next.
pub fn switches(peer: &Peer) -> Vec<Stamp> {
    let enough = page::now().saturating_add(Tick(PATIENCE * view().revolution().0));
    let mut switches = Vec::new();
    while switches.len() < SWITCHES && page::now() < enough {
        let Some((before, after)) = peer::gap() else { continue };
        let gaps = peer.shared.gaps();
        let latest = gaps.checked_sub(1).map(|number| peer.shared.gap(number).1);
        let switch = latest.filter(|entered| entered.is_between(before, after));
        // Interrupted between reading one counter and the other, we have cycles of after the gap.
        switches.extend(switch.map(|entered| entered.since(before)).filter(|cost| cost.cycles < 1 << 40));
    }
    switches
}
