//! The cases as people read them. Not here: the figures (`windows`, `judge`).

use super::Case;
use super::judge::{Other, Window};
use super::windows::Figures;
use std::fmt;

/// A block for each case, and a table of all.
pub struct Tables<'a>(pub &'a [Case]);

const HEADS: [&str; 9] = [
    "libOS",
    "window",
    "slots/rev",
    "late us",
    "share error",
    "misses",
    "response p99/max",
    "wait p99/max",
    "recovery ms",
];

impl fmt::Display for Tables<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|case| one(case, f))?;
        let mut rows = vec![SUMMARY.map(String::from)];
        rows.extend(self.0.iter().map(summary));
        writeln!(f, "Everybody else together, while the failure lasts (and without it)")?;
        aligned(&rows, 1, f)
    }
}

const SUMMARY: [&str; 8] = [
    "failure",
    "lasts ms",
    "slots lost",
    "deadlines missed",
    "late us",
    "share error",
    "response us",
    "recovery ms",
];

/// What everybody else had of a case, the worst of all.
fn summary(case: &Case) -> [String; 8] {
    let during = || case.others.iter().map(|other| &other.windows[DURING]);
    let worst = |of: fn(&Figures) -> Option<f64>, digits: usize| {
        let most = |side: fn(&Window) -> &Figures| {
            during().filter_map(|window| of(side(window))).fold(0.0, f64::max)
        };
        format!("{:.digits$} ({:.digits$})", most(|window| &window.failed), most(|window| &window.control))
    };
    let count = |of: fn(&Other) -> u64| case.others.iter().map(of).sum::<u64>().to_string();
    let recovery: Option<Vec<f64>> = case.others.iter().map(|other| other.recovery_ms).collect();
    [
        case.failure.into(),
        format!("{:.0}", case.lasted_ms),
        count(|other| other.lost_slots + other.missed_slots + other.taken_slots),
        count(|other| other.missed_deadlines),
        worst(|figures| Some(figures.late_us), 1),
        worst(|figures| figures.share_error_quanta, 2),
        worst(|figures| figures.response_max_us, 0),
        recovery.map_or("not yet".into(), |all| format!("{:.0}", all.into_iter().fold(0.0, f64::max))),
    ]
}

/// Which window is the one in which the failure lasts.
const DURING: usize = 1;

/// Rows of cells, of which the first few columns are words.
fn aligned<const N: usize>(rows: &[[String; N]], words: usize, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: [usize; N] = std::array::from_fn(width);
    for row in rows {
        write!(f, "    ")?;
        for (place, (cell, width)) in row.iter().zip(widths).enumerate() {
            match place < words {
                true => write!(f, " {cell:<width$} ")?,
                false => write!(f, " {cell:>width$} ")?,
            }
        }
        writeln!(f)?;
    }
    Ok(())
}

fn one(case: &Case, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let sign = if case.passed { "ok  " } else { "FAIL" };
    writeln!(f, "{sign} {}, for {:.0} ms: {}", case.failure, case.lasted_ms, case.verdict)?;
    case.problems.iter().try_for_each(|problem| writeln!(f, "     PROBLEM {problem}"))?;
    let mut rows = vec![HEADS.map(String::from)];
    case.others.iter().for_each(|other| rows.extend(other.windows.iter().map(|window| row(other, window))));
    aligned(&rows, 2, f)?;
    writeln!(
        f,
        "     each cell: with the failure, and in parentheses the same revolutions without it; times in us\n"
    )
}

fn row(other: &Other, window: &Window) -> [String; 9] {
    let both = |of: &dyn Fn(&Figures) -> String| match (of(&window.failed), of(&window.control)) {
        (failed, control) if failed == "-" && control == "-" => failed,
        (failed, control) => format!("{failed} ({control})"),
    };
    let pair = |p99: Option<f64>, max: Option<f64>| match (p99, max) {
        (Some(p99), Some(max)) => format!("{p99:.0}/{max:.0}"),
        _ => "-".into(),
    };
    let is_first = window.name == other.windows[0].name;
    let recovery = other.recovery_ms.map_or("not yet".into(), |ms| format!("{ms:.0}"));
    [
        if is_first { other.libos.clone() } else { String::new() },
        window.name.into(),
        both(&|figures| format!("{:.2}", figures.slots)),
        both(&|figures| format!("{:.1}", figures.late_us)),
        both(&|figures| figures.share_error_quanta.map_or("-".into(), |error| format!("{error:.2}"))),
        both(&|figures| if figures.jobs == 0 { "-".into() } else { figures.misses.to_string() }),
        both(&|figures| pair(figures.response_p99_us, figures.response_max_us)),
        both(&|figures| pair(figures.wait_p99_us, figures.wait_max_us)),
        if is_first { recovery } else { String::new() },
    ]
}
