//! What must be true of the whole state after every event: the invariants of the architecture that portable code can break.
//!
//! Not here: what an event is for. Some are about change, so the checker remembers the state after the event before: a
//! translation that a TLB may have kept must still be in the tables, a new one needs somebody who may make it, and a frame
//! that changed hands is mapped nowhere but where its new owner is.
#![forbid(unsafe_code)]

use super::fake::{CORES, Cached, Fake, FakeCore};
use super::world::{DEVICES, FIRST_RING, SHOWN};
use crate::activation::{page_address, stored_frame};
use crate::capability::GENERATION_MASK;
use crate::disk::Extent;
use crate::environment::{EnvId, asid};
use crate::frames::{FrameEntry, Role};
use crate::kernel::{Kernel, Ownership};
use crate::ledger;
use crate::machine::Machine;
use crate::paging::{self, Descriptor};
use crate::slots::SlotWord;
use core::sync::atomic::Ordering::Relaxed;
use std::vec;
use std::vec::Vec;
use tranche_abi::layout::{MAX_ACTIVATIONS, MAX_ENVS, MAX_EXTENTS, PAGE_BLOCKS, PUBLIC_BASE};
use tranche_abi::public::env_state;
use tranche_abi::trace::RING_PAGES;
use tranche_abi::{Call, Capability, Frame, Kind, Protection, Rights};

/// Who caused an event, and the call if it was one.
#[derive(Clone, Copy, Debug)]
pub struct By {
    pub env: u16,
    pub call: Option<Call>,
}

/// What is remembered from event to event.
pub struct Checker {
    /// All frames as they were.
    entries: Vec<FrameEntry>,
    /// Each frame's owner and generation.
    lives: Vec<(u16, u32)>,
    /// Valid descriptors of each frame that is a table.
    valid: Vec<usize>,
    /// Each ledger's sum.
    sums: [u64; CORES],
    /// All translations after the event before, in the order of frames.
    known: Vec<Cached>,
    /// Room for the present ones.
    current: Vec<Cached>,
    /// Events from one check to the next, and since the last.
    every: u64,
    skipped: u64,
}

/// One check's view of everything.
pub struct Now<'a> {
    pub kernel: &'a Kernel,
    pub fake: &'a Fake,
    pub machine: FakeCore<'a>,
    pub own: &'a Ownership,
    /// Indices of the environments that are there.
    pub present: Vec<u16>,
    pub by: Option<By>,
}

impl Checker {
    /// Before the first event.
    pub fn new(fake: &Fake) -> Self {
        let frames = fake.touched.len();
        Self {
            entries: Vec::new(),
            lives: vec![(0, 0); frames],
            valid: vec![0; frames],
            sums: [0; CORES],
            known: Vec::new(),
            current: Vec::new(),
            every: 1,
            skipped: 0,
        }
    }

    /// From now on, only every `events`th event is checked, and new translations are nobody's.
    pub fn every(&mut self, events: u64) {
        self.every = events;
    }

    /// Takes what boot mapped for granted.
    pub fn begin(&mut self, kernel: &Kernel, fake: &Fake) {
        let own = kernel.ownership.lock();
        let now = Now::new(kernel, fake, 0, (&own, None));
        let mut booted = Vec::new();
        own.frames.iter().for_each(|(frame, entry)| now.translations_of(frame, entry, &mut booted));
        *fake.cached.borrow_mut() = booted;
    }

    /// Checks everything after an event on `cpu`.
    pub fn check(&mut self, kernel: &Kernel, fake: &Fake, cpu: usize, by: Option<By>) {
        self.skipped += 1;
        if self.skipped < self.every {
            return;
        }
        self.skipped = 0;
        let own = kernel.ownership.lock();
        let now = Now::new(kernel, fake, cpu, (&own, by));
        let frames_changed = self.note_frames(&now);
        self.ledgers(&now, cpu);
        now.chains();
        now.timer(cpu);
        now.environments();
        now.slots();
        now.extents();
        if frames_changed {
            now.lists();
            self.tables(&now);
            self.translations(&now);
            self.changes_of_owner(&now);
        }
        fake.touched.iter().for_each(|touched| touched.set(false));
    }

    /// Whether anything happened to any frame since the last check.
    fn note_frames(&mut self, now: &Now<'_>) -> bool {
        let touched = now.fake.touched.iter().any(|touched| touched.get());
        let dropped = now.fake.cached.borrow().len() != self.known.len();
        let same = now.own.frames.iter().map(|(_, entry)| entry).eq(&self.entries);
        if !same {
            self.entries.clear();
            self.entries.extend(now.own.frames.iter().map(|(_, entry)| *entry));
        }
        touched || dropped || !same
    }

