//! Frames and mappings: giving, tables, mapping, unmapping, breaking.
//!
//! Not here: the frame table itself ([`crate::frames`]), changes of protection ([`crate::protect`]). Page descriptors are secure bindings: ownership or a capability
//! is checked when one is written, and the hardware uses it from then on. Every call checks everything, then acts.
#![forbid(unsafe_code)]

use crate::activation::{State, Tag, page_address};
use crate::calls::{Done, nothing, retry, values};
use crate::environment::EnvId;
use crate::frames::{Mapping, Role};
use crate::kernel::{Entry, Kernel, Ownership};
use crate::machine::Machine;
use crate::paging::{self, Descriptor, Pages};
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};
use tranche_abi::layout::{MAX_BATCH, PAGE_SIZE, PUBLIC_BASE};
use tranche_abi::{
    Address, Capability, EVENT_GIVEN, Error, Frame, Handle, Kind, Protection, ProtectionBits, Rights, Target,
};

/// Frames of one call: the first and how many.
type Batch = (Frame, u64);

/// Pages of an environment that a call names, checked.
fn checked_pages(address: Address, count: u64) -> Result<Pages, Error> {
    Pages::checked(address.0, count).ok_or(Error::BadArgument)
}

impl<M: Machine> Entry<'_, M> {
    /// `frame_give`.
    pub fn frame_give(&mut self, first: Frame, count: u64, handle: Handle) -> Result<Done, Error> {
        if count > MAX_BATCH {
            return Err(Error::BadArgument);
        }
        let kernel = self.kernel;
        let Some(mut own) = kernel.ownership.try_lock() else { return retry() };
        let receiver = self.env_behind(handle, Rights::GIVE)?;
        own.frames.check_plain(first, count, self.me().index)?;
        for number in first.0..first.0 + count {
            let frame = Frame(number);
            own.break_mappings(kernel, self.machine, frame, Some(receiver.index));
            own.frames.renew(frame);
            own.frames.transfer(frame, receiver.index, Role::Plain);
        }
        self.fulfil(crate::revoke::FRAMES, receiver, count);
        self.post(&own, receiver.index, 0, EVENT_GIVEN);
        nothing()
    }

    /// `table`.
    pub fn table(&mut self, handle: Handle, address: Address, frame: Frame) -> Result<Done, Error> {
        if address.0 >= PUBLIC_BASE {
            return Err(Error::BadArgument);
        }
        let Some(mut own) = self.kernel.ownership.try_lock() else { return retry() };
        let env = self.env_behind(handle, Rights::CONTROL)?;
        own.check_unmapped(frame, self.me().index)?;
        let level = own.install_table(self.kernel, self.machine, env.index, address.0, frame)?;
        values([level, 0, 0, 0])
    }

    /// `map`.
    pub fn map(
        &mut self,
        handle: Handle,
        address: Address,
        (first, count): Batch,
        protection: ProtectionBits,
    ) -> Result<Done, Error> {
        let protection = Protection::from_bits(protection).ok_or(Error::BadArgument)?;
        let pages = checked_pages(address, count)?;
        let Some(mut own) = self.kernel.ownership.try_lock() else { return retry() };
        let env = self.env_behind(handle, Rights::CONTROL)?;
        let (me, space) = (self.me().index, self.kernel.space(self.machine, env.index));
        let numbers = first.0..first.0.checked_add(count).ok_or(Error::BadArgument)?;
        for ((_, place), number) in pages.each(self.machine, space.root).zip(numbers.clone()) {
            own.check_mappable(Frame(number), protection, (me, env.index))?;
            check_vacant(place)?;
        }
        for ((page, place), number) in pages.each(self.machine, space.root).zip(numbers) {
            let Some(place) = place else { continue };
            let page = Mapping::new(env.index, page);
            let descriptor = own.frames.descriptor(Frame(number), protection);
            own.write(self.machine, (place, page), descriptor);
        }
        self.machine.forget_pages(space.asid, pages.address, 0);
        nothing()
    }

    /// `map_shared`.
    pub fn map_shared(
        &mut self,
        capability: Capability,
        address: Address,
        protection: ProtectionBits,
    ) -> Result<Done, Error> {
        let protection = Protection::from_bits(protection).ok_or(Error::BadArgument)?;
        let page = checked_pages(address, 1)?;
        let needed = match protection {
            Protection::Read => Rights::READ,
            Protection::ReadWrite => Rights::READ.with(Rights::WRITE),
            Protection::ReadExecute => Rights::READ.with(Rights::EXECUTE),
        };
        let Some(mut own) = self.kernel.ownership.try_lock() else { return retry() };
        let claim = own.open(capability, Kind::Frame, needed)?;
        let frame = Frame(claim.object.index as u64);
        let entry = own.frames.get(frame)?;
        if entry.role != Role::Plain || entry.generation & 0xff_ffff != claim.generation {
            return Err(Error::Stale);
        }
        own.check_vacant(self.kernel, self.machine, self.me().index, page.address)?;
        if !own.frames.has_room(frame) {
            return Err(Error::Full);
        }
        let descriptor = own.frames.descriptor(frame, protection);
        own.map(self.kernel, self.machine, self.me().index, page.address, descriptor);
        nothing()
    }

    /// `unmap`.
    pub fn unmap(&mut self, handle: Handle, address: Address, count: u64) -> Result<Done, Error> {
        let pages = checked_pages(address, count)?;
        let Some(mut own) = self.kernel.ownership.try_lock() else { return retry() };
        let env = self.env_behind(handle, Rights::CONTROL)?;
        let space = self.kernel.space(self.machine, env.index);
        for (page, place) in pages.each(self.machine, space.root) {
            if let Some(place) = place {
                own.clear(place, Mapping::new(env.index, page));
            }
        }
        self.machine.forget_pages(space.asid, pages.address, pages.count);
        nothing()
    }

    /// `activation_create`.
    pub fn activation_create(&mut self, target: Target, frame: Frame) -> Result<Done, Error> {
        let Some(mut own) = self.kernel.ownership.try_lock() else { return retry() };
        let (env, activation) = self.target(target, Rights::CONTROL)?;
        own.check_unmapped(frame, self.me().index)?;
        own.create_activation(self.kernel, self.machine, (env.index, activation), frame)?;
        nothing()
    }

    /// `activation_start`: `arguments` are the entry point, the stack pointer and `x0`.
    pub fn activation_start(&mut self, target: Target, arguments: [u64; 3]) -> Result<Done, Error> {
        let Some(_own) = self.kernel.ownership.try_lock() else { return retry() };
        let (env, activation) = self.target(target, Rights::CONTROL)?;
        match self.kernel.state(env.index, activation).map(|state| state.tag) {
            Some(Tag::Absent) => return Err(Error::Absent),
            Some(Tag::Stopped | Tag::Faulted) => {}
            _ => return Err(Error::Busy),
        }
        // Another core may be looking at a faulted one just now.
        let started = self.kernel.start_activation(self.machine, (env.index, activation), arguments);
        if started { nothing() } else { Err(Error::Busy) }
    }
}

