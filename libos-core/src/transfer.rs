//! Calls between environments by protected control transfer: the caller's side and the server's.
//!
//! Not here: the transfer itself (the kernel), and who may call whom: the right `CALL` becomes a gate by
//! [`calls::gate_open`](crate::calls::gate_open). A message is eight registers each way. The kernel saves nothing for
//! either side; what must survive is kept here: a caller expects nothing of its registers, a server leaves nothing in
//! its own. An activation serves one caller at a time and is not run by anybody meanwhile; a server that wants to be
//! entered on several cores has an activation for each.

use crate::sys;
use core::sync::atomic::AtomicUsize;
use core::sync::atomic::Ordering::Acquire;
use tranche_abi::{Error, Gate, Identity};

/// What a call carries in `x0` to `x7`, and a reply.
pub type Message = [u64; 8];

/// What a server does with a message: changes it into the reply. It runs on the caller's time.
pub type Service = fn(&mut Message, Identity);

/// The service of every activation of this environment that serves, as a function's address; 0 for none.
static SERVICE: AtomicUsize = AtomicUsize::new(0);

/// Enters the server behind `gate` with `message`, which is its reply when this returns. The CPU is the server's until
/// then, in this slice and later ones. Errors: `BadHandle` for a gate that is not open; `Stale`, `Absent` or `Busy` if
/// the server is no more, was not started or has another caller; `Broken` if it did not return.
pub fn call(gate: Gate, message: &mut Message) -> Result<(), Error> {
    sys::reply(target::enter(gate, message))
}

/// Enters the server behind `gate` with `message` and the rest of the slice. Returns when this activation gets the CPU
/// again, whether the server is done or not. Errors as of [`call`], and `Full` if the chain is.
pub fn send(gate: Gate, message: &Message) -> Result<(), Error> {
    sys::reply(target::send(gate, message))
}

/// From now on this activation serves: `service` is entered on the present stack for each message. Returns only where
/// there is no kernel.
pub fn serve(service: Service) {
    SERVICE.store(service as usize, core::sync::atomic::Ordering::Release);
    #[cfg(target_os = "none")]
    target::wait_for_callers();
}

/// Calls the service; entered from the assembly.
#[cfg_attr(not(target_os = "none"), allow(dead_code))] // Only the assembly calls it.
extern "C" fn serve_one(message: &mut Message, caller: u64) {
    let service = SERVICE.load(Acquire);
    if service != 0 {
        // SAFETY: Only `serve` stores there, and only a `Service`.
        let service: Service = unsafe { core::mem::transmute(service) };
        service(message, Identity(caller));
    }
}

#[cfg(target_os = "none")]
pub(crate) mod target {
    //! The assembly. It is entered on a stack of its own side: see `upcall`, where a transfer arrives first.
    use super::{Message, serve_one};
    use crate::upcall::{self, CALL_IN_SCRATCH, SERVICE_IN_SCRATCH};
    use crate::{layout, page};
    use core::arch::{asm, naked_asm};
    use core::mem::offset_of;
    use core::sync::atomic::Ordering::Relaxed;
    use tranche_abi::Gate;
    use tranche_abi::calls::immediate;
    use tranche_abi::page::ActivationPage;

    unsafe extern "C" {
        fn tranche_transfer_entry();
        fn tranche_transfer_resume();
    }

    /// Makes a call; 0 or an error's number.
    pub fn enter(gate: Gate, message: &mut Message) -> u64 {
        let own = page::own();
        upcall::protect_critical_range();
        own.transfer.resume.store(tranche_transfer_resume as *const () as u64, Relaxed);
        // SAFETY: The function keeps what the procedure call standard says, and writes to the message alone.
        unsafe { tranche_transfer_call(message, gate.0, own) }
    }

    /// Sends a message; 0 or an error's number.
    pub fn send(gate: Gate, message: &Message) -> u64 {
        let [x0, x1, x2, x3, x4, x5, x6, x7] = *message;
        let refused;
        // SAFETY: The kernel changes x17 alone. Memory is clobbered, because others run meanwhile who may share some.
        unsafe {
            asm!(
                "svc #{send}", send = const immediate(62), in("x16") gate.0, out("x17") refused,
                in("x0") x0, in("x1") x1, in("x2") x2, in("x3") x3,
                in("x4") x4, in("x5") x5, in("x6") x6, in("x7") x7,
                options(nostack),
            );
        }
        refused
    }

    /// Waits for callers, for ever.
    pub fn wait_for_callers() -> ! {
        let own = page::own();
        upcall::protect_critical_range();
        own.transfer.entry.store(tranche_transfer_entry as *const () as u64, Relaxed);
        let stack: u64;
        // SAFETY: Reads a register.
        unsafe { asm!("mov {}, sp", out(reg) stack, options(nomem, nostack, preserves_flags)) };
        debug_assert_eq!(layout::activation_of_stack(stack), Some(page::index()));
        own.scratch[SERVICE_IN_SCRATCH].store(stack & !15, Relaxed);
        loop {
            // SAFETY: Never comes back where there is a kernel: the next to run here is a caller, at `entry`, on a stack
            // whose contents above `stack` stay.
            unsafe { asm!("svc #{done}", done = const immediate(63), options(nostack)) };
        }
    }

