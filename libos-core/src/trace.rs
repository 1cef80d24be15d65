//! Recording, as programs see it: the right to make marks, marks themselves, and the reading end of a core's ring.
//!
//! Not here: what a scheduler's marks say (`sched::steps`), how records leave the machine ([`frame`]), the records' form
//! (`tranche_abi::trace`). A program is handed a capability with its start arguments and hands it on to whom it creates;
//! it is bound once, and looked at no more.
#![forbid(unsafe_code)]

use crate::public::view;
use crate::scenario::Policy;
use crate::sched::steps::{Mark, Step};
use crate::{calls, page};
use core::sync::atomic::{AtomicU64, Ordering::Acquire, Ordering::Relaxed, fence};
use tranche_abi::trace::{FIRST_MARK, RING_RECORDS, Ring, WORDS};
use tranche_abi::{Capability, Handle};

pub mod compact;
pub mod frame;

/// The mark at the end of each job.
const JOB: u8 = FIRST_MARK + 16;
/// Marks made one after another, to see what one costs.
pub const CALIBRATION: u8 = FIRST_MARK + 17;
/// A scheduler's service of a core: its clients' jobs begin, or it is over.
const SERVICE: u8 = FIRST_MARK + 18;

/// The bound handle, plus one; 0 for none.
static BOUND: AtomicU64 = AtomicU64::new(0);
/// The capability that is handed on.
static BODY: AtomicU64 = AtomicU64::new(0);
static MAC: AtomicU64 = AtomicU64::new(0);

/// Binds a capability that the creator handed over, for all activations; one without rights is none. Every activation of a
/// program comes by here before its `main`, so that none is behind another.
pub fn begin(capability: Capability) {
    if capability == Capability::default() || BOUND.load(Acquire) != 0 {
        return;
    }
    BODY.store(capability.body, Relaxed);
    MAC.store(capability.mac, Relaxed);
    let Ok(handle) = calls::bind(capability) else { return };
    if BOUND.compare_exchange(0, handle.0 + 1, Acquire, Relaxed).is_err() {
        // A sibling was faster; both mean the same.
        let _ = calls::unbind(handle);
    }
}

/// The handle to the machine with which marks are made; `None` for a program that was handed none.
pub fn handle() -> Option<Handle> {
    BOUND.load(Relaxed).checked_sub(1).map(Handle)
}

/// What this program may hand on: all that it was handed.
pub fn capability() -> Option<Capability> {
    handle().map(|_| Capability { body: BODY.load(Relaxed), mac: MAC.load(Relaxed) })
}

/// Whether a mark would be recorded.
pub fn is_on() -> bool {
    BOUND.load(Relaxed) != 0 && view().tracing()
}

/// Makes a mark, if there is recording. The kernel adds the time, the core, and whose it is.
pub fn mark(mark: &Mark) {
    if let Some(handle) = handle().filter(|_| view().tracing()) {
        // Refused only for a kind that is the kernel's, which no mark of ours has.
        let _ = calls::trace_mark(handle, mark.kind, mark.detail, mark.words);
    }
}

/// Marks a scheduler's step, if there is recording.
pub fn step(step: Step) {
    if is_on() {
        mark(&step.mark());
    }
}

/// Marks a step of a policy that several cores share, with its number among all of them.
pub fn numbered_step(step: Step, number: u64) {
    if is_on() {
        mark(&step.mark().numbered(number));
    }
}

/// A job that has ended, as its mark says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Job {
    /// Its number, from 0.
    pub number: u64,
    /// When it was released, in ticks.
    pub released: u64,
    /// When it is due, absolute; `None` without deadline.
    pub due: Option<u64>,
    /// CPU time that it declared, in ticks.
    pub demand: u64,
    /// CPU time that it used, in ticks.
    pub used: u64,
    /// When it was done, as its client saw it; the mark comes a little later.
    pub completed: u64,
}

impl Job {
    /// The kind of its mark.
    pub const KIND: u8 = JOB;

    /// The mark that says the same.
    pub fn mark(&self) -> Mark {
        let due = self.due.unwrap_or(u64::MAX);
        let words = [self.number, self.released, due, self.demand, self.used, self.completed];
        Mark { kind: JOB, detail: 0, words }
    }

    /// The job that a mark tells of; `None` if it tells of none.
    pub fn from_mark(mark: &Mark) -> Option<Self> {
        let [number, released, due, demand, used, completed] = mark.words;
        let due = (due != u64::MAX).then_some(due);
        let job = Self { number, released, due, demand, used, completed };
        (mark.kind == JOB && mark.detail == 0).then_some(job)
    }
}

/// What a scheduler says of its service of a core: with it whoever reads the trace knows of jobs that were released and
/// never done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    /// When its clients' jobs begin.
    Jobs {
        /// Absolute, in ticks.
        begin: u64,
    },
    /// From now on it gives its clients no more time.
    Over,
    /// It begins to fail on purpose.
    Fails,
    /// It has ended that.
    Mended,
    /// Another policy has taken over.
    Swapped {
        /// Which.
        policy: Policy,
    },
}

