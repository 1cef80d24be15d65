use super::*;
use judge::tests::unharmed;
use std::path::Path;

#[test]
fn failures_are_chosen_by_a_part_of_their_names_and_an_unknown_one_is_told_with_all_there_are() {
    assert_eq!(chosen(&[]).unwrap().len(), How::NAMES.len());
    assert_eq!(chosen(&["crash".into(), "dead".into()]).unwrap(), [How::Crash, How::YieldsToTheDead]);
    let Failure(why) = chosen(&["sulks".into()]).unwrap_err();
    assert!(why.starts_with("no failure is called \"sulks\": there are crash, endless-loop, "), "{why}");
}

fn case(problems: Vec<String>, others: Vec<Other>) -> Case {
    Case {
        failure: How::Crash.word(),
        passed: problems.is_empty(),
        problems,
        evidence: Evidence::default(),
        verdict: "the broker ends it".into(),
        lasted_ms: 50.0,
        others,
    }
}

#[test]
fn a_case_is_shown_with_its_problems_and_a_row_for_each_window_of_everybody_else() {
    let bad = Other { lost_slots: 2, recovery_ms: None, ..unharmed("a") };
    let (good, bad) = (case(Vec::new(), vec![unharmed("a")]), case(bad.complaints(), vec![bad]));
    let shown = report::Tables(&[good, bad]).to_string();
    assert!(shown.starts_with("ok   crash, for 50 ms: the broker ends it\n"), "{shown}");
    assert!(shown.contains("FAIL crash") && shown.contains("PROBLEM a: 2 slots that it had"), "{shown}");
    assert_eq!(shown.matches("during").count(), 2);
    let summary: Vec<&str> = shown.lines().last().unwrap().split_whitespace().collect();
    assert_eq!(summary[..4], ["crash", "50", "2", "0"]);
    assert!(shown.contains("not yet"), "{shown}");
}

#[test]
fn every_failure_is_explained() {
    let page =
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/blast.md")).unwrap();
    for (name, _) in How::NAMES {
        assert!(page.contains(&format!("| `{name}` |")), "{name}");
    }
}
