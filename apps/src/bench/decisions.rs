//! The program `decisions`: what a decision of each policy costs with 1 to 1 000 clients, in instructions. The real dispatch
//! loop gives real activations turns by directed yields.
//!
//! Not here: the clients ([`super::multitude`]), and whether the cost grows as it should (the host's `tools`).
#![forbid(unsafe_code)]

use super::counter;
use super::multitude::Multitude;
use super::{await_report, await_slots, check};
use crate::assignment::without_clients;
use crate::scheduler::client_id;
use crate::scheduler::deadlines::turn_cost;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::sync::atomic::Ordering::{AcqRel, Relaxed};
use libos_core::frames::Frames;
use libos_core::processor::Own;
use libos_core::public::view;
use libos_core::report::{Decisions, Record};
use libos_core::scenario::Policy as Kind;
use libos_core::sched::dispatch::{Access, Observer, Scheduler, turn};
use libos_core::sched::line::Line;
use libos_core::sched::{Demand, Policy, Tick};
use libos_core::start::StartInfo;
use libos_core::{calls, output, page};
use libos_rt::cbs::{ConstantBandwidth, Kind as Servers};
use libos_rt::deadline_monotonic::DeadlineMonotonic;
use libos_rt::edf::{EarliestDeadline, Edf};
use libos_rt::global::Global;
use libos_rt::rate_monotonic::{RateMonotonic, ShortestPeriod};
use libos_stride::hierarchical::HierarchicalStride;
use libos_stride::lottery::Lottery;
use libos_stride::stride::Stride;
use tranche_abi::Target;

/// Clients of one scheduler.
const CROWDS: [usize; 4] = [1, 10, 100, 1000];
/// Turns that are measured with each.
const TURNS: usize = 1000;
/// For how many ticks a client waits after each turn, for each two clients; one that is alone yields. A turn takes longer than
/// that, so less than half of all clients wait at any time, and never all.
const WAIT_TICKS: u64 = 120;
/// Instructions take four to a tick; a turn that begins with so many ticks left in its slice is not cut short.
const MARGIN: Tick = Tick(2_000);

/// Runs as the libOS.
pub fn main(info: StartInfo) {
    let arrived = page::now();
    let mut frames = Frames::new(info.owned_frames());
    await_slots();
    let most = CROWDS.into_iter().max().unwrap_or(0);
    let measured = Multitude::new(&mut frames, most).and_then(|clients| measure_all(&clients));
    check("every policy decides, with few clients and with many", measured.map(|()| String::new()));
    await_report();
    output::report(&Record::LibOs(without_clients(&info.name, arrived)));
    output::stats().reported.fetch_add(1, AcqRel);
}

fn measure_all(clients: &Multitude) -> Result<(), String> {
    let quantum = view().quantum();
    CROWDS.iter().try_for_each(|&crowd| {
        clients.wait_for(Tick(crowd as u64 / 2 * WAIT_TICKS));
        let crowd = &clients.targets[..crowd];
        measure(crowd, Kind::Stride, Stride::new(quantum))?;
        measure(crowd, Kind::HierarchicalStride, HierarchicalStride::new(quantum))?;
        measure(crowd, Kind::Lottery, Lottery::new(quantum, Lottery::seed(1, 0)))?;
        measure(crowd, Kind::Edf, Edf::without_admission(turn_cost(), quantum))?;
        measure(crowd, Kind::RateMonotonic, RateMonotonic::without_admission(turn_cost(), quantum))?;
        let deadline_monotonic = DeadlineMonotonic::without_admission(turn_cost(), quantum);
        measure(crowd, Kind::DeadlineMonotonic, deadline_monotonic)?;
        measure(crowd, Kind::Cbs, ConstantBandwidth::new(Servers::Soft, quantum))?;
        measure(crowd, Kind::CbsHard, ConstantBandwidth::new(Servers::Hard, quantum))?;
        let edzl = Global::<EarliestDeadline>::until_zero_laxity(turn_cost(), quantum);
        measure(crowd, Kind::GlobalEdf, Global::<EarliestDeadline>::new(turn_cost(), quantum))?;
        measure(crowd, Kind::GlobalRateMonotonic, Global::<ShortestPeriod>::new(turn_cost(), quantum))?;
        measure(crowd, Kind::Edzl, edzl)?;
        measure(crowd, Kind::RoundRobin, Line::round_robin(quantum))?;
        measure(crowd, Kind::Fifo, Line::first_come())
    })
}

