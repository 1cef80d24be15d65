//! Settings that are files: a line of text, a path with a number in it.

use core::ffi::CStr;
use core::fmt::{self, Write};
use linux_guest::calls::{self, File, For};
use linux_guest::report;

/// Bytes of the longest text.
const LONGEST: usize = 96;

/// A short text with zeros after it.
pub struct Text {
    bytes: [u8; LONGEST + 1],
    used: usize,
}

impl Text {
    /// With these contents.
    pub fn new(contents: fmt::Arguments) -> Self {
        let mut text = Self { bytes: [0; LONGEST + 1], used: 0 };
        if text.write_fmt(contents).is_err() {
            report::wrong("a path or a setting is longer than there is room for");
        }
        text
    }

    /// As a path.
    pub fn path(&self) -> &CStr {
        CStr::from_bytes_until_nul(&self.bytes).unwrap_or(c"")
    }
}

impl Write for Text {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let end = self.used + text.len();
        self.bytes[..LONGEST].get_mut(self.used..end).ok_or(fmt::Error)?.copy_from_slice(text.as_bytes());
        self.used = end;
        Ok(())
    }
}

/// Writes a setting.
pub fn set(path: &CStr, contents: fmt::Arguments) {
    let text = Text::new(contents);
    let file = open(path, For::Writing);
    calls::write(file, &text.bytes[..text.used]);
    calls::close(file);
}

/// Opens a file that must be there.
pub fn open(path: &CStr, purpose: For) -> File {
    calls::open(path, purpose).unwrap_or_else(|errno| {
        let path = path.to_str().unwrap_or("a file");
        report::give_up(format_args!("{{\"failed\":\"{path} does not open: error {}\"}}", errno.0))
    })
}
