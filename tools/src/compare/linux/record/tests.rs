use super::super::handed::{self, tests::bytes, tests::framed};
use super::super::ring::tests::{EVENT, PAGE, page_of};
use super::super::{Installed, plan};
use super::*;
use crate::compare::cell::Kept;
use crate::metrics;
use linux_guest::frame::Kind;

const MS: u64 = 1_000_000;
/// Processes: client 0 is `hog`, client 1 is `job`; 9 is a thread of Linux's own.
const HOG: u32 = 70;
const JOB: u32 = 71;

const SCENARIO: &str = r#"
name = "small"
duration_ms = 100
cores = 1
slots = 10
quantum_us = 1000
[[libos]]
name = "one"
policy = "stride"
income = 1
want = 4
[[libos.clients]]
name = "hog"
program = "spin"
tickets = 3
[[libos.clients]]
name = "job"
program = "spin"
period_us = 40000
budget_us = 10000
work_us = 8000
"#;

/// What Linux might have handed over of a run that began at 1 s: the job runs from 1 ms after its release, is taken off the
/// core in between, and is done in 9 ms; of the third one, released at 80, there is half when the run ends.
fn handed() -> Handed {
    let at = |milliseconds: u64| 1_000 * MS + milliseconds * MS;
    let job = [at(0), at(9), 8 * MS, at(40), at(50), 8 * MS, at(80), 0, 4 * MS];
    let switches = [
        (at(0) - 5, 0, 0, 9),
        (at(0) + 1, 9, 1, HOG),
        (at(1), HOG, 0, JOB),
        (at(5), JOB, 0x100, HOG),
        (at(6), HOG, 0, JOB),
        (at(10), JOB, 1, HOG),
    ];
    let later = [
        (at(42), HOG, 0, JOB),
        (at(51), JOB, 1, 9),
        (at(52), 9, 1, 0),
        (at(53), 0, 0, HOG),
        (at(96), HOG, 0, JOB),
        (at(101), JOB, 1, 0),
    ];
    let file = [
        framed(Kind::Start, 0, &bytes(&[at(0), 62_500_000])),
        framed(Kind::Client, 0, &bytes(&[HOG.into(), 0])),
        framed(Kind::Client, 1, &bytes(&[&[JOB.into(), 3][..], &job].concat())),
        framed(Kind::Format, 0, EVENT.as_bytes()),
        framed(Kind::Head, 0, PAGE.as_bytes()),
        framed(Kind::Lost, 0, b"overrun: 0\n"),
        framed(Kind::Page, 0, &page_of(&switches)),
        framed(Kind::Page, 0, &page_of(&later)),
        framed(Kind::End, 0, &[]),
    ];
    handed::read(&file.concat()).unwrap()
}

fn recording(handed: &Handed) -> Recording {
    let scenario = crate::scenario::parse(SCENARIO, None, None).unwrap();
    let planned = plan::plan(&scenario, LinuxPolicy::Eevdf, handed.frequency).unwrap();
    Ran { scenario: &scenario, policy: LinuxPolicy::Eevdf, planned: &planned, handed }.recording()
}

/// Milliseconds after the beginning.
fn ms(recording: &Recording, ticks: u64) -> u64 {
    ((ticks - recording.epoch) as f64 / 62_500.0).round() as u64
}

#[test]
fn switches_become_turns_up_to_the_end_of_the_run() {
    let recording = recording(&handed());
    let turns: Vec<_> = recording
        .turns
        .iter()
        .map(|turn| (turn.client, ms(&recording, turn.begin), ms(&recording, turn.end)))
        .collect();
    assert_eq!(
        turns,
        [(0, 0, 1), (1, 1, 5), (0, 5, 6), (1, 6, 10), (0, 10, 42), (1, 42, 51), (0, 53, 96), (1, 96, 100)]
    );
    assert_eq!((ms(&recording, recording.end), recording.lost), (100, 0));
    assert_eq!(recording.turns[1].ran, 4 * 62_500);
}

#[test]
fn who_could_have_gone_on_stays_ready_and_who_could_not_waits_for_its_next_job() {
    let recording = recording(&handed());
    let ends = recording.schedulers[0].steps.iter().filter_map(|step| match step {
        Step::Charged { client: ClientId(1), end, .. } => Some(*end),
        _ => None,
    });
    let wait = |at: u64| TurnEnd::Waiting(Tick(recording.epoch + at * 62_500));
    assert_eq!(ends.collect::<Vec<_>>(), [TurnEnd::Ready, wait(40), wait(80), TurnEnd::Ready]);
}

#[test]
fn jobs_that_were_not_done_are_there_with_what_they_used() {
    let recording = recording(&handed());
    let jobs: Vec<_> = recording
        .jobs
        .iter()
        .map(|job| (job.number, ms(&recording, job.released), job.completed.is_some(), job.used / 62_500))
        .collect();
    assert_eq!(jobs, [(0, 0, true, 8), (1, 40, true, 8), (2, 80, false, 4)]);
    assert_eq!(ms(&recording, recording.jobs[0].due.unwrap()), 40);
    // Whoever never got the CPU has begun nothing, and its jobs are released all the same.
    let mut starved = handed();
    starved.clients[1].jobs.clear();
    let jobs = super::tests::recording(&starved).jobs;
    assert_eq!(
        jobs.iter().map(|job| (job.number, job.used, job.completed)).collect::<Vec<_>>(),
        [(0, 0, None), (1, 0, None), (2, 0, None)]
    );
    // Who finds out after the end that it was done was not.
    let mut late = handed();
    late.clients[1].jobs[2].completed = 1_101 * MS;
    assert_eq!(super::tests::recording(&late).jobs[2].completed, None);
}

#[test]
fn the_figures_of_a_run_are_those_worked_out_by_hand() {
    let recording = recording(&handed());
    assert_eq!(metrics::unfit(&recording), None);
    let figures = &metrics::measure(&recording)[0];
    assert_eq!((&figures.policy[..], figures.bounds.len(), figures.overhead.split), ("linux-eevdf", 0, None));
    // Waits end at 40 and 80; the turns after them begin at 42 and 96.
    let latency = figures.latency.unwrap();
    assert_eq!((latency.count, latency.p50_us, latency.max_us), (2, 2000.0, 16000.0));
    let jobs = figures.jobs.unwrap();
    assert_eq!((jobs.released, jobs.completed, jobs.misses), (3, 2, 0));
    assert_eq!(jobs.response.unwrap().max_us, 10_000.0);
    // The job competes in 0 to 10, 42 to 51 and 96 to 100, beside one of three times its tickets.
    let shares = figures.shares.as_ref().unwrap();
    assert!((shares.entitled_us[1] - 23_000.0 / 4.0).abs() < 1.0, "{:?}", shares.entitled_us);
    let ran: Vec<_> = figures.clients.iter().map(|client| client.ran_us.round()).collect();
    assert_eq!(ran, [77_000.0, 21_000.0]);
    assert!(Kept::of(&recording).is_ok());
}

#[test]
fn a_run_of_which_linux_has_lost_records_is_refused() {
    let lossy = Handed { lost: 2, ..handed() };
    assert_eq!(Kept::of(&recording(&lossy)).unwrap_err(), "2 records of the trace are lost");
}

#[test]
fn a_program_that_is_not_there_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let kernel = folder.path().join("kernel");
    std::fs::write(&kernel, "Linux").unwrap();
    let why = Installed::new(&kernel, std::path::Path::new("nowhere"), folder.path().into()).unwrap_err();
    assert!(why.0.starts_with("nowhere: "), "{}", why.0);
}
