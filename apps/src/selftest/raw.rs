//! Calls with every register filled, by an immediate of one's choice, and what is in every register afterwards; and a server
//! of protected control transfers that notes and fills every register too.
//!
//! Not here: what is compared with what ([`super::twins`]). `x18` is filled as well, so nothing may fault and no slice may
//! be announced meanwhile: activations that use this leave their slices to the kernel.

use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering::Relaxed;
use serde::{Deserialize, Serialize};

/// `x0` to `x30`, the stack pointer, the condition flags.
pub const WORDS: usize = 33;
/// Place of the stack pointer.
pub const SP: usize = 31;
/// Place of the flags.
pub const FLAGS: usize = 32;

/// All registers of a program. Before a call the stack pointer is noted, not loaded.
pub type Registers = [u64; WORDS];

/// Makes a call with these registers, which are what it left afterwards. A call of another environment comes back here.
pub type Make = fn(&mut Registers);

/// Registers to begin with, of which no two are equal; `number` makes them others.
pub fn filled(number: u64) -> Registers {
    let mut all = core::array::from_fn(|n| ((0xe10_0000 + number) << 32) + (n as u64 + 1) * 0x0101_0101);
    all[FLAGS] = (number % 15 + 1) << 28;
    all
}

/// What a server of [`serve`] notes of a call, and what it answers: shared with whoever calls it.
#[repr(C)]
pub struct Record {
    seen: [AtomicU64; WORDS],
    reply: [AtomicU64; WORDS],
    way: AtomicU64,
    calls: AtomicU64,
}

/// How a server ends a call, or waits for one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[repr(u64)]
pub enum Way {
    /// By the general way.
    General = 0,
    /// By the fast way.
    Fast = 1,
    /// By a fault.
    Fault = 2,
}

impl Way {
    fn from_bits(bits: u64) -> Self {
        [Self::General, Self::Fast, Self::Fault][bits as usize % 3]
    }
}

impl Record {
    /// The record in a page of zeros.
    ///
    /// # Safety
    /// The page is mapped for reading and writing there, as long as the record is used, and holds nothing else.
    pub unsafe fn at(address: u64) -> &'static Self {
        // SAFETY: As the caller says; any bits are a record, and atomics may be shared.
        unsafe { &*core::ptr::with_exposed_provenance(address as usize) }
    }

    /// The registers with which the server was entered last, or that a call of its own has left.
    pub fn seen(&self) -> Registers {
        core::array::from_fn(|n| self.seen[n].load(Relaxed))
    }

    /// Notes registers.
    pub fn note(&self, registers: &Registers) {
        self.seen.iter().zip(registers).for_each(|(place, value)| place.store(*value, Relaxed));
        self.calls.fetch_add(1, Relaxed);
    }

    /// How often the server was entered.
    pub fn calls(&self) -> u64 {
        self.calls.load(Relaxed)
    }

    /// Says what the server is to answer from now on, and how.
    pub fn prepare(&self, reply: &Registers, way: Way) {
        self.reply.iter().zip(reply).for_each(|(place, value)| place.store(*value, Relaxed));
        self.way.store(way as u64, Relaxed);
    }

    /// How the server is to answer.
    pub fn way(&self) -> Way {
        Way::from_bits(self.way.load(Relaxed))
    }
}

#[cfg(target_os = "none")]
pub use target::{make, serve};

/// On the host there is no kernel that would change a register but the one that says so.
#[cfg(not(target_os = "none"))]
pub fn make<const IMMEDIATE: u16>(registers: &mut Registers) {
    registers[0] = tranche_abi::Error::NoKernel as u64;
}

