//! Messages to the firmware of a Raspberry Pi: its *property interface* (github.com/raspberrypi/firmware, wiki, "Mailbox property
//! interface"), made and read.
//!
//! Not here: how a message gets there (`arch`). A message is a buffer of words: its size in bytes, a code, then tags, each with
//! a number, the size of its value in bytes, a code, and the value, whose words are the question and then the answer; then a zero.
#![forbid(unsafe_code)]

use tranche_abi::{MachineState, Tick};

/// The mailbox's channel for messages from the ARM cores to the VideoCore.
pub const CHANNEL: u32 = 8;
/// Words of a message's buffer: two cache lines of the Cortex-A72, so that it shares none with anything else.
pub const WORDS: usize = 32;
/// Where the VideoCore sees the first GiB of memory without its cache (BCM2835 ARM Peripherals, 1.2.4; `dma-ranges` of `soc` in the
/// device tree).
pub const BUS: u32 = 0xc000_0000;
/// What of an address of the VideoCore's is the address in memory.
pub const BUS_MASK: u32 = 0x3fff_ffff;

/// The code of a message that was understood.
const DONE: u32 = 0x8000_0000;
/// The bit in a tag's code that says that its value is an answer; the other bits are the answer's size.
const ANSWERED: u32 = 0x8000_0000;

/// What can be asked or told.
pub mod tag {
    /// A clock's rate: clock; clock, Hz.
    pub const CLOCK_RATE: u32 = 0x0003_0002;
    /// The highest rate of a clock: clock; clock, Hz.
    pub const MAX_CLOCK_RATE: u32 = 0x0003_0004;
    /// The temperature: 0; 0, thousandths of a degree Celsius.
    pub const TEMPERATURE: u32 = 0x0003_0006;
    /// Whether the cores are held back: bits of the past to forget; bits.
    pub const THROTTLED: u32 = 0x0003_0046;
    /// A clock's rate as it is measured: clock; clock, Hz.
    pub const CLOCK_MEASURED: u32 = 0x0003_0047;
    /// Sets a clock's rate: clock, Hz, 1 to leave the turbo setting alone; clock, Hz.
    pub const SET_CLOCK_RATE: u32 = 0x0003_8002;
    /// Makes the frame buffer: alignment; address, bytes.
    pub const ALLOCATE: u32 = 0x0004_0001;
    /// Bytes from one row to the next.
    pub const PITCH: u32 = 0x0004_0008;
    /// Sets the screen's size: width, height; those that it has.
    pub const SCREEN_SIZE: u32 = 0x0004_8003;
    /// Sets the frame buffer's size: width, height; those that it has.
    pub const BUFFER_SIZE: u32 = 0x0004_8004;
    /// Sets the bits of a pixel.
    pub const DEPTH: u32 = 0x0004_8005;
    /// Sets the order of a pixel's bytes: 0 for blue first, 1 for red first.
    pub const PIXEL_ORDER: u32 = 0x0004_8006;
}

/// The UART's clock, and the cores' (wiki, "Clocks").
pub mod clock {
    /// The PL011's.
    pub const UART: u32 = 2;
    /// The ARM cores'.
    pub const ARM: u32 = 3;
}

/// A message, or what it became.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message(pub [u32; WORDS]);

impl Message {
    /// A message of these tags, each with its value's words, which have room for the answer. `None` if it is too long.
    pub fn of(tags: &[(u32, &[u32])]) -> Option<Self> {
        let mut words = [0; WORDS];
        let mut used = 2;
        for (tag, value) in tags {
            let end = used + 3 + value.len();
            let place = words.get_mut(used..end)?;
            (place[0], place[1]) = (*tag, 4 * value.len() as u32);
            place[3..].copy_from_slice(value);
            used = end;
        }
        words[0] = 4 * (used as u32 + 1);
        (used < WORDS).then_some(Self(words))
    }

