//! An SD card for a Raspberry Pi 4: what is on it, as an image and as a folder. The same inputs give the same bytes.
//!
//! * [`disk`]: a card's partition table and file system.
//!
//! Not here: what the results file holds (`libos_core::card::format`), and how it is read (`collect`).

pub mod disk;

use crate::scenario::Changes;
use crate::screen::Screen;
use crate::{Failure, archive, image, qemu};
use disk::File;
use libos_core::card::{self, format};
use std::fs;
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// The kernel's raw image, by the name that the firmware looks for on 64-bit boards.
const KERNEL: &str = "kernel8.img";
/// The device tree, by the name that the firmware looks for on this board.
const DEVICE_TREE: &str = "bcm2711-rpi-4-b.dtb";
/// The boot archive.
const ARCHIVE: &str = "archive.tar";
/// The kernel's command line.
const COMMAND_LINE: &str = "cmdline.txt";
/// The firmware's settings.
const SETTINGS: &str = "config.txt";
/// What the firmware is to be licensed by.
const LICENCE: &str = "LICENCE.broadcom";
/// The firmware, out of the folder where the set-up puts it.
const FIRMWARE: [&str; 3] = ["start4.elf", "fixup4.dat", LICENCE];
/// Where the set-up puts the firmware.
const FIRMWARE_FOLDER: &str = ".tools/rpi4-firmware";
/// The image.
pub const IMAGE: &str = "sd.img";
/// The folder with the same files.
pub const FOLDER: &str = "files";
/// Bytes of the image: a power of two, as QEMU wants a card, and enough clusters for FAT32.
const IMAGE_SIZE: usize = 128 << 20;
/// Bytes of the results file: a recording has about 14 bytes a record, a run like `compete` 1.4 MB.
pub const RESULTS_SIZE: usize = 64 << 20;
/// Bytes that are written to the image's file at a time, or left out if all are zero.
const PIECE: usize = 64 << 10;

/// What the firmware does before the kernel begins (Raspberry Pi documentation, "config.txt").
const CONFIG: &str = "\
# Raspberry Pi 4, Tranche. Every line is explained in boards/rpi4/README.md.
arm_64bit=1
kernel=kernel8.img
device_tree=bcm2711-rpi-4-b.dtb
initramfs archive.tar 0x08000000
enable_gic=1
enable_uart=1
init_uart_clock=48000000
hdmi_force_hotplug=1
disable_overscan=1
disable_splash=1
boot_delay=0
";

/// What goes on a card.
#[derive(Clone, Debug)]
pub struct Order {
    /// The scenario's file.
    pub scenario: PathBuf,
    /// What of it is to be different.
    pub changes: Changes,
    /// The kernel's ELF file.
    pub kernel: PathBuf,
    /// The folder of the programs' ELF files.
    pub apps: PathBuf,
    /// The kernel's command line.
    pub command_line: String,
    /// Whether the run is shown on what is connected to the board.
    pub screen: Screen,
}

/// What the firmware takes from a card.
#[derive(Clone, Debug)]
pub struct Boot {
    /// The kernel's raw image.
    pub kernel: Vec<u8>,
    /// The boot archive.
    pub archive: Vec<u8>,
    /// The device tree.
    pub tree: Vec<u8>,
    /// The kernel's command line.
    pub command_line: String,
}

impl Boot {
    /// What a card has of it.
    ///
    /// # Errors
    /// If that is no card, or one of another kind: with the name of what it lacks.
    pub fn read(image: &[u8]) -> Result<Self, Failure> {
        let [kernel, archive, tree, words] = disk::read(image, [KERNEL, ARCHIVE, DEVICE_TREE, COMMAND_LINE])?;
        Ok(Self { kernel, archive, tree, command_line: String::from_utf8_lossy(&words).trim().into() })
    }
}

/// Writes the image and the folder into `out`; the image's path.
///
/// # Errors
/// Names the file that is missing or wrong.
pub fn make(order: &Order, out: &Path) -> Result<PathBuf, Failure> {
    let files = files(order)?;
    let folder = out.join(FOLDER);
    fs::create_dir_all(&folder).map_err(Failure::with(folder.display()))?;
    for old in fs::read_dir(&folder).map_err(Failure::with(folder.display()))?.flatten() {
        if !files.iter().any(|file| old.file_name() == file.name[..]) {
            fs::remove_file(old.path()).map_err(Failure::with(old.path().display()))?;
        }
    }
    files.iter().try_for_each(|file| write_sparse(&folder.join(&file.name), &file.bytes))?;
    let path = out.join(IMAGE);
    write_sparse(&path, &disk::build(&files, IMAGE_SIZE)?)?;
    Ok(path)
}

/// Everything that is on the card, the results file first: then it is in one piece whatever the rest becomes.
fn files(order: &Order) -> Result<Vec<File>, Failure> {
    let scenario = order.screen.scenario(&order.scenario, &order.changes, None)?;
    if scenario.cores != qemu::PI_CORES {
        let (file, cores) = (order.scenario.display(), scenario.cores);
        return Err(Failure(format!("{file}: cores: a Raspberry Pi 4 has {} (got {cores})", qemu::PI_CORES)));
    }
    let programs = archive::programs(&order.apps)?;
    let kernel = fs::read(&order.kernel).map_err(Failure::with(order.kernel.display()))?;
    let file = |name: &str, bytes: Vec<u8>| File { name: name.into(), bytes };
    let mut all = vec![file(card::FILE, format::blank(RESULTS_SIZE))];
    for name in FIRMWARE {
        all.push(file(name, needed(&Path::new(FIRMWARE_FOLDER).join(name), "firmware")?));
    }
    all.push(file(DEVICE_TREE, needed(Path::new(qemu::DEVICE_TREE), "dtb")?));
    all.push(file(SETTINGS, CONFIG.into()));
    all.push(file(COMMAND_LINE, (order.screen.words(&order.command_line) + "\n").into()));
    all.push(file(KERNEL, image::raw(&kernel).map_err(Failure::with(order.kernel.display()))?));
    all.push(file(ARCHIVE, archive::build(&programs, &scenario)?));
    Ok(all)
}

fn needed(path: &Path, part: &str) -> Result<Vec<u8>, Failure> {
    fs::read(path).map_err(|error| {
        Failure(format!(
            "{}: {error}: `./just setup {part}` fetches it, or says which file to put there",
            path.display()
        ))
    })
}

/// Writes a file without what is all zero, which the host's file system then need not keep.
///
/// # Errors
/// If it cannot be written, with its name.
pub fn write_sparse(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let write = || {
        let mut file = fs::File::create(path)?;
        for (number, piece) in bytes.chunks(PIECE).enumerate() {
            if piece.iter().any(|byte| *byte != 0) {
                file.seek(SeekFrom::Start((number * PIECE) as u64))?;
                file.write_all(piece)?;
            }
        }
        file.set_len(bytes.len() as u64)
    };
    write().map_err(Failure::with(path.display()))
}
