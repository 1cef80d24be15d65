//! A guest's serial line: takes records out, makes lines for people of the rest, and puts names to the addresses of a
//! kernel panic. Not here: where the bytes come from (`qemu`) and where the lines go (`run`).

use crate::outcome::Outcome;
use crate::symbols::Symbols;
use libos_core::report::{Decoder, Heard, Load, Record};

/// How a kernel panic begins; lines of [`FRAME`] follow.
const PANIC: &str = "PANIC core=";
/// How a line of a backtrace begins.
const FRAME: &str = "  at 0x";
/// A line longer than this is cut in two: noise has no line ends.
const LONGEST_LINE: usize = 4096;

/// The host's view of one guest.
#[derive(Debug)]
pub struct Console {
    decoder: Decoder,
    line: Vec<u8>,
    symbols: Option<Symbols>,
    outcome: Outcome,
}

impl Console {
    /// A line on which nothing was said yet. With symbols, panics are explained.
    pub fn new(symbols: Option<Symbols>) -> Self {
        Self { decoder: Decoder::new(), line: Vec::new(), symbols, outcome: Outcome::default() }
    }

    /// Takes what came; returns the lines for people that are now complete.
    pub fn hear(&mut self, bytes: &[u8]) -> Vec<String> {
        let heard = self.decoder.feed(bytes);
        heard.into_iter().flat_map(|heard| self.take(heard)).collect()
    }

    /// Takes the end of the line; returns what is left for people.
    pub fn close(&mut self) -> Vec<String> {
        let rest = std::mem::take(&mut self.decoder).finish();
        let mut lines: Vec<_> = rest.into_iter().flat_map(|heard| self.take(heard)).collect();
        lines.extend(self.end_line());
        lines
    }

    /// What was heard so far.
    pub fn outcome(&self) -> &Outcome {
        &self.outcome
    }

    /// All that was heard.
    pub fn into_outcome(self) -> Outcome {
        self.outcome
    }

    fn take(&mut self, heard: Heard) -> Vec<String> {
        self.outcome.hear(&heard);
        match heard {
            Heard::Text(bytes) => self.text(&bytes),
            Heard::Record { record, .. } => describe(&record).lines().map(String::from).collect(),
            Heard::Lost { from, to } => {
                vec![format!("(reports {from} to {} are missing)", to.wrapping_sub(1))]
            }
            Heard::Trace { .. } => Vec::new(),
            Heard::Damaged { load, damage, bytes } => {
                let what = match load {
                    Load::Record => "a report",
                    Load::Trace => "a part of the trace",
                };
                let mut lines = vec![format!("({what} came damaged: {damage:?})")];
                // Whatever can be read in it may be the last words of a kernel.
                let readable = |&byte: &u8| byte == b'\n' || byte == b' ' || byte.is_ascii_graphic();
                lines.extend(self.text(&bytes.into_iter().filter(readable).collect::<Vec<_>>()));
                lines
            }
        }
    }

    fn text(&mut self, bytes: &[u8]) -> Vec<String> {
        let mut lines = Vec::new();
        for &byte in bytes {
            if byte == b'\n' || self.line.len() >= LONGEST_LINE {
                lines.extend(self.end_line());
            }
            if byte != b'\n' && byte != b'\r' {
                self.line.push(byte);
            }
        }
        lines
    }

    fn end_line(&mut self) -> Vec<String> {
        let line = String::from_utf8_lossy(&std::mem::take(&mut self.line)).into_owned();
        if line.contains(PANIC) {
            self.outcome.panics += 1;
        }
        let address = line.strip_prefix(FRAME).and_then(|rest| {
            let digits = rest.split(|c: char| !c.is_ascii_hexdigit()).next()?;
            u64::from_str_radix(digits, 16).ok()
        });
        match (address, &self.symbols) {
            _ if line.is_empty() => Vec::new(),
            (Some(address), Some(symbols)) => {
                let names = symbols.describe(address).join(", in ");
                vec![format!("{FRAME}{address:x} {names}")]
            }
            _ => vec![line],
        }
    }
}

