//! The shapes of the 1995 figures, as ratios that must reappear: each computed from the figures, passed or failed. Not here:
//! the budgets (`rows`), flatness in numbers (`scaling`).

use super::figures::Figures;
use super::operations;
use super::rows::Linux;
use serde::Serialize;

/// A shape that is known not to be there.
#[derive(Clone, Copy, Debug)]
pub struct Explanation {
    /// Its number.
    pub shape: u32,
    /// The operations whose figures are contrary to it: these, and no others.
    pub contrary: &'static [&'static str],
    /// Why.
    pub why: &'static str,
}

/// Shapes that are known not to be there. If other operations are contrary than an entry says, or none is, the shape fails,
/// so that the list stays true.
pub const EXPLAINED: &[Explanation] = &[Explanation {
    shape: 7,
    contrary: &["dirty", "prot1", "appel1"],
    why: "a look-up in a hash table takes more instructions than in an array, and what a smaller table saves, \
              misses of caches and of the TLB, is not in a count of instructions (docs/bench.md)",
}];

/// What became of a shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Judgement {
    /// It is there.
    Pass,
    /// It is not.
    Fail,
    /// It is not, for a reason that is known.
    Explained(&'static str),
    /// The figures that it needs are not there; `seen` says why.
    Open,
}

/// A shape.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Shape {
    /// Its number among the nine.
    pub number: u32,
    /// What is to be seen.
    pub expected: String,
    /// What is seen.
    pub seen: String,
    /// Whether it is.
    pub judgement: Judgement,
}

/// What shapes are computed from.
#[derive(Clone, Copy, Debug)]
pub struct Evidence<'a> {
    /// Our figures.
    pub figures: &'a Figures,
    /// Linux's column.
    pub linux: Option<&'a Linux>,
    /// The largest error of a stride scheduler's clients at 3:2:1, in quanta.
    pub stride_error: Option<f64>,
}

/// Exceptions that go to a handler.
const EXCEPTIONS: [&str; 6] =
    ["exc_unalign", "exc_undefined", "exc_breakpoint", "exc_protection", "exc_coproc", "exc_reflected"];

/// All nine, in order.
pub fn judge(evidence: &Evidence<'_>) -> Vec<Shape> {
    vec![
        evidence.null(),
        evidence.exceptions(),
        evidence.transfer(),
        evidence.inlining(),
        later(5, "filter cost is flat in the number of filters", "there are no packet filters yet"),
        later(
            6,
            "handler latency is flat in the number of processes",
            "there are no downloaded handlers yet",
        ),
        evidence.page_tables(),
        evidence.computation(),
        evidence.stride(),
    ]
}

fn later(number: u32, expected: &str, why: &str) -> Shape {
    Shape { number, expected: expected.into(), seen: why.into(), judgement: Judgement::Open }
}

fn shape(number: u32, expected: impl Into<String>, seen: Result<(bool, String), String>) -> Shape {
    let (judgement, seen) = match seen {
        Ok((true, seen)) => (Judgement::Pass, seen),
        Ok((false, seen)) => (Judgement::Fail, seen),
        Err(why) => (Judgement::Open, why),
    };
    Shape { number, expected: expected.into(), seen, judgement }
}

/// A shape that is there if no operation is contrary to it.
fn in_parts(number: u32, expected: &str, seen: Result<(Vec<&str>, String), String>) -> Shape {
    let known = EXPLAINED.iter().find(|explanation| explanation.shape == number);
    let mut shape = shape(number, expected, seen.clone().map(|(contrary, seen)| (contrary.is_empty(), seen)));
    if let (Ok((contrary, _)), Some(known)) = (&seen, known) {
        if contrary == known.contrary {
            shape.judgement = Judgement::Explained(known.why);
        } else {
            shape.judgement = Judgement::Fail;
            shape.seen += "; tools/src/bench/shapes.rs explains something else";
        }
    }
    shape
}

