//! Mapping more than one call can: any number of frames, with the page tables that are missing on the way.
//!
//! Not here: which frames (`frames`), what for (`spawn`).

use crate::calls;
use crate::frames::Run;
use crate::{layout, page};
use tranche_abi::layout::{HANDLE_SELF, MAX_BATCH, PAGE_SIZE};
use tranche_abi::{Address, Error, Frame, Handle, Protection};

/// Pages that one page table of the last level covers: a batch that crosses such a border may want two tables.
const TABLE_PAGES: u64 = 512;

/// An environment to map into, and where frames for its page tables come from.
pub struct Space<'a> {
    /// The environment.
    pub env: Handle,
    /// Takes a frame that becomes a page table of the environment's.
    pub table: &'a mut dyn FnMut() -> Option<Frame>,
}

impl Space<'_> {
    /// Maps all of `run` from `address` on.
    pub fn map(&mut self, address: Address, run: Run, protection: Protection) -> Result<(), Error> {
        let mut done = 0;
        while done < run.count {
            let at = Address(address.0 + done * PAGE_SIZE);
            let to_border = TABLE_PAGES - at.0 / PAGE_SIZE % TABLE_PAGES;
            let count = (run.count - done).min(to_border).min(MAX_BATCH);
            let first = Frame(run.first.0 + done);
            let env = self.env;
            self.with_tables(at, || calls::map(env, at, first, count, protection))?;
            done += count;
        }
        Ok(())
    }

    /// Makes a call that needs the page tables for `address`, and installs those that are missing. Where another activation
    /// of the caller's was faster, the frame taken for a table serves as the next one, or stays unused.
    pub fn with_tables(
        &mut self,
        address: Address,
        mut call: impl FnMut() -> Result<(), Error>,
    ) -> Result<(), Error> {
        let mut spare = None;
        loop {
            match call() {
                Err(Error::NoTable) => {
                    let frame = spare.take().or_else(|| (self.table)()).ok_or(Error::NoTable)?;
                    match calls::table(self.env, address, frame) {
                        Err(Error::Busy) => spare = Some(frame),
                        result => _ = result?,
                    }
                }
                result => return result,
            }
        }
    }
}

/// Removes `pages` mappings from `address` on.
pub fn unmap(env: Handle, address: Address, pages: u64) -> Result<(), Error> {
    let all = Run { first: Frame(0), count: pages };
    for (offset, piece) in all.pieces(MAX_BATCH) {
        calls::unmap(env, Address(address.0 + offset * PAGE_SIZE), piece.count)?;
    }
    Ok(())
}

/// Gives all of `run` to an environment.
pub fn give(run: Run, to: Handle) -> Result<(), Error> {
    run.pieces(MAX_BATCH).try_for_each(|(_, piece)| calls::frame_give(piece.first, piece.count, to))
}

/// Fills the frames of `run`, the caller's and mapped nowhere, with `contents` and zeros after it.
pub fn fill(run: Run, contents: &[u8], table: &mut dyn FnMut() -> Option<Frame>) -> Result<(), Error> {
    with(run, table, |offset, memory| {
        let begin = contents.len().min(offset);
        let part = &contents[begin..contents.len().min(begin + memory.len())];
        let (filled, rest) = memory.split_at_mut(part.len());
        filled.copy_from_slice(part);
        rest.fill(0);
    })
}

/// Does something with the memory of `run`'s frames, the caller's and mapped nowhere, piece by piece: with the offset of each in bytes.
///
/// Works in the window that `layout` has for this activation.
pub fn with(
    run: Run,
    table: &mut dyn FnMut() -> Option<Frame>,
    mut action: impl FnMut(usize, &mut [u8]),
) -> Result<(), Error> {
    let window = Address(layout::SCRATCH_BASE + page::index() * layout::SCRATCH_STRIDE);
    for (offset, piece) in run.pieces(MAX_BATCH) {
        Space { env: HANDLE_SELF, table }.map(window, piece, Protection::ReadWrite)?;
        let bytes = (piece.count * PAGE_SIZE) as usize;
        // SAFETY: The kernel has just mapped that many writable bytes there, and nobody else uses this activation's
        // window. The reference ends before they are unmapped.
        let memory = unsafe {
            core::slice::from_raw_parts_mut(
                core::ptr::with_exposed_provenance_mut::<u8>(window.0 as usize),
                bytes,
            )
        };
        action((offset * PAGE_SIZE) as usize, memory);
        calls::unmap(HANDLE_SELF, window, piece.count)?;
    }
    Ok(())
}
