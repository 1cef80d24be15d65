//! The experiment's scenario: one libOS that fails, and one of each kind that could suffer from it. Not here: what is measured.

use libos_core::scenario::{End, Failure};

/// Who fails.
pub const VICTIM: &str = "victim";
/// Who guarantees deadlines.
pub const DEADLINES: &str = "deadlines";

/// When what happens, in milliseconds after the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Times {
    /// The failure begins.
    pub fails: u32,
    /// A visitor arrives that outbids the victim and others, so that slots are asked back.
    pub arrives: u32,
    /// It leaves.
    pub leaves: u32,
    /// The failure ends, of those that can.
    pub mended: u32,
    /// The run ends.
    pub end: u32,
}

impl Times {
    /// For figures.
    pub const WHOLE: Self = Self { fails: 1000, arrives: 1200, leaves: 1700, mended: 2000, end: 3000 };
    /// To see that it works.
    pub const QUICK: Self = Self { fails: 450, arrives: 450, leaves: 750, mended: 700, end: 950 };
}

/// The scenario in which the victim fails so; in which it does not, for the run that the others are compared with.
///
/// Every slot of `deadlines` follows one of the victim's, because both choose first and the victim is first in the file: who
/// keeps the CPU too long harms nobody more. Its task on each core needs nearly all that these slots are sure to supply.
pub fn scenario(failure: Option<Failure>, times: &Times) -> String {
    let Times { fails, arrives, leaves, mended, end } = times;
    let name = failure.map_or(CONTROL, Failure::word);
    let mut fields = String::new();
    if let Some(failure) = failure {
        fields += &format!("fails = \"{}\"\nfails_ms = {fails}\n", failure.word());
        if failure.end() == End::Itself {
            fields += &format!("mended_ms = {mended}\n");
        }
    }
    TEMPLATE
        .replace("NAME", name)
        .replace("END", &end.to_string())
        .replace("FAILS\n", &fields)
        .replace("ARRIVES", &arrives.to_string())
        .replace("LEAVES", &leaves.to_string())
}

/// The name of the run in which nobody fails.
pub const CONTROL: &str = "control";

const TEMPLATE: &str = r#"# What others have of a scheduler that fails: docs/blast.md.

name = "NAME"
duration_ms = END
cores = 2
quantum_us = 1000
slots = 50
seed = 1

[broker]
mode = "market"
slots = 2
patience_ms = 100

# --- who fails -------------------------------------------------------------------------------------------------------

[[libos]]
name = "victim"
policy = "stride"
income = 100
want = 16
minimum = 12
FAILS

[[libos.clients]]
name = "a"
program = "sha256"
tickets = 2
replicate = true

[[libos.clients]]
name = "b"
program = "matmul"
tickets = 1
replicate = true

# --- deadlines that are guaranteed, from slots each of which follows one of the victim's -----------------------------

[[libos]]
name = "deadlines"
policy = "edf"
want = 12
minimum = 12

[[libos.clients]]
name = "tight"
program = "spin"
budget_us = 10800
work_us = 10750
period_us = 50000
replicate = true

# --- users who wait for answers --------------------------------------------------------------------------------------

[[libos]]
name = "answers"
policy = "rate-monotonic"
admission = "off"
want = 6
minimum = 6

[[libos.clients]]
name = "user"
program = "spin"
arrivals = "interactive"
budget_us = 800
think_us = 15000
replicate = true

# --- shares of slots that nobody can outbid --------------------------------------------------------------------------

[[libos]]
name = "shares"
policy = "stride"
want = 8
minimum = 8

[[libos.clients]]
name = "a"
program = "sha256"
tickets = 3
replicate = true

[[libos.clients]]
name = "b"
program = "matmul"
tickets = 2
replicate = true

[[libos.clients]]
name = "c"
program = "compress"
tickets = 1
replicate = true

# --- who bids against the victim -------------------------------------------------------------------------------------

[[libos]]
name = "bidder"
policy = "stride"
income = 100
want = 14
minimum = 2

[[libos.clients]]
name = "a"
program = "sha256"
tickets = 2
replicate = true

[[libos.clients]]
name = "b"
program = "matmul"
tickets = 1
replicate = true

# --- who outbids both for a while, so that slots are asked back while the failure lasts ------------------------------

[[libos]]
name = "visitor"
policy = "stride"
income = 400
want = 6
arrives_ms = ARRIVES
leaves_ms = LEAVES

[[libos.clients]]
name = "a"
program = "sha256"
tickets = 2
replicate = true

[[libos.clients]]
name = "b"
program = "sha256"
tickets = 1
replicate = true
"#;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::parse;

    #[test]
    fn every_failure_has_a_good_scenario_that_differs_from_the_control_in_the_failure_alone() {
        for times in [Times::WHOLE, Times::QUICK] {
            let control = parse(&scenario(None, &times), None, None).unwrap();
            for (word, failure) in Failure::NAMES {
                let mut other = parse(&scenario(Some(failure), &times), None, None).unwrap();
                let victim = other.libos.iter_mut().find(|libos| libos.name == VICTIM).unwrap();
                let fails = victim.fails.take().unwrap();
                assert_eq!((fails.how, fails.from_ms), (failure, times.fails));
                assert_eq!(fails.until_ms.is_some(), failure.end() == End::Itself);
                assert_eq!(other.name, word);
                other.name = CONTROL.into();
                assert_eq!(other, control);
            }
        }
    }
}
