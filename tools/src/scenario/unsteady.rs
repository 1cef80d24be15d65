//! What does not go together with clients that come later, go earlier or change their tickets, and with currencies. Not here: when
//! clients can come and go, and which currencies there can be (`super::currencies`).

use super::reader::Findings;
use libos_core::scenario::{Arrivals, Client, Donation, Inflation, LibOs, Scenario};

/// Notes clients that are not as their libOS needs them.
pub fn unsteady(scenario: &Scenario, findings: &mut Findings<'_>) {
    for (i, libos) in scenario.libos.iter().enumerate() {
        if let Some(reason) = successor(libos).filter(|_| !libos.currencies.is_empty()) {
            findings.problem(&format!("libos[{i}].currencies"), reason);
        }
        for (j, client) in libos.clients.iter().enumerate() {
            let path = format!("libos[{i}].clients[{j}]");
            let reason = steady_clients(libos);
            for (field, special) in changes(client) {
                if let Some(reason) = reason.clone().or(special) {
                    findings.problem(&format!("{path}.{field}"), reason);
                }
            }
            if client.locking.is_some() {
                locks(&path, (scenario, libos), client, findings);
            }
        }
    }
}

/// The fields by which a client comes, goes or changes its tickets, those that it has, and why one of its kind cannot.
fn changes(client: &Client) -> Vec<(&'static str, Option<String>)> {
    let scheduler = client.schedules.as_ref().map(|_| {
        "a client that is a scheduler is there as long as its own, with the tickets that it has: leave it out"
    });
    let shares = (client.locking.is_some() || client.server.is_some())
        .then_some("others may wait for what it has a part in, a lock or a server: leave it out");
    let served =
        client.server.as_ref().map(|_| "a server does its work, and says nothing of tickets: leave it out");
    let all = [
        ("joins_ms", client.joins_ms > 0, scheduler),
        ("leaves_ms", client.leaves_ms.is_some(), scheduler.or(shares)),
        ("inflation", client.inflation != Inflation::None, scheduler.or(served)),
    ];
    let there = all.into_iter().filter(|(_, is_there, _)| *is_there);
    there.map(|(field, _, reason)| (field, reason.map(Into::into))).collect()
}

/// Why all clients of a libOS are there from its beginning to its end, with the same tickets, if they must be.
fn steady_clients(libos: &LibOs) -> Option<String> {
    let shared = libos.policy.is_global().then(|| {
        let word = libos.policy.word();
        format!("under {word} the cores share all clients, which are there from the beginning to the end: leave it out")
    });
    shared.or_else(|| successor(libos))
}

/// Why a libOS whose clients are taken over has only such of whom the file says all.
fn successor(libos: &LibOs) -> Option<String> {
    let field = [("swaps_to", libos.swap.is_some()), ("heir", libos.heir.is_some())];
    let (field, _) = field.into_iter().find(|(_, is_there)| *is_there)?;
    Some(format!(
        "who takes clients over knows what the file declares of them, and not what has become of it: leave it out, or {field}"
    ))
}

fn locks(path: &str, (scenario, libos): (&Scenario, &LibOs), client: &Client, findings: &mut Findings<'_>) {
    if !libos.currencies.is_empty() && libos.donation != Donation::Off {
        let message = "what a ticket of one currency that is lent is worth in another is not defined: in a libOS with currencies \
                       a lock needs donation = \"off\"";
        findings.problem(&format!("{path}.lock"), message);
    }
    let Some(Arrivals::Trace { list, .. }) = client.jobs.map(|jobs| jobs.arrivals) else { return };
    let trace = scenario.traces.get(usize::from(list));
    let shortest = trace.and_then(|trace| trace.releases.iter().filter_map(|release| release.work_us).min());
    let held_us = client.locking.as_ref().map_or(0, |locking| locking.held_us);
    if let (Some(trace), Some(shortest)) = (trace, shortest.filter(|shortest| *shortest < held_us)) {
        let message =
            format!("must be at most {shortest}, the shortest job of {} (got {held_us})", trace.file);
        findings.problem(&format!("{path}.held_us"), message);
    }
}
