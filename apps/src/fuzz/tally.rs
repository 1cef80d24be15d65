//! The tally: a page of the supervisor's, shared with one environment that makes calls, in which that counts them; and
//! what the supervisor sums up.
//!
//! Not here: who maps it. A fuzzer may garble its own tally, so the supervisor believes only what was possible in the
//! time: see [`Sums::add`].

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;
use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering::Relaxed;
use libos_core::report::FuzzCall;
use tranche_abi::calls::NAMES;
use tranche_abi::layout::PAGE_SIZE;
use tranche_abi::{Capability, Error};

/// Where a fuzzer finds its tally.
pub const TALLY_BASE: u64 = 0x50_0000_0000;
/// Rows of calls: the table's, and the last for all numbers that are not in it.
pub const ROWS: usize = NAMES.len() + 1;
/// The row of numbers that are not in the table.
pub const UNKNOWN: usize = NAMES.len();
/// Columns of answers: by error number; 0 is for success, and the last for numbers of no error.
const ANSWERS: usize = 32;
/// Capabilities that a fuzzer is given.
pub const GIFTS: usize = 4;

/// The page.
#[repr(C)]
pub struct Tally {
    made: [AtomicU64; ROWS],
    accepted: [AtomicU64; ROWS],
    answers: [AtomicU64; ANSWERS],
    /// Calls that came back to the fault upcall.
    reflected: AtomicU64,
    /// Faults, of whatever kind, that the environment's own handler saw.
    faults: AtomicU64,
    /// Times that an activation entered the program.
    starts: AtomicU64,
    /// Capabilities from the supervisor: body and proof.
    gifts: [[AtomicU64; 2]; GIFTS],
}

const _: () = assert!(size_of::<Tally>() <= PAGE_SIZE as usize);

impl Tally {
    /// The tally at an address.
    ///
    /// # Safety
    /// A zeroed page is mapped there, readable and writable, and accessed as a tally only. It may be unmapped by a call
    /// of the fuzzer's own, which then faults.
    pub unsafe fn at(address: u64) -> &'static Self {
        // SAFETY: The caller vouches for the page; every field is atomic, and all bit patterns are values.
        unsafe { &*core::ptr::with_exposed_provenance(address as usize) }
    }

    /// The running fuzzer's own.
    pub fn own() -> &'static Self {
        #[cfg(target_os = "none")]
        // SAFETY: The supervisor mapped it there before the first activation started.
        return unsafe { Self::at(TALLY_BASE) };
        #[cfg(not(target_os = "none"))]
        {
            static HOST: Tally = Tally::new();
            &HOST
        }
    }

    /// Nothing counted.
    pub const fn new() -> Self {
        Self {
            made: [const { AtomicU64::new(0) }; ROWS],
            accepted: [const { AtomicU64::new(0) }; ROWS],
            answers: [const { AtomicU64::new(0) }; ANSWERS],
            reflected: AtomicU64::new(0),
            faults: AtomicU64::new(0),
            starts: AtomicU64::new(0),
            gifts: [const { [const { AtomicU64::new(0) }; 2] }; GIFTS],
        }
    }

    /// Counts a call, before it is made: it may not come back.
    pub fn made(&self, row: usize) {
        self.made[row.min(UNKNOWN)].fetch_add(1, Relaxed);
    }

    /// Counts a call's answer, `x0`.
    pub fn answered(&self, row: usize, answer: u64) {
        self.answers[(answer as usize).min(ANSWERS - 1)].fetch_add(1, Relaxed);
        if answer == 0 {
            self.accepted[row.min(UNKNOWN)].fetch_add(1, Relaxed);
        }
    }

    /// Counts a fault that the handler saw.
    pub fn faulted(&self) {
        self.faults.fetch_add(1, Relaxed);
    }

    /// Counts a call that came back to the handler.
    pub fn reflected(&self) {
        self.reflected.fetch_add(1, Relaxed);
    }

    /// Counts a start of the program; how many there were before.
    pub fn start(&self) -> u64 {
        self.starts.fetch_add(1, Relaxed)
    }

    /// Calls made so far.
    pub fn calls(&self) -> u64 {
        self.made.iter().map(|row| row.load(Relaxed)).fold(0, u64::saturating_add)
    }

    /// Leaves a capability for the fuzzer.
    pub fn put_gift(&self, place: usize, gift: Capability) {
        let [body, mac] = &self.gifts[place % GIFTS];
        body.store(gift.body, Relaxed);
        mac.store(gift.mac, Relaxed);
    }

    /// A capability from the supervisor.
    pub fn gift(&self, place: usize) -> Capability {
        let [body, mac] = &self.gifts[place % GIFTS];
        Capability { body: body.load(Relaxed), mac: mac.load(Relaxed) }
    }

    /// Begins again at zero.
    pub fn clear(&self) {
        let counts = self.made.iter().chain(&self.accepted).chain(&self.answers);
        let others = [&self.reflected, &self.faults, &self.starts];
        counts.chain(others).chain(self.gifts.iter().flatten()).for_each(|field| field.store(0, Relaxed));
    }
}

