//! A program of ill will: does in turn whatever it is told to that breaks a rule, and counts what the kernel made of it.
//!
//! Not here: who suffers from it; nobody should. Where it could harm if the kernel let it, it counts a breach.

use crate::probe::{self, class};
use alloc::vec::Vec;
use core::sync::atomic::Ordering::{Acquire, Relaxed};
use libos_core::chance::draw;
use libos_core::scenario::Behaviour;
use libos_core::start::StartInfo;
use libos_core::stats::WorkStats;
use libos_core::upcall::{self, Fault, Saved, Slices};
use libos_core::{calls, entry, layout, output, page, public, say, sys};
use tranche_abi::layout::{HANDLE_PARENT, HANDLE_SELF, PUBLIC_BASE};
use tranche_abi::{
    ActivationIndex, Address, Capability, Core, Frame, Kind, Object, Protection, Rights, SlotIndex, Target,
};

/// How long it keeps at endless loops before it goes on to the next behaviour, in slots.
const LOOP_SLOTS: u64 = 3;

/// Does what its start page says, for ever.
pub fn main(info: StartInfo) {
    let Ok(behaviour) = info.arguments::<Vec<Behaviour>>() else {
        say!("hostile: no behaviours in the start page");
        return;
    };
    let (last, others): (Vec<Behaviour>, Vec<Behaviour>) =
        behaviour.iter().copied().partition(|behaviour| *behaviour == Behaviour::HandlerFaults);
    let mut chance = 0x9e37_79b9_7f4a_7c15 + page::index();
    loop {
        others.iter().for_each(|behaviour| misbehave(*behaviour, &mut chance));
        if !behaviour.contains(&Behaviour::IgnoreRevocation) {
            give_back();
        }
        revive_siblings(info.activations);
        // Comes last, because it is this activation's end until another one starts it again.
        last.iter().for_each(|behaviour| misbehave(*behaviour, &mut chance));
    }
}

fn misbehave(behaviour: Behaviour, chance: &mut u64) {
    let stats = output::stats();
    match behaviour {
        Behaviour::Loop => spin_for_slots(LOOP_SLOTS),
        Behaviour::BadPointers => bad_pointers(stats),
        Behaviour::UnknownCalls => unknown_calls(stats),
        Behaviour::ForgedCapabilities => forged_capabilities(stats, chance),
        Behaviour::HandlerFaults => handler_faults(),
        // It consists of doing nothing about it.
        Behaviour::IgnoreRevocation => {}
        Behaviour::GraceAbuse => grace_abuse(),
    }
}

fn spin_for_slots(slots: u64) {
    let end = page::now().0 + slots * public::view().quantum().0;
    while page::now().0 < end {
        core::hint::spin_loop();
    }
}

/// Touches addresses that are not its own, and passes them to the kernel.
fn bad_pointers(stats: &WorkStats) {
    probe::begin(Slices::ByKernel);
    let must_fault = |action: fn(u64), address: u64| {
        let caught = probe::catch(|| action(address)).is_some();
        let counter = if caught { &stats.faults } else { &stats.breaches };
        counter.fetch_add(1, Relaxed);
    };
    for address in [0, 8, u64::MAX - 7, 0xffff_0000_0008_0000, 0xffff_ff80_0000_0000, 1 << 39, 0x0900_0000] {
        must_fault(probe::read, address);
        must_fault(probe::write, address);
        must_fault(probe::call, address & !3);
    }
    for address in [PUBLIC_BASE, layout::START_BASE, layout::IMAGE_BASE] {
        must_fault(probe::write, address);
    }
    for address in [layout::HEAP_BASE, PUBLIC_BASE] {
        must_fault(probe::call, address);
    }
    let first = public::view().first_frame();
    for address in [PUBLIC_BASE, 1 << 39, 1 << 63, 0xffff_0000_0008_0000, layout::HEAP_BASE + 1] {
        let refused = [
            calls::map(HANDLE_SELF, Address(address), first, 1, Protection::ReadWrite),
            calls::protect(HANDLE_SELF, Address(address), 1, Protection::ReadExecute),
            calls::unmap(HANDLE_SELF, Address(address), u64::MAX),
            calls::frame_give(Frame(address), 3, HANDLE_PARENT),
            calls::env_create(Frame(address)).map(drop),
        ];
        let breaches = refused.iter().filter(|result| result.is_ok()).count() as u64;
        stats.breaches.fetch_add(breaches, Relaxed);
    }
}

