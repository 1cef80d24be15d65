//! What the kernel needs to know from the flattened device tree, gathered once. Nothing is kept of the tree's form.

use crate::ranges::{Ranges, TooMany};
use crate::sd::identify::{Detects, Slot, UNKNOWN_BASE_CLOCK};
use core::ops::Range;
use fdt::Fdt;
use fdt::node::FdtNode;
use tranche_abi::layout::MAX_CORES;

/// Registers of a device, by physical address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Registers {
    /// The first byte.
    pub base: u64,
    /// Bytes.
    pub size: u64,
}

/// The machines that are known by name. The number is that of `Public::board`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Board {
    /// Any other.
    Unknown = 0,
    /// QEMU `virt`.
    QemuVirt = 1,
    /// Raspberry Pi 4.
    RaspberryPi4 = 2,
}

/// The interrupt controller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gic {
    /// Version 2: distributor, CPU interface.
    V2(Registers, Registers),
    /// Version 3: distributor, redistributors.
    V3(Registers, Registers),
}

/// How a core is started (its `enable-method`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// By firmware.
    Psci,
    /// By writing the entry point to this physical address.
    SpinTable(u64),
    /// In no way that is known.
    Unknown,
}

/// One core.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Core {
    /// The affinity fields of its `MPIDR`.
    pub affinity: u64,
    /// How to start it.
    pub start: Start,
}

/// How firmware is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// `hvc`.
    Hvc,
    /// `smc`.
    Smc,
}

/// Everything.
#[derive(Clone, Debug)]
pub struct Tree<'a> {
    /// Which machine.
    pub board: Board,
    /// All memory.
    pub memory: Ranges,
    /// What of it is somebody's: reservations and the boot archive. Not the kernel image and not the tree.
    pub reserved: Ranges,
    /// The boot archive (the boot protocol's initial RAM disk).
    pub archive: Range<u64>,
    /// The command line.
    pub arguments: &'a str,
    /// Random bytes from the boot loader; may be empty.
    pub seed: &'a [u8],
    /// The cores, in the order of the tree.
    cores: [Core; MAX_CORES],
    /// Cores in the tree, which may be more than can be used.
    pub core_count: usize,
    /// The first PL011 UART.
    pub uart: Option<Registers>,
    /// The Raspberry Pi's pins.
    pub pins: Option<Registers>,
    /// The interrupt controller.
    pub gic: Option<Gic>,
    /// The firmware's method of being called for PSCI.
    pub psci: Option<Method>,
    /// The Raspberry Pi's power management block.
    pub watchdog: Option<Registers>,
    /// The Raspberry Pi's mailbox to its firmware.
    pub mailbox: Option<Registers>,
    /// QEMU's configuration device.
    pub fw_cfg: Option<Registers>,
    /// Slots for memory cards, in the order in which they are tried.
    pub cards: [Option<(Registers, Slot)>; 2],
    /// Registers of virtio transports, which the kernel leaves to others.
    pub virtio: Ranges,
}

impl<'a> Tree<'a> {
    /// Reads the tree.
    pub fn read(fdt: &Fdt<'a>) -> Result<Self, TooMany> {
        let chosen = fdt.find_node("/chosen");
        let property = |name| chosen.and_then(|node| node.property(name));
        let address = |name| property(name).and_then(|p| p.as_usize()).unwrap_or(0) as u64;
        let mut tree = Tree {
            board: board(fdt),
            memory: Ranges::default(),
            reserved: Ranges::default(),
            archive: address("linux,initrd-start")..address("linux,initrd-end"),
            arguments: property("bootargs").and_then(|p| p.as_str()).unwrap_or(""),
            seed: property("rng-seed").map_or(&[], |p| p.value),
            cores: [Core { affinity: u64::MAX, start: Start::Unknown }; MAX_CORES],
            core_count: 0,
            uart: None,
            pins: None,
            gic: None,
            psci: None,
            watchdog: None,
            mailbox: None,
            fw_cfg: None,
            cards: [None; 2],
            virtio: Ranges::default(),
        };
        for reservation in fdt.memory_reservations() {
            let start = reservation.address() as u64;
            tree.reserved.add(start..start.saturating_add(reservation.size() as u64))?;
        }
        tree.reserved.add(tree.archive.clone())?;
        if let Some(root) = fdt.find_node("/") {
            tree.visit_children(root, &Bus::ROOT)?;
        }
        Ok(tree)
    }

