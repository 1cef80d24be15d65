//! What `linux-sched` has handed over, out of its file of frames. Not here: what follows from it (`record`).

use super::ring::{self, Format, Switch};
use linux_guest::frame::{Frame, HEAD, Kind};

/// Everything that a run on Linux has left. Times are in nanoseconds of `CLOCK_MONOTONIC`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Handed {
    /// When the run began.
    pub begin: u64,
    /// Ticks of the machine's counter in a second.
    pub frequency: u64,
    /// Every client, in the plan's order.
    pub clients: Vec<Process>,
    /// The switches of each core.
    pub cores: Vec<Vec<Switch>>,
    /// Switches that are missing.
    pub lost: u64,
}

/// A client's process.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Process {
    /// Its number.
    pub id: u64,
    /// The jobs that it began, in order.
    pub jobs: Vec<Begun>,
}

/// A job that was begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Begun {
    /// When it was released.
    pub released: u64,
    /// When it was done; 0 if it was not.
    pub completed: u64,
    /// CPU time that it used, in nanoseconds.
    pub used: u64,
}

/// What Linux counts in a ring's statistics that was not recorded, or was overwritten.
const LOSSES: [&str; 3] = ["overrun:", "commit overrun:", "dropped events:"];

/// Reads the file.
///
/// # Errors
/// If it is cut short or damaged, in words.
pub fn read(mut file: &[u8]) -> Result<Handed, String> {
    let mut handed = Handed::default();
    let (mut event, mut format) = (String::new(), None);
    loop {
        let (frame, contents) = frame(&mut file).ok_or("what Linux has handed over is cut short")?;
        let damaged = || format!("what Linux has handed over is damaged: {frame:?}");
        match frame.kind {
            Kind::Start => {
                let [begin, frequency] = words(contents)[..] else { return Err(damaged()) };
                (handed.begin, handed.frequency) = (begin, frequency);
            }
            Kind::Client => handed.clients.push(process(&words(contents)).ok_or_else(damaged)?),
            Kind::Format => event = String::from_utf8_lossy(contents).into_owned(),
            Kind::Head => format = Some(Format::parse(&event, &String::from_utf8_lossy(contents))?),
            Kind::Lost => {
                handed.lost += lost(&String::from_utf8_lossy(contents));
                handed.cores.push(Vec::new());
            }
            Kind::Page => {
                let format = format.as_ref().ok_or_else(damaged)?;
                let (mut switches, missed) = ring::switches(contents, format).ok_or_else(damaged)?;
                handed.lost += u64::from(missed);
                handed.cores.get_mut(frame.index as usize).ok_or_else(damaged)?.append(&mut switches);
            }
            Kind::End => return Ok(handed),
        }
    }
}

/// The next frame and its contents.
fn frame<'a>(file: &mut &'a [u8]) -> Option<(Frame, &'a [u8])> {
    let (head, rest) = file.split_at_checked(HEAD)?;
    let frame = Frame::from_words(words(head).try_into().ok()?)?;
    let (contents, rest) = rest.split_at_checked(usize::try_from(frame.length).ok()?)?;
    *file = rest;
    Some((frame, contents))
}

fn words(bytes: &[u8]) -> Vec<u64> {
    let word = |bytes: &[u8]| bytes.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte));
    bytes.chunks_exact(8).map(word).collect()
}

fn process(words: &[u64]) -> Option<Process> {
    let [id, begun, jobs @ ..] = words else { return None };
    let jobs: Vec<_> =
        jobs.chunks_exact(3).map(|job| Begun { released: job[0], completed: job[1], used: job[2] }).collect();
    (jobs.len() as u64 == *begun).then_some(Process { id: *id, jobs })
}

/// What a ring has lost, from Linux's statistics of it: lines of a name and a number.
fn lost(statistics: &str) -> u64 {
    let of = |line: &str| {
        let name = LOSSES.iter().find(|name| line.starts_with(**name))?;
        line[name.len()..].trim().parse::<u64>().ok()
    };
    statistics.lines().filter_map(of).sum()
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::ring::tests::{EVENT, PAGE, page_of};
    use super::*;

    pub fn framed(kind: Kind, index: u64, contents: &[u8]) -> Vec<u8> {
        let head = Frame { kind, index, length: contents.len() as u64 };
        let mut bytes: Vec<u8> = head.words().iter().flat_map(|word| word.to_le_bytes()).collect();
        bytes.extend(contents);
        bytes
    }

    pub fn bytes(words: &[u64]) -> Vec<u8> {
        words.iter().flat_map(|word| word.to_le_bytes()).collect()
    }

    fn file() -> Vec<u8> {
        [
            framed(Kind::Start, 0, &bytes(&[5_000, 62_500_000])),
            framed(Kind::Client, 0, &bytes(&[70, 1, 5_000, 6_000, 900])),
            framed(Kind::Client, 1, &bytes(&[71, 0])),
            framed(Kind::Format, 0, EVENT.as_bytes()),
            framed(Kind::Head, 0, PAGE.as_bytes()),
            framed(
                Kind::Lost,
                0,
                b"entries: 9\noverrun: 3\ncommit overrun: 0\nbytes: 400\ndropped events: 1\n",
            ),
            framed(Kind::Page, 0, &page_of(&[(5_000, 0, 0, 70), (6_000, 70, 1, 71)])),
            framed(Kind::Page, 0, &page_of(&[(7_000, 71, 0, 0)])),
            framed(Kind::End, 0, &[]),
        ]
        .concat()
    }

    #[test]
    fn frames_become_clients_switches_and_losses() {
        let handed = read(&file()).unwrap();
        assert_eq!((handed.begin, handed.frequency, handed.lost), (5_000, 62_500_000, 4));
        assert_eq!(handed.clients[0].jobs, [Begun { released: 5_000, completed: 6_000, used: 900 }]);
        assert_eq!((handed.clients[1].id, handed.clients[1].jobs.len()), (71, 0));
        let told: Vec<_> = handed.cores[0].iter().map(|switch| (switch.at, switch.from, switch.to)).collect();
        assert_eq!(told, [(5_000, 0, 70), (6_000, 70, 71), (7_000, 71, 0)]);
    }

    #[test]
    fn a_file_without_its_end_or_with_nonsense_is_refused() {
        let whole = file();
        for length in [0, 10, whole.len() - 1, whole.len() - HEAD] {
            assert!(read(&whole[..length]).unwrap_err().contains("cut short"), "{length}");
        }
        let client = framed(Kind::Client, 0, &bytes(&[70, 2, 5_000, 6_000, 900]));
        assert!(read(&client).unwrap_err().contains("damaged"));
        let page = framed(Kind::Page, 0, &page_of(&[(1, 0, 0, 1)]));
        assert!(read(&page).unwrap_err().contains("damaged"));
    }
}
