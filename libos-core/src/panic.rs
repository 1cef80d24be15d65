//! What a program does that cannot go on: it says why, and faults on purpose, so that its manager sees it stop.
//!
//! Not here: faults that happen by themselves (the kernel tells the manager of those). The first environment has no
//! manager; it switches the machine off with [`PANIC_CODE`].

use crate::layout::{MAILBOX_BASE, START_BASE};
use crate::output::write_to_console;
use crate::{calls, page};
use core::fmt::{self, Write};
use core::panic::PanicInfo;
use core::sync::atomic::Ordering::Relaxed;
use tranche_abi::layout::HANDLE_MACHINE;

/// What the machine reports when the first environment panics.
pub const PANIC_CODE: u64 = 101;

/// A message of bounded length: a panic may come from the allocator.
struct Message {
    bytes: [u8; 512],
    length: usize,
}

impl Write for Message {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = &mut self.bytes[self.length..];
        let fits = text.len().min(room.len());
        room[..fits].copy_from_slice(&text.as_bytes()[..fits]);
        self.length += fits;
        Ok(())
    }
}

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    let mut message = Message { bytes: [0; 512], length: 0 };
    // Writing to the message cannot fail.
    let _ = writeln!(message, "{info}");
    let bytes = &message.bytes[..message.length];
    // SAFETY: The start page is mapped from before the first instruction that can panic.
    let header = unsafe { &*(START_BASE as *const crate::start::Header) };
    match header.mailbox_bytes {
        0 => write_to_console(HANDLE_MACHINE, bytes),
        // No lock: whoever holds it may be who panics. At worst the message is mixed with another.
        // SAFETY: The creator mapped the mailbox there and wrote its size.
        bytes_of => _ = unsafe { crate::mailbox::Mailbox::at(MAILBOX_BASE, bytes_of) }.write(bytes),
    }
    if header.mailbox_bytes == 0 {
        // Returns only if refused; then the fault below is all that is left.
        let _ = calls::power_off(HANDLE_MACHINE, PANIC_CODE);
    }
    page::own().fault.entry.store(0, Relaxed);
    loop {
        // SAFETY: A fault that nobody handles ends the activation, which is what is wanted.
        unsafe { core::arch::asm!("brk #{code}", code = const PANIC_CODE) };
    }
}
