//! The account of what a fuzzer must leave as it was: frames, environments, handles, slots.
//!
//! Not here: who compares (`supervisor`, and the host).
#![forbid(unsafe_code)]

use alloc::vec::Vec;
use libos_core::calls;
use libos_core::frames::{Frames, Run};
use libos_core::page;
use libos_core::public::{EnvState, view};
use libos_core::report::FuzzAccount;
use tranche_abi::layout::{MAX_ENVS, MAX_HANDLES};
use tranche_abi::{Core, Error, Frame, Handle, Kind, Object, Rights};

/// What a frame is to this environment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Holding {
    /// Its own, and free to use.
    Own,
    /// Its own, and in use as a page table or the like.
    InUse,
    /// Somebody else's.
    Lost,
}

fn holding(frame: u64) -> Holding {
    let object = Object { kind: Kind::Frame, index: frame as u32 };
    match calls::grant(object, Rights::READ) {
        Ok(_) => Holding::Own,
        Err(Error::Busy) => Holding::InUse,
        Err(_) => Holding::Lost,
    }
}

/// The frames of `run` that can be used, and how many are lost.
pub fn usable(run: Run) -> (Frames, u64) {
    let mut frames = Frames::default();
    let mut lost = 0;
    let mut begin = run.first.0;
    for frame in run.first.0..=run.end() {
        // Whole runs at a time: putting single frames one by one would sort them in again and again.
        let holding = if frame < run.end() { holding(frame) } else { Holding::InUse };
        if holding != Holding::Own {
            frames.put(Run { first: Frame(begin), count: frame - begin });
            begin = frame + 1;
            lost += u64::from(holding == Holding::Lost);
        }
    }
    (frames, lost)
}

/// The account now, of an environment that was given the frames of `run`.
pub fn take(run: Run) -> FuzzAccount {
    FuzzAccount {
        frames: run.count - usable(run).1,
        environments: environments(),
        handles: free_handles(),
        slots: slots(),
    }
}

/// Environments that there are, on the whole machine.
pub fn environments() -> u64 {
    let view = view();
    (0..MAX_ENVS as u64).filter(|env| view.env_state(*env) != EnvState::Free).count() as u64
}

/// Slots of this environment's, over all cores.
pub fn slots() -> u64 {
    let view = view();
    (0..view.cores()).map(|core| view.owned_slots(Core(core), page::env()).count() as u64).sum()
}

/// Handles that can be bound until there is no room for more.
fn free_handles() -> u64 {
    let own = Object { kind: Kind::Env, index: page::env() as u32 };
    let Ok(capability) = calls::grant(own, Rights::NOTIFY) else { return 0 };
    let bound: Vec<Handle> = (0..MAX_HANDLES).map_while(|_| calls::bind(capability).ok()).collect();
    for handle in &bound {
        // Just bound.
        let _ = calls::unbind(*handle);
    }
    bound.len() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_nothing_is_granted_every_frame_is_lost() {
        let run = Run { first: Frame(10), count: 5 };
        let (frames, lost) = usable(run);
        assert_eq!((frames.free(), lost), (0, 5));
        assert_eq!(take(run).frames, 0);
    }
}
