//! The end of a run as people read it: tables of figures and the verdict. Not here: the figures (`results`).

use crate::results::{Client, Fuzz, Results};
use crate::verdict::Verdict;
use std::collections::BTreeSet;

/// Calls of a fuzzer in one row of its table.
const CALLS_ABREAST: usize = 3;

/// Everything that is printed at the end.
pub fn render(results: &Results) -> String {
    let mut text = String::new();
    let mut add = |title: &str, rows: Vec<Vec<String>>| {
        if rows.len() > 1 {
            text += &format!("\n{title}\n{}", columns(&rows));
        }
    };
    add("LibOSes (slots over all cores)", libos(results));
    add("Clients with tickets", shares(results));
    add("Clients with jobs (us)", jobs(results));
    add("Clients who are promised nothing and have no jobs", others(results));
    add("Guarantees", guarantees(results));
    add("Ledger (us)", ledger(results));
    add("Hostile environments", hostile(results));
    for fuzz in &results.fuzz {
        add(&format!("Calls by {} (made, accepted)", fuzz.name), fuzz_calls(fuzz));
        add(&format!("Calls by {} that were refused", fuzz.name), fuzz_refusals(fuzz));
    }
    match results.verdict.is_empty() {
        true => text,
        false => text + "\nVerdict (what was expected: what was seen)\n" + &verdict(results),
    }
}

fn row<const N: usize>(cells: [&dyn ToString; N]) -> Vec<String> {
    cells.iter().map(|cell| cell.to_string()).collect()
}

fn libos(results: &Results) -> Vec<Vec<String>> {
    let heads = [
        "name",
        "policy",
        "slots/rev",
        "won",
        "lost",
        "given back",
        "taken",
        "missed",
        "clients us",
        "own us",
    ];
    let mut rows = vec![heads.map(String::from).to_vec()];
    rows.extend(results.libos.iter().map(|libos| {
        let slots = format!("{:.2}", libos.slots_owned_avg);
        let (won, lost, back) = (&libos.slots_won, &libos.slots_lost, &libos.slots_given_back);
        let (taken, missed) = (&libos.slots_repossessed, &libos.slots_missed);
        let times: [&dyn ToString; 2] = [&libos.clients_ran_us, &libos.own_us];
        row([&libos.name, &libos.policy, &slots, won, lost, back, taken, missed, times[0], times[1]])
    }));
    rows
}

fn shares(results: &Results) -> Vec<Vec<String>> {
    let heads = ["client", "tickets", "wanted", "got", "pair error", "turns", "units", "right", "wrong"];
    let mut rows = vec![heads.map(String::from).to_vec()];
    for libos in &results.libos {
        for client in &libos.clients {
            let (Some(tickets), Some(wanted), Some(got)) =
                (client.tickets, client.share_expected, client.share_got)
            else {
                continue;
            };
            let name = format!("{}.{}", libos.name, client.name);
            let (wanted, got) = (format!("{:.2}%", wanted * 100.0), format!("{:.2}%", got * 100.0));
            let error = client.max_pairwise_error_quanta.map_or("-".into(), |error| format!("{error:.3}"));
            let (units, right, wrong) = (&client.work_units, &client.checks_passed, &client.checks_failed);
            rows.push(row([&name, &tickets, &wanted, &got, &error, &client.turns, units, right, wrong]));
        }
    }
    rows
}

fn jobs(results: &Results) -> Vec<Vec<String>> {
    let heads =
        ["client", "jobs", "misses", "worst response", "bound", "deadline", "units", "right", "wrong"];
    let mut rows = vec![heads.map(String::from).to_vec()];
    for libos in &results.libos {
        for client in &libos.clients {
            let Some(response) = client.max_response_us else { continue };
            let name = format!("{}.{}", libos.name, client.name);
            let times = [Some(response), client.response_bound_us, client.deadline_us];
            let times = times.map(|us| us.map_or("-".into(), |us| format!("{us:.1}")));
            let (units, right, wrong) = (&client.work_units, &client.checks_passed, &client.checks_failed);
            let (jobs, misses) = (&client.jobs, &client.misses);
            rows.push(row([&name, jobs, misses, &times[0], &times[1], &times[2], units, right, wrong]));
        }
    }
    rows
}

/// Clients of which neither shares nor jobs say how they fared: what they got of their libOS's time on their core.
fn others(results: &Results) -> Vec<Vec<String>> {
    let heads = ["client", "got", "us", "turns", "units", "right", "wrong"];
    let mut rows = vec![heads.map(String::from).to_vec()];
    for libos in &results.libos {
        let plain = |client: &&Client| client.tickets.is_none() && client.max_response_us.is_none();
        for client in libos.clients.iter().filter(plain) {
            let here = libos.clients.iter().filter(|other| other.core == client.core);
            let all: u64 = here.map(|other| other.ran_us).sum();
            let got = format!("{:.2}%", client.ran_us as f64 * 100.0 / all.max(1) as f64);
            let name = format!("{}.{}", libos.name, client.name);
            let (units, right, wrong) = (&client.work_units, &client.checks_passed, &client.checks_failed);
            rows.push(row([&name, &got, &client.ran_us, &client.turns, units, right, wrong]));
        }
    }
    rows
}

