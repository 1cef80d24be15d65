//! Where clients live: on a core, on every core, or, under a policy that the cores share, anywhere. Not here: what a policy makes of it.

use super::reader::{Fields, Findings};
use libos_core::scenario::{Admission, Client, Placement, Policy, Scenario};
use tranche_abi::layout::MAX_CORES;

/// Takes the fields of a client's placement; where nothing is said, it is the policy's ([`settle`]).
pub fn placement(fields: &mut Fields<'_, '_>) -> Placement {
    let core = fields.optional_integer("core", 0..=MAX_CORES as u64 - 1);
    match (core, fields.flag("replicate")) {
        (Some(_), true) => {
            fields.problem("core", "a client lives on one core or is replicated to all, not both");
            Placement::EveryCore
        }
        (_, true) => Placement::EveryCore,
        (Some(core), false) => Placement::Core(core as u32),
        (None, false) => Placement::Anywhere,
    }
}

/// Takes what is said of admission, or what is usual. A global policy has none that could be required.
pub fn admission(fields: &mut Fields<'_, '_>, (policy, usual): (Policy, Admission)) -> Admission {
    let said = fields.choice("admission", &super::ADMISSIONS);
    if policy.is_global() && said == Some(Admission::Required) {
        let message = format!(
            "{} guarantees no deadlines on slots: leave admission out, or say \"off\" (got \"required\")",
            policy.word()
        );
        fields.problem("admission", message);
    }
    said.unwrap_or(usual)
}

/// Puts those of whom nothing is said where their policy has them: on core 0, or, where cores share a policy, anywhere.
pub fn settle(scenario: &mut Scenario) {
    for libos in scenario.libos.iter_mut().filter(|libos| !libos.policy.is_global()) {
        let unsaid = |client: &&mut Client| client.placement == Placement::Anywhere;
        libos.clients.iter_mut().filter(unsaid).for_each(|client| client.placement = Placement::Core(0));
    }
}

/// Notes clients that have no place, and what does not fit where cores share a policy.
pub fn placements(scenario: &Scenario, findings: &mut Findings<'_>) {
    for (i, libos) in scenario.libos.iter().enumerate() {
        let word = libos.policy.word();
        // On one core there is no other place.
        let is_anywhere = libos.policy.is_global() && scenario.cores > 1;
        if libos.policy.is_global() && libos.fails.is_some() {
            let message = format!(
                "a scheduler that fails is seen on one core after the other, and under {word} all cores share one: leave it out"
            );
            findings.problem(&format!("libos[{i}].fails"), message);
        }
        for (j, client) in libos.clients.iter().enumerate() {
            let mut problem = |field: &str, message: String| {
                findings.problem(&format!("libos[{i}].clients[{j}].{field}"), message);
            };
            let anywhere = format!("under {word} clients run on any core, one at a time: leave it out");
            match client.placement {
                Placement::Core(core) if is_anywhere => {
                    problem("core", format!("{anywhere} (got {core})"));
                }
                Placement::EveryCore if is_anywhere => {
                    problem("replicate", format!("{anywhere} (got true)"));
                }
                Placement::Core(core) if core >= scenario.cores => {
                    problem(
                        "core",
                        format!("must be below {}, the number of cores (got {core})", scenario.cores),
                    );
                }
                Placement::Core(_) | Placement::EveryCore | Placement::Anywhere => {}
            }
        }
    }
}

/// Notes a change from a global policy to one under which every client has a core, of which the file says nothing.
pub fn has_places(before: &[Policy], scenario: &Scenario, findings: &mut Findings<'_>) {
    for (i, (before, libos)) in before.iter().zip(&scenario.libos).enumerate() {
        if before.is_global() && !libos.policy.is_global() && scenario.cores > 1 {
            let message = format!(
                "its clients run on any core under {}, and under {} each lives on one: say which in the file (core), or use one core",
                before.word(),
                libos.policy.word()
            );
            findings.problem(&format!("libos[{i}].policy"), message);
        }
    }
}
