//! The results file of a card: taken from the card as a file, or out of a card's whole image.

use super::{Collected, Order};
use crate::Failure;
use crate::conclude::SUCCESS;
use crate::sd::disk;
use libos_core::card::{
    self,
    format::{self, State},
};
use std::fs;
use std::path::Path;

/// Where a partition table has its signature, and what it is (UEFI Specification, 5.2.1).
const SIGNATURE: (std::ops::Range<usize>, [u8; 2]) = (510..512, [0x55, 0xaa]);

/// What is in a results file, or in that of a card's image.
///
/// # Errors
/// If that is neither, or no run has written into it; in words, with the file's name.
pub fn collect(order: &Order, path: &Path) -> Result<Collected, Failure> {
    let bytes = fs::read(path).map_err(Failure::with(path.display()))?;
    let named = |Failure(why)| Failure(format!("{}: {why}", path.display()));
    let file =
        if bytes.get(SIGNATURE.0) == Some(&SIGNATURE.1) { from_image(&bytes).map_err(named)? } else { bytes };
    let contents = format::read(&file).map_err(|why| named(Failure(why.to_string())))?;
    let mut losses: Vec<String> = contents.damage.iter().map(ToString::to_string).collect();
    match contents.state {
        State::Blank => return Err(named(Failure("no run has written into it".into()))),
        State::Begun => losses.push(
            "what comes after this: the run did not come to its end, or not all of it onto the card".into(),
        ),
        State::Complete => {}
    }
    let mut console = order.console()?;
    let mut lines = Vec::new();
    contents.streams.iter().for_each(|stream| lines.extend(console.hear(stream)));
    lines.extend(console.close());
    let mut outcome = console.into_outcome();
    outcome.status = (contents.state == State::Complete).then_some(SUCCESS);
    order.conclude(outcome, &lines, &losses)
}

fn from_image(image: &[u8]) -> Result<Vec<u8>, Failure> {
    let mut files = disk::read(image)?;
    files.remove(card::FILE).ok_or_else(|| Failure(format!("a card without a file {}", card::FILE)))
}
