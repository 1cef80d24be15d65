//! What `linux-sched` hands over when a run is done: a file of frames, each a head of three words of eight bytes,
//! little-endian, and so many bytes of contents. Not here: what is made of it (`tools/src/compare/linux`).
#![forbid(unsafe_code)]

/// The file's name in QEMU's working directory, as QEMU wants it: with a zero at its end.
pub const FILE: &core::ffi::CStr = c"recorded";

/// What a frame holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Two words: when the run began by `CLOCK_MONOTONIC`, in nanoseconds, and the counter's ticks per second.
    Start,
    /// Of a client: a word, its process, then three of each job that it began: release and completion by the same clock (0
    /// of one that was not done when the run ended), and the CPU time that it used.
    Client,
    /// The text in which Linux describes the event `sched_switch`.
    Format,
    /// The text in which Linux describes the head of a page of its trace.
    Head,
    /// Of a core: the text in which Linux says what its trace has lost.
    Lost,
    /// Of a core: a page of its trace, as Linux has it.
    Page,
    /// Nothing: that all was handed over.
    End,
}

const KINDS: [Kind; 7] =
    [Kind::Start, Kind::Client, Kind::Format, Kind::Head, Kind::Lost, Kind::Page, Kind::End];

/// The head of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame {
    /// What it holds.
    pub kind: Kind,
    /// Of which client or core; else 0.
    pub index: u64,
    /// Bytes that follow.
    pub length: u64,
}

/// Bytes of a head.
pub const HEAD: usize = 24;

impl Frame {
    /// Its words.
    pub fn words(&self) -> [u64; 3] {
        let kind = KINDS.iter().position(|kind| *kind == self.kind).unwrap_or(KINDS.len());
        [kind as u64, self.index, self.length]
    }

    /// From its words; `None` if they are none.
    pub fn from_words([kind, index, length]: [u64; 3]) -> Option<Self> {
        Some(Self { kind: *KINDS.get(usize::try_from(kind).ok()?)?, index, length })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_frame_is_told_from_the_others() {
        for kind in KINDS {
            let frame = Frame { kind, index: 3, length: 4096 };
            assert_eq!(Frame::from_words(frame.words()), Some(frame));
        }
        assert_eq!(Frame::from_words([KINDS.len() as u64, 0, 0]), None);
    }
}