/// What a client asks for: shares that differ, or deadlines that do.
fn demand(kind: Kind, client: u64) -> Demand {
    let quantum = view().quantum();
    let period = Tick(quantum.0 * (10 + client % 16));
    match kind.is_for_deadlines() {
        true => Demand::Periodic { first_release: Tick(0), budget: quantum, period, deadline: period },
        false => Demand::Share { tickets: 1 + client as u32 % 3 },
    }
}

/// Measures one policy, and reports it.
fn measure<P: Policy>(crowd: &[Target], kind: Kind, mut policy: P) -> Result<(), String> {
    let mut own = Own::default();
    for (place, target) in crowd.iter().enumerate() {
        let id = client_id(place);
        own.set_client(id, Some(*target));
        let joined = policy.join(id, demand(kind, place as u64), page::now());
        joined.map_err(|refusal| format!("{kind:?}: {refusal:?}"))?;
    }
    let mut counted = Counted::new(policy);
    let (mut in_policy, mut whole) = (Vec::with_capacity(TURNS), Vec::with_capacity(TURNS));
    begin_revolution();
    // In the first turns clients are new, and queues empty.
    for number in 0..2 * crowd.len() + TURNS {
        settle();
        let begin = counter::before();
        turn(&mut own, &mut counted);
        let took = counter::after().since(begin).instructions;
        let (calls, spent) = counted.take();
        if number >= 2 * crowd.len() {
            in_policy.push(spent);
            // The stamps around the turn, and those around each way into the policy.
            whole.push(took.saturating_sub((calls + 1) * counted.overhead));
        }
    }
    super::note_events(own.take_events());
    if counted.scheduler.observer.0 > 0 {
        return Err(format!("{kind:?} with {} clients: nobody was ready", crowd.len()));
    }
    output::report(&Record::Decisions(Decisions {
        policy: kind,
        clients: crowd.len() as u64,
        turns: TURNS as u64,
        policy_sum: in_policy.iter().sum(),
        policy_instructions: counter::spread(in_policy.into_iter()),
        turn_sum: whole.iter().sum(),
        turn_instructions: counter::spread(whole.into_iter()),
    }));
    Ok(())
}

/// Waits until a revolution has just begun, so that no slot is anybody else's before the measuring is over.
fn begin_revolution() {
    let revolution = || view().position(page::now()).map(|position| position.revolution);
    let before = revolution();
    while revolution() == before {
        super::sleep(view().quantum());
    }
    settle();
}

/// Sees to it that a turn is not cut short by the end of the slice.
fn settle() {
    let left = || Tick(page::own().slot_end.load(Relaxed)).since(page::now());
    while left() < MARGIN {
        // Refused only where there is no kernel.
        if calls::yield_now().is_err() {
            return;
        }
    }
}

/// Counts how often nobody was ready.
#[derive(Default)]
struct Idles(u64);

impl<P> Observer<P> for Idles {
    fn idle(&mut self, _policy: &P, _now: Tick, _until: Tick) {
        self.0 += 1;
    }
}

/// A scheduler whose policy's instructions are counted.
struct Counted<P> {
    scheduler: Scheduler<P, Idles>,
    /// What two stamps cost with nothing between them.
    overhead: u64,
    calls: u64,
    spent: u64,
}

impl<P> Counted<P> {
    fn new(policy: P) -> Self {
        let scheduler = Scheduler { policy, observer: Idles::default() };
        Self { scheduler, overhead: counter::overhead().instructions, calls: 0, spent: 0 }
    }

    /// Ways into the policy since the last time, and the instructions there.
    fn take(&mut self) -> (u64, u64) {
        (core::mem::take(&mut self.calls), core::mem::take(&mut self.spent))
    }
}

impl<P> Access<P, Idles> for Counted<P> {
    fn with<R>(&mut self, action: impl FnOnce(&mut Scheduler<P, Idles>) -> R) -> R {
        let begin = counter::before();
        let result = action(&mut self.scheduler);
        self.spent += counter::after().since(begin).instructions.saturating_sub(self.overhead);
        self.calls += 1;
        result
    }
}
