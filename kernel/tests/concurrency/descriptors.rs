//! Descriptors that an environment protects without a lock while others change them under it. See the crate's root.
#![forbid(unsafe_code)]

use super::Torn;
use loom::sync::Arc;
use loom::sync::atomic::{AtomicU64, Ordering::Relaxed};
use loom::thread;
use tranche_kernel::word::{Shared, amend};

/// Descriptors: the frame from bit 8 up, whether the page can be written, whether it is marked as its environment's own.
const OWN: u64 = 1;
const WRITE: u64 = 2;

/// A word of the checker's that is stored by an exchange: otherwise it forgets that nothing comes between a value and what a
/// compare-and-swap replaces it by.
struct Descriptor(AtomicU64);

impl Shared for Descriptor {
    fn load(&self) -> u64 {
        self.0.load(Relaxed)
    }

    fn store(&self, value: u64) {
        self.0.swap(value, Relaxed);
    }

    fn compare_exchange(&self, from: u64, to: u64) -> Result<u64, u64> {
        self.0.compare_exchange(from, to, Relaxed, Relaxed)
    }
}

/// An environment protects its page for reading while the frame is seized, and another one is mapped in its place for it.
fn protect_and_seize<W: Shared + Send + Sync + 'static>(place: Arc<W>) {
    const ANOTHER: u64 = 0x200 | WRITE;
    place.store(0x100 | WRITE | OWN);
    let protecting = {
        let place = place.clone();
        thread::spawn(move || amend(&*place, |page| (page & OWN != 0).then_some(page & !WRITE)))
    };
    // Under the ownership lock, which `protect` of one's own pages does not take.
    place.store(0);
    assert_eq!(place.load(), 0, "it is mapped after it was seized");
    place.store(ANOTHER);
    let before = protecting.join().expect("the other core ends");
    assert!(before.is_none_or(|page| page == 0x100 | WRITE | OWN), "what is not its own is protected");
    assert_eq!(place.load(), ANOTHER, "another's page was changed, or a seized one is back");
}

#[test]
fn a_page_that_is_protected_while_its_frame_is_seized_stays_gone() {
    loom::model(|| protect_and_seize(Arc::new(Descriptor(AtomicU64::new(0)))));
}

#[test]
#[should_panic(expected = "seized")]
fn a_protection_by_load_and_store_is_found_to_be_wrong() {
    loom::model(|| protect_and_seize(Arc::new(Torn(AtomicU64::new(0)))));
}
