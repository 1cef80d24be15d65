//! The system calls with types: what each asks for and gives back.
//!
//! Not here: how the kernel is entered (`sys`), what a call costs, anything that takes more than one call.
//! On the host every call is refused with [`Error::NoKernel`].
#![forbid(unsafe_code)]

use crate::sys;
use tranche_abi::layout::{CONSOLE_CHUNK, HANDLE_SELF};
use tranche_abi::*;

/// Whether a directed yield also comes back when a client becomes ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Events {
    /// It does not: readiness only sets a bit in the ready set.
    Ignore,
    /// It does, with [`Reason::Event`].
    Return,
}

/// Whether what happens is recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recording {
    /// It is not.
    Off = 0,
    /// It is.
    On = 1,
}

/// Does nothing: what entering and leaving the kernel costs.
pub fn null() -> Result<(), Error> {
    sys::null().map(drop)
}

// --- time ---

/// Gives the CPU back to the parent; at the root, gives up the rest of the slice. Returns when run again.
pub fn yield_now() -> Result<(), Error> {
    sys::yield_now().map(drop)
}

/// Gives the CPU to `target` until `until` (absolute) or the slot's end, whichever is first.
pub fn yield_to(target: Target, until: Tick, events: Events) -> Result<Outcome, Error> {
    let mode = YieldMode(match events {
        Events::Ignore => 0,
        Events::Return => YIELD_EVENTS,
    });
    let [reason, ran, detail, now] = sys::yield_to(target, until, mode)?;
    let reason = Reason::from_register(reason).ok_or(Error::NoKernel)?;
    Ok(Outcome { reason, ran: Tick(ran), detail, now: Tick(now) })
}

/// Gives the CPU back until `until` (absolute) or an event. Returns at once if one is already posted. The time then.
pub fn wait(until: Tick) -> Result<Tick, Error> {
    sys::wait(until).map(|[now, ..]| Tick(now))
}

/// Continues the context in the page's enabled area, and clears the disabled flag. Returns only if refused.
pub fn resume() -> Result<(), Error> {
    sys::resume().map(drop)
}

/// Loads this activation's FP/SIMD registers and switches them on until it loses the CPU.
pub fn fp_on() -> Result<(), Error> {
    sys::fp_on().map(drop)
}

// --- events ---

/// Sets `bits` in the target's event word, readies it and tells its manager. The three highest bits are refused.
pub fn notify(target: Target, bits: u64) -> Result<(), Error> {
    sys::notify(target, bits).map(drop)
}

// --- authority ---

fn capability([body, mac, ..]: sys::Values) -> Capability {
    Capability { body, mac }
}

/// A capability with `rights` to an object that the caller owns.
pub fn grant(object: Object, rights: Rights) -> Result<Capability, Error> {
    sys::grant(object.to_bits(), RightsBits(rights.0.into())).map(capability)
}

/// A capability to the same object with fewer rights.
pub fn derive(from: Capability, rights: Rights) -> Result<Capability, Error> {
    sys::derive(from.body, from.mac, RightsBits(rights.0.into())).map(capability)
}

/// Binds a capability to an environment, an extent or the machine to a handle.
pub fn bind(capability: Capability) -> Result<Handle, Error> {
    sys::bind(capability.body, capability.mac).map(|[handle, ..]| Handle(handle))
}

/// Frees a handle.
pub fn unbind(handle: Handle) -> Result<(), Error> {
    sys::unbind(handle).map(drop)
}

/// Makes every capability to a frame, slot or extent that the caller owns stale, and breaks everybody else's mappings of the frame.
pub fn void(object: Object) -> Result<(), Error> {
    sys::void(object.to_bits()).map(drop)
}

// --- gates ---

/// Binds the right to enter an activation to a gate.
pub fn gate_open(target: Target) -> Result<Gate, Error> {
    sys::gate_open(target).map(|[gate, ..]| Gate(gate))
}

/// Frees a gate.
pub fn gate_close(gate: Gate) -> Result<(), Error> {
    sys::gate_close(gate).map(drop)
}

// --- slots ---

/// Gives one of the caller's slots to an environment, to be run by its activation `target`.
pub fn slot_give(core: Core, slot: SlotIndex, target: Target) -> Result<(), Error> {
    sys::slot_give(core, slot, target).map(drop)
}