impl Default for Tally {
    fn default() -> Self {
        Self::new()
    }
}

/// All tallies of a run together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sums {
    made: [u64; ROWS],
    accepted: [u64; ROWS],
    answers: [u64; ANSWERS],
    /// Calls that came back to a fault upcall.
    pub reflected: u64,
    /// Faults that handlers saw.
    pub faults: u64,
    /// Times that an activation entered the program.
    pub starts: u64,
    /// Tallies that were garbled, and not counted.
    pub garbled: u64,
}

impl Default for Sums {
    fn default() -> Self {
        let (rows, answers) = ([0; ROWS], [0; ANSWERS]);
        Self { made: rows, accepted: rows, answers, reflected: 0, faults: 0, starts: 0, garbled: 0 }
    }
}

impl Sums {
    /// Adds a tally, unless it claims more than `most` calls, or more answers than calls: then a fuzzer wrote there by
    /// chance.
    pub fn add(&mut self, tally: &Tally, most: u64) {
        let sum = |fields: &[AtomicU64]| fields.iter().map(|f| f.load(Relaxed)).fold(0, u64::saturating_add);
        let others = [&tally.reflected, &tally.faults, &tally.starts].map(|field| field.load(Relaxed));
        let (made, answers) = (tally.calls(), sum(&tally.answers));
        let possible = made <= most && answers <= made && others.iter().all(|count| *count <= most);
        if !possible || sum(&tally.accepted) > answers {
            self.garbled += 1;
            return;
        }
        let add = |sums: &mut [u64], counts: &[AtomicU64]| {
            sums.iter_mut().zip(counts).for_each(|(sum, count)| *sum += count.load(Relaxed));
        };
        add(&mut self.made, &tally.made);
        add(&mut self.accepted, &tally.accepted);
        add(&mut self.answers, &tally.answers);
        self.reflected += others[0];
        self.faults += others[1];
        self.starts += others[2];
    }

    /// Calls made.
    pub fn calls(&self) -> u64 {
        self.made.iter().sum()
    }

    /// What was made of each call; the last row is of numbers that are not in the table.
    pub fn rows(&self) -> Vec<FuzzCall> {
        let names = NAMES.iter().map(|(_, name)| *name).chain(["unknown"]);
        let figures = self.made.iter().zip(&self.accepted);
        names
            .zip(figures)
            .map(|(name, (made, accepted))| FuzzCall { name: name.into(), made: *made, accepted: *accepted })
            .collect()
    }

    /// How often calls were refused, by the error's name.
    pub fn refusals(&self) -> Vec<(String, u64)> {
        let name = |number: usize| match Error::from_register(number as u64) {
            // What nothing but a context that was resumed with any registers can answer.
            Some(Error::NoKernel) | None => "other".into(),
            Some(error) => alloc::format!("{error:?}"),
        };
        let mut refused = BTreeMap::new();
        for (number, count) in self.answers.iter().enumerate().skip(1).filter(|(_, count)| **count > 0) {
            *refused.entry(name(number)).or_default() += count;
        }
        refused.into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_counted_is_summed_by_name_and_error() {
        let tally = Tally::new();
        for (row, answer) in [(0, Some(0)), (1, Some(5)), (1, Some(99)), (UNKNOWN, None)] {
            tally.made(row);
            answer.into_iter().for_each(|answer| tally.answered(row, answer));
        }
        let mut sums = Sums::default();
        sums.add(&tally, 4);
        sums.add(&tally, 4);
        assert_eq!((sums.calls(), sums.garbled), (8, 0));
        let rows = sums.rows();
        assert_eq!((rows[0].name.as_str(), rows[0].made, rows[0].accepted), ("null", 2, 2));
        assert_eq!((rows[1].made, rows[1].accepted), (4, 0));
        assert_eq!((rows[UNKNOWN].name.as_str(), rows[UNKNOWN].made), ("unknown", 2));
        assert_eq!(sums.refusals(), [("BadArgument".into(), 2), ("other".into(), 2)]);
    }

    #[test]
    fn a_tally_that_claims_the_impossible_is_not_counted() {
        let tally = Tally::new();
        (0..3).for_each(|_| tally.made(2));
        let mut sums = Sums::default();
        sums.add(&tally, 2);
        (0..4).for_each(|_| tally.answered(2, 1));
        sums.add(&tally, 100);
        assert_eq!((sums.calls(), sums.garbled), (0, 2));
        tally.clear();
        assert_eq!(tally.calls(), 0);
    }
}
