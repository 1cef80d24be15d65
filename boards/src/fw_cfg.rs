//! QEMU's firmware configuration device, through its DMA interface (QEMU, `docs/specs/fw_cfg.rst`), and what its display `ramfb`
//! is told there (`hw/display/ramfb.c`). All numbers in memory are big-endian.
//!
//! Not here: its registers (`screen.rs` of the image).

/// Offset of the register that takes the address of an access.
pub const DMA_REGISTER: u64 = 16;
/// The item that lists the files.
pub const DIRECTORY: u16 = 0x19;
/// The file that makes `ramfb` show memory.
pub const RAMFB: &str = "etc/ramfb";
/// Bytes of a file's entry in the directory, which begins with the number of files in four bytes.
pub const ENTRY: usize = 64;
/// An access that failed.
pub const ERROR: u32 = 1;
/// `XR24` (DRM): a word of 32 bits, blue in the lowest.
const XRGB8888: u32 = u32::from_le_bytes(*b"XR24");

/// What an access does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Reads an item from its beginning.
    Read(u16),
    /// Reads on.
    ReadOn,
    /// Writes an item from its beginning.
    Write(u16),
}

impl Access {
    /// The structure that the device reads: control, length, address.
    pub fn encode(self, length: u32, address: u64) -> [u8; 16] {
        const READ: u32 = 2;
        const SELECT: u32 = 8;
        const WRITE: u32 = 16;
        let control = match self {
            Self::Read(item) => u32::from(item) << 16 | SELECT | READ,
            Self::ReadOn => READ,
            Self::Write(item) => u32::from(item) << 16 | SELECT | WRITE,
        };
        let mut bytes = [0; 16];
        bytes[..4].copy_from_slice(&control.to_be_bytes());
        bytes[4..8].copy_from_slice(&length.to_be_bytes());
        bytes[8..].copy_from_slice(&address.to_be_bytes());
        bytes
    }
}

/// The item of the file with this name, if the directory's entry is that file's.
pub fn item(entry: &[u8; ENTRY], name: &str) -> Option<u16> {
    let (numbers, text) = entry.split_at(8);
    let length = text.iter().position(|byte| *byte == 0)?;
    (text[..length] == *name.as_bytes()).then_some(u16::from_be_bytes([numbers[4], numbers[5]]))
}

/// What `ramfb` is told: where the pixels are and how many, in rows without gaps.
pub fn ramfb(address: u64, width: u32, height: u32) -> [u8; 28] {
    let mut bytes = [0; 28];
    bytes[..8].copy_from_slice(&address.to_be_bytes());
    let fields = [XRGB8888, 0, width, height, 4 * width];
    for (place, field) in bytes[8..].chunks_exact_mut(4).zip(fields) {
        place.copy_from_slice(&field.to_be_bytes());
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_access_is_laid_out_as_the_device_reads_it() {
        let bytes = Access::Write(0x2a).encode(28, 0x1_0203_0405);
        assert_eq!(bytes, [0, 0x2a, 0, 0x18, 0, 0, 0, 28, 0, 0, 0, 1, 2, 3, 4, 5]);
        assert_eq!(Access::Read(DIRECTORY).encode(4, 0)[..4], [0, 0x19, 0, 0x0a]);
        assert_eq!(Access::ReadOn.encode(4, 0)[..4], [0, 0, 0, 2]);
    }

    #[test]
    fn a_file_is_found_by_its_whole_name() {
        let mut entry = [0; ENTRY];
        entry[3] = 28;
        entry[5] = 0x2a;
        entry[8..8 + RAMFB.len()].copy_from_slice(RAMFB.as_bytes());
        assert_eq!(item(&entry, RAMFB), Some(0x2a));
        assert_eq!(item(&entry, "etc/ramf"), None);
        assert_eq!(item(&entry, "etc/ramfb2"), None);
        assert_eq!(item(&[1; ENTRY], RAMFB), None, "a name without an end");
    }

    #[test]
    fn ramfb_is_told_address_format_and_size() {
        let bytes = ramfb(0x4_5678_9000, 1280, 720);
        assert_eq!(bytes[..12], [0, 0, 0, 4, 0x56, 0x78, 0x90, 0, b'4', b'2', b'R', b'X']);
        assert_eq!(bytes[12..], [0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 2, 208, 0, 0, 20, 0]);
    }
}
