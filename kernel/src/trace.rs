//! Recording: what happens on a core goes into the core's ring, while recording is on; who may read it, and make marks in it.
//!
//! Not here: what the records mean (`tranche_abi::trace`), and who reads them. A ring has one writer, its core, and its memory
//! is the kernel's own, in nobody's list of frames; so a mapping of it is never broken, and no frame entry knows of it.
//! While recording is off, a place that records costs a load and a branch.
#![forbid(unsafe_code)]

use crate::block::BlockAddress;
use crate::calls::{Done, nothing, retry};
use crate::fast::Fast;
use crate::kernel::{Entry, Kernel};
use crate::machine::{CpuId, Machine};
use crate::memory::check_vacant;
use crate::paging::{Descriptor, Pages};
use crate::slice::{Core, Link};
use crate::vector::Revolution;
use core::sync::atomic::{Ordering::Relaxed, Ordering::Release, fence};
use tranche_abi::layout::MAX_HANDLES;
use tranche_abi::trace::{FIRST_MARK, RING_PAGES, RING_RECORDS, Record, Ring, WORDS, kind};
use tranche_abi::{Address, Error, Frame, Handle, Kind, Outcome, Protection, Reason, Rights, Tick};

/// What a core has to say: kind, environment, detail, and the words that the kind has.
pub type What<'a> = (u8, u16, u32, &'a [u64]);

/// An activation with its environment, as a word of a record.
pub const fn name(env: u16, activation: u8) -> u64 {
    env as u64 | (activation as u64) << 16
}

/// Writes a ring's next record. Only the ring's core does.
fn write(ring: &Ring, time: Tick, head: u64, words: [u64; WORDS]) {
    let number = ring.written.load(Relaxed);
    let place = &ring.records[number as usize % RING_RECORDS];
    // Whoever sees a word of this record also sees that all before it were written, and so that the one whose place it
    // takes is gone.
    fence(Release);
    place.iter().zip([time.0, head]).for_each(|(place, word)| place.store(word, Relaxed));
    place[2..].iter().zip(words).for_each(|(place, word)| place.store(word, Relaxed));
    ring.written.store(number + 1, Release);
}

impl Core {
    /// Records what happened at `time`. Recording is on.
    #[cold]
    #[inline(never)]
    pub fn record(&self, cpu: CpuId, time: Tick, (kind, env, detail, used): What<'_>) {
        let Some(ring) = self.ring else { return };
        let mut words = [0; WORDS];
        words.iter_mut().zip(used).for_each(|(word, used)| *word = *used);
        write(ring, time, Record::head(kind, cpu.0 as u8, env, detail), words);
    }

    /// Records that a directed yield by the fast ways is over, whose link was at `depth`. Recording is on.
    pub fn record_fast_yield(&self, depth: usize, reason: Reason, now: Tick) {
        let (parent, link) = (&self.chain[depth - 1], &self.chain[depth]);
        let ran = Tick(self.charged_to_links() - link.charged_before);
        self.record_yield(self.cpu, (parent, link), Outcome { reason, ran, detail: 0, now });
    }

    /// Records that a directed yield to `link` is over, or did not begin. Recording is on.
    pub fn record_yield(&self, cpu: CpuId, (parent, link): (&Link, &Link), outcome: Outcome) {
        let target = name(link.env().index, link.activation());
        let words = [target, link.began.0, link.until.0, outcome.ran.0, outcome.detail];
        let who = outcome.reason as u32 | u32::from(parent.activation()) << 8;
        self.record(cpu, outcome.now, (kind::YIELD, parent.env().index, who, &words));
    }
}

impl Kernel {
    /// Whether there is recording.
    #[inline(always)]
    pub fn is_tracing(&self) -> bool {
        self.public.tracing.load(Relaxed) != 0
    }

    /// Records that a slot of the root's begins on a core. Recording is on.
    pub fn record_roots_slot(&self, core: &Core, now: Tick) {
        let root = &core.chain[0];
        self.record_slot(core, core.cpu, (root.env().index, root.activation()), now);
    }

    /// Records that a slot begins on a core, and, once a revolution, the core's ledger. Recording is on.
    #[cold]
    #[inline(never)]
    pub fn record_slot(&self, core: &Core, cpu: CpuId, (owner, activation): (u16, u8), now: Tick) {
        let [epoch, quantum, slots] =
            [&self.public.epoch, &self.public.quantum, &self.public.slots].map(|field| field.load(Relaxed));
        let number = Revolution { epoch, quantum, slots }.number(now);
        let slice = [number, core.slot_end.0];
        core.record(cpu, now, (kind::SLICE, owner, activation.into(), &slice));
        if number.is_multiple_of(slots) {
            let ledger = &self.public.ledger[cpu.0];
            let account = [&ledger.kernel, &ledger.idle, &ledger.excess, &ledger.until];
            core.record(cpu, now, (kind::LEDGER, 0, 0, &account.map(|field| field.load(Relaxed))));
        }
    }
}