/// Makes calls that are not the kernel's, or not in its table. Each must come back to its own handler.
fn unknown_calls(stats: &WorkStats) {
    probe::begin(Slices::ByKernel);
    macro_rules! unknown {
        ($($number:literal)*) => {$(
            // SAFETY: A handler that steps over it is registered.
            let reflected = probe::catch(|| _ = unsafe { sys::enter::<$number>([u64::MAX; 8]) });
            let right = reflected.is_some_and(|f| f.class() == class::SVC && f.immediate() == $number);
            let counter = if right { &stats.unknown_calls } else { &stats.breaches };
            counter.fetch_add(1, Relaxed);
        )*};
    }
    unknown!(0 6 63 64 255 256 511 4096 0x81ff 0xfeff);
}

/// Makes capabilities up, and changes true ones.
pub(crate) fn forged_capabilities(stats: &WorkStats, chance: &mut u64) {
    let own = Object { kind: Kind::Env, index: page::env() as u32 };
    let genuine = calls::grant(own, Rights::NOTIFY).unwrap_or_default();
    for _ in 0..32 {
        let bit = 1 << (draw(chance) % 64);
        // The machine, every other environment, and any slot and frame would be worth having.
        let kind = 1 + draw(chance) % 4;
        let wanted = (draw(chance) % 64) | kind << 28 | 0xff << 32;
        for forgery in [
            Capability { body: genuine.body ^ bit, mac: genuine.mac },
            Capability { body: genuine.body, mac: genuine.mac ^ bit },
            Capability { body: wanted, mac: draw(chance) },
        ] {
            try_forgery(stats, forgery);
        }
    }
}

fn try_forgery(stats: &WorkStats, forgery: Capability) {
    let tried = [
        calls::bind(forgery).map(drop),
        calls::derive(forgery, Rights::NOTIFY).map(drop),
        calls::slot_take(forgery, ActivationIndex(0)),
        calls::map_shared(forgery, Address(layout::SCRATCH_BASE), Protection::Read),
    ];
    let refused = tried.iter().filter(|result| result.is_err()).count() as u64;
    stats.count_forgeries(tried.len() as u64, refused);
}

/// Faults, and faults again in the handler: the end of this activation.
fn handler_faults() {
    fn fault_again(_: Fault, _: &mut Saved<'_>) {
        probe::read(0);
    }
    output::stats().faults.fetch_add(1, Relaxed);
    upcall::register(Slices::ByKernel, Some(fault_again));
    probe::read(8);
}

/// Starts those of its activations again that ended in a fault.
fn revive_siblings(activations: u64) {
    for sibling in (0..activations).filter(|sibling| *sibling != page::index()) {
        let stack = Address(layout::stack_top(sibling));
        // Refused, as busy, to those that live.
        let _ = calls::activation_start(
            calls::own_target(sibling),
            Address(entry::address()),
            stack,
            layout::START_BASE,
        );
    }
}

/// Stays in a critical section past the end of its slice, until the kernel takes the CPU by force.
pub(crate) fn grace_abuse() {
    let own = page::own();
    own.in_critical.store(1, Relaxed);
    let slot_end = own.slot_end.load(Acquire);
    while own.slot_end.load(Acquire) == slot_end {
        core::hint::spin_loop();
    }
    own.in_critical.store(0, Relaxed);
    own.slice_ended.store(0, Relaxed);
}

/// Answers demands for slots, as everybody should.
fn give_back() {
    let view = public::view();
    for core in (0..view.cores()).map(Core) {
        let demand = page::own().slot_demand[core.0 as usize].count.load(Acquire);
        let slots: Vec<SlotIndex> = view.owned_slots(core, page::env()).take(demand as usize).collect();
        for slot in slots {
            let asker = Target::new(HANDLE_PARENT, ActivationIndex(core.0));
            // Refused if it was seized this instant.
            let _ = calls::slot_give(core, slot, asker);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_nothing_grants_them_all_forgeries_count_as_refused() {
        let stats = WorkStats::default();
        forged_capabilities(&stats, &mut 1);
        assert_eq!(stats.forged.load(Relaxed), 32 * 3 * 4);
        assert_eq!(stats.forged_refused.load(Relaxed), stats.forged.load(Relaxed));
    }
}
