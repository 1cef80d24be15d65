use super::*;
use proptest::prelude::*;

const CORES: u32 = 2;
const PAGES: u32 = 40;

fn put_page(file: &mut [u8], number: u32, page: &Page) {
    file[number as usize * PAGE..][..PAGE].copy_from_slice(page);
}

fn page_at(file: &[u8], number: u32) -> &[u8] {
    &file[number as usize * PAGE..][..PAGE]
}

/// A file's pages in the order in which a run writes them: its header, its streams, its header again.
fn writes((place, before): &(u32, Header), streams: &[Vec<u8>]) -> Vec<(u32, Page)> {
    let begun = before.begin(PAGES, CORES).unwrap();
    let mut writes = alloc::vec![(other(*place), begun.to_page())];
    for (stream, bytes) in (0..).zip(streams) {
        for (number, payload) in (0..).zip(bytes.chunks(PAYLOAD)) {
            let label = Label { run: begun.run, stream, number };
            writes.push((begun.streams[stream as usize].region.first + number, label.page(payload)));
        }
    }
    let lengths: Vec<u64> = streams.iter().map(|bytes| bytes.len() as u64).collect();
    let complete = begun.complete(&lengths);
    writes.push((*place, complete.to_page()));
    writes
}

fn streams(seed: u8) -> Vec<Vec<u8>> {
    let bytes = |length: usize| (0..length).map(|at| seed.wrapping_add((at % 251) as u8)).collect();
    alloc::vec![bytes(3 * PAYLOAD), bytes(PAYLOAD + 1), Vec::new()]
}

/// A file after a whole run, and its header with its place.
fn after_a_run() -> (Vec<u8>, (u32, Header)) {
    let mut file = blank(PAGES as usize * PAGE);
    let writes = writes(&(0, Header::blank(PAGES)), &streams(1));
    writes.iter().for_each(|(number, page)| put_page(&mut file, *number, page));
    let (place, page) = &writes[writes.len() - 1];
    (file, (*place, Header::from_page(page).unwrap()))
}

#[test]
fn a_blank_file_says_that_it_is() {
    let contents = read(&blank(PAGES as usize * PAGE)).unwrap();
    assert_eq!((contents.state, contents.run, contents.is_whole()), (State::Blank, 0, false));
    assert_eq!((contents.streams.len(), contents.damage.len()), (0, 0));
}

#[test]
fn what_a_run_wrote_is_read_back_to_the_byte() {
    let contents = read(&after_a_run().0).unwrap();
    assert!(contents.is_whole());
    assert_eq!((contents.run, contents.streams), (1, streams(1)));
}

#[test]
fn a_run_that_was_cut_off_after_any_page_is_whole_or_says_that_it_is_not() {
    let (before, header) = after_a_run();
    let writes = writes(&header, &streams(2));
    for cut in 0..=writes.len() {
        let mut file = before.clone();
        writes[..cut].iter().for_each(|(number, page)| put_page(&mut file, *number, page));
        let contents = read(&file).unwrap();
        let (run, state) = match cut {
            0 => (1, State::Complete),
            _ if cut == writes.len() => (2, State::Complete),
            _ => (2, State::Begun),
        };
        assert_eq!((contents.run, contents.state, contents.damage.as_slice()), (run, state, &[][..]));
        let all = if cut == 0 { streams(1) } else { streams(2) };
        assert!(contents.streams.iter().zip(&all).all(|(got, all)| all.starts_with(got)), "cut at {cut}");
    }
}

#[test]
fn a_page_that_is_torn_at_any_block_is_told_from_one_that_is_whole() {
    let (before, header) = after_a_run();
    let writes = writes(&header, &streams(2));
    for (cut, (number, page)) in writes.iter().enumerate() {
        for torn in (0..PAGE).step_by(512) {
            let mut file = before.clone();
            writes[..cut].iter().for_each(|(number, page)| put_page(&mut file, *number, page));
            file[*number as usize * PAGE..][..torn].copy_from_slice(&page[..torn]);
            let contents = read(&file).unwrap();
            let is_header = *number < FIRST_REGION;
            let is_whole = page_at(&file, *number) == page;
            let expected = usize::from(!is_header && torn > 0 && !is_whole);
            assert_eq!(contents.damage.len(), expected, "write {cut} torn at {torn}: {:?}", contents.damage);
            assert!(contents.damage.iter().all(|damage| damage.why == Why::Torn));
        }
    }
}

