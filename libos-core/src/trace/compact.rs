//! A frame's records in few bytes, for a line that is slow: the same records come out, to the bit.
//!
//! Of each word only what is new is written: nothing of one that is zero or as in the record of the same kind before it, and of
//! one that is close to the record's time the distance. Each frame stands for itself, so that a damaged one costs no other. Not
//! here: how a frame travels (`report`).
//!
//! The form, in postcard's numbers: core, number of the first record, count, records lost before it, whether it is the core's
//! last; then for each record its kind, two bits for each word but the time that say how it is written, the time since the record
//! before, and the words that are written.
#![forbid(unsafe_code)]

use super::frame::{Header, MAX_RECORDS};
use super::{Batch, Raw};
use alloc::vec::Vec;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// A word is zero.
const ZERO: u16 = 0;
/// It is as in the record of its kind before.
const SAME: u16 = 1;
/// It is written as it is.
const PLAIN: u16 = 2;
/// Its distance from the record's time is written.
const NEAR: u16 = 3;

/// What stands before the records: core, first, count, lost, last.
type Front = (u64, u64, u64, u64, bool);

/// The last record of each kind, as the writing and the reading end both know it.
struct Before {
    time: u64,
    of_kind: Vec<Raw>,
}

impl Before {
    fn new() -> Self {
        Self { time: 0, of_kind: alloc::vec![[0; 8]; 256] }
    }

    /// The words but the time of the record of this kind before, the head without its kind.
    fn words(&self, kind: u8) -> [u64; 7] {
        words(&self.of_kind[usize::from(kind)])
    }

    fn note(&mut self, record: &Raw) {
        self.time = record[0];
        self.of_kind[usize::from(record[1] as u8)] = *record;
    }
}

/// The words but the time, the head without its kind.
fn words(record: &Raw) -> [u64; 7] {
    let [_, head, rest @ ..] = *record;
    let [a, b, c, d, e, f] = rest;
    [head >> 8, a, b, c, d, e, f]
}

/// A frame in few bytes.
pub fn encode(header: &Header, records: &[Raw]) -> Vec<u8> {
    let Batch { first, lost, .. } = header.batch;
    let front: Front = (header.core, first, records.len() as u64, lost, header.last);
    let (mut out, mut before) = (Vec::new(), Before::new());
    put(&mut out, &front);
    for record in records {
        let (time, kind) = (record[0], record[1] as u8);
        let known = before.words(kind);
        let ways: [u16; 7] = core::array::from_fn(|place| way(words(record)[place], known[place], time));
        let all = ways.iter().rev().fold(0, |all, way| all << 2 | way);
        put(&mut out, &(kind, all, time.wrapping_sub(before.time)));
        for (word, way) in words(record).into_iter().zip(ways) {
            match way {
                PLAIN => put(&mut out, &word),
                NEAR => put(&mut out, &(word.wrapping_sub(time) as i64)),
                _ => {}
            }
        }
        before.note(record);
    }
    out
}

/// The shortest way to write a word.
fn way(word: u64, before: u64, time: u64) -> u16 {
    let distance = word.wrapping_sub(time) as i64;
    match word {
        0 => ZERO,
        _ if word == before => SAME,
        _ if distance.unsigned_abs() < word / 2 => NEAR,
        _ => PLAIN,
    }
}

fn put(out: &mut Vec<u8>, value: &impl Serialize) {
    // Longer than any value of these types, so that writing cannot fail.
    let mut room = [0; 64];
    let written: &[u8] = postcard::to_slice(value, &mut room).map_or(&[], |written| written);
    out.extend_from_slice(written);
}

/// The frame that these bytes say, whole and nothing after it; `None` if they say none.
pub fn decode(bytes: &[u8]) -> Option<(Header, Vec<Raw>)> {
    let mut rest = bytes;
    let (core, first, count, lost, last): Front = get(&mut rest)?;
    if count > MAX_RECORDS as u64 {
        return None;
    }
    let (mut records, mut before) = (Vec::new(), Before::new());
    for _ in 0..count {
        let record = record(&mut rest, &before)?;
        before.note(&record);
        records.push(record);
    }
    let batch = Batch { first, count: records.len(), lost };
    let header = Header { last, ..Header::new(core, batch, &records) };
    rest.is_empty().then_some((header, records))
}

fn record(rest: &mut &[u8], before: &Before) -> Option<Raw> {
    let (kind, ways, passed): (u8, u16, u64) = get(rest)?;
    let time = before.time.wrapping_add(passed);
    let known = before.words(kind);
    let mut words = [0; 7];
    for (place, word) in words.iter_mut().enumerate() {
        *word = match ways >> (2 * place) & 3 {
            ZERO => 0,
            SAME => known[place],
            NEAR => time.wrapping_add(get::<i64>(rest)? as u64),
            _ => get(rest)?,
        };
    }
    let [head, a, b, c, d, e, f] = words;
    Some([time, head << 8 | u64::from(kind), a, b, c, d, e, f])
}

fn get<T: DeserializeOwned>(rest: &mut &[u8]) -> Option<T> {
    let (value, after) = postcard::take_from_bytes(rest).ok()?;
    *rest = after;
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Words as records have them: small, the same again, times, and anything.
    fn word() -> impl Strategy<Value = u64> {
        prop_oneof![0u64..4, 1_000_000u64..1_000_400, any::<u64>()]
    }

    proptest! {
        #[test]
        fn what_goes_in_comes_out_to_the_bit(
            records in prop::collection::vec(prop::array::uniform8(word()), 0..MAX_RECORDS),
            core in 0u64..8,
            first in any::<u64>(),
            lost in any::<u64>(),
            last in any::<bool>(),
        ) {
            let batch = Batch { first, count: records.len(), lost };
            let header = Header { last, ..Header::new(core, batch, &records) };
            let bytes = encode(&header, &records);
            prop_assert_eq!(decode(&bytes), Some((header, records)));
            prop_assert_eq!(decode(&bytes[..bytes.len() - 1]), None);
        }

        #[test]
        fn no_bytes_make_it_fail_but_by_saying_so(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            decode(&bytes);
        }
    }

    #[test]
    fn a_frame_of_turns_takes_a_fifth_of_its_records() {
        let turn = |number: u64| -> Raw {
            let time = 9_000_000 + number * 700;
            [time, 0x0003_0102 | 1 << 32, 0x1_0007, time - 650, time + 30, 640, 0, 0]
        };
        let records: Vec<Raw> = (0..MAX_RECORDS as u64).map(turn).collect();
        let header = Header::new(1, Batch { first: 0, count: records.len(), lost: 0 }, &records);
        let bytes = encode(&header, &records);
        assert!(bytes.len() * 5 < records.len() * size_of::<Raw>(), "{} bytes", bytes.len());
    }

    #[test]
    fn more_records_than_a_frame_has_are_refused() {
        let front: Front = (0, 0, MAX_RECORDS as u64 + 1, 0, false);
        assert_eq!(decode(&postcard::to_allocvec(&front).unwrap()), None);
    }
}
