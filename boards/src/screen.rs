//! The display, if the command line asks for one: on a Raspberry Pi the frame buffer that its firmware makes, elsewhere memory
//! that QEMU's `ramfb` is told to show.
//!
//! Not here: who draws. The pixels are frames that the first environment owns; the kernel itself never looks at them.

use core::ops::Range;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use tranche_abi::layout::PAGE_SIZE;
use tranche_abi::public::pixel;
use tranche_boards::fw_cfg::{self, Access, DIRECTORY, ENTRY};
use tranche_boards::ranges::Ranges;
use tranche_boards::tree::Tree;
use tranche_kernel::arch::aarch64::{mailbox, mmu};
use tranche_kernel::boot::Display;
use tranche_kernel::firmware::{FrameBuffer, Message};

/// The word of the command line that asks for it.
const WORD: &str = "display";
/// What is asked for; a Raspberry Pi may answer with another size.
const WIDTH: u32 = 1280;
const HEIGHT: u32 = 720;

/// Switches the display on. `free` is what memory there is; what the display takes of it is not to be mapped like the rest.
pub fn begin(tree: &Tree<'_>, free: impl FnOnce() -> Ranges) -> Display {
    if !tree.says(WORD) {
        return Display::default();
    }
    let display = match (tree.mailbox, tree.fw_cfg) {
        (Some(_), _) => from_firmware(),
        (None, Some(registers)) => ramfb(crate::device(registers), free()),
        (None, None) => None,
    };
    match &display {
        Some(Display { width, height, frames, .. }) => {
            log::info!("a display of {width} x {height} pixels, in frames {frames:#x?}");
        }
        None => log::warn!("a display was asked for, and there is none"),
    }
    display.unwrap_or_default()
}

/// The physical addresses of what a display shows.
pub fn pixels(display: &Display) -> Range<u64> {
    display.frames.start * PAGE_SIZE..display.frames.end * PAGE_SIZE
}

fn from_firmware() -> Option<Display> {
    let made = mailbox::call(Message::frame_buffer(WIDTH, HEIGHT, PAGE_SIZE as u32))?;
    let FrameBuffer { address, size, width, height, pitch, red_first } = made.buffer()?;
    (address % PAGE_SIZE == 0).then(|| Display {
        // What is behind the last row in its page is the display's, too.
        frames: address / PAGE_SIZE..(address + size).div_ceil(PAGE_SIZE),
        width,
        height,
        stride: pitch,
        format: if red_first { pixel::RED_FIRST } else { pixel::BLUE_FIRST },
    })
}

/// Takes memory for the pixels, and has `ramfb` show it.
fn ramfb(registers: u64, mut free: Ranges) -> Option<Display> {
    let mut device = FwCfg { registers };
    let item = device.find(fw_cfg::RAMFB)?;
    let size = u64::from(4 * WIDTH * HEIGHT).next_multiple_of(PAGE_SIZE);
    let address = free.take(size, PAGE_SIZE)?;
    device.write(item, &fw_cfg::ramfb(address, WIDTH, HEIGHT)).then(|| Display {
        frames: address / PAGE_SIZE..(address + size) / PAGE_SIZE,
        width: WIDTH.into(),
        height: HEIGHT.into(),
        stride: u64::from(4 * WIDTH),
        format: pixel::BLUE_FIRST,
    })
}

/// The configuration device, by the address at which its registers are mapped.
struct FwCfg {
    registers: u64,
}

/// What the device reads and writes. It sees the caches.
static ACCESS: [AtomicU32; 4] = [const { AtomicU32::new(0) }; 4];
static CONTENT: [AtomicU64; ENTRY / 8] = [const { AtomicU64::new(0) }; ENTRY / 8];

impl FwCfg {
    fn find(&mut self, name: &str) -> Option<u16> {
        let [a, b, c, d, ..] = self.read(Access::Read(DIRECTORY), 4)?;
        let count = u32::from_be_bytes([a, b, c, d]).min(u16::MAX.into());
        (0..count).find_map(|_| fw_cfg::item(&self.read(Access::ReadOn, ENTRY as u32)?, name))
    }

    fn read(&mut self, access: Access, length: u32) -> Option<[u8; ENTRY]> {
        let done = self.transfer(access, length);
        let mut bytes = [0; ENTRY];
        for (place, word) in bytes.chunks_exact_mut(8).zip(&CONTENT) {
            place.copy_from_slice(&word.load(Relaxed).to_ne_bytes());
        }
        done.then_some(bytes)
    }

    fn write(&mut self, item: u16, content: &[u8]) -> bool {
        let mut bytes = [0; ENTRY];
        bytes[..content.len()].copy_from_slice(content);
        for (word, bytes) in CONTENT.iter().zip(bytes.as_chunks().0) {
            word.store(u64::from_ne_bytes(*bytes), Relaxed);
        }
        self.transfer(Access::Write(item), content.len() as u32)
    }

    /// Has the device move `length` bytes, which it has done when the write that asks it returns.
    fn transfer(&mut self, access: Access, length: u32) -> bool {
        let bytes = access.encode(length, mmu::image_physical(&raw const CONTENT));
        for (word, bytes) in ACCESS.iter().zip(bytes.as_chunks().0) {
            word.store(u32::from_ne_bytes(*bytes), Relaxed);
        }
        let at = mmu::image_physical(&raw const ACCESS);
        // SAFETY: the registers are mapped, of a device that reads and writes the two statics above, which are atomic, and
        // nothing else; the barriers put it between this core's own accesses.
        unsafe {
            core::arch::asm!("dsb sy", options(nostack, preserves_flags));
            ((self.registers + fw_cfg::DMA_REGISTER) as *mut u64).write_volatile(at.to_be());
            core::arch::asm!("dsb sy", options(nostack, preserves_flags));
        }
        u32::from_be(ACCESS[0].load(Relaxed)) & fw_cfg::ERROR == 0
    }
}
