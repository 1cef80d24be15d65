//! A page of blocks between a card and memory, step by step.
//!
//! Each step looks at the controller once, and sends a command or moves a block at most. What goes wrong is tried again from the
//! page's first block, a few times; then whoever wants the page is told. Invariant: a card is told to stop before it is given
//! another command for data, whatever was broken off.

use super::host::{Command, Host, fault};
use super::identify::Card;
use super::registers::*;
use core::sync::atomic::Ordering::Relaxed;
use tranche_abi::layout::{BLOCK_SIZE, PAGE_BLOCKS};
use tranche_abi::{Direction, DiskFault, Progress};
use tranche_kernel::disk::{Driver, Request, Words};

/// Words of a block.
const BLOCK_WORDS: usize = BLOCK_SIZE as usize / 4;
/// Times that a page is tried.
const TRIES: u32 = 3;
/// Microseconds for a command's answer.
const ANSWER_MICROS: u64 = 100_000;
/// Microseconds that a card may be busy, with a block to be read or after one was written: twice what it should (PL 4.6.2).
const BUSY_MICROS: u64 = 1_000_000;

/// A card's status: what went wrong (PL 4.10.1, the bits of type error but those of erasing).
const CARD_ERRORS: u32 = 0xe5f9_0008;
/// A card's status: a block that must not be written was to be.
const WRITE_VIOLATION: u32 = 1 << 26;
/// A card's status: it was read up to its end, which is said of its last block as well.
const OUT_OF_RANGE: u32 = 1 << 31;
/// A card's status: it takes data, in the state in which it waits for commands for them.
const READY: u32 = 1 << 8 | 4 << 9;
const READY_BITS: u32 = 1 << 8 | 0xf << 9;

/// What a command is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Purpose {
    /// Whatever was under way is to stop.
    Abort,
    /// Is that over?
    Settle,
    /// The blocks.
    Move,
    /// That was the last block.
    Stop,
    /// Are they there for good?
    Verify,
}

/// How far a page is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Nothing is under way, and the card waits for commands.
    Rest,
    /// Nothing is under way, and the card is who knows where.
    Broken,
    /// This is to be sent.
    Ask(Purpose),
    /// This was sent.
    Answer(Purpose),
    /// So many blocks were moved.
    Data(u64),
}

/// A card that can be read and written.
pub struct Disk<P> {
    host: Host<P>,
    card: Card,
    request: Request,
    stage: Stage,
    tries: u32,
    /// When the present stage has lasted too long.
    until: u64,
}

impl<P: Port> Disk<P> {
    /// A card that was identified.
    pub fn new(host: Host<P>, card: Card) -> Self {
        let request = Request { block: 0, direction: Direction::Read };
        Self { host, card, request, stage: Stage::Rest, tries: 0, until: 0 }
    }

    fn go_on(&mut self, stage: Stage, micros: u64) -> Progress {
        self.stage = stage;
        self.until = self.host.micros() + micros;
        Progress::Again
    }

    /// Nothing to do yet.
    fn wait(&mut self, late: DiskFault) -> Progress {
        if self.host.micros() < self.until { Progress::Wait } else { self.fail(late) }
    }

    /// Tries the page again, or gives it up.
    fn fail(&mut self, fault: DiskFault) -> Progress {
        self.tries += 1;
        self.stage = Stage::Broken;
        if self.tries >= TRIES || fault == DiskFault::WriteProtected {
            return Progress::Failed(fault);
        }
        self.clean_up()
    }

    fn clean_up(&mut self) -> Progress {
        self.host.reset_lines(RESET_COMMAND | RESET_DATA);
        self.go_on(Stage::Ask(Purpose::Abort), ANSWER_MICROS)
    }

