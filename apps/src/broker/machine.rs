//! How the machine is, at the beginning and at the end of a run: asked of its firmware.
//!
//! Not here: what is made of it (the host's `tools`).
#![forbid(unsafe_code)]

use libos_core::public::view;
use libos_core::report::MachineState;
use libos_core::{calls, page};
use tranche_abi::Error;
use tranche_abi::layout::HANDLE_MACHINE;

/// The part of a second that the firmware may take to answer.
const PATIENCE: u64 = 10;

/// How the machine's firmware says that it is; `None` where there is none that does.
pub fn state() -> Option<MachineState> {
    let deadline = page::now().0 + view().frequency() / PATIENCE;
    loop {
        match calls::machine_state(HANDLE_MACHINE) {
            Ok(state) => return Some(state.into()),
            Err(Error::Again) if page::now().0 < deadline => {}
            Err(_) => return None,
        }
    }
}
