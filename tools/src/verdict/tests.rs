//! A run without a fault, and what each fault does to its verdict.

use super::fixture::{machine, records, scenario};
use super::*;
use crate::outcome::Check;
use crate::results::Results;
use libos_core::report::{Heard, Hostile, Record};

/// What is heard of a run whose records were changed so.
pub(super) fn outcome(change: impl Fn(&mut Record)) -> Outcome {
    let mut outcome = Outcome { status: Some(0), ..Outcome::default() };
    for (sequence, mut record) in (0..).zip(records()) {
        change(&mut record);
        outcome.hear(&Heard::Record { sequence, record });
    }
    outcome
}

/// Of a client that lives on one.
fn core_of(core: Option<u64>) -> u64 {
    core.unwrap()
}

pub(crate) fn good() -> Outcome {
    outcome(|_| {})
}

/// The expectations that fail.
pub(super) fn failed(outcome: &Outcome) -> Vec<String> {
    let lines = judge(&scenario(), &machine(), outcome);
    lines
        .into_iter()
        .filter(|line| !line.passed)
        .map(|line| format!("{} | {}", line.expected, line.seen))
        .collect()
}

fn failed_by(change: impl Fn(&mut Record)) -> Vec<String> {
    failed(&outcome(change))
}

fn change_client(record: &mut Record, libos: &str, change: impl Fn(&mut Client)) {
    if let Record::Client(client) = record
        && client.libos == libos
    {
        change(client);
    }
}

#[test]
fn a_good_run_passes() {
    assert_eq!(failed(&good()), [""; 0]);
    assert!(judge(&scenario(), &machine(), &good()).len() > 15);
}

#[test]
fn a_silent_run_fails() {
    let failed = failed(&Outcome::default());
    assert_eq!(failed[0], "every report arrives whole | 0 reports, 0 damaged, none missing");
    assert!(failed[1].ends_with("| it says nothing of an end, the machine had to be ended"));
}

#[test]
fn lost_and_damaged_reports_fail() {
    let lost = Outcome { lost: vec![(3, 5)], ..good() };
    assert_eq!(
        failed(&lost),
        ["every report arrives whole | 28 reports, 0 damaged, missing 3 to 4"]
            .map(|line| line.replace("28", &lost.frames.to_string()))
    );
    assert_eq!(failed(&Outcome { damaged: 1, ..good() }).len(), 1);
}

#[test]
fn a_panic_or_a_bad_end_fails() {
    assert_eq!(failed(&Outcome { panics: 1, ..good() }), ["the kernel does not panic | 1 panics"]);
    for bad in [
        Outcome { status: Some(1), ..good() },
        Outcome { status: None, ..good() },
        Outcome { end: None, ..good() },
    ] {
        assert_eq!(failed(&bad).len(), 1);
    }
    assert_eq!(failed(&Outcome { end: Some((false, 0)), ..good() }).len(), 1);
    assert_eq!(failed(&Outcome { end: Some((true, 3)), ..good() }).len(), 1);
}

#[test]
fn another_machine_than_asked_for_fails() {
    let changes: [fn(&mut Start); 5] =
        [|s| s.board = 2, |s| s.gic = 2, |s| s.cores = 4, |s| s.seed = 1, |s| s.quantum += 100];
    for change in changes {
        let failed = failed_by(|record| {
            if let Record::Start(start) = record {
                change(start)
            }
        });
        assert_eq!(failed.len(), 1, "{failed:?}");
    }
}

#[test]
fn who_does_not_report_is_named() {
    let mut outcome = good();
    outcome.clients.retain(|client| (&*client.libos, &*client.name) != ("lots", "b/1"));
    let failed = failed(&outcome);
    assert!(failed[0].ends_with("| lots.b/1 0 times"), "{failed:?}");
}

#[test]
fn a_pairwise_error_above_one_quantum_fails() {
    let failed = failed_by(|record| {
        change_client(record, "shares", |client| {
            if let Figures::Share { pairwise_error_millionths, .. } = &mut client.demand {
                *pairwise_error_millionths = Some(ONE_QUANTUM + 1)
            }
        })
    });
    assert_eq!(failed, ["shares: pairwise error at most 1 quantum at every switch | at most 1.000001"]);
}