/// Takes the slot that the capability names, to be run by the caller's `activation`.
pub fn slot_take(from: Capability, activation: ActivationIndex) -> Result<(), Error> {
    sys::slot_take(from.body, from.mac, activation).map(drop)
}

/// Names the activation that runs in one of the caller's slots.
pub fn slot_aim(core: Core, slot: SlotIndex, activation: ActivationIndex) -> Result<(), Error> {
    sys::slot_aim(core, slot, activation).map(drop)
}

// --- revocation ---

/// What [`ask`] asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claim {
    /// Slots of this core.
    Slots(Core),
    /// Page frames.
    Frames,
}

/// Asks an environment for `count` resources back by `deadline` ([`Tick::NEVER`]: please). Zero withdraws.
pub fn ask(target: Target, claim: Claim, count: u64, deadline: Tick) -> Result<(), Error> {
    let (resource, core) = match claim {
        Claim::Slots(core) => (Resource::Slots, core),
        Claim::Frames => (Resource::Frames, Core(0)),
    };
    sys::ask(target, resource as u64, core, count, deadline).map(drop)
}

/// Takes a slot by force from an environment that let the deadline pass.
pub fn seize_slot(from: Handle, core: Core, slot: SlotIndex) -> Result<(), Error> {
    sys::seize_slot(from, core, slot).map(drop)
}

/// Takes a frame by force, breaking every mapping of it, from an environment that let the deadline pass.
pub fn seize_frame(from: Handle, frame: Frame) -> Result<(), Error> {
    sys::seize_frame(from, frame).map(drop)
}

// --- frames and mappings ---

/// Gives up to `MAX_BATCH` consecutive frames to an environment. Mappings of anyone but the receiver are broken.
pub fn frame_give(first: Frame, count: u64, to: Handle) -> Result<(), Error> {
    sys::frame_give(first, count, to).map(drop)
}

/// Installs a frame as the page table that is missing for `address`. The level installed, 2 or 3.
pub fn table(env: Handle, address: Address, frame: Frame) -> Result<u64, Error> {
    sys::table(env, address, frame).map(|[level, ..]| level)
}

/// Maps up to `MAX_BATCH` consecutive frames of the caller's at `address` in an environment.
pub fn map(
    env: Handle,
    address: Address,
    first: Frame,
    count: u64,
    protection: Protection,
) -> Result<(), Error> {
    sys::map(env, address, first, count, ProtectionBits(protection as u64)).map(drop)
}

/// Maps the frame that a capability names at `address` of the caller.
pub fn map_shared(frame: Capability, address: Address, protection: Protection) -> Result<(), Error> {
    sys::map_shared(frame.body, frame.mac, address, ProtectionBits(protection as u64)).map(drop)
}

/// Removes up to `MAX_BATCH` mappings. Pages that were not mapped are passed over.
pub fn unmap(env: Handle, address: Address, count: u64) -> Result<(), Error> {
    sys::unmap(env, address, count).map(drop)
}

/// Changes the protection of up to `MAX_BATCH` mapped pages.
pub fn protect(env: Handle, address: Address, count: u64, protection: Protection) -> Result<(), Error> {
    sys::protect(env, address, count, ProtectionBits(protection as u64)).map(drop)
}

// --- environments and activations ---

/// Makes an environment out of `ENV_FRAMES` consecutive frames. A handle with all rights, and its index.
pub fn env_create(first: Frame) -> Result<(Handle, u64), Error> {
    sys::env_create(first).map(|[handle, index, ..]| (Handle(handle), index))
}

/// Makes activation `target` of an environment out of a frame, which becomes its page.
pub fn activation_create(target: Target, frame: Frame) -> Result<(), Error> {
    sys::activation_create(target, frame).map(drop)
}

/// Starts a stopped activation at `entry` with `x0 = argument` and `x18` = its page.
pub fn activation_start(target: Target, entry: Address, stack: Address, argument: u64) -> Result<(), Error> {
    sys::activation_start(target, entry, stack, argument).map(drop)
}

