//! Where our programs keep things in an environment: image, start page, mailbox, heap, stacks, windows.
//!
//! Not here: what the kernel fixes (`tranche_abi::layout`). All of this is a convention between a creator and the
//! programs that it starts; a foreign program may have another.
//!
//! Invariant: a stack pointer says which activation uses it, because every activation's stacks are in a stride of its
//! own. `x18` cannot say so: resuming at EL0 takes one register, and that is the one.
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
    fn a_foreign_stack_pointer_names_nobody() {
        assert_eq!(activation_of_stack(0), None);
        assert_eq!(activation_of_stack(STACK_BASE), None);
        assert_eq!(activation_of_stack(fault_stack_top(MAX_ACTIVATIONS as u64)), None);
    }
}
