//! What guarantees of deadlines need of a scenario: enough slots that nobody can outbid, and fields that mean something. Not here: what
//! holds of any scenario (`super::check`).

use super::check::{certain, clients};
use super::reader::Findings;
use libos_core::scenario::{Admission, Arrivals, Client, Jobs, LibOs, Promise, Scenario};

/// Whether a libOS guarantees its clients' deadlines.
pub(super) fn guarantees(libos: &LibOs) -> bool {
    libos.policy.can_guarantee() && libos.admission == Admission::Required
}

/// A server promises that a job is done within its period, and no sooner.
pub(super) fn servers(scenario: &Scenario, findings: &mut Findings<'_>) {
    let promises = |libos: &LibOs| guarantees(libos) && libos.policy.promise() == Promise::Bandwidth;
    for (path, libos, client) in clients(scenario).filter(|(_, libos, _)| promises(libos)) {
        let Some(Jobs { arrivals: Arrivals::Periodic { period_us, .. }, deadline_us: Some(due), .. }) =
            client.jobs
        else {
            continue;
        };
        if due < period_us {
            let message = format!(
                "must be period_us = {period_us} (got {due}): {} with admission guarantees that a job is done within its period; \
                 admission = \"off\" guarantees nothing",
                libos.policy.word()
            );
            findings.problem(&format!("{path}.deadline_us"), message);
        }
    }
}

/// How critical a client is matters only where some can be refused what others get.
pub(super) fn criticality(scenario: &Scenario, findings: &mut Findings<'_>) {
    for (path, libos, client) in clients(scenario).filter(|(_, _, client)| client.criticality > 0) {
        let word = libos.policy.word();
        let message = if !libos.policy.can_guarantee() {
            format!(
                "means nothing under {word}, which guarantees no deadlines: leave it out (got {})",
                client.criticality
            )
        } else if !guarantees(libos) {
            let got = client.criticality;
            format!(
                "means nothing without guarantees: say admission = \"required\" of its libOS, or leave it out (got {got})"
            )
        } else if !has_deadline(client) {
            format!(
                "means nothing of a client without deadline, which is never shed: leave it out (got {})",
                client.criticality
            )
        } else {
            continue;
        };
        findings.problem(&format!("{path}.criticality"), message);
    }
}

fn has_deadline(client: &Client) -> bool {
    client.jobs.is_some_and(|jobs| jobs.deadline_us.is_some())
}

/// The part of a core that a client with deadlines needs, in millionths.
fn millionths(client: &Client) -> u64 {
    let jobs = client.jobs.filter(|jobs| jobs.deadline_us.is_some());
    jobs.map_or(0, |jobs| u64::from(jobs.budget_us) * 1_000_000 / u64::from(jobs.least_period_us()))
}

/// A libOS whose deadlines need more than its certain slots cannot be schedulable; where some clients are less critical than others, these may
/// need what it wants besides. That less is enough is for the libOS to find out, who knows where its slots are.
pub(super) fn utilisation(scenario: &Scenario, findings: &mut Findings<'_>) {
    for (i, libos) in scenario.libos.iter().enumerate().filter(|(_, libos)| guarantees(libos)) {
        let (slots, field) = certain(scenario, libos);
        let too_much = (0..scenario.cores).find_map(|core| {
            let here: Vec<&Client> =
                libos.on_core(core, scenario.cores).filter(|one| has_deadline(one)).collect();
            let needs = |least: u8| -> u64 {
                here.iter()
                    .filter(|client| client.criticality >= least)
                    .map(|client| millionths(client))
                    .sum()
            };
            let most = here.iter().map(|client| client.criticality).max().unwrap_or(0);
            let critical = complaint(("its clients", needs(most)), core, (slots, scenario.slots));
            let all = || complaint(("all its clients", needs(0)), core, (libos.want, scenario.slots));
            critical.map(|message| (field, message)).or_else(|| Some(("want", all()?)))
        });
        too_much
            .into_iter()
            .for_each(|(field, message)| findings.problem(&format!("libos[{i}].{field}"), message));
    }
}

/// What to say of clients that need more of a core than so many of its slots are.
fn complaint((who, needed): (&str, u64), core: u32, (slots, of): (u32, u32)) -> Option<String> {
    let there = u64::from(slots) * 1_000_000 / u64::from(of);
    let percent = |millionths: u64| format!("{}.{} %", millionths / 10_000, millionths / 1000 % 10);
    let say =
        || format!("{who} need {} of core {core} and {slots} slots are {}", percent(needed), percent(there));
    (needed > there).then(say)
}