    /// The cores that can be used, in the order of the tree.
    pub fn cores(&self) -> &[Core] {
        &self.cores[..self.core_count.min(MAX_CORES)]
    }

    /// Whether a word is on the command line.
    pub fn says(&self, wanted: &str) -> bool {
        self.arguments.split_whitespace().any(|word| word == wanted)
    }

    fn visit_children(&mut self, parent: FdtNode<'_, 'a>, bus: &Bus<'_>) -> Result<(), TooMany> {
        for node in parent.children() {
            let kind = node.name.split('@').next().unwrap_or("");
            match (parent.name, kind) {
                ("", "memory") => add_regions(&mut self.memory, node)?,
                ("reserved-memory", _) => add_regions(&mut self.reserved, node)?,
                ("cpus", "cpu") => self.add_core(node),
                _ => self.add_device(node, bus)?,
            }
            self.visit_children(node, &Bus::behind(node, parent, bus))?;
        }
        Ok(())
    }

    fn add_core(&mut self, node: FdtNode<'_, 'a>) {
        if !is_enabled(node) {
            return;
        }
        let start = match text(node, "enable-method") {
            "psci" => Start::Psci,
            "spin-table" => node
                .property("cpu-release-addr")
                .and_then(|p| p.as_usize())
                .map_or(Start::Unknown, |at| Start::SpinTable(at as u64)),
            _ => Start::Unknown,
        };
        let affinity = node.reg().and_then(|mut reg| reg.next()).map_or(0, |r| r.starting_address as u64);
        if let Some(core) = self.cores.get_mut(self.core_count) {
            *core = Core { affinity, start };
        }
        self.core_count += 1;
    }

    fn add_device(&mut self, node: FdtNode<'_, 'a>, bus: &Bus<'_>) -> Result<(), TooMany> {
        if !is_enabled(node) {
            return Ok(());
        }
        let registers = |n: usize| {
            let region = node.reg()?.nth(n)?;
            Some(Registers {
                base: bus.translate(region.starting_address as u64)?,
                size: region.size? as u64,
            })
        };
        for name in node.compatible().into_iter().flat_map(|c| c.all()) {
            match name {
                "arm,pl011" => self.uart = self.uart.or_else(|| registers(0)),
                "brcm,bcm2711-gpio" => self.pins = self.pins.or_else(|| registers(0)),
                "arm,gic-400" | "arm,cortex-a15-gic" => {
                    self.gic = registers(0).zip(registers(1)).map(|(d, c)| Gic::V2(d, c));
                }
                "arm,gic-v3" => self.gic = registers(0).zip(registers(1)).map(|(d, r)| Gic::V3(d, r)),
                "arm,psci-1.0" | "arm,psci-0.2" => self.psci = method(node),
                "virtio,mmio" => {
                    if let Some(Registers { base, size }) = registers(0) {
                        self.virtio.add(base..base + size)?;
                    }
                }
                "brcm,bcm2835-mbox" => self.mailbox = self.mailbox.or_else(|| registers(0)),
                "qemu,fw-cfg-mmio" => self.fw_cfg = self.fw_cfg.or_else(|| registers(0)),
                // The Pi 4's card is behind its newer controller; the older one, which serves a wireless chip there, has it
                // in an emulator.
                "brcm,bcm2711-emmc2" => {
                    self.cards[0] = slot(node, registers(0), Some(UNKNOWN_BASE_CLOCK));
                }
                "brcm,bcm2835-sdhci" => self.cards[1] = slot(node, registers(0), None),
                "brcm,bcm2835-pm-wdt" => self.watchdog = self.watchdog.or_else(|| registers(0)),
                _ => {}
            }
        }
        Ok(())
    }
}