    /// A core's buckets add up to the time from the epoch, and never to less than before; when an environment's time is
    /// moved, every core's.
    fn ledgers(&mut self, now: &Now<'_>, cpu: usize) {
        let epoch = now.kernel.public.epoch.load(Relaxed);
        let moved = now.by.is_some_and(|by| matches!(by.call, Some(Call::EnvReclaim { .. })));
        for (core, before) in self.sums.iter_mut().enumerate().filter(|(core, _)| moved || *core == cpu) {
            let account = &now.kernel.public.ledger[core];
            let sum = ledger::sum(account);
            let until = account.until.load(Relaxed);
            assert_eq!(sum, until.saturating_sub(epoch), "core {core}: the buckets do not add up");
            assert!(sum >= *before, "core {core}: time was taken back");
            *before = sum;
        }
    }

    /// Every valid page descriptor stands in its frame's mappings: there are as many of either, and [`Self::translations`]
    /// finds a descriptor for each mapping.
    fn tables(&mut self, now: &Now<'_>) {
        let (mut descriptors, mut mappings) = (0, 0);
        for (position, (frame, entry)) in now.own.frames.iter().enumerate() {
            if entry.role == Role::Table {
                if now.fake.touched[position].get() {
                    let table = now.machine.table(frame);
                    let pages = (0..512).map(|at| table.get(at)).filter(|page| page.is_valid());
                    self.valid[position] = pages.filter(|page| !is_kernels(*page)).count();
                }
                descriptors += self.valid[position];
            }
            if entry.role != Role::Reserved {
                mappings += entry.mappings.iter().filter(|mapping| mapping.place().is_some()).count();
            }
        }
        assert_eq!(descriptors, mappings, "a page is mapped that its frame does not know of");
    }

    /// No cached translation disagrees with the tables; each new or changed one is somebody's right.
    fn translations(&mut self, now: &Now<'_>) {
        let mut current = core::mem::take(&mut self.current);
        current.clear();
        for (frame, entry) in now.own.frames.iter() {
            now.translations_of(frame, entry, &mut current);
        }
        let mut cached = now.fake.cached.borrow_mut();
        if self.known != current || cached.len() != current.len() {
            self.known.clone_from(&current);
            current.sort_unstable();
            cached.sort_unstable();
            let stale = cached.iter().find(|cached| current.binary_search(cached).is_err());
            assert_eq!(stale, None, "a TLB may still hold it");
            let is_new = |new: &&Cached| self.every == 1 && cached.binary_search(new).is_err();
            for new in current.iter().filter(is_new) {
                now.new_translation(*new);
            }
            cached.clone_from(&current);
        }
        self.current = current;
    }

    /// A frame in a new life is mapped nowhere but by its owner.
    fn changes_of_owner(&mut self, now: &Now<'_>) {
        for ((frame, entry), before) in now.own.frames.iter().zip(&mut self.lives) {
            let life = (entry.owner, entry.generation);
            if life != *before {
                let foreign = |(env, _)| env != entry.owner;
                let broken = !entry.mappings.iter().filter_map(|mapping| mapping.place()).any(foreign);
                assert!(broken, "{frame:?} is mapped in an environment that lost it");
                *before = life;
            }
        }
    }
}

