//! Where our programs keep things in an environment: image, start page, mailbox, heap, stacks, windows.
//!
//! Not here: what the kernel fixes (`tranche_abi::layout`). All of this is a convention between a creator and the
//! programs that it starts; a foreign program may have another.
//!
//! Invariant: a stack pointer says which activation uses it, because every activation's stacks are in a stride of its
//! own, or which thread, of which `threads` knows the activation that carries it. `x18` cannot say so: resuming at EL0 takes one register, and that is the one.
#![forbid(unsafe_code)]

use tranche_abi::layout::{ACTIVATION_BASE, MAX_ACTIVATIONS, PAGE_SIZE};

/// Where images are linked and loaded.
pub const IMAGE_BASE: u64 = 0x10_0000;
/// The first address that an image may not cover.
pub const IMAGE_END: u64 = START_BASE;
/// The start pages, read-only.
pub const START_BASE: u64 = 0x1000_0000;
/// The mailbox, shared with the creator.
pub const MAILBOX_BASE: u64 = 0x2000_0000;
/// The heap.
pub const HEAP_BASE: u64 = 0x4000_0000;
/// Activation `i`'s stacks are in `STACK_BASE + i * STACK_STRIDE ..` up to the next one's.
pub const STACK_BASE: u64 = 0x20_0000_0000;
/// Bytes from one activation's stacks to the next one's: so many that the unmapped rest guards either side.
pub const STACK_STRIDE: u64 = 1 << 24;
/// Pages of the fault handler's stack, at the top of the stride: a frame with every register and room for a handler.
pub const FAULT_PAGES: u64 = 4;
/// Pages of the slice upcalls' stack, beneath.
pub const UPCALL_PAGES: u64 = 4;
/// Pages of a stack at most.
pub const MAX_STACK_PAGES: u64 = 1024;
/// Stacks of user-level threads: thread `i`'s is in `THREAD_BASE + i * THREAD_STRIDE ..` up to the next one's.
pub const THREAD_BASE: u64 = 0x28_0000_0000;
/// Bytes from one thread's stack to the next one's. The lowest page of each stays unmapped.
pub const THREAD_STRIDE: u64 = 1 << 16;
/// Threads of an environment at most.
pub const MAX_THREADS: usize = 64;
/// Where a tracer's activation for core `i` has what it works with: at `i * TRACE_STRIDE`.
pub const TRACE_BASE: u64 = 0x38_0000_0000;
/// Bytes from one activation's to the next one's: the ring, then the device's registers, then memory that the device reads.
pub const TRACE_STRIDE: u64 = 3 * TRACE_PART;
/// Bytes of each of the three at most: what one page table covers.
pub const TRACE_PART: u64 = 1 << 21;
/// Where a tracer's activation for core `i` keeps records: at `i * TRACE_STORE_STRIDE`.
pub const TRACE_STORE_BASE: u64 = 0x3c_0000_0000;
/// Bytes that each keeps at most.
pub const TRACE_STORE_STRIDE: u64 = 1 << 24;
/// Where a display has the screen's memory.
pub const DISPLAY_BASE: u64 = 0x34_0000_0000;
/// Where a display, and the broker, have the page on which the broker tells the display whose each environment is.
pub const BOARD_BASE: u64 = 0x36_0000_0000;
/// Where a program has the page that its creator shares with it and others; where the creator has it of its activation `i`, at most
/// [`MAX_SHARED`] pages each.
pub const SHARED_BASE: u64 = 0x3f_0000_0000;
/// Pages that an activation shares with its children at most, each with some of them.
pub const MAX_SHARED: u64 = tranche_abi::layout::MAX_CLIENTS as u64;
/// Where activation `i` has the page through which it reads and writes a disk: at `i * PAGE_SIZE`.
pub const DISK_BASE: u64 = 0x3e_0000_0000;
/// Where a creator maps frames to fill them: `SCRATCH_STRIDE` for each of its activations.
pub const SCRATCH_BASE: u64 = 0x30_0000_0000;
/// Bytes of one activation's scratch window: one batch of pages.
pub const SCRATCH_STRIDE: u64 = tranche_abi::layout::MAX_BATCH * PAGE_SIZE;
/// Where a creator sees the mailbox of its child with environment index `i`: at `i * WINDOW_STRIDE`.
pub const WINDOW_BASE: u64 = 0x40_0000_0000;
/// Bytes of a mailbox at most: one batch of pages.
pub const WINDOW_STRIDE: u64 = tranche_abi::layout::MAX_BATCH * PAGE_SIZE;

