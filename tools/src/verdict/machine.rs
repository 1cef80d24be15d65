//! What is expected of the machine itself while a run lasts. Not here: that it is the one asked for (`super`).

use super::Lines;
use crate::results::machine::held_back;
use libos_core::report::{Start, held_back_by};

impl Lines<'_> {
    /// The firmware let the cores run at their speed, if there is one that says so.
    pub(super) fn held_back(&mut self, start: &Start) {
        let states = (start.state.unwrap_or_default(), self.outcome.end_state.unwrap_or_default());
        if let Some(bits) = held_back(states.0, states.1) {
            let by = if bits == 0 { "nothing".into() } else { held_back_by(bits) };
            self.line("nothing held the cores back", format!("{by} ({bits:#x})"), bits == 0);
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::outcome::Outcome;
    use crate::verdict::fixture::{machine, scenario};
    use crate::verdict::judge;
    use crate::verdict::tests::{failed, outcome};
    use libos_core::report::{MachineState, Record};

    #[test]
    fn a_machine_that_was_held_back_fails_and_one_that_says_nothing_is_not_asked() {
        let with = |begin: Option<u64>, end: Option<u64>| {
            let state = |throttled| Some(MachineState { throttled, ..MachineState::default() });
            outcome(|record| match record {
                Record::Start(start) => start.state = state(begin),
                Record::End { state: at_end, .. } => *at_end = state(end),
                _ => {}
            })
        };
        let said = "nothing held the cores back | throttled (0x40000)";
        assert_eq!(failed(&with(Some(0), Some(0x4_0000))), [said]);
        assert_eq!(failed(&with(Some(0x4_0000), None)), [said]);
        assert_eq!(failed(&with(Some(0), Some(0))), [""; 0]);
        let lines = |outcome: &Outcome| judge(&scenario(), &machine(), outcome).len();
        assert_eq!(lines(&with(None, None)) + 1, lines(&with(Some(0), None)));
    }
}
