//! The mailbox to the firmware of a Raspberry Pi: one message at a time, in one buffer.
//!
//! Not here: what is in a message ([`crate::firmware`]). One lock guards buffer and registers. At boot core 0 waits for answers;
//! afterwards nobody does: who finds the lock taken, or no answer yet, comes back.

use super::mmu;
use crate::firmware::{BUS, BUS_MASK, CHANNEL, Message, WORDS};
use crate::machine::Answer;
use aarch64_cpu::registers::{CNTFRQ_EL0, CNTVCT_EL0, Readable};
use core::arch::asm;
use core::sync::atomic::{AtomicU32, Ordering::Relaxed};
use spin::Mutex;
use tranche_abi::Tick;

// Offsets and bits: BCM2835 mailboxes 0 (to the ARM cores) and 1 (from them), as in Linux, drivers/mailbox/bcm2835-mailbox.c.
const READ: u64 = 0x00;
const READ_STATUS: u64 = 0x18;
const WRITE: u64 = 0x20;
const WRITE_STATUS: u64 = 0x38;
const STATUS_FULL: u32 = 1 << 31;
const STATUS_EMPTY: u32 = 1 << 30;
/// An address's bits in which a word has the channel.
const CHANNEL_MASK: u32 = 0xf;
/// How long an answer at boot may take.
const PATIENCE_MS: u64 = 500;
/// Bytes of a cache line of the Cortex-A72 (TRM 6.1).
const LINE: usize = 64;

/// What the VideoCore reads and writes, in cache lines of its own.
#[repr(C, align(64))]
struct Buffer([AtomicU32; WORDS]);

const _: () = assert!(size_of::<Buffer>().is_multiple_of(LINE), "nothing else is in its last cache line");

static BUFFER: Buffer = Buffer([const { AtomicU32::new(0) }; WORDS]);

/// The mailbox by the address at which its registers are mapped. Zero: none.
struct Mailbox {
    registers: u64,
    /// When the question that is open was asked.
    asked: Option<Tick>,
}

static MAILBOX: Mutex<Mailbox> = Mutex::new(Mailbox { registers: 0, asked: None });

/// Starts the mailbox mapped at `registers`, if the VideoCore can see the kernel's buffer. Once, at boot.
pub fn begin(registers: u64) {
    if bus_address().is_some() {
        MAILBOX.lock().registers = registers;
    }
}

/// Sends a message and waits for what becomes of it; `None` without a mailbox, or if that takes too long. At boot only.
pub fn call(message: Option<Message>) -> Option<Message> {
    let mailbox = MAILBOX.lock();
    let message = message.filter(|_| mailbox.registers != 0)?;
    let deadline = CNTVCT_EL0.get() + CNTFRQ_EL0.get() * PATIENCE_MS / 1000;
    while !mailbox.send(&message) {
        (CNTVCT_EL0.get() < deadline).then_some(())?;
    }
    loop {
        if let Some(answer) = mailbox.receive() {
            return Some(answer);
        }
        (CNTVCT_EL0.get() < deadline).then_some(())?;
    }
}

/// Asks how the machine is, or fetches what was answered.
pub(super) fn state(now: Tick) -> Answer {
    let Some(mut mailbox) = MAILBOX.try_lock() else { return Answer::Pending };
    if mailbox.registers == 0 {
        return Answer::Absent;
    }
    if let Some(asked) = mailbox.asked {
        let Some(answer) = mailbox.receive() else { return Answer::Pending };
        mailbox.asked = None;
        return Answer::State(answer.machine_state(asked));
    }
    if let Some(message) = Message::state()
        && mailbox.send(&message)
    {
        mailbox.asked = Some(now);
    }
    Answer::Pending
}

impl Mailbox {
    /// Sends a message, if there is room. None is under way.
    fn send(&self, message: &Message) -> bool {
        let Some(bus) = bus_address() else { return false };
        if self.read_register(WRITE_STATUS) & STATUS_FULL != 0 {
            return false;
        }
        BUFFER.0.iter().zip(message.0).for_each(|(place, word)| place.store(word, Relaxed));
        clean_and_invalidate();
        self.write_register(WRITE, bus | CHANNEL);
        true
    }

    /// What became of the message that is under way, once that is known.
    fn receive(&self) -> Option<Message> {
        while self.read_register(READ_STATUS) & STATUS_EMPTY == 0 {
            let word = self.read_register(READ);
            if word & CHANNEL_MASK == CHANNEL && word & BUS_MASK & !CHANNEL_MASK == bus_address()? & BUS_MASK
            {
                clean_and_invalidate(); // What was read ahead of the answer goes.
                return Some(Message(core::array::from_fn(|word| BUFFER.0[word].load(Relaxed))));
            }
        }
        None
    }

    fn read_register(&self, offset: u64) -> u32 {
        // SAFETY: `self.registers` is the mapped mailbox, which is only reached under its lock; nobody else reads what was sent.
        unsafe { ((self.registers + offset) as *const u32).read_volatile() }
    }

    fn write_register(&self, offset: u64, value: u32) {
        // SAFETY: as above; what is written names the buffer, which is there for nothing else.
        unsafe { ((self.registers + offset) as *mut u32).write_volatile(value) };
    }
}

/// Where the VideoCore sees the buffer; `None` beyond the first GiB, of which alone it sees anything.
fn bus_address() -> Option<u32> {
    let physical = mmu::image_physical(&raw const BUFFER);
    (physical < u64::from(BUS_MASK)).then_some(physical as u32 | BUS)
}

/// Makes memory and caches agree on the buffer, none of whose lines is kept.
fn clean_and_invalidate() {
    let begin = (&raw const BUFFER) as usize;
    // SAFETY: barriers, and maintenance of mapped lines, which changes no content.
    unsafe {
        asm!("dsb sy", options(nostack, preserves_flags));
        for line in (begin..begin + size_of::<Buffer>()).step_by(LINE) {
            asm!("dc civac, {}", in(reg) line, options(nostack, preserves_flags));
        }
        asm!("dsb sy", options(nostack, preserves_flags));
    }
}
