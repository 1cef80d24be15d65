//! The fields with which a libOS fails on purpose: what they say, and what they must fit. Not here: what a failure does.

use super::LONGEST_MS;
use super::reader::{Fields, Findings};
use libos_core::scenario::{End, Failing, Failure, LibOs, Policy, Scenario};

/// Takes the fields of a libOS's failure; `None` if it has none.
pub fn failing(fields: &mut Fields<'_, '_>) -> Option<Failing> {
    let how = fields.choice("fails", &Failure::NAMES);
    let from = fields.optional_integer("fails_ms", 1..=LONGEST_MS);
    let until = fields.optional_integer("mended_ms", 1..=LONGEST_MS);
    match (how, from) {
        (Some(how), Some(from)) => {
            Some(Failing { how, from_ms: from as u32, until_ms: until.map(|ms| ms as u32) })
        }
        (Some(_), None) => {
            fields.problem("fails_ms", "is missing: when, in ms after the start, the libOS begins to fail");
            None
        }
        (None, _) => {
            let without =
                "needs fails beside it, which says how the libOS fails; without a failure leave it out";
            from.into_iter().for_each(|_| fields.problem("fails_ms", without));
            until.into_iter().for_each(|_| fields.problem("mended_ms", without));
            None
        }
    }
}

/// Notes failures that cannot happen as they are written.
pub fn failures(scenario: &Scenario, findings: &mut Findings<'_>) {
    for (i, libos) in scenario.libos.iter().enumerate() {
        let Some(fails) = libos.fails else { continue };
        let mut problem = |field: &str, message: String| {
            findings.problem(&format!("libos[{i}].{field}"), message);
        };
        if libos.policy == Policy::None {
            problem("fails", "policy none has no scheduler that could fail; [[hostile]] breaks rules".into());
        }
        let (arrives, (field, end)) = (libos.arrives_ms, last(scenario, libos));
        if fails.from_ms <= arrives || fails.from_ms >= end {
            let message = format!(
                "must be after arrives_ms = {arrives} and before {field} = {end} (got {})",
                fails.from_ms
            );
            problem("fails_ms", message);
        }
        let Some(until) = fails.until_ms else { continue };
        if until <= fails.from_ms || until >= end {
            let message = format!(
                "must be after fails_ms = {} and before {field} = {end} (got {until})",
                fails.from_ms
            );
            problem("mended_ms", message);
        }
        if fails.how.end() == End::Others {
            let message = format!(
                "nobody comes back from {:?}, which ends when the broker ends the libOS: leave it out (got {until})",
                fails.how.word()
            );
            problem("mended_ms", message);
        }
    }
}

/// Until when a libOS is there, and which field says so.
pub fn last(scenario: &Scenario, libos: &LibOs) -> (&'static str, u32) {
    libos.leaves_ms.map_or(("duration_ms", scenario.duration_ms), |leaves| ("leaves_ms", leaves))
}
