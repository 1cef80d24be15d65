//! The fields of what clients have together, and how they fit: locks and servers.

use super::check::name_is_good;
use super::reader::{Fields, Findings};
use libos_core::lock::MAX_MEMBERS;
use libos_core::scenario::{Admission, Client, Donation, LibOs, Locking, Policy, Scenario};
use tranche_abi::layout::MAX_ACTIVATIONS;

/// What a file can say of it.
pub(crate) const DONATIONS: [(&str, Donation); 2] = [("on", Donation::On), ("off", Donation::Off)];

/// Whether who waits for another lends to it.
pub fn donation(fields: &mut Fields<'_, '_>) -> Donation {
    fields.choice("donation", &DONATIONS).unwrap_or_default()
}

/// The lock of a client, if it has one.
pub fn locking(fields: &mut Fields<'_, '_>) -> Option<Locking> {
    let lock = fields.optional_text("lock");
    let held_us = fields.optional_integer("held_us", 1..=u32::MAX.into()).map(|held| held as u32);
    match (lock, held_us) {
        (Some(lock), Some(held_us)) => Some(Locking { lock, held_us }),
        (Some(_), None) => {
            fields.missing("held_us");
            None
        }
        (None, Some(_)) => {
            fields.problem("held_us", "has no meaning without lock");
            None
        }
        (None, None) => None,
    }
}

/// Notes every lock and server that cannot be.
pub fn sharing(scenario: &Scenario, findings: &mut Findings<'_>) {
    for (i, libos) in scenario.libos.iter().enumerate() {
        donations(&format!("libos[{i}].donation"), libos, findings);
        sizes(&format!("libos[{i}].clients"), scenario, libos, findings);
        for (j, client) in libos.clients.iter().enumerate() {
            let path = format!("libos[{i}].clients[{j}]");
            if libos.policy.is_global() {
                let used = [("lock", client.locking.is_some()), ("server", client.server.is_some())];
                for (field, _) in used.into_iter().filter(|(_, used)| *used) {
                    let message =
                        format!("locks and servers are of one core, and {} is of all", libos.policy.word());
                    findings.problem(&format!("{path}.{field}"), message);
                }
            }
            if let Some(locking) = &client.locking {
                lock(&path, (libos, client), locking, findings);
            }
            if let Some(server) = &client.server {
                name_is_good(&format!("{path}.server"), server, findings);
                served(&path, (libos, client), server, findings);
            }
        }
    }
}

fn donations(path: &str, libos: &LibOs, findings: &mut Findings<'_>) {
    if libos.donation == Donation::On && !libos.policy.lends() {
        let lend: Vec<_> =
            Policy::ALL.into_iter().filter(|policy| policy.lends()).map(Policy::word).collect();
        let message = format!(
            "policy {} knows of no loans: {} do; without donation = \"on\" nothing is lent",
            libos.policy.word(),
            lend.join(", ")
        );
        findings.problem(path, message);
    }
}

fn sizes(path: &str, scenario: &Scenario, libos: &LibOs, findings: &mut Findings<'_>) {
    for core in 0..scenario.cores {
        for (name, members) in libos.locks(core, scenario.cores) {
            if members.len() > MAX_MEMBERS {
                let count = members.len();
                findings.problem(
                    path,
                    format!("lock {name} is for at most {MAX_MEMBERS} clients of a core (got {count})"),
                );
            }
        }
        for (name, callers) in libos.servers(core, scenario.cores) {
            if callers.len() > MAX_ACTIVATIONS {
                let message = format!(
                    "server {name} serves at most {MAX_ACTIVATIONS} clients of a core (got {})",
                    callers.len()
                );
                findings.problem(path, message);
            }
        }
    }
}

fn lock(path: &str, (libos, client): (&LibOs, &Client), locking: &Locking, findings: &mut Findings<'_>) {
    let field = format!("{path}.lock");
    name_is_good(&field, &locking.lock, findings);
    match client.jobs {
        None => findings.problem(&field, "needs jobs: the first part of each is under the lock"),
        Some(jobs) if locking.held_us > jobs.work_min_us => {
            let message = format!(
                "must be at most work_min_us = {}, the shortest job (got {})",
                jobs.work_min_us, locking.held_us
            );
            findings.problem(&format!("{path}.held_us"), message);
        }
        Some(_) => {}
    }
    if libos.policy.can_guarantee() && libos.admission == Admission::Required {
        findings.problem(
            &field,
            "needs admission = \"off\": what is guaranteed does not reckon with waiting for a lock",
        );
    }
    let same = |other: &&Client| other.locking.as_ref().is_some_and(|other| other.lock == locking.lock);
    if let Some(first) = libos.clients.iter().find(same).filter(|first| first.placement != client.placement) {
        let message = format!(
            "lock {} is that of {}, on another core: a lock is for one core",
            locking.lock, first.name
        );
        findings.problem(&field, message);
    }
}

