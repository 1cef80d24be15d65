//! What the guest tells the host about a run: records, and the frames that carry them over a serial line beside plain
//! text. Not here: who collects the figures, and what the host makes of them (`tools`).
//!
//! A frame is `0x00`, [`MAGIC`], COBS(postcard(sequence, record), CRC-32), `0x00`; one of a trace has [`TRACE_MAGIC`] and
//! `trace::compact`'s bytes instead. COBS leaves no zero inside and text has none, so a zero always ends whatever a disturbed
//! line began. All times are in ticks, all figures exact integers.
#![forbid(unsafe_code)]

use crate::adopt::Deed;
use crate::scenario::Policy;
use crate::trace::frame::Header;
use crate::trace::{Raw, compact};
use alloc::string::String;
use alloc::vec::Vec;
use crc::{CRC_32_ISO_HDLC, Crc};
use postcard::ser_flavors::{AllocVec, Cobs, crc::CrcModifier};
use serde::{Deserialize, Serialize};

mod decoder;
mod machine;

pub use decoder::{Damage, Decoder, Heard, Load};
pub use machine::{MachineState, Picture, held_back_by};

/// Grows with every change of [`Record`].
pub const VERSION: u32 = 7;
/// How the inside of a frame begins; no text line begins so.
pub const MAGIC: [u8; 3] = [0x01, b'T', b'R'];
/// The same of a frame that carries a part of a trace.
pub const TRACE_MAGIC: [u8; 3] = [0x01, b'T', b'T'];
/// Bytes between a frame's zeros at most.
pub const MAX_FRAME: usize = 64 * 1024;

pub(crate) static CHECKSUM: Crc<u32> = Crc::<u32>::new(&CRC_32_ISO_HDLC);

/// One thing that the guest reports.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Record {
    /// First, and again near the end, for whoever listens to a line on which something was lost: which machine and which run.
    Start(Start),
    /// After each [`Record::Start`]: what is run. So who listens needs no other file.
    Scenario {
        /// As `scenario::Scenario::encode` makes it.
        encoded: Vec<u8>,
    },
    /// Every now and then: how far it is.
    Progress {
        /// Revolutions done.
        revolution: u64,
        /// Revolutions in the whole run.
        of: u64,
        /// The time.
        now: u64,
    },
    /// Once for each libOS, when it leaves or the run ends.
    LibOs(LibOs),
    /// Once for each policy that took over from another on a core.
    Succession(Succession),
    /// Once for each client environment, when its libOS leaves or the run ends.
    Client(Client),
    /// Once for each libOS and each hostile environment, at the end: the broker's account of its slots.
    Slots(Slots),
    /// Once for each core, at the end.
    Ledger(Ledger),
    /// Once for each hostile environment, and for each libOS that fails on purpose, at the end.
    Hostile(Hostile),
    /// The result of one self-test.
    Check {
        /// What was tested, as a sentence.
        name: String,
        /// Whether it holds.
        passed: bool,
        /// What was seen.
        detail: String,
    },
    /// What one operation costs.
    Measure(Measure),
    /// What a policy's decisions cost with some number of clients.
    Decisions(Decisions),
    /// A line for people, from a program that has no other way to say it.
    Log {
        /// The line, without its end.
        text: String,
    },
    /// From a program to its creator, for each environment that it makes: the name under which the environment's time
    /// stands in the ledgers.
    Env {
        /// The environment's index.
        index: u64,
        /// Its name.
        name: String,
    },
    /// From a scheduler to its creator, for each client of one that has an heir: what the heir needs. It is passed on to nobody else.
    Entrusted(Entrusted),
    /// Once for each call fuzzer, at the end.
    Fuzz(Fuzz),
    /// Once, if there is a display: it shows its last picture, and will for a second.
    Picture(Picture),
    /// Once, last.
    End {
        /// Whether the guest itself found everything in order.
        passed: bool,
        /// The code with which the machine is switched off; 0 is success.
        code: u64,
        /// How the machine is; `None` where no firmware says so.
        state: Option<MachineState>,
    },
}

/// The machine and the run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Start {
    /// [`VERSION`].
    pub version: u32,
    /// Board, numbered as in the kernel's public region: 1 QEMU virt, 2 Raspberry Pi 4.
    pub board: u64,
    /// Version of the interrupt controller.
    pub gic: u64,
    /// Cores that run.
    pub cores: u64,
    /// Ticks per second.
    pub frequency: u64,
    /// Ticks per slot.
    pub quantum: u64,
    /// Slots of each core's vector.
    pub slots: u64,
    /// When slot 0 first began.
    pub epoch: u64,
    /// The scenario's name.
    pub scenario: String,
    /// The scenario's seed.
    pub seed: u64,
    /// How the machine is; `None` where no firmware says so.
    pub state: Option<MachineState>,
}

/// A libOS as it saw itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LibOs {
    /// Its name.
    pub name: String,
    /// Its policy.
    pub policy: Policy,
    /// When it arrived, absolute.
    pub arrived: u64,
    /// When it left, or the run ended, absolute.
    pub left: u64,
    /// Decisions of its policy, over all cores.
    pub decisions: u64,
    /// CPU time that its clients ran, over all cores.
    pub clients_ran: u64,
    /// CPU time that it used itself, over all cores.
    pub own: u64,
}

