//! Revocation: please, then by a deadline, then by force; and what keeping the CPU too long costs.
//!
//! Not here: giving back, which is `slot_give` and `frame_give` to the asker. The kernel keeps no timer for a demand: the
//! asker comes back after the deadline and names what it seizes. What was taken by force stands in the holder's
//! repossession vector; the holder lives. A few frames, which it has named before it was asked, it keeps; and what a frame
//! held is copied first to one that it has provided for that.
#![forbid(unsafe_code)]

use crate::activation::{increment, stored_frame};
use crate::calls::{Done, nothing, retry};
use crate::environment::{Demanded, EnvId};
use crate::frames::Role;
use crate::kernel::{Entry, Ownership};
use crate::machine::Machine;
use crate::slots::{SlotWord, is_over, own_activation, slot_index};
use core::sync::atomic::Ordering::Relaxed;
use tranche_abi::layout::MAX_CORES;
use tranche_abi::page::{ActivationPage, Demand, REPOSSESSIONS};
use tranche_abi::trace::kind;
use tranche_abi::{
    Core, EVENT_REPOSSESSED, EVENT_REVOKE, Error, Frame, Handle, Kind, Object, Resource, Rights, SlotIndex,
    Target, Tick,
};

/// The place of the demand for frames among an environment's demands; those for slots are at their core's number.
pub const FRAMES: usize = MAX_CORES;

/// How often the CPU may have to be taken from an environment at the end of the grace time before it is destroyed. Who yields
/// within the grace time is never destroyed for it: it delays the slot after by less than that, and pays with later ones.
pub const MAX_STRIKES: u32 = 64;

