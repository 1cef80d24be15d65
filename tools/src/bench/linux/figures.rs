//! What the program on Linux says, line by line, and the figures in it. Not here: what each operation is
//! (`docs/linux.md`).

use super::COMMAND_LINE;
use crate::Failure;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What every line of the program begins with.
const MARK: &str = "linux-bench: ";
/// Ping-pongs, of which one way is half.
const SYMMETRIC: [&str; 4] = ["pipe", "shm", "shm_futex", "yield"];
const ROUND: &str = "_round";
/// In a second; an instruction takes one.
const NANOSECONDS: u64 = 1_000_000_000;

/// What the operations take on Linux.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LinuxFigures {
    /// The kernel's release, such as `6.12.95+deb12-arm64`.
    pub release: String,
    /// Its build, with Debian's version of the package.
    pub version: String,
    /// What it was told.
    pub command_line: String,
    /// By operation.
    pub figures: BTreeMap<String, Figure>,
    /// By operation that this Linux does not have: why.
    pub absent: BTreeMap<String, String>,
}

impl LinuxFigures {
    /// What an operation takes in instructions: the median.
    pub fn instructions(&self, id: &str) -> Option<f64> {
        self.figures.get(id).map(|figure| figure.median)
    }

    /// A table for people.
    pub fn table(&self) -> String {
        let mut text = format!("Linux {}, {}, told {:?}\n", self.release, self.version, self.command_line);
        text += &format!("  {:<22}{:>14}{:>14}{:>14}\n", "instructions", "median", "min", "max");
        for (id, Figure { median, min, max, .. }) in &self.figures {
            text += &format!("  {id:<22}{median:>14.2}{min:>14.2}{max:>14.2}\n");
        }
        for (id, reason) in &self.absent {
            text += &format!("  {id:<22}none: {reason}\n");
        }
        text
    }

    /// The file's bytes.
    pub fn to_json(&self) -> String {
        // The types are plain: writing them to memory cannot fail.
        serde_json::to_string_pretty(self).unwrap_or_default() + "\n"
    }

    fn add(&mut self, id: &str, figure: Figure) {
        if let Some(one_way) = id.strip_suffix(ROUND).filter(|one_way| SYMMETRIC.contains(one_way)) {
            let Figure { median, min, max, .. } = figure;
            let [median, min, max] = [median, min, max].map(|round| rounded(round / 2.0));
            self.figures.insert(one_way.into(), Figure { median, min, max, ..figure });
        }
        self.figures.insert(id.into(), figure);
    }
}

/// Instructions for one operation, over the batches in which it was measured.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Figure {
    /// Of the batch in the middle.
    pub median: f64,
    /// Of the fastest batch.
    pub min: f64,
    /// Of the slowest batch.
    pub max: f64,
    /// Operations in a batch.
    pub operations: u64,
    /// How many batches.
    pub batches: usize,
}

impl Figure {
    /// Of at least one batch, each in instructions for one operation.
    fn of(mut batches: Vec<f64>, operations: u64) -> Self {
        batches.sort_by(f64::total_cmp);
        let [median, min, max] =
            [batches.len() / 2, 0, batches.len() - 1].map(|index| rounded(batches[index]));
        Self { median, min, max, operations, batches: batches.len() }
    }
}

/// With two digits after the point: the counter's ticks give no more.
fn rounded(instructions: f64) -> f64 {
    (instructions * 100.0).round() / 100.0
}

/// A line of the program.
#[derive(Debug, Deserialize)]
#[serde(untagged, deny_unknown_fields)]
enum Line {
    Begin { release: String, version: String, frequency: u64 },
    Figure { id: String, operations: u64, overhead: u64, ticks: Vec<u64> },
    Absent { id: String, absent: String },
    Failed { failed: String },
    End { end: bool },
}

/// Everything that was said.
#[derive(Debug, Default)]
pub struct Listener {
    bytes: Vec<u8>,
}

impl Listener {
    /// Takes what came next.
    pub fn hear(&mut self, bytes: &[u8]) {
        self.bytes.extend(bytes);
    }

    /// The last line, in words for whoever wonders why there was no further one.
    pub fn last_line(&self) -> String {
        let text = String::from_utf8_lossy(&self.bytes);
        match text.lines().map(str::trim).rfind(|line| !line.is_empty()) {
            Some(line) => format!("its last line was: {line}"),
            None => "it said nothing".into(),
        }
    }

