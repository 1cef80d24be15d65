//! The controller's registers by their offsets, all of 32 bits, and what is in them (HC 2.2).

/// A controller, and a clock.
pub trait Port: Send {
    /// Reads a register.
    fn read(&mut self, register: usize) -> u32;
    /// Writes a register.
    fn write(&mut self, register: usize, value: u32);
    /// Microseconds since some time.
    fn micros(&mut self) -> u64;
}

/// Block size in bits 0..12, number of blocks in 16..32.
pub const BLOCKS: usize = 0x04;
/// A command's argument.
pub const ARGUMENT: usize = 0x08;
/// Transfer mode in bits 0..16, command in 16..32. Writing it sends the command.
pub const COMMAND: usize = 0x0c;
/// The answer: four registers.
pub const RESPONSE: usize = 0x10;
/// Data, four bytes at a time.
pub const DATA: usize = 0x20;
/// What the controller sees.
pub const PRESENT: usize = 0x24;
/// Width in bit 1, power in 8..16.
pub const CONTROL: usize = 0x28;
/// Clock in bits 0..16, data timeout in 16..20, resets in 24..27.
pub const CLOCK: usize = 0x2c;
/// What happened, until a one is written over it.
pub const STATUS: usize = 0x30;
/// What of it is noticed.
pub const STATUS_ENABLE: usize = 0x34;
/// What of it interrupts.
pub const SIGNAL_ENABLE: usize = 0x38;
/// Base clock in MHz in bits 8..16, among others.
pub const CAPABILITIES: usize = 0x40;

/// [`PRESENT`]: the command line is in use; the data lines are.
pub const COMMAND_INHIBIT: u32 = 1;
/// [`PRESENT`]: the data lines are in use.
pub const DATA_INHIBIT: u32 = 1 << 1;
/// [`PRESENT`]: there is a card.
pub const INSERTED: u32 = 1 << 16;
/// [`PRESENT`]: the card's switch lets it be written.
pub const WRITABLE: u32 = 1 << 19;

/// [`CONTROL`]: four data lines.
pub const FOUR_LINES: u32 = 1 << 1;
/// [`CONTROL`]: power on, 3.3 V.
pub const POWER: u32 = 0b1111 << 8;

/// [`CLOCK`]: the controller's own clock on.
pub const CLOCK_INTERNAL: u32 = 1;
/// [`CLOCK`]: it is stable.
pub const CLOCK_STABLE: u32 = 1 << 1;
/// [`CLOCK`]: the card's clock on.
pub const CLOCK_CARD: u32 = 1 << 2;
/// [`CLOCK`]: the longest data timeout.
pub const DATA_TIMEOUT: u32 = 0xe << 16;
/// [`CLOCK`]: reset everything.
pub const RESET_ALL: u32 = 1 << 24;
/// [`CLOCK`]: reset what has to do with the command line.
pub const RESET_COMMAND: u32 = 1 << 25;
/// [`CLOCK`]: reset what has to do with the data lines.
pub const RESET_DATA: u32 = 1 << 26;

/// [`STATUS`]: a command was sent, and answered if it is to be.
pub const COMMAND_COMPLETE: u32 = 1;
/// [`STATUS`]: all blocks were moved.
pub const TRANSFER_COMPLETE: u32 = 1 << 1;
/// [`STATUS`]: there is room for a block to write.
pub const WRITE_READY: u32 = 1 << 4;
/// [`STATUS`]: there is a block to read.
pub const READ_READY: u32 = 1 << 5;
/// [`STATUS`]: nobody answered the command.
pub const COMMAND_TIMEOUT: u32 = 1 << 16;
/// [`STATUS`]: the answer was damaged: checksum, end bit, index.
pub const COMMAND_DAMAGED: u32 = 0b111 << 17;
/// [`STATUS`]: no data, or busy for too long.
pub const DATA_TIMED_OUT: u32 = 1 << 20;
/// [`STATUS`]: data were damaged: checksum, end bit.
pub const DATA_DAMAGED: u32 = 0b11 << 21;
/// [`STATUS`]: all that went wrong.
pub const ERRORS: u32 = 0xffff << 16;
/// What of [`STATUS`] is looked at.
pub const NOTICED: u32 = COMMAND_COMPLETE
    | TRANSFER_COMPLETE
    | WRITE_READY
    | READ_READY
    | COMMAND_TIMEOUT
    | COMMAND_DAMAGED
    | DATA_TIMED_OUT
    | DATA_DAMAGED;

/// Transfer mode: several blocks, counted.
pub const MODE_BLOCKS: u32 = 1 << 1 | 1 << 5;
/// Transfer mode: from the card.
pub const MODE_READ: u32 = 1 << 4;
