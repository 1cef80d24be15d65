//! The fields of a client that is a scheduler itself: what they say, and what they must fit.
//!
//! Not here: what becomes of it (`apps::scheduler::nested`).

use super::reader::{Fields, Findings};
use libos_core::scenario::{Client, Inflation, Nested, Placement, Policy, Reserve, Scenario};
use std::collections::BTreeMap;

/// Schedulers of clients that can be one in the other, besides the libOS: with all of them, a client and who is called by it a chain of
/// yields is no longer than the kernel allows.
const DEEPEST: usize = 3;

/// Takes the fields of a client that is a scheduler; `None` if it is none.
pub fn nested(fields: &mut Fields<'_, '_>) -> Option<Nested> {
    let policy = fields.choice("policy", &Policy::NAMES);
    let clients = fields.tables("clients", super::client);
    let Some(policy) = policy else {
        if !clients.is_empty() {
            fields.problem("policy", "is missing: who has clients schedules them, and by which policy");
        }
        return None;
    };
    if clients.is_empty() {
        fields.problem("clients", format!("policy {} needs at least one client", policy.word()));
    }
    let mut reserve = |name| fields.optional_integer(name, 1..=u32::MAX as u64).map(|us| us as u32);
    let reserve = match (reserve("budget_us"), reserve("period_us")) {
        (None, None) => None,
        (Some(budget_us), Some(period_us)) => Some(Reserve { budget_us, period_us }),
        (Some(_), None) => {
            fields.missing("period_us");
            None
        }
        (None, Some(_)) => {
            fields.missing("budget_us");
            None
        }
    };
    Some(Nested { policy, reserve, clients })
}

/// Notes schedulers among clients that cannot be as they are written.
pub fn nesting(scenario: &Scenario, findings: &mut Findings<'_>) {
    for (i, libos) in scenario.libos.iter().enumerate() {
        for (j, client) in libos.clients.iter().enumerate() {
            let path = format!("libos[{i}].clients[{j}]");
            if client.depth() > DEEPEST {
                let message = format!(
                    "at most {DEEPEST} schedulers can be one in the other in a libOS (got {})",
                    client.depth()
                );
                findings.problem(&format!("{path}.clients"), message);
            }
            inside((&path, client), libos.policy, findings);
        }
    }
}

/// Notes what is wrong with a client of a scheduler of this policy, and with all that are inside it.
fn inside((path, client): (&str, &Client), policy: Policy, findings: &mut Findings<'_>) {
    let Some(nested) = &client.schedules else { return };
    if nested.policy == Policy::None {
        findings.problem(&format!("{path}.policy"), "policy none has no clients");
    }
    if nested.policy.is_global() || policy.is_global() {
        let message = "a scheduler that is a client lives on one core: neither its policy nor that of its scheduler is global";
        findings.problem(&format!("{path}.policy"), message);
    }
    if let Some(Reserve { budget_us, period_us }) = nested.reserve {
        if !matches!(policy, Policy::Cbs | Policy::CbsHard) {
            let message = format!(
                "a scheduler has a budget under cbs and cbs-hard (its scheduler's policy is {}): give it tickets",
                policy.word()
            );
            findings.problem(&format!("{path}.budget_us"), message);
        }
        if budget_us > period_us {
            let message = format!("must be at most period_us = {period_us} (got {budget_us})");
            findings.problem(&format!("{path}.budget_us"), message);
        }
    }
    let mut known: BTreeMap<&str, usize> = BTreeMap::new();
    for (k, one) in nested.clients.iter().enumerate() {
        let path = format!("{path}.clients[{k}]");
        super::check::name_is_good(&format!("{path}.name"), &one.name, findings);
        if let Some(first) = known.insert(&one.name, k) {
            let message = format!("{:?} is already the name of client {first} there", one.name);
            findings.problem(&format!("{path}.name"), message);
        }
        match one.placement {
            Placement::Anywhere => {}
            Placement::Core(_) => {
                findings
                    .problem(&format!("{path}.core"), "it lives on the core of its scheduler: leave it out");
            }
            Placement::EveryCore => {
                let message = "it lives on the core of its scheduler, which can be on all: leave it out";
                findings.problem(&format!("{path}.replicate"), message);
            }
        }
        let used = [
            ("lock", one.locking.is_some()),
            ("server", one.server.is_some()),
            ("criticality", one.criticality > 0),
            ("currency", one.currency.is_some()),
            ("joins_ms", one.joins_ms > 0),
            ("leaves_ms", one.leaves_ms.is_some()),
            ("inflation", one.inflation != Inflation::None),
        ];
        for (field, _) in used.into_iter().filter(|(_, used)| *used) {
            findings.problem(&format!("{path}.{field}"), "only a libOS's own clients have one: leave it out");
        }
        inside((&path, one), nested.policy, findings);
    }
}
