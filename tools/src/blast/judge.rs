//! What others had of a failure: each libOS beside itself in the run without failure, and whether it lost anything.
//!
//! Not here: where the figures come from (`windows`), whether the failure happened (`evidence`).

use super::windows::{Figures, Revolutions, Row, Windows, figures, length, rows};
use crate::recording::Recording;
use crate::results::{LibOs, Results};
use serde::Serialize;

/// How much later than in the run without failure a slot may begin and still be as before, in microseconds: so late is one now and then
/// that follows the broker's, when that makes an environment or takes one apart.
const LATE_SLACK_US: u64 = 40;

/// Another libOS, in one run with a failure.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Other {
    /// Its name.
    pub libos: String,
    /// Slots that it had in a revolution, would have kept, as the run without failure shows, and did not have in the next.
    pub lost_slots: u64,
    /// Slots of its own that did not begin as its own, by the broker's count.
    pub missed_slots: u64,
    /// Slots that were taken from it by force.
    pub taken_slots: u64,
    /// Deadlines missed of tasks that it had admitted, in the whole run.
    pub missed_deadlines: u64,
    /// Its figures by window.
    pub windows: [Window; 3],
    /// Revolutions, from the beginning of the failure on, in which something was not as before.
    pub disturbed_revolutions: u64,
    /// Time from the beginning of the failure to the end of the last such revolution, in milliseconds: 0 if there is none, `None` if it is
    /// the run's last.
    pub recovery_ms: Option<f64>,
}

/// A libOS's figures in one window, with the failure and without.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Window {
    /// `before`, `during`, `after`.
    pub name: &'static str,
    /// In the run with the failure.
    pub failed: Figures,
    /// In the same revolutions of the run without.
    pub control: Figures,
}

/// A run and the revolutions in which it is measured.
#[derive(Clone, Copy)]
pub struct Run<'a> {
    /// What happened.
    pub recording: &'a Recording,
    /// Its figures.
    pub results: &'a Results,
}

impl Run<'_> {
    fn libos(&self, name: &str) -> Option<&LibOs> {
        self.results.libos.iter().find(|libos| libos.name == name)
    }
}

impl Other {
    /// What a libOS had in a run with a failure, beside the run without.
    pub fn of(libos: &str, failed: Run<'_>, control: Run<'_>, windows: &Windows) -> Self {
        let (here, there) = (rows(failed.recording, libos), rows(control.recording, libos));
        let known = failed.libos(libos);
        let window = |(name, revolutions): (&'static str, &Revolutions)| Window {
            name,
            failed: figures(failed.recording, libos, &here, revolutions),
            control: figures(control.recording, libos, &there, revolutions),
        };
        let since = windows.during.start..windows.after.end;
        let usual = Usual::of(failed.recording, &there, &here, windows);
        let disturbed: Vec<u64> = since.clone().filter(|at| usual.is_disturbed(&here, &there, *at)).collect();
        Self {
            libos: libos.into(),
            lost_slots: since.clone().map(|at| lost(&here, &there, at)).sum(),
            missed_slots: known.map_or(0, |libos| libos.slots_missed),
            taken_slots: known.map_or(0, |libos| libos.slots_repossessed),
            missed_deadlines: known.map_or(0, |libos| libos.clients.iter().map(|client| client.misses).sum()),
            windows: windows.named().map(window),
            disturbed_revolutions: disturbed.len() as u64,
            recovery_ms: recovery_ms(failed.recording, &since, disturbed.last().copied()),
        }
    }

    /// What it lost, in words; nothing if nobody can complain.
    pub fn complaints(&self) -> Vec<String> {
        let counts = [
            (self.lost_slots, "slots that it had are not there any more"),
            (self.missed_slots, "slots did not begin as its own"),
            (self.taken_slots, "slots were taken from it by force"),
            (self.missed_deadlines, "deadlines of admitted tasks are missed"),
        ];
        let lost = counts.iter().filter(|(count, _)| *count > 0);
        lost.map(|(count, what)| format!("{}: {count} {what}", self.libos)).collect()
    }
}

/// Slots of a revolution that a libOS had in the one before and would still have: without the failure it had as many in this
/// revolution and in those beside it. (What is traded comes a revolution earlier or later.)
fn lost(here: &[Row], there: &[Row], revolution: u64) -> u64 {
    let at = |rows: &[Row], revolution: u64| rows.get(revolution as usize).map_or(0, |row| row.slots);
    let before = revolution.saturating_sub(1);
    let kept = [at(here, before), at(there, before), at(there, revolution), at(there, revolution + 1)];
    kept.into_iter().min().unwrap_or(0).saturating_sub(at(here, revolution))
}

/// The most that is still as before: what a libOS saw without the failure, in the whole run, or before it.
struct Usual {
    late: u64,
    response: u64,
    wait: u64,
}

impl Usual {
    fn of(recording: &Recording, there: &[Row], here: &[Row], windows: &Windows) -> Self {
        let slice = |rows: &[Row], of: Revolutions| -> Vec<Row> {
            of.filter_map(|revolution| rows.get(revolution as usize).copied()).collect()
        };
        let mut all = slice(there, windows.before.start..windows.after.end);
        all.extend(slice(here, windows.before.clone()));
        let most = |of: fn(&Row) -> u64| all.iter().map(of).max().unwrap_or(0);
        let slack = LATE_SLACK_US * recording.frequency / 1_000_000;
        // Who has the CPU when within a slot differs from run to run: a quantum either way is the same.
        Self {
            late: most(|row| row.late) + slack,
            response: most(|row| row.response) + recording.quantum,
            wait: most(|row| row.wait) + recording.quantum,
        }
    }

