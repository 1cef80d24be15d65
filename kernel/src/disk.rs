//! Disk extents: who owns which blocks, and the one page that is on its way.
//!
//! Not here: any driver ([`Driver`] is what one does), what is on the disk, and waiting: an application makes step after step,
//! and waits between them as it likes. Guarded by the ownership lock. Invariants: an extent lies in the one that it was
//! narrowed from; a page moves only between the blocks of an extent and a frame that were both checked in the same call.
#![forbid(unsafe_code)]

use crate::calls::{Done, nothing, retry, values};
use crate::capability::GENERATION_MASK;
use crate::environment::{EnvId, FIRST};
use crate::kernel::{Entry, Kernel, Ownership};
use crate::machine::Machine;
use core::sync::atomic::{AtomicU32, Ordering::Relaxed};
use tranche_abi::layout::{MAX_EXTENTS, PAGE_BLOCKS, PAGE_SIZE};
use tranche_abi::{Direction, Error, Frame, Handle, Kind, Object, ObjectBits, Progress, Rights, Tick};

/// Seconds after which a transfer that is not done may be broken off by whoever wants the disk next. A card may be busy for half
/// a second (SD Physical Layer, 4.6.2), and who steps seldom needs longer than one who does not.
const OVERDUE_SECONDS: u64 = 2;

/// A page's memory, as a driver sees it.
pub type Words = [AtomicU32; PAGE_SIZE as usize / 4];

/// What is to be moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request {
    /// The first of `PAGE_BLOCKS` blocks, counted from the disk's beginning.
    pub block: u64,
    /// Which way.
    pub direction: Direction,
}

/// What drives a disk. Each function takes a bounded time and waits for nothing.
pub trait Driver: Send {
    /// Blocks that the disk has.
    fn blocks(&self) -> u64;
    /// From now on this is to be moved, and whatever was under way is not.
    fn begin(&mut self, request: Request);
    /// Goes on: moves at most a block between the disk and the page, or looks whether that is possible.
    fn step(&mut self, page: &Words) -> Progress;
}

/// Some of the disk's blocks, under a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// The first block, counted from the disk's beginning.
    pub first: u64,
    /// How many; 0 for a name that stands for nothing.
    pub count: u64,
    /// Whose it is.
    pub owner: EnvId,
    /// Who named it, and may drop it as well.
    pub namer: EnvId,
    /// Which life of the name capabilities mean.
    pub generation: u32,
}

/// A page that is on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transfer {
    /// Who moves it.
    pub env: EnvId,
    /// In which extent, in which life.
    pub extent: (u32, u32),
    /// Which way.
    pub direction: Direction,
    /// From when on others may break it off.
    pub overdue: Tick,
}

/// The disk.
pub struct Disk {
    /// By index in capabilities. The first is the whole disk.
    pub extents: [Extent; MAX_EXTENTS],
    /// What is being moved.
    pub transfer: Option<Transfer>,
}

const NOBODY: EnvId = EnvId { index: FIRST, generation: 0 };

impl Disk {
    /// No disk.
    pub const fn none() -> Self {
        let vacant = Extent { first: 0, count: 0, owner: NOBODY, namer: NOBODY, generation: 0 };
        Self { extents: [vacant; MAX_EXTENTS], transfer: None }
    }

    /// A disk of so many blocks becomes its owner's as a whole.
    pub fn begin(&mut self, blocks: u64, owner: EnvId) {
        self.extents[0] = Extent { first: 0, count: blocks, owner, namer: owner, generation: 1 };
    }

    /// The extent of an index, if it stands for something.
    pub fn extent(&self, index: u32) -> Option<&Extent> {
        self.extents.get(index as usize).filter(|extent| extent.count > 0)
    }

    /// The same for its owner.
    pub fn owned(&self, index: u32, me: EnvId) -> Result<&Extent, Error> {
        let extent = self.extent(index).ok_or(Error::BadArgument)?;
        if extent.owner == me { Ok(extent) } else { Err(Error::NotOwner) }
    }

    /// Makes every capability to an extent stale.
    pub fn renew(&mut self, index: u32) {
        let generation = &mut self.extents[index as usize].generation;
        *generation = generation.wrapping_add(1) & GENERATION_MASK;
    }

    /// The name stands for nothing from now on.
    fn forget(&mut self, index: u32) {
        self.renew(index);
        self.extents[index as usize].count = 0;
    }

    /// Frees what an environment owned that is no more.
    pub fn forget_owner(&mut self, dead: EnvId) {
        for index in 1..MAX_EXTENTS as u32 {
            if self.extent(index).is_some_and(|extent| extent.owner == dead) {
                self.forget(index);
            }
        }
    }

    fn vacant(&self) -> Result<u32, Error> {
        (1..MAX_EXTENTS as u32).find(|index| self.extent(*index).is_none()).ok_or(Error::Full)
    }
}

impl Extent {
    /// The first block, on the disk, of `count` blocks from the extent's block `first` on, if it has them.
    fn part(&self, first: u64, count: u64) -> Result<u64, Error> {
        let fits = first.checked_add(count).is_some_and(|end| end <= self.count);
        if fits && count > 0 { Ok(self.first + first) } else { Err(Error::BadArgument) }
    }
}

