//! On what a run was made, read back from its `results.json`.

use crate::Failure;
use crate::qemu::{Board, Clock};
use std::path::Path;

/// On what a run was made, as its results say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The board.
    pub board: Board,
    /// What made time pass on it.
    pub clock: Clock,
}

impl Origin {
    /// Of the run that left this `results.json`.
    ///
    /// # Errors
    /// If these are no results of a machine, with the file's name.
    pub fn read(file: &Path) -> Result<Self, Failure> {
        let text = std::fs::read_to_string(file).map_err(Failure::with(file.display()))?;
        let value: serde_json::Value = serde_json::from_str(&text).map_err(Failure::with(file.display()))?;
        let board = [Board::Virt, Board::Rpi4].into_iter().find(|board| value["board"] == board.name());
        let clocks = [Clock::Instructions, Clock::Host, Clock::Board];
        let clock = clocks.into_iter().find(|clock| value["clock"] == clock.name());
        let origin = board.zip(clock).map(|(board, clock)| Self { board, clock });
        origin.ok_or_else(|| {
            Failure(format!("{}: these are not the results of a run on a machine", file.display()))
        })
    }

    /// Its word, for people who put machines side by side.
    pub fn word(self) -> &'static str {
        match (self.board, self.clock) {
            (Board::Virt, Clock::Instructions) => "QEMU virt",
            (Board::Virt, Clock::Host | Clock::Board) => "QEMU virt, real time",
            (Board::Rpi4, Clock::Instructions) => "QEMU raspi4b",
            (Board::Rpi4, Clock::Host) => "QEMU raspi4b, real time",
            (Board::Rpi4, Clock::Board) => "Raspberry Pi 4",
        }
    }
}
