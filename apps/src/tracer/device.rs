//! A core's ring and its virtio console, mapped: what the tracer works with, on each core its own.
//!
//! Not here: what is sent. The device reads and writes memory at physical addresses, which are frame numbers; all that it is
//! told of is in frames that the tracer owns. It is driven without interrupts: QEMU's does what it is asked before the
//! register write that asks returns.

use core::ptr::NonNull;
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};
use libos_core::frames::{Frames, Run};
use libos_core::layout::{TRACE_BASE, TRACE_PART, TRACE_STRIDE};
use libos_core::mapping::Space;
use libos_core::public::view;
use libos_core::trace::frame::MAX_RECORDS;
use libos_core::trace::{Raw, Reader, handle};
use libos_core::{calls, page};
use tranche_abi::layout::{HANDLE_SELF, MAX_BATCH, MAX_CORES, PAGE_SIZE};
use tranche_abi::trace::{RING_PAGES, Ring};
use tranche_abi::{Address, Core, Error, Handle, Protection};
use virtio_drivers::device::console::VirtIOConsole;
use virtio_drivers::transport::DeviceType;
use virtio_drivers::transport::mmio::{MmioTransport, VirtIOHeader};
use virtio_drivers::{BufferDirection, Hal, PhysAddr};

/// Bytes of one transport's registers, as QEMU's `virt` lays them out.
const TRANSPORT_BYTES: u64 = 0x200;
/// Where in them the kind of device is (virtio 1.2, 4.2.2).
const DEVICE_ID: u64 = 8;
/// Pages of what is sent at a time: a header and records.
const BUFFER_PAGES: u64 = ((1 + MAX_RECORDS) * size_of::<Raw>()).div_ceil(PAGE_SIZE as usize) as u64;
/// Pages for the device's queues, and for what it would receive.
const QUEUE_PAGES: u64 = 8;

/// Why nothing can be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// The creator gave no capability for it.
    NoRight,
    /// There are fewer consoles than cores.
    NoConsole,
    /// A mapping failed.
    Kernel(Error),
    /// The device does not do what it should.
    Device(virtio_drivers::Error),
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        Self::Kernel(error)
    }
}

/// A core's way out.
pub struct Console {
    device: VirtIOConsole<OwnFrames, MmioTransport<'static>>,
    buffer: &'static mut [Raw],
}

/// The memory of one core's console: the first frame, and pages of it that are handed out.
struct Memory {
    first: AtomicU64,
    used: AtomicU64,
}

/// By core. Only the core's activation uses its own.
static MEMORY: [Memory; MAX_CORES] =
    [const { Memory { first: AtomicU64::new(0), used: AtomicU64::new(0) } }; MAX_CORES];

/// Where the ring, the registers and the memory of a core are.
fn parts(core: u64) -> [u64; 3] {
    [0, 1, 2].map(|part| TRACE_BASE + core * TRACE_STRIDE + part * TRACE_PART)
}

impl Console {
    /// Maps a core's ring and the console of its number, once for each core. `frames` are the caller's.
    pub fn open(core: u64, frames: Run) -> Result<(Self, Reader<'static>), Trouble> {
        let machine = handle().ok_or(Trouble::NoRight)?;
        let mut frames = Frames::new(frames);
        let memory = frames.take(BUFFER_PAGES + QUEUE_PAGES).ok_or(Error::Full)?;
        let [_, registers, memory_at] = parts(core);
        let mut table = || frames.take(1).map(|run| run.first);
        let mut space = Space { env: HANDLE_SELF, table: &mut table };
        let reader = open_ring(&mut space, machine, core)?;
        let pages = view().device_pages();
        space.with_tables(Address(registers), || {
            calls::device_map(machine, view().device_first(), pages, Address(registers))
        })?;
        space.map(Address(memory_at), memory, Protection::ReadWrite)?;
        MEMORY[core as usize].first.store(memory.first.0, Relaxed);
        MEMORY[core as usize].used.store(BUFFER_PAGES, Relaxed);
        let transport = transport(registers, pages, core).ok_or(Trouble::NoConsole)?;
        let device = VirtIOConsole::new(transport).map_err(Trouble::Device)?;
        // SAFETY: mapped above for good, used by nothing but this, whole pages of words.
        let buffer = unsafe { core::slice::from_raw_parts_mut(memory_at as *mut Raw, 1 + MAX_RECORDS) };
        Ok((Self { device, buffer }, reader))
    }

    /// What is sent next: a header and records.
    pub fn records(&mut self) -> &mut [Raw] {
        self.buffer
    }