/// A policy took over from another under running clients. Times absolute, in ticks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Succession {
    /// The libOS.
    pub libos: String,
    /// The core.
    pub core: u64,
    /// The policy that was.
    pub from: Policy,
    /// The policy that is.
    pub to: Policy,
    /// Clients that it took over.
    pub clients: u64,
    /// From when on nobody scheduled them.
    pub began: u64,
    /// From when on they were scheduled again.
    pub done: u64,
}

/// A client, for whoever is to take it over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entrusted {
    /// The core on which it lives.
    pub core: u64,
    /// Its place among the libOS's clients in the scenario.
    pub client: u64,
    /// Its name; `name/core` if it is one of several copies.
    pub name: String,
    /// When its jobs begin, in ticks, absolute.
    pub begin: u64,
    /// The right to take it over.
    pub deed: Deed,
}

/// A client environment as its scheduler saw it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Client {
    /// The libOS that scheduled it.
    pub libos: String,
    /// Its name; `name/core` if it is one of several copies.
    pub name: String,
    /// The core that it lived on; `None` of one that ran on any, under a policy that the cores shared.
    pub core: Option<u64>,
    /// CPU time that it was charged.
    pub ran: u64,
    /// Turns that it was given.
    pub turns: u64,
    /// Pieces of work that it finished.
    pub work_units: u64,
    /// Pieces whose result it found right.
    pub checks_passed: u64,
    /// Pieces whose result it found wrong.
    pub checks_failed: u64,
    /// What its demand adds.
    pub demand: Figures,
    /// What it says itself of its jobs, if it has any.
    pub jobs: Option<Jobs>,
}

/// A client's own account of its jobs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Jobs {
    /// Time from release to deadline; `None`: there is no hurry.
    pub deadline: Option<u64>,
    /// Jobs finished.
    pub jobs: u64,
    /// Of these, finished after their deadline.
    pub misses: u64,
    /// The longest time from a release to its job's end.
    pub max_response: u64,
    /// Jobs that used more or less CPU time than they declared, by more than a hundredth and more than 5 µs.
    pub wrong_demands: u64,
}

/// The figures of a kind of demand.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Figures {
    /// A client with tickets.
    Share {
        /// Its tickets.
        tickets: u64,
        /// Tickets of all clients of the libOS on this core, itself included.
        tickets_total: u64,
        /// Turns given to any of them.
        turns_total: u64,
        /// CPU time that all of them were charged.
        ran_total: u64,
        /// The largest pairwise relative error against any of them at any switch, in millionths of a quantum. `None` in a run
        /// that is recorded: the host measures it from the record.
        pairwise_error_millionths: Option<u64>,
    },
    /// A client that is promised neither a share nor its deadlines.
    Unpromised,
    /// A client with deadlines that are guaranteed.
    Periodic {
        /// CPU time that a job may need.
        budget: u64,
        /// Time between releases.
        period: u64,
        /// Time from release to deadline.
        deadline: u64,
        /// Jobs finished.
        jobs: u64,
        /// Jobs that were finished, or still running at the end, after their deadline.
        misses: u64,
        /// The longest time from a release to its job's end.
        max_response: u64,
        /// What the analysis of the libOS's supply allows at most.
        response_bound: u64,
        /// How its guarantee fared.
        standing: Standing,
    },
}

/// How a client's guarantee fared, whose libOS has won and lost slots.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// The higher, the longer it is kept.
    pub criticality: u64,
    /// How often it lost the guarantee, because more critical ones needed the slots that were left.
    pub shed: u64,
    /// When it last did, absolute; 0 if never.
    pub shed_at: u64,
    /// When it last had it again, absolute; 0 if it did not.
    pub back_at: u64,
    /// Whether it has it at the end.
    pub is_guaranteed: bool,
    /// Jobs of its that came meanwhile, and were dropped.
    pub dropped: u64,
}

/// The broker's account of one environment's slots, over all cores.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Slots {
    /// The libOS or hostile environment.
    pub owner: String,
    /// Revolutions for which it was counted.
    pub revolutions: u64,
    /// Slots that it owned, summed over those revolutions.
    pub owned: u64,
    /// Of these, slots in which the CPU was not its own, through no choice of its own.
    pub missed: u64,
    /// Slots that it was given.
    pub won: u64,
    /// Slots that went to somebody who bid more.
    pub lost: u64,
    /// Slots that it gave back when asked.
    pub given_back: u64,
    /// Slots that were taken from it by force.
    pub repossessed: u64,
}

/// Where a core's time went. All buckets together are `elapsed`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ledger {
    /// The core.
    pub core: u64,
    /// Interrupts and slice switches.
    pub kernel: u64,
    /// Nobody wanted the CPU.
    pub idle: u64,
    /// Kept past the end of a slice.
    pub excess: u64,
    /// Environments that are no more.
    pub gone: u64,
    /// Environments: name and time.
    pub environments: Vec<(String, u64)>,
    /// Time from the epoch to the moment at which the ledger was read.
    pub elapsed: u64,
}

