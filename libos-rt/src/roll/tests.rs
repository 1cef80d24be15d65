//! Who is kept, by hand and for supplies of chance.
use super::*;
use crate::cbs::{ConstantBandwidth, Kind};
use crate::edf::Edf;
use crate::supply::Supply;
use alloc::vec;
use libos_core::sched::{Decision, Policy, TurnEnd};
use proptest::prelude::*;

/// The whole core in slots, so many of ten of which are there: the first ones.
fn supply(slots: usize) -> Supply {
    let owned: Vec<bool> = (0..10).map(|slot| slot < slots).collect();
    Supply::new(&owned, Tick(10), Tick(0))
}

fn edf(slots: usize) -> Edf {
    Edf::new(supply(slots), Tick(0), Tick(10))
}

fn applicant(client: u16, (budget, period): (u64, u64), criticality: u8) -> Applicant {
    let [first_release, budget, period] = [0, budget, period].map(Tick);
    let demand = Demand::Periodic { first_release, budget, period, deadline: period };
    Applicant { client: ClientId(client), demand, criticality: Criticality(criticality) }
}

fn admitted(roll: &Roll, clients: u16) -> Vec<u16> {
    (0..clients).filter(|client| roll.account(ClientId(*client)).unwrap().is_admitted).collect()
}

/// New slots, and a core on which nothing is to be done: everything settles.
fn settle(roll: &mut Roll, policy: &mut impl Guarantees, slots: usize, now: Tick) -> Vec<Change> {
    policy.set_supply(supply(slots));
    let mut changes = roll.redo(policy, now);
    // Jobs that are under way end.
    while let Some(Decision { client, .. }) = policy.pick(now) {
        policy.charge(client, Tick(0), TurnEnd::Waiting(Tick::NEVER), now);
    }
    if roll.is_unsettled() {
        changes.extend(roll.redo(policy, now));
    }
    changes
}

const HIGH: u8 = 5;

#[test]
fn the_least_critical_are_shed_the_last_of_them_first_and_come_back_with_the_slots() {
    let mut policy = edf(10);
    // 30 % each; the second is the critical one.
    let mut roll = Roll::new([(0, 0), (1, HIGH), (2, 0)].map(|(id, level)| applicant(id, (30, 100), level)));
    let changes = roll.redo(&mut policy, Tick(0));
    assert_eq!((changes.len(), admitted(&roll, 3)), (3, vec![0, 1, 2]));
    assert!(!roll.is_steady(), "somebody may be shed");
    assert_eq!(
        settle(&mut roll, &mut policy, 6, Tick(150)),
        [Change::Shed { client: ClientId(2) }],
        "of the same criticality the last that came"
    );
    settle(&mut roll, &mut policy, 3, Tick(250));
    assert_eq!(admitted(&roll, 3), [1]);
    settle(&mut roll, &mut policy, 10, Tick(360));
    assert_eq!(admitted(&roll, 3), [0, 1, 2]);
    let account = roll.account(ClientId(2)).unwrap();
    assert_eq!((account.shed, account.shed_at, account.back_at), (1, Some(Tick(150)), Some(Tick(360))));
    assert_eq!(roll.account(ClientId(1)).unwrap().shed, 0);
}

#[test]
fn who_comes_back_has_its_next_release_where_it_always_was_and_its_old_jobs_are_dropped() {
    let mut policy = edf(3);
    let mut roll = Roll::new([applicant(0, (30, 100), HIGH), applicant(1, (30, 100), 0)]);
    let refused = Change::Refused { client: ClientId(1), refusal: Refusal::NotSchedulable };
    assert_eq!(roll.redo(&mut policy, Tick(0))[1], refused);
    let back = |changes: Vec<Change>| match changes[..] {
        [Change::Admitted { demand: Demand::Periodic { first_release, .. }, resumes_at, .. }] => {
            (first_release, resumes_at)
        }
        _ => panic!("{changes:?}"),
    };
    // It never ran, so no job of its was begun; the next time there is one.
    assert_eq!(back(settle(&mut roll, &mut policy, 10, Tick(350))), (Tick(400), Some(Tick(400))));
    assert_eq!(settle(&mut roll, &mut policy, 3, Tick(550)).len(), 1);
    assert_eq!(back(settle(&mut roll, &mut policy, 10, Tick(800))), (Tick(800), Some(Tick(900))));
}

#[test]
fn who_is_more_critical_takes_the_place_of_who_is_less_so() {
    let mut policy = edf(3);
    // The critical one does not fit into three slots, the other does; into five, the one or the other.
    let mut roll = Roll::new([applicant(0, (30, 100), 0), applicant(1, (50, 100), HIGH)]);
    roll.redo(&mut policy, Tick(0));
    assert_eq!(admitted(&roll, 2), [0]);
    assert!(roll.has_levels() && !roll.can_shed());
    settle(&mut roll, &mut policy, 5, Tick(10));
    assert_eq!(admitted(&roll, 2), [1]);
}

#[test]
fn nobody_joins_before_those_who_left_delay_nobody_any_more() {
    let mut policy = edf(3);
    let mut roll = Roll::new([applicant(0, (30, 100), 0), applicant(1, (50, 100), HIGH)]);
    roll.redo(&mut policy, Tick(0));
    policy.set_supply(supply(5));
    assert_eq!(roll.redo(&mut policy, Tick(10)), [Change::Shed { client: ClientId(0) }]);
    assert!(roll.is_unsettled() && admitted(&roll, 2).is_empty());
    assert_eq!(policy.pick(Tick(20)), None);
    assert!(matches!(roll.redo(&mut policy, Tick(20))[..], [Change::Admitted { .. }]));
    assert!(!roll.is_unsettled());
}