    /// `x0` = message, `x1` = gate, `x2` = own page.
    #[unsafe(naked)]
    unsafe extern "C" fn tranche_transfer_call(
        message: *mut Message,
        gate: u64,
        own: *const ActivationPage,
    ) -> u64 {
        naked_asm!(
            "sub sp, sp, #176",
            "stp x29, x30, [sp]",
            "mov x29, sp",
            "stp x19, x20, [sp, #16]", "stp x21, x22, [sp, #32]", "stp x23, x24, [sp, #48]",
            "stp x25, x26, [sp, #64]", "stp x27, x28, [sp, #80]",
            "stp d8, d9, [sp, #96]",   "stp d10, d11, [sp, #112]",
            "stp d12, d13, [sp, #128]", "stp d14, d15, [sp, #144]",
            "str x0, [sp, #160]",
            "mov x16, x1",
            "mov x17, sp",
            "str x17, [x2, #{call}]",
            "mov x8, x0",
            "ldp x0, x1, [x8]",
            "ldp x2, x3, [x8, #16]",
            "ldp x4, x5, [x8, #32]",
            "ldp x6, x7, [x8, #48]",
            "svc #{pct_call}",
            // Refused: x17 says why, and the message is as it was.
            "b {came_back}",
            call = const offset_of!(ActivationPage, scratch) + 8 * CALL_IN_SCRATCH,
            pct_call = const immediate(61),
            came_back = sym tranche_transfer_came_back,
        )
    }

    /// A call is over: `x0` to `x7` = the reply, `x17` = 0 or an error's number, and the stack is its caller's.
    #[unsafe(naked)]
    pub unsafe extern "C" fn tranche_transfer_came_back() {
        naked_asm!(
            "ldr x8, [sp, #160]",
            "stp x0, x1, [x8]",
            "stp x2, x3, [x8, #16]",
            "stp x4, x5, [x8, #32]",
            "stp x6, x7, [x8, #48]",
            "mov x0, x17",
            "ldp x29, x30, [sp]",
            "ldp x19, x20, [sp, #16]",
            "ldp x21, x22, [sp, #32]",
            "ldp x23, x24, [sp, #48]",
            "ldp x25, x26, [sp, #64]",
            "ldp x27, x28, [sp, #80]",
            "ldp d8, d9, [sp, #96]",
            "ldp d10, d11, [sp, #112]",
            "ldp d12, d13, [sp, #128]",
            "ldp d14, d15, [sp, #144]",
            "add sp, sp, #176",
            "ret",
        )
    }

    /// A message for the service: `x0` to `x7`; `x17` = the caller. What is left in other registers is nobody's business.
    #[unsafe(naked)]
    pub unsafe extern "C" fn tranche_transfer_serve() {
        naked_asm!(
            "sub sp, sp, #64",
            "stp x0, x1, [sp]",
            "stp x2, x3, [sp, #16]",
            "stp x4, x5, [sp, #32]",
            "stp x6, x7, [sp, #48]",
            "mov x0, sp",
            "mov x1, x17",
            "mov x29, xzr",
            "bl {serve_one}",
            "ldp x0, x1, [sp]",
            "ldp x2, x3, [sp, #16]",
            "ldp x4, x5, [sp, #32]",
            "ldp x6, x7, [sp, #48]",
            ".irp n, 8,9,10,11,12,13,14,15,19,20,21,22,23,24,25,26,27,28,29,30",
            "mov x\\n, xzr",
            ".endr",
            "svc #{pct_return}",
            // Only if nobody is served any more: the caller is gone.
            "b .-4",
            serve_one = sym serve_one,
            pct_return = const immediate(63),
        )
    }
}

/// On the host there is no kernel that would do any of it.
#[cfg(not(target_os = "none"))]
mod target {
    use super::Message;
    use tranche_abi::{Error, Gate};

    pub fn enter(_: Gate, _: &mut Message) -> u64 {
        Error::NoKernel as u64
    }

    pub fn send(_: Gate, _: &Message) -> u64 {
        Error::NoKernel as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_service_gets_the_message_and_the_caller_and_makes_the_reply() {
        fn add(message: &mut Message, caller: Identity) {
            assert_eq!((caller.env(), caller.activation()), (7, 2));
            message[0] += message[1];
        }
        serve(add);
        let mut message = [40, 2, 0, 0, 0, 0, 0, 9];
        serve_one(&mut message, 7 << 16 | 2);
        assert_eq!(message, [42, 2, 0, 0, 0, 0, 0, 9]);
    }

    #[test]
    fn a_call_without_a_kernel_is_refused() {
        assert_eq!(call(Gate(0), &mut [0; 8]), Err(Error::NoKernel));
        assert_eq!(send(Gate(0), &[0; 8]), Err(Error::NoKernel));
    }
}
