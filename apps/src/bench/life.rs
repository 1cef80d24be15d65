//! The shortest life of an environment: made, given one activation, destroyed, and everything taken back.
#![forbid(unsafe_code)]

use super::{Bench, counter, refused};
use alloc::string::String;
use libos_core::frames::Run;
use libos_core::mapping::Space;
use libos_core::{calls, layout};
use tranche_abi::layout::ENV_FRAMES;
use tranche_abi::{ActivationIndex, Address, Error, Frame, Handle, Target};

/// Frames of such an environment: its state, two page tables, and the activation's page.
pub const FRAMES: u64 = ENV_FRAMES + 3;

/// Measures it.
pub fn measure(bench: &mut Bench) -> Result<(), String> {
    let run = bench.frames.take(FRAMES).ok_or("no frames")?;
    let measured = bench.series("env_create_destroy", |_| {
        let begin = counter::before();
        let (handle, _) = create(run)?;
        destroy(handle)?;
        Ok(counter::after().since(begin))
    });
    bench.frames.put(run);
    measured
}

/// Makes an environment with one activation, which has nothing to run. Its handle and its index.
pub fn create(run: Run) -> Result<(Handle, u64), String> {
    let (handle, index) = calls::env_create(run.first).map_err(refused("env_create"))?;
    let mut tables = run.first.0 + ENV_FRAMES..run.end() - 1;
    let mut table = || tables.next().map(Frame);
    let target = Target::new(handle, ActivationIndex(0));
    let page = Frame(run.end() - 1);
    let create = || calls::activation_create(target, page);
    Space { env: handle, table: &mut table }
        .with_tables(Address(layout::page_address(0)), create)
        .map_err(refused("activation_create"))?;
    Ok((handle, index))
}

/// Ends an environment and takes back its frames.
pub fn destroy(handle: Handle) -> Result<(), String> {
    calls::env_destroy(handle).map_err(refused("env_destroy"))?;
    loop {
        match calls::env_reclaim(handle) {
            Ok(()) => return Ok(()),
            Err(Error::Again) => {}
            Err(error) => return Err(refused("env_reclaim")(error)),
        }
    }
}