impl Service {
    /// The mark that says the same.
    pub fn mark(&self) -> Mark {
        let (detail, word) = match self {
            Self::Jobs { begin } => (0, *begin),
            Self::Over => (1, 0),
            Self::Fails => (2, 0),
            Self::Mended => (3, 0),
            Self::Swapped { policy } => (4, *policy as u64),
        };
        Mark { kind: SERVICE, detail, words: [word, 0, 0, 0, 0, 0] }
    }

    /// What a mark says of a service; `None` if it says nothing of one.
    pub fn from_mark(mark: &Mark) -> Option<Self> {
        match (mark.kind, mark.detail) {
            (SERVICE, 0) => Some(Self::Jobs { begin: mark.words[0] }),
            (SERVICE, 1) => Some(Self::Over),
            (SERVICE, 2) => Some(Self::Fails),
            (SERVICE, 3) => Some(Self::Mended),
            (SERVICE, 4) => {
                let policies = Policy::NAMES.iter().map(|(_, policy)| *policy);
                let policy = policies.into_iter().find(|policy| *policy as u64 == mark.words[0])?;
                Some(Self::Swapped { policy })
            }
            _ => None,
        }
    }
}

/// Marks what becomes of a core's service, if there is recording.
pub fn service(service: Service) {
    if is_on() {
        mark(&service.mark());
    }
}

/// Marks the end of a job, if there is recording.
pub fn job(job: &Job) {
    if is_on() {
        mark(&job.mark());
    }
}

/// What one look at a ring brought.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    /// The number of the first record that was read.
    pub first: u64,
    /// Records read.
    pub count: usize,
    /// Records before it that were overwritten since the last look.
    pub lost: u64,
}

/// The reading end of a ring. The writer knows nothing of it.
#[derive(Clone)]
pub struct Reader<'a> {
    ring: &'a Ring,
    next: u64,
}

/// A record as it is in a ring: time, head, words.
pub type Raw = [u64; 2 + WORDS];

impl<'a> Reader<'a> {
    /// Records that there are to be read.
    pub fn waiting(&self) -> u64 {
        self.ring.written.load(Relaxed).saturating_sub(self.next)
    }

    /// Passes over records, all but the last `kept`; they count as lost.
    pub fn skip_all_but(&mut self, kept: u64) -> u64 {
        let lost = self.waiting().saturating_sub(kept);
        self.next += lost;
        lost
    }

    /// Begins with the first record that was ever written.
    pub fn new(ring: &'a Ring) -> Self {
        Self { ring, next: 0 }
    }

    /// Reads the next records, as many as there are and `into` holds. What is overwritten meanwhile is counted as lost,
    /// and no torn record is handed out.
    pub fn read(&mut self, into: &mut [Raw]) -> Batch {
        self.read_some(into, |_| true)
    }

    /// As [`Self::read`], for whoever wants only records with some heads: of the others only the head is in `into`, and the
    /// time is 0.
    #[inline(always)]
    pub fn read_some(&mut self, into: &mut [Raw], wanted: impl Fn(u64) -> bool) -> Batch {
        let written = self.ring.written.load(Acquire);
        let begin = self.next.max(written.saturating_sub(RING_RECORDS as u64));
        let count = into.len().min((written - begin) as usize);
        for (place, number) in into[..count].iter_mut().zip(begin..) {
            let record = &self.ring.records[number as usize % RING_RECORDS];
            let head = record[1].load(Relaxed);
            if wanted(head) {
                *place = core::array::from_fn(|word| record[word].load(Relaxed));
            } else {
                (place[0], place[1]) = (0, head);
            }
        }
        // The record after the last one written may be in the making, in the place of one that was read above.
        fence(Acquire);
        let whole_from = (self.ring.written.load(Relaxed) + 1).saturating_sub(RING_RECORDS as u64);
        let gone = (whole_from.saturating_sub(begin) as usize).min(count);
        into.copy_within(gone..count, 0);
        let first = begin + gone as u64;
        let batch = Batch { first, count: count - gone, lost: first - self.next };
        self.next = begin + count as u64;
        batch
    }
}