    /// The answer to a tag; `None` if there is none, or a shorter one.
    pub fn answer<const N: usize>(&self, tag: u32) -> Option<[u32; N]> {
        let Self(words) = self;
        let mut at = 2;
        while words[1] == DONE && *words.get(at)? != 0 {
            let (number, size, code) = (words[at], *words.get(at + 1)? as usize / 4, *words.get(at + 2)?);
            let value = words.get(at + 3..(at + 3).checked_add(size)?)?;
            if number == tag {
                let long_enough = code & ANSWERED != 0 && (code & !ANSWERED) as usize >= 4 * N;
                return value.first_chunk().copied().filter(|_| long_enough);
            }
            at += 3 + size;
        }
        None
    }

    /// Asks for a clock's rate by one of the tags for that.
    pub fn clock(tag: u32, clock: u32) -> Option<Self> {
        Self::of(&[(tag, &[clock, 0])])
    }

    /// The rate that it answers, in Hz; `None` for a clock that the firmware does not know.
    pub fn rate(&self, tag: u32) -> Option<u64> {
        self.answer(tag).map(|[_, rate]: [u32; 2]| rate.into()).filter(|rate| *rate != 0)
    }

    /// Asks how the machine is.
    pub fn state() -> Option<Self> {
        Self::of(&[
            (tag::TEMPERATURE, &[0, 0]),
            (tag::THROTTLED, &[0]),
            (tag::CLOCK_MEASURED, &[clock::ARM, 0]),
        ])
    }

    /// How it said that the machine is, having been asked at a time.
    pub fn machine_state(&self, asked: Tick) -> MachineState {
        MachineState {
            temperature: self.answer(tag::TEMPERATURE).map(|[_, millidegrees]: [u32; 2]| millidegrees.into()),
            throttled: self.answer(tag::THROTTLED).map(|[bits]: [u32; 1]| bits.into()),
            clock: self.rate(tag::CLOCK_MEASURED),
            asked,
        }
    }

    /// Asks for a frame buffer of this size, of 32 bits a pixel, blue first.
    pub fn frame_buffer(width: u32, height: u32, alignment: u32) -> Option<Self> {
        Self::of(&[
            (tag::SCREEN_SIZE, &[width, height]),
            (tag::BUFFER_SIZE, &[width, height]),
            (tag::DEPTH, &[32]),
            (tag::PIXEL_ORDER, &[0]),
            (tag::ALLOCATE, &[alignment, 0]),
            (tag::PITCH, &[0]),
        ])
    }

    /// The frame buffer that it answered with.
    pub fn buffer(&self) -> Option<FrameBuffer> {
        let [width, height]: [u32; 2] = self.answer(tag::BUFFER_SIZE)?;
        let [depth]: [u32; 1] = self.answer(tag::DEPTH)?;
        let [order]: [u32; 1] = self.answer(tag::PIXEL_ORDER)?;
        let [address, size]: [u32; 2] = self.answer(tag::ALLOCATE)?;
        let [pitch]: [u32; 1] = self.answer(tag::PITCH)?;
        let holds =
            u64::from(pitch) * u64::from(height) <= size.into() && 4 * u64::from(width) <= pitch.into();
        (depth == 32 && address != 0 && height != 0 && width != 0 && holds).then_some(FrameBuffer {
            address: (address & BUS_MASK).into(),
            size: size.into(),
            width: width.into(),
            height: height.into(),
            pitch: pitch.into(),
            red_first: order != 0,
        })
    }
}

/// A frame buffer of 32 bits a pixel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameBuffer {
    /// Where it is in memory.
    pub address: u64,
    /// Its bytes.
    pub size: u64,
    /// Pixels of a row.
    pub width: u64,
    /// Rows.
    pub height: u64,
    /// Bytes from one row to the next.
    pub pitch: u64,
    /// Whether a pixel's lowest byte is red, not blue.
    pub red_first: bool,
}

#[cfg(test)]
mod tests;
