//! What is reported of the machine itself: how its firmware says that it is, and that its display shows the last picture.
#![forbid(unsafe_code)]

use serde::{Deserialize, Serialize};

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

/// What the display did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Picture {
    /// Times that one of its activations drew what was new.
    pub updates: u64,
    /// CPU time that it used for that, over all cores.
    pub ran: u64,
}
