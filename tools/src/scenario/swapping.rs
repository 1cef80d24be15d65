//! The fields by which another policy takes over a libOS's running clients: what they say, and what they must fit.
//!
//! Not here: what a swap and an heir do (`apps::scheduler`).

use super::LONGEST_MS;
use super::failing::last;
use super::reader::{Fields, Findings};
use apps::scheduler::every;
use libos_core::scenario::{Admission, LibOs, Policy, Scenario, Swap};

/// The program that has every policy.
pub const PROGRAM: &str = "hot-swap";

/// Takes the fields of a libOS's swap; `None` if it has none.
pub fn swap(fields: &mut Fields<'_, '_>) -> Option<Swap> {
    let to = fields.choice("swaps_to", &Policy::NAMES);
    let at = fields.optional_integer("swaps_ms", 1..=LONGEST_MS);
    match (to, at) {
        (Some(to), Some(at)) => Some(Swap { to, at_ms: at as u32 }),
        (Some(_), None) => {
            fields
                .problem("swaps_ms", "is missing: when, in ms after the start, the other policy takes over");
            None
        }
        (None, Some(_)) => {
            fields.problem("swaps_ms", "needs swaps_to beside it, which says which policy takes over");
            None
        }
        (None, None) => None,
    }
}

/// Notes swaps that cannot happen as they are written.
pub fn swaps(scenario: &Scenario, findings: &mut Findings<'_>) {
    for (i, libos) in scenario.libos.iter().enumerate() {
        let Some(swap) = libos.swap else { continue };
        for (field, message) in complaints(scenario, libos, swap) {
            findings.problem(&format!("libos[{i}].{field}"), message);
        }
    }
}

/// Notes heirs that there cannot be.
pub fn heirs(scenario: &Scenario, findings: &mut Findings<'_>) {
    for (i, libos) in scenario.libos.iter().enumerate() {
        let Some(heir) = libos.heir else { continue };
        let mut problem = |message: &str| findings.problem(&format!("libos[{i}].heir"), message);
        if [libos.policy, heir].contains(&Policy::None) {
            problem("policy none schedules nobody: a scheduler's heir is a scheduler");
        }
        if libos.policy.is_global() || heir.is_global() {
            problem("a policy that all cores share neither is an heir nor has one");
        }
        if libos.swap.is_some() {
            problem("a libOS that changes its policy has no heir: leave out swaps_to, or heir");
        }
        if libos.clients.iter().any(|client| client.schedules.is_some()) {
            problem("a client that is a scheduler reports to the one that made it: it cannot be inherited");
        }
    }
}

fn complaints(scenario: &Scenario, libos: &LibOs, swap: Swap) -> Vec<(&'static str, String)> {
    let mut all = Vec::new();
    for policy in [libos.policy, swap.to].into_iter().filter(|policy| !every::has(*policy)) {
        let message = format!(
            "the program that swaps has the libraries' policies of one core, and {} is none of them",
            policy.word()
        );
        all.push(("swaps_to", message));
    }
    if libos.program != PROGRAM {
        let message = format!("must be {PROGRAM:?}, which has every policy (got {:?})", libos.program);
        all.push(("program", message));
    }
    let guarantees = libos.policy.can_guarantee() || swap.to.can_guarantee();
    if guarantees && libos.admission == Admission::Required {
        let message = "must be \"off\": no guarantee outlives the policy that gave it".into();
        all.push(("admission", message));
    }
    let (arrives, (field, end)) = (libos.arrives_ms, last(scenario, libos));
    if swap.at_ms <= arrives || swap.at_ms >= end {
        let message =
            format!("must be after arrives_ms = {arrives} and before {field} = {end} (got {})", swap.at_ms);
        all.push(("swaps_ms", message));
    }
    if libos.fails.is_some() {
        all.push(("swaps_to", "a libOS either changes its policy or fails on purpose, not both".into()));
    }
    all
}
