//! From power to a card that can be read and written: identification (PL 4.2), once, at boot.
//!
//! The only part that waits: nothing else runs yet. Every wait has an end.

use super::host::{Command, Host};
use super::registers::*;
use core::fmt;
use tranche_abi::DiskFault;

/// Hertz for identification: 400 kHz at most (PL 4.2.1).
const SLOW: u32 = 400_000;
/// Hertz afterwards: default speed (PL 4.3.1).
const FAST: u32 = 25_000_000;
/// Microseconds for a command's answer; a controller gives up after 64 clocks.
const ANSWER_MICROS: u64 = 100_000;
/// Microseconds for a card to get ready (PL 4.2.3).
const READY_MICROS: u64 = 1_000_000;
/// Times that a command is sent.
const TRIES: u32 = 3;

/// CMD8's argument: 2.7 to 3.6 V, and a pattern that comes back.
const CONDITION: u32 = 0x1aa;
/// ACMD41: 2.7 to 3.6 V.
const VOLTAGES: u32 = 0x00ff_8000;
/// ACMD41: high capacity is understood, or the card has it.
const HIGH_CAPACITY: u32 = 1 << 30;
/// ACMD41's answer: the card is ready.
const READY: u32 = 1 << 31;
/// CMD16: bytes of a block.
const BLOCK: u32 = 512;
/// ACMD6: four lines.
const WIDTH: u32 = 2;

/// A card.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Card {
    /// Its address on the bus, as in arguments.
    pub address: u32,
    /// Blocks of 512 bytes.
    pub blocks: u64,
    /// Whether it counts in blocks; otherwise in bytes.
    pub high_capacity: bool,
    /// Whether it can be written.
    pub writable: bool,
}

/// Why there is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Absent {
    /// The slot is empty, or what is in it is no memory card.
    NoCard,
    /// The controller does not do what it should.
    NoController,
    /// The card cannot do with 3.3 V, or never gets ready.
    Unusable,
    /// It stopped to answer.
    Failed(DiskFault),
}

/// What is known of a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot {
    /// Hertz of the clock that is divided; `None` to ask the controller.
    pub base_clock: Option<u32>,
    /// Whether the controller sees that there is a card.
    pub detects: Detects,
}

/// Whether a controller sees that there is a card.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detects {
    /// It does.
    Cards,
    /// It does not (`broken-cd`): whoever wants to know asks for an answer.
    Nothing,
}

/// The fastest base clock that is known, in hertz: taken where none is, so that a card runs slower than it might and not faster.
pub const UNKNOWN_BASE_CLOCK: u32 = 200_000_000;

impl<P: Port> Host<P> {
    /// Brings the controller and the card up.
    pub fn identify(&mut self, slot: Slot) -> Result<Card, Absent> {
        if slot.detects == Detects::Cards && self.read(PRESENT) & INSERTED == 0 {
            return Err(Absent::NoCard);
        }
        self.write(CLOCK, RESET_ALL);
        if !self.wait(CLOCK, (RESET_ALL, 0), 100_000) {
            return Err(Absent::NoController);
        }
        let known = self.read(CAPABILITIES) >> 8 & 0xff;
        let from_controller = if known == 0 { UNKNOWN_BASE_CLOCK } else { known * 1_000_000 };
        let base = slot.base_clock.unwrap_or(from_controller);
        self.write(STATUS_ENABLE, NOTICED);
        self.write(SIGNAL_ENABLE, 0);
        self.write(CONTROL, POWER);
        if !self.set_clock(base, SLOW) {
            return Err(Absent::NoController);
        }
        self.pause(2_000); // 74 clocks and a millisecond (PL 6.4.1)
        let card = self.meet()?;
        if !self.set_clock(base, FAST) {
            return Err(Absent::NoController);
        }
        Ok(card)
    }