impl<M: Machine> Entry<'_, M> {
    /// The demand that a call names.
    pub fn which_demand(&self, resource: u64, core: Core) -> Result<usize, Error> {
        match resource {
            r if r == Resource::Frames as u64 => Ok(FRAMES),
            r if r == Resource::Slots as u64 && core.0 < self.kernel.public.cores.load(Relaxed) => {
                Ok(core.0 as usize)
            }
            _ => Err(Error::BadArgument),
        }
    }

    /// `ask`.
    pub fn ask(&mut self, target: Target, which: usize, count: u64, deadline: Tick) -> Result<Done, Error> {
        let count = u32::try_from(count).map_err(|_| Error::BadArgument)?;
        let kernel = self.kernel;
        let Some(own) = kernel.ownership.try_lock() else { return retry() };
        let (env, activation) = self.target(target, Rights::REVOKE)?;
        let state = kernel.env(self.machine, env.index);
        if state.activations[activation as usize].page.load(Relaxed) == 0 {
            return Err(Error::Absent);
        }
        let demand = &state.demands[which];
        demand.count.store(count, Relaxed);
        demand.activation.store(activation as u32, Relaxed);
        demand.deadline.store(deadline.0, Relaxed);
        demand.asker.store(self.me().to_bits(), Relaxed);
        if which == FRAMES {
            self.note_reserve(env, demand);
        }
        self.show_demand(env, which);
        let resource = if which == FRAMES { Resource::Frames } else { Resource::Slots };
        let words = [resource as u64, which as u64 % FRAMES as u64, count.into(), deadline.0];
        self.record((kind::ASKED, env.index, activation.into(), &words));
        if count != 0 {
            self.post(&own, env.index, activation, EVENT_REVOKE);
        }
        nothing()
    }

    /// Notes which frames a demand does not reach. Once for each demand: a holder that changed its mind while frames are
    /// seized one by one could keep more than its number.
    fn note_reserve(&self, env: EnvId, demand: &Demanded) {
        let claimed = &self.demand_page(env, demand).reserve;
        let noted = &self.kernel.env(self.machine, env.index).reserve;
        for (noted, claimed) in noted.iter().zip(claimed) {
            noted.store(claimed.load(Relaxed), Relaxed);
        }
    }

    /// Copies a demand to where its holder sees it.
    fn show_demand(&self, env: EnvId, which: usize) {
        let demand = self.demand(env, which);
        let page = self.demand_page(env, demand);
        let shown: &Demand = if which == FRAMES { &page.frame_demand } else { &page.slot_demand[which] };
        shown.deadline.store(demand.deadline.load(Relaxed), Relaxed);
        shown.count.store(demand.count.load(Relaxed) as u64, Relaxed);
    }

    fn demand(&self, env: EnvId, which: usize) -> &Demanded {
        &self.kernel.env(self.machine, env.index).demands[which]
    }

    fn demand_page(&self, env: EnvId, demand: &Demanded) -> &ActivationPage {
        let activation = demand.activation.load(Relaxed) as usize;
        let state = self.kernel.env(self.machine, env.index);
        self.machine.page(stored_frame(&state.activations[activation].page))
    }

    /// The caller gave `count` resources to `receiver`: a demand of the receiver's is met so far.
    pub fn fulfil(&mut self, which: usize, receiver: EnvId, count: u64) {
        let me = self.me();
        let demand = self.demand(me, which);
        let open = demand.count.load(Relaxed);
        if open != 0 && EnvId::from_bits(demand.asker.load(Relaxed)) == receiver {
            demand.count.store(open.saturating_sub(count as u32), Relaxed);
            self.show_demand(me, which);
        }
    }

    /// The environment that may be made to give `which` up now: it was asked by the caller, and the deadline passed.
    fn overdue(&self, handle: Handle, which: usize) -> Result<EnvId, Error> {
        let env = self.env_behind(handle, Rights::REVOKE)?;
        let demand = self.demand(env, which);
        let asked =
            demand.count.load(Relaxed) != 0 && EnvId::from_bits(demand.asker.load(Relaxed)) == self.me();
        let over = is_over(Tick(demand.deadline.load(Relaxed)), self.now);
        if asked && over { Ok(env) } else { Err(Error::TooEarly) }
    }

    /// `seize_slot`.
    pub fn seize_slot(&mut self, handle: Handle, core: Core, slot: SlotIndex) -> Result<Done, Error> {
        let kernel = self.kernel;
        let Some(own) = kernel.ownership.try_lock() else { return retry() };
        let word = kernel.slot(core, slot)?;
        let env = self.env_behind_any(handle, Rights::REVOKE)?;
        // Who is destroyed can neither be asked nor told.
        let is_alive = kernel.is_alive(env);
        if is_alive {
            self.overdue(handle, core.0 as usize)?;
        }
        if SlotWord::load(word).owner != env.index {
            return Err(Error::NotOwner);
        }
        kernel.move_slot(self.machine, word, (self.me().index, own_activation(core.0 as usize)));
        let object = Object { kind: Kind::Slot, index: slot_index(core.0, slot.0) };
        match is_alive {
            true => self.repossess(&own, env, core.0 as usize, (object, None)),
            false => self.record((kind::SEIZED, env.index, 0, &[object.to_bits().0])),
        }
        nothing()
    }

    /// `seize_frame`.
    pub fn seize_frame(&mut self, handle: Handle, frame: Frame) -> Result<Done, Error> {
        let kernel = self.kernel;
        let Some(mut own) = kernel.ownership.try_lock() else { return retry() };
        let env = self.overdue(handle, FRAMES)?;
        own.frames.check_plain(frame, 1, env.index)?;
        if kernel.env(self.machine, env.index).reserve.iter().any(|kept| kept.load(Relaxed) == frame.0) {
            return Err(Error::Busy);
        }
        own.break_mappings(kernel, self.machine, frame, None);
        let saved = self.save_frame(&own, env, frame);
        self.machine.zero(frame); // what the holder did not give is not for others to read
        own.frames.renew(frame);
        own.frames.transfer(frame, self.me().index, Role::Plain);
        let object = Object { kind: Kind::Frame, index: frame.0 as u32 };
        self.repossess(&own, env, FRAMES, (object, saved));
        nothing()
    }

    /// Copies a frame that is about to be taken to the one that its holder provided, if it did: another plain frame of its own.
    fn save_frame(&self, own: &Ownership, env: EnvId, frame: Frame) -> Option<Frame> {
        let page = self.demand_page(env, self.demand(env, FRAMES));
        let number = page.repossessed.load(Relaxed) as usize % REPOSSESSIONS;
        let place = Frame(page.save_to[number].load(Relaxed));
        let fits = place != frame && own.frames.check_plain(place, 1, env.index).is_ok();
        fits.then(|| {
            self.machine.copy(frame, place);
            place
        })
    }

    /// Notes in the holder's repossession vector what was taken and where its contents are now, and tells it.
    fn repossess(
        &mut self,
        own: &Ownership,
        env: EnvId,
        which: usize,
        (object, saved): (Object, Option<Frame>),
    ) {
        let demand = self.demand(env, which);
        demand.count.fetch_sub(1, Relaxed);
        let activation = demand.activation.load(Relaxed) as u8;
        let page = self.demand_page(env, demand);
        let number = page.repossessed.load(Relaxed) as usize % REPOSSESSIONS;
        page.save_to[number].store(saved.map_or(0, |place| place.0), Relaxed);
        let entry = &page.repossessions[number];
        entry.object.store(object.to_bits().0, Relaxed);
        entry.time.store(self.now.0, Relaxed);
        increment(&page.repossessed);
        self.record((kind::SEIZED, env.index, 0, &[object.to_bits().0]));
        self.show_demand(env, which);
        self.post(own, env.index, activation, EVENT_REPOSSESSED);
    }

    /// The running activation kept the CPU until the end of the grace time. Too often is fatal.
    pub fn strike(&mut self) {
        let Some(body) = self.running().map(|link| link.body) else { return };
        increment(&self.page(&body).excess);
        let debt = self.kernel.envs[body.env().index as usize].debt.load(Relaxed);
        self.record((kind::EXCESS, body.env().index, body.activation().into(), &[debt]));
        let strikes = &self.kernel.public.env_excess[body.env().index as usize];
        if strikes.fetch_add(1, Relaxed) + 1 >= MAX_STRIKES {
            self.end_env(body.env());
            let own = self.kernel.ownership.lock();
            self.tell_manager(&own, body.env().index, body.activation());
        }
    }
}
