//! Slots that go and come back under the clients of a libOS with guarantees.

use crate::metrics::guarantees::gaps;
use crate::outcome::Outcome;
use crate::replay::replay;
use crate::scenario;
use crate::sim::costs::Costs;
use crate::sim::{Run, report, simulate};
use libos_core::report::{Figures, Standing};
use libos_core::sched::ClientId;
use std::path::Path;

fn run(policy: &str) -> (Run, Outcome) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios/criticality.toml");
    let text = std::fs::read_to_string(file).unwrap();
    let asked = format!("policy = \"{policy}\"\nadmission = \"required\"");
    let scenario = scenario::parse(&text.replace("policy = \"edf\"", &asked), None, None).unwrap();
    let run = simulate(&scenario, &Costs::table().unwrap()).unwrap();
    let outcome = report::outcome(&run);
    (run, outcome)
}

fn standings(outcome: &Outcome) -> Vec<(Standing, u64, u64)> {
    let figures = outcome.clients_of("plant").map(|client| match client.demand {
        Figures::Periodic { standing, jobs, misses, .. } => (standing, jobs, misses),
        _ => panic!("{} is promised nothing", client.name),
    });
    figures.collect()
}

#[test]
fn under_every_policy_with_guarantees_the_critical_miss_nothing_and_the_others_come_back() {
    for policy in ["edf", "rate-monotonic", "deadline-monotonic", "cbs", "cbs-hard"] {
        let (run, outcome) = run(policy);
        let standings = standings(&outcome);
        assert_eq!(standings.len(), 8, "{policy}");
        for (Standing { criticality, shed, is_guaranteed, dropped, .. }, jobs, misses) in &standings {
            assert!(*is_guaranteed && *misses == 0 && *jobs > 20, "{policy}: {standings:?}");
            assert_eq!(
                (*shed > 0, *dropped > 0),
                (*criticality < 2, *criticality < 2),
                "{policy}: {standings:?}"
            );
        }
        // All slots were given back, none was taken.
        let slots = outcome.slots_of("plant").unwrap();
        assert!(slots.given_back >= 20 && slots.repossessed == 0, "{policy}: {slots:?}");
        let shed = (0..4).map(|number| gaps(&run.recording.schedulers[0].steps, ClientId(number)).len());
        assert_eq!(shed.collect::<Vec<_>>(), [0, 0, 1, 1], "{policy}");
    }
}

#[test]
fn a_run_in_which_clients_are_shed_is_told_again_without_a_difference() {
    for policy in ["edf", "rate-monotonic", "cbs", "cbs-hard"] {
        let (run, _) = run(policy);
        let policy = run.recording.schedulers[0].policy;
        let mut recording = run.recording;
        // Whoever else was there has another policy.
        recording.schedulers.truncate(2);
        let replay = replay(&recording, policy).unwrap();
        assert_eq!(replay.divergences, []);
        assert!(replay.same > 1000);
        // Those that left are served when they are back.
        let done = |jobs: &[crate::recording::Job], client| {
            jobs.iter().filter(|job| job.client == client && job.completed.is_some()).count()
        };
        assert!(done(&replay.recording.jobs, 2) + 3 > done(&recording.jobs, 2));
    }
}