    /// Whether something of a libOS was not as before in a revolution: it lost a slot or has not got it back, one began late, a
    /// deadline was missed, or a response or a wait was longer than ever.
    fn is_disturbed(&self, here: &[Row], there: &[Row], revolution: u64) -> bool {
        let Some(row) = here.get(revolution as usize) else { return false };
        let slots = |revolution: u64| there.get(revolution as usize).map(|row| row.slots);
        let beside = [revolution.saturating_sub(1), revolution, revolution + 1];
        let least = beside.into_iter().filter_map(slots).min().unwrap_or(0);
        row.slots < least
            || row.late > self.late
            || row.misses > 0
            || row.response > self.response
            || row.wait > self.wait
    }
}

fn recovery_ms(recording: &Recording, since: &Revolutions, last: Option<u64>) -> Option<f64> {
    let Some(last) = last else { return Some(0.0) };
    let revolutions = last + 1 - since.start;
    (last + 1 < since.end).then(|| recording.us(revolutions * length(recording)) / 1000.0)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    fn slots(counts: &[u64]) -> Vec<Row> {
        counts.iter().map(|slots| Row { slots: *slots, ..Row::default() }).collect()
    }

    fn all_lost(here: &[u64], there: &[u64]) -> u64 {
        let (here, there) = (slots(here), slots(there));
        (1..here.len() as u64).map(|at| lost(&here, &there, at)).sum()
    }

    #[test]
    fn a_slot_is_lost_that_one_had_and_would_have_kept() {
        assert_eq!(all_lost(&[4, 4, 3, 3, 4], &[4, 4, 4, 4, 4]), 1);
        assert_eq!(all_lost(&[4, 4, 0, 0, 0], &[4, 4, 4, 4, 4]), 4);
        // Given back here and there, be it a revolution earlier or later.
        for here in [[4, 2, 2, 2, 2], [4, 4, 2, 2, 2], [4, 4, 4, 2, 2]] {
            assert_eq!(all_lost(&here, &[4, 4, 2, 2, 2]), 0, "{here:?}");
        }
        // More than ever, and back to what it would have had.
        assert_eq!(all_lost(&[4, 9, 9, 4, 4], &[4, 4, 4, 4, 4]), 0);
        // A newcomer that gets its slots late never had them.
        assert_eq!(all_lost(&[0, 0, 0, 3, 3], &[0, 3, 3, 3, 3]), 0);
    }

    fn usual() -> Usual {
        Usual { late: 10, response: 100, wait: 50 }
    }

    #[test]
    fn a_revolution_is_disturbed_by_anything_that_is_worse_than_before() {
        let good = Row { slots: 4, late: 10, misses: 0, response: 100, wait: 50 };
        let there = vec![good; 3];
        let is_disturbed = |row: Row| usual().is_disturbed(&[good, row, good], &there, 1);
        assert!(!is_disturbed(good) && !is_disturbed(Row { slots: 9, ..good }));
        for worse in [
            Row { slots: 3, ..good },
            Row { late: 11, ..good },
            Row { misses: 1, ..good },
            Row { response: 101, ..good },
            Row { wait: 51, ..good },
        ] {
            assert!(is_disturbed(worse), "{worse:?}");
        }
    }

    #[test]
    fn recovery_is_counted_from_the_failure_to_the_last_disturbed_revolutions_end() {
        // Four slots of 1000 us.
        let recording = crate::metrics::fixture::turns(&[1], &[0; 40]);
        assert_eq!(recovery_ms(&recording, &(3..9), None), Some(0.0));
        assert_eq!(recovery_ms(&recording, &(3..9), Some(3)), Some(4.0));
        assert_eq!(recovery_ms(&recording, &(3..9), Some(7)), Some(20.0));
        assert_eq!(recovery_ms(&recording, &(3..9), Some(8)), None);
    }

    /// A libOS that lost nothing.
    pub fn unharmed(libos: &str) -> Other {
        let window = |name| Window { name, failed: Figures::default(), control: Figures::default() };
        Other {
            libos: libos.into(),
            lost_slots: 0,
            missed_slots: 0,
            taken_slots: 0,
            missed_deadlines: 0,
            windows: ["before", "during", "after"].map(window),
            disturbed_revolutions: 0,
            recovery_ms: Some(0.0),
        }
    }

    #[test]
    fn each_loss_is_a_complaint() {
        assert_eq!(unharmed("a").complaints(), Vec::<String>::new());
        let all =
            Other { lost_slots: 1, missed_slots: 2, taken_slots: 3, missed_deadlines: 4, ..unharmed("a") };
        assert_eq!(
            all.complaints(),
            [
                "a: 1 slots that it had are not there any more",
                "a: 2 slots did not begin as its own",
                "a: 3 slots were taken from it by force",
                "a: 4 deadlines of admitted tasks are missed",
            ]
        );
    }
}
