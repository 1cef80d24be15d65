//! The cases as people read them. Not here: the figures (`windows`, `judge`).

use super::Case;
use super::judge::{Other, Window};
use super::windows::Figures;
use std::fmt;

/// A block for each case.
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
        self.0.iter().try_for_each(|case| one(case, f))
    }
}

fn one(case: &Case, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let sign = if case.passed { "ok  " } else { "FAIL" };
    writeln!(f, "{sign} {}, for {:.0} ms: {}", case.failure, case.lasted_ms, case.verdict)?;
    case.problems.iter().try_for_each(|problem| writeln!(f, "     PROBLEM {problem}"))?;
    let mut rows = vec![HEADS.map(String::from)];
    case.others.iter().for_each(|other| rows.extend(other.windows.iter().map(|window| row(other, window))));
    let widths: Vec<usize> = (0..HEADS.len())
        .map(|column| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0))
        .collect();
    for row in rows {
        write!(f, "    ")?;
        for (place, (cell, width)) in row.iter().zip(&widths).enumerate() {
            match place {
                0 | 1 => write!(f, " {cell:<width$} ")?,
                _ => write!(f, " {cell:>width$} ")?,
            }
        }
        writeln!(f)?;
    }
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
