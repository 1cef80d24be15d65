use super::*;
use alloc::vec::Vec;
use proptest::prelude::*;

/// Blocks of the card, where its partition, FAT and clusters are, and the blocks of a cluster.
const BLOCKS: usize = 4096;
const BEGIN: usize = 63;
const FAT: usize = BEGIN + 32;
const DATA: usize = FAT + 2 * 8;
const CLUSTER: usize = 2;
const ROOT: u32 = 2;

/// A card in memory, and how many pages of it were read.
struct Card {
    bytes: Vec<u8>,
    reads: usize,
}

impl Pages for Card {
    type Error = ();

    fn read(&mut self, number: u64, into: &mut Page) -> Result<(), ()> {
        self.reads += 1;
        into.copy_from_slice(
            self.bytes.get(number as usize * PAGE..).and_then(|rest| rest.get(..PAGE)).ok_or(())?,
        );
        Ok(())
    }

    fn write(&mut self, _: u64, _: &Page) -> Result<(), ()> {
        panic!("a walk writes nothing")
    }
}

impl Card {
    /// A card with an empty file system.
    fn new() -> Self {
        let mut card = Self { bytes: alloc::vec![0; BLOCKS * 512], reads: 0 };
        card.put(ENTRIES + 4, &[0x0c]);
        card.put(ENTRIES + 8, &(BEGIN as u32).to_le_bytes());
        card.put(510, &SIGNATURE);
        let boot = BEGIN * 512;
        card.put(boot + 11, &512u16.to_le_bytes());
        card.put(boot + 13, &[CLUSTER as u8, 32, 0, 2]);
        card.put(boot + 32, &((BLOCKS - BEGIN) as u32).to_le_bytes());
        card.put(boot + 36, &8u32.to_le_bytes());
        card.put(boot + 44, &ROOT.to_le_bytes());
        card.put(boot + 510, &SIGNATURE);
        card.chain(&[ROOT]);
        card
    }

    fn put(&mut self, at: usize, bytes: &[u8]) {
        self.bytes[at..at + bytes.len()].copy_from_slice(bytes);
    }

    /// These clusters follow each other, and nothing the last.
    fn chain(&mut self, clusters: &[u32]) {
        let next = clusters.iter().skip(1).chain([&0x0fff_ffff]).copied().collect::<Vec<_>>();
        for (cluster, next) in clusters.iter().zip(next) {
            self.put(FAT * 512 + *cluster as usize * 4, &next.to_le_bytes());
        }
    }

    /// An entry of the root folder.
    fn entry(&mut self, place: usize, name: &[u8; 11], (attributes, first, bytes): (u8, u32, u32)) {
        let at = DATA * 512 + place * FOLDER_ENTRY;
        self.put(at, name);
        self.put(at + 11, &[attributes]);
        self.put(at + 20, &((first >> 16) as u16).to_le_bytes());
        self.put(at + 26, &(first as u16).to_le_bytes());
        self.put(at + 28, &bytes.to_le_bytes());
    }

    fn find(&mut self) -> Result<Found, NotFound<()>> {
        find(self, BLOCKS as u64, super::super::FILE)
    }
}

const NAME: &[u8; 11] = b"RESULTS TRN";

fn block(cluster: usize) -> u64 {
    (DATA + (cluster - 2) * CLUSTER) as u64
}

#[test]
fn a_file_is_found_behind_labels_long_names_deleted_ones_and_folders_of_its_name() {
    let mut card = Card::new();
    card.entry(0, b"TRANCHE    ", (0x08, 0, 0));
    card.entry(1, NAME, (0x0f, 7, 7));
    card.entry(2, b"\xe5ESULTS TRN", (0x20, 9, 4096));
    card.entry(3, NAME, (0x10, 9, 4096));
    card.entry(4, NAME, (0x20, 10, 20 * 1024));
    card.chain(&Vec::from_iter(10..30));
    let found = card.find().unwrap();
    assert_eq!(found, Found { blocks: block(10)..block(30), bytes: 20 * 1024 });
    assert!(found.is_whole());
}