/// Checks that there is a table, and nothing in this place of it.
pub fn check_vacant(place: Option<&AtomicU64>) -> Result<(), Error> {
    let present = Descriptor::load(place.ok_or(Error::NoTable)?);
    if present.is_valid() { Err(Error::Busy) } else { Ok(()) }
}

impl Kernel {
    /// Gives a stopped activation a context and readies it; false if it is not stopped any more.
    pub fn start_activation<M: Machine>(
        &self,
        machine: &M,
        (env, activation): (u16, u8),
        [entry, stack, argument]: [u64; 3],
    ) -> bool {
        let kept = &self.env(machine, env).activations[activation as usize];
        let page = machine.page(crate::activation::stored_frame(&kept.page));
        let mut registers = tranche_abi::page::Registers { sp: stack, pc: entry, ..Default::default() };
        (registers.x[0], registers.x[18]) = (argument, page_address(activation));
        crate::activation::set(&page.registers, &registers);
        page.disabled.store(0, Relaxed);
        self.block(env, activation).saved.store(crate::activation::Saved::Exact as u32, Relaxed);
        let Some(state) = self.state(env, activation) else { return false };
        matches!(state.tag, Tag::Stopped | Tag::Faulted)
            && self.change(env, activation, state, State { tag: Tag::Ready, ..state })
    }
}

impl Ownership {
    /// Checks that a frame is its owner's, memory, and mapped nowhere.
    fn check_unmapped(&self, frame: Frame, owner: u16) -> Result<(), Error> {
        self.frames.check_memory(frame, 1, owner)?;
        if self.frames.get(frame)?.is_mapped() { Err(Error::Busy) } else { Ok(()) }
    }

    /// Checks that a frame may be mapped so: a plain one by its owner, anywhere; a table by the environment whose it is, in
    /// that environment, for reading.
    fn check_mappable(
        &self,
        frame: Frame,
        protection: Protection,
        (owner, env): (u16, u16),
    ) -> Result<(), Error> {
        let entry = self.frames.get(frame)?;
        let own_table = entry.is_table() && entry.owner == env && owner == env;
        if !own_table || protection != Protection::Read {
            self.frames.check_plain(frame, 1, owner)?;
        }
        if self.frames.has_room(frame) { Ok(()) } else { Err(Error::Full) }
    }