#[test]
fn a_pairwise_error_that_nobody_measured_fails() {
    let failed = failed_by(|record| {
        change_client(record, "shares", |client| {
            if let Figures::Share { pairwise_error_millionths, .. } = &mut client.demand {
                *pairwise_error_millionths = None
            }
        })
    });
    assert_eq!(failed.len(), 1);
    assert!(failed[0].starts_with("shares: pairwise error at most 1 quantum"), "{failed:?}");
    assert!(failed[0].contains("not measured of "), "{failed:?}");
}

#[test]
fn cpu_time_out_of_proportion_fails_whatever_the_guest_measured() {
    let failed = failed_by(|record| {
        change_client(record, "shares", |client| client.ran += u64::from(client.name == "a/1"));
    });
    assert_eq!(
        failed,
        [
            "shares: in the end all have CPU time in proportion to their tickets | a/1 got 75.2 %, b/1 got 24.7 %"
        ]
    );
}

#[test]
fn a_hostile_environment_that_behaves_fails() {
    let failed = failed_by(|record| {
        if let Record::Hostile(hostile) = record {
            (hostile.forged, hostile.forged_refused) = (0, 0);
        }
    });
    assert_eq!(failed, ["bad: it does its worst | nothing of [ForgedCapabilities]"]);
}

#[test]
fn a_fuzzer_that_leaves_a_trace_or_tries_too_little_fails() {
    type Change = fn(&mut libos_core::report::Fuzz);
    let changes: [(Change, &str); 8] = [
        (|fuzz| fuzz.calls[0].made = 39, "at least 50 calls are made | 49 by 3 environments, 0 faults"),
        (|fuzz| fuzz.calls[1].made += core::mem::take(&mut fuzz.calls[2].made), "| never unknown"),
        (|fuzz| fuzz.calls[1].accepted = 0, "| all 3, of which 1 are accepted at times"),
        (|fuzz| fuzz.reflected = 0, "| all 3, of which 2 are accepted at times"),
        (|fuzz| fuzz.wrong = 1, "nothing is lost or changed in any round | 1 times wrong"),
        (|fuzz| fuzz.after.frames -= 1, "200 free handles, 2 slots; then 8 frames"),
        (
            |fuzz| fuzz.after.slots += 1,
            "200 free handles, 2 slots; then 9 frames, 4 environments, 200 free handles, 3",
        ),
        (|fuzz| fuzz.name.clear(), "calls: it tells what it did | 0 times"),
    ];
    for (change, line) in changes {
        let failed = failed_by(|record| {
            if let Record::Fuzz(fuzz) = record {
                change(fuzz)
            }
        });
        assert_eq!(failed.len(), 1, "{failed:?}");
        assert!(failed[0].contains(line), "{failed:?}");
    }
}

#[test]
fn a_lottery_outside_three_sigma_fails() {
    // One draw further than 636, which is 600 + 36 with 3σ = 36.74; the good run has 624.
    let failed = failed_by(|record| {
        change_client(record, "lots", |client| {
            if client.name == "a/0" {
                client.turns += 13
            }
        })
    });
    assert_eq!(failed, ["lots.a: draws won within 3 sigma of its odds | 637 of 800, expected 600.0 ± 36.7"]);
}

#[test]
fn a_missed_deadline_or_late_response_fails() {
    let failed = failed_by(|record| {
        change_client(record, "deadlines", |client| {
            if let Figures::Periodic { misses, max_response, .. } = &mut client.demand {
                *misses = core_of(client.core);
                *max_response += core_of(client.core)
            }
        })
    });
    assert_eq!(failed[0], "deadlines: no deadline is missed | 200 jobs, 1 misses");
    assert_eq!(
        failed[1],
        "deadlines: every response is within its analysed bound | t/1 took 5000 us of 5000"
    );
    assert_eq!(failed.len(), 2);
}

