//! The loop, with a policy that takes turns, on processors with scripted clients.
use super::*;
use crate::sched::Demand;
use crate::sched::fake::{Act, Fake, Slots};
use crate::sched::line::Line;
use alloc::boxed::Box;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::vec;
use std::vec::Vec;

/// Writes down what it sees.
#[derive(Default)]
struct Log(Vec<(u16, u64, Reason, u64)>, u64);

impl<P> Observer<P> for Log {
    fn charged(&mut self, _: &P, turn: &Turn) {
        self.0.push((turn.client.0, turn.outcome.ran.0, turn.outcome.reason, turn.outcome.now.0));
    }
    fn idle(&mut self, _: &P, now: Tick, until: Tick) {
        self.1 += until.since(now).0.min(1000);
    }
}

fn scheduler(clients: &[u16]) -> Scheduler<Line, Log> {
    let policy = Line::round_robin(Tick(10));
    let mut scheduler = Scheduler { policy, observer: Log::default() };
    for client in clients {
        scheduler.policy.join(ClientId(*client), Demand::Share { tickets: 1 }, Tick(0)).unwrap();
    }
    scheduler
}

fn acts(acts: &'static [Act]) -> Box<dyn FnMut(Tick) -> Act> {
    let mut acts = acts.iter().copied();
    Box::new(move |_| acts.next().unwrap_or(Act::Fault))
}

fn run(fake: &mut Fake, clients: &[u16], end: u64) -> Scheduler<Line, Log> {
    let mut scheduler = scheduler(clients);
    fake.run(&mut scheduler, Tick(end));
    scheduler
}

#[test]
fn a_turn_ends_with_its_time_a_yield_a_wait_or_a_fault() {
    let mut fake = Fake::new(Slots::whole_core(), Tick(0));
    fake.add(ClientId(0), acts(&[Act::Compute(Tick(14)), Act::Yield, Act::Compute(Tick(1)), Act::Fault]));
    fake.add(ClientId(1), acts(&[Act::Compute(Tick(3)), Act::Wait(Tick(40)), Act::Compute(Tick(2))]));
    let log = run(&mut fake, &[0, 1], 100).observer;
    let expected = [
        (0, 10, Reason::Expired, 10),
        (1, 3, Reason::Waiting, 13),
        (0, 4, Reason::Yielded, 17),
        (0, 1, Reason::Faulted, 18),
        (1, 2, Reason::Faulted, 42),
    ];
    assert_eq!(log.0, expected);
}

#[test]
fn a_slots_end_ends_the_turn_and_the_next_decision_is_made_in_the_next_own_slot() {
    let slots = Slots { owned: vec![true, false, true], quantum: Tick(6), overhead: Tick(1) };
    let mut fake = Fake::new(slots, Tick(0));
    fake.add(ClientId(0), Box::new(|_| Act::Compute(Tick(100))));
    let log = run(&mut fake, &[0], 19).observer;
    let expired = Reason::Expired;
    assert_eq!(
        log.0,
        [(0, 5, expired, 13), (0, 5, expired, 19)],
        "slots 0..6 and 12..18, each less one tick"
    );
}

#[test]
fn a_posted_event_ends_the_turn_and_wakes_the_client_that_waited_for_it() {
    let mut fake = Fake::new(Slots::whole_core(), Tick(0));
    fake.add(ClientId(0), acts(&[Act::Wait(Tick::NEVER), Act::Compute(Tick(5)), Act::Wait(Tick::NEVER)]));
    fake.add(ClientId(1), Box::new(|_| Act::Compute(Tick(100))));
    fake.post(ClientId(0), Tick(7));
    let log = run(&mut fake, &[0, 1], 30).observer;
    assert_eq!(log.0[1], (1, 7, Reason::Event, 7));
    assert_eq!(log.0[2].0, 1, "first come, first served: the one that ran goes on");
    assert_eq!(log.0[3].0, 0);
}

#[test]
fn the_core_waits_only_while_nobody_is_ready_and_an_event_ends_the_wait() {
    let mut fake = Fake::new(Slots::whole_core(), Tick(0));
    fake.add(ClientId(0), acts(&[Act::Wait(Tick(500)), Act::Compute(Tick(5)), Act::Wait(Tick::NEVER)]));
    fake.post(ClientId(0), Tick(90));
    let log = run(&mut fake, &[0], 400).observer;
    assert_eq!(log.0[1], (0, 5, Reason::Waiting, 95));
}

