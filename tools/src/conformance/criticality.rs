//! Mixed criticality: a libOS that loses most of its slots to another and wins them back, under policies that guarantee deadlines.

use super::measures::{gaps, miss_ratio, misses_while_guaranteed};
use super::setting::{Client, RIVAL as RIVAL_NAME, Rival, Setting};
use super::{Expectation, Experiment};
use crate::recording::Recording;
use libos_core::scenario::{Admission, Policy};

const VESTAL: &str = "Vestal, RTSS 2007: those of low criticality are dropped, so that those of high criticality keep their deadlines; here the \
     supply shrinks";
const NONE: &str = "none: deadlines are met or missed";
const ONCE: &str = "none: each is shed once";
const SLOTS: u32 = 50;
const DURATION_MS: u32 = 3600;
const RIVAL: Rival = Rival { want: 38, leaves: 10, arrives_ms: 1400, leaves_ms: 2500 };
const HIGH: [usize; 2] = [0, 2];
const LOW: [usize; 2] = [1, 3];

/// All of them.
pub fn experiments() -> Vec<Experiment> {
    [
        ("edf-sheds", Policy::Edf),
        ("deadline-monotonic-sheds", Policy::DeadlineMonotonic),
        ("cbs-sheds", Policy::Cbs),
        ("cbs-hard-sheds", Policy::CbsHard),
    ]
    .map(|(name, policy)| transition(name, policy))
    .into()
}

/// Two critical tasks, which the 10 slots that are left carry, and two others, for which they are too few.
fn transition(name: &str, policy: Policy) -> Experiment {
    let tasks = [
        ("high-1", 900, 20_000),
        ("low-1", 5_500, 50_000),
        ("high-2", 3_600, 40_000),
        ("low-2", 10_800, 100_000),
    ];
    let clients = tasks.map(|(name, work_us, period_us)| Client::periodic(name, work_us, period_us)).into();
    let core = Setting::core(policy, DURATION_MS, clients);
    let mut expectations = Vec::new();
    for client in HIGH {
        let word = ["high-1", "", "high-2"][client];
        expectations.push(Expectation::near(
            format!("deadlines missed by {word}"),
            (0.0, 0.0),
            NONE,
            move |run| miss_ratio(run, client),
        ));
        expectations.push(Expectation::near(
            format!("times that {word} is shed"),
            (0.0, 0.0),
            NONE,
            move |run| Some(gaps(run, client)?.len() as f64),
        ));
    }
    for client in LOW {
        let word = ["", "low-1", "", "low-2"][client];
        expectations.extend(shed(word, client));
    }
    Experiment {
        name: name.into(),
        source: VESTAL,
        setting: Setting {
            slots: SLOTS,
            want: Some(24),
            admission: Admission::Required,
            criticalities: vec![1, 0, 1, 0],
            rival: Some(RIVAL),
            ..core
        },
        expectations,
    }
}

/// What becomes of one of low criticality.
fn shed(word: &str, client: usize) -> [Expectation; 4] {
    let asked =
        "the broker asks when it gives the rival what is free already; the libOS sheds in its next slot";
    let freed = "its slots are the broker's when it has reported, and the libOS's a revolution later";
    [
        Expectation::near(format!("times that {word} is shed"), (1.0, 0.0), ONCE, move |run| {
            Some(gaps(run, client)?.len() as f64)
        }),
        Expectation::within(
            format!("{word} is shed after the rival's first slot, revolutions"),
            (0.0, (-1.0, 1.0)),
            asked,
            move |run| revolutions(run, rivals(run)?.0, gaps(run, client)?.first()?.shed),
        ),
        Expectation::within(
            format!("{word} is back after the rival's last slot, revolutions"),
            (1.0, (0.0, 3.0)),
            freed,
            move |run| revolutions(run, rivals(run)?.1, gaps(run, client)?.first()?.back?),
        ),
        Expectation::near(
            format!("deadlines missed by {word} while guaranteed"),
            (0.0, 0.0),
            NONE,
            move |run| misses_while_guaranteed(run, client),
        ),
    ]
}

/// When the rival's first slot begins and its last one ends.
fn rivals(recording: &Recording) -> Option<(u64, u64)> {
    let rival = recording.schedulers.iter().position(|scheduler| scheduler.libos == RIVAL_NAME)?;
    let slots = || recording.slices.iter().filter(|slice| slice.owner == Some(rival));
    Some((slots().map(|slice| slice.begin).min()?, slots().map(|slice| slice.end).max()?))
}

/// From one time to another.
fn revolutions(recording: &Recording, from: u64, to: u64) -> Option<f64> {
    Some((to as f64 - from as f64) / (recording.quantum * recording.slots) as f64)
}