#[test]
fn a_header_that_is_torn_leaves_the_one_before_it() {
    let (mut file, (place, header)) = after_a_run();
    let begun = header.begin(PAGES, CORES).unwrap().to_page();
    file[other(place) as usize * PAGE..][..100].copy_from_slice(&begun[..100]);
    let contents = read(&file).unwrap();
    assert_eq!((contents.run, contents.state), (1, State::Complete));
    let place = Place::Header { page: other(place) };
    assert_eq!(
        (contents.streams, contents.damage),
        (streams(1), alloc::vec![Damage { place, why: Why::Torn }])
    );
}

#[test]
fn each_kind_of_damage_is_named_with_its_page() {
    let (file, (_, header)) = after_a_run();
    let first = header.streams[REPORT].region.first;
    let damaged = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut file = file.clone();
        change(&mut file);
        let contents = read(&file).unwrap();
        assert!(!contents.is_whole());
        assert_eq!(contents.streams[0].len(), 2 * PAYLOAD);
        contents.damage
    };
    let at = |page: u32, why| {
        let place = Place::Stream { stream: 0, page, offset: u64::from(page) * PAYLOAD as u64 };
        alloc::vec![Damage { place, why }]
    };
    let whole =
        |label: Label| move |file: &mut Vec<u8>| put_page(file, first + 1, &label.page(&[9; PAYLOAD]));
    let zero = |file: &mut Vec<u8>| put_page(file, first + 1, &[0; PAGE]);
    let bit = |file: &mut Vec<u8>| file[(first as usize + 1) * PAGE + 700] ^= 4;
    let text = |file: &mut Vec<u8>| put_page(file, first + 1, &[b'x'; PAGE]);
    assert_eq!(damaged(&zero), at(1, Why::Blank));
    assert_eq!(damaged(&bit), at(1, Why::Torn));
    assert_eq!(damaged(&text), at(1, Why::Foreign));
    assert_eq!(damaged(&whole(Label { run: 7, stream: 0, number: 1 })), at(1, Why::Stale { run: 7 }));
    assert_eq!(damaged(&whole(Label { run: 1, stream: 1, number: 1 })), at(1, Why::Foreign));
    let cut = read(&file[..(first as usize + 2) * PAGE]).unwrap();
    assert_eq!(cut.damage[0], at(2, Why::Missing)[0]);
}

#[test]
fn what_is_no_results_file_is_refused_with_the_reason() {
    assert_eq!(read(&[]), Err(Unreadable::NoHeader));
    assert_eq!(read(&[7; 3 * PAGE]), Err(Unreadable::NoHeader));
    let mut file = blank(4 * PAGE);
    file[20] ^= 1;
    assert_eq!(read(&file), Err(Unreadable::Damaged));
    let mut other = blank(4 * PAGE);
    other[8] = 9;
    let sum = CHECKSUM.checksum(&other[..HEADER - 4]);
    other[HEADER - 4..HEADER].copy_from_slice(&sum.to_le_bytes());
    assert_eq!(read(&other), Err(Unreadable::Version(9)));
}

#[test]
fn a_file_without_a_page_for_each_stream_is_too_small() {
    let blank = Header::blank(0);
    assert_eq!(blank.begin(6, 4), Err(TooSmall { pages: 6, needed: 7 }));
    assert_eq!(blank.begin(2, 0), Err(TooSmall { pages: 2, needed: 3 }));
    assert!(blank.begin(7, 4).is_ok_and(|header| header.is_sound()));
}

proptest! {
    #[test]
    fn the_regions_of_any_file_lie_in_it_and_apart(pages in any::<u32>(), cores in 0u32..20) {
        if let Ok(header) = Header::blank(0).begin(pages, cores) {
            prop_assert!(header.is_sound());
            prop_assert!(header.streams.iter().all(|stream| stream.region.pages > 0));
            prop_assert_eq!(Header::from_page(&header.to_page()), Ok(header));
        }
    }

    #[test]
    fn no_changed_bit_of_a_header_passes(bit in 0..HEADER * 8) {
        let mut page = Header::blank(0).begin(PAGES, CORES).unwrap().to_page();
        page[bit / 8] ^= 1 << (bit % 8);
        prop_assert!(Header::from_page(&page).is_err());
    }

    #[test]
    fn any_bytes_behind_a_right_checksum_are_read_or_refused(words in prop::collection::vec(prop_oneof![0u32..9, any::<u32>()], 126)) {
        let mut file = blank(4 * PAGE);
        file[12..12 + 4 * 124].copy_from_slice(&words[..124].iter().flat_map(|word| word.to_le_bytes()).collect::<Vec<_>>());
        let sum = CHECKSUM.checksum(&file[..HEADER - 4]);
        file[HEADER - 4..HEADER].copy_from_slice(&sum.to_le_bytes());
        let _ = read(&file);
    }
}