    fn ask(&mut self, purpose: Purpose) -> Progress {
        let data = if purpose == Purpose::Move { DATA_INHIBIT } else { 0 };
        if !self.host.is_ready(COMMAND_INHIBIT | data) {
            return self.wait(DiskFault::TooSlow);
        }
        let Card { address, high_capacity, .. } = self.card;
        let block = self.request.block as u32;
        let at = if high_capacity { block } else { block.wrapping_mul(BLOCK_SIZE as u32) };
        match purpose {
            Purpose::Abort | Purpose::Stop => self.host.send(Command::STOP, 0),
            Purpose::Settle | Purpose::Verify => self.host.send(Command::SEND_STATUS, address),
            Purpose::Move => {
                let command = match self.request.direction {
                    Direction::Read => Command::READ,
                    Direction::Write => Command::WRITE,
                };
                self.host.write(BLOCKS, (PAGE_BLOCKS as u32) << 16 | BLOCK_SIZE as u32);
                self.host.send(command, at);
            }
        }
        match purpose {
            // Asked again and again, for as long as the card may be busy in all.
            Purpose::Settle | Purpose::Verify => self.stage = Stage::Answer(purpose),
            _ => _ = self.go_on(Stage::Answer(purpose), ANSWER_MICROS),
        }
        Progress::Again
    }

    fn hear(&mut self, purpose: Purpose) -> Progress {
        let Some(answer) = self.host.answer() else { return self.wait(DiskFault::NoAnswer) };
        let status = match answer {
            Ok([status, ..]) => status,
            // A card that had nothing to stop does not answer.
            Err(_) if purpose == Purpose::Abort => READY,
            Err(fault) => return self.fail(fault),
        };
        let errors = match purpose {
            Purpose::Abort | Purpose::Settle => 0, // of what was broken off
            Purpose::Stop => CARD_ERRORS & !OUT_OF_RANGE,
            Purpose::Move | Purpose::Verify => CARD_ERRORS,
        };
        match (purpose, status & READY_BITS == READY) {
            _ if status & errors & WRITE_VIOLATION != 0 => self.fail(DiskFault::WriteProtected),
            _ if status & errors != 0 => self.fail(DiskFault::Refused),
            (Purpose::Abort, _) => self.go_on(Stage::Ask(Purpose::Settle), BUSY_MICROS),
            (Purpose::Stop, _) => self.go_on(Stage::Ask(Purpose::Verify), BUSY_MICROS),
            (Purpose::Move, _) => self.go_on(Stage::Data(0), BUSY_MICROS),
            (Purpose::Settle, true) => self.go_on(Stage::Ask(Purpose::Move), BUSY_MICROS),
            (Purpose::Verify, true) => {
                self.stage = Stage::Rest;
                Progress::Done
            }
            (Purpose::Settle | Purpose::Verify, false) => {
                self.stage = Stage::Ask(purpose);
                self.wait(DiskFault::TooSlow)
            }
        }
    }

    fn move_block(&mut self, moved: u64, page: &Words) -> Progress {
        let status = self.host.read(STATUS);
        if let Some(fault) = fault(status) {
            return self.fail(fault);
        }
        let ready = match self.request.direction {
            _ if moved == PAGE_BLOCKS => TRANSFER_COMPLETE,
            Direction::Read => READ_READY,
            Direction::Write => WRITE_READY,
        };
        if status & ready == 0 {
            return self.wait(DiskFault::TooSlow);
        }
        self.host.write(STATUS, ready);
        if moved == PAGE_BLOCKS {
            return self.go_on(Stage::Ask(Purpose::Stop), ANSWER_MICROS);
        }
        for word in &page[moved as usize * BLOCK_WORDS..][..BLOCK_WORDS] {
            match self.request.direction {
                Direction::Read => word.store(self.host.read(DATA), Relaxed),
                Direction::Write => self.host.write(DATA, word.load(Relaxed)),
            }
        }
        self.go_on(Stage::Data(moved + 1), BUSY_MICROS)
    }
}

impl<P: Port> Driver for Disk<P> {
    fn blocks(&self) -> u64 {
        self.card.blocks
    }

    fn begin(&mut self, request: Request) {
        (self.request, self.tries) = (request, 0);
        match self.stage {
            Stage::Rest => self.go_on(Stage::Ask(Purpose::Move), BUSY_MICROS),
            _ => self.clean_up(),
        };
    }

    fn step(&mut self, page: &Words) -> Progress {
        if self.request.direction == Direction::Write && !self.card.writable {
            return Progress::Failed(DiskFault::WriteProtected);
        }
        match self.stage {
            Stage::Ask(purpose) => self.ask(purpose),
            Stage::Answer(purpose) => self.hear(purpose),
            Stage::Data(moved) => self.move_block(moved, page),
            // Nothing was begun.
            Stage::Rest | Stage::Broken => Progress::Failed(DiskFault::NoAnswer),
        }
    }
}
