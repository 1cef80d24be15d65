//! What the decoder must survive: cut, flipped, lost and mixed bytes.

use super::*;
use alloc::vec;
use alloc::vec::Vec;
use proptest::prelude::*;
use std::string::ToString;

fn progress(revolution: u64) -> Record {
    Record::Progress { revolution, of: 60, now: revolution * 6_250_000 }
}

fn long() -> Record {
    let environments = (0..200).map(|i| (i.to_string(), u64::MAX - i)).collect();
    Record::Ledger(Ledger { core: 0, elapsed: 1 << 40, environments, ..Ledger::default() })
}

fn heard(stream: &[u8]) -> Vec<Heard> {
    let mut decoder = Decoder::new();
    let mut all = decoder.feed(stream);
    all.extend(decoder.finish());
    all
}

fn stream(parts: &[&[u8]]) -> Vec<u8> {
    parts.concat()
}

#[test]
fn a_frame_has_zeros_at_its_ends_only() {
    let frame = encode(&long(), 0);
    assert_eq!((frame[0], frame[frame.len() - 1]), (0, 0));
    assert!(frame[1..frame.len() - 1].iter().all(|&byte| byte != 0));
    assert_eq!(frame[1..4], MAGIC);
}

#[test]
fn text_and_records_come_out_in_their_order() {
    let line = stream(&[
        b"boot\n",
        &encode(&progress(0), 0),
        &encode(&long(), 1),
        b"more\n",
        &encode(&progress(2), 2),
    ]);
    let expected = [
        Heard::Text(b"boot\n".to_vec()),
        Heard::Record { sequence: 0, record: progress(0) },
        Heard::Record { sequence: 1, record: long() },
        Heard::Text(b"more\n".to_vec()),
        Heard::Record { sequence: 2, record: progress(2) },
    ];
    assert_eq!(heard(&line), expected);
}

#[test]
fn text_is_heard_at_once() {
    let mut decoder = Decoder::new();
    assert_eq!(decoder.feed(b"half a li"), [Heard::Text(b"half a li".to_vec())]);
    decoder.feed(&encode(&progress(0), 0));
    assert_eq!(decoder.feed(b"x"), [Heard::Text(b"x".to_vec())]);
}

#[test]
fn a_changed_byte_spoils_its_own_frame_only() {
    let mut bad = encode(&progress(0), 0);
    bad[8] ^= 0x40;
    let all = heard(&stream(&[&bad, &encode(&progress(1), 1)]));
    assert!(matches!(all[0], Heard::Damaged { damage: Damage::Checksum, .. }));
    assert_eq!(all[1], Heard::Lost { from: 0, to: 1 });
    assert_eq!(all[2], Heard::Record { sequence: 1, record: progress(1) });
}

#[test]
fn a_lost_frame_is_named() {
    let all = heard(&stream(&[&encode(&progress(0), 0), &encode(&progress(3), 3)]));
    assert_eq!(all[1], Heard::Lost { from: 1, to: 3 });
}

#[test]
fn a_lost_zero_spoils_no_frame_but_its_neighbours() {
    let frame = encode(&progress(0), 0);
    for lost in [0, frame.len() - 1] {
        let mut bad = frame.clone();
        bad.remove(lost);
        let all = heard(&stream(&[b"a\n", &bad, b"b\n", &encode(&progress(1), 1)]));
        assert_eq!(all.last(), Some(&Heard::Record { sequence: 1, record: progress(1) }));
        assert!(all.contains(&Heard::Lost { from: 0, to: 1 }));
    }
}

#[test]
fn a_frame_cut_by_the_end_is_handed_over_raw() {
    let frame = encode(&progress(0), 0);
    let all = heard(&stream(&[&frame[..10], b"PANIC core=1"]));
    let [Heard::Damaged { damage: Damage::Cut, bytes, .. }] = &all[..] else { panic!("{all:?}") };
    assert!(bytes.ends_with(b"PANIC core=1"));
}

#[test]
fn a_frame_without_end_is_given_up() {
    let all = heard(&stream(&[&[0], &MAGIC, &vec![b'x'; MAX_FRAME + 3]]));
    assert!(
        matches!(&all[0], Heard::Damaged { damage: Damage::TooLong, bytes, .. } if bytes.len() == MAX_FRAME + 1)
    );
    assert_eq!(all[1], Heard::Text(b"xx".to_vec()));
}

