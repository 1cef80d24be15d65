//! The fast ways of switching and `handle`: the same storm twice in step, once by each, from equal states to equal states.
//!
//! Not here: the fast paths in assembly, which the self-test compares on the machine.
#![forbid(unsafe_code)]

use super::fake::CORES;
use super::traffic::Traffic;
use super::world::World;
use crate::activation::stored_frame;
use crate::block::ADDRESS;
use crate::machine::Cause;
use core::sync::atomic::Ordering::Relaxed;
use std::vec::Vec;
use tranche_abi::Tick;
use tranche_abi::layout::{HANDLE_MACHINE, MAX_ACTIVATIONS};
use tranche_abi::page::ActivationPage;
use tranche_abi::public::env_state;
use tranche_abi::trace::{RING_RECORDS, Ring};

const STEPS: u64 = 30_000;
/// Environments that are ever there.
const ENVS: u16 = 8;

/// Everything that a switch may change, word by word.
fn state(world: &World) -> Vec<u64> {
    let mut all = Vec::new();
    (0..CORES).for_each(|core| add_core(world, core, &mut all));
    for env in 0..ENVS {
        all.extend([&world.kernel.public.env_state[env as usize]].map(|state| state.load(Relaxed) as u64));
        all.push(world.kernel.envs[env as usize].debt.load(Relaxed));
        let present = world.kernel.public.env_state[env as usize].load(Relaxed) != env_state::FREE;
        for activation in 0..if present { MAX_ACTIVATIONS as u8 } else { 0 } {
            add_activation(world, (env, activation), &mut all);
        }
    }
    all
}

/// A block's address, the same in both worlds.
fn place(world: &World, bits: u64) -> u64 {
    if bits & ADDRESS == 0 { bits } else { ADDRESS | (bits - world.kernel.block_address(0, 0).0) }
}

fn add_core(world: &World, cpu: usize, all: &mut Vec<u64>) {
    let registers = &world.registers[cpu];
    all.extend(registers.x);
    all.extend([registers.sp, registers.pc, registers.pstate]);
    all.extend([world.fake.timers[cpu].get().0, world.fake.kicks[cpu].get() as u64]);
    all.extend(*world.fake.fp[cpu].borrow());
    let core = world.kernel.cores[cpu].lock();
    all.extend([
        core.phase as u64,
        core.depth as u64,
        core.slot_end.0,
        core.fp_live as u64,
        core.attend as u64,
    ]);
    all.extend([core.charged_until.0, core.charged_to_links(), core.armed.0]);
    for link in core.links() {
        all.extend([link.env().index as u64, link.activation() as u64, link.events as u64, link.sent as u64]);
        all.extend([link.until.0, link.due.0, link.charged_before, link.own.page.0]);
        all.extend([place(world, link.body.block.0), place(world, link.own().0)]);
    }
    if let Some(ring) = core.ring {
        add_recorded(ring, all);
    }
    let ledger = &world.kernel.public.ledger[cpu];
    let buckets = [&ledger.kernel, &ledger.idle, &ledger.excess, &ledger.gone, &ledger.until];
    all.extend(buckets.into_iter().chain(&ledger.env[..ENVS as usize]).map(|bucket| bucket.load(Relaxed)));
    all.extend(ledger.slices[..ENVS as usize].iter().map(|count| count.load(Relaxed)));
}

/// What was recorded last: more than one event records.
fn add_recorded(ring: &Ring, all: &mut Vec<u64>) {
    const RECORDS: u64 = 12;
    let written = ring.written.load(Relaxed);
    all.push(written);
    for number in written.saturating_sub(RECORDS)..written {
        all.extend(ring.records[number as usize % RING_RECORDS].iter().map(|word| word.load(Relaxed)));
    }
}

fn add_activation(world: &World, (env, activation): (u16, u8), all: &mut Vec<u64>) {
    let block = world.kernel.block(env, activation);
    let words = [&block.state, &block.idle, &block.identity, &block.body];
    all.extend(words.map(|word| place(world, word.load(Relaxed))));
    all.extend([&block.saved, &block.frame].map(|word| word.load(Relaxed) as u64));
    let kept = &world.env(env).activations[activation as usize];
    all.extend([kept.wake_at.load(Relaxed), kept.syndrome.load(Relaxed)]);
    if stored_frame(&kept.page).0 != 0 {
        add_page(world.page(env, activation), all);
    }
}

fn add_page(page: &ActivationPage, all: &mut Vec<u64>) {
    for area in [&page.registers, &page.enabled_area] {
        all.extend(area.x.iter().chain([&area.sp, &area.pc, &area.pstate]).map(|word| word.load(Relaxed)));
    }
    let fault = &page.fault;
    let transfer = &page.transfer;
    let words = [&fault.entry, &fault.x18, &fault.pc, &transfer.entry, &transfer.resume, &page.events];
    all.extend(words.into_iter().chain(&page.ready).chain(&page.fp.v).map(|word| word.load(Relaxed)));
    let account = [&page.ran, &page.since, &page.slot_end, &page.core, &page.excess];
    all.extend(account.map(|word| word.load(Relaxed)));
    all.extend([&page.disabled, &page.in_critical, &page.slice_ended].map(|word| word.load(Relaxed) as u64));
}

fn twins(seed: u64) {
    std::eprintln!("twins with seed {seed}");
    let mut both = [Traffic::new(seed), Traffic::new(seed)];
    both[0].chaos.world.quick = true;
    both.iter_mut().for_each(|one| one.chaos.world.checker.every(100));
    for one in &mut both {
        one.chaos.world.ok(0, "trace_switch", &[HANDLE_MACHINE.0, 1]);
    }
    for step in 0..STEPS {
        both.iter_mut().for_each(Traffic::step);
        let [fast, slow] = [&both[0], &both[1]].map(|one| state(&one.chaos.world));
        let differs = fast.iter().zip(&slow).position(|(fast, slow)| fast != slow);
        assert_eq!((differs, fast.len()), (None, slow.len()), "step {step}");
    }
    let switched = both[0].chaos.world.switched;
    assert!(switched >= 1000, "the fast ways were taken {switched} times only");
    let recorded = both.map(|one| super::recording::written(&one.chaos.world));
    assert!(recorded[0] >= 1000, "{recorded:?} records only");
}

#[test]
fn the_fast_ways_of_switching_leave_what_the_general_way_leaves_first() {
    twins(21);
}

#[test]
fn the_fast_ways_of_switching_leave_what_the_general_way_leaves_second() {
    twins(22);
}

/// The last interrupt's own work may have gone on past what was due next. The world checks that accounts add up.
#[test]
fn time_that_an_interrupt_took_past_the_next_due_time_is_charged_once() {
    let mut world = World::boot();
    let child = world.spawn(0, 0, 1);
    let due = world.now() + 50;
    world.enter(0, child.target(0), due, 0);
    let ledger = &world.kernel.public.ledger[0];
    {
        let mut core = world.kernel.cores[0].lock();
        let past = due + 5 - core.charged_until.0;
        ledger.kernel.fetch_add(past, Relaxed);
        ledger.until.store(due + 5, Relaxed);
        core.charged_until = Tick(due + 5);
    }
    world.quick = true;
    world.pass(59);
    world.event(0, Cause::Timer);
    assert_eq!(world.who(0), Some((0, 0)));
    assert_eq!(world.kernel.public.ledger[0].until.load(Relaxed), due + 9);
}
