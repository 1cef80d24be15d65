//! Who owns each page frame, what it serves as, and where it is mapped.
//!
//! Not here: the calls ([`crate::memory`]). Guarded by the ownership lock. Invariants: a frame is in exactly one
//! environment's list, its owner's; it is mapped in at most `MAX_MAPPINGS` places, and every valid page descriptor of an
//! environment's tables stands in its frame's mappings, so that breaking all bindings of a frame is bounded.
#![forbid(unsafe_code)]

use crate::paging::Descriptor;
use core::ops::Range;
use tranche_abi::layout::{MAX_ENVS, MAX_MAPPINGS};
use tranche_abi::{Error, Frame, Protection};

/// What a frame serves as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Role {
    /// The kernel's, or not memory at all. Never handed out.
    Reserved = 0,
    /// Its owner's to map and give.
    Plain,
    /// An environment's state.
    Env,
    /// An environment's handle table.
    Handles,
    /// An environment's root table.
    Root,
    /// A table of level 2; `mappings[0]` says for which address of its owner.
    Directory,
    /// A table of level 3, likewise.
    Table,
    /// An activation's page: mapped in its environment, pinned.
    Activation,
}

/// A place where a frame is mapped: environment index and page number; or nothing; or the part of an address space for
/// which it is a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mapping(u64);

/// Bit of a [`Mapping`] by which a frame serves as a table.
const AS_TABLE: u64 = 1 << 63;

impl Mapping {
    /// No mapping.
    pub const NONE: Self = Self(0);

    /// At `address` of environment `env`.
    pub const fn new(env: u16, address: u64) -> Self {
        Self((env as u64 + 1) << 40 | address >> 12)
    }

    /// As the table of environment `env` for the part of its space that begins at `address`.
    pub const fn as_table(env: u16, address: u64) -> Self {
        Self(Self::new(env, address).0 | AS_TABLE)
    }

    /// Environment and address, if the frame is mapped there.
    pub const fn place(self) -> Option<(u16, u64)> {
        if self.0 == 0 || self.0 & AS_TABLE != 0 {
            return None;
        }
        Some(((self.0 >> 40) as u16 - 1, (self.0 & 0xff_ffff_ffff) << 12))
    }

    /// Environment and first address, if the frame is a table for them.
    pub const fn covered(self) -> Option<(u16, u64)> {
        if self.0 & AS_TABLE == 0 { None } else { Self(self.0 & !AS_TABLE).place() }
    }
}

/// The link that ends a list.
const END: u32 = u32::MAX;

/// What the kernel knows of one frame. All zeros is a reserved frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct FrameEntry {
    /// Where it is mapped.
    pub mappings: [Mapping; MAX_MAPPINGS],
    next: u32,
    previous: u32,
    /// Which life of the frame its capabilities mean.
    pub generation: u32,
    /// The owning environment's index.
    pub owner: u16,
    /// What it serves as.
    pub role: Role,
}

impl FrameEntry {
    /// A frame that is not handed out.
    pub const RESERVED: Self = Self {
        mappings: [Mapping::NONE; MAX_MAPPINGS],
        next: END,
        previous: END,
        generation: 0,
        owner: 0,
        role: Role::Reserved,
    };

    /// Whether it serves as a table of an address space.
    pub fn is_table(&self) -> bool {
        matches!(self.role, Role::Root | Role::Directory | Role::Table)
    }

    /// Whether it is mapped anywhere, or installed as a table.
    pub fn is_mapped(&self) -> bool {
        self.mappings.iter().any(|&mapping| mapping != Mapping::NONE)
    }
}

/// The frames that one environment owns, newest first.
#[derive(Clone, Copy)]
struct Owned {
    head: u32,
    count: u32,
}

/// The frame table.
pub struct Frames {
    first: u64,
    entries: &'static mut [FrameEntry],
    /// Those that the display shows: owned, given and mapped like others, but nothing of the kernel's is made of them.
    display: Range<u64>,
    owned: [Owned; MAX_ENVS],
}