/// What became of an environment that broke every rule.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hostile {
    /// Its name.
    pub name: String,
    /// Times that it faulted.
    pub faults: u64,
    /// Slices that it kept past the grace time.
    pub excess_slices: u64,
    /// Slots that it was asked to give back.
    pub asked: u64,
    /// Entries in its repossession vector.
    pub repossessions: u64,
    /// Whether it was destroyed.
    pub destroyed: bool,
    /// Calls with a forged capability.
    pub forged: u64,
    /// Of these, the calls that the kernel refused.
    pub forged_refused: u64,
    /// Calls that do not exist, and were reflected to it.
    pub unknown_calls: u64,
    /// What a libOS that fails on purpose did of it, as it says itself.
    pub failures: u64,
}

/// What one operation costs, out of many repetitions, with what the measuring itself costs already subtracted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Measure {
    /// The operation's id, the same in every table.
    pub operation: String,
    /// Environments alive meanwhile, all of the machine's.
    pub environments: u64,
    /// Repetitions that were measured.
    pub samples: u64,
    /// Repetitions that took exactly the least number of instructions.
    pub least: u64,
    /// Instructions retired.
    pub instructions: Spread,
    /// The core's cycle counter.
    pub cycles: Spread,
}

/// What a policy's decisions cost with so many clients of one scheduler, in instructions, without what the measuring costs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decisions {
    /// The policy.
    pub policy: Policy,
    /// The scheduler's clients.
    pub clients: u64,
    /// Turns that were measured, each with one decision.
    pub turns: u64,
    /// The policy's part of a turn: it is told who became ready, decides, and is told how the turn ended.
    pub policy_instructions: Spread,
    /// The same of all turns together.
    pub policy_sum: u64,
    /// A whole turn: the dispatch loop, the policy, the kernel, and the client that waits at once.
    pub turn_instructions: Spread,
    /// The same of all turns together.
    pub turn_sum: u64,
}

/// How figures are spread.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spread {
    /// The least.
    pub minimum: u64,
    /// As many are below as above.
    pub median: u64,
    /// The greatest.
    pub maximum: u64,
}

/// What a call fuzzer did, and what was left of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fuzz {
    /// The libOS that supervised it.
    pub name: String,
    /// Calls by name; the last row is of numbers that are not in the table.
    pub calls: Vec<FuzzCall>,
    /// How often calls were refused, by the error's name.
    pub refused: Vec<(String, u64)>,
    /// Calls that came back to their caller's fault upcall.
    pub reflected: u64,
    /// Faults that the callers' own handlers saw.
    pub faults: u64,
    /// Environments that made calls, all of which were destroyed and reclaimed.
    pub environments: u64,
    /// Times that one of their activations was started.
    pub starts: u64,
    /// Environments that were ended because they made no more calls.
    pub silent: u64,
    /// Environments whose count was garbled, and is in no figure.
    pub garbled: u64,
    /// Times that something of the supervisor's was not as it should be.
    pub wrong: u64,
    /// What there was before the first of them.
    pub before: FuzzAccount,
    /// What there was after the last.
    pub after: FuzzAccount,
}

/// How often a call was made.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FuzzCall {
    /// Its name.
    pub name: String,
    /// Times that it was made.
    pub made: u64,
    /// Of these, the calls that were accepted.
    pub accepted: u64,
}

/// What a fuzzer must leave as it was.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FuzzAccount {
    /// Frames of the supervisor's.
    pub frames: u64,
    /// Environments on the machine.
    pub environments: u64,
    /// Handles that the supervisor can still bind.
    pub handles: u64,
    /// Slots of the supervisor's, over all cores.
    pub slots: u64,
}

/// The frame that carries a record. `sequence` counts a line's frames from 0, so that the host notices a lost one.
pub fn encode(record: &Record, sequence: u32) -> Vec<u8> {
    let mut frame = alloc::vec![0];
    frame.extend(MAGIC);
    // Writing to memory that grows fails for no value of these types, and COBS ends with the frame's closing zero.
    frame.extend(body(record, sequence).unwrap_or_default());
    frame
}

fn body(record: &Record, sequence: u32) -> postcard::Result<Vec<u8>> {
    let sink = CrcModifier::new(Cobs::try_new(AllocVec::new())?, CHECKSUM.digest());
    postcard::serialize_with_flavor(&(sequence, record), sink)
}

/// The frame that carries a part of a trace. It has no sequence number: its records are numbered.
pub fn encode_trace(header: &Header, records: &[Raw]) -> Vec<u8> {
    let mut content = compact::encode(header, records);
    content.extend(CHECKSUM.checksum(&content).to_le_bytes());
    let mut frame = alloc::vec![0];
    frame.extend(TRACE_MAGIC);
    frame.extend(cobs::encode_vec(&content));
    frame.push(0);
    frame
}

#[cfg(test)]
mod tests;