/// The first address above the fault handler's stack of an activation.
pub const fn fault_stack_top(activation: u64) -> u64 {
    STACK_BASE + (activation + 1) * STACK_STRIDE
}

/// The first address above the slice upcalls' stack of an activation. An unmapped page parts it from the fault handler's.
pub const fn upcall_stack_top(activation: u64) -> u64 {
    fault_stack_top(activation) - (FAULT_PAGES + 1) * PAGE_SIZE
}

/// The first address above the stack of an activation. An unmapped page parts it from the upcall stack.
pub const fn stack_top(activation: u64) -> u64 {
    upcall_stack_top(activation) - (UPCALL_PAGES + 1) * PAGE_SIZE
}

/// Which activation uses this stack pointer; `None` for one outside of the stacks of the convention.
pub const fn activation_of_stack(stack_pointer: u64) -> Option<u64> {
    // A full descending stack that is empty points at the first address above it.
    let activation = (stack_pointer.wrapping_sub(STACK_BASE).wrapping_sub(1)) / STACK_STRIDE;
    if activation < MAX_ACTIVATIONS as u64 { Some(activation) } else { None }
}

/// Which thread uses this stack pointer; `None` for one outside of the threads' stacks.
pub const fn thread_of_stack(stack_pointer: u64) -> Option<usize> {
    let thread = (stack_pointer.wrapping_sub(THREAD_BASE).wrapping_sub(1)) / THREAD_STRIDE;
    if thread < MAX_THREADS as u64 { Some(thread as usize) } else { None }
}

/// The first address above a thread's stack.
pub const fn thread_stack_top(thread: usize) -> u64 {
    THREAD_BASE + (thread as u64 + 1) * THREAD_STRIDE
}

/// Where activation `activation`'s page is.
pub const fn page_address(activation: u64) -> u64 {
    ACTIVATION_BASE + activation * PAGE_SIZE
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_stack_pointer_in_use_names_its_activation() {
        for activation in 0..MAX_ACTIVATIONS as u64 {
            let tops = [stack_top, upcall_stack_top, fault_stack_top].map(|top| top(activation));
            for pointer in tops.into_iter().chain([tops[0] - 16]) {
                assert_eq!(activation_of_stack(pointer), Some(activation));
            }
            assert_eq!(
                activation_of_stack(stack_top(activation) - MAX_STACK_PAGES * PAGE_SIZE),
                Some(activation)
            );
        }
    }

    #[test]
    fn a_threads_stack_pointer_names_the_thread_and_no_activation() {
        for thread in [0, 1, MAX_THREADS - 1] {
            let top = thread_stack_top(thread);
            assert_eq!(
                (thread_of_stack(top), thread_of_stack(top - THREAD_STRIDE + 16)),
                (Some(thread), Some(thread))
            );
            assert_eq!(activation_of_stack(top), None);
        }
        assert_eq!(thread_of_stack(stack_top(0)), None);
        assert_eq!(thread_of_stack(thread_stack_top(MAX_THREADS)), None);
    }

    #[test]
    fn a_foreign_stack_pointer_names_nobody() {
        assert_eq!(activation_of_stack(0), None);
        assert_eq!(activation_of_stack(STACK_BASE), None);
        assert_eq!(activation_of_stack(fault_stack_top(MAX_ACTIVATIONS as u64)), None);
    }
}
