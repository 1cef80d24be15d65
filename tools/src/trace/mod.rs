//! What a run recorded, from the bytes that left the machine to records, and what they say.
//!
//! * here: frames into records; what is damaged or missing is counted, and nothing of it is believed.
//! * [`cast`]: who took part, which a trace does not say.
//! * [`story`]: both into a [`Recording`]; [`pending`]: the jobs of it that never ended.
//! * [`load`]: both from the files that a run left.
//! * [`replay`]: whether the recorded policies decide the same again.
//! * [`cost`]: what recording cost the run. [`shares`]: the errors of shares, which a recorded guest does not measure itself.
//! * [`export`]: the same in other people's forms.
//!
//! Not here: how the bytes come here (`run`), and what records mean (`tranche_abi::trace`, `libos_core::trace`).

pub mod cast;
pub mod cost;
pub mod export;
pub mod load;
pub mod pending;
pub mod replay;
pub mod shares;
pub mod story;

use crate::outcome::Outcome;
use crate::recording::{Recording, RecordingCost};
use cast::Cast;
use cost::Cost;
use libos_core::scenario::Scenario;
use libos_core::trace::Raw;
use libos_core::trace::frame::{HEADER_WORDS, Header, checksum};
use replay::Replayed;
use std::ops::RangeInclusive;
use tranche_abi::trace::Record;

/// What a run recorded, and what follows from it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recorded {
    /// Who took part.
    pub cast: Cast,
    /// The run.
    pub recording: Recording,
    /// Records that came.
    pub records: u64,
    /// What is wrong with the trace; nothing if it is whole.
    pub complaints: Vec<String>,
    /// Each scheduler's decisions, made once more.
    pub replayed: Vec<Replayed>,
    /// What recording cost.
    pub cost: Cost,
    /// Length of a slot, in microseconds.
    pub quantum_us: u32,
}

impl Recorded {
    /// What a trace says of a run.
    /// `None` if the guest never said how fast its clock is.
    pub fn new(scenario: &Scenario, outcome: &Outcome, trace: &Trace) -> Option<Self> {
        let cast = Cast::of(scenario, outcome)?;
        let mut recording = story::recording(&cast, trace);
        let cost = Cost::of(trace, outcome);
        let budget = cost::budget(scenario.quantum_us, &recording);
        let fails =
            |name: &str| scenario.libos.iter().any(|libos| libos.name == name && libos.fails.is_some());
        // Who fails on purpose may do so to its policy as well. Not so its heir.
        let first = cast.schedulers.len();
        let replayed = replay::all(&recording).into_iter().enumerate();
        let sound = replayed.filter(|(place, scheduler)| *place >= first || !fails(&scheduler.libos));
        let replayed = sound.map(|(_, scheduler)| scheduler).collect();
        recording.cost = Some(RecordingCost { most: cost.millionths(), budget });
        Some(Self {
            records: trace.records().count() as u64,
            complaints: trace.complaints(scenario.cores),
            replayed,
            cost,
            quantum_us: scenario.quantum_us,
            recording,
            cast,
        })
    }
}

/// The file in a run's folder: the cores' streams, one after another.
pub const FILE: &str = "trace.bin";

/// All that was recorded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trace {
    /// Each core's stream, in the order of cores.
    pub cores: Vec<Stream>,
}

/// What one core recorded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stream {
    /// The core.
    pub core: u64,
    /// Its records with their numbers, ascending.
    pub records: Vec<(u64, Record)>,
    /// Records whose numbers are missing, because they were overwritten or came damaged.
    pub lost: u64,
    /// Places at which the bytes are no frame.
    pub damaged: u64,
    /// Whether its last frame is there.
    pub ended: bool,
}

impl Trace {
    /// The trace that streams of bytes hold; those in which there is no frame at all are left out.
    pub fn decode<'a>(streams: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut cores: Vec<Stream> = streams.into_iter().flat_map(decode).collect();
        cores.sort_by_key(|stream| stream.core);
        Self { cores }
    }

    /// All records of all cores, core by core.
    pub fn records(&self) -> impl Iterator<Item = &Record> {
        self.cores.iter().flat_map(|stream| stream.records.iter().map(|(_, record)| record))
    }

    /// Records that are missing.
    pub fn lost(&self) -> u64 {
        self.cores.iter().map(|stream| stream.lost).sum()
    }

    /// What is wrong with it, for people; nothing if it is whole and of so many cores.
    pub fn complaints(&self, cores: u32) -> Vec<String> {
        let mut all = Vec::new();
        for core in 0..u64::from(cores) {
            match self.cores.iter().filter(|stream| stream.core == core).collect::<Vec<_>>()[..] {
                [stream] => all.extend(stream.complaints()),
                [] => all.push(format!("core {core}: no frame came")),
                _ => all.push(format!("core {core}: more than one stream")),
            }
        }
        all
    }
}

impl Stream {
    /// Whether every record that the core ever wrote is here.
    pub fn is_whole(&self) -> bool {
        self.lost == 0 && self.damaged == 0 && self.ended
    }

    /// The numbers that are missing before the last record that is there.
    pub fn gaps(&self) -> Vec<RangeInclusive<u64>> {
        let mut next = 0;
        let mut gaps = Vec::new();
        for (number, _) in &self.records {
            if *number > next {
                gaps.push(next..=number - 1);
            }
            next = number + 1;
        }
        gaps
    }

