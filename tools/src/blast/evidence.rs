//! That a failure happened, and what kernel and broker did about it: from the kernel's own records, and the counts of the run's end.
//!
//! Not here: what others had of it (`windows`, `judge`).

use crate::recording::Recording;
use crate::results::Hostile;
use crate::trace::Trace;
use crate::trace::cast::Cast;
use libos_core::scenario::Failure;
use libos_core::sched::steps::Mark;
use libos_core::trace::Service;
use serde::Serialize;
use tranche_abi::trace::{FIRST_MARK, Record, kind};

/// What is known of a libOS that was to fail. Times in ticks, absolute.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Evidence {
    /// When each of its activations said that it begins to fail.
    pub began: Vec<u64>,
    /// When each of them said that it has ended that.
    pub mended: Vec<u64>,
    /// When its environment was destroyed, if it was before the run's end.
    pub destroyed: Option<u64>,
    /// Faults that ended one of its activations.
    pub faults: u64,
    /// Slices that it kept to the end of the grace time.
    pub excess_slices: u64,
    /// When it was first asked for slots while it failed.
    pub first_asked: Option<u64>,
    /// When slots were taken from it by force.
    pub seized: Vec<u64>,
    /// Its directed yields in which nobody ran.
    pub empty_yields: u64,
    /// Slots that began as its own while it failed.
    pub slots: u64,
    /// Turns that its clients got in slots that began while it failed.
    pub turns: u64,
    /// What it says itself that it did: faults, calls, yields, overwritten words, as the failure has it.
    pub count: u64,
    /// Its calls with something forged.
    pub forged: u64,
    /// Of these, refused.
    pub forged_refused: u64,
}

impl Evidence {
    /// What a run's recording, its trace and its final counts have of the libOS of this name, until this time.
    pub fn of(
        (libos, until): (&str, u64),
        recording: &Recording,
        (cast, trace): (&Cast, &Trace),
        counts: &Hostile,
    ) -> Self {
        let mut known = Self {
            count: counts.failures,
            forged: counts.forged,
            forged_refused: counts.forged_refused,
            ..Self::default()
        };
        let Some(life) = Life::of(libos, cast, trace) else { return known };
        let mut records: Vec<&Record> = trace.records().filter(|record| life.has(record)).collect();
        records.sort_by_key(|record| record.time);
        records.iter().for_each(|record| known.note(record));
        known.destroyed = life.end.filter(|end| *end < until);
        let Some((from, to)) = known.span(until) else { return known };
        let is_own = |owner: usize| recording.schedulers.get(owner).is_some_and(|one| one.libos == libos);
        // The slice in which word of the failure came may have begun before.
        let slices = recording.slices.iter().filter(|slice| slice.begin >= from && slice.end <= to);
        known.slots = slices.filter(|slice| slice.owner.is_some_and(is_own)).count() as u64;
        let of_clients =
            |client: usize| recording.clients.get(client).is_some_and(|client| client.libos == libos);
        let turns = recording
            .turns
            .iter()
            .filter(|turn| turn.begin > from && turn.end < to && of_clients(turn.client));
        known.turns = turns.count() as u64;
        known
    }

    /// From when all of it failed, until when it did; `None` if it never began. One that nothing ended lasts `until` then.
    pub fn span(&self, until: u64) -> Option<(u64, u64)> {
        let from = self.began.iter().max()?;
        let to = self.destroyed.or(self.mended.iter().min().copied());
        Some((*from, to.unwrap_or(until).max(*from)))
    }

    /// When its failure began on the first core.
    pub fn first(&self) -> Option<u64> {
        self.began.iter().min().copied()
    }

    /// Why it was not the failure that the experiment is about; nothing if it was.
    pub fn complaint(&self, how: Failure, cores: u32) -> Option<String> {
        if self.began.len() != cores as usize {
            return Some(format!("it began to fail on {} of {cores} cores", self.began.len()));
        }
        let missing = match how {
            _ if self.count == 0 => "it counted nothing of it",
            Failure::IgnoresRevocation if self.seized.is_empty() => "nothing had to be taken by force",
            Failure::IgnoresRevocation => return None,
            _ if self.turns > 0 => "its clients still had turns",
            Failure::Crash if self.faults < u64::from(cores) => "not every activation of it faulted",
            Failure::CorruptsItsTables if self.faults + self.excess_slices == 0 => {
                "it went on as if nothing were"
            }
            Failure::NeverYields if self.excess_slices == 0 => "it kept no slice too long",
            Failure::YieldsToTheDead if self.empty_yields == 0 => "it made no yield in which nobody ran",
            Failure::Forges if self.forged == 0 => "it forged nothing",
            Failure::EndlessLoop | Failure::FloodsCalls if self.slots == 0 => "it had no slots to fail in",
            _ => return None,
        };
        Some(missing.into())
    }