impl Frames {
    /// Before boot: no frames.
    pub const fn empty() -> Self {
        Self { first: 0, entries: &mut [], display: 0..0, owned: [Owned { head: END, count: 0 }; MAX_ENVS] }
    }

    /// Takes over the table's memory: one entry per frame from `first`, all reserved.
    pub fn begin(&mut self, first: Frame, entries: &'static mut [FrameEntry]) {
        entries.fill(FrameEntry::RESERVED);
        self.first = first.0;
        self.entries = entries;
    }

    /// Notes which frames the display shows.
    pub fn begin_display(&mut self, frames: Range<u64>) {
        self.display = frames;
    }

    /// Whether the display shows a frame.
    pub fn is_shown(&self, frame: Frame) -> bool {
        self.display.contains(&frame.0)
    }

    /// Checks that `count` frames from `first` are `owner`'s, and memory like any other, of which something of the kernel's
    /// can be made.
    pub fn check_memory(&self, first: Frame, count: u64, owner: u16) -> Result<(), Error> {
        self.check_plain(first, count, owner)?;
        let shown = (first.0..first.0 + count).any(|number| self.is_shown(Frame(number)));
        if shown { Err(Error::Busy) } else { Ok(()) }
    }

    /// The descriptor that maps a frame.
    pub fn descriptor(&self, frame: Frame, protection: Protection) -> Descriptor {
        let page = Descriptor::page(frame, protection, protection);
        if self.is_shown(frame) { page.uncached() } else { page }
    }

    fn position(&self, frame: Frame) -> Result<usize, Error> {
        let position = frame.0.checked_sub(self.first).ok_or(Error::BadArgument)?;
        if position < self.entries.len() as u64 { Ok(position as usize) } else { Err(Error::BadArgument) }
    }

    /// What is known of a frame; an error for a number that is no frame's.
    pub fn get(&self, frame: Frame) -> Result<&FrameEntry, Error> {
        Ok(&self.entries[self.position(frame)?])
    }

    /// Checks that `count` frames from `first` are `owner`'s to map and give.
    pub fn check_plain(&self, first: Frame, count: u64, owner: u16) -> Result<(), Error> {
        for number in first.0..first.0.checked_add(count).ok_or(Error::BadArgument)? {
            let entry = self.get(Frame(number))?;
            if entry.role == Role::Reserved || entry.owner != owner {
                return Err(Error::NotOwner);
            }
            if entry.role != Role::Plain {
                return Err(Error::Busy);
            }
        }
        Ok(())
    }

    /// Moves a frame to an owner's list in a new role.
    pub fn transfer(&mut self, frame: Frame, owner: u16, role: Role) {
        let Ok(position) = self.position(frame) else { return };
        if self.entries[position].role != Role::Reserved {
            self.unlink(position);
        }
        let list = &mut self.owned[owner as usize];
        let head = core::mem::replace(&mut list.head, position as u32);
        list.count += 1;
        if head != END {
            self.entries[head as usize].previous = position as u32;
        }
        let entry = &mut self.entries[position];
        (entry.next, entry.previous, entry.owner, entry.role) = (head, END, owner, role);
    }

    fn unlink(&mut self, position: usize) {
        let FrameEntry { next, previous, owner, .. } = self.entries[position];
        let list = &mut self.owned[owner as usize];
        list.count -= 1;
        match previous {
            END => list.head = next,
            before => self.entries[before as usize].next = next,
        }
        if next != END {
            self.entries[next as usize].previous = previous;
        }
    }

    /// The frame that an environment was given last.
    pub fn newest(&self, owner: u16) -> Option<Frame> {
        let head = self.owned[owner as usize].head;
        (head != END).then(|| Frame(self.first + head as u64))
    }

    /// How many frames an environment owns.
    pub fn count(&self, owner: u16) -> u32 {
        self.owned[owner as usize].count
    }

    /// Ends a frame's present life: every capability to it is stale.
    pub fn renew(&mut self, frame: Frame) {
        if let Ok(position) = self.position(frame) {
            self.entries[position].generation = self.entries[position].generation.wrapping_add(1);
        }
    }