#[test]
fn another_version_s_record_is_told_from_damage() {
    let sink = CrcModifier::new(Cobs::try_new(AllocVec::new()).unwrap(), CHECKSUM.digest());
    let body = postcard::serialize_with_flavor(&(0u32, 99u8), sink).unwrap();
    let all = heard(&stream(&[&[0], &MAGIC, &body]));
    assert!(matches!(all[0], Heard::Damaged { damage: Damage::Content, .. }));
}

proptest! {
    #[test]
    fn any_cut_into_pieces_is_heard_alike(cuts in prop::collection::vec(1usize..40, 1..60)) {
        let line = stream(&[b"one\n", &encode(&progress(7), 0), b"two\n", &encode(&long(), 1), b"three"]);
        let mut decoder = Decoder::new();
        let mut rest = &line[..];
        let mut records = 0;
        let mut text = Vec::new();
        for size in cuts.iter().cycle() {
            let (piece, left) = rest.split_at((*size).min(rest.len()));
            for heard in decoder.feed(piece) {
                match heard {
                    Heard::Text(bytes) => text.extend(bytes),
                    Heard::Record { .. } => records += 1,
                    other => prop_assert!(false, "{:?}", other),
                }
            }
            rest = left;
            if rest.is_empty() { break }
        }
        prop_assert_eq!(records, 2);
        prop_assert_eq!(text, b"one\ntwo\nthree".to_vec());
    }

    #[test]
    fn noise_is_never_taken_for_another_record(flips in prop::collection::vec((0usize..400, any::<u8>()), 1..6)) {
        let sent: Vec<_> = (0..10).map(progress).collect();
        let mut line: Vec<u8> = sent.iter().zip(0..).flat_map(|(record, i)| encode(record, i)).collect();
        for (at, value) in flips {
            let at = at % line.len();
            line[at] = value;
        }
        let mut last = None;
        for heard in heard(&line) {
            if let Heard::Record { sequence, record } = heard {
                prop_assert_eq!(&record, &sent[sequence as usize]);
                prop_assert!(last < Some(sequence));
                last = Some(sequence);
            }
        }
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(prop_oneof![Just(0u8), Just(1), Just(b'T'), Just(b'R'), any::<u8>()], 0..300)) {
        heard(&bytes);
    }
}

fn part() -> (Header, Vec<Raw>) {
    let records: Vec<Raw> = (0..40).map(|number| [number, 1, 0, number * 7, 3, 4, 5, u64::MAX]).collect();
    let batch = crate::trace::Batch { first: 9, count: records.len(), lost: 2 };
    (Header { last: true, ..Header::new(2, batch, &records) }, records)
}

#[test]
fn a_part_of_a_trace_comes_out_between_text_and_records_and_has_no_number_among_them() {
    let (header, records) = part();
    let frame = encode_trace(&header, &records);
    assert!(frame[1..frame.len() - 1].iter().all(|&byte| byte != 0));
    let line = stream(&[b"a", &encode(&progress(0), 0), &frame, b"b", &encode(&progress(1), 1)]);
    let expected = [
        Heard::Text(b"a".to_vec()),
        Heard::Record { sequence: 0, record: progress(0) },
        Heard::Trace { header, records },
        Heard::Text(b"b".to_vec()),
        Heard::Record { sequence: 1, record: progress(1) },
    ];
    assert_eq!(heard(&line), expected);
}

#[test]
fn no_damaged_byte_of_a_part_of_a_trace_passes_and_what_follows_is_heard() {
    let (header, records) = part();
    let good = encode_trace(&header, &records);
    for at in 4..good.len() - 1 {
        let mut bad = good.clone();
        bad[at] ^= 0x10;
        let all = heard(&stream(&[&bad, &encode(&progress(0), 0)]));
        assert!(matches!(all[0], Heard::Damaged { load: Load::Trace, .. }), "byte {at}: {all:?}");
        assert_eq!(all.last(), Some(&Heard::Record { sequence: 0, record: progress(0) }));
    }
}
