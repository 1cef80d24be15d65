//! What is reported of the machine itself: how its firmware says that it is, and that its display shows the last picture.
#![forbid(unsafe_code)]

use alloc::string::String;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};
use tranche_abi::throttled;

/// How the machine is, as its firmware says. What that does not know is `None`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MachineState {
    /// Thousandths of a degree Celsius.
    pub temperature: Option<u64>,
    /// Bits as in `tranche_abi::throttled`.
    pub throttled: Option<u64>,
    /// The cores' clock as it was measured, in Hz.
    pub clock: Option<u64>,
}

impl From<tranche_abi::MachineState> for MachineState {
    fn from(state: tranche_abi::MachineState) -> Self {
        let tranche_abi::MachineState { temperature, throttled, clock, asked: _ } = state;
        Self { temperature, throttled, clock }
    }
}

/// What held the cores back, in words, by bits of `tranche_abi::throttled`; empty for none.
pub fn held_back_by(bits: u64) -> String {
    let names = [
        (throttled::UNDER_VOLTAGE, "under-voltage"),
        (throttled::CAPPED, "clock capped"),
        (throttled::THROTTLED, "throttled"),
        (throttled::SOFT_LIMIT, "soft temperature limit"),
    ];
    let was = |bit| (bits | bits >> throttled::SINCE_START) & bit != 0;
    let words: Vec<_> = names.into_iter().filter(|(bit, _)| was(*bit)).map(|(_, name)| name).collect();
    words.join(", ")
}

/// What the display did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Picture {
    /// Times that one of its activations drew what was new.
    pub updates: u64,
    /// CPU time that it used for that, over all cores.
    pub ran: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_held_the_cores_back_is_told_in_words_now_or_since_the_start() {
        assert_eq!(held_back_by(0), "");
        assert_eq!(held_back_by(0x5_0001), "under-voltage, throttled");
        assert_eq!(held_back_by(0xa), "clock capped, soft temperature limit");
    }
}
