//! Where clients live, and what a policy that all cores share has instead.

use super::*;
use libos_core::scenario::Policy;

/// Two cores that share a policy.
const GLOBAL: &str = "name = \"g\"\nduration_ms = 1000\ncores = 2\n[broker]\nmode = \"static\"\n\
    [[libos]]\nname = \"one\"\npolicy = \"edzl\"\nwant = 9\n\
    [[libos.clients]]\nname = \"a\"\nprogram = \"spin\"\nbudget_us = 50\nperiod_us = 1000\n";

fn under(policy: Policy, cores: u32, text: &str) -> Result<Scenario, Vec<String>> {
    let changes = Changes { policy: Some(policy), cores: Some(cores), ..Changes::default() };
    parse_changed((text, Path::new("")), &changes, None)
        .map_err(|problems| render("f", &problems).lines().map(String::from).collect())
}

#[test]
fn under_a_policy_that_cores_share_a_client_runs_anywhere() {
    let scenario = parse(GLOBAL, None, None).unwrap();
    assert_eq!(scenario.libos[0].clients[0].placement, Placement::Anywhere);
    assert_eq!(scenario.environments(), 3);
    assert_eq!(Scenario::decode(&scenario.encode()), Ok(scenario));
}

#[test]
fn what_says_otherwise_is_refused_with_what_to_do() {
    let anywhere = "under edzl clients run on any core, one at a time: leave it out";
    for (more, expected) in [
        ("core = 1\n", format!("f:15: libos[0].clients[0].core: {anywhere} (got 1)")),
        ("replicate = true\n", format!("f:15: libos[0].clients[0].replicate: {anywhere} (got true)")),
    ] {
        assert_eq!(complaints(&format!("{GLOBAL}{more}")), [expected]);
    }
    let with = |field: &str| complaints(&GLOBAL.replace("want = 9", &format!("want = 9\n{field}")));
    let required = "f:10: libos[0].admission: edzl guarantees no deadlines on slots: leave admission out, or say \"off\" (got \"required\")";
    assert_eq!(with("admission = \"required\""), [required]);
    assert!(with("admission = \"off\"").is_empty());
    let fails = with("fails = \"crash\"\nfails_ms = 500");
    assert!(fails.len() == 1 && fails[0].starts_with("f:10: libos[0].fails: "), "{fails:?}");
}

#[test]
fn another_policy_by_the_command_line_needs_places_or_has_none() {
    let scenario = under(Policy::GlobalEdf, 2, GLOBAL).unwrap();
    assert_eq!(scenario.libos[0].program, "global-edf");
    let said = under(Policy::Edf, 2, GLOBAL).unwrap_err();
    assert!(
        said[0].contains("libos[0].policy: its clients run on any core under edzl, and under edf"),
        "{said:?}"
    );
    // One core is everybody's.
    let alone = under(Policy::Edf, 1, GLOBAL).unwrap();
    assert_eq!(alone.libos[0].clients[0].placement, Placement::Core(0));
    let placed = format!("{GLOBAL}core = 0\n");
    assert!(under(Policy::Edzl, 1, &placed).is_ok() && under(Policy::Edzl, 2, &placed).is_err());
}
