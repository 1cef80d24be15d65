//! Commands to a card and its answers, and the clock at which they travel.
//!
//! Not here: which commands, and waiting for an answer longer than it takes to look.

use super::registers::*;
use tranche_abi::DiskFault;

/// A command with the answer that it is to have (PL 4.7.4, 4.9; the bits are those of HC 2.2.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Command(u32);

const ANSWER_136: u32 = 0b01;
const ANSWER_48: u32 = 0b10;
const ANSWER_48_BUSY: u32 = 0b11;
const CHECK_SUM: u32 = 1 << 3;
const CHECK_INDEX: u32 = 1 << 4;
const WITH_DATA: u32 = 1 << 5;
const ABORT: u32 = 0b11 << 6;

impl Command {
    const fn new(index: u32, form: u32) -> Self {
        Self((index << 8 | form) << 16)
    }

    const fn r1(index: u32) -> Self {
        Self::new(index, ANSWER_48 | CHECK_SUM | CHECK_INDEX)
    }

    /// CMD0: everybody to the beginning.
    pub const RESET: Self = Self::new(0, 0);
    /// CMD2: say who you are.
    pub const ALL_SEND_ID: Self = Self::new(2, ANSWER_136 | CHECK_SUM);
    /// CMD3: name an address for yourself.
    pub const SEND_ADDRESS: Self = Self::r1(3);
    /// ACMD6: width.
    pub const SET_WIDTH: Self = Self::r1(6);
    /// CMD7: you are meant from now on.
    pub const SELECT: Self = Self::new(7, ANSWER_48_BUSY | CHECK_SUM | CHECK_INDEX);
    /// CMD8: can you do with this voltage.
    pub const SEND_CONDITION: Self = Self::r1(8);
    /// CMD9: say what you are.
    pub const SEND_SPECIFIC: Self = Self::new(9, ANSWER_136 | CHECK_SUM);
    /// CMD12: enough.
    pub const STOP: Self = Self::new(12, ANSWER_48_BUSY | CHECK_SUM | CHECK_INDEX | ABORT);
    /// CMD13: how are you.
    pub const SEND_STATUS: Self = Self::r1(13);
    /// CMD16: length of a block.
    pub const SET_BLOCK: Self = Self::r1(16);
    /// CMD18: blocks from here on.
    pub const READ: Self =
        Self(Self::new(18, ANSWER_48 | CHECK_SUM | CHECK_INDEX | WITH_DATA).0 | MODE_BLOCKS | MODE_READ);
    /// CMD25: the same to be written.
    pub const WRITE: Self =
        Self(Self::new(25, ANSWER_48 | CHECK_SUM | CHECK_INDEX | WITH_DATA).0 | MODE_BLOCKS);
    /// ACMD41: get ready, with this voltage.
    pub const SEND_OPERATING: Self = Self::new(41, ANSWER_48);
    /// CMD55: the next one is an application's.
    pub const APPLICATION: Self = Self::r1(55);
}

/// A controller.
pub struct Host<P> {
    port: P,
    /// After each write, while the clock is slow.
    pause: u64,
}

/// Four clocks of the slowest clock, in microseconds: as long as the older controller may take to notice a write.
const SLOW_PAUSE: u64 = 10;
/// The clock's dividers are even numbers up to this (HC 2.2.14, 10 bits).
const LARGEST_DIVIDER: u32 = 2046;

impl<P: Port> Host<P> {
    /// A controller in whatever state.
    pub fn new(port: P) -> Self {
        Self { port, pause: SLOW_PAUSE }
    }

    /// Microseconds since some time.
    pub fn micros(&mut self) -> u64 {
        self.port.micros()
    }

    /// Lets time pass.
    pub fn pause(&mut self, micros: u64) {
        let until = self.port.micros() + micros;
        while self.port.micros() < until {}
    }

    /// Reads a register.
    pub fn read(&mut self, register: usize) -> u32 {
        self.port.read(register)
    }

    /// Writes a register.
    pub fn write(&mut self, register: usize, value: u32) {
        self.port.write(register, value);
        if self.pause > 0 {
            self.pause(self.pause);
        }
    }

    /// Waits until a register's bits are as they are to be; false if they are not in time.
    pub fn wait(&mut self, register: usize, (bits, wanted): (u32, u32), micros: u64) -> bool {
        let until = self.port.micros() + micros;
        loop {
            if self.read(register) & bits == wanted {
                return true;
            }
            if self.port.micros() >= until {
                return false;
            }
        }
    }

    /// Sets the card's clock to `hertz` or slower, from a base clock. False if it does not come on.
    pub fn set_clock(&mut self, base: u32, hertz: u32) -> bool {
        let divider = base.div_ceil(hertz).next_multiple_of(2).min(LARGEST_DIVIDER) / 2;
        let bits = (divider & 0xff) << 8 | (divider >> 8 & 3) << 6;
        self.write(CLOCK, DATA_TIMEOUT);
        self.write(CLOCK, DATA_TIMEOUT | bits | CLOCK_INTERNAL);
        if !self.wait(CLOCK, (CLOCK_STABLE, CLOCK_STABLE), 150_000) {
            return false;
        }
        self.write(CLOCK, DATA_TIMEOUT | bits | CLOCK_INTERNAL | CLOCK_CARD);
        self.pause = if hertz > 400_000 { 0 } else { SLOW_PAUSE };
        true
    }

    /// Begins to reset what has to do with the lines.
    pub fn reset_lines(&mut self, lines: u32) {
        let clock = self.read(CLOCK);
        self.write(CLOCK, clock | lines);
    }

    /// Whether a command can be sent that uses these lines ([`COMMAND_INHIBIT`], [`DATA_INHIBIT`]).
    pub fn is_ready(&mut self, lines: u32) -> bool {
        self.read(PRESENT) & lines == 0 && self.read(CLOCK) & (RESET_COMMAND | RESET_DATA) == 0
    }

    /// Sends a command. The controller is ready.
    pub fn send(&mut self, command: Command, argument: u32) {
        self.write(STATUS, u32::MAX);
        self.write(ARGUMENT, argument);
        self.write(COMMAND, command.0);
    }

    /// The answer to the command that was sent, if it has come; or why none will.
    pub fn answer(&mut self) -> Option<Result<[u32; 4], DiskFault>> {
        let status = self.read(STATUS);
        if let Some(fault) = fault(status) {
            self.reset_lines(RESET_COMMAND);
            return Some(Err(fault));
        }
        if status & COMMAND_COMPLETE == 0 {
            return None;
        }
        self.write(STATUS, COMMAND_COMPLETE);
        Some(Ok([0, 4, 8, 12].map(|at| self.read(RESPONSE + at))))
    }
}

/// What went wrong, by the controller's status.
pub fn fault(status: u32) -> Option<DiskFault> {
    match status & ERRORS {
        0 => None,
        error if error & (COMMAND_DAMAGED | DATA_DAMAGED) != 0 => Some(DiskFault::Checksum),
        error if error & COMMAND_TIMEOUT != 0 => Some(DiskFault::NoAnswer),
        error if error & DATA_TIMED_OUT != 0 => Some(DiskFault::TooSlow),
        _ => Some(DiskFault::Refused),
    }
}
