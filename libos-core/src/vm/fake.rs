//! A kernel for tests: frames with contents, mappings that allow what they say, and a list of what was called.
//!
//! Not here: faults. Whoever accesses a page asks first whether it may.
#![forbid(unsafe_code)]

use super::kernel::Kernel;
use super::{Access, Contents, Page};
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use tranche_abi::layout::PAGE_SIZE;
use tranche_abi::{Error, Frame, Protection};

/// A call as it was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Called {
    Map(Page, Frame, Protection),
    Unmap(Page),
    Protect(Page, u64, Protection),
    Give(Frame),
}

/// The kernel.
#[derive(Default)]
pub struct Fake {
    pub calls: Vec<Called>,
    mapped: BTreeMap<u64, (Frame, Protection)>,
    memory: BTreeMap<u64, Contents>,
}

impl Fake {
    /// The word at an address of a page, if the access is allowed.
    pub fn access(&mut self, page: Page, word: usize, access: Access) -> Option<&mut u64> {
        let (frame, protection) = *self.mapped.get(&page.0)?;
        let allowed = access == Access::Read || protection == Protection::ReadWrite;
        if allowed { Some(&mut self.frame(frame)[word]) } else { None }
    }

    /// A frame's contents; rubbish in one that nobody wrote yet.
    pub fn frame(&mut self, frame: Frame) -> &mut Contents {
        self.memory.entry(frame.0).or_insert([0xdead_beef; PAGE_SIZE as usize / 8])
    }

    /// Takes a frame by force, after copying it to another.
    pub fn seize(&mut self, frame: Frame, saved: Option<Frame>) {
        self.mapped.retain(|_, (mapped, _)| *mapped != frame);
        let contents = *self.frame(frame);
        if let Some(saved) = saved {
            *self.frame(saved) = contents;
        }
        self.frame(frame).fill(0);
    }
}

impl Kernel for Fake {
    fn map(&mut self, page: Page, frame: Frame, protection: Protection) -> Result<(), Error> {
        assert!(!self.mapped.values().any(|(mapped, _)| *mapped == frame), "{frame:?} serves two pages");
        self.calls.push(Called::Map(page, frame, protection));
        let before = self.mapped.insert(page.0, (frame, protection));
        if before.is_none() { Ok(()) } else { Err(Error::Busy) }
    }

    fn unmap(&mut self, page: Page) -> Result<(), Error> {
        self.calls.push(Called::Unmap(page));
        self.mapped.remove(&page.0);
        Ok(())
    }

    fn protect(&mut self, first: Page, count: u64, protection: Protection) -> Result<(), Error> {
        self.calls.push(Called::Protect(first, count, protection));
        for page in first.0..first.0 + count {
            self.mapped.get_mut(&page).ok_or(Error::Absent)?.1 = protection;
        }
        Ok(())
    }

    fn give(&mut self, frame: Frame) -> Result<(), Error> {
        assert!(!self.mapped.values().any(|(mapped, _)| *mapped == frame), "{frame:?} is still in use");
        self.calls.push(Called::Give(frame));
        Ok(())
    }

    fn contents(&mut self, page: Page) -> &mut Contents {
        let (frame, _) = self.mapped[&page.0];
        self.frame(frame)
    }
}