    /// What kernel and broker made of it, in words.
    pub fn verdict(&self, recording: &Recording) -> String {
        let ms = |from: u64, to: u64| recording.us(to.saturating_sub(from)) / 1000.0;
        let mut all = Vec::new();
        if self.faults > 0 {
            all.push(format!("{} faults end its activations", self.faults));
        }
        if self.excess_slices > 0 {
            all.push(format!("the kernel takes the CPU by force {} times", self.excess_slices));
        }
        if let (Some(asked), Some(taken)) = (self.first_asked, self.seized.first()) {
            all.push(format!(
                "the broker takes {} slots, {:.0} ms after asking",
                self.seized.len(),
                ms(asked, *taken)
            ));
        }
        if self.forged > 0 {
            all.push(format!("{} of {} forgeries are refused", self.forged_refused, self.forged));
        }
        if let (Some(began), Some(end)) = (self.first(), self.destroyed) {
            let who = if self.faults > 0 { "the broker ends it" } else { "the kernel destroys it" };
            all.push(format!("{who} after {:.0} ms", ms(began, end)));
        }
        if all.is_empty() { "nothing: the slots are its own to waste".into() } else { all.join("; ") }
    }

    fn note(&mut self, record: &Record) {
        match record.kind() {
            kind::FAULT => self.faults += u64::from(record.detail() & kind::FAULT_HANDLED == 0),
            kind::EXCESS => self.excess_slices += 1,
            kind::ASKED if record.words[2] > 0 && !self.began.is_empty() => {
                self.first_asked = self.first_asked.or(Some(record.time));
            }
            kind::SEIZED => self.seized.push(record.time),
            kind::YIELD => self.empty_yields += u64::from(record.words[3] == 0),
            FIRST_MARK.. => {
                let mark = Mark { kind: record.kind(), detail: record.detail(), words: record.words };
                match Service::from_mark(&mark) {
                    Some(Service::Fails) => self.began.push(record.time),
                    Some(Service::Mended) => self.mended.push(record.time),
                    _ => {}
                }
            }
            _ => {}
        }
    }
}

/// An environment's life: its index lives again after it.
struct Life {
    index: u16,
    begin: u64,
    end: Option<u64>,
}

impl Life {
    fn of(name: &str, cast: &Cast, trace: &Trace) -> Option<Self> {
        let (index, _) = cast.environments.iter().find(|(_, known)| known == name)?;
        let lives = cast.environments.iter().filter(|(other, _)| other == index);
        let place = lives.into_iter().position(|(_, known)| known == name)?;
        let index = u16::try_from(*index).ok()?;
        let of_index = |record: &&Record| record.kind() == kind::LIFE && record.env() == index;
        let mut births: Vec<u64> =
            trace.records().filter(of_index).filter(|one| one.detail() == 0).map(|one| one.time).collect();
        births.sort_unstable();
        let begin = *births.get(place)?;
        let ends = trace.records().filter(of_index).filter(|one| one.detail() == 1).map(|one| one.time);
        Some(Self { index, begin, end: ends.filter(|end| *end > begin).min() })
    }

