//! The disk's driver. Which one it is, is the board's to say.
//!
//! The kernel comes here under its ownership lock alone, so nobody ever waits for the one here.
#![forbid(unsafe_code)]

use crate::disk::{Driver, Request, Words};
use spin::mutex::SpinMutex;
use tranche_abi::{DiskFault, Progress};

static DRIVER: SpinMutex<Option<&'static mut dyn Driver>> = SpinMutex::new(None);

/// The machine has a disk. Once, at boot.
pub fn begin(driver: &'static mut dyn Driver) {
    *DRIVER.lock() = Some(driver);
}

/// See [`Driver::begin`].
pub(super) fn begin_transfer(request: Request) {
    if let Some(driver) = DRIVER.lock().as_mut() {
        driver.begin(request);
    }
}

/// See [`Driver::step`].
pub(super) fn step(page: &Words) -> Progress {
    DRIVER.lock().as_mut().map_or(Progress::Failed(DiskFault::NoAnswer), |driver| driver.step(page))
}
