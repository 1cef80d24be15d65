//! A controller with a card in it, for tests: what the specifications say that they do, and what goes wrong with them.

use super::registers::*;
use std::vec::Vec;

/// Words of a block.
const WORDS: usize = 128;

/// What the card does otherwise than it should. Each number counts down to nothing.
#[derive(Clone, Debug, Default)]
pub struct Trouble {
    /// Commands that nobody answers.
    pub silent: u32,
    /// Answers that are damaged.
    pub damaged: u32,
    /// Blocks of data that are damaged.
    pub data_damaged: u32,
    /// Looks at the status for which the card is busy after a page was written.
    pub busy: u32,
    /// Looks at the status before each block is ready.
    pub slow: u32,
    /// Bits of the status with which data commands are answered.
    pub refuses: u32,
}

/// The state of a card (PL 4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Not yet told to get ready.
    Idle,
    /// Known by an address.
    Standby,
    /// Waits for data commands.
    Transfer,
    /// Sends.
    Sending,
    /// Receives.
    Receiving,
}

/// Controller and card.
pub struct Fake {
    registers: [u32; 64],
    now: u64,
    /// Blocks; none without a card.
    pub blocks: Vec<[u32; WORDS]>,
    /// Whether it has high capacity.
    pub high_capacity: bool,
    /// Whether it knows CMD8.
    pub version_2: bool,
    /// The state in which the card is.
    pub state: State,
    /// What goes wrong.
    pub trouble: Trouble,
    /// ACMD41 that are still answered by "not yet".
    pub unready: u32,
    /// The card's own protection.
    pub protected: bool,
    /// Every command that was sent.
    pub commands: Vec<u32>,
    application: bool,
    at: usize,
    left: u32,
    word: usize,
    looks: u32,
}

const ADDRESS: u32 = 0x1234_0000;

impl Fake {
    /// A card of high capacity with so many blocks, of which each is full of its number.
    pub fn new(blocks: u32) -> Self {
        let mut registers = [0; 64];
        registers[PRESENT / 4] = if blocks > 0 { INSERTED } else { 0 } | WRITABLE;
        registers[CAPABILITIES / 4] = 50 << 8;
        Self {
            registers,
            now: 0,
            blocks: (0..blocks).map(|number| [number; WORDS]).collect(),
            high_capacity: true,
            version_2: true,
            state: State::Idle,
            trouble: Trouble::default(),
            unready: 2,
            protected: false,
            commands: Vec::new(),
            application: false,
            at: 0,
            left: 0,
            word: 0,
            looks: 0,
        }
    }

    /// The card's switch is set against writing.
    pub fn lock_switch(&mut self) {
        self.registers[PRESENT / 4] &= !WRITABLE;
    }

    /// The clock that the card has, in hertz.
    pub fn clock(&self) -> u32 {
        let clock = self.registers[CLOCK / 4];
        assert_eq!(clock & (CLOCK_CARD | CLOCK_INTERNAL), CLOCK_CARD | CLOCK_INTERNAL);
        50_000_000 / (2 * (clock >> 8 & 0xff | (clock >> 6 & 3) << 8)).max(1)
    }

    /// The width that both ends have.
    pub fn width(&self) -> u32 {
        self.registers[CONTROL / 4] & FOUR_LINES
    }

    fn raise(&mut self, bits: u32) {
        self.registers[STATUS / 4] |= bits & self.registers[STATUS_ENABLE / 4];
    }

    fn status(&mut self) -> u32 {
        let busy = self.trouble.busy > 0 && self.state == State::Transfer;
        self.trouble.busy -= u32::from(busy);
        let state = match self.state {
            _ if busy => 7,
            State::Idle => 0,
            State::Standby => 3,
            State::Transfer => 4,
            State::Sending => 5,
            State::Receiving => 6,
        };
        state << 9 | u32::from(!busy) << 8
    }

    /// The card takes a command: its answer, if it has one.
    fn obey(&mut self, index: u32, argument: u32) -> Option<[u32; 4]> {
        let application = core::mem::take(&mut self.application);
        let short = |word| Some([word, 0, 0, 0]);
        let status = self.status();
        match (index, self.state) {
            (0, _) => {
                self.state = State::Idle;
                Some([0; 4])
            }
            (8, State::Idle) if self.version_2 => short(argument & 0xfff),
            (55, _) => {
                self.application = true;
                short(status | 1 << 5)
            }
            (41, State::Idle) if application => {
                assert_ne!(argument & 0x00ff_8000, 0, "no voltage");
                let ready = self.unready == 0;
                self.unready = self.unready.saturating_sub(1);
                let high = self.high_capacity && argument >> 30 & 1 == 1;
                short(u32::from(ready) << 31 | u32::from(high) << 30 | 0x00ff_8000)
            }
            (2, State::Idle) => Some([1, 2, 3, 4]),
            (3, State::Idle) => {
                self.state = State::Standby;
                short(ADDRESS)
            }
            (9, State::Standby) => Some(self.specific()),
            (7, State::Standby) if argument == ADDRESS => {
                self.state = State::Transfer;
                short(status)
            }
            (6, State::Transfer) if application => short(status),
            (16, State::Transfer) if argument == 512 => short(status),
            (13, _) if argument == ADDRESS => short(status),
            (12, State::Sending | State::Receiving) => {
                self.state = State::Transfer;
                short(status)
            }
            (18 | 25, State::Transfer) => self.move_blocks(index, argument, status),
            _ => None,
        }
    }