fn served(path: &str, (libos, client): (&LibOs, &Client), server: &str, findings: &mut Findings<'_>) {
    let field = format!("{path}.server");
    if client.jobs.is_none() {
        findings.problem(&field, "needs jobs: they are what it is asked for");
    }
    let same = |other: &&Client| other.server.as_deref() == Some(server);
    if let Some(first) = libos.clients.iter().find(same).filter(|first| first.program != client.program) {
        let message = format!(
            "does the work of {}, which is {}: it cannot do that of program {}",
            first.name, first.program, client.program
        );
        findings.problem(&field, message);
    }
    if libos.clients.iter().any(|other| other.name == server) {
        findings.problem(&field, format!("{server:?} is already the name of a client"));
    }
}

#[cfg(test)]
mod tests {
    use crate::scenario::parse;

    const TWO: &str = r#"
name = "two"
duration_ms = 1000
cores = 2
[broker]
mode = "static"
[[libos]]
name = "a"
policy = "stride"
want = 10
[[libos.clients]]
name = "c"
program = "spin"
lock = "m"
held_us = 900
server = "s"
budget_us = 1000
work_us = 900
period_us = 5000
[[libos.clients]]
name = "d"
program = "spin"
lock = "m"
held_us = 1
server = "s"
budget_us = 1000
period_us = 5000
"#;

    /// What is said of the file with one text in place of another, without the line's number.
    fn said(changes: &[(&str, &str)]) -> Vec<String> {
        let text = changes.iter().fold(TWO.to_string(), |text, (from, to)| {
            assert!(text.contains(from), "{from}");
            text.replacen(from, to, 1)
        });
        let problems = parse(&text, None, None).err().unwrap_or_default();
        problems.into_iter().map(|problem| format!("{}: {}", problem.path, problem.message)).collect()
    }

    #[test]
    fn a_lock_and_a_server_are_read_and_cost_frames_and_an_environment() {
        let scenario = parse(TWO, None, None).unwrap();
        let libos = &scenario.libos[0];
        assert_eq!(libos.locks(0, 2), [("m", vec![0, 1])]);
        assert_eq!(libos.servers(0, 2), [("s", vec![0, 1])]);
        assert_eq!((scenario.environments(), libos.total_frames(2)), (1 + 1 + 2 + 1, 2048 + 4 * 384));
        assert!(libos.donates());
    }

    #[test]
    fn what_cannot_be_is_said_with_what_to_do() {
        let wrong = [
            (&[("held_us = 900\n", "")][..], "libos[0].clients[0].held_us: is missing"),
            (&[("lock = \"m\"\n", "")], "libos[0].clients[0].held_us: has no meaning without lock"),
            (
                &[("held_us = 900", "held_us = 901")],
                "must be at most work_min_us = 900, the shortest job (got 901)",
            ),
            (&[("lock = \"m\"", "lock = \"M\"")], "of the characters a-z"),
            (&[("held_us = 1\n", "held_us = 1\ncore = 1\n")], "lock m is that of c, on another core"),
            (
                &[("\"spin\"", "\"sha256\"")],
                "does the work of c, which is sha256: it cannot do that of program spin",
            ),
            (&[("server = \"s\"", "server = \"d\"")], "\"d\" is already the name of a client"),
            (
                &[("\"stride\"", "\"fifo\"\ndonation = \"on\"")],
                "libos[0].donation: policy fifo knows of no loans: stride, hierarchical-stride, lottery, edf, ",
            ),
            (&[("\"stride\"", "\"edf\"")], "needs admission = \"off\""),
            (&[("\"stride\"", "\"stride\"\ndonation = \"yes\"")], "must be one of on, off"),
        ];
        for (changes, expected) in wrong {
            let said = said(changes);
            assert!(said.iter().any(|line| line.contains(expected)), "{expected}: {said:?}");
        }
        let endless = TWO.split("budget_us").next().unwrap();
        let problems = parse(endless, None, None).unwrap_err();
        let fields: Vec<_> = problems.iter().map(|problem| problem.path.as_str()).collect();
        assert_eq!(fields, ["libos[0].clients[0].lock", "libos[0].clients[0].server"]);
    }
}
