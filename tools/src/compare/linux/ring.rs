//! Linux's ring of trace records as it is read from `trace_pipe_raw`: pages, each with a time and records that follow one
//! another, each some time after the last (Linux, `include/linux/ring_buffer.h`; `events/header_page` and `events/header_event`
//! in tracefs). Only `sched_switch` is in it. Not here: what switches mean (`record`).

/// A switch of a core from one process to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Switch {
    /// When, in nanoseconds.
    pub at: u64,
    /// The process that had the core; 0 is nobody.
    pub from: u64,
    /// Whether that process would have gone on.
    pub ready: bool,
    /// The process that has it from now on; 0 is nobody.
    pub to: u64,
}

/// A field of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Field {
    offset: usize,
    size: usize,
}

/// Where things are in a page and in a record, as Linux says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Format {
    commit: Field,
    data: Field,
    from: Field,
    state: Field,
    to: Field,
}

/// What a process that waits or ends has in its state, and what one has that was only taken off (Linux,
/// `include/linux/sched.h`, `TASK_REPORT_MAX`).
const PREEMPTED: u64 = 0x100;
/// A page's count of bytes, and the mark of one before which records were overwritten (`kernel/trace/ring_buffer.c`).
const COMMITTED: u64 = (1 << 27) - 1;
const MISSED: u64 = 1 << 31;
/// Kinds of entries that are no records: the rest of a page is empty, and time that does not fit into a record.
const PADDING: u32 = 29;
const TIME_EXTEND: u32 = 30;
const TIME_STAMP: u32 = 31;
/// Bits of an entry's own time.
const DELTA_BITS: u32 = 27;

impl Format {
    /// From Linux's texts about the event and about a page.
    pub fn parse(event: &str, page: &str) -> Result<Self, String> {
        let field = |text: &str, name: &str| {
            let missing = || format!("Linux's trace has no field {name}");
            let line = text.lines().find(|line| names(line, name)).ok_or_else(missing)?;
            let number = |word: &str| {
                let (_, rest) = line.split_once(word).ok_or_else(missing)?;
                let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
                digits.parse().map_err(|_| missing())
            };
            Ok::<_, String>(Field { offset: number("offset:")?, size: number("size:")? })
        };
        Ok(Self {
            commit: field(page, "commit")?,
            data: field(page, "data")?,
            from: field(event, "prev_pid")?,
            state: field(event, "prev_state")?,
            to: field(event, "next_pid")?,
        })
    }
}

/// Whether a line of a format is about this field: `field:pid_t prev_pid; offset:24; …`.
fn names(line: &str, name: &str) -> bool {
    let declared = line.trim().strip_prefix("field:").and_then(|rest| rest.split(';').next());
    declared.and_then(|declared| declared.rsplit(' ').next()) == Some(name)
}

/// An unsigned number, little-endian, of up to eight bytes.
fn number(bytes: &[u8], field: Field) -> Option<u64> {
    let part = bytes.get(field.offset..field.offset + field.size)?;
    (field.size <= 8).then(|| part.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte)))
}

fn word(bytes: &[u8], offset: usize) -> Option<u32> {
    number(bytes, Field { offset, size: 4 }).map(|number| number as u32)
}

/// The switches in a page, in order, and whether some before them are missing. `None` if it is damaged.
pub fn switches(page: &[u8], format: &Format) -> Option<(Vec<Switch>, bool)> {
    let commit = number(page, format.commit)?;
    let data = page.get(format.data.offset..)?.get(..(commit & COMMITTED) as usize)?;
    let mut time = number(page, Field { offset: 0, size: 8 })?;
    let (mut all, mut at) = (Vec::new(), 0);
    while at < data.len() {
        let head = word(data, at)?;
        let (kind, delta) = (head & 31, u64::from(head >> 5));
        if kind == PADDING {
            break;
        }
        let long = || Some(delta + (u64::from(word(data, at + 4)?) << DELTA_BITS));
        match kind {
            TIME_EXTEND => (time, at) = (time + long()?, at + 8),
            TIME_STAMP => (time, at) = (long()?, at + 8),
            // The length is in a word of its own, which it counts, or in the kind.
            _ => {
                let (begin, end) = match kind {
                    0 => (at + 8, at + 4 + word(data, at + 4)? as usize),
                    words => (at + 4, at + 4 + 4 * words as usize),
                };
                time += delta;
                all.push(switch(data.get(begin..end)?, format, time)?);
                at = end.next_multiple_of(4);
            }
        }
    }
    Some((all, commit & MISSED != 0))
}