/// What of a record people read while it runs; nothing of most.
fn describe(record: &Record) -> String {
    match record {
        Record::Log { text } => text.clone(),
        Record::Check { name, passed: true, .. } => format!("check: {name}: ok"),
        Record::Check { name, passed: false, detail } => format!("check: {name}: FAILED: {detail}"),
        Record::Start(start) => format!(
            "start: scenario {}, seed {}, {} cores, {} slots of {} ticks at {} Hz",
            start.scenario, start.seed, start.cores, start.slots, start.quantum, start.frequency
        ),
        Record::Picture(picture) => {
            format!("display: the last of {} updates is on the screen", picture.updates)
        }
        Record::End { passed, code, .. } => {
            format!("end: {} with code {code}", if *passed { "passed" } else { "failed" })
        }
        Record::Measure(measure) => {
            format!("{}: {} instructions", measure.operation, measure.instructions.minimum)
        }
        Record::Decisions(one) => {
            let policy = one.policy.word();
            let mean = one.policy_sum / one.turns.max(1);
            format!("{policy}, {} clients: {mean} instructions for a decision", one.clients)
        }
        Record::Scenario { .. }
        | Record::Env { .. }
        | Record::Progress { .. }
        | Record::LibOs(_)
        | Record::Client(_)
        | Record::Succession(_)
        | Record::Entrusted(_)
        | Record::Slots(_)
        | Record::Ledger(_)
        | Record::Hostile(_)
        | Record::Fuzz(_) => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use libos_core::report::{encode, encode_trace};
    use libos_core::trace::Batch;
    use libos_core::trace::frame::Header;

    #[test]
    fn lines_come_out_whole_and_records_are_taken_out() {
        let mut console = Console::new(None);
        assert!(console.hear(b"boo").is_empty());
        let mut bytes = b"ted\r\n\nsecond".to_vec();
        bytes.extend(encode(&Record::Progress { revolution: 3, of: 9, now: 1 }, 0));
        bytes.extend(encode(&Record::Log { text: "hello\nworld".into() }, 1));
        assert_eq!(console.hear(&bytes), ["booted", "hello", "world"]);
        assert_eq!(console.outcome().progress.map(|progress| progress.revolution), Some(3));
        assert_eq!(console.close(), ["second"]);
    }

    #[test]
    fn a_panic_is_counted_even_inside_a_broken_frame() {
        let mut console = Console::new(None);
        let frame = encode(&Record::Log { text: "hello".into() }, 0);
        console.hear(&frame[..8]);
        console.hear(b"\nPANIC core=2 something\n  at 0xffff000000081234\n");
        let lines = console.close();
        assert!(lines.contains(&"  at 0xffff000000081234".to_string()), "{lines:?}");
        assert_eq!((console.outcome().panics, console.outcome().damaged), (1, 1));
    }

    #[test]
    fn a_backtrace_is_explained_where_there_are_symbols() {
        let program = std::env::current_exe().unwrap();
        let mut console = Console::new(Some(Symbols::of(&program).unwrap()));
        assert_eq!(
            console.hear(b"  at 0xfffffffffff0\n  at nowhere\n"),
            ["  at 0xfffffffffff0 unknown", "  at nowhere"]
        );
    }

    #[test]
    fn parts_of_a_trace_become_the_streams_that_consoles_would_have_brought_and_a_damaged_one_is_named() {
        let records = [[1, 2, 3, 4, 5, 6, 7, 8], [9; 8]];
        let header = |core, first| Header::new(core, Batch { first, count: 2, lost: 0 }, &records);
        let mut console = Console::new(None);
        let mut bad = encode_trace(&header(1, 2), &records);
        bad[7] ^= 1;
        console.hear(&encode_trace(&header(1, 0), &records));
        let lines = console.hear(&bad);
        assert_eq!(lines[0], "(a part of the trace came damaged: Checksum)");
        console.hear(&encode_trace(&header(0, 0), &records));
        let outcome = console.into_outcome();
        let stream = |core| crate::trace::tests::bytes(core, 0, &records, false);
        assert_eq!(outcome.streams.into_iter().collect::<Vec<_>>(), [(0, stream(0)), (1, stream(1))]);
        assert_eq!(outcome.damaged, 1);
    }

    #[test]
    fn missing_and_damaged_reports_are_said() {
        let mut console = Console::new(None);
        let mut bad = encode(&Record::Log { text: "hello".into() }, 0);
        bad[9] ^= 1;
        let mut lines = console.hear(&bad);
        lines.extend(console.hear(&encode(&Record::Log { text: "later".into() }, 5)));
        assert_eq!(lines[0], "(a report came damaged: Checksum)");
        assert!(lines.ends_with(&["(reports 0 to 4 are missing)".into(), "later".into()]), "{lines:?}");
        assert_eq!(console.into_outcome().lost, [(0, 5)]);
    }
}
