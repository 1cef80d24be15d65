//! Environments that somebody else made, taken over by capabilities: to run them, and to read what they count.
//!
//! Not here: making environments (`spawn`), and ending them: their frames were their maker's, and go back to whoever reclaims it.

use crate::calls;
use crate::frames::Frames;
use crate::mapping::Space;
use crate::spawn::window;
use crate::stats::WorkStats;
use serde::{Deserialize, Serialize};
use tranche_abi::layout::HANDLE_SELF;
use tranche_abi::{ActivationIndex, Capability, Error, Kind, Object, Protection, Rights, Target};

/// What it takes to take an environment over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deed {
    /// Its index.
    pub index: u64,
    /// A capability to it: body and mac.
    env: [u64; 2],
    /// A capability to the frame of its statistics, to read.
    statistics: [u64; 2],
}

impl Deed {
    /// The deed of a child of this environment's.
    pub fn of(child: &crate::spawn::Child) -> Result<Self, Error> {
        let env = Object { kind: Kind::Env, index: child.index as u32 };
        let frame = Object { kind: Kind::Frame, index: child.statistics_frame().0 as u32 };
        let words = |capability: Capability| [capability.body, capability.mac];
        let (env, statistics) = (calls::grant(env, Rights::ALL)?, calls::grant(frame, Rights::READ)?);
        Ok(Self { index: child.index, env: words(env), statistics: words(statistics) })
    }
}

/// An environment that was taken over.
#[derive(Clone, Copy, Debug)]
pub struct Adopted {
    /// Its activation 0.
    pub target: Target,
    /// What it counts.
    pub stats: &'static WorkStats,
}

/// Takes an environment over: from now on the activation `manager` is told of its readiness, as of client `client`.
pub fn adopt(deed: &Deed, frames: &mut Frames, (manager, client): (Target, u64)) -> Result<Adopted, Error> {
    let [env, statistics] = [deed.env, deed.statistics].map(|[body, mac]| Capability { body, mac });
    let target = Target::new(calls::bind(env)?, ActivationIndex(0));
    let address = window(deed.index);
    let mut table = || frames.take(1).map(|run| run.first);
    let mut space = Space { env: HANDLE_SELF, table: &mut table };
    space.with_tables(address, || calls::map_shared(statistics, address, Protection::Read))?;
    calls::set_manager(target, manager, client)?;
    // SAFETY: Just mapped, for as long as the frame is its owner's, who keeps it until this environment is gone; a mailbox begins
    // with its statistics, all of whose fields are atomic, and they fit a page.
    let stats = unsafe { &*core::ptr::with_exposed_provenance::<WorkStats>(address.0 as usize) };
    Ok(Adopted { target, stats })
}