    fn meet(&mut self) -> Result<Card, Absent> {
        self.ask(Command::RESET, 0).map_err(Absent::Failed)?;
        let version_2 = match self.ask_once(Command::SEND_CONDITION, CONDITION) {
            Ok([echo, ..]) if echo & 0xfff == CONDITION => true,
            Ok(_) => return Err(Absent::Unusable),
            Err(_) => false,
        };
        let high_capacity = self.get_ready(if version_2 { HIGH_CAPACITY } else { 0 })?;
        self.introduce(high_capacity).map_err(Absent::Failed)
    }

    /// Asks until the card is ready. Whether it has high capacity.
    fn get_ready(&mut self, capacity: u32) -> Result<bool, Absent> {
        let until = self.micros() + READY_MICROS;
        // What is no memory card knows no application's commands.
        self.ask(Command::APPLICATION, 0).map_err(|_| Absent::NoCard)?;
        loop {
            let [condition, ..] =
                self.ask(Command::SEND_OPERATING, VOLTAGES | capacity).map_err(|_| Absent::NoCard)?;
            if condition & READY != 0 {
                return Ok(condition & HIGH_CAPACITY != 0);
            }
            if self.micros() >= until {
                return Err(Absent::Unusable);
            }
            self.pause(10_000);
            self.ask(Command::APPLICATION, 0).map_err(Absent::Failed)?;
        }
    }

    fn introduce(&mut self, high_capacity: bool) -> Result<Card, DiskFault> {
        self.ask(Command::ALL_SEND_ID, 0)?;
        let [address, ..] = self.ask(Command::SEND_ADDRESS, 0)?;
        let address = address & 0xffff_0000;
        let specific = self.ask(Command::SEND_SPECIFIC, address)?;
        self.ask(Command::SELECT, address)?;
        self.ask(Command::APPLICATION, address)?;
        self.ask(Command::SET_WIDTH, WIDTH)?;
        self.write(CONTROL, POWER | FOUR_LINES);
        self.ask(Command::SET_BLOCK, BLOCK)?;
        let switch = self.read(PRESENT) & WRITABLE != 0;
        let writable = switch && field(specific, 12, 2) == 0;
        Ok(Card { address, blocks: blocks(specific), high_capacity, writable })
    }

    /// Sends a command until it is answered, a few times.
    fn ask(&mut self, command: Command, argument: u32) -> Result<[u32; 4], DiskFault> {
        let mut answer = self.ask_once(command, argument);
        for _ in 1..TRIES {
            if answer.is_err() {
                answer = self.ask_once(command, argument);
            }
        }
        answer
    }

    fn ask_once(&mut self, command: Command, argument: u32) -> Result<[u32; 4], DiskFault> {
        let until = self.micros() + ANSWER_MICROS;
        while !self.is_ready(COMMAND_INHIBIT) {
            if self.micros() >= until {
                return Err(DiskFault::TooSlow);
            }
        }
        self.send(command, argument);
        loop {
            match self.answer() {
                Some(answer) => return answer,
                None if self.micros() >= until => return Err(DiskFault::NoAnswer),
                None => {}
            }
        }
    }
}

/// `length` bits of a card's long answer from bit `low` on (PL 5.3). A controller keeps it without its lowest eight bits.
fn field(answer: [u32; 4], low: u32, length: u32) -> u32 {
    let bits = answer.iter().rev().fold(0u128, |bits, word| bits << 32 | u128::from(*word));
    (bits >> (low - 8)) as u32 & ((1 << length) - 1)
}

/// Blocks of 512 bytes that a card has (PL 5.3.2, 5.3.3).
fn blocks(specific: [u32; 4]) -> u64 {
    if field(specific, 126, 2) == 0 {
        let (size, multiplier, length) =
            (field(specific, 62, 12), field(specific, 47, 3), field(specific, 80, 4));
        (u64::from(size) + 1) << (multiplier + 2 + length) >> 9
    } else {
        (u64::from(field(specific, 48, 22)) + 1) << 10
    }
}

impl fmt::Display for Absent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoCard => write!(f, "no memory card"),
            Self::NoController => write!(f, "the controller does not come up"),
            Self::Unusable => write!(f, "the card cannot do with 3.3 V, or does not get ready"),
            Self::Failed(fault) => write!(f, "the card does not answer as it should: {fault:?}"),
        }
    }
}