/// Makes marks one after another: whoever reads them learns from their times what one costs.
pub fn calibrate(marks: u64) {
    for number in 0..marks {
        mark(&Mark { kind: CALIBRATION, detail: page::index() as u32, words: [number, 0, 0, 0, 0, 0] });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::boxed::Box;
    use alloc::vec::Vec;

    fn write(ring: &Ring, count: u64) {
        for _ in 0..count {
            let number = ring.written.load(Relaxed);
            let record = &ring.records[number as usize % RING_RECORDS];
            record.iter().zip(number * 10..).for_each(|(place, word)| place.store(word, Relaxed));
            ring.written.store(number + 1, Relaxed);
        }
    }

    fn numbers(reader: &mut Reader<'_>, room: usize) -> (Batch, Vec<u64>) {
        let mut into = alloc::vec![[0; 8]; room];
        let batch = reader.read(&mut into);
        (batch, into[..batch.count].iter().map(|record| record[0] / 10).collect())
    }

    #[test]
    fn records_come_out_once_and_in_order() {
        let ring = Box::new(Ring::new());
        let mut reader = Reader::new(&ring);
        assert_eq!(numbers(&mut reader, 4).0, Batch::default());
        write(&ring, 6);
        assert_eq!(numbers(&mut reader, 4), (Batch { first: 0, count: 4, lost: 0 }, alloc::vec![0, 1, 2, 3]));
        assert_eq!(numbers(&mut reader, 4), (Batch { first: 4, count: 2, lost: 0 }, alloc::vec![4, 5]));
        assert_eq!(numbers(&mut reader, 4).0, Batch { first: 6, count: 0, lost: 0 });
    }

    #[test]
    fn who_wants_only_some_records_gets_those_whole_and_of_the_others_the_head() {
        let ring = Box::new(Ring::new());
        let mut reader = Reader::new(&ring);
        write(&ring, 3);
        let mut into = [[9; 8]; 3];
        // Record `n` has the head `10 n + 1`.
        assert_eq!(reader.read_some(&mut into, |head| head == 11).count, 3);
        assert_eq!(into[1], core::array::from_fn(|word| 10 + word as u64));
        assert_eq!([into[0][..2].to_vec(), into[2][..2].to_vec()], [[0, 1], [0, 21]]);
    }

    #[test]
    fn a_reader_that_is_behind_may_pass_over_what_is_old() {
        let ring = Box::new(Ring::new());
        let mut reader = Reader::new(&ring);
        write(&ring, 100);
        assert_eq!((reader.waiting(), reader.skip_all_but(30), reader.skip_all_but(30)), (100, 70, 0));
        assert_eq!(numbers(&mut reader, 1), (Batch { first: 70, count: 1, lost: 0 }, alloc::vec![70]));
    }

    #[test]
    fn what_was_overwritten_is_counted_and_the_record_that_may_be_in_the_making_is_not_trusted() {
        let ring = Box::new(Ring::new());
        let mut reader = Reader::new(&ring);
        write(&ring, RING_RECORDS as u64 + 100);
        let (batch, seen) = numbers(&mut reader, 50);
        // Record 100 is there, but its place is the next to be written.
        assert_eq!((batch, seen[0]), (Batch { first: 101, count: 49, lost: 101 }, 101));
        let (batch, seen) = numbers(&mut reader, 2 * RING_RECORDS);
        assert_eq!((batch.first, batch.lost, seen.len()), (150, 0, RING_RECORDS - 50));
    }

    #[test]
    fn a_reader_beside_a_writer_sees_no_torn_record_and_misses_none_uncounted() {
        let ring: &Ring = Box::leak(Box::new(Ring::new()));
        let total = 20 * RING_RECORDS as u64;
        let writer = std::thread::spawn(move || {
            for number in 0..total {
                let place = &ring.records[number as usize % RING_RECORDS];
                fence(core::sync::atomic::Ordering::Release);
                place.iter().for_each(|word| word.store(number, Relaxed));
                ring.written.store(number + 1, core::sync::atomic::Ordering::Release);
            }
        });
        let (mut reader, mut into, mut accounted) = (Reader::new(ring), alloc::vec![[0; 8]; 512], 0);
        while accounted < total {
            let batch = reader.read(&mut into);
            for (record, number) in into[..batch.count].iter().zip(batch.first..) {
                assert_eq!(*record, [number; 8]);
            }
            accounted += batch.count as u64 + batch.lost;
        }
        writer.join().unwrap();
        assert_eq!(accounted, total);
    }

    #[test]
    fn a_job_and_a_service_survive_as_marks() {
        for due in [None, Some(7)] {
            let job = Job { number: 3, released: 1, due, demand: 9, used: 11, completed: 20 };
            assert_eq!(Job::from_mark(&job.mark()), Some(job));
            assert_eq!((Step::from_mark(&job.mark()), Service::from_mark(&job.mark())), (None, None));
        }
        let swapped = Policy::NAMES.map(|(_, policy)| Service::Swapped { policy });
        for service in [Service::Jobs { begin: 7 }, Service::Over].into_iter().chain(swapped) {
            assert_eq!(Service::from_mark(&service.mark()), Some(service));
            assert_eq!((Step::from_mark(&service.mark()), Job::from_mark(&service.mark())), (None, None));
        }
        assert_eq!(Job::from_mark(&Mark { kind: CALIBRATION, detail: 0, words: [0; 6] }), None);
    }

    #[test]
    fn a_program_that_was_handed_nothing_makes_no_mark() {
        begin(Capability::default());
        assert_eq!((handle(), capability(), is_on()), (None, None, false));
    }
}
