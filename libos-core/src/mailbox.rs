//! A mailbox: pages that a program shares with its creator, with its statistics and a ring of bytes that it writes and
//! the creator reads.
//!
//! Not here: what the bytes mean (`report`), who maps the pages (`spawn`).
//!
//! One side writes, the other reads; neither waits. A write goes in whole or is dropped and counted. The reader trusts
//! nothing: it keeps its own position, so a writer can garble what it says, and nothing else.

use crate::stats::WorkStats;
use alloc::vec::Vec;
use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use core::sync::atomic::{AtomicU8, AtomicU64};
use tranche_abi::layout::PAGE_SIZE;

/// The beginning of a mailbox. All zero is a new one.
#[repr(C, align(512))]
struct Header {
    stats: WorkStats,
    /// Bytes ever written.
    written: AtomicU64,
    /// Bytes ever read.
    read: AtomicU64,
    /// Bytes that did not fit.
    dropped: AtomicU64,
}

/// Pages of a mailbox that holds at least `bytes` unread.
pub const fn pages_for(bytes: u64) -> u64 {
    (size_of::<Header>() as u64 + bytes).div_ceil(PAGE_SIZE)
}

/// One side's view of a mailbox.
#[derive(Clone, Copy)]
pub struct Mailbox<'a> {
    header: &'a Header,
    ring: &'a [AtomicU8],
}

impl Mailbox<'_> {
    /// The mailbox that covers `bytes` bytes at `address`.
    ///
    /// # Safety
    /// The range is mapped readable and writable for as long as the mailbox is used, page-aligned, at least a page long,
    /// and nobody accesses it but through a mailbox.
    pub unsafe fn at(address: u64, bytes: u64) -> Self {
        let base: *const u8 = core::ptr::with_exposed_provenance(address as usize);
        let header_bytes = size_of::<Header>();
        // SAFETY: The caller vouches for the range; every field and byte is atomic, and all bit patterns are values.
        unsafe {
            Self {
                header: &*base.cast(),
                ring: core::slice::from_raw_parts(
                    base.add(header_bytes).cast(),
                    bytes as usize - header_bytes,
                ),
            }
        }
    }
}

impl<'a> Mailbox<'a> {
    /// The program's statistics.
    pub fn stats(&self) -> &'a WorkStats {
        &self.header.stats
    }

    /// Bytes that were dropped because the reader was behind.
    pub fn dropped(&self) -> u64 {
        self.header.dropped.load(Relaxed)
    }

    /// Writes all of `bytes`, or drops and counts them. Only one writer at a time.
    pub fn write(&self, bytes: &[u8]) -> bool {
        let written = self.header.written.load(Relaxed);
        let unread = written.wrapping_sub(self.header.read.load(Acquire));
        if unread.saturating_add(bytes.len() as u64) > self.ring.len() as u64 {
            self.header.dropped.fetch_add(bytes.len() as u64, Relaxed);
            return false;
        }
        for (byte, position) in bytes.iter().zip(written..) {
            self.ring[self.index(position)].store(*byte, Relaxed);
        }
        self.header.written.store(written.wrapping_add(bytes.len() as u64), Release);
        true
    }

    fn index(&self, position: u64) -> usize {
        (position % self.ring.len() as u64) as usize
    }
}

/// The reading side, with its position.
pub struct Reader<'a> {
    mailbox: Mailbox<'a>,
    position: u64,
}

impl<'a> Reader<'a> {
    /// Begins to read a new mailbox.
    pub fn new(mailbox: Mailbox<'a>) -> Self {
        Self { mailbox, position: 0 }
    }

