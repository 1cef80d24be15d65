//! Being asked for frames, and losing them by force: what to prepare, and how to go on.
//!
//! A [`Reserve`] is a few frames that force does not reach, shown in the activation's page together with where the kernel is
//! to copy what it takes. A page whose frame was taken goes on in the frame that it was copied to. Not here: which page is
//! given up when asked (`paged`). A frame that is taken while its very page is being copied in or out ends the activation,
//! as any fault in a handler: answer in time.
#![forbid(unsafe_code)]

use super::kernel::Kernel;
use super::store::Store;
use super::{Fate, PageTable, Replacement, Vm};
use alloc::vec::Vec;
use core::sync::atomic::Ordering::{Acquire, Relaxed};
use tranche_abi::page::{ActivationPage, MAX_RESERVE, REPOSSESSIONS};
use tranche_abi::{Error, Frame, Kind, Object, ObjectBits};

/// Frames kept back for the worst case.
pub struct Reserve {
    frames: Vec<Frame>,
    size: usize,
    /// Entries of the repossession vector that were looked at.
    seen: u64,
}

impl Reserve {
    /// A reserve of frames that nothing else uses, [`MAX_RESERVE`] at most, shown in the activation's page from now on. Further
    /// frames are not kept.
    pub fn new(own: &ActivationPage, frames: impl IntoIterator<Item = Frame>) -> Self {
        let frames: Vec<Frame> = frames.into_iter().take(MAX_RESERVE).collect();
        let reserve = Self { size: frames.len(), frames, seen: own.repossessed.load(Acquire) };
        reserve.show(own);
        reserve
    }

    /// Writes to the page which frames are kept, and that they are the places for what is taken next.
    fn show(&self, own: &ActivationPage) {
        for (n, place) in own.reserve.iter().enumerate() {
            place.store(self.frames.get(n).map_or(0, |frame| frame.0), Relaxed);
        }
        for (number, frame) in (self.seen..).zip(&self.frames) {
            own.save_to[number as usize % REPOSSESSIONS].store(frame.0, Relaxed);
        }
    }

    /// Whether something was taken since the last look.
    #[inline]
    pub fn is_behind(&self, own: &ActivationPage) -> bool {
        own.repossessed.load(Acquire) != self.seen
    }

    /// Looks at what was taken since the last time and tells `told` what became of each frame. The kernel remembers the last
    /// [`REPOSSESSIONS`] only: pages that it forgot fail when they are next touched.
    pub fn recover<T: PageTable, K: Kernel, S: Store, R: Replacement>(
        &mut self,
        own: &ActivationPage,
        vm: &mut Vm<T, K, S, R>,
        mut told: impl FnMut(Fate),
    ) {
        let end = own.repossessed.load(Acquire);
        for number in self.seen.max(end.saturating_sub(REPOSSESSIONS as u64))..end {
            let at = number as usize % REPOSSESSIONS;
            let object = Object::from_bits(ObjectBits(own.repossessions[at].object.load(Relaxed)));
            let saved = Frame(own.save_to[at].load(Relaxed));
            let place = self.frames.iter().position(|frame| *frame == saved);
            let Some(Object { kind: Kind::Frame, index }) = object else { continue };
            let fate = vm.taken(Frame(index.into()), place.map(|_| saved));
            if let (Fate::Saved(_), Some(place)) = (fate, place) {
                self.frames.swap_remove(place);
            }
            told(fate);
        }
        self.seen = end;
        self.show(own);
    }

    /// Brings the reserve back to its size, with frames of the pages that are missed least.
    pub fn refill<T: PageTable, K: Kernel, S: Store, R: Replacement>(
        &mut self,
        own: &ActivationPage,
        vm: &mut Vm<T, K, S, R>,
    ) -> Result<(), Error> {
        while self.frames.len() < self.size {
            self.frames.push(vm.release()?.ok_or(Error::Full)?);
        }
        self.show(own);
        Ok(())
    }

    /// Keeps nothing any more: gives the frames to the caller.
    pub fn close(mut self, own: &ActivationPage) -> Vec<Frame> {
        let frames = core::mem::take(&mut self.frames);
        own.save_to.iter().for_each(|place| place.store(0, Relaxed));
        self.show(own);
        frames
    }
}

/// Answers the demand for frames that the activation's page shows: gives back as many as are asked for, or all that there
/// are. How many they were.
pub fn answer<T: PageTable, K: Kernel, S: Store, R: Replacement>(
    own: &ActivationPage,
    vm: &mut Vm<T, K, S, R>,
) -> Result<u64, Error> {
    vm.give_back(own.frame_demand.count.load(Acquire))
}
