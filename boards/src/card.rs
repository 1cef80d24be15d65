//! The memory card: the first slot in which there is one becomes the kernel's disk.
//!
//! Not here: how a card is driven (`tranche_boards::sd`).

use aarch64_cpu::registers::{CNTFRQ_EL0, CNTVCT_EL0, Readable};
use spin::{Mutex, MutexGuard};
use tranche_boards::sd::host::Host;
use tranche_boards::sd::identify::Absent;
use tranche_boards::sd::registers::Port;
use tranche_boards::sd::transfer::Disk;
use tranche_boards::tree::Tree;
use tranche_kernel::arch::aarch64::disk;
use tranche_kernel::disk::Driver;

/// A controller's registers, mapped for good.
struct Registers {
    base: u64,
}

impl Registers {
    fn at(&self, register: usize) -> *mut u32 {
        (self.base + register as u64) as *mut u32
    }
}

impl Port for Registers {
    fn read(&mut self, register: usize) -> u32 {
        // SAFETY: a register of the mapped controller, which nobody else drives.
        unsafe { self.at(register).read_volatile() }
    }

    fn write(&mut self, register: usize, value: u32) {
        // SAFETY: as above.
        unsafe { self.at(register).write_volatile(value) };
    }

    fn micros(&mut self) -> u64 {
        (u128::from(CNTVCT_EL0.get()) * 1_000_000 / u128::from(CNTFRQ_EL0.get().max(1))) as u64
    }
}

/// The card, from when it was found for good.
static CARD: Mutex<Option<Disk<Registers>>> = Mutex::new(None);

/// Looks for a card, once. Its blocks; 0 if there is none.
pub fn begin(tree: &Tree<'_>) -> u64 {
    for (registers, slot) in tree.cards.into_iter().flatten() {
        let mut host = Host::new(Registers { base: crate::device(registers) });
        match host.identify(slot) {
            Ok(card) => {
                let kind = if card.high_capacity { "high" } else { "standard" };
                log::info!("a card of {kind} capacity, {} KiB, at {:#x}", card.blocks / 2, registers.base);
                let found = MutexGuard::leak(CARD.lock()).insert(Disk::new(host, card));
                let blocks = found.blocks();
                disk::begin(found);
                return blocks;
            }
            Err(Absent::NoCard) => {}
            Err(why) => log::warn!("the card slot at {:#x}: {why}", registers.base),
        }
    }
    0
}
