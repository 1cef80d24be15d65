//! The kernel's boot: from the device tree to all cores running the first environment.
//!
//! The way: `start.rs` (assembly) → [`primary`] → `memory`, `cores`, `first` → `trap::start` on every core.
#![no_std]
#![no_main]

mod card;
mod cores;
mod firmware;
mod first;
mod memory;
mod screen;
mod start;

use core::slice;
use fdt::Fdt;
use tranche_abi::layout::PAGE_SIZE;
use tranche_boards::tree::{Gic, Method, Tree};
use tranche_boards::{nops, serial};
use tranche_kernel::arch::aarch64::hardware::Hardware;
use tranche_kernel::arch::aarch64::{KERNEL, console, cpu, gic, mmu, power};
use tranche_kernel::machine::CpuId;

/// A device tree is at most this long (arm64 boot protocol).
const TREE_LIMIT: u64 = 2 << 20;
/// The word of the command line that says that semihosting calls are answered.
const EXIT_BY_SEMIHOSTING: &str = "exit=semihosting";
/// The word that keeps core 0 awake, for a repeatable run in an emulator.
const IDLE_BY_SPINNING: &str = "idle=spin";

/// The first Rust: core 0, with the physical addresses of the device tree and of the image, and the exception level at which it came.
pub extern "C" fn primary(tree_at: u64, image_at: u64, entry_level: u64) -> ! {
    cpu::prepare(CpuId(0), entry_level);
    mmu::begin(image_at);
    mmu::leave();
    mmu::guard_stacks();
    let fdt = find_tree(tree_at);
    let tree_range = tree_at..tree_at + fdt.total_size() as u64;
    let tree = Tree::read(&fdt).expect("the device tree has few ranges of memory");
    let psci = begin_power(&tree);
    begin_console(&tree);
    log::info!("Tranche on {:?}, command line \"{}\"", tree.board, tree.arguments);
    firmware::fix_clock(&tree);
    let display = screen::begin(&tree, || memory::free(&tree, &tree_range));
    let free = memory::begin(&tree, &tree_range, screen::pixels(&display));
    begin_interrupts(&tree);
    let cores = cores::start_all(&tree, psci);
    log::info!("{cores} cores, {} KiB of memory are free", free.size() / 1024);
    let disk_blocks = card::begin(&tree);
    first::begin(&tree, (free, display), (cores, disk_blocks));
    KERNEL.open(&Hardware);
    cores::go(cores)
}

/// Maps the device tree and looks at it.
fn find_tree(at: u64) -> Fdt<'static> {
    assert!(at != 0, "no device tree was passed in x0");
    let head = at..at + PAGE_SIZE;
    mmu::map_direct(head).expect("tables for the device tree");
    // SAFETY: mapped; the boot protocol says that a tree is here, which nobody writes.
    let size = unsafe { mmu::direct(at).cast::<[[u8; 4]; 2]>().read() }.map(u32::from_be_bytes)[1];
    assert!(u64::from(size) <= TREE_LIMIT, "the device tree is longer than the boot protocol allows");
    mmu::map_direct(at..at + u64::from(size)).expect("tables for the device tree");
    // SAFETY: as above; it is this kernel's alone, and read only after it was cleaned of empty tokens here.
    let bytes = unsafe { slice::from_raw_parts_mut(mmu::direct(at), size as usize) };
    nops::remove(bytes).expect("the device tree is well-formed");
    Fdt::new(bytes).expect("the device tree begins as one")
}

fn device(registers: tranche_boards::tree::Registers) -> u64 {
    mmu::map_device(registers.base, registers.size).expect("tables for devices")
}

fn begin_power(tree: &Tree<'_>) -> Option<power::Conduit> {
    let psci = tree.psci.map(|method| match method {
        Method::Hvc => power::Conduit::Hvc,
        Method::Smc => power::Conduit::Smc,
    });
    power::begin(power::Ways {
        semihosting: tree.says(EXIT_BY_SEMIHOSTING),
        psci,
        watchdog: tree.watchdog.map(device),
        rest: if tree.says(IDLE_BY_SPINNING) { power::Rest::Spin } else { power::Rest::Sleep },
    });
    psci
}

fn begin_console(tree: &Tree<'_>) {
    let Some(uart) = tree.uart else { return };
    let clock = firmware::begin(tree).unwrap_or(serial::CLOCK_HZ);
    let rate = match tree.pins {
        Some(pins) => {
            take_pins(device(pins));
            serial::rate(tree.arguments).or(Some(serial::DEFAULT_RATE))
        }
        None => None, // As the firmware has set it.
    };
    console::begin(device(uart), rate.and_then(|rate| serial::divisors(clock, rate)));
    if tree.pins.is_some() && serial::rate(tree.arguments).is_none() {
        log::warn!(
            "the command line's uart=… is no rate that the line can have; it has {}",
            serial::DEFAULT_RATE
        );
    }
}

/// Puts the serial line on the header's pins.
fn take_pins(registers: u64) {
    let change = |offset: u64, to: fn(u32) -> u32| {
        let register = (registers + offset) as *mut u32;
        // SAFETY: the mapped function select register, which nobody else writes: the other cores are not running yet.
        unsafe { register.write_volatile(to(register.read_volatile())) };
    };
    change(serial::FUNCTION_SELECT_3, serial::off_bluetooth);
    change(serial::FUNCTION_SELECT_1, serial::on_header);
}

fn begin_interrupts(tree: &Tree<'_>) {
    const REDISTRIBUTOR: u64 = 2 << 16; // two frames of 64 KiB (GICv3 architecture, 12.10)
    let registers = match tree.gic.expect("the device tree has a GIC of version 2 or 3") {
        Gic::V2(distributor, interface) => {
            gic::Registers::V2 { distributor: device(distributor), interface: device(interface) }
        }
        Gic::V3(distributor, redistributors) => {
            let count = tree.core_count.min((redistributors.size / REDISTRIBUTOR) as usize);
            let used = tranche_boards::tree::Registers {
                size: redistributors.size.min(count as u64 * REDISTRIBUTOR),
                ..redistributors
            };
            gic::Registers::V3 { distributor: device(distributor), redistributors: device(used), count }
        }
    };
    gic::begin(registers);
    gic::begin_core(CpuId(0));
}
