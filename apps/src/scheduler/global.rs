//! The scheduler libOSes whose cores share one policy: `global-edf`, `global-rate-monotonic` and `edzl`. An activation on every core
//! asks the same policy, under a lock, and yields to whom it names; a client runs on any core, one at a time.
//!
//! The first core's activation makes the clients and is told of their readiness; the others wait until they are there. At the
//! end it reports the clients, once nobody serves them any more. Not here: the policies (`libos_rt::global`).
//!
//! The lock is held in critical sections only, for one decision or charge, and no call is made in one: so a slot that ends meanwhile
//! ends some microseconds later, for which the libOS pays, and no holder is without the CPU.
#![forbid(unsafe_code)]

use super::crew::{self, Crew, Member};
use super::deadlines::turn_cost;
use super::serve::{self, attend};
use super::tally::Tally;
use crate::assignment::{Assignment, EVENT_REPORT};
use alloc::vec::Vec;
use core::mem;
use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed};
use libos_core::critical::Lock;
use libos_core::processor::Own;
use libos_core::public::view;
use libos_core::report::Figures;
use libos_core::sched::dispatch::{Access, Processor, Scheduler};
use libos_core::sched::steps::{Keeper, Step, Steps};
use libos_core::sched::{ClientId, Policy, Tick};
use libos_core::start::StartInfo;
use libos_core::{calls, output, page, say, trace};
use libos_rt::deadlines::Order;
use libos_rt::edf::EarliestDeadline;
use libos_rt::global::Global;
use libos_rt::rate_monotonic::ShortestPeriod;
use spin::Once;
use tranche_abi::Target;

/// Global earliest deadline first.
pub fn global_edf(info: StartInfo) {
    static SHARED: Shared<EarliestDeadline> = Shared::new();
    serve_global(&info, &SHARED, Global::new);
}

/// Global rate-monotonic fixed priorities.
pub fn global_rate_monotonic(info: StartInfo) {
    static SHARED: Shared<ShortestPeriod> = Shared::new();
    serve_global(&info, &SHARED, Global::new);
}

/// Earliest deadline until zero laxity.
pub fn edzl(info: StartInfo) {
    static SHARED: Shared<EarliestDeadline> = Shared::new();
    serve_global(&info, &SHARED, Global::until_zero_laxity);
}

/// Who sees what the scheduler does.
type Observers = (Steps<Numbered>, Tally);

/// What the activations have in common.
struct Shared<O> {
    service: Once<Service<O>>,
    /// Activations that serve nobody any more.
    over: AtomicU64,
}

/// The policy, and whom it schedules.
struct Service<O> {
    scheduler: Lock<Scheduler<Global<O>, Observers>>,
    clients: Vec<(ClientId, Target)>,
}

impl<O> Shared<O> {
    const fn new() -> Self {
        Self { service: Once::new(), over: AtomicU64::new(0) }
    }
}

/// Numbers steps: they come from several cores, into a ring each. Under the policy's lock, so the numbers are
/// their order, whenever they are marked.
#[derive(Debug, Default)]
struct Numbered {
    next: u64,
    unmarked: Vec<(Step, u64)>,
}

impl Keeper for Numbered {
    fn keep(&mut self, step: Step) {
        if trace::is_on() {
            self.unmarked.push((step, self.next));
        }
        self.next += 1;
    }
}

/// An activation's way to the policy.
struct Sharing<'a, O> {
    service: &'a Service<O>,
    /// Room for steps: nothing is allocated under the lock once there is enough of it.
    unmarked: Vec<(Step, u64)>,
}

impl<O> Access<Global<O>, Observers> for Sharing<'_, O> {
    fn with<R>(&mut self, action: impl FnOnce(&mut Scheduler<Global<O>, Observers>) -> R) -> R {
        let mut scheduler = self.service.scheduler.lock();
        let result = action(&mut scheduler);
        mem::swap(&mut scheduler.observer.0.0.unmarked, &mut self.unmarked);
        drop(scheduler);
        self.unmarked.drain(..).for_each(|(step, number)| trace::numbered_step(step, number));
        result
    }
}

fn serve_global<O: Order + Send + Sync>(
    info: &StartInfo,
    shared: &'static Shared<O>,
    policy: impl FnOnce(Tick, Tick) -> Global<O>,
) {
    let Some((assignment, mut crew)) = crew::begin(info) else { return };
    output::stats().wanted.store(assignment.libos.want.into(), Relaxed);
    let siblings = (0..assignment.cores.into()).filter(|core| *core != crew.core);
    let mut own = Own::new(siblings.map(calls::own_target).collect());
    if crew.core == 0 {
        shared.service.call_once(|| service(&crew, policy(turn_cost(), view().quantum())));
        own.rouse_siblings();
    }
    let Some(service) = await_service(shared, &mut own) else { return };
    service.clients.iter().for_each(|(id, target)| own.set_client(*id, Some(*target)));
    let mut sharing = Sharing { service, unmarked: Vec::new() };
    attend(&mut crew, &mut own, &mut sharing, |crew, _, news| serve::answer(crew, news));
    shared.over.fetch_add(1, AcqRel);
    report(&assignment, &crew, (shared, service));
}

/// The policy with every client of the crew that it takes on.
fn service<O: Order>(crew: &Crew, mut policy: Global<O>) -> Service<O> {
    let mut numbered = Numbered::default();
    for Member { id, name, demand, .. } in &crew.members {
        let now = page::now();
        match policy.join(*id, *demand, now) {
            Ok(()) => numbered.keep(Step::Join { client: *id, demand: *demand, now }),
            Err(refusal) => say!("client {name} cannot join: {refusal:?}"),
        }
    }
    let clients = crew.members.iter().map(|member| (member.id, member.target)).collect();
    Service {
        scheduler: Lock::new(Scheduler { policy, observer: (Steps(numbered), Tally::default()) }),
        clients,
    }
}

/// Waits until the clients are there. `None` if the run is over before.
fn await_service<O>(shared: &'static Shared<O>, own: &mut Own) -> Option<&'static Service<O>> {
    loop {
        let is_over = own.take_events() & EVENT_REPORT != 0;
        match shared.service.get() {
            _ if is_over => return None,
            Some(service) => return Some(service),
            None => _ = own.wait(next_slot()),
        }
    }
}

fn next_slot() -> Tick {
    Tick(page::own().slot_end.load(Relaxed))
}

/// The first activation reports the clients, when no other serves them any more; all report what they used themselves.
fn report<O: Order>(assignment: &Assignment, crew: &Crew, (shared, service): (&Shared<O>, &Service<O>)) {
    if crew.core != 0 {
        return serve::report(assignment, crew, &Tally::default(), |_| Figures::Unpromised);
    }
    while shared.over.load(Acquire) < assignment.cores.into() {
        page::take_events();
        // Not refused to a running activation.
        let _ = calls::wait(next_slot());
    }
    let tally = service.scheduler.lock().observer.1.clone();
    serve::report(assignment, crew, &tally, |_| Figures::Unpromised);
}
