//! What a run has left, to the host: frames in a file of QEMU's, which is asked for that by the instruction for semihosting
//! (Arm, "Semihosting for AArch32 and AArch64"). Linux has no part in it, and no device is needed.

use crate::clients::{Clients, HEAD, JOB};
use crate::files;
use crate::shared;
use crate::tracing;
use core::arch::asm;
use core::ffi::CStr;
use core::sync::atomic::Ordering::Relaxed;
use linux_guest::calls::{self, File, For};
use linux_guest::frame::{FILE, Frame, Kind};
use linux_guest::{call, report};

const SYS_OPEN: usize = 0x01;
const SYS_CLOSE: usize = 0x02;
const SYS_WRITE: usize = 0x05;
/// The mode that C calls "wb".
const WRITE_BINARY: usize = 5;

/// Bytes of a page of a trace.
const PAGE: usize = 4096;

/// The file on the host.
struct Host(usize);

/// An operation of semihosting.
///
/// # Safety
/// The words must be those of this operation, and what they name be memory that it may read.
unsafe fn semihosting(operation: usize, words: &[usize]) -> usize {
    let result: usize;
    // SAFETY: QEMU changes x0 and reads memory, as the caller has promised.
    unsafe {
        asm!("hlt #0xf000", inlateout("x0") operation => result, in("x1") words.as_ptr(), options(nostack));
    }
    result
}

impl Host {
    fn open() -> Self {
        let words = [FILE.as_ptr() as usize, WRITE_BINARY, FILE.count_bytes()];
        // SAFETY: QEMU reads the file's name.
        match unsafe { semihosting(SYS_OPEN, &words) } {
            usize::MAX => report::wrong("the host lets no file be written"),
            handle => Self(handle),
        }
    }

    fn write(&self, bytes: &[u8]) {
        // SAFETY: QEMU reads the bytes.
        let left = unsafe { semihosting(SYS_WRITE, &[self.0, bytes.as_ptr() as usize, bytes.len()]) };
        if left != 0 {
            report::wrong("the host did not take everything");
        }
    }

    fn frame(&self, kind: Kind, index: u64, contents: &[u8]) {
        let head = Frame { kind, index, length: contents.len() as u64 };
        head.words().iter().for_each(|word| self.write(&word.to_le_bytes()));
        self.write(contents);
    }

    fn close(self) {
        // SAFETY: No memory is named.
        unsafe { semihosting(SYS_CLOSE, &[self.0]) };
    }
}

/// Hands everything over.
pub fn all(begin: u64, clients: &Clients) {
    let host = Host::open();
    let mut start = [0; 16];
    start[..8].copy_from_slice(&begin.to_le_bytes());
    start[8..].copy_from_slice(&call::frequency().to_le_bytes());
    host.frame(Kind::Start, 0, &start);
    for planned in clients.all() {
        let jobs = shared::record(planned.record + 1).load(Relaxed) as usize;
        host.frame(Kind::Client, planned.number as u64, shared::bytes(planned.record, HEAD + jobs * JOB));
    }
    text(&host, (Kind::Format, 0), tracing::FORMAT);
    text(&host, (Kind::Head, 0), tracing::HEAD);
    for core in 0..clients.plan().cores {
        text(&host, (Kind::Lost, core), tracing::of_core(core, "stats").path());
        pages(&host, core);
    }
    host.frame(Kind::End, 0, &[]);
    host.close();
}

/// A file that is a text of less than a page.
fn text(host: &Host, (kind, index): (Kind, u64), path: &CStr) {
    let file = files::open(path, For::Reading);
    let mut bytes = [0; PAGE];
    let used = read(file, &mut bytes);
    host.frame(kind, index, &bytes[..used]);
    calls::close(file);
}

/// The pages of a core's trace.
fn pages(host: &Host, core: u64) {
    let file = files::open(tracing::of_core(core, "trace_pipe_raw").path(), For::Reading);
    let mut bytes = [0; PAGE];
    loop {
        match read(file, &mut bytes) {
            0 => break,
            used => host.frame(Kind::Page, core, &bytes[..used]),
        }
    }
    calls::close(file);
}

/// Reads once; how many bytes there were, 0 if there are none, which Linux has an error for.
fn read(file: File, bytes: &mut [u8]) -> usize {
    calls::read(file, bytes).unwrap_or(0)
}
