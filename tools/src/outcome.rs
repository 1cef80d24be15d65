//! Everything that a guest said about its run, gathered. Not here: whether it is good (`verdict`).

use libos_core::report::{
    Client, Decisions, Fuzz, Heard, Hostile, Ledger, LibOs, MachineState, Measure, Picture, Record, Slots,
    Start, Succession,
};
use serde::Serialize;
use std::collections::BTreeMap;

/// A self-test's result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Check {
    /// What was tested.
    pub name: String,
    /// Whether it holds.
    pub passed: bool,
    /// What was seen.
    pub detail: String,
}

/// How far the guest is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Revolutions done.
    pub revolution: u64,
    /// Revolutions in the whole run.
    pub of: u64,
}

/// What was heard in one run. Lists are in the order of arrival.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// The first record, if it came.
    pub start: Option<Start>,
    /// What was run, encoded, if that came.
    pub scenario: Option<Vec<u8>>,
    /// The last progress.
    pub progress: Option<Progress>,
    /// LibOSes that reported.
    pub libos: Vec<LibOs>,
    /// Policies that took over from others.
    pub successions: Vec<Succession>,
    /// Clients that were reported.
    pub clients: Vec<Client>,
    /// The broker's accounts.
    pub slots: Vec<Slots>,
    /// The cores' ledgers.
    pub ledger: Vec<Ledger>,
    /// Hostile environments.
    pub hostile: Vec<Hostile>,
    /// Call fuzzers.
    pub fuzz: Vec<Fuzz>,
    /// Self-tests.
    pub checks: Vec<Check>,
    /// Environments that were made: index and name, in the order in which they were reported.
    pub envs: Vec<(u64, String)>,
    /// What operations cost.
    pub measures: Vec<Measure>,
    /// What decisions cost.
    pub decisions: Vec<Decisions>,
    /// What the display did, once its last picture is there.
    pub picture: Option<Picture>,
    /// The last record: whether the guest is content, and its code.
    pub end: Option<(bool, u64)>,
    /// How the machine was then, if it says so.
    pub end_state: Option<MachineState>,
    /// Frames that came whole.
    pub frames: u64,
    /// Places where frames are missing, as `from..to`.
    pub lost: Vec<(u32, u32)>,
    /// Frames that came damaged.
    pub damaged: u64,
    /// Parts of a trace that came on the same line: each core's stream, as a console of its own would have brought it.
    pub streams: BTreeMap<u64, Vec<u8>>,
    /// Kernel panics.
    pub panics: u64,
    /// The status with which the machine ended; none if it had to be ended.
    pub status: Option<i32>,
}

impl Outcome {
    /// Adds what was heard.
    pub fn hear(&mut self, heard: &Heard) {
        match heard {
            Heard::Text(_) => {}
            Heard::Lost { from, to } => self.lost.push((*from, *to)),
            Heard::Damaged { .. } => self.damaged += 1,
            Heard::Trace { header, records } => {
                let stream = self.streams.entry(header.core).or_default();
                let front = header.to_words();
                let words = front.iter().chain(records.as_flattened());
                words.for_each(|word| stream.extend(word.to_le_bytes()));
            }
            Heard::Record { record, .. } => {
                self.frames += 1;
                self.record(record);
            }
        }
    }

    /// The libOS of this name, as it saw itself.
    pub fn libos(&self, name: &str) -> Option<&LibOs> {
        self.libos.iter().find(|libos| libos.name == name)
    }

    /// The broker's account of this environment.
    pub fn slots_of(&self, owner: &str) -> Option<&Slots> {
        self.slots.iter().find(|slots| slots.owner == owner)
    }

    /// The clients of this libOS.
    pub fn clients_of(&self, libos: &str) -> impl Iterator<Item = &Client> {
        self.clients.iter().filter(move |client| client.libos == libos)
    }

    fn record(&mut self, record: &Record) {
        match record.clone() {
            Record::Start(start) => self.start = Some(start),
            Record::Scenario { encoded } => self.scenario = Some(encoded),
            Record::Progress { revolution, of, .. } => self.progress = Some(Progress { revolution, of }),
            Record::LibOs(libos) => self.libos.push(libos),
            Record::Succession(succession) => self.successions.push(succession),
            Record::Client(client) => self.clients.push(client),
            Record::Slots(slots) => self.slots.push(slots),
            Record::Ledger(ledger) => self.ledger.push(ledger),
            Record::Hostile(hostile) => self.hostile.push(hostile),
            Record::Fuzz(fuzz) => self.fuzz.push(fuzz),
            Record::Check { name, passed, detail } => self.checks.push(Check { name, passed, detail }),
            Record::Measure(measure) => self.measures.push(measure),
            Record::Decisions(decisions) => self.decisions.push(decisions),
            Record::Env { index, name } => self.envs.push((index, name)),
            Record::Log { .. } | Record::Entrusted(_) => {}
            Record::Picture(picture) => self.picture = Some(picture),
            Record::End { passed, code, state } => {
                self.end = Some((passed, code));
                self.end_state = state;
            }
        }
    }
}

/// The time that a ledger accounts for: all its buckets. None if they do not fit a number, which no true ledger does.
pub fn ledger_sum(ledger: &Ledger) -> Option<u64> {
    let environments = ledger.environments.iter().map(|(_, ticks)| *ticks);
    let rest = [ledger.kernel, ledger.idle, ledger.excess, ledger.gone];
    environments.chain(rest).try_fold(0u64, u64::checked_add)
}