    /// Sends the first so many of them; returns when the device has taken them.
    pub fn send(&mut self, count: usize) -> Result<(), Trouble> {
        let words: &[u64] = self.buffer[..count].as_flattened();
        // SAFETY: the bytes of words, which may be looked at as such.
        let bytes = unsafe { core::slice::from_raw_parts(words.as_ptr().cast(), size_of_val(words)) };
        self.device.send_bytes(bytes).map_err(Trouble::Device)
    }
}

/// Maps a core's ring, once.
pub fn open_ring(space: &mut Space<'_>, machine: Handle, core: u64) -> Result<Reader<'static>, Error> {
    let [at, ..] = parts(core);
    for first in (0..RING_PAGES).step_by(MAX_BATCH as usize) {
        let count = (RING_PAGES - first).min(MAX_BATCH);
        let address = Address(at + first * PAGE_SIZE);
        space.with_tables(address, || calls::trace_map(machine, Core(core), first, count, address))?;
    }
    // SAFETY: mapped above for good, read-only; a ring consists of atomics.
    Ok(Reader::new(unsafe { &*(at as *const Ring) }))
}

/// The transport of the `number`th console among the mapped registers. Of the others only their kind is read: the driver
/// resets each device that it lets go.
fn transport(registers: u64, pages: u64, number: u64) -> Option<MmioTransport<'static>> {
    let places = (registers..registers + pages * PAGE_SIZE).step_by(TRANSPORT_BYTES as usize);
    let is_console = |place: &u64| {
        // SAFETY: the kernel says that transports' registers are there, which are mapped for good; reading this one changes
        // nothing.
        let kind = unsafe { ((place + DEVICE_ID) as *const u32).read_volatile() };
        DeviceType::try_from(kind) == Ok(DeviceType::Console)
    };
    let place = places.filter(is_console).nth(number as usize)?;
    let header = NonNull::new(place as *mut VirtIOHeader)?;
    // SAFETY: as above, and no other activation has the console of this number.
    unsafe { MmioTransport::new(header, TRANSPORT_BYTES as usize) }.ok()
}

/// The driver's view of a core's memory.
struct OwnFrames;

impl OwnFrames {
    /// Hands out pages of the running core's memory: their physical and their own address.
    fn take(pages: u64) -> Option<(PhysAddr, NonNull<u8>)> {
        let core = page::index();
        let memory = &MEMORY[core as usize];
        let used = memory.used.fetch_add(pages, Relaxed);
        let address = NonNull::new((parts(core)[2] + used * PAGE_SIZE) as *mut u8)?;
        let fits = used + pages <= BUFFER_PAGES + QUEUE_PAGES;
        fits.then(|| ((memory.first.load(Relaxed) + used) * PAGE_SIZE, address))
    }
}

// SAFETY: `dma_alloc` hands out zeroed pages that are mapped, of nobody else's, and that it names by their frames; `share`
// gives the physical address of memory that the device may use: of what lies in a core's memory its own, of anything else
// that of pages taken for it, with the same contents.
unsafe impl Hal for OwnFrames {
    fn dma_alloc(pages: usize, _direction: BufferDirection) -> (PhysAddr, NonNull<u8>) {
        // Address 0 says that there is no memory.
        Self::take(pages as u64).unwrap_or((0, NonNull::dangling()))
    }

    unsafe fn dma_dealloc(_physical: PhysAddr, _address: NonNull<u8>, _pages: usize) -> i32 {
        0 // A console is opened once, and never closed.
    }

    unsafe fn mmio_phys_to_virt(_physical: PhysAddr, _size: usize) -> NonNull<u8> {
        unreachable!("only PCI transports ask for it")
    }

    unsafe fn share(buffer: NonNull<[u8]>, direction: BufferDirection) -> PhysAddr {
        let core = page::index();
        let offset = (buffer.as_ptr().addr() as u64).wrapping_sub(parts(core)[2]);
        if offset < (BUFFER_PAGES + QUEUE_PAGES) * PAGE_SIZE {
            return MEMORY[core as usize].first.load(Relaxed) * PAGE_SIZE + offset;
        }
        // The buffer for what would be received, of which nothing ever is, so that nothing is copied back.
        assert!(direction == BufferDirection::DeviceToDriver, "what is sent lies in the console's memory");
        let pages = (buffer.len() as u64).div_ceil(PAGE_SIZE);
        Self::take(pages).expect("there is memory for one page that would be received").0
    }

    unsafe fn unshare(_physical: PhysAddr, _buffer: NonNull<[u8]>, _direction: BufferDirection) {}
}