#[test]
fn a_busy_client_is_not_asked_again_before_it_can_run() {
    let busy = |detail| Outcome { reason: Reason::Busy, ran: Tick(0), detail, now: Tick(100) };
    assert_eq!(end_of(busy(150), Tick(110)), TurnEnd::Waiting(Tick(150)));
    assert_eq!(end_of(busy(0), Tick(110)), TurnEnd::Waiting(Tick(110)));
}

#[test]
fn the_ready_set_gives_each_member_once_in_order() {
    let mut set = ReadySet::default();
    for client in [200, 3, 64, 3, 300] {
        set.insert(ClientId(client));
    }
    assert_eq!(set.map(|client| client.0).collect::<Vec<_>>(), [3, 64, 200]);
}

/// A core of a scheduler with several: a host thread. Its clients compute only, and must never be on two cores.
struct Thread<'a> {
    occupied: &'a [AtomicBool],
    ran: &'a AtomicU64,
    clock: &'a AtomicU64,
}

impl Processor for Thread<'_> {
    fn now(&mut self) -> Tick {
        Tick(self.clock.load(Ordering::Relaxed))
    }
    fn yield_to(&mut self, client: ClientId, _: Tick) -> Outcome {
        let occupied = &self.occupied[usize::from(client.0)];
        assert!(!occupied.swap(true, Ordering::AcqRel), "{client:?} runs on two cores");
        std::thread::yield_now();
        self.ran.fetch_add(3, Ordering::Relaxed);
        let now = Tick(self.clock.fetch_add(3, Ordering::Relaxed));
        occupied.store(false, Ordering::Release);
        Outcome { reason: Reason::Expired, ran: Tick(3), detail: 0, now }
    }
    fn wait(&mut self, _: Tick) -> Tick {
        std::thread::yield_now();
        self.now()
    }
    fn take_ready(&mut self) -> ReadySet {
        ReadySet::default()
    }
}

#[test]
fn cores_that_share_a_policy_never_run_one_client_twice_and_charge_all_that_ran() {
    let shared = Mutex::new(scheduler(&[0, 1, 2]));
    let occupied = [const { AtomicBool::new(false) }; 3];
    let (ran, clock) = (AtomicU64::new(0), AtomicU64::new(0));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let mut thread = Thread { occupied: &occupied, ran: &ran, clock: &clock };
                dispatch(&mut thread, &mut &shared, |thread, _| match thread.now() {
                    Tick(0..3000) => ControlFlow::Continue(()),
                    _ => ControlFlow::Break(()),
                });
            });
        }
    });
    let scheduler = shared.into_inner();
    assert!((0..3).all(|client| scheduler.policy.contends(ClientId(client))), "no client is lost");
    assert_eq!(scheduler.observer.0.iter().map(|turn| turn.1).sum::<u64>(), ran.load(Ordering::Relaxed));
}

#[test]
fn the_guide_shows_the_policy_that_is_tested_here() {
    let guide = include_str!("../../../../docs/policies.md");
    let policy =
        include_str!("../line.rs").split_once("\n\n").unwrap().1.split_once("\n#[cfg(test)]").unwrap().0;
    assert!(guide.contains(policy), "docs/policies.md differs from line.rs");
}

/// Notes loans, and what it had seen of turns by then.
#[derive(Default)]
struct Loans(Vec<(Loan, u64, usize)>, usize);

impl<P> Observer<P> for Loans {
    fn charged(&mut self, _: &P, _: &Turn) {
        self.1 += 1;
    }
    fn lent(&mut self, _: &P, loan: Loan, now: Tick) {
        self.0.push((loan, now.0, self.1));
    }
}

#[test]
fn who_waits_for_another_lends_after_its_turn_is_charged_and_who_waits_for_time_does_not() {
    let mut fake = Fake::new(Slots::whole_core(), Tick(0));
    let (from, to) = (ClientId(1), ClientId(0));
    fake.add(to, acts(&[Act::Compute(Tick(500))]));
    let waits =
        &[Act::Compute(Tick(3)), Act::Wait(Tick(40)), Act::WaitFor(ClientId(0), Tick(90)), Act::Fault];
    fake.add(from, acts(waits));
    let Scheduler { policy, .. } = scheduler(&[0, 1]);
    let mut scheduler = Scheduler { policy, observer: Loans::default() };
    fake.run(&mut scheduler, Tick(100));
    let [(loan, now, turns)] = scheduler.observer.0[..] else { panic!("{:?}", scheduler.observer.0) };
    assert_eq!((loan, now), (Loan { from, to }, 53));
    assert!(turns >= 4, "{turns}");
}
