//! The currencies of a libOS, and clients that come later or go earlier than it: their fields, and how they must fit together.

use super::LONGEST_MS;
use super::failing::last;
use super::reader::{Fields, Findings};
use libos_core::scenario::{Currency, MOST_TICKETS, Policy, Scenario};

/// A currency.
pub fn currency(mut fields: Fields<'_, '_>) -> Currency {
    let currency = Currency {
        name: fields.text("name"),
        tickets: fields.integer("tickets", 1..=MOST_TICKETS.into()) as u32,
        of: fields.optional_text("of"),
    };
    fields.end();
    currency
}

/// When a client joins and leaves, of a libOS's time.
pub fn service(fields: &mut Fields<'_, '_>) -> (u32, Option<u32>) {
    let joins_ms = fields.integer_or("joins_ms", 0..=LONGEST_MS, 0) as u32;
    (joins_ms, fields.optional_integer("leaves_ms", 1..=LONGEST_MS).map(|ms| ms as u32))
}

/// Who divides by currencies; names that are there, and none that stands for itself.
pub fn currencies(scenario: &Scenario, findings: &mut Findings<'_>) {
    for (i, libos) in scenario.libos.iter().enumerate() {
        let path = format!("libos[{i}]");
        if !libos.currencies.is_empty() && libos.policy != Policy::Lottery {
            let word = libos.policy.word();
            let message = format!(
                "policy {word} has no currencies: only lottery has; leave them out, or change policy"
            );
            findings.problem(&format!("{path}.currencies"), message);
        }
        for (j, currency) in libos.currencies.iter().enumerate() {
            let path = format!("{path}.currencies[{j}]");
            super::check::name_is_good(&format!("{path}.name"), &currency.name, findings);
            if let Some(first) = libos.currencies[..j].iter().position(|other| other.name == currency.name) {
                let message =
                    format!("{:?} is already the name of libos[{i}].currencies[{first}]", currency.name);
                findings.problem(&format!("{path}.name"), message);
            }
            is_there(&libos.currencies[..j], &format!("{path}.of"), &currency.of, findings);
        }
        for (j, client) in libos.clients.iter().enumerate() {
            is_there(&libos.currencies, &format!("{path}.clients[{j}].currency"), &client.currency, findings);
        }
    }
}

/// A name is that of one of these, or of none.
fn is_there(known: &[Currency], path: &str, name: &Option<String>, findings: &mut Findings<'_>) {
    let Some(name) = name else { return };
    if !known.iter().any(|currency| currency.name == *name) {
        let names: Vec<_> = known.iter().map(|currency| currency.name.as_str()).collect();
        let all = if names.is_empty() { "none".into() } else { names.join(", ") };
        let what = if path.ends_with(".of") {
            "a currency listed before this one"
        } else {
            "a currency of this libOS"
        };
        findings.problem(
            path,
            format!("must be {what}, or left out for the base; there are: {all} (got {name:?})"),
        );
    }
}

/// Clients come and go while their libOS is there.
pub fn services(scenario: &Scenario, findings: &mut Findings<'_>) {
    for (i, libos) in scenario.libos.iter().enumerate() {
        let (field, end) = last(scenario, libos);
        for (j, client) in libos.clients.iter().enumerate() {
            let path = format!("libos[{i}].clients[{j}]");
            let (joins, arrives) = (client.joins_ms, libos.arrives_ms);
            if joins > 0 && !(arrives + 1..end).contains(&joins) {
                let message =
                    format!("must be after arrives_ms = {arrives} and before {field} = {end} (got {joins})");
                findings.problem(&format!("{path}.joins_ms"), message);
            }
            let begins = joins.max(arrives);
            if let Some(leaves) = client.leaves_ms.filter(|leaves| !(begins + 1..end).contains(leaves)) {
                let begin = if joins > 0 { "joins_ms" } else { "arrives_ms" };
                let message =
                    format!("must be after {begin} = {begins} and before {field} = {end} (got {leaves})");
                findings.problem(&format!("{path}.leaves_ms"), message);
            }
        }
    }
}