/// Names the manager of an activation: readiness sets bit `client` of the manager's ready set.
pub fn set_manager(target: Target, manager: Target, client: u64) -> Result<(), Error> {
    sys::set_manager(target, manager, client).map(drop)
}

/// Ends an environment: nothing of it runs from now on.
pub fn env_destroy(env: Handle) -> Result<(), Error> {
    sys::env_destroy(env).map(drop)
}

/// Returns a part of what a destroyed environment owned to the caller. [`Error::Again`] while there is more.
pub fn env_reclaim(env: Handle) -> Result<(), Error> {
    sys::env_reclaim(env).map(drop)
}

// --- the machine ---

/// Asks the machine's firmware how it is, or fetches what it answered. [`Error::Again`] until it has.
pub fn machine_state(machine: Handle) -> Result<MachineState, Error> {
    sys::machine_state(machine).map(MachineState::from_values)
}

/// Writes up to [`CONSOLE_CHUNK`] of `bytes`, as many as fit without waiting. How many were written.
pub fn console_write(machine: Handle, bytes: &[u8]) -> Result<usize, Error> {
    let length = bytes.len().min(CONSOLE_CHUNK);
    let mut chunk = [0; CONSOLE_CHUNK];
    chunk[..length].copy_from_slice(&bytes[..length]);
    let word = |i: usize| u64::from_le_bytes(core::array::from_fn(|byte| chunk[i * 8 + byte]));
    sys::console_write(machine, length as u64, word(0), word(1), word(2), word(3), word(4), word(5))
        .map(|[written, ..]| written as usize)
}

/// Stops the machine, reporting `code` to whoever started it; 0 is success. Returns only if refused.
pub fn power_off(machine: Handle, code: u64) -> Result<(), Error> {
    sys::power_off(machine, code).map(drop)
}

// --- recording ---

/// Switches recording on or off, on every core.
pub fn trace_switch(machine: Handle, recording: Recording) -> Result<(), Error> {
    sys::trace_switch(machine, recording as u64).map(drop)
}

/// Maps up to `MAX_BATCH` pages of a core's ring, from page `first` of it on, read-only at `address` of the caller.
pub fn trace_map(machine: Handle, core: Core, first: u64, count: u64, address: Address) -> Result<(), Error> {
    sys::trace_map(machine, core, first, count, address).map(drop)
}

/// Makes a mark in the ring of the core that the caller runs on.
pub fn trace_mark(machine: Handle, kind: u8, detail: u32, words: [u64; 6]) -> Result<(), Error> {
    let [w0, w1, w2, w3, w4, w5] = words;
    sys::trace_mark(machine, u64::from(kind) | u64::from(detail) << 32, w0, w1, w2, w3, w4, w5).map(drop)
}

/// Maps up to `MAX_BATCH` pages of device registers at `address` of the caller.
pub fn device_map(machine: Handle, first: Frame, count: u64, address: Address) -> Result<(), Error> {
    sys::device_map(machine, first, count, address).map(drop)
}

// --- the disk ---

/// Names `count` blocks, from block `first` of an extent of the caller's on, as an extent of its own for an environment.
pub fn extent_narrow(from: Object, first: u64, count: u64, to: Handle) -> Result<Object, Error> {
    let [bits, ..] = sys::extent_narrow(from.to_bits(), first, count, to)?;
    Object::from_bits(ObjectBits(bits)).ok_or(Error::NoKernel)
}

/// Unnames an extent that the caller owns, or that it named.
pub fn extent_drop(extent: Object) -> Result<(), Error> {
    sys::extent_drop(extent.to_bits()).map(drop)
}

/// Begins to move a page of an extent.
pub fn disk_begin(extent: Handle, page: u64, direction: Direction) -> Result<(), Error> {
    sys::disk_begin(extent, page, direction as u64).map(drop)
}

/// A piece of what was begun, to or from a frame of the caller's. How far it is.
pub fn disk_step(extent: Handle, frame: Frame) -> Result<Progress, Error> {
    let [progress, fault, ..] = sys::disk_step(extent, frame)?;
    Progress::from_values([progress, fault]).ok_or(Error::NoKernel)
}

/// Activation `activation` of the caller's own environment.
pub const fn own_target(activation: u64) -> Target {
    Target::new(HANDLE_SELF, ActivationIndex(activation))
}