#[test]
fn who_asks_for_what_makes_no_sense_is_refused_once_and_who_has_no_deadlines_is_never_shed() {
    let mut policy = edf(10);
    let share = Applicant { demand: Demand::Share { tickets: 1 }, ..applicant(1, (1, 2), 0) };
    let mut roll = Roll::new([applicant(0, (0, 100), HIGH), share, applicant(2, (50, 100), 0)]);
    let changes = roll.redo(&mut policy, Tick(0));
    assert_eq!(changes[0], Change::Refused { client: ClientId(0), refusal: Refusal::BadDemand });
    assert_eq!(settle(&mut roll, &mut policy, 0, Tick(10)), [Change::Shed { client: ClientId(2) }]);
    assert_eq!(admitted(&roll, 3), [1]);
}

/// Nobody who is kept may miss, nobody who is not could be kept instead of those who are less critical, and what slots there were before does not matter.
fn check(
    policy: &mut impl Guarantees,
    applicants: &[Applicant],
    supplies: &[usize],
) -> Result<(), TestCaseError> {
    let clients = applicants.len() as u16;
    policy.set_supply(supply(10));
    let mut roll = Roll::new(applicants.iter().copied());
    roll.redo(policy, Tick(0));
    let at_first = admitted(&roll, clients);
    for (slots, now) in supplies.iter().chain([&10]).zip((1..).map(|step| Tick(step * 1000))) {
        settle(&mut roll, policy, *slots, now);
        prop_assert!(policy.fits(&supply(*slots)));
        let kept = admitted(&roll, clients);
        let demands = |keep: &dyn Fn(&Applicant) -> bool| -> Vec<Demand> {
            applicants.iter().filter(|one| keep(one)).map(|one| one.demand).collect()
        };
        let is_kept = |one: &Applicant| kept.contains(&one.client.0);
        for shed in applicants.iter().filter(|one| !is_kept(one)) {
            let instead = |one: &Applicant| {
                one.client == shed.client || (is_kept(one) && one.criticality >= shed.criticality)
            };
            prop_assert!(!policy.carries(&demands(&instead)), "{:?} is shed for nothing", shed);
        }
    }
    prop_assert_eq!(admitted(&roll, clients), at_first);
    Ok(())
}

proptest! {
    #[test]
    fn whatever_slots_come_and_go_the_most_critical_that_fit_are_guaranteed(
        tasks in prop::collection::vec((1..40u64, 0..200u64, 0..3u8), 1..7),
        supplies in prop::collection::vec(0..=10usize, 1..6),
    ) {
        let one = |(client, (budget, slack, level)): (u16, &(u64, u64, u8))| {
            applicant(client, (*budget, budget + slack), *level)
        };
        let applicants: Vec<_> = (0..).zip(&tasks).map(one).collect();
        check(&mut edf(10), &applicants, &supplies)?;
        let mut servers = ConstantBandwidth::with_guarantees(Kind::Hard, supply(10), Tick(0), Tick(10));
        check(&mut servers, &applicants, &supplies)?;
    }
}

#[test]
fn where_all_are_as_critical_the_set_is_steady_until_slots_are_too_few() {
    let mut policy = edf(10);
    let mut roll = Roll::new([applicant(0, (30, 100), 0), applicant(1, (30, 100), 0)]);
    roll.redo(&mut policy, Tick(0));
    settle(&mut roll, &mut policy, 7, Tick(10));
    assert!(roll.is_steady());
    settle(&mut roll, &mut policy, 5, Tick(20));
    assert!(!roll.is_steady());
    assert_eq!(admitted(&roll, 2), [0]);
}

#[test]
fn who_asks_later_is_taken_on_as_if_it_had_asked_before_and_who_goes_makes_room() {
    let mut policy = edf(7);
    let mut roll = Roll::new([applicant(0, (30, 100), 0), applicant(4, (1, 100), 0)]);
    roll.redo(&mut policy, Tick(0));
    assert!(roll.is_steady());
    roll.add(applicant(1, (30, 100), 0));
    let changes = settle(&mut roll, &mut policy, 7, Tick(100));
    let Change::Admitted { client: ClientId(1), .. } = changes[0] else { panic!("{changes:?}") };
    assert!(!roll.is_steady());
    // One more of the same criticality does not fit; one that is more critical does, in the last one's place.
    roll.add(applicant(2, (30, 100), 0));
    roll.add(applicant(3, (30, 100), HIGH));
    settle(&mut roll, &mut policy, 7, Tick(200));
    assert_eq!(admitted(&roll, 5), [0, 3, 4]);
    policy.leave(ClientId(3), Tick(300));
    roll.withdraw(ClientId(3));
    settle(&mut roll, &mut policy, 7, Tick(300));
    assert_eq!(admitted(&roll, 5), [0, 1, 3, 4], "who has gone had its guarantee until then");
    assert_eq!(roll.account(ClientId(3)).unwrap().shed, 0);
    roll.withdraw(ClientId(9));
}

#[test]
fn who_is_alone_or_among_equals_has_nobody_above_or_below() {
    let levels = |levels: &[u8]| {
        Roll::new((0..).zip(levels).map(|(id, level)| applicant(id, (1, 100), *level))).has_levels()
    };
    assert_eq!([&[][..], &[HIGH], &[HIGH, HIGH], &[0, HIGH]].map(levels), [false, false, false, true]);
}
