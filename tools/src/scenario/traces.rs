//! Files of releases: text, a job a line: when it was released, in microseconds after the beginning, and, if that is known, what it used,
//! in microseconds too. What follows a `#` is a comment.
//!
//! Not here: which clients follow them, and what else must fit (`super::jobs`).

use super::check::clients_within;
use super::reader::Findings;
use apps::scheduler::crew::IMAGE_AND_STACKS;
use libos_core::scenario::{Arrivals, Release, Scenario, Trace};
use std::path::{Component, Path};
use tranche_abi::layout::PAGE_SIZE;

/// Most releases in a file: as many fit into a client's memory beside its work.
const MOST_RELEASES: usize = 4096;

/// Most bytes of a client's heap for a release: as it is told of it, and as it keeps it.
const BYTES_PER_RELEASE: u64 = 48;

/// Clients have room for the lists that they follow.
pub fn lists_fit(scenario: &Scenario, findings: &mut Findings<'_>) {
    for (path, client) in clients_within(scenario) {
        let Some(Arrivals::Trace { list, .. }) = client.jobs.map(|jobs| jobs.arrivals) else { continue };
        let Some(trace) = scenario.traces.get(usize::from(list)) else { continue };
        let count = trace.releases.len() as u64;
        let needed = IMAGE_AND_STACKS + 1 + (count * BYTES_PER_RELEASE).div_ceil(PAGE_SIZE);
        if u64::from(client.frames) < needed {
            let message = format!(
                "must be at least {needed}, because its program keeps the {count} releases of {} (got {})",
                trace.file, client.frames
            );
            findings.problem(&format!("{path}.frames"), message);
        }
    }
}

/// The releases of a file that a scenario in this folder names, and the line of each.
///
/// # Errors
/// Everything that is wrong with it, each with the file's name and, if it has one, the line.
pub fn read(folder: &Path, file: &str) -> Result<(Trace, Vec<usize>), Vec<String>> {
    let inside = |part: Component<'_>| matches!(part, Component::Normal(_) | Component::CurDir);
    if file.is_empty() || !Path::new(file).components().all(inside) {
        return Err(vec![format!("must be a file in the scenario's folder or below it (got {file:?})")]);
    }
    let text =
        std::fs::read_to_string(folder.join(file)).map_err(|error| vec![format!("{file}: {error}")])?;
    let (releases, lines) = parse(&text).map_err(|problems| {
        problems.into_iter().map(|(line, problem)| format!("{file}:{line}: {problem}")).collect::<Vec<_>>()
    })?;
    Ok((Trace { file: file.into(), releases }, lines))
}

/// What is wrong with a line.
type Complaint = (usize, String);

fn parse(text: &str) -> Result<(Vec<Release>, Vec<usize>), Vec<Complaint>> {
    let (mut releases, mut lines, mut problems) = (Vec::<Release>::new(), Vec::new(), Vec::new());
    for (line, words) in (1..).zip(text.lines()) {
        let words: Vec<&str> = words.split('#').next().unwrap_or("").split_whitespace().collect();
        match release(&words) {
            Ok(None) => {}
            Ok(Some(release)) => match releases.last().filter(|last| last.at_us > release.at_us) {
                Some(last) => problems.push((
                    line,
                    format!(
                        "must not be released before the one above it, at {} us (got {})",
                        last.at_us, release.at_us
                    ),
                )),
                None => {
                    releases.push(release);
                    lines.push(line);
                }
            },
            Err(problem) => problems.push((line, problem)),
        }
    }
    if problems.is_empty() && releases.is_empty() {
        problems.push((1, "must have at least one line with a release".into()));
    }
    if let Some(line) = lines.get(MOST_RELEASES) {
        problems
            .push((*line, format!("must have at most {MOST_RELEASES} releases (got {})", releases.len())));
    }
    if problems.is_empty() { Ok((releases, lines)) } else { Err(problems) }
}

fn release(words: &[&str]) -> Result<Option<Release>, String> {
    let (at, work) = match words {
        [] => return Ok(None),
        [at] => (at, None),
        [at, work] => (at, Some(work)),
        [.., last] => {
            return Err(format!(
                "must be a release and what the job uses, in microseconds, and no more (got {last:?} too)"
            ));
        }
    };
    let number = |word: &str, least: u32| match word.parse::<u32>() {
        Ok(number) if number >= least => Ok(number),
        _ => Err(format!("must be microseconds, from {least} to {} (got {word:?})", u32::MAX)),
    };
    let work_us = work.map(|work| number(work, 1)).transpose()?;
    Ok(Some(Release { at_us: number(at, 0)?, work_us }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_are_read_with_and_without_work_and_comments_are_not() {
        let (releases, lines) = parse("# from a server\n\n0\n  7 300 # two together\n7\n").unwrap();
        let release = |at_us, work_us| Release { at_us, work_us };
        assert_eq!(releases, [release(0, None), release(7, Some(300)), release(7, None)]);
        assert_eq!(lines, [3, 4, 5]);
    }

    #[test]
    fn every_mistake_is_named_with_its_line() {
        let cases = [
            ("5\n4", 2, "must not be released before the one above it, at 5 us (got 4)"),
            ("x", 1, "must be microseconds, from 0 to 4294967295 (got \"x\")"),
            ("1 0", 1, "must be microseconds, from 1 to 4294967295 (got \"0\")"),
            (
                "1\n1 2 3",
                2,
                "must be a release and what the job uses, in microseconds, and no more (got \"3\" too)",
            ),
            ("# nothing\n", 1, "must have at least one line with a release"),
        ];
        for (text, line, problem) in cases {
            assert_eq!(parse(text), Err(vec![(line, problem.to_string())]), "{text}");
        }
        let long = "1\n".repeat(MOST_RELEASES + 1);
        assert_eq!(parse(&long), Err(vec![(4097, "must have at most 4096 releases (got 4097)".into())]));
        assert_eq!(parse("x\ny").unwrap_err().len(), 2);
    }

    #[test]
    fn files_are_in_the_scenarios_folder_and_there() {
        let said = |file: &str| read(Path::new("no-such-folder"), file).unwrap_err().join("");
        for outside in ["/etc/passwd", "../x.txt", "a/../../b", ""] {
            assert!(said(outside).contains("must be a file in the scenario's folder"), "{outside}");
        }
        assert!(said("x.txt").starts_with("x.txt: "));
    }
}
