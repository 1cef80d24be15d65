//! What a creator tells a program before it starts: the start pages, read-only at `START_BASE`.
//!
//! Not here: who maps them (`spawn`, `entry`). A fixed header, which can be read without a heap, is followed by an
//! encoded [`StartInfo`].
#![forbid(unsafe_code)]

use alloc::string::String;
use alloc::vec::Vec;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tranche_abi::layout::PAGE_SIZE;
use tranche_abi::{Capability, Frame};

/// What a program is told about itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StartInfo {
    /// The name under which it reports.
    pub name: String,
    /// Its activations, all of which enter the program's `main`.
    pub activations: u64,
    /// First of the consecutive frames that it owns and may use as it likes.
    pub first_frame: u64,
    /// How many.
    pub frames: u64,
    /// Pages at `SHARED_BASE` that its creator shares with it and others.
    pub shared: u64,
    /// A capability to the machine with which it may make marks: body and mac; zeros for none.
    pub trace: [u64; 2],
    /// What it is to do, in its own encoding.
    pub arguments: Vec<u8>,
}

impl StartInfo {
    /// The arguments as the program's own type.
    pub fn arguments<T: DeserializeOwned>(&self) -> Result<T, postcard::Error> {
        decode_arguments(&self.arguments)
    }

    /// The capability with which it may make marks; the default for none.
    pub fn trace(&self) -> Capability {
        let [body, mac] = self.trace;
        Capability { body, mac }
    }

    /// The frames that it owns.
    pub fn owned_frames(&self) -> crate::frames::Run {
        crate::frames::Run { first: Frame(self.first_frame), count: self.frames }
    }
}

/// Encodes arguments for [`StartInfo`].
pub fn encode_arguments<T: Serialize>(arguments: &T) -> Result<Vec<u8>, postcard::Error> {
    postcard::to_allocvec(arguments)
}

/// What [`encode_arguments`] encoded: arguments, or what a child says to its creator alone.
pub fn decode_arguments<T: DeserializeOwned>(encoded: &[u8]) -> Result<T, postcard::Error> {
    postcard::from_bytes(encoded)
}

/// The beginning of the start pages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Header {
    /// [`Header::MAGIC`].
    pub magic: u64,
    /// Bytes of the encoded [`StartInfo`] that follow the header.
    pub encoded: u64,
    /// Bytes of the heap at `HEAP_BASE`.
    pub heap_bytes: u64,
    /// Bytes of the mailbox at `MAILBOX_BASE`; 0 for none: the program writes to the console.
    pub mailbox_bytes: u64,
}

impl Header {
    /// Identifies the layout; changes with it.
    pub const MAGIC: u64 = u64::from_le_bytes(*b"tranche1");

    fn to_bytes(self) -> [u8; size_of::<Self>()] {
        let mut bytes = [0; size_of::<Self>()];
        let fields = [self.magic, self.encoded, self.heap_bytes, self.mailbox_bytes];
        for (place, field) in bytes.chunks_exact_mut(8).zip(fields) {
            place.copy_from_slice(&field.to_le_bytes());
        }
        bytes
    }
}

/// The contents of the start pages.
pub fn encode(info: &StartInfo, heap_bytes: u64, mailbox_bytes: u64) -> Result<Vec<u8>, postcard::Error> {
    let encoded = postcard::to_allocvec(info)?;
    let header = Header { magic: Header::MAGIC, encoded: encoded.len() as u64, heap_bytes, mailbox_bytes };
    let mut bytes = header.to_bytes().to_vec();
    bytes.extend(encoded);
    Ok(bytes)
}

/// Start pages that [`encode`]d contents take.
pub const fn pages(contents: &[u8]) -> u64 {
    (contents.len() as u64).div_ceil(PAGE_SIZE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_reads_what_its_creator_wrote() {
        let arguments = encode_arguments(&(3u32, "text")).unwrap();
        let info = StartInfo {
            name: "a".into(),
            activations: 2,
            first_frame: 7,
            frames: 9,
            shared: 1,
            trace: [5, 6],
            arguments,
        };
        let pages = encode(&info, 4096, 8192).unwrap();
        let (header, encoded) = pages.split_at(size_of::<Header>());
        assert_eq!(header[..8], Header::MAGIC.to_le_bytes());
        assert_eq!(header[8..16], (encoded.len() as u64).to_le_bytes());
        let read: StartInfo = postcard::from_bytes(encoded).unwrap();
        assert_eq!(read, info);
        assert_eq!(read.arguments::<(u32, String)>().unwrap(), (3, "text".into()));
        assert!(read.arguments::<(u32, String, u64)>().is_err());
    }
}