/// Clients whose guarantee was in question.
fn guarantees(results: &Results) -> Vec<Vec<String>> {
    let heads = ["client", "criticality", "shed", "last at ms", "back at ms", "jobs dropped", "at the end"];
    let mut rows = vec![heads.map(String::from).to_vec()];
    for libos in &results.libos {
        for (client, guarantee) in libos.clients.iter().filter_map(|client| Some((client, client.guarantee?)))
        {
            let name = format!("{}.{}", libos.name, client.name);
            let ms = |us: Option<u64>| us.map_or("-".into(), |us| (us / 1000).to_string());
            let (shed, back) = (ms(guarantee.shed_us), ms(guarantee.back_us));
            let at_end = if guarantee.at_end { "guaranteed" } else { "not guaranteed" };
            let (level, dropped) = (&guarantee.criticality, &guarantee.dropped);
            rows.push(row([&name, level, &guarantee.shed, &shed, &back, dropped, &at_end]));
        }
    }
    rows
}

/// A client's environments are summed under their libOS: `libos.client/0` is `libos`'s.
fn ledger(results: &Results) -> Vec<Vec<String>> {
    let group = |bucket: &str| bucket.split(['.', '/']).next().unwrap_or_default().to_string();
    let groups: BTreeSet<String> =
        results.ledger.iter().flat_map(|core| core.buckets.keys().map(|bucket| group(bucket))).collect();
    let mut rows = vec![vec!["core".to_string()]];
    rows[0].extend(groups.iter().cloned());
    rows[0].extend(["sum", "elapsed"].map(String::from));
    for core in &results.ledger {
        let mut cells = vec![core.core.to_string()];
        for wanted in &groups {
            let sum: u64 =
                core.buckets.iter().filter(|(name, _)| group(name) == *wanted).map(|(_, us)| us).sum();
            cells.push(sum.to_string());
        }
        cells.extend([core.sum_us.to_string(), core.elapsed_us.to_string()]);
        rows.push(cells);
    }
    rows
}

fn hostile(results: &Results) -> Vec<Vec<String>> {
    let h = &results.hostile;
    let heads = [
        "faults",
        "excess slices",
        "asked",
        "taken",
        "destroyed",
        "forged",
        "refused",
        "unknown calls",
        "failures",
    ];
    let figures = row([
        &h.faults,
        &h.excess_slices,
        &h.asked,
        &h.repossessions,
        &h.destroyed,
        &h.forged,
        &h.forged_refused,
        &h.unknown_calls,
        &h.failures,
    ]);
    let none = h == &crate::results::Hostile::default();
    if none { Vec::new() } else { vec![heads.map(String::from).to_vec(), figures] }
}

/// Calls side by side, three in a row.
fn fuzz_calls(fuzz: &Fuzz) -> Vec<Vec<String>> {
    let cells: Vec<[String; 3]> = fuzz
        .calls
        .iter()
        .map(|(name, call)| [name.clone(), call.made.to_string(), call.accepted.to_string()])
        .collect();
    let heads = ["call", "made", "accepted"].repeat(CALLS_ABREAST);
    let mut rows = vec![heads.into_iter().map(String::from).collect()];
    rows.extend(cells.chunks(CALLS_ABREAST).map(|chunk| {
        let mut row = chunk.concat();
        row.resize(3 * CALLS_ABREAST, String::new());
        row
    }));
    rows
}

fn fuzz_refusals(fuzz: &Fuzz) -> Vec<Vec<String>> {
    let (names, counts): (Vec<_>, Vec<_>) =
        fuzz.refused.iter().map(|(name, count)| (name.clone(), count.to_string())).unzip();
    vec![names, counts]
}

/// One line each, the judgement first: what was seen can be long.
fn verdict(results: &Results) -> String {
    let line = |line: &Verdict| {
        let word = if line.passed { "ok  " } else { "FAIL" };
        format!("  {word}  {}: {}\n", line.expected, line.seen)
    };
    results.verdict.iter().map(line).collect()
}

/// Rows under each other, each column as wide as its widest cell; figures to the right, words to the left.
pub(crate) fn columns(rows: &[Vec<String>]) -> String {
    let widths: Vec<usize> = (0..rows[0].len())
        .map(|column| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0))
        .collect();
    let figure = |cell: &str| cell.starts_with(|c: char| c.is_ascii_digit()) && !cell.contains(' ');
    let to_right: Vec<bool> = (0..widths.len())
        .map(|column| rows[1..].iter().all(|row| figure(&row[column]) || row[column] == "-"))
        .collect();
    let mut text = String::new();
    for row in rows {
        let cells = row.iter().zip(&widths).zip(&to_right).map(|((cell, &width), &right)| {
            if right { format!("{cell:>width$}") } else { format!("{cell:<width$}") }
        });
        text += "  ";
        text += cells.collect::<Vec<_>>().join("  ").trim_end();
        text += "\n";
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verdict::fixture::{machine, scenario};
    use crate::verdict::tests::good;

    #[test]
    fn every_party_and_every_expectation_has_its_row() {
        let outcome = good();
        let verdict = crate::verdict::judge(&scenario(), &machine(), &outcome);
        let text = render(&Results::new(&scenario(), &machine(), &outcome, verdict.clone()).unwrap());
        for word in [
            "shares.a/0",
            "lots.b/1",
            "deadlines.t/1",
            "bad",
            "worst response",
            "pair error",
            "Calls by calls",
            "Forged",
        ] {
            assert!(text.contains(word), "{word} is not in\n{text}");
        }
        assert_eq!(text.lines().filter(|line| line.starts_with("  ok    ")).count(), verdict.len());
    }

    #[test]
    fn words_go_left_and_figures_right() {
        let rows = [["name", "n"], ["a", "5"], ["bcdef", "123"]].map(|row| row.map(String::from).to_vec());
        assert_eq!(columns(&rows), "  name     n\n  a        5\n  bcdef  123\n");
    }
}