fn switch(record: &[u8], format: &Format, at: u64) -> Option<Switch> {
    let state = number(record, format.state)?;
    let ready = state == 0 || state & PREEMPTED != 0;
    Some(Switch { at, from: number(record, format.from)?, ready, to: number(record, format.to)? })
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub const EVENT: &str = "name: sched_switch\nID: 250\nformat:\n\
        \tfield:unsigned short common_type;\toffset:0;\tsize:2;\tsigned:0;\n\
        \tfield:int common_pid;\toffset:4;\tsize:4;\tsigned:1;\n\n\
        \tfield:char prev_comm[16];\toffset:8;\tsize:16;\tsigned:0;\n\
        \tfield:pid_t prev_pid;\toffset:24;\tsize:4;\tsigned:1;\n\
        \tfield:long prev_state;\toffset:32;\tsize:8;\tsigned:1;\n\
        \tfield:pid_t next_pid;\toffset:56;\tsize:4;\tsigned:1;\n\n\
        print fmt: \"prev_pid=%d\", REC->prev_pid\n";
    pub const PAGE: &str = "\tfield: u64 timestamp;\toffset:0;\tsize:8;\tsigned:0;\n\
        \tfield: local_t commit;\toffset:8;\tsize:8;\tsigned:1;\n\
        \tfield: int overwrite;\toffset:8;\tsize:1;\tsigned:1;\n\
        \tfield: char data;\toffset:16;\tsize:4080;\tsigned:0;\n";

    fn record(from: u32, state: u64, to: u32) -> Vec<u8> {
        let mut bytes = vec![0; 64];
        bytes[24..28].copy_from_slice(&from.to_le_bytes());
        bytes[32..40].copy_from_slice(&state.to_le_bytes());
        bytes[56..60].copy_from_slice(&to.to_le_bytes());
        bytes
    }

    fn entry(kind: u32, delta: u32, rest: &[u8]) -> Vec<u8> {
        [&(kind | delta << 5).to_le_bytes()[..], rest].concat()
    }

    pub fn page(time: u64, flags: u64, entries: &[Vec<u8>]) -> Vec<u8> {
        let data = entries.concat();
        let commit = data.len() as u64 | flags;
        let mut bytes = [time.to_le_bytes(), commit.to_le_bytes()].concat();
        bytes.extend(data);
        bytes.resize(4096, 0xaa);
        bytes
    }

    /// A page of switches: times in nanoseconds, all within an eighth of a second of each other.
    pub fn page_of(switches: &[(u64, u32, u64, u32)]) -> Vec<u8> {
        let mut last = switches.first().map_or(0, |first| first.0);
        let begin = last;
        let one = |(at, from, state, to): &(u64, u32, u64, u32)| {
            let delta = (*at - last) as u32;
            last = *at;
            entry(16, delta, &record(*from, *state, *to))
        };
        let entries: Vec<_> = switches.iter().map(one).collect();
        page(begin, 0, &entries)
    }

    fn format() -> Format {
        Format::parse(EVENT, PAGE).unwrap()
    }

    #[test]
    fn a_format_says_where_things_are() {
        assert_eq!(format().to, Field { offset: 56, size: 4 });
        assert_eq!(format().data.offset, 16);
        let without = EVENT.replace("prev_state", "state");
        assert_eq!(Format::parse(&without, PAGE).unwrap_err(), "Linux's trace has no field prev_state");
    }

    #[test]
    fn each_record_is_some_time_after_the_last() {
        let long = [&68u32.to_le_bytes()[..], &record(8, 0x100, 0)].concat();
        let entries = [
            entry(16, 5, &record(7, 0, 8)),
            entry(TIME_EXTEND, 3, &2u32.to_le_bytes()),
            entry(0, 10, &long),
            entry(TIME_STAMP, 9, &4u32.to_le_bytes()),
            entry(16, 1, &record(9, 1, 7)),
            entry(PADDING, 0, &[0; 40]),
        ];
        let (found, missed) = switches(&page(1000, 0, &entries), &format()).unwrap();
        let second = 1005 + 3 + (2 << 27) + 10;
        let third = 9 + (4 << 27) + 1;
        let told: Vec<_> =
            found.iter().map(|switch| (switch.at, switch.from, switch.ready, switch.to)).collect();
        assert_eq!(told, [(1005, 7, true, 8), (second, 8, true, 0), (third, 9, false, 7)]);
        assert!(!missed);
    }

    #[test]
    fn a_page_before_which_records_are_missing_says_so() {
        let entries = [entry(16, 0, &record(1, 0, 2))];
        assert!(switches(&page(0, MISSED, &entries), &format()).unwrap().1);
    }

    #[test]
    fn a_damaged_page_is_none() {
        let whole = page(0, 0, &[entry(16, 0, &record(1, 0, 2))]);
        assert_eq!(switches(&whole[..40], &format()), None);
        assert_eq!(switches(&[], &format()), None);
        // A record that is longer than the page says that its contents are.
        assert_eq!(switches(&page(0, 0, &[entry(28, 0, &record(1, 0, 2))]), &format()), None);
    }
}