    /// The mailbox.
    pub fn mailbox(&self) -> Mailbox<'a> {
        self.mailbox
    }

    /// Appends what was written since the last time to `out`; how many bytes.
    pub fn read(&mut self, out: &mut Vec<u8>) -> usize {
        let written = self.mailbox.header.written.load(Acquire);
        let unread = written.wrapping_sub(self.position);
        // More than there is room for was not written by our writer: go on from where it claims to be.
        let unread = if unread > self.mailbox.ring.len() as u64 { 0 } else { unread };
        let begin = self.position;
        out.extend(
            (0..unread).map(|offset| {
                self.mailbox.ring[self.mailbox.index(begin.wrapping_add(offset))].load(Relaxed)
            }),
        );
        self.position = written;
        self.mailbox.header.read.store(written, Release);
        unread as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BYTES: u64 = PAGE_SIZE;

    fn mailbox() -> Mailbox<'static> {
        let pages: &'static mut [Header] =
            Vec::from_iter((0..BYTES / 512).map(|_| Header::default_for_tests())).leak();
        // SAFETY: Leaked pages of zeros, aligned enough for a header, used by this mailbox alone.
        unsafe { Mailbox::at(pages.as_mut_ptr().expose_provenance() as u64, BYTES) }
    }

    impl Header {
        fn default_for_tests() -> Self {
            Self {
                stats: WorkStats::default(),
                written: AtomicU64::new(0),
                read: AtomicU64::new(0),
                dropped: AtomicU64::new(0),
            }
        }
    }

    #[test]
    fn bytes_come_out_in_order_however_often_the_ring_wraps() {
        let mailbox = mailbox();
        let mut reader = Reader::new(mailbox);
        let mut expected = Vec::new();
        let mut seen = Vec::new();
        for round in 0..200u32 {
            let record: Vec<u8> = (0..997).map(|i| (round * 31 + i) as u8).collect();
            assert!(mailbox.write(&record));
            expected.extend(record);
            reader.read(&mut seen);
        }
        assert!(expected.len() as u64 > 10 * BYTES);
        assert_eq!(seen, expected);
    }

    #[test]
    fn a_full_ring_drops_whole_writes_and_counts_their_bytes() {
        let mailbox = mailbox();
        let room = (BYTES - size_of::<Header>() as u64) as usize;
        assert!(mailbox.write(&alloc::vec![1; room]));
        assert!(!mailbox.write(&[2, 2, 2]));
        assert_eq!(mailbox.dropped(), 3);
        let mut seen = Vec::new();
        assert_eq!(Reader::new(mailbox).read(&mut seen), room);
        assert!(seen.iter().all(|byte| *byte == 1));
        assert!(mailbox.write(&[3]));
    }

    #[test]
    fn a_writer_that_lies_about_its_position_cannot_make_the_reader_leave_the_ring() {
        let mailbox = mailbox();
        let mut reader = Reader::new(mailbox);
        let mut seen = Vec::new();
        for lie in [u64::MAX, 1 << 40, 0, u64::MAX / 2] {
            mailbox.header.written.store(lie, Relaxed);
            assert!(reader.read(&mut seen) as u64 <= BYTES);
        }
        mailbox.header.written.store(reader.position, Relaxed);
        assert!(mailbox.write(b"true again"));
        seen.clear();
        reader.read(&mut seen);
        assert_eq!(seen, b"true again");
    }

    #[test]
    fn two_threads_lose_nothing_that_was_accepted() {
        let mailbox = mailbox();
        let writer = std::thread::spawn(move || {
            let mut next = 0u32;
            while next < 20_000 {
                if mailbox.write(&next.to_le_bytes()) {
                    next += 1;
                } else {
                    std::thread::yield_now();
                }
            }
        });
        let mut reader = Reader::new(mailbox);
        let mut seen = Vec::new();
        while !writer.is_finished() {
            reader.read(&mut seen);
            std::thread::yield_now();
        }
        reader.read(&mut seen);
        let numbers: Vec<u32> =
            seen.chunks(4).map(|chunk| u32::from_le_bytes(chunk.try_into().unwrap())).collect();
        assert_eq!(numbers, Vec::from_iter(0..20_000));
    }
}