    fn has(&self, record: &&Record) -> bool {
        record.env() == self.index
            && record.time >= self.begin
            && self.end.is_none_or(|end| record.time <= end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::fixture;
    use crate::trace::Stream;

    const VICTIM: u16 = 7;

    fn record(time: u64, (kind, env, detail): (u8, u16, u32), words: &[u64]) -> Record {
        let word = |place| words.get(place).copied().unwrap_or(0);
        Record { time, head: Record::head(kind, 0, env, detail), words: std::array::from_fn(word) }
    }

    fn service(time: u64, service: Service) -> Record {
        let mark = service.mark();
        record(time, (mark.kind, VICTIM, mark.detail), &mark.words)
    }

    /// A libOS that fails at 4 000 and is destroyed at 9 000; its index was another's before, and is again later.
    fn known(records: &[Record]) -> Evidence {
        let lives = [(100, 0), (200, 1), (300, 0), (9_000, 1), (9_500, 0)];
        let lives = lives.map(|(time, detail)| record(time, (kind::LIFE, VICTIM, detail), &[]));
        let others = [150, 9_700].map(|time| record(time, (kind::FAULT, VICTIM, 0), &[]));
        let all = lives.iter().chain(&others).chain(records);
        let records = (0..).zip(all.copied()).collect();
        let trace = Trace { cores: vec![Stream { records, ended: true, ..Stream::default() }] };
        let named = ["early", "one", "late"].map(|name| (u64::from(VICTIM), name.to_string()));
        let recording = fixture::alternating(20);
        let cast = Cast {
            scenario: "fixture".into(),
            seed: 1,
            cores: 1,
            frequency: recording.frequency,
            quantum: recording.quantum,
            slots: recording.slots,
            epoch: 0,
            clients: Vec::new(),
            schedulers: Vec::new(),
            environments: named.into(),
        };
        let counts = Hostile { failures: 5, ..Hostile::default() };
        Evidence::of(("one", 20_000), &recording, (&cast, &trace), &counts)
    }

    #[test]
    fn only_what_is_in_the_libos_own_life_is_its() {
        let fault = record(4_001, (kind::FAULT, VICTIM, 0), &[]);
        let handled = record(3_001, (kind::FAULT, VICTIM, kind::FAULT_HANDLED), &[]);
        let evidence = known(&[service(4_000, Service::Fails), fault, handled]);
        assert_eq!(
            (evidence.faults, evidence.began.clone(), evidence.destroyed),
            (1, vec![4_000], Some(9_000))
        );
        assert_eq!(evidence.span(20_000), Some((4_000, 9_000)));
        assert_eq!(
            evidence.verdict(&fixture::alternating(20)),
            "1 faults end its activations; the broker ends it after 5 ms"
        );
        // The fixture's clients go on: these are their turns between the two.
        assert_eq!((evidence.slots, evidence.turns), (5, 3));
    }

    #[test]
    fn nobody_began_to_fail_if_nobody_said_so() {
        let evidence = known(&[]);
        assert_eq!(evidence.span(20_000), None);
        assert_eq!(evidence.complaint(Failure::Crash, 1).unwrap(), "it began to fail on 0 of 1 cores");
    }

    #[test]
    fn slots_that_are_taken_by_force_are_told_with_the_time_since_asking() {
        let asked = record(5_000, (kind::ASKED, VICTIM, 0), &[0, 0, 2, 6_000]);
        let seized = [7_000, 7_001].map(|time| record(time, (kind::SEIZED, VICTIM, 0), &[]));
        let evidence = known(&[service(4_000, Service::Fails), asked, seized[0], seized[1]]);
        let said = evidence.verdict(&fixture::alternating(20));
        assert!(
            said.starts_with("the broker takes 2 slots, 2 ms after asking; the kernel destroys it"),
            "{said}"
        );
    }

    #[test]
    fn each_failure_that_did_not_happen_is_found_out() {
        let some = Evidence { began: vec![1], count: 9, slots: 5, ..Evidence::default() };
        let good = [
            (Failure::Crash, Evidence { faults: 1, ..some.clone() }),
            (Failure::EndlessLoop, some.clone()),
            (Failure::NeverYields, Evidence { excess_slices: 1, ..some.clone() }),
            (Failure::YieldsToTheDead, Evidence { empty_yields: 1, ..some.clone() }),
            (Failure::Forges, Evidence { forged: 1, ..some.clone() }),
            (Failure::FloodsCalls, some.clone()),
            (Failure::IgnoresRevocation, Evidence { seized: vec![2], turns: 8, ..some.clone() }),
            (Failure::CorruptsItsTables, Evidence { faults: 1, ..some.clone() }),
        ];
        assert_eq!(good.len(), Failure::NAMES.len());
        for (how, evidence) in good {
            assert_eq!(evidence.complaint(how, 1), None, "{how:?}");
            assert!(evidence.complaint(how, 2).is_some(), "{how:?}");
            assert!(Evidence { count: 0, ..evidence.clone() }.complaint(how, 1).is_some(), "{how:?}");
            let idle = Evidence { began: vec![1], count: 9, ..Evidence::default() };
            assert!(idle.complaint(how, 1).is_some(), "{how:?}");
            let works = Evidence { turns: 1, seized: Vec::new(), ..evidence };
            assert!(works.complaint(how, 1).is_some(), "{how:?}");
        }
    }
}