impl<M: Machine> Entry<'_, M> {
    /// `extent_narrow`.
    pub fn extent_narrow(
        &mut self,
        object: ObjectBits,
        (first, count): (u64, u64),
        handle: Handle,
    ) -> Result<Done, Error> {
        let index = extent_index(object)?;
        let Some(mut own) = self.kernel.ownership.try_lock() else { return retry() };
        let first = own.disk.owned(index, self.me())?.part(first, count)?;
        let owner = self.env_behind(handle, Rights::GIVE)?;
        let index = own.disk.vacant()?;
        own.disk.renew(index);
        let generation = own.disk.extents[index as usize].generation;
        own.disk.extents[index as usize] = Extent { first, count, owner, namer: self.me(), generation };
        values([Object { kind: Kind::Extent, index }.to_bits().0, 0, 0, 0])
    }

    /// `extent_drop`.
    pub fn extent_drop(&mut self, object: ObjectBits) -> Result<Done, Error> {
        let index = extent_index(object)?;
        let Some(mut own) = self.kernel.ownership.try_lock() else { return retry() };
        let extent = own.disk.extent(index).ok_or(Error::BadArgument)?;
        if extent.owner != self.me() && extent.namer != self.me() {
            return Err(Error::NotOwner);
        }
        if index == 0 {
            return Err(Error::BadArgument);
        }
        own.disk.forget(index);
        nothing()
    }

    /// `disk_begin`.
    pub fn disk_begin(&mut self, handle: Handle, page: u64, direction: u64) -> Result<Done, Error> {
        let direction = Direction::from_register(direction).ok_or(Error::BadArgument)?;
        let Some(mut own) = self.kernel.ownership.try_lock() else { return retry() };
        let (index, extent) = self.extent_behind(&own, handle, needed(direction))?;
        let block = extent.part(page.checked_mul(PAGE_BLOCKS).ok_or(Error::BadArgument)?, PAGE_BLOCKS)?;
        if self.kernel.is_under_way(&own, self.now) {
            return Err(Error::Busy);
        }
        let patience = OVERDUE_SECONDS * self.kernel.public.frequency.load(Relaxed);
        own.disk.transfer = Some(Transfer {
            env: self.me(),
            extent: (index, extent.generation),
            direction,
            overdue: self.now.saturating_add(Tick(patience)),
        });
        self.machine.disk_begin(Request { block, direction });
        nothing()
    }

    /// `disk_step`.
    pub fn disk_step(&mut self, handle: Handle, frame: Frame) -> Result<Done, Error> {
        let Some(mut own) = self.kernel.ownership.try_lock() else { return retry() };
        let (index, extent) = self.extent_behind(&own, handle, Rights(0))?;
        let here = (self.me(), (index, extent.generation));
        let mine = own.disk.transfer.filter(|transfer| (transfer.env, transfer.extent) == here);
        let transfer = mine.ok_or(Error::Absent)?;
        self.extent_behind(&own, handle, needed(transfer.direction))?;
        own.frames.check_plain(frame, 1, self.me().index)?;
        let progress = self.machine.disk_step(frame);
        if let Progress::Done | Progress::Failed(_) = progress {
            own.disk.transfer = None;
        }
        let [progress, fault] = progress.to_values();
        values([progress, fault, 0, 0])
    }

    /// The extent behind a handle of the caller's, in the life that the handle means, with these rights.
    fn extent_behind(&self, own: &Ownership, handle: Handle, needed: Rights) -> Result<(u32, Extent), Error> {
        let claim = self.my_handles().get(handle)?;
        if claim.object.kind != Kind::Extent {
            return Err(Error::BadHandle);
        }
        let extent = own.present_extent(claim.object.index, claim.generation)?;
        if claim.rights.covers(needed) { Ok((claim.object.index, *extent)) } else { Err(Error::NoRight) }
    }
}

impl Kernel {
    /// Whether a page is on its way whose owner may go on: the environment lives, its extent is as it was, and it is not overdue.
    fn is_under_way(&self, own: &Ownership, now: Tick) -> bool {
        own.disk.transfer.is_some_and(|transfer| {
            let (index, generation) = transfer.extent;
            self.is_alive(transfer.env)
                && own.present_extent(index, generation).is_ok()
                && now < transfer.overdue
        })
    }
}

impl Ownership {
    /// The extent of an index, in the life that a claim means.
    pub fn present_extent(&self, index: u32, generation: u32) -> Result<&Extent, Error> {
        self.disk.extent(index).filter(|extent| extent.generation == generation).ok_or(Error::Stale)
    }
}

const fn needed(direction: Direction) -> Rights {
    match direction {
        Direction::Read => Rights::READ,
        Direction::Write => Rights::WRITE,
    }
}

fn extent_index(object: ObjectBits) -> Result<u32, Error> {
    let object = Object::from_bits(object).filter(|object| object.kind == Kind::Extent);
    object.map(|object| object.index).ok_or(Error::BadArgument)
}