#[test]
fn a_file_in_pieces_is_what_lies_in_one_from_its_beginning_in_whole_pages() {
    let mut card = Card::new();
    card.entry(0, NAME, (0x20, 10, 30 * 1024));
    card.chain(&Vec::from_iter((10..23).chain(40..57)));
    let found = card.find().unwrap();
    assert_eq!((found.blocks.clone(), found.is_whole()), (block(10)..block(10) + 24, false));
    card.chain(&[10, 12, 11]);
    assert_eq!(card.find().unwrap().blocks, block(10)..block(10));
}

#[test]
fn a_root_folder_of_several_clusters_is_read_to_its_end() {
    let mut card = Card::new();
    for place in 0..CLUSTER * 16 {
        card.entry(place, b"OTHER      ", (0x20, 50, 1));
    }
    assert_eq!(card.find(), Err(NotFound::NoFile));
    card.chain(&[ROOT, 5]);
    card.entry((5 - 2) * CLUSTER * 16, NAME, (0x20, 10, 4096));
    card.chain(&[10, 11, 12, 13]);
    assert_eq!(card.find().unwrap().blocks, block(10)..block(14));
}

#[test]
fn what_is_not_understood_is_refused_with_the_reason() {
    let mut none = Card { bytes: alloc::vec![0; BLOCKS * 512], reads: 0 };
    assert_eq!(none.find(), Err(NotFound::NoFat32));
    assert_eq!(Card::new().find(), Err(NotFound::NoFile));
    assert_eq!(
        find(&mut Card::new(), 70, "A"),
        Err(NotFound::Unsound),
        "the card ends before the file system"
    );
    assert_eq!(find(&mut Card { bytes: Vec::new(), reads: 0 }, 80, "A"), Err(NotFound::Disk(())));
    let mut outside = Card::new();
    outside.entry(0, NAME, (0x20, 0x0fff_0000, 4096));
    assert_eq!(outside.find(), Err(NotFound::Unsound));
    let mut older = Card::new();
    older.put(ENTRIES + 4, &[0x06]);
    assert_eq!(older.find(), Err(NotFound::NoFat32));
}

#[test]
fn a_folder_that_never_ends_is_given_up() {
    let mut card = Card::new();
    for place in 0..CLUSTER * 16 {
        card.entry(place, b"OTHER      ", (0x20, 50, 1));
    }
    card.put(FAT * 512 + ROOT as usize * 4, &ROOT.to_le_bytes());
    assert_eq!(card.find(), Err(NotFound::Unsound));
    assert!(card.reads < 20_000);
}

#[test]
fn an_empty_file_has_no_blocks() {
    let mut card = Card::new();
    card.entry(0, NAME, (0x20, 0, 0));
    assert_eq!(card.find(), Ok(Found { blocks: 0..0, bytes: 0 }));
}

proptest! {
    #[test]
    fn no_card_makes_it_fail_but_by_saying_so(
        changes in prop::collection::vec((0..(DATA + 4) * 512, any::<u8>()), 0..60),
        noise in any::<bool>(),
    ) {
        let mut card = Card::new();
        card.entry(1, NAME, (0x20, 10, 200 * 1024));
        card.entry(0, b"OTHER      ", (0x20, 50, 1));
        card.chain(&Vec::from_iter(10..210));
        if noise {
            let mut state = 1u32;
            card.bytes[512..].iter_mut().for_each(|byte| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                *byte ^= (state >> 24) as u8 & (state >> 16) as u8;
            });
        }
        // Where the fields are that lead on, more often than elsewhere.
        let fields = (BEGIN * 512, FAT * 512, DATA * 512);
        for (place, value) in changes {
            let at = match place % 4 { 0 => place, 1 => fields.0 + place % 64, 2 => fields.1 + place % 900, _ => fields.2 + place % 64 };
            card.bytes[at] = value;
        }
        if let Ok(found) = card.find() {
            prop_assert!(found.blocks.end <= BLOCKS as u64 && found.blocks.start <= found.blocks.end);
            prop_assert_eq!((found.blocks.end - found.blocks.start) % PAGE_BLOCKS, 0);
        }
        prop_assert!(card.reads < 100_000);
    }
}
