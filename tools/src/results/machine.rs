//! What the results say of the machine itself: clock, temperature, whether it was held back; and of its display.
//!
//! Not here: that a run on a machine that was held back is no good (`verdict`, `trace::load`).

use super::us;
use libos_core::report::{MachineState, Picture};
use serde::Serialize;
use tranche_abi::throttled;

/// How the machine was. What its firmware does not say is `null`.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct MachineResults {
    /// The cores' clock, measured when the run began.
    pub clock_hz_begin: Option<u64>,
    /// The same at its end.
    pub clock_hz_end: Option<u64>,
    /// Degrees Celsius when the run began.
    pub temperature_c_begin: Option<f64>,
    /// The same at its end.
    pub temperature_c_end: Option<f64>,
    /// What held the cores back, from the machine's start to the run's end, as the firmware's bits; 0 for nothing.
    pub throttled: Option<u64>,
}

impl MachineResults {
    /// From what was reported at a run's beginning and end; `None` if nothing was.
    pub fn of(begin: Option<MachineState>, end: Option<MachineState>) -> Option<Self> {
        begin.or(end)?;
        let (begin, end) = (begin.unwrap_or_default(), end.unwrap_or_default());
        let celsius = |state: MachineState| state.temperature.map(|thousandths| thousandths as f64 / 1000.0);
        Some(Self {
            clock_hz_begin: begin.clock,
            clock_hz_end: end.clock,
            temperature_c_begin: celsius(begin),
            temperature_c_end: celsius(end),
            throttled: held_back(begin, end),
        })
    }
}

/// All bits of what held the cores back, at either time; `None` if the firmware never said.
pub fn held_back(begin: MachineState, end: MachineState) -> Option<u64> {
    let bits = begin.throttled.into_iter().chain(end.throttled);
    bits.reduce(|all, more| all | more).map(|bits| bits & throttled::ALL)
}

/// What the display did.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DisplayResults {
    /// Times that a part of it was drawn anew.
    pub updates: u64,
    /// CPU time that this took.
    pub ran_us: u64,
}

impl DisplayResults {
    /// From what was reported.
    pub fn of(picture: Picture, frequency: u64) -> Self {
        Self { updates: picture.updates, ran_us: us(picture.ran, frequency) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_held_a_machine_back_at_any_time_is_in_its_results() {
        let state = |throttled| Some(MachineState { throttled, temperature: Some(48_312), clock: Some(7) });
        let of = |begin, end| MachineResults::of(begin, end).unwrap().throttled;
        assert_eq!(MachineResults::of(None, None), None);
        assert_eq!([of(state(None), None), of(state(Some(0)), state(None))], [None, Some(0)]);
        assert_eq!(of(state(Some(0x1_0000)), state(Some(0x100f_0004))), Some(0xf_0004));
        let results = MachineResults::of(None, state(None)).unwrap();
        assert_eq!((results.temperature_c_begin, results.temperature_c_end), (None, Some(48.312)));
    }
}
