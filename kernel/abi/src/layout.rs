//! Where things are in an environment's address space (39 bits, 4 KiB pages, three levels of tables).

/// Bytes in a page, a frame and a page table.
pub const PAGE_SIZE: u64 = 4096;
/// The first address that no environment can map: the user half has 39 bits.
pub const USER_END: u64 = 1 << 39;
/// The public region: the last GiB of the user half, the same read-only pages in every environment.
pub const PUBLIC_BASE: u64 = USER_END - (1 << 30);
/// Activation `i`'s page is mapped at `ACTIVATION_BASE + i * PAGE_SIZE`.
pub const ACTIVATION_BASE: u64 = PUBLIC_BASE - (1 << 30);
/// The boot archive (a tar file) inside the public region.
pub const ARCHIVE_BASE: u64 = PUBLIC_BASE + (64 << 20);

/// Cores at most.
pub const MAX_CORES: usize = 8;
/// Slots of a core's slice vector at most.
pub const MAX_SLOTS: usize = 256;
/// Environments at most. An environment's address-space id is its index + 1.
pub const MAX_ENVS: usize = 1024;
/// Activations of an environment at most.
pub const MAX_ACTIVATIONS: usize = 8;
/// Handles of an environment at most.
pub const MAX_HANDLES: usize = 256;
/// Gates of an environment at most; a gate's number above that wraps around.
pub const MAX_GATES: usize = 64;
/// Activations nested by directed yield at most, the slot's root included.
pub const MAX_CHAIN: usize = 8;
/// Places at which one frame can be mapped; breaking all its bindings is bounded by this.
pub const MAX_MAPPINGS: usize = 4;
/// Frames or pages that one call handles at most. A bound on how long a call keeps interrupts masked; and a quarter of what
/// one page table covers, so that an aligned batch lies in one.
pub const MAX_BATCH: u64 = 128;
/// Consecutive frames that `env_create` turns into an environment: its state, its root table, its handle table.
pub const ENV_FRAMES: u64 = 3;
/// Clients whose readiness one manager can be told of.
pub const MAX_CLIENTS: usize = 256;
/// Bytes that one `console_write` carries at most (six registers).
pub const CONSOLE_CHUNK: usize = 48;

/// Extents of the disk at most, the whole disk included.
pub const MAX_EXTENTS: usize = 64;
/// Bytes of a disk's block.
pub const BLOCK_SIZE: u64 = 512;
/// Blocks of a page.
pub const PAGE_BLOCKS: u64 = PAGE_SIZE / BLOCK_SIZE;

/// Every environment's handle 0: itself, with all rights.
pub const HANDLE_SELF: crate::Handle = crate::Handle(0);
/// Every environment's handle 1: its creator, with `NOTIFY`, `GIVE` and `MANAGE`. The first environment, which has none,
/// finds the machine there.
pub const HANDLE_PARENT: crate::Handle = crate::Handle(1);
/// The first environment's handle 1: the machine, with all rights.
pub const HANDLE_MACHINE: crate::Handle = HANDLE_PARENT;
