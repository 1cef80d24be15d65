//! `protect`, twice: for pages that an environment owns and maps itself, without a lock, and for all others.
//!
//! Not here: other changes of mappings ([`crate::memory`]). Both change what a descriptor allows, never which frame it
//! names; so a descriptor that is replaced under the ownership lock is replaced whatever happens here meanwhile.
#![forbid(unsafe_code)]

use crate::calls::{Done, nothing, retry};
use crate::frames::Role;
use crate::kernel::{Entry, Ownership};
use crate::machine::{Machine, Space};
use crate::paging::{self, Descriptor, Pages};
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};
use tranche_abi::{Address, Error, Handle, Protection, ProtectionBits, Rights};

/// What an owner's page becomes that is protected for reading, and for reading and writing.
const READ: Descriptor = Descriptor::NONE.protected(Protection::Read, Protection::Read);
const WRITE: Descriptor = Descriptor::NONE.protected(Protection::ReadWrite, Protection::ReadWrite);

/// Descriptors that a loop handles at a time, so that its own instructions count little.
const STEP: usize = 8;

/// Protects `pages` (address and count, unchecked) of an environment that runs here, for reading or for reading and
/// writing, if all of them are marked as its own. False if there is anything else to it: then nothing was changed, and
/// the call `protect` does it or says why not.
///
/// All pages are checked, then changed one by one. Where another core changes one of them in between, both changes count,
/// in either order: a page that another activation protects has one of the two protections, and one that is unmapped,
/// given away or seized meanwhile is gone, as if that had come after.
#[inline(always)]
pub fn protect_own<M: Machine>(
    machine: &M,
    space: Space,
    (address, count): (u64, u64),
    protection: ProtectionBits,
) -> bool {
    let to = match protection.0 {
        0 => READ,
        1 => WRITE,
        _ => return false, // instructions would have to be synchronised
    };
    if count == 1 {
        protect_one(machine, space, address, to)
    } else {
        protect_all(machine, space, (address, count), to)
    }
}

#[inline(always)]
fn protect_one<M: Machine>(machine: &M, space: Space, address: u64, to: Descriptor) -> bool {
    let place = Pages::checked(address, 1).and_then(|_| paging::place(machine, space.root, address));
    let done = place.is_some_and(|place| change(place, to));
    if done {
        machine.forget_pages(space.asid, address, 1);
    }
    done
}

#[inline(never)]
fn protect_all<M: Machine>(machine: &M, space: Space, (address, count): (u64, u64), to: Descriptor) -> bool {
    let Some(pages) = Pages::checked(address, count) else { return false };
    let Some([head, tail]) = pages.places(machine, space.root) else { return false };
    if !are_owned(head) || !are_owned(tail) {
        return false;
    }
    change_all(head, to);
    change_all(tail, to);
    machine.forget_pages(space.asid, address, count);
    true
}

/// Whether all of these descriptors are marked.
#[inline(always)]
fn are_owned(places: &[AtomicU64]) -> bool {
    let (steps, rest) = places.as_chunks::<STEP>();
    let and = |all: u64, place: &AtomicU64| all & place.load(Relaxed);
    let all = steps.iter().fold(u64::MAX, |all, step| step.iter().fold(all, and));
    Descriptor(rest.iter().fold(all, and)).is_owned()
}

#[inline(always)]
pub(crate) fn change_all(places: &[AtomicU64], to: Descriptor) {
    let (steps, rest) = places.as_chunks::<STEP>();
    for step in steps {
        step.iter().for_each(|place| _ = change(place, to));
    }
    rest.iter().for_each(|place| _ = change(place, to));
}

/// Gives a page the protection of `to`, as long as its descriptor is marked; false if it is not. Only the very descriptor
/// that was seen marked is replaced: another core may be mapping another frame there.
#[inline(always)]
fn change(place: &AtomicU64, to: Descriptor) -> bool {
    Descriptor::amend(place, |present| present.is_owned().then(|| present.with_protection_of(to)))
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