    /// The figures, if the program has come to its end.
    pub fn figures(&self) -> Result<LinuxFigures, Failure> {
        let text = String::from_utf8_lossy(&self.bytes);
        let mut lines = text.lines().filter_map(|line| line.strip_prefix(MARK)).map(read);
        let Some(Line::Begin { release, version, frequency: frequency @ 1.. }) = lines.next().transpose()?
        else {
            return Err(Failure(format!("Linux did not start the program; {}", self.last_line())));
        };
        let instructions_per_tick = NANOSECONDS as f64 / frequency as f64;
        let (figures, absent) = (BTreeMap::new(), BTreeMap::new());
        let mut all = LinuxFigures { release, version, command_line: COMMAND_LINE.into(), figures, absent };
        for line in lines {
            match line? {
                Line::Figure { id, operations: operations @ 1.., overhead, ticks } if !ticks.is_empty() => {
                    let of =
                        |ticks| ticks as f64 * instructions_per_tick / operations as f64 - overhead as f64;
                    all.add(&id, Figure::of(ticks.into_iter().map(of).collect(), operations));
                }
                Line::Absent { id, absent } => {
                    all.absent.insert(id, absent);
                }
                Line::End { end: true } => return Ok(all),
                other => {
                    return Err(Failure(format!("what the program on Linux said makes no sense: {other:?}")));
                }
            }
        }
        Err(Failure(format!("Linux has ended before the last figure; {}", self.last_line())))
    }
}

fn read(line: &str) -> Result<Line, Failure> {
    match serde_json::from_str(line) {
        Ok(Line::Failed { failed }) => Err(Failure(format!("the measurement on Linux has failed: {failed}"))),
        Ok(line) => Ok(line),
        Err(_) => Err(Failure(format!("what the program on Linux said is not understood: {line}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEGIN: &str = r#"{"release":"6.12","version":"Debian 6.12-1","frequency":62500000}"#;
    const NULL: &str = r#"{"id":"null","operations":100,"overhead":2,"ticks":[3000,2950,9000]}"#;
    const END: &str = r#"{"end":true}"#;

    fn figures(lines: &[&str]) -> Result<LinuxFigures, Failure> {
        let mut listener = Listener::default();
        listener.hear(b"[    0.000000] a warning of the kernel\r\n");
        lines.iter().for_each(|line| listener.hear(format!("{MARK}{line}\r\n").as_bytes()));
        listener.hear(b"[    6.840773] reboot: Power down\r\n");
        listener.figures()
    }

    #[test]
    fn a_figure_is_the_median_of_its_batches_without_the_loop() {
        let all = figures(&[BEGIN, NULL, END]).unwrap();
        assert_eq!((all.release.as_str(), all.version.as_str()), ("6.12", "Debian 6.12-1"));
        assert_eq!(all.instructions("null"), Some(478.0));
        let Figure { min, max, operations, batches, .. } = all.figures["null"];
        assert_eq!((min, max, operations, batches), (470.0, 1438.0, 100, 3));
        assert_eq!(all.instructions("null_round"), None);
    }

    #[test]
    fn one_way_of_a_ping_pong_is_half_of_it() {
        let all = figures(&[BEGIN, r#"{"id":"pipe_round","operations":1,"overhead":0,"ticks":[625]}"#, END])
            .unwrap();
        assert_eq!(all.instructions("pipe_round"), Some(10000.0));
        assert_eq!(all.instructions("pipe"), Some(5000.0));
    }

    #[test]
    fn what_linux_does_not_have_is_no_figure_but_a_reason() {
        let all = figures(&[BEGIN, r#"{"id":"dirty","absent":"too old"}"#, END]).unwrap();
        assert_eq!(all.absent["dirty"], "too old");
        assert_eq!(all.instructions("dirty"), None);
    }

    #[test]
    fn a_refused_call_is_named() {
        let failed = r#"{"failed":"the system call mmap: error 12"}"#;
        for lines in [&[BEGIN, NULL, failed][..], &[failed]] {
            assert!(figures(lines).unwrap_err().0.contains("the system call mmap: error 12"));
        }
    }

    #[test]
    fn a_run_that_breaks_off_has_no_figures() {
        let failure = figures(&[BEGIN, NULL]).unwrap_err();
        assert!(failure.0.contains("before the last figure") && failure.0.contains("Power down"));
        assert!(figures(&[]).unwrap_err().0.contains("did not start the program"));
        assert!(Listener::default().figures().unwrap_err().0.contains("it said nothing"));
        assert!(figures(&[BEGIN, r#"{"id":"nu"#, END]).unwrap_err().0.contains("not understood"));
        let nothing = r#"{"id":"null","operations":0,"overhead":2,"ticks":[]}"#;
        assert!(figures(&[BEGIN, nothing, END]).unwrap_err().0.contains("makes no sense"));
    }
}
