//! Calls that do their work and come straight back: null, notify, bind.
#![forbid(unsafe_code)]

use super::peer::{Peer, Role};
use super::{Bench, accepted, counter, refused};
use alloc::string::String;
use libos_core::calls::{self, Events};
use libos_core::page;
use tranche_abi::layout::HANDLE_SELF;
use tranche_abi::{Error, Handle, Kind, Object, Rights, Tick};

/// Measures them.
pub fn measure(bench: &mut Bench) -> Result<(), String> {
    bench.series("null", |_| Ok(accepted(counter::call::<1>([0; 8]))?.cost()))?;
    // The own environment is no machine: refused at once, by the kernel's general path.
    bench.series("null_general", |_| {
        let shot = counter::call::<51>([HANDLE_SELF.0, 1, 0, 0, 0, 0, 0, 0]);
        match shot.reply[0] {
            refused if refused == Error::BadHandle as u64 => Ok(shot.cost()),
            other => Err(alloc::format!("power_off of an environment: {other}")),
        }
    })?;
    bind(bench)?;
    bench.with_peer(Role::Sleep, notify)
}

fn bind(bench: &mut Bench) -> Result<(), String> {
    let own = Object { kind: Kind::Env, index: page::env() as u32 };
    let capability = calls::grant(own, Rights::NOTIFY).map_err(refused("grant"))?;
    bench.series("bind", |_| {
        let shot = accepted(counter::call::<14>([capability.body, capability.mac, 0, 0, 0, 0, 0, 0]))?;
        calls::unbind(Handle(shot.reply[1])).map_err(refused("unbind"))?;
        Ok(shot.cost())
    })
}

/// A notice to an activation that waits: it becomes ready, and its manager, who is the caller, is told.
fn notify(bench: &mut Bench, peer: &Peer) -> Result<(), String> {
    bench.series("notify", |_| {
        calls::yield_to(peer.target(), Tick::NEVER, Events::Ignore).map_err(refused("yield_to"))?;
        page::take_ready();
        Ok(accepted(counter::call::<8>([peer.target().0, 1, 0, 0, 0, 0, 0, 0]))?.cost())
    })
}