    /// Whether one more mapping fits.
    pub fn has_room(&self, frame: Frame) -> bool {
        self.get(frame).is_ok_and(|entry| entry.mappings.contains(&Mapping::NONE))
    }

    /// Notes a mapping. The caller checked that there is room.
    pub fn note(&mut self, frame: Frame, mapping: Mapping) {
        self.replace(frame, Mapping::NONE, mapping);
    }

    /// Strikes a mapping out.
    pub fn strike(&mut self, frame: Frame, mapping: Mapping) {
        self.replace(frame, mapping, Mapping::NONE);
    }

    fn replace(&mut self, frame: Frame, old: Mapping, new: Mapping) {
        let Ok(position) = self.position(frame) else { return };
        let mappings = &mut self.entries[position].mappings;
        if let Some(place) = mappings.iter_mut().find(|mapping| **mapping == old) {
            *place = new;
        }
    }

    /// The frames in an owner's list, for tests that check it.
    #[cfg(test)]
    pub fn list(&self, owner: u16) -> impl Iterator<Item = Frame> {
        let start = self.owned[owner as usize].head;
        let present = |at: u32| (at != END).then_some(at);
        core::iter::successors(present(start), move |&at| present(self.entries[at as usize].next))
            .map(|at| Frame(self.first + at as u64))
    }

    /// Every frame with what is known of it, for tests that check all of them.
    #[cfg(test)]
    pub fn iter(&self) -> impl Iterator<Item = (Frame, &FrameEntry)> {
        self.entries.iter().enumerate().map(|(i, entry)| (Frame(self.first + i as u64), entry))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::boxed::Box;
    use std::vec;

    fn frames(count: usize) -> Frames {
        let mut frames = Frames::empty();
        frames.begin(Frame(100), Box::leak(vec![FrameEntry::RESERVED; count].into_boxed_slice()));
        (0..count).for_each(|i| frames.transfer(Frame(100 + i as u64), 0, Role::Plain));
        frames
    }

    #[test]
    fn a_frame_is_in_its_owners_list_only() {
        let mut frames = frames(5);
        frames.transfer(Frame(102), 7, Role::Plain);
        frames.transfer(Frame(104), 7, Role::Table);
        assert_eq!((frames.count(0), frames.count(7), frames.newest(7)), (3, 2, Some(Frame(104))));
        frames.transfer(Frame(104), 0, Role::Plain);
        assert_eq!((frames.newest(7), frames.newest(0)), (Some(Frame(102)), Some(Frame(104))));
    }

    #[test]
    fn a_frame_number_outside_the_table_is_refused() {
        let frames = frames(5);
        for number in [0, 99, 105, u64::MAX] {
            assert_eq!(frames.check_plain(Frame(number), 1, 0), Err(Error::BadArgument));
        }
        assert_eq!(frames.check_plain(Frame(104), u64::MAX, 0), Err(Error::BadArgument));
    }

    #[test]
    fn the_fifth_mapping_of_a_frame_has_no_room() {
        let mut frames = frames(1);
        for env in 0..4 {
            assert!(frames.has_room(Frame(100)));
            frames.note(Frame(100), Mapping::new(env, 0x5000));
        }
        assert!(!frames.has_room(Frame(100)));
        frames.strike(Frame(100), Mapping::new(2, 0x5000));
        assert!(frames.has_room(Frame(100)));
        assert_eq!(Mapping::new(2, 0x7f_ffff_f000).place(), Some((2, 0x7f_ffff_f000)));
    }

    #[test]
    fn a_table_is_not_mapped_where_it_is_installed() {
        let table = Mapping::as_table(1023, 0x7f_ffe0_0000);
        assert_eq!((table.place(), table.covered()), (None, Some((1023, 0x7f_ffe0_0000))));
        let page = Mapping::new(1023, 0x7f_ffe0_0000);
        assert_eq!((page.place(), page.covered()), (Some((1023, 0x7f_ffe0_0000)), None));
        assert_eq!((Mapping::NONE.place(), Mapping::NONE.covered()), (None, None));
    }
}
