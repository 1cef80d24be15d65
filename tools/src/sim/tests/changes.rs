//! Clients that join late and leave early, change their tickets or follow a list, and the currencies of a lottery.
use super::*;
use crate::metrics::{self, shares};
use crate::prediction::sequence;
use crate::recording::Recording;
use crate::replay::replay_with;
use crate::trace;
use libos_core::scenario::{Currency, Inflation, Release, Trace};
use libos_core::sched::ClientId;
use libos_core::sched::steps::Step;

/// Two at 2:1, of which the second is there from 300 to 700 ms.
fn visitor(policy: Policy) -> Scenario {
    let guest = Client { joins_ms: 300, leaves_ms: Some(700), ..endless("guest", 1, 0) };
    scenario(1, 1000, vec![libos(policy, vec![endless("host", 2, 0), guest])])
}

fn ran(recording: &Recording, client: usize, (from, to): (u64, u64)) -> u64 {
    let inside = recording.turns_of(client).filter(|turn| (from..to).contains(&turn.begin));
    inside.map(|turn| turn.ran).sum()
}

#[test]
fn a_client_has_time_from_when_it_joins_until_it_leaves_under_every_policy() {
    for policy in Policy::ALL.into_iter().filter(|policy| !policy.is_global()) {
        let recording = ideal(&visitor(policy)).recording;
        let steps = &recording.schedulers[0].steps;
        let joined = steps.iter().find_map(|step| match step {
            Step::Join { client: ClientId(1), now, .. } => Some(now.0),
            _ => None,
        });
        let left = steps.iter().find_map(|step| match step {
            Step::Leave { client: ClientId(1), now } => Some(now.0),
            _ => None,
        });
        // They are seen at the end of a turn; fifo's last until their slot's end.
        assert!(joined.is_some_and(|at| (300_000..=301_000).contains(&at)), "{policy:?}: {joined:?}");
        assert!(left.is_some_and(|at| (700_000..=701_000).contains(&at)), "{policy:?}: {left:?}");
        assert_eq!(recording.clients[1].until, left.unwrap(), "{policy:?}");
        let [before, after] = [(0, 300_000), (701_000, 1_000_000)].map(|span| ran(&recording, 1, span));
        assert_eq!((before, after), (0, 0), "{policy:?}");
        // The first of a line that never waits keeps all others from running.
        let there = ran(&recording, 1, (300_000, 701_000));
        assert_eq!(there > 100_000, policy != Policy::Fifo, "{policy:?}: {there}");
        if policy == Policy::Stride {
            let shares = shares::measure(&recording, &recording.schedulers[0]).unwrap();
            assert!(shares.pairwise_quanta <= 1.0 && there.abs_diff(133_333) <= 1001, "{shares:?}, {there}");
        }
        assert!(metrics::measure(&recording)[0].bounds.iter().all(|bound| bound.holds), "{policy:?}");
        assert_eq!(trace::replay::all(&recording)[0].divergence, None, "{policy:?}");
    }
}

#[test]
fn the_jobs_of_a_client_that_joins_late_begin_then_and_are_guaranteed() {
    let late = Client { joins_ms: 400, leaves_ms: Some(800), ..periodic("late", (2, 10), 0) };
    // Beside the one that is late there is no room for the second that is.
    let third = Client { joins_ms: 600, ..periodic("third", (7, 10), 0) };
    let tasks = vec![periodic("always", (3, 20), 0), late, third];
    for policy in Policy::ALL.into_iter().filter(|policy| policy.can_guarantee()) {
        let edf = LibOs { minimum: 10, admission: Admission::Required, ..libos(policy, tasks.clone()) };
        let run = ideal(&scenario(1, 1000, vec![edf]));
        let of = |client| run.recording.jobs.iter().filter(move |job| job.client == client);
        // With the second revolution, of 10 ms, after it has joined.
        assert!(of(1).all(|job| (410_000..801_000).contains(&job.released)), "{policy:?}");
        assert!((38..=40).contains(&of(1).count()), "{policy:?}: {}", of(1).count());
        assert!(of(0).chain(of(1)).all(|job| !crate::metrics::jobs::missed(job, run.recording.horizon(job))));
        let roll = &run.cores[0].activations[0].warden.roll;
        let admitted = [0, 1, 2].map(|client| roll.account(ClientId(client)).unwrap().is_admitted);
        assert_eq!((admitted, roll.is_steady()), ([true; 3], false), "{policy:?}");
        let joined = run.recording.schedulers[0].steps.iter().find_map(|step| match step {
            Step::Join { client: ClientId(2), now, .. } => Some(now.0),
            _ => None,
        });
        assert!(joined.is_some_and(|at| at >= 800_000), "{policy:?}: {joined:?}");
        assert!(metrics::measure(&run.recording)[0].bounds.iter().all(|bound| bound.holds), "{policy:?}");
        let again = replay_with(&run.recording, policy, &Costs::nothing(MEGAHERTZ)).unwrap();
        assert_eq!(again.divergences, [], "{policy:?}");
    }
}

