//! What the console gets: one line of JSON for each thing to be known, after a mark that no message of Linux begins with.
//! Not here: the other side of it (`tools/src/bench/linux/figures.rs`).

use crate::call::{self, Errno};
use crate::calls::{self, Time};
use core::ffi::CStr;
use core::fmt::{self, Write};

/// What every line begins with.
const MARK: &str = "linux-bench: ";
/// How long a machine that has said something is left alone, so that what that has set off is over: Linux sends the
/// bytes later, and counts the real-time processes' time in seconds.
const SETTLING: Time = [0, 100_000_000];

/// Bytes of the longest line.
const LINE: usize = 1024;

/// A line as it grows.
struct Line {
    bytes: [u8; LINE],
    used: usize,
}

impl Write for Line {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let end = self.used + text.len();
        self.bytes.get_mut(self.used..end).ok_or(fmt::Error)?.copy_from_slice(text.as_bytes());
        self.used = end;
        Ok(())
    }
}

/// Says a line, and lets the machine settle.
pub fn say(contents: fmt::Arguments) {
    let mut line = Line { bytes: [0; LINE], used: 0 };
    if writeln!(line, "{MARK}{contents}").is_err() {
        wrong("a line is longer than there is room for");
    }
    let mut rest = &line.bytes[..line.used];
    while !rest.is_empty() {
        rest = &rest[calls::write(calls::CONSOLE, rest)..];
    }
    calls::sleep(&SETTLING).must();
}

/// Which Linux this is.
pub fn begin() {
    let names = calls::uname();
    say(format_args!(
        "{{\"release\":\"{}\",\"version\":\"{}\",\"frequency\":{}}}",
        string(&names.release),
        string(&names.version),
        call::frequency()
    ));
}

/// A string that Linux has filled in.
fn string(bytes: &[u8]) -> &str {
    CStr::from_bytes_until_nul(bytes).ok().and_then(|name| name.to_str().ok()).unwrap_or("unknown")
}

/// That all is done.
pub fn end() {
    say(format_args!("{{\"end\":true}}"));
}

/// Ends the run: Linux has refused a call that it should not refuse.
#[cold]
pub fn failed(call: &str, errno: Errno) -> ! {
    give_up(format_args!("{{\"failed\":\"the system call {call}: error {}\"}}", errno.0))
}

/// Ends the run: something is not as it should be.
#[cold]
pub fn wrong(what: &str) -> ! {
    give_up(format_args!("{{\"failed\":\"{what}\"}}"))
}

/// Ends the run with this last word.
pub fn give_up(contents: fmt::Arguments) -> ! {
    say(contents);
    loop {
        // If even that fails, the host loses its patience.
        let _ = calls::power_off().make();
    }
}
