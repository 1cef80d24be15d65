//! The call table's other side: one exhaustive match from a call to what does it.
//!
//! Not here: the table itself (`tranche_abi::calls`). A call number that is not in the table is reflected to the caller's
//! own fault upcall, so that a libOS can implement a foreign system-call ABI.
#![forbid(unsafe_code)]

use crate::kernel::Entry;
use crate::machine::{Answer, Machine};
use core::sync::atomic::Ordering::Relaxed;
use tranche_abi::calls::number;
use tranche_abi::layout::CONSOLE_CHUNK;
use tranche_abi::{Call, Capability, Error, Handle, Kind, Rights};

/// How a call that was not refused ends.
pub enum Done {
    /// The caller continues, and nothing is to be told but that.
    Nothing,
    /// The caller continues with these values in `x1..x4`.
    Values([u64; 4]),
    /// The registers are already those of whoever continues.
    Elsewhere,
    /// Another core is changing ownership: the caller makes the call again. So nobody waits for a lock with interrupts
    /// masked, and a core's timer is never late because others are busy.
    Retry,
}

/// A call's end without having done anything, to be made again.
pub fn retry() -> Result<Done, Error> {
    Ok(Done::Retry)
}

/// A call's end with values.
pub fn values(values: [u64; 4]) -> Result<Done, Error> {
    Ok(Done::Values(values))
}

/// A call's end without values.
pub fn nothing() -> Result<Done, Error> {
    Ok(Done::Nothing)
}

/// Bytes of the instruction after which a call continues.
const SVC_SIZE: u64 = 4;

/// `ESR_EL1` of `svc #immediate` from AArch64: exception class 0x15, 32-bit instruction (Arm ARM D24.2.40).
const fn svc_syndrome(immediate: u16) -> u64 {
    0x15 << 26 | 1 << 25 | immediate as u64
}