/// a1 and a2 hold 100 and 200 tickets of a, b1 all of b; both are funded alike, and b2 joins half way.
fn currencies() -> Scenario {
    let client = |name, tickets, currency: &str, joins_ms| Client {
        currency: Some(currency.into()),
        joins_ms,
        ..endless(name, tickets, 0)
    };
    let clients = vec![
        client("a1", 100, "a", 0),
        client("a2", 200, "a", 0),
        client("b1", 7, "b", 0),
        client("b2", 7, "b", 4000),
    ];
    let currencies = ["a", "b"].map(|name| Currency { name: name.into(), tickets: 10, of: None }).into();
    let lottery = LibOs { currencies, ..libos(Policy::Lottery, clients) };
    scenario(1, 8000, vec![lottery])
}

#[test]
fn a_currency_shields_the_others_from_who_joins_it() {
    let run = ideal(&currencies());
    let parts = |span| [0, 1, 2, 3].map(|client| ran(&run.recording, client, span) / 4000);
    // In thousandths of 4000 draws, of which three standard deviations are 24 at the most.
    for (span, expected) in
        [((0, 4_000_000), [167, 333, 500, 0]), ((4_000_000, 8_000_000), [167, 333, 250, 250])]
    {
        let got = parts(span);
        assert!(
            got.iter().zip(expected).all(|(got, wanted)| got.abs_diff(wanted) <= 24),
            "{got:?} of {expected:?}"
        );
    }
}

#[test]
fn a_run_with_currencies_is_predicted_replayed_and_judged_by_them() {
    let scenario = currencies();
    let recording = ideal(&scenario).recording;
    let costs = Costs::nothing(MEGAHERTZ);
    assert_eq!(trace::replay::all(&recording)[0].divergence, None);
    assert_eq!(replay_with(&recording, Policy::Lottery, &costs).unwrap().divergences, []);
    let found = sequence::compare(&scenario, &costs, &recording).unwrap();
    assert_eq!((found.divergence, found.corrections.len()), (None, 0));
    let restored = Recording::from_bytes(&recording.to_bytes()).unwrap();
    assert_eq!(trace::replay::all(&restored)[0].divergence, None);
    let metrics = &metrics::measure(&recording)[0];
    assert_eq!((metrics.bounds.len(), &metrics.shares), (4, &None));
    assert!(metrics.bounds.iter().all(|bound| bound.holds), "{:?}", metrics.bounds);
    // Told without its currencies, it is another lottery.
    let mut plain = recording;
    plain.schedulers[0].currencies = Default::default();
    assert!(trace::replay::all(&plain)[0].divergence.is_some());
    assert!(metrics::measure(&plain)[0].bounds.iter().any(|bound| !bound.holds));
}

/// Two Monte-Carlo tasks, of which the second begins a second later.
fn integrations(policy: Policy) -> Recording {
    let task = |name, joins_ms| Client {
        program: "monte-carlo".into(),
        inflation: Inflation::Own,
        joins_ms,
        ..endless(name, 1_000_000, 0)
    };
    let tasks = vec![task("early", 0), task("late", 1000)];
    ideal(&scenario(1, 3000, vec![libos(policy, tasks)])).recording
}

