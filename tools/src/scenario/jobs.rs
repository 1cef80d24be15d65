//! The fields of a client's jobs. Which of them there are depends on the kind of arrivals: each kind has its own, and the
//! fields of another are complained of. Not here: how large they may be compared with one another (`super::check`).

use super::reader::Fields;
use libos_core::scenario::{Arrivals, Jobs, Trace};
use std::ops::RangeInclusive;

/// Times of jobs, in microseconds.
const TIME: RangeInclusive<u64> = 1..=u32::MAX as u64;
/// Most jobs that can be released together.
const MOST_AT_ONCE: u64 = 1000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Periodic,
    Bursty,
    Interactive,
    Trace,
}

const KINDS: [(&str, Kind); 4] = [
    ("periodic", Kind::Periodic),
    ("bursty", Kind::Bursty),
    ("interactive", Kind::Interactive),
    ("trace", Kind::Trace),
];
/// Which kind has which field, all of which mean nothing without jobs.
const OWN_FIELDS: [(&str, Option<Kind>); 10] = [
    ("period_us", Some(Kind::Periodic)),
    ("offset_us", Some(Kind::Periodic)),
    ("burst", Some(Kind::Bursty)),
    ("gap_us", Some(Kind::Bursty)),
    ("think_us", Some(Kind::Interactive)),
    ("repeat_us", Some(Kind::Trace)),
    ("budget_us", None),
    ("deadline_us", None),
    ("work_us", None),
    ("work_min_us", None),
];

/// The jobs of a client, if it has any of their fields. A budget and a period alone mean periodic ones.
pub fn jobs(fields: &mut Fields<'_, '_>) -> Option<Jobs> {
    let kind = fields.choice("arrivals", &KINDS);
    let trace = match kind {
        Some(Kind::Trace) => fields.trace("trace"),
        _ => {
            if fields.optional_text("trace").is_some() {
                fields.problem("trace", "needs arrivals = \"trace\" beside it");
            }
            None
        }
    };
    let values = OWN_FIELDS.map(|(name, _)| {
        let range = match name {
            "burst" => 1..=MOST_AT_ONCE,
            "offset_us" => 0..=*TIME.end(),
            _ => TIME,
        };
        fields.optional_integer(name, range).map(|value| value as u32)
    });
    if kind.is_none() && values.iter().all(Option::is_none) {
        return None;
    }
    let kind = kind.unwrap_or(Kind::Periodic);
    for ((name, of), value) in OWN_FIELDS.iter().zip(values) {
        if value.is_some() && of.is_some_and(|of| of != kind) {
            fields.problem(name, format!("has no meaning with {} arrivals", word(kind)));
        }
    }
    let [period, offset, burst, gap, think, repeat, budget, deadline, work, work_min] = values;
    let mut needed = |name: &str, value: Option<u32>| {
        if value.is_none() {
            fields.missing(name);
        }
        value.unwrap_or(1)
    };
    let budget_us = needed("budget_us", budget);
    let arrivals = match kind {
        Kind::Periodic => {
            let period_us = needed("period_us", period);
            Arrivals::Periodic { period_us, offset_us: offset.unwrap_or(0) }
        }
        Kind::Bursty => Arrivals::Bursty { burst: burst.unwrap_or(1), gap_us: needed("gap_us", gap) },
        Kind::Interactive => Arrivals::Interactive { think_us: needed("think_us", think) },
        Kind::Trace => {
            if let Some((_, read)) = &trace {
                fits(fields, read, (budget_us, repeat));
            }
            let list = trace.map_or(0, |(list, _)| list);
            Arrivals::Trace { list, repeat_us: repeat }
        }
    };
    let implicit = match arrivals {
        Arrivals::Periodic { period_us, .. } => Some(period_us),
        Arrivals::Bursty { .. } | Arrivals::Interactive { .. } | Arrivals::Trace { .. } => None,
    };
    // A tenth of the budget is left for the kernel's entries and the switches.
    let work_us = work.unwrap_or(budget_us - budget_us / 10);
    let work_min_us = work_min.unwrap_or(work_us);
    Some(Jobs { arrivals, budget_us, deadline_us: deadline.or(implicit), work_min_us, work_us })
}

/// Complains of jobs of a list that may need more than the budget, and of a list that begins again before it has ended.
fn fits(
    fields: &mut Fields<'_, '_>,
    (trace, lines): &(Trace, Vec<usize>),
    (budget_us, repeat): (u32, Option<u32>),
) {
    let works = trace.releases.iter().zip(lines).filter_map(|(release, line)| Some((release.work_us?, line)));
    for (work, line) in works.filter(|(work, _)| *work > budget_us) {
        let message = format!("{}:{line}: must use at most budget_us = {budget_us} (got {work})", trace.file);
        fields.problem("trace", message);
    }
    let last = trace.releases.last().map_or(0, |release| release.at_us);
    if let Some(repeat) = repeat.filter(|repeat| *repeat <= last) {
        let message = format!("must be after the last release of {}, at {last} (got {repeat})", trace.file);
        fields.problem("repeat_us", message);
    }
}

fn word(kind: Kind) -> &'static str {
    KINDS.iter().find(|(_, known)| *known == kind).map_or("", |(word, _)| word)
}