impl<M: Machine> Entry<'_, M> {
    /// One call of the running activation.
    pub fn call(&mut self, immediate: u16) {
        let registers = &self.machine.page(self.core.caller().body.page).registers;
        // Read once: another core may be writing there.
        let arguments = core::array::from_fn(|i| registers.x[i].load(Relaxed));
        let call = number(immediate).and_then(|number| Call::decode(number, &arguments));
        let Some(call) = call else {
            return self.fault(svc_syndrome(immediate), 0);
        };
        match self.perform(call) {
            Ok(Done::Elsewhere) => {}
            Ok(Done::Retry) => registers.pc.store(registers.pc.load(Relaxed).wrapping_sub(SVC_SIZE), Relaxed),
            Ok(Done::Nothing) => registers.x[0].store(0, Relaxed),
            Ok(Done::Values(values)) => {
                registers.x[0].store(0, Relaxed);
                registers.x[1..5].iter().zip(values).for_each(|(x, value)| x.store(value, Relaxed));
            }
            Err(error) => registers.x[0].store(error as u64, Relaxed),
        }
    }

    #[inline(always)] // As `decode` is.
    fn perform(&mut self, call: Call) -> Result<Done, Error> {
        match call {
            Call::Null {} => nothing(),
            Call::Yield {} => self.yield_now(),
            Call::YieldTo { target, until, mode } => self.yield_to(target, until, mode),
            Call::Wait { until } => self.wait(until),
            Call::Resume {} => self.resume(),
            Call::FpOn {} => self.fp_on(),
            Call::Notify { target, bits } => self.notify(target, bits),
            Call::Grant { object, rights } => self.grant(object, rights),
            Call::Derive { body, mac, rights } => self.derive(Capability { body, mac }, rights),
            Call::Bind { body, mac } => self.bind(Capability { body, mac }),
            Call::Unbind { handle } => self.unbind(handle),
            Call::Void { object } => self.void(object),
            Call::GateOpen { target } => self.gate_open(target),
            Call::GateClose { gate } => self.gate_close(gate),
            Call::PctCall {} => self.pct_call(),
            Call::PctSend {} => self.pct_send(),
            Call::PctReturn {} => self.pct_return(),
            Call::SlotGive { core, slot, target } => self.slot_give(core, slot, target),
            Call::SlotTake { body, mac, activation } => self.slot_take(Capability { body, mac }, activation),
            Call::SlotAim { core, slot, activation } => self.slot_aim(core, slot, activation),
            Call::Ask { target, resource, core, count, deadline } => {
                self.ask(target, self.which_demand(resource, core)?, count, deadline)
            }
            Call::SeizeSlot { handle, core, slot } => self.seize_slot(handle, core, slot),
            Call::SeizeFrame { handle, frame } => self.seize_frame(handle, frame),
            Call::FrameGive { first, count, handle } => self.frame_give(first, count, handle),
            Call::Table { handle, address, frame } => self.table(handle, address, frame),
            Call::Map { handle, address, first, count, protection } => {
                self.map(handle, address, (first, count), protection)
            }
            Call::MapShared { body, mac, address, protection } => {
                self.map_shared(Capability { body, mac }, address, protection)
            }
            Call::Unmap { handle, address, count } => self.unmap(handle, address, count),
            Call::Protect { handle, address, count, protection } => {
                self.protect(handle, address, count, protection)
            }
            Call::EnvCreate { first } => self.env_create(first),
            Call::ActivationCreate { target, frame } => self.activation_create(target, frame),
            Call::ActivationStart { target, entry, stack, argument } => {
                self.activation_start(target, [entry.0, stack.0, argument])
            }
            Call::SetManager { target, manager, client } => self.set_manager(target, manager, client),
            Call::EnvDestroy { handle } => self.env_destroy(handle),
            Call::EnvReclaim { handle } => self.env_reclaim(handle),
            Call::MachineState { handle } => self.machine_state(handle),
            Call::ConsoleWrite { handle, length, w0, w1, w2, w3, w4, w5 } => {
                self.console_write(handle, length, [w0, w1, w2, w3, w4, w5])
            }
            Call::PowerOff { handle, code } => self.power_off(handle, code),
            Call::TraceSwitch { handle, on } => self.trace_switch(handle, on),
            Call::TraceMap { handle, core, first, count, address } => {
                self.trace_map(handle, core, (first, count), address)
            }
            Call::TraceMark { handle, mark, w0, w1, w2, w3, w4, w5 } => {
                self.trace_mark(handle, mark, [w0, w1, w2, w3, w4, w5])
            }
            Call::ExtentNarrow { object, first, count, handle } => {
                self.extent_narrow(object, (first, count), handle)
            }
            Call::ExtentDrop { object } => self.extent_drop(object),
            Call::DiskBegin { handle, page, direction } => self.disk_begin(handle, page, direction),
            Call::DiskStep { handle, frame } => self.disk_step(handle, frame),
            Call::DeviceMap { handle, first, count, address } => {
                self.device_map(handle, (first.0, count), address)
            }
        }
    }

    /// `console_write`: the bytes come in registers, so that the kernel follows no address of EL0's.
    fn console_write(&mut self, handle: Handle, length: u64, words: [u64; 6]) -> Result<Done, Error> {
        self.machine_behind(handle, Rights::CONSOLE)?;
        if length > CONSOLE_CHUNK as u64 {
            return Err(Error::BadArgument);
        }
        let mut bytes = [0; CONSOLE_CHUNK];
        bytes
            .chunks_exact_mut(8)
            .zip(words)
            .for_each(|(place, word)| place.copy_from_slice(&word.to_le_bytes()));
        let written = self.machine.console(&bytes[..length as usize]);
        values([written as u64, 0, 0, 0])
    }

    fn power_off(&mut self, handle: Handle, code: u64) -> Result<Done, Error> {
        self.machine_behind(handle, Rights::POWER)?;
        self.machine.power_off(code);
        nothing()
    }

    fn machine_state(&mut self, handle: Handle) -> Result<Done, Error> {
        self.machine_behind(handle, Rights::STATE)?;
        match self.machine.state() {
            Answer::Absent => Err(Error::Absent),
            Answer::Pending => Err(Error::Again),
            Answer::State(state) => values(state.to_values()),
        }
    }

    /// Checks a handle to the machine.
    pub fn machine_behind(&self, handle: Handle, needed: Rights) -> Result<(), Error> {
        let claim = self.my_handles().get(handle)?;
        if claim.object.kind != Kind::Machine {
            return Err(Error::BadHandle);
        }
        if claim.rights.covers(needed) { Ok(()) } else { Err(Error::NoRight) }
    }
}