/// There is nobody to serve on the host.
#[cfg(not(target_os = "none"))]
pub fn serve(_: &'static Record, _: Way) {}

#[cfg(target_os = "none")]
mod target {
    use super::{FLAGS, Record, Registers, SP, Way};
    use core::arch::{asm, naked_asm};
    use core::mem::offset_of;
    use core::sync::atomic::Ordering::Relaxed;
    use libos_core::page;
    use tranche_abi::calls::{CALLS, immediate};
    use tranche_abi::page::ActivationPage;

    /// The page's scratch area. Its first two words are for the first instructions of a handler, the last is not the
    /// runtime's.
    const SCRATCH: usize = offset_of!(ActivationPage, scratch);
    /// The word that says where to go on: a caller's frame, a server's record.
    const KEPT: usize = SCRATCH + 5 * 8;
    const PCT_RETURN: u16 = 63;

    /// Makes the call of this immediate.
    pub fn make<const IMMEDIATE: u16>(registers: &mut Registers) {
        let own = page::own();
        own.transfer.resume.store(came_back as *const () as u64, Relaxed);
        // SAFETY: Preserves what the procedure call standard says, and writes to `registers` and the page's scratch area.
        unsafe { enter::<IMMEDIATE>(registers, own) }
    }

    /// Serves callers for ever, the first of whom is waited for in this way.
    pub fn serve(record: &'static Record, way: Way) -> ! {
        let own = page::own();
        own.transfer.entry.store(entered as *const () as u64, Relaxed);
        own.scratch[(KEPT - SCRATCH) / 8].store(core::ptr::from_ref(record) as u64, Relaxed);
        loop {
            match way {
                // SAFETY: Never comes back where there is a kernel: the next to run here is a caller, at `entered`.
                Way::Fast => unsafe { asm!("svc #{done}", done = const immediate(PCT_RETURN)) },
                // SAFETY: As above.
                _ => unsafe { asm!("svc #{done}", done = const CALLS | PCT_RETURN) },
            }
        }
    }

    /// `x0` = registers, `x1` = own page. The frame: 0 registers, 8 `x18`, from 16 `x19` to `x30`, 112 `x0` of the reply,
    /// from 128 `d8` to `d15`.
    #[unsafe(naked)]
    unsafe extern "C" fn enter<const IMMEDIATE: u16>(registers: *mut Registers, own: *const ActivationPage) {
        naked_asm!(
            "sub sp, sp, #192",
            "stp x0, x18, [sp]",
            "stp x19, x20, [sp, #16]",
            "stp x21, x22, [sp, #32]",
            "stp x23, x24, [sp, #48]",
            "stp x25, x26, [sp, #64]",
            "stp x27, x28, [sp, #80]",
            "stp x29, x30, [sp, #96]",
            "stp d8, d9, [sp, #128]",
            "stp d10, d11, [sp, #144]",
            "stp d12, d13, [sp, #160]",
            "stp d14, d15, [sp, #176]",
            "mov x2, sp",
            "str x2, [x1, #{kept}]",
            "str x2, [x0, #8 * {sp}]",
            "ldr x2, [x0, #8 * {flags}]",
            "msr nzcv, x2",
            ".irp n, 1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30",
            "ldr x\\n, [x0, #8 * \\n]",
            ".endr",
            "ldr x0, [x0]",
            "svc #{immediate}",
            "str x0, [sp, #112]",
            "ldr x0, [sp]",
            ".irp n, 1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30",
            "str x\\n, [x0, #8 * \\n]",
            ".endr",
            "ldr x1, [sp, #112]",
            "str x1, [x0]",
            "mov x1, sp",
            "str x1, [x0, #8 * {sp}]",
            "b {leave}",
            kept = const KEPT,
            sp = const SP,
            flags = const FLAGS,
            immediate = const IMMEDIATE,
            leave = sym leave,
        )
    }

    /// A call of another environment is over: `x18` = own page, everything else is the reply, the stack pointer too.
    #[unsafe(naked)]
    unsafe extern "C" fn came_back() {
        naked_asm!(
            "str x16, [x18, #{scratch}]",
            "mov x16, sp",
            "str x16, [x18, #{scratch} + 8]",
            "ldr x16, [x18, #{kept}]",
            "mov sp, x16",
            "str x0, [sp, #112]",
            "ldr x0, [sp]",
            ".irp n, 1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,17,18,19,20,21,22,23,24,25,26,27,28,29,30",
            "str x\\n, [x0, #8 * \\n]",
            ".endr",
            "ldr x1, [sp, #112]",
            "str x1, [x0]",
            "ldp x1, x2, [x18, #{scratch}]",
            "str x1, [x0, #8 * 16]",
            "str x2, [x0, #8 * {sp}]",
            "b {leave}",
            scratch = const SCRATCH,
            kept = const KEPT,
            sp = const SP,
            leave = sym leave,
        )
    }

    /// The end of [`enter`]: `x0` = registers, `sp` = the frame.
    #[unsafe(naked)]
    unsafe extern "C" fn leave() {
        naked_asm!(
            "mrs x1, nzcv",
            "str x1, [x0, #8 * {flags}]",
            "ldr x18, [sp, #8]",
            "ldp x19, x20, [sp, #16]",
            "ldp x21, x22, [sp, #32]",
            "ldp x23, x24, [sp, #48]",
            "ldp x25, x26, [sp, #64]",
            "ldp x27, x28, [sp, #80]",
            "ldp x29, x30, [sp, #96]",
            "ldp d8, d9, [sp, #128]",
            "ldp d10, d11, [sp, #144]",
            "ldp d12, d13, [sp, #160]",
            "ldp d14, d15, [sp, #176]",
            "add sp, sp, #192",
            "ret",
            flags = const FLAGS,
        )
    }

    /// A call for the server: `x18` = own page, everything else is the caller's but `x16` and `x17`. No stack is needed.
    #[unsafe(naked)]
    unsafe extern "C" fn entered() {
        naked_asm!(
            "str x16, [x18, #{scratch}]",
            "ldr x16, [x18, #{kept}]",
            ".irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,17,18,19,20,21,22,23,24,25,26,27,28,29,30",
            "str x\\n, [x16, #8 * \\n]",
            ".endr",
            "ldr x0, [x18, #{scratch}]",
            "str x0, [x16, #8 * 16]",
            "mov x0, sp",
            "str x0, [x16, #8 * {sp}]",
            "mrs x0, nzcv",
            "str x0, [x16, #8 * {flags}]",
            "ldr x0, [x16, #{calls}]",
            "add x0, x0, #1",
            "str x0, [x16, #{calls}]",
            // The answer, and how it is given.
            "ldr x0, [x16, #{reply} + 8 * {sp}]",
            "mov sp, x0",
            "ldr x0, [x16, #{reply} + 8 * {flags}]",
            "msr nzcv, x0",
            "ldr x0, [x16, #{way}]",
            "tbnz x0, #0, 3f",
            "tbnz x0, #1, 4f",
            ".irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,17,18,19,20,21,22,23,24,25,26,27,28,29,30",
            "ldr x\\n, [x16, #{reply} + 8 * \\n]",
            ".endr",
            "ldr x16, [x16, #{reply} + 8 * 16]",
            "2: svc #{general}",
            "b 2b", // a caller that is no more: this waits for the next, at the entry
            "3:",
            ".irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,17,18,19,20,21,22,23,24,25,26,27,28,29,30",
            "ldr x\\n, [x16, #{reply} + 8 * \\n]",
            ".endr",
            "ldr x16, [x16, #{reply} + 8 * 16]",
            "5: svc #{fast}",
            "b 5b",
            "4: brk #7",
            scratch = const SCRATCH,
            kept = const KEPT,
            reply = const offset_of!(Record, reply),
            way = const offset_of!(Record, way),
            calls = const offset_of!(Record, calls),
            sp = const SP,
            flags = const FLAGS,
            general = const CALLS | PCT_RETURN,
            fast = const immediate(PCT_RETURN),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_of_the_filled_registers_are_equal_and_each_filling_differs() {
        let (one, other) = (filled(1), filled(2));
        assert!((0..WORDS).all(|n| !one[..n].contains(&one[n]) && one[n] != other[n]));
        assert!(one[FLAGS] & !(0xf << 28) == 0, "the flags are bits 28 to 31");
    }

    #[test]
    fn a_record_keeps_what_was_noted_and_how_to_answer() {
        let zero = || AtomicU64::new(0);
        let record = Record {
            seen: core::array::from_fn(|_| zero()),
            reply: core::array::from_fn(|_| zero()),
            way: zero(),
            calls: zero(),
        };
        record.note(&filled(3));
        record.prepare(&filled(4), Way::Fault);
        assert_eq!((record.seen(), record.calls(), record.way()), (filled(3), 1, Way::Fault));
    }
}