impl<'a> Now<'a> {
    fn new(kernel: &'a Kernel, fake: &'a Fake, cpu: usize, (own, by): (&'a Ownership, Option<By>)) -> Self {
        let is_present =
            |index: &u16| kernel.public.env_state[*index as usize].load(Relaxed) != env_state::FREE;
        let present = (0..MAX_ENVS as u16).filter(is_present).collect();
        Self { kernel, fake, machine: fake.core(cpu), own, present, by }
    }

    /// The timer is set for what is due next, and nothing is overdue.
    fn timer(&self, cpu: usize) {
        let core = self.kernel.cores[cpu].lock();
        assert!(core.due() > self.machine.now() && !core.attend);
        assert_eq!((self.fake.timers[cpu].get(), core.armed), (core.due(), core.due()));
    }

    /// Environments are made of the frames that they say, and know their children.
    fn environments(&self) {
        let mut children = [0; MAX_ENVS];
        for &index in &self.present {
            let env = self.kernel.env(&self.machine, index);
            let state = stored_frame(&self.kernel.envs[index as usize].frame);
            let parts = [
                (state, Role::Env),
                (stored_frame(&env.root), Role::Root),
                (stored_frame(&env.handles), Role::Handles),
            ];
            for (frame, role) in parts {
                let entry = self.own.frames.get(frame).expect("the frame exists");
                assert_eq!((entry.role, entry.owner), (role, index));
            }
            let public = self.machine.table(stored_frame(&env.root)).get(paging::index(PUBLIC_BASE, 1));
            assert_eq!(public, Descriptor::table(self.own.public_table));
            if index != 0 {
                let parent = EnvId::from_bits(env.parent.load(Relaxed));
                assert_eq!(self.kernel.env_id(parent.index), Some(parent), "an orphan");
                children[parent.index as usize] += 1;
            }
        }
        for &index in &self.present {
            let counted = self.kernel.env(&self.machine, index).children.load(Relaxed);
            assert_eq!(counted, children[index as usize], "children of {index}");
        }
    }

    /// Every slot has an owner that is there, and owners know how many they have.
    fn slots(&self) {
        let mut owned = [0; MAX_ENVS];
        let slots = self.kernel.public.slots.load(Relaxed) as usize;
        for word in self.kernel.public.slot[..CORES].iter().flat_map(|vector| &vector[..slots]) {
            let slot = SlotWord::load(word);
            assert!((slot.activation as usize) < MAX_ACTIVATIONS);
            owned[slot.owner as usize] += 1;
        }
        for &index in &self.present {
            let counted = self.kernel.env(&self.machine, index).slots.load(Relaxed);
            assert_eq!(counted, core::mem::take(&mut owned[index as usize]), "slots of {index}");
        }
        assert_eq!(owned.iter().sum::<u32>(), 0, "a slot of nobody's");
    }

    /// Every extent is on the disk and belongs to somebody who is there, and what the disk moves lies in the extent for which it
    /// was begun.
    fn extents(&self) {
        let blocks = self.kernel.public.disk_blocks.load(Relaxed);
        for index in 0..MAX_EXTENTS as u32 {
            let Some(extent) = self.own.disk.extent(index) else { continue };
            assert!(extent.first + extent.count <= blocks, "{extent:?}");
            assert_eq!(self.kernel.env_id(extent.owner.index), Some(extent.owner), "an extent of nobody's");
        }
        let (disk, moving) = (&self.own.disk, self.fake.disk.borrow().moving);
        let Some((transfer, (request, _))) = disk.transfer.zip(moving) else { return };
        let (index, generation) = transfer.extent;
        if let Ok(Extent { first, count, .. }) = self.own.present_extent(index, generation) {
            let blocks = request.block..request.block + PAGE_BLOCKS;
            assert!(blocks.start >= *first && blocks.end <= first + count, "{transfer:?} {request:?}");
            assert_eq!(request.direction, transfer.direction);
        }
    }

    /// Every frame is in its owner's list and in no other.
    fn lists(&self) {
        let mut listed = 0;
        for &index in &self.present {
            let mut count = 0;
            for frame in self.own.frames.list(index) {
                assert_eq!(self.own.frames.get(frame).map(|entry| entry.owner), Ok(index));
                count += 1;
            }
            assert_eq!(self.own.frames.count(index), count);
            listed += count;
        }
        let handed_out = self.own.frames.iter().filter(|(_, entry)| entry.role != Role::Reserved).count();
        assert_eq!(listed as usize, handed_out, "a frame was lost");
    }

    /// What a frame translates: as a root, a table, or a page where it is mapped.
    fn translations_of(&self, frame: Frame, entry: &FrameEntry, all: &mut Vec<Cached>) {
        let table = |level: u8| {
            let (env, address) = entry.mappings[0].covered().expect("a table knows what it translates");
            assert_eq!(env, entry.owner);
            let root = self.kernel.space(&self.machine, env).root;
            assert_eq!(paging::table_at(&self.machine, root, address, level.into()), Some(frame));
            Cached { asid: asid(env), level, address, value: frame.0 }
        };
        match entry.role {
            Role::Root => all.push(Cached { asid: asid(entry.owner), level: 1, address: 0, value: frame.0 }),
            Role::Directory => all.push(table(2)),
            Role::Table => all.push(table(3)),
            Role::Plain | Role::Activation => {}
            Role::Reserved | Role::Env | Role::Handles => assert!(!entry.is_mapped(), "{frame:?}"),
        }
        for (env, address) in entry.mappings.iter().filter_map(|mapping| mapping.place()) {
            all.push(self.page(frame, entry, env, address));
        }
    }

    fn page(&self, frame: Frame, entry: &FrameEntry, env: u16, address: u64) -> Cached {
        let root = self.kernel.space(&self.machine, env).root;
        let (table, at) = paging::leaf(&self.machine, root, address).expect("a mapping has a table");
        let descriptor = self.machine.table(table).get(at);
        assert!(descriptor.is_valid(), "{frame:?} is not mapped at {address:#x} of {env}");
        assert_eq!(descriptor.frame(), frame);
        assert!(!is_writable(descriptor) || !is_executable(descriptor));
        let is_own = entry.role == Role::Plain && env == entry.owner;
        assert_eq!(descriptor.is_owned(), is_own, "{frame:?} at {address:#x} of {env}");
        let shown = SHOWN.contains(&frame.0);
        assert_eq!(is_uncached(descriptor), shown, "{frame:?} and what the display shows");
        assert!(!shown || entry.role == Role::Plain, "{frame:?} is shown, and serves the kernel");
        if entry.is_table() {
            assert!(env == entry.owner && !is_writable(descriptor), "{frame:?} is a table");
        }
        if entry.role == Role::Activation {
            let own = (0..MAX_ACTIVATIONS as u8).any(|activation| page_address(activation) == address);
            assert!(own && env == entry.owner, "{frame:?} is an activation's page");
        } else {
            assert!(address < page_address(0), "{frame:?} is mapped where the kernel's own pages are");
        }
        // The hardware ignores the mark, so a frame that is given away is marked under what TLBs hold of it.
        let value = descriptor.0 & !Descriptor::NONE.owned().0;
        Cached { asid: asid(env), level: 4, address, value }
    }

    /// Whoever caused the event could make this translation.
    fn new_translation(&self, new: Cached) {
        if new.level < 4 {
            return; // a table is somebody's own frame, zeroed
        }
        let Some(By { env: me, call }) = self.by else { panic!("{new:x?} by nobody") };
        let frame = Descriptor(new.value).frame();
        let entry = self.own.frames.get(frame).expect("the frame exists");
        let allowed = match call {
            Some(Call::Map { .. }) => entry.owner == me && (entry.role == Role::Plain || entry.is_table()),
            Some(Call::MapShared { body, mac, .. }) => {
                asid(me) == new.asid
                    && self.covers(Capability { body, mac }, frame, entry, Descriptor(new.value))
            }
            Some(Call::Protect { .. }) => {
                let writable = is_writable(Descriptor(new.value));
                let executable = is_executable(Descriptor(new.value));
                let limit = Descriptor(new.value).limit();
                entry.owner == me && entry.role == Role::Plain
                    || (!writable || limit == Protection::ReadWrite)
                        && (!executable || limit == Protection::ReadExecute)
            }
            Some(Call::ActivationCreate { .. }) => entry.role == Role::Activation,
            // A step of reclaiming drops all that is cached of an environment; what is still mapped shows again.
            Some(Call::EnvReclaim { .. }) => {
                self.kernel.public.env_state[new.asid as usize - 1].load(Relaxed) == env_state::DYING
            }
            _ => false,
        };
        assert!(allowed, "{new:x?} by {me}: {call:x?}");
    }

    fn covers(&self, capability: Capability, frame: Frame, entry: &FrameEntry, page: Descriptor) -> bool {
        let needed = match (is_writable(page), is_executable(page)) {
            (true, _) => Rights::WRITE,
            (_, true) => Rights::EXECUTE,
            _ => Rights::READ,
        };
        let claim = self.own.open(capability, Kind::Frame, needed);
        claim.is_ok_and(|claim| {
            claim.object.index as u64 == frame.0 && claim.generation == entry.generation & GENERATION_MASK
        })
    }
}

/// Whether a page is one of a ring's, which nobody may write, or of a device's: those are in no frame's mappings.
fn is_kernels(descriptor: Descriptor) -> bool {
    let rings = FIRST_RING..FIRST_RING + RING_PAGES * CORES as u64;
    let is_ring = rings.contains(&descriptor.frame().0);
    assert!(!is_ring || !is_writable(descriptor) && !is_executable(descriptor), "a ring can be changed");
    is_ring || DEVICES.contains(&descriptor.frame().0)
}

/// `AP[2]` clear (Arm ARM D8.4): EL0 may write.
fn is_writable(descriptor: Descriptor) -> bool {
    descriptor.0 & 1 << 7 == 0
}

/// `AttrIndx` 2: normal memory, non-cacheable.
fn is_uncached(descriptor: Descriptor) -> bool {
    descriptor.0 >> 2 & 7 == 2
}

/// `UXN` clear: EL0 may execute.
fn is_executable(descriptor: Descriptor) -> bool {
    descriptor.0 & 1 << 54 == 0
}
