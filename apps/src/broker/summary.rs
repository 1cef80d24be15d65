//! The broker's part of the report: slots, ledgers, and what became of the hostile.

use super::party::{Party, Role};
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use libos_core::public::View;
use libos_core::report::{Hostile, Ledger, Record};
use libos_core::{output, say};
use tranche_abi::{Core, Tick};

/// How often a ledger of another core is read again until its buckets belong together.
const LEDGER_TRIES: u32 = 1000;

/// Reports everything. False if a ledger could not be read as a whole, or a call that the kernel should have refused was
/// not.
pub fn report(view: View, parties: &mut [Party], names: &BTreeMap<u64, String>) -> bool {
    let mut whole = true;
    for party in parties.iter_mut() {
        party.note_words(view);
        if party.last_words.breaches > 0 {
            say!(
                "broker: {} calls of {} should have been refused and were not",
                party.last_words.breaches,
                party.name
            );
            whole = false;
        }
        output::report(&Record::Slots(party.account.clone()));
        if matches!(party.role, Role::Hostile(_)) || party.is_failing() {
            output::report(&Record::Hostile(hostile(party)));
        }
    }
    for core in 0..view.cores() {
        match ledger(view, core, names) {
            Some(ledger) => output::report(&Record::Ledger(ledger)),
            None => whole = false,
        }
    }
    whole
}

fn hostile(party: &Party) -> Hostile {
    let words = party.last_words;
    Hostile {
        name: party.name.clone(),
        faults: words.faults,
        excess_slices: words.excess,
        asked: party.asked_total,
        repossessions: party.account.repossessed,
        destroyed: party.destroyed,
        forged: words.forged,
        forged_refused: words.forged_refused,
        unknown_calls: words.unknown_calls,
        failures: words.failures,
    }
}

/// A core's ledger at one moment. Its core may write while it is read here: then it is read again.
fn ledger(view: View, core: u64, names: &BTreeMap<u64, String>) -> Option<Ledger> {
    (0..LEDGER_TRIES).find_map(|_| {
        let shown = view.ledger(Core(core))?;
        let before = shown.totals();
        let environments = shown
            .envs()
            .map(|(env, ran)| {
                (names.get(&env).cloned().unwrap_or_else(|| format!("environment {env}")), ran.0)
            })
            .collect();
        let elapsed = before.until.since(view.epoch());
        let ledger = Ledger {
            core,
            kernel: before.kernel.0,
            idle: before.idle.0,
            excess: before.excess.0,
            gone: before.gone.0,
            environments,
            elapsed: elapsed.0,
        };
        (before == shown.totals() && sum(&ledger) == elapsed).then_some(ledger)
    })
}

fn sum(ledger: &Ledger) -> Tick {
    let environments: u64 = ledger.environments.iter().map(|(_, ran)| ran).sum();
    Tick(ledger.kernel + ledger.idle + ledger.excess + ledger.gone + environments)
}