/// A bus between the processor and a node: how it translates its children's addresses.
struct Bus<'p> {
    /// `ranges`: child address, parent address, size. `None`: children have no addresses of the processor's.
    ranges: Option<&'p [u8]>,
    child_cells: usize,
    parent_cells: usize,
    size_cells: usize,
    parent: Option<&'p Bus<'p>>,
}

impl<'p> Bus<'p> {
    /// The processor's own addresses.
    const ROOT: Bus<'static> =
        Bus { ranges: Some(&[]), child_cells: 2, parent_cells: 2, size_cells: 2, parent: None };

    fn behind<'a: 'p>(node: FdtNode<'_, 'a>, parent: FdtNode<'_, 'a>, bus: &'p Bus<'p>) -> Bus<'p> {
        Bus {
            ranges: node.property("ranges").map(|p| p.value),
            child_cells: node.cell_sizes().address_cells,
            parent_cells: parent.cell_sizes().address_cells,
            size_cells: node.cell_sizes().size_cells,
            parent: Some(bus),
        }
    }

    /// The processor's address of what is at `address` on this bus.
    fn translate(&self, address: u64) -> Option<u64> {
        let ranges = self.ranges?;
        let Some(parent) = self.parent else { return Some(address) };
        if ranges.is_empty() {
            return parent.translate(address);
        }
        let entry = 4 * (self.child_cells + self.parent_cells + self.size_cells);
        let (child, above) = (4 * self.child_cells, 4 * (self.child_cells + self.parent_cells));
        ranges.chunks_exact(entry).find_map(|range| {
            let (from, to, size) =
                (number(&range[..child]), number(&range[child..above]), number(&range[above..]));
            let offset = address.checked_sub(from).filter(|offset| *offset < size)?;
            parent.translate(to.checked_add(offset)?)
        })
    }
}

/// A big-endian number; of more than 64 bits, the low ones.
fn number(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |value, byte| value << 8 | u64::from(*byte))
}

fn text<'a>(node: FdtNode<'_, 'a>, name: &str) -> &'a str {
    node.property(name).and_then(|p| p.as_str()).unwrap_or("")
}

fn is_enabled(node: FdtNode<'_, '_>) -> bool {
    matches!(text(node, "status"), "" | "okay" | "ok")
}

fn slot(
    node: FdtNode<'_, '_>,
    registers: Option<Registers>,
    base_clock: Option<u32>,
) -> Option<(Registers, Slot)> {
    let detects = if node.property("broken-cd").is_some() { Detects::Nothing } else { Detects::Cards };
    registers.map(|registers| (registers, Slot { base_clock, detects }))
}

fn method(node: FdtNode<'_, '_>) -> Option<Method> {
    match text(node, "method") {
        "hvc" => Some(Method::Hvc),
        "smc" => Some(Method::Smc),
        _ => None,
    }
}

fn board(fdt: &Fdt<'_>) -> Board {
    let compatible = fdt.find_node("/").and_then(|root| root.compatible());
    let known = compatible.into_iter().flat_map(|c| c.all()).find_map(|name| match name {
        "linux,dummy-virt" => Some(Board::QemuVirt),
        "brcm,bcm2711" => Some(Board::RaspberryPi4),
        _ => None,
    });
    known.unwrap_or(Board::Unknown)
}

fn add_regions(ranges: &mut Ranges, node: FdtNode<'_, '_>) -> Result<(), TooMany> {
    for region in node.reg().into_iter().flatten() {
        let start = region.starting_address as u64;
        ranges.add(start..start.saturating_add(region.size.unwrap_or(0) as u64))?;
    }
    Ok(())
}