    fn complaints(&self) -> Option<String> {
        let Self { core, lost, damaged, .. } = self;
        let end = if self.ended { "" } else { ", and its end" };
        (!self.is_whole())
            .then(|| format!("core {core}: {lost} records are missing{end}, damage in {damaged} places"))
    }
}

/// The streams in some bytes: one for each core whose frames there are.
fn decode(bytes: &[u8]) -> Vec<Stream> {
    let words: Vec<u64> = bytes.as_chunks().0.iter().map(|word| u64::from_le_bytes(*word)).collect();
    let mut streams: Vec<Stream> = Vec::new();
    let (mut at, mut damaged) = (0, u64::from(!bytes.len().is_multiple_of(8)));
    let mut sound = true;
    while at < words.len() {
        match frame(&words[at..]) {
            Some((header, records)) => {
                add(&mut streams, header, records);
                (at, sound) = (at + HEADER_WORDS * (1 + records.len()), true);
            }
            None => {
                damaged += u64::from(std::mem::replace(&mut sound, false));
                at += 1;
            }
        }
    }
    // Whose it was cannot be said: it is the last one's that began.
    if let Some(last) = streams.last_mut() {
        last.damaged += damaged;
    }
    streams
}

/// The whole frame with which these words begin.
fn frame(words: &[u64]) -> Option<(Header, &[Raw])> {
    let (first, rest) = words.split_first_chunk()?;
    let header = Header::from_words(first)?;
    let records = rest.as_chunks().0.get(..header.batch.count)?;
    (checksum(records) == header.checksum).then_some((header, records))
}

fn add(streams: &mut Vec<Stream>, header: Header, records: &[Raw]) {
    let place = streams.iter().position(|stream| stream.core == header.core).unwrap_or_else(|| {
        streams.push(Stream { core: header.core, ..Stream::default() });
        streams.len() - 1
    });
    let stream = &mut streams[place];
    let next = stream.lost + stream.records.len() as u64;
    let Some(missing) = header.batch.first.checked_sub(next) else {
        stream.damaged += 1; // it was here already
        return;
    };
    stream.lost += missing;
    stream.ended |= header.last;
    let record = |raw: &Raw| {
        let [time, head, words @ ..] = *raw;
        Record { time, head, words }
    };
    stream.records.extend((header.batch.first..).zip(records.iter().map(record)));
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use libos_core::trace::Batch;

    /// A frame's bytes.
    pub(crate) fn bytes(core: u64, first: u64, records: &[Raw], last: bool) -> Vec<u8> {
        let batch = Batch { first, count: records.len(), lost: 0 };
        let header = Header { last, ..Header::new(core, batch, records) };
        let words = std::iter::once(&header.to_words()).chain(records).flatten().copied().collect::<Vec<_>>();
        words.into_iter().flat_map(u64::to_le_bytes).collect()
    }

    fn raw(number: u64) -> Raw {
        [number, Record::head(1, 0, 0, 0), 0, 0, 0, 0, 0, 0]
    }

    fn numbers(stream: &Stream) -> Vec<u64> {
        stream.records.iter().map(|(number, record)| (*number, record.time)).map(|(n, t)| n.max(t)).collect()
    }

    #[test]
    fn frames_become_records_core_by_core() {
        let two = [bytes(1, 0, &[raw(0), raw(1)], false), bytes(1, 2, &[raw(2)], true)].concat();
        let one = bytes(0, 0, &[], true);
        let trace = Trace::decode([&two[..], &one]);
        assert_eq!(trace.cores.iter().map(|stream| stream.core).collect::<Vec<_>>(), [0, 1]);
        assert_eq!(numbers(&trace.cores[1]), [0, 1, 2]);
        assert_eq!(trace.complaints(2), Vec::<String>::new());
        assert_eq!(trace.complaints(3), ["core 2: no frame came"]);
        // One file that holds both is the same.
        assert_eq!(Trace::decode([&[one, two].concat()[..]]), trace);
    }

    #[test]
    fn overwritten_records_are_counted_as_missing() {
        let stream = [bytes(0, 0, &[raw(0)], false), bytes(0, 9, &[raw(9)], true)].concat();
        let trace = Trace::decode([&stream[..]]);
        assert_eq!((trace.lost(), numbers(&trace.cores[0])), (8, vec![0, 9]));
        assert_eq!(trace.complaints(1), ["core 0: 8 records are missing, damage in 0 places"]);
    }

    #[test]
    fn any_damaged_byte_costs_its_frame_and_is_noticed() {
        let frames =
            [bytes(0, 0, &[raw(0)], false), bytes(0, 1, &[raw(1)], false), bytes(0, 2, &[raw(2)], true)];
        let whole = frames.concat();
        for at in frames[0].len()..frames[0].len() + frames[1].len() {
            let mut changed = whole.clone();
            changed[at] ^= 0x40;
            let trace = Trace::decode([&changed[..]]);
            let stream = &trace.cores[0];
            assert_eq!((numbers(stream), stream.lost, stream.damaged), (vec![0, 2], 1, 1), "byte {at}");
        }
    }

    #[test]
    fn a_stream_that_was_cut_off_says_so() {
        let whole = [bytes(0, 0, &[raw(0)], false), bytes(0, 1, &[raw(1)], true)].concat();
        for length in 128..whole.len() {
            let trace = Trace::decode([&whole[..length]]);
            assert!(!trace.complaints(1).is_empty(), "cut at {length}");
            assert!(trace.records().count() <= 1);
        }
        assert!(Trace::decode([&whole[..100]]).cores.is_empty());
    }
}