#[test]
fn where_some_clients_are_more_critical_those_must_keep_their_guarantee_and_the_others_need_not() {
    let mut scenario = scenario();
    let deadlines = scenario.libos.iter_mut().find(|libos| libos.name == "deadlines").unwrap();
    let low = scenario::Client { name: "low".into(), ..deadlines.clients[0].clone() };
    deadlines.clients[0].criticality = 1;
    deadlines.clients.push(low);
    // The copy on core 1 in place of its low one: it was shed, or waits for slots, or did better.
    let line = |level: u64, shed: u64, is_guaranteed: bool| {
        let outcome = outcome(|record| {
            change_client(record, "deadlines", |client| {
                if let Figures::Periodic { standing, .. } = &mut client.demand {
                    standing.criticality = 1;
                    if client.core == Some(1) {
                        (standing.criticality, standing.shed, standing.is_guaranteed) =
                            (level, shed, is_guaranteed);
                    }
                }
            })
        });
        let lines = judge(&scenario, &machine(), &outcome);
        let line = lines.into_iter().find(|line| line.expected.contains("most critical")).unwrap();
        (line.passed, line.seen)
    };
    let seen = |throughout, lost, shed, back| {
        format!("{throughout} throughout, {lost} not; of the others {shed} were shed, {back} came back")
    };
    assert_eq!(line(0, 1, true), (true, seen(1, 0, 1, 1)));
    assert_eq!(line(0, 1, false), (true, seen(1, 0, 1, 0)));
    assert_eq!(line(0, 0, false), (true, seen(1, 0, 0, 0)));
    assert_eq!(line(1, 1, true), (false, seen(1, 1, 0, 0)));
}

#[test]
fn a_synthetic_job_that_got_its_demand_wrong_fails() {
    let with = |program: &str, wrong_demands| {
        let mut scenario = scenario();
        scenario.libos[2].clients[0].program = program.into();
        let outcome = outcome(|record| {
            change_client(record, "deadlines", |client| {
                client.jobs =
                    Some(libos_core::report::Jobs { jobs: 100, wrong_demands, ..Default::default() });
            })
        });
        let lines = judge(&scenario, &machine(), &outcome).into_iter();
        lines
            .filter(|line| line.expected.contains("declares"))
            .map(|line| (line.seen, line.passed))
            .collect::<Vec<_>>()
    };
    assert_eq!(with("spin", 0), [("200 jobs, 0 wrong".into(), true)]);
    assert_eq!(with("spin", 1), [("200 jobs, 2 wrong".into(), false)]);
    assert_eq!(with("sha256", 1), []);
}

#[test]
fn without_admission_nothing_is_demanded_of_deadlines_and_a_client_may_starve() {
    let mut scenario = scenario();
    scenario.libos[2].admission = libos_core::scenario::Admission::Off;
    let outcome = outcome(|record| {
        change_client(record, "deadlines", |client| {
            client.demand = Figures::Unpromised;
            client.work_units = core_of(client.core);
        })
    });
    let lines = judge(&scenario, &machine(), &outcome);
    assert!(lines.iter().all(|line| line.passed));
    assert!(!lines.iter().any(|line| line.expected.starts_with("deadlines: no deadline")));
}

#[test]
fn a_client_that_did_nothing_fails() {
    let failed = failed_by(|record| {
        change_client(record, "deadlines", |client| {
            client.work_units = core_of(client.core);
            if let Figures::Periodic { jobs, .. } = &mut client.demand {
                *jobs *= core_of(client.core)
            }
        })
    });
    assert_eq!(failed.len(), 3, "{failed:?}");
    assert!(failed[2].ends_with("no work by t/0"));
}

#[test]
fn a_libos_without_clients_fails_in_every_respect() {
    let mut outcome = good();
    outcome.clients.clear();
    let failed = failed(&outcome);
    for libos in [
        "shares: pairwise",
        "shares: in the end",
        "shares: every client works",
        "lots: draws",
        "deadlines: no deadline",
    ] {
        assert!(failed.iter().any(|line| line.starts_with(libos)), "{libos}: {failed:?}");
    }
}

#[test]
fn a_wrong_result_fails() {
    let failed = failed_by(|record| {
        change_client(record, "shares", |client| client.checks_failed = core_of(client.core))
    });
    assert_eq!(failed, ["shares: every client works and every result is right | 20 right, 2 wrong"]);
}