impl Evidence<'_> {
    fn ours(&self, operation: &str) -> Result<f64, String> {
        let found = self.figures.instructions(operation);
        found.map(|count| count as f64).ok_or(format!("no figure of {operation}"))
    }

    fn linux(&self, operation: &str) -> Result<f64, String> {
        let column = self.linux.ok_or("no figures of Linux")?;
        let found = operations::find(operation).and_then(|operation| column.counterpart(operation));
        found.ok_or(format!("no figure of Linux's {operation}"))
    }

    fn null(&self) -> Shape {
        let seen = || {
            let ratio = self.linux("null")? / self.ours("null")?;
            Ok((ratio >= 9.0, format!("{ratio:.1} times")))
        };
        shape(1, "a null call is at least 9 times cheaper than Linux's", seen())
    }

    fn exceptions(&self) -> Shape {
        let seen = || {
            let ours = EXCEPTIONS.iter().map(|kind| self.ours(kind)).collect::<Result<Vec<_>, _>>()?;
            let (least, most) = (min(&ours), max(&ours));
            let within = format!("{least} to {most}");
            if most > 2.0 * least {
                return Ok((false, within));
            }
            // Not every kind has a counterpart.
            let theirs: Vec<_> =
                EXCEPTIONS.iter().filter_map(|k| Some(self.linux(k).ok()? / self.ours(k).ok()?)).collect();
            if theirs.is_empty() {
                return Err(format!("{within}, but no figures of Linux"));
            }
            let seen = format!("{within}, and {:.0} to {:.0} times below", min(&theirs), max(&theirs));
            Ok((min(&theirs) >= 10.0, seen))
        };
        let expected =
            "exceptions are within 2 times of each other, and 1 to 2 orders of magnitude below Linux's";
        shape(2, expected, seen())
    }

    fn transfer(&self) -> Shape {
        let seen = || {
            let (transfer, call) = (self.ours("pct")?, self.ours("null_general")?);
            Ok((transfer <= call, format!("{transfer} and {call}")))
        };
        shape(3, "a protected control transfer is no dearer than a null call with a stack", seen())
    }

    fn inlining(&self) -> Shape {
        let seen = || {
            let (pipe, inlined) = (self.ours("pipe")?, self.ours("pipe_inlined")?);
            let (lrpc, tlrpc) = (self.ours("lrpc")?, self.ours("tlrpc")?);
            let share = tlrpc / lrpc;
            let seen = format!("pipe {pipe}, pipe' {inlined}; tlrpc is {share:.2} of lrpc");
            Ok((inlined < pipe && (0.35..=0.65).contains(&share), seen))
        };
        shape(4, "pipe' costs less than pipe, and tlrpc about half of lrpc (0.35 to 0.65)", seen())
    }

    fn page_tables(&self) -> Shape {
        let seen = || {
            let mut contrary = Vec::new();
            let mut seen = Vec::new();
            let faster = ["dirty", "prot1", "appel1"].map(|name| (name, true));
            for (name, inverted_wins) in faster.into_iter().chain([("prot100", false), ("unprot100", false)])
            {
                let linear = self.ours(&format!("{name}_linear"))?;
                let inverted = self.ours(&format!("{name}_inverted"))?;
                seen.push(format!("{name} {inverted} and {linear}"));
                let (faster, slower) = if inverted_wins { (inverted, linear) } else { (linear, inverted) };
                if faster >= slower {
                    contrary.push(name);
                }
            }
            Ok((contrary, format!("inverted and linear: {}", seen.join(", "))))
        };
        let expected = "an inverted page table is faster than a linear one on dirty, prot1, appel1, slower on (un)prot100";
        in_parts(7, expected, seen())
    }

    fn computation(&self) -> Shape {
        let seen = || {
            let ratio = self.ours("matmul")? / self.linux("matmul")?;
            Ok(((0.98..=1.02).contains(&ratio), format!("{:+.2} %", (ratio - 1.0) * 100.0)))
        };
        shape(8, "raw computation takes the same as on Linux, within 2 %", seen())
    }

    fn stride(&self) -> Shape {
        let seen = self.stride_error.ok_or("the stride scenario was not run".to_string());
        let seen = seen.map(|error| (error <= 1.0, format!("at most {error:.3}")));
        shape(9, "stride at 3:2:1 is never more than one quantum from ideal", seen)
    }
}

fn min(figures: &[f64]) -> f64 {
    figures.iter().copied().fold(f64::INFINITY, f64::min)
}

fn max(figures: &[f64]) -> f64 {
    figures.iter().copied().fold(0.0, f64::max)
}