    fn move_blocks(&mut self, index: u32, argument: u32, status: u32) -> Option<[u32; 4]> {
        if self.trouble.refuses != 0 {
            return Some([status | core::mem::take(&mut self.trouble.refuses), 0, 0, 0]);
        }
        self.at = if self.high_capacity { argument } else { argument / 512 } as usize;
        self.left = self.registers[BLOCKS / 4] >> 16;
        assert_eq!(self.registers[BLOCKS / 4] & 0xfff, 512);
        if self.at + self.left as usize > self.blocks.len() {
            return Some([status | 1 << 31, 0, 0, 0]);
        }
        (self.word, self.looks) = (0, 0);
        self.state = if index == 18 { State::Sending } else { State::Receiving };
        Some([status, 0, 0, 0])
    }

    /// A controller's four words of a CSD of version 1 or 2 (PL 5.3).
    fn specific(&self) -> [u32; 4] {
        let blocks = self.blocks.len() as u128;
        let bits = if self.high_capacity {
            1 << 126 | (blocks / 1024 - 1) << 48
        } else {
            // 512-byte blocks, times 512.
            9 << 80 | (blocks / 512 - 1) << 62 | 7 << 47
        };
        let bits = (bits | u128::from(self.protected) << 13) >> 8;
        [0, 32, 64, 96].map(|at| (bits >> at) as u32)
    }

    fn command(&mut self, value: u32) {
        let index = value >> 24 & 0x3f;
        self.commands.push(index);
        if self.blocks.is_empty() || take(&mut self.trouble.silent) {
            return self.raise(if index == 0 { COMMAND_COMPLETE } else { COMMAND_TIMEOUT });
        }
        let Some(answer) = self.obey(index, self.registers[ARGUMENT / 4]) else {
            return self.raise(COMMAND_TIMEOUT);
        };
        if take(&mut self.trouble.damaged) {
            return self.raise(1 << 17);
        }
        self.registers[RESPONSE / 4..][..4].copy_from_slice(&answer);
        self.raise(COMMAND_COMPLETE);
    }

    /// The next block is ready, some looks after the one before it.
    fn look(&mut self) {
        if !matches!(self.state, State::Sending | State::Receiving) || self.word != 0 {
            return;
        }
        self.looks += 1;
        if self.looks <= self.trouble.slow {
            return;
        }
        match self.state {
            _ if take(&mut self.trouble.data_damaged) => self.raise(1 << 21),
            _ if self.left == 0 => self.raise(TRANSFER_COMPLETE),
            State::Sending => self.raise(READ_READY),
            _ => self.raise(WRITE_READY),
        }
    }

    fn next_word(&mut self) -> &mut u32 {
        assert!(self.left > 0, "more data than asked for");
        let (at, word) = (self.at, self.word);
        self.word += 1;
        if self.word == WORDS {
            (self.word, self.looks) = (0, 0);
            self.at += 1;
            self.left -= 1;
        }
        &mut self.blocks[at][word]
    }
}

fn take(count: &mut u32) -> bool {
    let is_due = *count > 0;
    *count -= u32::from(is_due);
    is_due
}

impl Port for &mut Fake {
    fn read(&mut self, register: usize) -> u32 {
        assert_eq!(register % 4, 0);
        match register {
            STATUS => {
                self.look();
                self.registers[STATUS / 4]
            }
            DATA if self.state == State::Sending => *self.next_word(),
            DATA => panic!("nothing is sent"),
            _ => self.registers[register / 4],
        }
    }

    fn write(&mut self, register: usize, value: u32) {
        assert_eq!(register % 4, 0);
        match register {
            STATUS => self.registers[STATUS / 4] &= !value,
            DATA if self.state == State::Receiving => *self.next_word() = value,
            DATA => {} // lost
            CLOCK => {
                let stable = if value & CLOCK_INTERNAL != 0 { CLOCK_STABLE } else { 0 };
                self.registers[CLOCK / 4] = value & !(RESET_ALL | RESET_COMMAND | RESET_DATA) | stable;
                if value & RESET_DATA != 0 {
                    self.registers[STATUS / 4] = 0;
                }
            }
            COMMAND => self.command(value),
            _ => self.registers[register / 4] = value,
        }
    }

    fn micros(&mut self) -> u64 {
        self.now += 1;
        self.now
    }
}