impl<M: Machine> Entry<'_, M> {
    /// Records what happens now, if there is recording.
    #[inline(always)]
    pub fn record(&self, what: What<'_>) {
        if self.kernel.is_tracing() {
            self.core.record(self.cpu, self.now, what);
        }
    }

    /// `trace_switch`.
    pub fn trace_switch(&mut self, handle: Handle, on: u64) -> Result<Done, Error> {
        self.machine_behind(handle, Rights::TRACE)?;
        if on > 1 {
            return Err(Error::BadArgument);
        }
        self.kernel.public.tracing.store(on, Relaxed);
        nothing()
    }

    /// `trace_map`: `part` is the first page of the ring and how many.
    pub fn trace_map(
        &mut self,
        handle: Handle,
        core: tranche_abi::Core,
        part: (u64, u64),
        address: Address,
    ) -> Result<Done, Error> {
        self.machine_behind(handle, Rights::TRACE)?;
        let exists = core.0 < self.kernel.public.cores.load(Relaxed);
        if !exists || !is_within(part, (0, RING_PAGES)) {
            return Err(Error::BadArgument);
        }
        let first = self.kernel.first_ring.load(Relaxed) + core.0 * RING_PAGES + part.0;
        self.map_kernels((first, part.1), address, |frame| {
            Descriptor::page(frame, Protection::Read, Protection::Read)
        })
    }

    /// `device_map`.
    pub fn device_map(&mut self, handle: Handle, part: (u64, u64), address: Address) -> Result<Done, Error> {
        self.machine_behind(handle, Rights::DEVICE)?;
        let public = self.kernel.public;
        if !is_within(part, (public.device_first.load(Relaxed), public.device_pages.load(Relaxed))) {
            return Err(Error::BadArgument);
        }
        self.map_kernels(part, address, Descriptor::device)
    }

    /// Maps pages that are in nobody's list into the caller.
    fn map_kernels(
        &mut self,
        (first, count): (u64, u64),
        address: Address,
        page: impl Fn(Frame) -> Descriptor,
    ) -> Result<Done, Error> {
        let pages = Pages::checked(address.0, count).ok_or(Error::BadArgument)?;
        let Some(_own) = self.kernel.ownership.try_lock() else { return retry() };
        let space = self.kernel.space(self.machine, self.me().index);
        for (_, place) in pages.each(self.machine, space.root) {
            check_vacant(place)?;
        }
        for ((_, place), number) in pages.each(self.machine, space.root).zip(first..) {
            place.into_iter().for_each(|place| page(Frame(number)).store(place));
        }
        self.machine.forget_pages(space.asid, pages.address, 0);
        nothing()
    }

    /// `trace_mark`.
    pub fn trace_mark(&mut self, handle: Handle, mark: u64, words: [u64; WORDS]) -> Result<Done, Error> {
        self.machine_behind(handle, Rights::MARK)?;
        if (mark as u8) < FIRST_MARK {
            return Err(Error::BadArgument);
        }
        self.record((mark as u8, self.me().index, (mark >> 32) as u32, &words));
        nothing()
    }
}

impl<M: Machine> Fast<'_, M> {
    /// `trace_mark` by `current`, whose registers from the third on are in its page: false if it is to go the general way.
    pub fn trace_mark(&self, current: BlockAddress, handle: u64, mark: u64) -> bool {
        const WANTED: u64 = (Kind::Machine as u64) << 28 | (Rights::MARK.0 as u64) << 32;
        const MASK: u64 = 0xf << 28 | (Rights::MARK.0 as u64) << 32;
        let body = self.kernel.body_at(self.machine, current);
        let (env, page) = (body.env(), body.page);
        let handles = self.kernel.env(self.machine, env.index).handles.load(Relaxed);
        let bits = self.machine.handles(Frame(handles as u64)).bits(handle as usize);
        if handle >= MAX_HANDLES as u64 || bits & MASK != WANTED || (mark as u8) < FIRST_MARK {
            return false;
        }
        if self.kernel.is_tracing() {
            let x = &self.machine.page(page).registers.x;
            let words: [u64; WORDS] = core::array::from_fn(|i| x[i + 2].load(Relaxed));
            let what = (mark as u8, env.index, (mark >> 32) as u32, &words[..]);
            self.core.record(self.core.cpu, self.machine.now(), what);
        }
        true
    }
}

/// Whether the first of these pages, and as many from there, are among the second.
fn is_within((first, count): (u64, u64), (from, all): (u64, u64)) -> bool {
    first.checked_sub(from).and_then(|offset| offset.checked_add(count)).is_some_and(|end| end <= all)
}
