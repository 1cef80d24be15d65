//! A core's part of the results file on a card: an extent that is just this part, and nothing else of the card.
//!
//! Not here: the form of the file (`libos_core::card`), what is written ([`super::store`]).
#![forbid(unsafe_code)]

use crate::assignment::CardPart;
use libos_core::card::format::Region;
use libos_core::card::results::{Stream, Trouble};
use libos_core::disk::{self, Extent, Window};
use libos_core::frames::Frames;
use tranche_abi::{Capability, Error};

/// The part, as far as it is written.
pub struct Card {
    window: Window,
    extent: Capability,
    stream: Stream,
}

/// Why something does not get onto the card.
pub type CardTrouble = Trouble<disk::Trouble>;

impl Card {
    /// Takes possession of a part. `frames` are the caller's.
    pub fn open(part: &CardPart, frames: &mut Frames) -> Result<Self, CardTrouble> {
        let refused = |error: Error| Trouble::Disk(disk::Trouble::Kernel(error));
        let frame = frames.take(1).ok_or(refused(Error::Full))?.first;
        let window = Window::open(frame, &mut || frames.take(1).map(|run| run.first)).map_err(refused)?;
        let [body, mac] = part.extent;
        let region = Region { first: 0, pages: part.pages };
        let stream = Stream::new(part.run, part.stream, region);
        Ok(Self { window, extent: Capability { body, mac }, stream })
    }

    /// Writes what `each` is given piece after piece. How many bytes.
    pub fn write(
        mut self,
        pieces: impl FnOnce(&mut dyn FnMut(&[u8]) -> Result<(), CardTrouble>) -> Result<(), CardTrouble>,
    ) -> Result<u64, CardTrouble> {
        let refused = |error: Error| Trouble::Disk(disk::Trouble::Kernel(error));
        let mut extent = Extent::bind(self.extent, &mut self.window).map_err(refused)?;
        let stream = &mut self.stream;
        pieces(&mut |bytes| stream.write(&mut extent, bytes))?;
        let bytes = self.stream.end(&mut extent)?;
        extent.unbind().map_err(refused)?;
        Ok(bytes)
    }
}
