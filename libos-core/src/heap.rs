//! The heap: one global allocator over the range that the creator mapped, shared by all activations.
//!
//! Not here: how the range is mapped (`spawn`, `start`). A fault handler must not allocate: it may have interrupted the
//! allocator.

use crate::critical::Lock;
use core::alloc::{GlobalAlloc, Layout};
use core::ptr::{self, NonNull};
use linked_list_allocator::Heap as Ranges;

/// A first-fit heap under a lock that is only held in critical sections.
pub struct Heap(Lock<Ranges>);

#[cfg(target_os = "none")]
#[global_allocator]
static HEAP: Heap = Heap::empty();

impl Heap {
    /// A heap that has nothing to give yet.
    pub const fn empty() -> Self {
        Self(Lock::new(Ranges::empty()))
    }

    /// Gives the heap its range; the first of several activations that say so does it.
    ///
    /// # Safety
    /// The range is mapped readable and writable for as long as the environment lives, and nothing else uses it.
    pub unsafe fn begin(&self, address: usize, bytes: usize) {
        let mut ranges = self.0.lock();
        if ranges.size() == 0 {
            // SAFETY: Passed on to the caller.
            unsafe { ranges.init(ptr::with_exposed_provenance_mut(address), bytes) };
        }
    }

    /// Bytes that are not allocated.
    pub fn free_bytes(&self) -> usize {
        self.0.lock().free()
    }
}

// SAFETY: The blocks come from a heap that was given a range of its own, and the lock keeps it consistent.
unsafe impl GlobalAlloc for Heap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        self.0.lock().allocate_first_fit(layout).map_or(ptr::null_mut(), NonNull::as_ptr)
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        if let Some(block) = NonNull::new(block) {
            // SAFETY: The caller got the block from `alloc` with this layout.
            unsafe { self.0.lock().deallocate(block, layout) };
        }
    }
}

/// Gives the program's heap its range. See [`Heap::begin`].
///
/// # Safety
/// As there.
#[cfg(target_os = "none")]
pub(crate) unsafe fn begin(address: usize, bytes: usize) {
    // SAFETY: Passed on to the caller.
    unsafe { HEAP.begin(address, bytes) }
}

/// Bytes of the program's heap that are not allocated.
#[cfg(target_os = "none")]
pub fn free_bytes() -> usize {
    HEAP.free_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_heap_gives_blocks_of_its_range_and_takes_them_back() {
        let range = alloc::vec![0u64; 1024].leak();
        let heap = Heap::empty();
        let layout = Layout::from_size_align(256, 64).unwrap();
        // SAFETY: The range was leaked for this heap; blocks are freed once, with their layout.
        unsafe {
            assert!(heap.alloc(layout).is_null());
            heap.begin(range.as_mut_ptr().expose_provenance(), size_of_val(range));
            let before = heap.free_bytes();
            let block = heap.alloc(layout);
            assert!(!block.is_null() && (block as usize).is_multiple_of(64));
            heap.begin(0, 0);
            assert!(heap.free_bytes() < before);
            heap.dealloc(block, layout);
            assert_eq!(heap.free_bytes(), before);
            assert!(heap.alloc(Layout::from_size_align(1 << 20, 8).unwrap()).is_null());
        }
    }
}
