//! `protect`, twice: for pages that an environment owns and maps itself, without a lock, and for all others.
//!
//! Not here: other changes of mappings ([`crate::memory`]). Both change what a descriptor allows, never which frame it
//! names; so a descriptor that is replaced under the ownership lock is replaced whatever happens here meanwhile.
#![forbid(unsafe_code)]

use crate::calls::{Done, nothing, retry};
use crate::frames::Role;
use crate::kernel::{Entry, Ownership};
use crate::machine::{Machine, Space};
use crate::paging::{Descriptor, Pages};
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};
use tranche_abi::{Address, Error, Handle, Protection, ProtectionBits, Rights};

/// Protects pages of an environment that runs here, all of them marked as its own, for reading or for reading and
/// writing. False if there is anything else to it: then nothing was changed, and [`Entry::protect`] does it or says why not.
///
/// All pages are checked, then changed one by one. Where another core changes one of them in between, both changes count,
/// in either order: a page that another activation protects has one of the two protections, and one that is unmapped,
/// given away or seized meanwhile is gone, as if that had come after.
#[inline(never)]
pub fn protect_own<M: Machine>(machine: &M, space: Space, pages: Pages, protection: Protection) -> bool {
    if pages.count == 0 || protection == Protection::ReadExecute {
        return false; // instructions have to be synchronised
    }
    let Some(places) = pages.places(machine, space.root) else { return false };
    let all = places
        .iter()
        .fold(u64::MAX, |all, places| places.iter().fold(all, |all, place| all & place.load(Relaxed)));
    if !Descriptor(all).is_owned() {
        return false;
    }
    for place in places.into_iter().flatten() {
        protect_one(place, protection);
    }
    machine.forget_pages(space.asid, pages.address, pages.count);
    true
}

/// Protects a page, as long as its descriptor is marked.
#[inline(always)]
fn protect_one(place: &AtomicU64, protection: Protection) {
    let mut present = Descriptor::load(place);
    while present.is_owned() {
        let changed = present.protected(protection, protection);
        match place.compare_exchange_weak(present.0, changed.0, Relaxed, Relaxed) {
            Ok(_) => return,
            Err(other) => present = Descriptor(other),
        }
    }
}

impl<M: Machine> Entry<'_, M> {
    /// `protect`.
    pub fn protect(
        &mut self,
        handle: Handle,
        address: Address,
        count: u64,
        protection: ProtectionBits,
    ) -> Result<Done, Error> {
        let protection = Protection::from_bits(protection).ok_or(Error::BadArgument)?;
        let pages = Pages::checked(address.0, count).ok_or(Error::BadArgument)?;
        let Some(own) = self.kernel.ownership.try_lock() else { return retry() };
        let env = self.env_behind(handle, Rights::CONTROL)?;
        let space = self.kernel.space(self.machine, env.index);
        let me = self.me().index;
        for (_, place) in pages.each(self.machine, space.root) {
            let present = Descriptor::load(place.ok_or(Error::NoTable)?);
            own.check_protection(present, protection, me)?;
        }
        for place in pages.each(self.machine, space.root).filter_map(|(_, place)| place) {
            let present = Descriptor::load(place);
            let limit = if own.is_plain_of(present, me) { protection } else { present.limit() };
            if protection == Protection::ReadExecute {
                self.machine.sync_code(present.frame());
            }
            present.protected(protection, limit).store(place);
        }
        self.machine.forget_pages(space.asid, pages.address, pages.count);
        nothing()
    }
}

impl Ownership {
    /// Checks that a page is there, and that somebody may protect it so: anyhow as the owner of a plain frame, otherwise for
    /// reading, or as the mapper allowed.
    fn check_protection(&self, page: Descriptor, protection: Protection, who: u16) -> Result<(), Error> {
        if !page.is_valid() {
            return Err(Error::Absent);
        }
        let allowed = protection == Protection::Read || protection == page.limit();
        if allowed || self.is_plain_of(page, who) { Ok(()) } else { Err(Error::NoRight) }
    }

    fn is_plain_of(&self, page: Descriptor, owner: u16) -> bool {
        self.frames.get(page.frame()).is_ok_and(|entry| entry.role == Role::Plain && entry.owner == owner)
    }
}