#[test]
fn a_ledger_that_is_off_by_one_tick_fails() {
    let failed = failed_by(|record| {
        if let Record::Ledger(ledger) = record {
            ledger.idle += ledger.core
        }
    });
    assert!(
        failed[0].starts_with(
            "each core's ledger adds up to the elapsed time | core 1: Some(62500001) of 62500000"
        )
    );
    let mut outcome = good();
    outcome.ledger.pop();
    assert!(super::tests::failed(&outcome)[0].ends_with("ledgers of cores [0]"));
}

#[test]
fn a_run_that_is_too_short_fails() {
    let failed = failed_by(|record| {
        if let Record::Ledger(ledger) = record {
            ledger.elapsed -= 1;
            ledger.kernel -= 1
        }
    });
    assert_eq!(failed, ["the run lasts 1000 ms | 999 ms on every core"]);
}

#[test]
fn a_slot_that_was_missed_or_not_given_fails() {
    let failed = failed_by(|record| {
        if let Record::Slots(slots) = record {
            slots.missed = 1
        }
    });
    assert_eq!(failed.len(), 3);
    let failed = failed_by(|record| {
        if let Record::Slots(slots) = record {
            slots.owned = 399
        }
    });
    assert_eq!(
        failed,
        [
            "deadlines: at least 4 slots in each revolution, and it gets every one | 3.9 in 100 revolutions, 0 missed"
        ]
    );
}

#[test]
fn a_hostile_environment_that_keeps_its_slots_or_forges_fails() {
    let hostile = |change: fn(&mut Hostile)| {
        failed_by(move |record| {
            if let Record::Hostile(hostile) = record {
                change(hostile)
            }
        })
    };
    assert_eq!(
        hostile(|h| h.repossessions = 3),
        ["bad: all 4 slots asked back are given, taken, or it is destroyed | 0 given back, 3 taken"]
    );
    assert_eq!(hostile(|h| h.asked = 3).len(), 1);
    assert_eq!(
        hostile(|h| {
            h.repossessions = 0;
            h.destroyed = true
        })
        .len(),
        0
    );
    assert_eq!(hostile(|h| h.forged_refused = 8), ["bad: every forged capability is refused | 8 of 9"]);
}

#[test]
fn a_failed_self_test_fails_and_so_do_none_where_some_are_due() {
    let check = |passed| Check { name: "it holds".into(), passed, detail: String::new() };
    assert_eq!(failed(&Outcome { checks: vec![check(true), check(false)], ..good() }).len(), 1);
    assert_eq!(failed(&Outcome { checks: vec![check(true)], ..good() }).len(), 0);
    let text = "name = \"test\"\nseed = 7\nslots = 10\nduration_ms = 1000\ncores = 2\n[[libos]]\nname = \"s\"\nprogram = \"selftest\"\npolicy = \"none\"\nincome = 1\nwant = 9\n";
    let scenario = crate::scenario::parse(text, None, None).unwrap();
    let due = judge(&scenario, &machine(), &good());
    assert!(due.iter().any(|line| line.expected.starts_with("every self-test") && !line.passed));
}

#[test]
fn the_results_hold_the_same_figures_and_the_same_bytes() {
    let make = || {
        let verdict = judge(&scenario(), &machine(), &good());
        Results::new(&scenario(), &machine(), &good(), verdict).unwrap()
    };
    let results = make();
    assert_eq!(results.to_json(), make().to_json());
    assert!(results.passed);
    assert_eq!(results.libos[0].slots_owned_avg, 4.05);
    assert_eq!(results.libos[1].clients[0].share_expected, Some(0.75));
    assert_eq!(results.libos[1].clients[0].share_got, Some(0.78));
    assert_eq!(results.libos[2].clients[0].max_response_us, Some(5000.0));
    assert_eq!((results.elapsed_us, results.hostile.repossessions), (1_000_000, 4));
}

#[test]
fn rounded_buckets_still_add_up() {
    let verdict = judge(&scenario(), &machine(), &good());
    let results = Results::new(&scenario(), &machine(), &good(), verdict).unwrap();
    for core in &results.ledger {
        assert_eq!(core.buckets.values().sum::<u64>(), core.sum_us);
        assert_eq!((core.sum_us, core.sum_ticks), (core.elapsed_us, core.elapsed_ticks));
        assert!(core.buckets["shares"].abs_diff(500_000) <= 1);
    }
}
