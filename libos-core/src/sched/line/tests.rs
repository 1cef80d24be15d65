//! Whom the line's first is, with scripted clients.
use super::super::dispatch::{Observer, Scheduler, Turn};
use super::super::fake::{Act, Fake, Slots};
use super::*;
use alloc::boxed::Box;
use std::vec::Vec;

#[derive(Default)]
struct Ran(Vec<(u16, u64)>);

impl<P> Observer<P> for Ran {
    fn charged(&mut self, _: &P, turn: &Turn) {
        self.0.push((turn.client.0, turn.outcome.ran.0));
    }
}

fn run(slots: Slots, scripts: &[&'static [Act]], end: u64) -> Vec<(u16, u64)> {
    let (mut fake, mut policy) = (Fake::new(slots, Tick(0)), Line::first_come());
    for (id, acts) in (0..).map(ClientId).zip(scripts) {
        let mut acts = acts.iter().copied();
        fake.add(id, Box::new(move |_| acts.next().unwrap_or(Act::Wait(Tick::NEVER))));
        policy.join(id, Demand::Share { tickets: 1 }, Tick(0)).unwrap();
    }
    let mut scheduler = Scheduler { policy, observer: Ran::default() };
    fake.run(&mut scheduler, Tick(end));
    scheduler.observer.0
}

#[test]
fn who_came_first_runs_until_it_waits_even_over_the_end_of_a_slot() {
    let slots = Slots { owned: [true, false].into(), quantum: Tick(10), overhead: Tick(0) };
    let turns = run(slots, &[&[Act::Compute(Tick(15))], &[Act::Compute(Tick(3))]], 100);
    assert_eq!(turns, [(0, 10), (0, 5), (1, 3)]);
}

#[test]
fn who_yields_goes_to_the_end_of_the_line() {
    let yields: &[Act] = &[Act::Compute(Tick(2)), Act::Yield, Act::Compute(Tick(4))];
    let turns = run(Slots::whole_core(), &[yields, &[Act::Compute(Tick(3))]], 100);
    assert_eq!(turns, [(0, 2), (1, 3), (0, 4)]);
}

#[test]
fn who_comes_back_waits_for_those_who_came_meanwhile() {
    let sleeps: &[Act] = &[Act::Compute(Tick(1)), Act::Wait(Tick(5)), Act::Compute(Tick(1))];
    let works: &[Act] = &[Act::Compute(Tick(20))];
    let turns = run(Slots::whole_core(), &[sleeps, works, works], 100);
    assert_eq!(turns, [(0, 1), (1, 20), (2, 20), (0, 1)]);
}
