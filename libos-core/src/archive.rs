//! The boot archive: a tar file in the public region that every environment can read, with all programs.
//!
//! Not here: what is in the files (`image`).

use tar_no_std::TarArchiveRef;

/// The boot archive.
pub struct Archive<'a>(TarArchiveRef<'a>);

impl<'a> Archive<'a> {
    /// The tar file in `bytes`; `None` if it is none.
    pub fn new(bytes: &'a [u8]) -> Option<Self> {
        TarArchiveRef::new(bytes).ok().map(Self)
    }

    /// The contents of the file called `name`.
    pub fn file(&self, name: &str) -> Option<&'a [u8]> {
        let is_called =
            |found: Result<&str, _>| found.is_ok_and(|found| found.trim_start_matches("./") == name);
        self.0.entries().find(|entry| is_called(entry.filename().as_str())).map(|entry| entry.data())
    }
}

/// The archive that the machine was booted with; `None` if there is none, as on the host.
pub fn boot() -> Option<Archive<'static>> {
    let size = crate::public::view().archive_size();
    // The kernel gives the size; anything that its region has no room for is not from it.
    if size == 0 || size > 1 << 30 || !cfg!(target_os = "none") {
        return None;
    }
    // SAFETY: The kernel maps this many bytes there, read-only, in every environment for ever.
    let bytes =
        unsafe { core::slice::from_raw_parts(tranche_abi::layout::ARCHIVE_BASE as *const u8, size as usize) };
    Archive::new(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    /// A ustar file of one regular file.
    fn tar(name: &str, data: &[u8]) -> Vec<u8> {
        let mut header = [0u8; 512];
        header[..name.len()].copy_from_slice(name.as_bytes());
        header[100..108].copy_from_slice(b"0000644\0");
        header[108..116].copy_from_slice(b"0000000\0");
        header[116..124].copy_from_slice(b"0000000\0");
        header[124..136].copy_from_slice(alloc::format!("{:011o}\0", data.len()).as_bytes());
        header[136..148].copy_from_slice(b"00000000000\0");
        header[148..156].fill(b' ');
        header[156] = b'0';
        header[257..265].copy_from_slice(b"ustar\x0000");
        let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
        header[148..156].copy_from_slice(alloc::format!("{sum:06o}\0 ").as_bytes());
        let mut file = header.to_vec();
        file.extend(data);
        file.resize(file.len().next_multiple_of(512) + 1024, 0);
        file
    }

    #[test]
    fn a_file_is_found_by_its_name_alone() {
        let bytes = tar("./broker", b"contents");
        let archive = Archive::new(&bytes).unwrap();
        assert_eq!(archive.file("broker"), Some(&b"contents"[..]));
        assert_eq!(archive.file("brok"), None);
    }

    #[test]
    fn what_is_no_archive_is_refused() {
        assert!(Archive::new(&[]).is_none());
        assert!(Archive::new(&[7; 4096]).is_none());
        assert!(boot().is_none());
    }
}