#[test]
fn a_task_that_inflates_its_tickets_by_its_error_catches_up_and_what_it_is_entitled_to_goes_with_them() {
    for policy in [Policy::Stride, Policy::HierarchicalStride, Policy::Lottery] {
        let recording = integrations(policy);
        let [early, late] = [0, 1].map(|client| ran(&recording, client, (0, u64::MAX)));
        // n1² − n2² stays 1 from the first second on, and n1 + n2 is 3 in the end: 5/3 and 4/3.
        let off = early.abs_diff(1_666_667).max(late.abs_diff(1_333_333));
        assert!(off < 30_000, "{policy:?}: {early} {late}");
        let metrics = &metrics::measure(&recording)[0];
        assert!(metrics.bounds.iter().all(|bound| bound.holds), "{policy:?}: {:?}", metrics.bounds);
        assert_eq!(metrics.bounds.is_empty(), policy == Policy::HierarchicalStride);
        let entitled = metrics.clients[1].entitled_us.unwrap();
        assert!((entitled - late as f64).abs() < 30_000.0, "{policy:?}: {entitled} of {late}");
        assert_eq!(trace::replay::all(&recording)[0].divergence, None, "{policy:?}");
        let again = replay_with(&recording, policy, &Costs::nothing(MEGAHERTZ)).unwrap();
        assert_eq!((again.divergences, again.recording.turns), (vec![], recording.turns), "{policy:?}");
    }
    let plain = integrations(Policy::RoundRobin);
    // The first revolution passes before anybody has slots.
    assert!(ran(&plain, 0, (0, u64::MAX)).abs_diff(2_000_000) < 15_000);
    assert_eq!(trace::replay::all(&plain)[0].divergence, None);
}

/// A client that follows a list of three jobs, twice, from 20 ms on.
fn listed() -> Scenario {
    let release = |at_us, work_us| Release { at_us, work_us };
    let releases = vec![release(1000, Some(500)), release(1000, None), release(40_000, Some(2000))];
    let arrivals = Arrivals::Trace { list: 0, repeat_us: Some(50_000) };
    let jobs = Jobs { arrivals, budget_us: 2000, deadline_us: Some(30_000), work_min_us: 700, work_us: 700 };
    let client = Client { jobs: Some(jobs), leaves_ms: Some(880), ..endless("server", 1, 0) };
    let clients = vec![client, endless("other", 1, 0)];
    let traces = vec![Trace { file: "list".into(), releases }];
    Scenario { traces, ..scenario(1, 1000, vec![libos(Policy::Stride, clients)]) }
}

#[test]
fn recorded_jobs_come_at_their_times_with_what_they_used_and_again_when_the_list_begins_again() {
    let scenario = listed();
    let recording = ideal(&scenario).recording;
    let mut jobs: Vec<_> = recording.jobs.iter().filter(|job| job.client == 0).collect();
    jobs.sort_by_key(|job| job.number);
    let begin = jobs[0].released - 1000;
    let seen: Vec<_> = jobs.iter().take(4).map(|job| (job.released - begin, job.demand)).collect();
    assert_eq!(seen, [(1000, 500), (1000, 700), (40_000, 2000), (51_000, 500)]);
    assert!(jobs.len() > 40 && jobs.iter().all(|job| job.released < 880_000 + 1000), "{}", jobs.len());
    // Every second time the one beside it has the CPU for a quantum.
    assert!(jobs.iter().all(|job| job.completed.is_none_or(|done| done - job.released <= 5000)));
    assert_eq!(trace::replay::all(&recording)[0].divergence, None);
    // The prediction begins when the recorded jobs did.
    let again = crate::sim::simulate_as(&recording, &scenario, &Costs::nothing(MEGAHERTZ)).unwrap();
    assert_eq!(again.recording.jobs, recording.jobs);
}

#[test]
fn without_a_repetition_the_list_ends_and_its_client_waits_for_ever() {
    let mut scenario = listed();
    let client = &mut scenario.libos[0].clients[0];
    client.jobs =
        client.jobs.map(|jobs| Jobs { arrivals: Arrivals::Trace { list: 0, repeat_us: None }, ..jobs });
    let recording = ideal(&scenario).recording;
    assert_eq!(recording.jobs.iter().filter(|job| job.client == 0).count(), 3);
    assert!(recording.jobs.iter().all(|job| job.completed.is_some()));
}