    fn check_vacant<M: Machine>(
        &self,
        kernel: &Kernel,
        machine: &M,
        env: u16,
        page: u64,
    ) -> Result<(), Error> {
        let root = kernel.space(machine, env).root;
        check_vacant(paging::place(machine, root, page))
    }

    /// Installs the next missing table for an address; says of which level. The frame is plain and unmapped.
    pub fn install_table<M: Machine>(
        &mut self,
        kernel: &Kernel,
        machine: &M,
        env: u16,
        address: u64,
        frame: Frame,
    ) -> Result<u64, Error> {
        let root = kernel.space(machine, env).root;
        let directory = paging::table_at(machine, root, address, 2);
        let (above, level, role) = match directory {
            None => (root, 2, Role::Directory),
            Some(_) if paging::leaf(machine, root, address).is_some() => return Err(Error::Busy),
            Some(directory) => (directory, 3, Role::Table),
        };
        machine.zero(frame);
        self.frames.renew(frame);
        self.frames.transfer(frame, env, role);
        let covered = PAGE_SIZE << (9 * (4 - level));
        self.frames.note(frame, Mapping::as_table(env, address / covered * covered));
        machine.table(above).set(paging::index(address, level - 1), Descriptor::table(frame));
        Ok(level as u64)
    }

    /// Maps a page. There is a table, nothing is mapped there, and the frame has room.
    pub fn map<M: Machine>(&mut self, kernel: &Kernel, machine: &M, env: u16, page: u64, to: Descriptor) {
        let space = kernel.space(machine, env);
        if let Some(place) = paging::place(machine, space.root, page) {
            self.write(machine, (place, Mapping::new(env, page)), to);
            machine.forget_pages(space.asid, page, 0);
        }
    }

    /// Writes a page's descriptor where there is none, and notes it with the frame.
    fn write<M: Machine>(&mut self, machine: &M, (place, page): (&AtomicU64, Mapping), to: Descriptor) {
        let Ok(entry) = self.frames.get(to.frame()) else { return };
        let is_own = entry.role == Role::Plain && page.place().is_some_and(|(env, _)| env == entry.owner);
        if to.limit() == Protection::ReadExecute {
            machine.sync_code(to.frame());
        }
        if is_own { to.owned() } else { to }.store(place);
        self.frames.note(to.frame(), page);
    }

    /// Empties a page's descriptor, if there is one, and strikes it out with the frame. The caller sees to cached translations.
    fn clear(&mut self, place: &AtomicU64, page: Mapping) {
        let present = Descriptor::load(place);
        if present.is_valid() {
            Descriptor::NONE.store(place);
            self.frames.strike(present.frame(), page);
        }
    }

    /// Removes every mapping of a frame, but those of `except`, which is its owner or becomes that.
    pub fn break_mappings<M: Machine>(
        &mut self,
        kernel: &Kernel,
        machine: &M,
        frame: Frame,
        except: Option<u16>,
    ) {
        let Ok(&entry) = self.frames.get(frame) else { return };
        for mapping in entry.mappings {
            let Some((env, page)) = mapping.place() else { continue };
            let space = kernel.space(machine, env);
            let Some(place) = paging::place(machine, space.root, page) else { continue };
            if Some(env) == except {
                Descriptor::load(place).owned().store(place);
            } else {
                self.clear(place, mapping);
                machine.forget_pages(space.asid, page, 1);
            }
        }
    }

    /// Makes an activation out of a plain, unmapped frame.
    pub fn create_activation<M: Machine>(
        &mut self,
        kernel: &Kernel,
        machine: &M,
        (env, activation): (u16, u8),
        frame: Frame,
    ) -> Result<(), Error> {
        let address = page_address(activation);
        if kernel.state(env, activation).is_none_or(|state| state.tag != Tag::Absent) {
            return Err(Error::Busy);
        }
        self.check_vacant(kernel, machine, env, address)?;
        machine.zero(frame);
        self.frames.renew(frame);
        self.frames.transfer(frame, env, Role::Activation);
        let descriptor = Descriptor::page(frame, Protection::ReadWrite, Protection::ReadWrite);
        self.map(kernel, machine, env, address, descriptor);
        let generation = kernel.envs[env as usize].generation.load(Relaxed);
        let page = machine.page(frame);
        page.identity.store(activation as u32 | (env as u32) << 16, Relaxed);
        page.address.store(address, Relaxed);
        page.root.store(kernel.space(machine, env).root.0, Relaxed);
        kernel.env(machine, env).activations[activation as usize].page.store(frame.0 as u32, Relaxed);
        kernel.begin_block(machine, EnvId { index: env, generation }, activation, frame);
        Ok(())
    }
}
