//! Known answers: published, or computed with another simulator. Costs are zero, a tick is a microsecond.

use super::{endless, ideal, libos, periodic, scenario};
use crate::sim::Run;
use crate::sim::costs::Overhead;
use crate::sim::policy::{Any, Terms};
use libos_core::scenario::{Admission, Arrivals, Client, Donation, Jobs, LibOs, Locking, Placement, Policy};
use libos_core::sched::steps::replay;

/// The longest response of each client, in milliseconds; and how many jobs were late or were not done in time.
fn worst_responses_and_misses(run: &Run) -> (Vec<u64>, usize) {
    let recording = &run.recording;
    let worst = |client| {
        let of = recording.jobs.iter().filter(|job| job.client == client);
        of.filter_map(|job| Some(job.completed? - job.released)).max().unwrap_or(0) / 1000
    };
    let late = recording.jobs.iter().filter(|job| job.due < Some(job.completed.unwrap_or(recording.end)));
    ((0..recording.clients.len()).map(worst).collect(), late.count())
}

fn periodic_set(policy: Policy, set: &[(u32, u32)], duration_ms: u32) -> (Vec<u64>, usize) {
    let client = |(n, task): (usize, &(u32, u32))| periodic(&format!("t{n}"), *task, 0);
    let clients: Vec<Client> = set.iter().enumerate().map(client).collect();
    worst_responses_and_misses(&ideal(&scenario(1, duration_ms, vec![libos(policy, clients)])))
}

#[test]
fn stride_takes_turns_as_in_the_paper_and_gives_exact_shares() {
    let clients = [("a", 3), ("b", 2), ("c", 1)].map(|(name, tickets)| endless(name, tickets, 0));
    let run = ideal(&scenario(1, 700, vec![libos(Policy::Stride, clients.into())]));
    let turns: Vec<usize> = run.recording.turns.iter().map(|turn| turn.client).take(600).collect();
    assert_eq!(turns[..12], [0, 1, 0, 0, 1, 2, 0, 1, 0, 0, 1, 2]);
    assert_eq!([0, 1, 2].map(|client| turns.iter().filter(|turn| **turn == client).count()), [300, 200, 100]);
}

#[test]
fn edf_has_the_responses_that_another_simulator_computed() {
    let four = [(1, 4), (1, 5), (3, 9), (3, 18)];
    assert_eq!(periodic_set(Policy::Edf, &four, 500), (vec![2, 3, 7, 12], 0));
    assert_eq!(periodic_set(Policy::Edf, &[(1, 4), (2, 6), (3, 8)], 200), (vec![3, 4, 6], 0));
}

#[test]
fn rate_monotonic_has_the_responses_that_the_analysis_gives() {
    let four = [(1, 4), (1, 5), (3, 9), (3, 18)];
    assert_eq!(periodic_set(Policy::RateMonotonic, &four, 500), (vec![1, 2, 7, 18], 0));
}

#[test]
fn rate_monotonic_misses_where_edf_does_not() {
    let clients = [(1, 4), (2, 6), (3, 8)].map(|task| periodic(&format!("t{}", task.1), task, 0));
    let unasked = LibOs { admission: Admission::Off, ..libos(Policy::RateMonotonic, clients.into()) };
    let run = ideal(&scenario(1, 200, vec![unasked]));
    let (worst, late) = worst_responses_and_misses(&run);
    assert_eq!(worst[..2], [1, 3]);
    assert!(worst[2] > 8 && late > 0, "{worst:?}, {late} late");
}

#[test]
fn partitioned_edf_does_not_have_dhalls_effect() {
    let mut clients = vec![periodic("heavy", (10, 10), 0)];
    clients.extend((0..4).map(|n| periodic(&format!("light{n}"), (1, 9), 1 + n % 3)));
    let run = ideal(&scenario(4, 300, vec![libos(Policy::Edf, clients)]));
    let (worst, late) = worst_responses_and_misses(&run);
    assert_eq!(worst, [10, 1, 1, 1, 2]);
    assert_eq!(late, 0);
}

/// A client whose jobs begin with so many milliseconds under the lock.
fn locked(client: Client, held_ms: u32) -> Client {
    Client { locking: Some(Locking { lock: "m".into(), held_us: held_ms * 1000 }), ..client }
}

fn later(mut client: Client, by_ms: u32) -> Client {
    if let Some(Jobs { arrivals: Arrivals::Periodic { offset_us, .. }, .. }) = &mut client.jobs {
        *offset_us = by_ms * 1000;
    }
    client
}

/// The first response of each client, in milliseconds; and that every scheduler decides the same when it is told again.
fn first_responses(policy: Policy, donation: Donation, clients: Vec<Client>) -> Vec<u64> {
    let libos = LibOs { donation, admission: Admission::Off, ..libos(policy, clients) };
    let run = ideal(&scenario(1, 1000, vec![libos]));
    for scheduler in &run.recording.schedulers {
        let overhead = Overhead::default();
        let mut again = Any::new(policy, Terms::of(&run.recording, scheduler, overhead)).unwrap();
        assert!(replay(&mut again, scheduler.steps.iter().copied()).is_ok_and(|decisions| decisions > 10));
    }
    let first =
        |client| run.recording.jobs.iter().find(|job| job.client == client && job.number == 0).unwrap();
    let response = |client| (first(client).completed.unwrap() - first(client).released) / 1000;
    (0..run.recording.clients.len()).map(response).collect()
}

/// Low has the lock from 0 to 6, high comes for it at 2, and middle, which needs none, at 3 (Sha, Rajkumar and Lehoczky, 1990).
#[test]
fn the_classic_inversion_is_there_without_inheritance_and_gone_with_it() {
    let clients = || {
        vec![
            locked(periodic("low", (8, 400), 0), 6),
            later(locked(periodic("high", (2, 100), 0), 2), 2),
            later(periodic("middle", (12, 200), 0), 3),
        ]
    };
    for policy in [Policy::RateMonotonic, Policy::DeadlineMonotonic, Policy::Edf] {
        assert_eq!(first_responses(policy, Donation::On, clients()), [22, 6, 17], "{policy:?}");
    }
    assert_eq!(first_responses(Policy::RateMonotonic, Donation::Off, clients()), [22, 18, 12]);
}

/// A holder with one ticket has the lock for 20, beside a computing client with three; one with eight comes for it at 30, when the holder
/// has used a quarter of that. For the rest it has 9 of 12 tickets, with those of the other, else 1 of 4.
#[test]
fn who_waits_for_a_lock_lends_its_tickets_and_what_was_lent_to_it() {
    let clients = || {
        vec![
            locked(periodic("holder", (20, 900), 0), 20),
            Client { tickets: 8, ..later(locked(periodic("waiter", (1, 900), 0), 1), 30) },
            Client { tickets: 3, ..periodic("computes", (899, 900), 0) },
        ]
    };
    for policy in [Policy::Stride, Policy::HierarchicalStride] {
        let with = first_responses(policy, Donation::On, clients());
        let without = first_responses(policy, Donation::Off, clients());
        assert!((15..=21).contains(&with[1]) && (46..=54).contains(&without[1]), "{with:?}, {without:?}");
    }
}
/// Tasks that run on any of several cores.
fn global_set(policy: Policy, cores: u32, set: &[(u32, u32)], duration_ms: u32) -> Run {
    let client = |(n, task): (usize, &(u32, u32))| Client {
        placement: Placement::Anywhere,
        ..periodic(&format!("t{n}"), *task, 0)
    };
    let clients = set.iter().enumerate().map(client).collect();
    ideal(&scenario(cores, duration_ms, vec![libos(policy, clients)]))
}

/// Whose deadlines are missed, and when, in milliseconds since the first release.
fn misses(run: &Run) -> Vec<(usize, u64)> {
    let recording = &run.recording;
    let begin = recording.jobs.iter().map(|job| job.released).min().unwrap();
    let missed = |job: &&crate::recording::Job| crate::metrics::jobs::missed(job, recording.end);
    let mut all: Vec<_> = recording.jobs.iter().filter(missed).collect();
    all.sort_by_key(|job| job.due);
    all.iter().map(|job| (job.client, (job.due.unwrap() - begin) / 1000)).collect()
}

const DHALL: [(u32, u32); 5] = [(10, 10), (1, 9), (1, 9), (1, 9), (1, 9)];
const TWO_THIRDS: [(u32, u32); 3] = [(2, 3); 3];

#[test]
fn dhalls_effect_is_global_edfs_and_not_edzls() {
    let run = global_set(Policy::GlobalEdf, 4, &DHALL, 300);
    let in_ninety = misses(&run).iter().filter(|(client, due)| *client == 0 && *due < 90).count();
    assert_eq!((in_ninety, worst_responses_and_misses(&run).0[0]), (8, 11));
    assert!(misses(&run).iter().all(|(client, _)| *client == 0));
    assert_eq!(misses(&global_set(Policy::Edzl, 4, &DHALL, 300)), []);
}

#[test]
fn three_tasks_of_two_thirds_on_two_cores_miss_at_three_but_not_under_edzl() {
    let run = global_set(Policy::GlobalEdf, 2, &TWO_THIRDS, 100);
    assert_eq!(misses(&run)[0], (2, 3));
    assert_eq!(misses(&global_set(Policy::Edzl, 2, &TWO_THIRDS, 100)), []);
    // A client's turns are on both cores, and never at once.
    let run = global_set(Policy::Edzl, 2, &TWO_THIRDS, 100);
    for client in 0..3 {
        let turns: Vec<_> = run.recording.turns_of(client).collect();
        assert!([0, 1].iter().all(|core| turns.iter().any(|turn| turn.core == *core)));
        assert!(turns.windows(2).all(|pair| pair[0].end <= pair[1].begin));
    }
}

#[test]
fn global_rate_monotonic_priorities_have_dhalls_effect_too() {
    // The periods of 9 come first: as under EDF the long task begins a tick late, and then each of its jobs later.
    let run = global_set(Policy::GlobalRateMonotonic, 4, &DHALL, 300);
    assert_eq!(misses(&run)[0], (0, 10));
    // By hand: t0 and t1 run at 0, t2 after the first of them; at 4 t2 has not had its 3 yet, and t1 goes on.
    let run = global_set(Policy::GlobalRateMonotonic, 2, &[(1, 4), (3, 5), (3, 6)], 300);
    let (worst, late) = worst_responses_and_misses(&run);
    assert_eq!((&worst[..2], late), (&[1, 3][..], 0), "{worst:?}");
}
